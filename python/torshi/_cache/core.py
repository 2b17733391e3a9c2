"""One cached function: what it was decorated with, where its results are, and each thing that is done with them.

Joins the parts: a call becomes a key, a key an entry, in memory and on the shelf. Errors of a store end here as events.
The order in which these things are done is in `lookup`, and nothing here runs the function.
"""

from __future__ import annotations

import inspect
import math
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from torshi._cache.calls import Signature
from torshi._cache.events import CacheInfo, Teller
from torshi._cache.flights import Flights
from torshi._cache.meaning import Meaning, bound_to, identity, meaning
from torshi._cache.memory import Entry, Memory
from torshi._cache.weight import weight
from torshi._digest import digest
from torshi._errors import StoreError

if TYPE_CHECKING:
    from torshi._cache.lease import Lease
    from torshi._cache.shelf import Shelf, Source

__all__ = ["Call", "Core", "Options"]

# How long a store that could not be opened is left alone, in seconds.
_REST: Final = 30.0
_NO_CODE: Final = Meaning(b"", {})


@dataclass(frozen=True, slots=True)
class Options:
    """What a function was decorated with; `torshi.cache` says what each is."""

    source: Source
    ttl: float | None = None
    tags: tuple[str, ...] | Callable[..., Iterable[str]] = ()
    ignore: tuple[str, ...] = ()
    key: Callable[..., Any] | None = None
    version: object = None
    code: bool = True
    max_bytes: int | None = None
    max_entries: int | None = None
    refresh_ahead: float | None = None
    exceptions: tuple[type[Exception], ...] = ()
    copy: bool = False
    fresh: float = 1.0
    lease: float = 10.0
    on_event: Callable[..., object] | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """A call of the function.

    Attributes:
        key: 32 bytes, the same for all calls that are the same.
        args: as it was called.
        kwargs: as it was called.
    """

    key: bytes
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


