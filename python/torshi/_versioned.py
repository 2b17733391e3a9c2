"""Versions of classes: a decorator into states that say their version, and old states into new ones.

The version stands in the state itself, so that stock pickle writes and reads it too. Nothing is converted that the
class does not convert: `upgrade` is its own.
"""

from __future__ import annotations

import copyreg
import dataclasses
import sys
from collections.abc import Callable
from typing import Any, TypeVar

from torshi._errors import UnpicklingError
from torshi._fields import complete

__all__ = ["versioned"]

_T = TypeVar("_T")

# Names in a state that are no attributes.
_VERSION = "_torshi_version"
_BASES = "_torshi_bases"
_STATE = "_torshi_state"

_IMMUTABLE = (tuple, int, float, complex, str, bytes, frozenset)


def versioned(version: int) -> Callable[[type[_T]], type[_T]]:
    """Give a class a version, which its pickles carry, so that it can upgrade the states of earlier ones.

    A state of an earlier version goes to the class's ``upgrade(state, from_version)``, a static or class method, which
    returns the state as it would be today. The state is a dict of attributes, whether they live in slots or not, or
    what the class's own ``__getstate__`` returned; `from_version` is 0 for pickles from before the class had versions.
    Without an ``upgrade`` old states are taken as they are. Fields of dataclasses that a state lacks get their defaults
    after that, and a `ChangeWarning` names what has none, and what is no field.

    It works under stock pickle, ``copy`` and torshi alike. Write it above all other decorators. A class and a base of
    it may both have versions: each upgrades its own, the base first.

    Args:
        version: of the class as it is now, from 1.

    Raises:
        TypeError: the version is no number; the class is one whose values are not in its state (a tuple, an int,
            an exception, one with a ``__reduce__``).
        ValueError: the version is below 1.

    While loading, `UnpicklingError` is raised for a state of a version that the class does not know yet.

    Example:
        >>> import torshi
        >>> @torshi.versioned(2)
        ... class Server:
        ...     def __init__(self, host, port):
        ...         self.host, self.port = host, port
        ...
        ...     @staticmethod
        ...     def upgrade(state, from_version):
        ...         if from_version < 2:  # was one text
        ...             host, _, port = state.pop("address").partition(":")
        ...             state |= {"host": host, "port": int(port)}
        ...         return state
        >>> server = Server.__new__(Server)
        >>> server.__setstate__({"address": "localhost:80"})  # as a load does
        >>> server.host, server.port
        ('localhost', 80)
    """
    given: object = version
    if not isinstance(given, int) or isinstance(given, bool):
        raise TypeError(f"a version is a whole number, not {version!r}; write @torshi.versioned(1)")
    if version < 1:
        raise ValueError(f"versions count from 1, not {version}")

    def decorate(cls: type[_T]) -> type[_T]:
        _demand_state(cls)
        names: Any = cls
        names.__torshi_version__ = version
        getter, setter = names.__getstate__, getattr(names, "__setstate__", None)
        if not hasattr(getter, _VERSION):
            names.__getstate__ = _getter(None if _is_default(getter, "_dataclass_getstate") else getter)
        if not hasattr(setter, _VERSION):
            names.__setstate__ = _setter(None if _is_default(setter, "_dataclass_setstate") else setter)
        return cls

    return decorate


def _demand_state(cls: Any) -> None:
    """Raises TypeError for a class that is not pickled by its state."""
    if not isinstance(cls, type):
        raise TypeError(f"versioned is for classes, not {cls!r}")
    own = [getattr(cls, name) is not getattr(object, name) for name in ("__reduce_ex__", "__reduce__")]
    reduced = any(own)
    if reduced or issubclass(cls, _IMMUTABLE):
        why = "it has a way of its own to be pickled" if reduced else "its value is not in its state"
        raise TypeError(f"{cls.__qualname__} cannot have a version: {why}")


def _is_default(method: Any, generated: str) -> bool:
    """Whether a method is object's, or that of frozen dataclasses with slots, which goes by places and not by names."""
    return method is None or method is object.__getstate__ or method is getattr(dataclasses, generated, None)


