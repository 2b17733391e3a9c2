"""Files: objects into files that last, and back.

`save` writes a pickle that any Python reads, followed by a manifest; `load` reads what `save` wrote, and every other
pickle; `describe` reads the manifest alone. What the bytes mean is the native module's; this file opens, replaces and
closes. Never builds anything of a file that is not as its manifest says.
"""

from __future__ import annotations

import inspect
import io
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, overload

from torshi import _drift, _native
from torshi._atomic import replacing
from torshi._by_value import holds_code
from torshi._compression import Compression, chosen_compression
from torshi._errors import LimitError, MalformedError, SealError, UntrustedError
from torshi._fields import heard
from torshi._manifest import Description, compose, description, metadata_checked, says_by_value
from torshi._opening import (
    NO_MANIFEST,
    copy,
    is_path,
    located,
    look_behind,
    opened_file,
    with_manifest,
    write_all,
)
from torshi._policy import Policy, resolve, unrestricted
from torshi._seal import KeyChoice, Seal, chosen_keys, demand_right, examine, lent_names, records, sealed
from torshi._typed import validate
from torshi._urls import ObjectReader, is_url, replacing_object

if TYPE_CHECKING:
    from torshi._limits import Limits
    from torshi._placeholder import Missing
    from torshi._policy import Trust

__all__ = ["Verification", "describe", "load", "save", "seal", "verify"]

_T = TypeVar("_T")

# Files whose next bytes can be seen without taking them.
_PEEKED = (io.BytesIO, io.BufferedReader)


def save(
    obj: object,
    path: str | os.PathLike[str] | Any,
    *,
    compress: Compression = None,
    key: KeyChoice = None,
    metadata: Any = None,
    progress: Callable[[int], object] | None = None,
    by_value: bool = False,
    storage_options: Mapping[str, Any] | None = None,
) -> None:
    """Save an object to a file or an object store, where it replaces what was there as a whole or not at all.

    The file is a pickle that stock `pickle.load` reads, followed by a manifest: digest, versions, names, your metadata.
    Large buffers are neither copied nor held twice. An error, a full disk or an end of the process at any moment
    leaves an old file of the name as it was.

    Args:
        obj: any picklable object.
        path: the file to write; or a URL such as ``s3://bucket/key``, ``gs://...`` or ``az://...``; or a binary file
            object, which then is written to as it stands.
        compress: True for zstd, a level of it (1 to 19), or ``"zstd"``, ``"lz4"``, ``"gzip"``, with a level as in
            ``"gzip:9"``. What does not get smaller is stored as it is. Arrays of a compressed file cannot stay in it.
        key: who seals it: the name of a key, or several. None: your own local key, so that you get your own classes
            back without `trust=`; where there is no place to keep one, nobody. False: nobody.
        metadata: kept in the manifest: text, numbers, lists, dictionaries.
        progress: called with the number of bytes written so far, every few megabytes.
        by_value: write functions and classes that cannot be found by name as their code, as `dumps` does. Whoever loads
            the file runs it: with a seal that they trust, or an unrestricted policy.
        storage_options: settings of the store a URL is of, as obstore's `from_url` takes them, beside those of the
            environment.

    Raises:
        PicklingError: an object cannot be pickled; ``path`` says which one.
        OSError: the file cannot be written.
        ImportError: a URL, and obstore is not installed (``pip install 'torshi[s3]'``).
        SealError: there is no such key, or it is not to be believed.
        TypeError, ValueError: the metadata is not JSON, there is no such compression; or as stock pickle raises them.

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
    container, level = chosen_compression(compress)
    sealing = chosen_keys(key)

    def write(target: Any, rest: Callable[[bytes], object]) -> None:
        (length, digest, buffers, names), _ = _native.save_stream(obj, target, container, level, progress, by_value)
        manifest = compose(length, digest, buffers, names, metadata, by_value and holds_code(names))
        rest(_native.render_trailer(container, length, manifest, records(sealing, manifest)))

    path = located(path, storage_options)
    if is_url(path):
        with replacing_object(path, storage_options) as put:
            write(put, put)
        return
    if is_path(path):
        with replacing(path) as descriptor:
            write(descriptor, lambda data: write_all(descriptor, data))
        return
    method = getattr(path, "write", None)
    if method is None:
        raise TypeError(f"save wants a path or a binary file, not {type(path).__name__}")
    write(method, method)


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
    missing: Missing = "error",
    mmap: bool = True,
    verify: bool = False,
    storage_options: Mapping[str, Any] | None = None,
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
    missing: Missing = "error",
    mmap: bool = True,
    verify: bool = False,
    storage_options: Mapping[str, Any] | None = None,
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
    missing: Missing = "error",
    mmap: bool = True,
    verify: bool = False,
    storage_options: Mapping[str, Any] | None = None,
) -> Any:
    """Unpickle an object from a file, after checking its bytes against a policy.

    Args:
        file: a path, a URL such as ``s3://bucket/key``, or a binary file with `read` and `readline`. Of a file object
            exactly one pickle is read: the position ends right behind it. Of a path or URL that `torshi.save` wrote
            the manifest is read first, and what is not as it says is refused.
        type, trust, limits, missing, fix_imports, encoding, errors, buffers: as for `loads`.
        mmap: large arrays of a path that `save` wrote stay in the file, and are read when they are touched; writing to
            one changes memory alone. False: they are read now.
        verify: compare mapped arrays with their digests too, which reads them. Everything else always is.
        storage_options: settings of the store a URL is of, as for `save`.

    Raises:
        EOFError: there is no pickle left in the file.
        MalformedError: the file is damaged; or with `verify`, it has no manifest to go by.
        SealError: a seal is not over this file.
        UntrustedError, LimitError, ValidationError: as for `loads`. Without `type` and `trust` a file that your own
            key or one you trust has sealed may also use the names in its manifest.

    Warns:
        ClassChangedWarning: a class of a file that `save` wrote has other fields than it had then.
        VersionWarning: it was saved with another version of a library whose objects may depend on it.

    Example:
        >>> import io, torshi
        >>> torshi.load(io.BytesIO(torshi.dumps({'a': 1})))
        {'a': 1}
    """
    if missing not in ("error", "placeholder"):
        raise ValueError(f"missing wants 'error' or 'placeholder', not {missing!r}")
    given = None if buffers == () else buffers
    settings = _Settings(trust, type, limits, missing, fix_imports, encoding, errors, given)
    file = located(file, storage_options)
    if not is_path(file):
        if verify:
            raise TypeError("verify wants a path: of a file object load reads one pickle and no further")
        if file.__class__ in _PEEKED and _native.sniff_container(_first(file)) != "plain":
            packed = _native.StoredFile.open(file.read())
            if packed is not None:
                return settings.checked(settings.load(packed, mmap=False, verify=False))
        return settings.load_pickle(file)
    with opened_file(file, storage_options) as (opened, stored, _):
        if verify and (stored is None or stored.manifest is None):
            raise MalformedError(NO_MANIFEST)
        if stored is None:
            stream = io.BufferedReader(opened) if isinstance(opened, ObjectReader) else opened
            value = settings.load_pickle(stream)
            look_behind(stream)
            return value
        try:
            with heard() as said:
                value = settings.checked(settings.load(stored, mmap=mmap, verify=verify))
        except (UntrustedError, MalformedError, LimitError, SealError):
            raise  # nothing was built
        except Exception as error:
            _drift.explain(error, stored.manifest)
            raise
    _drift.warn(stored.manifest, 2, said)
    return value


def _stock_first(function: Callable[..., Any]) -> inspect.Signature:
    """The signature of a loading function as stock pickle's is, with what is new behind it: some programs look."""
    signature = inspect.signature(function)
    names = ["file", "fix_imports", "encoding", "errors", "buffers"]
    given = dict(signature.parameters)
    given["type"] = given["type"].replace(kind=inspect.Parameter.KEYWORD_ONLY)
    names += [name for name in given if name not in names]
    return signature.replace(parameters=[given[name] for name in names])


