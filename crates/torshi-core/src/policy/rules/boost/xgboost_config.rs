//! The parameters of an xgboost model: names that xgboost writes, with numbers, words and lists of their kinds.
//!
//! Names are those of the parameter structures of xgboost 2.0 to 3.4. A name that is not known is refused, since nobody
//! here knows what it would do.
use super::ubjson::Value;
use super::{need, real, Verdict, DEEPEST, MOST_THREADS};

/// What a parameter may be.
#[derive(Clone, Copy)]
enum Kind {
    /// A whole number from here to there.
    Whole(i128, i128),
    Real,
    /// One of these words.
    Word(&'static [&'static str]),
    /// Some of the updaters, by commas.
    Updaters,
    /// A number, or a list of them in brackets.
    Reals,
    /// A sign for each of the first features, in parentheses.
    Signs,
    /// Lists of features in a list.
    Groups,
    Device,
}

use Kind::{Device, Groups, Real, Reals, Signs, Updaters, Whole, Word};

const FLAG: Kind = Whole(0, 1);
const SIZE: Kind = Whole(0, 1 << 24);
const COUNT: Kind = Whole(0, u64::MAX as i128);
const SEED: Kind = Whole(i64::MIN as i128, i64::MAX as i128);
const THREADS: Kind = Whole(-1, MOST_THREADS as i128);

/// Sorted by name; the sections that hold them are told apart nowhere, since a name means one thing in all.
const PARAMETERS: &[(&str, Kind)] = &[
    ("aft_loss_distribution", Word(&["normal", "logistic", "extreme"])),
    ("aft_loss_distribution_scale", Real),
    ("alpha", Real),
    ("boost_from_average", FLAG),
    ("booster", Word(BOOSTERS)),
    ("cache_opt", FLAG),
    ("colsample_bylevel", Real),
    ("colsample_bynode", Real),
    ("colsample_bytree", Real),
    ("debug_synchronize", FLAG),
    ("default_direction", Word(&["learn", "left", "right"])),
    ("device", Device),
    ("disable_default_eval_metric", FLAG),
    ("eta", Real),
    ("expectile_alpha", Reals),
    ("extmem_single_page", FLAG),
    ("fail_on_invalid_gpu_id", FLAG),
    ("feature_selector", Word(&["cyclic", "shuffle", "thrifty", "greedy", "random"])),
    ("gamma", Real),
    ("gpu_id", Whole(-1, 1024)),
    ("grow_policy", Word(&["depthwise", "lossguide"])),
    ("huber_slope", Real),
    ("interaction_constraints", Groups),
    ("lambda", Real),
    ("lambdarank_bias_norm", Real),
    ("lambdarank_normalization", FLAG),
    ("lambdarank_num_pair_per_sample", Whole(1, u32::MAX as i128)),
    ("lambdarank_pair_method", Word(&["topk", "mean"])),
    ("lambdarank_score_normalization", FLAG),
    ("lambdarank_unbiased", FLAG),
    ("learning_rate", Real),
    ("max_bin", Whole(2, 1 << 20)),
    ("max_cached_hist_node", COUNT),
    ("max_cat_threshold", SIZE),
    ("max_cat_to_onehot", SIZE),
    ("max_delta_step", Real),
    ("max_depth", Whole(0, DEEPEST as i128)),
    ("max_leaves", SIZE),
    ("max_row_perbatch", COUNT),
    ("min_child_weight", Real),
    ("min_split_loss", Real),
    ("monotone_constraints", Signs),
    ("multi_strategy", Word(&["one_output_per_tree", "multi_output_tree"])),
    ("n_jobs", THREADS),
    ("ndcg_exp_gain", FLAG),
    ("normalize_type", Word(&["tree", "forest"])),
    ("nthread", THREADS),
    ("num_class", Whole(0, 1 << 16)),
    ("num_pairsample", Whole(1, 1 << 16)),
    ("num_parallel_tree", Whole(1, 1 << 16)),
    ("num_trees", Whole(0, i32::MAX as i128)),
    ("objective", Word(OBJECTIVES)),
    ("one_drop", FLAG),
    ("opt_dense_col", Real),
    ("process_type", Word(&["default", "update"])),
    ("quantile_alpha", Reals),
    ("random_state", SEED),
    ("rate_drop", Real),
    ("refresh_leaf", FLAG),
    ("reg_alpha", Real),
    ("reg_lambda", Real),
    ("sample_type", Word(&["uniform", "weighted"])),
    ("sampling_method", Word(&["uniform", "gradient_based"])),
    ("scale_pos_weight", Real),
    ("seed", SEED),
    ("seed_per_iteration", FLAG),
    ("single_precision_histogram", FLAG),
    ("sketch_ratio", Real),
    ("skip_drop", Real),
    ("sparse_threshold", Real),
    ("subsample", Real),
    ("tolerance", Real),
    ("top_k", COUNT),
    ("tree_method", Word(&["auto", "approx", "exact", "hist", "gpu_hist"])),
    ("tweedie_variance_power", Real),
    ("updater", Updaters),
    ("updater_seq", Updaters),
    ("validate_parameters", FLAG),
];

