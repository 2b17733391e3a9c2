"""A mapping that lasts: objects by key, in a file or behind a server, for any number of threads and processes.

Keys and objects in, rows of a backend out. What keys look like as bytes is `keys`', what objects do `envelope`'s, where
rows are the backend's. A change has been made when the call returns, whole or not at all. Nothing is kept in memory but
what the backend keeps, and no value is loaded that is not sealed for its place, unless the store is opened without.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple, TypeVar, cast, overload

from torshi._store import upkeep
from torshi._store.backend import ABSENT, ANY, Backend, Change, Delete, Put, Stat, Version
from torshi._store.keys import DATA, QUEUE, Key, encode, encode_prefix
from torshi._store.places import says_all
from torshi._store.rows import MISSING, Place, Rows, TimeToLive, deadline, name_of, tags_of
from torshi._store.upkeep import Problem, StoreStat, StoreStats
from torshi._store.views import StoreItems, StoreKeys, StoreValues

if TYPE_CHECKING:
    from torshi._limits import Limits
    from torshi._policy import Trust
    from torshi._seal import KeyChoice
    from torshi._store.imports import StoreImport
    from torshi._store.queue import Queue

__all__ = ["Entry", "Place", "Store"]

# Values with a tag that are removed in one change where there are no locks.
_EVICTED: Final = 64

_T = TypeVar("_T")
_D = TypeVar("_D")
_Number = TypeVar("_Number", int, float)


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


class Store(Rows[_T], MutableMapping[Key, _T]):
    """A mapping that lasts: objects by key, safe to share between threads and processes.

    Keys are text, bytes, integers and tuples of these, iterated in order. Values are any picklable objects, each sealed
    with your own local key for the place it stands at, so that your own classes come back without a word, and nothing
    that somebody else wrote into the file is loaded. Every change has been committed when the call returns.

    Args:
        where: a path (one SQLite file, and a folder ``<path>.d`` beside it if values are large), ``":memory:"``, or a
            URL: ``redis://host/0``, ``s3://bucket/prefix``.
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
        super().__init__(where, **self._options)
        self._is_named = not isinstance(where, (str, os.PathLike)) or says_all(os.fsdecode(where))

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
        if not self._is_named:
            raise TypeError(
                f"the store {self.where} is not pickled, since its URL has a login or settings, which no pickle should "
                "hold and without which it is not reached: open it where it is needed, with a URL from there, or give "
                "them as storage_options=, which stand in the pickle"
            )
        return _reopened, (self.where, self._options)

    # A store is the same as another if it is that store; to compare all values is for whoever wants to: dict(store).
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def close(self) -> None:
        """Gives back files and connections. What was committed stays. May be called again."""
        self._backend.close()

    # One key

    def __getitem__(self, key: Key) -> _T:
        encoded = encode(DATA, key)
        value = self._read(encoded)
        if value is None:
            raise KeyError(key)
        try:
            found = self._load(encoded, value)
        except Exception:
            found = NotImplemented  # once more, for an error that says which key
        if found is NotImplemented:
            found = self._unpacked(encoded, value)
        if found is MISSING:
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
            found = self._load(encoded, value) if type is None else NotImplemented
        except Exception:
            found = NotImplemented  # once more, for an error that says which key
        if found is NotImplemented:
            found = self._unpacked(encoded, value, type)
        return default if found is MISSING else found

    def __setitem__(self, key: Key, value: _T) -> None:
        direct = self._direct
        if direct is None:
            self.set(key, value)
            return
        encoded = encode(DATA, key)
        sealed, side = self._envelope.pack(encoded, value)
        direct.put(encoded, sealed, key if key.__class__ is str else repr(key), None, (), side)
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
        return None if row is None or value is MISSING else Entry(value, row.version, row.expires)

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
    def pop(self, key: Key, /, default: Any = MISSING) -> Any:
        """Removes a key and returns its value. Of several who pop it at the same time one gets it."""
        encoded = encode(DATA, key)

        def attempt(backend: Backend) -> tuple[bool, Any]:
            row = backend.get(encoded)
            value = self._value_of(row)
            if row is None or value is MISSING:
                return True, MISSING
            return backend.apply([Delete(encoded, row.version)]), value

        found = self._retry(attempt)
        if found is not MISSING:
            return found
        if default is MISSING:
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
        """The value of a key; the default, put there, if it is not there. All who ask at once get the same."""
        while True:
            found = self.get(key, MISSING)
            if found is not MISSING:
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
            if value is MISSING:
                row, value = None, default
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise TypeError(f"the value of {key!r} is no number but {type(value).__name__}")
            total: Any = value + by
            return self._put_over(key, row, encoded, total), total

        return self._retry(attempt)

    @contextlib.contextmanager
    def edit(self, key: Key, default: Any = MISSING) -> Iterator[Any]:
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
        # Within a transaction there is nothing to undo if the block raises: it has put nothing.
        with self._transaction() if self._here.view is None else contextlib.nullcontext():
            value = self._value_of(self._now().get(encoded))
            if value is MISSING:
                value = default
            if value is MISSING:
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
        with self._transaction():
            yield self

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
        """Removes all values that have a tag; how many. One that is put again meanwhile stays."""
        if self._here.view is not None or getattr(self._backend, "locks", False):
            with self.transaction():
                found = [_removal(stat) for stat in self._now().stats(DATA, tag=tag)]
                self._now().apply(found)
            return len(found)
        count, stats = 0, self._backend.stats(DATA, tag=tag)
        while page := [_removal(stat) for stat in itertools.islice(stats, _EVICTED)]:
            if self._backend.apply(page):
                count += len(page)
            else:  # one of them was put again, or is gone
                count += sum(self._backend.apply([change]) for change in page)
        return count

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

    def import_from(
        self,
        source: str | os.PathLike[str],
        kind: str | None = None,
        *,
        table: str | None = None,
        trust: Trust = None,
        limits: Limits | None = None,
        prefix: tuple[Key, ...] = (),
        replace: bool = True,
        strict: bool = False,
        check: bool = False,
    ) -> StoreImport:
        """Imports what shelve, sqlitedict or diskcache has stored. Builds no value: what a load would refuse stays out.

        Pickles are checked under the policy, written anew at today's protocol, and sealed. The source is opened for
        reading only. Expiry and tags of diskcache come along.

        Args:
            source: a shelf, by the name that `shelve.open` takes; a file of sqlitedict; a folder of diskcache.
            kind: ``"shelve"``, ``"sqlitedict"`` or ``"diskcache"``; by the content if absent.
            table: which table of a file of sqlitedict that has several.
            trust: what values may use, as for `loads`; if absent what the store was opened with. A sealed store takes
                what is named and not what a pattern alone lets in.
            limits: what loading one value may cost.
            prefix: what is put in front of each key, which is then a tuple.
            replace: whether values of keys that are there already are replaced.
            strict: whether the first value that is refused ends the import, which then has changed nothing.
            check: whether nothing is written: the report says what would be.

        Raises:
            FileNotFoundError: there is no source.
            StoreError: the source is of no such kind, or damaged; or the store cannot be written to. What was imported
                before stays, unless `strict`.
            UntrustedError, MalformedError, LimitError: with `strict`, of the value that was refused.
            ValueError: there is no such kind or table, or there are several.
            ImportError: a shelf is of a kind of dbm that this Python has not.

        Example:
            >>> import shelve, torshi
            >>> with shelve.open("old") as shelf:
            ...     shelf["ada"] = {"level": 2}
            >>> store = torshi.Store(":memory:")
            >>> report = store.import_from("old")
            >>> report.kind, report.imported, report.refused, store["ada"]
            ('shelve', 1, (), {'level': 2})
        """
        from torshi._store.imports import import_into

        return import_into(
            self,
            source,
            kind,
            table=table,
            trust=trust,
            limits=limits,
            prefix=prefix,
            replace=replace,
            strict=strict,
            check=check,
        )


Store.__module__ = "torshi"


def _removal(stat: Stat) -> Change:
    """What removes the value that a backend has told of, and none that was put in its place."""
    return Delete(stat.key, ANY if stat.version is None else stat.version)


def _reopened(where: str, options: dict[str, Any]) -> Store[Any]:
    return Store(where, **options)
