"""torshi.cache: what a decorated function returns, from where, and how often it runs.

If these failed, calls that are the same would be computed twice, calls that are not would share a result, or a result
would outlive its time.
"""

from __future__ import annotations

import asyncio
import copy
import datetime
import functools
import inspect
import logging
import math
import pickle
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

import torshi
from cache_places import PLACES, Counting, fresh_memory, place
from torshi._cache.events import CacheEvent


@pytest.fixture(params=PLACES)
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    return place(request.param, tmp_path)


@torshi.cache(store=":memory:")
def by_name(n: int) -> int:
    """Doubles."""
    return n * 2


@torshi.cache(store=":memory:")
async def by_name_async(n: int) -> int:
    return n * 2


# Arguments


def spellings(where: str) -> tuple[Any, list[Any]]:
    runs: list[Any] = []

    @torshi.cache(store=where)
    def f(a: Any, b: Any = 2, *rest: Any, c: Any = 3, **more: Any) -> Any:
        runs.append((a, b, rest, c, more))
        return (a, b, rest, c, more)

    return f, runs


def test_each_way_to_write_a_call_is_the_same_call(where: str) -> None:
    f, runs = spellings(where)
    results = [f(1), f(1, 2), f(a=1), f(b=2, a=1), f(1, b=2, c=3), f(c=3, a=1)]
    assert results == [(1, 2, (), 3, {})] * 6
    assert len(runs) == 1
    assert f(1, x=1, y=2) == f(1, y=2, x=1)
    assert len(runs) == 2


def test_calls_that_differ_do_not_share(where: str) -> None:
    f, runs = spellings(where)
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
        ((1,), {}),
        ((1.0,), {}),
        ((True,), {}),
        (("1",), {}),
        ((b"1",), {}),
        ((None,), {}),
        ((0.0,), {}),
        ((-0.0,), {}),
        (((),), {}),
        (((), ()), {}),
        (((1,),), {}),
        (((1.0,),), {}),
        (((True,),), {}),
        (([1],), {}),
        ((1, 2, 3), {}),
        ((1, 2, (3,)), {}),
        ((1,), {"c": 3.0}),
        ((1,), {"d": 3}),
        ((1,), {"d": True}),
        ((int,), {}),
    ]
    for _ in range(2):
        for args, kwargs in calls:
            a, _, rest, c, more = f(*args, **kwargs)
            assert repr((a, type(a), c, type(c), more)) == repr(
                (
                    args[0],
                    type(args[0]),
                    kwargs.get("c", 3),
                    type(kwargs.get("c", 3)),
                    {k: v for k, v in kwargs.items() if k != "c"},
                )
            )
            assert rest == args[2:]
    assert len(runs) == len(calls)


def test_nan_is_one_argument(where: str) -> None:
    f, runs = spellings(where)
    for value in (math.nan, float("nan"), float("inf") - float("inf")):
        f(value)
    assert len(runs) == 1


def test_arguments_count_by_content(where: str) -> None:
    numpy = pytest.importorskip("numpy")
    f, runs = spellings(where)
    array = numpy.arange(12).reshape(3, 4)
    assert f(array)[0] is not None
    f(numpy.asfortranarray(array))
    f(array[::1].copy())
    f({"a": 1, "b": {2, 3}})
    f({"b": {3, 2}, "a": 1})
    assert len(runs) == 2
    f(array.astype(float))
    assert len(runs) == 3


def test_a_call_that_cannot_be_made_raises_what_the_function_raises(where: str) -> None:
    f, runs = spellings(where)
    for args, kwargs in [((), {}), ((1,), {"a": 1}), ((), {"b": 1})]:
        with pytest.raises(TypeError) as plain:
            f.__wrapped__(*args, **kwargs)
        with pytest.raises(TypeError) as cached:
            f(*args, **kwargs)
        assert str(plain.value) == str(cached.value)
        with pytest.raises(TypeError):
            f.peek(*args, **kwargs)
    assert runs == []


