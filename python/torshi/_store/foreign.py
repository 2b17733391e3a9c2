"""Stores of other libraries, as they are on disk, into keys, pickles and plain values: shelve, sqlitedict, diskcache.

Opens what it reads for reading only, and yields rows one by one; what a row holds that is a pickle stays one. Loads
nothing: a key that is a pickle, as diskcache has for tuples, is read off what inspecting says. A row that makes no
sense is yielded with what is wrong with it, since the others may be right.
"""

from __future__ import annotations

import base64
import contextlib
import dbm
import json
import math
import os
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from torshi import _native
from torshi._errors import MalformedError, StoreError
from torshi._store.keys import Key

__all__ = ["KINDS", "Item", "items_of", "kind_of"]

_SQLITE: Final = b"SQLite format 3\0"
_DBM: Final = ("dbm.dumb", "dbm.gnu", "dbm.ndbm")
_NOTHING: Final = _native.Policy.empty()

# How diskcache says what a value is.
_RAW, _BINARY, _TEXT, _PICKLE = 1, 2, 3, 4


@dataclass(frozen=True, slots=True)
class Item:
    """A row of a store of another library.

    Attributes:
        name: its key, as a person reads it.
        key: its key; None if there is a problem.
        pickle: its value, if that is a pickle.
        value: its value, if it is none.
        expires: when it is no longer there; None for never.
        tags: what it was tagged with.
        problem: why it cannot be read, if it cannot.
    """

    name: str
    key: Key | None = None
    pickle: bytes | None = None
    value: Any = None
    expires: float | None = None
    tags: tuple[str, ...] = ()
    problem: Exception | None = None


def kind_of(source: str) -> str:
    """What a file or folder is, by its content.

    Raises:
        FileNotFoundError: there is none.
        StoreError: it is none of these.
    """
    if _shards(source):
        return "diskcache"
    if _has_sqlite_head(source):
        with _read_only(source) as connection:
            tables = {name: _columns(connection, name) for name in _tables(connection)}
            is_dbm = tables.get("Dict") == ["key", "value"] and _type_of_key(connection) == "BLOB"
        if {"key", "raw", "mode", "filename", "value"} <= set(tables.get("Cache", ())):
            return "diskcache"
        if is_dbm:  # of dbm.sqlite3, in Python 3.13
            return "shelve"
        if any(columns == ["key", "value"] for columns in tables.values()):
            return "sqlitedict"
        if {"key", "name", "version", "value"} <= set(tables.get("rows", ())):
            raise StoreError(f"{source} is a store of torshi's: copy_to copies it to another one")
        raise StoreError(f"{source} is a database of SQLite, and neither sqlitedict nor diskcache has written it")
    if _dbm_of(source)[1] is not None:
        return "shelve"
    if not os.path.exists(source):
        raise FileNotFoundError(2, "no such store", source)
    raise StoreError(f"{source} is no shelf of shelve, no file of sqlitedict and no folder of diskcache")


def items_of(source: str, kind: str, table: str | None) -> Iterator[Item]:
    """The rows of a store of a kind.

    Raises:
        ValueError: there are several tables, or not the one asked for.
        StoreError: it cannot be read, or is damaged.
        ImportError: this Python has not what can read it.
    """
    try:
        yield from KINDS[kind](source, table)
    except sqlite3.Error as error:
        raise StoreError(f"{source} cannot be read, or not to its end: {error}") from error


# shelve


def _shelf(source: str, _table: str | None) -> Iterator[Item]:
    if _has_sqlite_head(source):
        with _read_only(source) as connection:
            for key, value in connection.execute("SELECT key, value FROM Dict"):
                yield _shelf_item(key, value)
        return
    path, module = _dbm_of(source)
    if module is None:
        raise StoreError(f"{source} is no shelf, or of a kind of dbm that this Python does not know")
    try:
        opened = import_module(module).open(path, "r")
    except ImportError as error:
        raise ImportError(f"{source} is a file of {module}, which this Python has not: {error}") from error
    except Exception as error:  # whatever a broken index does to the reader of dbm.dumb
        raise StoreError(f"{source} cannot be read: {error}") from error
    with contextlib.closing(opened):
        for key in opened.keys():  # noqa: SIM118 (what is opened need not be iterable)
            try:
                value = opened[key]
            except Exception as error:
                yield Item(repr(key), problem=StoreError(f"it cannot be read: {error}"))
                continue
            yield _shelf_item(key, value)


