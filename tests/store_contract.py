"""What a store does whatever keeps its rows: tests that a file imports which says where stores are.

Such a file defines the fixture `place_of`, which says where a store of some name is, unless it is a file:
``make_store(**options)`` then opens the one store of the test, anew each time, and ``make_store("other", **options)``
another one. Set ``SHARED`` of a class to False where a place cannot be opened by several processes.
"""

from __future__ import annotations

import datetime
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

import torshi
from torshi._store.backend import Delete
from torshi._store.keys import DATA, decode

MakeStore = Callable[..., torshi.Store[Any]]

PROCESSES = 8


@dataclass
class Own:
    """A class of the program that uses the store, which no policy lists."""

    value: Any = None


RAN: list[Any] = []


def act(*args: Any) -> str:
    """What a stranger would like to have called."""
    RAN.append(args)
    return "acted"


class Acting:
    def __reduce__(self) -> Any:
        return act, ("x",)


@pytest.fixture
def store(make_store: MakeStore) -> torshi.Store[Any]:
    return make_store()


VALUES: list[Any] = [
    None, True, 0, -1, 2**70, 1.5, "", "text €", b"bytes", (), (1, (2,)), [], [1, [2]], {}, {"a": {"b": 1}}, {1, 2},
    frozenset("ab"), datetime.date(2026, 11, 28), Own(1), Own([Own({"x": 1})]), b"x" * 200_000, "é" * 90_000,
    [Own(b"y" * 100_000)],
]  # fmt: skip

KEYS: list[Any] = [
    b"", b"\x00", b"\x00\xff", b"a", "", "\x00", "a", "a\x00", "a\x00b", "ab", "é", (), ("a",), ("a", "1"),
    ("a", ("b",)), ("a", 1), (1,), -(2**100), -256, -255, -1, 0, 1, 255, 256, 2**64, 2**100,
]  # fmt: skip
"""In their order."""