class Core:
    """A cached function, without the way in which it is called."""

    def __init__(self, function: Callable[..., Any], options: Options) -> None:
        self.function = function
        self.options = options
        self.name = identity(function)
        self.signature = Signature(function, options.ignore)
        self.memory = Memory(0 if options.copy else options.max_bytes, 0 if options.copy else options.max_entries)
        self.flights = Flights()
        self.tell = Teller(self.name, options.on_event)
        self.exceptions = options.exceptions
        self.fresh = options.fresh
        self.lease = options.lease
        # Set by whoever can run the function: a thread, or a task.
        self.refresh_later: Callable[[Call], object] = lambda call: None
        self._is_method = _is_in_class(function)
        self._meanings: dict[type | None, Meaning] = {}
        self._bound: bytes | None = None
        self._is_interactive = options.code and hasattr(sys, "ps1")
        self._meant = time.monotonic()
        self._shelf: Shelf | None = None
        self._closed_until = -math.inf
        self.renew_locks()
        _all.add(self)

    def renew_locks(self) -> None:
        """After a fork."""
        self._opening = threading.Lock()
        self._meaning = threading.RLock()
        self.memory.renew_lock()

    # Keys

    def meaning(self, owner: type | None = None) -> Meaning:
        """Of the function's code; computed once for each class of instances that a method is called with.

        At a prompt or in a notebook it is looked at again from time to time, for there functions are defined anew.
        """
        if self._is_interactive and time.monotonic() > self._meant + self.fresh:
            self._meanings.clear()
            self._meant = time.monotonic()
        found = self._meanings.get(owner)
        if found is None:
            # What the code refers to may change meanwhile: whoever calls first says what it means.
            with self._meaning:
                found = self._meanings.get(owner)
                if found is None:
                    found = meaning(self.function, owner) if self.options.code else _NO_CODE
                    self._meanings[owner] = found
        return found

    def _bound_digest(self) -> bytes:
        if self._bound is None:
            with self._meaning:
                if self._bound is None:
                    self._bound = bound_to(self.function)
        return self._bound

    def call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call | None:
        """A call with its key, or None if the function cannot be called like that.

        Raises:
            TypeError: an argument cannot be digested.
            Exception: what `key=` raised.
        """
        bound = self.signature.bound(args, kwargs)
        if bound is None:
            return None
        owner = None
        if self._is_method and args:
            owner = args[0] if isinstance(args[0], type) else type(args[0])
        code = self.meaning(owner).digest
        whose = (self.name, self.options.version, code, self._bound_digest())
        if self.options.key is not None:
            value = self.options.key(*args, **kwargs)
            try:
                return Call(digest((whose, "key", value)), args, kwargs)
            except Exception as error:
                raise TypeError(f"what key= returned for a call of {self.name} cannot be digested: {error}") from error
        return Call(self.signature.key(self.name, whose, bound), args, kwargs)

    # Entries

    def entry(self, call: Call, value: Any, failed: bool) -> Entry:
        """An entry of what was just computed."""
        ttl, now = self.options.ttl, time.monotonic()
        expires = math.inf if ttl is None else now + ttl
        tags = self.options.tags
        named = tuple(tags(*call.args, **call.kwargs)) if callable(tags) else tags
        return Entry(call.key, value, failed=failed, expires=expires, refresh=self._refresh_at(expires), tags=named)

    def _refresh_at(self, expires: float) -> float:
        ahead, ttl = self.options.refresh_ahead, self.options.ttl
        if ahead is None or ttl is None:
            return math.inf
        return expires - (ahead * ttl if ahead < 1 else ahead)

    def admit(self, entry: Entry, now: float) -> None:
        """Lets an entry be handed out without a further look until something about it has to be looked at."""
        if not entry.failed and self.memory.by_key.get(entry.key) is entry:
            entry.until = self._until(entry, now)
            entry.used = now

    def _until(self, entry: Entry, now: float) -> float:
        lasts = self.options.source.is_memory and not self._is_interactive
        look = math.inf if lasts else entry.seen + self.fresh
        return min(entry.expires, entry.refresh, look)

    def remember(self, entry: Entry) -> None:
        """Keeps an entry in memory, if that has room for it."""
        if self.options.copy:
            return
        entry.weight = weight(entry.value)
        self.memory.put(entry, self._until(entry, time.monotonic()))

    # The store

    def glance(self, call: Call) -> Entry | None:
        """What a local store has for a call that memory has not: to look costs less than to agree on who does."""
        shelf = self._shelf
        if shelf is None or not shelf.is_local or call.key in self.memory.by_key:
            return None
        entry = self.read(shelf, call)
        if entry is not None:
            self.hasten(entry, call)
        return entry

    def hasten(self, entry: Entry, call: Call) -> None:
        """Has a result that will soon run out be computed anew in the background, unless it already is."""
        if time.monotonic() >= entry.refresh and not self.flights.is_under_way(call.key):
            entry.refresh = math.inf
            self.refresh_later(call)

    @property
    def shelf_if_open(self) -> Shelf | None:
        return self._shelf

    @property
    def is_open(self) -> bool:
        """Whether `open_shelf` has nothing to do."""
        return self._shelf is not None or self.options.source.is_memory

    def open_shelf(self) -> Shelf | None:
        """The shelf, opened at the first call; None where there is none, or it cannot be opened."""
        if self.is_open or time.monotonic() < self._closed_until:
            return self._shelf
        with self._opening:
            if self._shelf is None and time.monotonic() >= self._closed_until:
                try:
                    self._shelf = self.options.source.open(self.name)
                except Exception as error:  # whatever stands in the way: results are kept in memory
                    self._closed_until = time.monotonic() + _REST
                    self.tell("unavailable", error=error)
        return self._shelf

    def read(self, shelf: Shelf, call: Call, kind: str = "store", since: float = 0.0) -> Entry | None:
        """What the store has for a call, put into memory; None if nothing, or nothing that can be read.

        Args:
            kind: the event that it is, if it is there.
            since: a result from before this time, in seconds since 1970, counts as none.
        """
        try:
            record = shelf.get(call.key)
        except StoreError as error:
            self.tell("unavailable", call.key, error=error)
            return None
        except Exception as error:
            # Not sealed by us, of a class that is gone or raises: there is nothing but to compute it again.
            self.tell("unreadable", call.key, error=error)
            return None
        if record is None or record.created < since:
            return None
        expires, wall, now = math.inf, time.time(), time.monotonic()
        ttl = self.options.ttl
        ends = [end for end in (record.expires, None if ttl is None else record.created + ttl) if end is not None]
        if ends:
            expires = now + min(ends) - wall
            if expires <= now:
                return None
        entry = Entry(
            call.key,
            record.value,
            failed=record.failed,
            expires=expires,
            refresh=self._refresh_at(expires),
            version=record.version,
            tags=record.tags,
        )
        self.remember(entry)
        self.tell(kind, call.key)
        return entry

    def is_still_there(self, shelf: Shelf, entry: Entry) -> bool:
        """Whether the store has what an entry in memory is of; a store that cannot be asked has no say."""
        if entry.version is None:
            return True
        try:
            return shelf.version(entry.key) == entry.version
        except StoreError as error:
            self.tell("unavailable", entry.key, error=error)
            return True

    def acquire(self, shelf: Shelf, key: bytes) -> Lease | Literal["held"] | None:
        """The lease of a key; None where there can be none."""
        try:
            return shelf.acquire(key, self.lease)
        except StoreError as error:
            self.tell("unavailable", key, error=error)
            return None

    def write(self, shelf: Shelf, entry: Entry, lease: Lease | None) -> bool:
        """Stores an entry and ends its lease; False if it is not stored, for it was forgotten meanwhile."""
        ttl = self.options.ttl
        try:
            entry.version = shelf.put(entry.key, entry.value, entry.failed, ttl, entry.tags, lease)
            return entry.version is not None
        except StoreError as error:
            self.tell("unavailable", entry.key, error=error)
        except Exception as error:
            self.tell("unstorable", entry.key, error=error)
        return True

    def peek(self, call: Call) -> Entry:
        """What is kept for a call.

        Raises:
            KeyError: nothing.
        """
        entry = self.memory.by_key.get(call.key)
        shelf = self.open_shelf()
        if entry is not None and time.monotonic() < entry.expires:
            if shelf is None or self.is_still_there(shelf, entry):
                return entry
            self.memory.drop([call.key])
        entry = self.read(shelf, call, "store") if shelf is not None else None
        if entry is None:
            raise KeyError(f"no result of {self.name} is kept for these arguments")
        return entry

    def forget(self, call: Call) -> bool:
        """Forgets a result, here and in the store; whether there was one."""
        found = self.flights.forget(call.key)
        shelf = self.open_shelf()
        if shelf is not None:
            try:
                found |= shelf.forget(call.key, self.lease)
            except StoreError as error:
                self.tell("unavailable", call.key, error=error)
        found |= self.memory.drop([call.key]) > 0
        self.tell("forgotten", call.key)
        return found

    def evict(self, tag: str) -> int:
        """Forgets the results with a tag: of this function in memory, and of all in the store."""
        shelf, count = self.open_shelf(), 0
        if shelf is not None:
            try:
                count = shelf.evict(tag)
            except StoreError as error:
                self.tell("unavailable", error=error)
        return max(count, self.memory.drop(self.memory.tagged(tag)))

    def clear(self) -> None:
        """Forgets all results, here and in the store, and what was counted."""
        self.flights.forget_all()
        shelf = self.open_shelf()
        if shelf is not None:
            try:
                shelf.clear(self.lease)
            except StoreError as error:
                self.tell("unavailable", error=error)
        self.memory.clear()
        self.tell.counts.clear()

    # What is known

    def info(self) -> CacheInfo:
        counts = self.tell.counts
        return CacheInfo(
            hits=counts.memory + counts.store + counts.shared,
            misses=counts.computed + counts.raised,
            maxsize=self.memory.max_entries,
            currsize=len(self.memory),
            memory=counts.memory,
            store=counts.store,
            shared=counts.shared,
            errors=counts.raised,
            unreadable=counts.unreadable,
            unavailable=counts.unavailable,
            bytes=self.memory.bytes,
        )

    def parameters(self) -> dict[str, Any]:
        options = self.options
        return {
            "maxsize": options.max_entries,
            "typed": True,
            "function": self.name,
            "store": options.source.where,
            "ttl": options.ttl,
            "tags": options.tags,
            "ignore": options.ignore,
            "key": options.key,
            "version": options.version,
            "code": dict(self.meaning().parts),
            "max_bytes": options.max_bytes,
            "refresh_ahead": options.refresh_ahead,
            "exceptions": options.exceptions,
            "copy": options.copy,
            "fresh": options.fresh,
            "lease": options.lease,
        }


def _is_in_class(function: Callable[..., Any]) -> bool:
    names = getattr(inspect.unwrap(function), "__qualname__", "").split(".")
    return len(names) > 1 and names[-2] != "<locals>"


_all: Final[weakref.WeakSet[Core]] = weakref.WeakSet()


def _after_fork() -> None:
    """In a child process: whoever held a lock at the moment of the fork is not there."""
    for core in list(_all):
        core.renew_locks()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
