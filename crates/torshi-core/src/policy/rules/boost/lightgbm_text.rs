//! The text of a lightgbm model, line by line as `GBDT::SaveModelToString` of lightgbm 3 and 4 writes it.
//!
//! C++ takes lines in any order, and believes every number in them: how many leaves, which node is below which, at
//! which byte a tree begins. Here each line has its place, each list its length, and each node one above it.
use super::{is_real, lightgbm_parameters as parameters, need, reach, real, Verdict, MOST_FEATURES, MOST_GROUPS};

/// Objectives by what stands behind their names: nothing, a square root, a slope, classes.
const PLAIN: &[&str] = &[
    "cross_entropy",
    "cross_entropy_lambda",
    "custom",
    "fair",
    "gamma",
    "huber",
    "lambdarank",
    "mape",
    "poisson",
    "quantile",
    "rank_xendcg",
    "regression",
    "regression_l1",
    "regression sqrt",
    "tweedie",
];
/// What a node says of itself: it splits by category, or sends what is missing to the left; what is missing.
const BY_CATEGORY: i64 = 1;

/// Is this a model as lightgbm writes one?
pub(super) fn sound(text: &str) -> Verdict {
    need(!text.contains(['\0', '\r']), || "lines".to_owned())?;
    let mut lines = Lines { rest: text };
    lines.expect("tree")?;
    need(matches!(lines.value("version")?, "v3" | "v4"), || "version".to_owned())?;
    let groups = lines.whole("num_class", 1, MOST_GROUPS as i64)?;
    // Predictions are written for as many trees as a round has, into room for as many as there are classes.
    need(lines.whole("num_tree_per_iteration", 1, MOST_GROUPS as i64)? == groups, || {
        "num_tree_per_iteration".to_owned()
    })?;
    lines.whole("label_index", 0, i32::MAX.into())?;
    let features = lines.whole("max_feature_idx", 0, MOST_FEATURES as i64 - 1)? + 1;
    if let Some(text) = lines.optional("objective") {
        need(objective(text, groups), || format!("objective {text:.40?}"))?;
    }
    if lines.rest.starts_with("average_output\n") {
        lines.line()?;
    }
    let each =
        |text: &str, known: fn(&str) -> bool| text.split(' ').filter(|word| known(word)).count() as i64 == features;
    let as_many = |text: &str| text.split(' ').count() as i64 == features;
    let names = lines.value("feature_names")?;
    need(as_many(names) && each(names, |name| !name.is_empty()), || "feature_names".to_owned())?;
    if let Some(signs) = lines.optional("monotone_constraints") {
        need(as_many(signs) && each(signs, |sign| matches!(sign, "0" | "1" | "-1")), || {
            "monotone_constraints".to_owned()
        })?;
    }
    let infos = lines.value("feature_infos")?;
    need(as_many(infos) && each(infos, info), || "feature_infos".to_owned())?;
    let sizes = lines.value("tree_sizes")?;
    lines.expect("")?;
    let mut trees = 0;
    for size in words(sizes) {
        let size = size.parse().map_err(|_| "tree_sizes")?;
        tree(lines.take(size).ok_or("tree_sizes")?, trees, features)
            .map_err(|what| format!("{what} of tree {trees}"))?;
        trees += 1;
    }
    need(trees % groups == 0, || "num_tree_per_iteration".to_owned())?;
    tail(&mut lines)
}

/// A line of words with one blank between two of them; none in an empty one.
fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(' ').take(if line.is_empty() { 0 } else { usize::MAX })
}

/// How many numbers a line is of.
fn reals(line: &str) -> Option<usize> {
    words(line).try_fold(0, |count, word| is_real(word).then_some(count + 1))
}

struct Lines<'a> {
    rest: &'a str,
}

impl<'a> Lines<'a> {
    fn line(&mut self) -> Verdict<&'a str> {
        let (line, rest) = self.rest.split_once('\n').ok_or("lines")?;
        self.rest = rest;
        Ok(line)
    }

    fn take(&mut self, count: usize) -> Option<&'a str> {
        let taken = self.rest.get(..count)?;
        self.rest = &self.rest[count..];
        Some(taken)
    }

    fn expect(&mut self, wanted: &str) -> Verdict {
        let line = self.line()?;
        need(line == wanted, || format!("a line {wanted:?}"))
    }

    fn value(&mut self, key: &str) -> Verdict<&'a str> {
        self.optional(key).ok_or_else(|| key.to_owned())
    }

    fn optional(&mut self, key: &str) -> Option<&'a str> {
        let (line, rest) = self.rest.split_once('\n')?;
        let value = line.strip_prefix(key)?.strip_prefix('=')?;
        self.rest = rest;
        Some(value)
    }

    fn whole(&mut self, key: &str, low: i64, high: i64) -> Verdict<i64> {
        let number = self.value(key)?.parse().ok().filter(|number| (low..=high).contains(number));
        number.ok_or_else(|| key.to_owned())
    }

    /// A line of so many whole numbers.
    fn wholes(&mut self, key: &str, count: usize, low: i64, high: i64) -> Verdict<Vec<i64>> {
        let line = self.value(key)?;
        let numbers: Option<Vec<i64>> =
            words(line).map(|word| word.parse().ok().filter(|number| (low..=high).contains(number))).collect();
        numbers.filter(|numbers| numbers.len() == count).ok_or_else(|| key.to_owned())
    }

    /// A line of so many numbers.
    fn reals(&mut self, key: &str, count: usize) -> Verdict {
        let line = self.value(key)?;
        need(reals(line) == Some(count), || key.to_owned())
    }
}