class TestMapping:
    """A store is a mapping: what goes in comes out, in the order of the keys."""

    MANY = 2500

    def test_values_come_back(self, make_store: MakeStore) -> None:
        """A value that did not survive a store that is closed and opened again."""
        store = make_store()
        for number, value in enumerate(VALUES):
            store[number] = value
        for opened in (store, make_store()):
            for number, value in enumerate(VALUES):
                assert opened[number] == value
                assert type(opened[number]) is type(value)
            assert list(opened.values()) == VALUES

    def test_keys_are_kept_apart_and_in_order(self, store: torshi.Store[Any]) -> None:
        """Keys of different types that were one, or an order that is not that of the keys."""
        for number, key in enumerate(reversed(KEYS)):
            store[key] = number
        assert list(store) == KEYS == list(store.keys())
        assert [type(key) for key in store] == [type(key) for key in KEYS]
        assert list(reversed(store)) == KEYS[::-1] == list(store.keys(reverse=True))
        assert list(store.items()) == list(zip(KEYS, range(len(KEYS) - 1, -1, -1), strict=True))
        assert list(store.values(reverse=True)) == list(range(len(KEYS)))
        assert len(store) == len(KEYS)

    @pytest.mark.parametrize("key", [True, 1.0, None, [], {}, ("a", None), ("a", 2.5), object()])
    def test_other_keys_are_refused(self, store: torshi.Store[Any], key: Any) -> None:
        """A key that is none, taken for another or stored where it is never found."""
        for refused in (
            lambda: store[key],
            lambda: store.get(key),
            lambda: store.set(key, 1),
            lambda: key in store,
            lambda: store.delete(key),
            lambda: store.update({key: 1} if key.__hash__ else [(key, 1)]),
        ):
            with pytest.raises(TypeError, match="a key is str, bytes, int or a tuple of these, not "):
                refused()
        assert len(store) == 0

    def test_long_keys_are_refused(self, store: torshi.Store[Any]) -> None:
        """A key beyond what every backend takes."""
        store["x" * 1021] = 1
        assert store["x" * 1021] == 1
        with pytest.raises(ValueError, match=r"a key may have 1,024 bytes, and 'x+\.\.\.x+' has 1,025"):
            store["x" * 1022] = 1
        with pytest.raises(ValueError, match="text in Unicode"):
            store["\ud800"] = 1

    def test_prefixes(self, store: torshi.Store[Any]) -> None:
        """A prefix that lets too much or too little through."""
        names = ["a", "a:", "a:1", "a:2", "a\x00", "b", b"a:1", ("a", 1), ("a", 2), ("a:", 1), ("b",), 1]
        for name in names:
            store[name] = name
        assert list(store.keys("a:")) == ["a:", "a:1", "a:2"] == list(store.values("a:"))
        assert list(store.keys("a:", reverse=True)) == ["a:2", "a:1", "a:"]
        assert list(store.keys("a")) == ["a", "a\x00", "a:", "a:1", "a:2"]
        assert list(store.keys(b"a")) == [b"a:1"]
        assert list(store.items(("a",))) == [(("a", 1), ("a", 1)), (("a", 2), ("a", 2))]
        assert list(store.keys(())) == [("a", 1), ("a", 2), ("a:", 1), ("b",)]
        assert len(store.keys("a:")) == 3
        assert "a:1" in store.keys("a:")
        assert "b" not in store.keys("a:")
        assert ("a:1", "a:1") in store.items("a:")
        assert ("a:1", "b") not in store.items("a:")
        assert "a:2" in store.values("a:")
        with pytest.raises(TypeError, match="a prefix is text, bytes or a tuple, not int"):
            store.keys(1)  # type: ignore[arg-type]

    def test_many_rows_are_seen_once_each(self, store: torshi.Store[Any]) -> None:
        """A page of a scan that repeats a row or leaves one out, also when rows come and go meanwhile."""
        numbers = list(range(self.MANY))
        store.update((number, number) for number in numbers)
        assert list(store) == numbers == list(store.values())
        assert list(store.keys(reverse=True)) == numbers[::-1]
        seen = []
        for number in store:
            seen.append(number)
            store.delete(number)
            store[10_000 + number] = 0
            if len(seen) == self.MANY:
                break
        assert seen == numbers

    def test_missing_keys(self, store: torshi.Store[Any]) -> None:
        """A key that is not there, found all the same or answered with another error than a mapping's."""
        store["a"] = None
        assert "b" not in store
        assert store.get("b") is None
        assert store.get("b", 7) == 7
        assert store.get("a", 7) is None
        assert store.pop("b", 8) == 8
        assert store.delete("b") is False
        assert store.entry("b") is None
        assert store.touch("b", 1) is False
        for missing in (
            lambda: store["b"],
            lambda: store.pop("b"),
            lambda: store.__delitem__("b"),
            lambda: store.expires("b"),
            lambda: store.tags("b"),
            lambda: store.stat("b"),
            lambda: store.edit("b").__enter__(),
        ):
            with pytest.raises(KeyError, match="b"):
                missing()

    def test_changes(self, store: torshi.Store[Any]) -> None:
        """A method of a mapping that does something else than a dictionary's."""
        store.update({"a": 1, "b": 2}, c=3)
        store.update([("d", 4)])
        assert dict(store) == {"a": 1, "b": 2, "c": 3, "d": 4}
        assert store.pop("a") == 1
        del store["b"]
        assert store.setdefault("c", 9) == 3
        assert store.setdefault("e", [5]) == [5]
        assert store["e"] == [5]
        assert store.popitem() == ("c", 3)
        assert store.delete("d") is True
        assert list(store) == ["e"]
        store["e"] = 6
        assert store["e"] == 6
        store.queue("q").put(1)
        store.clear()
        assert list(store) == []
        assert len(store.queue("q")) == 1
        with pytest.raises(KeyError, match="empty"):
            store.popitem()

    def test_what_cannot_be_pickled_changes_nothing(self, store: torshi.Store[Any]) -> None:
        """A failed put that took the old value along, or a failed update of which a part is there."""
        store["a"] = 1
        for value in (threading.Lock(), [b"x" * 100_000, threading.Lock()]):
            with pytest.raises(Exception, match="pickle"):
                store["a"] = value
            with pytest.raises(Exception, match="pickle"):
                store.update({"b": 1, "a": value})
        assert dict(store) == {"a": 1}
        assert store.check() == []

    def test_types(self, make_store: MakeStore) -> None:
        """A value of another type than was asked for, handed out."""
        store = make_store()
        store["a"], store["b"], store["c"] = {"x": 1}, {"x": "1"}, Own(3)
        typed = make_store(type=dict[str, int])
        assert typed["a"] == {"x": 1}
        with pytest.raises(torshi.ValidationError, match=r"expected int, got str at \$.x"):
            typed["b"]
        assert typed.get("b", type=dict[str, str]) == {"x": "1"}
        assert store.get("c", type=Own) == Own(3)
        with pytest.raises(torshi.ValidationError):
            store.get("a", type=Own)


