//! Rules for scikit-learn: what may stand in the attributes of an estimator, and the structures its Cython walks without
//! looking where it steps.
//!
//! An attribute hides a method of the same name, so what can be called may stand only under names that are called as
//! the class means it. Trees, neighbours' trees and support vectors are followed once here, so that following them
//! later ends inside them.
use super::numpy::contents::{array, Array};
use super::numpy::dtype::checked;
use super::{content, demand, int, refuse, tuple, Outcome};
use crate::policy::pattern::{Shape, View};

pub(super) mod boosting;
pub(super) mod metric;
pub(super) mod neighbors;
pub(super) mod svm;
pub(super) mod tree;

/// Attributes under which a function or a class may stand, and the modules it may be of.
const CALLABLE: &[(&str, &[&str])] = &[
    ("dtype", &["numpy", "builtins"]),
    ("cv", &["sklearn.model_selection._split"]),
    ("score_func", &["sklearn.feature_selection._univariate_selection", "sklearn.feature_selection._mutual_info"]),
    ("_score_func", &["sklearn.metrics"]),
    ("pooling_func", &["numpy"]),
    ("func", &["numpy"]),
    ("inverse_func", &["numpy"]),
    ("_kmeans_single", &["sklearn.cluster._kmeans"]),
];

/// Instances that can be called, by module, and the attributes they may stand under.
const CALLED: &[(&str, &[&str])] = &[
    ("sklearn.gaussian_process.kernels", &["kernel", "kernel_", "k1", "k2", "base_kernel"]),
    ("sklearn.metrics._scorer", &["scorer_", "_scorer", "_curve_scorer", "scoring", "owner"]),
    ("scipy.interpolate", &["f_"]),
    ("numpy.polynomial", &[]),
    ("functools", &[]),
];

/// The attributes of an estimator or of what it holds.
pub(super) fn state<W: View>(w: &W, v: W::V, _: Option<W::V>) -> Outcome {
    let plain = matches!(w.shape(v), Shape::Dict { attrs: true }) && w.whole(v);
    demand(plain, w, v, "attributes that are all known")?;
    for (key, value) in w.pairs(v) {
        let Shape::Text(key) = w.shape(key) else { return refuse(w, key, "an attribute") };
        let sound = match w.shape(value) {
            Shape::Global { module, row: Some(row), .. } => row.trusted || listed(CALLABLE, key, module),
            Shape::Global { .. } | Shape::Opaque => false,
            Shape::Instance { module, row, .. } if !row.is_some_and(|row| row.trusted) => {
                let home = CALLED.iter().find(|(home, _)| below(module, home));
                home.is_none_or(|(_, names)| names.contains(&key))
            }
            // Folders that are read back by stock pickle, and file names that a text given to a model would open.
            Shape::Text(_) if key == "memory" => false,
            Shape::Text(text) if key == "input" => text == "content",
            _ => true,
        };
        demand(sound, w, value, format_args!("an attribute {key} that is data"))?;
    }
    Ok(())
}

fn listed(table: &[(&str, &[&str])], key: &str, module: &str) -> bool {
    let known = table.iter().find(|(name, _)| *name == key);
    known.is_some_and(|(_, homes)| homes.iter().any(|home| below(module, home)))
}

