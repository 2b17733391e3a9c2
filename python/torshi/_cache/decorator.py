"""`torshi.cache`: a function and some options into one whose results are kept.

Checks what it is given when it is given, and makes the object that stands in the function's place. Opens no store and
digests nothing: that is for the first call.
"""

from __future__ import annotations

import datetime
import inspect
import os
from collections.abc import Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar, overload

from torshi._cache.cached import AsyncCached, Cached, CachedClassMethod
from torshi._cache.core import Options
from torshi._cache.shelf import Source

if TYPE_CHECKING:
    from torshi._cache.events import CacheEvent
    from torshi._store.store import Store

__all__ = ["cache"]

_P = ParamSpec("_P")
_R = TypeVar("_R")
_T = TypeVar("_T")

_MAX_BYTES = 64 << 20
_MAX_ENTRIES = 10_000


class _Decorator(Protocol):
    @overload
    def __call__(self, function: staticmethod[_P, _R], /) -> staticmethod[_P, _R]: ...  # type: ignore[overload-overlap]
    @overload
    def __call__(self, function: classmethod[_T, _P, _R], /) -> classmethod[_T, _P, _R]: ...
    @overload
    def __call__(self, function: Callable[_P, Coroutine[Any, Any, _R]], /) -> AsyncCached[_P, _R]: ...  # type: ignore[overload-overlap]
    @overload
    def __call__(self, function: Callable[_P, _R], /) -> Cached[_P, _R]: ...


@overload
def cache(function: staticmethod[_P, _R], /) -> staticmethod[_P, _R]: ...  # type: ignore[overload-overlap]
@overload
def cache(function: classmethod[_T, _P, _R], /) -> classmethod[_T, _P, _R]: ...
@overload
def cache(function: Callable[_P, Coroutine[Any, Any, _R]], /) -> AsyncCached[_P, _R]: ...  # type: ignore[overload-overlap]
@overload
def cache(function: Callable[_P, _R], /) -> Cached[_P, _R]: ...
@overload
def cache(
    *,
    store: str | os.PathLike[str] | Store[Any] | None = None,
    ttl: float | datetime.timedelta | None = None,
    tags: Iterable[str] | Callable[..., Iterable[str]] = (),
    ignore: str | Iterable[str] = (),
    key: Callable[..., Any] | None = None,
    version: object = None,
    code: bool = True,
    max_bytes: int | None = _MAX_BYTES,
    max_entries: int | None = _MAX_ENTRIES,
    refresh_ahead: float | datetime.timedelta | None = None,
    exceptions: type[Exception] | tuple[type[Exception], ...] = (),
    copy: bool = False,
    fresh: float = 1.0,
    lease: float = 10.0,
    on_event: Callable[[CacheEvent], object] | None = None,
) -> _Decorator: ...
def cache(
    function: Any = None,
    /,
    *,
    store: Any = None,
    ttl: float | datetime.timedelta | None = None,
    tags: Iterable[str] | Callable[..., Iterable[str]] = (),
    ignore: str | Iterable[str] = (),
    key: Callable[..., Any] | None = None,
    version: object = None,
    code: bool = True,
    max_bytes: int | None = _MAX_BYTES,
    max_entries: int | None = _MAX_ENTRIES,
    refresh_ahead: float | datetime.timedelta | None = None,
    exceptions: type[Exception] | tuple[type[Exception], ...] = (),
    copy: bool = False,
    fresh: float = 1.0,
    lease: float = 10.0,
    on_event: Callable[[CacheEvent], object] | None = None,
) -> Any:
    """Keeps the results of a function, by what it is called with, in memory and in a store.

    A call whose result is there returns it without running the function. Calls at the same time, from threads, tasks
    and processes, run it once. Results are kept for the code that computed them: a change of what the function does, or
    of what it uses of its own package, leaves them behind; comments, layout and names of locals do not.

    What is returned is the object that is kept: whoever changes it changes it for later callers, unless ``copy=True``.

    Args:
        function: a function, method, class or static method, plain or ``async def``.
        store: where results are: a path, a URL, or a `Store`; ``":memory:"`` for this process alone. By default a file
            in the user's folder for caches (``TORSHI_CACHE_DIR``), which all functions without a store share and which
            takes 1 GiB at most.
        ttl: for how many seconds a result is one; for good if None.
        tags: what results can be forgotten by, with `evict` of the function or the store: names, or a function that is
            called with the arguments and returns names.
        ignore: names of parameters that results do not depend on. A method is called with its instance, whose digest is
            part of the key unless ``ignore="self"``.
        key: called with the arguments; returns what results depend on instead of them.
        version: anything; another one leaves all results behind.
        code: whether results depend on the function's code. If not, `version` says when they are to be left behind.
        max_bytes: about how many bytes the results in memory take, per function; any number if None.
        max_entries: how many results are in memory, per function; any number if None.
        refresh_ahead: how long before a result runs out a hit has it computed anew, in the background: seconds, or a
            fraction of `ttl` if less than 1.
        exceptions: what is kept if the function raises it, like a result. By default nothing.
        copy: whether each caller gets an object of his own, read from the store, and none is kept in memory.
        fresh: for how many seconds a result in memory is returned without a look at whether the store still has it.
        lease: how many seconds after the death of a process that was computing a result another one begins.
        on_event: called with a `CacheEvent` for each thing that happens.

    Raises:
        TypeError: it is no function, or one that yields; or an option is not what it should be.
        ValueError: an option is out of range.

    Example:
        >>> import torshi
        >>> @torshi.cache(store=":memory:")
        ... def square(n):
        ...     print("computing")
        ...     return n * n
        >>> square(3), square(n=3)
        computing
        (9, 9)
        >>> square.cache_info().hits
        1
    """
    options = Options(
        source=Source(store, copy),
        ttl=_seconds("ttl", ttl),
        tags=tags if callable(tags) else _names("tags", tags),
        ignore=_names("ignore", ignore),
        key=key,
        version=version,
        code=code,
        max_bytes=max_bytes,
        max_entries=max_entries,
        refresh_ahead=_seconds("refresh_ahead", refresh_ahead),
        exceptions=exceptions if isinstance(exceptions, tuple) else (exceptions,),
        copy=copy,
        fresh=_seconds("fresh", fresh, zero=True) or 0.0,
        lease=_seconds("lease", lease) or 0.0,
        on_event=on_event,
    )
    for name, bound in (("max_bytes", max_bytes), ("max_entries", max_entries)):
        _demand_bound(name, bound)
    kinds: tuple[object, ...] = options.exceptions
    for kind in kinds:
        if not (isinstance(kind, type) and issubclass(kind, Exception)):
            raise TypeError(f"exceptions= takes classes of exceptions, not {kind!r}")
    if options.refresh_ahead is not None and options.ttl is None:
        raise ValueError("refresh_ahead= is of use for results that run out: give ttl= too")
    if function is None:
        return lambda function: _decorated(function, options)
    return _decorated(function, options)