fn objective(text: &str, groups: i64) -> bool {
    let slope = |text: &str| real(text).is_some_and(|slope| slope > 0.0 && slope.is_finite());
    let classes = |text: &str| groups > 1 && text.parse() == Ok(groups);
    let (name, rest) = text.split_once(' ').unwrap_or((text, ""));
    match (name, rest.split_once(' ')) {
        ("binary", None) => groups == 1 && rest.strip_prefix("sigmoid:").is_some_and(slope),
        ("multiclass", None) => rest.strip_prefix("num_class:").is_some_and(classes),
        ("multiclassova", Some((count, sigmoid))) => {
            count.strip_prefix("num_class:").is_some_and(classes) && sigmoid.strip_prefix("sigmoid:").is_some_and(slope)
        }
        _ => PLAIN.contains(&text) && (groups == 1 || text == "custom"),
    }
}

/// What is known of a feature: nothing, a range, or categories.
fn info(word: &str) -> bool {
    let inner = word.strip_prefix('[').and_then(|word| word.strip_suffix(']'));
    match inner {
        Some(range) => range.split_once(':').is_some_and(|(low, high)| is_real(low) && is_real(high)),
        None => word == "none" || word.split(':').all(|category| category.parse::<i32>().is_ok()),
    }
}

fn tree(text: &str, index: i64, features: i64) -> Verdict {
    let mut lines = Lines { rest: text };
    need(lines.whole("Tree", index, index).is_ok(), || "number".to_owned())?;
    // Each leaf takes some bytes, so that no more of them are counted than there are.
    let leaves = lines.whole("num_leaves", 1, text.len() as i64)? as usize;
    let sets = lines.whole("num_cat", 0, text.len() as i64)? as usize;
    let splits = leaves - 1;
    lines.wholes("split_feature", splits, 0, features - 1)?;
    lines.reals("split_gain", splits)?;
    let thresholds = lines.value("threshold")?;
    let by_category = decisions(&mut lines, splits)?;
    need(reals(thresholds) == Some(splits), || "threshold".to_owned())?;
    // Where a node splits by category its threshold is the number of a set.
    let mut numbers = words(thresholds).zip(&by_category).filter(|(_, by_category)| **by_category);
    let numbered = numbers.all(|(number, _)| number.parse().is_ok_and(|number: usize| number < sets));
    need(numbered, || "threshold".to_owned())?;
    children(&mut lines, leaves)?;
    lines.reals("leaf_value", leaves)?;
    // A tree of one leaf has no weight.
    let weights = if leaves == 1 && lines.rest.starts_with("leaf_weight=\n") { 0 } else { leaves };
    lines.reals("leaf_weight", weights)?;
    let counts = if leaves == 1 && lines.rest.starts_with("leaf_count=\n") { 0 } else { leaves };
    lines.wholes("leaf_count", counts, 0, i32::MAX.into())?;
    lines.reals("internal_value", splits)?;
    lines.reals("internal_weight", splits)?;
    lines.wholes("internal_count", splits, 0, i32::MAX.into())?;
    if sets > 0 {
        let bounds = lines.wholes("cat_boundaries", sets + 1, 0, i32::MAX.into())?;
        let rising = bounds[0] == 0 && bounds.windows(2).all(|pair| pair[0] <= pair[1]);
        need(rising, || "cat_boundaries".to_owned())?;
        lines.wholes("cat_threshold", bounds[sets] as usize, 0, u32::MAX.into())?;
    }
    // Not written before lightgbm 3.2.
    if lines.optional("is_linear").is_some_and(|flag| flag != "0") {
        need(text.contains("\nis_linear=1\n"), || "is_linear".to_owned())?;
        linear(&mut lines, leaves, features)?;
    }
    lines.reals("shrinkage", 1)?;
    lines.expect("")?;
    lines.expect("")?;
    need(lines.rest.is_empty(), || "end".to_owned())
}

