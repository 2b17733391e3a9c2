"""Transactions of backends that cannot hold a lock on rows: reads remembered, changes kept back, all made at the end.

Transactions wait for one another by a lock with a lease, so that they seldom meet. The lock is for speed alone: what
keeps them apart is that the end is one `apply` that expects of every row which was read the version that was read. A
lock whose holder died is taken over when its lease has ended; a holder that was slower than its lease finds out at
the end whether anybody came between. Rows that a scan would have met, had they been there, are not noticed.
"""

from __future__ import annotations

import contextlib
import random
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Final, Protocol, TypeVar

from torshi._errors import ConflictError, StoreError
from torshi._store.backend import ABSENT, ANY, Backend, Change, Check, Delete, Put, Row, Stat, Version
from torshi._store.steps import steps

__all__ = ["Lockable", "Transaction"]

T = TypeVar("T", Row, Stat)

# Seconds for which a lock is taken, and for which one waits for others to give it back.
_LEASE: Final = 10.0
_PATIENCE: Final = 120.0
# Seconds between two tries, at first and at most.
_FIRST: Final = 0.003
_LONGEST: Final = 0.15


class Lockable(Backend, Protocol):
    """A backend with one lock, which is taken for a while."""

    def take_lock(self, token: str, seconds: float) -> bool:
        """Takes the lock for so long, or keeps it for so long from now; False if another holds it."""

    def give_lock(self, token: str) -> None:
        """Gives it back; nothing happens if it is not held any more."""


