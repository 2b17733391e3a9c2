"""What other libraries have stored, imported: shelve, sqlitedict, diskcache, each written by itself.

If these failed, a program that changes to torshi would lose values, or what somebody has put into its old store would
run, now or when it is read from the new one.
"""

from __future__ import annotations

import dbm.dumb
import importlib
import os
import pickle
import shelve
import sqlite3
import stat
import sys
import types
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

import torshi
from planted import ATTACK, RAN
from torshi._store.foreign import _key_of, kind_of


@dataclass
class Own:
    """A class of the program."""

    value: Any = None


@pytest.fixture
def store(tmp_path: Path) -> Iterator[torshi.Store[Any]]:
    RAN.clear()
    with torshi.Store(tmp_path / "new.db") as store:
        yield store
    assert RAN == [], "something was run"


VALUES: dict[str, Any] = {
    "plain": {"a": [1, 2.5, None, b"x", ("t", {1, 2})]},
    "é": Fraction(1, 3),
    "large": b"0123456789" * 30_000,
    "array": list(range(50_000)),
}


def shelf(path: Path, values: dict[str, Any], protocol: int = 4) -> str:
    with shelve.Shelf(dbm.dumb.open(str(path), "c"), protocol=protocol) as made:
        made.update(values)
    return str(path)


def sqlite_shelf(path: Path, values: dict[str, Any]) -> str:
    """As dbm.sqlite3 of Python 3.13 writes one."""
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS Dict (key BLOB UNIQUE NOT NULL, value BLOB NOT NULL)")
        rows = [(key.encode(), pickle.dumps(value)) for key, value in values.items()]
        connection.executemany("REPLACE INTO Dict (key, value) VALUES (CAST(? AS BLOB), CAST(? AS BLOB))", rows)
    connection.close()
    return str(path)


def sqlitedict_file(path: Path, values: dict[str, Any], table: str = "unnamed") -> str:
    sqlitedict = pytest.importorskip("sqlitedict", reason="sqlitedict is not installed")
    with sqlitedict.SqliteDict(str(path), tablename=table, autocommit=True) as made:
        made.update(values)
    return str(path)


def diskcache_folder(path: Path, values: dict[Any, Any]) -> str:
    diskcache = pytest.importorskip("diskcache", reason="diskcache is not installed")
    with diskcache.Cache(str(path)) as made:
        for key, value in values.items():
            made[key] = value
    return str(path)


MAKERS = {
    "dbm.dumb": (shelf, "shelve"),
    "dbm.sqlite3": (sqlite_shelf, "shelve"),
    "sqlitedict": (sqlitedict_file, "sqlitedict"),
    "diskcache": (diskcache_folder, "diskcache"),
}


