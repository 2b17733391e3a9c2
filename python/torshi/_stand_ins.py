"""Stand-ins: what stands where stock pickle's functions and methods stood while a guard is active.

Turns a call of stock pickle into a load of torshi under the gate that applies, or, where a class brings opcodes of
its own, into a check of the very bytes that this class is then given. Without a gate they are stock pickle. They
never decide what is allowed: that is the policy's.
"""

from __future__ import annotations

import _compat_pickle
import _pickle
import importlib.util
import io
import pickle
import sys
import types
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from torshi import _native
from torshi._errors import UntrustedError
from torshi._gate import Gate, current, sparing
from torshi._unpickler import Unpickler as Checked

__all__ = [
    "STOCK",
    "Pure",
    "Unpickler",
    "audit",
    "find_class_pure",
    "load",
    "load_pure",
    "loads",
    "pipe_loads",
    "SPARED",
]

Pure: Any = pickle._Unpickler

# Held by an object, not by globals: whoever replaces the originals in modules must not find them here.
STOCK = types.SimpleNamespace(
    load=_pickle.load,
    loads=_pickle.loads,
    Unpickler=_pickle.Unpickler,
    pure_load=Pure.load,
    pure_find_class=Pure.find_class,
)

# Where an unpickler notes what it reads from.
_NOTE = "_torshi_source"

# What a class may define and still mean by each opcode what pickle means.
_HOOKS = frozenset({"__init__", "find_class", "persistent_load"})

# Names that were noted for the stream which stock pickle is reading: the audit hook need not note them again.
_noted: ContextVar[frozenset[str]] = ContextVar("torshi_noted", default=frozenset())


# -- functions


def load(
    file: Any,
    *,
    fix_imports: bool = True,
    encoding: str = "ASCII",
    errors: str = "strict",
    buffers: Iterable[Any] | None = (),
) -> Any:
    """Read and return an object from the pickle data stored in a file, checked by `torshi.guard`."""
    gate = current()
    settings: dict[str, Any] = {"fix_imports": fix_imports, "encoding": encoding, "errors": errors}
    if gate is None or not hasattr(file, "read") or not hasattr(file, "readline"):
        return STOCK.load(file, **settings, buffers=buffers)
    source = _name_of(file)
    if gate.observe:
        prefix, noted = _looked_at(gate, file, "pickle.load", source, settings)
        with _already(noted):
            return STOCK.load(_Feed(prefix, file), **settings, buffers=buffers)
    with gate.noting("pickle.load", source):
        return _native.load(file, trust=gate.policy, limits=gate.limits, **settings, buffers=_given(buffers))


def loads(
    data: Any,
    /,
    *,
    fix_imports: bool = True,
    encoding: str = "ASCII",
    errors: str = "strict",
    buffers: Iterable[Any] | None = (),
) -> Any:
    """Read and return an object from the given pickle data, checked by `torshi.guard`."""
    gate = current()
    settings: dict[str, Any] = {"fix_imports": fix_imports, "encoding": encoding, "errors": errors}
    if gate is None or isinstance(data, str):
        return STOCK.loads(data, **settings, buffers=buffers)
    if gate.observe:
        with _already(gate.vet(data, "pickle.loads", None, **settings)[0]):
            return STOCK.loads(data, **settings, buffers=buffers)
    with gate.noting("pickle.loads", None, data):
        return _native.loads(data, trust=gate.policy, limits=gate.limits, **settings, buffers=_given(buffers))


def pipe_loads(data: Any, /, **settings: Any) -> Any:
    """What multiprocessing reads its messages with: left to stock pickle unless the guard takes in pipes."""
    with sparing():
        return loads(data, **settings)


# -- the C unpickler and what is made from it


