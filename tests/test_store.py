"""Stores in files and in memory: the contract of every store, and what is a file's own.

If these failed, a program would lose what it had stored, or a store would take a file for its own that is not.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import torshi
from store_contract import (
    MakeStore,
    Own,
    TestComparing,
    TestEvicting,
    TestExpiry,
    TestMapping,
    TestPuttingOver,
    TestQueue,
    store,
)
from store_contract_rows import TestBackend, TestProcesses, TestSeals
from torshi._store import sqlite_file

__all__ = [
    "TestBackend",
    "TestComparing",
    "TestEvicting",
    "TestExpiry",
    "TestMapping",
    "TestPuttingOver",
    "TestProcesses",
    "TestQueue",
    "TestSeals",
    "store",
]


class TestFile:
    """A store is one file that others can look into, and no other file is one."""

    def test_one_file_of_plain_tables(self, make_store: MakeStore, tmp_path: Path) -> None:
        """A file that an ordinary SQLite cannot open, or columns that say something else than the rows are."""
        store = make_store()
        store.set("ada", 1, ttl=60, tags=["people", "first"])
        store[("job", 7)] = b"x" * 1000
        store.close()
        assert os.listdir(tmp_path) == ["one.db"]
        with sqlite3.connect(tmp_path / "one.db") as browser:
            rows = browser.execute("SELECT name, size, expires > written, tags FROM rows ORDER BY key").fetchall()
            records = dict(browser.execute("SELECT name, value FROM meta"))
            mode = browser.execute("PRAGMA journal_mode").fetchone()
        browser.close()
        assert rows == [("ada", 23, 1, "\nfirst\npeople\n"), ("('job', 7)", 1036, None, "")]
        assert records["format"] == 1
        assert len(records["store_id"]) == 16
        assert mode == ("wal",)

    @pytest.mark.parametrize(
        ("content", "text"),
        [
            (b"hello, world", "no store of torshi"),
            (torshi.dumps({"a": 1}), "no store of torshi"),
            (b"\0" * 4096, "no store of torshi"),
            (b"SQLite format 3\0" + b"\0" * 20, "no store of torshi"),
        ],
    )
    def test_other_files_are_refused(self, tmp_path: Path, content: bytes, text: str) -> None:
        """A file of something else that is overwritten."""
        path = tmp_path / "file"
        path.write_bytes(content)
        with pytest.raises(torshi.StoreError, match=text):
            torshi.Store(path)
        assert path.read_bytes() == content
        assert os.listdir(tmp_path) == ["file"]

    def test_other_databases_are_refused(self, tmp_path: Path) -> None:
        """A database of another program, or a store with a program in it, that is opened all the same."""
        path = tmp_path / "other.db"
        other = sqlite3.connect(path)
        other.execute("CREATE TABLE rows (key, value)")
        other.commit()
        other.close()
        before = path.read_bytes()
        with pytest.raises(torshi.StoreError, match="another program"):
            torshi.Store(path)
        assert path.read_bytes() == before
        with pytest.raises(torshi.StoreError, match="cannot be opened"):
            torshi.Store(tmp_path)
        with pytest.raises(torshi.StoreError, match="cannot be opened"):
            torshi.Store(tmp_path / "missing" / "store.db")

    @pytest.mark.parametrize(
        ("statement", "text"),
        [
            ("UPDATE meta SET value = 2 WHERE name = 'format'", r"format 2 is newer than this torshi knows \(1\)"),
            ("DELETE FROM meta WHERE name = 'store_id'", "does not say what a store's does"),
            ("DROP TABLE meta", "does not say what a store's does"),
            ("CREATE TRIGGER t AFTER INSERT ON rows BEGIN DELETE FROM meta; END", "has the 't' of somebody else"),
            ("CREATE VIEW v AS SELECT 1", "has the 'v' of somebody else"),
            ("ALTER TABLE rows ADD COLUMN more", "is not laid out as a store is"),
        ],
    )
    def test_changed_layouts_are_refused(
        self, make_store: MakeStore, tmp_path: Path, statement: str, text: str
    ) -> None:
        """A newer format that is read as this one, or a file in which statements of somebody else run."""
        make_store()["a"] = 1
        with sqlite3.connect(tmp_path / "one.db") as other:
            other.execute(statement)
        other.close()
        with pytest.raises(torshi.StoreError, match=text):
            make_store()

    def test_an_empty_file_becomes_a_store(self, tmp_path: Path) -> None:
        """A file that `tempfile` has made, refused."""
        path = tmp_path / "empty"
        path.touch()
        with torshi.Store(path) as store:
            store["a"] = 1
        with torshi.Store(path.as_uri()) as store:
            assert store["a"] == 1

    def test_a_log_that_was_carried_over_in_part(self, make_store: MakeStore, tmp_path: Path) -> None:
        """A store that is refused because a full disk or a kill came when its log was being carried over."""
        store = make_store()
        store.update(dict.fromkeys(range(200), b"x" * 500))
        for name in ("one.db", "one.db-wal"):
            shutil.copy(tmp_path / name, tmp_path / name.replace("one", "copy"))
        with open(tmp_path / "copy.db", "r+b") as file:
            file.seek(28)
            pages = int.from_bytes(file.read(4), "big")
            file.seek(28)
            file.write((pages + 40).to_bytes(4, "big"))  # the first page is there, and the last ones are not
        with torshi.Store(tmp_path / "copy.db") as copy:
            assert len(copy) == 200
            assert copy.check() == []

    def test_places(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A place that is misunderstood, or a path that means another file after the program went elsewhere."""
        monkeypatch.chdir(tmp_path)
        store = torshi.Store("here.db")
        store["a"] = 1
        monkeypatch.chdir("/")
        seen: list[Any] = []
        thread = threading.Thread(target=lambda: seen.append(store["a"]))
        thread.start()
        thread.join()
        assert seen == [1]
        store.close()
        with pytest.raises(ValueError, match=r"no store has the scheme ftp://; there are redis, "):
            torshi.Store("ftp://host/x")
        with pytest.raises(TypeError, match="a store is at a path, a URL or a backend, not int"):
            torshi.Store(1)  # type: ignore[call-overload]
        with pytest.raises(TypeError, match="storage_options are for URLs"):
            torshi.Store(tmp_path / "b.db", storage_options={"x": 1})
        with pytest.raises(ValueError, match="durable is one of 'process', 'power', not 'maybe'"):
            torshi.Store(tmp_path / "b.db", durable="maybe")

    def test_others_who_write_are_waited_for(self, make_store: MakeStore) -> None:
        """A change that is given up on while there is time, or never, or made twice; whichever way it is made."""
        holder, patient, hasty = make_store(), make_store(timeout=30), make_store(timeout=0.2)
        holder["n"] = 0
        changes: list[Callable[[torshi.Store[Any]], Any]] = [
            lambda store: store.__setitem__("a", 1),
            lambda store: store.set("b", 1, ttl=100, tags=["t"]),
            lambda store: store.add("c", 1),
            lambda store: store.incr("n"),
            lambda store: store.update({"d": 1, "e": 1}),
            lambda store: store.touch("n"),
            lambda store: store.delete("b"),
            lambda store: store.__setitem__("f", b"x" * 100_000),
            lambda store: store.evict("t"),
            lambda store: store.clear(),
        ]
        for change in changes:
            with ThreadPoolExecutor(1) as pool:
                with holder.transaction():
                    holder["held"] = 1
                    waiting = pool.submit(change, patient)
                    with pytest.raises(torshi.StoreError, match="others have been writing for too long"):
                        change(hasty)
                    assert not waiting.done()
                    assert hasty["n"] in (0, 1)  # whoever reads does not wait
                waiting.result(timeout=20)
        assert dict(holder) == {}
        assert holder.stats().unnamed == 0

    def test_closed(self, make_store: MakeStore) -> None:
        """A closed store that answers as if it were empty."""
        store = make_store()
        store["a"] = 1
        store.close()
        store.close()
        for use in (lambda: store["a"], lambda: store.set("a", 2), lambda: list(store), lambda: len(store)):
            with pytest.raises(torshi.StoreError, match="it is closed"):
                use()

    def test_handed_to_another_process(self, make_store: MakeStore, tmp_path: Path) -> None:
        """A store that arrives elsewhere as another one."""
        store = make_store(durable="power", timeout=5.0)
        store["a"] = Own(1)
        with pickle.loads(pickle.dumps(store)) as again:
            assert again.where == store.where
            assert again["a"] == Own(1)
        with pytest.raises(TypeError, match="is not pickled"):
            pickle.dumps(torshi.Store(":memory:"))
        with pytest.raises(TypeError, match="is not pickled"):
            pickle.dumps(make_store("other", key=b"0123456789abcdef"))

    def test_comparing_stores_loads_nothing(self, make_store: MakeStore) -> None:
        """Two stores compared value by value, or a store that cannot be a key."""
        store = make_store()
        assert store != make_store()
        assert store == store
        assert len({store}) == 1
        assert repr(store) == f"<torshi.Store {store.where}>"
        assert repr(store.keys("a")).startswith("<StoreKeys of ")


