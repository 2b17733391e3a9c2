//! Extension arrays: data, masks and codes that agree with each other.
use super::*;
use crate::policy::rules::numpy::dtype::checked;

fn made_state<W: View>(w: &W, v: W::V) -> Option<W::V> {
    made(w, v)?.state
}

/// The shape of what may be the values of a block or an index.
pub(super) fn shape<W: View>(w: &W, v: W::V) -> Option<Vec<u64>> {
    if let Some(array) = array(w, v) {
        return Some(array.shape);
    }
    let made = made(w, v)?;
    let state = made.state?;
    let state = match w.shape(state) {
        Shape::Tuple([dict]) => *dict,
        _ => state,
    };
    let of = |key: &str| w.entry(state, key);
    match made.name {
        "IntegerArray" | "FloatingArray" | "BooleanArray" => Some(array(w, of("_data")?)?.shape),
        "ArrowStringArray" | "ArrowExtensionArray" | "ArrowStringArrayNumpySemantics" => {
            Some(vec![arrow::length(w, of("_pa_array").or_else(|| of("_data"))?)?])
        }
        "IntervalArray" => Some(vec![extent(w, of("_left")?)?]),
        "SparseArray" => Some(vec![sparse_extent(w, of("_sparse_index")?)?.0]),
        _ => Some(backing(w, state)?.0.shape),
    }
}

/// The array and the dtype of a state `(dtype, array[, attributes])`, in either order.
fn backing<W: View>(w: &W, state: W::V) -> Option<(Array<'_, W::V>, W::V)> {
    let Shape::Tuple([first, second, ..]) = w.shape(state) else { return None };
    match array(w, *second) {
        Some(found) => Some((found, *first)),
        None => array(w, *first).map(|found| (found, *second)),
    }
}

/// `(class, checksum, None)`: an empty array of a class.
pub(in super::super) fn unpickle<W: View>(w: &W, v: W::V, _: Option<W::V>) -> Outcome {
    let expected = "(an array class of pandas, a checksum, None)";
    let [class, sum, state] = tuple(w, v, expected)? else { return refuse(w, v, expected) };
    const CLASSES: &[&str] = &[
        "Categorical",
        "DatetimeArray",
        "NumpyExtensionArray",
        "PandasArray",
        "PeriodArray",
        "StringArray",
        "StringArrayNumpySemantics",
        "TimedeltaArray",
    ];
    let known = class_name(w, *class).is_some_and(|name| CLASSES.contains(&name));
    demand(known && int(w, *sum).is_some() && matches!(w.shape(*state), Shape::None), w, v, expected)
}

/// The state of an array over one numpy array: kind and dtype must be those of its class, codes within categories.
pub(in super::super) fn backed<W: View>(w: &W, v: W::V, target: Option<W::V>) -> Outcome {
    let expected = "(dtype, array, attributes)";
    let Some(target) = target.filter(|target| fresh(w, Some(*target))) else {
        return refuse(w, v, "an array without a state so far");
    };
    let Some(made) = made(w, target) else { return refuse(w, target, "an array of pandas") };
    let mut cached = None;
    match tuple(w, v, expected)? {
        [_, _] => {}
        [_, _, attributes] => {
            only(w, *attributes, &["_cache", "_freq", "_readonly"])?;
            cached = w.entry(*attributes, "_cache");
            if let Some(freq) = w.entry(*attributes, "_freq") {
                demand(index::is_freq(w, freq), w, freq, "an offset or None")?;
            }
        }
        _ => return refuse(w, v, expected),
    }
    let Some((array, dtype)) = backing(w, v) else { return refuse(w, v, expected) };
    let claimed = match w.shape(dtype) {
        Shape::Instance { module, name, .. } if of_pandas(module) || module == "numpy" => name,
        _ => return refuse(w, dtype, "a dtype"),
    };
    let unit = unit(w, &array);
    if let Some(cache) = cached {
        check_cache(w, cache, made.name, unit)?;
    }
    let sound = match made.name {
        "Categorical" => {
            let Some(count) = categories(w, dtype) else { return refuse(w, dtype, "a dtype with categories") };
            matches!(array.dtype.kind, 'i') && array.within(w, -1, count)
        }
        "DatetimeArray" => array.is('M', 8) && unit.is_some() && matches!(claimed, "dtype" | "DatetimeTZDtype"),
        "TimedeltaArray" => array.is('m', 8) && unit.is_some() && claimed == "dtype",
        "PeriodArray" => array.is('i', 8) && claimed == "PeriodDtype",
        "StringArray" | "StringArrayNumpySemantics" => array.is('O', 8) && claimed == "StringDtype",
        "NumpyExtensionArray" | "PandasArray" => {
            let inner =
                made_state(w, dtype).and_then(|state| w.entry(state, "_dtype")).and_then(|inner| checked(w, inner));
            matches!(claimed, "NumpyEADtype" | "PandasDtype")
                && inner.is_some_and(|inner| (inner.kind, inner.size) == (array.dtype.kind, array.dtype.size))
        }
        _ => false,
    };
    demand(sound, w, v, "an array of the kind its class has, and codes within the categories")
}