class Unpickler(STOCK.Unpickler):  # type: ignore[misc,name-defined]
    """This takes a binary file for reading a pickle data stream, checked by `torshi.guard`."""

    # No room of its own: classes can then be made from it instead of the stock one, and back.
    __slots__ = ()

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        made = _Plain if cls is Unpickler else cls
        return STOCK.Unpickler.__new__(made, *args, **kwargs)

    def __init__(
        self,
        file: Any,
        *,
        fix_imports: bool = True,
        encoding: str = "ASCII",
        errors: str = "strict",
        buffers: Iterable[Any] | None = (),
    ) -> None:
        settings: dict[str, Any] = {"fix_imports": fix_imports, "encoding": encoding, "errors": errors}
        if current() is None or not hasattr(file, "read") or not hasattr(file, "readline"):
            super().__init__(file, **settings, buffers=buffers)
            return
        if buffers is not None and _given(buffers) is not None:
            buffers = iter(buffers)
        feed = _Feed(b"", file)
        super().__init__(feed, **settings, buffers=buffers)
        try:
            setattr(self, _NOTE, _Source(file, feed, settings, buffers))
        except AttributeError:
            return  # a class with slots and no room for it: `load` will say so

    def load(self) -> Any:
        """Load a pickle, checked by `torshi.guard`."""
        gate = current()
        source: _Source | None = getattr(self, _NOTE, None)
        if gate is None:
            return super().load()
        entry = _entry(self, "load")
        if source is None:
            if not gate.observe:
                raise UntrustedError(
                    f"this {type(self).__name__} was made before the guard began, or its class leaves no room to note"
                    " what it reads, so its stream cannot be checked first; make it inside the guard"
                )
            return super().load()
        if gate.observe:
            persistent = getattr(self, "persistent_load", None) is not None
            settings = {**source.settings, "persistent": persistent}
            prefix, noted = _looked_at(gate, source.file, entry, source.name, settings)
            source.feed.give(prefix)
            with _already(noted):
                return super().load()
        with gate.noting(entry, source.name):
            return source.load(gate, self, Unpickler.find_class)

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        """Return an object from a specified module, if the gate admits its name."""
        gate = current()
        if gate is None or gate.observe:
            return super().find_class(module_name, global_name)
        source: _Source | None = getattr(self, _NOTE, None)
        with gate.noting(_entry(self, "find_class"), source.name if source else None):
            if source is None or source.checked is None:
                return _native.find_class(gate.policy._inner, module_name, global_name, True, False)
            # The unbound method, since the reader may have this very one as its hook.
            return Checked.find_class(source.checked, module_name, global_name)


class _Plain(Unpickler):
    """An unpickler that nobody made a class from: with room to note what it reads."""

    __slots__ = (_NOTE,)


SPARED: tuple[type, ...] = (_Plain,)
"""Classes that are made from the stand-in for good."""

# Shown as what they stand for, so that whoever pickles a reference to them writes the name that leads here.
for _stand_in in (load, loads, Unpickler, _Plain):
    _stand_in.__module__ = "_pickle"
_Plain.__qualname__ = "Unpickler"


class _Source:
    """What an unpickler reads from, and torshi's own unpickler for it."""

    __slots__ = ("buffers", "checked", "feed", "file", "name", "settings")

    def __init__(self, file: Any, feed: _Feed | None, settings: dict[str, Any], buffers: Any) -> None:
        self.file = file
        self.feed: Any = feed
        self.settings = settings
        self.buffers = buffers
        self.name = _name_of(file)
        self.checked: Any = None

    def load(self, gate: Gate, owner: Any, inherited: Any) -> Any:
        """The next pickle, loaded by torshi with the owner's hooks and the memo of its earlier loads."""
        buffers = _given(self.buffers)
        checked = _Reader(self.file, trust=gate.policy, limits=gate.limits, **self.settings, buffers=buffers)
        if type(owner).find_class is not inherited or "find_class" in getattr(owner, "__dict__", ()):
            checked.find_class = owner.find_class
        persistent_load = getattr(owner, "persistent_load", None)
        if persistent_load is not None:
            checked.persistent_load = persistent_load
        if self.checked is not None:
            checked.memo = self.checked.memo
        self.checked = checked
        try:
            return checked.load()
        finally:
            # The hooks hold the owner, which holds this: without the cycle its file closes when it is dropped.
            vars(checked).clear()


class _Reader(Checked):
    """torshi's unpickler with hooks that are set on the instance."""

    find_class: Any
    persistent_load: Any


# -- the unpickler in pure Python and what is made from it


