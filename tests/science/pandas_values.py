"""Frames, series, indexes, extension arrays, dtypes, scalars and offsets of pandas."""

from __future__ import annotations

import datetime
import importlib.util
import warnings
import zoneinfo
from collections.abc import Callable
from typing import Any

from science.values import Value, Values

HAS_ARROW = importlib.util.find_spec("pyarrow") is not None


def arrays() -> dict[str, Callable[[], Any]]:
    import numpy as np
    import pandas as pd

    found: dict[str, Callable[[], Any]] = {
        "bool": lambda: np.array([True, False, True]),
        "object": lambda: np.array(["a", None, 3], dtype=object),
        "str": lambda: pd.array(["a", None, "ü"], dtype="str"),
        "string_python": lambda: pd.array(["a", None, "b"], dtype=pd.StringDtype("python")),
        "datetime": lambda: pd.array(pd.to_datetime(["2024-01-01", None, "2024-01-03"])),
        "datetime_s": lambda: np.array(["2024-01-01", "NaT", "1999-01-01"], dtype="M8[s]"),
        "datetime_utc": lambda: pd.array(pd.to_datetime(["2024-01-01", None, "2024-01-03"], utc=True)),
        "datetime_paris": lambda: pd.array(pd.date_range("2024", periods=3, tz="Europe/Paris")),
        "datetime_fixed": lambda: pd.array(
            pd.date_range("2024", periods=3, tz=datetime.timezone(datetime.timedelta(hours=2)))
        ),
        "timedelta": lambda: pd.array(pd.to_timedelta([1, None, 3], unit="D")),
        "period_month": lambda: pd.array(pd.period_range("2024-01", periods=3, freq="M")),
        "period_quarter": lambda: pd.array(pd.period_range("2024Q1", periods=3, freq="Q")),
        "interval": lambda: pd.array(pd.interval_range(0, 3)),
        "interval_left": lambda: pd.arrays.IntervalArray.from_breaks([0.0, 1, 2, 4], closed="left"),
        "interval_dates": lambda: pd.arrays.IntervalArray.from_breaks(pd.date_range("2024", periods=4)),
        "categorical": lambda: pd.Categorical(["x", None, "y"]),
        "categorical_ordered": lambda: pd.Categorical([3, 1, 3], ordered=True),
        "categorical_dates": lambda: pd.Categorical(pd.to_datetime(["2024-01-01", "2024-01-02", "2024-01-01"])),
        "categorical_many": lambda: pd.Categorical.from_codes([0, 299, -1], categories=list(range(300))),
        "sparse_float": lambda: pd.arrays.SparseArray([0.0, 1.5, 0.0]),
        "sparse_int": lambda: pd.arrays.SparseArray([0, 0, 7]),
        "sparse_block": lambda: pd.arrays.SparseArray([0, 3, 7], kind="block"),
        "boolean": lambda: pd.array([True, None, False], dtype="boolean"),
        "numpy_extension": lambda: pd.arrays.NumpyExtensionArray(np.array([1, 2, 3])),
    }
    for name in ("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8", "c8", "c16"):
        found[name] = lambda name=name: np.array([1, 2, 3], dtype=name)
    for name in ("Int8", "UInt8", "Int16", "UInt16", "Int32", "UInt32", "Int64", "UInt64", "Float32", "Float64"):
        found[name] = lambda name=name: pd.array([1, None, 3], dtype=name)
    if HAS_ARROW:
        import pyarrow as pa

        found["string_arrow"] = lambda: pd.array(["a", None, "b"], dtype=pd.StringDtype("pyarrow"))
        for name, items in ARROW:
            kind = eval(name, {"pa": pa})
            label = "arrow_" + name.replace("pa.", "").replace("()", "")
            found[label] = lambda kind=kind, items=items: pd.array(items, dtype=pd.ArrowDtype(kind))
    return found


