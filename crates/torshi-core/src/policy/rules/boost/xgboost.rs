//! xgboost: the bytes a booster is made of again, and the attributes of its wrappers for scikit-learn.
//!
//! The bytes are what `Booster.__getstate__` of xgboost 2.0 and later writes: UBJSON of the model and of its
//! configuration. The JSON of earlier releases is refused.
use super::ubjson::{self, Value};
use super::*;

/// What the trees of a model have to agree with.
pub(super) struct Learner {
    /// Features of the data.
    pub(super) features: u64,
    /// Predictions for each row.
    pub(super) groups: u64,
    /// Whether each leaf has one number for each of them.
    pub(super) vector: bool,
}

/// Bytes of sets of categories that need no further reason.
const ROOM: u64 = 1 << 24;

/// The bytes of a model.
fn model<W: View>(w: &W, v: W::V) -> Outcome {
    let Some(data) = content::bytes(w, v) else { return refuse(w, v, "the bytes of an xgboost model in the stream") };
    demand(w.spend(data.len() as u64), w, v, "a model that is not looked at again and again")?;
    sound(&data).or_else(|what| refuse(w, v, format!("an xgboost model with {what} as xgboost writes it")))
}

/// The attributes of a booster: a model, and what earlier releases kept beside it.
pub(in super::super) fn booster<W: View>(w: &W, v: W::V, target: Option<W::V>) -> Outcome {
    attributes_of_booster(w, v, target)?;
    // An address could stand in the place of a model.
    demand(w.entry(v, "handle").is_some(), w, v, "the bytes of a model")?;
    for (key, value) in w.pairs(v) {
        let Shape::Text(key) = w.shape(key) else { return refuse(w, key, "an attribute") };
        let shape = w.shape(value);
        let sound = match key {
            "handle" => {
                model(w, value)?;
                true
            }
            "best_iteration" | "best_ntree_limit" => {
                matches!(shape, Shape::None) || int(w, value).is_some_and(|n| (-1..=i32::MAX.into()).contains(&n))
            }
            "best_score" => matches!(shape, Shape::None | Shape::Int(_) | Shape::Float(_)),
            "feature_names" | "feature_types" => matches!(shape, Shape::None | Shape::List),
            _ => false,
        };
        demand(sound, w, value, format_args!("an attribute {key:.40} as xgboost writes it"))?;
    }
    Ok(())
}

/// The attributes of a wrapper: those of an estimator, and threads that a machine can have.
pub(in super::super) fn estimator<W: View>(w: &W, v: W::V, target: Option<W::V>) -> Outcome {
    sklearn::state(w, v, target)?;
    for (key, value) in w.pairs(v) {
        let sound = match w.shape(key) {
            Shape::Text("n_jobs") => threads(w, value),
            Shape::Text("callbacks") => matches!(w.shape(value), Shape::None),
            // A function there would be called with arrays.
            Shape::Text("objective" | "eval_metric") => {
                matches!(w.shape(value), Shape::None | Shape::Text(_) | Shape::List)
            }
            Shape::Text("kwargs") => {
                let thread = |key| matches!(w.shape(key), Shape::Text("nthread" | "n_jobs" | "nthreads"));
                let plain = matches!(w.shape(value), Shape::Dict { .. }) && w.whole(value);
                plain && w.pairs(value).into_iter().all(|(key, value)| !thread(key) || threads(w, value))
            }
            _ => true,
        };
        demand(sound, w, value, "an attribute as a wrapper of xgboost has it")?;
    }
    Ok(())
}