def load_pure(self: Any) -> Any:
    """Read a pickled object representation from the open file, checked by `torshi.guard`."""
    gate = current()
    if gate is None or not hasattr(self, "_file_read"):
        return STOCK.pure_load(self)
    entry = _entry(self, "load")
    settings = {"fix_imports": self.fix_imports, "encoding": self.encoding, "errors": self.errors}
    file = _file_of(self)
    name = _name_of(file)
    if _is_joblib(type(self)):
        return _load_joblib(gate, self, entry, name, settings)
    if gate.observe:
        prefix, noted = _looked_at(gate, file, entry, name, {**settings, "persistent": True})
        with _already(noted), _reading(self, _Feed(prefix, file)):
            return STOCK.pure_load(self)
    if _is_plain(type(self)):
        source = vars(self).setdefault(_NOTE, _Source(file, None, settings, self._buffers))
        with gate.noting(entry, name):
            return source.load(gate, self, find_class_pure)
    # Opcodes mean what this class says. It is given the very bytes that were checked, and asks for names again.
    with gate.noting(entry, name):
        data = _native.take_pickle(file, gate.limits)
    gate.vet(data, entry, name, **settings, persistent=True)
    with _reading(self, io.BytesIO(data)):
        return STOCK.pure_load(self)


def find_class_pure(self: Any, module: str, name: str) -> Any:
    """Return an object from a specified module, if the gate admits its name."""
    gate = current()
    if gate is None or gate.observe:
        return STOCK.pure_find_class(self, module, name)
    source: _Source | None = vars(self).get(_NOTE)
    with gate.noting(_entry(self, "find_class"), source.name if source else None):
        if source is not None and source.checked is not None:
            return Checked.find_class(source.checked, module, name)
        python2, dotted = self.proto < 3 and self.fix_imports, self.proto >= 4
        return _native.find_class(gate.policy._inner, module, name, python2, dotted)


def _is_plain(cls: type) -> bool:
    """Whether a class made from the pure unpickler leaves every opcode what it was."""
    own = (name for base in cls.__mro__[: cls.__mro__.index(Pure)] for name in vars(base))
    return all(name in _HOOKS or not hasattr(Pure, name) or name.startswith("__") for name in own)


def _is_joblib(cls: type) -> bool:
    """Whether a class is joblib's, which reads the bytes of arrays from the file, between the opcodes."""
    return any((base.__module__, base.__name__) == ("joblib.numpy_pickle", "NumpyUnpickler") for base in cls.__mro__)


def _load_joblib(gate: Gate, unpickler: Any, entry: str, name: str | None, settings: dict[str, Any]) -> Any:
    """Checks the rest of the file in joblib's layout, then lets joblib read what was checked."""
    file = unpickler.file_handle
    settings = {**settings, "persistent": True, "joblib": True}
    can_return = _is_seekable(file)
    if gate.observe and not can_return:
        return STOCK.pure_load(unpickler)  # the audit hook notes what it can
    start = file.tell() if can_return else 0
    data = file.read()
    noted, end = gate.vet(data, entry, name, **settings)
    # What is mapped is mapped from the file, by its position.
    if gate.observe or getattr(unpickler, "mmap_mode", None) is not None:
        if not can_return:
            raise UntrustedError(
                "a file that cannot go back cannot be checked and then mapped: load it without mmap_mode"
            )
        file.seek(start)
        with _already(noted):
            return STOCK.pure_load(unpickler)
    checked = io.BytesIO(data)
    unpickler.file_handle = checked
    try:
        with _reading(unpickler, checked):
            value = STOCK.pure_load(unpickler)
    finally:
        unpickler.file_handle = file
    if can_return and end < len(data):
        file.seek(start + end)
    return value


def _is_seekable(file: Any) -> bool:
    try:
        return bool(file.seekable())
    except AttributeError:
        return False


def _file_of(unpickler: Any) -> Any:
    """The file of a pure unpickler, or what it reads from in the shape of one."""
    read, readline = unpickler._file_read, unpickler._file_readline
    owner = getattr(read, "__self__", None)
    if owner is not None and getattr(owner, "read", None) == read and getattr(owner, "readline", None) == readline:
        return owner
    return types.SimpleNamespace(read=read, readline=readline)


