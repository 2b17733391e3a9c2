"""What a store does whatever keeps its rows, by its rows: seals, the backend itself, several processes.

The rest of the contract of `store_contract`, used in the same way.
"""

from __future__ import annotations

import datetime
import multiprocessing
import queue
import time
from collections.abc import Iterator
from typing import Any

import pytest

import torshi
from store_contract import PROCESSES, RAN, Acting, MakeStore, Own, act
from torshi._store.backend import ABSENT, ANY, Backend, Check, Delete, Put


class TestSeals:
    """Nothing that somebody else wrote into a row is loaded, and nothing else suffers from it."""

    FLAGS = range(256)

    @pytest.fixture(autouse=True)
    def _nothing_ran(self) -> Iterator[None]:
        RAN.clear()
        yield
        assert RAN == []

    def rows(self, store: torshi.Store[Any]) -> dict[bytes, bytes]:
        return {row.key: row.value for row in backend_of(store).scan(b"d")}

    def test_every_bit_of_a_small_row(self, store: torshi.Store[Any]) -> None:
        """A changed bit that is loaded, or makes another row unreadable."""
        store["a"] = {"n": 1}
        store["z"] = "other"
        backend = backend_of(store)
        (key, value), *_ = self.rows(store).items()
        for bit in range(len(value) * 8):
            changed = bytearray(value)
            changed[bit // 8] ^= 1 << bit % 8
            plant(backend, key, bytes(changed))
            with pytest.raises(torshi.SealError, match="'a'"):
                store["a"]
            assert store["z"] == "other"
        for length in range(len(value)):
            plant(backend, key, value[:length])
            with pytest.raises(torshi.SealError, match="'a'"):
                store["a"]
        plant(backend, key, value)
        assert store["a"] == {"n": 1}

    def test_rows_of_another_key_or_store(self, make_store: MakeStore) -> None:
        """A value that is loaded at another place than it was put at: of this store, or of another one."""
        store, other = make_store(), make_store("other")
        store.update(a=1, b=2)
        other.update(a=3)
        rows, foreign = self.rows(store), self.rows(other)
        (one, first), (two, second) = rows.items()
        backend = backend_of(store)
        plant(backend, one, second)
        plant(backend, two, foreign[one])
        store["c"] = "fine"
        for name in ("a", "b"):
            with pytest.raises(torshi.SealError, match=f"'{name}' is not what was sealed for it"):
                store[name]
        assert store["c"] == "fine"
        # A message is no value, and a value no message.
        jobs = store.queue("jobs")
        jobs.put("m")
        (message,) = backend.scan(b"q")
        plant(backend, message.key, first)
        with pytest.raises(queue.Empty):
            jobs.get(timeout=0)
        assert len(jobs) == 1

    def test_planted_pickles(self, make_store: MakeStore) -> None:
        """A stranger's pickle that runs something, in whatever it is wrapped."""
        attack = torshi.dumps(Acting())
        names = f"{act.__module__}:act".encode()
        listed = len(names).to_bytes(4, "little") + names
        store = make_store()
        store["fine"] = 1
        backend = backend_of(store)
        key = b"d\x02a\x00"
        for flags in self.FLAGS:
            for body in (attack, bytes(16) + attack, bytes(16) + listed + attack, listed + attack):
                plant(backend, key, bytes([1, flags]) + body)
                with pytest.raises(torshi.SealError):
                    store["a"]
        for value in (attack, b"", b"\x01", b"\x02\x01" + bytes(16) + attack):
            plant(backend, key, value)
            with pytest.raises(torshi.SealError):
                store["a"]
        assert store["fine"] == 1
        assert [problem.kind for problem in store.check()] == ["seal"]

    def test_unsealed_stores(self, make_store: MakeStore) -> None:
        """A store without seals that trusts whoever writes to it, or mixes with one that has them."""
        store = make_store(key=False)
        store["a"] = {"n": 1}
        store["own"] = Own(1)
        assert store["a"] == {"n": 1}
        with pytest.raises(torshi.UntrustedError, match="Own"):
            store["own"]
        assert make_store(key=False, trust=[Own])["own"] == Own(1)
        assert make_store(key=False, type=Own)["own"] == Own(1)
        plant(backend_of(store), b"d\x02b\x00", bytes([1, 0]) + torshi.dumps(Acting()))
        names = f"{act.__module__}:act".encode()
        listed = len(names).to_bytes(4, "little") + names
        plant(backend_of(store), b"d\x02c\x00", bytes([1, 2]) + listed + torshi.dumps(Acting()))
        with pytest.raises(torshi.UntrustedError):
            store["b"]
        with pytest.raises(torshi.MalformedError, match="nobody has sealed"):
            store["c"]
        sealed = make_store()
        with pytest.raises(torshi.SealError, match="a sealed store takes no other"):
            sealed["a"]
        sealed["s"] = 1
        with pytest.raises(torshi.SealError, match="open the store with its key"):
            store["s"]

    def test_other_keys(self, make_store: MakeStore) -> None:
        """A row that somebody with another key reads, or one that the second of two keys cannot."""
        store = make_store(key=b"a secret of sixteen bytes")
        store["a"] = Own(1)
        assert make_store(key=b"a secret of sixteen bytes")["a"] == Own(1)
        with pytest.raises(torshi.SealError):
            make_store(key=b"another of sixteen bytes")["a"]
        with pytest.raises(torshi.SealError):
            make_store()["a"]
        with pytest.raises(torshi.SealError, match="with the key here"):
            make_store().repair()
        with pytest.raises(ValueError, match="16 bytes or more"):
            make_store(key=b"short")
        assert store["a"] == Own(1)

    def test_trust_and_seals(self, make_store: MakeStore) -> None:
        """A seal that lends more than the names its row lists, or a policy that a seal does not add to."""
        store = make_store()
        store["own"] = Own(1)
        assert make_store(trust=torshi.Policy.empty())["own"] == Own(1)
        assert make_store(trust=["elsewhere.Thing"])["own"] == Own(1)
        store["date"] = datetime.date(2026, 1, 1)  # of the default policy, so that no row lists it
        with pytest.raises(torshi.UntrustedError):
            make_store(trust=torshi.Policy.empty())["date"]

    def test_check_and_repair(self, make_store: MakeStore) -> None:
        """Damage that is not found, or a repair that takes along what can be read."""
        store = make_store()
        store.update(a=1, b=Own(2), c=3)
        store.queue("jobs").put("m")
        store.queue("jobs").put("n")
        assert store.check() == []
        backend = backend_of(store)
        plant(backend, b"d\x02b\x00", b"\x01\x01" + bytes(40))
        plant(backend, b"d\x02odd", b"\x01\x01" + bytes(40))
        first = next(iter(backend.scan(b"q")))
        plant(backend, first.key, b"\x01\x01" + bytes(40))
        found = store.check()
        assert sorted(problem.kind for problem in found) == ["key", "seal", "seal"]
        assert any(problem.name == "'b'" for problem in found)
        assert str(found[0]).startswith(found[0].name + ": ")
        assert store.check() == found  # nothing was changed
        done = store.repair()
        assert sum(line.startswith("put aside: ") for line in done) == 3
        assert store.check() == []
        assert dict(store) == {"a": 1, "c": 3}
        assert store.stats().lost == 3
        assert store.queue("jobs").get(timeout=0).value == "n"
        store["b"] = 4
        assert store["b"] == 4
        assert store.repair() == []

    def test_copies(self, make_store: MakeStore) -> None:
        """A copy whose values cannot be read at their new place, or lack their expiry or tags."""
        store, other = make_store(), make_store("other")
        store.update({number: number for number in range(300)})
        store["own"] = Own(b"x" * 100_000)
        store.set("tagged", "t", ttl=60, tags=["x"])
        store.queue("jobs").put("m")
        assert store.copy_to(other) == 303
        assert dict(other) == dict(store)
        assert other.tags("tagged") == ("x",)
        assert other.expires("tagged") == store.expires("tagged")
        assert other.queue("jobs").get(timeout=0).value == "m"
        assert other.check() == []
        third = make_store("third", key=False, trust=[Own])
        assert store.copy_to(third, prefix="o") == 1
        assert third["own"] == Own(b"x" * 100_000)
        assert third.copy_to(other, prefix="o") == 1
        with pytest.raises(torshi.UntrustedError):
            other["own"]  # what nobody had vouched for is not vouched for by being copied


class TestBackend:
    """The contract of a backend, row by row."""

    TICK = 0.05  # seconds in which a few requests are answered

    def test_expectations(self, store: torshi.Store[Any]) -> None:
        """A change that is made although what it expects does not hold, or the other way round."""
        backend = backend_of(store)
        put = Put(b"dk", b"1", "k")
        assert backend.get(b"dk") is None
        assert backend.apply([Check(b"dk", ABSENT)]) is True
        assert backend.apply([Delete(b"dk")]) is True
        assert backend.apply([Delete(b"dk", "0")]) is False
        assert backend.apply([put]) is True
        row = backend.get(b"dk")
        assert row is not None
        assert (row.key, row.value, row.expires) == (b"dk", b"1", None)
        assert backend.apply([put]) is True
        again = backend.get(b"dk")
        assert again is not None
        assert again.version != row.version
        for expect, holds in ((ABSENT, False), (row.version, False), (again.version, True), (ANY, True)):
            assert backend.apply([Check(b"dk", expect)]) is holds
        assert backend.apply([Put(b"dk", b"2", "k", expect=row.version)]) is False
        assert backend.apply([Put(b"dk", b"2", "k", expect=ABSENT)]) is False
        assert backend.apply([Delete(b"dk", row.version)]) is False
        assert backend.apply([Put(b"dk", b"2", "k", expect=again.version)]) is True
        last = backend.get(b"dk")
        assert last is not None
        assert last.value == b"2"
        assert backend.apply([Delete(b"dk", last.version)]) is True
        assert backend.get(b"dk") is None

    def test_all_or_none(self, store: torshi.Store[Any]) -> None:
        """Several changes of which a part is made."""
        backend = backend_of(store)
        assert backend.apply([Put(b"da", b"1"), Put(b"db", b"1")]) is True
        row = backend.get(b"da")
        assert row is not None
        changes = [Put(b"da", b"2"), Delete(b"db"), Put(b"dc", b"2"), Check(b"da", ABSENT)]
        assert backend.apply(changes) is False
        assert backend.get(b"da") == row
        assert [found and found.value for found in backend.get_many([b"da", b"db", b"dc"])] == [b"1", b"1", None]
        assert backend.apply([Put(b"da", b"2", expect=row.version), Delete(b"db"), Check(b"dc", ABSENT)]) is True
        assert [found and found.value for found in backend.get_many([b"da", b"db", b"dc"])] == [b"2", None, None]

    def test_scans(self, store: torshi.Store[Any]) -> None:
        """A scan from the wrong place, in the wrong direction, or of rows that have expired."""
        backend = backend_of(store)
        keys = [b"d" + bytes(tail) for tail in ([], [0], [0, 255], [1], [1, 0], [1, 1], [2], [255], [255, 255])]
        assert backend.apply([Put(key, key) for key in keys]) is True
        assert backend.apply([Put(b"e", b"e"), Put(b"c\xff", b"c")]) is True
        assert backend.apply([Put(b"d\x01\x02", b"", expires=time.time() - 1)]) is True
        assert [row.key for row in backend.scan(b"d")] == keys
        assert [row.key for row in backend.scan(b"d", reverse=True)] == keys[::-1]
        assert [row.key for row in backend.scan(b"d\x01")] == keys[3:6]
        assert [row.key for row in backend.scan(b"d", after=b"d\x01")] == keys[4:]
        assert [row.key for row in backend.scan(b"d", after=b"d\x01", reverse=True)] == keys[2::-1]
        assert [row.key for row in backend.scan(b"d\xff")] == keys[7:]
        assert [stat.key for stat in backend.stats(b"d", after=b"d\x01\x01")] == keys[6:]
        assert backend.usage()[0] >= len(keys) + 2

    def test_expired_rows_are_absent(self, store: torshi.Store[Any]) -> None:
        """A row that has expired and stands in the way of another."""
        backend = backend_of(store)
        soon = time.time() + self.TICK
        assert backend.apply([Put(b"da", b"1", expires=soon), Put(b"db", b"1", expires=soon)]) is True
        row = backend.get(b"da")
        assert row is not None
        time.sleep(2 * self.TICK)
        assert backend.apply([Check(b"da", row.version)]) is False
        assert backend.apply([Put(b"da", b"2", expect=row.version)]) is False
        assert backend.apply([Delete(b"da", row.version)]) is False
        assert backend.apply([Put(b"da", b"2", expect=ABSENT), Check(b"db", ABSENT)]) is True
        backend.sweep()
        assert [found.key for found in backend.scan(b"d")] == [b"da"]

    def test_transactions_undo(self, store: torshi.Store[Any]) -> None:
        """A transaction that reads what was there before its own changes, or leaves them behind when it fails."""
        backend = backend_of(store)
        backend.apply([Put(b"da", b"1")])
        with pytest.raises(ZeroDivisionError), backend.transaction() as view:
            assert view.apply([Put(b"da", b"2"), Put(b"db", b"2")]) is True
            assert view.apply([Put(b"dc", b"2"), Check(b"da", ABSENT)]) is False
            assert [row.key for row in view.scan(b"d")] == [b"da", b"db"]
            raise ZeroDivisionError
        assert [(row.key, row.value) for row in backend.scan(b"d")] == [(b"da", b"1")]
        with backend.transaction() as view:
            view.apply([Put(b"da", b"2"), Delete(b"db")])
        assert [(row.key, row.value) for row in backend.scan(b"d")] == [(b"da", b"2")]


def backend_of(store: torshi.Store[Any]) -> Backend:
    return store._backend


def plant(backend: Backend, key: bytes, value: bytes) -> None:
    """Writes a row as somebody would who can write to the place and has no key."""
    assert backend.apply([Put(key, value, "planted")])


def mixed(store: torshi.Store[Any], number: int, turns: int) -> None:
    """What one of several processes does: increments, edits, transactions between accounts, messages."""
    jobs, done = store.queue("jobs"), 0
    for turn in range(turns):
        store.incr("count")
        with store.edit("list", default=[]) as value:
            value.append((number, turn))
        with store.transaction():
            store["left"] = store.get("left", 0) - turn
            store["right"] = store.get("right", 0) + turn
        jobs.put((number, turn))
        try:
            with jobs.get(timeout=0) as message:
                store.add(("seen", *message.value), number)
                done += 1
        except queue.Empty:
            pass
    store[("done", number)] = done


class TestProcesses:
    """Several processes on one store."""

    SHARED = True
    TURNS = 25

    def test_nothing_is_lost_between_processes(self, make_store: MakeStore) -> None:
        """An update lost in `incr`, `edit`, a transaction or a queue, or a message delivered twice."""
        store = make_store()
        if not self.SHARED:
            pytest.skip("a store in memory is that of one process")
        context = multiprocessing.get_context("spawn")
        workers = [context.Process(target=mixed, args=(store, number, self.TURNS)) for number in range(PROCESSES)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(120)
        assert [worker.exitcode for worker in workers] == [0] * PROCESSES
        everything = sorted((number, turn) for number in range(PROCESSES) for turn in range(self.TURNS))
        assert store["count"] == len(everything)
        assert sorted(store["list"]) == everything
        assert store["right"] == -store["left"] == PROCESSES * sum(range(self.TURNS))
        rest = [message.value for message in store.queue("jobs")]
        seen = [key[1:] for key in store.keys(("seen",)) if isinstance(key, tuple)]
        assert sorted([*seen, *rest]) == everything
        assert sum(store.values(("done",))) == len(seen)
        assert store.check() == []