class Transaction(AbstractContextManager[Backend]):
    """One block: the lock, a view within, one `apply` at the end."""

    def __init__(self, backend: Lockable) -> None:
        self._backend = backend
        self._token = secrets.token_hex(12)

    def __enter__(self) -> Backend:
        """Waits for other transactions.

        Raises:
            StoreError: they take too long, or the place is not there.
        """
        ends = time.monotonic() + _PATIENCE
        pause = _FIRST
        while not self._backend.take_lock(self._token, _LEASE):
            if time.monotonic() > ends:
                raise StoreError(
                    f"{self._backend.where}: other transactions held the lock for {_PATIENCE:.0f} seconds; "
                    "make their blocks shorter, or try again"
                )
            time.sleep(pause * (0.5 + random.random()))
            pause = min(pause * 1.5, _LONGEST)
        self._view = View(self._backend)
        return self._view

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Makes the changes, unless the block failed.

        Raises:
            ConflictError: a row that was read has changed; nothing was.
        """
        try:
            if kind is None:
                self._view.finish()
        finally:
            self._view.ended = True
            # Whoever waits may have to wait for the lease, which is no reason to hide what happened in the block.
            with contextlib.suppress(StoreError):
                self._backend.give_lock(self._token)


class View:
    """A backend as it was when each row was first read, with the changes of the block on top."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.where = backend.where
        self.store_id = backend.store_id
        self.ended = False
        self._read: dict[bytes, Row | None] = {}
        self._changed: dict[bytes, Put | Delete] = {}
        self._versions: dict[bytes, str] = {}

    def finish(self) -> None:
        """Makes the changes.

        Raises:
            ConflictError: a row that was read has changed.
        """
        changes: list[Change] = []
        for key, row in self._read.items():
            expected = ABSENT if row is None else row.version
            changed = self._changed.get(key)
            changes.append(Check(key, expected) if changed is None else replace(changed, expect=expected))
        changes += (changed for key, changed in self._changed.items() if key not in self._read)
        if not self._changed and len(changes) < 2:
            return  # one row is as it was at one moment anyway
        if not self._backend.apply(changes):
            raise ConflictError(
                f"{self.where}: a row that the transaction read was changed meanwhile; nothing was done, do it again"
            )

    # -- rows

    def _row(self, key: bytes, row: Row | None) -> Row | None:
        """A row as the block sees it, given what is there."""
        changed = self._changed.get(key)
        if changed is None:
            return self._read.setdefault(key, row)
        if isinstance(changed, Delete) or _past(changed):
            return None
        return Row(key, changed.value, self._versions[key], changed.expires)

    def get(self, key: bytes) -> Row | None:
        """The row, or None."""
        if key in self._changed or key in self._read:
            return self._row(key, None)
        return self._row(key, self._backend.get(key))

    def get_many(self, keys: Sequence[bytes]) -> list[Row | None]:
        """One for each key, in order."""
        unknown = [key for key in dict.fromkeys(keys) if key not in self._changed and key not in self._read]
        for key, row in zip(unknown, self._backend.get_many(unknown) if unknown else (), strict=True):
            self._read[key] = row
        return [self._row(key, None) for key in keys]

    def scan(self, prefix: bytes, *, after: bytes | None = None, reverse: bool = False) -> Iterator[Row]:
        """Rows in order, those put in the block among them."""
        below = self._backend.scan(prefix, after=after, reverse=reverse)
        for key, under in _merged(below, self._put(prefix, after, reverse), reverse):
            row = self._row(key, under)
            if row is not None:
                yield row

    def stats(self, prefix: bytes, *, after: bytes | None = None, tag: str | None = None) -> Iterator[Stat]:
        """The same without values."""
        now = time.time()
        below = self._backend.stats(prefix, after=after, tag=tag)
        for key, under in _merged(below, self._put(prefix, after, False), False):
            changed = self._changed.get(key)
            if changed is None:
                if under is not None:
                    yield under
            elif isinstance(changed, Put) and not _past(changed) and (tag is None or tag in changed.tags):
                yield Stat(key, len(changed.value), now, now, changed.expires, changed.tags, self._versions[key])

    def _put(self, prefix: bytes, after: bytes | None, reverse: bool) -> list[bytes]:
        """Keys that the block has changed or read, in the order of a scan."""
        known = {*self._changed, *self._read}
        keys = sorted((key for key in known if key.startswith(prefix)), reverse=reverse)
        return [key for key in keys if after is None or (key < after if reverse else key > after)]

    # -- changes

    def apply(self, changes: Sequence[Change]) -> bool:
        """Keeps changes back, if what is expected holds in the block."""
        wanted = steps(changes)
        looked_at = [step.key for step in wanted if step.expected]
        for step in wanted:
            if step.expected:
                if len(looked_at) > 1:
                    self.get_many(looked_at)
                    looked_at = []
                row = self.get(step.key)
                found = ABSENT if row is None else row.version
                if any(expected != found for expected in step.expected):
                    return False
        for step in wanted:
            if step.effect is not None:
                self._changed[step.key] = replace(step.effect, expect=ANY)
                self._versions[step.key] = secrets.token_hex(8)
        return True

    def transaction(self) -> AbstractContextManager[Backend]:
        """This one: blocks within one another are one."""
        return contextlib.nullcontext(self)

    # -- what is not of rows is that of the backend

    def usage(self) -> tuple[int, int]:
        """Without the changes of the block."""
        return self._backend.usage()

    def least_used(self, prefix: bytes, count: int) -> list[tuple[bytes, Version]]:
        """Without what the block has changed."""
        found = self._backend.least_used(prefix, count + len(self._changed))
        return [pair for pair in found if pair[0] not in self._changed][:count]

    def sweep(self) -> int:
        """Sweeps the backend: no block brings back what has expired."""
        return self._backend.sweep()

    def check(self) -> list[str]:
        """Looks at the backend."""
        return self._backend.check()

    def repair(self) -> list[str]:
        """Mends the backend."""
        return self._backend.repair()

    def compact(self) -> int:
        """Compacts the backend."""
        return self._backend.compact()

    def close(self) -> None:
        """Nothing: the backend is open beyond the block."""


def _past(put: Put) -> bool:
    return put.expires is not None and put.expires <= time.time()


def _merged(below: Iterator[T], keys: Sequence[bytes], reverse: bool) -> Iterator[tuple[bytes, T | None]]:
    """Two rows of keys into one, each key once: with what the backend has of it, if it has."""
    waiting = iter(keys)
    own = next(waiting, None)
    for under in below:
        while own is not None and (own > under.key if reverse else own < under.key):
            yield own, None
            own = next(waiting, None)
        if own == under.key:
            own = next(waiting, None)
        yield under.key, under
    while own is not None:
        yield own, None
        own = next(waiting, None)
