"""Any nested builtin value, at every protocol, through torshi and stock pickle in all four ways.

If these failed, a value would come back changed, or torshi's bytes would no longer be pickle's, so that
digests of files, caches keyed by bytes and readers of other versions would break.
"""

from __future__ import annotations

import array
import collections
import datetime
import decimal
import fractions
import io
import pathlib
import pickle
import re
import types
import uuid
import zoneinfo
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import torshi

STEADY = settings(
    max_examples=60,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.differing_executors],
)
PROTOCOLS = range(6)

SURROGATES = st.text(st.characters(blacklist_categories=()), max_size=12)
ATOMS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False)
    | st.complex_numbers(allow_nan=False)
    | st.text(max_size=20)
    | SURROGATES
    | st.binary(max_size=20)
    | st.sampled_from([0, -1, 255, 256, 65535, 65536, 2**31 - 1, 2**31, -(2**31), -(2**31) - 1, 2**63, 10**100])
    | st.sampled_from(["x" * 255, "x" * 256, "é" * 128, "\\u0041", "a\nb\r\0c\x1a", b"y" * 255, b"y" * 256])
    | st.sampled_from([int, str, dict, type(None), Ellipsis, NotImplemented, range(5), slice(1, None, 2)])
)
HASHABLE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=12)
    | st.binary(max_size=12),
    lambda inner: st.lists(inner, max_size=4).map(tuple) | st.frozensets(inner, max_size=3),
    max_leaves=6,
)
VALUES = st.recursive(
    ATOMS,
    lambda inner: (
        st.lists(inner, max_size=6)
        | st.lists(inner, max_size=6).map(tuple)
        | st.dictionaries(HASHABLE, inner, max_size=5)
        | st.sets(HASHABLE, max_size=5)
        | st.frozensets(HASHABLE, max_size=5)
        | st.binary(max_size=20).map(bytearray)
        | st.lists(inner, max_size=4).map(collections.deque)
        | st.dictionaries(HASHABLE, inner, max_size=3).map(collections.OrderedDict)
        | st.lists(inner, min_size=1, max_size=3).map(lambda items: [items, items, items[0]])
    ),
    max_leaves=25,
)


def same(left: Any, right: Any) -> bool:
    """Equality that tells types, order of dicts and sharing of lists apart."""
    return pickle.dumps(left, 4) == pickle.dumps(right, 4) or (left == right and type(left) is type(right))


@pytest.mark.parametrize("protocol", PROTOCOLS)
@given(value=VALUES)
@STEADY
def test_every_pair_of_writer_and_reader(protocol: int, value: Any) -> None:
    """If this fails, torshi and stock pickle disagree about a value or about its bytes."""
    ours, stock = torshi.dumps(value, protocol), pickle.dumps(value, protocol)
    assert ours == stock
    assert same(torshi.loads(ours), value)
    assert same(pickle.loads(ours), value)
    assert same(torshi.load(io.BytesIO(stock)), value)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@given(value=VALUES)
@settings(STEADY, max_examples=25)
def test_files_hold_the_same_bytes(protocol: int, value: Any) -> None:
    """If this fails, dump to a file differs from dumps, in frames or in content."""
    mine, theirs = io.BytesIO(), io.BytesIO()
    torshi.dump(value, mine, protocol)
    pickle.dump(value, theirs, protocol)
    assert mine.getvalue() == theirs.getvalue()
    mine.seek(0)
    assert same(torshi.Unpickler(mine).load(), value)


@given(value=VALUES)
@settings(STEADY, max_examples=40)
def test_check_agrees_with_load(value: Any) -> None:
    """If this fails, `check` refuses what loads."""
    torshi.check(torshi.dumps(value))


class Colour(str):
    """A subclass of a builtin, with attributes."""


