//! The parameters of lightgbm by name: those that are numbers and words, and those that name files, machines or ways to
//! read past a row, which stay as they are when nobody sets them.
//!
//! Names are those of lightgbm 2.3 to 4.7 and their other spellings, as `LGBM_DumpParamAliases` tells them.
use super::{real, MOST_THREADS};

/// Sorted; any number, word or list.
const PLAIN: &[&str] = &[
    "alpha",
    "app",
    "application",
    "auc_mu_weights",
    "bagging",
    "bagging_by_query",
    "bagging_fraction",
    "bagging_fraction_seed",
    "bagging_freq",
    "bagging_seed",
    "bin_construct_sample_cnt",
    "blacklist",
    "boost",
    "boost_from_average",
    "boosting",
    "boosting_type",
    "bundle",
    "cat_column",
    "cat_feature",
    "cat_l2",
    "cat_smooth",
    "categorical_column",
    "categorical_feature",
    "categorical_features",
    "cegb_penalty_feature_coupled",
    "cegb_penalty_feature_lazy",
    "cegb_penalty_split",
    "cegb_tradeoff",
    "colsample_bynode",
    "colsample_bytree",
    "data_random_seed",
    "data_sample_strategy",
    "data_seed",
    "deterministic",
    "device",
    "device_type",
    "drop_rate",
    "drop_seed",
    "early_stopping",
    "early_stopping_min_delta",
    "early_stopping_round",
    "early_stopping_rounds",
    "enable_bundle",
    "enable_sparse",
    "eta",
    "eval_at",
    "extra_seed",
    "extra_tree",
    "extra_trees",
    "fair_c",
    "fc",
    "feature_contri",
    "feature_contrib",
    "feature_fraction",
    "feature_fraction_bynode",
    "feature_fraction_seed",
    "feature_penalty",
    "feature_pre_filter",
    "first_metric_only",
    "force_col_wise",
    "force_row_wise",
    "fp",
    "gpu_device_id",
    "gpu_device_id_list",
    "gpu_platform_id",
    "gpu_use_dp",
    "group",
    "group_column",
    "group_id",
    "has_header",
    "header",
    "hist_pool_size",
    "histogram_pool_size",
    "ignore_column",
    "ignore_feature",
    "interaction_constraints",
    "is_enable_bundle",
    "is_enable_sparse",
    "is_pre_partition",
    "is_provide_training_metric",
    "is_sparse",
    "is_training_metric",
    "is_unbalance",
    "l1_regularization",
    "l2_regularization",
    "label",
    "label_column",
    "label_gain",
    "lambda",
    "lambda_l1",
    "lambda_l2",
    "lambdamart_norm",
    "lambdarank_norm",
    "lambdarank_position_bias_regularization",
    "lambdarank_truncation_level",
    "learning_rate",
    "linear_lambda",
    "linear_tree",
    "linear_trees",
    "local_listen_port",
    "local_port",
    "loss",
    "map_at",
    "map_eval_at",
    "max_bin",
    "max_bin_by_feature",
    "max_bins",
    "max_cat_threshold",
    "max_cat_to_onehot",
    "max_conflict_rate",
    "max_delta_step",
    "max_depth",
    "max_drop",
    "max_iter",
    "max_leaf",
    "max_leaf_nodes",
    "max_leaf_output",
    "max_leaves",
    "max_position",
    "max_tree_output",
    "mc",
    "mc_method",
    "mc_penalty",
    "metric",
    "metric_freq",
    "metric_types",
    "metrics",
    "min_child_samples",
    "min_child_weight",
    "min_data",
    "min_data_in_bin",
    "min_data_in_leaf",
    "min_data_per_group",
    "min_data_per_leaf",
    "min_gain_to_split",
    "min_hessian",
    "min_samples_leaf",
    "min_split_gain",
    "min_sum_hessian",
    "min_sum_hessian_in_leaf",
    "min_sum_hessian_per_leaf",
    "monotone_constraining_method",
    "monotone_constraint",
    "monotone_constraints",
    "monotone_constraints_method",
    "monotone_penalty",
    "monotone_splits_penalty",
    "monotonic_cst",
    "ms_penalty",
    "multi_error_top_k",
    "n_estimators",
    "n_iter",
    "n_iter_no_change",
    "ndcg_at",
    "ndcg_eval_at",
    "neg_bagging",
    "neg_bagging_fraction",
    "neg_sub_row",
    "neg_subsample",
    "nrounds",
    "num_boost_round",
    "num_class",
    "num_classes",
    "num_gpu",
    "num_grad_quant_bins",
    "num_iteration",
    "num_iterations",
    "num_leaf",
    "num_leaves",
    "num_round",
    "num_rounds",
    "num_tree",
    "num_trees",
    "objective",
    "objective_seed",
    "objective_type",
    "other_rate",
    "output_freq",
    "path_smooth",
    "poisson_max_delta_step",
    "port",
    "pos_bagging",
    "pos_bagging_fraction",
    "pos_sub_row",
    "pos_subsample",
    "pre_partition",
    "precise_float_parser",
    "quant_train_renew_leaf",
    "query",
    "query_column",
    "query_id",
    "random_seed",
    "random_state",
    "rate_drop",
    "refit_decay_rate",
    "reg_alpha",
    "reg_lambda",
    "reg_sqrt",
    "saved_feature_importance_type",
    "scale_pos_weight",
    "seed",
    "shrinkage_rate",
    "sigmoid",
    "skip_drop",
    "sparse",
    "sparse_threshold",
    "stochastic_rounding",
    "sub_feature",
    "sub_feature_bynode",
    "sub_row",
    "subsample",
    "subsample_for_bin",
    "subsample_freq",
    "time_out",
    "top_k",
    "top_rate",
    "topk",
    "train_metric",
    "training_metric",
    "tree",
    "tree_learner",
    "tree_learner_type",
    "tree_type",
    "tweedie_variance_power",
    "two_round",
    "two_round_loading",
    "unbalance",
    "unbalanced_sets",
    "uniform_drop",
    "use_missing",
    "use_quantized_grad",
    "use_two_round_loading",
    "verbose",
    "verbosity",
    "weight",
    "weight_column",
    "xgboost_dart_mode",
    "zero_as_missing",
];