pub(super) const BOOSTERS: &[&str] = &["gbtree", "dart", "gblinear"];
pub(super) const OBJECTIVES: &[&str] = &[
    "binary:hinge",
    "binary:logistic",
    "binary:logitraw",
    "count:poisson",
    "multi:softmax",
    "multi:softprob",
    "rank:map",
    "rank:ndcg",
    "rank:pairwise",
    "reg:absoluteerror",
    "reg:expectileerror",
    "reg:gamma",
    "reg:linear",
    "reg:logistic",
    "reg:pseudohubererror",
    "reg:quantileerror",
    "reg:squarederror",
    "reg:squaredlogerror",
    "reg:tweedie",
    "survival:aft",
    "survival:cox",
];
const UPDATERS: &[&str] = &[
    "coord_descent",
    "gpu_coord_descent",
    "grow_colmaker",
    "grow_gpu_approx",
    "grow_gpu_hist",
    "grow_histmaker",
    "grow_local_histmaker",
    "grow_quantile_histmaker",
    "prune",
    "refresh",
    "shotgun",
    "sync",
];
/// Without what stands behind an at sign: a threshold or a place.
const METRICS: &[&str] = &[
    "aft-nloglik",
    "ams",
    "auc",
    "aucpr",
    "cox-nloglik",
    "error",
    "expectile",
    "gamma-deviance",
    "gamma-nloglik",
    "interval-regression-accuracy",
    "logloss",
    "mae",
    "map",
    "mape",
    "merror",
    "mlogloss",
    "mphe",
    "ndcg",
    "poisson-nloglik",
    "pre",
    "quantile",
    "rmse",
    "rmsle",
    "tweedie-nloglik",
];
/// Parts of an objective and of a metric.
const PARTS: &[&str] = &[
    "aft_loss_param",
    "expectile_loss_param",
    "lambda_rank_param",
    "lambdarank_param",
    "poisson_regression_param",
    "pseudo_huber_param",
    "quantile_loss_param",
    "reg_loss_param",
    "softmax_multiclass_param",
    "tweedie_regression_param",
];

/// Is `value` an object with none but these keys?
pub(super) fn keys(value: &Value<'_>, known: &[&str]) -> Verdict {
    let Value::Object(entries) = value else { return Err("an object".to_owned()) };
    match entries.iter().find(|(key, _)| !known.contains(key)) {
        None => Ok(()),
        Some((key, _)) => Err(format!("{key:.40?}, which is not known,")),
    }
}

/// An object of parameters.
pub(super) fn section(value: &Value<'_>, features: u64) -> Verdict {
    let Value::Object(entries) = value else { return Err("parameters".to_owned()) };
    for (key, value) in entries {
        let kind = PARAMETERS.binary_search_by(|(known, _)| known.cmp(key)).map(|at| PARAMETERS[at].1);
        let holds = matches!((kind, value.text()), (Ok(kind), Some(text)) if kind.holds(text, features));
        need(holds, || format!("parameter {key:.40?}"))?;
    }
    Ok(())
}

impl Kind {
    fn holds(self, text: &str, features: u64) -> bool {
        match self {
            Whole(low, high) => text.len() <= 24 && text.parse::<i128>().is_ok_and(|n| (low..=high).contains(&n)),
            Real => real(text).is_some(),
            Word(words) => words.contains(&text),
            Updaters => text.split(',').all(|name| UPDATERS.contains(&name)),
            Reals => reals(text).is_some(),
            Signs => {
                let inner = text.strip_prefix('(').and_then(|text| text.strip_suffix(')'));
                let sign = |text: &str| matches!(text.trim(), "0" | "1" | "-1");
                inner.is_some_and(|text| text.is_empty() || text.trim_end_matches(',').split(',').all(sign))
            }
            Groups => text.is_empty() || groups(text, features).is_some(),
            Device => device(text),
        }
    }
}

/// `cpu`, `cuda`, `cuda:1`: without such a device xgboost says so and takes the processor.
fn device(text: &str) -> bool {
    let (name, number) = text.split_once(':').unwrap_or((text, "0"));
    matches!(name, "cpu" | "cuda" | "gpu") && number.len() <= 3 && number.bytes().all(|b| b.is_ascii_digit())
}

