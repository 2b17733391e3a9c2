//! Managers, blocks, frames and series: blocks that cover their axes exactly, each column once.
use super::*;

/// Columns of a frame: a placement may be a slice, which costs nothing to write.
const COLUMNS: u64 = 1 << 24;

/// `(values, placement, 1 or 2)`.
pub(in super::super) fn block<W: View>(w: &W, v: W::V, _: Option<W::V>) -> Outcome {
    let expected = "(values, a placement as long as they are wide, the number of axes)";
    let [values, placement, axes] = tuple(w, v, expected)? else { return refuse(w, v, expected) };
    let Some(axes) = int(w, *axes).filter(|axes| (1..=2).contains(axes)) else { return refuse(w, *axes, expected) };
    let Some(columns) = columns(w, *placement) else {
        return refuse(w, *placement, "a slice or an array of positions");
    };
    let sound = match (extension::shape(w, *values).as_deref(), axes) {
        (Some([rows]), 1) => *rows == columns.len() as u64,
        (Some([wide, _]), 2) => *wide == columns.len() as u64,
        // An array of one axis is one column.
        (Some([_]), 2) => columns.len() == 1 && array(w, *values).is_none(),
        _ => false,
    };
    demand(sound, w, v, expected)
}

/// The positions of a placement: a slice, or an array of integers.
fn columns<W: View>(w: &W, v: W::V) -> Option<Vec<u64>> {
    if let Some(array) = array(w, v) {
        if array.shape.len() != 1 || !w.spend(array.count) {
            return None;
        }
        return array.integers(w)?.map(|n| u64::try_from(n).ok()).collect();
    }
    let Shape::Instance { module: "builtins", name: "slice", args: Some(args), .. } = w.shape(v) else { return None };
    let Shape::Tuple([start, stop, step]) = w.shape(args) else { return None };
    let (start, stop) = (int(w, *start)?, int(w, *stop)?);
    let step = if matches!(w.shape(*step), Shape::None) { 1 } else { int(w, *step)? };
    // From above downwards past zero a slice ends at None, or at -1, which means another thing to numpy.
    if start < 0 || stop < 0 || step == 0 {
        return None;
    }
    let length = index::range_length(start, stop, step)?;
    if length > COLUMNS || !w.spend(length) {
        return None;
    }
    (0..length as i64).map(|at| start.checked_add(at.checked_mul(step)?).and_then(|n| u64::try_from(n).ok())).collect()
}

/// A block: its columns, and how many rows it has.
fn parts<W: View>(w: &W, v: W::V) -> Option<(Vec<u64>, u64, i64)> {
    let made = made(w, v).filter(|made| made.name == "_unpickle_block")?;
    let [values, placement, axes] = made.args else { return None };
    part(w, *values, *placement, int(w, *axes)?)
}

fn part<W: View>(w: &W, values: W::V, placement: W::V, axes: i64) -> Option<(Vec<u64>, u64, i64)> {
    let rows = match extension::shape(w, values)?.as_slice() {
        [rows] => *rows,
        [_, rows] if axes == 2 => *rows,
        _ => return None,
    };
    Some((columns(w, placement)?, rows, axes))
}

/// `(blocks, [columns, rows])`.
pub(in super::super) fn manager<W: View>(w: &W, v: W::V, _: Option<W::V>) -> Outcome {
    let expected = "(a tuple of blocks, [columns, rows])";
    let [blocks, axes] = tuple(w, v, expected)? else { return refuse(w, v, expected) };
    let Some(axes) = w.elements(*axes) else { return refuse(w, *axes, "a list of two indexes") };
    let [columns, rows] = axes[..] else { return refuse(w, v, expected) };
    let blocks: Option<Vec<_>> = tuple(w, *blocks, expected)?.iter().map(|block| parts(w, *block)).collect();
    let Some(blocks) = blocks else { return refuse(w, v, "blocks whose parts are known") };
    covers(w, v, &blocks, columns, rows)
}

/// Do the blocks cover the columns, each once, and have as many rows as the other axis?
fn covers<W: View>(w: &W, v: W::V, blocks: &[(Vec<u64>, u64, i64)], columns: W::V, rows: W::V) -> Outcome {
    let (Some(wide), Some(long)) = (index::length(w, columns), index::length(w, rows)) else {
        return refuse(w, v, "two indexes");
    };
    let total: u64 = blocks.iter().map(|(columns, ..)| columns.len() as u64).sum();
    demand(total == wide && wide <= COLUMNS, w, v, "blocks that cover the columns")?;
    let mut seen = vec![false; wide as usize];
    for (columns, rows, axes) in blocks {
        demand(*rows == long && *axes == 2, w, v, "blocks as long as the index of rows")?;
        for column in columns {
            let free = seen.get_mut(*column as usize).is_some_and(|seen| !std::mem::replace(seen, true));
            demand(free, w, v, "blocks that cover each column once")?;
        }
    }
    Ok(())
}

/// `(block, index)` of a series.
pub(in super::super) fn single<W: View>(w: &W, v: W::V, _: Option<W::V>) -> Outcome {
    let expected = "(a block of one axis, an index of its length)";
    let [block, axis] = tuple(w, v, expected)? else { return refuse(w, v, expected) };
    let Some((columns, rows, axes)) = parts(w, *block) else { return refuse(w, *block, expected) };
    let length = index::length(w, *axis);
    demand(axes == 1 && length == Some(rows) && is_run(&columns, rows), w, v, expected)
}

