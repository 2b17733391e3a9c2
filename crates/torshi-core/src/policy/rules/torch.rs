//! torch's files: tensors as views of storages. A storage stands in the stream as a persistent id, a tuple that says of what class
//! it is and how many numbers it has; offset, sizes and strides of a view must stay within these.
use super::{demand, int, refuse, tensor, tuple, Outcome};
use crate::policy::pattern::{Shape, View};

/// Axes of a tensor.
const MOST_AXES: usize = 64;

/// Whether a name is that of a class of storages.
pub(crate) fn is_storage(module: &str, name: &str) -> bool {
    matches!(module, "torch" | "torch.cuda" | "torch.storage") && name.ends_with("Storage")
}

/// How many numbers the storage of a persistent id has: `('storage', class, key, location, count[, None])`.
fn storage<W: View>(w: &W, v: W::V) -> Option<u64> {
    let Shape::Instance { module, name, args: Some(id), state: None, .. } = w.shape(v) else { return None };
    if !is_storage(module, name) {
        return None;
    }
    let Shape::Tuple(id) = w.shape(id) else { return None };
    let count = match id {
        [kind, _, key, location, count] => (kind, key, location, count),
        // Of the older files: a view of another storage has its own bounds there.
        [kind, _, key, location, count, view] if matches!(w.shape(*view), Shape::None) => (kind, key, location, count),
        _ => return None,
    };
    let (kind, key, location, count) = count;
    let texts = matches!(w.shape(*key), Shape::Text(_)) && matches!(w.shape(*location), Shape::Text(_));
    (texts && matches!(w.shape(*kind), Shape::Text("storage"))).then(|| u64::try_from(int(w, *count)?).ok())?
}

/// `(storage, offset, sizes, strides[, requires_grad, hooks[, metadata]])`.
pub(super) fn tensor<W: View>(w: &W, v: W::V, _: Option<W::V>) -> Outcome {
    let expected = "(a storage, an offset, sizes, strides, ...)";
    let [held, offset, sizes, strides, rest @ ..] = tuple(w, v, expected)? else { return refuse(w, v, expected) };
    let Some(count) = storage(w, *held) else {
        return refuse(w, *held, "a storage by a persistent id of a PyTorch file");
    };
    let sizes = within(w, *offset, *sizes, *strides, count);
    demand(sizes.is_some(), w, v, "offset, sizes and strides within the storage")?;
    match rest {
        [] => Ok(()),
        [grad, hooks] => flags(w, *grad, *hooks),
        [grad, hooks, metadata] => {
            flags(w, *grad, *hooks)?;
            demand(is_metadata(w, *metadata), w, *metadata, "None, or whether a tensor is conjugated or negated")
        }
        _ => refuse(w, v, expected),
    }
}

/// The sizes of a view, if it stays within so many numbers.
pub(super) fn within<W: View>(w: &W, offset: W::V, sizes: W::V, strides: W::V, count: u64) -> Option<Vec<u64>> {
    let offset = u128::try_from(int(w, offset)?).ok()?;
    let (sizes, strides) = (numbers(w, sizes)?, numbers(w, strides)?);
    if sizes.len() != strides.len() || sizes.len() > MOST_AXES {
        return None;
    }
    if sizes.contains(&0) {
        return (offset <= u128::from(count)).then_some(sizes);
    }
    let mut last = offset;
    for (size, stride) in sizes.iter().zip(&strides) {
        last = last.checked_add(u128::from(size - 1).checked_mul(u128::from(*stride))?)?;
    }
    (last < u128::from(count)).then_some(sizes)
}

/// `(bytes,)`: what a plain pickle of a tensor calls. It hands the bytes to torch's loader, which unpickles what is in them
/// with stock pickle, asking no policy: nothing that could be seen in them here would hold there.
pub(super) fn loader<W: View>(w: &W, v: W::V, _: Option<W::V>) -> Outcome {
    refuse(w, v, "nothing: torch would unpickle these bytes unchecked; write tensors with torshi.save or torch.save")
}

/// `(tensor, requires_grad, hooks)`.
pub(super) fn parameter<W: View>(w: &W, v: W::V, _: Option<W::V>) -> Outcome {
    let expected = "(a tensor, a bool, no hooks)";
    let [data, grad, hooks] = tuple(w, v, expected)? else { return refuse(w, v, expected) };
    let made = matches!(w.shape(*data), Shape::Instance { module: "torch._utils", state: None, .. });
    demand(made || tensor::is_view(w, *data), w, *data, "a tensor")?;
    let kept = matches!(w.shape(*grad), Shape::Bool(true));
    demand(made || !kept || tensor::has_gradients(w, *data), w, *grad, "no gradients of integers")?;
    flags(w, *grad, *hooks)
}

/// Hooks are called when gradients are computed: there must be none.
fn flags<W: View>(w: &W, grad: W::V, hooks: W::V) -> Outcome {
    demand(matches!(w.shape(grad), Shape::Bool(_)), w, grad, "whether gradients are kept")?;
    let none = match w.shape(hooks) {
        Shape::Instance { module: "collections", name: "OrderedDict", state: None, args, .. } => {
            let bare = args.is_none_or(|args| matches!(w.shape(args), Shape::Tuple([])));
            bare && w.count(hooks) == Some(0)
        }
        Shape::None => true,
        _ => false,
    };
    demand(none, w, hooks, "no hooks")
}

fn is_metadata<W: View>(w: &W, v: W::V) -> bool {
    match w.shape(v) {
        Shape::None => true,
        Shape::Dict { .. } => {
            w.whole(v)
                && w.pairs(v).iter().all(|(key, value)| {
                    matches!(w.shape(*key), Shape::Text("conj" | "neg")) && matches!(w.shape(*value), Shape::Bool(_))
                })
        }
        _ => false,
    }
}

fn numbers<W: View>(w: &W, v: W::V) -> Option<Vec<u64>> {
    let items = match w.shape(v) {
        Shape::Tuple(items) => items,
        Shape::Instance { module: "torch", name: "Size", args: Some(args), .. } => match w.shape(args) {
            Shape::Tuple([sizes]) => match w.shape(*sizes) {
                Shape::Tuple(items) => items,
                _ => return None,
            },
            _ => return None,
        },
        _ => return None,
    };
    items.iter().map(|item| int(w, *item).and_then(|n| u64::try_from(n).ok())).collect()
}