fn sound(data: &[u8]) -> Verdict {
    let root = ubjson::parse(data).ok_or("a form")?;
    xgboost_config::keys(&root, &["Config", "Model"])?;
    let part = |key: &str| {
        let part = root.get(key).ok_or_else(|| key.to_owned())?;
        xgboost_config::keys(part, &["learner", "version"])?;
        let version = part.get("version").and_then(Value::list).unwrap_or_default();
        let numbers = version.iter().filter(|part| part.int().is_some_and(|n| (0..10_000).contains(&n))).count();
        need(version.len() == 3 && numbers == 3, || "a version".to_owned())?;
        part.get("learner").ok_or_else(|| "a learner".to_owned())
    };
    let (config, model) = (part("Config")?, part("Model")?);
    xgboost_config::keys(
        config,
        &["generic_param", "gradient_booster", "learner_model_param", "learner_train_param", "metrics", "objective"],
    )?;
    xgboost_config::keys(
        model,
        &["attributes", "feature_names", "feature_types", "gradient_booster", "learner_model_param", "objective"],
    )?;
    let train = config.get("learner_train_param").ok_or("learner_train_param")?;
    let several = train.get("multi_strategy").and_then(Value::text) == Some("multi_output_tree");
    let learner = learner(model.get("learner_model_param").ok_or("learner_model_param")?, several)?;
    self::learner(config.get("learner_model_param").ok_or("learner_model_param")?, several)?;

    let objective = named(model.get("objective"), xgboost_config::OBJECTIVES)?;
    let booster = named(model.get("gradient_booster"), xgboost_config::BOOSTERS)?;
    let same = named(config.get("objective"), &[objective]).is_ok()
        && named(config.get("gradient_booster"), &[booster]).is_ok()
        && train.get("objective").and_then(Value::text) == Some(objective)
        && train.get("booster").and_then(Value::text) == Some(booster);
    need(same, || "one objective and one booster".to_owned())?;

    self::config(config, booster, learner.features)?;
    for part in [config, model] {
        let objective_part = part.get("objective").ok_or("objective")?;
        xgboost_config::part(objective_part, learner.features)?;
        // It divides by the number of classes, and takes so many at a time.
        let classes = objective_part.get("softmax_multiclass_param").and_then(|param| param.get("num_class"));
        let classes = classes.and_then(Value::text).map_or(Some(0), |text| text.parse().ok());
        let divides = if objective.starts_with("multi:") { learner.groups } else { 0 };
        need(classes == Some(divides) && (divides != 1), || "num_class".to_owned())?;
    }
    described(model, learner.features)?;
    let held = model.get("gradient_booster").ok_or("gradient_booster")?;
    match booster {
        "gblinear" => linear(held, &learner),
        "dart" => {
            xgboost_config::keys(held, &["gbtree", "name", "weight_drop"])?;
            let trees = forest(held.get("gbtree").ok_or("gbtree")?, &learner, data.len())?;
            let weights = held.get("weight_drop").and_then(Value::list).ok_or("weight_drop")?;
            let plain = weights.iter().all(|weight| matches!(weight, Value::Float));
            need(plain && weights.len() == trees, || "weight_drop".to_owned())
        }
        _ => forest(held, &learner, data.len()).map(|_| ()),
    }
}