@pytest.mark.parametrize("made", MAKERS)
class TestEveryKind:
    def test_what_is_there_comes_along(self, store: torshi.Store[Any], tmp_path: Path, made: str) -> None:
        """Or values would be lost, or come back as others."""
        make, kind = MAKERS[made]
        source = make(tmp_path / "old", VALUES)
        report = store.import_from(source)
        assert report == torshi.StoreImport(source, kind, 4, 0, ())
        assert dict(store) == VALUES
        assert store.check() == []
        assert store.stats().side_files == 2

    def test_an_attack_is_refused_and_the_rest_comes(self, store: torshi.Store[Any], tmp_path: Path, made: str) -> None:
        """Or it would run, or be the reason why nothing can be imported."""
        make, _ = MAKERS[made]
        source = make(tmp_path / "old", {"a": 1, "evil": AsIs(ATTACK), "z": [2]})
        report = store.import_from(source)
        assert (report.imported, report.skipped) == (2, 0)
        assert [(one.key, one.error) for one in report.refused] == [("'evil'", "UntrustedError")]
        assert "planted.act" in report.refused[0].why
        assert dict(store) == {"a": 1, "z": [2]}

    def test_strict_is_all_or_nothing(self, store: torshi.Store[Any], tmp_path: Path, made: str) -> None:
        """Or half of a store would be there, and nobody would know which half."""
        make, _ = MAKERS[made]
        source = make(tmp_path / "old", {"a": VALUES["large"], "evil": AsIs(ATTACK), "z": 2})
        with pytest.raises(torshi.UntrustedError, match=r"planted\.act") as caught:
            store.import_from(source, strict=True)
        assert "in the value of 'evil'" in "".join(caught.value.__notes__)
        assert len(store) == 0
        assert store.stats().side_files == 0

    def test_own_classes_by_name(self, store: torshi.Store[Any], tmp_path: Path, made: str) -> None:
        """Or a program's own classes could not be imported; they come back without a word, as from any store."""
        make, _ = MAKERS[made]
        source = make(tmp_path / "old", {"own": Own([Own(1)])})
        assert store.import_from(source).refused[0].error == "UntrustedError"
        report = store.import_from(source, trust=[Own])
        assert (report.imported, report.refused) == (1, ())
        assert store["own"] == Own([Own(1)])

    def test_the_source_is_left_as_it_is(self, store: torshi.Store[Any], tmp_path: Path, made: str) -> None:
        """Or an import that went wrong could not be done again."""
        make, _ = MAKERS[made]
        folder = tmp_path / "there"
        folder.mkdir()
        source = make(folder / "old", VALUES)
        before = contents(folder)
        for path in [folder, *folder.rglob("*")]:
            path.chmod(stat.S_IMODE(path.stat().st_mode) & ~0o222)
        try:
            assert store.import_from(source).imported == 4
        finally:
            for path in [folder, *folder.rglob("*")]:
                path.chmod(stat.S_IMODE(path.stat().st_mode) | 0o200)
        assert contents(folder) == before

    def test_check_writes_nothing(self, store: torshi.Store[Any], tmp_path: Path, made: str) -> None:
        """Or one could not look before."""
        make, _ = MAKERS[made]
        report = store.import_from(make(tmp_path / "old", {"a": 1, "evil": AsIs(ATTACK)}), check=True)
        assert (report.imported, len(report.refused), len(store)) == (1, 1, 0)

    def test_keys_that_are_there(self, store: torshi.Store[Any], tmp_path: Path, made: str) -> None:
        """Or an import would overwrite what was changed since, or not bring what it should."""
        make, _ = MAKERS[made]
        source = make(tmp_path / "old", {"a": 1, "b": 2})
        store["a"] = "mine"
        assert store.import_from(source, replace=False).skipped == 1
        assert dict(store) == {"a": "mine", "b": 2}
        assert store.import_from(source, prefix=("old",)).imported == 2
        assert dict(store.items(("old",))) == {("old", "a"): 1, ("old", "b"): 2}
        assert store.import_from(source).imported == 2
        assert store["a"] == 1

    def test_into_memory_and_without_seals(self, tmp_path: Path, made: str) -> None:
        """Or only stores in files could import; without seals the policy of the store holds at every read."""
        make, _ = MAKERS[made]
        source = make(tmp_path / "old", {**VALUES, "own": Own(1)})
        memory = torshi.Store[Any](":memory:")
        assert memory.import_from(source).imported == 4
        assert dict(memory) == VALUES
        with torshi.Store(tmp_path / "open.db", key=False) as unsealed:
            assert unsealed.import_from(source, trust=[Own]).imported == 5
            with pytest.raises(torshi.UntrustedError):
                unsealed["own"]
        with torshi.Store[Any](tmp_path / "open.db", key=False, trust=[Own]) as unsealed:
            assert unsealed["own"] == Own(1)