load.__signature__ = _stock_first(load)  # type: ignore[attr-defined]


@dataclass(frozen=True)
class _Settings:
    """What the caller of a load asks for, whatever the file is."""

    trust: Trust
    type: Any
    limits: Limits | None
    missing: Missing
    fix_imports: bool
    encoding: str
    errors: str
    buffers: Iterable[Any] | None

    def load_pickle(self, file: Any) -> Any:
        """The next pickle of a file object, compared with the type."""
        return _native.load(
            file,
            self.type,
            fix_imports=self.fix_imports,
            encoding=self.encoding,
            errors=self.errors,
            buffers=self.buffers,
            trust=self.trust,
            limits=self.limits,
            missing=self.missing,
        )

    def load(self, stored: _native.StoredFile, *, mmap: bool, verify: bool) -> Any:
        """The object of a file: under the policy asked for; without one, under what the seals of the file lend."""
        seals = examine(stored) if verify else ()
        demand_right(seals)
        try:
            return self._build(stored, resolve(self.trust, self.type), mmap, verify, vouched=False)
        except (UntrustedError, LimitError) as refusal:
            # Who says what to trust has said it. Limits hold for everyone, but for how far a file may unpack.
            asked = self.trust is not None or self.type is not None
            unpacks = stored.container != "plain"
            if not stored.seals or asked or (isinstance(refusal, LimitError) and not unpacks):
                raise
            seals = examine(stored)
            names = lent_names(seals, stored)
            if names is None:
                refusal.add_note("no key that you trust has sealed it: " + "; ".join(map(str, seals)))
                raise
        if says_by_value(stored.manifest):
            # Names are not enough for code; and who trusts whoever sealed it with these names trusts him with as much.
            policy = unrestricted("functions by value, sealed by a key that is trusted")
        else:
            # What a seal lends by an old name it lends by the new one: the program says that they are one.
            renamed = [new for new in map(_native.renamed, names) if new is not None]
            policy = Policy.default().allow(*names, *renamed)
        return self._build(stored, policy._inner, mmap, verify=True, vouched=True)

    def _build(
        self, stored: _native.StoredFile, policy: _native.Policy, mmap: bool, verify: bool, *, vouched: bool
    ) -> Any:
        return stored.load(
            policy,
            self.limits,
            self.fix_imports,
            self.encoding,
            self.errors,
            self.buffers,
            mmap,
            verify,
            vouched,
            self.missing == "placeholder",
        )

    def checked(self, value: Any) -> Any:
        """The value, compared with the type."""
        return value if self.type is None else validate(value, self.type)


