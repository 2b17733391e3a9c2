"""dogpile.cache: a backend on a store, with locks that hold between processes.

Values of a region in, rows of a store out, each a pair of payload and metadata, so that no class of dogpile's has to be
in a policy. A row that was forged or cannot be read is `NO_VALUE`, and an error of the place is raised.

The backend is known as ``torshi``, by an entry point of the distribution, or once this module has been imported::

    region = make_region().configure(
        "torshi",
        expiration_time=3600,
        arguments={"location": "cache.db", "distributed_lock": True},
    )
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Mapping
from typing import Any, Final

try:
    from dogpile.cache import register_backend
    from dogpile.cache.api import NO_VALUE, CacheBackend, CachedValue
except ImportError as error:
    raise ImportError(f"torshi.adapters.dogpile needs dogpile.cache: pip install dogpile.cache ({error})") from error

from torshi._store.store import Store
from torshi.adapters._sharing import DEFAULT_BYTES, added, found, opened, short_key, together

__all__ = ["TorshiBackend"]

_NAME: Final = "torshi"
# Locks have a space of their own beside values, which are under text.
_LOCK: Final = "dogpile.lock"
_FIRST_WAIT: Final = 0.001
_LONGEST_WAIT: Final = 0.1


class TorshiBackend(CacheBackend):
    """A backend of dogpile.cache whose values are in a `torshi.Store`, which it has to itself.

    Args:
        arguments: ``location``, where the store is; ``expiration_time``, seconds after which a row is removed, longer
            than the region's; ``distributed_lock``, whether one process at a time makes a value; ``lock_timeout``,
            seconds after which the lock of a process that was killed is free (60); and settings of `torshi.Store`
            (``wait`` for its ``timeout``).

    Raises:
        TypeError: there is no location, or no such argument.
        StoreError: the store cannot be opened.

    Example:
        >>> import torshi.adapters.dogpile
        >>> from dogpile.cache import make_region
        >>> region = make_region().configure("torshi", arguments={"location": "cache.db"})
        >>> region.get_or_create("answer", lambda: 42), region.get("answer")
        (42, 42)
    """

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        options = dict(arguments)
        try:
            location = options.pop("location")
        except KeyError:
            raise TypeError("the torshi backend of dogpile.cache needs the argument location: a path or URL") from None
        self._expiration: float | None = options.pop("expiration_time", None)
        self._is_locking = bool(options.pop("distributed_lock", False))
        self._lock_timeout: float = options.pop("lock_timeout", 60)
        self._store = opened(location, options, max_bytes=DEFAULT_BYTES)

    def get_mutex(self, key: str) -> Any:
        return _Mutex(self._store, (_LOCK, short_key(key)), self._lock_timeout) if self._is_locking else None

    def get(self, key: str) -> Any:
        value = found(self._store, short_key(key))
        if isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], dict):
            return CachedValue(*value)
        return value if isinstance(value, bytes) else NO_VALUE

    def get_multi(self, keys: Iterable[str]) -> list[Any]:
        return [self.get(key) for key in keys]

    def set(self, key: str, value: Any) -> None:
        # Bytes are what a region gives that has a serializer of its own.
        row = value if isinstance(value, bytes) else (value[0], dict(value[1]))
        self._store.set(short_key(key), row, ttl=self._expiration)

    def set_multi(self, mapping: Mapping[str, Any]) -> None:
        def put_all() -> None:
            for key, value in mapping.items():
                self.set(key, value)

        together(self._store, put_all)

    def delete(self, key: str) -> None:
        self._store.delete(short_key(key))

    def delete_multi(self, keys: Iterable[str]) -> None:
        def delete_all() -> None:
            for key in keys:
                self.delete(key)

        together(self._store, delete_all)


class _Mutex:
    """A lock of one key, for all threads and processes that have the store; it is free again when its time is over."""

    def __init__(self, store: Store[Any], key: tuple[str, str], timeout: float) -> None:
        self._store = store
        self._key = key
        self._timeout = timeout
        self._token = secrets.token_hex(16)

    def acquire(self, wait: bool = True) -> bool:
        pause = _FIRST_WAIT
        while not added(self._store, self._key, self._token, ttl=self._timeout):
            if not wait:
                return False
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_WAIT)
        return True

    def release(self) -> None:
        """Gives the lock back, unless its time was over and somebody else has it."""

        def give_back() -> None:
            if found(self._store, self._key) == self._token:
                self._store.delete(self._key)

        together(self._store, give_back)

    def locked(self) -> bool:
        return self._key in self._store


register_backend(_NAME, __name__, TorshiBackend.__name__)
