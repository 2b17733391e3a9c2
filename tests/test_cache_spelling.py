"""Calls looked up by how they are written: what is the same call and what is not, and who keeps whom alive.

If these failed, a call would be given the result of another one, or a function that nobody has any more would stay.
"""

from __future__ import annotations

import gc
import itertools
import math
import threading
import weakref
from typing import Any

import pytest

import torshi
from torshi import _native

PLAIN: list[Any] = [
    None, False, True, 0, 1, -1, 255, 256, 1 << 30, 1 << 62, -(1 << 62), (1 << 63) - 1, 1 << 63, -(1 << 63), 1 << 90,
    -(1 << 90), 0.0, -0.0, 1.0, math.inf, -math.inf, "", "1", "a", "\0", "\xe9", "\xff", "\u20ac", "\U0001f600",
    "\udc80", "ab", "i" * 9, b"", b"1", b"a", b"\0", (), (1,), (1.0,), (True,), ((),), ((1,), 2), (1, (2,)),
    ("a", b"a"), (0.0,), (-0.0,), "=", b"=", ("=",),
]  # fmt: skip


def shape(value: Any) -> Any:
    """A value with its types and the signs of its zeros."""
    if isinstance(value, tuple):
        return (tuple, tuple(map(shape, value)))
    return (type(value), repr(value))


def test_equal_bytes_are_equal_arguments() -> None:
    """Two calls that are not the same and share a result."""
    values: list[Any] = PLAIN[:30]
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = [((value,), {}) for value in PLAIN]
    calls += [((), {}), ((), {"a": 1}), ((1,), {"a": 1}), ((), {"b": 1}), ((), {"a": (1,)}), ((), {"a": "", "": "a"})]
    calls += [((first, second), {}) for first, second in itertools.product(values, values)]
    calls += [((first,), {"n": second}) for first, second in itertools.product(values, values)]
    seen: dict[bytes, Any] = {}
    for args, kwargs in calls:
        spelling = _native.spelled(args, kwargs)
        assert spelling is not None
        call = (shape(args), {name: shape(value) for name, value in kwargs.items()})
        assert seen.setdefault(spelling, call) == call
    assert len(seen) == len(calls)
    assert _native.spelled((int("1000000"), "".join(["a", "b"])), {}) == _native.spelled((1_000_000, "ab"), {})


class Text(str):
    __slots__ = ()


class Number(int):
    pass


@pytest.mark.parametrize(
    "value",
    [
        [], {}, set(), bytearray(b"a"), math.nan, Text("a"), Number(1), 1j, object(), ([],), (1, (math.nan,)), Text,
        "x" * 1001, b"x" * 1001, "\u20ac" * 600, (None,) * 400, 1 << 9000,
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_what_could_change_or_is_long_is_not_looked_up(value: Any) -> None:
    """A list found by what it held earlier; a subclass taken for its base; arguments that fill the memory."""
    assert _native.spelled((value,), {}) is None
    assert _native.spelled((), {"a": value}) is None


def test_tuples_within_tuples_end() -> None:
    """A stack that overflows."""
    deep: Any = ()
    for _ in range(100_000):
        deep = (deep,)
    assert _native.spelled((deep,), {}) is None


def test_an_argument_that_changes_is_another_argument() -> None:
    """A list whose first content is remembered."""
    runs: list[int] = []

    @torshi.cache(store=":memory:")
    def total(numbers: list[int], *, times: int = 1) -> int:
        runs.append(times)
        return sum(numbers) * times

    numbers = [1, 2]
    assert (total(numbers), total(numbers, times=1)) == (3, 3)
    numbers.append(3)
    assert (total(numbers), total(numbers, times=2), total([1, 2])) == (6, 12, 3)
    assert len(runs) == 3


def test_every_way_to_write_a_call_is_found_and_counted() -> None:
    """A hit that is not counted, or one of the ways computed anew."""
    runs: list[Any] = []

    @torshi.cache(store=":memory:", ignore="quiet")
    def f(a: int, b: str = "x", *, c: float = 1.5, quiet: bool = False) -> Any:
        runs.append((a, b, c))
        return object()

    ways: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
        ((1,), {}), ((1, "x"), {}), ((), {"a": 1}), ((1,), {"c": 1.5}), ((1,), {"quiet": True}),
        ((), {"b": "x", "a": 1}),
    ]  # fmt: skip
    first = f(1)
    for _ in range(3):
        for args, kwargs in ways:
            assert f(*args, **kwargs) is first
    info = f.cache_info()
    assert (info.misses, info.hits, info.memory, len(runs)) == (1, 18, 18, 1)
    assert f.cache_info().hits == 18  # to ask does not count anew
    f.cache_clear()
    assert f.cache_info().hits == 0
    assert f(1.0) is not first
    assert f(True) is not first


def test_threads_lose_no_count() -> None:
    """Hits of two threads at once that count as one."""

    @torshi.cache(store=":memory:")
    def f(n: int) -> int:
        return n

    f(1)

    def call() -> None:
        for _ in range(5000):
            f(1)

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert f.cache_info().hits == 20_000


def test_a_function_whose_result_refers_to_it_goes() -> None:
    """A function defined in another one, and all its results, that stay for good."""

    class Result:
        pass

    def define() -> weakref.ref[Any]:
        @torshi.cache(store=":memory:")
        def f(n: int) -> Any:
            result = Result()
            result.of = f  # type: ignore[attr-defined]
            return result

        f(1)
        f(1)
        return weakref.ref(f)

    there = define()
    gc.collect()
    assert there() is None


def test_a_hit_is_told_as_ever() -> None:
    """A hit that nobody is told of, or an observer that raises into the call."""
    kinds: list[str] = []

    def told(event: torshi.CacheEvent) -> None:
        kinds.append(event.kind)
        raise ZeroDivisionError

    @torshi.cache(store=":memory:", on_event=told)
    def f(n: int) -> int:
        return n

    assert [f(1), f(1), f(n=1), f(n=1)] == [1] * 4
    assert kinds == ["computed", "memory", "memory", "memory"]
    assert f.cache_info().memory == 3