ARROW: list[tuple[str, list[Any]]] = [
    ("pa.int8()", [1, None, 3]),
    ("pa.uint16()", [1, None, 3]),
    ("pa.int64()", [1, None, 3]),
    ("pa.float32()", [1.5, None, 3]),
    ("pa.float64()", [1.5, None, 3]),
    ("pa.bool_()", [True, None, False]),
    ("pa.string()", ["a", None, "b"]),
    ("pa.large_string()", ["a", None, "b"]),
    ("pa.binary()", [b"a", None, b"b"]),
    ("pa.date32()", [datetime.date(2024, 1, 1), None, datetime.date(2024, 1, 2)]),
    ("pa.timestamp('us', tz='UTC')", [datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC), None, None]),
    ("pa.duration('s')", [datetime.timedelta(1), None, datetime.timedelta(2)]),
    ("pa.decimal128(5, 2)", [1, None, 3]),
    ("pa.list_(pa.int64())", [[1, 2], None, []]),
    ("pa.struct([('a', pa.int64()), ('b', pa.string())])", [{"a": 1, "b": "x"}, None, {"a": None, "b": "y"}]),
    ("pa.dictionary(pa.int32(), pa.string())", ["x", None, "x"]),
]


def indexes() -> dict[str, Callable[[], Any]]:
    import numpy as np
    import pandas as pd

    found: dict[str, Callable[[], Any]] = {
        "range": lambda: pd.RangeIndex(3),
        "range_step": lambda: pd.RangeIndex(5, -4, -3, name="r"),
        "datetime_freq": lambda: pd.date_range("2024", periods=3, freq="D", name="d"),
        "datetime_month": lambda: pd.date_range("2024", periods=3, freq="ME"),
        "datetime_business": lambda: pd.date_range("2024", periods=3, freq="B"),
        "datetime_hours_tz": lambda: pd.date_range("2024", periods=3, freq="2h", tz="Europe/Paris"),
        "timedelta_freq": lambda: pd.timedelta_range("1D", periods=3, freq="D"),
        "period_freq": lambda: pd.period_range("2024", periods=3, freq="M", name="p"),
        "multi": lambda: pd.MultiIndex.from_tuples([("a", 1), ("b", 2), ("a", 3)], names=["k", "n"]),
        "multi_missing": lambda: pd.MultiIndex.from_arrays([["a", None, "b"], pd.date_range("2024", periods=3)]),
        "multi_three": lambda: pd.MultiIndex.from_product([["a", "b"], [1], pd.Categorical(["x", "y"])])[:3],
        "float": lambda: pd.Index([1.5, np.nan, 2.5]),
        "tuples": lambda: pd.Index([(1, 2), (3, 4), (5, 6)], tupleize_cols=False),
        "empty": lambda: pd.Index([]),
    }
    skipped = ("sparse", "numpy_extension")
    for name, make in arrays().items():
        if not name.startswith(skipped):
            found[f"of_{name}"] = lambda make=make: pd.Index(make(), name="i")
    return found


def frames() -> dict[str, Callable[[], Any]]:
    import numpy as np
    import pandas as pd

    every = {name: make for name, make in arrays().items() if not name.startswith("arrow_struct")}

    def mixed() -> Any:
        return pd.DataFrame({name: pd.Series(make()) for name, make in every.items()})

    def flagged() -> Any:
        frame = pd.DataFrame({"a": [1, 2]})
        frame.attrs["source"] = {"file": "x", "rows": [1, 2]}
        return frame.set_flags(allows_duplicate_labels=False)

    return {
        "empty": lambda: pd.DataFrame(),
        "no_rows": lambda: pd.DataFrame({"a": np.array([], "f8"), "b": np.array([], object)}),
        "no_columns": lambda: pd.DataFrame(index=[1, 2]),
        "floats": lambda: pd.DataFrame(np.arange(12.0).reshape(4, 3), columns=list("abc")),
        "mixed": lambda: pd.DataFrame({"i": [1, 2], "f": [1.5, None], "s": ["x", "y"], "o": [[1], {"a": 2}]}),
        "every_dtype": mixed,
        "every_dtype_copied": lambda: mixed().copy(),
        "split_blocks": lambda: pd.DataFrame({"a": [1], "b": ["x"], "c": [2], "d": [1.5], "e": ["y"], "f": [3]}),
        "multi_columns": lambda: pd.DataFrame(
            np.ones((2, 4)), columns=pd.MultiIndex.from_product([["a", "b"], [1, 2]])
        ),
        "multi_rows": lambda: pd.DataFrame(
            {"v": range(4)}, index=pd.MultiIndex.from_product([["a", "b"], [1, 2]], names=["k", "n"])
        ),
        "dates": lambda: pd.DataFrame({"x": range(3)}, index=pd.date_range("2024", periods=3, tz="UTC")),
        "duplicate_columns": lambda: pd.DataFrame([[1, "a", 2]], columns=["x", "x", "y"]),
        "slice": lambda: pd.DataFrame({"a": range(10), "b": range(10)}).iloc[2:8:2],
        "transposed": lambda: pd.DataFrame({"a": [1, 2], "b": [3, 4]}).T,
        "grouped": lambda: pd.DataFrame({"k": list("aab"), "v": [1, 2, 3]}).groupby("k").agg(["sum", "mean"]),
        "pivoted": lambda: pd.DataFrame({"k": list("aab"), "c": list("xyx"), "v": [1, 2, 3]}).pivot_table(
            index="k", columns="c", values="v"
        ),
        "attrs_and_flags": flagged,
        "wide": lambda: pd.DataFrame({f"c{i}": [i] for i in range(300)}),
        "long": lambda: pd.DataFrame({"a": np.arange(50_000), "b": np.arange(50_000) % 7}),
        "concatenated": lambda: pd.concat([pd.DataFrame({"a": [1]}), pd.DataFrame({"a": [2], "b": ["x"]})]),
        "object_frames": lambda: pd.DataFrame({"f": [pd.DataFrame({"x": [1]}), pd.Series([2])]}),
    }


