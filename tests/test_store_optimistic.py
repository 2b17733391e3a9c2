"""Transactions of backends that compare versions at the end: what is seen within, what others do meanwhile, who waits.

If these failed, a transaction would not read what it has written, would lose what others wrote, or would wait for one
who is no more.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

import torshi
from torshi._store import optimistic
from torshi._store.backend import ABSENT, Check, Delete, Put, Row
from torshi._store.objects import ObjectBackend, open_backend

pytest.importorskip("obstore", reason="obstore is not installed")


@pytest.fixture
def backend() -> Iterator[ObjectBackend]:
    backend = open_backend("memory://")
    assert isinstance(backend, ObjectBackend)
    yield backend
    backend.close()


def values(rows: Any) -> dict[bytes, bytes]:
    return {row.key: row.value for row in rows}


def version_of(row: Row | None) -> Any:
    assert row is not None
    return row.version


def test_a_row_that_was_read_and_changed_is_a_conflict(backend: ObjectBackend) -> None:
    """A change of others that is written over by one who had not seen it."""
    backend.apply([Put(b"a", b"1"), Put(b"b", b"1"), Put(b"untouched", b"1")])
    for change in (Put(b"a", b"2"), Delete(b"a"), Put(b"new", b"1")):
        with pytest.raises(torshi.ConflictError, match="nothing was done, do it again"), backend.transaction() as view:
            assert view.get(b"new") is None
            row = view.get(b"a")
            view.apply([Put(b"b", b"of the transaction")])
            assert backend.apply([change])
            assert view.get(b"a") == row  # as it was
            assert view.get(b"new") is None
        assert backend.get(b"b") == Row(b"b", b"1", version_of(backend.get(b"b")))
        backend.apply([Put(b"a", b"1"), Delete(b"new")])
    with backend.transaction() as view:
        view.get(b"a")
        view.apply([Put(b"b", b"2")])
        assert backend.apply([Put(b"untouched", b"2"), Put(b"b", b"of others")])  # which nobody had read
    assert values(backend.scan(b"")) == {b"a": b"1", b"b": b"2", b"untouched": b"2"}
    assert issubclass(torshi.ConflictError, torshi.StoreError)
    assert issubclass(torshi.StoreError, OSError)


def test_reads_alone_are_of_one_moment(backend: ObjectBackend) -> None:
    """Two rows read that never were at the same time, and passed off as if they had been."""
    backend.apply([Put(b"a", b"1"), Put(b"b", b"1")])
    with pytest.raises(torshi.ConflictError), backend.transaction() as view:
        view.get(b"a")
        backend.apply([Put(b"a", b"2"), Put(b"b", b"2")])
        view.get(b"b")
    with backend.transaction() as view:
        view.get(b"a")
        backend.apply([Put(b"a", b"3")])


def test_what_is_seen_within(backend: ObjectBackend) -> None:
    """A transaction that does not see its own changes, or shows them to others."""
    backend.apply([Put(b"k%d" % number, b"old", tags=("t",)) for number in range(6)])
    with backend.transaction() as view:
        assert view.apply(
            [Put(b"k1", b"new"), Delete(b"k2"), Put(b"k25", b"new", tags=("t",)), Put(b"k9", b"new"), Put(b"a", b"")]
        )
        assert view.apply([Put(b"k4", b"gone", expires=time.time() - 1), Check(b"k2", ABSENT)])
        expected = {b"k0": b"old", b"k1": b"new", b"k25": b"new", b"k3": b"old", b"k5": b"old", b"k9": b"new"}
        assert values(view.scan(b"k")) == expected
        assert [row.key for row in view.scan(b"k", reverse=True)] == sorted(expected, reverse=True)
        assert [row.key for row in view.scan(b"k", after=b"k1")] == [b"k25", b"k3", b"k5", b"k9"]
        assert [row.key for row in view.scan(b"k", after=b"k25", reverse=True)] == [b"k1", b"k0"]
        assert [stat.key for stat in view.stats(b"k")] == sorted(expected)
        assert [stat.key for stat in view.stats(b"k", tag="t")] == [b"k0", b"k25", b"k3", b"k5"]
        many = view.get_many([b"k1", b"k2", b"k3", b"k1"])
        assert [row and row.value for row in many] == [b"new", None, b"old", b"new"]
        own = version_of(view.get(b"k1"))
        assert view.apply([Put(b"k1", b"newer", expect=own)]) is True
        assert view.apply([Put(b"k1", b"newest", expect=own)]) is False
        assert view.apply([Put(b"k3", b"x", expect=ABSENT), Put(b"k0", b"x")]) is False
        assert view.apply([Put(b"k3", b"x", expect=version_of(view.get(b"k3")))]) is True
        assert values(backend.scan(b"k")) == {b"k%d" % number: b"old" for number in range(6)}
        with view.transaction() as within:
            assert within is view
    expected |= {b"k1": b"newer", b"k3": b"x"}
    assert values(backend.scan(b"k")) == expected


def test_transactions_wait_for_one_another(backend: ObjectBackend) -> None:
    """Two transactions at the same time, one of which has to begin again."""
    backend.apply([Put(b"n", b"0")])

    def work() -> None:
        other = ObjectBackend(backend.bucket)
        for _ in range(10):
            with other.transaction() as view:
                row = view.get(b"n")
                assert row is not None
                time.sleep(0.001)
                view.apply([Put(b"n", b"%d" % (int(row.value) + 1))])
        other.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert values(backend.scan(b"n")) == {b"n": b"40"}


def test_a_lock_of_one_who_is_no_more(backend: ObjectBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock that is held for ever, or taken from one who was slow and then loses what others did."""
    monkeypatch.setattr(optimistic, "_LEASE", 0.1)
    backend.apply([Put(b"n", b"0")])
    slow = backend.transaction()
    view = slow.__enter__()
    view.get(b"n")
    view.apply([Put(b"n", b"slow")])
    start = time.monotonic()
    with ObjectBackend(backend.bucket).transaction() as other:
        assert 0.1 <= time.monotonic() - start < 5
        other.apply([Put(b"n", b"1")])
    with pytest.raises(torshi.ConflictError):
        slow.__exit__(None, None, None)
    assert values(backend.scan(b"n")) == {b"n": b"1"}
    assert backend.take_lock("another", 1) is True
    assert backend.take_lock("another", 1) is True
    monkeypatch.setattr(optimistic, "_PATIENCE", 0.05)
    with pytest.raises(torshi.StoreError, match="other transactions held the lock"), backend.transaction():
        pass
    backend.give_lock("not the holder")
    assert backend.take_lock("third", 1) is False
    backend.give_lock("another")
    with backend.transaction():
        pass


def test_conflicts_reach_the_program() -> None:
    """A store that hides from a program that its block has changed nothing."""
    store: torshi.Store[Any] = torshi.Store("memory://")
    store["a"] = 1
    with pytest.raises(torshi.ConflictError), store.transaction():
        store["b"] = store["a"] + 1
        thread = threading.Thread(target=store.set, args=("a", 5))
        thread.start()
        thread.join()
    assert dict(store) == {"a": 5}
    store.close()