fn below(module: &str, home: &str) -> bool {
    module.strip_prefix(home).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// How many points a checked tree of neighbours has, over how many features.
pub(crate) fn points<W: View>(w: &W, v: W::V) -> Option<(u64, u64)> {
    match w.shape(v) {
        Shape::Instance { module: "sklearn.neighbors._kd_tree" | "sklearn.neighbors._ball_tree", .. } => {
            neighbors::points(w, v)
        }
        _ => None,
    }
}

/// Is it a dict of numbers from nought up to its own length? They become columns of a matrix of that width.
pub(crate) fn indices<W: View>(w: &W, v: W::V) -> bool {
    let Some(count) = w.count(v).and_then(|count| i64::try_from(count).ok()) else { return false };
    matches!(w.shape(v), Shape::Dict { .. })
        && w.whole(v)
        && w.pairs(v).into_iter().all(|(_, value)| index(w, value).is_some_and(|n| (0..count).contains(&n)))
}

/// An integer, or numpy's scalar of one.
pub(super) fn index<W: View>(w: &W, v: W::V) -> Option<i64> {
    let Shape::Instance { module: "numpy", name: "generic", args: Some(args), .. } = w.shape(v) else {
        return int(w, v);
    };
    let Shape::Tuple([dtype, data]) = w.shape(args) else { return None };
    let dtype = checked(w, *dtype).filter(|dtype| matches!(dtype.kind, 'i' | 'u') && dtype.size <= 8)?;
    let data = content::bytes(w, *data).filter(|data| data.len() as u64 == dtype.size)?;
    // The low byte stands first in all that numpy writes on the machines there are; the other way is refused as large.
    Some(number(&data, 0, data.len(), dtype.kind == 'i'))
}

/// Categories, and as many columns for each as the encoder will number.
pub(super) fn encoder<W: View>(w: &W, v: W::V, target: Option<W::V>) -> Outcome {
    state(w, v, target)?;
    let first = matches!(target.map(|target| w.shape(target)), Some(Shape::Instance { state: None, .. }));
    demand(first, w, v, "an encoder without a state so far")?;
    let Some(outputs) = w.entry(v, "_n_features_outs") else {
        return demand(w.entry(v, "categories_").is_none(), w, v, "columns of each feature");
    };
    demand(columns(w, v, outputs).is_some(), w, v, "as many columns as there are categories to number")
}

fn columns<W: View>(w: &W, v: W::V, outputs: W::V) -> Option<()> {
    let entry = |key: &str| w.entry(v, key);
    let (outputs, categories) = (w.elements(outputs)?, w.elements(entry("categories_")?)?);
    let dropped = match entry("_drop_idx_after_grouping").or_else(|| entry("drop_idx_")) {
        Some(dropped) if !matches!(w.shape(dropped), Shape::None) => Some(array(w, dropped)?.objects(w)?),
        _ => None,
    };
    let grouped = match entry("_infrequent_enabled").map(|flag| w.shape(flag)) {
        None | Some(Shape::Bool(false)) => None,
        _ => Some(w.elements(entry("_default_to_infrequent_mappings")?)?),
    };
    let every = |list: &Option<Vec<W::V>>| list.as_ref().is_none_or(|list| list.len() == categories.len());
    if outputs.len() != categories.len() || !every(&dropped) || !every(&grouped) {
        return None;
    }
    for (at, (count, known)) in outputs.iter().zip(&categories).enumerate() {
        let (count, known) = (index(w, *count)?, array(w, *known).filter(|known| known.shape.len() == 1)?.count);
        let gone = match &dropped {
            Some(dropped) if !matches!(w.shape(dropped[at]), Shape::None) => Some(index(w, dropped[at])?),
            _ => None,
        };
        // Groups of rare categories stand for theirs; one dropped takes its number with it.
        let width = u64::try_from(count).ok()? + u64::from(gone.is_some());
        match grouped.as_ref().map(|grouped| grouped[at]).filter(|map| !matches!(w.shape(*map), Shape::None)) {
            Some(map) => {
                let map = array(w, map).filter(|map| map.shape == [known])?;
                map.within(w, 0, width).then_some(())?;
            }
            None => (width == known).then_some(())?,
        }
        if gone.is_some_and(|gone| !(0..width as i64).contains(&gone)) {
            return None;
        }
    }
    Some(())
}

/// Over how many features a fitted structure works: a tree, a tree of neighbours, an estimator of a tree, or a list or
/// an array of such.
pub(crate) fn features<W: View>(w: &W, v: W::V) -> Option<u64> {
    features_of(w, v, 3)
}

fn features_of<W: View>(w: &W, v: W::V, depth: u32) -> Option<u64> {
    if depth == 0 || !w.spend(16) {
        return None;
    }
    let all = |parts: Vec<W::V>| {
        let mut counts = parts.into_iter().map(|part| features_of(w, part, depth - 1));
        let first = counts.next()??;
        counts.all(|count| count == Some(first)).then_some(first)
    };
    match w.shape(v) {
        Shape::List => all(w.elements(v)?),
        Shape::Instance { module: "numpy", name: "ndarray", .. } => all(array(w, v)?.objects(w)?),
        Shape::Instance { module: "sklearn.tree._tree", name: "Tree", .. } => tree::features(w, v),
        Shape::Instance { module: "sklearn.neighbors._kd_tree" | "sklearn.neighbors._ball_tree", .. } => {
            neighbors::points(w, v).map(|(_, features)| features)
        }
        Shape::Instance { module: "sklearn.tree._classes" | "sklearn.tree.tree", state: Some(state), .. } => {
            tree::features(w, w.entry(state, "tree_")?)
        }
        _ => None,
    }
}

/// A structured array with exactly these columns in this order, at these offsets: compiled code reads it as a struct.
pub(super) fn records<'w, W: View>(
    w: &'w W, v: W::V, columns: &'static [(&str, usize, char, usize)], size: u64,
) -> Option<Array<'w, W::V>> {
    let array =
        array(w, v).filter(|array| array.dtype.structured && array.dtype.size == size && array.shape.len() == 1)?;
    let Shape::Instance { state: Some(state), .. } = w.shape(array.dtype_value) else { return None };
    let Shape::Tuple([_, _, _, names, ..]) = w.shape(state) else { return None };
    let Shape::Tuple(names) = w.shape(*names) else { return None };
    let see = || {
        names.len() == columns.len()
            && names.iter().zip(columns).all(|(name, (wanted, offset, kind, size))| {
                matches!(w.shape(*name), Shape::Text(name) if name == *wanted)
                    && array.column(w, wanted).is_some_and(|column| column.is(*offset, *kind, *size))
            })
    };
    // The arrays of a forest share one dtype, whose state nothing can change any more.
    let same = w.holds(state, columns.as_ptr() as usize, see);
    (same && w.spend(array.count)).then_some(array)
}

/// The bytes of an array's items.
pub(super) fn items<'a, W: View>(w: &W, array: &'a Array<'_, W::V>) -> Option<std::slice::ChunksExact<'a, u8>> {
    array.seen(w).map(|bytes| bytes.chunks_exact(array.dtype.size as usize))
}

/// An integer in an item of a struct that has been compared with its layout.
pub(super) fn number(item: &[u8], offset: usize, size: usize, signed: bool) -> i64 {
    let mut wide = [0u8; 8];
    wide[..size].copy_from_slice(&item[offset..offset + size]);
    let value = u64::from_le_bytes(wide);
    let shift = 64 - 8 * size as u32;
    match signed {
        true => ((value << shift) as i64) >> shift,
        false => i64::try_from(value).unwrap_or(i64::MAX),
    }
}
