"""Arrow's arrays of every layout that can be checked, chunked arrays, tables, schemas, scalars."""

from __future__ import annotations

import datetime
from typing import Any

from science.values import Value, Values


def use(value: Any) -> Any:
    """Every value, a slice, a sort, a cast, a filter and Arrow's own full check."""
    import pyarrow as pa
    import pyarrow.compute as pc

    found: list[Any] = [str(value)]
    actions = [
        lambda: value.validate(full=True), lambda: value.to_pylist(), lambda: value.slice(1, 2).to_pylist(),
        lambda: value.to_pandas().to_string(), lambda: value.null_count, lambda: value.unique().to_pylist(),
        lambda: pc.sort_indices(value).to_pylist(), lambda: value.dictionary_encode().to_pylist(),
        lambda: value.take(pa.array([0, 0])).to_pylist(), lambda: pc.count_distinct(value).as_py(),
        lambda: value.cast("string").to_pylist(), lambda: pc.utf8_upper(value).to_pylist(), lambda: pc.sum(value).as_py(),
        lambda: value.flatten().to_pylist(), lambda: value.equals(value), lambda: value.filter(value.is_valid()).to_pylist(),
        lambda: pa.concat_arrays([value, value]).to_pylist(), lambda: value.sort_by("a").to_pylist(), lambda: value.as_py(),
    ]  # fmt: skip
    for action in actions:
        try:
            found.append(str(action()))
        except Exception as error:
            found.append(type(error).__name__)
    return found


def values() -> Values:
    import pyarrow as pa

    day = datetime.date(2024, 2, 29)
    arrays: dict[str, tuple[list[Any], Any]] = {
        "null": ([None, None], pa.null()), "bool": ([True, None, False] * 5, pa.bool_()),
        "string": (["a", None, "ü€", ""], pa.string()), "large_string": (["a", None], pa.large_string()),
        "binary": ([b"a", None, b""], pa.binary()), "large_binary": ([b"a"], pa.large_binary()),
        "fixed_binary": ([b"ab", None], pa.binary(2)), "date32": ([day, None], pa.date32()), "date64": ([day], pa.date64()),
        "time32": ([datetime.time(1)], pa.time32("s")), "time64": ([datetime.time(1)], pa.time64("us")),
        "stamp": ([datetime.datetime(2024, 1, 1), None], pa.timestamp("ns")),
        "stamp_utc": ([datetime.datetime(2024, 1, 1)], pa.timestamp("us", "UTC")),
        "duration": ([datetime.timedelta(1), None], pa.duration("ms")), "decimal128": ([1, None], pa.decimal128(10, 2)),
        "decimal256": ([1, None], pa.decimal256(40, 2)), "list": ([[1], None, []], pa.list_(pa.int64())),
        "list_of_list": ([[["a"], []], None], pa.list_(pa.list_(pa.string()))), "large_list": ([[1]], pa.large_list(pa.int8())),
        "fixed_list": ([[1, 2], [3, 4]], pa.list_(pa.int16(), 2)),
        "struct": ([{"a": 1, "b": "x"}, None], pa.struct([("a", pa.int64()), ("b", pa.string())])),
        "dictionary": (["x", None, "x"], pa.dictionary(pa.int8(), pa.string())),
        "empty_string": ([], pa.string()), "empty_list": ([], pa.list_(pa.int64())),
    }  # fmt: skip
    for kind in (
        "int8",
        "uint8",
        "int16",
        "uint16",
        "int32",
        "uint32",
        "int64",
        "uint64",
        "float16",
        "float32",
        "float64",
    ):
        arrays[kind] = ([1, None, 3], getattr(pa, kind)())
    for name, (items, kind) in arrays.items():
        yield Value("pyarrow", f"array/{name}", lambda items=items, kind=kind: pa.array(items, kind), use)
        yield Value("pyarrow", f"type/{name}", lambda kind=kind: kind)
        if len(items) > 1:
            yield Value("pyarrow", f"slice/{name}", lambda items=items, kind=kind: pa.array(items, kind)[1:], use)
        yield Value("pyarrow", f"chunks/{name}", lambda i=items, k=kind: pa.chunked_array([pa.array(i, k)] * 2, k), use)
    yield Value("pyarrow", "table", lambda: pa.table({"a": [2, 1, None], "b": ["x", None, "y"]}), use)
    yield Value("pyarrow", "batch", lambda: pa.record_batch({"a": [1, 2], "b": ["x", "y"]}), use)
    yield Value("pyarrow", "schema", lambda: pa.schema([("a", pa.int64()), ("b", pa.list_(pa.string()))], {"k": "v"}))
    yield Value("pyarrow", "field", lambda: pa.field("a", pa.int64(), False))
    yield Value("pyarrow", "scalar", lambda: [pa.scalar(1), pa.scalar("x"), pa.scalar(None, pa.int8()), pa.scalar(1.5)])
    yield Value("pyarrow", "of_pandas", lambda: of_pandas(), use)


def of_pandas() -> Any:
    import pandas as pd
    import pyarrow as pa

    return pa.Table.from_pandas(pd.DataFrame({"a": [1, 2], "b": ["x", None]}, index=[5, 6]))