/// Which nodes split by category.
fn decisions(lines: &mut Lines<'_>, splits: usize) -> Verdict<Vec<bool>> {
    let kinds = lines.wholes("decision_type", splits, 0, 11)?;
    Ok(kinds.into_iter().map(|kind| kind & BY_CATEGORY != 0).collect())
}

/// Every node and every leaf is below one node; a leaf stands as the complement of its number.
fn children(lines: &mut Lines<'_>, leaves: usize) -> Verdict {
    let splits = leaves - 1;
    let (low, high) = (-(leaves as i64), splits as i64 - 1);
    let left = lines.wholes("left_child", splits, low, high)?;
    let right = lines.wholes("right_child", splits, low, high)?;
    let place = |child: i64| if child < 0 { splits + !child as usize } else { child as usize };
    let below = |node: usize| Some((place(*left.get(node)?), place(*right.get(node)?)));
    if splits == 0 {
        return Ok(());
    }
    let reached = reach(splits + leaves, below).is_some_and(|seen| seen.into_iter().all(|seen| seen));
    need(reached, || "left_child and right_child".to_owned())
}

/// Does a number fit a float as it is? One that is too large or too small for that is an exception where these are
/// parsed, and lightgbm ends the process over an exception in a tree.
fn fits(word: &str) -> bool {
    let zero =
        || word.split(['e', 'E']).next().is_some_and(|digits| !digits.contains(|c: char| matches!(c, '1'..='9')));
    match word.parse::<f64>() {
        Ok(0.0) => zero(),
        Ok(value) if value.is_infinite() => word.ends_with(['f', 'F']),
        Ok(value) => value.is_normal() || value.is_nan(),
        Err(_) => false,
    }
}

/// A line of each leaf: a constant, and a coefficient of each of its features.
fn linear(lines: &mut Lines<'_>, leaves: usize, features: i64) -> Verdict {
    let constants = lines.value("leaf_const")?;
    need(reals(constants) == Some(leaves) && words(constants).all(fits), || "leaf_const".to_owned())?;
    let counts = lines.wholes("num_features", leaves, 0, features)?;
    let count = counts.iter().sum::<i64>();
    // Two blanks stand between those of two leaves.
    let listed = |line: &'_ str, known: &dyn Fn(&str) -> bool| {
        let words = || line.split(' ').filter(|word| !word.is_empty());
        words().count() as i64 == count && words().all(known)
    };
    let used = lines.value("leaf_features")?;
    let feature = |word: &str| word.parse().is_ok_and(|feature: i64| (0..features).contains(&feature));
    need(listed(used, &feature), || "leaf_features".to_owned())?;
    let coefficient = |word: &str| is_real(word) && fits(word);
    need(listed(lines.value("leaf_coeff")?, &coefficient), || "leaf_coeff".to_owned())
}

/// What stands behind the trees.
fn tail(lines: &mut Lines<'_>) -> Verdict {
    lines.expect("end of trees")?;
    lines.expect("")?;
    let title = lines.line()?;
    need(matches!(title, "feature_importances:" | "feature importances:"), || "feature_importances".to_owned())?;
    loop {
        let line = lines.line()?;
        if line.is_empty() {
            break;
        }
        let counted = line.rsplit_once('=').is_some_and(|(_, count)| count.parse::<u64>().is_ok());
        need(counted, || "feature_importances".to_owned())?;
    }
    if lines.rest.starts_with("parameters:\n") {
        lines.line()?;
        parameters(lines)?;
        lines.expect("end of parameters")?;
        lines.expect("")?;
    }
    let last = lines.line()?;
    need(last.starts_with("pandas_categorical:") && lines.rest.is_empty(), || "pandas_categorical".to_owned())
}

fn parameters(lines: &mut Lines<'_>) -> Verdict {
    let mut seen: Vec<&str> = Vec::new();
    loop {
        let line = lines.line()?;
        if line.is_empty() {
            return Ok(());
        }
        let pair =
            line.strip_prefix('[').and_then(|line| line.strip_suffix(']')).and_then(|line| line.split_once(": "));
        // None twice, so there are no more than there are names.
        let sound = pair.is_some_and(|(key, value)| !seen.contains(&key) && parameters::is_written(key, value));
        need(sound, || format!("parameter {line:.60?}"))?;
        seen.extend(pair.map(|(key, _)| key));
    }
}

#[cfg(test)]
mod tests {
    use super::{info, objective, sound};

    const MODEL: &str = "tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nlabel_index=0\nmax_feature_idx=1\n\
        objective=regression\nfeature_names=a b\nfeature_infos=[0:1] 0:2:-1\ntree_sizes=SIZE\n\nTREE\
        end of trees\n\nfeature_importances:\na=1\n\nparameters:\n[boosting: gbdt]\n[data: ]\n\nend of parameters\n\n\
        pandas_categorical:null\n";
    const TREE: &str = "Tree=0\nnum_leaves=3\nnum_cat=1\nsplit_feature=0 1\nsplit_gain=1 0.5\nthreshold=0.5 0\n\
        decision_type=2 1\nleft_child=1 -1\nright_child=-2 -3\nleaf_value=1 2 3\nleaf_weight=1 1 1\nleaf_count=1 1 1\n\
        internal_value=0 0\ninternal_weight=0 0\ninternal_count=3 2\ncat_boundaries=0 1\ncat_threshold=5\nis_linear=0\n\
        shrinkage=0.1\n\n\n";