@contextmanager
def _reading(unpickler: Any, file: Any) -> Iterator[None]:
    """Within it, a pure unpickler reads from another file."""
    before = unpickler._file_read, unpickler._file_readline
    unpickler._file_read, unpickler._file_readline = file.read, file.readline
    try:
        yield
    finally:
        unpickler._file_read, unpickler._file_readline = before


# -- looking at a stream that stock pickle is going to read


class _Tee:
    """A file that remembers what was read from it."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self.taken: list[bytes] = []

    def read(self, size: int) -> bytes:
        return self._keep(self._file.read(size))

    def readline(self) -> bytes:
        return self._keep(self._file.readline())

    def _keep(self, data: Any) -> bytes:
        if isinstance(data, bytes):
            self.taken.append(data)
        return data  # type: ignore[no-any-return]  # what is not bytes the reader complains about


class _Feed:
    """Bytes that were read already, then the file they came from."""

    def __init__(self, prefix: bytes, file: Any) -> None:
        self._prefix = io.BytesIO(prefix)
        self._file = file

    def give(self, prefix: bytes) -> None:
        """Puts bytes before what is still to come."""
        self._prefix = io.BytesIO(prefix + self._prefix.read())

    def read(self, size: int = -1) -> bytes:
        data = self._prefix.read(size)
        if size < 0 or len(data) < size:
            data += self._file.read(size if size < 0 else size - len(data))
        return data

    def readline(self) -> bytes:
        data = self._prefix.readline()
        return data if data.endswith(b"\n") else data + self._file.readline()

    def readinto(self, buffer: Any) -> int:
        data = self.read(memoryview(buffer).nbytes)
        memoryview(buffer).cast("B")[: len(data)] = data
        return len(data)


def _looked_at(
    gate: Gate, file: Any, entry: str, source: str | None, settings: dict[str, Any]
) -> tuple[bytes, frozenset[str]]:
    """Checks the next pickle of a file: the bytes it took for that, and the names that were noted."""
    tee = _Tee(file)
    data, noted = b"", frozenset[str]()
    with gate.noting(entry, source):
        data = _native.take_pickle(tee, gate.limits)
    if data:
        noted, _ = gate.vet(data, entry, source, **settings)
    return b"".join(tee.taken), noted


@contextmanager
def _already(noted: frozenset[str]) -> Iterator[None]:
    """Within it, the audit hook does not note these names again."""
    token = _noted.set(noted)
    try:
        yield
    finally:
        _noted.reset(token)


def _entry(unpickler: Any, method: str) -> str:
    """What was called, for events: `pickle.Unpickler.load`."""
    cls = type(unpickler)
    module = "pickle" if cls.__module__ == "_pickle" else cls.__module__
    return f"{module}.{cls.__qualname__}.{method}"


def _given(buffers: Any) -> Any:
    """Buffers as torshi takes them: an empty tuple is stock pickle's way of saying that there are none."""
    return None if isinstance(buffers, tuple) and not buffers else buffers


def _name_of(file: Any) -> str | None:
    name = getattr(file, "name", None)
    return name if isinstance(name, str) else None


# -- the net underneath


def audit(event: str, args: tuple[Any, ...]) -> None:
    """The audit hook: while a gate applies, refuses names that it does not admit, whoever looks them up.

    It sees names alone, not what is done with them, and is there for stock functions that somebody holds where no
    stand-in could be put.
    """
    if event != "pickle.find_class":
        return
    gate = current()
    if gate is None or _native.is_auditing():
        return
    module, name = args
    today = _today(module, name)
    if gate.admits(*today) and (today == (module, name) or gate.admits(module, name) or not _exists(module, name)):
        return
    if f"{today[0]}.{today[1]}" not in _noted.get():
        gate.refuse_name(*today, "pickle.find_class", None)


def _today(module: str, name: str) -> tuple[str, str]:
    """A name of Python 2 in today's spelling: the event does not say whether stock pickle will translate it."""
    if (module, name) in _compat_pickle.NAME_MAPPING:
        return _compat_pickle.NAME_MAPPING[(module, name)]
    return _compat_pickle.IMPORT_MAPPING.get(module, module), name


def _exists(module: str, name: str) -> bool:
    """Whether the name means something as it stands, so that it may not pass as an old spelling of another."""
    if module in sys.modules:
        return hasattr(sys.modules[module], name)
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False
