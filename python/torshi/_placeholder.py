"""Placeholders: what stands for classes and functions that are not there, and for what a stream makes of them.

A load with ``missing="placeholder"`` records here what the stream does with a name it cannot import: how an object is
made, what state and items it is given. Nothing of that is run. `torshi.dumps` writes it back as it was read.
"""

from __future__ import annotations

import copy
import copyreg
import reprlib
import sys
import threading
import weakref
from typing import Any, Literal, TypeAlias

from torshi import _native
from torshi._errors import PicklingError

__all__ = ["Placeholder"]

Missing: TypeAlias = Literal["error", "placeholder"]
"""What a load does about names that are trusted and not there."""

_lock = threading.Lock()
_known: weakref.WeakValueDictionary[tuple[str, str], PlaceholderType] = weakref.WeakValueDictionary()

_MOST_SHOWN = 8
_shown = reprlib.Repr()
_shown.maxlevel = 3


class _Showing(threading.local):
    """Placeholders whose text is being made, by thread."""

    def __init__(self) -> None:
        self._met: set[int] = set()

    def enter(self, made: Placeholder) -> bool:
        """Takes note of one; whether it is new and not too many are."""
        if id(made) in self._met or len(self._met) >= _MOST_SHOWN:
            return False
        self._met.add(id(made))
        return True

    def leave(self, made: Placeholder) -> None:
        """Forgets one."""
        self._met.discard(id(made))


_showing = _Showing()


class PlaceholderType(type):
    """The class of placeholder classes, one for each name that is not there."""

    _owner: PlaceholderType | None = None

    @property
    def name(cls) -> str:
        """What it stands for, ``module.qualname``."""
        return f"{cls.__module__}.{cls.__qualname__}"

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(f"{cls.name} is not there: what stands for it makes no objects")

    def __repr__(cls) -> str:
        return f"<placeholder for {cls.name}>"


class Placeholder(metaclass=PlaceholderType):
    """What a stream made of something that is not there: opaque, and written back as it was read.

    `torshi.loads` gives these with ``missing="placeholder"``, where a name that is trusted cannot be imported. The name
    itself becomes a subclass of this class, and what the stream makes of it an instance of that. `torshi.dumps` writes
    both as they were read; stock pickle cannot write what it cannot import.

    Attributes:
        args: the arguments the object was made with.
        kwargs: the keyword arguments.
        state: the state it was given, or None.
        items: what was appended to it, as to a list.
        entries: what was set in it, as in a dict: pairs of key and value.

    Example:
        >>> import torshi
        >>> data = b"\\x80\\x04\\x8c\\x05trees\\x8c\\x03Oak\\x93)\\x81}\\x8c\\x03ageK\\x5asb."
        >>> oak = torshi.loads(data, trust=["trees.Oak"], missing="placeholder")
        >>> oak
        <placeholder for trees.Oak: state={'age': 90}>
        >>> oak.state["age"]
        90
    """

    __slots__ = ("__weakref__", "_how", "_odd", "args", "entries", "items", "kwargs", "state")

    _how: str
    _odd: str | None
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    state: Any
    items: list[Any]
    entries: list[tuple[Any, Any]]

    @property
    def name(self) -> str:
        """Name of what it was made of, ``module.qualname``."""
        cls: PlaceholderType = type(self)
        return cls.name

    def __repr__(self) -> str:
        # Of a cycle, and of what is nested deeply, only the beginning is shown.
        if not _showing.enter(self):
            return "<placeholder ...>"
        try:
            parts = {"args": self.args or None, "kwargs": self.kwargs or None, "state": self.state}
            parts |= {"items": self.items or None, "entries": _dict_like(self.entries) if self.entries else None}
            told = [f"{name}={_shown.repr(value)}" for name, value in parts.items() if value is not None]
        finally:
            _showing.leave(self)
        return f"<placeholder for {self.name}{': ' if told else ''}{', '.join(told)}>"

    def __setstate__(self, state: Any) -> None:
        """Takes note of a state; called by whoever builds the object."""
        if self.state is not None:
            self._odd = "it was given state twice"
        elif state is None:
            self._odd = "it was given None for a state"
        self.state = state

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        if self._odd is not None:
            raise PicklingError(f"a placeholder for {self.name} cannot be written back: {self._odd}")
        made: tuple[Any, Any]
        if self._how == "new":
            made = copyreg.__newobj__, (type(self), *self.args)  # type: ignore[attr-defined]
        elif self._how == "new_ex":
            made = copyreg.__newobj_ex__, (type(self), self.args, self.kwargs)  # type: ignore[attr-defined]
        elif self._how == "rebuild":
            made = copyreg._reconstructor, (type(self), *self.args)  # type: ignore[attr-defined]
        else:
            made = type(self), self.args
        return *made, self.state, iter(self.items) if self.items else None, iter(self.entries) if self.entries else None

    def __copy__(self) -> Placeholder:
        return self._with({name: getattr(self, name) for name in _RECORD})

    def __deepcopy__(self, memo: dict[int, Any]) -> Placeholder:
        made = memo[id(self)] = self._with({})
        for name in _RECORD:
            setattr(made, name, copy.deepcopy(getattr(self, name), memo))
        return made

    def _with(self, record: dict[str, Any]) -> Placeholder:
        return _filled(object.__new__(type(self)), record)


