//! Trees of neighbours: points in a permutation, nodes that cover ranges of it, children where the tree's shape says.
use super::*;

const START: usize = 0;
const END: usize = 8;
const IS_LEAF: usize = 16;
const COLUMNS: &[(&str, usize, char, usize)] =
    &[("idx_start", START, 'i', 8), ("idx_end", END, 'i', 8), ("is_leaf", IS_LEAF, 'i', 8), ("radius", 24, 'f', 8)];
const SIZE: u64 = 32;

/// How many points a checked tree has, and over how many features.
pub(super) fn points<W: View>(w: &W, v: W::V) -> Option<(u64, u64)> {
    let Shape::Instance { state: Some(state), .. } = w.shape(v) else { return None };
    let Shape::Tuple([points, ..]) = w.shape(state) else { return None };
    match array(w, *points)?.shape[..] {
        [rows, features] => Some((rows, features)),
        _ => None,
    }
}

/// `(points, indices, nodes, bounds, leaf size, levels, nodes, four counters, distance, weights)`.
pub(in super::super) fn state<W: View>(w: &W, v: W::V, target: Option<W::V>) -> Outcome {
    let expected = "the state of a tree of neighbours";
    let Some(Shape::Instance { name, state: None, .. }) = target.map(|target| w.shape(target)) else {
        return refuse(w, v, "a tree without a state so far");
    };
    let [points, indices, nodes, bounds, numbers @ .., metric, weights] = tuple(w, v, expected)? else {
        return refuse(w, v, expected);
    };
    let [leaf_size, levels, node_count, counters @ ..] = numbers else { return refuse(w, v, expected) };
    let width = if name.ends_with("32") { 4 } else { 8 };
    let Some(points) = array(w, *points).filter(|points| points.is('f', width) && !points.fortran) else {
        return refuse(w, *points, "an array of points");
    };
    let [rows, features] = points.shape[..] else { return refuse(w, v, expected) };
    demand(rows > 0 && features > 0, w, v, "points")?;
    let ordered = array(w, *indices)
        .is_some_and(|indices| indices.is('i', 8) && indices.shape == [rows] && indices.within(w, 0, rows));
    demand(ordered, w, *indices, "an index within the points for each of them")?;
    let Some(records) = records(w, *nodes, COLUMNS, SIZE) else { return refuse(w, *nodes, "an array of nodes") };
    let number = |v| int(w, v).filter(|n| (0..=1 << 40).contains(n)).map(|n| n as u64);
    let counts = number(*node_count) == Some(records.count)
        && records.count > 0
        && number(*leaf_size).is_some_and(|size| size > 0)
        && number(*levels).is_some_and(|levels| levels < 64 && (1u64 << levels) == records.count + 1)
        && counters.len() == 4
        && counters.iter().all(|counter| number(*counter).is_some());
    demand(counts, w, v, "as many nodes as its levels have")?;
    demand(inside(w, &records, rows), w, *nodes, "nodes that cover ranges of the points, and leaves at the end")?;
    let bounded = array(w, *bounds).is_some_and(|bounds| {
        let sides = if name.starts_with("KDTree") { 2 } else { 1 };
        bounds.is('f', width) && !bounds.fortran && bounds.shape == [sides, records.count, features]
    });
    demand(bounded, w, *bounds, "a bound of every node for every feature")?;
    demand(metric::fits(w, *metric, features), w, *metric, "a distance between points of as many features")?;
    let weighed = matches!(w.shape(*weights), Shape::None)
        || array(w, *weights).is_some_and(|weights| weights.shape == [rows] && weights.is('f', width));
    demand(weighed, w, *weights, "a weight for every point")
}

/// Merges of clusters, as HDBSCAN keeps them: each of two that were there before.
pub(in super::super) fn linkage<W: View>(w: &W, v: W::V, _: Option<W::V>) -> Outcome {
    const MERGES: &[(&str, usize, char, usize)] =
        &[("left_node", 0, 'i', 8), ("right_node", 8, 'i', 8), ("value", 16, 'f', 8), ("cluster_size", 24, 'i', 8)];
    let expected = "merges of clusters that were there before";
    let Some(records) = records(w, v, MERGES, 32) else { return refuse(w, v, expected) };
    let Some(merges) = items(w, &records) else { return refuse(w, v, expected) };
    let rows = records.count as i64 + 1;
    let mut used = vec![false; 2 * rows as usize];
    let sound = merges.enumerate().all(|(at, merge)| {
        [number(merge, 0, 8, true), number(merge, 8, 8, true)]
            .iter()
            .all(|side| (0..rows + at as i64).contains(side) && !std::mem::replace(&mut used[*side as usize], true))
            && (0..=rows).contains(&number(merge, 24, 8, true))
    });
    demand(sound, w, v, expected)
}

/// Every range lies within the points, the root's is all of them, and whatever is no leaf has two children.
fn inside<W: View>(w: &W, records: &Array<'_, W::V>, rows: u64) -> bool {
    let Some(nodes) = items(w, records) else { return false };
    let count = records.count as usize;
    nodes.enumerate().all(|(at, node)| {
        let (start, end) = (number(node, START, 8, true), number(node, END, 8, true));
        let leaf = number(node, IS_LEAF, 8, true);
        let ranged = 0 <= start && start <= end && end <= rows as i64;
        ranged && matches!(leaf, 0 | 1) && (leaf == 1 || 2 * at + 2 < count) && (at > 0 || end == rows as i64)
    })
}
