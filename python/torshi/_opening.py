"""Paths and URLs into open files, and what the end of each says of it; and bytes into files.

`opened_file` is the one way by which `load` and everything that reads files of torshi opens them. Looks at the manifest
and at no pickle: whatever is behind it is for its caller to compare and to load.
"""

from __future__ import annotations

import contextlib
import io
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torshi import _native
from torshi._errors import MalformedError
from torshi._urls import ObjectReader, is_url, local_path

__all__ = [
    "BEHIND",
    "NO_MANIFEST",
    "copy",
    "is_path",
    "located",
    "look_behind",
    "opened_file",
    "with_manifest",
    "write_all",
]

# What follows a pickle that a manifest belongs to: padding, and the manifest's first bytes.
BEHIND = 63 + 16

NO_MANIFEST = "the file has no manifest: it was not written by torshi.save, or its end is missing"


def is_path(file: Any) -> bool:
    return isinstance(file, str) or hasattr(file, "__fspath__")


def located(file: Any, storage_options: Mapping[str, Any] | None) -> Any:
    """The file, where a URL says that it is one of this machine.

    Raises:
        TypeError: there are options for a store, and none is meant.
    """
    if is_url(file):
        return local_path(file) or file
    if storage_options:
        raise TypeError("storage_options are for URLs, such as s3://bucket/key")
    return file


@contextlib.contextmanager
def opened_file(
    path: Any, storage_options: Mapping[str, Any] | None
) -> Iterator[tuple[io.BufferedReader | ObjectReader, _native.StoredFile | None, int]]:
    """Yields a file or object; what it is, if it is one with a manifest or compressed; and its size in bytes."""
    path = located(path, storage_options)
    if is_url(path):
        with ObjectReader(path, storage_options) as reader:
            yield reader, _native.StoredFile.open(reader.read_at, reader.size), reader.size
        return
    with open(path, "rb") as opened:
        status = os.fstat(opened.fileno())
        regular = stat.S_ISREG(status.st_mode)
        stored = _native.StoredFile.open(opened.fileno(), status.st_size) if regular else None
        yield opened, stored, status.st_size


def with_manifest(stored: _native.StoredFile | None) -> tuple[_native.StoredFile, bytes]:
    """The file and its manifest.

    Raises:
        MalformedError: it has none.
    """
    manifest = stored.manifest if stored is not None else None
    if stored is None or manifest is None:
        raise MalformedError(NO_MANIFEST)
    return stored, manifest


def look_behind(opened: io.BufferedIOBase) -> None:
    """Looks at what follows a pickle in a file that does not end as one with a manifest does.

    Raises:
        MalformedError: a manifest; so the file was cut, or something was appended.
    """
    if not opened.read(BEHIND).lstrip(b"\0").startswith(_native.MANIFEST_HEAD):
        return
    if opened.seekable():
        raise MalformedError(
            "the file is damaged: it has a manifest but does not end with it: it was cut, or something was appended"
        )
    while opened.read(1 << 20):  # who writes to a pipe wants to write all of it
        pass


def copy(opened: io.RawIOBase | io.BufferedReader, length: int, put: Callable[[bytes], object]) -> None:
    """Copies the beginning of a file, or as much of it as there is."""
    while length > 0 and (piece := opened.read(min(length, 1 << 20))):
        put(piece)
        length -= len(piece)


def write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
