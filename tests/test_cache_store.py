"""Where cached results are: in memory, in bounds; in stores, with everything that may happen to one.

If these failed, a full disk or a forged row would break a program, or memory would grow without end.
"""

from __future__ import annotations

import logging
import math
import os
import pickle
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import torshi
from cache_places import PLACES, Counting, fresh_memory, place
from torshi._cache.memory import Entry, Memory
from torshi._cache.shelf import cache_folder


@pytest.fixture(params=PLACES)
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    return place(request.param, tmp_path)


# Memory


def test_memory_is_bounded_by_count_and_bytes() -> None:
    f = Counting()

    @torshi.cache(store=":memory:", max_entries=3, code=False)
    def few(n: int) -> Any:
        return f(n)

    for n in (1, 2, 3):
        few(n)
    few(1)
    few(4)
    assert few.cache_info().currsize <= 3
    runs = len(f.runs)
    few(1), few(4)
    assert len(f.runs) == runs, "what was used last is there"

    @torshi.cache(store=":memory:", max_bytes=100_000, code=False)
    def large(n: int) -> bytes:
        f(n)
        return bytes(30_000)

    for n in range(10):
        large(n)
        assert large.cache_info().bytes <= 100_000
    assert large.cache_info().currsize >= 2

    @torshi.cache(store=":memory:", max_bytes=100)
    def too_large(n: int) -> bytes:
        return bytes(10_000)

    assert too_large(1) == too_large(1)
    assert too_large.cache_info().currsize == 0


def test_the_least_recently_used_go_first() -> None:
    memory = Memory(None, 100)
    entries = [Entry(bytes([n]), n) for n in range(100)]
    for n, entry in enumerate(entries):
        memory.put(entry, math.inf)
        entry.used = float((n * 37) % 100)
    memory.put(Entry(b"new", 0), math.inf)
    left = {entry.used for entry in memory.by_key.values() if entry.key != b"new"}
    assert len(memory) == 90
    assert min(left) > 10
    assert all(entry.until == -math.inf for entry in entries if entry.key not in memory.by_key)


def test_each_gets_his_own_with_copy(where: str) -> None:
    f = Counting()

    @torshi.cache(store=where, copy=True, code=False)
    def cached(n: int) -> Any:
        return {"items": [f(n)]}

    cached(1)["items"].append("mine")
    cached(1)["items"].append("mine")
    assert cached(1) == {"items": [1]}
    assert f.runs == [1]
    assert cached.cache_info().currsize == 0


# Stores


class Secret:
    """A class that only one's own seal lets back in."""

    def __init__(self, value: int) -> None:
        self.value = value


def test_ones_own_classes_come_back(tmp_path: Path) -> None:
    @torshi.cache(store=tmp_path / "x.db")
    def make(n: int) -> Secret:
        return Secret(n)

    make(1)
    fresh_memory(make)
    assert make(1).value == 1
    assert make.cache_info().store == 1


def test_large_results_come_back(tmp_path: Path) -> None:
    numpy = pytest.importorskip("numpy")

    @torshi.cache(store=tmp_path / "x.db")
    def make(n: int) -> Any:
        return {"array": numpy.arange(n)}

    first = make(100_000)
    fresh_memory(make)
    assert (make(100_000)["array"] == first["array"]).all()
    assert make.cache_info().store == 1


def test_the_default_store_is_in_the_folder_for_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORSHI_CACHE_DIR", str(tmp_path / "caches"))
    assert cache_folder() == tmp_path / "caches"

    @torshi.cache
    def f(n: int) -> int:
        return n

    assert not (tmp_path / "caches").exists(), "nothing is opened before the first call"
    f(1)
    assert (tmp_path / "caches" / "results.db").exists()
    monkeypatch.delenv("TORSHI_CACHE_DIR")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache_folder() == Path("/somewhere/torshi")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert cache_folder() == Path.home() / "Library" / "Caches" / "torshi"
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", "/local")
    assert cache_folder() == Path("/local/torshi/Cache")


def test_a_relative_path_is_that_of_the_decoration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    @torshi.cache(store="x.db")
    def f() -> int:
        return 1

    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    f()
    assert (tmp_path / "x.db").exists()


