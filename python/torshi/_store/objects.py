"""Rows in a bucket: one object a row, whose name tells its key and keeps the order; changes are `object_changes`'.

Layout, below the URL:

    store.json      format and the store's id
    rows/NAME       a row: a line of JSON about it, and the sealed value (`object_rows`, `object_names`)
    changes/ID      a change of several rows that is under way
    locks/...       the lock of transactions, and of the one who removes objects that say "gone"

What has been answered for is in the store, as safe as that keeps it. A read is one request, a change of one row two,
of several three for each row and three more. The store must list what was just written, and honour conditions;
whether it does the latter is tried when a store is made. Never removes an object that may be a row: those that say
"gone" are first replaced by others that say "doomed", over which nobody writes, and removed by whoever has the
collector's lock.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Final

from torshi._errors import StoreError
from torshi._store import object_care
from torshi._store import object_rows as rows
from torshi._store.backend import Change, Delete, Row, Stat, Version
from torshi._store.bucket import ABSENT_TAG, Blob, Bucket, Entry, Lease
from torshi._store.object_changes import ROWS, Changes, holds, live
from torshi._store.object_names import group_of, is_long, key_of, name_before, name_of
from torshi._store.object_rows import Gone, Held
from torshi._store.optimistic import Transaction
from torshi._store.steps import steps

if TYPE_CHECKING:
    from torshi._store.backend import Backend

__all__ = ["ObjectBackend", "open_backend"]

FORMAT: Final = 1
_META: Final = "store.json"
_LOCK: Final = "locks/transactions"
# Requests at the same time.
_AT_A_TIME: Final = 16
# Rows that a scan asks for at once, at first and at most.
_FIRST: Final = 1
_MOST: Final = 64
# What is known of rows without their values, so that a second look at a listing asks for nothing.
_KNOWN: Final = 100_000
# Rows deleted here after which objects that say "gone" are removed.
_DELETED: Final = 64


def open_backend(url: str, **options: Any) -> Backend:
    """The backend of a URL.

    Args:
        url: ``s3://bucket/prefix``, ``gs://...``, ``az://...``; ``memory://`` for tests, new and empty each time.
        options: `namespace`, one more part of the prefix, and whatever obstore's `from_url` takes.

    Raises:
        ImportError: obstore is not installed.
        StoreError: the bucket cannot be reached, or its store does not honour conditions.
        ValueError: the URL is none of an object store.
    """
    place, namespace = url.rstrip("/"), options.pop("namespace", None)
    # The URL that a store gives of itself has it already.
    if namespace and not place.endswith(f"/{namespace}"):
        place = f"{place}/{namespace}"
    return ObjectBackend(Bucket(place if namespace else url, options))


class ObjectBackend:
    """Rows below a prefix of a bucket."""

    def __init__(self, bucket: Bucket) -> None:
        self.where = bucket.where
        self.bucket = bucket
        self.changes = Changes(bucket, self.each)
        self._pool: ThreadPoolExecutor | None = None
        self._pool_lock = threading.Lock()
        self._lease = Lease(bucket, _LOCK)
        self._known: dict[str, tuple[str, Held | Gone | None]] = {}
        self._deleted: list[str] = []
        self.store_id = self._opened()

    def _opened(self) -> bytes:
        blob = self.bucket.get(_META)
        if blob is None:
            if not self.bucket.honours():
                raise StoreError(f"{self.where}: the store ignores conditions, without which two writers lose changes")
            text = json.dumps({"torshi": "store", "format": FORMAT, "id": os.urandom(16).hex()})
            self.bucket.put(_META, text.encode(), ABSENT_TAG)
            blob = self.bucket.get(_META)
        try:
            known = json.loads(b"" if blob is None else blob.data)
            made, store_id = int(known["format"]), bytes.fromhex(known["id"])
        except (ValueError, TypeError, KeyError):
            raise StoreError(f"{self.where}/{_META}: not of a store; choose another prefix") from None
        if made > FORMAT:
            raise StoreError(f"{self.where}: the store has format {made}, which a later torshi reads; upgrade torshi")
        return store_id

    def each(self, function: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        """What a function gives for each item, some at a time. One that fails is raised when all have ended."""
        if len(items) < 2:
            return [function(item) for item in items]
        with self._pool_lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(_AT_A_TIME, thread_name_prefix="torshi-store")
            waited = [self._pool.submit(function, item) for item in items]
        for one in waited:
            one.exception()
        return [one.result() for one in waited]

    # -- rows

    def _row(self, key: bytes, blob: Blob | None) -> Row | None:
        found = live(self.changes.read(name_of(key), blob))
        return None if found is None else Row(key, found.value, found.version, found.expires)

    def get(self, key: bytes) -> Row | None:
        """The row, or None; one request."""
        return self._row(key, self.bucket.get(f"{ROWS}/{name_of(key)}"))

    def get_many(self, keys: Sequence[bytes]) -> list[Row | None]:
        """One for each key, sixteen at a time."""
        return self.each(self.get, keys)

    def scan(self, prefix: bytes, *, after: bytes | None = None, reverse: bool = False) -> Iterator[Row]:
        """Rows whose keys begin with `prefix`, in order. Backwards, all names are listed first."""
        some: list[bytes] = []
        size = _FIRST
        for key, _ in self.listed(prefix, after, reverse):
            some.append(key)
            if len(some) == size:
                yield from (row for row in self.get_many(some) if row is not None)
                some, size = [], min(size * 2, _MOST)
        yield from (row for row in self.get_many(some) if row is not None)

    def listed(self, prefix: bytes, after: bytes | None, reverse: bool) -> Iterator[tuple[bytes, Entry]]:
        """Keys that may have rows, in order, as a listing has them."""
        found = self._ordered(prefix, after if not reverse else None)
        if reverse:
            found = iter(list(found)[::-1])
        for key, entry in found:
            if key.startswith(prefix) and (after is None or (key < after if reverse else key > after)):
                yield key, entry

    def _ordered(self, prefix: bytes, after: bytes | None) -> Iterator[tuple[bytes, Entry]]:
        """Keys in order, at least all that begin with a prefix and come behind a key."""
        group: bytes | None = None
        together: list[tuple[bytes, Entry]] = []
        for entry in self._entries(prefix, after):
            here = group_of(entry.name)
            if here != group or here is None:
                yield from sorted(together, key=lambda pair: pair[0])
                group, together = here, []
            key = self._key(entry)
            if key is not None:
                together.append((key, entry))
        yield from sorted(together, key=lambda pair: pair[0])

    def _entries(self, prefix: bytes, after: bytes | None) -> Iterator[Entry]:
        """Objects that are no "gone", in the order of their names."""
        behind, start = name_before(prefix), name_of(prefix[:40])
        if after is not None and after.startswith(prefix):
            # Of a cut name, or one among those, it is not known what comes behind.
            behind = max(behind, name_of(after) if group_of(name_of(after)) is None else name_before(after[:40]))
        found = self.bucket.entries(ROWS, behind)
        last = ""
        for entry in found if self.bucket.ordered else sorted(found):
            if entry.name < last:
                raise StoreError(f"{self.where}: the store lists objects in no order, which rows need")
            last = entry.name
            if entry.name > start and not entry.name.startswith(start):
                return
            if entry.size != rows.GONE_SIZE and entry.name.startswith(start):
                yield entry

    def _key(self, entry: Entry) -> bytes | None:
        """The key of an object, if it is one of a row."""
        if not is_long(entry.name):
            return key_of(entry.name)
        found = self.head(entry)
        key = found.key if isinstance(found, Held) else None
        return key if key is not None and name_of(key) == entry.name else None

    def head(self, entry: Entry) -> Held | Gone | None:
        """What is known of the row of an object, without its value."""
        known = self._known.get(entry.name)
        if known is not None and known[0] == entry.mark:
            return known[1]
        blob = self.bucket.get(f"{ROWS}/{entry.name}", rows.HEAD)
        if blob is not None and (b"\n" not in blob.data or blob.data.startswith(b'{"torshi":"claim"')):
            blob = self.bucket.get(f"{ROWS}/{entry.name}")
            found = self.changes.read(entry.name, blob)
            return found._replace(value=b"", head=entry.size - len(found.value)) if isinstance(found, Held) else found
        found = self.changes.read(entry.name, blob)
        if isinstance(found, Held):
            found = found._replace(value=b"")
        if len(self._known) >= _KNOWN:
            self._known.clear()
        self._known[entry.name] = (entry.mark, found)
        return found

    # -- stats

    def stats(self, prefix: bytes, *, after: bytes | None = None, tag: str | None = None) -> Iterator[Stat]:
        """The same without values; a request for each row that was not looked at before."""
        some: list[tuple[bytes, Entry]] = []
        size = _FIRST
        for pair in self.listed(prefix, after, False):
            some.append(pair)
            if len(some) == size:
                yield from self._stats(some, tag)
                some, size = [], min(size * 2, _MOST)
        yield from self._stats(some, tag)

    def _stats(self, some: Sequence[tuple[bytes, Entry]], tag: str | None) -> Iterator[Stat]:
        heads = self.each(lambda pair: self.head(pair[1]), some)
        for (key, entry), found in zip(some, heads, strict=True):
            row = live(found)
            if row is not None and (tag is None or tag in row.tags):
                written = row.written or entry.modified.timestamp()
                yield Stat(key, max(0, entry.size - row.head), written, written, row.expires, row.tags, row.version)

    def usage(self) -> tuple[int, int]:
        """How many rows, and how many bytes their objects have: those of values and of what is known of them."""
        sizes = [entry.size for entry in self._entries(b"", None)]
        return len(sizes), sum(sizes)

    def least_used(self, prefix: bytes, count: int) -> list[tuple[bytes, Version]]:
        """Those that were not written for the longest time: who reads leaves no trace in a bucket."""
        found = sorted(self.listed(prefix, None, False), key=lambda pair: pair[1].modified)[:count]
        heads = self.each(lambda pair: self.head(pair[1]), found)
        # What was written since it was listed is no longer old, and what is known of it may be of either.
        marks = {entry.name: entry.mark for _, entry in self.listed(prefix, None, False)} if found else {}
        told = [(key, entry, live(head)) for (key, entry), head in zip(found, heads, strict=True)]
        return [
            (key, row.version) for key, entry, row in told if row is not None and marks.get(entry.name) == entry.mark
        ]

    # -- changes

    def apply(self, changes: Sequence[Change]) -> bool:
        """Makes all changes or none."""
        now = time.time()
        wanted = []
        for step in steps(changes):
            expires = getattr(step.effect, "expires", None)
            past = expires is not None and expires <= now
            wanted.append(step._replace(effect=Delete(step.key)) if past else step)
        if not wanted:
            return True
        if all(step.effect is None for step in wanted):
            # Each version is given once, so what is as it was when it was read was so at the moment between.
            found = self.each(lambda step: self._found(step.key), wanted)
            return all(holds(step.expected, one) for step, one in zip(wanted, found, strict=True))
        done = self.changes.one(wanted[0]) if len(wanted) == 1 else self.changes.several(wanted)
        if done:
            self._clear([name_of(step.key) for step in wanted if isinstance(step.effect, Delete)])
        return done

    def _found(self, key: bytes) -> Held | Gone | None:
        return self.changes.read(name_of(key), self.bucket.get(f"{ROWS}/{name_of(key)}"))

    def _clear(self, deleted: Sequence[str]) -> None:
        """Removes objects of rows that were deleted here, once they are some."""
        if not deleted:
            return
        with self._pool_lock:
            self._deleted += deleted
            if len(self._deleted) < _DELETED:
                return
            names, self._deleted = self._deleted, []
        with contextlib.suppress(StoreError):  # the change has been made, and these can wait
            object_care.collected(self, names)

    def transaction(self) -> AbstractContextManager[Backend]:
        """A view whose changes are made at the end, if nothing that was read has changed."""
        return Transaction(self)

    def take_lock(self, token: str, seconds: float) -> bool:
        """Takes the lock of transactions, or keeps it; False if another has it."""
        return self._lease.take(token, seconds)

    def give_lock(self, token: str) -> None:
        """Gives the lock back, if it is still held."""
        self._lease.give(token)

    # -- care

    def sweep(self) -> int:
        """Removes expired rows; how many. A request for each row that was not looked at before."""
        return object_care.swept(self)

    def check(self) -> list[str]:
        """What in the bucket is of no row, or of a change that nobody is at."""
        return object_care.checked(self)

    def repair(self) -> list[str]:
        """Ends changes that nobody is at, and removes objects of rows that are gone."""
        return object_care.repaired(self)

    def compact(self) -> int:
        """Removes expired rows, and objects of rows that are gone; bytes."""
        return object_care.compacted(self)

    def close(self) -> None:
        """Ends the threads."""
        with self._pool_lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown()
