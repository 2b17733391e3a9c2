"""`migrate`: old files into new ones that load the same, without loading them.

Pickles are rewritten instruction by instruction by the native module, which compares what it wrote with what it read
before it gives it out. Never builds, imports or calls anything that a file names, and never seals a file that the
user's own key has not sealed already, unless asked to.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from torshi import _native
from torshi._compression import Compression, chosen_compression
from torshi._errors import MalformedError
from torshi._keys import Key
from torshi._limits import Limits
from torshi._rewritten import PickleFile, pickle_file, write_plain, write_stream
from torshi._seal import KeyChoice, chosen_keys

__all__ = ["Migration", "Names", "migrate"]

Names: TypeAlias = Mapping[str, str | type | Callable[..., Any]]
"""Old names, and the names or classes they are to become."""

_JOBLIB = b"NumpyArrayWrapper"


@dataclass(frozen=True)
class Migration:
    """What `migrate` changed, or would change.

    Attributes:
        path: the file it is made of.
        target: the file it is written to.
        changed: whether there is anything to change.
        written: whether the target was written.
        pickles: how many pickles the file has.
        protocol: the protocol before; the lowest, of several pickles.
        to_protocol: the protocol after.
        renamed: old name, new name, how often, for each name that changes.
        reformed: instructions that take another form.
        dropped: memo slots that nothing reads, left out.
        container: how the file held its pickle.
        to_container: how it holds it now.
        manifest: whether it had a manifest.
        to_manifest: whether it has one now.
        seals: names of the keys that seal the new file.
        unsealed: whether the old file had seals that the new one has not.
        size: bytes before.
        to_size: bytes after; None if nothing was written.
    """

    path: str
    target: str
    changed: bool
    written: bool
    pickles: int
    protocol: int
    to_protocol: int
    renamed: tuple[tuple[str, str, int], ...]
    reformed: int
    dropped: int
    container: str
    to_container: str
    manifest: bool
    to_manifest: bool
    seals: tuple[str, ...]
    unsealed: bool
    size: int
    to_size: int | None = None
    _streams: tuple[tuple[bytes, bytes], ...] = field(default=(), repr=False, compare=False)

    @property
    def changes(self) -> tuple[str, ...]:
        """Each change in a line."""
        lines = [f"{old} becomes {new}{'' if count == 1 else f' ({count} times)'}" for old, new, count in self.renamed]
        if self.protocol != self.to_protocol:
            lines.append(f"protocol {self.protocol} becomes {self.to_protocol}")
        if self.reformed:
            lines.append(f"{self.reformed} instruction{' takes' if self.reformed == 1 else 's take'} another form")
        if self.dropped:
            lines.append(f"{self.dropped} memo slot{'' if self.dropped == 1 else 's'} that nothing reads left out")
        if self.container != self.to_container:
            lines.append(f"{self.container} becomes {self.to_container}")
        if self.manifest != self.to_manifest:
            lines.append("a manifest is added" if self.to_manifest else "the manifest is left out")
        if self.unsealed:
            lines.append("seals are left out: they are over the old bytes, and not all by a key of yours")
        return tuple(lines)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        told = {name: value for name, value in self.__dict__.items() if not name.startswith("_")}
        told["renamed"] = [{"old": old, "new": new, "count": count} for old, new, count in self.renamed]
        told["seals"] = list(self.seals)
        return {**told, "changes": list(self.changes)}


Migration.__module__ = "torshi"


def migrate(
    path: str | os.PathLike[str],
    target: str | os.PathLike[str] | None = None,
    *,
    rename: Names | None = None,
    current_names: bool = False,
    protocol: int = 5,
    strip: bool = False,
    compress: Compression = None,
    key: KeyChoice = None,
    plain: bool = False,
    check: bool = False,
    limits: Limits | None = None,
    progress: Callable[[int], object] | None = None,
) -> Migration:
    """Rewrites a file for today, without loading it: names, protocol, compression, manifest.

    The new file builds what the old one builds, but for the names, and that is compared before it is written. It takes
    the place of the old one as a whole or not at all.

    Args:
        path: a file of `save`, or any pickle, compressed or not.
        target: where to write; the file itself if absent, which is left alone where nothing changes.
        rename: names to change: ``{"old.module.Name": "new.module.Name"}``, or ``{"old.*": "new.*"}`` for a module and
            all below it. Values may be classes. Only names of classes and functions change, never data.
        current_names: give classes of pandas, scikit-learn, scipy and numpy the names that these libraries use today.
        protocol: 5, or 4 for readers before Python 3.8. Names in Python 2's spelling become Python 3's.
        strip: leave out memo slots that nothing reads.
        compress: as for `save`; None leaves it as it is, False makes it plain.
        key: who seals the new file, as for `save`. None: your own keys that have sealed the old one, and nobody if
            none of them has: a stranger's file stays a stranger's.
        plain: write a pickle without a manifest, as `pickle.dump` does. A file of several pickles needs it.
        check: write nothing; say what would change.
        limits: how long a compressed file may get, for one thing.
        progress: called with the number of bytes written so far.

    Raises:
        MalformedError: it is no pickle, or damaged; or something in it means another thing at the new protocol.
        SealError: a seal is not over this file; there is no such key.
        ValueError: no such name, protocol or compression; or several pickles without `plain`.
        OSError: a file cannot be read or written.

    Example:
        >>> import pickle, torshi
        >>> with open("old.pkl", "wb") as file:
        ...     pickle.dump({"a": [1, 2]}, file, 0)
        >>> told = torshi.migrate("old.pkl")
        >>> told.protocol, told.to_protocol, torshi.load("old.pkl")
        (0, 5, {'a': [1, 2]})
        >>> torshi.migrate("old.pkl", check=True).changed
        False
    """
    if plain and (key not in (None, False) or compress not in (None, False)):
        raise ValueError("a plain pickle has neither seals nor compression: leave out plain, or key and compress")
    pairs = [(old, _spelled(new)) for old, new in (rename or {}).items()]
    source = pickle_file(path, limits)
    streams = _rewritten(source, pairs, current_names, protocol, strip)
    if len(streams) > 1 and not plain:
        raise ValueError(
            f"the file has {len(streams)} pickles, one after another; a file with a manifest has one: give plain=True"
        )
    container, level = ("plain", None) if plain else (source.container, None)
    if compress is not None:
        container, level = chosen_compression(compress)
    sealing = _sealing(source, streams[0], key, plain)
    renamed: dict[tuple[str, str], int] = {}
    for old, new, count in (entry for stream in streams for entry in stream.renamed):
        renamed[old, new] = renamed.get((old, new), 0) + count
    there = {(seal.kind, seal.id) for seal in source.seals}
    here = {(one.kind, one.id.hex()) for one in sealing}
    first = min(stream.protocol for stream in streams)
    changes = [stream.reformed or stream.dropped or stream.protocol != protocol for stream in streams]
    manifest = source.record is not None
    changed = any((*changes, renamed, container != source.container, manifest == plain, here - there))
    write = not check and (changed or target is not None)
    place = path if target is None else target
    size = None
    if write and plain:
        size = write_plain((stream.bytes() for stream in streams), place)
    elif write:
        size = write_stream(streams[0], place, (container, level), sealing, source=source, progress=progress)
    return Migration(
        path=os.fsdecode(path),
        target=os.fsdecode(place),
        changed=changed,
        written=write,
        pickles=len(streams),
        protocol=first,
        to_protocol=protocol,
        renamed=tuple((old, new, count) for (old, new), count in sorted(renamed.items())),
        reformed=sum(stream.reformed for stream in streams),
        dropped=sum(stream.dropped for stream in streams),
        container=source.container,
        to_container=container,
        manifest=manifest,
        to_manifest=not plain,
        seals=tuple(one.name for one in sealing),
        unsealed=bool(there - here) and changed,
        size=source.size,
        to_size=size,
        _streams=_pairs(source.data, streams) if check else (),
    )


def _sealing(source: PickleFile, stream: _native.RewrittenStream, key: KeyChoice, plain: bool) -> list[Key]:
    """The keys that seal the new file.

    What a key of the user's has sealed it seals again, but for one case: a seal lends the names of the manifest that it
    is over. A stream with other names has more than was vouched for, and a manifest made of it would list them.
    """
    if plain:
        return []
    if key is not None:
        return chosen_keys(key)
    known = {str(name).replace(":", ".") for name in (source.record or {}).get("globals", [])}
    new = {old: name for old, name, _ in stream.renamed}
    vouched = {new.get(name, name) for name in known}
    is_vouched = all(name.replace(":", ".") in vouched for name in stream.names)
    return source.own_keys() if is_vouched else []


def _spelled(new: Any) -> str:
    """A new name as text.

    Raises:
        TypeError: it is neither text nor something with a name.
    """
    if isinstance(new, str):
        return new
    module, name = getattr(new, "__module__", None), getattr(new, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(name, str):
        raise TypeError(f"rename wants names or classes, not {type(new).__name__}")
    return f"{module}:{name}"


def _rewritten(
    source: PickleFile, pairs: list[tuple[str, str]], current: bool, protocol: int, strip: bool
) -> list[_native.RewrittenStream]:
    """Every pickle of a file, rewritten.

    Raises:
        MalformedError: one of them cannot be, or what follows the last is none.
    """
    streams: list[_native.RewrittenStream] = []
    data, start = source.data, 0
    while not streams or start < len(data):
        try:
            stream = _native.rewrite(data, pairs, current, protocol, strip, start=start)
        except MalformedError as error:
            if _JOBLIB in data:
                raise MalformedError(
                    "the file has joblib's layout, arrays between instructions: torshi convert makes a pickle of it"
                ) from error
            if start == 0:
                raise
            raise MalformedError(
                f"{len(data) - start} bytes from byte {start} on are no whole pickle: {error}", start
            ) from error
        streams.append(stream)
        start += stream.end
    return streams


def _pairs(data: bytes, streams: list[_native.RewrittenStream]) -> tuple[tuple[bytes, bytes], ...]:
    """Each pickle before and after."""
    pairs, start = [], 0
    for stream in streams:
        pairs.append((data[start : start + stream.end], stream.bytes()))
        start += stream.end
    return tuple(pairs)