/// `0.5`, or `[0.5,0.25]`.
pub(super) fn reals(text: &str) -> Option<usize> {
    let inner = text.strip_prefix('[').map_or(Some(text), |text| text.strip_suffix(']'))?;
    inner
        .split(',')
        .map(|part| real(part.trim()).filter(|number| number.is_finite()))
        .try_fold(0, |n, part| part.map(|_| n + 1))
}

/// `[[0,1],[2]]`: features in lists in a list.
fn groups(text: &str, features: u64) -> Option<()> {
    let mut rest = text.strip_prefix('[')?.strip_suffix(']')?.trim();
    while !rest.is_empty() {
        let (inner, after) = rest.strip_prefix('[')?.split_once(']')?;
        for feature in inner.split(',').map(str::trim).filter(|feature| !feature.is_empty()) {
            feature.parse::<u64>().ok().filter(|feature| *feature < features)?;
        }
        rest = after.trim_start();
        rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
    }
    Some(())
}

/// An objective or a metric: its name, its parameters, and what ranking has learnt of places.
pub(super) fn part(value: &Value<'_>, features: u64) -> Verdict {
    for (key, value) in value.entries() {
        match *key {
            "name" => {}
            "ti+" | "tj-" => {
                let known = value.array(b'd').or_else(|| value.array(b'D')).is_some();
                need(known, || key.to_string())?;
            }
            _ if PARTS.contains(key) => section(value, features)?,
            _ => return Err(format!("{key:.40?}, which is not known,")),
        }
    }
    Ok(())
}

/// Metrics as the configuration lists them.
pub(super) fn metrics(value: &Value<'_>, features: u64) -> Verdict {
    for metric in value.list().ok_or("metrics")? {
        let name = metric.get("name").and_then(Value::text).unwrap_or_default();
        let (base, place) = name.split_once('@').unwrap_or((name, ""));
        let place = place.strip_suffix('-').unwrap_or(place);
        let known = METRICS.contains(&base) || METRICS.contains(&base.strip_suffix('-').unwrap_or(base));
        need(known && (place.is_empty() || real(place).is_some_and(f64::is_finite)), || format!("metric {name:.40?}"))?;
        part(metric, features)?;
    }
    Ok(())
}

/// How trees are grown.
pub(super) fn trees(value: &Value<'_>, features: u64) -> Verdict {
    for (key, value) in value.entries() {
        match *key {
            "name" => need(value.text() == Some("gbtree"), || "name".to_owned())?,
            "specified_updater" => need(matches!(value, Value::Bool), || key.to_string())?,
            "gbtree_model_param" | "gbtree_train_param" | "train_param" | "tree_train_param" => {
                section(value, features)?
            }
            "updater" => {
                for updater in value.list().ok_or("updater")? {
                    self::updater(updater, features)?;
                }
            }
            _ => return Err(format!("{key:.40?}, which is not known,")),
        }
    }
    Ok(())
}

/// An updater, of trees by name or of lines.
pub(super) fn updater(value: &Value<'_>, features: u64) -> Verdict {
    let Value::Object(entries) = value else { return Err("updater".to_owned()) };
    for (key, value) in entries {
        match *key {
            "name" => need(value.text().is_some_and(|name| UPDATERS.contains(&name)), || "updater".to_owned())?,
            "colmaker_train_param"
            | "coordinate_param"
            | "hist_train_param"
            | "linear_train_param"
            | "gpu_hist_train_param"
            | "approx_train_param"
            | "train_param" => section(value, features)?,
            _ => return Err(format!("{key:.40?}, which is not known,")),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{groups, reals, Kind, PARAMETERS};

    /// Parameters are found by halving.
    #[test]
    fn parameters_are_sorted() {
        assert!(PARAMETERS.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }

    /// A nest of brackets would be followed by recursion, a number of threads asked of the system.
    #[test]
    fn values_are_of_their_kinds() {
        assert_eq!(reals("[1.5E-1,2]"), Some(2));
        assert!(reals("[[1]]").is_none() && reals("nan").is_none() && reals("[]").is_none());
        assert!(groups("[[0, 1],[3]]", 4).is_some() && groups("[]", 4).is_some());
        assert!(groups("[[4]]", 4).is_none() && groups("[[[0]]]", 4).is_none() && groups("[[0]", 4).is_none());
        assert!(Kind::Signs.holds("(1,0,-1)", 3) && Kind::Signs.holds("()", 3) && !Kind::Signs.holds("(2)", 3));
        assert!(super::THREADS.holds("-1", 0) && !super::THREADS.holds("100000", 0));
        assert!(super::device("cuda:0") && !super::device("cuda:x") && !super::device("file"));
    }
}