def _shelf_item(key: Any, value: Any) -> Item:
    if not isinstance(key, bytes) or not isinstance(value, bytes):
        return Item(repr(key), problem=MalformedError("no row of a shelf: its key and value are bytes"))
    try:
        text = key.decode()
    except UnicodeDecodeError as error:
        return Item(repr(key), problem=ValueError(f"its key is no text: {error}"))
    return Item(repr(text), text, value)


def _dbm_of(source: str) -> tuple[str, str | None]:
    """The name that dbm opens a shelf by, and the module that does; None if it is none."""
    stem, ending = os.path.splitext(source)
    for path in (source, stem) if ending in (".dat", ".dir", ".bak", ".pag", ".db") else (source,):
        found = dbm.whichdb(path)
        if found in _DBM:
            return path, found
    return source, None


# sqlitedict


def _sqlitedict(source: str, table: str | None) -> Iterator[Item]:
    with _read_only(source) as connection:
        tables = [name for name in _tables(connection) if _columns(connection, name) == ["key", "value"]]
        chosen = _chosen_table(source, tables, table)
        for key, value in connection.execute(f"SELECT key, value FROM {_quoted(chosen)}"):
            if not isinstance(key, str) or not isinstance(value, bytes):
                problem = MalformedError("no row of sqlitedict: its key is text and its value bytes")
                yield Item(repr(key), problem=problem)
            else:
                yield Item(repr(key), key, value)


def _chosen_table(source: str, tables: list[str], table: str | None) -> str:
    if table is None and len(tables) == 1:
        return tables[0]
    if table is not None and table in tables:
        return table
    told = ", ".join(map(repr, tables)) or "none"
    if table is None:
        raise ValueError(f"{source} has several tables or none: say which with table=; there are {told}")
    raise ValueError(f"{source} has no table {table!r} of sqlitedict; there are {told}")


# diskcache


def _diskcache(source: str, _table: str | None) -> Iterator[Item]:
    for path in _shards(source) or [source]:
        folder = os.path.dirname(os.path.abspath(path))
        with _read_only(path) as connection:
            rows = connection.execute(
                "SELECT key, raw, expire_time, tag, mode, filename, value FROM Cache ORDER BY rowid"
            )
            for key, raw, expires, tag, mode, filename, value in rows:
                yield _diskcache_item(folder, key, raw, expires, tag, mode, filename, value)


def _diskcache_item(folder: str, key: Any, raw: Any, expires: Any, tag: Any, mode: Any, name: Any, value: Any) -> Item:
    shown = repr(key if raw or not isinstance(key, bytes) else key[:60])
    try:
        made = key if raw else _key_of(key)
        shown = repr(made)
        kind, content = _content(folder, mode, name, value)
    except Exception as error:
        return Item(shown, problem=error)
    life = expires if isinstance(expires, (int, float)) and math.isfinite(expires) else None
    tags = (str(tag),) if isinstance(tag, (str, int, float)) and str(tag) and "\n" not in str(tag) else ()
    if kind == _PICKLE:
        return Item(shown, made, content, expires=life, tags=tags)
    return Item(shown, made, value=content, expires=life, tags=tags)


