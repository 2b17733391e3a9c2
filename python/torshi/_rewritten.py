"""Files into their streams, and rewritten streams into files: what `migrate`, `convert` and `recover` share.

A file is read with its digests compared; a stream is written as `save` writes one, beside the old file and renamed over
it. A manifest says of the new stream what is known: what it said of the classes and versions that the old one was
written with stays, and nothing is claimed of a file that had none. Never loads a pickle.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from torshi import _native
from torshi._atomic import replacing
from torshi._keys import Key, keys
from torshi._limits import Limits
from torshi._manifest import compose
from torshi._opening import opened_file, write_all
from torshi._seal import Seal, demand_right, examine, records

__all__ = ["PickleFile", "pickle_file", "write_plain", "write_stream"]

# What a manifest says of the process that made the objects, not of the file.
_OF_ITS_WRITER = ("created", "python", "implementation", "platform", "distributions")


@dataclass(frozen=True)
class PickleFile:
    """A file of pickles, read.

    Attributes:
        data: its pickles, unpacked, as many as there are.
        container: how it holds them: ``plain``, ``zstd``, ``lz4`` or ``gzip``.
        record: its manifest; None if it has none.
        seals: its seals, all of them right as far as keys are known.
        size: bytes of the file.
    """

    data: bytes
    container: str
    record: dict[str, Any] | None
    seals: tuple[Seal, ...]
    size: int

    @property
    def lent(self) -> list[bool]:
        """Of each large buffer, whether it may come back as another buffer."""
        buffers = [] if self.record is None else self.record.get("buffers", [])
        return [bool(entry[3]) if len(entry) > 3 else False for entry in buffers]

    @property
    def metadata(self) -> Any:
        """What its writer added."""
        return None if self.record is None else self.record.get("metadata")

    def own_keys(self) -> list[Key]:
        """The keys of this user that have sealed it, and are trusted."""
        right = {(seal.kind, seal.id) for seal in self.seals if seal.trusted}
        return [key for key in keys() if key.is_own and (key.kind, key.id.hex()) in right] if right else []


def pickle_file(path: str | os.PathLike[str], limits: Limits | None = None) -> PickleFile:
    """Reads a file, and compares it with its manifest and seals.

    Raises:
        MalformedError: it is damaged.
        SealError: a seal is not over this file.
        LimitError: it unpacks to more than a load may ask for.
        OSError: it cannot be read.
    """
    with opened_file(path, None) as (opened, stored, size):
        if stored is None:
            data = opened.read()
            return PickleFile(data, "plain", None, (), len(data))
        seals = examine(stored)
        demand_right(seals)
        manifest = stored.manifest
        data = stored.pickle(limits, any(seal.trusted for seal in seals))
        record = None if manifest is None else json.loads(manifest)
        return PickleFile(data, stored.container, record, seals, size)


def write_stream(
    stream: _native.RewrittenStream,
    path: str | os.PathLike[str],
    packing: tuple[str, int | None],
    sealing: list[Key],
    *,
    source: PickleFile | None = None,
    metadata: Any = None,
    progress: Callable[[int], object] | None = None,
) -> int:
    """Writes a stream to a file, which is replaced as a whole or not at all; the bytes of the new file.

    Args:
        stream: what to write.
        path: the file.
        packing: name and level of the compression.
        sealing: keys that seal it.
        source: the file it was made of, whose manifest is carried over.
        metadata: kept in the manifest, in place of the source's.
        progress: called with the number of bytes written so far.
    """
    container, level = packing
    record = None if source is None else source.record
    with replacing(path) as descriptor:
        lent = [] if source is None else source.lent
        length, digest, buffers, names = stream.write(descriptor, container, level, progress, lent)
        told = metadata if metadata is not None or source is None else source.metadata
        manifest = _carried_over(compose(length, digest, buffers, names, told), record, stream.renamed)
        trailer = _native.render_trailer(container, length, manifest, records(sealing, manifest))
        write_all(descriptor, trailer)
        return os.fstat(descriptor).st_size


def _carried_over(manifest: bytes, old: dict[str, Any] | None, renamed: list[tuple[str, str, int]]) -> bytes:
    """A new manifest with what the old one said of classes and versions; who is here now did not write the objects."""
    record = json.loads(manifest)
    if old is None:
        record.update(classes={}, distributions={})
    else:
        record.update({key: old[key] for key in _OF_ITS_WRITER if key in old})
        new = {before: after for before, after, _ in renamed}
        dotted = {name.replace(":", "."): name for name in record["globals"]}
        before = {name.replace(":", "."): told for name, told in old.get("classes", {}).items()}
        after = {dotted.get(new.get(name, name)): told for name, told in before.items()}
        record["classes"] = {name: told for name, told in after.items() if name is not None}
    return json.dumps(record, allow_nan=False, separators=(",", ":")).encode("ascii")


def write_plain(streams: Iterable[bytes], path: str | os.PathLike[str]) -> int:
    """Writes pickles one after another, without a manifest; the bytes of the new file."""
    with replacing(path) as descriptor:
        for stream in streams:
            write_all(descriptor, stream)
        return os.fstat(descriptor).st_size
