"""Fields that a class has now beside a state that was written when it had others.

Instances of dataclasses and attrs classes into the same instances with defaults for what their state lacked, and a
`ChangeWarning` where something cannot be made good. Looks at fields alone, and never at a stream.
"""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import types
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from typing import Any

__all__ = ["ChangeWarning", "heard"]

_ABSENT = object()

_hearing: ContextVar[list[ChangeWarning] | None] = ContextVar("_hearing", default=None)


class ChangeWarning(UserWarning):
    """A class has changed since an object of it was pickled, and the object may not be what is expected.

    Attributes:
        cls: the class.
        filled: fields that got their defaults, since the state did not have them.
        missing: fields without a default that the state did not have either: the object lacks them.
        unknown: names the state had that are no fields of the class.
    """

    __module__ = "torshi"

    def __init__(
        self, cls: type, filled: Iterable[str] = (), missing: Iterable[str] = (), unknown: Iterable[str] = ()
    ) -> None:
        self.cls = cls
        self.filled = tuple(filled)
        self.missing = tuple(missing)
        self.unknown = tuple(unknown)
        parts = (
            (self.missing, "nothing for {}"),
            (self.filled, "the default for {}"),
            (self.unknown, "{} is not a field of it"),
        )
        told = [text.format(", ".join(map(repr, names))) for names, text in parts if names]
        super().__init__(
            f"{cls.__module__}.{cls.__qualname__} has changed since this was pickled: {'; '.join(told)}; "
            "say what to do with old states in an upgrade (torshi.versioned)"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.cls, self.filled, self.missing, self.unknown)


def names(cls: type) -> tuple[str, ...] | None:
    """The fields of a class whose state is its fields; None of others, and of one with its own ``__setstate__``.

    Called by the native module, once for a class.
    """
    setter = getattr(cls, "__setstate__", None)
    if setter is not None and not _is_generated(setter):
        return None
    found = _defaults(cls)
    return None if found is None else tuple(found)


def _is_generated(setter: Any) -> bool:
    """Whether it is one that dataclasses or attrs make, which do no more than set the fields."""
    return setter is getattr(dataclasses, "_dataclass_setstate", None) or (
        isinstance(setter, types.FunctionType) and setter.__module__ == "attr._make"
    )


def _defaults(cls: type) -> dict[str, Callable[[], Any] | None] | None:
    """What makes the default of each field, None for those without; None for what has no fields."""
    if dataclasses.is_dataclass(cls):
        return {field.name: _maker(field.default, field.default_factory) for field in dataclasses.fields(cls)}
    attributes = getattr(cls, "__attrs_attrs__", None)
    attr = sys.modules.get("attr")
    if not isinstance(attributes, tuple) or attr is None:
        return None
    found: dict[str, Callable[[], Any] | None] = {}
    for attribute in attributes:
        default = attribute.default
        if default is attr.NOTHING or (isinstance(default, attr.Factory) and default.takes_self):
            found[attribute.name] = None
        elif isinstance(default, attr.Factory):
            found[attribute.name] = default.factory
        else:
            found[attribute.name] = _maker(default, dataclasses.MISSING)
    return found


def _maker(default: Any, factory: Any) -> Callable[[], Any] | None:
    if factory is not dataclasses.MISSING:
        made: Callable[[], Any] = factory
        return made
    return None if default is dataclasses.MISSING else lambda: default


def complete(instance: Any, unknown: Iterable[str] = (), *, reports_unknown: bool = False) -> None:
    """Gives an instance the defaults of the fields it lacks, and warns of what that does not make good.

    New fields with defaults are no reason to warn. Names that are no fields are one beside fields that were not there,
    since one may have become the other; alone they are attributes that somebody set.

    Args:
        instance: what was built, of a class with fields.
        unknown: names that the state had and the instance cannot have.
        reports_unknown: warn of unknown names alone too.
    """
    cls = type(instance)
    fields = _defaults(cls)
    if fields is None:
        if unknown:
            _warn(ChangeWarning(cls, unknown=unknown))
        return
    filled, missing = [], []
    for name, make in fields.items():
        if _has(instance, name):
            continue
        if make is None:
            missing.append(name)
        else:
            object.__setattr__(instance, name, make())
            filled.append(name)
    own = getattr(instance, "__dict__", {})
    # A cached property keeps its value under its own name.
    unknown = [*unknown, *(name for name in own if name not in fields and not hasattr(cls, name))]
    if not missing and not (unknown and (filled or reports_unknown)):
        return
    if missing and not unknown and not reports_unknown and _leaves_out(cls):
        return
    _warn(ChangeWarning(cls, filled, missing, unknown))


def _leaves_out(cls: type) -> bool:
    """Whether the class says itself what its state is, and so may leave fields out on purpose."""
    return getattr(cls, "__getstate__", None) is not object.__getstate__


def _has(instance: Any, name: str) -> bool:
    if name in getattr(instance, "__dict__", ()):
        return True
    for base in type(instance).__mro__:
        found = vars(base).get(name, _ABSENT)
        if found is not _ABSENT:
            # A slot that is empty says so; any other attribute of the class is none of the instance.
            if not isinstance(found, types.MemberDescriptorType):
                return False
            try:
                found.__get__(instance)
            except AttributeError:
                return False
            return True
    return False


@contextlib.contextmanager
def heard() -> Iterator[list[ChangeWarning]]:
    """Gives what would be warned of to the caller instead, who knows from elsewhere what the classes were."""
    said: list[ChangeWarning] = []
    token = _hearing.set(said)
    try:
        yield said
    finally:
        _hearing.reset(token)


def _warn(warning: ChangeWarning) -> None:
    """Warns where the program called torshi, or stock pickle, from."""
    hearing = _hearing.get()
    if hearing is not None:
        if all(str(warning) != str(other) for other in hearing):
            hearing.append(warning)
        return
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "torshi":
        frame, level = frame.f_back, level + 1
    warnings.warn(warning, stacklevel=level)
