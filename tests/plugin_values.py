"""Classes that tests of placeholders take away, and values of them: one for each way a stream makes an object."""

from __future__ import annotations

import collections
import enum
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple


class Compared:
    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and repr(self) == repr(other)

    def __hash__(self) -> int:
        return 1


class Point(Compared):
    def __init__(self, x: Any, y: Any) -> None:
        self.x, self.y = x, y

    def __repr__(self) -> str:
        return f"Point({self.x!r}, {self.y!r})"


@dataclass
class Record:
    name: str
    an_attribute_with_a_name_of_more_than_thirty_two_bytes: int


class Slots(Compared):
    __slots__ = ("a", "b")

    def __init__(self) -> None:
        self.a, self.b = 1, ["two"]

    def __repr__(self) -> str:
        return f"Slots({self.a!r}, {self.b!r})"


class Both(Compared):
    __slots__ = ("__dict__", "a")

    def __init__(self) -> None:
        self.a, self.z = 1, "zed"

    def __repr__(self) -> str:
        return f"Both({self.a!r}, {self.z!r})"


class Items(list[Any]):
    pass


class Entries(dict[Any, Any]):
    pass


class Whole(int):
    pass


class Unique(set[Any]):
    pass


class Pair(NamedTuple):
    first: int
    second: list[int]


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Mode(enum.Flag):
    A = 1
    B = 2


class Failure(Exception):
    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and repr(self) == repr(other)

    __hash__ = Exception.__hash__


class NewArgs(Compared):
    def __new__(cls, *args: Any) -> NewArgs:
        made = object.__new__(cls)
        made.args = args  # type: ignore[attr-defined]
        return made

    def __getnewargs__(self) -> Any:
        return self.args  # type: ignore[attr-defined]

    def __repr__(self) -> str:
        return f"NewArgs{self.args}"  # type: ignore[attr-defined]


class NewKeywords(Compared):
    def __new__(cls, *args: Any, key: Any) -> NewKeywords:
        made = object.__new__(cls)
        made.args, made.key = args, key  # type: ignore[attr-defined]
        return made

    def __getnewargs_ex__(self) -> Any:
        return self.args, {"key": self.key}  # type: ignore[attr-defined]

    def __repr__(self) -> str:
        return f"NewKeywords({self.args}, {self.key!r})"  # type: ignore[attr-defined]


class Rebuilt(Compared):
    """By a function of its own, with state, items and entries."""

    def __init__(self, value: Any) -> None:
        self.value, self.items, self.entries = value, [1, 2, 3], {"own": [4]}

    def __reduce__(self) -> Any:
        return rebuild, (self.value, {"k": 1}), {"value": self.value}, iter(self.items), iter(self.entries.items())

    def append(self, item: Any) -> None:
        pass

    def __setitem__(self, key: Any, value: Any) -> None:
        pass

    def __repr__(self) -> str:
        return f"Rebuilt({self.value!r}, {self.items}, {self.entries})"


def rebuild(value: Any, options: Any) -> Rebuilt:
    return Rebuilt(value)


class Outer(Compared):
    def __repr__(self) -> str:
        return type(self).__qualname__

    class Inner(Compared):
        def __init__(self) -> None:
            self.depth = 1

        def __repr__(self) -> str:
            return type(self).__qualname__

        class Deep(Compared):
            def __repr__(self) -> str:
                return type(self).__qualname__


def values() -> Iterator[tuple[str, Any]]:
    point = Point(1, "one")
    items = Items([1, point])
    items.name = "items"  # type: ignore[attr-defined]
    entries = Entries(a=1, b=point)
    entries.x = 2  # type: ignore[attr-defined]
    circle = Point(None, None)
    circle.x = [circle]
    yield "state", point
    yield "many", [Point(number, str(number)) for number in range(2500)]
    yield "dataclass", [Record("x", 1), Record("y", 2)]
    yield "slots", [Slots(), Slots()]
    yield "dict and slots", [Both(), Both()]
    yield "list", items
    yield "long list", Items(range(2500))
    yield "dict", entries
    yield "long dict", Entries({number: str(number) for number in range(2500)})
    yield "set", Unique([3])
    yield "int", [Whole(5), Whole(7)]
    yield "named tuple", Pair(1, [2])
    yield "enum", [Color.RED, Color.BLUE, Color.RED]
    yield "flags", [Mode.A, Mode.A | Mode.B]
    yield "exception", Failure("a", 1)
    yield "new with arguments", NewArgs(1, "two")
    yield "new with keywords", [NewKeywords(1, key="w"), NewKeywords(2, key="x")]
    yield "function", Rebuilt("value")
    yield "nested classes", [Outer.Inner(), Outer.Inner.Deep(), Outer()]
    yield "names as data", [Point, rebuild, Outer.Inner, {"class": Color}]
    yield "in what is there", collections.defaultdict(Point, {1: point, "p": (point, point)})
    yield "as keys", {point: 1, Color.RED: [point]}
    yield "cycle", circle
    # Names of attributes that an object of a class that is there has too.
    yield "beside what is there", [collections.Counter(x=1), LookAlike(), point, "x", "".join(["x", "y"])]


class LookAlike(Compared):
    def __init__(self) -> None:
        self.x, self.y, self.xy = "x", "y", "z"

    def __repr__(self) -> str:
        return f"LookAlike({vars(self)})"
