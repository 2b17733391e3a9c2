//! Decision trees: nodes whose children lie behind them, each with one parent, and features that exist.
use super::*;

const LEFT: usize = 0;
const RIGHT: usize = 8;
const FEATURE: usize = 16;
const SIZE: u64 = 64;
/// `sklearn.tree._tree.Node` as scikit-learn 1.3 and later have it, on 64 bits.
const COLUMNS: &[(&str, usize, char, usize)] = &[
    ("left_child", LEFT, 'i', 8),
    ("right_child", RIGHT, 'i', 8),
    ("feature", FEATURE, 'i', 8),
    ("threshold", 24, 'f', 8),
    ("impurity", 32, 'f', 8),
    ("n_node_samples", 40, 'i', 8),
    ("weighted_n_node_samples", 48, 'f', 8),
    ("missing_go_to_left", 56, 'u', 1),
];
/// What a leaf has for its left child.
const LEAF: i64 = -1;
/// Features, and classes of an output.
const MOST: i64 = 1 << 31;

/// Over how many features a tree with a checked state was grown.
pub(super) fn features<W: View>(w: &W, v: W::V) -> Option<u64> {
    let Shape::Instance { name: "Tree", args: Some(args), state: Some(_), .. } = w.shape(v) else { return None };
    let Shape::Tuple([features, ..]) = w.shape(args) else { return None };
    u64::try_from(int(w, *features)?).ok()
}

/// `(features, classes of each output, outputs)`.
pub(in super::super) fn tree<W: View>(w: &W, v: W::V, _: Option<W::V>) -> Outcome {
    let expected = "(features, classes of each output, outputs)";
    let [features, classes, outputs] = tuple(w, v, expected)? else { return refuse(w, v, expected) };
    let sized = |v| int(w, v).is_some_and(|n| (1..=MOST).contains(&n));
    let classes = array(w, *classes);
    let sound = classes.is_some_and(|classes| {
        classes.is('i', 8)
            && classes.shape.len() == 1
            && int(w, *outputs).and_then(|n| u64::try_from(n).ok()) == Some(classes.count)
            && classes.within(w, 1, MOST as u64)
    });
    demand(sized(*features) && sized(*outputs) && sound, w, v, expected)
}

/// `{'max_depth': depth, 'node_count': n, 'nodes': n nodes, 'values': (n, outputs, classes)}`.
pub(in super::super) fn state<W: View>(w: &W, v: W::V, target: Option<W::V>) -> Outcome {
    let Some(Shape::Instance { args: Some(args), state: None, .. }) = target.map(|target| w.shape(target)) else {
        return refuse(w, v, "a tree without a state so far");
    };
    let [features, classes, outputs] = tuple(w, args, "a tree")? else { return refuse(w, args, "a tree") };
    let (Some(features), Some(outputs)) = (int(w, *features), int(w, *outputs)) else {
        return refuse(w, args, "a tree");
    };
    let most = array(w, *classes).and_then(|classes| classes.integers(w).and_then(Iterator::max));
    demand(w.whole(v) && w.count(v) == Some(4), w, v, "max_depth, node_count, nodes and values")?;
    let entry = |key: &str| w.entry(v, key);
    let (Some(depth), Some(count), Some(nodes), Some(values)) =
        (entry("max_depth"), entry("node_count"), entry("nodes"), entry("values"))
    else {
        return refuse(w, v, "max_depth, node_count, nodes and values");
    };
    let Some(records) = records(w, nodes, COLUMNS, SIZE) else {
        return refuse(w, nodes, "an array of nodes of a tree");
    };
    let number = |v| int(w, v).and_then(|n| u64::try_from(n).ok());
    demand(number(count) == Some(records.count) && records.count > 0, w, count, "as many nodes as there are")?;
    let shaped = array(w, values).is_some_and(|values| {
        let wanted = most.and_then(|most| u64::try_from(most).ok());
        values.is('f', 8)
            && !values.fortran
            && wanted.is_some_and(|most| values.shape == [records.count, outputs as u64, most])
    });
    demand(shaped, w, values, "a value of each node for each output and class")?;
    let Some(deepest) = deepest(w, &records, features) else {
        return refuse(w, nodes, "children behind their one parent, and features that exist");
    };
    // Paths are written into as much room as the depth says.
    demand(
        number(depth).is_some_and(|depth| depth >= deepest && depth <= records.count),
        w,
        depth,
        "the depth of the nodes",
    )
}

/// The depth of the deepest node, if every node has one parent before it and every feature is one. Whether a node is a
/// leaf is a coin's toss: no branch depends on it.
fn deepest<W: View>(w: &W, records: &Array<'_, W::V>, features: i64) -> Option<u64> {
    let nodes = items(w, records)?;
    let count = usize::try_from(records.count).ok()?;
    // Nought: nobody's child so far. The root is at depth one here. At the end a place for what is no node.
    let mut depths = vec![0u32; count + 1];
    depths[0] = 1;
    let (mut deepest, mut sound) = (1, true);
    for (at, node) in nodes.enumerate() {
        let field = |from: usize| node[from..].first_chunk().map_or(0, |bytes| i64::from_le_bytes(*bytes));
        let (left, right, feature) = (field(LEFT), field(RIGHT), field(FEATURE));
        let place = |child: i64| usize::try_from(child).unwrap_or(count).min(count);
        let (first, second) = (place(left), place(right));
        // A node nobody leads to leads nowhere either.
        let depth = depths[at];
        let below = depth.max(1) + 1;
        let free = (depths[first] | depths[second]) == 0 && first != second;
        let leads = (first > at) & (first < count) & (second > at) & (second < count) & free;
        let leaf = left == LEAF;
        sound &= (leaf & (right == LEAF)) | (!leaf & leads & (feature >= 0) & (feature < features));
        (depths[first], depths[second]) = (below, below);
        depths[count] = 0;
        deepest = deepest.max(depth);
    }
    sound.then_some(u64::from(deepest) - 1)
}
