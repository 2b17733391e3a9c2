"""Changes of rows in a bucket at every point where their writer can die, be repeated or meet another.

In memory, with the requests of the real thing. If these failed, a change of several rows would be seen in part, a
repeated request would count twice, or one who clears away would remove a row.
"""

from __future__ import annotations

import contextlib
import itertools
import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import torshi
from torshi._store import object_changes, object_rows
from torshi._store.backend import ABSENT, Check, Delete, Put
from torshi._store.bucket import Bucket, Tag
from torshi._store.object_care import collected
from torshi._store.object_names import key_of, name_of
from torshi._store.objects import ObjectBackend, open_backend

pytest.importorskip("obstore", reason="obstore is not installed")


class Died(BaseException):
    """The writer was killed."""


@pytest.fixture(autouse=True)
def _short_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_changes, "_LEASE", 0.02)
    monkeypatch.setattr(object_changes, "_FIRST", 0.001)
    monkeypatch.setattr(object_changes, "_LONGEST", 0.005)


@pytest.fixture
def backend() -> Iterator[ObjectBackend]:
    backend = open_backend("memory://")
    assert isinstance(backend, ObjectBackend)
    yield backend
    backend.close()


class Faulty:
    """A bucket that does something else at one of the requests that change it."""

    def __init__(self, bucket: Bucket, at: int, act: Callable[[Callable[[], Any]], Any]) -> None:
        self._bucket = bucket
        self._at = at
        self._act = act
        self._lock = threading.Lock()
        self.count = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bucket, name)

    def _asked(self, call: Callable[[], Any]) -> Any:
        with self._lock:
            self.count += 1
            here = self.count == self._at or (self._at < self.count and self._act is die)
        return self._act(call) if here else call()

    def put(self, name: str, data: bytes, over: Tag) -> Tag | None:
        return self._asked(lambda: self._bucket.put(name, data, over))  # type: ignore[no-any-return]

    def remove(self, names: list[str]) -> None:
        self._asked(lambda: self._bucket.remove(names))


def die(_: Callable[[], Any]) -> Any:
    raise Died


def die_after(call: Callable[[], Any]) -> Any:
    call()
    raise Died


def repeat(call: Callable[[], Any]) -> Any:
    """The answer was lost, and the request made again."""
    call()
    return call()


def fail(_: Callable[[], Any]) -> Any:
    raise torshi.StoreError("the connection was lost")


def fail_after(call: Callable[[], Any]) -> Any:
    call()
    raise torshi.StoreError("the connection was lost")


def through(backend: ObjectBackend, at: int, act: Callable[[Callable[[], Any]], Any]) -> tuple[ObjectBackend, Faulty]:
    """Another process on the same bucket, with a fault."""
    faulty = Faulty(backend.bucket, at, act)
    return ObjectBackend(faulty), faulty  # type: ignore[arg-type]


KEYS = [b"d%d" % number for number in range(4)]
NEW = [b"new", b"new", None, b"new"]
OLD = [b"old", b"old", b"old", None]


def begin(backend: ObjectBackend) -> list[Any]:
    """Three rows, and none; what becomes of them together."""
    assert backend.apply([*(Put(key, b"old") for key in KEYS[:3]), Delete(KEYS[3]), Delete(b"dlock")])
    row = backend.get(KEYS[0])
    assert row is not None
    return [
        Put(KEYS[0], b"new", expect=row.version),
        Put(KEYS[1], b"new"),
        Delete(KEYS[2]),
        Put(KEYS[3], b"new", expect=ABSENT),
        Check(b"dlock", ABSENT),
    ]


def values(backend: ObjectBackend) -> list[bytes | None]:
    rows = backend.get_many(KEYS)
    scanned = {row.key: row.value for row in backend.scan(b"d")}
    found = [None if row is None else row.value for row in rows]
    assert found == [scanned.get(key) for key in KEYS]
    return found