class TestExpiry:
    """Rows that end by themselves."""

    TICK = 0.05  # seconds in which a few requests are answered

    def test_what_has_expired_is_not_there(self, store: torshi.Store[Any]) -> None:
        """An expired value that some way of asking still finds."""
        store["stays"] = 0
        store.set("a", 1, ttl=self.TICK)
        store.set("b", 1, ttl=datetime.timedelta(hours=1))
        store.set("never", 1, ttl=-1)
        assert "never" not in store
        until = store.expires("a")
        assert until is not None
        assert abs(until - time.time() - self.TICK) < 1
        assert store.expires("stays") is None
        time.sleep(1.6 * self.TICK)
        assert "a" not in store
        assert store.get("a") is None
        assert list(store) == ["b", "stays"] == [key for key, _ in store.items()]
        assert len(store) == 2
        assert store.entry("a") is None
        assert store.delete("a") is False
        assert store.add("a", 2) is True
        assert store["a"] == 2
        assert store.expires("a") is None

    def test_touch(self, store: torshi.Store[Any]) -> None:
        """A touch that loses the value or its tags, or does not change when it ends."""
        store.set("a", b"x" * 100_000, ttl=1 + self.TICK, tags=["t"])
        assert store.touch("a", 60) is True
        time.sleep(1.2 + self.TICK)
        assert store["a"] == b"x" * 100_000
        assert store.tags("a") == ("t",)
        assert store.touch("a") is True
        assert store.expires("a") is None
        assert store.touch("a", 0.01) is True
        time.sleep(0.05)
        assert store.touch("a") is False
        assert "a" not in store

    def test_expiry_and_tags_stay_with_a_value_that_changes(self, store: torshi.Store[Any]) -> None:
        """A counter or an edited value that lives for ever, or beyond its tag's reach, after its first change."""
        store.set("n", 1, ttl=60, tags=["t"])
        store.set("l", [], ttl=60, tags=["t", "u"])
        ends = store.expires("n"), store.expires("l")
        store.incr("n")
        with store.edit("l") as edited:
            edited.append(1)
        assert (store.expires("n"), store.expires("l")) == ends
        assert (store.tags("n"), store.tags("l")) == (("t",), ("t", "u"))
        assert (store["n"], store["l"]) == (2, [1])
        store["n"] = 5
        assert store.expires("n") is None
        assert store.tags("n") == ()

    def test_tags(self, store: torshi.Store[Any]) -> None:
        """Values evicted by a tag that they have not, or not by one they have."""
        store.set("a", 1, tags=["x", "y"])
        store.set("b", 2, tags=["xx", "y z"])
        store.set("c", 3, tags=["y"])
        store["d"] = 4
        assert store.tags("a") == ("x", "y")
        assert store.evict("x") == 1
        assert sorted(store) == ["b", "c", "d"]
        store.set("c", 3)
        assert store.evict("y") == 0
        assert store.evict("y z") == 1
        assert sorted(store) == ["c", "d"]
        with pytest.raises(TypeError, match="tags are several texts"):
            store.set("e", 1, tags="abc")
        with pytest.raises(ValueError, match="one line"):
            store.set("e", 1, tags=["a\nb"])
        with pytest.raises(TypeError, match="ttl is a number"):
            store.set("e", 1, ttl="5")  # type: ignore[arg-type]

    def test_stat(self, store: torshi.Store[Any]) -> None:
        """Figures of a value that are those of another, or need it to be loaded."""
        before = time.time()
        store.set("a", b"x" * 1000, ttl=100, tags=["t"])
        store[("a",)] = 1
        stat = store.stat("a")
        assert (stat.key, stat.tags) == ("a", ("t",))
        assert 1000 < stat.size < 1100
        assert before - 1 <= stat.written <= time.time() + 1
        assert stat.expires is not None
        assert stat.expires > time.time() + 50
        stats = store.stats()
        assert (stats.values, stats.messages, stats.sealed) == (2, 0, True)
        assert stats.bytes >= stat.size
        assert stats.to_dict()["values"] == 2


