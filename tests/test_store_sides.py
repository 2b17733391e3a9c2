"""Large values in files of their own beside a store, and how much a store may hold.

If these failed, a large value would be read from another's file, a file would be missing or never go, or a store would
grow without end.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest

import torshi
from store_contract import RAN, Acting, MakeStore, Own
from store_contract_rows import backend_of
from torshi._store.envelope import MissingSideError, _proof_of
from torshi._store.keys import DATA

LARGE = b"x" * 200_000


def files(tmp_path: Path, name: str = "one") -> list[Path]:
    return sorted(path for path in (tmp_path / f"{name}.db.d").rglob("*") if path.is_file() and path.name != "lock")


class TestSides:
    """One file a version of a value, whole before the row that names it, gone after the row that named it."""

    def test_only_large_values_have_one(self, make_store: MakeStore, tmp_path: Path) -> None:
        """A folder beside a store that needs none, or a large value in the database."""
        store = make_store()
        store["small"] = b"x" * 60_000
        assert not (tmp_path / "one.db.d").exists()
        store["large"] = LARGE
        (path,) = files(tmp_path)
        assert path.stat().st_size > len(LARGE)
        assert store.stat("large").size > len(LARGE)
        assert len(torshi.load(path)) == len(LARGE)  # an ordinary file of `save`
        assert os.stat(path).st_size + 200 > store.stat("large").size

    def test_files_go_with_their_rows(self, make_store: MakeStore, tmp_path: Path) -> None:
        """A file that stays when its row was replaced, deleted, evicted or has expired; or one that goes too early."""
        store = make_store()
        store["a"], store["b"], store["c"], store["d"] = LARGE, LARGE, LARGE, LARGE
        store.set("e", LARGE, tags=["t"])
        store.set("f", LARGE, ttl=0.01)
        assert len(files(tmp_path)) == 6
        store["a"] = b"y" + LARGE
        store["b"] = 1
        del store["c"]
        assert store.pop("d") == LARGE
        store.evict("t")
        threading.Event().wait(0.03)
        store.compact()
        assert len(files(tmp_path)) == 1
        assert store["a"] == b"y" + LARGE
        assert store.add("a", LARGE) is False
        entry = store.entry("a")
        assert entry is not None
        store.touch("a", 100)
        assert store.replace("a", LARGE, entry.version) is False
        assert len(files(tmp_path)) == 1
        assert store["a"] == b"y" + LARGE
        store.clear()
        assert files(tmp_path) == []
        assert store.stats().unnamed == 0

    def test_a_transaction_that_fails_takes_its_files_along(self, make_store: MakeStore, tmp_path: Path) -> None:
        """A file of a row that was never committed; or a file removed whose row came back."""
        store = make_store()
        store["a"] = LARGE
        with pytest.raises(ZeroDivisionError), store.transaction():
            store["a"] = 1
            store["b"] = LARGE
            store["b"] = LARGE + b"more"
            assert store["b"] == LARGE + b"more"
            raise ZeroDivisionError
        assert store["a"] == LARGE
        assert len(files(tmp_path)) == 1
        with store.transaction():
            store["a"] = LARGE + b"new"
            assert len(files(tmp_path)) == 2  # until it is committed, others read the old one
        assert len(files(tmp_path)) == 1
        with pytest.raises(AttributeError, match="local object"):
            store["c"] = [LARGE, lambda: 0]
        assert len(files(tmp_path)) == 1

    def test_who_reads_while_a_value_is_replaced_gets_one_of_both(self, make_store: MakeStore) -> None:
        """A reader that fails because the file of the row it has just read is gone."""
        store = make_store()
        store["a"] = [0, LARGE]
        over = threading.Event()
        seen: set[int] = set()
        failed: list[BaseException] = []

        def read() -> None:
            try:
                while not over.is_set():
                    seen.add(store["a"][0])
            except BaseException as error:
                failed.append(error)

        readers = [threading.Thread(target=read) for _ in range(3)]
        for reader in readers:
            reader.start()
        for number in range(1, 40):
            store["a"] = [number, LARGE]
        over.set()
        for reader in readers:
            reader.join()
        assert failed == []
        assert seen <= set(range(40))
        assert len(seen) > 1

    def test_a_missing_file(self, make_store: MakeStore, tmp_path: Path) -> None:
        """A file that somebody took away, and a store that waits for it, or cannot be repaired."""
        store = make_store()
        store["a"], store["b"] = LARGE, 1
        (path,) = files(tmp_path)
        path.unlink()
        with pytest.raises(MissingSideError, match="the side file of 'a' is not there"):
            store["a"]
        with pytest.raises(torshi.StoreError):
            store.get("a")
        assert [problem.kind for problem in store.check()] == ["missing"]
        assert len(store.repair()) == 1
        assert store.check() == []
        assert dict(store) == {"b": 1}

    def test_changed_and_swapped_files(self, make_store: MakeStore, tmp_path: Path) -> None:
        """A side file that was changed anywhere, cut, or is another row's, and is read all the same."""
        RAN.clear()
        store = make_store()
        store["a"], store["b"], store["c"] = {"n": LARGE}, {"m": LARGE}, "fine"
        a, b = (tmp_path / "one.db.d" / str(name) for name in _sides(store))
        content, other = a.read_bytes(), b.read_bytes()
        step = len(content) // 60
        places = [*range(40), *range(40, len(content) - 600, step), *range(len(content) - 600, len(content), 7)]
        for place in places:
            changed = bytearray(content)
            changed[place] ^= 1
            a.write_bytes(changed)
            with pytest.raises(torshi.UnpicklingError):
                store["a"]
        for made in (other, content[:-1], content + b"\0", b"", torshi.dumps(Acting()), content[:1000]):
            a.write_bytes(made)
            with pytest.raises(torshi.UnpicklingError):
                store["a"]
        torshi.save(Acting(), a)  # sealed by the reader's own key, but it is not what the row names
        with pytest.raises(torshi.MalformedError, match="is not the one that was written"):
            store["a"]
        assert store["c"] == "fine"
        assert store["b"] == {"m": LARGE}
        assert [problem.kind for problem in store.check()] == ["damaged"]
        a.write_bytes(content)
        assert store["a"] == {"n": LARGE}
        assert RAN == []

    def test_every_byte_of_an_array_is_compared(self, make_store: MakeStore, tmp_path: Path) -> None:
        """Numbers that somebody has changed and that are handed out, however the file is compared with its row."""
        numpy = pytest.importorskip("numpy")
        store = make_store()
        for count in (20_000, 700_000):  # written in one piece, and in several while another thread digests them
            store["a"] = [numpy.arange(count), "between", numpy.arange(count), b"behind" * 20_000]
            (path,) = files(tmp_path)
            content = path.read_bytes()
            for place in range(len(content) // 40, len(content) - 2000, len(content) // 40):
                with open(path, "r+b") as file:
                    file.seek(place)
                    file.write(bytes([content[place] ^ 0x10]))
                with pytest.raises(torshi.UnpicklingError):
                    store["a"]
                with open(path, "r+b") as file:
                    file.seek(place)
                    file.write(content[place : place + 1])
            first, between, second, _ = store["a"]
            assert (first == second).all()
            assert between == "between"

    def test_a_row_without_a_proof_is_compared_by_its_digests(self, make_store: MakeStore, tmp_path: Path) -> None:
        """A row that was copied from a store with another key, or by an importer, that is not read, or not compared."""
        store, other = make_store(), make_store("other", key=b"another secret of 16")
        store["a"] = {"n": LARGE}
        plain = make_store("plain", key=False)
        row = next(backend_of(store).scan(DATA))
        is_made = _proof_of(b"", store._envelope.unwrap(row.key, row.value)[0]) is not None
        for target, is_proven in ((make_store("same"), True), (other, False)):
            assert store.copy_to(target) == 1
            row = next(backend_of(target).scan(DATA))
            body = target._envelope.unwrap(row.key, row.value)[0]
            # On a processor without AES none has one.
            assert (_proof_of(b"", body) is not None) == (is_proven and is_made)
            assert target["a"] == {"n": LARGE}
            assert target.check() == []
        plain["a"] = {"n": LARGE}
        for target, name in ((other, "other"), (plain, "plain")):
            (path,) = files(tmp_path, name)
            content = bytearray(path.read_bytes())
            content[100_000] ^= 1
            path.write_bytes(content)
            with pytest.raises(torshi.MalformedError, match="not as it was written"):
                target["a"]

    def test_names_of_rows_lead_nowhere_else(self, make_store: MakeStore, tmp_path: Path) -> None:
        """A row, written by somebody else, whose side file is a file that is none of the store's."""
        victim = tmp_path / "victim"
        victim.write_text("mine")
        store = make_store(key=False)
        store["a"] = LARGE
        link = store._direct._link()  # type: ignore[union-attr]
        for name in ("../../victim", str(victim), "aa/../../../victim"):
            link.execute("UPDATE rows SET side = ?, value = ?", (name, b"\x01\x04" + bytes(32) + name.encode()))
            with pytest.raises(torshi.MalformedError, match="names a side file that can be none"):
                store["a"]
            del store["a"]
            assert victim.read_text() == "mine"
            store["a"] = LARGE

    def test_what_a_crash_leaves_is_collected(self, make_store: MakeStore, tmp_path: Path) -> None:
        """A file that no row names and that stays for ever; or one that is collected while its writer is at work."""
        store = make_store()
        store["a"] = LARGE
        folder = tmp_path / "one.db.d"
        for name in ("00/" + "0" * 32, "00/." + "1" * 32 + ".0.torshi", "00/notes.txt"):
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(b"left")
        assert store.stats().unnamed == 3
        assert store.check() == []
        other = make_store()
        with other.transaction():
            other["b"] = LARGE
            assert store._direct.sides.collect(store._direct.side_names) == (0, 0)  # type: ignore[union-attr]
        assert store.compact() >= 8
        assert store.stats().unnamed == 1  # the notes, which are somebody's
        assert (store["a"], store["b"]) == (LARGE, LARGE)

    def test_arrays_stay_in_their_file(self, make_store: MakeStore, tmp_path: Path) -> None:
        """An array that is copied on reading, changes the store when it is written to, or goes with its row."""
        numpy = pytest.importorskip("numpy")
        store = make_store()
        store["a"] = numpy.arange(300_000)
        read = store["a"]
        base = read
        while getattr(base, "base", None) is not None:
            base = base.base
        assert "Mapping" in repr(getattr(base, "obj", base))
        read[0] = 99
        assert store["a"][0] == 0
        del store["a"]
        assert files(tmp_path) == []
        assert read[-1] == 299_999
        store["own"] = Own(numpy.arange(300_000))
        assert store["own"].value[-1] == 299_999
        (path,) = files(tmp_path)
        content = bytearray(path.read_bytes())
        content[1_000_000] ^= 1
        path.write_bytes(content)
        with pytest.raises(torshi.MalformedError, match="damaged"):
            store["own"]
        store["plain"] = numpy.arange(300_000)
        path = next(path for path in files(tmp_path) if path.read_bytes() != content)
        content = bytearray(path.read_bytes())
        content[1_000_000] ^= 1
        path.write_bytes(content)
        with pytest.raises(torshi.MalformedError, match="damaged"):
            store["plain"]
        # Who asks for that reads what is touched alone; `check` reads all.
        assert len(make_store(verify=False)["plain"]) == 300_000
        assert len(make_store(verify=False).check()) == 2


def _sides(store: torshi.Store[Any]) -> list[str]:
    rows = store._direct._link().execute("SELECT side FROM rows WHERE side IS NOT NULL ORDER BY key")  # type: ignore[union-attr]
    return [name for (name,) in rows]


class TestRoom:
    """A limit of bytes, and what goes when there is more."""

    def test_the_least_used_goes_first(self, make_store: MakeStore) -> None:
        """A value that is used all the time and goes; or a store that is larger than it may be."""
        store = make_store(max_bytes=100_000)
        for number in range(300):
            store[number] = b"x" * 1000
            assert store[0] == b"x" * 1000
            assert backend_of(store).usage()[1] <= 110_000
        assert 0 in store
        assert 299 in store
        assert 150 not in store
        assert store.check() == []

    def test_expired_values_go_before_others(self, make_store: MakeStore) -> None:
        """A value that is evicted although there are some that nobody can read."""
        store = make_store(max_bytes=50_000)
        store["kept"] = b"x" * 1000
        for number in range(40):
            store.set(number, b"x" * 1000, ttl=0.001)
        threading.Event().wait(0.01)
        for number in range(100, 112):
            store[number] = b"x" * 1000
        assert "kept" in store
        assert len(store) == 13

    def test_large_values_count_whole(self, make_store: MakeStore, tmp_path: Path) -> None:
        """Side files that are beyond the limit."""
        store = make_store(max_bytes=1_000_000)
        for number in range(12):
            store[number] = LARGE
        assert sum(path.stat().st_size for path in files(tmp_path)) <= 1_000_000
        store.update(dict.fromkeys(range(20, 30), LARGE))
        assert sum(path.stat().st_size for path in files(tmp_path)) <= 1_000_000
        with store.transaction():
            for number in range(30, 40):
                store[number] = LARGE
        assert sum(path.stat().st_size for path in files(tmp_path)) <= 1_000_000
        assert store.stats().unnamed == 0

    def test_times_of_use_outlive_the_process(self, make_store: MakeStore) -> None:
        """A use that is forgotten when the store is closed, or that makes each read a write."""
        store = make_store(max_bytes=10**9)
        store["a"], store["b"] = 1, 2
        before = store.stat("a").used
        link = store._direct._link()  # type: ignore[union-attr]
        changes = link.connection.total_changes
        for _ in range(100):
            store["a"]
        assert link.connection.total_changes == changes
        store.close()
        store = make_store(max_bytes=10**9)
        assert store.stat("a").used > before
        assert [key for key, _ in backend_of(store).least_used(b"d", 1)] == [b"d\x02b\x00"]

    @pytest.mark.parametrize("wrong", [True, 1.5, "10"])
    def test_other_limits_are_refused(self, make_store: MakeStore, wrong: Any) -> None:
        """A limit that is none, and holds nothing back."""
        with pytest.raises(TypeError, match="max_bytes is a number of bytes"):
            make_store(max_bytes=wrong)
        with pytest.raises(ValueError, match="zero or more"):
            make_store(max_bytes=-1)