/// The number pandas has for the unit of an array of dates or spans, and its name.
fn unit<W: View>(w: &W, array: &Array<'_, W::V>) -> Option<(i64, &'static str)> {
    match &*time_unit(w, array.dtype_value)? {
        b"s" => Some((7, "s")),
        b"ms" => Some((8, "ms")),
        b"us" => Some((9, "us")),
        b"ns" => Some((10, "ns")),
        _ => None,
    }
}

/// What an array has worked out before: compiled code believes the number of its unit.
fn check_cache<W: View>(w: &W, cache: W::V, class: &str, unit: Option<(i64, &str)>) -> Outcome {
    only(w, cache, &["dtype", "_creso", "unit", "_can_hold_na"])?;
    let sound = |key: &str, holds: &dyn Fn(W::V) -> bool| w.entry(cache, key).is_none_or(holds);
    let dtype = |v| matches!((w.shape(v), class), (Shape::Instance { name: "PeriodDtype", .. }, "PeriodArray"));
    let number = |v| int(w, v).is_some_and(|number| unit.is_some_and(|unit| unit.0 == number));
    let name = |v| matches!((w.shape(v), unit), (Shape::Text(text), Some((_, unit))) if text == unit);
    let flag = |v| matches!(w.shape(v), Shape::Bool(_));
    let all =
        sound("dtype", &dtype) && sound("_creso", &number) && sound("unit", &name) && sound("_can_hold_na", &flag);
    demand(all, w, cache, "what the array itself would work out")
}

/// How many categories a dtype has, if its state is set.
fn categories<W: View>(w: &W, v: W::V) -> Option<u64> {
    let Made { name: "CategoricalDtype", state: Some(state), .. } = made(w, v)? else { return None };
    match w.entry(state, "categories") {
        Some(index) if matches!(w.shape(index), Shape::None) => Some(0),
        Some(index) => index::length(w, index),
        None => None,
    }
}

/// `{'categories': index or None, 'ordered': bool or None}`.
pub(in super::super) fn categorical_dtype<W: View>(w: &W, v: W::V, target: Option<W::V>) -> Outcome {
    demand(fresh(w, target), w, v, "a dtype without a state so far")?;
    only(w, v, &["categories", "ordered", "_cache"])?;
    if let Some(cache) = w.entry(v, "_cache") {
        only(w, cache, &["_can_hold_na"])?;
    }
    let ordered = w.entry(v, "ordered").is_none_or(|flag| matches!(w.shape(flag), Shape::None | Shape::Bool(_)));
    let index = w
        .entry(v, "categories")
        .is_none_or(|index| matches!(w.shape(index), Shape::None) || index::length(w, index).is_some());
    demand(ordered && index, w, v, "categories that are an index, and a flag")
}