def _getter(own: Callable[[Any], Any] | None) -> Callable[[Any], Any]:
    def __getstate__(self: Any) -> Any:
        state = _attributes(self) if own is None else own(self)
        first, *rest = _versions(type(self)).items()
        marks: dict[str, Any] = {_VERSION: first[1]}
        if rest:
            marks[_BASES] = {base.__qualname__: version for base, version in rest}
        return {**marks, **state, **marks} if isinstance(state, dict) else {**marks, _STATE: state}

    setattr(__getstate__, _VERSION, True)
    return __getstate__


def _setter(own: Callable[[Any, Any], Any] | None) -> Callable[[Any, Any], None]:
    def __setstate__(self: Any, state: Any) -> None:
        older = False
        present = type(self).__setstate__
        # A subclass with a version of its own has upgraded the whole before it hands on what is for its base.
        if present is __setstate__ or not hasattr(present, _VERSION):
            state, older = _upgraded(type(self), state, plain=own is None)
        unknown: list[str] = []
        if own is not None:
            own(self, state)
        else:
            unknown = _assign(self, state)
        complete(self, unknown, reports_unknown=older)

    setattr(__setstate__, _VERSION, True)
    return __setstate__


def _versions(cls: type) -> dict[type, int]:
    """The classes with a version that a class is made of, itself first."""
    return {base: vars(base)["__torshi_version__"] for base in cls.__mro__ if "__torshi_version__" in vars(base)}


def _attributes(instance: Any) -> dict[str, Any]:
    state = dict(getattr(instance, "__dict__", {}))
    for name in copyreg._slotnames(type(instance)):  # type: ignore[attr-defined]
        try:
            state[name] = getattr(instance, name)
        except AttributeError:
            continue
    return state


def _upgraded(cls: type, state: Any, *, plain: bool) -> tuple[Any, bool]:
    """A state as the class would write it today, and whether it was an older one.

    Raises:
        UnpicklingError: it is of a version that the class does not know.
    """
    written: dict[str, int] = {}
    first = 0
    if isinstance(state, dict) and _VERSION in state:
        state = dict(state)
        first, written = state.pop(_VERSION), state.pop(_BASES, {})
        if _STATE in state:
            state = state[_STATE]
    elif plain:
        state = _merged(state)
    older = False
    versions = _versions(cls)
    own = next(iter(versions), None)
    for base, version in reversed(versions.items()):
        found = first if base is own else written.get(base.__qualname__, 0)
        name = f"{base.__module__}.{base.__qualname__}"
        known: object = found
        if not isinstance(known, int) or known > version:
            raise UnpicklingError(
                f"a state of {name} has version {found!r}, and this {name} knows versions up to {version}: "
                "it was pickled by a later release"
            )
        upgrade = vars(base).get("upgrade")
        if found < version:
            older = True
            if upgrade is not None:
                state = upgrade.__get__(None, base)(state, found)
                if state is None:
                    raise TypeError(f"{name}.upgrade returned None: it has to return the state")
    return state, older


def _merged(state: Any) -> Any:
    """A state from before the class had versions, as a dict of attributes where it is that in two halves."""
    if isinstance(state, tuple) and len(state) == 2 and all(half is None or isinstance(half, dict) for half in state):
        return {**(state[0] or {}), **(state[1] or {})}
    return dict(state) if isinstance(state, dict) else state


def _assign(instance: Any, state: Any) -> list[str]:
    """Sets attributes, past what a frozen class has against it; the names it can have none of.

    Raises:
        UnpicklingError: the state is no dict of names, or has one that reaches the class.
    """
    cls = type(instance)
    if isinstance(state, list) and dataclasses.is_dataclass(cls):
        # What a frozen dataclass with slots wrote before it had versions: values in the order of its fields.
        state = {field.name: value for field, value in zip(dataclasses.fields(cls), state, strict=False)}
    if not isinstance(state, dict):
        raise UnpicklingError(f"a state of {cls.__qualname__} is a dict of attributes, not {type(state).__name__}")
    own = getattr(instance, "__dict__", None)
    slots = set(copyreg._slotnames(cls))  # type: ignore[attr-defined]
    unknown = []
    for name, value in state.items():
        if not isinstance(name, str) or (name.startswith("__") and name != "__notes__"):
            raise UnpicklingError(f"a state of {cls.__qualname__} has the name {name!r}, which no attribute may have")
        if name in slots:
            object.__setattr__(instance, name, value)
        elif own is not None:
            own[sys.intern(name) if type(name) is str else name] = value
        else:
            unknown.append(name)
    return unknown
