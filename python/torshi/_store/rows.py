"""Rows of objects: what every operation of a store is made of. Encoded keys in, objects out, and back.

Reads a value, puts one in the place of another, does something again until nobody else was faster, and knows which
transaction a thread is in. Has no public name: what a program calls is `store`'s.
"""

from __future__ import annotations

import contextlib
import datetime
import itertools
import os
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, Generic, TypeAlias, TypeVar

from torshi._errors import StoreError
from torshi._store.backend import ABSENT, Backend, Put, Row, Side
from torshi._store.envelope import Envelope, MissingSideError, secrets_of
from torshi._store.keys import DATA, Key, decode, encode
from torshi._store.places import open_place
from torshi._store.room import Room
from torshi._store.sqlite import SQLite

if TYPE_CHECKING:
    from torshi._limits import Limits
    from torshi._policy import Trust
    from torshi._seal import KeyChoice

__all__ = ["MISSING", "Packed", "Place", "Rows", "TimeToLive", "deadline", "name_of", "tags_of"]

_T = TypeVar("_T")
_D = TypeVar("_D")

Place: TypeAlias = str | os.PathLike[str] | Backend
"""Where a store may be."""

TimeToLive: TypeAlias = float | datetime.timedelta | None
"""What `ttl=` accepts: seconds, or None for ever."""

Packed: TypeAlias = tuple[bytes, bytes, str, float | None, tuple[str, ...], Side | None]
"""A row that is about to be put: key, value, name, expiry, tags, side file."""

MISSING: Final[Any] = object()
"""What is not there."""

# Rows of one page of `update`: pickled before the lock is taken for them, and held in memory meanwhile.
_PAGE: Final = 1000
# Puts with a time to live after which expired rows are removed.
_SWEEP: Final = 500


class _Here(threading.local):
    """The transaction of a thread."""

    view: Backend | None = None
    is_doomed = False


def deadline(ttl: TimeToLive) -> float | None:
    """When something ends that begins to live now.

    Raises:
        TypeError: the time to live is no number.
    """
    if ttl is None:
        return None
    if isinstance(ttl, datetime.timedelta):
        ttl = ttl.total_seconds()
    if isinstance(ttl, bool) or not isinstance(ttl, (int, float)):
        raise TypeError(f"ttl is a number of seconds, a timedelta or None, not {type(ttl).__name__}")
    return time.time() + ttl


def tags_of(tags: Iterable[str]) -> tuple[str, ...]:
    """Tags as rows have them.

    Raises:
        TypeError, ValueError: one is no text of one line.
    """
    if isinstance(tags, str):
        raise TypeError(f"tags are several texts: write tags=[{tags!r}]")
    made = tuple(sorted(set(tags)))
    for tag in made:
        if not isinstance(tag, str):
            raise TypeError(f"a tag is str, not {type(tag).__name__}")
        if "\n" in tag or not tag:
            raise ValueError(f"a tag is text of one line, not {tag!r}")
    return made


def name_of(key: object) -> str:
    """A key as a browser of databases shows it."""
    return key if key.__class__ is str else repr(key)


