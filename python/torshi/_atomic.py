"""Replacing a file as a whole or not at all.

A name and a writer in, a new file of that name out: written beside it, synced, then renamed over it. An error, a full
disk or an end of the process at any moment leaves the old file as it was. Never writes to the old file, and never
leaves a half one under its name.

Where the system has files without names (Linux, `O_TMPFILE`) the new file has none until it is whole, so that nothing
is left of a process that was killed. Elsewhere, and in the instant between naming and renaming, it is called
``.NAME.0.torshi`` or the like, and is locked by its writer: one that nobody locks is what a killed process left, and
the next save of that name removes it.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from collections.abc import Iterator

__all__ = ["replacing", "sync_folder"]

_SUFFIX = ".torshi"
_PLACES = 8

if sys.platform != "win32":
    import fcntl


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[int]:
    """Yields a descriptor to write the new content of a file to, which takes the file's place at the end of the block.

    A symbolic link stays, and the file it leads to is replaced. Permissions of an old file are kept, and its owner
    where the process may give files away. What is no regular file (a pipe, a terminal) is written to directly.

    Args:
        path: the file, which need not exist; its folder must.

    Raises:
        OSError: the file cannot be written; the old one, if any, is as it was.
    """
    target = os.path.realpath(os.fsdecode(os.fspath(path)))
    try:
        old: os.stat_result | None = os.stat(target)
    except FileNotFoundError:
        old = None
    if old is not None and not stat.S_ISREG(old.st_mode):
        with _directly(target) as descriptor:
            yield descriptor
        return
    folder, name = os.path.split(target)
    _clean(folder, name)
    descriptor, temporary = _create(folder, name, old is not None)
    try:
        yield descriptor
        if old is not None:
            _take_after(descriptor, old)
        os.fsync(descriptor)
        if temporary is None:
            temporary = _give_name(descriptor, folder, name)
        os.replace(temporary, target)
        temporary = None
        sync_folder(folder)
    finally:
        if temporary is not None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
        os.close(descriptor)


@contextlib.contextmanager
def _directly(target: str) -> Iterator[int]:
    descriptor = os.open(target, os.O_WRONLY | getattr(os, "O_CLOEXEC", 0))
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _places(folder: str, name: str) -> list[str]:
    """The names files have before they are renamed: few, so that leftovers are found without reading the folder."""
    # A name may have 255 bytes; a long one is not needed whole to know a leftover by.
    short = os.fsdecode(os.fsencode(name)[:200])
    return [os.path.join(folder, f".{short}.{number}{_SUFFIX}") for number in range(_PLACES)]


def _temporaries(folder: str, name: str) -> Iterator[str]:
    """Names to try: the places, and where many save at once, others."""
    yield from _places(folder, name)
    while True:
        short = os.fsdecode(os.fsencode(name)[:200])
        yield os.path.join(folder, f".{short}.{os.urandom(8).hex()}{_SUFFIX}")


def _create(folder: str, name: str, hidden: bool) -> tuple[int, str | None]:
    """A new file, open for writing, and its name if it has one. Until it is whole, `hidden` ones are nobody else's."""
    mode = 0o600 if hidden else 0o666
    flags = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    if hasattr(os, "O_TMPFILE") and os.path.isdir("/proc/self/fd"):
        # Not every file system has it; whatever is wrong otherwise shows again below.
        with contextlib.suppress(OSError):
            descriptor = os.open(folder, os.O_RDWR | os.O_TMPFILE | flags, mode)
            _lock(descriptor)
            return descriptor, None
    for temporary in _temporaries(folder, name):
        try:
            descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | flags, mode)
        except FileExistsError:
            continue
        # Another save may have taken it for a leftover before it was locked.
        if _lock(descriptor) and os.fstat(descriptor).st_nlink > 0:
            return descriptor, temporary
        os.close(descriptor)
    raise AssertionError("names do not end")


def _give_name(descriptor: int, folder: str, name: str) -> str:
    """Names a file that has none; only a name can be renamed over another."""
    # Only where a folder is given does Python ask the system to follow the link that /proc has.
    place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for temporary in _temporaries(folder, name):
            try:
                os.link(f"/proc/self/fd/{descriptor}", temporary, src_dir_fd=place, follow_symlinks=True)
            except FileExistsError:
                continue
            return temporary
        raise AssertionError("names do not end")
    finally:
        os.close(place)


def _lock(descriptor: int) -> bool:
    """Locks a file until it is closed; false if another process has it. Where there are no locks, none is needed."""
    if sys.platform == "win32":
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def _is_abandoned(descriptor: int) -> bool:
    """Whether a file that a writer would have locked is locked by nobody."""
    if sys.platform == "win32":
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _clean(folder: str, name: str) -> None:
    """Removes what killed processes left of earlier saves of this name."""
    for path in _places(folder, name):
        with contextlib.suppress(OSError):
            descriptor = os.open(path, os.O_RDWR | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0))
            try:
                # Who locks a file is the only one who may remove it, so if the name leads to it now, it does below.
                if _is_abandoned(descriptor) and os.path.samestat(os.fstat(descriptor), os.lstat(path)):
                    os.unlink(path)
            finally:
                os.close(descriptor)


def _take_after(descriptor: int, old: os.stat_result) -> None:
    """Gives a new file the owner and permissions of the old one, as far as the process may."""
    if sys.platform == "win32":
        return
    mode = stat.S_IMODE(old.st_mode)
    mine = os.fstat(descriptor)
    if (mine.st_uid, mine.st_gid) != (old.st_uid, old.st_gid):
        try:
            os.fchown(descriptor, old.st_uid, old.st_gid)
        except OSError:
            mode &= ~(stat.S_ISUID | stat.S_ISGID)
            try:
                os.fchown(descriptor, -1, old.st_gid)
            except OSError:
                # What the old group might do is not for another: it gets what everyone has.
                mode = mode & ~0o070 | (mode & 0o007) << 3 & mode
    os.fchmod(descriptor, mode)


def sync_folder(folder: str) -> None:
    """Makes the renaming last. Some systems do not let a folder be opened or synced; the file is whole all the same."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder or ".", os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