@pytest.mark.parametrize("act", [die, die_after])
def test_a_writer_killed_anywhere_leaves_all_or_nothing(backend: ObjectBackend, act: Any) -> None:
    """A part of a change that is seen, or stands in the way of others for ever, after its writer was killed."""
    seen = set()
    for at in itertools.count(1):
        changes = begin(backend)
        other, faulty = through(backend, at, act)
        with contextlib.suppress(Died):
            other.apply(changes)
        other.close()
        after = values(backend)
        assert after in (OLD, NEW), f"killed at request {at}"
        seen.add(after == NEW)
        # Whoever comes next is not held up for longer than the lease, and builds on what was seen.
        assert backend.apply([Put(KEYS[1], b"next", expect=row.version)] if (row := backend.get(KEYS[1])) else [])
        assert values(backend) == [after[0], b"next", *after[2:]]
        assert not any("put aside" in line for line in backend.repair())
        assert values(backend) == [after[0], b"next", *after[2:]]
        assert list(backend.bucket.entries("changes")) == []
        assert backend.check() == []
        if faulty.count < at:
            break
    assert seen == {True, False}


@pytest.mark.parametrize("act", [repeat, fail, fail_after])
def test_a_change_whose_answer_was_lost(backend: ObjectBackend, act: Any) -> None:
    """A change that was made and is called failed, or the other way round."""
    for at in itertools.count(1):
        changes = begin(backend)
        other, faulty = through(backend, at, act)
        try:
            done = other.apply(changes)
        except torshi.StoreError:
            # Of one that has failed it may not be known what became of it; a part of it is never seen.
            assert act is not repeat, f"at request {at}"
            assert values(backend) in (OLD, NEW), f"at request {at}"
        else:
            assert done is True
            assert values(backend) == NEW, f"at request {at}"
        other.close()
        backend.repair()
        assert list(backend.bucket.entries("changes")) == []
        if faulty.count < at:
            break
    assert at > 12  # the change, five claims, the change again, five rows


@pytest.mark.parametrize("act", [repeat, fail_after])
def test_one_row_whose_answer_was_lost(backend: ObjectBackend, act: Any) -> None:
    """An increment that is counted twice since its first request was carried out and its answer lost."""
    assert backend.apply([Put(b"n", b"0")])
    for number in range(6):
        row = backend.get(b"n")
        assert row is not None
        assert int(row.value) == number
        other, faulty = through(backend, 1, act)
        assert other.apply([Put(b"n", b"%d" % (number + 1), expect=row.version)]) is True
        assert faulty.count == 1
        other, _ = through(backend, 1, act)
        assert other.apply([Put(b"new%d" % number, b"", expect=ABSENT)]) is True
        assert other.apply([Delete(b"new%d" % number, expect=backend.get(b"new%d" % number).version)]) is True  # type: ignore[union-attr]