def _decorated(function: Any, options: Options) -> Any:
    if isinstance(function, staticmethod):
        return staticmethod(_decorated(function.__func__, options))
    if isinstance(function, classmethod):
        return CachedClassMethod(_decorated(function.__func__, options))
    if isinstance(function, property):
        raise TypeError("a property is not cached: put @property above @torshi.cache")
    if not callable(function) or isinstance(function, type):
        raise TypeError(f"torshi.cache is for functions, not {function!r}; options are given by name: cache(ttl=60)")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(
            f"{getattr(function, '__qualname__', function)} yields its results, which can be used once and so not be "
            "cached: return a list, or decorate the function that makes its items"
        )
    if inspect.iscoroutinefunction(function):
        return AsyncCached(function, options)
    return Cached(function, options)


def _seconds(name: str, value: object, *, zero: bool = False) -> float | None:
    if value is None:
        return None
    if isinstance(value, datetime.timedelta):
        value = value.total_seconds()
    number: object = value
    if isinstance(number, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name}= is a number of seconds, not {value!r}")
    if not (value > 0 or (zero and value == 0)):
        raise ValueError(f"{name}= is {'not less' if zero else 'more'} than no time, not {value!r}")
    return float(value)


def _demand_bound(name: str, value: object) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name}= is a whole number or None, not {value!r}")
    if value < 0:
        raise ValueError(f"{name}= is zero or more, not {value}")


def _names(option: str, values: Iterable[str]) -> tuple[str, ...]:
    given: tuple[object, ...] = (values,) if isinstance(values, str) else tuple(values)
    names = tuple(name for name in given if isinstance(name, str))
    if len(names) != len(given):
        raise TypeError(f"{option}= takes names, not {given!r}")
    return names
