"""A mapping that lasts: objects by key, in a file or behind a server, for any number of threads and processes.

Keys and objects in, rows of a backend out. What keys look like as bytes is `keys`', what objects do `envelope`'s, where
rows are the backend's. A change has been made when the call returns, whole or not at all. Nothing is kept in memory but
what the backend keeps, and no value is loaded that is not sealed for its place, unless the store is opened without seals.
"""

from __future__ import annotations

import contextlib
import datetime
import itertools
import os
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple, TypeAlias, TypeVar, cast, overload

from torshi._errors import StoreError
from torshi._store import upkeep
from torshi._store.backend import ABSENT, Backend, Change, Delete, Put, Row, Side, Version
from torshi._store.envelope import Envelope, MissingSideError, secrets_of
from torshi._store.keys import DATA, QUEUE, Key, decode, encode, encode_prefix
from torshi._store.places import open_place
from torshi._store.room import Room
from torshi._store.sqlite import SQLite
from torshi._store.upkeep import Problem, StoreStat, StoreStats
from torshi._store.views import StoreItems, StoreKeys, StoreValues

if TYPE_CHECKING:
    from torshi._limits import Limits
    from torshi._policy import Trust
    from torshi._seal import KeyChoice
    from torshi._store.queue import Queue

__all__ = ["Entry", "Place", "Store"]

_T = TypeVar("_T")
_D = TypeVar("_D")
_Number = TypeVar("_Number", int, float)

Place: TypeAlias = str | os.PathLike[str] | Backend
"""Where a store may be."""

TimeToLive: TypeAlias = float | datetime.timedelta | None
"""What `ttl=` accepts: seconds, or None for ever."""

_MISSING: Final[Any] = object()

# Rows of one page of `update`: pickled before the lock is taken for them, and held in memory meanwhile.
_PAGE: Final = 1000
# Puts with a time to live after which expired rows are removed.
_SWEEP: Final = 500


class Entry(NamedTuple, Generic[_T]):
    """A value with what it can be replaced by.

    Attributes:
        value: the object.
        version: what `Store.replace` compares.
        expires: when it is no longer there, in seconds since 1970; None for never.
    """

    value: _T
    version: Version
    expires: float | None


Entry.__module__ = "torshi"


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
    return key if key.__class__ is str else repr(key)  # type: ignore[return-value]


