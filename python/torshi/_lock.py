"""Schema locks: golden files of an application's objects, one for each shape that they ever had.

An object of today and a folder in; nothing out, or an error that says which file of the past a change would break, and
how. Old golden files are loaded under a policy of the names that today's object uses, compared, and never written to. A
new one is written only where that was asked for.
"""

from __future__ import annotations

import contextlib
import difflib
import io
import json
import os
import re
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torshi import _native
from torshi._drift import Change, ClassChangedWarning, VersionWarning, class_changes, dotted, successor
from torshi._errors import UnpicklingError, UntrustedError
from torshi._file import load, save
from torshi._fingerprint import live, live_class
from torshi._manifest import Description, description
from torshi._outline import Outline, outline
from torshi._pickler import dumps
from torshi._policy import Policy, policy_of
from torshi._printable import printable
from torshi._seal import exact_names

if TYPE_CHECKING:
    from torshi._policy import Trust

__all__ = ["SchemaError", "SchemaLock"]

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
_GOLDEN = re.compile(r"[1-9][0-9]{0,8}")
_UPDATE = "pytest --torshi-lock-update"
# Lines of a difference that are shown.
_LINES = 60

_WAYS = {
    "added": "give {field} a default; or let the class fill it in where an old state lacks it ({upgrade})",
    "removed": "let the class drop {field} from old states ({upgrade})",
    "retyped": "let the class convert {field} of old states ({upgrade})",
    "renamed": "let the class take {field} of old states for {now} ({upgrade})",
    "reordered": "add fields at the end alone: old tuples are made by position",
    "version": "files of a later version than the class has cannot be read: do not lower it",
    "moved": 'say where it is: torshi.renames({{"{was}": "{now}"}})',
    "member": "keep the member {field}, or say in _missing_ what its value means now",
}
"""What to do about a change, by its kind."""

_UPGRADE = "a __setstate__, or upgrade under torshi.versioned"


class SchemaError(AssertionError):
    """A golden file does not load as it should, or there is none of the shape that an object has today.

    Attributes:
        changes: what is not as the golden file says.
    """

    __module__ = "torshi"

    changes: tuple[Change, ...]

    def __init__(self, message: str = "", changes: tuple[Change, ...] = ()) -> None:
        super().__init__(message)
        self.changes = tuple(changes)


@dataclass(frozen=True)
class _Saved:
    """What `save` writes of an object, not in any folder yet or from one."""

    data: bytes
    told: Description
    outline: Outline

    @classmethod
    def of(cls, data: bytes) -> _Saved:
        stored = _native.StoredFile.open(data)
        if stored is None or stored.manifest is None:
            raise SchemaError("it has no manifest: it was not written by a schema lock")
        told = description(stored.manifest, stored.container, len(data))
        return cls(data, told, outline(stored.pickle(), told.classes))


