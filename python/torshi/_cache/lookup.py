"""A call into its result, step by step: memory, flight, store, lease, computation.

Written once for functions and coroutine functions: a generator says what it needs done next, and a driver does it by
blocking or by awaiting. Whatever goes wrong with a store ends in a computation; only what the function raises, or what
interrupts it, reaches the caller.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Awaitable, Callable, Generator, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from torshi._cache.flights import Flight, is_leading
from torshi._cache.lease import HELD, Lease
from torshi._cache.memory import Entry

if TYPE_CHECKING:
    from torshi._cache.core import Call, Core
    from torshi._cache.shelf import Shelf

__all__ = ["Ask", "Compute", "Land", "Pause", "Steps", "drive", "drive_async", "lookup", "renewal"]

# Between two looks at a store for what another process computes, in seconds: from, to.
_PAUSES: Final = (0.002, 0.1)


@dataclass(frozen=True, slots=True)
class Compute:
    """Runs the function with the arguments of the call."""

    call: Call


@dataclass(frozen=True, slots=True)
class Pause:
    """Lets time pass."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Land:
    """Waits until a flight has landed."""

    flight: Flight


@dataclass(frozen=True, slots=True)
class Ask:
    """Asks the store, which may take time; `is_quick` if it is but a look at a local one.

    An answer that nobody waits for any more, for a thread cannot be cancelled like a task, is given to `undo`.
    """

    question: Callable[[], Any]
    is_quick: bool = False
    undo: Callable[[Any], object] | None = None


Step: TypeAlias = Compute | Pause | Land | Ask
Steps: TypeAlias = Generator[Step, Any, Entry]


def lookup(core: Core, call: Call) -> Steps:
    """The result of a call, from wherever it is had for the least."""
    while True:
        entry = yield from _remembered(core, call)
        if entry is not None:
            return entry
        flight, leads = core.flights.join(call.key)
        if flight is None:
            # Computed further up this very stack, or by somebody who waits for us: waiting would never end.
            return (yield from _computed(core, call, None, core.shelf_if_open, None))
        if leads:
            led: Entry = yield from _flown(core, flight, _led(core, call, flight))
            return led
        try:
            yield Land(flight)
        finally:
            core.flights.left(flight)
        if not flight.is_abandoned:
            return (yield from _landed_entry(core, call, flight))


def renewal(core: Core, call: Call, *, in_background: bool) -> Generator[Step, Any, Entry | None]:
    """The result of a call, computed anew: for all that ask from now on, or, in the background, if nobody else does."""
    if not in_background:
        core.flights.forget(call.key)
    while True:
        flight, leads = core.flights.join(call.key)
        if flight is None:
            return (yield from _computed(core, call, None, core.shelf_if_open, None, "refreshed"))
        if leads:
            steps = _led_in_background(core, call, flight) if in_background else _led(core, call, flight, anew=True)
            led: Entry | None = yield from _flown(core, flight, steps)
            return led
        try:
            if in_background:
                return None
            yield Land(flight)
        finally:
            core.flights.left(flight)
        if not flight.is_abandoned:
            return (yield from _landed_entry(core, call, flight))


def _landed_entry(core: Core, call: Call, flight: Flight) -> Steps:
    """What came out of a flight of somebody else.

    Raises:
        Exception: that which its leader got.
    """
    shelf = core.shelf_if_open
    if flight.error is None and core.options.copy and shelf is not None:
        own: Entry | None = yield Ask(lambda: core.read(shelf, call, "shared"), shelf.is_local)
        if own is not None:
            return own
    core.tell("shared", call.key)
    if flight.error is not None:
        raise flight.error
    entry: Entry = flight.value
    return entry


