"""Drift: what a manifest says of classes and libraries, beside what they are today.

Records of a manifest in, `Change`s out, one a field, class or library; and these into warnings, or notes to an error.
Looks only at classes whose modules are loaded already, after a load has been checked and built: imports nothing, runs
no code of theirs, and decides nothing about trust. What a manifest says is a stranger's text, and shown as such.
"""

from __future__ import annotations

import json
import re
import sys
import warnings
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from torshi._distribution import distribution_of, installed_version, release
from torshi._fields import ChangeWarning
from torshi._fingerprint import adapts, declares, fingerprint, is_ordered, live, live_class, optional_fields
from torshi._printable import printable
from torshi._spelling import same

__all__ = [
    "Change",
    "ClassChangedWarning",
    "VersionWarning",
    "changes",
    "class_changes",
    "dotted",
    "explain",
    "successor",
    "table",
    "warn",
]

# Distributions whose pickles do not depend on their version, and why.
_STEADY = {
    "numpy": "arrays and dtypes have kept their layout since 1.0; moved names are known under both",
    "pyarrow": "buffers and types in the Arrow format, which has versions of its own",
    "python-dateutil": "fields of a recurrence or a zone, unchanged since 2.7",
    "pytz": "the name of a zone",
    "tzdata": "data alone",
}

# Modules whose names do not depend on the version of their distribution, where others of it do, and why.
_STEADY_MODULES = {
    "torch": "tensors by public functions, types, sizes, devices",
    "torch._utils": "parameters, by what every file of torch.save calls",
}

# Longest manifest that is compared, in bytes: beyond some ten thousand names it would cost more than it says.
_LONGEST = 1 << 20
# Names that are looked for in folders.
_DISTRIBUTION = re.compile(r"[\w.-]{1,100}")
# Rows of a table, and characters of a cell.
_ROWS = 20
_WIDTH = 60


@dataclass(frozen=True)
class Change:
    """Something that is not as it was when a file was saved.

    Attributes:
        kind: of a class, a field ``added``, ``removed``, ``retyped``, perhaps ``renamed``, or the fields ``reordered``;
            ``version``, the one it declares (``__torshi_version__``); ``moved``, where it is no more under its name. Of
            a library, ``library``.
        name: the class, as ``module:qualname``, or the distribution.
        field: the field, None where the change is of no one field.
        was: annotation, name or version when the file was saved; None for what was not there.
        now: the same today; None for what is not there.
        matters: whether an object saved then may not be what today's code expects.
    """

    kind: str
    name: str
    field: str | None
    was: str | None
    now: str | None
    matters: bool

    def __str__(self) -> str:
        return _TEXTS[self.kind if self.kind != "moved" or self.now else "gone"].format(
            name=printable(dotted(self.name)),
            field=_cell(self.field or ""),
            was=_cell(self.was or "not annotated"),
            now=_cell(self.now or "not annotated" if self.kind != "library" else self.now or "not installed"),
            target=_cell(dotted(self.now or "")),
            default=" without a default" if self.matters else "",
        )


Change.__module__ = "torshi"

_TEXTS = {
    "added": "{name} has a new field {field}{default}",
    "removed": "{name} has no field {field} any more",
    "retyped": "{name}.{field} was {was}, and is {now}",
    "renamed": "{name} has no field {field} any more; perhaps it is called {now} now",
    "reordered": "{name} has its fields in another order: {now}",
    "version": "{name} was of version {was}, and is of version {now}",
    "moved": '{name} is not there any more; perhaps it is {target} now: torshi.renames({{"{name}": "{target}"}})',
    "gone": "{name} is not there any more",
    "library": "{name} was {was}, and is {now}",
}


class _DriftWarning(UserWarning):
    """Changes since a file was saved, as data and as a table.

    Attributes:
        changes: what is not as it was, of those that matter.
    """

    _heading = ""
    _advice = ""

    changes: tuple[Change, ...]

    def __init__(self, changes: Iterable[Change] = ()) -> None:
        self.changes = tuple(changes)
        super().__init__(self.changes)

    @property
    def table(self) -> str:
        """The changes as a table of text."""
        return table(self.changes)

    def __str__(self) -> str:
        return f"{self._heading}:\n{self.table}\n{self._advice}"


