"""Fingerprints: what a class looks like from outside, as a manifest keeps it.

A class in, its fields with their annotations and the version it declares out, and what today's class does with a state
that lacks some of them. Looks at classes that are there already: imports none, constructs none, and runs no code of
theirs, since names come from files.
"""

from __future__ import annotations

import dataclasses
import enum
import sys
from typing import Any

__all__ = ["adapts", "declares", "fingerprint", "is_ordered", "live", "live_class", "optional_fields"]

_MOST_FIELDS = 1000

# Methods that libraries write into classes: they set a state as it is, and adapt nothing.
_GENERATED = {"_dataclass_setstate", "slots_setstate"}


def live(name: str) -> Any:
    """What a manifest calls ``module:qualname``, if its module is loaded and has it; else None."""
    module, _, qualname = name.partition(":")
    found: Any = sys.modules.get(module)
    for part in qualname.split("."):
        try:
            # As `vars`, past the hooks of lazy modules and metaclasses, which might import.
            found = object.__getattribute__(found, "__dict__").get(part)
        except AttributeError:
            return None
    return found


def live_class(name: str) -> type | None:
    """The class that a manifest calls ``module:qualname``, if its module is loaded and has it.

    Example:
        >>> from torshi._fingerprint import live_class
        >>> live_class("collections:OrderedDict")
        <class 'collections.OrderedDict'>
        >>> live_class("collections:Missing") is None
        True
    """
    found = live(name)
    return found if isinstance(found, type) else None


def fingerprint(cls: type | None) -> dict[str, Any]:
    """What a class looks like, as far as it says: ``fields``, pairs of name and annotation in order, and ``version``.

    Example:
        >>> from typing import NamedTuple
        >>> from torshi._fingerprint import fingerprint
        >>> fingerprint(NamedTuple("Pair", [("left", int), ("right", int)]))
        {'fields': [['left', ''], ['right', '']]}
    """
    known: dict[str, Any] = {}
    if cls is None:
        return known
    fields = _fields(cls)
    version = _namespace(cls).get("__torshi_version__")
    if fields:
        known["fields"] = fields[:_MOST_FIELDS]
    if isinstance(version, int) and not isinstance(version, bool):
        known["version"] = version
    return known


# What a class is made of, past the hooks of metaclasses.
_bases = type.__dict__["__mro__"].__get__
_namespace = type.__dict__["__dict__"].__get__


def _static(cls: type, name: str) -> Any:
    """An attribute as a class or a base has it, without any code of theirs; None if there is none."""
    for base in _bases(cls):
        namespace = _namespace(base)
        if name in namespace:
            return namespace[name]
    return None


def _declared(cls: Any) -> tuple[dataclasses.Field[Any], ...] | None:
    """The fields of a dataclass."""
    return dataclasses.fields(cls) if isinstance(_static(cls, "__dataclass_fields__"), dict) else None


def _attributes(cls: type) -> tuple[Any, ...] | None:
    """The fields of a class of attrs."""
    found = _static(cls, "__attrs_attrs__")
    return found if isinstance(found, tuple) else None


def _names(cls: type) -> list[str] | None:
    """The fields of a named tuple."""
    found = _static(cls, "_fields")
    if not issubclass(cls, tuple) or not isinstance(found, tuple):
        return None
    return [name for name in found if isinstance(name, str)]


def declares(cls: type) -> bool:
    """Whether a class says what fields its objects have, if only that there are none.

    Example:
        >>> from torshi._fingerprint import declares
        >>> declares(type("Plain", (), {})), declares(type("Slotted", (), {"__slots__": ()}))
        (False, True)
    """
    said = (_declared(cls), _attributes(cls), _names(cls))
    return any(fields is not None for fields in said) or issubclass(cls, enum.Enum) or _is_slotted(cls)


def _is_slotted(cls: type) -> bool:
    return all("__slots__" in _namespace(base) for base in _bases(cls)[:-1])


def _fields(cls: type) -> list[list[str]]:
    """Pairs of name and annotation, in order."""
    declared = _declared(cls)
    if declared is not None:
        return [[field.name, _annotation(field.type)] for field in declared]
    attributes = _attributes(cls)
    if attributes is not None:
        return [[field.name, _annotation(field.type)] for field in attributes]
    names = _names(cls)
    if names is not None:
        return [[name, ""] for name in names]
    if issubclass(cls, enum.Enum):
        return [[name, ""] for name in cls.__members__]
    slots = [_namespace(base).get("__slots__", ()) for base in reversed(_bases(cls))]
    return [
        [name, ""] for part in slots for name in ((part,) if isinstance(part, str) else part) if isinstance(name, str)
    ]


def _annotation(annotation: Any) -> str:
    if annotation is None:
        return ""
    if isinstance(annotation, str):
        return annotation
    return annotation.__qualname__ if isinstance(annotation, type) else str(annotation)


def optional_fields(cls: type) -> frozenset[str]:
    """Fields that an object may do without: they have a default. Members of an enumeration are nobody's duty either."""
    if issubclass(cls, enum.Enum):
        return frozenset(cls.__members__)
    declared = _declared(cls)
    if declared is not None:
        missing = dataclasses.MISSING
        return frozenset(
            field.name for field in declared if field.default is not missing or field.default_factory is not missing
        )
    attributes = _attributes(cls)
    if attributes is not None:
        nothing = getattr(sys.modules.get("attr"), "NOTHING", None)
        return frozenset(field.name for field in attributes if field.default is not nothing)
    defaults = _static(cls, "_field_defaults")
    return frozenset(defaults) if _names(cls) is not None and isinstance(defaults, dict) else frozenset()


def adapts(cls: type) -> bool:
    """Whether a class has a `__setstate__` of its own: what becomes of an old state is then its own affair."""
    method = _static(cls, "__setstate__")
    return method is not None and getattr(method, "__name__", "") not in _GENERATED


def is_ordered(cls: type) -> bool:
    """Whether objects are made from values in the order of the fields, as named tuples are."""
    return _names(cls) is not None