class SchemaLock:
    """Keeps golden files of an application's objects, and says which of them a change of a class would break.

    Args:
        folder: where the golden files are, in a folder of each name.
        update: whether a golden file of a new shape may be written.
        root: what paths are written from in messages.

    Example:
        >>> import tempfile, torshi
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     torshi.SchemaLock(folder, update=True).check([1, 2], "pair")
        ...     torshi.SchemaLock(folder).check([1, 2], "pair")
    """

    __module__ = "torshi"

    def __init__(
        self, folder: str | os.PathLike[str], *, update: bool = False, root: str | os.PathLike[str] | None = None
    ) -> None:
        self.folder = Path(folder)
        self.update = update
        self.root = None if root is None else Path(root)
        self.written: list[Path] = []
        """The golden files that this lock wrote."""

    def check(
        self,
        obj: object,
        name: str,
        *,
        expected: Mapping[int, object] | None = None,
        equal: Callable[[Any, Any], object] | None = None,
        trust: Trust = None,
    ) -> None:
        """Loads every golden file of a name, compares each with the object, and the shape of its classes with the last.

        Args:
            obj: the object, made by today's code; one that uses all classes whose files must be read.
            name: what to keep its golden files under.
            expected: by number, what older golden files are now, where that is not equal to the object.
            equal: compares what was loaded with what was expected. By default ``==``; of classes without it the
                states, and what has no one answer, such as arrays, by what both pickle to.
            trust: what golden files may use beside the names that the object uses.

        Raises:
            SchemaError: a golden file does not load, or as another object; or the shape changed and there is no golden
                file of the new one; or there is none at all.
        """
        __tracebackhide__ = True
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name for golden files: letters, digits and _.- up to 100")
        today = _Saved.of(_saved(obj))
        numbers = self._numbers(name)
        if not numbers:
            self._write(name, 1, today, f"there is no golden file of {name!r} yet", ())
            return
        policy = Policy.default().allow(*exact_names(today.told.globals))
        if trust is not None:
            policy = policy | policy_of(trust)
        last = None
        for number in numbers:
            wanted = (expected or {}).get(number, obj)
            last = self._compare(self._path(name, number), wanted, today, policy, equal)
        if last is None or _same_shape(last.outline, today.outline):
            return
        changes = _changes(last, today)
        shown = self._shown(self._path(name, numbers[-1]))
        what = f"the shape of {name!r} is not that of its last golden file, {shown}"
        self._write(name, numbers[-1] + 1, today, what, changes, _difference(last, today, shown))

    def _numbers(self, name: str) -> list[int]:
        """The golden files of a name, the oldest first."""
        try:
            names = os.listdir(self.folder / name)
        except FileNotFoundError:
            return []
        return sorted(
            int(stem) for stem, kind in map(os.path.splitext, names) if kind == ".pkl" and _GOLDEN.fullmatch(stem)
        )

    def _path(self, name: str, number: int) -> Path:
        return self.folder / name / f"{number}.pkl"

    def _shown(self, path: Path) -> str:
        return str(path.relative_to(self.root) if self.root is not None and path.is_relative_to(self.root) else path)

    def _compare(
        self, path: Path, expected: object, today: _Saved, policy: Policy, equal: Callable[[Any, Any], object] | None
    ) -> _Saved:
        """Loads a golden file and compares it."""
        __tracebackhide__ = True
        shown = self._shown(path)
        try:
            golden = _Saved.of(path.read_bytes())
            with warnings.catch_warnings():
                for category in (ClassChangedWarning, VersionWarning):
                    warnings.simplefilter("ignore", category)
                loaded = load(path, trust=policy, mmap=False)
        except SchemaError as error:
            raise SchemaError(f"{shown} is no golden file: {error}") from None
        except UntrustedError as error:
            raise _refused(shown, golden, today, error) from None
        except Exception as error:
            if isinstance(error, UnpicklingError):
                raise SchemaError(f"golden file {shown} is not to be read: {error}") from None
            what = f"does not load any more: {type(error).__name__}: {error}{_place(error)}"
            raise _broken(shown, golden, today, what) from None
        if not _equal(loaded, expected, equal):
            raise _broken(shown, golden, today, "loads as another object than is expected", _unlike(loaded, expected))
        return golden

    def _write(
        self, name: str, number: int, today: _Saved, what: str, changes: tuple[Change, ...], difference: str = ""
    ) -> None:
        """Writes a golden file, if that was asked for."""
        __tracebackhide__ = True
        path = self._path(name, number)
        beside = path.with_suffix(".json")
        if not self.update:
            way = f"if it is meant to be, run {_UPDATE}, and commit {self._shown(path)} and {beside.name}"
            raise SchemaError("\n".join(part for part in (what, _listed(changes), difference, way) if part), changes)
        path.parent.mkdir(parents=True, exist_ok=True)
        record = {
            "golden": path.name,
            "classes": {dotted(key): _readable(value) for key, value in today.outline.classes.items()},
            "values": today.outline.values,
        }
        with open(path, "xb") as file:
            file.write(today.data)
        beside.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        self.written.append(path)


def _readable(record: dict[str, Any]) -> dict[str, Any]:
    return {**record, "fields": dict(record["fields"])}


def _saved(obj: object) -> bytes:
    """What `save` writes of an object, at no time and by nobody, so that equal objects give equal files."""
    buffer = io.BytesIO()
    with _timeless():
        save(obj, buffer, key=False)
    return buffer.getvalue()


@contextlib.contextmanager
def _timeless() -> Iterator[None]:
    name = "SOURCE_DATE_EPOCH"
    if name in os.environ:
        yield
        return
    os.environ[name] = "0"
    try:
        yield
    finally:
        del os.environ[name]


def _place(error: BaseException) -> str:
    """Where an error came from, if from a class and not from the load itself."""
    frames = traceback.extract_tb(error.__traceback__)
    if not frames or Path(frames[-1].filename).parent == Path(__file__).parent:
        return ""
    return f" (in {frames[-1].name}, {frames[-1].filename}:{frames[-1].lineno})"


def _equal(loaded: Any, expected: Any, equal: Callable[[Any, Any], object] | None) -> bool:
    return bool(equal(loaded, expected)) if equal is not None else _alike(loaded, expected, set())


def _alike(one: Any, other: Any, met: set[tuple[int, int]]) -> bool:
    """Whether two objects are equal, or are made of what is: by attributes where a class has no ``==`` of its own."""
    if type(one) is not type(other):
        return False
    with contextlib.suppress(Exception):  # an attribute that is not there, an array that has no one truth
        if bool(one == other):
            return True
    if (id(one), id(other)) in met:
        return True
    met.add((id(one), id(other)))
    kind = type(one)
    if kind is dict:
        return one.keys() == other.keys() and all(_alike(one[key], other[key], met) for key in one)
    if kind in (list, tuple):
        return len(one) == len(other) and all(_alike(*pair, met) for pair in zip(one, other, strict=True))
    if all(getattr(kind, name) is getattr(object, name) for name in ("__eq__", "__reduce_ex__", "__reduce__")):
        return _alike(one.__getstate__(), other.__getstate__(), met)
    with contextlib.suppress(Exception):
        return dumps(one) == dumps(other)
    return False


