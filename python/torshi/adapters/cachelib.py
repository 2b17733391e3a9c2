"""cachelib: a cache on a store, for whatever takes one of cachelib's, such as Flask-Session.

Keys and objects in, rows of a store out. A timeout of 0 is none, as everywhere in cachelib. A row that was forged or
cannot be read is a miss, and an error of the place is raised. For Flask-Caching see `torshi.adapters.flask_caching`.

::

    cache = TorshiCache("cache.db", default_timeout=300)
"""

from __future__ import annotations

import os
from typing import Any

try:
    from cachelib import BaseCache
except ImportError as error:
    raise ImportError(f"torshi.adapters.cachelib needs cachelib: pip install cachelib ({error})") from error

from torshi.adapters._sharing import DEFAULT_BYTES, MISSING, OPTIONS, added, found, opened, short_key, together

__all__ = ["TorshiCache"]


class TorshiCache(BaseCache):
    """A cache of cachelib's whose values are in a `torshi.Store`, which it has to itself.

    Args:
        location: where the store is.
        default_timeout: seconds that a value lives, if nothing else is said; 0 for ever.
        settings: those of `torshi.Store` (``wait`` for its ``timeout``), and what cachelib's base class takes.

    Raises:
        StoreError: the store cannot be opened.

    Example:
        >>> from torshi.adapters.cachelib import TorshiCache
        >>> cache = TorshiCache("cache.db", default_timeout=60)
        >>> cache.set("user:7", {"name": "Ada"})
        True
        >>> cache.get("user:7"), cache.has("user:8")
        ({'name': 'Ada'}, False)
    """

    def __init__(self, location: str | os.PathLike[str], default_timeout: Any = 300, **settings: Any) -> None:
        options: dict[str, Any] = {name: settings.pop(name) for name in OPTIONS if name in settings}
        super().__init__(default_timeout, **settings)
        self._store = opened(location, options, max_bytes=DEFAULT_BYTES)

    def _ttl(self, timeout: Any) -> float | None:
        """Seconds to live, of which fewer than none mean that nothing is kept; None for ever."""
        seconds: float = self._normalize_timeout(timeout)
        return None if seconds == 0 else seconds

    def get(self, key: str) -> Any:
        value = found(self._store, short_key(key))
        return None if value is MISSING else value

    def set(self, key: str, value: Any, timeout: Any = None) -> bool:
        self._store.set(short_key(key), value, ttl=self._ttl(timeout))
        return True

    def add(self, key: str, value: Any, timeout: Any = None) -> bool:
        return added(self._store, short_key(key), value, ttl=self._ttl(timeout))

    def set_many(self, mapping: dict[str, Any], timeout: Any = None) -> list[Any]:
        def put_all() -> list[Any]:
            return [key for key, value in mapping.items() if self.set(key, value, timeout)]

        return together(self._store, put_all)

    def delete(self, key: str) -> bool:
        return self._store.delete(short_key(key))

    def has(self, key: str) -> bool:
        return short_key(key) in self._store

    def clear(self) -> bool:
        self._store.clear()
        return True

    def inc(self, key: str, delta: int = 1) -> int | None:
        """Adds to a number, which is 0 if it is not there; expiry stays. None if there is something else."""
        place = short_key(key)

        def add_to() -> int | None:
            value = found(self._store, place)
            if value is MISSING:
                self._store.set(place, delta, ttl=self._ttl(None))
                return delta
            return self._store.incr(place, delta)

        try:
            return together(self._store, add_to)
        except TypeError:
            return None

    def dec(self, key: str, delta: int = 1) -> int | None:
        """Takes from a number, as `inc` adds."""
        return self.inc(key, -delta)
