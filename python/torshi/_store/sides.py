"""Side files: large values beside the file of a store, one a version of a value, written once and never changed.

A writer in, a file with a random name out, whole and on the disk before the row that names it is committed. A crash
leaves at most a file that no row names. Whoever is between writing a file and committing its row holds a lock that
others may hold too; files that no row names are removed only by who holds it alone. Never decides which they are.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Callable, Iterator
from typing import Final

from torshi._atomic import replacing, sync_folder
from torshi._store.backend import Side

__all__ = ["SideFiles"]

if sys.platform != "win32":
    import fcntl

_NAME: Final = re.compile(r"[0-9a-f]{2}/[0-9a-f]{32}")
_LOCK: Final = "lock"


class SideFiles:
    """The folder of the side files of a store, which need not exist."""

    __slots__ = ("folder",)

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def path(self, name: str) -> str:
        """Where a file is.

        Raises:
            ValueError: it is no name of a side file: rows may have been written by others.
        """
        if not _NAME.fullmatch(name):
            raise ValueError(f"no name of a side file: {name!r}")
        return os.path.join(self.folder, *name.split("/"))

    def write(self, writer: Callable[[int], object]) -> Side:
        """A new file, of what the writer writes to the descriptor it is given.

        Raises:
            OSError: it cannot be written, and is not there.
        """
        digits = os.urandom(16).hex()
        name = f"{digits[:2]}/{digits}"
        path = self.path(name)
        self._make(os.path.dirname(path))
        with replacing(path) as descriptor:
            writer(descriptor)
            size = os.fstat(descriptor).st_size
        return Side(name, size)

    def remove(self, name: str) -> None:
        """Removes a file that no row names any more. Who has mapped it keeps it."""
        with contextlib.suppress(OSError, ValueError):
            os.unlink(self.path(name))

    def lock(self) -> int | None:
        """Keeps files from being collected until the descriptor is closed; None where there are no locks."""
        self._make(self.folder)
        return self._locked(alone=False)

    def _make(self, folder: str) -> None:
        """Makes a folder that lasts, if it is not there: what is in it does, and would not be found."""
        if not os.path.isdir(folder):
            os.makedirs(folder, exist_ok=True)
            sync_folder(os.path.dirname(folder))

    def _locked(self, *, alone: bool) -> int | None:
        """A descriptor of the lock; None where there are none.

        Raises:
            BlockingIOError: it is wanted alone, and somebody has it.
        """
        if sys.platform == "win32":
            return None
        descriptor = os.open(os.path.join(self.folder, _LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB if alone else fcntl.LOCK_SH)
        except BlockingIOError:
            os.close(descriptor)
            raise
        except OSError:  # a file system without locks
            os.close(descriptor)
            return None
        return descriptor

    def files(self) -> Iterator[tuple[str, str, int]]:
        """Every file of the folder but the lock: its name if it is a side file's, its path, its size."""
        for folder, _, names in os.walk(self.folder):
            for name in names:
                path = os.path.join(folder, name)
                if path == os.path.join(self.folder, _LOCK):
                    continue
                with contextlib.suppress(OSError):
                    yield os.path.relpath(path, self.folder).replace(os.sep, "/"), path, os.stat(path).st_size

    def collect(self, named: Callable[[], set[str]]) -> tuple[int, int]:
        """Removes the files that no row names, unless somebody is writing one; how many, and their bytes.

        Args:
            named: tells the names in rows; asked when nobody can be between writing a file and committing its row.
        """
        if not os.path.isdir(self.folder):
            return 0, 0
        try:
            descriptor = self._locked(alone=True)
        except BlockingIOError:
            return 0, 0
        if descriptor is None:
            return 0, 0
        try:
            kept, count, size = named(), 0, 0
            for name, path, length in list(self.files()):
                # What is no side file and has no name of a half-written one is somebody else's.
                mine = _NAME.fullmatch(name) or (name[3:4] == "." and name.endswith(".torshi"))
                if mine and name not in kept:
                    with contextlib.suppress(OSError):
                        os.unlink(path)
                        count, size = count + 1, size + length
            return count, size
        finally:
            os.close(descriptor)