def _remembered(core: Core, call: Call) -> Generator[Step, Any, Entry | None]:
    """The entry in memory, after a look at whether the store still has it."""
    entry = core.memory.by_key.get(call.key)
    now = time.monotonic()
    if entry is None or entry.expires <= now:
        return None
    shelf = core.shelf_if_open
    if shelf is not None and now >= entry.seen + core.fresh:
        if not (yield Ask(lambda: core.is_still_there(shelf, entry), shelf.is_local)):
            core.memory.drop([call.key])
            return None
        entry.seen = now
    core.hasten(entry, call)
    core.admit(entry, now)
    core.tell("memory", call.key)
    return entry


def _flown(core: Core, flight: Flight, steps: Generator[Step, Any, Any]) -> Generator[Step, Any, Any]:
    """Steps of the leader of a flight, which lands however they end."""
    token = core.flights.enter(flight)
    try:
        entry = yield from steps
    except BaseException as error:
        core.flights.land(flight, error=error)
        raise
    finally:
        core.flights.leave(token)
    core.flights.land(flight, entry, is_abandoned=entry is None)
    return entry


def _led(core: Core, call: Call, flight: Flight, *, anew: bool = False) -> Steps:
    """Steps of a leader: what memory or the store have by now, or a computation under a lease."""
    if not anew:
        entry = yield from _remembered(core, call)
        if entry is not None:
            return entry
    shelf: Shelf | None = yield Ask(core.open_shelf, core.is_open)
    if shelf is None:
        return (yield from _computed(core, call, flight, None, None, "refreshed" if anew else "computed"))
    since = time.time() if anew else 0.0
    if not anew and not shelf.is_local:
        found: Entry | None = yield Ask(lambda: core.read(shelf, call))
        if found is not None:
            core.hasten(found, call)
            return found
    nested, waited, began = is_leading(beside=flight), False, time.monotonic()
    for pause in _pauses():
        held: Lease | Literal["held"] | None = yield Ask(lambda: core.acquire(shelf, call.key), undo=_release_now)
        # Between the last look and the lease somebody may have come to an end.
        look = partial(core.read, shelf, call, "shared" if waited else "store", since)
        try:
            found = yield Ask(look, shelf.is_local)
            if found is not None:
                return found
            # Who holds the lease may wait for what this very call is a part of. By the clock: where a store is slow,
            # most of the time goes by in looks at it, and not in pauses.
            if held != HELD or (nested and time.monotonic() - began > core.lease):
                lease = held if isinstance(held, Lease) else None
                return (yield from _computed(core, call, flight, shelf, lease, "refreshed" if anew else "computed"))
        except GeneratorExit:
            _release_now(held)
            raise
        finally:
            if isinstance(held, Lease) and not held.is_over:
                yield Ask(held.release)
        yield Pause(pause)
        waited = True
    raise AssertionError("pauses do not end")


def _led_in_background(core: Core, call: Call, flight: Flight) -> Generator[Step, Any, Entry | None]:
    shelf: Shelf | None = yield Ask(core.open_shelf, core.is_open)
    if shelf is None:
        return (yield from _computed(core, call, flight, None, None, "refreshed"))
    lease = yield Ask(lambda: core.acquire(shelf, call.key), undo=_release_now)
    if lease == HELD:
        return None  # another process has begun, and its result is seen at the next look at the store
    try:
        return (yield from _computed(core, call, flight, shelf, lease, "refreshed"))
    except GeneratorExit:
        _release_now(lease)
        raise
    finally:
        if lease is not None and not lease.is_over:
            yield Ask(lease.release)


def _release_now(held: object) -> None:
    """Releases a lease of steps that nobody takes any more."""
    if isinstance(held, Lease) and not held.is_over:
        held.release()