class Store(MutableMapping[Key, _T]):
    """A mapping that lasts: objects by key, safe to share between threads and processes.

    Keys are text, bytes, integers and tuples of these, and are iterated in order. Values are any picklable objects; each
    is sealed with your own local key for the place it stands at, so that your own classes come back without a word, and
    nothing that somebody else wrote into the file is loaded. Every change has been committed when the call returns.

    Args:
        where: a path (one SQLite file, and a folder ``<path>.d`` beside it if values are large), ``":memory:"``, or a URL:
            ``redis://host/0``, ``s3://bucket/prefix``.
        type: what values are: an annotation. Each value is compared with it when it is read.
        trust: what values may use beside what their seals let them: as for `loads`.
        key: what rows are sealed with. None: your own local key, made if there is none. The name of a key, or several,
            the first of which seals; or secret bytes that programs share. False: rows are not sealed, and whoever can
            write to the place decides what is read, under the policy alone.
        limits: what loading one value may cost.
        max_bytes: how large all values together may become; beyond it those go that were not used for the longest time.
        durable: what a committed change survives: ``"process"``, the end of the process at any moment, or ``"power"``,
            that of the machine too, which waits for the disk each time. Either way the file is never damaged.
        timeout: seconds to wait for others that write.
        verify: compare large arrays, which stay in their side files, with their digests when they are read. False: they
            are read when they are touched, and a change to the side file's numbers is seen by `check` alone.
        storage_options: settings of a server that a URL is of.

    Raises:
        StoreError: the place holds something else, a newer format, or cannot be opened.
        SealError: there is no such key.
        OSError: there is no local key, and none can be made.
        ImportError: a URL needs a package that is not installed.

    Example:
        >>> import torshi
        >>> with torshi.Store("state.db") as store:
        ...     store["ada"] = {"level": 2, "items": ("lamp",)}
        ...     store["visits"] = 41
        ...     store.incr("visits")
        42
        >>> with torshi.Store("state.db") as store:
        ...     store["ada"], list(store)
        ({'level': 2, 'items': ('lamp',)}, ['ada', 'visits'])
    """

    @overload
    def __init__(
        self: Store[Any],
        where: Place,
        *,
        type: None = None,
        trust: Trust = None,
        key: KeyChoice | bytes = None,
        limits: Limits | None = None,
        max_bytes: int | None = None,
        durable: str = "process",
        timeout: float = 60.0,
        verify: bool = True,
        storage_options: Mapping[str, Any] | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self,
        where: Place,
        *,
        type: type[_T],
        trust: Trust = None,
        key: KeyChoice | bytes = None,
        limits: Limits | None = None,
        max_bytes: int | None = None,
        durable: str = "process",
        timeout: float = 60.0,
        verify: bool = True,
        storage_options: Mapping[str, Any] | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: Store[Any],
        where: Place,
        *,
        type: Any = None,
        trust: Trust = None,
        key: KeyChoice | bytes = None,
        limits: Limits | None = None,
        max_bytes: int | None = None,
        durable: str = "process",
        timeout: float = 60.0,
        verify: bool = True,
        storage_options: Mapping[str, Any] | None = None,
    ) -> None: ...
    def __init__(
        self,
        where: Place,
        *,
        type: Any = None,
        trust: Trust = None,
        key: KeyChoice | bytes = None,
        limits: Limits | None = None,
        max_bytes: int | None = None,
        durable: str = "process",
        timeout: float = 60.0,
        verify: bool = True,
        storage_options: Mapping[str, Any] | None = None,
    ) -> None:
        self._options = {
            "type": type,
            "trust": trust,
            "key": key,
            "limits": limits,
            "max_bytes": max_bytes,
            "durable": durable,
            "timeout": timeout,
            "verify": verify,
            "storage_options": storage_options,
        }
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
        self._here = _Here()
        self._room = Room(max_bytes) if max_bytes is not None else None
        self._mortal = itertools.count(1)

    def __repr__(self) -> str:
        return f"<torshi.Store {self.where}>"

    def __enter__(self) -> Store[_T]:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[Callable[..., Store[Any]], tuple[str, dict[str, Any]]]:
        if self.where == ":memory:" or isinstance(self._options["key"], (bytes, bytearray)):
            raise TypeError(
                "a store in memory, or with a secret of its own, is not pickled: open it where it is needed"
            )
        return _reopened, (self.where, self._options)

    # A store is the same as another if it is that store; to compare all values is for whoever wants to: dict(store).
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def close(self) -> None:
        """Gives back files and connections. What was committed stays. May be called again."""
        self._backend.close()

    # Rows

    def _now(self) -> Backend:
        """The backend as this thread sees it."""
        view = self._here.view
        return self._backend if view is None else view

    def _read_row(self, encoded: bytes) -> bytes | None:
        row = self._now().get(encoded)
        return None if row is None else row.value

    def _unpacked(self, encoded: bytes, value: bytes | None, type: Any = None) -> Any:
        """The object of a value that was read a moment ago; `_MISSING` if there is none, or none any more."""
        while value is not None:
            try:
                return self._envelope.unpack(encoded, value, type)
            except MissingSideError:
                # Who has replaced the row meanwhile has removed the file after that; else it is really missing.
                again = self._read(encoded)
                if again == value:
                    raise
                value = again
        return _MISSING

    def _value_of(self, row: Row | None) -> Any:
        return _MISSING if row is None else self._unpacked(row.key, row.value)

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
            with self.transaction():
                return attempt(self._now())[1]
        for turn in itertools.count():
            done, result = attempt(self._now())
            if done:
                return result
            time.sleep(random.random() * min(0.001 * 1.5**turn, 0.1))
        raise AssertionError("turns do not end")

    # One key

    def __getitem__(self, key: Key) -> _T:
        encoded = encode(DATA, key)
        value = self._read(encoded)
        if value is None:
            raise KeyError(key)
        try:
            return cast(_T, self._envelope.unpack(encoded, value))
        except MissingSideError:
            found = self._unpacked(encoded, value)
        if found is _MISSING:
            raise KeyError(key)
        return cast(_T, found)

    @overload
    def get(self, key: Key, /) -> _T | None: ...
    @overload
    def get(self, key: Key, default: _D, /) -> _T | _D: ...
    @overload
    def get(self, key: Key, default: _D = ..., *, type: type[_T]) -> _T | _D: ...
    @overload
    def get(self, key: Key, default: Any = None, *, type: Any = None) -> Any: ...
    def get(self, key: Key, default: Any = None, *, type: Any = None) -> Any:
        """The value of a key, or the default.

        Args:
            key: which.
            default: what there is if the key is not there.
            type: what the value must be: an annotation, for this once.

        Raises:
            SealError: the value is not sealed for this key of this store.
            UntrustedError, MalformedError, LimitError, ValidationError: as for `loads`.
            StoreError: the store cannot be read.

        Example:
            >>> import torshi
            >>> store = torshi.Store(":memory:")
            >>> store["port"] = 80
            >>> store.get("port", type=int), store.get("host", "localhost")
            (80, 'localhost')
        """
        encoded = encode(DATA, key)
        value = self._read(encoded)
        if value is None:
            return default
        try:
            return self._envelope.unpack(encoded, value, type)
        except MissingSideError:
            found = self._unpacked(encoded, value, type)
        return default if found is _MISSING else found

    def __setitem__(self, key: Key, value: _T) -> None:
        direct = self._direct
        if direct is None:
            self.set(key, value)
            return
        encoded = encode(DATA, key)
        sealed, side = self._envelope.pack(encoded, value)
        direct.put(encoded, sealed, key if key.__class__ is str else repr(key), None, (), side)  # type: ignore[arg-type]
        if self._room is not None:
            self._grew(sealed, side)

    def set(self, key: Key, value: _T, *, ttl: TimeToLive = None, tags: Iterable[str] = ()) -> None:
        """Puts a value, with a time to live and tags.

        Args:
            key: where.
            value: any picklable object.
            ttl: seconds until it is no longer there; for ever if absent.
            tags: texts that it can be evicted by.

        Raises:
            PicklingError: the value cannot be pickled; ``path`` says which part.
            TypeError, ValueError: the key is none, or too long.
            StoreError: the store cannot be written to; the old value is there.

        Example:
            >>> import torshi
            >>> store = torshi.Store(":memory:")
            >>> store.set("session", {"user": 7}, ttl=3600, tags=["user:7"])
            >>> store.evict("user:7"), "session" in store
            (1, False)
        """
        encoded = encode(DATA, key)
        marks, expires = tags_of(tags), deadline(ttl)
        sealed, side = self._envelope.pack(encoded, value, tagged=bool(marks))
        if self._direct is not None:
            self._direct.put(encoded, sealed, name_of(key), expires, marks, side)
        else:
            self._now().apply([Put(encoded, sealed, name_of(key), expires, marks, side=side)])
        self._put_one(sealed, side, expires)

    put = set

    def _put_one(self, sealed: bytes, side: Side | None, expires: float | None) -> None:
        if expires is not None and next(self._mortal) % _SWEEP == 0 and self._here.view is None:
            self._backend.sweep()
        self._grew(sealed, side)

    def add(self, key: Key, value: _T, *, ttl: TimeToLive = None, tags: Iterable[str] = ()) -> bool:
        """Puts a value if the key is not there; whether it was put. Of several who add at the same time one does."""
        return self.replace(key, value, None, ttl=ttl, tags=tags)

    def entry(self, key: Key) -> Entry[_T] | None:
        """The value of a key with its version; None if the key is not there.

        Example:
            >>> import torshi
            >>> store = torshi.Store(":memory:")
            >>> store["state"] = "idle"
            >>> entry = store.entry("state")
            >>> store.replace("state", "busy", entry.version), store.replace("state", "busy", entry.version)
            (True, False)
        """
        row = self._now().get(encode(DATA, key))
        value = self._value_of(row)
        return None if row is None or value is _MISSING else Entry(value, row.version, row.expires)

    def replace(
        self,
        key: Key,
        value: _T,
        version: Version | None,
        *,
        ttl: TimeToLive = None,
        tags: Iterable[str] = (),
    ) -> bool:
        """Puts a value if the key still has the version that `entry` gave; whether it was put.

        Args:
            key: where.
            value: any picklable object.
            version: what must be there; None for nothing.
            ttl, tags: as for `set`.
        """
        encoded = encode(DATA, key)
        marks, expires = tags_of(tags), deadline(ttl)
        sealed, side = self._envelope.pack(encoded, value, tagged=bool(marks))
        expect = ABSENT if version is None else version
        done = self._now().apply([Put(encoded, sealed, name_of(key), expires, marks, expect, side)])
        if done:
            self._put_one(sealed, side, expires)
        return done

    def __contains__(self, key: object) -> bool:
        return self._read(encode(DATA, key)) is not None

    def __delitem__(self, key: Key) -> None:
        if not self.delete(key):
            raise KeyError(key)

    def delete(self, key: Key) -> bool:
        """Removes a key, whatever its value is; whether it was there."""
        encoded = encode(DATA, key)
        if self._direct is not None:
            return self._direct.remove(encoded)

        def attempt(backend: Backend) -> tuple[bool, bool]:
            row = backend.get(encoded)
            return (True, False) if row is None else (backend.apply([Delete(encoded, row.version)]), True)

        return self._retry(attempt)

    @overload
    def pop(self, key: Key, /) -> _T: ...
    @overload
    def pop(self, key: Key, /, default: _D) -> _T | _D: ...
    def pop(self, key: Key, /, default: Any = _MISSING) -> Any:
        """Removes a key and returns its value. Of several who pop it at the same time one gets it."""
        encoded = encode(DATA, key)

        def attempt(backend: Backend) -> tuple[bool, Any]:
            row = backend.get(encoded)
            value = self._value_of(row)
            if row is None or value is _MISSING:
                return True, _MISSING
            return backend.apply([Delete(encoded, row.version)]), value

        found = self._retry(attempt)
        if found is not _MISSING:
            return found
        if default is _MISSING:
            raise KeyError(key)
        return default

    def popitem(self) -> tuple[Key, _T]:
        """Removes the first key and returns it with its value.

        Raises:
            KeyError: the store is empty.
        """
        for key in self:
            with contextlib.suppress(KeyError):
                return key, self.pop(key)
        raise KeyError("the store is empty")

    def setdefault(self, key: Key, default: Any = None, /) -> Any:
        """The value of a key; the default, put there, if it is not there. All who ask at the same time get one value."""
        while True:
            found = self.get(key, _MISSING)
            if found is not _MISSING:
                return found
            if self.add(key, default):
                return default

    def incr(self, key: Key, by: _Number = 1, default: _Number = 0) -> _Number:
        """Adds to a number and returns the sum; no increment is lost, whoever else adds to it. Expiry and tags stay.

        Args:
            key: where the number is.
            by: what to add.
            default: what is there if nothing is.

        Raises:
            TypeError: the value is no number.
        """
        encoded = encode(DATA, key)

        def attempt(backend: Backend) -> tuple[bool, _Number]:
            row = backend.get(encoded)
            value = self._value_of(row)
            if value is _MISSING:
                row, value = None, default
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise TypeError(f"the value of {key!r} is no number but {type(value).__name__}")
            total: Any = value + by
            return self._put_over(key, row, encoded, total), total

        return self._retry(attempt)

    @contextlib.contextmanager
    def edit(self, key: Key, default: Any = _MISSING) -> Iterator[Any]:
        """Yields a value to be changed in place, which is written back when the block ends; not if it raises.

        The block is a transaction: until it ends nobody else changes the store. Expiry and tags stay.

        Args:
            key: which value.
            default: what to begin with if the key is not there.

        Raises:
            KeyError: the key is not there, and there is no default.
            ConflictError: somebody else changed it meanwhile, on a backend that cannot lock; nothing was changed.

        Example:
            >>> import torshi
            >>> store = torshi.Store(":memory:")
            >>> with store.edit("ada", default={}) as ada:
            ...     ada["level"] = 3
            >>> store["ada"]
            {'level': 3}
        """
        encoded = encode(DATA, key)
        with self.transaction():
            row = self._now().get(encoded)
            value = self._value_of(row)
            if value is _MISSING:
                row, value = None, default
            if value is _MISSING:
                raise KeyError(key)
            yield value
            # Within a transaction: whatever the block itself has put there gives way.
            row = self._now().get(encoded)
            self._put_over(key, row, encoded, value)

    # Several keys

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Store[_T]]:
        """A block whose changes are made all at once when it ends, or not at all if it raises.

        What this thread reads in it stays as it is: on SQLite nobody else writes meanwhile, and others read what was
        there before. A block within a block is part of it; if it raises, so does the outer one.

        Raises:
            ConflictError: what was read has changed, on a backend that cannot lock; nothing was changed.
            StoreError: the transaction cannot be begun or ended.

        Example:
            >>> import torshi
            >>> store = torshi.Store(":memory:")
            >>> store.update(a=100, b=0)
            >>> with store.transaction():
            ...     store["a"] -= 30
            ...     store["b"] += 30
            >>> dict(store)
            {'a': 70, 'b': 30}
        """
        here = self._here
        if here.view is not None:
            try:
                yield self
            except BaseException:
                here.is_doomed = True
                raise
            return
        with self._backend.transaction() as view:
            here.view, here.is_doomed = view, False
            try:
                yield self
                if here.is_doomed:
                    raise StoreError("a block within the transaction has failed, and so nothing of it was done")
            finally:
                here.view = None
        if self._room is not None:
            self._room.changed(self._backend)

    def update(self, items: Any = (), /, **more: _T) -> None:
        """Puts several values in one transaction: a mapping, or pairs of keys and values, and names.

        Raises:
            PicklingError: a value cannot be pickled; nothing was put.
        """
        if isinstance(items, Mapping):
            items = items.items()
        elif hasattr(items, "keys"):
            items = ((key, items[key]) for key in items.keys())  # noqa: SIM118 (as dict.update does)
        pairs = itertools.chain(items, more.items())
        if self._direct is None:
            with self.transaction():
                for page in self._packed(pairs):
                    self._now().apply([Put(*row[:5], side=row[5]) for row in page])
            return
        if self._here.view is not None:
            for page in self._packed(pairs):
                for row in page:
                    self._direct.put(*row)
            return
        self._direct.put_many(self._packed(pairs))
        if self._room is not None:
            self._room.changed(self._backend)

    def _packed(
        self, pairs: Iterable[tuple[Key, _T]]
    ) -> Iterator[list[tuple[bytes, bytes, str, float | None, Sequence[str], Side | None]]]:
        """Rows, some at a time."""
        pack, pairs = self._envelope.pack, iter(pairs)
        while True:
            page: list[tuple[bytes, bytes, str, float | None, Sequence[str], Side | None]] = []
            for key, value in itertools.islice(pairs, _PAGE):
                encoded = encode(DATA, key)
                sealed, side = pack(encoded, value)
                page.append((encoded, sealed, name_of(key), None, (), side))
            if not page:
                return
            yield page

    def __iter__(self) -> Iterator[Key]:
        return self._keys(DATA, False)

    def __reversed__(self) -> Iterator[Key]:
        return self._keys(DATA, True)

    def __len__(self) -> int:
        return self._count(DATA)

    def keys(self, prefix: str | bytes | tuple[Key, ...] | None = None, *, reverse: bool = False) -> StoreKeys:
        """The keys in order, of all or of those that begin with a text, bytes, or the items of a tuple.

        Example:
            >>> import torshi
            >>> store = torshi.Store(":memory:")
            >>> store.update({("user", 2): "Bo", ("user", 1): "Al", ("group", 1): "all"})
            >>> list(store.keys(("user",))), list(store.values(("user",), reverse=True))
            ([('user', 1), ('user', 2)], ['Bo', 'Al'])
        """
        return StoreKeys(self, prefix, reverse)

    def values(self, prefix: str | bytes | tuple[Key, ...] | None = None, *, reverse: bool = False) -> StoreValues[_T]:
        """The values in the order of their keys, as `keys` has them."""
        return StoreValues(self, prefix, reverse)

    def items(self, prefix: str | bytes | tuple[Key, ...] | None = None, *, reverse: bool = False) -> StoreItems[_T]:
        """Keys and values in the order of the keys, as `keys` has them."""
        return StoreItems(self, prefix, reverse)

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
            if value is not _MISSING:
                yield key, value

    def clear(self) -> None:
        """Removes all keys. Queues and what `repair` put aside stay."""
        if self._direct is not None:
            self._direct.clear(DATA)
            return
        found = (stat.key for stat in self._now().stats(DATA))
        while page := [Delete(key) for key in itertools.islice(found, 500)]:
            self._now().apply(page)

    # Expiry, tags

    def touch(self, key: Key, ttl: TimeToLive = None) -> bool:
        """Has a value live for that long from now on, or for ever; whether it is there."""
        encoded, expires = encode(DATA, key), deadline(ttl)
        if self._direct is not None:
            return self._direct.touch(encoded, expires)

        def attempt(backend: Backend) -> tuple[bool, bool]:
            row = backend.get(encoded)
            if row is None:
                return True, False
            change = Put(encoded, row.value, name_of(key), expires, self._tags_of_row(row), row.version)
            return backend.apply([change]), True

        return self._retry(attempt)

    def expires(self, key: Key) -> float | None:
        """When a value is no longer there, in seconds since 1970; None for never.

        Raises:
            KeyError: it is not there.
        """
        row = self._now().get(encode(DATA, key))
        if row is None:
            raise KeyError(key)
        return row.expires

    def tags(self, key: Key) -> tuple[str, ...]:
        """The tags of a value.

        Raises:
            KeyError: it is not there.
        """
        return self.stat(key).tags

    def evict(self, tag: str) -> int:
        """Removes all values that have a tag; how many."""
        with self.transaction():
            changes: list[Change] = [Delete(stat.key) for stat in self._now().stats(DATA, tag=tag)]
            self._now().apply(changes)
        return len(changes)

    def stat(self, key: Key) -> StoreStat:
        """What is known of a value without loading it.

        Raises:
            KeyError: it is not there.
        """
        encoded = encode(DATA, key)
        found = next(iter(self._now().stats(encoded)), None)
        if found is None or found.key != encoded:
            raise KeyError(key)
        return StoreStat(key, found.size, found.written, found.used, found.expires, found.tags)

    # Queues, upkeep

    def queue(self, name: Key, type: Any = None) -> Queue[Any]:
        """A first-in-first-out queue in this store, by its name; made with the first message.

        Args:
            name: which.
            type: what messages are: an annotation.
        """
        from torshi._store.queue import Queue

        return Queue(self, name, type)

    def stats(self) -> StoreStats:
        """What the store has, as numbers."""
        return upkeep.stats(self._backend, self._envelope)

    def check(self) -> list[Problem]:
        """What is wrong: rows, side files, and the place itself. Reads everything, loads and changes nothing.

        Returns:
            The problems; none is the best answer. What a crash leaves behind (a side file that no row names) is none.
        """
        return upkeep.check(self._backend, self._envelope)

    def repair(self) -> list[str]:
        """Puts aside what cannot be read, so that everything else can; what was done, a line each. Deletes no row.

        Rows that are put aside are under the same key in a space of their own, where nothing looks for them.

        Raises:
            SealError: no row can be read with the key here, so that it is rather the key that is wrong.
        """
        return upkeep.repair(self._backend, self._envelope)

    def compact(self) -> int:
        """Removes expired rows and side files that no row names, and gives unused space back; bytes."""
        return self._backend.compact()

    def copy_to(self, other: Store[Any], *, prefix: str | bytes | tuple[Key, ...] | None = None) -> int:
        """Copies values and messages to another store, sealed anew; builds none of them. How many.

        Args:
            other: where to; keys that are there already are replaced.
            prefix: of the keys to copy; all, and all queues, if absent.

        Raises:
            SealError: a value is not sealed for its place here; what stands before it was copied.
        """
        spaces = [DATA, QUEUE] if prefix is None else [encode_prefix(DATA, prefix)]
        return sum(
            upkeep.copy(self._backend, self._envelope, other._backend, other._envelope, space) for space in spaces
        )


Store.__module__ = "torshi"


def _reopened(where: str, options: dict[str, Any]) -> Store[Any]:
    return Store(where, **options)
