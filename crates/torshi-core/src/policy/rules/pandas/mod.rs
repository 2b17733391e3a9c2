//! Rules for pandas, whose Cython believes placements, codes and lengths it once made itself.
//!
//! `extent` says how long an index or an array is, from the very parts it is made of; a manager's blocks must cover its
//! axes exactly. What cannot be told (an array whose state comes later, a class not known) has no length, and is refused.
use super::numpy::contents::{array, time_unit, Array};
use super::{arrow, demand, int, refuse, tuple, Outcome};
use crate::policy::pattern::{Shape, View};

pub(super) mod extension;
pub(super) mod index;
pub(super) mod manager;

/// Where pandas' own classes have been pickled from, beside `pandas`.
const HOMES: &[&str] = &["pandas", "pandas.arrays", "pandas.core.", "pandas._libs."];

/// A class or function of pandas, by its last name.
fn of_pandas(module: &str) -> bool {
    module == "pandas" || HOMES.iter().any(|home| module == *home || home.ends_with('.') && module.starts_with(home))
}

/// An instance of pandas: its class, what it was made of, its state.
struct Made<'w, V> {
    name: &'w str,
    args: &'w [V],
    state: Option<V>,
}

fn made<W: View>(w: &W, v: W::V) -> Option<Made<'_, W::V>> {
    let Shape::Instance { module, name, args: Some(args), state, row: Some(_) } = w.shape(v) else { return None };
    if !of_pandas(module) {
        return None;
    }
    match w.shape(args) {
        Shape::Tuple(args) => Some(Made { name, args, state }),
        _ => None,
    }
}

/// The name of a class of pandas that stands as an argument.
fn class_name<W: View>(w: &W, v: W::V) -> Option<&str> {
    match w.shape(v) {
        Shape::Global { module, name, row: Some(_) } if of_pandas(module) => Some(name),
        _ => None,
    }
}

/// Only these keys, all of them known; every key is text.
fn only<W: View>(w: &W, v: W::V, keys: &[&str]) -> Outcome {
    let known = keys.iter().filter(|key| w.entry(v, key).is_some()).count() as u64;
    let plain = matches!(w.shape(v), Shape::Dict { attrs: true });
    demand(plain && w.whole(v) && w.count(v) == Some(known), w, v, format_args!("a dict of {}", keys.join(", ")))
}

/// An instance that has no state so far: one given twice would leave unchecked mixtures.
fn fresh<W: View>(w: &W, target: Option<W::V>) -> bool {
    matches!(target.map(|target| w.shape(target)), Some(Shape::Instance { state: None, .. }))
}

/// The length of an index or of an array of one axis.
fn extent<W: View>(w: &W, v: W::V) -> Option<u64> {
    index::length(w, v).or_else(|| match extension::shape(w, v)?.as_slice() {
        [length] => Some(*length),
        _ => None,
    })
}