class ClassChangedWarning(_DriftWarning):
    """Classes of a file are not what they were when it was saved; `changes` says which fields.

    Example:
        >>> import torshi
        >>> change = torshi.Change("removed", "app:User", "age", "int", None, True)
        >>> print(torshi.ClassChangedWarning([change]).table)
        class     field  then  now
        app.User  age    int   -
    """

    __module__ = "torshi"
    _heading = "classes of the file have changed since it was saved"
    _advice = "objects of it may lack what today's code expects: give the class a __setstate__, or save them anew"


class VersionWarning(_DriftWarning):
    """A file was saved with other versions of the libraries it uses; `changes` says which."""

    __module__ = "torshi"
    _heading = "the file was saved with other versions of what it uses"
    _advice = (
        "objects of it may not be what these versions expect: load it with those it was saved with, and convert it"
    )


def table(changes: Iterable[Change]) -> str:
    """Changes in columns: classes with their fields, or libraries with their versions."""
    rows = [_row(change) for change in changes]
    libraries = all(len(row) == 3 for row in rows)
    head = ["library", "then", "now"] if libraries else ["class", "field", "then", "now"]
    shown = [head, *[[_cell(cell) for cell in row] for row in rows[:_ROWS]]]
    widths = [max(len(row[column]) for row in shown) for column in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in shown]
    if len(rows) > _ROWS:
        lines.append(f"... and {len(rows) - _ROWS} more")
    return "\n".join(lines)


def _row(change: Change) -> list[str]:
    was, now = change.was, change.now
    if change.kind == "library":
        return [change.name, was or "-", now or "not installed"]
    if change.kind == "added":
        now = f"{now or 'there'}{', no default' if change.matters else ''}"
    elif change.kind == "removed":
        was = was or "there"
    elif change.kind == "renamed":
        now = f"perhaps {now}"
    elif change.kind == "moved":
        now = f"perhaps {dotted(now)}" if now else None
    field = change.field or {"version": "(version)", "reordered": "(order)", "moved": "(name)"}[change.kind]
    return [dotted(change.name), field, was or "-", now or "-"]


def _cell(text: str) -> str:
    shown = printable(text)
    return shown if len(shown) <= _WIDTH else shown[: _WIDTH - 3] + "..."


def dotted(name: str) -> str:
    """A class of a manifest as code calls it."""
    return name.replace(":", ".")


# -- libraries


def _library_changes(
    distributions: Mapping[str, Any], names: Collection[str], classes: Mapping[str, Any], changed: Collection[str]
) -> list[Change]:
    found = []
    for name, was in distributions.items():
        if not isinstance(was, str) or not _DISTRIBUTION.fullmatch(name):
            continue
        now = installed_version(name)
        if now == was:
            continue
        matters = (
            name not in _STEADY
            and now is not None
            and release(now) != release(was)
            and not _is_known(name, names, classes, changed)
        )
        found.append(Change("library", name, None, was, now, matters))
    return found


def _is_known(distribution: str, names: Collection[str], classes: Mapping[str, Any], changed: Collection[str]) -> bool:
    """Whether all that a file uses of a distribution is steady, or has a fingerprint, which is still the same."""
    modules = [(name, name.partition(":")[0]) for name in names]
    of = [(name, module) for name, module in modules if (distribution_of(module) or ("",))[0] == distribution]
    return bool(of) and all(
        module in _STEADY_MODULES or (name in classes and name not in changed) for name, module in of
    )


# -- classes


def changes(classes: Mapping[str, Any], distributions: Mapping[str, Any], names: Collection[Any]) -> tuple[Change, ...]:
    """What is not as a manifest says.

    Args:
        classes: ``module:qualname`` to the fingerprint it had.
        distributions: versions by name.
        names: everything the stream uses.
    """
    found = [change for name, record in classes.items() for change in _class_changes(name, record)]
    found += [_moved(name, record) for name, record in classes.items() if _is_moved(name, record)]
    return _with_libraries(found, classes, distributions, names)