def test_a_store_that_cannot_be_opened_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("no folder")
    f = Counting()

    @torshi.cache(store=tmp_path / "file" / "x.db", code=False)
    def cached(n: int) -> Any:
        return f(n)

    with caplog.at_level(logging.INFO, "torshi.cache"):
        assert [cached(n % 3) for n in range(9)] == [0, 1, 2] * 3
    assert f.runs == [0, 1, 2]
    assert len(caplog.records) == 1
    assert "the store cannot be used, and results are kept in memory alone" in caplog.text
    assert cached.cache_info().unavailable == 1


def test_a_store_that_cannot_be_written_to(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk, or one that became read-only: hits go on, and so does everything else, from memory."""
    f = Counting()

    @torshi.cache(store=tmp_path / "x.db", code=False)
    def cached(n: int) -> Any:
        return f(n)

    cached(1)
    store = cached._core._shelf._store  # type: ignore[union-attr]

    def full(changes: Any) -> bool:
        raise torshi.StoreError("store x.db: the disk is full")

    monkeypatch.setattr(store._backend, "apply", full)
    with caplog.at_level(logging.INFO, "torshi.cache"):
        cached(2), cached(3), cached(2)
    assert f.runs == [1, 2, 3]
    assert len(caplog.records) == 1
    fresh_memory(cached)
    cached(1)
    assert f.runs == [1, 2, 3]


def test_a_result_that_cannot_be_stored_is_kept_in_memory(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    @torshi.cache(store=tmp_path / "x.db")
    def lock() -> Any:
        return threading.Lock()

    with caplog.at_level(logging.INFO, "torshi.cache"):
        assert lock() is lock()
    assert "cannot be stored" in caplog.text
    assert f"{__name__}:test_a_result_that_cannot_be_stored_is_kept_in_memory.<locals>.lock" in caplog.text


def test_a_row_that_cannot_be_read_is_a_miss(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Forged, of another key, of a class that is gone, or no result at all: computed again, and told with its key."""
    f = Counting()

    @torshi.cache(store=tmp_path / "x.db", code=False)
    def cached(n: int) -> Any:
        return Secret(f(n))

    for n in range(4):
        cached(n)
    core = cached._core
    shelf = core._shelf
    assert shelf is not None
    backend = shelf._store._backend
    keys = [shelf._key(core.call((n,), {}).key) for n in range(4)]  # type: ignore[union-attr]
    rows = [backend.get(key) for key in keys]
    from torshi._store.backend import Put

    evil = pickle.dumps(os.system)
    backend.apply([Put(keys[0], rows[1].value), Put(keys[1], rows[1].value[:-1] + b"?"), Put(keys[2], evil)])
    sealed, _ = shelf._store._envelope.pack(keys[3], ("something", "else"))
    backend.apply([Put(keys[3], sealed)])
    fresh_memory(cached)
    with caplog.at_level(logging.WARNING, "torshi.cache"):
        assert [cached(n).value for n in range(4)] == [0, 1, 2, 3]
    assert f.runs == [0, 1, 2, 3] * 2
    assert cached.cache_info().unreadable >= 4
    assert core.call((0,), {}).key.hex()[:16] in caplog.text  # type: ignore[union-attr]
    fresh_memory(cached)
    assert [cached(n).value for n in range(4)] == [0, 1, 2, 3]
    assert f.runs == [0, 1, 2, 3] * 2


def test_a_class_that_is_gone_is_a_miss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    f = Counting()

    @torshi.cache(store=tmp_path / "x.db", code=False)
    def cached(n: int) -> Any:
        f(n)
        return Secret(n) if hasattr(sys.modules[__name__], "Secret") else n

    cached(1)
    fresh_memory(cached)
    monkeypatch.delattr(sys.modules[__name__], "Secret")
    assert cached(1) == 1
    assert f.runs == [1, 1]


def test_functions_share_a_store_and_nothing_else(tmp_path: Path) -> None:
    store: torshi.Store[Any] = torshi.Store(tmp_path / "x.db")

    def made(name: str) -> Callable[[int], Any]:
        def f(n: int) -> Any:
            return (name, n)

        f.__qualname__ = name
        return torshi.cache(store=store, code=False)(f)

    one, other = made("one"), made("other")
    assert (one(1), other(1)) == (("one", 1), ("other", 1))
    store["mine"] = 1
    assert len(store) == 3
    one.cache_clear()  # type: ignore[attr-defined]
    assert len(store) == 2
    assert store["mine"] == 1


def test_a_version_leaves_results_behind(tmp_path: Path) -> None:
    f = Counting()

    def decorated(version: Any) -> Any:
        def cached(n: int) -> Any:
            return f(n)

        return torshi.cache(store=tmp_path / "x.db", code=False, version=version)(cached)

    for version in (None, None, 1, 1, "1", 2):
        decorated(version)(1)
    assert len(f.runs) == 4


def test_what_others_forget_is_seen(tmp_path: Path) -> None:
    """Within the time that `fresh` says: by key, by tag, all of it, and what they computed anew."""
    f = Counting()

    def decorated() -> Any:
        @torshi.cache(store=tmp_path / "x.db", code=False, fresh=0.05, tags=["t"])
        def cached(n: int) -> Any:
            f(n)
            return len(f.runs)

        return cached

    here, there = decorated(), decorated()
    assert here(1) == there(1) == 1
    changes: list[Callable[[], Any]] = [
        lambda: there.forget(1),
        there.cache_clear,
        lambda: there._core._shelf._store.evict("t"),
        lambda: there.refresh(1),
    ]
    for change in changes:
        before = here(1)
        change()
        time.sleep(0.06)
        assert here(1) == before + 1
        assert there(1) == before + 1


def test_within_a_transaction_of_its_store(tmp_path: Path) -> None:
    store: torshi.Store[Any] = torshi.Store(tmp_path / "x.db")

    @torshi.cache(store=store)
    def f(n: int) -> int:
        return n

    with store.transaction():
        assert f(1) == 1
        store["a"] = f(2)
    fresh_memory(f)
    assert f(2) == 2
    assert f.cache_info().store == 1


def test_a_far_store_is_asked_like_any_other(tmp_path: Path) -> None:
    """Of a server nothing is known but what the contract of backends says."""
    f = Counting()

    @torshi.cache(store=place("far", tmp_path), code=False, fresh=0)
    def cached(n: int) -> Any:
        return f(n)

    assert cached(1) == cached(1) == 1
    fresh_memory(cached)
    assert cached(1) == 1
    assert cached.forget(1)
    assert cached(1) == 1
    assert f.runs == [1, 1]
    assert not cached._core._shelf.is_local  # type: ignore[union-attr]


def test_a_store_that_is_closed_is_one_that_cannot_be_used(tmp_path: Path) -> None:
    store: torshi.Store[Any] = torshi.Store(tmp_path / "x.db")

    @torshi.cache(store=store, fresh=0)
    def f(n: int) -> int:
        return n

    f(1)
    store.close()
    assert (f(1), f(2), f.forget(1), f(1)) == (1, 2, True, 1)
    f.cache_clear()


def test_while_another_process_computes_ahead_nobody_else_does(tmp_path: Path) -> None:
    from torshi._cache import lease

    f = Counting()

    @torshi.cache(store=tmp_path / "x.db", code=False, ttl=60, refresh_ahead=59.9)
    def cached(n: int) -> Any:
        return f(n)

    cached(1)
    shelf = cached._core._shelf
    assert shelf is not None
    key = cached._core.call((1,), {}).key  # type: ignore[union-attr]
    held = lease.acquire(shelf._store._backend, shelf._lease_key(key), 60)
    assert isinstance(held, lease.Lease)
    time.sleep(0.15)
    for _ in range(5):
        assert cached(1) == 1
        time.sleep(0.02)
    assert f.runs == [1]
    held.release()


def test_a_failed_write_leaves_no_lease(tmp_path: Path) -> None:
    """It would keep other processes waiting for somebody who has long been done."""

    @torshi.cache(store=tmp_path / "x.db")
    def lock(n: int) -> Any:
        return threading.Lock()

    lock(1)
    shelf = lock._core._shelf
    assert shelf is not None
    key = lock._core.call((1,), {}).key  # type: ignore[union-attr]
    assert shelf._store._backend.get(shelf._lease_key(key)) is None
