//! Where a global may stand for itself: factories, partials, parameters of generic types.
//!
//! Everything named here is later called by whoever uses the loaded object, so each list is short and exact.
use super::{demand, refuse, tuple, Outcome};
use crate::policy::pattern::{Shape, View};

/// Types that make an empty or plain value whatever they are called with.
const PLAIN: &[(&str, &str)] = &[
    ("builtins", "bool"),
    ("builtins", "complex"),
    ("builtins", "dict"),
    ("builtins", "float"),
    ("builtins", "frozenset"),
    ("builtins", "int"),
    ("builtins", "list"),
    ("builtins", "set"),
    ("builtins", "str"),
    ("builtins", "tuple"),
    ("collections", "Counter"),
    ("collections", "OrderedDict"),
    ("collections", "defaultdict"),
    ("collections", "deque"),
];

/// A plain type, or something the caller vouches for.
fn harmless<W: View>(w: &W, v: W::V) -> bool {
    match w.shape(v) {
        Shape::Global { module, name, row: Some(row) } => {
            (row.trusted && row.call.is_some()) || PLAIN.contains(&(module, name))
        }
        _ => false,
    }
}

/// The factory of a `defaultdict`: called at the first missing key, long after loading.
pub(super) fn factory<W: View>(w: &W, v: W::V, _: Option<W::V>) -> Outcome {
    let sound = matches!(w.shape(v), Shape::None) || harmless(w, v);
    demand(sound, w, v, "None, a plain builtin type or a trusted class")
}

/// Something the caller vouches for by name, calls included.
fn vouched<W: View>(w: &W, v: W::V) -> bool {
    matches!(w.shape(v), Shape::Global { row: Some(row), .. } if row.trusted && row.call.is_some())
}

/// `(function, *args)`.
pub(super) fn partial<W: View>(w: &W, v: W::V, _: Option<W::V>) -> Outcome {
    let [function, args @ ..] = tuple(w, v, "(function, *args)")? else { return refuse(w, v, "(function, *args)") };
    demand(vouched(w, *function), w, *function, "a function or class the caller trusts")?;
    args.iter().try_for_each(|arg| data(w, *arg))
}

/// `(function, args, keywords, dict)`: BUILD replaces the function, so it is checked like the call.
pub(super) fn partial_state<W: View>(w: &W, v: W::V, _: Option<W::V>) -> Outcome {
    let expected = "(function, args, keywords, dict)";
    let [function, args, keywords, namespace] = tuple(w, v, expected)? else { return refuse(w, v, expected) };
    demand(vouched(w, *function), w, *function, "a function or class the caller trusts")?;
    tuple(w, *args, expected)?.iter().try_for_each(|arg| data(w, *arg))?;
    demand(matches!(w.shape(*keywords), Shape::None | Shape::Dict { attrs: true }), w, *keywords, "keywords")?;
    demand(matches!(w.shape(*namespace), Shape::None | Shape::Dict { attrs: true }), w, *namespace, "attributes")
}

/// Anything that may stand as data.
fn data<W: View>(w: &W, v: W::V) -> Outcome {
    match w.shape(v) {
        Shape::Global { row, .. } => demand(row.is_some_and(|row| row.value), w, v, "data"),
        _ => Ok(()),
    }
}

/// A parameter of a generic type: a type, another generic type, `None`, `...`.
pub(super) fn type_argument<W: View>(w: &W, v: W::V, _: Option<W::V>) -> Outcome {
    let sound = match w.shape(v) {
        Shape::None => true,
        Shape::Global { row, .. } => row.is_some_and(|row| row.value),
        Shape::Instance { module, name, .. } => matches!((module, name), ("types", "GenericAlias" | "UnionType")),
        // type(None) is made by a call, and its result is opaque.
        Shape::Opaque => true,
        _ => false,
    };
    demand(sound, w, v, "a type")
}

/// `reduce(or_, (type, ...))`, as a union of types is written.
pub(super) fn union<W: View>(w: &W, v: W::V, _: Option<W::V>) -> Outcome {
    let expected = "(operator.or_, (type, ...))";
    let [function, types] = tuple(w, v, expected)? else { return refuse(w, v, expected) };
    let or =
        matches!(w.shape(*function), Shape::Global { module: "_operator" | "operator", name: "or_", row: Some(_) });
    demand(or, w, *function, expected)?;
    tuple(w, *types, expected)?.iter().try_for_each(|each| type_argument(w, *each, None))
}
