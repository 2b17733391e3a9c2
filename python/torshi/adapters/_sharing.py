"""What adapters do alike: one store for all instances of a process, keys of any length, reads that may miss.

Settings in, a store out; a row that cannot be read is a miss that is logged, on the logger `torshi.adapters`. Errors of
the place itself (no space, no permission) are no misses and are raised, and nothing here loads what is not sealed.
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from torshi._errors import ConflictError, StoreError
from torshi._store.envelope import MissingSideError
from torshi._store.keys import DATA, Key, encode, shown
from torshi._store.rows import MISSING
from torshi._store.store import Store
from torshi._urls import is_url

__all__ = ["DEFAULT_BYTES", "MISSING", "OPTIONS", "added", "found", "opened", "short_key", "together"]

_T = TypeVar("_T")

_LOG: Final = logging.getLogger("torshi.adapters")

OPTIONS: Final = ("durable", "key", "limits", "max_bytes", "storage_options", "trust", "verify", "wait")
"""Settings of a store that an adapter takes: those of `torshi.Store`, with `wait` for its `timeout`, which frameworks
call something else."""

DEFAULT_BYTES: Final = 1 << 30
"""What a cache may hold unless its settings say something else."""

# Bytes of a text in a key, of 1,024 in all.
_LONGEST: Final = 900

_stores: Final[list[tuple[str, dict[str, Any], Store[Any]]]] = []
_opening = threading.Lock()


def opened(where: str | os.PathLike[str], options: Mapping[str, Any], *, max_bytes: int | None = None) -> Store[Any]:
    """The store of a place: frameworks make an instance for each thread, and all of them share one.

    Args:
        where: a path, ``":memory:"`` or a URL.
        options: of `OPTIONS`.
        max_bytes: the limit, unless the options have one.

    Raises:
        TypeError: there is no such option.
        StoreError: it cannot be opened.
    """
    unknown = sorted(set(options) - set(OPTIONS))
    if unknown:
        raise TypeError(f"no option of a store is called {unknown[0]!r}; there are {', '.join(OPTIONS)}")
    text = os.fsdecode(where)
    if text != ":memory:" and not is_url(text):
        text = os.path.abspath(text)
    settings = {"max_bytes": max_bytes, **options}
    with _opening:
        for place, others, store in _stores:
            if place == text and others == settings:
                return store
        given = dict(settings)
        if "wait" in given:
            given["timeout"] = given.pop("wait")
        store = Store(text, **given)
        _stores.append((text, settings, store))
        return store


def _after_fork() -> None:
    global _opening
    _opening = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def short_key(text: str, longest: int = _LONGEST) -> str:
    """A key that fits into a store: the text itself, or its beginning and a digest of all of it.

    Example:
        >>> short_key("page:1"), len(short_key("x" * 5000))
        ('page:1', 165)
    """
    data = text.encode("utf-8", "surrogatepass")
    if len(data) + data.count(0) <= longest:
        return text
    return f"{data[:100].decode('ascii', 'replace')}#{hashlib.blake2b(data, digest_size=32).hexdigest()}"


def found(store: Store[Any], key: Key) -> Any:
    """The value of a key; `MISSING` if it is not there, or there is something that cannot be read.

    Raises:
        StoreError: the store cannot be read.
    """
    try:
        return store.get(key, MISSING)
    except Exception as error:
        _demand_a_miss(store, key, error)
        return MISSING


def _demand_a_miss(store: Store[Any], key: Key, error: Exception) -> None:
    """Logs an error of one value, and raises one of something else again."""
    is_place = isinstance(error, StoreError) and not isinstance(error, MissingSideError)
    if is_place or isinstance(error, MemoryError):
        raise error
    _LOG.warning("%s: the value of %s cannot be read and counts as absent: %s", store.where, shown(key), error)


def added(store: Store[Any], key: Key, value: object, *, ttl: float | None) -> bool:
    """Puts a value if there is none that can be read; whether it was put. Of several who ask at once one puts it.

    Raises:
        StoreError: the store cannot be written to.
        PicklingError: the value cannot be pickled.
    """
    while not store.add(key, value, ttl=ttl):
        row = store._now().get(encode(DATA, key))
        if row is None:
            continue
        try:
            if store._value_of(row) is not MISSING:
                return False
        except Exception as error:
            _demand_a_miss(store, key, error)
            if store.replace(key, value, row.version, ttl=ttl):
                return True
    return True


def together(store: Store[Any], action: Callable[[], _T]) -> _T:
    """What a function returns that is run in a transaction, again if somebody else was faster."""
    while True:
        try:
            with store.transaction():
                return action()
        except ConflictError:
            continue
