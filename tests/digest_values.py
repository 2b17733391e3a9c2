"""Values of every kind that `torshi.digest` tells apart, by name; no two of them are alike.

Their digests stand in `data/digests.json`. Classes are found by name: neither this module's nor theirs may change.
"""

from __future__ import annotations

import collections
import copyreg
import datetime
import decimal
import enum
import fractions
import math
import pathlib
import pickle
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Plain:
    def __init__(self, **values: Any) -> None:
        self.__dict__.update(values)


@dataclass
class Record:
    name: str
    scores: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Point:
    x: float
    y: float


class Mixed(Point):
    """A dict beside slots."""


class Row(NamedTuple):
    key: str
    value: int


class Colour(enum.Enum):
    RED = 1
    GREEN = "green"


class Level(enum.IntEnum):
    LOW = 1


class Access(enum.Flag):
    READ = 1
    WRITE = 2


class Number(int):
    pass


class Text(str):
    pass


class Names(set[str]):
    pass


class Fixed(frozenset[str]):
    pass


class Table(dict[Any, Any]):
    pass


class Items(list[Any]):
    pass


class Reduced:
    """Tells by which call it is made, and more."""

    def __init__(self, *args: Any) -> None:
        self.args = args

    def __reduce__(self) -> tuple[Any, ...]:
        return Reduced, self.args, None, iter([1, 2]), iter([("b", 1), ("a", 2)])


class Keyword:
    def __new__(cls, *, size: int) -> Keyword:
        made = super().__new__(cls)
        made.size = size
        return made

    size: int

    def __getnewargs_ex__(self) -> tuple[tuple[()], dict[str, int]]:
        return (), {"size": self.size}


class Stated:
    def __init__(self, kept: Any, left_out: Any) -> None:
        self.kept, self.left_out = kept, left_out

    def __getstate__(self) -> Any:
        return self.kept


class Hooked:
    def __init__(self, content: Any, cache: Any = None) -> None:
        self.content, self.cache = content, cache

    def __torshi_digest__(self) -> object:
        return self.content


class Registered:
    def __init__(self, value: int) -> None:
        self.value = value


copyreg.pickle(Registered, lambda registered: (Registered, (registered.value,)))


def function() -> None:
    """Found by its name."""


def cycle() -> list[Any]:
    """A list that is its own second item."""
    made: list[Any] = [1]
    made.append(made)
    return made


def ring() -> dict[str, Any]:
    """Two objects that know each other, one of them met twice."""
    one, two = Plain(name="one"), Plain(name="two")
    one.other, two.other = two, one  # type: ignore[attr-defined]
    return {"first": one, "again": one, "second": two}


def family() -> Plain:
    """A parent with a set of children, which know it."""
    parent = Plain(children=set())
    parent.children |= {Plain(parent=parent, name=name) for name in "abc"}  # type: ignore[attr-defined]
    return parent


def shared() -> list[Any]:
    """Lists met twice at each of twelve levels."""
    made: list[Any] = []
    for _ in range(12):
        made = [made, made]
    return made


_ZONE = datetime.timezone(datetime.timedelta(hours=2), "there")