class TestEvicting:
    """What is removed by a tag, or for want of room, is what had the tag, or was old, and not what came after it."""

    def test_a_value_that_is_put_again_stays(self, store: torshi.Store[Any], make_store: MakeStore) -> None:
        """A fresh value that goes since an old one by the same key was to go."""
        other = make_store()
        for number in range(5):
            store.set(number, "old", tags=["t"])
        backend: Any = store._backend
        stock = backend.stats
        assert not hasattr(backend, "__slots__")

        def stats(*args: Any, **kwargs: Any) -> Any:
            found = list(stock(*args, **kwargs))
            if kwargs.get("tag") == "t" and not getattr(backend, "locks", False):
                other[1] = "new"  # between the look and the removal
                other.set(2, "new", tags=["t"])
                del other[3]
            return iter(found)

        backend.stats = stats
        count = store.evict("t")
        del backend.stats
        if getattr(backend, "locks", False):
            assert (count, dict(store)) == (5, {})
        else:
            assert (count, dict(store)) == (2, {1: "new", 2: "new"})
            assert other.tags(2) == ("t",)

    def test_two_writers_and_one_who_evicts(self, store: torshi.Store[Any], make_store: MakeStore) -> None:
        """A value that was put without the tag, and is gone when all have ended."""
        other, over = make_store(), threading.Event()
        failed: list[BaseException] = []

        def write() -> None:
            try:
                turn = 0
                while not over.is_set() or turn < 3:
                    for number in range(3):
                        other.set(number, ("tagged", turn), tags=["t"])
                        other[number] = ("plain", turn)
                        if other.get(number) != ("plain", turn):
                            raise AssertionError(f"{number} is gone")
                    turn += 1
            except BaseException as error:
                failed.append(error)

        writer = threading.Thread(target=write)
        writer.start()
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            store.evict("t")
        over.set()
        writer.join()
        assert failed == []
        assert {value[0] for value in store.values()} == {"plain"}

    def test_what_is_put_again_is_not_old(self, make_store: MakeStore) -> None:
        """A value that was just put and goes for want of room, since the one before it was old."""
        store, other = make_store(max_bytes=10**9), make_store()
        for number in range(4):
            store[number] = b"x" * 1000
        backend: Any = store._backend
        old = backend.least_used(DATA, 2)
        assert len(old) == 2
        first = decode(old[0][0])
        other[first] = "new"
        assert [backend.apply([Delete(key, version)]) for key, version in old] == [False, True]
        assert other[first] == "new"
        assert len(store) == 3


class TestPuttingOver:
    """A value put over another one leaves nothing of that, whatever the puts before it were."""

    def test_nothing_of_what_was_there_stays(self, store: torshi.Store[Any]) -> None:
        """A value that expires, or is evicted, because the one before it was to; or one with a part of another."""
        store["plain"] = 1
        kinds: list[Callable[[int], None]] = [
            lambda turn: store.__setitem__("a", turn),
            lambda turn: store.set("a", turn, ttl=1000),
            lambda turn: store.set("a", turn, tags=["t"]),
            lambda turn: store.set("a", turn, ttl=1000, tags=["t", "u"]),
            lambda turn: store.__setitem__("a", [turn, b"x" * 200_000]),
        ]
        for turn, first in enumerate(kinds):
            for second in kinds:
                first(-1)
                for number in range(3):  # over and over, so that it is expected
                    store["plain"] = number
                second(turn)
                assert store["a"] in (turn, [turn, b"x" * 200_000])
                assert (store.expires("a") is not None) == (second in (kinds[1], kinds[3]))
                assert store.tags("a") == {2: ("t",), 3: ("t", "u")}.get(kinds.index(second), ())
                assert (store.stat("a").size > 200_000) == (second is kinds[4])
        store["a"] = "plain again"
        assert store.evict("t") == 0
        assert store["a"] == "plain again"
        assert store.check() == []

    def test_each_put_has_a_version_of_its_own(self, store: torshi.Store[Any]) -> None:
        """A replacement of what is no longer there, since two puts of the same value were taken for one."""
        seen = set()
        for _ in range(5):
            store["a"] = "same"
            entry = store.entry("a")
            assert entry is not None
            seen.add(entry.version)
        assert len(seen) == 5

    def test_deleted_and_put_anew(self, store: torshi.Store[Any]) -> None:
        """A put that was expected to find a row, and found none, and did nothing."""
        for number in range(4):
            store["a"] = number
            store["a"] = number + 10
            assert store["a"] == number + 10
            del store["a"]
            assert "a" not in store
            store["b"] = number
        store.set("c", 1, ttl=0.001)
        time.sleep(0.01)
        store["b"] = 1
        store["c"] = 2
        assert (store["c"], store.expires("c")) == (2, None)