Placeholder.__module__ = "torshi"

_RECORD = ("_how", "_odd", "args", "kwargs", "state", "items", "entries")


def _dict_like(pairs: list[tuple[Any, Any]]) -> Any:
    """Pairs as a dict where they can be one, to be shown."""
    try:
        return dict(pairs)
    except TypeError:
        return pairs


def _filled(made: Placeholder, record: dict[str, Any]) -> Placeholder:
    for name, value in record.items():
        setattr(made, name, value)
    return made


class _Constructor:
    """Stands for ``cls.__new__``: protocols 2 and 3 call that for what has keyword arguments."""

    __slots__ = ("_of",)

    _of: weakref.ref[PlaceholderType]

    def __call__(self, cls: PlaceholderType, *args: Any, **kwargs: Any) -> Placeholder:
        return made("new_ex", cls, (args, kwargs))

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return getattr, (self._of(), "__new__")


def placeholder_for(module: str, qualname: str) -> PlaceholderType:
    """The placeholder class for a name: one class as long as anybody has it."""
    # Interned, as names of modules and classes are: who wrote the stream had one str for all uses of a name.
    module, qualname = sys.intern(module), sys.intern(qualname)
    owner_name, _, last = qualname.rpartition(".")
    owner = placeholder_for(module, owner_name) if owner_name else None
    with _lock:
        found = _known.get((module, qualname))
        if found is None:
            constructor = _Constructor()
            names = {"__module__": module, "__qualname__": qualname, "__slots__": (), "__new__": constructor}
            found = PlaceholderType(last, (Placeholder,), {**names, "_owner": owner})
            constructor._of = weakref.ref(found)
            _known[module, qualname] = found
        return found


def attribute(owner: PlaceholderType, name: str) -> Any:
    """What a stream gets that looks up an attribute of a placeholder class."""
    if name == "__new__":
        return owner.__new__
    return placeholder_for(owner.__module__, f"{owner.__qualname__}.{name}")


def made(how: str, cls: PlaceholderType, given: tuple[Any, ...]) -> Placeholder:
    """The record of an object that a stream makes of a placeholder class.

    Args:
        how: ``call``, ``new``, ``new_ex`` (then `given` is arguments and keyword arguments) or ``rebuild``.
        cls: the class.
        given: the arguments.
    """
    args, kwargs = given if how == "new_ex" else (given, {})
    record = {"_how": how, "_odd": None, "args": args, "kwargs": kwargs, "state": None, "items": [], "entries": []}
    blank: Placeholder = object.__new__(cls)  # type: ignore[arg-type]
    return _filled(blank, record)


def filled(target: Placeholder, what: str, values: list[Any]) -> None:
    """Takes note of items: ``items`` appended, ``entries`` as keys and values in turn, ``added`` as to a set."""
    if what == "items":
        if target.entries:
            target._odd = "it has items that were set before others were appended"
        target.items.extend(values)
    elif what == "entries":
        target.entries.extend(zip(values[::2], values[1::2], strict=True))
    else:
        target._odd = "it has items that were added as to a set"
        target.items.extend(values)
    if target.state is not None:
        target._odd = "it was given items after its state"


_native.set_placeholder_kind(PlaceholderType)
