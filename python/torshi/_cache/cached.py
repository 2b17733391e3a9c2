"""What stands in the place of a cached function: called like it, with controls beside it.

`Cached` for functions, `AsyncCached` for coroutine functions; what a class hands out for its instances is the same,
bound to one of them. A hit in memory is answered by the native module where it can be; everything else is in `lookup`.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
import os
import threading
import time
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Concatenate, Final, Generic, ParamSpec, TypeVar, overload

from torshi import _native
from torshi._cache.core import Call, Core, Options
from torshi._cache.events import CacheEvent, CacheInfo, logger
from torshi._cache.lookup import drive, drive_async, lookup, renewal
from torshi._cache.memory import Entry

__all__ = ["AsyncBound", "AsyncCached", "Bound", "Cached", "CachedClassMethod"]

_P = ParamSpec("_P")
_Q = ParamSpec("_Q")
_R = TypeVar("_R")
_R_co = TypeVar("_R_co", covariant=True)
_S = TypeVar("_S")

# Results computed ahead of time at once, by threads, in all functions together; more wait for the next hit.
_MOST_AHEAD: Final = 8
_ahead = threading.Semaphore(_MOST_AHEAD)


def _after_fork() -> None:
    """The threads that compute ahead of time are the parent's."""
    global _ahead
    _ahead = threading.Semaphore(_MOST_AHEAD)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class _Controls:
    """What cached functions of both kinds have in common."""

    def __init__(self, function: Callable[..., Any], options: Options) -> None:
        functools.update_wrapper(self, function)  # type: ignore[arg-type]
        core = self._core = Core(function, options)
        core.refresh_later = self._refresh_later
        self._by_spelling = core.memory.by_spelling
        self._by_key = core.memory.by_key
        self._counts = core.tell.counts
        # Arguments are looked up as they are written, but where a function of the user's says what counts.
        self._is_spelled = options.key is None and not options.copy
        self._observer = options.on_event
        self._prepare()
        # By these `inspect` and `asyncio` tell whether something is a coroutine function.
        for name in ("__code__", "__defaults__", "__kwdefaults__"):
            if hasattr(function, name):
                setattr(self, name, getattr(function, name))

    def _prepare(self) -> None:
        """What a kind of function needs beside."""

    def _gather(self) -> None:
        """Adds what was counted elsewhere to the counts."""

    def _known(self, call: Call) -> Entry | None:
        """An entry that may be handed out as it is."""
        entry = self._by_key.get(call.key)
        if entry is not None:
            now = time.monotonic()
            if now < entry.until:
                entry.used = now
                self._counts.memory += 1
                if self._observer is not None:
                    self._tell(entry)
                return entry
        return None

    def _tell(self, entry: Entry) -> None:
        tell = self._core.tell
        tell.call_back(CacheEvent("memory", tell.function, entry.key.hex()))

    def _refresh_later(self, call: Call) -> None:
        raise NotImplementedError

    def cache_info(self) -> CacheInfo:
        """How the function fared in this process."""
        self._gather()
        return self._core.info()

    def cache_clear(self) -> None:
        """Forgets all results of the function, of any version of its code, here and in the store; zeroes the counts."""
        self._gather()
        self._core.clear()

    def cache_parameters(self) -> dict[str, Any]:
        """What it was decorated with; ``code`` has the parts that its results depend on, as beginnings of digests."""
        return self._core.parameters()

    def evict(self, tag: str) -> int:
        """Forgets all results with a tag: of this function in memory, of all functions in its store.

        Returns:
            How many there were.
        """
        return self._core.evict(tag)

    def __reduce__(self) -> str:
        return self.__qualname__  # type: ignore[attr-defined,no-any-return]

    def __repr__(self) -> str:
        return f"<torshi.cache of {self._core.name}>"

    def _demand_call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
        call = self._core.call(args, kwargs)
        if call is None:
            inspect.signature(self._core.function).bind(*args, **kwargs)
            raise TypeError(f"{self._core.name} cannot be called with these arguments")
        return call


def _outcome(entry: Entry) -> Any:
    """What an entry is to its caller.

    Raises:
        Exception: what the function raised.
    """
    if entry.failed:
        if entry.is_told:
            # Without the frames of those who had it before: they would pile up.
            raise entry.value.with_traceback(None)
        entry.is_told = True
        raise entry.value
    return entry.value


