"""Files: objects into files that last, and back.

`save` writes a pickle that any Python reads, followed by a manifest; `load` reads what `save` wrote, and every other
pickle; `describe` reads the manifest alone. What the bytes mean is the native module's; this file opens, replaces and
closes. Never builds anything of a file that is not as its manifest says.
"""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar, overload

from torshi import _native
from torshi._atomic import replacing
from torshi._errors import MalformedError
from torshi._manifest import Description, compose, description, metadata_checked
from torshi._policy import resolve
from torshi._typed import validate

if TYPE_CHECKING:
    from torshi._limits import Limits
    from torshi._policy import Trust

__all__ = ["describe", "load", "save"]

_T = TypeVar("_T")

# What follows a pickle that a manifest belongs to: padding, and the manifest's first bytes.
_BEHIND = 63 + 16

_NO_MANIFEST = "the file has no manifest: it was not written by torshi.save, or its end is missing"


def save(
    obj: object,
    path: str | os.PathLike[str] | Any,
    *,
    metadata: Any = None,
    progress: Callable[[int], object] | None = None,
) -> None:
    """Save an object to a file, which is replaced as a whole or not at all.

    The file is a pickle that stock `pickle.load` reads, followed by a manifest: digest, versions, names, your metadata.
    Large buffers are neither copied nor held twice. An error, a full disk or an end of the process at any moment
    leaves an old file of the name as it was.

    Args:
        obj: any picklable object.
        path: the file to write, or a binary file object, which then is written to as it stands.
        metadata: kept in the manifest: text, numbers, lists, dictionaries.
        progress: called with the number of bytes written so far, every few megabytes.

    Raises:
        PicklingError: an object cannot be pickled; ``path`` says which one.
        OSError: the file cannot be written.
        TypeError, ValueError: the metadata is not JSON; or as stock pickle raises them.

    Example:
        >>> import pickle, torshi
        >>> torshi.save({"a": [1, 2]}, "data.pkl", metadata={"run": 7})
        >>> torshi.load("data.pkl")
        {'a': [1, 2]}
        >>> torshi.describe("data.pkl").metadata
        {'run': 7}
        >>> with open("data.pkl", "rb") as file:
        ...     pickle.load(file)
        {'a': [1, 2]}
    """
    metadata_checked(metadata)
    if _is_path(path):
        with replacing(path) as descriptor:
            _write(obj, descriptor, lambda data: _write_all(descriptor, data), metadata, progress)
        return
    write = getattr(path, "write", None)
    if write is None:
        raise TypeError(f"save wants a path or a binary file, not {type(path).__name__}")
    _write(obj, write, write, metadata, progress)


def _write(
    obj: object, target: Any, write: Callable[[bytes], object], metadata: Any, progress: Callable[[int], object] | None
) -> None:
    length, digest, buffers, names = _native.save_stream(obj, target, progress)
    manifest = compose(length, digest, buffers, names, metadata)
    write(_native.render_trailer("plain", length, manifest, b""))


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


@overload
def load(
    file: Any,
    type: type[_T],
    *,
    fix_imports: bool = True,
    encoding: str = "ASCII",
    errors: str = "strict",
    buffers: Iterable[Any] | None = (),
    trust: Trust = None,
    limits: Limits | None = None,
    mmap: bool = True,
    verify: bool = False,
) -> _T: ...
@overload
def load(
    file: Any,
    type: Any = None,
    *,
    fix_imports: bool = True,
    encoding: str = "ASCII",
    errors: str = "strict",
    buffers: Iterable[Any] | None = (),
    trust: Trust = None,
    limits: Limits | None = None,
    mmap: bool = True,
    verify: bool = False,
) -> Any: ...
def load(
    file: Any,
    type: Any = None,
    *,
    fix_imports: bool = True,
    encoding: str = "ASCII",
    errors: str = "strict",
    buffers: Iterable[Any] | None = (),
    trust: Trust = None,
    limits: Limits | None = None,
    mmap: bool = True,
    verify: bool = False,
) -> Any:
    """Unpickle an object from a file, after checking its bytes against a policy.

    Args:
        file: a path, or a binary file with `read` and `readline`. Of a file object exactly one pickle is read: the
            position ends right behind it. Of a path that `torshi.save` wrote the manifest is read first, and what
            is not as it says is refused.
        type, trust, limits, fix_imports, encoding, errors, buffers: as for `loads`.
        mmap: large arrays of a path that `save` wrote stay in the file, and are read when they are touched; writing to
            one changes memory alone. False: they are read now.
        verify: compare mapped arrays with their digests too, which reads them. Everything else always is.

    Raises:
        EOFError: there is no pickle left in the file.
        MalformedError: the file is damaged; or with `verify`, it has no manifest to go by.
        UntrustedError, LimitError, ValidationError: as for `loads`.

    Example:
        >>> import io, torshi
        >>> torshi.load(io.BytesIO(torshi.dumps({'a': 1})))
        {'a': 1}
    """
    given = None if buffers == () else buffers

    def pickle_of(source: Any) -> Any:
        return _native.load(
            source,
            type,
            fix_imports=fix_imports,
            encoding=encoding,
            errors=errors,
            buffers=given,
            trust=trust,
            limits=limits,
        )

    if not _is_path(file):
        if verify:
            raise TypeError("verify wants a path: of a file object load reads one pickle and no further")
        return pickle_of(file)
    with open(file, "rb") as opened:
        stored = _stored(opened)
        if stored is None:
            if verify:
                raise MalformedError(_NO_MANIFEST)
            value = pickle_of(opened)
            _look_behind(opened)
            return value
        value = stored.load(resolve(trust, type), limits, fix_imports, encoding, errors, given, mmap, verify)
    return value if type is None else validate(value, type)


def _look_behind(opened: io.BufferedReader) -> None:
    """Looks at what follows a pickle in a file that does not end as one with a manifest does.

    Raises:
        MalformedError: a manifest; so the file was cut, or something was appended.
    """
    if not opened.read(_BEHIND).lstrip(b"\0").startswith(_native.MANIFEST_HEAD):
        return
    if opened.seekable():
        raise MalformedError(
            "the file is damaged: it has a manifest but does not end with it: it was cut, or something was appended"
        )
    while opened.read(1 << 20):  # who writes to a pipe wants to write all of it
        pass


def describe(path: str | os.PathLike[str]) -> Description:
    """Reads what a file says of itself, without loading it. Takes as long for a large file as for a small one.

    Args:
        path: a file that `torshi.save` wrote.

    Raises:
        MalformedError: the file has no manifest, or a damaged one.
        OSError: the file cannot be read.

    Example:
        >>> import torshi
        >>> torshi.save([1, 2], "list.pkl", metadata="two numbers")
        >>> description = torshi.describe("list.pkl")
        >>> description.metadata, description.stream, description.globals
        ('two numbers', 20, ())
    """
    with open(path, "rb") as opened:
        stored = _stored(opened)
        if stored is None:
            raise MalformedError(_NO_MANIFEST)
        return description(stored.manifest, stored.container, os.fstat(opened.fileno()).st_size)


def _is_path(file: Any) -> bool:
    return isinstance(file, str) or hasattr(file, "__fspath__")


def _stored(opened: io.BufferedReader) -> _native.StoredFile | None:
    """The file, if it is one with a manifest."""
    status = os.fstat(opened.fileno())
    if not stat.S_ISREG(status.st_mode):
        return None
    return _native.StoredFile.open(opened.fileno(), status.st_size)