def _computed(
    core: Core, call: Call, flight: Flight | None, shelf: Shelf | None, lease: Lease | None, kind: str = "computed"
) -> Steps:
    started = time.perf_counter()
    failed = False
    try:
        value = yield Compute(call)
    except Exception as error:
        core.tell("raised", call.key, time.perf_counter() - started, error)
        if not isinstance(error, core.exceptions):
            raise
        value, failed = error, True
    else:
        core.tell(kind, call.key, time.perf_counter() - started)
    _demand_lasting(core, value)
    entry = core.entry(call, value, failed)
    if flight is not None and flight.is_forgotten:
        return entry
    if shelf is not None and not (yield Ask(lambda: core.write(shelf, entry, lease))):
        return entry
    core.remember(entry)
    if flight is not None and flight.is_forgotten:
        # Forgotten between the two: whoever forgot had not found it yet.
        core.memory.drop([call.key])
    return entry


def _demand_lasting(core: Core, value: object) -> None:
    """Raises for a result that can be used up: who came second would get what the first one left."""
    if isinstance(value, (Iterator, Awaitable)):
        raise TypeError(
            f"{core.name} returned an object of type {type(value).__name__}, which can be used once, and so is "
            "not cached: return a list, or decorate the function that makes its items"
        )


def _pauses() -> Iterator[float]:
    """Longer from time to time, and never for two processes the same."""
    pause, longest = _PAUSES
    while True:
        yield pause * random.uniform(0.5, 1.5)
        pause = min(pause * 1.6, longest)


def drive(steps: Generator[Step, Any, Any], function: Callable[..., Any]) -> Any:
    """Takes the steps in this thread. The steps wait in `steps` meanwhile: a recursive function adds few frames."""
    answer: Any = None
    error: BaseException | None = None
    try:
        while True:
            step = steps.send(answer) if error is None else steps.throw(error)
            answer = error = None
            try:
                if isinstance(step, Compute):
                    answer = function(*step.call.args, **step.call.kwargs)
                elif isinstance(step, Ask):
                    answer = step.question()
                elif isinstance(step, Land):
                    answer = step.flight.wait()
                else:
                    time.sleep(step.seconds)
            except BaseException as raised:
                error = raised
    except StopIteration as end:
        return end.value
    except RuntimeError as broken:
        if isinstance(broken.__cause__, StopIteration):
            raise broken.__cause__ from None  # the function's own, which no generator lets through
        raise
    finally:
        error = None  # no circle through this frame


async def drive_async(steps: Generator[Step, Any, Any], function: Callable[..., Awaitable[Any]]) -> Any:
    """Takes the steps in this task, without blocking its loop."""
    answer: Any = None
    error: BaseException | None = None
    try:
        while True:
            step = steps.send(answer) if error is None else steps.throw(error)
            answer = error = None
            try:
                if isinstance(step, Compute):
                    answer = await function(*step.call.args, **step.call.kwargs)
                elif isinstance(step, Ask):
                    answer = step.question() if step.is_quick else await _answered(step)
                elif isinstance(step, Land):
                    await _landed(step.flight)
                else:
                    await asyncio.sleep(step.seconds)
            except BaseException as raised:
                error = raised
    except StopIteration as end:
        return end.value
    finally:
        error = None


async def _answered(step: Ask) -> Any:
    """The answer of a thread."""
    answers: list[Any] = []
    lock = threading.Lock()
    is_dropped = False

    def ask() -> None:
        answer = step.question()
        with lock:
            answers.append(answer)
        if is_dropped:
            undo()

    def undo() -> None:
        with lock:
            left = answers.pop() if answers else None
        if step.undo is not None and left is not None:
            step.undo(left)

    try:
        await asyncio.to_thread(ask)
    except BaseException:
        is_dropped = True
        if answers:
            threading.Thread(target=undo, name="torshi-cache-undo", daemon=True).start()
        raise
    return answers.pop()


async def _landed(flight: Flight) -> None:
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()

    def set_done() -> None:
        if not future.done():
            future.set_result(None)

    def call_back() -> None:
        try:
            loop.call_soon_threadsafe(set_done)
        except RuntimeError:  # the loop has been closed, and nobody waits any more
            return

    flight.when_landed(call_back)
    await future
