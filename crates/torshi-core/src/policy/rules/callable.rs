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
        Shape::Global { module, name, row: Some(row) } => row.trusted || PLAIN.contains(&(module, name)),
        _ => false,
    }
}

/// The factory of a `defaultdict`: called at the first missing key, long after loading.
pub(super) fn factory<W: View>(w: &W, v: W::V, _: Option<W::V>) -> Outcome {
    let sound = matches!(w.shape(v), Shape::None) || harmless(w, v);
    demand(sound, w, v, "None, a plain builtin type or a trusted class")
}

/// Is `v` the `C.__new__` of a trusted class `C`? Gives module and name of `C`.
fn constructor<W: View>(w: &W, v: W::V) -> Option<(&str, &str)> {
    match w.shape(v) {
        Shape::Global { module, name, row: Some(_) } => Some((module, name.strip_suffix(".__new__")?)),
        _ => None,
    }
}

/// The class that calling `callee` with the tuple `args` makes an instance of, if this is how protocols 2 and 3 write
/// `__getnewargs_ex__`: `partial(C.__new__)`, its state `(C.__new__, (C, *args), keywords, None)`, called with `()`.
/// No other result of a call may be called; the caller makes an instance of the class.
pub fn deferred_construction<W: View>(w: &W, callee: W::V, args: W::V) -> Option<W::V> {
    let Shape::Instance { module: "functools", name: "partial", state: Some(state), .. } = w.shape(callee) else {
        return None;
    };
    let (Shape::Tuple([]), Shape::Tuple([function, given, ..])) = (w.shape(args), w.shape(state)) else { return None };
    let class = constructor(w, *function)?;
    let Shape::Tuple([first, ..]) = w.shape(*given) else { return None };
    match w.shape(*first) {
        Shape::Global { module, name, row: Some(row) } if row.trusted && (module, name) == class => Some(*first),
        _ => None,
    }
}

/// `(function, *args)`.
pub(super) fn partial<W: View>(w: &W, v: W::V, _: Option<W::V>) -> Outcome {
    let [function, args @ ..] = tuple(w, v, "(function, *args)")? else { return refuse(w, v, "(function, *args)") };
    if args.is_empty() && constructor(w, *function).is_some() {
        return Ok(());
    }
    demand(harmless(w, *function), w, *function, "a plain builtin type or a trusted function")?;
    args.iter().try_for_each(|arg| data(w, *arg))
}

/// `(function, args, keywords, dict)`: BUILD replaces the function, so it is checked like the call.
pub(super) fn partial_state<W: View>(w: &W, v: W::V, _: Option<W::V>) -> Outcome {
    let expected = "(function, args, keywords, dict)";
    let [function, args, keywords, namespace] = tuple(w, v, expected)? else { return refuse(w, v, expected) };
    let sound = harmless(w, *function) || constructor(w, *function).is_some();
    demand(sound, w, *function, "a plain builtin type or a trusted function")?;
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
    let or = matches!(w.shape(*function), Shape::Global { module: "_operator" | "operator", name: "or_", row: Some(_) });
    demand(or, w, *function, expected)?;
    tuple(w, *types, expected)?.iter().try_for_each(|each| type_argument(w, *each, None))
}