class Rows(Generic[_T]):
    """The rows of a store.

    Args: as of `Store`.
    """

    where: str
    """Where the store is, as a person names it."""

    def __init__(
        self,
        where: Place,
        *,
        type: Any,
        trust: Trust,
        key: KeyChoice | bytes,
        limits: Limits | None,
        max_bytes: int | None,
        durable: str,
        timeout: float,
        verify: bool,
        storage_options: Mapping[str, Any] | None,
    ) -> None:
        secrets = secrets_of(key)
        if not secrets and key is not False:
            raise StoreError("there is no key to seal rows with: name one (key=), or open the store with key=False")
        self._backend = backend = open_place(
            where,
            durable=durable,
            timeout=timeout,
            tracks_use=max_bytes is not None,
            storage_options=storage_options,
        )
        self.where = backend.where
        # The shortest way to a value and a row: most programs do nothing else.
        self._direct = backend if isinstance(backend, SQLite) else None
        self._read = backend.value if isinstance(backend, SQLite) else self._read_row
        self._envelope = Envelope(
            backend.store_id,
            secrets,
            trust=trust,
            type=type,
            limits=limits,
            verify=verify,
            sides=backend.sides if isinstance(backend, SQLite) else None,
            new_side=backend.new_side if isinstance(backend, SQLite) else None,
        )
        self._load = self._envelope.load
        self._here = _Here()
        self._room = Room(max_bytes) if max_bytes is not None else None
        self._mortal = itertools.count(1)

    def _now(self) -> Backend:
        """The backend as this thread sees it."""
        view = self._here.view
        return self._backend if view is None else view

    def _read_row(self, encoded: bytes) -> bytes | None:
        row = self._now().get(encoded)
        return None if row is None else row.value

    def _unpacked(self, encoded: bytes, value: bytes | None, type: Any = None) -> Any:
        """The object of a value that was read a moment ago; `MISSING` if there is none, or none any more."""
        while value is not None:
            try:
                return self._envelope.unpack(encoded, value, type)
            except MissingSideError:
                # Who has replaced the row meanwhile has removed the file after that; else it is really missing.
                again = self._read(encoded)
                if again == value:
                    raise
                value = again
        return MISSING

    def _value_of(self, row: Row | None) -> Any:
        return MISSING if row is None else self._unpacked(row.key, row.value)

    def _put_over(self, key: object, row: Row | None, encoded: bytes, value: object) -> bool:
        """Puts a value in the place of a row that was read, if it is still that one; its expiry and tags stay."""
        tags = () if row is None else self._tags_of_row(row)
        sealed, side = self._envelope.pack(encoded, value, tagged=bool(tags))
        expires, expect = (None, ABSENT) if row is None else (row.expires, row.version)
        done = self._now().apply([Put(encoded, sealed, name_of(key), expires, tags, expect, side)])
        if done:
            self._grew(sealed, side)
        return done

    def _tags_of_row(self, row: Row) -> tuple[str, ...]:
        """The tags of a row. Nothing is asked if its value says that there are none."""
        if not self._envelope.unwrap(row.key, row.value)[3]:
            return ()
        stat = next(iter(self._now().stats(row.key)), None)
        return stat.tags if stat is not None and stat.key == row.key else ()

    def _grew(self, sealed: bytes, side: Side | None) -> None:
        if self._room is not None and self._here.view is None:
            self._room.grew(self._backend, len(sealed) + (side.size if side is not None else 0))

    def _retry(self, attempt: Callable[[Backend], tuple[bool, _D]]) -> _D:
        """Does something until nobody else was faster. In a transaction at once, where the backend locks."""
        if self._here.view is None and getattr(self._backend, "locks", False):
            with self._transaction():
                return attempt(self._now())[1]
        for turn in itertools.count():
            done, result = attempt(self._now())
            if done:
                return result
            time.sleep(random.random() * min(0.001 * 1.5**turn, 0.1))
        raise AssertionError("turns do not end")

    def _put_one(self, sealed: bytes, side: Side | None, expires: float | None) -> None:
        if expires is not None and next(self._mortal) % _SWEEP == 0 and self._here.view is None:
            self._backend.sweep()
        self._grew(sealed, side)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        here = self._here
        if here.view is not None:
            try:
                yield
            except BaseException:
                here.is_doomed = True
                raise
            return
        with self._backend.transaction() as view:
            here.view, here.is_doomed = view, False
            try:
                yield
                if here.is_doomed:
                    raise StoreError("a block within the transaction has failed, and so nothing of it was done")
            finally:
                here.view = None
        if self._room is not None:
            self._room.changed(self._backend)

    def _packed(self, pairs: Iterable[tuple[Key, _T]]) -> Iterator[list[Packed]]:
        """Rows, some at a time."""
        pack, pairs = self._envelope.pack, iter(pairs)
        while True:
            page: list[Packed] = []
            for key, value in itertools.islice(pairs, _PAGE):
                encoded = encode(DATA, key)
                sealed, side = pack(encoded, value)
                page.append((encoded, sealed, name_of(key), None, (), side))
            if not page:
                return
            yield page

    def _count(self, prefix: bytes) -> int:
        if self._direct is not None:
            return self._direct.count(prefix)
        return sum(1 for _ in self._now().stats(prefix))

    def _keys(self, prefix: bytes, reverse: bool) -> Iterator[Key]:
        if self._direct is not None:
            found: Iterator[bytes] = self._direct.keys(prefix, reverse=reverse)
        elif reverse:
            found = (row.key for row in self._now().scan(prefix, reverse=True))
        else:
            found = (stat.key for stat in self._now().stats(prefix))
        for encoded in found:
            with contextlib.suppress(ValueError):  # of whoever wrote it there; `check` tells
                yield decode(encoded)

    def _items(self, prefix: bytes, reverse: bool) -> Iterator[tuple[Key, _T]]:
        for row in self._now().scan(prefix, reverse=reverse):
            try:
                key = decode(row.key)
            except ValueError:
                continue
            value = self._unpacked(row.key, row.value)
            if value is not MISSING:
                yield key, value