class TestComparing:
    """Changes that others could be in the way of."""

    def test_add_and_replace(self, store: torshi.Store[Any]) -> None:
        """A value written over what the writer has not seen."""
        assert store.add("a", 1) is True
        assert store.add("a", 2) is False
        entry = store.entry("a")
        assert entry is not None
        assert entry.value == 1
        store["a"] = 1  # the same bytes, and another version
        assert store.replace("a", 3, entry.version) is False
        entry = store.entry("a")
        assert entry is not None
        assert store.replace("a", 3, entry.version, ttl=60, tags=["t"]) is True
        assert (store["a"], store.tags("a")) == (3, ("t",))
        last = store.entry("a")
        assert last is not None
        del store["a"]
        assert store.replace("a", 4, last.version) is False
        store["a"] = 3
        assert store.replace("a", 4, last.version) is False
        assert store["a"] == 3

    def test_incr(self, store: torshi.Store[Any]) -> None:
        """A count that is another than the sum."""
        assert store.incr("n") == 1
        assert store.incr("n", 5) == 6
        assert store.incr("n", -2) == 4
        assert store.incr("m", 2, default=10) == 12
        assert store.incr("f", 0.5) == 0.5
        store["t"] = "1"
        with pytest.raises(TypeError, match="the value of 't' is no number but str"):
            store.incr("t")
        assert store["t"] == "1"

    def test_edit(self, store: torshi.Store[Any]) -> None:
        """An edit that is not written back, or is although its block has failed."""
        store["a"] = {"n": 1}
        with store.edit("a") as value:
            value["n"] += 1
        assert store["a"] == {"n": 2}
        with pytest.raises(ZeroDivisionError), store.edit("a") as value:
            value["n"] = 99
            raise ZeroDivisionError
        assert store["a"] == {"n": 2}
        with store.edit("b", default=[]) as value:
            value.append(Own(1))
        assert store["b"] == [Own(1)]

    def test_transaction(self, make_store: MakeStore) -> None:
        """A transaction of which others see a part, or that leaves one behind when it fails."""
        store = make_store()
        store.update(a=1, b=2, gone=3)
        with store.transaction() as within:
            assert within is store
            store["a"], store["c"] = 10, 30
            del store["gone"]
            store.incr("b")
            store.update(d=4)
            store.queue("q").put("m")
            assert (store["a"], store["b"], store["c"], "gone" in store) == (10, 3, 30, False)
            assert dict(store) == {"a": 10, "b": 3, "c": 30, "d": 4}
        assert dict(store) == {"a": 10, "b": 3, "c": 30, "d": 4}
        assert dict(make_store()) == {"a": 10, "b": 3, "c": 30, "d": 4}
        assert len(store.queue("q")) == 1
        with pytest.raises(ZeroDivisionError), store.transaction():
            store["a"] = 0
            store["big"] = b"x" * 100_000
            store.clear()
            raise ZeroDivisionError
        assert dict(store) == {"a": 10, "b": 3, "c": 30, "d": 4}
        assert store.stats().unnamed == 0

    def test_transactions_within_one_another(self, store: torshi.Store[Any]) -> None:
        """An inner block whose changes stay although it failed."""
        with store.transaction():
            store["a"] = 1
            with store.transaction():
                store["b"] = 2
            with store.edit("l", default=[]) as value:
                value.append(1)
        assert dict(store) == {"a": 1, "b": 2, "l": [1]}
        with pytest.raises(torshi.StoreError, match="a block within the transaction has failed"), store.transaction():
            store["a"] = 9
            with pytest.raises(ZeroDivisionError), store.transaction():
                raise ZeroDivisionError
        assert store["a"] == 1

    def test_threads_lose_nothing(self, store: torshi.Store[Any]) -> None:
        """An increment or a change lost between two threads."""
        turns, workers = 20, 4

        def work(number: int) -> None:
            for turn in range(turns):
                store.incr("n")
                with store.edit("l", default=[]) as value:
                    value.append((number, turn))
                store[(number, turn)] = turn

        threads = [threading.Thread(target=work, args=(number,)) for number in range(workers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert store["n"] == turns * workers
        assert sorted(store["l"]) == [(number, turn) for number in range(workers) for turn in range(turns)]
        assert len(store) == turns * workers + 2


class TestQueue:
    """Messages: in order, to one consumer at a time, until acknowledged."""

    TICK = 0.05  # seconds in which a few requests are answered

    def test_order(self, store: torshi.Store[Any]) -> None:
        """Messages in another order than they were put, or in another queue."""
        first, second = store.queue("first"), store.queue(("second", 2))
        for number in range(30):
            first.put(number)
        second.put("other")
        assert len(first) == 30
        assert [message.value for message in first if message.ack()] == list(range(30))
        assert len(first) == 0
        assert second.get(timeout=0).value == "other"
        assert list(store) == []

    def test_empty(self, store: torshi.Store[Any]) -> None:
        """A get that gives something of an empty queue, or waits for another time than it was told to."""
        jobs = store.queue("jobs")
        start = time.monotonic()
        with pytest.raises(queue.Empty, match="'jobs'"):
            jobs.get(timeout=0)
        with pytest.raises(queue.Empty):
            jobs.get(timeout=0.1)
        assert 0.1 <= time.monotonic() - start < 5

    def test_waiting(self, store: torshi.Store[Any]) -> None:
        """A consumer that is not woken by a message."""
        jobs = store.queue("jobs")
        timer = threading.Timer(0.1, jobs.put, args=("late",))
        timer.start()
        with jobs.get(timeout=10) as message:
            assert message.value == "late"
        timer.join()
        assert len(jobs) == 0

    def test_one_consumer_at_a_time(self, make_store: MakeStore) -> None:
        """A message that two have at the same time."""
        jobs, others = make_store().queue("jobs"), make_store().queue("jobs")
        jobs.put(1)
        jobs.put(2)
        mine, theirs = jobs.get(timeout=0), others.get(timeout=0)
        assert (mine.value, theirs.value) == (1, 2)
        with pytest.raises(queue.Empty):
            jobs.get(timeout=0)
        assert mine.ack() is True
        assert theirs.release() is True
        assert jobs.get(timeout=0).value == 2

    def test_given_back_by_a_failed_block(self, store: torshi.Store[Any]) -> None:
        """A message that is lost because its consumer failed."""
        jobs = store.queue("jobs")
        jobs.put(1)
        with pytest.raises(ZeroDivisionError), jobs.get():
            raise ZeroDivisionError
        with jobs.get(timeout=0) as message:
            assert message.value == 1
        assert len(jobs) == 0

    def test_redelivered_after_the_lease(self, store: torshi.Store[Any]) -> None:
        """A message that stays with a consumer that is no more, or that one who is late takes away from another."""
        jobs = store.queue("jobs")
        jobs.put(1)
        late = jobs.get(timeout=0, lease=2 * self.TICK)
        again = jobs.get(timeout=10)
        assert again.value == 1
        assert late.ack() is False
        assert late.extend() is False
        assert late.release() is False
        assert len(jobs) == 1
        assert again.extend(60) is True
        assert again.ack() is True
        assert len(jobs) == 0
        assert again.ack() is False

    def test_extended(self, store: torshi.Store[Any]) -> None:
        """A lease that ends although it was made longer; or an end of the lease that loses what nobody else took."""
        jobs = store.queue("jobs")
        jobs.put(1)
        message = jobs.get(timeout=0, lease=3 * self.TICK)
        assert message.extend(60) is True
        time.sleep(4 * self.TICK)
        with pytest.raises(queue.Empty):
            jobs.get(timeout=0)
        assert message.ack() is True
        jobs.put(2)
        message = jobs.get(timeout=0, lease=self.TICK)
        time.sleep(2 * self.TICK)
        assert message.ack() is True
        assert len(jobs) == 0

    def test_large_and_own_messages(self, store: torshi.Store[Any]) -> None:
        """A message that needs a side file, or the seal."""
        jobs = store.queue("jobs")
        for value in (Own(1), b"x" * 200_000, [Own(b"y" * 100_000)]):
            jobs.put(value)
            with jobs.get(timeout=0) as message:
                assert message.value == value
        assert store.stats().unnamed == 0
        assert jobs.clear() == 0
        jobs.put(1)
        assert jobs.clear() == 1

    def test_typed(self, store: torshi.Store[Any]) -> None:
        """A message of another type that is handed out, or taken away from those who could read it."""
        store.queue("jobs").put("text")
        with pytest.raises(torshi.ValidationError):
            store.queue("jobs", type=int).get(timeout=0)
        assert store.queue("jobs", type=str).get(timeout=0).value == "text"