def _with_libraries(
    found: list[Change], classes: Mapping[str, Any], distributions: Mapping[str, Any], names: Collection[Any]
) -> tuple[Change, ...]:
    changed = {change.name for change in found if change.matters}
    known = [name for name in names if isinstance(name, str)]
    return (*found, *_library_changes(distributions, known, classes, changed))


def _class_changes(name: str, record: Any) -> list[Change]:
    cls = live_class(name) if isinstance(record, dict) else None
    return class_changes(name, record, cls) if cls is not None else []


def _is_moved(name: str, record: Any) -> bool:
    return isinstance(record, dict) and live_class(name) is None and name.partition(":")[0] in sys.modules


def _moved(name: str, record: Mapping[str, Any]) -> Change:
    return Change("moved", name, None, dotted(name), successor(name, record), False)


def successor(name: str, record: Mapping[str, Any]) -> str | None:
    """The one class that one which is gone might be now: of the same name elsewhere, or of the same fields there."""
    module, _, qualname = name.partition(":")
    places = [f"{other}:{qualname}" for other in list(sys.modules)]
    if record:
        places += [f"{module}:{attribute}" for attribute in _names_in(module)]
    found = set()
    for place in places:
        candidate = live_class(place)
        if candidate is not None and fingerprint(candidate) == record and place == _own_name(candidate):
            found.add(place)
    return found.pop() if len(found) == 1 else None


def _names_in(module: str) -> list[str]:
    try:
        return list(object.__getattribute__(sys.modules.get(module), "__dict__"))
    except AttributeError:
        return []


def _own_name(cls: type) -> str:
    return f"{cls.__module__}:{cls.__qualname__}"


def class_changes(name: str, was: Mapping[str, Any], cls: type, now: Mapping[str, Any] | None = None) -> list[Change]:
    """What is not as a fingerprint says, of a class.

    Args:
        name: what to call it, ``module:qualname``.
        was: the fingerprint it had.
        cls: what it is today.
        now: its fingerprint today, where that is known better than by looking at the class.
    """
    now = fingerprint(cls) if now is None else now
    if was == now:
        return []
    before, today = _pairs(was.get("fields")), _pairs(now.get("fields"))
    versions = was.get("version"), now.get("version")
    found = []
    if versions[0] != versions[1]:
        lowered = isinstance(versions[0], int) and (versions[1] is None or versions[0] > versions[1])
        was_version, now_version = (str(version) if version is not None else "none" for version in versions)
        found.append(Change("version", name, None, was_version, now_version, lowered))
    # A class that was given a later version takes care of old states itself, and so may one with a __setstate__, if it
    # does not say by an unchanged version that there are none.
    raised = versions[0] != versions[1] and not found[0].matters
    minds = not raised and (versions[1] is not None or not adapts(cls))
    if not today and not declares(cls):
        return found  # its objects may have the fields all the same: it says of none
    optional = optional_fields(cls)
    removed = [field for field in before if field not in today]
    added = [field for field in today if field not in before]
    renamed = _renamed(before, today, removed, added)
    for field in removed:
        if field in renamed:
            found.append(Change("renamed", name, field, field, renamed[field], minds))
        else:
            found.append(Change("removed", name, field, before[field] or None, None, minds))
    for field in added:
        if field not in renamed.values():
            found.append(Change("added", name, field, None, today[field] or None, minds and field not in optional))
    for field in before:
        if field in today and not same(before[field], today[field]):
            found.append(Change("retyped", name, field, before[field] or None, today[field] or None, minds))
    kept = [field for field in before if field in today]
    order = [field for field in today if field in before]
    if is_ordered(cls) and kept != order:
        found.append(Change("reordered", name, None, ", ".join(before), ", ".join(today), minds))
    return found


def _pairs(fields: Any) -> dict[str, str]:
    """Fields of a fingerprint that may be anybody's, by name."""
    pairs = fields if isinstance(fields, list) else []
    found = {}
    for pair in pairs:
        match pair:
            case [str(name), str(annotation)] if not (name.startswith("__") and name.endswith("__")):
                found[name] = annotation
    return found