/// `{'_data': array, '_mask': array of bools of the same shape}`.
pub(in super::super) fn masked<W: View>(w: &W, v: W::V, target: Option<W::V>) -> Outcome {
    let Some(made) = target.filter(|target| fresh(w, Some(*target))).and_then(|target| made(w, target)) else {
        return refuse(w, v, "an array without a state so far");
    };
    only(w, v, &["_data", "_mask", "_cache", "_dtype", "_readonly"])?;
    let part = |key: &str| w.entry(v, key).and_then(|part| array(w, part));
    let (Some(data), Some(mask)) = (part("_data"), part("_mask")) else { return refuse(w, v, "data and a mask") };
    let kind = match made.name {
        "IntegerArray" => matches!(data.dtype.kind, 'i' | 'u'),
        "FloatingArray" => data.dtype.kind == 'f' && matches!(data.dtype.size, 4 | 8),
        "BooleanArray" => data.dtype.kind == 'b',
        _ => false,
    };
    if let Some(cache) = w.entry(v, "_cache") {
        only(w, cache, &["dtype", "_can_hold_na"])?;
        if let Some(dtype) = w.entry(cache, "dtype") {
            demand(is_masked_dtype(w, dtype, &data), w, dtype, "the dtype of the data")?;
        }
    }
    if let Some(dtype) = w.entry(v, "_dtype") {
        demand(is_masked_dtype(w, dtype, &data), w, dtype, "the dtype of the data")?;
    }
    let agree = data.shape == mask.shape && mask.is('b', 1) && (data.fortran == mask.fortran || data.shape.len() < 2);
    demand(kind && agree, w, v, "data of the class's kind and a mask of the same shape")
}

fn is_masked_dtype<W: View>(w: &W, v: W::V, data: &Array<'_, W::V>) -> bool {
    let Some(made) = made(w, v) else { return false };
    let bits = data.dtype.size * 8;
    let wanted = match data.dtype.kind {
        'i' => format!("Int{bits}Dtype"),
        'u' => format!("UInt{bits}Dtype"),
        'f' => format!("Float{bits}Dtype"),
        _ => "BooleanDtype".to_owned(),
    };
    made.name == wanted
}

/// `{'_pa_array': array, '_dtype': dtype, '_cache': {}}`.
pub(in super::super) fn arrow_backed<W: View>(w: &W, v: W::V, target: Option<W::V>) -> Outcome {
    let Some(made) = target.filter(|target| fresh(w, Some(*target))).and_then(|target| made(w, target)) else {
        return refuse(w, v, "an array without a state so far");
    };
    only(w, v, &["_pa_array", "_data", "_dtype", "_cache", "_readonly"])?;
    if let Some(cache) = w.entry(v, "_cache") {
        only(w, cache, &["_can_hold_na"])?;
    }
    let Some(data) = w.entry(v, "_pa_array").or_else(|| w.entry(v, "_data")) else {
        return refuse(w, v, "an Arrow array");
    };
    demand(arrow::length(w, data).is_some(), w, data, "an Arrow array")?;
    let wanted = if made.name == "ArrowExtensionArray" { "ArrowDtype" } else { "StringDtype" };
    let dtype = w.entry(v, "_dtype").and_then(|dtype| self::made(w, dtype));
    let Some(dtype) = dtype.filter(|dtype| dtype.name == wanted) else { return refuse(w, v, "a dtype of the class") };
    let agrees = match dtype.state.and_then(|state| w.entry(state, "pyarrow_dtype")) {
        Some(kind) => arrow::is_of(w, data, kind),
        None => wanted == "StringDtype" && arrow::is_text(w, data),
    };
    demand(agrees, w, data, "an Arrow array of the type the dtype says")
}

/// Length and number of points of a sparse index.
fn sparse_extent<W: View>(w: &W, v: W::V) -> Option<(u64, u64)> {
    let made = made(w, v)?;
    let length = u64::try_from(int(w, *made.args.first()?)?).ok()?;
    match (made.name, made.args) {
        ("IntIndex", [_, indices]) => Some((length, array(w, *indices)?.count)),
        ("BlockIndex", [_, _, lengths]) => {
            let lengths = array(w, *lengths)?;
            let lengths: Vec<i64> = lengths.integers(w)?.collect();
            let total = lengths.iter().try_fold(0u64, |sum, n| sum.checked_add(u64::try_from(*n).ok()?))?;
            Some((length, total))
        }
        _ => None,
    }
}

