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