def _renamed(before: dict[str, str], today: dict[str, str], removed: list[str], added: list[str]) -> dict[str, str]:
    """Fields that may only be called otherwise: one went and one came, in the same place or of the same annotation."""
    if len(removed) != 1 or len(added) != 1:
        return {}
    (old,), (new,) = removed, added
    in_place = len(before) == len(today) and list(before).index(old) == list(today).index(new)
    if not same(before[old], today[new]) or not (before[old] or in_place):
        return {}
    return {old: new}


# -- what a load says


class _Written(NamedTuple):
    """What a manifest says of classes and libraries."""

    classes: dict[str, Any]
    distributions: dict[str, Any]
    names: list[Any]

    def changes(self) -> tuple[Change, ...]:
        """What may matter. Classes that moved are not looked for: it takes long, and a load that went well knew."""
        found = [change for name, record in self.classes.items() for change in _class_changes(name, record)]
        some = {name: was for name, was in self.distributions.items() if name not in _STEADY}
        return _with_libraries(found, self.classes, some, self.names)


_NOTHING = _Written({}, {}, [])

# How `compose` writes that a file has neither, as most of data alone: such a manifest need not be parsed.
_NO_CLASSES = b'"classes":{},"distributions":{},'


def _written(text: bytes | None) -> _Written:
    """What a manifest says; nothing where it is too long, or of another kind than `save` writes."""
    if text is None or len(text) > _LONGEST:
        return _NOTHING
    try:
        record = json.loads(text)
    except ValueError:  # numbers of more digits than Python reads
        return _NOTHING
    if not isinstance(record, dict):
        return _NOTHING
    classes, distributions, names = record.get("classes"), record.get("distributions"), record.get("globals")
    if isinstance(classes, dict) and isinstance(distributions, dict) and isinstance(names, list):
        return _Written(classes, distributions, names)
    return _NOTHING


def warn(text: bytes | None, stacklevel: int, said: Iterable[ChangeWarning] = ()) -> None:
    """Warns of what matters among the changes since a manifest was written, after a load that went well.

    Args:
        text: the manifest.
        stacklevel: whom the warning is for, as for `warnings.warn`, counted from the caller.
        said: what states of the file say of classes that have changed: told of those that the manifest says nothing of.
    """
    found = []
    if text is not None and _NO_CLASSES not in text:
        found = [change for change in _written(text).changes() if change.matters]
    told = {change.name for change in found}
    for warning in said:
        if _own_name(warning.cls) not in told:
            warnings.warn(warning, stacklevel=stacklevel + 1)
    for category, library in ((ClassChangedWarning, False), (VersionWarning, True)):
        some = [change for change in found if (change.kind == "library") is library]
        if some:
            warnings.warn(category(some), stacklevel=stacklevel + 1)


def explain(error: BaseException, text: bytes | None) -> None:
    """Adds to what a load raised what has changed since the manifest was written, if that may be why."""
    written = _written(text)
    lacking = isinstance(error, ImportError)
    # Whatever a class makes of old states, that was not to be: its changes are said even if it could have minded them.
    found = [
        change
        for change in written.changes()
        if change.matters or change.kind != "library" or (lacking and change.now is None)
    ]
    if isinstance(error, (ImportError, AttributeError)):
        found += [_moved(name, written.classes.get(name) or {}) for name in written.names if _is_gone(name, error)]
    if found:
        more = f"; and {len(found) - _ROWS} more" if len(found) > _ROWS else ""
        error.add_note("since the file was saved: " + "; ".join(map(str, found[:_ROWS])) + more)


def _is_gone(name: Any, error: ImportError | AttributeError) -> bool:
    """Whether a name of the file is what an import did not find."""
    if not isinstance(name, str) or live(name) is not None:
        return False
    module = name.partition(":")[0]
    lacking = error.name if isinstance(error, ImportError) else None
    return module in sys.modules or (lacking is not None and f"{module}.".startswith(f"{lacking}."))
