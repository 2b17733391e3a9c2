//! Named rules: argument and state checks that need more than a pattern.
//!
//! A rule looks at values through [`View`] and says yes or why not. It is pure, takes time linear in what it
//! looks at, and refuses whatever it cannot see (an unknown length, an opaque value). The list below is the
//! only place where a name and its function meet.
use super::pattern::{Mismatch, Shape, View};

mod array;
mod arrow;
mod boost;
mod callable;
pub(crate) mod content;
mod datetime;
mod ipc;
mod number;
pub(super) mod numpy;
mod object;
mod pandas;
pub(super) mod scipy;
pub(super) mod sklearn;
mod tensor;
#[cfg(test)]
mod tests;
mod text;
pub(crate) mod torch;

pub(crate) use numpy::ndarray::{extent as array_extent, Extent};

/// What a rule answers.
pub(crate) type Outcome = Result<(), Mismatch>;

macro_rules! rules {
    ($($name:literal => $variant:ident $($path:ident)::+;)*) => {
        /// One rule per variant; [`Rule::parse`] gives it by the name the tables use.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Rule { $(#[doc = $name] $variant,)* }

        impl Rule {
            /// Every rule with its name.
            pub const ALL: &'static [(&'static str, Rule)] = &[$(($name, Rule::$variant),)*];

            /// Applies the rule to `v`; `target` is the instance a state is for.
            pub fn check<W: View>(self, w: &W, v: W::V, target: Option<W::V>) -> Outcome {
                match self { $(Rule::$variant => $($path)::+(w, v, target),)* }
            }
        }
    };
}

rules! {
    "array.array" => Array array::array;
    "array.reconstructor" => ArrayReconstructor array::reconstructor;
    "arrow.chunks" => ArrowChunks arrow::chunks;
    "arrow.fields" => ArrowFields arrow::fields;
    "arrow.restore" => ArrowRestore arrow::restore;
    "arrow.table" => ArrowTable arrow::table;
    "arrow.type" => ArrowType arrow::data_type;
    "collections.factory" => Factory callable::factory;
    "copyreg.newobj" => Newobj object::newobj;
    "copyreg.newobj_ex" => NewobjEx object::newobj_ex;
    "copyreg.reconstructor" => Reconstructor object::reconstructor;
    "datetime.date" => Date datetime::date;
    "datetime.datetime" => Datetime datetime::datetime;
    "datetime.time" => Time datetime::time;
    "decimal.text" => DecimalText number::decimal_text;
    "element.state" => Element object::element;
    "fractions.text" => FractionText number::fraction_text;
    "functools.partial" => Partial callable::partial;
    "functools.partial_state" => PartialState callable::partial_state;
    "functools.union" => Union callable::union;
    "int.modest" => ModestInt number::modest;
    "lightgbm.booster" => LightgbmBooster boost::lightgbm::booster;
    "lightgbm.estimator" => LightgbmEstimator boost::lightgbm::estimator;
    "numpy.bit_generator" => BitGenerator numpy::random::bit_generator;
    "numpy.dtype" => Dtype numpy::dtype::arguments;
    "numpy.dtype_state" => DtypeState numpy::dtype::state;
    "numpy.frombuffer" => Frombuffer numpy::ndarray::frombuffer;
    "numpy.generator_state" => GeneratorState numpy::random::generator_state;
    "numpy.masked" => Masked numpy::ndarray::masked;
    "numpy.masked_state" => MaskedState numpy::ndarray::masked_state;
    "numpy.reconstruct" => Reconstruct numpy::ndarray::reconstruct;
    "numpy.scalar" => Scalar numpy::ndarray::scalar;
    "numpy.seed_state" => SeedState numpy::random::seed_state;
    "numpy.state" => NdarrayState numpy::ndarray::state;
    "pandas.arrow" => PandasArrow pandas::extension::arrow_backed;
    "pandas.backed" => PandasBacked pandas::extension::backed;
    "pandas.block" => PandasBlock pandas::manager::block;
    "pandas.categorical_dtype" => PandasCategoricalDtype pandas::extension::categorical_dtype;
    "pandas.datetime_index" => PandasDatetimeIndex pandas::index::new_datetime;
    "pandas.endpoint" => PandasEndpoint pandas::index::endpoint;
    "pandas.frame" => PandasFrame pandas::manager::frame;
    "pandas.freq" => PandasFreq pandas::index::freq;
    "pandas.index" => PandasIndex pandas::index::new;
    "pandas.interval_array" => PandasIntervalArray pandas::extension::interval;
    "pandas.interval_index" => PandasIntervalIndex pandas::index::new_interval;
    "pandas.manager" => PandasManager pandas::manager::manager;
    "pandas.manager_state" => PandasManagerState pandas::manager::manager_state;
    "pandas.masked" => PandasMasked pandas::extension::masked;
    "pandas.series" => PandasSeries pandas::manager::series;
    "pandas.single" => PandasSingle pandas::manager::single;
    "pandas.sparse" => PandasSparse pandas::extension::sparse;
    "pandas.sparse_index" => PandasSparseIndex pandas::extension::sparse_index;
    "pandas.timedelta_index" => PandasTimedeltaIndex pandas::index::new_timedelta;
    "pandas.unpickle" => PandasUnpickle pandas::extension::unpickle;
    "pandas.zone_dtype" => PandasZoneDtype pandas::extension::zone_dtype;
    "polars.frame" => PolarsFrame ipc::frame;
    "polars.series" => PolarsSeries ipc::series;
    "random.state" => RandomState number::random_state;
    "re.flags" => ReFlags text::re_flags;
    "scipy.distribution" => ScipyDistribution scipy::stats::distribution;
    "scipy.frozen" => ScipyFrozen scipy::stats::frozen;
    "scipy.keys" => ScipyKeys scipy::lists::keys;
    "scipy.lists" => ScipyLists scipy::lists::lists;
    "scipy.sparse" => ScipySparse scipy::sparse;
    "scipy.spline" => ScipySpline scipy::spline;
    "sklearn.booster" => SklearnBooster sklearn::boosting::booster;
    "sklearn.encoder" => SklearnEncoder sklearn::encoder;
    "sklearn.linkage" => SklearnLinkage sklearn::neighbors::linkage;
    "sklearn.mapper" => SklearnMapper sklearn::boosting::mapper;
    "sklearn.metric" => SklearnMetric sklearn::metric::state;
    "sklearn.neighbors" => SklearnNeighbors sklearn::neighbors::state;
    "sklearn.predictor" => SklearnPredictor sklearn::boosting::predictor;
    "sklearn.state" => SklearnState sklearn::state;
    "sklearn.svm" => SklearnSvm sklearn::svm::state;
    "sklearn.tree" => SklearnTree sklearn::tree::tree;
    "sklearn.tree_state" => SklearnTreeState sklearn::tree::state;
    "torch.as_strided" => TorchAsStrided tensor::as_strided;
    "torch.conj" => TorchConj tensor::conj;
    "torch.from_numpy" => TorchFromNumpy tensor::from_numpy;
    "torch.loader" => TorchLoader torch::loader;
    "torch.parameter" => TorchParameter torch::parameter;
    "torch.requires_grad" => TorchRequiresGrad tensor::requires_grad;
    "torch.tensor" => TorchTensor torch::tensor;
    "torch.view" => TorchView tensor::view;
    "types.argument" => TypeArgument callable::type_argument;
    "unicode.error" => UnicodeError text::unicode_error;
    "uuid.state" => UuidState number::uuid_state;
    "xgboost.booster" => XgboostBooster boost::xgboost::booster;
    "xgboost.estimator" => XgboostEstimator boost::xgboost::estimator;
    "zoneinfo.key" => ZoneKey text::zone_key;
}

