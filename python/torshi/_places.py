"""Places: where stock pickle's functions stand in a running program, and putting others there.

Turns a table of originals and replacements into changed module globals, class attributes, base classes and default
arguments, and back again. Knows nothing of pickles or policies. It asks no module and no object for an attribute
of its own, so nothing lazy is loaded, and it does not look into instances, containers and closures.
"""

from __future__ import annotations

import gc
import sys
import types
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

__all__ = ["Places", "swap_base"]

Table: TypeAlias = Mapping[int, tuple[object, Any]]
Undo: TypeAlias = Callable[[], None]

# The package's own modules keep the originals.
_OWN = "torshi"


class Places:
    """Puts replacements where originals stand, and the originals back.

    Args:
        swaps: pairs of an original and its replacement. A replacing function becomes a static method where it
            stands in a class, since a builtin function that stands there does not bind either.
    """

    def __init__(self, swaps: Iterable[tuple[object, object]]) -> None:
        self._forth: Table = {id(original): (original, replacement) for original, replacement in swaps}
        self._back: Table = {id(replacement): (replacement, original) for original, replacement in self._forth.values()}
        self._undo: list[Undo] = []

    def replace(self) -> None:
        """Puts the replacements in."""
        _sweep(self._forth, self._undo)

    def set(self, cls: type, key: str, value: object) -> None:
        """Sets an attribute of a class, to be put back by `restore`."""
        _set(cls, key, value, self._undo)

    def restore(self) -> None:
        """Puts the originals back, also where a replacement was taken to meanwhile; what others put there stays."""
        while self._undo:
            self._undo.pop()()
        _sweep(self._back, [])


def swap_base(old: type, new: type, spared: Iterable[type] = ()) -> list[type]:
    """Makes the subclasses of one class subclasses of another.

    Args:
        old: the class they are made from, whose memory layout the other shares.
        new: the class to make them from.
        spared: subclasses to leave alone.

    Returns:
        The subclasses that cannot be changed.
    """
    left: set[type] = {new, *spared}
    unchanged = []
    subclasses: list[type] = old.__subclasses__()
    for cls in subclasses:
        if cls in left:
            continue
        try:
            cls.__bases__ = tuple(new if base is old else base for base in cls.__bases__)
        except TypeError:
            unchanged.append(cls)
    return unchanged


def _sweep(table: Table, undo: list[Undo]) -> None:
    wanted = [pair[0] for pair in table.values()]
    modules = _module_dicts()
    # The garbage collector knows who holds an object; it is an order faster than looking everywhere.
    holders = gc.get_referrers(*wanted)
    if gc.get_freeze_count():
        holders += modules.values()  # frozen objects it does not look at
    inner: list[object] = []
    for holder in holders:
        if type(holder) is dict and id(holder) in modules:
            for key in [key for key, value in list(holder.items()) if id(value) in table]:
                _put(holder, key, table[id(holder[key])][1], undo)
        elif type(holder) in (dict, tuple, staticmethod):
            inner.append(holder)
    owners = gc.get_referrers(*inner)
    wrapped = {id(holder) for holder in inner if type(holder) is staticmethod}
    if wrapped:
        # What a static method stands in is the dictionary of a class, which is one step further away.
        found = [owner for owner in owners if type(owner) is dict and not wrapped.isdisjoint(map(id, owner.values()))]
        owners += gc.get_referrers(*found)
    for owner in {id(owner): owner for owner in owners}.values():
        if type(owner) is types.FunctionType:
            _sweep_function(owner, table, undo)
        elif issubclass(type(owner), type):
            _sweep_class(owner, table, undo)


def _module_dicts() -> dict[int, dict[str, Any]]:
    """The globals of every module but torshi's own, by identity."""
    found = {}
    for name, module in list(sys.modules.items()):
        # `isinstance` would ask a proxy for its class, and an attribute a lazy module for its contents.
        if issubclass(type(module), types.ModuleType) and name.partition(".")[0] != _OWN:
            held: dict[str, Any] = object.__getattribute__(module, "__dict__")
            found[id(held)] = held
    return found


def _put(held: dict[str, Any], key: str, value: object, undo: list[Undo]) -> None:
    before = held[key]
    held[key] = value

    def put_back() -> None:
        if held.get(key) is value:
            held[key] = before

    undo.append(put_back)


def _sweep_class(cls: type, table: Table, undo: list[Undo]) -> None:
    for key, value in list(vars(cls).items()):
        inner = value.__func__ if type(value) is staticmethod else value
        if id(inner) in table:
            new = table[id(inner)][1]
            _set(cls, key, staticmethod(new) if type(new) is types.FunctionType else new, undo)


def _set(cls: type, key: str, value: object, undo: list[Undo]) -> None:
    before = vars(cls).get(key, _set)
    try:
        type.__setattr__(cls, key, value)
    except TypeError:
        return  # a class that does not change holds no function of pickle, which is younger than it

    def put_back() -> None:
        if vars(cls).get(key) is not value:
            return
        if before is _set:
            type.__delattr__(cls, key)
        else:
            type.__setattr__(cls, key, before)

    undo.append(put_back)


def _sweep_function(function: types.FunctionType, table: Table, undo: list[Undo]) -> None:
    defaults = function.__defaults__
    if defaults and any(id(value) in table for value in defaults):
        changed = tuple(table[id(value)][1] if id(value) in table else value for value in defaults)
        function.__defaults__ = changed

        def put_back() -> None:
            if function.__defaults__ is changed:
                function.__defaults__ = defaults

        undo.append(put_back)
    keywords = function.__kwdefaults__
    for key, value in list((keywords or {}).items()):
        if keywords is not None and id(value) in table:
            _put(keywords, key, table[id(value)][1], undo)