class Cached(_native.Hits, _Controls, Generic[_P, _R]):
    """A function whose results are kept; made by `torshi.cache`."""

    if TYPE_CHECKING:

        def __call__(self, *args: _P.args, **kwargs: _P.kwargs) -> _R: ...

    def _prepare(self) -> None:
        if self._is_spelled:
            self._look_in(self._by_spelling, self._observer is not None)

    def _gather(self) -> None:
        self._counts.memory += self._take_count()

    def _missed(self, args: tuple[Any, ...], kwargs: dict[str, Any], spelling: bytes | None) -> _R:
        """A call that was not answered by how it is written, or is not plain enough to be looked up so."""
        core = self._core
        call = core.call(args, kwargs)
        if call is None:
            return self.__wrapped__(*args, **kwargs)  # it raises what a call like this raises
        entry = self._known(call) or core.glance(call)
        if entry is None:
            entry = drive(lookup(core, call), self.__wrapped__)
        if spelling is not None:
            core.memory.spell(entry, spelling)
        return _outcome(entry)  # type: ignore[no-any-return]

    __wrapped__: Callable[_P, _R]

    def _refresh_later(self, call: Call) -> None:
        if not _ahead.acquire(blocking=False):
            self._put_off(call)
            return
        context = contextvars.copy_context()
        thread = threading.Thread(
            target=context.run, args=(self._refresh_now, call), name="torshi-cache-refresh", daemon=True
        )
        thread.start()

    def _put_off(self, call: Call) -> None:
        entry = self._by_key.get(call.key)
        if entry is not None:
            entry.refresh = time.monotonic() + self._core.fresh

    def _refresh_now(self, call: Call) -> None:
        try:
            drive(renewal(self._core, call, in_background=True), self.__wrapped__)
        except Exception:
            # The result that is there stays until it has run out.
            logger.warning("%s: computing ahead of time failed", self._core.name, exc_info=True)
            self._put_off(call)
        finally:
            _ahead.release()

    def peek(self, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        """The result that is kept for these arguments; never computes one.

        Raises:
            KeyError: there is none.
        """
        call = self._demand_call(args, kwargs)
        return _outcome(self._core.peek(call))  # type: ignore[no-any-return]

    def forget(self, *args: _P.args, **kwargs: _P.kwargs) -> bool:
        """Forgets the result for these arguments, here and in the store. One that is being computed is not kept either.

        Returns:
            Whether there was one.
        """
        return self._core.forget(self._demand_call(args, kwargs))

    def refresh(self, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        """Computes the result for these arguments anew, and keeps it."""
        call = self._demand_call(args, kwargs)
        return _outcome(drive(renewal(self._core, call, in_background=False), self.__wrapped__))  # type: ignore[no-any-return]

    @overload
    def __get__(self, instance: None, owner: type | None = None) -> Cached[_P, _R]: ...
    @overload
    def __get__(
        self: Cached[Concatenate[_S, _Q], _R_co], instance: _S, owner: type | None = None
    ) -> Bound[_Q, _R_co]: ...
    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else Bound(self, instance)


class AsyncCached(_Controls, Generic[_P, _R]):
    """A coroutine function whose results are kept; made by `torshi.cache`."""

    async def __call__(self, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        core = self._core
        spelling = _native.spelled(args, kwargs) if self._is_spelled else None
        if spelling is not None:
            entry = self._by_spelling.get(spelling)
            if entry is not None:
                now = time.monotonic()
                if now < entry.until:
                    entry.used = now
                    self._counts.memory += 1
                    if self._observer is not None:
                        self._tell(entry)
                    return entry.value  # type: ignore[no-any-return]
        call = core.call(args, kwargs)
        if call is None:
            return await self.__wrapped__(*args, **kwargs)
        entry = self._known(call) or core.glance(call)
        if entry is None:
            entry = await drive_async(lookup(core, call), self.__wrapped__)
        if spelling is not None:
            core.memory.spell(entry, spelling)
        return _outcome(entry)  # type: ignore[no-any-return]

    __wrapped__: Callable[_P, Coroutine[Any, Any, _R]]

    def _refresh_later(self, call: Call) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return  # a thread that asked the store on behalf of a task: the next hit is in the task
        task = loop.create_task(self._refresh_now(call))
        _tasks.add(task)
        task.add_done_callback(_tasks.discard)

    async def _refresh_now(self, call: Call) -> None:
        try:
            await drive_async(renewal(self._core, call, in_background=True), self.__wrapped__)
        except Exception:
            logger.warning("%s: computing ahead of time failed", self._core.name, exc_info=True)
            entry = self._by_key.get(call.key)
            if entry is not None:
                entry.refresh = time.monotonic() + self._core.fresh

    async def peek(self, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        """The result that is kept for these arguments; never computes one.

        Raises:
            KeyError: there is none.
        """
        call = self._demand_call(args, kwargs)
        return _outcome(await asyncio.to_thread(self._core.peek, call))  # type: ignore[no-any-return]

    async def forget(self, *args: _P.args, **kwargs: _P.kwargs) -> bool:
        """Forgets the result for these arguments, here and in the store. One that is being computed is not kept either.

        Returns:
            Whether there was one.
        """
        return await asyncio.to_thread(self._core.forget, self._demand_call(args, kwargs))

    async def refresh(self, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        """Computes the result for these arguments anew, and keeps it."""
        call = self._demand_call(args, kwargs)
        steps = renewal(self._core, call, in_background=False)
        return _outcome(await drive_async(steps, self.__wrapped__))  # type: ignore[no-any-return]

    @overload
    def __get__(self, instance: None, owner: type | None = None) -> AsyncCached[_P, _R]: ...
    @overload
    def __get__(
        self: AsyncCached[Concatenate[_S, _Q], _R_co], instance: _S, owner: type | None = None
    ) -> AsyncBound[_Q, _R_co]: ...
    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else AsyncBound(self, instance)


# A loop keeps no task alive by itself.
_tasks: Final[set[asyncio.Task[None]]] = set()


class _Bound:
    """A cached function with its first argument: an instance, or a class."""

    __slots__ = ("__func__", "__self__")

    def __init__(self, cached: Any, instance: Any) -> None:
        self.__func__ = cached
        self.__self__ = instance

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__func__, name)

    @property
    def __signature__(self) -> inspect.Signature:
        signature = inspect.signature(self.__func__.__wrapped__)
        return signature.replace(parameters=list(signature.parameters.values())[1:])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Bound):
            return NotImplemented
        return self.__self__ is other.__self__ and self.__func__ is other.__func__

    def __hash__(self) -> int:
        return hash((id(self.__self__), id(self.__func__)))

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, (self.__self__, self.__func__.__name__)

    def __repr__(self) -> str:
        return f"<bound {self.__func__!r} of {self.__self__!r}>"

    def cache_info(self) -> CacheInfo:
        """How the function fared in this process, with all instances."""
        found: CacheInfo = self.__func__.cache_info()
        return found

    def cache_clear(self) -> None:
        """Forgets all results of the function, with all instances."""
        self.__func__.cache_clear()


class Bound(_Bound, Generic[_P, _R]):
    """A cached method of one instance."""

    __slots__ = ()

    def __call__(self, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        return self.__func__(self.__self__, *args, **kwargs)  # type: ignore[no-any-return]

    def peek(self, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        """As `Cached.peek`."""
        return self.__func__.peek(self.__self__, *args, **kwargs)  # type: ignore[no-any-return]

    def forget(self, *args: _P.args, **kwargs: _P.kwargs) -> bool:
        """As `Cached.forget`."""
        return self.__func__.forget(self.__self__, *args, **kwargs)  # type: ignore[no-any-return]

    def refresh(self, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        """As `Cached.refresh`."""
        return self.__func__.refresh(self.__self__, *args, **kwargs)  # type: ignore[no-any-return]


class AsyncBound(_Bound, Generic[_P, _R]):
    """A cached coroutine method of one instance."""

    __slots__ = ()

    async def __call__(self, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        return await self.__func__(self.__self__, *args, **kwargs)  # type: ignore[no-any-return]

    async def peek(self, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        """As `AsyncCached.peek`."""
        return await self.__func__.peek(self.__self__, *args, **kwargs)  # type: ignore[no-any-return]

    async def forget(self, *args: _P.args, **kwargs: _P.kwargs) -> bool:
        """As `AsyncCached.forget`."""
        return await self.__func__.forget(self.__self__, *args, **kwargs)  # type: ignore[no-any-return]

    async def refresh(self, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        """As `AsyncCached.refresh`."""
        return await self.__func__.refresh(self.__self__, *args, **kwargs)  # type: ignore[no-any-return]


class CachedClassMethod(classmethod):  # type: ignore[type-arg]
    """A cached class method, whose controls know their class in every release of Python."""

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self.__func__.__get__(type(instance) if owner is None else owner)