class AsIs:
    """Is pickled as the bytes it has, so that every library writes them for us."""

    def __init__(self, data: bytes) -> None:
        assert data == ATTACK

    def __reduce__(self) -> Any:
        from planted import act

        return act, ("x",)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_pattern_does_not_lend_what_it_may_not_mean(
    store: torshi.Store[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or `trust="myapp.*"` would seal whatever `myapp` has imported, `os.system` among it, for every later load."""
    module = types.ModuleType("myapp")
    module.helper = len  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "myapp", module)
    stream = b"cmyapp\nhelper\n(S'abc'\ntR."
    path = tmp_path / "old"
    with dbm.dumb.open(str(path), "c") as made:
        made[b"k"] = stream
    with pytest.raises(torshi.UntrustedError):  # a load sees what it is
        torshi.loads(stream, trust=["myapp.*"])
    report = store.import_from(path, trust=["myapp.*"])
    assert "by a pattern alone" in report.refused[0].why
    assert report.imported == 0
    assert store.import_from(path, trust=["myapp:helper"]).imported == 1
    assert store["k"] == 3


def test_classes_that_were_renamed(store: torshi.Store[Any], tmp_path: Path) -> None:
    """Or what was stored before a class was renamed could not be imported under its name of today."""
    path = tmp_path / "old"
    stream = pickle.dumps(Own(1), 2).replace(b"test_store_imports\nOwn", b"oldapp.models\nPerson")
    with dbm.dumb.open(str(path), "c") as made:
        made[b"k"] = stream
    with torshi.renames({"oldapp.models.Person": Own}):
        assert store.import_from(path, trust=["oldapp.models.Other"]).imported == 0
        assert store.import_from(path, trust=[Own]).refused == ()
        assert store["k"] == Own(1)


def test_old_protocols_become_new(store: torshi.Store[Any], tmp_path: Path) -> None:
    """Or values of Python 2's time would be left out."""
    for protocol in range(5):
        source = shelf(tmp_path / f"old{protocol}", {"v": [1, "é", (True, None)]}, protocol)
        store.import_from(source, prefix=(protocol,))
        assert store[(protocol, "v")] == [1, "é", (True, None)]
        row = store._now().get(b"d\x05" + (b"\x15" + bytes([protocol]) if protocol else b"\x14") + b"\x02v\0")
        assert row is not None
        assert b"\x80\x05" in row.value


def test_values_that_are_no_pickles(store: torshi.Store[Any], tmp_path: Path) -> None:
    """Or one bad value would be the end, or would be stored."""
    path = tmp_path / "old"
    with dbm.dumb.open(str(path), "c") as made:
        made[b"good"] = pickle.dumps(1)
        made[b"cut"] = pickle.dumps([1, 2, 3])[:-3]
        made[b"empty"] = b""
        made[b"text"] = b"hello"
        made[b"\xff\xfe"] = pickle.dumps(1)
    report = store.import_from(path)
    assert dict(store) == {"good": 1}
    refused = {one.key: one.error for one in report.refused}
    assert refused == {
        "'cut'": "MalformedError",
        "'empty'": "TruncatedError",
        "'text'": "MalformedError",
        "b'\\xff\\xfe'": "ValueError",
    }


class TestSqlitedict:
    def test_several_tables(self, store: torshi.Store[Any], tmp_path: Path) -> None:
        """Or one table would overwrite another, or be left behind without a word."""
        source = sqlitedict_file(tmp_path / "old.db", {"a": 1}, "first")
        sqlitedict_file(tmp_path / "old.db", {"a": 2}, 'sec"ond')
        with pytest.raises(ValueError, match="'first', 'sec\"ond'"):
            store.import_from(source)
        with pytest.raises(ValueError, match="no table 'third'"):
            store.import_from(source, table="third")
        assert store.import_from(source, table='sec"ond').imported == 1
        assert store["a"] == 2

    def test_a_view_in_the_place_of_a_table(self, store: torshi.Store[Any], tmp_path: Path) -> None:
        """Or whoever wrote the file would say what is run when it is read."""
        path = tmp_path / "old.db"
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE VIEW unnamed AS SELECT 'a' AS key, load_extension('x') AS value")
        connection.close()
        with pytest.raises(torshi.StoreError):
            store.import_from(path)


class TestDiskcache:
    def test_keys_of_all_kinds(self, store: torshi.Store[Any], tmp_path: Path) -> None:
        """Or keys that are tuples, which diskcache pickles, would be lost."""
        keys: list[Any] = ["t", b"raw", 7, -3, 2**80, ("a", 1, b"x" * 100, ("b", "a")), ()]
        source = diskcache_folder(tmp_path / "old", {key: number for number, key in enumerate(keys)})
        assert store.import_from(source).refused == ()
        assert dict(store) == {key: number for number, key in enumerate(keys)}

    def test_keys_that_are_none(self, store: torshi.Store[Any], tmp_path: Path) -> None:
        """Or they would become others, and two of them the same."""
        source = diskcache_folder(tmp_path / "old", {1.5: 1, None: 2, (1, 2.5): 3, frozenset([1]): 4, "right": 5})
        report = store.import_from(source)
        assert dict(store) == {"right": 5}
        assert len(report.refused) == 4

    @pytest.mark.parametrize("planted", [ATTACK, pickle.dumps(["a"]), pickle.dumps(True), b"\x80", b"", 7])
    def test_a_planted_key(self, planted: Any) -> None:
        """Or a pickle would be loaded for the sake of its key."""
        RAN.clear()
        with pytest.raises((ValueError, torshi.MalformedError)):
            _key_of(planted)
        assert RAN == []

    def test_modes_of_values(self, store: torshi.Store[Any], tmp_path: Path) -> None:
        """Or values that diskcache keeps in files beside its database would be lost."""
        values = {
            "int": 1, "float": 0.5, "text": "short", "bytes": b"short", "long int": 2**70, "tuple": (1, 2),
            "long text": "é\r\n" * 50_000, "long bytes": b"x" * 100_000, "long pickle": [b"0123456789"] * 30_000,
        }  # fmt: skip
        source = diskcache_folder(tmp_path / "old", values)
        with sqlite3.connect(tmp_path / "old" / "cache.db") as connection:
            modes = connection.execute("SELECT DISTINCT mode, filename IS NULL FROM Cache").fetchall()
        connection.close()
        assert set(modes) == {(1, 1), (2, 0), (3, 0), (4, 0), (4, 1)}
        assert store.import_from(source).refused == ()
        assert dict(store) == values

    def test_expiry_and_tags(self, store: torshi.Store[Any], tmp_path: Path) -> None:
        """Or what was to end would live for ever, and could not be evicted."""
        diskcache = pytest.importorskip("diskcache", reason="diskcache is not installed")
        with diskcache.Cache(str(tmp_path / "old")) as cache:
            cache.set("a", 1, expire=1000, tag="red")
            cache.set("b", 2, tag=7)
            cache.set("gone", 3, expire=1000)
        with sqlite3.connect(tmp_path / "old" / "cache.db") as connection:
            connection.execute("UPDATE Cache SET expire_time = 1.0 WHERE key = 'gone'")
            (expires,) = connection.execute("SELECT expire_time FROM Cache WHERE key = 'a'").fetchone()
        connection.close()
        report = store.import_from(tmp_path / "old")
        assert (report.imported, report.skipped) == (2, 1)
        assert (store.expires("a"), store.tags("a"), store.tags("b")) == (expires, ("red",), ("7",))
        assert store.evict("red") == 1

    def test_a_fanout_cache(self, store: torshi.Store[Any], tmp_path: Path) -> None:
        """Or all but one shard would be left behind."""
        diskcache = pytest.importorskip("diskcache", reason="diskcache is not installed")
        values = {f"k{number}": "x" * number * 2000 for number in range(40)}
        with diskcache.FanoutCache(str(tmp_path / "old"), shards=4) as cache:
            for key, value in values.items():
                cache.set(key, value)
        assert store.import_from(tmp_path / "old").imported == 40
        assert dict(store) == values

    def test_a_file_elsewhere_is_not_read(self, store: torshi.Store[Any], tmp_path: Path) -> None:
        """Or whoever wrote the database could have any file of the reader's put into the store."""
        secret = tmp_path / "secret"
        secret.write_bytes(b"of the reader alone")
        source = diskcache_folder(tmp_path / "old", {"a": b"x" * 100_000, "b": b"y" * 100_000, "c": b"z" * 100_000})
        (tmp_path / "old" / "link").symlink_to(secret)
        with sqlite3.connect(tmp_path / "old" / "cache.db") as connection:
            connection.execute("UPDATE Cache SET filename = '../secret' WHERE key = 'a'")
            connection.execute("UPDATE Cache SET filename = ? WHERE key = 'b'", (str(secret),))
            connection.execute("UPDATE Cache SET filename = 'link' WHERE key = 'c'")
        connection.close()
        report = store.import_from(source)
        assert report.imported == 0
        assert [one.error for one in report.refused] == ["MalformedError"] * 3

    def test_a_cache_that_is_open(self, store: torshi.Store[Any], tmp_path: Path) -> None:
        """Or what stands in the log and not in the database yet would be lost."""
        diskcache = pytest.importorskip("diskcache", reason="diskcache is not installed")
        with diskcache.Cache(str(tmp_path / "old")) as cache:
            cache["a"] = 1
            assert os.path.exists(tmp_path / "old" / "cache.db-wal")
            assert store.import_from(tmp_path / "old").imported == 1


@pytest.mark.parametrize("name", ["dbm.gnu", "dbm.ndbm", "dbm.sqlite3"])
def test_shelves_of_this_python(store: torshi.Store[Any], tmp_path: Path, name: str) -> None:
    """Or the shelves that most systems make could not be imported."""
    try:
        module = importlib.import_module(name)
    except ImportError:
        pytest.skip(f"this Python has no {name}")
    with shelve.Shelf(module.open(str(tmp_path / "old"), "c")) as made:
        made.update(VALUES if name != "dbm.ndbm" else {"plain": VALUES["plain"]})
    report = store.import_from(tmp_path / "old")
    assert report.kind == "shelve"
    assert report.refused == ()
    assert store["plain"] == VALUES["plain"]


def test_what_is_none_of_these(store: torshi.Store[Any], tmp_path: Path) -> None:
    """Or a name with a slip in it would import nothing, without a word."""
    with pytest.raises(FileNotFoundError):
        store.import_from(tmp_path / "nothing")
    (tmp_path / "text").write_text("hello")
    with pytest.raises(torshi.StoreError, match="no shelf"):
        store.import_from(tmp_path / "text")
    with pytest.raises(torshi.StoreError, match="copy_to"):
        store.import_from(store.where)
    with sqlite3.connect(tmp_path / "other.db") as connection:
        connection.execute("CREATE TABLE people (name TEXT)")
    connection.close()
    with pytest.raises(torshi.StoreError, match="neither sqlitedict nor diskcache"):
        store.import_from(tmp_path / "other.db")
    with pytest.raises(ValueError, match="kind is one of"):
        store.import_from(tmp_path / "text", "pickledb")
    with pytest.raises(torshi.StoreError):
        store.import_from(tmp_path / "text", "shelve")
    with pytest.raises((torshi.StoreError, OSError)):
        store.import_from(tmp_path / "text", "sqlitedict")
    assert len(store) == 0


def test_a_damaged_source(store: torshi.Store[Any], tmp_path: Path) -> None:
    """Or an error of another library's would come out, or a part be taken for the whole."""
    source = Path(sqlite_shelf(tmp_path / "old", {f"k{number}": "x" * 500 for number in range(200)}))
    data = bytearray(source.read_bytes())
    data[8192:] = os.urandom(len(data) - 8192)
    source.write_bytes(data)
    with pytest.raises(torshi.StoreError, match="cannot be read"):
        store.import_from(source)
    index = Path(shelf(tmp_path / "dumb", {"a": 1}) + ".dir")
    index.write_text("'a', (" * 200)
    with pytest.raises(torshi.StoreError):
        store.import_from(tmp_path / "dumb", "shelve")


def test_the_kind_is_seen_by_content(tmp_path: Path) -> None:
    """Or one would have to say what everybody can see."""
    assert kind_of(sqlitedict_file(tmp_path / "a", {"a": 1}, "Dict")) == "sqlitedict"
    assert kind_of(sqlite_shelf(tmp_path / "b", {"a": 1})) == "shelve"
    assert kind_of(shelf(tmp_path / "c", {"a": 1}) + ".dat") == "shelve"
    assert kind_of(diskcache_folder(tmp_path / "d", {"a": 1})) == "diskcache"
    assert kind_of(str(tmp_path / "d" / "cache.db")) == "diskcache"
