"""A loaded object beside the annotation it was asked for with: equal in shape, or a `ValidationError`.

Walks the object once, without recursion, so that depth costs no stack and cycles end. Never converts or
changes a value, and never iterates over anything but the standard containers.
"""

from __future__ import annotations

import collections
from collections.abc import Iterator
from typing import Any, TypeVar

from torshi._annotations import shape_of
from torshi._errors import ValidationError
from torshi._shapes import (
    Anything,
    Array,
    Choices,
    Classes,
    Either,
    Function,
    Instance,
    Items,
    Nothing,
    Pairs,
    Record,
    Row,
    Shape,
)

__all__ = ["validate"]

T = TypeVar("T")

# One value still to be looked at: the step that leads to it, the value, the shape it must have.
_Step = tuple[str, Any, Shape]
_NO_STEPS: Iterator[_Step] = iter(())
_ABSENT = object()

# The containers that may be iterated: doing so runs no code of the object's own class.
_ITERABLE = (list, tuple, set, frozenset, collections.deque)


def validate(obj: Any, annotation: Any) -> Any:
    """Checks a loaded object against an annotation.

    Args:
        obj: what a load returned.
        annotation: a class, or any annotation of the kinds `docs/typed.md` lists.

    Returns:
        The same object.

    Raises:
        ValidationError: some value is not what the annotation says; the first one met, depth first.
        TypeError: the annotation cannot be resolved.

    Example:
        >>> from torshi._typed import validate
        >>> validate([1, 2, 3], list[int])
        [1, 2, 3]
        >>> validate({"ports": [80, "443"]}, dict[str, list[int]])
        Traceback (most recent call last):
        torshi.ValidationError: expected int, got str at $.ports[1]
    """
    failure = _Walk(None).compare(obj, shape_of(annotation))
    if failure is not None:
        steps, expected, got = failure
        raise ValidationError("$" + "".join(steps), expected, got)
    return obj


class _Mismatch(Exception):
    def __init__(self, expected: str, got: str, step: tuple[str, ...] = ()) -> None:
        super().__init__(expected, got)
        self.expected = expected
        self.got = got
        self.step = step


_Failure = tuple[tuple[str, ...], str, str]


class _Walk:
    """One comparison, or one attempt at an option of a union inside another.

    A pair of value and shape that is being compared, or was, is taken to agree when met again: if it does
    not, the comparison already under way says so. An attempt keeps its own pairs until it has succeeded.
    """

    def __init__(self, outer: _Walk | None) -> None:
        self._outer = outer
        self._agreed: set[tuple[int, int]] = set()
        # A failed attempt stays failed whatever is assumed elsewhere, so all walks share these.
        self._failed: dict[tuple[int, int], _Failure] = {} if outer is None else outer._failed

    def compare(self, obj: Any, shape: Shape) -> _Failure | None:
        """Returns None if all agrees, else the path, what was expected and what was there."""
        frames: list[Iterator[_Step]] = [iter((("", obj, shape),))]
        path: list[str] = [""]
        while frames:
            step = next(frames[-1], None)
            if step is None:
                frames.pop()
                path.pop()
                continue
            path[-1] = step[0]
            try:
                inner = self._look(step[1], step[2])
            except _Mismatch as mismatch:
                return (*path, *mismatch.step), mismatch.expected, mismatch.got
            if inner is not _NO_STEPS:
                frames.append(inner)
                path.append("")
        return None

    def _met(self, pair: tuple[int, int]) -> bool:
        walk: _Walk | None = self
        while walk is not None:
            if pair in walk._agreed:
                return True
            walk = walk._outer
        return False

    def _look(self, obj: Any, shape: Shape) -> Iterator[_Step]:
        """Compares one value with one shape, and yields the steps to what it holds."""
        if isinstance(shape, Anything):
            return _NO_STEPS
        if isinstance(shape, Either):
            return self._either(obj, shape)
        if not _fits(obj, shape):
            raise _Mismatch(*_contrast(obj, shape))
        if not isinstance(shape, (Instance, Items, Pairs, Row, Record)):
            return _NO_STEPS
        if isinstance(shape, Instance) and not shape.fields:
            return _NO_STEPS
        pair = (id(obj), id(shape))
        if self._met(pair):
            return _NO_STEPS
        self._agreed.add(pair)
        return _steps(obj, shape)

    def _either(self, obj: Any, shape: Either) -> Iterator[_Step]:
        options = [option for option in _flat(shape) if _fits(obj, option)]
        if not options:
            raise _Mismatch(shape.label, _name_of(obj))
        if len(options) == 1:
            return iter((("", obj, options[0]),))
        deepest: _Failure = ((), shape.label, _name_of(obj))
        for option in options:
            pair = (id(obj), id(option))
            failure = self._failed.get(pair)
            if failure is None:
                attempt = _Walk(self)
                failure = attempt.compare(obj, option)
                if failure is None:
                    self._agreed |= attempt._agreed
                    return _NO_STEPS
                self._failed[pair] = failure
            if len("".join(failure[0])) > len("".join(deepest[0])):
                deepest = failure
        raise _Mismatch(deepest[1], deepest[2], deepest[0])


