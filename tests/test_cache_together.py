"""Callers of one key at the same time: threads, tasks of one loop and of several, processes, and those that die.

If these failed, a popular key that ran out would be computed by everybody at once, or, worse, a caller would wait for
somebody who is not there.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import torshi
from cache_places import PLACES, place
from torshi._cache import lease as leases
from torshi._cache.lookup import Compute, lookup

WORKER = """
    import asyncio, os, sys, threading, time
    import torshi

    def noted(function):
        with open(os.environ["RUNS"], "a") as file:
            file.write(f"{function} {os.getpid()}\\n")

    @torshi.cache(store=os.environ["STORE"])
    async def in_loops(n):
        noted("in_loops")
        await asyncio.sleep(0.5)
        return {"n": n}

    @torshi.cache(store=os.environ["STORE"])
    def in_threads(n):
        noted("in_threads")
        time.sleep(0.5)
        return {"n": n}

    @torshi.cache(store=os.environ["STORE"], lease=1.0)
    def killed(n):
        noted("killed")
        time.sleep(0.6)
        return {"n": n}

    @torshi.cache(store=os.environ["STORE"], lease=0.4)
    def lasting(n):
        noted("lasting")
        time.sleep(1.2)
        return {"n": n}

    results = []

    def started(count, target):
        made = [threading.Thread(target=target) for _ in range(count)]
        for thread in made:
            thread.start()
        return made

    async def tasks(count):
        results.extend(await asyncio.gather(*[in_loops(1) for _ in range(count)]))

    def loops():
        # 25 threads, each with a loop of three tasks, and a loop of fifty.
        threads = started(25, lambda: asyncio.run(tasks(3)))
        asyncio.run(tasks(50))
        for thread in threads:
            thread.join()

    def threads():
        for thread in started(25, lambda: results.append(in_threads(1))):
            thread.join()

    print("ready", flush=True)
    for line in sys.stdin:
        what = globals()[line.strip()]
        what() if what in (loops, threads) else results.append(what(1))
        assert all(result == {"n": 1} for result in results), results
        print(len(results), flush=True)
        results.clear()
