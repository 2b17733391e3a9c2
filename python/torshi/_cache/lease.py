"""One computation at a time for each key of a store: a row that says who computes, and ends by itself if he dies.

A lease is put only where there is none, is kept alive by a thread as long as the computation runs, and is removed at
its end. Whoever forgets a key leaves a mark in its place, so that a result that is under way is not stored any more.
Nothing here waits for anybody, and a lease never decides what a result is: two who compute the same are a waste, not a
fault.
"""

from __future__ import annotations

import math
import os
import threading
import time
import weakref
from typing import Final, Literal

from torshi._errors import StoreError
from torshi._store.backend import ABSENT, Backend, Change, Delete, Put
from torshi._store.keys import named

__all__ = ["HELD", "Lease", "acquire", "forget"]

# In the place of a holder: the key was forgotten, and whoever wants to compute may.
_FORGOTTEN: Final = b"forgotten"
HELD: Final[Literal["held"]] = "held"
"""In the place of a lease that somebody else has."""

# Signs of life within the time of a lease, and how many of them may pass without one to give before the thread ends.
_BEATS: Final = 4
_IDLE: Final = 8


class Lease:
    """A key of a store that this process computes.

    Attributes:
        key: of its row.
        token: what the row has as its value: nobody else's.
        seconds: how long it lasts without a sign of life.
        process: whose it is; a child that was forked off has only a copy.
        is_over: whether the row is gone, or left to run out.
        is_lost: whether the row is no longer ours: forgotten, or taken over when this process stood still.
    """

    __slots__ = ("__weakref__", "backend", "is_lost", "is_over", "key", "process", "seconds", "token")

    def __init__(self, backend: Backend, key: bytes, token: bytes, seconds: float) -> None:
        self.backend = backend
        self.key = key
        self.token = token
        self.seconds = seconds
        self.process = os.getpid()
        self.is_lost = False
        self.is_over = False

    def end(self) -> list[Change] | None:
        """The change that removes it, to be made with that which stores the result; None if it is lost.

        Who has made it says so with `is_over`; else `release` is still to be called.

        One that has run out without anybody taking over leaves nothing to remove, and nothing in the way.

        Raises:
            StoreError: the store cannot be read.
        """
        _heart.remove(self)
        row = self.backend.get(self.key)
        if row is None:
            return [] if not self.is_lost else None
        if row.value != self.token:
            self.is_lost = True
            return None
        return [Delete(self.key, expect=row.version)]

    def release(self) -> None:
        """Removes it without a result. A store that cannot be written to leaves it to run out."""
        self.is_over = True
        if self.process != os.getpid():
            return  # of a parent, who is still at it
        _heart.remove(self)
        try:
            row = self.backend.get(self.key)
            if row is not None and row.value == self.token:
                self.backend.apply([Delete(self.key, expect=row.version)])
        except StoreError:
            return

    def beat(self) -> None:
        """Makes it last from now on.

        Raises:
            StoreError: the store cannot be written to.
        """
        row = self.backend.get(self.key)
        if row is None:
            expect: object = ABSENT
        elif row.value == self.token:
            expect = row.version
        else:
            self.is_lost = True
            return
        self.backend.apply([_row(self.key, self.token, self.seconds, expect)])


def acquire(backend: Backend, key: bytes, seconds: float) -> Lease | Literal["held"]:
    """The lease of a key, or `HELD` while somebody else has it.

    Raises:
        StoreError: the store cannot be written to.
    """
    row = backend.get(key)
    if row is not None and row.value != _FORGOTTEN:
        return HELD
    token = os.urandom(16)
    expect = ABSENT if row is None else row.version
    if not backend.apply([_row(key, token, seconds, expect)]):
        return HELD
    lease = Lease(backend, key, token, seconds)
    _heart.add(lease)
    return lease


def forget(backend: Backend, key: bytes, seconds: float) -> None:
    """Has the holder of a lease, if there is one, not store what it computes.

    Raises:
        StoreError: the store cannot be written to.
    """
    while (row := backend.get(key)) is not None and row.value != _FORGOTTEN:
        if backend.apply([_row(key, _FORGOTTEN, seconds, row.version)]):
            return


def _row(key: bytes, value: bytes, seconds: float, expect: object) -> Put:
    return Put(key, value, named(key), time.time() + seconds, expect=expect)  # type: ignore[arg-type]


class _Heart:
    """The thread that keeps leases of this process alive; there is none before there is a long computation."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """After a fork: the leases are the parent's, and so is the thread."""
        # Weakly: a lease that nobody has any more, for he was cancelled or interrupted, runs out like a dead man's.
        self._leases: weakref.WeakSet[Lease] = weakref.WeakSet()
        self._wake = threading.Condition()
        self._thread: threading.Thread | None = None
        self._due = math.inf

    def add(self, lease: Lease) -> None:
        with self._wake:
            self._leases.add(lease)
            if self._thread is None:
                self._due = time.monotonic() + lease.seconds / _BEATS
                self._thread = threading.Thread(target=self._run, name="torshi-cache-leases", daemon=True)
                self._thread.start()
            elif time.monotonic() + lease.seconds / _BEATS < self._due:
                # Most leases are gone before the next beat: to wake the thread for each would cost more than they do.
                self._due = time.monotonic() + lease.seconds / _BEATS
                self._wake.notify()

    def remove(self, lease: Lease) -> None:
        with self._wake:
            self._leases.discard(lease)

    def _run(self) -> None:
        interval, idle = 1.0, 0
        while True:
            with self._wake:
                while (left := self._due - time.monotonic()) > 0:
                    self._wake.wait(left)
                leases = list(self._leases)
                idle = 0 if leases else idle + 1
                if idle > _IDLE:
                    self._thread = None
                    return
                interval = min((lease.seconds / _BEATS for lease in leases), default=interval)
                self._due = time.monotonic() + interval
            while leases:
                self._beat(leases.pop())

    def _beat(self, lease: Lease) -> None:
        try:
            lease.beat()
        except Exception:  # a store that fails now may work at the next beat, and no thread may end for it
            return
        with self._wake:
            is_over = lease not in self._leases
        if is_over and not lease.is_lost:
            # It ended while it was prolonged, and the row that was put anew is nobody's.
            lease.release()


_heart: Final = _Heart()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_heart.renew)
