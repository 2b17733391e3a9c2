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
    let depth_said = number(depth).filter(|depth| *depth <= records.count);
    let Some(deepest) = deepest(w, &records, features, depth_said.unwrap_or(0)) else {
        return refuse(w, nodes, "children behind their one parent, and features that exist");
    };
    // Paths are written into as much room as the depth says.
    demand(depth_said.is_some_and(|depth| depth >= deepest), w, depth, "the depth of the nodes")?;
    w.copied(v, nodes);
    w.copied(v, values);
    Ok(())
}

/// The depth of the deepest node, if every node has one parent before it and every feature is one.
fn deepest<W: View>(w: &W, records: &Array<'_, W::V>, features: i64, depth: u64) -> Option<u64> {
    let nodes = records.seen(w)?;
    let count = usize::try_from(records.count).ok()?;
    let features = u64::try_from(features).ok()?;
    deepest_in_preorder(nodes, features, depth).or_else(|| deepest_in_any_order(nodes, count, features))
}

/// A node: its left child, its right child, and whether its feature is one of so many.
#[inline(always)]
fn node(bytes: &[u8], features: u64) -> (i64, i64, bool) {
    let field = |from: usize| bytes[from..].first_chunk().map_or(0, |bytes| i64::from_le_bytes(*bytes));
    (field(LEFT), field(RIGHT), (field(FEATURE) as u64) < features)
}

/// As they are grown unless the number of leaves is bounded: a node's first child is the next node, and behind a leaf
/// comes the second child of the nearest node that lacks one. None of any others, and none deeper than is said. Whether
/// a node is a leaf is a coin's toss: no branch depends on it.
fn deepest_in_preorder(nodes: &[u8], features: u64, depth: u64) -> Option<u64> {
    // The second children to come, with their depths, below them what comes behind the last leaf.
    let room = usize::try_from(depth).ok()?.min(nodes.len() / SIZE as usize) + 2;
    let mut open = vec![(0i64, 0i64); room];
    open[0] = ((nodes.len() / SIZE as usize) as i64, 0);
    let (mut top, mut depth, mut deepest, mut sound) = (1usize, 0i64, 0i64, true);
    for (at, item) in nodes.chunks_exact(SIZE as usize).enumerate() {
        let (left, right, splits) = node(item, features);
        let is_leaf = (left == LEAF) & (right == LEAF);
        let last = open[top - 1];
        if top >= open.len() {
            return None;
        }
        open[top] = (right, depth + 1);
        deepest = deepest.max(depth);
        let (next, below) = if is_leaf { last } else { (left, depth + 1) };
        top = if is_leaf { top - 1 } else { top + 1 };
        depth = below;
        // A second child that is none of the nodes to come is met here as well: where it is taken from the open ones.
        sound &= (next == at as i64 + 1) & (is_leaf | splits);
        if top == 0 {
            // Behind the last leaf comes nothing.
            return (sound && at + 1 == nodes.len() / SIZE as usize).then_some(deepest as u64);
        }
    }
    None
}

fn deepest_in_any_order(nodes: &[u8], count: usize, features: u64) -> Option<u64> {
    // Nought: nobody's child so far. The root is at depth one here. At the end a place for what is no node.
    let mut depths = vec![0u32; count + 1];
    depths[0] = 1;
    let (mut deepest, mut sound) = (1, true);
    for (at, item) in nodes.chunks_exact(SIZE as usize).enumerate() {
        let (left, right, splits) = node(item, features);
        let place = |child: i64| (child as u64).min(count as u64) as usize;
        let (first, second) = (place(left), place(right));
        // A node nobody leads to leads nowhere either.
        let depth = depths[at];
        let below = depth.max(1) + 1;
        let free = (depths[first] | depths[second]) == 0 && first != second;
        let leads = (first > at) & (first < count) & (second > at) & (second < count) & free;
        sound &= ((left == LEAF) & (right == LEAF)) | (leads & splits);
        (depths[first], depths[second]) = (below, below);
        depths[count] = 0;
        deepest = deepest.max(depth);
    }
    sound.then_some(u64::from(deepest) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tree of 1 to about 60 nodes in preorder, with two features.
    fn grown(random: &mut impl FnMut(u64) -> u64) -> Vec<[i64; 3]> {
        fn grow(nodes: &mut Vec<[i64; 3]>, depth: u64, random: &mut impl FnMut(u64) -> u64) -> i64 {
            let at = nodes.len();
            nodes.push([LEAF, LEAF, -2]);
            if depth > 0 && random(4) > 0 {
                let left = grow(nodes, depth - 1, random);
                let right = grow(nodes, depth - 1, random);
                nodes[at] = [left, right, random(2) as i64];
            }
            at as i64
        }
        let mut nodes = Vec::new();
        grow(&mut nodes, 5, random);
        nodes
    }

    fn bytes(nodes: &[[i64; 3]]) -> Vec<u8> {
        let item = |node: &[i64; 3]| {
            let mut item = [0u8; SIZE as usize];
            for (at, field) in [LEFT, RIGHT, FEATURE].into_iter().zip(node) {
                item[at..at + 8].copy_from_slice(&field.to_le_bytes());
            }
            item
        };
        nodes.iter().flat_map(item).collect()
    }

    /// The quick walk must never let a tree through that the careful one refuses, nor find another depth.
    #[test]
    fn the_walk_in_preorder_says_what_the_walk_in_any_order_says() {
        let mut state = 1u64;
        let mut random = move |below: u64| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) % below
        };
        let mut refused = 0;
        for round in 0..20_000 {
            let mut nodes = grown(&mut random);
            let count = nodes.len() as i64;
            if round % 2 == 1 {
                let values = [LEAF, 0, 1, 2, count - 1, count, count + 1, i64::MAX, i64::MIN, random(60) as i64];
                let (at, field) = (random(count as u64) as usize, random(3) as usize);
                nodes[at][field] = values[random(10) as usize];
            }
            let data = bytes(&nodes);
            let careful = deepest_in_any_order(&data, nodes.len(), 2);
            let quick = deepest_in_preorder(&data, 2, 5);
            assert!(quick.is_none() || quick == careful, "{nodes:?}: {quick:?}, {careful:?}");
            assert!(round % 2 == 1 || quick.is_some(), "{nodes:?}");
            refused += usize::from(careful.is_none());
        }
        assert!(refused > 1000, "{refused}");
    }

    /// A tree deeper than it says must not be walked as if it were not.
    #[test]
    fn a_depth_that_is_too_small_is_no_way_in() {
        let nodes = [[1, 4, 0], [2, 3, 0], [LEAF, LEAF, -2], [LEAF, LEAF, -2], [LEAF, LEAF, -2]];
        assert_eq!(deepest_in_preorder(&bytes(&nodes), 1, 2), Some(2));
        assert_eq!(deepest_in_preorder(&bytes(&nodes), 1, 0), None);
        assert_eq!(deepest_in_any_order(&bytes(&nodes), 5, 1), Some(2));
    }
}