def _first(file: Any) -> bytes:
    """The next bytes of a file of the standard library, which stay to be read."""
    if isinstance(file, io.BytesIO):
        at = file.tell()
        return bytes(file.getbuffer()[at : at + 4])
    return bytes(file.peek(4)[:4])


def describe(path: str | os.PathLike[str], *, storage_options: Mapping[str, Any] | None = None) -> Description:
    """Reads what a file says of itself, without loading it. Takes as long for a large file as for a small one.

    Args:
        path: a file or the URL of an object that `torshi.save` wrote.
        storage_options: settings of the store a URL is of, as for `save`.

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
    with opened_file(path, storage_options) as (_, found, size):
        stored, manifest = with_manifest(found)
        try:
            seals = tuple(map(str, examine(stored)))
        except (SealError, OSError):  # whatever is wrong with the keys here, the file says what it says
            seals = tuple(f"{kind} {identity.hex()[:16]}" for kind, identity in stored.seals)
        return description(manifest, stored.container, size, seals)


@dataclass(frozen=True)
class Verification:
    """What `verify` found: a file as it was written, and who vouches for it.

    Attributes:
        description: what the file says of itself.
        seals: its seals. None is wrong, or `verify` would have raised.
        sealed: whether a key that the reader trusts has sealed it.
    """

    description: Description
    seals: tuple[Seal, ...]
    sealed: bool


Verification.__module__ = "torshi"


def verify(path: str | os.PathLike[str], *, storage_options: Mapping[str, Any] | None = None) -> Verification:
    """Compares all of a file with its manifest, mapped or not, and its seals with the keys of this user. Loads nothing.

    Args:
        path: a file or the URL of an object that `torshi.save` wrote.
        storage_options: settings of the store a URL is of, as for `save`.

    Raises:
        MalformedError: the file is damaged, or has no manifest.
        SealError: a seal is not over this file.
        OSError: the file cannot be read.

    Example:
        >>> import torshi
        >>> torshi.save([1, 2], "list.pkl")
        >>> torshi.verify("list.pkl").sealed
        True
    """
    with opened_file(path, storage_options) as (_, found, size):
        stored, manifest = with_manifest(found)
        seals = examine(stored)
        demand_right(seals)
        trusted = any(seal.trusted for seal in seals)
        stored.verify(vouched=trusted)
        return Verification(description(manifest, stored.container, size, tuple(map(str, seals))), seals, trusted)


def seal(
    path: str | os.PathLike[str], key: KeyChoice = None, *, storage_options: Mapping[str, Any] | None = None
) -> tuple[Seal, ...]:
    """Adds seals to a file: whoever holds the keys vouches for it, and for every class and function it names.

    Look at it first (`torshi.inspect`, `torshi.describe`): on your own key you will load it without being asked. The
    file is replaced as a whole or not at all; what was in it before stays as it is. An object of a store is read twice,
    to be compared and to be written anew, since stores do not append.

    Args:
        path: a file or the URL of an object that `torshi.save` wrote.
        key: the name of a key, or several; the local key if absent.
        storage_options: settings of the store a URL is of, as for `save`.

    Returns:
        All seals of the file.

    Raises:
        MalformedError: the file is damaged, or has no manifest.
        SealError: there is no such key, or a seal that is there already is wrong.
        OSError: the file cannot be read or written, or the local key not be made.

    Example:
        >>> import torshi
        >>> torshi.save([1, 2], "list.pkl", key=False)
        >>> [seal.name for seal in torshi.seal("list.pkl")]
        ['local']
    """
    chosen = chosen_keys(True if key is None else key)
    place = located(path, storage_options)
    with opened_file(place, storage_options) as (opened, found, _):
        stored, manifest = with_manifest(found)
        demand_right(examine(stored))
        trailer = _native.render_trailer(stored.container, stored.length, manifest, sealed(stored, chosen))
        if isinstance(opened, ObjectReader):
            if opened.tag is None:
                raise OSError(f"{place}: the store does not tell versions of an object apart; seal a copy on the disk")
            stored.verify(vouched=True)
            with replacing_object(place, storage_options) as put:
                copy(opened, stored.end, put)
                put(trailer)
        else:
            with replacing(place) as descriptor:
                copy(opened, stored.end, lambda data: write_all(descriptor, data))
                write_all(descriptor, trailer)
                # What is vouched for is what was written, whatever happened to the old file meanwhile.
                written = _native.StoredFile.open(descriptor, os.fstat(descriptor).st_size)
                if written is None:
                    raise MalformedError("the file changed while it was sealed")
                seals = examine(written)
                written.verify(vouched=True)
            return seals
    with opened_file(place, storage_options) as (_, found, _):
        return examine(with_manifest(found)[0])
