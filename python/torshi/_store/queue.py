"""Queues in a store: messages in the order they were put, each for one consumer at a time until it is acknowledged.

A message is a row, and so is the lease of whoever has it; a lease ends by itself, and then the message is given out
again. So a message whose consumer was killed is delivered once more, and none is lost. Uses nothing of a backend but
rows, scans and changes made all or none. Never orders by a clock: a message stands behind those that its sender saw.
"""

from __future__ import annotations

import logging
import os
import queue
import random
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from torshi._errors import MalformedError, SealError
from torshi._store.backend import ABSENT, Change, Check, Delete, Put, Row
from torshi._store.envelope import MissingSideError
from torshi._store.keys import LEASE, LONGEST, QUEUE, Key, decode, encode, named, shown

if TYPE_CHECKING:
    from torshi._store.store import Store

__all__ = ["Message", "Queue"]

_T = TypeVar("_T")

_log = logging.getLogger("torshi")

# Seconds between two looks at an empty queue: few at first, then more, never many.
_SHORTEST: Final = 0.002
_LONGEST: Final = 0.1
# Bytes that a queue's own part of a key may take.
_OWN: Final = 64


class Queue(Generic[_T]):
    """A queue of a store, by its name. Any number of threads and processes put and get.

    Example:
        >>> import torshi
        >>> jobs = torshi.Store(":memory:").queue("jobs")
        >>> jobs.put({"draw": 1})
        >>> with jobs.get() as message:  # acknowledged when the block ends, given back if it raises
        ...     print(message.value)
        {'draw': 1}
        >>> len(jobs)
        0
    """

    __module__ = "torshi"

    def __init__(self, store: Store[Any], name: Key, type: Any = None) -> None:
        self._store = store
        self._type = type
        self.name = name
        self._prefix = encode(QUEUE, (name,))
        if len(self._prefix) > LONGEST - _OWN:
            raise ValueError(f"the name of a queue may have {LONGEST - _OWN} bytes, not {len(self._prefix)}")
        self._told: set[bytes] = set()

    def __repr__(self) -> str:
        return f"<torshi.Queue {self.name!r} of {self._store.where}>"

    def __len__(self) -> int:
        """How many messages there are, those that somebody has a lease of included."""
        return self._store._count(self._prefix)

    def put(self, value: _T) -> None:
        """Puts a message at the end.

        Raises:
            PicklingError: the value cannot be pickled.
            StoreError: the store cannot be written to.
        """
        store = self._store
        backend = store._now()
        last = next(iter(backend.scan(self._prefix, reverse=True)), None)
        # Behind the last; of two who put at once and saw the same last, chance decides, as it may.
        number = 0 if last is None else self._number(last.key) + 1
        encoded = encode(QUEUE, (self.name, number, os.urandom(8)))
        sealed, side = store._envelope.pack(encoded, value)
        backend.apply([Put(encoded, sealed, f"{shown(self.name)} {number}", side=side)])
        store._grew(sealed, side)

    def _number(self, encoded: bytes) -> int:
        key = decode(encoded)
        if not isinstance(key, tuple) or len(key) != 3 or not isinstance(key[1], int):
            raise MalformedError(f"{named(encoded)} is no message of a queue")
        return key[1]

    def get(self, timeout: float | None = None, lease: float = 60.0) -> Message[_T]:
        """Takes the first message that nobody has, and waits for one.

        The message stays in the queue until it is acknowledged. If that is not done while the lease lasts it is given
        to somebody else; `Message.extend` makes it last longer.

        Args:
            timeout: seconds to wait; for ever if absent, 0 not at all.
            lease: seconds that this consumer has.

        Raises:
            queue.Empty: there was none in that time.
            UntrustedError, ValidationError: the policy or the type refuses the message, which is given back.
            StoreError: the store cannot be read or written.
        """
        end = None if timeout is None else time.monotonic() + timeout
        pause = _SHORTEST
        while True:
            message = self._take(lease)
            if message is not None:
                return message
            left = pause if end is None else end - time.monotonic()
            if left <= 0:
                raise queue.Empty(f"no message in the queue {self.name!r}")
            # Not all who wait at the same moments.
            time.sleep(min(left, pause * (0.5 + random.random())))
            pause = min(pause * 1.5, _LONGEST)

    def __iter__(self) -> Iterator[Message[_T]]:
        """Messages, one after the other, until there is none that nobody has."""
        while (message := self._take(60.0)) is not None:
            yield message

    def clear(self) -> int:
        """Removes all messages, those that somebody has a lease of included; how many."""
        backend = self._store._now()
        count = 0
        for stat in backend.stats(self._prefix):
            count += backend.apply([Delete(stat.key), Delete(_lease_of(stat.key))])
        return count

    def _take(self, lease: float) -> Message[_T] | None:
        """The first message that nobody has, with a lease of it."""
        backend = self._store._now()
        taken = {row.key for row in backend.scan(_lease_of(self._prefix))}
        for row in backend.scan(self._prefix):
            place = _lease_of(row.key)
            if place in taken or row.key in self._told:
                continue
            token = os.urandom(16)
            expires = time.time() + lease
            if not backend.apply(
                [Check(row.key, row.version), Put(place, token, named(row.key), expires, expect=ABSENT)]
            ):
                continue  # somebody was faster
            message = self._message(row, token, lease)
            if message is not None:
                return message
        return None

    def _message(self, row: Row, token: bytes, lease: float) -> Message[_T] | None:
        """The message of a row that is ours; None if it cannot be read by anybody, which holds up no other."""
        try:
            value = self._store._envelope.unpack(row.key, row.value, self._type)
        except (SealError, MalformedError, MissingSideError) as error:
            _log.warning("skipped a message that cannot be read: %s", error)
            self._told.add(row.key)
            _give_back(self._store, row, token)
            return None
        except BaseException:
            _give_back(self._store, row, token)
            raise
        return Message(self._store, row, token, lease, value)