impl Rule {
    /// The rule of a name.
    pub fn parse(name: &str) -> Option<Rule> {
        Rule::ALL.iter().find(|(known, _)| *known == name).map(|(_, rule)| *rule)
    }

    /// The name of the rule.
    pub fn name(self) -> &'static str {
        Rule::ALL.iter().find(|(_, rule)| *rule == self).map_or("?", |(name, _)| name)
    }
}

/// Refuses, saying what was wanted and what `v` is.
pub(crate) fn refuse<W: View, T>(w: &W, v: W::V, expected: impl Into<String>) -> Result<T, Mismatch> {
    Err(Mismatch { expected: expected.into(), got: w.shape(v).describe() })
}

/// Yes, or a refusal, for which alone the text is made.
pub(crate) fn demand<W: View>(holds: bool, w: &W, v: W::V, expected: impl std::fmt::Display) -> Outcome {
    if holds {
        Ok(())
    } else {
        refuse(w, v, expected.to_string())
    }
}

/// The items of a tuple, or a refusal.
pub(crate) fn tuple<'w, W: View>(w: &'w W, v: W::V, expected: &str) -> Result<&'w [W::V], Mismatch> {
    match w.shape(v) {
        Shape::Tuple(items) => Ok(items),
        _ => refuse(w, v, expected),
    }
}

/// A small integer (a bool counts, as in Python).
pub(crate) fn int<W: View>(w: &W, v: W::V) -> Option<i64> {
    match w.shape(v) {
        Shape::Int(value) => Some(value),
        Shape::Bool(value) => Some(i64::from(value)),
        _ => None,
    }
}