    fn with(tree: &str) -> String {
        MODEL.replace("SIZE", &tree.len().to_string()).replace("TREE", tree)
    }

    /// A change that passes is one that C++ would follow out of its arrays.
    #[test]
    fn every_number_of_a_tree_is_looked_at() {
        assert_eq!(sound(&with(TREE)), Ok(()));
        for (from, to) in [
            ("num_leaves=3", "num_leaves=4"),
            ("num_cat=1", "num_cat=0"),
            ("num_cat=1", "num_cat=2"),
            ("split_feature=0 1", "split_feature=0 2"),
            ("split_feature=0 1", "split_feature=0 -1"),
            ("split_feature=0 1", "split_feature=0"),
            ("threshold=0.5 0", "threshold=0.5 1"),
            ("threshold=0.5 0", "threshold=0.5 0 1"),
            ("decision_type=2 1", "decision_type=1 1"),
            ("decision_type=2 1", "decision_type=2 13"),
            ("left_child=1 -1", "left_child=0 -1"),
            ("left_child=1 -1", "left_child=1 -2"),
            ("left_child=1 -1", "left_child=1 -4"),
            ("left_child=1 -1", "left_child=2 -1"),
            ("leaf_value=1 2 3", "leaf_value=1 2"),
            ("leaf_value=1 2 3", "leaf_value=1 2 x"),
            ("leaf_count=1 1 1", "leaf_count=1 1 -1"),
            ("cat_boundaries=0 1", "cat_boundaries=0 2"),
            ("cat_boundaries=0 1", "cat_boundaries=1 1"),
            ("cat_threshold=5", "cat_threshold=5 6"),
            ("is_linear=0", "is_linear=1"),
            ("Tree=0", "Tree=1"),
            ("shrinkage=0.1\n", "shrinkage=0.1\nnum_leaves=9\n"),
        ] {
            assert!(TREE.contains(from), "{from}");
            assert!(sound(&with(&TREE.replace(from, to))).is_err(), "{to}");
        }
    }

    /// The same of what stands around the trees.
    #[test]
    fn every_line_has_its_place() {
        let whole = with(TREE);
        for (from, to) in [
            ("num_class=1", "num_class=2"),
            ("max_feature_idx=1", "max_feature_idx=2"),
            ("max_feature_idx=1", "max_feature_idx=0"),
            ("objective=regression", "objective=lambda"),
            ("feature_names=a b", "feature_names=a  b"),
            ("feature_infos=[0:1]", "feature_infos=[0]"),
            ("tree_sizes=", "tree_sizes=1"),
            ("label_index=0\n", ""),
            ("version=v4\n", "version=v4\nversion=v4\n"),
            ("end of trees", "Tree=1"),
            ("a=1\n", "parameters:\n"),
            ("[data: ]", "[data: /etc/passwd]"),
            ("[data: ]", "[boosting: gbdt]"),
            ("[data: ]", "[other: 1]"),
            ("[data: ]", "[data]"),
            ("pandas_categorical", "parser:\n"),
            ("null\n", "null\nmore\n"),
        ] {
            assert!(whole.contains(from), "{from}");
            assert!(sound(&whole.replacen(from, to, 1)).is_err(), "{to}");
        }
        assert!(sound(&format!("{whole}\0")).is_err());
    }

    /// lightgbm ends the process over these.
    #[test]
    fn lines_of_leaves_have_numbers_that_fit() {
        assert!(["0", "-0.0", "1.5e-300", "nan", "-inf", "0e5"].into_iter().all(super::fits));
        assert!(!["1e400", "-1e400", "1e-400", "5e-324", "-1e-320"].into_iter().any(super::fits));
    }

    #[test]
    fn objectives_and_features_are_as_written() {
        assert!(objective("binary sigmoid:1", 1) && objective("regression sqrt", 1));
        assert!(objective("multiclassova num_class:3 sigmoid:1", 3) && objective("multiclass num_class:3", 3));
        for (text, groups) in
            [("multiclass num_class:2", 3), ("binary sigmoid:-1", 1), ("regression", 2), ("binary", 1)]
        {
            assert!(!objective(text, groups), "{text}");
        }
        assert!(info("none") && info("[-1:inf]") && info("-1:0:3"));
        assert!(!info("") && !info(":") && !info("[1]") && !info("1:x"));
    }
}