/// Positions 0 to `rows`, as a series has them.
fn is_run(columns: &[u64], rows: u64) -> bool {
    columns.len() as u64 == rows && columns.iter().enumerate().all(|(at, column)| at as u64 == *column)
}

/// `(axes, values, items, {'0.14.1': {'axes': axes, 'blocks': [{'values': values, 'mgr_locs': placement}]}})`.
pub(in super::super) fn manager_state<W: View>(w: &W, v: W::V, target: Option<W::V>) -> Outcome {
    let Some(made) = target.filter(|target| fresh(w, Some(*target))).and_then(|target| made(w, target)) else {
        return refuse(w, v, "a manager without a state so far");
    };
    demand(bare(w, &made), w, v, "a manager made without arguments")?;
    let expected = "(axes, values, items, {'0.14.1': axes and blocks})";
    let [_, _, _, versions] = tuple(w, v, expected)? else { return refuse(w, v, expected) };
    only(w, *versions, &["0.14.1"])?;
    let Some(state) = w.entry(*versions, "0.14.1") else { return refuse(w, *versions, expected) };
    only(w, state, &["axes", "blocks"])?;
    let all = |key: &str| w.entry(state, key).and_then(|part| w.elements(part));
    let (Some(axes), Some(blocks)) = (all("axes"), all("blocks")) else { return refuse(w, state, expected) };
    let mut known = Vec::with_capacity(blocks.len());
    for block in blocks {
        only(w, block, &["values", "mgr_locs"])?;
        let (Some(values), Some(placement)) = (w.entry(block, "values"), w.entry(block, "mgr_locs")) else {
            return refuse(w, block, expected);
        };
        let Some(found) = part(w, values, placement, axes.len() as i64) else { return refuse(w, block, expected) };
        if let Some([wide, _]) = extension::shape(w, values).as_deref() {
            demand(*wide == found.0.len() as u64, w, block, "a placement as long as the values are wide")?;
        } else {
            demand(axes.len() == 1 || found.0.len() == 1, w, block, "a placement of one column")?;
        }
        known.push(found);
    }
    match (made.name, &axes[..], &known[..]) {
        ("SingleBlockManager", [axis], [(columns, rows, 1)]) => {
            demand(index::length(w, *axis) == Some(*rows) && is_run(columns, *rows), w, v, expected)
        }
        ("BlockManager", [columns, rows], _) => covers(w, v, &known, *columns, *rows),
        _ => refuse(w, v, expected),
    }
}

/// Was it made without arguments? `copyreg._reconstructor(class, object, None)` is that, too.
fn bare<W: View>(w: &W, made: &Made<'_, W::V>) -> bool {
    match made.args {
        [] => true,
        [class, base, none] => {
            matches!(w.shape(*class), Shape::Global { .. })
                && matches!(w.shape(*base), Shape::Global { module: "builtins", name: "object", .. })
                && matches!(w.shape(*none), Shape::None)
        }
        _ => false,
    }
}

/// The state of a frame.
pub(in super::super) fn frame<W: View>(w: &W, v: W::V, target: Option<W::V>) -> Outcome {
    object(w, v, target, "dataframe", "BlockManager")
}

/// The state of a series.
pub(in super::super) fn series<W: View>(w: &W, v: W::V, target: Option<W::V>) -> Outcome {
    object(w, v, target, "series", "SingleBlockManager")
}

fn object<W: View>(w: &W, v: W::V, target: Option<W::V>, kind: &str, manager: &str) -> Outcome {
    demand(fresh(w, target), w, v, "an object without a state so far")?;
    only(w, v, &["_mgr", "_data", "_typ", "_metadata", "attrs", "_attrs", "_flags", "_name", "name"])?;
    let part = |key: &str| w.entry(v, key);
    let ((Some(mgr), None) | (None, Some(mgr))) = (part("_mgr"), part("_data")) else {
        return refuse(w, v, "one manager");
    };
    let Some(made) = made(w, mgr).filter(|made| made.name == manager) else { return refuse(w, mgr, manager) };
    // Made with its blocks, or given them by a state: either has been checked.
    demand(bare(w, &made) == made.state.is_some(), w, mgr, "a manager that has its blocks")?;
    let typed = part("_typ").is_some_and(|typ| matches!(w.shape(typ), Shape::Text(text) if text == kind));
    demand(typed, w, v, format_args!("_typ = {kind:?}"))?;
    for key in ["attrs", "_attrs"] {
        if let Some(attrs) = part(key) {
            demand(matches!(w.shape(attrs), Shape::Dict { .. } | Shape::None), w, attrs, "a dict")?;
        }
    }
    if let Some(flags) = part("_flags") {
        only(w, flags, &["allows_duplicate_labels"])?;
        let flag = w.entry(flags, "allows_duplicate_labels");
        demand(flag.is_none_or(|flag| matches!(w.shape(flag), Shape::Bool(_))), w, flags, "a flag")?;
    }
    if let Some(names) = part("_metadata") {
        // Names are copied from result to result; one is a series' own name.
        let most = if kind == "series" { 1 } else { 0 };
        let few = matches!(w.shape(names), Shape::List) && w.count(names).is_some_and(|count| count <= most);
        demand(few, w, names, "no names of further attributes")?;
    }
    Ok(())
}
