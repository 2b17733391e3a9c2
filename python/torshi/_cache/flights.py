"""One computation at a time for each key of a process: who computes, who waits, and who must not wait.

The first to ask for a key leads its flight; others wait until it has landed and take what came out. Whoever already
computes the key further up its own calls, or would close a circle of flights that wait for each other, is told to
compute for itself: nobody waits for himself. Threads and tasks of any event loop may share a flight. Nothing here
computes, and nothing here knows of other processes.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from contextvars import ContextVar, Token
from typing import Any, Final

__all__ = ["Flight", "Flights", "is_leading"]


class Flight:
    """A computation under way.

    Attributes:
        home: the flights of its function.
        key: of the call.
        value: what came out, once it has landed.
        error: what was raised instead.
        is_abandoned: whether its leader was cancelled, was interrupted or gave up, so that somebody else must lead.
        is_forgotten: whether the result is no longer wanted for later calls.
    """

    __slots__ = (
        "_callbacks",
        "_event",
        "error",
        "home",
        "is_abandoned",
        "is_forgotten",
        "is_landed",
        "key",
        "value",
        "waits",
    )

    def __init__(self, home: Flights, key: bytes) -> None:
        self.home = home
        self.key = key
        self.value: Any = None
        self.error: BaseException | None = None
        self.is_abandoned = False
        self.is_forgotten = False
        self.is_landed = False
        self.waits: list[Flight] = []
        self._callbacks: list[Callable[[], object]] = []
        self._event: threading.Event | None = None

    def wait(self, timeout: float | None = None) -> bool:
        """Blocks the thread until it has landed; False after `timeout` seconds."""
        with _lock:
            if self.is_landed:
                return True
            if self._event is None:
                self._event = threading.Event()
            event = self._event
        return event.wait(timeout)

    def when_landed(self, callback: Callable[[], object]) -> None:
        """Calls back once, from whatever thread it lands in; at once if it has."""
        with _lock:
            if not self.is_landed:
                self._callbacks.append(callback)
                return
        callback()


# One for all: it is held for a few steps at a time, and circles go through many functions.
_lock = threading.Lock()
_leads: Final[ContextVar[tuple[Flight, ...]]] = ContextVar("torshi_cache_leads", default=())


def is_leading(beside: Flight) -> bool:
    """Whether this thread or task computes something else that others may wait for."""
    return any(flight is not beside for flight in _leads.get())


class Flights:
    """The computations of one function that are under way."""

    def __init__(self) -> None:
        self._under_way: dict[bytes, Flight] = {}
        _all.add(self)

    def join(self, key: bytes) -> tuple[Flight | None, bool]:
        """A flight, and whether to lead it. Without one: compute without waiting for anybody.

        Whoever leads must call `enter` before and `land` after.
        """
        held = _leads.get()
        if any(mine.home is self and mine.key == key and not mine.is_landed for mine in held):
            return None, False
        with _lock:
            flight = self._under_way.get(key)
            if flight is None:
                flight = self._under_way[key] = Flight(self, key)
                return flight, True
            if held and _reaches(flight, held):
                return None, False
            for mine in held:
                mine.waits.append(flight)
        return flight, False

    def left(self, flight: Flight) -> None:
        """Says that this thread or task no longer waits for a flight."""
        held = _leads.get()
        if held:
            with _lock:
                for mine in held:
                    if flight in mine.waits:
                        mine.waits.remove(flight)

    def enter(self, flight: Flight) -> Token[tuple[Flight, ...]]:
        """Notes that what is called from here on is part of a flight."""
        return _leads.set((*_leads.get(), flight))

    def leave(self, token: Token[tuple[Flight, ...]]) -> None:
        _leads.reset(token)

    def land(
        self, flight: Flight, value: Any = None, error: BaseException | None = None, *, is_abandoned: bool = False
    ) -> None:
        """Ends a flight: with a result, an error that all shall have, or so that somebody else must lead."""
        with _lock:
            if self._under_way.get(flight.key) is flight:
                del self._under_way[flight.key]
            flight.value, flight.error = value, error
            # What interrupts the leader is meant for him alone.
            flight.is_abandoned = is_abandoned or (error is not None and not isinstance(error, Exception))
            flight.is_landed = True
            flight.waits.clear()
            event, callbacks = flight._event, flight._callbacks
            flight._callbacks = []
        if event is not None:
            event.set()
        for callback in callbacks:
            callback()

    def forget(self, key: bytes) -> bool:
        """Has the next to ask for a key compute anew, and the result under way not be kept."""
        with _lock:
            flight = self._under_way.pop(key, None)
            if flight is not None:
                flight.is_forgotten = True
        return flight is not None

    def forget_all(self) -> None:
        with _lock:
            flights = list(self._under_way.values())
            self._under_way.clear()
            for flight in flights:
                flight.is_forgotten = True

    def is_under_way(self, key: bytes) -> bool:
        return key in self._under_way


def _reaches(start: Flight, held: tuple[Flight, ...]) -> bool:
    """Whether a flight waits, itself or through others, for one of those that are held."""
    waiting, seen = [start], {id(start)}
    while waiting:
        flight = waiting.pop()
        if flight in held:
            return True
        for further in flight.waits:
            if id(further) not in seen:
                seen.add(id(further))
                waiting.append(further)
    return False


_all: Final[weakref.WeakSet[Flights]] = weakref.WeakSet()


def _after_fork() -> None:
    """In a child only the thread that forked goes on: whoever leads other flights is not there."""
    global _lock
    _lock = threading.Lock()
    for flights in list(_all):
        flights._under_way.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
