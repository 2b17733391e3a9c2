//! The helpers of `copyreg`: what they may construct is what the class's own row lets NEWOBJ construct. And the
//! state of one object of C code that has attributes without a dict, the XML element.
//!
//! Protocols 0 and 1 write every instance through `_reconstructor`; the other two stand where a class's
//! `__reduce_ex__` named them. None of them widens what a row allows.
use super::{demand, refuse, tuple, Outcome};
use crate::policy::pattern::{Pattern, Shape, View};
use crate::policy::row::Row;

/// The row of a class that may be constructed.
fn constructible<W: View>(w: &W, v: W::V) -> Option<&Row> {
    match w.shape(v) {
        Shape::Global { row: Some(row), .. } if row.construct.is_some() => Some(row),
        _ => None,
    }
}

/// `(class, *args)`.
pub(super) fn newobj<W: View>(w: &W, v: W::V, _: Option<W::V>) -> Outcome {
    let [class, args @ ..] = tuple(w, v, "(class, *args)")? else { return refuse(w, v, "(class, *args)") };
    match constructible(w, *class).and_then(|row| row.construct.as_ref()) {
        Some(pattern) => pattern.matches_slice(w, args),
        None => refuse(w, *class, "a class that may be constructed"),
    }
}

/// `(class, args, keywords)`.
pub(super) fn newobj_ex<W: View>(w: &W, v: W::V, _: Option<W::V>) -> Outcome {
    let expected = "(class, args, keywords)";
    let [class, args, keywords] = tuple(w, v, expected)? else { return refuse(w, v, expected) };
    match constructible(w, *class) {
        Some(row) => row.check_construct(w, *args, Some(*keywords)),
        None => refuse(w, *class, "a class that may be constructed"),
    }
}

/// `(class, base, state)`: `base.__new__(class, state)`, and `base.__init__(it, state)` unless base is `object`.
pub(super) fn reconstructor<W: View>(w: &W, v: W::V, _: Option<W::V>) -> Outcome {
    let expected = "(class, base, state)";
    let [class, base, state] = tuple(w, v, expected)? else { return refuse(w, v, expected) };
    let Some(row) = constructible(w, *class) else { return refuse(w, *class, "a class that may be constructed") };
    let name = match w.shape(*base) {
        Shape::Global { module: "builtins", name, row: Some(_) } => name,
        Shape::Global { row: Some(base), .. } if row.trusted && base.trusted && base.construct.is_some() => {
            return Ok(())
        }
        _ => return refuse(w, *base, "a builtin base"),
    };
    demand(base_value(w, name, *state), w, *state, "a value of the base's own type")?;
    if row.trusted {
        return Ok(());
    }
    let bare = || row.construct.as_ref().is_some_and(|pattern| pattern.matches_slice(w, &[]).is_ok());
    match name {
        "object" => demand(bare(), w, *class, "a class constructed without arguments"),
        // A named tuple: its items are what NEWOBJ would have been given.
        "tuple" => row.check_construct(w, *state, None),
        "dict" => demand(bare() && row.items, w, *class, "a mapping"),
        "list" => demand(bare() && row.append, w, *class, "a list"),
        _ => refuse(w, *class, "a trusted class"),
    }
}

/// Is `state` of the type its base makes copies of? Anything else would do more: `bytes(10**12)` allocates,
/// `list(iterator)` iterates.
fn base_value<W: View>(w: &W, base: &str, state: W::V) -> bool {
    let shape = w.shape(state);
    match base {
        "object" => matches!(shape, Shape::None),
        "int" => matches!(shape, Shape::Int(_) | Shape::BigInt { .. } | Shape::Bool(_)),
        "float" => matches!(shape, Shape::Float(_)),
        "str" => matches!(shape, Shape::Text(_) | Shape::OpaqueText),
        // Python 2 wrote these as strings.
        "bytes" if matches!(shape, Shape::Text(_) | Shape::OpaqueText) => true,
        "bytes" => Pattern::Bytes { low: 0, high: None }.matches(w, state).is_ok(),
        "bytearray" => Pattern::ByteArray.matches(w, state).is_ok(),
        "tuple" => matches!(shape, Shape::Tuple(_)),
        "list" => matches!(shape, Shape::List),
        "dict" => matches!(shape, Shape::Dict { .. }),
        "set" => Pattern::Set.matches(w, state).is_ok(),
        "frozenset" => Pattern::FrozenSet.matches(w, state).is_ok(),
        "complex" => matches!(shape, Shape::Instance { module: "builtins", name: "complex", .. }),
        _ => false,
    }
}

/// `{'tag': text, '_children': [element, ...], 'attrib': {}, 'text': text, 'tail': text}`, each of them optional.
pub(super) fn element<W: View>(w: &W, v: W::V, _: Option<W::V>) -> Outcome {
    demand(matches!(w.shape(v), Shape::Dict { attrs: true }), w, v, "the attributes of an element")?;
    let mut known = 0;
    for key in ["tag", "text", "tail", "attrib", "_children"] {
        let Some(value) = w.entry(v, key) else { continue };
        known += 1;
        let shape = w.shape(value);
        let sound = match key {
            "tag" | "text" | "tail" => matches!(shape, Shape::Text(_) | Shape::OpaqueText | Shape::None),
            "attrib" => matches!(shape, Shape::Dict { .. }),
            _ => {
                let children = w.children(value);
                let element = |v: &W::V| {
                    matches!(w.shape(*v), Shape::Instance { module: "xml.etree.ElementTree", name: "Element", .. })
                };
                matches!(shape, Shape::List)
                    && w.count(value) == Some(children.len() as u64)
                    && children.iter().all(element)
            }
        };
        demand(sound, w, value, format_args!("{key} of an element"))?;
    }
    demand(w.count(v) == Some(known), w, v, "the attributes of an element and no others")
}
