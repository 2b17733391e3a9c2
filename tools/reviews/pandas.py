"""pandas: frames, series, indexes, arrays, dtypes, scalars, offsets."""

from __future__ import annotations

from policy_tables import Library, Review

ZONE = (
    "none | #datetime:timezone | #zoneinfo:ZoneInfo | #dateutil.tz.tz:tzutc | #dateutil.tz.tz:tzoffset"
    " | #pytz:_p | #pytz:_UTC"
)
OFFSETS = "pandas._libs.tslibs.offsets"
ARGUMENTS = {
    "n": "int[..]",
    "normalize": "bool?",
    "offset": "#datetime:timedelta?",
    "startingMonth": "int[1..12]?",
    "month": "int[1..12]?",
    "weekday": "none | int[0..6]?",
    "week": "int[0..4]?",
    "day_of_month": "int[1..31]?",
    "method": "int[1..3]?",
    "weekmask": "str[60]?",
    "holidays": "tuple(#numpy:generic)?",
    "calendar": "none?",
    "start": "tuple(#datetime:time)?",
    "end": "tuple(#datetime:time)?",
    "qtr_with_extra_week": "int[1..4]?",
    "variation": "'nearest' | 'last'?",
}


def offsets() -> list[Review]:
    """One row for each list of arguments that offsets are made from."""
    import pandas._libs.tslibs.offsets as module

    by_arguments: dict[str, list[str]] = {}
    for name, cls in vars(module).items():
        if not (isinstance(cls, type) and issubclass(cls, module.BaseOffset)) or name != cls.__qualname__:
            continue
        if cls.__module__ != OFFSETS or name.startswith("_") or name.endswith(("Mixin", "Offset")):
            continue
        arguments = ", ".join(ARGUMENTS[attribute] for attribute in cls._attributes)
        by_arguments.setdefault(f"({arguments})", []).append(f"{OFFSETS}:{name}")
    reason = "an offset of dates from small numbers, which its class checks again"
    return [Review(reason, names, {"call": arguments, "fragile": True}) for arguments, names in by_arguments.items()]


BACKED = {"state": "!pandas.backed", "freezes": True, "fragile": True}
MASKED = {"construct": "()", "state": "!pandas.masked", "freezes": True, "fragile": True}
ARROW = {"construct": "()", "state": "!pandas.arrow", "freezes": True, "fragile": True}
DTYPE = {"construct": "()", "state": "attrs", "fragile": True}
INDEX = {"kind": "function", "makes": "arg0", "freezes": True}
MANAGERS = "pandas.core.internals.managers"
BACKED_NAMES = ["DatetimeArray", "TimedeltaArray", "PeriodArray", "StringArray", "NumpyExtensionArray"]