def _flat(shape: Either) -> list[Shape]:
    """The options of a union with the unions and aliases inside it opened."""
    flat: list[Shape] = []
    seen = {id(shape)}
    pending = list(reversed(shape.options))
    while pending:
        option = pending.pop()
        if not isinstance(option, Either):
            flat.append(option)
        elif id(option) not in seen:
            seen.add(id(option))
            pending.extend(reversed(option.options))
    return flat


def _fits(obj: Any, shape: Shape) -> bool:
    """Compares the outermost layer alone: the class, the length of a tuple, the value of a literal."""
    match shape:
        case Anything():
            return True
        case Nothing():
            return False
        case Instance(accepts=accepts):
            # bool is a subclass of int and still not what `int` asks for.
            return isinstance(obj, accepts) and (type(obj) is not bool or shape.cls is bool)
        case Items(cls=cls) | Pairs(cls=cls):
            return isinstance(obj, cls)
        case Row(items=items):
            return isinstance(obj, tuple) and len(obj) == len(items)
        case Record():
            return isinstance(obj, dict)
        case Choices(values=values):
            return any(type(obj) is type(value) and obj == value for value in values)
        case Classes(bases=bases):
            return isinstance(obj, type) and (not bases or issubclass(obj, bases))
        case Function():
            return callable(obj)
        case Array(cls=cls, dtype=dtype):
            return isinstance(obj, cls) and (dtype is None or issubclass(obj.dtype.type, dtype))  # type: ignore[attr-defined]
        case Either():
            return any(_fits(obj, option) for option in _flat(shape))
    raise AssertionError(f"no rule for {type(shape).__name__}")


def _contrast(obj: Any, shape: Shape) -> tuple[str, str]:
    """What was expected and what was there, said so that the two differ."""
    if isinstance(shape, Choices):
        text = repr(obj) if isinstance(obj, (str, bytes, int, float, type(None))) else _name_of(obj)
        return shape.label, text if len(text) <= 40 else text[:37] + "..."
    if isinstance(shape, Row) and isinstance(obj, tuple):
        return f"tuple of {len(shape.items)}", f"tuple of {len(obj)}"
    if isinstance(shape, Array) and isinstance(obj, shape.cls):
        return shape.label, f"{obj.dtype} array"  # type: ignore[attr-defined]
    if isinstance(shape, (Classes, Function)) and isinstance(obj, type):
        return shape.label, f"class {obj.__name__}"
    got = _name_of(obj)
    if isinstance(shape, Instance) and got == shape.label:
        return _full_name(shape.cls), _full_name(type(obj))
    return shape.label, got


def _name_of(obj: Any) -> str:
    return "None" if obj is None else type(obj).__name__


