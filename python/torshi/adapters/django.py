"""Django: a cache backend on a store, and a serializer of sessions that loads under a policy.

Keys and objects of Django's cache in, rows of a store out. Expiry, versions and prefixes are as in Django's own
backends. A row that was forged or cannot be read is a miss, and an error of the place is raised. Never loads a session
that uses more than the policy has.

The cache::

    CACHES = {
        "default": {
            "BACKEND": "torshi.adapters.django.Cache",
            "LOCATION": BASE_DIR / "cache.db",       # or ":memory:", or "redis://..."
            "TIMEOUT": 300,
            "OPTIONS": {"max_bytes": 256 * 1024**2},  # 1 GiB if absent
        }
    }

Sessions that hold more than JSON can::

    SESSION_SERIALIZER = "torshi.adapters.django.SessionSerializer"
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

try:
    from django.core.cache.backends.base import DEFAULT_TIMEOUT, BaseCache
    from django.core.exceptions import ImproperlyConfigured
except ImportError as error:
    raise ImportError(f"torshi.adapters.django needs Django: pip install django ({error})") from error

from torshi import _native
from torshi._pickler import dumps
from torshi._policy import Trust, policy_of
from torshi._unpickler import loads
from torshi.adapters._sharing import DEFAULT_BYTES, MISSING, added, found, opened, short_key, together

__all__ = ["Cache", "SessionSerializer"]


class Cache(BaseCache):
    """A cache of Django's whose values are in a `torshi.Store`, which it has to itself.

    Args:
        location: where the store is.
        params: the settings. Their ``OPTIONS`` are those of `torshi.Store` (``wait`` for its ``timeout``); when values
            take more than ``max_bytes``, those go first that were not used for the longest time.

    Raises:
        ImproperlyConfigured: there is no such option. ``MAX_ENTRIES`` and ``CULL_FREQUENCY`` are none.
        StoreError: the store cannot be opened.

    Example:
        >>> from torshi.adapters.django import Cache
        >>> cache = Cache("cache.db", {"TIMEOUT": 60, "VERSION": 2})
        >>> cache.set("front", {"articles": [3, 1]})
        >>> cache.get("front"), cache.get("front", version=1)
        ({'articles': [3, 1]}, None)
    """

    def __init__(self, location: str, params: Mapping[str, Any]) -> None:
        super().__init__(params)
        try:
            self._store = opened(location, params.get("OPTIONS") or {}, max_bytes=DEFAULT_BYTES)
        except TypeError as error:
            raise ImproperlyConfigured(f"torshi.adapters.django.Cache: {error}") from error

    def _key(self, key: str, version: int | None) -> str:
        return short_key(self.make_and_validate_key(key, version=version))

    def _ttl(self, timeout: Any) -> float | None:
        """Seconds to live, of which none or fewer mean that nothing is kept; None for ever."""
        seconds = self.default_timeout if timeout is DEFAULT_TIMEOUT else timeout
        return None if seconds is None else float(seconds)

    def _put(self, key: str, value: Any, ttl: float | None) -> None:
        if ttl is not None and ttl <= 0:
            self._store.delete(key)
        else:
            self._store.set(key, value, ttl=ttl)

    def add(self, key: str, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        place, ttl = self._key(key, version), self._ttl(timeout)
        if ttl is not None and ttl <= 0:
            return found(self._store, place) is MISSING
        return added(self._store, place, value, ttl=ttl)

    def get(self, key: str, default: Any = None, version: int | None = None) -> Any:
        value = found(self._store, self._key(key, version))
        return default if value is MISSING else value

    def set(self, key: str, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> None:
        self._put(self._key(key, version), value, self._ttl(timeout))

    def touch(self, key: str, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        place, ttl = self._key(key, version), self._ttl(timeout)
        if ttl is not None and ttl <= 0:
            return self._store.delete(place)
        return self._store.touch(place, ttl)

    def delete(self, key: str, version: int | None = None) -> bool:
        return self._store.delete(self._key(key, version))

    def set_many(
        self, data: Mapping[str, Any], timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> list[str]:
        ttl = self._ttl(timeout)
        rows = [(self._key(key, version), value) for key, value in data.items()]

        def put_all() -> None:
            for key, value in rows:
                self._put(key, value, ttl)

        together(self._store, put_all)
        return []

    def delete_many(self, keys: Any, version: int | None = None) -> None:
        rows = [self._key(key, version) for key in keys]

        def delete_all() -> None:
            for key in rows:
                self._store.delete(key)

        together(self._store, delete_all)

    def incr(self, key: str, delta: int = 1, version: int | None = None) -> int:
        place = self._key(key, version)

        def add_to() -> int:
            if found(self._store, place) is MISSING:
                raise ValueError(f"Key {key!r} not found")
            return self._store.incr(place, delta)

        return together(self._store, add_to)

    def clear(self) -> None:
        self._store.clear()

    # `close` is called at the end of each request: connections are of threads and stay.


class SessionSerializer:
    """Turns a session into bytes and back, under the default policy: plain data, dates, decimals, UUIDs and the like.

    For classes of your own derive one that says which, and name that in ``SESSION_SERIALIZER``.

    Attributes:
        trust: what sessions may use beyond the default policy: as for `loads`.

    Example:
        >>> import datetime
        >>> from torshi.adapters.django import SessionSerializer
        >>> serializer = SessionSerializer()
        >>> serializer.loads(serializer.dumps({"since": datetime.date(2026, 11, 28)}))
        {'since': datetime.date(2026, 11, 28)}
    """

    trust: Trust = None

    def dumps(self, obj: Any) -> bytes:
        """The bytes of a session.

        Raises:
            PicklingError: something cannot be pickled.
            UntrustedError: something uses what the policy has not, and so could not be loaded.
        """
        data = dumps(obj)
        _native.check(data, policy_of(self.trust)._inner)
        return data

    def loads(self, data: bytes) -> Any:
        """The session of some bytes. Django takes whatever is raised for an empty session.

        Raises:
            UntrustedError, MalformedError, LimitError: as `torshi.loads`.
        """
        return loads(data, trust=self.trust)