def _content(folder: str, mode: Any, name: Any, value: Any) -> tuple[int, Any]:
    """What a value is, and itself, from the row or from the file beside it that the row names.

    Raises:
        MalformedError: it is nothing that diskcache writes; it names a file elsewhere.
        OSError: the file cannot be read.
    """
    if mode == _RAW or (mode == _PICKLE and name is None):
        if mode == _PICKLE and not isinstance(value, bytes):
            raise MalformedError(f"its pickle is no bytes but {type(value).__name__}")
        return mode, value
    if mode not in (_BINARY, _TEXT, _PICKLE) or not isinstance(name, str):
        raise MalformedError(f"a value of mode {mode!r}, which diskcache has not")
    # Whoever wrote the database must not have files of the reader's read into the store.
    base = Path(folder).resolve()
    path = (base / name).resolve()
    if not path.is_relative_to(base) or not path.is_file():
        raise MalformedError(f"its file {name!r} is not in the folder, or none")
    data = path.read_bytes()
    return mode, (data.decode() if mode == _TEXT else data)


def _shards(source: str) -> list[str]:
    """The databases of a folder of diskcache: one, or those of a FanoutCache."""
    if not os.path.isdir(source):
        return []
    one = os.path.join(source, "cache.db")
    if os.path.isfile(one):
        return [one]
    shards = sorted(entry for entry in os.listdir(source) if entry.isdigit())
    paths = [os.path.join(source, shard, "cache.db") for shard in shards]
    return [path for path in paths if os.path.isfile(path)]


def _key_of(data: Any) -> Key:
    """The key that a pickle is of, without loading it: by what inspecting says of each part, and the stream as JSON.

    Raises:
        MalformedError: it is no pickle.
        ValueError: it is of something else than text, bytes, integers and tuples.
    """
    if not isinstance(data, bytes):
        raise MalformedError(f"its key is no pickle but {type(data).__name__}")
    report = json.loads(_native.inspect(data, _NOTHING))
    if report["error"] is not None:
        raise MalformedError(f"its key is no pickle: {report['error']['message']}")
    if report["findings"] or report.get("tree") is None:
        raise ValueError("its key is an object, and a key is text, bytes, an integer or a tuple of these")
    return _part(report["tree"], json.loads(_native.plain_json(_native.rewrite(data, []), True)))


def _part(node: dict[str, Any], plain: Any) -> Key:
    kind = node["kind"]
    if kind == "tuple" and not node.get("truncated") and isinstance(plain, list):
        children = node.get("children", ())
        return tuple(_part(child["node"], part) for child, part in zip(children, plain, strict=True))
    if kind == "bytes":
        return base64.b64decode(plain)
    if kind in ("str", "int"):
        found: Key = plain
        return found
    raise ValueError(f"its key is or holds {kind}, and a key is text, bytes, an integer or a tuple of these")


# SQLite


def _has_sqlite_head(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(len(_SQLITE)) == _SQLITE
    except (IsADirectoryError, FileNotFoundError):
        return False


@contextlib.contextmanager
def _read_only(path: str) -> Iterator[sqlite3.Connection]:
    """A connection that writes nothing, to a file that somebody else may have written."""
    # A file with a log that nobody has open can be read without making one; else the log belongs to it.
    with open(path, "rb") as file:
        is_logged = file.read(20)[18:20] == b"\x02\x02"
    quiet = "&immutable=1" if is_logged and not os.path.exists(path + "-wal") else ""
    uri = f"file:{quote(os.path.abspath(path))}?mode=ro{quiet}"
    with contextlib.closing(sqlite3.connect(uri, uri=True)) as connection:
        connection.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
        connection.execute("PRAGMA trusted_schema = OFF").close()
        yield connection


def _tables(connection: sqlite3.Connection) -> list[str]:
    return [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]


def _columns(connection: sqlite3.Connection, table: str) -> list[str]:
    return [row[1] for row in connection.execute(f"PRAGMA table_info({_quoted(table)})")]


def _type_of_key(connection: sqlite3.Connection) -> str:
    found = connection.execute("SELECT type FROM pragma_table_info('Dict') WHERE name = 'key'").fetchone()
    return str(found[0]).upper()


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


KINDS: Final[dict[str, Callable[[str, str | None], Iterator[Item]]]] = {
    "shelve": _shelf,
    "sqlitedict": _sqlitedict,
    "diskcache": _diskcache,
}
"""Which reader reads which kind."""
