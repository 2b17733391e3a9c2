//! lightgbm: the attributes of a booster, whose model is a text, and those of its wrappers for scikit-learn.
//!
//! Wrappers join their attributes to a line of parameters, `name=value` by spaces, whenever they predict. So what stands
//! in them is looked at word by word: a blank in a value would be another parameter.
use super::super::numpy::dtype::checked;
use super::lightgbm_parameters::{self as parameters, fixed, is_plain, is_threads};
use super::*;

/// Attributes of a wrapper that never become parameters, and are whatever an estimator may have.
const OTHERS: &[&str] = &[
    "_best_score",
    "_class_map",
    "_class_weight",
    "_classes",
    "_evals_result",
    "_fitted_with_feature_names",
    "_le",
    "_metadata_request",
    "_sklearn_output_config",
    "class_weight",
    "feature_names_in_",
    "fitted_",
];
/// Attributes of a wrapper that are names or numbers, beside its parameters.
const VALUES: &[&str] = &[
    "_best_iteration",
    "_eval_at",
    "_fobj",
    "_n_classes",
    "_n_features",
    "_n_features_in",
    "_objective",
    "importance_type",
    "n_estimators",
    "n_features_in_",
    "silent",
];

/// The text of a model.
fn model<W: View>(w: &W, v: W::V) -> Outcome {
    let Shape::Text(text) = w.shape(v) else { return refuse(w, v, "the text of a lightgbm model") };
    demand(w.spend(text.len() as u64), w, v, "a model that is not looked at again and again")?;
    lightgbm_text::sound(text)
        .or_else(|what| refuse(w, v, format!("a lightgbm model with {what} as lightgbm writes it")))
}

/// The attributes of a booster.
pub(in super::super) fn booster<W: View>(w: &W, v: W::V, target: Option<W::V>) -> Outcome {
    attributes_of_booster(w, v, target)?;
    // Without a model, C++ is handed an address of nothing.
    demand(w.entry(v, "_handle").or_else(|| w.entry(v, "handle")).is_some(), w, v, "the text of a model")?;
    for (key, value) in w.pairs(v) {
        let Shape::Text(key) = w.shape(key) else { return refuse(w, key, "an attribute") };
        let number = |low: i64, high: i64| int(w, value).is_some_and(|n| (low..=high).contains(&n));
        let shape = w.shape(value);
        let sound = match key {
            "_handle" | "handle" => {
                model(w, value)?;
                true
            }
            "params" => {
                all_parameters(w, value)?;
                true
            }
            "_network" | "network" => matches!(shape, Shape::Bool(false)),
            "best_iteration" => number(-1, i32::MAX.into()),
            "train_set_version" | "_Booster__num_class" | "_Booster__num_inner_eval" => number(0, i32::MAX.into()),
            "_Booster__num_dataset" => number(0, 1),
            "_Booster__need_reload_eval_info" | "_Booster__set_objective_to_none" => matches!(shape, Shape::Bool(_)),
            "_Booster__init_predictor" => {
                matches!(shape, Shape::None | Shape::Instance { module: "lightgbm.basic", name: "_InnerPredictor", .. })
            }
            "_Booster__inner_predict_buffer" => {
                let unused = |items: Vec<W::V>| items.into_iter().all(|item| matches!(w.shape(item), Shape::None));
                matches!(shape, Shape::List) && (w.count(value) == Some(0) || w.elements(value).is_some_and(unused))
            }
            "_Booster__is_predicted_cur_iter"
            | "_Booster__higher_better_inner_eval"
            | "_Booster__name_inner_eval"
            | "name_valid_sets" => matches!(shape, Shape::List),
            "pandas_categorical" => matches!(shape, Shape::None | Shape::List),
            "best_score" => matches!(shape, Shape::Dict { .. } | Shape::Instance { module: "collections", .. }),
            "_Booster__attr" => matches!(shape, Shape::Dict { .. }),
            "_train_data_name" => matches!(shape, Shape::Text(_)),
            _ => false,
        };
        demand(sound, w, value, format_args!("an attribute {key:.40} as lightgbm writes it"))?;
    }
    Ok(())
}

/// The attributes of a wrapper.
pub(in super::super) fn estimator<W: View>(w: &W, v: W::V, target: Option<W::V>) -> Outcome {
    sklearn::state(w, v, target)?;
    for (key, value) in w.pairs(v) {
        let Shape::Text(key) = w.shape(key) else { return refuse(w, key, "an attribute") };
        let sound = match key {
            "_Booster" => matches!(
                w.shape(value),
                Shape::None | Shape::Instance { module: "lightgbm.basic", name: "Booster", .. }
            ),
            "_other_params" => {
                all_parameters(w, value)?;
                true
            }
            "random_state" if matches!(w.shape(value), Shape::Instance { .. }) => {
                matches!(w.shape(value), Shape::Instance { module, .. } if module.starts_with("numpy"))
            }
            _ if OTHERS.contains(&key) => true,
            _ if VALUES.contains(&key) => plain(w, value, 2),
            _ => parameter(w, key, value),
        };
        demand(
            sound,
            w,
            value,
            format_args!("an attribute {key:.40} that is a parameter of lightgbm which names no file"),
        )?;
    }
    Ok(())
}

/// A dict of parameters.
fn all_parameters<W: View>(w: &W, v: W::V) -> Outcome {
    demand(matches!(w.shape(v), Shape::Dict { .. }) && w.whole(v), w, v, "a dict of parameters")?;
    for (key, value) in w.pairs(v) {
        let sound = matches!(w.shape(key), Shape::Text(key) if parameter(w, key, value));
        demand(sound, w, key, "a parameter of lightgbm which names no file, and a plain value")?;
    }
    Ok(())
}

fn parameter<W: View>(w: &W, key: &str, v: W::V) -> bool {
    if is_threads(key) {
        return threads(w, v);
    }
    match fixed(key) {
        Some(values) => match w.shape(v) {
            Shape::None => true,
            Shape::Bool(value) => values.contains(&if value { "1" } else { "0" }),
            Shape::Int(value) => values.contains(&value.to_string().as_str()),
            Shape::Text(text) => values.contains(&text),
            _ => false,
        },
        None => is_plain(key) && plain(w, v, 3),
    }
}

/// A number, a word without blanks, or a list or an array of such.
fn plain<W: View>(w: &W, v: W::V, depth: u32) -> bool {
    let Some(depth) = depth.checked_sub(1) else { return false };
    if !w.spend(1) {
        return false;
    }
    match w.shape(v) {
        Shape::None | Shape::Bool(_) | Shape::Int(_) | Shape::Float(_) => true,
        Shape::Text(text) => parameters::is_word(text),
        Shape::Tuple(items) => items.iter().all(|item| plain(w, *item, depth)),
        Shape::List => w.elements(v).is_some_and(|items| items.into_iter().all(|item| plain(w, item, depth))),
        Shape::Instance { module: "numpy", name: "generic", args: Some(args), .. } => {
            let Shape::Tuple([dtype, _]) = w.shape(args) else { return false };
            checked(w, *dtype).is_some_and(|dtype| matches!(dtype.kind, 'i' | 'u' | 'f' | 'b'))
        }
        Shape::Instance { module: "numpy", name: "ndarray", .. } => array(w, v)
            .is_some_and(|array| matches!(array.dtype.kind, 'i' | 'u' | 'f' | 'b') && !array.dtype.structured),
        _ => false,
    }
}
