//! Rules for boosted trees: models that xgboost and lightgbm pickle as bytes and as a text, which their C++ parses and
//! then believes.
//!
//! A model is parsed here once, strictly, in the form its library writes, and followed: every child is a node, every
//! feature is one of the model's, every length is that of what is there. What is not known to be written by the library
//! is refused. Each check takes time linear in the model and counts as steps of the view.
use super::numpy::contents::array;
use super::{content, demand, int, refuse, sklearn, Outcome};
use crate::policy::pattern::{Shape, View};

pub(super) mod lightgbm;
mod lightgbm_parameters;
mod lightgbm_text;
mod ubjson;
pub(super) mod xgboost;
mod xgboost_config;
mod xgboost_tree;

/// Yes, or what is not as its library writes it.
type Verdict<T = ()> = Result<T, String>;

/// Features of a model: predictors make room for each of them, whatever the trees look at.
const MOST_FEATURES: u64 = 1 << 20;
/// Classes or targets: there is a prediction for each.
const MOST_GROUPS: u64 = 1 << 16;
/// Threads that a model may ask for; OpenMP ends the process where it gets none.
const MOST_THREADS: i64 = 512;
/// Levels of a tree: dumping one and explaining a prediction go down by recursion.
const DEEPEST: usize = 1024;

/// Yes, or a refusal of `what`.
fn need(holds: bool, what: impl FnOnce() -> String) -> Verdict {
    if holds {
        Ok(())
    } else {
        Err(what())
    }
}

/// Follows a binary tree from node nought, where `below` gives the two nodes below one. Which nodes it reaches; `None`
/// if it reaches one twice, one that is not there, or goes too deep.
fn reach(count: usize, below: impl Fn(usize) -> Option<(usize, usize)>) -> Option<Vec<bool>> {
    let mut seen = vec![false; count];
    *seen.first_mut()? = true;
    let mut level = vec![0];
    for _ in 0..DEEPEST {
        let mut next = Vec::new();
        for child in level.into_iter().filter_map(&below).flat_map(|(left, right)| [left, right]) {
            match seen.get_mut(child) {
                Some(reached) if !*reached => *reached = true,
                _ => return None,
            }
            next.push(child);
        }
        if next.is_empty() {
            return Some(seen);
        }
        level = next;
    }
    None
}

/// A number as C++ and Python print it.
fn real(text: &str) -> Option<f64> {
    let plain = text.len() <= 40 && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
    if plain {
        text.parse().ok()
    } else {
        None
    }
}

/// Is it a number as C++ and Python print it? Says no more than its form, which is all that parsers of it believe.
fn is_real(text: &str) -> bool {
    let digits = |bytes: &[u8]| bytes.iter().take_while(|b| b.is_ascii_digit()).count();
    let rest = text.strip_prefix(['-', '+']).unwrap_or(text).as_bytes();
    if rest.eq_ignore_ascii_case(b"inf") || rest.eq_ignore_ascii_case(b"nan") {
        return true;
    }
    let whole = digits(rest);
    let mut rest = &rest[whole..];
    let mut count = whole;
    if let [b'.', after @ ..] = rest {
        let parts = digits(after);
        (rest, count) = (&after[parts..], count + parts);
    }
    match rest {
        [] => count > 0,
        [b'e' | b'E', b'-' | b'+', after @ ..] | [b'e' | b'E', after @ ..] => {
            count > 0 && !after.is_empty() && digits(after) == after.len()
        }
        _ => false,
    }
}

/// A number of threads, or none.
fn threads<W: View>(w: &W, v: W::V) -> bool {
    match w.shape(v) {
        Shape::None => true,
        // Below nought it is counted from the number of processors.
        _ => sklearn::index(w, v).is_some_and(|n| (-(1 << 16)..=MOST_THREADS).contains(&n)),
    }
}

/// Attributes, all of them known, of a booster that has none so far: a second state would put another address in place
/// of the model.
fn attributes_of_booster<W: View>(w: &W, v: W::V, target: Option<W::V>) -> Outcome {
    let first = matches!(target.map(|target| w.shape(target)), Some(Shape::Instance { state: None, .. }));
    demand(first, w, v, "a booster without a state so far")?;
    let plain = matches!(w.shape(v), Shape::Dict { attrs: true }) && w.whole(v);
    demand(plain, w, v, "attributes that are all known")
}

#[cfg(test)]
mod tests {
    use super::{is_real, reach, DEEPEST};

    /// A form that passes here and not in C++ is an error there; one that is read as two numbers would shift the rest.
    #[test]
    fn numbers_have_one_form() {
        for text in ["0", "-1.5", "1e30", "2.5E-07", ".5", "5.", "+3", "nan", "-inf", "INF"] {
            assert!(is_real(text) && text.parse::<f64>().is_ok(), "{text}");
        }
        for text in ["", "-", ".", "e5", "1e", "1e+", "0x10", "1 2", "1,5", "nano", "1inf", ".nan", "--1", "1e5.5"] {
            assert!(!is_real(text), "{text:?}");
        }
    }

    /// A tree that is followed for ever, twice to one place, or down to the end of the stack.
    #[test]
    fn trees_are_reached_once_and_not_deep() {
        let of =
            |below: &'static [(usize, usize)]| move |node: usize| below.get(node).copied().filter(|pair| pair.0 != 0);
        assert_eq!(reach(3, of(&[(1, 2)])), Some(vec![true; 3]));
        assert_eq!(reach(4, of(&[(1, 2)])), Some(vec![true, true, true, false]));
        for wrong in [&[(1, 1)][..], &[(1, 3)], &[(1, 2), (2, 1)], &[(1, usize::MAX)]] {
            assert!(reach(3, |node| wrong.get(node).copied()).is_none(), "{wrong:?}");
        }
        assert!(reach(0, |_| None).is_none());
        let chain = |length: usize| {
            move |node: usize| if node % 2 == 0 && node < 2 * length { Some((node + 1, node + 2)) } else { None }
        };
        assert!(reach(2 * DEEPEST, chain(DEEPEST - 1)).is_some());
        assert!(reach(2 * DEEPEST + 9, chain(DEEPEST + 1)).is_none());
    }
}
