//! Bit generators, generators and seeds of `numpy.random`.
//!
//! The positions in these states index C arrays without a check (624 words, 4 words), so they are bounded here.
//! The arrays themselves are read element by element by numpy, which raises where they are short.
use super::super::number::fits;
use super::super::{demand, int, refuse, tuple, Outcome};
use crate::policy::pattern::{Mismatch, Shape, View};

const NAMES: &[&str] = &["MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64"];

/// `(name,)` as numpy 1 writes it, `(class,)` as numpy 2 does, or nothing for the default.
pub(crate) fn bit_generator<W: View>(w: &W, v: W::V, _: Option<W::V>) -> Outcome {
    let expected = "the name or the class of a bit generator";
    match tuple(w, v, expected)? {
        [] => Ok(()),
        [only] => match w.shape(*only) {
            Shape::Text(name) => demand(NAMES.contains(&name), w, *only, expected),
            Shape::Global { module, name, row: Some(_) } => {
                demand(module.starts_with("numpy.random.") && NAMES.contains(&name), w, *only, expected)
            }
            _ => refuse(w, *only, expected),
        },
        _ => refuse(w, v, expected),
    }
}

/// The state dict of a bit generator, the same with its seed `(dict, SeedSequence)`, or the tuple of an old `RandomState`.
pub(crate) fn generator_state<W: View>(w: &W, v: W::V, _: Option<W::V>) -> Outcome {
    match w.shape(v) {
        Shape::Dict { attrs: true } => dict(w, v),
        Shape::Tuple([state, seed]) => {
            let sound = matches!(
                w.shape(*seed),
                Shape::None | Shape::Instance { module: "numpy.random.bit_generator", name: "SeedSequence", .. }
            );
            demand(sound, w, *seed, "a seed sequence")?;
            dict(w, *state)
        }
        // numpy before 1.17: ('MT19937', key, position[, has_gauss, gauss]).
        Shape::Tuple([name, key, position, gauss @ ..]) => {
            demand(matches!(w.shape(*name), Shape::Text("MT19937")), w, *name, "'MT19937'")?;
            words(w, *key)?;
            within(w, Some(*position), 0, 624, "a position from 0 to 624")?;
            match gauss {
                [] => Ok(()),
                [has, value] => {
                    within(w, Some(*has), 0, 1, "0 or 1")?;
                    demand(matches!(w.shape(*value), Shape::Float(_) | Shape::Int(_)), w, *value, "a float")
                }
                _ => refuse(w, v, "the state of a generator"),
            }
        }
        _ => refuse(w, v, "the state of a bit generator"),
    }
}

fn need<W: View>(w: &W, v: W::V, key: &str) -> Result<W::V, Mismatch> {
    match w.entry(v, key) {
        Some(value) => Ok(value),
        None => refuse(w, v, format!("an entry {key:?}")),
    }
}

fn within<W: View>(w: &W, v: Option<W::V>, low: i64, high: i64, expected: &str) -> Outcome {
    match v {
        Some(v) => demand(int(w, v).is_some_and(|value| (low..=high).contains(&value)), w, v, expected),
        None => Ok(()),
    }
}

fn dict<W: View>(w: &W, v: W::V) -> Outcome {
    demand(matches!(w.shape(v), Shape::Dict { attrs: true }) && w.whole(v), w, v, "a dict with nothing else")?;
    let name = need(w, v, "bit_generator")?;
    let Shape::Text(name) = w.shape(name) else { return refuse(w, name, "the name of a bit generator") };
    let inner = need(w, v, "state")?;
    let known = matches!(w.shape(inner), Shape::Dict { attrs: true }) && w.whole(inner);
    demand(known, w, inner, "a dict with nothing else")?;
    // Written by every generator but MT19937, which has what RandomState adds instead.
    within(w, w.entry(v, "has_uint32"), 0, 1, "0 or 1")?;
    within(w, w.entry(v, "uinteger"), 0, i64::from(u32::MAX), "a word of 32 bits")?;
    within(w, w.entry(v, "has_gauss"), 0, 1, "0 or 1")?;
    match name {
        "MT19937" => {
            words(w, need(w, inner, "key")?)?;
            within(w, Some(need(w, inner, "pos")?), 0, 624, "a position from 0 to 624")
        }
        "PCG64" | "PCG64DXSM" => ["state", "inc"].iter().try_for_each(|key| {
            let value = need(w, inner, key)?;
            demand(fits(w, value, 128), w, value, "an integer of 128 bits")
        }),
        "Philox" => {
            words(w, need(w, inner, "counter")?)?;
            words(w, need(w, inner, "key")?)?;
            words(w, need(w, v, "buffer")?)?;
            within(w, Some(need(w, v, "buffer_pos")?), 0, 4, "a position from 0 to 4")
        }
        "SFC64" => words(w, need(w, inner, "state")?),
        _ => refuse(w, v, "a known bit generator"),
    }
}

fn words<W: View>(w: &W, v: W::V) -> Outcome {
    demand(matches!(w.shape(v), Shape::Instance { module: "numpy", name: "ndarray", .. }), w, v, "an array of words")
}

/// `(entropy, children spawned, pool, pool size, spawn key)`.
pub(crate) fn seed_state<W: View>(w: &W, v: W::V, _: Option<W::V>) -> Outcome {
    let expected = "(entropy, children, pool, pool size, spawn key)";
    let [entropy, children, pool, size, key] = tuple(w, v, expected)? else { return refuse(w, v, expected) };
    let sound =
        matches!(w.shape(*entropy), Shape::None | Shape::Int(_) | Shape::BigInt { .. } | Shape::List | Shape::Tuple(_))
            || matches!(w.shape(*entropy), Shape::Instance { module: "numpy", name: "generic", .. });
    demand(sound, w, *entropy, "entropy")?;
    within(w, Some(*children), 0, i64::from(i32::MAX), "a number of children")?;
    words(w, *pool)?;
    within(w, Some(*size), 4, 1024, "a pool size from 4 to 1024")?;
    // The pool is read up to its declared size.
    let Shape::Instance { args: Some(args), state, .. } = w.shape(*pool) else { return refuse(w, *pool, expected) };
    let shape = match (state.map(|state| w.shape(state)), w.shape(args)) {
        (Some(Shape::Tuple([_, shape, ..])), _) | (None, Shape::Tuple([_, _, shape, _])) => *shape,
        _ => return refuse(w, *pool, "an array of words"),
    };
    let length = super::ndarray::elements(w, shape);
    demand(length.is_some() && length == int(w, *size).map(|size| size as u64), w, *pool, "a pool of the pool size")?;
    let items = tuple(w, *key, expected)?;
    demand(
        items.iter().all(|item| matches!(w.shape(*item), Shape::Int(_) | Shape::BigInt { .. })),
        w,
        *key,
        "a spawn key",
    )
}