def test_an_argument_without_a_digest_is_named(where: str) -> None:
    f, _ = spellings(where)
    with pytest.raises(TypeError, match=r"the argument b of .*f cannot be part of a key.*ignore=\('b',\).*key="):
        f(1, threading.Lock())

    @torshi.cache(store=where, key=lambda value: threading.Lock())
    def g(value: int) -> int:
        return value

    with pytest.raises(TypeError, match="what key= returned"):
        g(1)


def test_ignored_parameters(where: str) -> None:
    runs = []

    @torshi.cache(store=where, ignore=("connection", "more"))
    def f(n: int, connection: Any, *, verbose: bool = False, **more: Any) -> int:
        runs.append(n)
        return n

    f(1, threading.Lock())
    f(1, connection=object(), extra=object())
    f(1, 5)
    f(1, 6)
    assert runs == [1]
    f(1, 5, verbose=True)
    assert runs == [1, 1]
    with pytest.raises(TypeError, match="has no parameter nothing to ignore; it has: n"):
        torshi.cache(ignore="nothing")(lambda n: n)


def test_key_says_what_counts(where: str) -> None:
    runs, tenant = [], "a"

    @torshi.cache(store=where, key=lambda record, **_: (record["id"], tenant))
    def f(record: dict[str, Any], **options: Any) -> Any:
        runs.append(record)
        return (record["id"], tenant)

    assert f({"id": 1, "x": object()}) == f({"id": 1}, option=object()) == (1, "a")
    tenant = "b"
    assert f({"id": 1}) == (1, "b")
    assert len(runs) == 2


# Methods


class Model:
    runs: list[Any] = []

    def __init__(self, weight: int) -> None:
        self.weight = weight

    @torshi.cache(store=":memory:")
    def predict(self, x: int) -> int:
        self.runs.append((self.weight, x))
        return self.weight * x

    @torshi.cache(store=":memory:", ignore="self")
    def shared(self, x: int) -> int:
        self.runs.append(x)
        return x

    @classmethod
    @torshi.cache(store=":memory:")
    def inner(cls, x: int) -> tuple[str, int]:
        return (cls.__name__, x)

    @torshi.cache(store=":memory:")
    @classmethod
    def outer(cls, x: int) -> tuple[str, int]:
        return (cls.__name__, x)

    @staticmethod
    @torshi.cache(store=":memory:")
    def still(x: int) -> int:
        return x

    @torshi.cache(store=":memory:")
    @staticmethod
    def stiller(x: int) -> int:
        return x

    @property
    @torshi.cache(store=":memory:")
    def squared(self) -> int:
        self.runs.append("squared")
        return self.weight**2

    @torshi.cache(store=":memory:")
    async def later(self, x: int) -> int:
        return self.weight * x


class Lesser(Model):
    pass


def test_methods_are_kept_by_what_their_instance_is() -> None:
    Model.runs.clear()
    one = Model(2)
    assert one.predict(3) == Model(2).predict(x=3) == 6
    assert Model.runs == [(2, 3)]
    assert Model(3).predict(3) == 9
    one.weight = 5
    assert one.predict(3) == 15
    assert len(Model.runs) == 3
    assert Lesser(2).predict(3) == 6
    assert len(Model.runs) == 4
    assert Model.predict(one, 3) == 15
    assert one.predict.peek(3) == 15
    assert one.predict.forget(3)
    with pytest.raises(KeyError):
        one.predict.peek(3)
    assert one.predict.refresh(3) == 15
    assert one.predict == one.predict
    assert one.predict != Model(5).predict
    assert list(inspect.signature(one.predict).parameters) == ["x"]
    assert asyncio.run(one.later(2)) == 10


def test_instances_that_are_ignored_share() -> None:
    Model.runs.clear()
    assert Model(1).shared(7) == Model(2).shared(7) == 7
    assert Model.runs == [7]
    assert Model(1).squared == Model(1).squared == 1
    assert Model.runs == [7, "squared"]


