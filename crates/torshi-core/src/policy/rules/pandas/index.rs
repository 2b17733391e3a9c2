//! Indexes: what they are made of, and so how long they are.
use super::*;

/// The length of an index instance.
pub(super) fn length<W: View>(w: &W, v: W::V) -> Option<u64> {
    let made = made(w, v)?;
    // Made by `_new_Index(class, parts)` and its like; an instance is called after the class.
    let [class, parts] = made.args else { return None };
    extent_of(w, class_name(w, *class)?, *parts)
}

fn extent_of<W: View>(w: &W, class: &str, parts: W::V) -> Option<u64> {
    let part = |key: &str| w.entry(parts, key);
    match class {
        "RangeIndex" => {
            let (start, stop, step) = (int(w, part("start")?)?, int(w, part("stop")?)?, int(w, part("step")?)?);
            range_length(start, stop, step)
        }
        "MultiIndex" => {
            let codes = w.elements(part("codes")?)?;
            array(w, *codes.first()?).map(|codes| codes.count)
        }
        "IntervalIndex" => extent(w, part("left").or_else(|| part("data"))?),
        _ => extent(w, part("data")?),
    }
}

/// How many numbers a range has.
pub(super) fn range_length(start: i64, stop: i64, step: i64) -> Option<u64> {
    let (start, stop, step) = (i128::from(start), i128::from(stop), i128::from(step));
    let span = if step > 0 { stop - start } else { start - stop };
    match step {
        0 => None,
        _ if span <= 0 => Some(0),
        _ => u64::try_from((span + step.abs() - 1) / step.abs()).ok(),
    }
}

/// None, or an offset.
pub(super) fn is_freq<W: View>(w: &W, v: W::V) -> bool {
    match w.shape(v) {
        Shape::None => true,
        Shape::Text(text) => text.len() <= 40,
        Shape::Instance { module, row: Some(_), .. } => {
            matches!(module, "pandas._libs.tslibs.offsets" | "pandas.tseries.offsets")
        }
        Shape::Instance { module: "pandas", name: "DateOffset", .. } => true,
        _ => false,
    }
}

const PLAIN: &[&str] = &["Index", "RangeIndex", "MultiIndex", "CategoricalIndex", "PeriodIndex"];

/// `(class, parts)` of `_new_Index`.
pub(in super::super) fn new<W: View>(w: &W, v: W::V, _: Option<W::V>) -> Outcome {
    one_of(w, v, PLAIN)
}

/// `(DatetimeIndex, parts)`.
pub(in super::super) fn new_datetime<W: View>(w: &W, v: W::V, _: Option<W::V>) -> Outcome {
    one_of(w, v, &["DatetimeIndex"])
}

/// `(TimedeltaIndex, parts)`.
pub(in super::super) fn new_timedelta<W: View>(w: &W, v: W::V, _: Option<W::V>) -> Outcome {
    one_of(w, v, &["TimedeltaIndex"])
}

/// `(IntervalIndex, parts)`.
pub(in super::super) fn new_interval<W: View>(w: &W, v: W::V, _: Option<W::V>) -> Outcome {
    one_of(w, v, &["IntervalIndex"])
}

fn one_of<W: View>(w: &W, v: W::V, classes: &[&str]) -> Outcome {
    let expected = "(a class of indexes, its parts)";
    let [class, parts] = tuple(w, v, expected)? else { return refuse(w, v, expected) };
    let Some(class) = class_name(w, *class).filter(|class| classes.contains(class)) else {
        return refuse(w, *class, "a class of indexes that this function makes");
    };
    let keys: &[&str] = match class {
        "RangeIndex" => &["start", "stop", "step", "name"],
        "MultiIndex" => &["levels", "codes", "sortorder", "names"],
        "IntervalIndex" => &["left", "right", "closed", "name", "dtype"],
        "Index" | "CategoricalIndex" => &["data", "name"],
        _ => &["data", "name", "freq", "tz"],
    };
    only(w, *parts, keys)?;
    if let Some(freq) = w.entry(*parts, "freq") {
        demand(is_freq(w, freq), w, freq, "an offset or None")?;
    }
    if let Some(name) = w.entry(*parts, "name") {
        demand(!matches!(w.shape(name), Shape::Global { .. }), w, name, "a name")?;
    }
    if let Some(data) = w.entry(*parts, "data") {
        let wanted: &[&str] = match class {
            "CategoricalIndex" => &["Categorical"],
            "DatetimeIndex" => &["DatetimeArray"],
            "TimedeltaIndex" => &["TimedeltaArray"],
            "PeriodIndex" => &["PeriodArray"],
            _ => &[],
        };
        let sound = match made(w, data) {
            Some(made) => wanted.is_empty() || wanted.contains(&made.name),
            // Older pandas handed a plain array of dates or ordinals over.
            None => match (class, array(w, data)) {
                ("Index", Some(_)) => true,
                ("DatetimeIndex", Some(array)) => array.is('M', 8),
                ("TimedeltaIndex", Some(array)) => array.is('m', 8),
                ("PeriodIndex", Some(array)) => array.is('i', 8),
                _ => false,
            },
        };
        demand(sound, w, data, "an array of the kind the index has")?;
    }
    if class == "MultiIndex" {
        return levels(w, *parts);
    }
    demand(extent_of(w, class, *parts).is_some(), w, *parts, "parts of a known length")
}

/// Every code within its level, every level of the same length in rows.
fn levels<W: View>(w: &W, parts: W::V) -> Outcome {
    let expected = "levels, and codes within them";
    let all = |key: &str| w.entry(parts, key).and_then(|part| w.elements(part));
    let (Some(levels), Some(codes)) = (all("levels"), all("codes")) else { return refuse(w, parts, expected) };
    let sort = w.entry(parts, "sortorder").is_none_or(|order| matches!(w.shape(order), Shape::None | Shape::Int(_)));
    demand(levels.len() == codes.len() && !levels.is_empty() && sort, w, parts, expected)?;
    let mut rows = None;
    for (level, code) in levels.iter().zip(&codes) {
        let (Some(length), Some(codes)) = (length(w, *level), array(w, *code)) else {
            return refuse(w, *code, expected);
        };
        let same = *rows.get_or_insert(codes.count) == codes.count && codes.shape.len() == 1;
        demand(same && codes.dtype.kind == 'i' && codes.within(w, -1, length), w, *code, expected)?;
    }
    Ok(())
}

/// An offset, as a period has it.
pub(in super::super) fn freq<W: View>(w: &W, v: W::V, _: Option<W::V>) -> Outcome {
    demand(is_freq(w, v) && !matches!(w.shape(v), Shape::None), w, v, "an offset or its short name")
}

/// An end of an interval: something ordered, whose comparison runs no other code.
pub(in super::super) fn endpoint<W: View>(w: &W, v: W::V, _: Option<W::V>) -> Outcome {
    let sound = match w.shape(v) {
        Shape::Int(_) | Shape::BigInt { .. } | Shape::Float(_) | Shape::Bool(_) => true,
        Shape::Instance { module: "numpy", name: "generic", .. } => true,
        Shape::Instance { module, name: "Timestamp" | "Timedelta", .. } => of_pandas(module),
        _ => false,
    };
    demand(sound, w, v, "a number, a timestamp or a timedelta")
}
