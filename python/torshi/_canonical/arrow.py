"""Arrow arrays, tables and batches into their type, which of their values are there, and these.

Offsets, chunks, how entries of dictionaries are numbered and what lies where a value is missing are left out. Never
imports pyarrow: what it is asked about is of pyarrow.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pickle import PickleBuffer
from typing import Any, Literal


def _pyarrow() -> Any:
    return sys.modules["pyarrow"]


def way(cls: type) -> Callable[[Any], object] | None:
    """The function that tells what an instance of a class of pyarrow holds, if there is one."""
    pyarrow = _pyarrow()
    if issubclass(cls, pyarrow.Array | pyarrow.ChunkedArray):
        return content
    return _table if issubclass(cls, pyarrow.Table | pyarrow.RecordBatch) else None


def _table(table: Any) -> object:
    schema = table.schema
    fields = [(field.name, field.nullable) for field in schema]
    return table.num_rows, fields, [content(table.column(i)) for i in range(len(fields))]


def content(array: Any) -> object:
    """An array, or a chunked one, as its type, its length, which values are there if not all are, and these."""
    pyarrow = _pyarrow()
    if isinstance(array, pyarrow.ChunkedArray):
        joined = array.combine_chunks()
        # Of some types several chunks remain.
        array = joined if isinstance(joined, pyarrow.Array) else pyarrow.concat_arrays(joined.chunks)
    name = str(array.type)
    decoded = _decoded(array)
    if decoded is not None:
        return name, content(decoded)
    length = len(array)
    if array.null_count == 0:
        return name, length, None, _values(array)
    return name, length, _values(array.is_valid()), _values(array.drop_null())


def _decoded(array: Any) -> Any:
    """What an array that stands for another one stands for."""
    pyarrow = _pyarrow()
    types, of = pyarrow.types, array.type
    if isinstance(of, pyarrow.BaseExtensionType):
        return array.storage
    if types.is_dictionary(of):
        return array.dictionary_decode()
    if types.is_run_end_encoded(of):
        return _compute().run_end_decode(array)
    # By name, since earlier versions have no test for them.
    if str(of) in ("string_view", "binary_view"):
        return array.cast(pyarrow.large_string() if str(of) == "string_view" else pyarrow.large_binary())
    return None


def _compute() -> Any:
    import pyarrow.compute

    return pyarrow.compute


def _values(array: Any) -> object:
    """The values of an array in which none is missing."""
    pyarrow = _pyarrow()
    types, of = pyarrow.types, array.type
    if len(array) == 0 or types.is_null(of):
        return None
    if types.is_boolean(of):
        return _fixed(array.cast(pyarrow.uint8()))
    if types.is_floating(of):
        return _fixed(_same_nan(array))
    if types.is_string(of) or types.is_binary(of):
        return _text(array, "i")
    if types.is_large_string(of) or types.is_large_binary(of):
        return _text(array, "q")
    if types.is_list(of) or types.is_large_list(of):
        return _values(_compute().list_value_length(array)), content(array.flatten())
    if types.is_map(of):
        offsets = array.offsets
        parts = [part[offsets[0].as_py() : offsets[-1].as_py()] for part in (array.keys, array.items)]
        return _values(_compute().subtract(offsets[1:], offsets[:-1])), *map(content, parts)
    if types.is_fixed_size_list(of):
        return content(array.flatten())
    if types.is_struct(of):
        return [content(field) for field in array.flatten()]
    if types.is_primitive(of) or types.is_decimal(of) or types.is_fixed_size_binary(of):
        return _fixed(array)
    return array.to_pylist()


def _same_nan(array: Any) -> Any:
    compute = _compute()
    if array.type.bit_width == 16:
        return array
    found = compute.is_nan(array)
    if not compute.any(found).as_py():
        return array
    return compute.if_else(found, _pyarrow().scalar(float("nan"), array.type), array)


def _fixed(array: Any) -> object:
    width = array.type.bit_width // 8
    start = array.offset * width
    return PickleBuffer(memoryview(array.buffers()[1])[start : start + len(array) * width])


def _text(array: Any, code: Literal["i", "q"]) -> object:
    _, offsets, data = array.buffers()
    places = memoryview(offsets).cast("B").cast(code)
    start, end = places[array.offset], places[array.offset + len(array)]
    text = b"" if data is None else memoryview(data)[start:end]
    return _values(_compute().binary_length(array)), PickleBuffer(text)