#: By name, functions that make a value anew.
VALUES: dict[str, Callable[[], object]] = {
    "none": lambda: None,
    "true": lambda: True,
    "false": lambda: False,
    "ellipsis": lambda: ...,
    "not implemented": lambda: NotImplemented,
    "type of none": lambda: type(None),
    "int": lambda: 1,
    "int zero": lambda: 0,
    "int negative": lambda: -1,
    "int one byte": lambda: -128,
    "int two bytes": lambda: 128,
    "int 64 bits": lambda: -(2**63),
    "int more": lambda: 2**63,
    "int much more": lambda: -(3**7000),
    "float": lambda: 1.0,
    "float zero": lambda: 0.0,
    "float negative zero": lambda: -0.0,
    "float nan": lambda: math.nan,
    "float infinity": lambda: math.inf,
    "complex": lambda: 1 + 2j,
    "str": lambda: "1",
    "str empty": lambda: "",
    "str latin": lambda: "é",
    "str wide": lambda: "€",
    "str wider": lambda: "😀",
    "str surrogate": lambda: "\ud800",
    "str 1024": lambda: "x" * 1024,
    "str 1025": lambda: "x" * 1025,
    "str long and wide": lambda: "é€😀" * 1000,
    "bytes": lambda: b"1",
    "bytes long": lambda: bytes(range(256)) * 20,
    "bytearray": lambda: bytearray(b"1"),
    "bytearray long": lambda: bytearray(2000),
    "buffer": lambda: pickle.PickleBuffer(b"1"),
    "list": lambda: [1, 2],
    "list empty": list,
    "list nested": lambda: [[1], 2],
    "list flat": lambda: [1, [2]],
    "list long": lambda: list(range(1000)),
    "list very long": lambda: list(range(20_000)),
    "tuple": lambda: (1, 2),
    "tuple empty": lambda: (),
    "dict": lambda: {"b": 1, "a": 2, "aa": 3},
    "dict empty": dict,
    "dict of ints": lambda: {3: "c", -1: "a", 2**70: "b", "3": "d"},
    "dict of tuples": lambda: {(1, "a"): 1, ("a", 1): 2, (): 3},
    "dict of nans": lambda: {float("nan"): 1, float("nan"): 2},
    "dicts": lambda: [{"id": i, "name": f"n{i}", "tags": {"x": i, "y": None}} for i in range(200)],
    "set": lambda: {1, "1", 1.5, (1,), None},
    "set empty": lambda: set(),
    "frozenset": lambda: frozenset({1, "1", 1.5, (1,), None}),
    "set of sets": lambda: {frozenset({1, 2}), frozenset({3}), frozenset()},
    "set long": lambda: {f"element {i}" for i in range(500)},
    "set of long strings": lambda: {"x" * 2000, "y" * 2000, "z"},
    "range": lambda: range(1, 10, 2),
    "slice": lambda: slice(1, None, 2),
    "ordered dict": lambda: collections.OrderedDict(b=1, a=2),
    "ordered dict reversed": lambda: collections.OrderedDict(a=2, b=1),
    "counter": lambda: collections.Counter("abracadabra"),
    "default dict": lambda: collections.defaultdict(list, {"b": [1], "a": [2]}),
    "deque": lambda: collections.deque([1, 2], maxlen=3),
    "chain map": lambda: collections.ChainMap({"a": 1}, {"b": 2}),
    "date": lambda: datetime.date(2024, 2, 29),
    "time": lambda: datetime.time(1, 2, 3, 4),
    "datetime": lambda: datetime.datetime(2024, 2, 29, 1, 2, 3, 4),
    "datetime with zone": lambda: datetime.datetime(2024, 2, 29, 1, 2, 3, 4, _ZONE),
    "datetime folded": lambda: datetime.datetime(2024, 2, 29, 1, 2, 3, 4, fold=1),
    "timedelta": lambda: datetime.timedelta(days=1, seconds=2, microseconds=3),
    "decimal": lambda: decimal.Decimal("1.50"),
    "fraction": lambda: fractions.Fraction(1, 3),
    "uuid": lambda: uuid.UUID(int=5),
    "path": lambda: pathlib.PurePosixPath("a/b"),
    "windows path": lambda: pathlib.PureWindowsPath("a/b"),
    "class": lambda: Plain,
    "builtin class": lambda: int,
    "function": lambda: function,
    "builtin function": lambda: len,
    "method of a class": lambda: Plain.__init__,
    "bound method": lambda: Text("x").upper,
    "exception": lambda: ValueError("no", 1),
    "plain": lambda: Plain(b=1, a=[2]),
    "plain empty": lambda: Plain(),
    "record": lambda: Record("n", [1.0]),
    "point": lambda: Point(1.0, 2.0),
    "mixed": lambda: Mixed(1.0, 2.0),
    "named tuple": lambda: Row("k", 1),
    "enum": lambda: Colour.RED,
    "enum text": lambda: Colour.GREEN,
    "int enum": lambda: Level.LOW,
    "flag": lambda: Access.READ | Access.WRITE,
    "int subclass": lambda: Number(1),
    "str subclass": lambda: Text("1"),
    "set subclass": lambda: Names({"a", "b", "c"}),
    "frozenset subclass": lambda: Fixed({"a", "b", "c"}),
    "dict subclass": lambda: Table({"b": 1, "a": 2}),
    "list subclass": lambda: Items([1, 2]),
    "reduced": lambda: Reduced(1, "a"),
    "keyword": lambda: Keyword(size=3),
    "stated": lambda: Stated([1], 2),
    "hooked": lambda: Hooked([1], 2),
    "registered": lambda: Registered(1),
    "cycle": cycle,
    "ring": ring,
    "family": family,
    "shared": shared,
}