def test_class_and_static_methods_in_either_order() -> None:
    for cls in (Model, Lesser):
        for name in ("inner", "outer"):
            method = getattr(cls, name)
            assert method(1) == getattr(cls(1), name)(1) == (cls.__name__, 1)
            assert method.peek(1) == (cls.__name__, 1)
            assert method.forget(1)
    assert Model.still(1) == Model(2).still(1) == Model.stiller(1) == Model(2).stiller(1) == 1
    assert Model.still.cache_info().hits == Model.stiller.cache_info().hits == 1  # type: ignore[attr-defined]


# What it looks like


def test_it_looks_like_the_function() -> None:
    assert by_name.__name__ == "by_name"  # type: ignore[attr-defined]
    assert by_name.__doc__ == "Doubles."
    assert by_name.__wrapped__(4) == 8
    assert inspect.signature(by_name) == inspect.signature(by_name.__wrapped__)
    assert inspect.iscoroutinefunction(by_name_async)
    assert asyncio.iscoroutinefunction(by_name_async)
    assert not inspect.iscoroutinefunction(by_name)
    assert inspect.iscoroutinefunction(Model(1).later)
    assert "by_name" in repr(by_name)


@pytest.mark.parametrize("function", [by_name, by_name_async, Model(1).predict, Model.outer])
def test_it_pickles_by_name(function: Any) -> None:
    for module in (pickle, torshi):
        data = module.dumps(function)
        again = pickle.loads(data)
        assert again == function or again.__func__ is function.__func__
    assert copy.deepcopy(by_name) is by_name


def test_generators_and_other_things_are_refused() -> None:
    def items() -> Iterator[int]:
        yield 1

    async def later() -> Any:
        yield 1

    for function in (items, later):
        with pytest.raises(TypeError, match="yields its results"):
            torshi.cache(function)
    for thing in (3, "path", int, property(lambda self: 1)):
        with pytest.raises(TypeError, match=r"is for functions|a property"):
            torshi.cache(thing)  # type: ignore[call-overload]


