//! Named rules: argument and state checks that need more than a pattern.
//!
//! A rule looks at values through [`View`] and says yes or why not. It is pure, takes time linear in what it
//! looks at, and refuses whatever it cannot see (an unknown length, an opaque value). The list below is the
//! only place where a name and its function meet.
use super::pattern::{Mismatch, Shape, View};

mod array;
mod callable;
pub(crate) mod content;
mod datetime;
mod number;
pub(super) mod numpy;
mod object;
#[cfg(test)]
mod tests;
mod text;

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
    "random.state" => RandomState number::random_state;
    "re.flags" => ReFlags text::re_flags;
    "types.argument" => TypeArgument callable::type_argument;
    "unicode.error" => UnicodeError text::unicode_error;
    "uuid.state" => UuidState number::uuid_state;
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

/// Yes, or a refusal.
pub(crate) fn demand<W: View>(holds: bool, w: &W, v: W::V, expected: &str) -> Outcome {
    if holds {
        Ok(())
    } else {
        refuse(w, v, expected)
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
