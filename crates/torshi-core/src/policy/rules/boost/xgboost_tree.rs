//! One tree of an xgboost model: arrays of one length, children in pairs behind each other, each reached once, features
//! of the model, categories that are listed.
use super::ubjson::{Items, Value};
use super::xgboost::Learner;
use super::{need, reach, xgboost_config, Verdict};

/// What a deleted node has for its feature.
const DELETED: i64 = 0x7fff_ffff;
/// What a root has for its parent: in a tree of numbers, and in one of vectors.
const NOBODY: [i64; 2] = [0x7fff_ffff, -1];
const LEAF: i64 = -1;
/// Nodes of a tree, and one more than the greatest category: xgboost's own limits are of this order.
const MOST: u64 = 1 << 24;
const KEYS: &[&str] = &[
    "base_weights",
    "categories",
    "categories_nodes",
    "categories_segments",
    "categories_sizes",
    "default_left",
    "id",
    "leaf_weights",
    "left_children",
    "loss_changes",
    "parents",
    "right_children",
    "split_conditions",
    "split_indices",
    "split_type",
    "sum_hessian",
    "tree_param",
];

/// Checks the tree at `index`; `bits` counts those of the sets that C++ will make of its categories.
pub(super) fn check(tree: &Value<'_>, index: usize, learner: &Learner, bits: &mut u64) -> Verdict {
    sound(tree, index, learner, bits).map_err(|what| format!("{what} of tree {index}"))
}

fn sound(tree: &Value<'_>, index: usize, learner: &Learner, bits: &mut u64) -> Verdict {
    xgboost_config::keys(tree, KEYS)?;
    // Trees are put where their number says.
    need(tree.get("id").and_then(Value::int) == i64::try_from(index).ok(), || "the number".to_owned())?;
    let param = tree.get("tree_param").ok_or("tree_param")?;
    xgboost_config::keys(param, &["num_deleted", "num_feature", "num_nodes", "size_leaf_vector"])?;
    let number = |key: &str| param.get(key).and_then(Value::text).and_then(|text| text.parse::<u64>().ok());
    let count = number("num_nodes").filter(|count| (1..=MOST).contains(count)).ok_or("num_nodes")? as usize;
    need(number("num_feature") == Some(learner.features), || "num_feature".to_owned())?;
    let width = number("size_leaf_vector").ok_or("size_leaf_vector")?;
    let vector = width > 1;
    let agrees = if learner.vector { width == learner.groups } else { !vector };
    need(agrees, || "size_leaf_vector".to_owned())?;

    let array = |key: &str, kind: u8| -> Verdict<Items<'_>> {
        let items = tree.get(key).and_then(|value| value.array(kind)).filter(|items| items.len() == count);
        items.ok_or_else(|| key.to_owned())
    };
    for key in ["loss_changes", "split_conditions", "sum_hessian"] {
        array(key, b'd')?;
    }
    let nodes = Nodes {
        left: array("left_children", b'l')?,
        right: array("right_children", b'l')?,
        parents: array("parents", b'l')?,
        features: array("split_indices", b'l')?,
        default: array("default_left", b'U')?,
        split: array("split_type", b'U')?,
    };
    let weights = tree.get("base_weights").and_then(|value| value.array(b'd')).map_or(0, Items::len);
    let most = if vector { width as usize } else { 1 };
    need(weights > 0 && weights % count == 0 && weights / count <= most, || "base_weights".to_owned())?;
    let deleted = number("num_deleted").ok_or("num_deleted")?;
    nodes.follow(count, deleted, learner.features, vector)?;
    let leaves = tree.get("leaf_weights").map(|value| value.array(b'd').map(Items::len));
    let wanted = vector.then(|| Some((0..count).filter(|node| nodes.left.at(*node) == LEAF).count() * width as usize));
    need(leaves == wanted, || "leaf_weights".to_owned())?;
    nodes.categories(tree, bits)
}