class Message(Generic[_T]):
    """A message that this consumer has for the time of its lease.

    In a ``with`` block it is acknowledged when the block ends, and given back if it raises.

    Attributes:
        value: what was put.
    """

    __module__ = "torshi"

    def __init__(self, store: Store[Any], row: Row, token: bytes, lease: float, value: _T) -> None:
        self._store = store
        self._row = row
        self._token = token
        self._lease = lease
        self._is_settled = False
        self.value = value

    def __repr__(self) -> str:
        return f"<torshi.Message {named(self._row.key)}>"

    def __enter__(self) -> Message[_T]:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._is_settled:
            return
        if kind is None:
            self.ack()
        else:
            self.release()

    def ack(self) -> bool:
        """Removes the message: it is done. False if the lease has ended and somebody else has or had it."""
        self._is_settled = True
        return self._ended([Delete(self._row.key, self._row.version)])

    def release(self) -> bool:
        """Gives the message back, for whoever comes first; False if the lease has ended already."""
        self._is_settled = True
        return _give_back(self._store, self._row, self._token)

    def extend(self, lease: float | None = None) -> bool:
        """Has the lease last for so many seconds from now on, as many as before if absent; False if it has ended."""
        backend, place = self._store._now(), _lease_of(self._row.key)
        row = backend.get(place)
        if row is None or row.value != self._token:
            return False
        expires = time.time() + (self._lease if lease is None else lease)
        return backend.apply(
            [
                Check(self._row.key, self._row.version),
                Put(place, self._token, named(self._row.key), expires, expect=row.version),
            ]
        )

    def _ended(self, changes: list[Change]) -> bool:
        """Makes changes if nobody else has the message, and ends the lease."""
        backend, place = self._store._now(), _lease_of(self._row.key)
        row = backend.get(place)
        if row is None:  # it has ended, and nobody has taken the message since
            return backend.apply([*changes, Check(place, ABSENT)])
        if row.value != self._token:
            return False
        return backend.apply([*changes, Delete(place, row.version)])


def _lease_of(encoded: bytes) -> bytes:
    """Where the lease of a message is."""
    return LEASE + encoded[1:]


def _give_back(store: Store[Any], row: Row, token: bytes) -> bool:
    backend, place = store._now(), _lease_of(row.key)
    lease = backend.get(place)
    return lease is not None and lease.value == token and backend.apply([Delete(place, lease.version)])
