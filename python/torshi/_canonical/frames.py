"""Frames, series and indexes of pandas and polars into their labels and columns.

How columns are gathered in blocks or chunks, what has been cached, and what stands where a value is missing are left
out. Never imports either library: what it is asked about is theirs.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from torshi._canonical import arrow


def _pandas() -> Any:
    return sys.modules["pandas"]


def pandas_way(cls: type) -> Callable[[Any], object] | None:
    """The function that tells what an instance of a class of pandas holds, if there is one."""
    pandas = _pandas()
    extension = pandas.api.extensions.ExtensionArray
    for base, function in (
        (pandas.DataFrame, _frame),
        (pandas.Series, _series),
        (pandas.MultiIndex, _multi_index),
        (pandas.RangeIndex, _range_index),
        (pandas.Index, _index),
        (extension, _extension),
    ):
        if issubclass(cls, base):
            return function
    return None


def _values(holder: Any) -> Any:
    """The array behind a series or an index, without a copy."""
    return holder.to_numpy() if isinstance(holder.dtype, sys.modules["numpy"].dtype) else holder.array


def _noted(holder: Any) -> tuple[object, ...]:
    """What a frame or series carries beside its values; subclasses name more."""
    more = {name: getattr(holder, name, None) for name in getattr(type(holder), "_metadata", ()) if name != "name"}
    return dict(holder.attrs), more, holder.flags.allows_duplicate_labels


def _frame(frame: Any) -> object:
    return frame.index, frame.columns, _columns_of(frame), *_noted(frame)


def _columns_of(frame: Any) -> list[Any]:
    """The array behind each column, as `_values` has it."""
    # A series made of each column would take longer than the digest of some thousand numbers.
    array_at = getattr(frame, "_get_column_array", None)
    if array_at is None:
        return [_values(column) for _, column in frame.items()]
    ndarray = sys.modules["numpy"].ndarray
    arrays = map(array_at, range(len(frame.columns)))
    return [array if type(array) is ndarray else _values_of(array) for array in arrays]


def _values_of(array: Any) -> Any:
    return array.to_numpy() if isinstance(array.dtype, sys.modules["numpy"].dtype) else array


def _series(series: Any) -> object:
    return series.index, _values(series), series.name, *_noted(series)


def _index(index: Any) -> object:
    return _values(index), index.name


def _range_index(index: Any) -> object:
    return index.start, index.stop, index.step, index.name


def _multi_index(index: Any) -> object:
    return [_values(index.get_level_values(level)) for level in range(index.nlevels)], list(index.names)


def _extension(array: Any) -> object:
    pandas, arrays = _pandas(), _pandas().arrays
    dtype = str(array.dtype)
    if isinstance(array, pandas.Categorical):
        return array.categories, array.codes, array.ordered
    if isinstance(array, arrays.DatetimeArray | arrays.TimedeltaArray | arrays.PeriodArray):
        return dtype, array.view("i8")
    if isinstance(array, arrays.IntervalArray):
        return array.left, array.right, array.closed
    if isinstance(array, arrays.SparseArray):
        return dtype, len(array), array.sp_values, array.sp_index.to_int_index().indices, array.fill_value
    if hasattr(array, "__arrow_array__") and hasattr(array, "_pa_array"):
        return dtype, arrow.content(array.__arrow_array__())
    if isinstance(array, arrays.StringArray):
        return dtype, array.to_numpy(object)
    if isinstance(array, arrays.NumpyExtensionArray):
        return array.to_numpy()
    numbers = getattr(array.dtype, "numpy_dtype", None)
    if isinstance(array, arrays.IntegerArray | arrays.FloatingArray | arrays.BooleanArray) and numbers is not None:
        return dtype, array.isna(), array.to_numpy(numbers, na_value=numbers.type(0))
    return NotImplemented


def polars_way(cls: type) -> Callable[[Any], object] | None:
    """The function that tells what an instance of a class of polars holds, if there is one. It needs pyarrow."""
    polars = sys.modules["polars"]
    if issubclass(cls, polars.DataFrame):
        return _columns
    return _column if issubclass(cls, polars.Series) else None


def _column(series: Any) -> object:
    # The layouts that every version has, whatever this one would rather give.
    oldest = sys.modules["polars"].CompatLevel.oldest()
    return series.name, arrow.content(series.to_arrow(compat_level=oldest))


def _columns(frame: Any) -> object:
    return frame.height, [_column(series) for series in frame.get_columns()]