def test_readers_see_a_change_at_one_moment(backend: ObjectBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader who sees the end of a change and after that the beginning of it."""
    begin(backend)
    stop = threading.Event()
    torn: list[Any] = []

    def read() -> None:
        last = 0
        while not stop.is_set():
            # From the last row to the first, and never less than was seen before.
            for key in reversed(KEYS[:3]):
                row = backend.get(key)
                number = int(row.value) if row is not None and row.value.isdigit() else 0
                if number < last:
                    torn.append((key, number, last))
                last = max(last, number)

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(1, 60):
        assert backend.apply([Put(key, b"%d" % number) for key in KEYS[:3]])
    stop.set()
    reader.join()
    assert torn == []


def test_two_changes_of_the_same_rows(backend: ObjectBackend) -> None:
    """Two writers who wait for one another, or of whom one loses what it was told was done."""
    keys = [b"k%02d" % number for number in range(12)]
    assert backend.apply([Put(key, b"0") for key in keys])
    failures: list[BaseException] = []

    def work(seed: int) -> None:
        try:
            other = ObjectBackend(backend.bucket)
            for turn in range(8):
                mine = keys[(seed + turn) % 5 :: 2]
                while True:
                    rows = other.get_many(mine)
                    changes = [Put(r.key, b"%d" % (int(r.value) + 1), expect=r.version) for r in rows if r is not None]
                    if other.apply(changes):
                        done.extend(mine)
                        break
            other.close()
        except BaseException as error:
            failures.append(error)

    done: list[bytes] = []
    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    rows = backend.get_many(keys)
    assert [int(row.value) for row in rows if row is not None] == [done.count(key) for key in keys]


def test_many_writers_of_few_rows(backend: ObjectBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    """A count lost or made twice while rows come, go, are moved together, cleared away and put anew."""
    monkeypatch.setattr(object_changes, "_LEASE", 5)
    monkeypatch.setattr("torshi._store.objects._DELETED", 4)
    keys = [b"k%d" % number for number in range(6)]
    added: list[int] = []
    failures: list[BaseException] = []

    def number_of(row: Any) -> int:
        return 0 if row is None else int(row.value)

    def turn(other: ObjectBackend, chance: random.Random) -> None:
        some = chance.sample(keys, chance.randint(1, 3))
        rows = other.get_many(some)
        expected = [ABSENT if row is None else row.version for row in rows]
        if len(some) == 1:
            if other.apply([Put(some[0], b"%d" % (number_of(rows[0]) + 1), expect=expected[0])]):
                added.append(1)
        elif chance.random() < 0.9:
            together = sum(map(number_of, rows))
            rest = [Delete(key, version) for key, version in zip(some[1:], expected[1:], strict=True)]
            other.apply([Put(some[0], b"%d" % together, expect=expected[0]), *rest])
        else:
            other.compact()

    def work(seed: int) -> None:
        other = ObjectBackend(backend.bucket)
        try:
            chance = random.Random(seed)
            for _ in range(150):
                turn(other, chance)
        except BaseException as error:
            failures.append(error)
        other.close()

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert sum(map(number_of, backend.scan(b"k"))) == len(added) > 50
    assert list(backend.bucket.entries("changes")) == []
    assert backend.check() == []


# -- clearing away


def objects(backend: ObjectBackend) -> list[str]:
    return [entry.name for entry in backend.bucket.entries("rows")]


def test_objects_of_rows_that_are_gone_are_removed(backend: ObjectBackend) -> None:
    """Objects of deleted rows that stay for ever, or a row that goes with them."""
    for number in range(200):
        backend.apply([Put(b"k%d" % number, b"v")])
        backend.apply([Delete(b"k%d" % number)])
    assert len(objects(backend)) < 100
    backend.apply([Put(b"stays", b"v")])
    assert backend.compact() > 0
    assert objects(backend) == ["stays"]


@pytest.mark.parametrize("moment", ["listed", "doomed"])
def test_a_row_put_while_others_are_removed_stays(
    backend: ObjectBackend, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """A row that was put where there had been another, and removed in the place of that one."""
    keys = [b"k%d" % number for number in range(20)]
    backend.apply([Put(key, b"old") for key in keys])
    backend.apply([Delete(key) for key in keys])
    real_entries, real_remove = Bucket.entries, Bucket.remove
    waited: list[threading.Thread] = []

    def put() -> None:
        for key in keys[::2]:
            assert backend.apply([Put(key, b"new", expect=ABSENT)])

    def begin_to_put() -> None:
        thread = threading.Thread(target=put)
        thread.start()
        waited.append(thread)

    def entries(self: Bucket, folder: str, behind: str = "") -> Any:
        found = list(real_entries(self, folder, behind))
        if moment == "listed" and folder == "rows" and not waited:
            begin_to_put()
            waited[0].join()
        return iter(found)

    def remove(self: Bucket, names: Any) -> None:
        if moment == "doomed" and len(names) > 1 and not waited:
            begin_to_put()
            time.sleep(0.05)  # it waits for this
            assert backend.get(keys[0]) is None
        real_remove(self, names)

    with monkeypatch.context() as patch:
        patch.setattr(Bucket, "entries", entries)
        patch.setattr(Bucket, "remove", remove)
        removed = collected(backend)
    for thread in waited:
        thread.join()
    assert removed >= 10
    assert [row.key for row in backend.scan(b"k")] == sorted(keys[::2])
    assert {row.value for row in backend.scan(b"k")} == {b"new"}
    backend.apply([Delete(key) for key in keys])


def test_a_collector_that_died_holds_nobody_up_for_ever(
    backend: ObjectBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key that can never be put again, since who removed its object was killed in between."""
    monkeypatch.setattr(object_changes, "COLLECTING", 0.05)
    monkeypatch.setattr("torshi._store.object_care.COLLECTING", 0.05)
    backend.apply([Put(b"a", b"1"), Put(b"b", b"1")])
    backend.apply([Delete(b"a"), Delete(b"b")])

    def remove(self: Bucket, names: Any) -> None:
        raise Died

    with monkeypatch.context() as patch:
        patch.setattr(Bucket, "remove", remove)
        with pytest.raises(Died):
            collected(backend)
    assert backend.get(b"a") is None
    start = time.monotonic()
    assert backend.apply([Put(b"a", b"2", expect=ABSENT), Check(b"b", ABSENT)]) is True
    assert 0.04 < time.monotonic() - start < 10
    assert [row.value for row in backend.scan(b"")] == [b"2"]


# -- names and lines


def test_names_keep_the_order_of_keys() -> None:
    """Two keys with one name, or names in another order than their keys."""
    keys = sorted(
        {bytes(key) for length in (0, 1, 2) for key in itertools.product(b"\x00-/09:=@AZ[_`az{~\xff", repeat=length)}
    )
    names = [name_of(key) for key in keys]
    assert names == sorted(names)
    assert len(set(names)) == len(keys)
    assert [key_of(name) for name in names] == keys
    assert all(key_of(name_of(bytes([byte, byte]))) == bytes([byte, byte]) for byte in range(256))
    for name in ("a/b", "a.b", "-2F", "-4", "-41", "=30", "~", "~~", "\u00e9", "a b"):
        assert key_of(name) is None


def test_long_keys_stand_in_their_order(backend: ObjectBackend) -> None:
    """A key too long for a name that is seen at another place, twice, or not at all."""
    base = b"x" * 49
    keys = sorted(
        {base + tail * count for tail in (b"", b"\x00", b"a", b"~", b"\xff") for count in (1, 2, 90, 600, 975)}
    )
    assert backend.apply([Put(key, key) for key in keys])
    assert [row.key for row in backend.scan(b"")] == keys == [stat.key for stat in backend.stats(b"")]
    assert [row.value for row in backend.scan(b"", reverse=True)] == keys[::-1]
    for number, key in enumerate(keys):
        assert [row.key for row in backend.scan(b"x", after=key)] == keys[number + 1 :]
        assert [row.key for row in backend.scan(b"x", after=key, reverse=True)] == keys[:number][::-1]
        assert [row.key for row in backend.scan(key)] == [other for other in keys if other.startswith(key)]
    assert max(len(name_of(key)) for key in keys) <= 240
    assert backend.apply([Delete(keys[-1])])
    assert backend.get(keys[-1]) is None


def test_lines_that_nobody_wrote_are_rows_that_no_seal_fits() -> None:
    """A planted object that stops whoever meets it, or is taken for something that it is not."""
    line = object_rows.row(Put(b"k", b"value"), object_rows.fresh(), None, 1.0, None)
    found = object_rows.parsed(line, "t")
    assert isinstance(found, object_rows.Held)
    assert found.value == b"value"
    claim = object_rows.claim("0" * 32, b"old", b"new")
    assert object_rows.parsed(claim, "t") == ("0" * 32, b"old", b"new")
    assert object_rows.parsed(object_rows.gone("0" * 16), "t") == ("0" * 16, False)
    strange = [
        b"", b"\n", b"{}\n", b'{"torshi":\n', b'{"torshi":"row"}\n', b'{"torshi":' + b"[" * 60_000 + b"\n",
        b'{"torshi":"claim","change":"../../rows/a","mark":"","old":0,"new":0}\n', claim[:-1],
        claim.replace(b'"old":3', b'"old":-3'), claim.replace(b'"new":3', b'"new":1e9'),
        line.replace(b'"past":[]', b'"past":3'),
        b'{"torshi":"row","version":3,"past":[],"written":0,"tags":[],"name":""}\n',
        b'{"torshi":"gone","version":"x"}\n', b'{"torshi":"other"}\nvalue', line[:-7], b"\x80\x05" + b"." * 100_000,
    ]  # fmt: skip
    for data in strange:
        assert object_rows.parsed(data, "t") == object_rows.Held("?t", value=data), data[:80]
    assert len(object_rows.row(Put(b"", b""), "0" * 16, None, 0, None)) > object_rows.GONE_SIZE
