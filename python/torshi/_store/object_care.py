"""A bucket of rows as it should be: expired rows deleted, ended changes and objects of rows that are gone cleared away.

Nothing of it is needed for what is read to be right. Never removes what may be a row, and never loads a value.
"""

from __future__ import annotations

import itertools
import secrets
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from torshi._errors import StoreError
from torshi._store import object_rows as rows
from torshi._store.bucket import Entry
from torshi._store.object_changes import CHANGES, COLLECTING, PENDING, ROWS, Busy, live
from torshi._store.object_names import is_long, key_of, name_of
from torshi._store.object_rows import Gone, Held

if TYPE_CHECKING:
    from torshi._store.objects import ObjectBackend

__all__ = ["checked", "collected", "compacted", "repaired", "swept"]

# Objects that are doomed and removed at once; all of it takes far less than the lease.
_BATCH: Final = 200
# Seconds after a sign of life in which a collector may still remove objects: a third of the lease, so that one that was
# held up does not remove what another has removed before, and a writer made anew since.
_SURE: Final = COLLECTING / 3
# How often a change is looked at before nobody is thought to be at it, and the seconds between.
_LOOKS: Final = 22
_BETWEEN: Final = 0.5


def swept(backend: ObjectBackend) -> int:
    """Deletes expired rows; how many."""
    count = 0
    expired = []
    for key, entry in backend.listed(b"", None, False):
        found = backend.head(entry)
        if isinstance(found, Held) and live(found) is None:
            expired.append((key, found.version))
    # One that was put anew meanwhile has another version.
    for key, version in expired:
        count += _deleted(backend, key, version)
    if count:
        collected(backend)
    return count


def _deleted(backend: ObjectBackend, key: bytes, version: str) -> bool:
    """Deletes a row that has expired, if it is still that."""
    place = backend.changes.settled(name_of(key))
    if not isinstance(place.found, Held) or place.found.version != version:
        return False
    return backend.bucket.put(f"{ROWS}/{name_of(key)}", rows.gone(rows.fresh()), place.tag) is not None


def collected(backend: ObjectBackend, names: Sequence[str] | None = None) -> int:
    """Removes objects that say "gone", unless another is doing that; how many.

    Args:
        backend: of the bucket.
        names: of the objects to look at; all that are as short as such, if absent.
    """
    lease, token = backend.changes.collector, secrets.token_hex(12)
    if not lease.take(token, COLLECTING):
        return 0
    found: Iterator[str] = iter(names or ())
    if names is None:
        found = (entry.name for entry in backend.bucket.entries(ROWS) if entry.size == rows.GONE_SIZE)
    count = 0
    while batch := list(itertools.islice(found, _BATCH)):
        removed = _removed(backend, batch, token)
        if removed is None:
            return count
        count += removed
    # Not if a request failed: it may still be under way, and the lock then ends by its lease.
    lease.give(token)
    return count


def _removed(backend: ObjectBackend, batch: Sequence[str], token: str) -> int | None:
    """Dooms what says "gone", and removes what is doomed; None if another has taken this over."""

    def doom(name: str) -> str | None:
        blob = backend.bucket.get(f"{ROWS}/{name}")
        found = None if blob is None else rows.parsed(blob.data, "")
        if blob is None or not isinstance(found, Gone):
            return None
        place = f"{ROWS}/{name}"
        if found.doomed or backend.bucket.put(place, rows.doomed(found.version), blob.tag) is not None:
            return place
        return None

    names = [name for name in backend.each(doom, batch) if name is not None]
    if not names:
        return 0
    # Only now, since all before may have taken any time: what is doomed waits for whoever has the lock.
    since = time.monotonic()
    if not backend.changes.collector.keep(token, COLLECTING):
        return None
    if time.monotonic() - since > _SURE:
        raise StoreError(f"{backend.where}: removing objects took too long; try again")
    backend.bucket.remove(names)
    return len(names)


def checked(backend: ObjectBackend) -> list[str]:
    """What is wrong in the bucket, a line each."""
    found = []
    for entry in backend.bucket.entries(ROWS):
        if entry.size != rows.GONE_SIZE and key_of(entry.name) is None and not _is_long_row(backend, entry):
            found.append(f"{backend.where}/{ROWS}/{entry.name}: an object of no row; nothing reads it")
    for change, _ in _idle(backend):
        found.append(f"{backend.where}/{CHANGES}/{change}: nobody is at this change of several rows; repair() ends it")
    return found


def _is_long_row(backend: ObjectBackend, entry: Entry) -> bool:
    if not is_long(entry.name):
        return False
    row = backend.head(entry)
    return isinstance(row, Gone) or row is None or (row.key is not None and name_of(row.key) == entry.name)


def _idle(backend: ObjectBackend) -> list[tuple[str, tuple[str, ...]]]:
    """Changes that are over, or that gave no sign of life while they were watched."""
    changes = {entry.name: backend.changes.state(entry.name) for entry in backend.bucket.entries(CHANGES)}
    pending = {name for name, change in changes.items() if change.state == PENDING}
    for _ in range(_LOOKS):
        pending = {name for name in pending if backend.changes.state(name).state == PENDING}
        if not pending or all(backend.changes.is_over(name, backend.changes.state(name).mark) for name in pending):
            break
        time.sleep(_BETWEEN)
    over = []
    for name, change in changes.items():
        now = backend.changes.state(name)
        if now.state is not None and (now.state != PENDING or backend.changes.is_over(name, now.mark)):
            over.append((name, now.names or change.names))
    return over


def repaired(backend: ObjectBackend) -> list[str]:
    """Ends changes that nobody is at, and removes objects of rows that are gone."""
    done = []
    for change, names in _idle(backend):
        now = backend.changes.state(change)
        if now.state == PENDING:
            backend.changes.move(change, "dropped", now.tag, names)
            now = backend.changes.state(change)
        if now.state in (None, PENDING):
            continue
        for name in names or [entry.name for entry in backend.bucket.entries(ROWS)]:
            try:
                backend.changes.settled(name, wait=False)
            except Busy:  # claimed by another one, so not by this
                continue
        backend.bucket.remove([f"{CHANGES}/{change}"])
        done.append(f"{backend.where}: ended a change of rows whose writer was gone: {now.state}")
    collected(backend)
    return done


def compacted(backend: ObjectBackend) -> int:
    """Deletes expired rows, and removes objects of rows that are gone; bytes."""

    def total() -> int:
        return sum(entry.size for entry in backend.bucket.entries(ROWS))

    before = total()
    swept(backend)
    collected(backend)
    return max(0, before - total())
