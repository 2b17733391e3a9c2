"""polars' frames and series of every type that they can be written in, nested ones too, with nulls and empty."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

from science.values import Value, Values


def use(value: Any) -> Any:
    """What is done with a frame or a series: text, values, sorts, groups, joins, casts, conversions."""
    import polars as pl

    if isinstance(value, pl.Series):
        value = value.to_frame(value.name or "a")
    name = value.columns[0] if value.columns else "a"
    actions = [
        lambda: str(value), lambda: value.rows(), lambda: value.shape, lambda: value.sort(name).rows(), lambda: value.unique().height,
        lambda: value.group_by(name).len().height, lambda: value.null_count().rows(), lambda: value.slice(1, 2).rows(),
        lambda: value.reverse().rows(), lambda: pl.concat([value, value]).rows(), lambda: value.filter(pl.col(name).is_not_null()).rows(),
        lambda: value.to_dicts(), lambda: value.describe().rows(), lambda: value.select(pl.all().cast(pl.String)).rows(),
        lambda: value.select(pl.all().hash()).height, lambda: value.join(value, on=name).height, lambda: value.explode(name).rows(),
        lambda: value.select(pl.all().first(), pl.all().last().name.suffix("_")).rows(), lambda: value.to_arrow().num_rows,
        lambda: value.select(pl.col(name).str.len_bytes()).rows(), lambda: value.unnest(name).rows(),
        lambda: value.select(pl.all().max()).rows(), lambda: value.select(pl.all().sum()).rows(), lambda: value.equals(value),
        lambda: value.gather_every(2).rows(), lambda: value.with_row_index().rows(), lambda: value.select(pl.all().rechunk()).rows(),
        lambda: value.select(pl.col(name).list.len()).rows(), lambda: value.to_numpy().shape, lambda: value.select(pl.all().to_physical()).rows(),
    ]  # fmt: skip
    return [attempt(action) for action in actions]


def attempt(action: Any) -> Any:
    try:
        return str(action())
    except BaseException as error:  # polars' panics are no Exceptions
        if isinstance(error, (KeyboardInterrupt, SystemExit)) or type(error).__name__ in ("Slow", "MemoryError"):
            raise
        return type(error).__name__


def values() -> Values:
    import polars as pl

    day, moment = datetime.date(2024, 2, 29), datetime.datetime(2024, 2, 29, 12, 30)
    series: dict[str, tuple[list[Any], Any]] = {
        "boolean": ([True, None, False] * 5, pl.Boolean), "string": (["a", None, "ü€", "", "more than twelve bytes"], pl.String),
        "binary": ([b"a", None, b"", b"more than twelve bytes"], pl.Binary), "date": ([day, None], pl.Date),
        "time": ([datetime.time(1, 2), None], pl.Time), "stamp": ([moment, None], pl.Datetime("us")),
        "stamp_ns": ([moment], pl.Datetime("ns")), "stamp_utc": ([moment, None], pl.Datetime("ms", "Europe/Paris")),
        "duration": ([datetime.timedelta(1), None], pl.Duration("us")), "decimal": ([Decimal("1.50"), None], pl.Decimal(10, 2)),
        "null": ([None, None], pl.Null), "list": ([[1, None], None, []], pl.List(pl.Int64)),
        "list_of_text": ([["a", "more than twelve bytes"], [None], None], pl.List(pl.String)),
        "list_of_list": ([[[1], []], None, [[2, 3]]], pl.List(pl.List(pl.Int8))), "array": ([[1, 2], None, [3, 4]], pl.Array(pl.Int16, 2)),
        "struct": ([{"a": 1, "b": "x"}, None, {"a": None, "b": None}], pl.Struct({"a": pl.Int64, "b": pl.String})),
        "list_of_struct": ([[{"a": 1}], []], pl.List(pl.Struct({"a": pl.Float64}))), "categorical": (["x", None, "y", "x"], pl.Categorical),
        "enum": (["x", None, "y"], pl.Enum(["x", "y", "z"])), "list_of_enum": ([["x"], None], pl.List(pl.Enum(["x", "y"]))),
        "empty_string": ([], pl.String), "empty_list": ([], pl.List(pl.Int64)), "empty_struct": ([], pl.Struct({"a": pl.Int8})),
        "empty_categorical": ([], pl.Categorical), "empty_enum": ([], pl.Enum(["a"])), "empty_int": ([], pl.Int64),
    }  # fmt: skip
    for kind in (
        "Int8",
        "Int16",
        "Int32",
        "Int64",
        "UInt8",
        "UInt16",
        "UInt32",
        "UInt64",
        "Int128",
        "Float32",
        "Float64",
    ):
        series[kind.lower()] = ([1, None, 3], getattr(pl, kind))
    for name, (items, kind) in series.items():
        yield Value("polars", f"series/{name}", lambda items=items, kind=kind: pl.Series("s", items, kind), use)
        yield Value("polars", f"frame/{name}", lambda i=items, k=kind: pl.DataFrame({"k": pl.Series(i, dtype=k)}), use)
        if len(items) > 1:
            yield Value("polars", f"slice/{name}", lambda i=items, k=kind: pl.Series("s", i, k)[1:], use)
        yield Value(
            "polars", f"chunks/{name}", lambda i=items, k=kind: pl.Series("s", i, k).append(pl.Series("s", i, k)), use
        )
        yield Value("polars", f"type/{name}", lambda kind=kind: kind() if isinstance(kind, type) else kind)
    yield Value("polars", "frame/mixed", lambda: mixed(5), use)
    yield Value("polars", "frame/long", lambda: mixed(2000), use)
    yield Value("polars", "frame/chunked", lambda: pl.concat([mixed(3), mixed(4)], rechunk=False), use)
    yield Value("polars", "frame/empty", lambda: pl.DataFrame(), use)
    yield Value("polars", "frame/no_rows", lambda: mixed(5).clear(), use)
    yield Value("polars", "series/sorted", lambda: pl.Series("s", [3, 1, 2]).sort(), use)
    yield Value("polars", "schema", lambda: mixed(2).schema)
    yield Value("polars", "series/no_name", lambda: pl.Series([1.5, None]), use)


def mixed(rows: int) -> Any:
    import polars as pl

    numbers = list(range(rows))
    return pl.DataFrame(
        {
            "i": numbers,
            "f": [number / 3 for number in numbers],
            "s": [f"text number {number}" if number % 3 else None for number in numbers],
            "c": pl.Series([str(number % 4) for number in numbers], dtype=pl.Categorical),
            "l": [numbers[: number % 3] for number in numbers],
        }
    )
