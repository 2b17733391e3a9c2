"""Names that moved: tables of old and new names into what loads go by.

A program says what it renamed with `renames`; an installed library says it in its metadata, as entry points of the
group ``torshi.renames``, which are read as the text they are. Nothing is imported for a table, and none widens trust:
the new name has to be allowed as if the stream had it. What a name leads to is the native module's to find.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Mapping

# Not when it is needed: that may be on behalf of a stream that is refused, and such a stream imports nothing.
from importlib import metadata
from types import TracebackType
from typing import Any, TypeAlias

from torshi import _native

__all__ = ["Renames", "renames"]

GROUP = "torshi.renames"

New: TypeAlias = str | type | Callable[..., Any]
"""A new name, or the class or function itself."""

_lock = threading.Lock()
_in_force: list[Renames] = []


class Renames:
    """Renames in force, until `undo` or the end of a ``with`` block.

    Attributes:
        table: old names and new ones, as text.
    """

    def __init__(self, table: dict[str, str]) -> None:
        self.table = table

    def undo(self) -> None:
        """Takes the renames back. What others registered stays; a second call does nothing."""
        with _lock:
            if self in _in_force:
                _in_force.remove(self)
                _native.set_renames(_entries(_in_force))

    def __enter__(self) -> Renames:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.undo()

    def __repr__(self) -> str:
        return f"torshi.renames({self.table!r})"


Renames.__module__ = "torshi"


def renames(table: Mapping[str, New]) -> Renames:
    """Say what classes and functions of old pickles are called today.

    From then on every load, check and report of this process takes an old name for the new one: before the policy
    decides, so it is the new name that has to be trusted, and the rows for the new name that hold.

    Args:
        table: old names and new. ``"old.module.Name": "new.module.Name"`` is for a class or function and what is
            inside it; a colon says where the module ends (``"old.module:Outer.Inner"``). ``"old.module.*":
            "new.module.*"`` is for a module and those below it. A class or function may stand for its name. The
            longest entry that fits counts, and where one leads to another, both are followed.

    Returns:
        What is in force; `undo` takes it back, and so does the end of a ``with`` block. It holds for the process, not
        for the thread.

    Raises:
        ValueError: an entry is no name, a name is renamed twice (here or by an earlier call), or names lead in a
            circle. Nothing is registered then.
        TypeError: a new name is neither text nor something with a name.

    Example:
        >>> import torshi
        >>> data = b"ctrees\\nOak\\n."  # names trees.Oak
        >>> with torshi.renames({"trees.Oak": "collections.OrderedDict"}):
        ...     torshi.loads(data)
        <class 'collections.OrderedDict'>
    """
    fresh = Renames({old: _text(new) for old, new in table.items()})
    with _lock:
        _native.set_renames(_entries([*_in_force, fresh]))
        _in_force.append(fresh)
    return fresh


def _text(new: New) -> str:
    if isinstance(new, str):
        return new
    module, qualname = getattr(new, "__module__", None), getattr(new, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(qualname, str):
        raise TypeError(f"a new name is text, or a class or function, not {new!r}")
    return f"{module}:{qualname}"


def _entries(tables: list[Renames]) -> list[tuple[str, str]]:
    return [entry for renames in tables for entry in renames.table.items()]


def installed() -> list[tuple[str, str]]:
    """What installed libraries say that they renamed: names of entry points are old names, values new ones.

    A value with a colon names a class or function (``"old.module.Name" = "new.module:Name"``), one without a module
    with what is below it (``"old.module" = "new.module"``). An entry that cannot be used is left out with a warning: it
    must not keep others from loading.
    """
    found: list[tuple[str, str]] = []
    for point in metadata.entry_points(group=GROUP):
        entry = (point.name, point.value) if ":" in point.value else (f"{point.name}.*", f"{point.value}.*")
        try:
            _native.check_renames([*found, entry])
        except ValueError as error:
            of = point.dist.name if point.dist is not None else "a library"
            warnings.warn(f"the renames of {of} are not used in full: {error}", RuntimeWarning, stacklevel=2)
        else:
            found.append(entry)
    return found