def test_results_that_can_be_used_up_are_refused(where: str) -> None:
    @torshi.cache(store=where)
    def items() -> Any:
        return map(str, [1, 2])

    with pytest.raises(TypeError, match="returned an object of type map, which can be used once"):
        items()


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"ttl": 0}, ValueError),
        ({"ttl": "1"}, TypeError),
        ({"ttl": True}, TypeError),
        ({"refresh_ahead": 0.5}, ValueError),
        ({"lease": -1}, ValueError),
        ({"tags": [1]}, TypeError),
        ({"exceptions": BaseException}, TypeError),
        ({"store": 7}, TypeError),
    ],
)
def test_options_are_checked_when_they_are_given(options: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        torshi.cache(**options)(lambda: None)


# Time


def test_results_run_out(where: str) -> None:
    f = Counting()

    @torshi.cache(store=where, ttl=datetime.timedelta(seconds=0.7), code=False)
    def cached(n: int) -> Any:
        return f(n)

    cached(1), cached(1)
    assert f.runs == [1]
    if where != ":memory:":
        fresh_memory(cached)
        cached(1)
        assert f.runs == [1]
    time.sleep(0.8)
    cached(1)
    assert len(f.runs) == 2


def test_a_shorter_time_to_live_is_that_of_results_that_are_there(tmp_path: Path) -> None:
    f = Counting()

    def decorated(ttl: float | None) -> Any:
        def cached(n: int) -> Any:
            return f(n)

        return torshi.cache(store=tmp_path / "x.db", ttl=ttl, code=False)(cached)

    decorated(None)(1)
    time.sleep(0.1)
    decorated(0.05)(1)
    assert f.runs == [1, 1]
    decorated(100)(1)
    assert f.runs == [1, 1]


def test_refresh_ahead_keeps_answers_quick(where: str) -> None:
    """A hit near the end has the next result computed in the background, and is answered at once with this one."""
    runs: list[int] = []
    done = threading.Event()

    @torshi.cache(store=where, ttl=5.0, refresh_ahead=4.8)
    def f(n: int) -> int:
        runs.append(n)
        if len(runs) == 2:
            done.wait(4)
        return len(runs)

    assert f(1) == 1
    time.sleep(0.25)
    started = time.perf_counter()
    assert [f(1) for _ in range(20)] == [1] * 20
    assert time.perf_counter() - started < 3
    done.set()
    for _ in range(100):
        if f(1) == 2:
            break
        time.sleep(0.01)
    assert f(1) == 2
    assert runs == [1, 1]


def test_a_refresh_that_fails_leaves_the_result(where: str, caplog: pytest.LogCaptureFixture) -> None:
    runs: list[int] = []

    @torshi.cache(store=where, ttl=10.0, refresh_ahead=9.95)
    def f() -> int:
        runs.append(1)
        if len(runs) > 1:
            raise OSError("down")
        return 1

    f()
    time.sleep(0.1)
    with caplog.at_level(logging.WARNING, "torshi.cache"):
        assert f() == 1
        for _ in range(200):
            if "ahead of time failed" in caplog.text:
                break
            time.sleep(0.01)
    assert "down" in caplog.text
    assert f() == 1


# Errors


def test_exceptions_are_not_kept_unless_asked(where: str) -> None:
    runs: list[str] = []

    @torshi.cache(store=where, exceptions=KeyError)
    def f(name: str) -> str:
        runs.append(name)
        if name == "key":
            raise KeyError(name)
        raise ValueError(name)

    for _ in range(3):
        with pytest.raises(KeyError, match="key") as first:
            f("key")
        with pytest.raises(ValueError, match="value"):
            f("value")
    assert runs.count("key") == 1
    assert runs.count("value") == 3
    depth = len(first.traceback)
    with pytest.raises(KeyError) as again:
        f("key")
    assert len(again.traceback) == depth, "tracebacks of a kept exception pile up"
    fresh_memory(f)
    if where != ":memory:":
        with pytest.raises(KeyError, match="key"):
            f("key")
        assert runs.count("key") == 1


# Controls


def test_forget_peek_refresh_clear(where: str) -> None:
    f = Counting()

    @torshi.cache(store=where, code=False)
    def cached(n: int) -> Any:
        return [f(n)]

    with pytest.raises(KeyError, match="no result of"):
        cached.peek(1)
    first = cached(1)
    assert cached.peek(n=1) is first
    assert cached.refresh(1) is not first
    assert f.runs == [1, 1]
    assert cached.forget(1)
    assert not cached.forget(1)
    with pytest.raises(KeyError):
        cached.peek(1)
    cached(1), cached(2)
    assert f.runs == [1, 1, 1, 2]
    cached.cache_clear()
    assert cached.cache_info().currsize == cached.cache_info().misses == 0
    cached(1)
    assert f.runs == [1, 1, 1, 2, 1]


def test_what_is_forgotten_while_it_is_computed_is_not_kept(where: str) -> None:
    """Else forgetting would lose against a computation that began before it, with what was there before."""
    going, go_on = threading.Event(), threading.Event()
    runs: list[int] = []

    @torshi.cache(store=where)
    def f() -> int:
        runs.append(1)
        count = len(runs)
        if count == 1:
            going.set()
            go_on.wait(5)
        return count

    results: list[int] = []
    thread = threading.Thread(target=lambda: results.append(f()))
    thread.start()
    going.wait(5)
    f.forget()
    go_on.set()
    thread.join()
    assert results == [1]
    assert f() == 2
    fresh_memory(f)
    assert f() == (3 if where == ":memory:" else 2)


def test_tags(where: str) -> None:
    f = Counting()

    @torshi.cache(store=where, code=False, tags=lambda n: ["all", f"user:{n}"])
    def by_user(n: int) -> Any:
        return f(n)

    by_user(1), by_user(2)
    assert by_user.evict("user:1") == 1
    by_user(1), by_user(2)
    assert f.runs == [1, 2, 1]
    assert by_user.evict("all") == 2
    by_user(2)
    assert f.runs == [1, 2, 1, 2]


def test_info_and_parameters(where: str) -> None:
    @torshi.cache(store=where, ttl=60, max_entries=5, version="3")
    def f(n: int) -> int:
        if n < 0:
            raise ValueError("negative")
        return n

    f(1), f(1), f(2)
    with pytest.raises(ValueError, match="negative"):
        f(-1)
    info = f.cache_info()
    assert (info.hits, info.misses, info.maxsize, info.currsize) == tuple(info)[:4] == (1, 3, 5, 2)
    assert (info.memory, info.store, info.errors) == (1, 0, 1)
    assert info.bytes > 0
    parameters = f.cache_parameters()
    assert parameters["maxsize"] == 5
    assert parameters["typed"] is True
    assert parameters["ttl"] == 60
    assert parameters["version"] == "3"
    assert set(parameters["code"]) == {"(itself)"}


def test_events(where: str) -> None:
    events: list[CacheEvent] = []

    @torshi.cache(store=where, on_event=events.append)
    def f(n: int) -> int:
        if n < 0:
            raise ValueError("negative")
        return n

    f(1), f(1)
    with pytest.raises(ValueError, match="negative"):
        f(-1)
    f.forget(1)
    assert [event.kind for event in events] == ["computed", "memory", "raised", "forgotten"]
    assert {event.function for event in events} == {f"{__name__}:test_events.<locals>.f"}
    assert events[0].key == events[1].key == events[3].key != events[2].key
    assert isinstance(events[2].error, ValueError)
    assert pickle.loads(pickle.dumps(events[0])) == events[0]


def test_a_callback_that_raises_breaks_no_call(where: str, caplog: pytest.LogCaptureFixture) -> None:
    def complain(event: CacheEvent) -> None:
        raise RuntimeError("no")

    @torshi.cache(store=where, on_event=complain)
    def f(n: int) -> int:
        return n

    assert f(1) == f(1) == 1
    assert "on_event raised" in caplog.text


# Recursion


def test_recursion(where: str) -> None:
    @torshi.cache(store=where)
    def fib(n: int) -> int:
        return n if n < 2 else fib(n - 1) + fib(n - 2)

    assert fib(40) == 102334155
    assert fib.cache_info().misses == 41


def test_a_function_that_asks_for_its_own_key_computes(where: str) -> None:
    """It would wait for itself."""
    depth: list[int] = []

    @torshi.cache(store=where)
    def f(n: int) -> int:
        depth.append(n)
        return g(n) if len(depth) < 3 else n

    @torshi.cache(store=where)
    def g(n: int) -> int:
        return f(n)

    assert f(1) == 1
    assert len(depth) == 3


def test_long_arguments_are_not_kept(where: Any) -> None:
    """Memory is bounded by the results in it, which says nothing of arguments."""
    f, runs = spellings(where)
    for _ in range(3):
        f("x" * 5000)
        f(("x" * 5000, 1), b=b"y" * 5000)
    assert len(runs) == 2
    assert f._core.memory.by_spelling == {}
    f("short")
    assert len(f._core.memory.by_spelling) == 1


def test_partials_and_callables(where: str) -> None:
    def add(a: int, b: int) -> int:
        return a + b

    one = torshi.cache(store=where)(functools.partial(add, 1))
    two = torshi.cache(store=where)(functools.partial(add, 2))
    assert (one(1), two(1), one(1), two(1)) == (2, 3, 2, 3)
    assert one.cache_info().hits == 1
    assert torshi.cache(store=where)(Fraction(1, 2).limit_denominator)(3) == Fraction(1, 2)


def test_stop_iteration_of_a_function_is_its_own(where: Any) -> None:
    @torshi.cache(store=where)
    def f() -> int:
        raise StopIteration(3)

    with pytest.raises(StopIteration) as raised:
        f()
    assert raised.value.value == 3