def _same_shape(one: Outline, other: Outline) -> bool:
    return one.schema == other.schema


# -- what changed


def _changes(golden: _Saved, today: _Saved) -> tuple[Change, ...]:
    """What is not as a golden file says, class by class."""
    found: list[Change] = []
    for name, was in golden.outline.classes.items():
        cls = live_class(name)
        if cls is not None:
            found += class_changes(name, was, cls, today.outline.classes.get(name))
    return (*found, *_moved(golden, today))


def _moved(golden: _Saved, today: _Saved) -> list[Change]:
    """The names of a golden file that lead nowhere any more, or to what calls itself otherwise now."""
    reviewed = Policy.default()._inner
    names = [name for name in exact_names(golden.told.globals) if not reviewed.lists(*name.split(":"))]
    places = {name: _place_today(name, golden, today) for name in names}
    return [Change("moved", name, None, dotted(name), place, True) for name, place in places.items() if place != name]


def _place_today(name: str, golden: _Saved, today: _Saved) -> str | None:
    """The name of today of what a golden file names; None if there is no saying."""
    there = live(name)
    if there is not None:
        return f"{there.__module__}:{there.__qualname__}" if isinstance(there, type) else name
    was = golden.outline.classes.get(name, {})
    new = [other for other in today.outline.classes if other not in golden.told.globals]
    alike = [other for other in new if today.outline.classes[other] == was]
    return alike[0] if len(alike) == 1 else successor(name, golden.told.classes.get(name, {}))


def _listed(changes: tuple[Change, ...]) -> str:
    return "\n".join(f"  {change}" for change in changes)


def _ways(changes: tuple[Change, ...]) -> str:
    """What may be done about changes, each way once."""
    lines = []
    for change in changes:
        if not change.matters or (change.kind == "moved" and not change.now):
            continue
        kind = "member" if change.kind == "removed" and _is_member(change) else change.kind
        now = dotted(change.now or "") if change.kind == "moved" else change.now
        lines.append(
            "  " + printable(_WAYS[kind].format(field=change.field, was=change.was, now=now, upgrade=_UPGRADE))
        )
    return "\n".join(dict.fromkeys(lines))


def _is_member(change: Change) -> bool:
    return hasattr(live_class(change.name), "__members__")


def _difference(golden: _Saved, today: _Saved, name: str) -> str:
    return _unified(golden.outline.schema, today.outline.schema, name, "the classes today")


def _unlike(loaded: object, expected: object) -> str:
    """Where two objects differ, by what they pickle to."""
    try:
        wanted, got = (outline(dumps(value), {}).values for value in (expected, loaded))
    except Exception as error:
        return f"  what was loaded cannot be pickled again: {type(error).__name__}: {error}"
    return (
        _unified(wanted, got, "expected", "loaded") or "  they differ in what a pickle does not show, or in long values"
    )


def _unified(before: list[str], after: list[str], before_name: str, after_name: str) -> str:
    lines = list(difflib.unified_diff(before, after, before_name, after_name, lineterm="", n=2))
    shown = lines[:_LINES]
    if len(lines) > _LINES:
        shown.append(f"... and {len(lines) - _LINES} more lines")
    return "\n".join(f"  {line}" for line in shown)


def _broken(path: str, golden: _Saved, today: _Saved, what: str, unlike: str = "") -> SchemaError:
    """A golden file that a change has broken."""
    changes = _changes(golden, today)
    parts = [f"golden file {path} {what}", _listed(changes), unlike, _difference(golden, today, path)]
    ways = _ways(changes)
    if ways:
        parts.append(f"files that users have would break as well; a way out:\n{ways}")
    elif unlike:
        number = Path(path).stem
        parts.append(
            "no class has changed, so the test gives another object than it did: give the old one; or say what this "
            f"file is now: check(..., expected={{{number}: ...}}); or use another name"
        )
    return SchemaError("\n".join(part for part in parts if part), changes)


def _refused(path: str, golden: _Saved, today: _Saved, error: UntrustedError) -> SchemaError:
    """A golden file with names that today's object has not."""
    names = sorted({finding.name for finding in error.findings if finding.name is not None})
    changes = _changes(golden, today)
    parts = [
        f"golden file {path} names {printable(', '.join(names))}, which the object of today does not",
        _listed(changes),
        _difference(golden, today, path),
    ]
    ways = _ways(changes)
    there = [
        name for name in names if name not in {dotted(change.name) for change in changes if change.kind == "moved"}
    ]
    if there:
        ways += f"\n  if that is meant: check(..., trust={printable(str(there))})"
    parts.append(f"a way out:\n{ways.lstrip(chr(10))}" if ways else "")
    return SchemaError("\n".join(part for part in parts if part), changes)
