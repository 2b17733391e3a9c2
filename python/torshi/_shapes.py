"""Shapes: what an annotation asks of a value, as a small graph of plain nodes.

`_annotations` turns annotations into shapes, `_policy` collects the classes in them and `_typed` compares
objects with them. The graph may have cycles (a tree's node holds nodes). Nothing here reads an annotation
or looks at an object.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

__all__ = [
    "Anything",
    "Array",
    "Choices",
    "Classes",
    "Either",
    "Function",
    "Instance",
    "Items",
    "Nothing",
    "Pairs",
    "Record",
    "Row",
    "Shape",
    "classes_in",
    "neighbours",
]


@dataclass(eq=False)
class Shape:
    """Base of all shapes.

    Attributes:
        label: how an error message names it, such as ``list[int]``.
    """

    label: str


@dataclass(eq=False)
class Anything(Shape):
    """Any value: `Any`, `object` (open: the default policy applies), or a protocol, which names no class."""

    open: bool = True


@dataclass(eq=False)
class Nothing(Shape):
    """No value at all: `Never`."""


@dataclass(eq=False)
class Function(Shape):
    """Something callable; names no class that could be trusted."""


@dataclass(eq=False)
class Instance(Shape):
    """An instance of a class, perhaps with fields of known shape.

    Attributes:
        accepts: classes whose instances will do; `int` will do for `float`.
        fields: shape of each annotated attribute, filled in after the node exists so that cycles close.
        required: attributes that must be there.
        indexed: the fields are the positions of a named tuple.
        plain: for each field the exact types that need no second look; worked out at the first comparison.
    """

    cls: type
    accepts: tuple[type, ...]
    fields: dict[str, Shape] = field(default_factory=dict)
    required: frozenset[str] = frozenset()
    indexed: bool = False
    plain: dict[str, frozenset[type]] | None = None


@dataclass(eq=False)
class Choices(Shape):
    """One of the values of a `Literal`."""

    values: tuple[Any, ...]


@dataclass(eq=False)
class Either(Shape):
    """One of several shapes: a union, or a type alias standing for a single one."""

    options: list[Shape] = field(default_factory=list)


@dataclass(eq=False)
class Items(Shape):
    """A list, set, deque, `tuple[X, ...]` or abstract collection of one shape of item."""

    cls: type
    item: Shape


@dataclass(eq=False)
class Pairs(Shape):
    """A mapping with one shape of key and one of value."""

    cls: type
    key: Shape
    value: Shape


@dataclass(eq=False)
class Row(Shape):
    """A tuple of fixed length."""

    items: tuple[Shape, ...]


@dataclass(eq=False)
class Record(Shape):
    """A dictionary with known keys: a `TypedDict`."""

    keys: dict[str, Shape] = field(default_factory=dict)
    required: frozenset[str] = frozenset()


@dataclass(eq=False)
class Classes(Shape):
    """A class object: `type[X]`; `bases` empty means any class."""

    bases: tuple[type, ...]


@dataclass(eq=False)
class Array(Shape):
    """A numpy array; `dtype` None means of any dtype."""

    cls: type
    dtype: type | None


def neighbours(shape: Shape) -> Iterator[Shape]:
    """Yields the shapes that `shape` refers to directly."""
    match shape:
        case Instance(fields=fields) | Record(keys=fields):
            yield from fields.values()
        case Either(options=options):
            yield from options
        case Items(item=item):
            yield item
        case Pairs(key=key, value=value):
            yield key
            yield value
        case Row(items=items):
            yield from items


def classes_in(root: Shape) -> tuple[frozenset[type], bool]:
    """Collects the classes that instances of a shape are made of.

    Returns:
        The classes, and whether some part of the shape is open (`Any` or `object`).
    """
    seen: set[int] = {id(root)}
    stack = [root]
    found: set[type] = set()
    is_open = False
    while stack:
        shape = stack.pop()
        match shape:
            case Anything(open=True):
                is_open = True
            case Instance(cls=cls) | Items(cls=cls) | Pairs(cls=cls):
                found.add(cls)
            case Array(cls=cls, dtype=dtype):
                found.add(cls)
                if dtype is not None:
                    found.add(dtype)
            case Classes(bases=bases):
                found.update(bases)
            case Choices(values=values):
                found.update(type(value) for value in values)
        for neighbour in neighbours(shape):
            if id(neighbour) not in seen:
                seen.add(id(neighbour))
                stack.append(neighbour)
    return frozenset(found), is_open