def scalars() -> dict[str, Callable[[], Any]]:
    import numpy as np
    import pandas as pd

    found: dict[str, Callable[[], Any]] = {
        "timestamp": lambda: pd.Timestamp("2024-02-29 12:34:56.789012345"),
        "timestamp_s": lambda: pd.Timestamp("2024-02-29").as_unit("s"),
        "timestamp_utc": lambda: pd.Timestamp("2024-02-29", tz="UTC"),
        "timestamp_paris": lambda: (
            pd.Timestamp("2024-10-27 02:30", tz="Europe/Paris", fold=1, year=None)
            if False
            else pd.Timestamp("2024-10-27 02:30").tz_localize("Europe/Paris", ambiguous=True)
        ),
        "timestamp_zoneinfo": lambda: pd.Timestamp("2024-02-29", tz=zoneinfo.ZoneInfo("Europe/Paris")),
        "timedelta": lambda: pd.Timedelta("1 days 02:03:04.000000005"),
        "timedelta_s": lambda: pd.Timedelta(5, unit="s").as_unit("s"),
        "period": lambda: pd.Period("2024-02", "M"),
        "period_day": lambda: pd.Period("2024-02-03", "D"),
        "interval": lambda: pd.Interval(0, 1, closed="both"),
        "interval_stamps": lambda: pd.Interval(pd.Timestamp("2024"), pd.Timestamp("2025")),
        "nat": lambda: pd.NaT,
        "na": lambda: pd.NA,
        "named_agg": lambda: pd.NamedAgg("a", "sum"),
        "index_slice": lambda: {"a": [pd.NA, pd.NaT, np.nan]},
    }
    for code in ["D", "B", "h", "min", "s", "ms", "us", "ns", "W-MON", "ME", "MS", "BME", "BMS", "SME", "SMS", "QE-JAN",
                 "QS", "BQE", "BQS", "YE", "YS", "BYE", "BYS", "WOM-2MON", "LWOM-FRI", "CBMS"]:  # fmt: skip
        found[f"offset_{code}"] = lambda code=code: pd.tseries.frequencies.to_offset(f"2{code}")
    offsets = pd.offsets
    found |= {
        "offset_date": lambda: offsets.DateOffset(months=2, days=1),
        "offset_business_hour": lambda: offsets.BusinessHour(start="08:00", end="15:30"),
        "offset_custom_day": lambda: offsets.CustomBusinessDay(
            weekmask="Sun Mon Tue", holidays=[np.datetime64("2024-01-01")]
        ),
        "offset_custom_hour": lambda: offsets.CustomBusinessHour(weekmask="Mon Tue Wed"),
        "offset_custom_month_end": lambda: offsets.CustomBusinessMonthEnd(),
        "offset_easter": lambda: offsets.Easter(),
        "offset_fy": lambda: offsets.FY5253(weekday=4, startingMonth=8, variation="last"),
        "offset_fyq": lambda: offsets.FY5253Quarter(weekday=4, startingMonth=8, qtr_with_extra_week=1),
        "offset_semi_month": lambda: offsets.SemiMonthBegin(day_of_month=10),
        "offset_week": lambda: offsets.Week(weekday=None),
    }
    return found