class TestErrors:
    """What the place cannot do is a `StoreError` with the way out, and the store can be used on."""

    def test_another_writes_for_too_long(self, make_store: MakeStore) -> None:
        """A writer that waits for ever, fails with an error of SQLite, or cannot write afterwards."""
        store, other = make_store(timeout=0.1), make_store()
        store["a"] = 1
        with other.transaction():
            other["a"] = 2
            for write in (
                lambda: store.set("a", 3),
                lambda: store.incr("a"),
                lambda: store.update(a=3),
                lambda: store.delete("a"),
                lambda: store.queue("q").put(1),
            ):
                with pytest.raises(torshi.StoreError, match="others have been writing for too long"):
                    write()
            assert store["a"] == 1  # who reads does not wait
        assert store["a"] == 2
        store["a"] = 4
        assert other["a"] == 4

    def test_a_file_without_permission(self) -> None:
        """A file that may not be written to, with an error that does not say so."""
        code = (
            "import os, sys, torshi\n"
            "store = torshi.Store\n"
            "if os.geteuid() == 0: os.setegid(65534), os.seteuid(65534)\n"
            "try: store(sys.argv[1], key=False)['a'] = 1\n"
            "except torshi.StoreError as error: print(error)\n"
        )
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "one.db")
            torshi.Store(path, key=False).close()
            os.chmod(path, stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH)
            os.chmod(folder, 0o755)
            done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True)
        assert "it may not be" in done.stdout or "it cannot be opened" in done.stdout, done.stdout + done.stderr

    def test_a_full_disk(self, make_store: MakeStore) -> None:
        """A full disk after which a committed value is gone, or the store cannot be used."""
        store = make_store()
        store["kept"] = b"k" * 1000
        link = store._direct._link()  # type: ignore[union-attr]
        (pages,) = link.execute("PRAGMA page_count").fetchone()
        link.execute(f"PRAGMA max_page_count = {pages + 4}").fetchone()
        with pytest.raises(torshi.StoreError, match="the disk is full: make room and try again"):
            for number in range(100):
                store[number] = b"x" * 4000
        count = len(store)
        with pytest.raises(torshi.StoreError, match="the disk is full"):
            store.update(dict.fromkeys(range(100, 200), b"x" * 4000))
        with pytest.raises(torshi.StoreError, match="the disk is full"), store.transaction():
            store["kept"] = 0
            for number in range(200, 300):
                store[number] = b"x" * 4000
        assert len(store) == count
        assert store["kept"] == b"k" * 1000
        link.execute(f"PRAGMA max_page_count = {pages + 1000}").fetchone()
        store["more"] = b"x" * 4000
        assert store["more"] == b"x" * 4000
        assert store.check() == []

    def test_damage(self, make_store: MakeStore, tmp_path: Path) -> None:
        """A damaged file that is not found to be, or brings the process down."""
        store = make_store()
        store.update(dict.fromkeys(range(500), b"x" * 500))
        store.close()
        path = tmp_path / "one.db"
        content = bytearray(path.read_bytes())
        content[len(content) // 2 : len(content) // 2 + 8192] = b"\xa5" * 8192
        path.write_bytes(content)
        store = make_store()
        assert store.check()
        read = 0
        for number in range(500):
            with contextlib.suppress(torshi.StoreError, torshi.SealError, KeyError):
                read += store[number] == b"x" * 500
        assert 0 < read < 500

    def test_errors_of_sqlite_have_a_way_out(self) -> None:
        """An error whose text is SQLite's alone."""
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorname = "SQLITE_IOERR_WRITE"
        told = sqlite_file.store_error("here", error)
        assert isinstance(told, OSError)
        assert isinstance(told, torshi.PickleError)
        assert str(told).startswith("store here: the disk cannot be read or written: ")
        assert str(sqlite_file.store_error("here", sqlite3.ProgrammingError("what"))) == "store here: what"