REVIEWS = [
    Review("a missing value; a constant", ["pandas:NA", "pandas._libs.missing:NA"], {"value": True}),
    Review(
        "a frame over a manager of its own kind; no attribute but pandas' own",
        ["DataFrame"],
        {"construct": "()", "state": "!pandas.frame", "fragile": True},
    ),
    Review(
        "a series over a manager of its own kind; no attribute but pandas' own",
        ["Series"],
        {"construct": "()", "state": "!pandas.series", "fragile": True},
    ),
    Review(
        "blocks that cover the columns exactly, as long as the rows: compiled code writes where placements say",
        [f"{MANAGERS}:BlockManager", "pandas.core.internals:BlockManager"],
        {
            "call": "!pandas.manager",
            "construct": "()",
            "state": "!pandas.manager_state",
            "freezes": True,
            "fragile": True,
        },
    ),
    Review(
        "one block as long as its index",
        [f"{MANAGERS}:SingleBlockManager", "pandas.core.internals:SingleBlockManager"],
        {
            "call": "!pandas.single",
            "construct": "()",
            "state": "!pandas.manager_state",
            "freezes": True,
            "fragile": True,
        },
    ),
    Review(
        "values with a placement as long as they are wide",
        ["pandas._libs.internals:_unpickle_block"],
        {
            "call": "!pandas.block",
            "kind": "function",
            "makes": "pandas._libs.internals:_unpickle_block",
            "fragile": True,
        },
    ),
    Review(
        "an index from an array of its kind; codes within their levels",
        ["pandas.core.indexes.base:_new_Index"],
        {"call": "!pandas.index", **INDEX},
    ),
    Review(
        "an index of dates over an array of dates",
        ["pandas.core.indexes.datetimes:_new_DatetimeIndex"],
        {"call": "!pandas.datetime_index", **INDEX},
    ),
    Review(
        "an index of spans over an array of spans",
        ["pandas.core.indexes.timedeltas:_new_TimedeltaIndex"],
        {"call": "!pandas.timedelta_index", **INDEX},
    ),
    Review(
        "an index of intervals from two sides of the same length",
        ["pandas.core.indexes.interval:_new_IntervalIndex"],
        {"call": "!pandas.interval_index", **INDEX},
    ),
    Review(
        "a class of indexes, made by its function; as a value it is what a dtype keeps for its own use",
        [
            "Index",
            "RangeIndex",
            "MultiIndex",
            "CategoricalIndex",
            "PeriodIndex",
            "DatetimeIndex",
            "TimedeltaIndex",
            "IntervalIndex",
        ],
        {"fragile": True, "value": True},
    ),
    Review(
        "an empty array of a class, given its state next",
        ["pandas._libs.arrays:__pyx_unpickle_NDArrayBacked"],
        {"call": "!pandas.unpickle", "kind": "function", "makes": "arg0"},
    ),
    Review("codes that lie within the categories", ["Categorical"], BACKED),
    Review("an array over a numpy array of the kind of its class", BACKED_NAMES, BACKED),
    Review("values and a mask of the same shape", ["IntegerArray", "FloatingArray", "BooleanArray"], MASKED),
    Review("an array over a checked Arrow array", ["ArrowExtensionArray", "ArrowStringArray"], ARROW),
    Review(
        "as many values as its index has points",
        ["SparseArray"],
        {"construct": "()", "state": "!pandas.sparse", "freezes": True, "fragile": True},
    ),
    Review(
        "points in order and within the length, which the class checks again",
        ["pandas._libs.sparse:IntIndex", "pandas._libs.sparse:BlockIndex"],
        {"call": "!pandas.sparse_index"},
    ),
    Review(
        "two sides of the same length",
        ["IntervalArray"],
        {"state": "!pandas.interval_array", "freezes": True, "fragile": True},
    ),
    Review(
        "an empty array of intervals, given its state next",
        ["pandas._libs.interval:__pyx_unpickle_IntervalMixin"],
        {
            "call": "(@pandas.arrays:IntervalArray | @pandas.core.arrays.interval:IntervalArray, int[..], none)",
            "kind": "function",
            "makes": "arg0",
        },
    ),
    Review(
        "categories that are an index, and whether they are ordered",
        ["CategoricalDtype"],
        {"construct": "()", "state": "!pandas.categorical_dtype", "freezes": True, "fragile": True},
    ),
    Review(
        "a dtype without parameters",
        [
            "Int8Dtype",
            "Int16Dtype",
            "Int32Dtype",
            "Int64Dtype",
            "UInt8Dtype",
            "UInt16Dtype",
            "UInt32Dtype",
            "UInt64Dtype",
            "Float32Dtype",
            "Float64Dtype",
            "BooleanDtype",
        ],
        {"call": "()", **DTYPE},
    ),
    Review(
        "a dtype with all its parameters: compiled code asks for them where it cannot pass an error on",
        ["SparseDtype"],
        {**DTYPE, "fields": {"_dtype": "needed #any", "_fill_value": "needed any"}},
    ),
    Review(
        "a dtype with all its parameters",
        ["IntervalDtype"],
        {**DTYPE, "fields": {"subtype": "needed none | #any", "closed": "needed none | str"}},
    ),
    Review(
        "a dtype with all its parameters",
        ["ArrowDtype"],
        {**DTYPE, "fields": {"_storage": "'pyarrow'", "pyarrow_dtype": "needed !arrow.type"}},
    ),
    Review("a dtype with all its parameters", ["NumpyEADtype"], {**DTYPE, "fields": {"_dtype": "needed #numpy:dtype"}}),
    Review(
        "a unit and a time zone of a known class",
        ["DatetimeTZDtype"],
        {"construct": "()", "state": "!pandas.zone_dtype", "fragile": True},
    ),
    Review(
        "a frequency as a short text, parsed by the class, or as an offset",
        ["PeriodDtype"],
        {"call": "(str[60] | !pandas.freq)"},
    ),
    Review(
        "a storage and what stands for missing",
        ["StringDtype"],
        {
            "call": "('python' | 'pyarrow' | 'pyarrow_numpy'?, float | none | @pandas:NA?)",
            "construct": "()",  # before pandas 2.3
            "state": "attrs",
            "fields": {"storage": "'python' | 'pyarrow' | 'pyarrow_numpy'", "*": "none"},
        },
    ),
    Review(
        "a number of units since 1970, a unit, a time zone of a known class",
        ["pandas._libs.tslibs.timestamps:_unpickle_timestamp"],
        {
            "call": f"(int[..], none, {ZONE}, int[7..10]?)",
            "kind": "function",
            "makes": "pandas._libs.tslibs.timestamps:Timestamp",
        },
    ),
    Review(
        "a class of scalars, made by its function",
        [
            "pandas._libs.tslibs.timestamps:Timestamp",
            "pandas._libs.tslibs.timedeltas:Timedelta",
            "pandas:Timestamp",
            "pandas:Timedelta",
        ],
        {"fragile": True},
    ),
    Review(
        "a number of units",
        ["pandas._libs.tslibs.timedeltas:_timedelta_unpickle"],
        {"call": "(int[..], int[7..10])", "kind": "function", "makes": "pandas._libs.tslibs.timedeltas:Timedelta"},
    ),
    Review(
        "the missing date",
        ["pandas._libs.tslibs.nattype:_nat_unpickle"],
        {"call": "(none?)", "kind": "function", "makes": "data"},
        ["pandas._libs.tslibs.nattype:__nat_unpickle"],
    ),
    Review(
        "a frequency and a number of it",
        ["pandas:Period", "pandas._libs.tslibs.period:Period"],
        {"call": "(none, !pandas.freq, int[..])", "fragile": True},
    ),
    Review(
        "two scalars, which it compares, and which of them belong to it",
        ["pandas:Interval", "pandas._libs.interval:Interval"],
        {"call": "(!pandas.endpoint, !pandas.endpoint, 'left' | 'right' | 'both' | 'neither'?)", "fragile": True},
    ),
    Review(
        "a name and the name of an aggregation; a function here would be called with arguments of the stream",
        ["NamedAgg"],
        {"construct": "()", "state": "attrs", "fields": {"aggfunc": "needed str"}},
    ),
    Review(
        "an offset in Python: its parts in attributes",
        ["pandas:DateOffset"],
        {
            "call": "()",
            "construct": "()",
            "state": "attrs",
            "fields": {"_offset": "#dateutil.relativedelta:relativedelta || #datetime:timedelta"},
            "fragile": True,
        },
        [f"{OFFSETS}:DateOffset", "pandas.tseries.offsets:DateOffset"],
    ),
    *offsets(),
]

LIBRARY = Library(
    "pandas",
    """# pandas 2 and 3. Readers, writers, groupers and everything that takes a function are absent.
# Written by tools/policy_tables.py from the reviews there.""",
    ["pandas"],
    REVIEWS,
)
