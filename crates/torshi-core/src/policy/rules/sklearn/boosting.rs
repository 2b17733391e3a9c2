//! Histogram boosting: packed nodes, sets of categories as bits, and the bins that go with them.
use super::*;

const FEATURE: usize = 12;
const LEFT: usize = 29;
const RIGHT: usize = 33;
const IS_LEAF: usize = 49;
const IS_CATEGORICAL: usize = 51;
const BITSET: usize = 52;
const SIZE: u64 = 56;
/// `PREDICTOR_RECORD_DTYPE` of scikit-learn on 64 bits, without padding.
const COLUMNS: &[(&str, usize, char, usize)] = &[
    ("value", 0, 'f', 8),
    ("count", 8, 'u', 4),
    ("feature_idx", FEATURE, 'i', 8),
    ("num_threshold", 20, 'f', 8),
    ("missing_go_to_left", 28, 'u', 1),
    ("left", LEFT, 'u', 4),
    ("right", RIGHT, 'u', 4),
    ("gain", 37, 'f', 8),
    ("depth", 45, 'u', 4),
    ("is_leaf", IS_LEAF, 'u', 1),
    ("bin_threshold", 50, 'u', 1),
    ("is_categorical", IS_CATEGORICAL, 'u', 1),
    ("bitset_idx", BITSET, 'u', 4),
];

/// What the nodes of a predictor ask of whoever uses it.
struct Reach {
    /// One more than the greatest feature.
    features: u64,
    /// Features that are split by category.
    categorical: Vec<u64>,
}

/// `{'nodes': nodes, 'binned_left_cat_bitsets': (m, 8), 'raw_left_cat_bitsets': (m, 8)}`.
pub(in super::super) fn predictor<W: View>(w: &W, v: W::V, target: Option<W::V>) -> Outcome {
    let first = matches!(target.map(|target| w.shape(target)), Some(Shape::Instance { state: None, .. }));
    demand(first, w, v, "a predictor without a state so far")?;
    demand(w.whole(v) && w.count(v) == Some(3), w, v, "nodes and two arrays of bits")?;
    demand(reach(w, v).is_some(), w, v, "nodes whose children lie behind them, and as many sets of bits as they use")
}

fn reach<W: View>(w: &W, state: W::V) -> Option<Reach> {
    let records = records(w, w.entry(state, "nodes")?, COLUMNS, SIZE).filter(|records| records.count > 0)?;
    let bits = |key: &str| match array(w, w.entry(state, key)?)? {
        sets if sets.is('u', 4) && !sets.fortran && sets.shape.len() == 2 && sets.shape[1] == 8 => Some(sets.shape[0]),
        _ => None,
    };
    let sets = bits("raw_left_cat_bitsets")?.min(bits("binned_left_cat_bitsets")?);
    let mut reach = Reach { features: 0, categorical: Vec::new() };
    for (at, node) in items(w, &records)?.enumerate() {
        match node[IS_LEAF] {
            1 => continue,
            0 => {}
            _ => return None,
        }
        for child in [number(node, LEFT, 4, false), number(node, RIGHT, 4, false)] {
            if child <= at as i64 || child >= records.count as i64 {
                return None;
            }
        }
        let feature = u64::try_from(number(node, FEATURE, 8, true)).ok().filter(|feature| *feature < 1 << 31)?;
        reach.features = reach.features.max(feature + 1);
        if node[IS_CATEGORICAL] != 0 {
            if number(node, BITSET, 4, false) as u64 >= sets {
                return None;
            }
            reach.categorical.push(feature);
        }
    }
    Some(reach)
}

/// The attributes of a histogram booster: predictors over its features, bins for each, categories where they say.
pub(in super::super) fn booster<W: View>(w: &W, v: W::V, target: Option<W::V>) -> Outcome {
    super::state(w, v, target)?;
    let first = matches!(target.map(|target| w.shape(target)), Some(Shape::Instance { state: None, .. }));
    demand(first, w, v, "an estimator without a state so far")?;
    let entry = |key: &str| w.entry(v, key);
    if entry("_predictors").is_none() && entry("_bin_mapper").is_none() {
        return Ok(());
    }
    let (Some(predictors), Some(mapper), Some(features)) =
        (entry("_predictors"), entry("_bin_mapper"), entry("n_features_in_").and_then(|n| int(w, n)))
    else {
        return refuse(w, v, "predictors, bins and n_features_in_");
    };
    let Ok(features) = u64::try_from(features) else { return refuse(w, v, "n_features_in_") };
    let categorical = match mapper_features(w, mapper) {
        Some((count, categorical)) if count == features => categorical,
        _ => return refuse(w, mapper, "bins of every feature"),
    };
    if let Some(before) = entry("_preprocessor") {
        // What it makes of the data is as wide as it likes, and nobody compares.
        demand(matches!(w.shape(before), Shape::None), w, before, "no step before the bins")?;
    }
    let Some(rounds) = w.elements(predictors) else { return refuse(w, predictors, "a list of lists of predictors") };
    for round in rounds {
        let Some(round) = w.elements(round) else { return refuse(w, round, "a list of predictors") };
        for predictor in round {
            let Shape::Instance { name: "TreePredictor", state: Some(state), .. } = w.shape(predictor) else {
                return refuse(w, predictor, "a predictor with a state");
            };
            let sound = reach(w, state).is_some_and(|reach| {
                reach.features <= features
                    && reach.categorical.iter().all(|feature| categorical.get(*feature as usize) == Some(&true))
            });
            demand(sound, w, predictor, "a predictor over the features of the estimator")?;
        }
    }
    Ok(())
}

/// How many features a mapper bins, and which of them are categories.
fn mapper_features<W: View>(w: &W, v: W::V) -> Option<(u64, Vec<bool>)> {
    let Shape::Instance { name: "_BinMapper", state: Some(state), .. } = w.shape(v) else { return None };
    let flags = array(w, w.entry(state, "is_categorical_")?)?;
    let each: Vec<bool> = flags.integers(w)?.map(|flag| flag != 0).collect();
    Some((flags.count, each))
}

/// The attributes of a mapper: thresholds, flags and counts of every feature.
pub(in super::super) fn mapper<W: View>(w: &W, v: W::V, target: Option<W::V>) -> Outcome {
    super::state(w, v, target)?;
    let first = matches!(target.map(|target| w.shape(target)), Some(Shape::Instance { state: None, .. }));
    demand(first, w, v, "a mapper without a state so far")?;
    let entry = |key: &str| w.entry(v, key);
    let (Some(thresholds), Some(flags), Some(counts), Some(missing)) = (
        entry("bin_thresholds_").and_then(|list| w.elements(list)),
        entry("is_categorical_").and_then(|flags| array(w, flags)),
        entry("n_bins_non_missing_").and_then(|counts| array(w, counts)),
        entry("missing_values_bin_idx_").and_then(|bin| int(w, bin)),
    ) else {
        return refuse(w, v, "thresholds, flags and counts of every feature");
    };
    let count = thresholds.len() as u64;
    let plain = thresholds
        .iter()
        .all(|each| array(w, *each).is_some_and(|each| each.is('f', 8) && each.shape.len() == 1 && each.count <= 255));
    let shaped = flags.is('u', 1) && flags.shape == [count] && counts.shape == [count] && (0..=255).contains(&missing);
    demand(plain && shaped, w, v, "thresholds, flags and counts of every feature")
}