def _full_name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _steps(obj: Any, shape: Shape) -> Iterator[_Step]:
    match shape:
        case Items(item=item):
            return _item_steps(obj, item)
        case Pairs(key=key, value=value):
            return _pair_steps(obj, key, value)
        case Row(items=items):
            return ((f"[{i}]", tuple.__getitem__(obj, i), item) for i, item in enumerate(items))
        case Record():
            return _record_steps(obj, shape)
        case Instance(indexed=True, fields=fields):
            if len(obj) != len(fields):
                raise _Mismatch(f"{shape.label} of {len(fields)}", f"{shape.label} of {len(obj)}")
            return ((f".{name}", tuple.__getitem__(obj, i), fields[name]) for i, name in enumerate(fields))
        case Instance():
            return _field_steps(obj, shape)
    return _NO_STEPS


def _plain(shape: Shape) -> frozenset[type] | None:
    """The exact types that fit a shape without a second look; None if there is no such set."""
    if isinstance(shape, Instance) and not shape.fields:
        return frozenset(shape.accepts)
    if isinstance(shape, Either):
        sets = [_plain(option) for option in _flat(shape)]
        if all(known is not None for known in sets):
            return frozenset().union(*(known for known in sets if known is not None))
    return None


def _all_plain(values: Any, shape: Shape) -> bool:
    """Tells in one pass, at C speed, that every value has a type that fits as it is."""
    if isinstance(shape, Anything):
        return True
    known = _plain(shape)
    return known is not None and known.issuperset(set(map(type, values)))


def _item_steps(obj: Any, item: Shape) -> Iterator[_Step]:
    if not isinstance(obj, _ITERABLE) or _all_plain(obj, item):
        return _NO_STEPS
    if isinstance(obj, (set, frozenset)):
        return (("[*]", value, item) for value in obj)
    return ((f"[{i}]", value, item) for i, value in enumerate(obj))


def _pair_steps(obj: Any, key: Shape, value: Shape) -> Iterator[_Step]:
    if not isinstance(obj, dict):
        return _NO_STEPS
    keys = dict.keys(obj)
    values = dict.values(obj)
    if _all_plain(keys, key):
        if _all_plain(values, value):
            return _NO_STEPS
        return ((_key_step(k), v, value) for k, v in dict.items(obj))
    return _both_steps(obj, key, value)


def _both_steps(obj: dict[Any, Any], key: Shape, value: Shape) -> Iterator[_Step]:
    for k, v in dict.items(obj):
        step = _key_step(k)
        yield f"{step} (key)", k, key
        yield step, v, value


def _key_step(key: Any) -> str:
    if isinstance(key, str) and key.isidentifier():
        return f".{key}"
    # A key that is no atom may have a repr of its own making, or an endless one.
    text = repr(key) if isinstance(key, (str, bytes, int, float, type(None))) else type(key).__name__
    return f"[{text if len(text) <= 40 else text[:37] + '...'}]"


def _record_steps(obj: dict[Any, Any], shape: Record) -> Iterator[_Step]:
    for key in dict.keys(obj):
        if key not in shape.keys:
            text = _key_step(key)
            raise _Mismatch(f"{shape.label} without other keys", f"key {text.lstrip('.').strip('[]')}")
    for name in sorted(shape.required):
        if name not in obj:
            raise _Mismatch(f"key {name} of {shape.label}", "none")
    return ((_key_step(name), obj[name], inner) for name, inner in shape.keys.items() if name in obj)


def _field_steps(obj: Any, shape: Instance) -> Iterator[_Step]:
    # Both lookups that run no code of the class: its own dictionary, then slots and class attributes.
    own = getattr(obj, "__dict__", {})
    plain = shape.plain
    if plain is None:
        plain = shape.plain = {name: _plain(inner) or frozenset() for name, inner in shape.fields.items()}
    steps: list[_Step] = []
    for name, inner in shape.fields.items():
        value = own[name] if name in own else getattr(obj, name, _ABSENT)
        if type(value) in plain[name]:
            continue
        if value is not _ABSENT:
            steps.append((f".{name}", value, inner))
        elif name in shape.required:
            raise _Mismatch(f"attribute {name} of {shape.label}", "none")
    return iter(steps) if steps else _NO_STEPS