/// Spellings of the number of threads.
const THREADS: &[&str] = &["n_jobs", "nthread", "nthreads", "num_thread", "num_threads"];

/// What lightgbm itself writes of parameters that it would read files by, write files to, ask other machines, or, when
/// it predicts, give more or other numbers than there is room for.
const FIXED: &[(&str, &[&str])] = &[
    ("config", &[""]),
    ("convert_model", &["", "gbdt_prediction.cpp"]),
    ("convert_model_language", &[""]),
    ("data", &[""]),
    ("forcedbins_filename", &[""]),
    ("forcedsplits_filename", &[""]),
    ("initscore_filename", &[""]),
    ("input_model", &[""]),
    ("machine_list_filename", &[""]),
    ("machines", &[""]),
    ("num_iteration_predict", &["-1"]),
    ("num_machines", &["1"]),
    ("output_model", &["", "LightGBM_model.txt"]),
    ("output_result", &["", "LightGBM_predict_result.txt"]),
    ("parser_config_file", &[""]),
    ("pred_early_stop", &["0"]),
    ("pred_early_stop_freq", &["10"]),
    ("pred_early_stop_margin", &["10"]),
    ("predict_contrib", &["0"]),
    ("predict_disable_shape_check", &["0"]),
    ("predict_leaf_index", &["0"]),
    ("predict_raw_score", &["0"]),
    ("save_binary", &["0"]),
    ("snapshot_freq", &["-1"]),
    ("start_iteration_predict", &["0"]),
    ("task", &["train"]),
    ("valid", &[""]),
    ("valid_data_initscores", &[""]),
];

/// Does it take any plain value?
pub(super) fn is_plain(key: &str) -> bool {
    PLAIN.binary_search(&key).is_ok()
}

/// Is it a number of threads?
pub(super) fn is_threads(key: &str) -> bool {
    THREADS.contains(&key)
}

/// The values of a parameter that has no others here.
pub(super) fn fixed(key: &str) -> Option<&'static [&'static str]> {
    FIXED.iter().find(|(known, _)| *known == key).map(|(_, values)| *values)
}

/// A value without blanks, equals signs, quotes, or slashes: it is one value wherever it is joined to others.
pub(super) fn is_word(text: &str) -> bool {
    let known = |b: u8| b.is_ascii_alphanumeric() || b"_.,:@+-[]".contains(&b);
    text.len() <= 10_000 && text.bytes().all(known)
}

/// Does lightgbm write `[key: value]` in the text of a model?
pub(super) fn is_written(key: &str, value: &str) -> bool {
    if is_threads(key) {
        return value.parse().is_ok_and(|threads: i64| (-1..=MOST_THREADS).contains(&threads));
    }
    match fixed(key) {
        Some(values) => values.contains(&value),
        None => is_plain(key) && (is_word(value) || real(value).is_some()),
    }
}

#[cfg(test)]
mod tests {
    use super::{is_plain, is_written, FIXED, PLAIN};

    /// Names are found by halving, and none has two meanings.
    #[test]
    fn names_are_sorted_and_of_one_kind() {
        assert!(PLAIN.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(FIXED.iter().all(|(key, _)| !is_plain(key)));
    }

    /// A file or a machine by any spelling would be opened or called when training goes on.
    #[test]
    fn no_parameter_names_a_file() {
        for (key, value) in [
            ("machines", "10.0.0.1:80"),
            ("workers", "10.0.0.1:80"),
            ("forcedsplits_filename", "x.json"),
            ("fs", "x"),
            ("predict_disable_shape_check", "1"),
            ("num_threads", "100000"),
            ("metric", "l2 machines=x"),
            ("metric", "a=b"),
        ] {
            assert!(!is_written(key, value), "{key}");
        }
        for (key, value) in [("machines", ""), ("metric", "l1,l2"), ("interaction_constraints", "[0,1],[2]")] {
            assert!(is_written(key, value), "{key}");
        }
    }
}