struct Nodes<'a> {
    left: Items<'a>,
    right: Items<'a>,
    parents: Items<'a>,
    features: Items<'a>,
    default: Items<'a>,
    split: Items<'a>,
}

impl Nodes<'_> {
    /// Every node is reached once from the root, or deleted and never.
    fn follow(&self, count: usize, deleted: u64, features: u64, vector: bool) -> Verdict {
        // Whoever goes right goes to the node behind the left one, without asking.
        let below = |node: usize| match self.left.at(node) {
            LEAF => None,
            left => usize::try_from(left).ok().map_or(Some((usize::MAX, usize::MAX)), |left| Some((left, left + 1))),
        };
        let reached = reach(count, below).ok_or("children")?;
        let (mut gone, mut leaves) = (0, 0);
        for (node, reached) in reached.iter().enumerate() {
            let (left, right, feature) = (self.left.at(node), self.right.at(node), self.features.at(node));
            let leaf = left == LEAF;
            let marked = feature == DELETED && self.default.at(node) == 1;
            let children = match (leaf, vector) {
                (false, _) => right == left + 1 && *reached,
                (true, false) => right == LEAF,
                // A leaf of a vector keeps the number of its weights here.
                (true, true) => right == leaves,
            };
            need(children && self.default.at(node) & !1 == 0, || format!("children of node {node}"))?;
            leaves += i64::from(leaf);
            need(*reached != marked, || format!("place of node {node}"))?;
            gone += u64::from(marked);
            let known = marked || u64::try_from(feature).is_ok_and(|feature| feature < features);
            need(known, || format!("feature of node {node}"))?;
            let parent = self.parents.at(node);
            let parental = match usize::try_from(parent) {
                _ if node == 0 => NOBODY.contains(&parent),
                Ok(parent) if parent < count => {
                    !*reached
                        || [self.left.at(parent), self.right.at(parent)].contains(&(node as i64))
                            && self.left.at(parent) != LEAF
                }
                _ => false,
            };
            need(parental, || format!("parent of node {node}"))?;
        }
        need(gone == deleted && (gone == 0 || !vector), || "num_deleted".to_owned())
    }

    /// Sets of categories: for each node that splits by them, its own run of the list, in rising order.
    fn categories(&self, tree: &Value<'_>, bits: &mut u64) -> Verdict {
        let array =
            |key: &str, kind: u8| tree.get(key).and_then(|value| value.array(kind)).ok_or_else(|| key.to_owned());
        let (listed, nodes) = (array("categories", b'l')?, array("categories_nodes", b'l')?);
        let (segments, sizes) = (array("categories_segments", b'L')?, array("categories_sizes", b'L')?);
        need(segments.len() == nodes.len() && sizes.len() == nodes.len(), || "categories_nodes".to_owned())?;
        let mut by_category = self.split.iter().enumerate().filter(|(_, kind)| *kind == 1).map(|(node, _)| node as i64);
        need(self.split.iter().all(|kind| kind & !1 == 0), || "split_type".to_owned())?;
        let mut begin = 0usize;
        for at in 0..nodes.len() {
            need(by_category.next() == Some(nodes.at(at)), || "categories_nodes".to_owned())?;
            let size = usize::try_from(sizes.at(at)).ok().filter(|size| *size > 0).ok_or("categories_sizes")?;
            let end = begin.checked_add(size).filter(|end| *end <= listed.len()).ok_or("categories_sizes")?;
            need(usize::try_from(segments.at(at)) == Ok(begin), || "categories_segments".to_owned())?;
            let mut last = -1;
            for place in begin..end {
                let category = listed.at(place);
                need(category > last && category < MOST as i64, || "categories".to_owned())?;
                last = category;
            }
            *bits += last as u64 + 1;
            begin = end;
        }
        need(by_category.next().is_none() && begin == listed.len(), || "categories".to_owned())
    }
}