LIBRARY = {
    "date": datetime.date(2024, 2, 29),
    "datetime": datetime.datetime(2024, 2, 29, 23, 59, 59, 999999, fold=1),
    "aware": datetime.datetime(2024, 2, 29, tzinfo=datetime.timezone(datetime.timedelta(hours=-5), "EST")),
    "utc": datetime.datetime(1, 1, 1, tzinfo=datetime.UTC),
    "time": datetime.time(1, 2, 3, 4),
    "delta": datetime.timedelta(-1, 2, 3),
    "decimal": [
        decimal.Decimal("1.50"),
        decimal.Decimal("NaN"),
        decimal.Decimal("-Infinity"),
        decimal.Decimal("1E+999"),
    ],
    "fraction": fractions.Fraction(-7, 3),
    "uuid": uuid.UUID(int=2**128 - 1),
    "path": pathlib.PurePosixPath("/usr/share/x.txt"),
    "counter": collections.Counter("abracadabra"),
    "default": collections.defaultdict(list, {1: [2]}),
    "ordered": collections.OrderedDict([(2, 1), (1, 2)]),
    "deque": collections.deque([1, 2, 3], maxlen=3),
    "chain": collections.ChainMap({1: 2}, {3: 4}),
    "namespace": types.SimpleNamespace(a=1, b=[2]),
    "array": [array.array("d", [1.5, -2]), array.array("B", b"xyz"), array.array("q")],
    "pattern": re.compile(r"(\w+)\s*=", re.IGNORECASE | re.MULTILINE),
    "pattern_bytes": re.compile(rb"x+"),
    "range": [range(10), range(5, -5, -3), range(10**30)],
    "slice": slice(None, 3, "x"),
    "exception": [
        KeyError("k"),
        ValueError(1, "two"),
        OSError(2, "gone", "f"),
        UnicodeDecodeError("utf-8", b"x", 0, 1, "r"),
    ],
    "complex": complex(-0.0, float("inf")),
    "types": [int, str, list, object, type(None), type(Ellipsis), type(NotImplemented), datetime.datetime],
    "alias": [list[int], dict[str, list[int]], int | None],
    "userlist": collections.UserList([1]),
    "userdict": collections.UserDict({1: 2}),
    "zone": zoneinfo.ZoneInfo("UTC"),
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", LIBRARY)
def test_library_values_load_without_configuration(name: str, protocol: int) -> None:
    """If this fails, an ordinary value of the standard library is refused, or written otherwise than by stock."""
    value = LIBRARY[name]
    data = torshi.dumps(value, protocol)
    assert data == pickle.dumps(value, protocol)
    again = torshi.loads(data)
    assert type(again) is type(value)
    assert pickle.dumps(again, protocol) == pickle.dumps(pickle.loads(data), protocol)
    assert pickle.dumps(torshi.loads(pickle.dumps(value, protocol)), 4) == pickle.dumps(pickle.loads(data), 4)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_cycles_and_sharing(protocol: int) -> None:
    """If this fails, an object that holds itself is lost or doubled."""
    ring: list[Any] = [1]
    ring.append(ring)
    held: dict[str, Any] = {"list": ring}
    held["self"] = held
    through = ([],)
    through[0].append(through)
    for value in (ring, held, through):
        assert torshi.dumps(value, protocol) == pickle.dumps(value, protocol)
    again = torshi.loads(torshi.dumps([ring, held, through, ring], protocol))
    assert again[0][1] is again[0] is again[3] is again[1]["list"]
    assert again[1]["self"] is again[1]
    assert again[2][0][0] is again[2]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_subclasses_of_builtins(protocol: int) -> None:
    """If this fails, a trusted subclass loses its class, its value or its attributes."""
    value = Colour("red")
    value.shade = [1, value]  # type: ignore[attr-defined]
    again = torshi.loads(torshi.dumps(value, protocol), trust=[Colour])
    assert (type(again), again, again.shade[0], again.shade[1]) == (Colour, "red", 1, again)
    with pytest.raises(torshi.UntrustedError):
        torshi.loads(torshi.dumps(value, protocol))


@pytest.mark.parametrize("size", [0, 1, 999, 1000, 1001, 2000, 2001, 65_535, 65_536, 70_000])
@pytest.mark.parametrize("protocol", [0, 1, 2, 4, 5])
def test_sizes_around_batches_and_frames(protocol: int, size: int) -> None:
    """If this fails, containers or text whose size meets a batch, a memo or a frame boundary come back wrong."""
    for value in (list(range(size)), "x" * size, b"x" * size, {i: i for i in range(min(size, 2001))}, ["ab"] * size):
        data = torshi.dumps(value, protocol)
        assert data == pickle.dumps(value, protocol)
        assert torshi.loads(data) == value
