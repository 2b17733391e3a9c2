"""Results of one function in a store: rows of its own, each a record of what came out and when.

A shelf is a store's rows below ``("torshi.cache", name of the function)``; the store seals, orders and keeps them, and
expiry, tags and limits are the store's. `Source` says which store, and opens it when it is first needed. Nothing here
decides whether a result may be used, and no error of a store ends here.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from itertools import islice
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from torshi._cache import lease as leases
from torshi._cache.lease import Lease
from torshi._digest import digest
from torshi._errors import MalformedError
from torshi._store.backend import ANY, Change, Delete, Put
from torshi._store.envelope import MissingSideError
from torshi._store.keys import DATA, LEASE, encode, encode_prefix
from torshi._store.places import SCHEMES
from torshi._store.store import Store
from torshi._urls import is_url

__all__ = ["DEFAULT_BYTES", "Record", "Shelf", "Source", "cache_folder"]

MEMORY: Final = ":memory:"
DEFAULT_BYTES: Final = 1 << 30
"""What the default store may hold."""

_SPACE: Final = "torshi.cache"
_FORMAT: Final = 1
# Bytes of a function's name in a key, which may have 1,024 in all.
_NAME: Final = 600
_PAGE: Final = 500


class Record(NamedTuple):
    """A result as it was stored.

    Attributes:
        value: what the function returned, or raised.
        failed: whether it raised.
        created: when it was computed, in seconds since 1970.
        expires: when it is no longer a result; None for never.
        tags: what it can be evicted by.
        version: what its row is told from another by: the hash of its bytes, which have the time in them.
    """

    value: Any
    failed: bool
    created: float
    expires: float | None
    tags: tuple[str, ...]
    version: int


class Shelf:
    """The results of one function in a store.

    Attributes:
        is_local: whether a look at it is so quick that an event loop can wait for it.
    """

    def __init__(self, store: Store[Any], function: str) -> None:
        name = function if len(function.encode()) <= _NAME else f"{function[:100]} {digest(function).hex()}"
        self._store = store
        self._prefix = (_SPACE, name)
        # Keys are 32 bytes in which a zero is two, behind what all of them begin with.
        self._rows = encode_prefix(DATA, self._prefix)
        self.is_local = store._direct is not None or store.where == MEMORY

    def _key(self, key: bytes) -> bytes:
        return self._rows + b"\x01" + key.replace(b"\0", b"\0\xff") + b"\0"

    def _lease_key(self, key: bytes) -> bytes:
        return encode(LEASE, (*self._prefix, key))

    def get(self, key: bytes) -> Record | None:
        """The record of a call, or None.

        Raises:
            StoreError: the store cannot be read.
            Exception: the row is not sealed for its place, names a class that is gone, or is no record.
        """
        encoded, store = self._key(key), self._store
        value = store._read(encoded)
        while value is not None:
            try:
                made = store._envelope.unpack(encoded, value)
            except MissingSideError:
                # Who has replaced the row meanwhile has removed the file after that; else it is really missing.
                again = store._read(encoded)
                if again == value:
                    raise MalformedError("the file beside the store that holds the result is not there") from None
                value = again
                continue
            if type(made) is not tuple or len(made) != 6 or made[0] != _FORMAT:
                raise MalformedError("the row is no result of a cached function, or of a newer torshi")
            _, failed, created, expires, tags, result = made
            return Record(result, failed, created, expires, tags, hash(value))
        return None

    def version(self, key: bytes) -> int | None:
        """The version of the row that is there, or None.

        Raises:
            StoreError: the store cannot be read.
        """
        value = self._store._read(self._key(key))
        return None if value is None else hash(value)

    def put(
        self, key: bytes, value: object, failed: bool, ttl: float | None, tags: tuple[str, ...], lease: Lease | None
    ) -> int | None:
        """Stores a result and ends its lease, both or neither; its version, or None if it was forgotten.

        Raises:
            StoreError: the store cannot be written to.
            PicklingError: the result cannot be pickled.
        """
        encoded, store, created = self._key(key), self._store, time.time()
        expires = None if ttl is None else created + ttl
        record = (_FORMAT, failed, created, expires, tags, value)
        name = f"{self._prefix[1]} {key.hex()[:16]}"
        while True:
            ends: list[Change] | None = [] if lease is None else lease.end()
            if ends is None:
                return None
            # Anew in each turn: what a change that was not made has written beside the store is gone.
            sealed, side = store._envelope.pack(encoded, record, tagged=bool(tags))
            if store._now().apply([*ends, Put(encoded, sealed, name, expires, tags, ANY, side)]):
                store._grew(sealed, side)
                if lease is not None:
                    lease.is_over = True
                return hash(sealed)

    def acquire(self, key: bytes, seconds: float) -> Lease | Literal["held"] | None:
        """The lease of a key; None in a transaction of this thread, of which others would not see it.

        Raises:
            StoreError: the store cannot be written to.
        """
        if self._store._here.view is not None:
            return None
        return leases.acquire(self._store._backend, self._lease_key(key), seconds)

    def forget(self, key: bytes, seconds: float) -> bool:
        """Removes a result, and has one that is under way not be stored; whether there was one.

        Raises:
            StoreError: the store cannot be written to.
        """
        backend, encoded = self._store._now(), self._key(key)
        leases.forget(backend, self._lease_key(key), seconds)
        there = backend.get(encoded) is not None
        if there:
            backend.apply([Delete(encoded)])
        return there

    def evict(self, tag: str) -> int:
        """Removes all results with a tag, of every function that has this store; how many.

        Raises:
            StoreError: the store cannot be written to.
        """
        return self._store.evict(tag)

    def clear(self, seconds: float) -> None:
        """Removes all results, of whatever version of the code, and has those under way not be stored.

        Raises:
            StoreError: the store cannot be written to.
        """
        backend = self._store._now()
        for row in backend.scan(encode_prefix(LEASE, self._prefix)):
            leases.forget(backend, row.key, seconds)
        found = backend.stats(self._rows)
        while page := [Delete(stat.key) for stat in islice(found, _PAGE)]:
            backend.apply(page)


def cache_folder() -> Path:
    """The folder of the user's caches: ``TORSHI_CACHE_DIR``, or where the platform has such things.

    Raises:
        FileNotFoundError: the user has no home.
    """
    override = os.environ.get("TORSHI_CACHE_DIR")
    if override:
        return Path(override)
    try:
        if sys.platform == "win32":
            return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "torshi" / "Cache"
        if sys.platform == "darwin":
            return Path.home() / "Library" / "Caches" / "torshi"
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "torshi"
    except RuntimeError as error:
        raise FileNotFoundError(f"there is no home to keep a cache in: {error}") from None


class Source:
    """Which store results are in.

    Args:
        store: a path, a URL, ``":memory:"``, a `Store`, or None for the default.
        copy: whether results must come from a store, even if they are of this process alone.

    Raises:
        TypeError: it is none of these.
    """

    def __init__(self, store: object, copy: bool) -> None:
        self._store: Store[Any] | None = None
        self._where: str | None = None
        self._is_private = False
        if isinstance(store, Store):
            self._store = store
        elif isinstance(store, (str, os.PathLike)):
            text = os.fsdecode(store)
            self._is_private = text == MEMORY
            named = self._is_private or is_url(text) or text.partition("://")[0] in SCHEMES
            # The folder that the program is in may be another one at the first call.
            self._where = text if named else os.path.abspath(text)
        elif store is not None:
            raise TypeError(f"store= is a path, a URL or a torshi.Store, not {type(store).__name__}")
        self._copy = copy

    @property
    def where(self) -> str:
        """How a person names it."""
        if self._store is not None:
            return self._store.where
        return self._where or str(cache_folder() / "results.db")

    @property
    def is_memory(self) -> bool:
        """Whether there is no store, for results are to be handed out as they are and to this process alone."""
        return self._is_private and not self._copy

    def open(self, function: str) -> Shelf:
        """The shelf of a function.

        Raises:
            StoreError, SealError, OSError, ImportError: the store cannot be opened.
        """
        if self._store is not None:
            return Shelf(self._store, function)
        if self._is_private:
            return Shelf(Store(MEMORY), function)
        where = self._where
        if where is None:
            folder = cache_folder()
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            where = str(folder / "results.db")
        return Shelf(_opened(where, DEFAULT_BYTES if self._where is None else None), function)


# Functions with the same place share one store, and so its connections.
_stores: Final[dict[str, Store[Any]]] = {}
_opening = threading.Lock()


def _opened(where: str, max_bytes: int | None) -> Store[Any]:
    with _opening:
        found = _stores.get(where)
        if found is None:
            found = _stores[where] = Store(where, max_bytes=max_bytes)
        return found


def _after_fork() -> None:
    global _opening
    _opening = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