/// The name that a part gives itself, if it is a known one.
fn named<'k>(value: Option<&Value<'_>>, known: &[&'k str]) -> Verdict<&'k str> {
    let name = value.and_then(|value| value.get("name")).and_then(Value::text).unwrap_or_default();
    known.iter().find(|known| **known == name).copied().ok_or_else(|| format!("a name {name:.40?}"))
}

fn learner(param: &Value<'_>, several: bool) -> Verdict<Learner> {
    xgboost_config::keys(param, &["base_score", "boost_from_average", "num_class", "num_feature", "num_target"])?;
    let text = |key: &str| param.get(key).and_then(Value::text);
    let number = |key: &str, most: u64| {
        let number = text(key).and_then(|text| text.parse::<u64>().ok()).filter(|number| *number <= most);
        number.ok_or_else(|| key.to_owned())
    };
    let features = number("num_feature", MOST_FEATURES)?;
    let classes = number("num_class", MOST_GROUPS)?;
    let targets = if param.get("num_target").is_some() { number("num_target", MOST_GROUPS)? } else { 1 };
    need(features > 0, || "num_feature".to_owned())?;
    need(targets > 0 && (classes <= 1 || targets == 1), || "num_target".to_owned())?;
    let flag = param.get("boost_from_average").map_or(Some("1"), Value::text);
    need(matches!(flag, Some("0" | "1")), || "boost_from_average".to_owned())?;
    let groups = targets.max(classes);
    let scores = text("base_score").and_then(xgboost_config::reals).unwrap_or_default() as u64;
    need(scores == 1 || scores == groups, || "base_score".to_owned())?;
    Ok(Learner { features, groups, vector: several && groups > 1 })
}

/// All that is said of training; it is used again when training goes on.
fn config(config: &Value<'_>, booster: &str, features: u64) -> Verdict {
    let section = |key: &str| xgboost_config::section(config.get(key).ok_or_else(|| key.to_owned())?, features);
    section("generic_param")?;
    section("learner_train_param")?;
    xgboost_config::metrics(config.get("metrics").ok_or("metrics")?, features)?;
    let held = config.get("gradient_booster").ok_or("gradient_booster")?;
    match booster {
        "gblinear" => {
            xgboost_config::keys(held, &["gblinear_train_param", "name", "updater"])?;
            xgboost_config::section(held.get("gblinear_train_param").ok_or("gblinear_train_param")?, features)?;
            xgboost_config::updater(held.get("updater").ok_or("updater")?, features)
        }
        "dart" => {
            xgboost_config::keys(held, &["dart_train_param", "gbtree", "name"])?;
            xgboost_config::section(held.get("dart_train_param").ok_or("dart_train_param")?, features)?;
            xgboost_config::trees(held.get("gbtree").ok_or("gbtree")?, features)
        }
        _ => xgboost_config::trees(held, features),
    }
}

/// Names and types of features, none or one for each, and attributes that are texts. They end at a nought in C.
fn described(model: &Value<'_>, features: u64) -> Verdict {
    let whole = |value: &Value<'_>| value.text().is_some_and(|text| !text.contains('\0'));
    for key in ["feature_names", "feature_types"] {
        let Some(listed) = model.get(key) else { continue };
        let listed = listed.list().ok_or(key)?;
        let sound = (listed.is_empty() || listed.len() as u64 == features) && listed.iter().all(whole);
        need(sound, || key.to_owned())?;
    }
    let types = model.get("feature_types").and_then(Value::list).unwrap_or_default();
    let known = |kind: &Value<'_>| matches!(kind.text(), Some("i" | "int" | "float" | "q" | "c"));
    need(types.iter().all(known), || "feature_types".to_owned())?;
    let attributes = model.get("attributes").ok_or("attributes")?;
    let sound = matches!(attributes, Value::Object(_))
        && attributes.entries().iter().all(|(key, value)| !key.contains('\0') && whole(value));
    need(sound, || "attributes".to_owned())
}

/// A weight for each feature and one more, for each prediction; or none before the first round.
fn linear(held: &Value<'_>, learner: &Learner) -> Verdict {
    xgboost_config::keys(held, &["model", "name"])?;
    let model = held.get("model").ok_or("model")?;
    xgboost_config::keys(model, &["boosted_rounds", "weights"])?;
    let rounds = model.get("boosted_rounds").map_or(Some(0), Value::int);
    need(rounds.is_some_and(|rounds| (0..1 << 31).contains(&rounds)), || "boosted_rounds".to_owned())?;
    let count = model.get("weights").and_then(|value| value.array(b'd')).map(|items| items.len() as u64);
    need(matches!(count, Some(count) if count == 0 || count == (learner.features + 1) * learner.groups), || {
        "weights".to_owned()
    })
}

/// Trees, which of them predict what, and which belong to one round. How many trees there are.
fn forest(held: &Value<'_>, learner: &Learner, length: usize) -> Verdict<usize> {
    xgboost_config::keys(held, &["model", "name"])?;
    need(held.get("name").and_then(Value::text) == Some("gbtree"), || "name".to_owned())?;
    let model = held.get("model").ok_or("model")?;
    xgboost_config::keys(model, &["cats", "gbtree_model_param", "iteration_indptr", "tree_info", "trees"])?;
    let list = |key: &str| model.get(key).and_then(Value::list).ok_or_else(|| key.to_owned());
    let (trees, groups, rounds) = (list("trees")?, list("tree_info")?, list("iteration_indptr")?);
    let param = model.get("gbtree_model_param").ok_or("gbtree_model_param")?;
    xgboost_config::keys(param, &["num_parallel_tree", "num_trees"])?;
    xgboost_config::section(param, learner.features)?;
    let number = |key: &str| param.get(key).and_then(Value::text).and_then(|text| text.parse::<usize>().ok());
    need(number("num_trees") == Some(trees.len()) && groups.len() == trees.len(), || "num_trees".to_owned())?;
    let most = if learner.vector { 1 } else { learner.groups as i64 };
    let group = |value: &Value<'_>| value.int().is_some_and(|group| (0..most).contains(&group));
    need(groups.iter().all(group), || "tree_info".to_owned())?;
    // Each round has the same number of trees for each prediction.
    let step = number("num_parallel_tree").ok_or("num_parallel_tree")?.saturating_mul(most as usize);
    let even = rounds.iter().enumerate().all(|(round, value)| {
        round.checked_mul(step).is_some_and(|wanted| value.int().and_then(|n| usize::try_from(n).ok()) == Some(wanted))
    });
    let whole = rounds.len().checked_sub(1).and_then(|rounds| rounds.checked_mul(step)) == Some(trees.len());
    need(even && whole, || "iteration_indptr".to_owned())?;
    let mut bits = 0;
    for (index, tree) in trees.iter().enumerate() {
        xgboost_tree::check(tree, index, learner, &mut bits)?;
    }
    need(bits / 8 <= ROOM + 32 * length as u64, || "categories".to_owned())?;
    match model.get("cats") {
        Some(cats) => categories(cats, learner.features).map(|()| trees.len()),
        None => Ok(trees.len()),
    }
}

/// The names of categories of each feature: texts by offsets or whole numbers, and an order of them.
fn categories(cats: &Value<'_>, features: u64) -> Verdict {
    xgboost_config::keys(cats, &["enc", "feature_segments", "sorted_idx"])?;
    let columns = cats.get("enc").and_then(Value::list).ok_or("enc")?;
    let array = |key: &str| cats.get(key).and_then(|value| value.array(b'l')).ok_or_else(|| key.to_owned());
    let (segments, order) = (array("feature_segments")?, array("sorted_idx")?);
    if columns.is_empty() {
        return need(segments.len() == 0 && order.len() == 0, || "categories".to_owned());
    }
    let sound = columns.len() as u64 == features && segments.len() == columns.len() + 1 && segments.at(0) == 0;
    need(sound, || "feature_segments".to_owned())?;
    let mut begin = 0;
    for (at, column) in columns.iter().enumerate() {
        let count = column_length(column).ok_or_else(|| format!("categories of feature {at}"))?;
        let end = begin + count;
        need(usize::try_from(segments.at(at + 1)) == Ok(end) && end <= order.len(), || "feature_segments".to_owned())?;
        let mut seen = vec![false; count];
        for place in begin..end {
            let slot = usize::try_from(order.at(place)).ok().and_then(|place| seen.get_mut(place));
            need(slot.is_some_and(|seen| !std::mem::replace(seen, true)), || "sorted_idx".to_owned())?;
        }
        begin = end;
    }
    need(begin == order.len(), || "sorted_idx".to_owned())
}

fn column_length(column: &Value<'_>) -> Option<usize> {
    if let Some(offsets) = column.get("offsets") {
        xgboost_config::keys(column, &["offsets", "values"]).ok()?;
        let (offsets, values) = (offsets.array(b'l')?, column.get("values")?.array(b'i')?);
        if offsets.len() == 0 {
            return (values.len() == 0).then_some(0);
        }
        let text = std::str::from_utf8(values.bytes()).ok()?;
        let mut last = 0;
        for offset in offsets.iter() {
            let offset = usize::try_from(offset).ok()?;
            (offset >= last && text.is_char_boundary(offset)).then_some(())?;
            last = offset;
        }
        return (offsets.at(0) == 0 && last == text.len()).then(|| offsets.len() - 1);
    }
    xgboost_config::keys(column, &["type", "values"]).ok()?;
    // As xgboost numbers its typed arrays.
    let kind = match column.get("type")?.int()? {
        9 => b'i',
        10 => b'U',
        11 => b'I',
        13 => b'l',
        15 => b'L',
        _ => return None,
    };
    column.get("values")?.array(kind).map(|values| values.len())
}