def dtypes() -> dict[str, Callable[[], Any]]:
    import pandas as pd

    found: dict[str, Callable[[], Any]] = {
        "category": lambda: pd.CategoricalDtype(["a", "b"], ordered=True),
        "category_open": lambda: pd.CategoricalDtype(),
        "datetime_tz": lambda: pd.DatetimeTZDtype("ns", "Europe/Paris"),
        "period": lambda: pd.PeriodDtype("M"),
        "interval": lambda: pd.IntervalDtype("int64", "left"),
        "sparse": lambda: pd.SparseDtype("float64", 0.0),
        "string": lambda: pd.StringDtype(),
        "str": lambda: pd.Series(["x"], dtype="str").dtype,
        "boolean": lambda: pd.BooleanDtype(),
        "int64": lambda: pd.Int64Dtype(),
    }
    if HAS_ARROW:
        import pyarrow as pa

        found["arrow"] = lambda: pd.ArrowDtype(pa.timestamp("s", "UTC"))
    return found


def attempt(action: Callable[[], Any]) -> Any:
    """A result as text, or the kind of error: not every operation is there for every dtype."""
    try:
        return repr(action())
    except Exception as error:
        return type(error).__name__


def look(value: Any) -> Any:
    """What everybody does with a frame, a series or an index: print, select, sort, count, convert."""
    import numpy as np
    import pandas as pd

    actions: list[Callable[[], Any]] = [lambda: value, lambda: len(value), lambda: value.copy()]
    if isinstance(value, (pd.DataFrame, pd.Series, pd.Index)):
        actions += [
            lambda: [str(item) for item in value.to_numpy().ravel()[:50]],
            lambda: value.take(np.arange(len(value))[::-1]),
            lambda: value.isna().sum(),
            lambda: value.isin(value[:1]),
        ]
    if isinstance(value, pd.Index):
        actions += [
            lambda: list(value[:20]), lambda: value.argsort(), lambda: value.get_indexer(value[:2]),
            lambda: value.is_unique, lambda: value.append(value), lambda: value.get_level_values(0),
            lambda: value.to_frame(), lambda: value.sort_values(), lambda: value.factorize(),
            lambda: value.get_loc(value[0]), lambda: value.union(value[1:]),
        ]  # fmt: skip
    if isinstance(value, pd.Series):
        actions += [
            lambda: value.sum(), lambda: value.sort_values(), lambda: value.value_counts(), lambda: value.iloc[:1],
            lambda: value.unique(), lambda: value.shift(1), lambda: value.astype(object), lambda: value + value,
            lambda: value.groupby(value).size(), lambda: value.reset_index(), lambda: value == value,
        ]  # fmt: skip
    if isinstance(value, pd.DataFrame):
        actions += [
            lambda: value.shape, lambda: [column for _, column in value.items()], lambda: value.iloc[:1],
            lambda: value.reset_index(drop=True).copy(), lambda: value.T, lambda: value.sum(numeric_only=True),
            lambda: value.dtypes, lambda: value.describe(), lambda: value.assign(new=1), lambda: value.to_numpy(),
            lambda: pd.concat([value, value]), lambda: value.sort_index(axis=1),
        ]  # fmt: skip
    if isinstance(value, pd.api.extensions.ExtensionArray):
        actions += [
            lambda: list(value), lambda: value.isna(), lambda: value.take([0, -1], allow_fill=True),
            lambda: value.unique(), lambda: value.factorize(), lambda: value.astype(object), lambda: value.argsort(),
            lambda: pd.Series(value).value_counts(), lambda: value == value, lambda: value[::-1], lambda: value.shift(1),
        ]  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [attempt(action) for action in actions]


def values() -> Values:
    import pandas as pd

    for name, make in arrays().items():
        yield Value("pandas", f"array/{name}", lambda make=make: pd.array(make(), copy=False), look)
        yield Value("pandas", f"series/{name}", lambda make=make: pd.Series(make(), name="s"), look)
    for name, make in indexes().items():
        yield Value("pandas", f"index/{name}", make, look)
    for name, make in frames().items():
        yield Value("pandas", f"frame/{name}", make, look)
    for name, make in scalars().items():
        yield Value("pandas", f"scalar/{name}", make, look)
    for name, make in dtypes().items():
        yield Value("pandas", f"dtype/{name}", make, look)
