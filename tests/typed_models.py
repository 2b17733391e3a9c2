"""Classes for the tests of typed loads: importable by name, as pickled classes must be."""

from __future__ import annotations

import collections
import enum
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    ClassVar,
    Generic,
    Literal,
    NamedTuple,
    NewType,
    NotRequired,
    Optional,
    Required,
    TypedDict,
    TypeVar,
)

import attrs
import pydantic

if TYPE_CHECKING:
    from nowhere import Nothing  # a name for type checkers alone, as real code has them

T = TypeVar("T")
B = TypeVar("B", bound="Server")
UserId = NewType("UserId", int)


class Colour(enum.Enum):
    RED = 1
    GREEN = 2


class Size(enum.Enum):
    RED = 1


@dataclass
class Server:
    host: str
    port: int
    colour: Colour = Colour.RED
    load: float = 0.0
    note: str | None = None
    KNOWN: ClassVar[dict[str, int]] = {}


@dataclass
class Config:
    name: str
    servers: list[Server]
    limits: dict[str, int] = field(default_factory=dict)
    owner: Optional[UserId] = None
    mode: Literal["fast", "careful"] = "fast"


@dataclass
class Point:
    x: int
    y: int


@dataclass(slots=True, frozen=True)
class Slotted:
    x: int
    y: Annotated[int, "unit: metres"]


@dataclass
class Tree:
    value: int
    children: list[Tree] = field(default_factory=list)
    parent: Tree | None = None


@dataclass
class Knot:
    inner: list[Knot] | Sequence[Knot]


@dataclass
class Box(Generic[T]):
    item: T


@dataclass
class IntBox(Box[int]):
    label: str = ""


@attrs.define
class Job:
    name: str
    retries: int = 0


class Pair(NamedTuple):
    left: int
    right: list[str]


class Options(TypedDict):
    host: Required[str]
    port: NotRequired[int]


class Half(TypedDict, total=False):
    x: int
    y: Required[int]


class Model(pydantic.BaseModel):
    name: str
    sizes: list[int] = []
    inner: Optional[Model] = None


class Plain:
    count: int
    tags: set[str]
    hidden: Nothing


class Bare:
    pass


class Holder:
    """Names a class that the standard library's table covers."""

    queue: collections.deque[int]
    extra: Any


@dataclass
class Lost:
    what: Unheard  # noqa: F821