"""


class Crowd:
    """Eight processes that do what they are told, a line at a time."""

    def __init__(self, folder: Path) -> None:
        self.script = folder / "worker.py"
        self.script.write_text(textwrap.dedent(WORKER))
        self.runs_file = folder / "runs"
        self.runs_file.touch()
        self.environment = {**os.environ, "RUNS": str(self.runs_file), "STORE": str(folder / "results.db")}
        self.processes: list[subprocess.Popen[str]] = []

    def fill(self) -> None:
        """Starts those that are missing."""
        missing = [
            subprocess.Popen(
                [sys.executable, str(self.script)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=self.environment,
            )
            for _ in range(8 - len(self.processes))
        ]
        self.processes += missing
        for process in missing:
            assert self.said(process) == "ready"

    def said(self, process: subprocess.Popen[str]) -> str:
        assert process.stdout is not None
        return process.stdout.readline().strip()

    def tell(self, process: subprocess.Popen[str], what: str) -> None:
        assert process.stdin is not None
        process.stdin.write(what + "\n")
        process.stdin.flush()

    def all_do(self, what: str) -> int:
        """How many results all processes together got."""
        for process in self.processes:
            self.tell(process, what)
        return sum(int(self.said(process)) for process in self.processes)

    def runs(self, function: str) -> list[int]:
        """Which processes ran a function."""
        lines = [line.split() for line in self.runs_file.read_text().splitlines()]
        return [int(process) for name, process in lines if name == function]

    def close(self) -> None:
        for process in self.processes:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.close()
            process.wait(20)
            process.stdout.close()


@pytest.fixture(scope="module")
def kept_crowd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crowd]:
    made = Crowd(tmp_path_factory.mktemp("crowd"))
    yield made
    made.close()


@pytest.fixture
def crowd(kept_crowd: Crowd) -> Crowd:
    kept_crowd.fill()
    return kept_crowd


def test_a_thousand_callers_in_eight_processes_compute_once(crowd: Crowd) -> None:
    """200 threads, each with an event loop, 1,000 tasks, 8 processes, one key; then 200 threads and a function."""
    assert crowd.all_do("loops") == 1000
    assert len(crowd.runs("in_loops")) == 1
    assert crowd.all_do("threads") == 200
    assert len(crowd.runs("in_threads")) == 1


def test_a_lease_lasts_as_long_as_the_computation(crowd: Crowd) -> None:
    """Others wait for a leader that takes longer than the lease, as long as it lives."""
    assert crowd.all_do("lasting") == 8
    assert len(crowd.runs("lasting")) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="signals to kill by: POSIX")
def test_after_a_killed_leader_one_more_computes_within_the_lease(crowd: Crowd) -> None:
    leader = crowd.processes[0]
    crowd.tell(leader, "killed")
    while not crowd.runs("killed"):
        time.sleep(0.01)
    others = crowd.processes[1:]
    for process in others:
        crowd.tell(process, "killed")
    os.kill(leader.pid, signal.SIGKILL)
    killed = time.monotonic()
    crowd.processes.remove(leader)
    for stream in (leader.stdin, leader.stdout):
        assert stream is not None
        stream.close()
    leader.wait()
    assert [crowd.said(process) for process in others] == ["1"] * 7
    took = time.monotonic() - killed
    runs = crowd.runs("killed")
    assert len(runs) == 2
    assert runs[0] == leader.pid
    assert took < 1.0 + 0.6 + 3, "the lease, the computation, and what a busy machine takes"


# Within a process


def in_threads(count: int, function: Callable[[], Any]) -> list[Any]:
    barrier = threading.Barrier(count)

    def run() -> Any:
        barrier.wait()
        try:
            return function()
        except Exception as error:
            return error

    with ThreadPoolExecutor(count) as pool:
        return [future.result() for future in [pool.submit(run) for _ in range(count)]]


@pytest.fixture(params=PLACES)
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    return place(request.param, tmp_path)


def test_threads_share_a_computation_and_its_error(where: str) -> None:
    runs: list[int] = []

    @torshi.cache(store=where)
    def f(n: int) -> int:
        runs.append(n)
        time.sleep(0.5)
        if n < 0:
            raise ValueError(n)
        return n

    assert in_threads(20, lambda: f(1)) == [1] * 20
    assert runs == [1]
    assert f.cache_info().shared + f.cache_info().memory == 19
    errors = in_threads(20, lambda: f(-1))
    assert all(isinstance(error, ValueError) for error in errors)
    assert runs == [1, -1]
    with pytest.raises(ValueError, match="-1"):
        f(-1)
    assert runs == [1, -1, -1]


def test_functions_that_wait_for_each_other_do_not_wait_for_ever(where: str) -> None:
    """One thread computes f and needs g, another computes g and needs f: somebody must not wait."""
    first = threading.Barrier(2, timeout=10)
    entered = threading.local()

    @torshi.cache(store=where, lease=1.0)
    def f(n: int) -> str:
        if not getattr(entered, "yes", False):
            entered.yes = True
            first.wait()
            return "f" + g(n)
        return "f"

    @torshi.cache(store=where, lease=1.0)
    def g(n: int) -> str:
        if not getattr(entered, "yes", False):
            entered.yes = True
            first.wait()
            return "g" + f(n)
        return "g"

    with ThreadPoolExecutor(2) as pool:
        results = [pool.submit(f, 1), pool.submit(g, 1)]
        assert sorted(result.result(timeout=10)[0] for result in results) == ["f", "g"]


@pytest.mark.parametrize("slow", [0.0, 0.2])
def test_who_computes_within_a_computation_waits_no_longer_than_a_lease(tmp_path: Path, slow: float) -> None:
    """Two processes that compute for each other wait for many times the lease, where a look at the store is slow."""

    @torshi.cache(store=tmp_path / "results.db", lease=0.4)
    def inner(n: int) -> int:
        return n

    @torshi.cache(store=tmp_path / "results.db", lease=0.4)
    def outer(n: int) -> int:
        return inner(n) + 1

    call = inner._core.call((1,), {})
    assert call is not None
    core = inner._core
    shelf, stock = core.open_shelf(), core.acquire
    assert shelf is not None
    # Somebody else, who is alive and so gives signs of life, computes `inner` and does not come to an end.
    with torshi.Store(tmp_path / "results.db") as other:
        held = leases.acquire(other._backend, shelf._lease_key(call.key), 0.4)
        assert isinstance(held, leases.Lease)
        looks: list[float] = []

        def slowly(*args: Any) -> Any:
            looks.append(time.monotonic())
            time.sleep(slow)
            return stock(*args)

        core.acquire = slowly  # type: ignore[method-assign]
        began = time.monotonic()
        assert outer(1) == 2
        took = time.monotonic() - began
        held.release()
    assert 0.4 <= took < 0.4 + slow + 0.15 + 0.6, "the lease, one look, one pause, and what a busy machine takes"
    assert len(looks) <= (20 if not slow else 4)


def test_an_interrupted_leader_hands_on(where: str) -> None:
    runs: list[int] = []
    going = threading.Event()

    @torshi.cache(store=where)
    def f() -> int:
        runs.append(1)
        if len(runs) == 1:
            going.set()
            time.sleep(0.2)
            raise KeyboardInterrupt
        return len(runs)

    outcomes: list[Any] = []

    def lead() -> None:
        try:
            f()
        except KeyboardInterrupt:
            outcomes.append("interrupted")

    leader = threading.Thread(target=lead)
    leader.start()
    going.wait(5)
    assert in_threads(5, f) == [2] * 5
    leader.join()
    assert outcomes == ["interrupted"]
    assert len(runs) == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
def test_a_child_that_ends_within_a_computation_leaves_the_lease(tmp_path: Path) -> None:
    """A lease of the parent that its child gives back, so that others compute what the parent is still at."""
    there: list[bool] = []

    @torshi.cache(store=tmp_path / "results.db", lease=30.0)
    def f(n: int) -> int:
        child = os.fork()
        if child == 0:
            raise SystemExit
        os.waitpid(child, 0)
        call = f._core.call((n,), {})
        shelf = f._core.open_shelf()
        assert call is not None
        assert shelf is not None
        there.append(shelf._store._backend.get(shelf._lease_key(call.key)) is not None)
        return n

    parent = os.getpid()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of later Pythons: threads and forks
            assert f(1) == 1
    finally:
        if os.getpid() != parent:
            os._exit(0)
    assert there == [True]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
def test_a_child_does_not_wait_for_threads_that_it_has_not(tmp_path: Path) -> None:
    going, go_on = threading.Event(), threading.Event()
    parent = os.getpid()

    @torshi.cache(store=":memory:")
    def f() -> int:
        if os.getpid() == parent:
            going.set()
            go_on.wait(10)
        return os.getpid()

    thread = threading.Thread(target=f)
    thread.start()
    going.wait(5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of later Pythons: threads and forks
        child = os.fork()
    if child == 0:
        os._exit(0 if f() == os.getpid() else 1)
    deadline = time.monotonic() + 10
    status = None
    while time.monotonic() < deadline:
        pid, found = os.waitpid(child, os.WNOHANG)
        if pid:
            status = found
            break
        time.sleep(0.01)
    else:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    go_on.set()
    thread.join()
    assert status == 0


# Tasks


def test_tasks_share_a_computation_and_its_error(where: str) -> None:
    runs: list[int] = []

    @torshi.cache(store=where)
    async def f(n: int) -> int:
        runs.append(n)
        await asyncio.sleep(0.05)
        if n < 0:
            raise ValueError(n)
        return n

    async def main() -> None:
        assert await asyncio.gather(*[f(1) for _ in range(500)]) == [1] * 500
        errors = await asyncio.gather(*[f(-1) for _ in range(50)], return_exceptions=True)
        assert {type(error) for error in errors} == {ValueError}

    asyncio.run(main())
    assert runs == [1, -1]
    assert f.cache_info().hits == 499 + 49


def test_loops_of_several_threads_share(where: str) -> None:
    runs: list[int] = []

    @torshi.cache(store=where)
    async def f() -> int:
        runs.append(1)
        await asyncio.sleep(0.2)
        return 7

    assert in_threads(10, lambda: asyncio.run(f())) == [7] * 10
    assert runs == [1]


def test_a_cancelled_leader_hands_on(where: str) -> None:
    runs: list[int] = []

    @torshi.cache(store=where)
    async def f() -> int:
        runs.append(1)
        await asyncio.sleep(60 if len(runs) == 1 else 0.1)
        return len(runs)

    async def main() -> None:
        leader = asyncio.create_task(f())
        while not runs:
            await asyncio.sleep(0.001)
        waiters = [asyncio.create_task(f()) for _ in range(5)]
        given_up = asyncio.create_task(f())
        await asyncio.sleep(0)
        given_up.cancel()
        leader.cancel()
        assert await asyncio.gather(*waiters) == [2] * 5
        for task in (leader, given_up):
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(main())
    assert len(runs) == 2


def test_a_task_cancelled_while_it_asks_for_a_lease_leaves_none(tmp_path: Path) -> None:
    """The thread that asks cannot be cancelled, and what it gets would be kept alive for nobody, and for ever."""

    @torshi.cache(store=tmp_path / "x.db", lease=30)
    async def f() -> int:
        return 1

    core = f._core
    acquire, acquired = core.acquire, threading.Event()

    def slowly(shelf: Any, key: bytes) -> Any:
        held = acquire(shelf, key)
        acquired.set()
        time.sleep(0.2)
        return held

    async def main() -> None:
        core.acquire = slowly  # type: ignore[method-assign]
        task = asyncio.create_task(f())
        while not acquired.is_set():
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        core.acquire = acquire  # type: ignore[method-assign]
        assert await asyncio.wait_for(f(), 10) == 1

    asyncio.run(main())


def test_a_coroutine_that_is_closed_hands_on() -> None:
    """Whoever drops a coroutine halfway leaves no flight that never lands."""
    runs: list[int] = []

    class Never:
        def __await__(self) -> Iterator[None]:
            yield

    @torshi.cache(store=":memory:")
    async def f() -> int:
        runs.append(1)
        if len(runs) == 1:
            await Never()
        return len(runs)

    dropped = f()
    dropped.send(None)
    dropped.close()
    assert asyncio.run(asyncio.wait_for(f(), 10)) == 2


def test_steps_that_nobody_takes_leave_no_lease(where: Any) -> None:
    """An interrupt may come between any two steps, and then what is held goes with the steps."""

    @torshi.cache(store=where)
    def f(n: int) -> int:
        return n

    core = f._core
    call = core.call((1,), {})
    assert call is not None
    steps = lookup(core, call)
    step = next(steps)
    while not isinstance(step, Compute):
        step = steps.send(step.question())  # type: ignore[union-attr]
    steps.close()
    assert not core.flights.is_under_way(call.key)
    shelf = core.shelf_if_open
    if shelf is not None:
        assert shelf._store._backend.get(shelf._lease_key(call.key)) is None
    assert f(1) == 1


def test_callers_at_the_same_time_get_their_own_with_copy(where: Any) -> None:
    @torshi.cache(store=where, copy=True)
    def f() -> list[int]:
        time.sleep(0.1)
        return [1]

    results = in_threads(5, f)
    assert results == [[1]] * 5
    assert len({id(result) for result in results}) == 5


def test_a_task_that_asks_for_its_own_key_through_another_computes(where: str) -> None:
    depth: list[int] = []

    @torshi.cache(store=where)
    async def f(n: int) -> int:
        depth.append(n)
        if len(depth) < 3:
            return sum(await asyncio.gather(asyncio.create_task(f(n)), asyncio.create_task(f(n + 10))))
        return n

    assert asyncio.run(asyncio.wait_for(f(1), 10)) > 0


def test_controls_of_coroutine_functions(where: str) -> None:
    runs: list[int] = []

    @torshi.cache(store=where, ttl=60)
    async def f(n: int) -> int:
        runs.append(n)
        return len(runs)

    async def main() -> None:
        with pytest.raises(KeyError):
            await f.peek(1)
        assert await f(1) == await f(n=1) == await f.peek(1) == 1
        assert await f.refresh(1) == 2
        assert await f(1) == 2
        assert await f.forget(1)
        assert await f(1) == 3
        with pytest.raises(TypeError):
            await f()  # type: ignore[call-arg]
        f.cache_clear()
        assert await f(1) == 4
        f._core.memory.clear()
        assert await f(1) == (5 if where == ":memory:" else 4)

    asyncio.run(main())


def test_refresh_ahead_of_coroutine_functions(where: str) -> None:
    runs: list[int] = []

    @torshi.cache(store=where, ttl=5.0, refresh_ahead=4.8)
    async def f() -> int:
        runs.append(1)
        await asyncio.sleep(0.01)
        return len(runs)

    async def main() -> None:
        assert await f() == 1
        await asyncio.sleep(0.25)
        assert await f() == 1
        for _ in range(100):
            await asyncio.sleep(0.01)
            if await f() == 2:
                break
        assert await f() == 2

    asyncio.run(main())
    assert len(runs) == 2


def test_a_loop_is_not_blocked_by_a_store_that_is(tmp_path: Path) -> None:
    """Writing to a store that somebody else locks takes as long as he does, and other tasks go on meanwhile."""
    store: torshi.Store[Any] = torshi.Store(tmp_path / "x.db")
    ticks: list[float] = []

    @torshi.cache(store=store)
    async def f() -> int:
        return 1

    def hold() -> None:
        with store.transaction():
            store["x"] = 1
            held.set()
            time.sleep(1.0)

    held = threading.Event()

    async def tick() -> None:
        while True:
            ticks.append(time.monotonic())
            await asyncio.sleep(0.01)

    async def main() -> None:
        holder = threading.Thread(target=hold)
        holder.start()
        held.wait(5)
        ticker = asyncio.create_task(tick())
        await asyncio.sleep(0)
        assert await f() == 1
        ticker.cancel()
        holder.join()

    asyncio.run(main())
    assert max(b - a for a, b in itertools.pairwise(ticks)) < 0.8
    assert len(ticks) > 10