/// `(length, indices)` or `(length, starts, lengths)`: in order, apart, inside; pandas checks them again.
pub(in super::super) fn sparse_index<W: View>(w: &W, v: W::V, _: Option<W::V>) -> Outcome {
    let expected = "(length, indices) or (length, starts, lengths)";
    let (length, starts, lengths) = match tuple(w, v, expected)? {
        [length, starts] => (*length, *starts, None),
        [length, starts, lengths] => (*length, *starts, Some(*lengths)),
        _ => return refuse(w, v, expected),
    };
    let numbers = |v| {
        let array = array(w, v).filter(|array| array.is('i', 4) && array.shape.len() == 1 && w.spend(array.count))?;
        array.integers(w).map(|all| all.collect::<Vec<i64>>())
    };
    let Some(length) = int(w, length).filter(|length| (0..=i64::from(i32::MAX)).contains(length)) else {
        return refuse(w, length, expected);
    };
    let Some(starts) = numbers(starts) else { return refuse(w, v, expected) };
    let lengths = match lengths {
        Some(lengths) => match numbers(lengths) {
            Some(lengths) => lengths,
            None => return refuse(w, v, expected),
        },
        None => vec![1; starts.len()],
    };
    let mut end = 0;
    let ordered = starts.len() == lengths.len()
        && starts.iter().zip(&lengths).all(|(start, run)| {
            let sound = *start >= end && *run > 0 && start + run <= length;
            end = start + run;
            sound
        });
    demand(ordered, w, v, "runs in order and within the length")
}

/// `{'_sparse_index': index, '_sparse_values': as many values, '_dtype': dtype}`.
pub(in super::super) fn sparse<W: View>(w: &W, v: W::V, target: Option<W::V>) -> Outcome {
    demand(fresh(w, target), w, v, "an array without a state so far")?;
    only(w, v, &["_sparse_index", "_sparse_values", "_dtype", "_cache", "_readonly"])?;
    if let Some(cache) = w.entry(v, "_cache") {
        only(w, cache, &["_can_hold_na"])?;
    }
    let points = w.entry(v, "_sparse_index").and_then(|index| sparse_extent(w, index));
    let values = w.entry(v, "_sparse_values").and_then(|values| array(w, values));
    let dtype = w.entry(v, "_dtype").and_then(|dtype| made(w, dtype));
    let agree = matches!((&points, &values), (Some((_, points)), Some(values)) if values.shape == [*points]);
    demand(agree && dtype.is_some_and(|dtype| dtype.name == "SparseDtype"), w, v, "as many values as points")
}

/// `{'_left': array, '_right': array of the same length, '_dtype': dtype}`.
pub(in super::super) fn interval<W: View>(w: &W, v: W::V, target: Option<W::V>) -> Outcome {
    demand(fresh(w, target), w, v, "an array without a state so far")?;
    let dict = match w.shape(v) {
        Shape::Tuple([dict]) => *dict,
        _ => v,
    };
    only(w, dict, &["_left", "_right", "_dtype", "_closed", "_cache", "_readonly"])?;
    if let Some(cache) = w.entry(dict, "_cache") {
        only(w, cache, &["_can_hold_na"])?;
    }
    let side = |key: &str| w.entry(dict, key).and_then(|side| extent(w, side));
    let dtype = w.entry(dict, "_dtype").and_then(|dtype| made(w, dtype));
    let agree = side("_left").is_some() && side("_left") == side("_right");
    demand(agree && dtype.is_some_and(|dtype| dtype.name == "IntervalDtype"), w, v, "two sides of the same length")
}

/// `{'unit': 'ns', 'tz': zone}`.
pub(in super::super) fn zone_dtype<W: View>(w: &W, v: W::V, target: Option<W::V>) -> Outcome {
    demand(fresh(w, target), w, v, "a dtype without a state so far")?;
    only(w, v, &["unit", "tz"])?;
    let unit = w.entry(v, "unit").is_some_and(|unit| matches!(w.shape(unit), Shape::Text("s" | "ms" | "us" | "ns")));
    let zone = w.entry(v, "tz").is_some_and(|zone| {
        matches!(
            w.shape(zone),
            Shape::Instance {
                module: "datetime" | "zoneinfo" | "dateutil.tz.tz" | "pytz",
                name: "timezone" | "ZoneInfo" | "tzutc" | "tzoffset" | "_p" | "_UTC",
                row: Some(_),
                ..
            }
        )
    });
    demand(unit && zone, w, v, "a unit and a time zone of a known class")
}
