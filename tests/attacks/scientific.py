"""Streams that lie to compiled code of scientific libraries: positions outside, lengths that disagree, indices that
were never checked again. Every one of them is refused before the library is imported.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

from attacks.assembler import Case, build, call, name, new, op, stream, text, value

Labelled = Iterator[tuple[str, bytes]]


def dtype(code: str, order: str = "<") -> bytes:
    made = call(name("numpy", "dtype"), code, False, True)
    if code == "O8":
        return build(made, (3, "|", None, None, None, -1, -1, 63))
    return build(made, (3, "|" if code in ("b1", "i1") else order, None, None, None, -1, -1, 0))


def array(code: str, shape: tuple[int, ...], items: tuple[Any, ...]) -> bytes:
    """A numpy array that is what it says, of numbers or (code ``O8``) of anything."""
    made = call(name("numpy.core.multiarray", "_reconstruct"), name("numpy", "ndarray"), (0,), bytearray(b"b"))
    if code == "O8":
        return build(made, (1, shape, dtype(code), False, list(items)))
    letter = {"b1": "?", "i1": "b", "i4": "i", "i8": "q", "f8": "d", "f4": "f"}[code]
    return build(made, (1, shape, dtype(code), False, bytearray(struct.pack(f"<{len(items)}{letter}", *items))))


# -- pandas


def pandas(qualname: str) -> bytes:
    return name("pandas", qualname)


def span(stop: int) -> bytes:
    parts = {"name": None, "start": 0, "stop": stop, "step": 1}
    return call(name("pandas.core.indexes.base", "_new_Index"), pandas("RangeIndex"), parts)


def block(values: bytes, placement: bytes, axes: int = 2) -> bytes:
    return call(name("pandas._libs.internals", "_unpickle_block"), values, placement, axes)


def piece(start: int, stop: int, step: int = 1) -> bytes:
    return call(name("builtins", "slice"), start, stop, step)


def frame(blocks: tuple[bytes, ...], columns: bytes, rows: bytes) -> bytes:
    manager = call(name("pandas.core.internals.managers", "BlockManager"), blocks, [columns, rows])
    state = {"_mgr": manager, "_typ": "dataframe", "_metadata": [], "attrs": {}, "_flags": {}}
    return build(new(pandas("DataFrame")), state)


def series(values: bytes, rows: bytes, placement: bytes) -> bytes:
    versions = {"0.14.1": {"axes": [rows], "blocks": [{"values": values, "mgr_locs": placement}]}}
    manager = build(
        new(name("pandas.core.internals.managers", "SingleBlockManager")), ([rows], [values], [rows], versions)
    )
    return build(new(pandas("Series")), {"_mgr": manager, "_typ": "series", "_metadata": ["_name"], "attrs": {}})


def backed(cls: str, kind: bytes, values: bytes) -> bytes:
    made = call(name("pandas._libs.arrays", "__pyx_unpickle_NDArrayBacked"), pandas(cls), 82904607, None)
    return build(made, (kind, values))


def index(values: bytes) -> bytes:
    return call(name("pandas.core.indexes.base", "_new_Index"), pandas("Index"), {"data": values, "name": None})


def categories(count: int) -> bytes:
    kind = new(pandas("CategoricalDtype"))
    return build(kind, {"categories": index(array("i8", (count,), tuple(range(count)))), "ordered": False})


def frames() -> Labelled:
    """Blocks whose positions and lengths compiled code would write and read by."""
    two = array("i8", (1, 2), (1, 2))
    wide = array("i8", (2, 2), (1, 2, 3, 4))
    yield "placement_outside", stream(frame((block(two, piece(5, 6)),), span(1), span(2)))
    yield "placement_far_outside", stream(frame((block(two, array("i8", (1,), (2**40,))),), span(1), span(2)))
    yield "placement_negative", stream(frame((block(two, array("i8", (1,), (-7,))),), span(1), span(2)))
    yield "placement_twice", stream(frame((block(two, piece(0, 1)), block(two, piece(0, 1))), span(2), span(2)))
    yield "placement_longer", stream(frame((block(two, piece(0, 3)),), span(3), span(2)))
    yield "rows_disagree", stream(frame((block(two, piece(0, 1)),), span(1), span(2**30)))
    yield "columns_disagree", stream(frame((block(two, piece(0, 1)),), span(2), span(2)))
    yield "slice_backwards", stream(frame((block(wide, piece(1, -1, -1)),), span(2), span(2)))
    yield "slice_endless", stream(frame((block(two, piece(0, 2**62)),), span(2**62), span(2)))
    yield "block_of_list", stream(frame((block(op.EMPTY_LIST(), piece(0, 1)),), span(1), span(2)))
    yield "series_longer", stream(series(array("i8", (2,), (1, 2)), span(2**20), piece(0, 2)))
    yield "series_placement", stream(series(array("i8", (2,), (1, 2)), span(2), piece(9, 11)))
    late = array("i8", (1, 2), (1, 2))
    axes = op.EMPTY_LIST() + op.MEMOIZE() + op.MARK() + span(1) + span(2) + op.APPENDS()
    manager = name("pandas.core.internals.managers", "BlockManager")
    called = manager + op.MARK() + value((block(late, piece(0, 1)),)) + axes + op.TUPLE() + op.REDUCE()
    yield "axes_appended_later", stream(called, op.BINGET(0), span(9), op.APPEND(), op.POP())
    good = frame((block(two, piece(0, 1)),), span(1), span(2))
    yield "state_twice", stream(build(good, {"_mgr": None, "_typ": "dataframe"}))
    yield "shadowed_method", stream(build(new(pandas("DataFrame")), {"_typ": "dataframe", "to_numpy": 1}))


def codes() -> Labelled:
    """Codes that compiled code takes for positions in an array of references."""
    yield "categorical_outside", stream(backed("Categorical", categories(2), array("i1", (2,), (0, 2))))
    yield "categorical_negative", stream(backed("Categorical", categories(2), array("i1", (2,), (0, -2))))
    yield "categorical_wide", stream(backed("Categorical", categories(2), array("i8", (1,), (2**50,))))
    yield "categorical_floats", stream(backed("Categorical", categories(2), array("f8", (1,), (0.0,))))
    yield "categorical_later", stream(backed("Categorical", new(pandas("CategoricalDtype")), array("i1", (1,), (0,))))
    buffer = call(name("numpy.core.numeric", "_frombuffer"), op.NEXT_BUFFER(), dtype("i1"), (2,), "C")
    yield "categorical_out_of_band", stream(backed("Categorical", categories(2), buffer), protocol=5)
    multi = {"levels": [span(2)], "codes": [array("i1", (2,), (0, 7))], "sortorder": None, "names": [None]}
    yield "multi_outside", stream(call(name("pandas.core.indexes.base", "_new_Index"), pandas("MultiIndex"), multi))
    masked = {"_data": array("i8", (2,), (1, 2)), "_mask": array("b1", (1,), (False,))}
    yield "mask_shorter", stream(build(new(name("pandas.arrays", "IntegerArray")), masked))
    dates = backed("DatetimeArray", dtype("i8"), array("i8", (1,), (1,)))
    yield "dates_of_integers", stream(dates)
    sparse = call(name("pandas._libs.sparse", "IntIndex"), 3, array("i4", (2,), (0, 9)))
    yield "sparse_outside", stream(sparse)


# -- Arrow


def arrow(qualname: str, *arguments: Any) -> bytes:
    return call(name("pyarrow.lib", qualname), *arguments)


def alias(kind: str) -> bytes:
    return arrow("type_for_alias", kind)


def octets(*numbers: int, letter: str = "i", extra: bytes = b"") -> bytes:
    return arrow("py_buffer", bytearray(struct.pack(f"<{len(numbers)}{letter}", *numbers) + extra))


def restored(kind: bytes, length: int, buffers: list[Any], *, nulls: int = 0, offset: int = 0,
             children: tuple[Any, ...] = (), words: Any = None) -> bytes:  # fmt: skip
    return arrow("_restore_array", (kind, length, nulls, offset, buffers, list(children), words))


def arrows() -> Labelled:
    """Arrow's C++ looks at nothing it is given."""
    letters = octets(extra=b"abcdef")
    yield "offsets_outside", stream(restored(alias("string"), 1, [None, octets(0, 2**30), letters]))
    yield "offsets_fall", stream(restored(alias("string"), 2, [None, octets(0, 5, 2), letters]))
    yield "offsets_negative", stream(restored(alias("string"), 1, [None, octets(-4, 2), letters]))
    yield "offsets_short", stream(restored(alias("string"), 9, [None, octets(0, 1), letters]))
    yield "offsets_missing", stream(restored(alias("string"), 1, [octets(1), None, letters]))
    yield "data_missing", stream(restored(alias("string"), 1, [octets(1), octets(0, 1), None]))
    yield "buffers_missing", stream(restored(alias("int64"), 4, []))
    yield "data_short", stream(restored(alias("int64"), 1000, [None, octets(1, letter="q")]))
    yield "offset_outside", stream(restored(alias("int64"), 1, [None, octets(1, letter="q")], offset=2**20))
    yield "bits_short", stream(restored(alias("int8"), 64, [octets(1, letter="b"), octets(*range(64), letter="b")]))
    yield "nulls_lie", stream(restored(alias("int8"), 2, [octets(1, letter="b"), octets(1, 2, letter="b")]))
    yield "not_text", stream(restored(alias("string"), 1, [None, octets(0, 2), octets(extra=b"\xff\xe0")]))
    yield "split_text", stream(restored(alias("string"), 2, [None, octets(0, 1, 2), octets(extra=b"\xc3\xbc")]))
    words = (alias("string"), 1, 0, 0, [None, octets(0, 1), letters], [], None)
    kind = arrow("dictionary", alias("int32"), alias("string"), False)
    yield "index_outside", stream(restored(kind, 1, [None, octets(7)], words=words))
    yield "index_negative", stream(restored(kind, 1, [None, octets(-1)], words=words))
    field = arrow("field", "item", alias("int64"), True, None)
    child = (alias("int64"), 1, 0, 0, [None, octets(1, letter="q")], [], None)
    yield "list_outside", stream(restored(arrow("list_", field), 1, [None, octets(0, 50)], children=(child,)))
    narrow = (alias("int8"), 1, 0, 0, [None, octets(1, letter="b")], [], None)
    yield "child_of_another_type", stream(restored(arrow("list_", field), 1, [None, octets(0, 1)], children=(narrow,)))
    yield "struct_child_short", stream(restored(arrow("struct", [field]), 9, [None], children=(child,)))
    yield "out_of_band", stream(restored(alias("int64"), 1, [None, arrow("py_buffer", op.NEXT_BUFFER())]), protocol=5)
    yield "view_type", stream(restored(alias("string_view"), 1, [None, octets(0, 0, 0, 0)]))
    nest = child
    for _ in range(40):
        nest = (arrow("list_", field), 1, 0, 0, [None, octets(0, 1)], [nest], None)
    yield "nested_deep", stream(arrow("_restore_array", nest))
    # A tuple shared by its memo, twice at every level: checked one by one it would take 2**30 steps.
    shared = value(child) + op.MEMOIZE() + op.POP()
    pair = arrow("struct", [field, field])
    for level in range(30):
        below = op.EMPTY_LIST() + op.MARK() + op.BINGET(level) + op.BINGET(level) + op.APPENDS()
        shared += value((pair, 1, 0, 0, [None], below, None)) + op.MEMOIZE() + op.POP()
    yield "shared_children", stream(shared, arrow("_restore_array", op.BINGET(30)))


def zones() -> Labelled:
    """Names and numbers that lead elsewhere than to a time zone or a unit."""
    stamp = name("pandas._libs.tslibs.timestamps", "_unpickle_timestamp")
    yield "unit_outside", stream(call(stamp, 0, None, None, 99))
    yield "zone_path", stream(call(name("pytz", "_p"), "../../../etc/passwd"))
    yield "offset_month", stream(call(name("pandas._libs.tslibs.offsets", "YearEnd"), 1, False, 77))
    yield (
        "offset_calendar",
        stream(call(name("pandas._libs.tslibs.offsets", "CustomBusinessDay"), 1, False, "Mon", (), text("x"))),
    )


def cases() -> Iterator[Case]:
    for mechanism, group in (
        ("pandas-lie", frames), ("pandas-code", codes), ("arrow-lie", arrows), ("zone-lie", zones),
    ):  # fmt: skip
        for label, data in group():
            yield Case(f"{mechanism}/{label}", mechanism, data)
