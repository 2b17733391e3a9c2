"""The file of a store: made, recognised, opened. A path into a connection that is ready, or a refusal.

One SQLite file of three plain tables, in write-ahead mode. What is no store of torshi, or one of a newer format, is
refused before SQLite may write to it. Knows no rows: `sqlite` does.
"""

from __future__ import annotations

import os
import sqlite3
import time
from typing import Final

from torshi._errors import StoreError
from torshi._version import __version__

__all__ = ["DURABILITY", "FORMAT", "connect", "prepare", "store_error"]

FORMAT: Final = 1
"""Version of the layout of the tables. A newer one is refused."""

# "tshi": what the header of the file says of who made it.
_APPLICATION: Final = 0x74736869

DURABILITY: Final = {"process": "NORMAL", "power": "FULL"}
"""What committed rows survive, as `durable=` has it, and what SQLite calls that."""

# The value stands last, so that what is read beside it is not behind it.
_TABLES: Final = {
    "rows": """CREATE TABLE rows (
    id INTEGER PRIMARY KEY,
    key BLOB NOT NULL UNIQUE,
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    size INTEGER NOT NULL,
    written REAL NOT NULL,
    used REAL NOT NULL,
    expires REAL,
    tags TEXT NOT NULL,
    side TEXT,
    value BLOB NOT NULL
)""",
    "meta": "CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID",
}
_INDEXES: Final = (
    "CREATE INDEX rows_by_expiry ON rows (expires) WHERE expires IS NOT NULL",
    "CREATE INDEX rows_with_tags ON rows (key, tags) WHERE tags <> ''",
    "CREATE INDEX rows_with_sides ON rows (side) WHERE side IS NOT NULL",
)
# Of any connection. What the schema of a file that somebody else may have written calls is not to be trusted. The log
# is carried over to the file every 16 MB, and not every 4: each time waits for the disk.
_SETTINGS: Final = (
    "PRAGMA trusted_schema = OFF",
    "PRAGMA cell_size_check = ON",
    "PRAGMA journal_size_limit = 67108864",
    "PRAGMA wal_autocheckpoint = 4000",
    "PRAGMA cache_size = -16000",
)

# What to say of an error of SQLite, by the beginning of its name.
_WAYS_OUT: Final = (
    (
        "SQLITE_BUSY",
        "others have been writing for too long: try again, or open with a longer timeout=",
    ),
    ("SQLITE_LOCKED", "another thread is writing: try again"),
    ("SQLITE_FULL", "the disk is full: make room and try again; what was committed is there"),
    ("SQLITE_READONLY", "it may not be written to: see the permissions of the file and of its folder"),
    ("SQLITE_CANTOPEN", "it cannot be opened: see that its folder exists and may be written to"),
    ("SQLITE_PERM", "it may not be opened: see its permissions"),
    ("SQLITE_IOERR", "the disk cannot be read or written: see that it is there and not full"),
    ("SQLITE_CORRUPT", "the file is damaged: torshi.Store.check() says where, repair() mends what can be mended"),
    ("SQLITE_NOTADB", "it is no store: the file is something else, or damaged"),
    ("SQLITE_TOOBIG", "the value is too long for SQLite, which takes 1 GB: keep it in a file (torshi.save)"),
)


def store_error(where: str, error: sqlite3.Error) -> StoreError:
    """What a program sees of an error of SQLite."""
    name = getattr(error, "sqlite_errorname", "") or ""
    for beginning, way_out in _WAYS_OUT:
        if name.startswith(beginning):
            return StoreError(f"store {where}: {way_out} ({name}: {error})")
    return StoreError(f"store {where}: {error}" + (f" ({name})" if name else ""))


def connect(path: str, timeout: float, durable: str) -> sqlite3.Connection:
    """A connection to a store that has been prepared.

    Raises:
        sqlite3.Error: it cannot be opened.
    """
    connection = sqlite3.connect(
        path, timeout=timeout, isolation_level=None, check_same_thread=False, cached_statements=64
    )
    try:
        for setting in _SETTINGS:
            connection.execute(setting).close()
        connection.execute(f"PRAGMA synchronous = {DURABILITY[durable]}").close()
    except BaseException:
        connection.close()
        raise
    return connection


def prepare(path: str, timeout: float) -> bytes:
    """Makes the store if there is none; its id.

    Raises:
        StoreError: there is something else at that path, or it cannot be opened.
    """
    if path != ":memory:":
        _demand_store(path)
    try:
        connection = sqlite3.connect(path, timeout=timeout, isolation_level=None)
    except sqlite3.Error as error:
        raise store_error(path, error) from error
    try:
        for setting in _SETTINGS:
            connection.execute(setting).close()
        if not _tables(connection):
            _create(connection)
        identity = _demand_known(path, connection)
        _log_ahead(connection, timeout)
        return identity
    except sqlite3.Error as error:
        raise store_error(path, error) from error
    finally:
        connection.close()


def _demand_store(path: str) -> None:
    """Raises of a file that is no store, before it is opened as one: SQLite might write to it.

    The file is read by SQLite, which neither changes nor locks what it is told never changes. By no means may this
    process open and close it otherwise: closing any descriptor of a file ends the locks that the process has on it.
    """
    try:
        size = os.stat(path).st_size
    except OSError:
        return  # there is none, or whatever else is wrong shows when it is opened
    if size == 0:
        return  # about to be a store
    from urllib.parse import quote

    try:
        connection = sqlite3.connect(f"file:{quote(path)}?immutable=1", uri=True, isolation_level=None)
        try:
            (application,) = connection.execute("PRAGMA application_id").fetchone()
        finally:
            connection.close()
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorname", "") != "SQLITE_NOTADB":
            raise store_error(path, error) from error
        if os.path.exists(path + "-journal"):
            return  # the power went while the file was made, perhaps: SQLite undoes that
        raise StoreError(f"store {path}: the file is no store of torshi, and was left as it is") from None
    if application != _APPLICATION:
        raise StoreError(f"store {path}: the file is a database of another program, and was left as it is")


def _tables(connection: sqlite3.Connection) -> dict[str, str]:
    return dict(
        connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
    )


def create_tables(connection: sqlite3.Connection) -> bytes:
    """Makes the tables of a new store; its id."""
    identity = os.urandom(16)
    for statement in (*_TABLES.values(), *_INDEXES):
        connection.execute(statement)
    records = {"format": FORMAT, "store_id": identity, "created": time.time(), "writer": f"torshi {__version__}"}
    connection.executemany("INSERT INTO meta VALUES (?, ?)", records.items())
    return identity


def _create(connection: sqlite3.Connection) -> None:
    """All of a store in one transaction, so that nobody ever sees half of one."""
    connection.execute("BEGIN EXCLUSIVE")
    try:
        if not _tables(connection):  # somebody else may have been faster
            connection.execute(f"PRAGMA application_id = {_APPLICATION}")
            create_tables(connection)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _demand_known(path: str, connection: sqlite3.Connection) -> bytes:
    """The id of a store whose tables are those of this format.

    Raises:
        StoreError: they are not, or something else would run with them.
    """
    try:
        records = dict(connection.execute("SELECT name, value FROM meta"))
    except sqlite3.OperationalError as error:
        if getattr(error, "sqlite_errorname", "") != "SQLITE_ERROR":
            raise
        records = {}
    number, identity = records.get("format"), records.get("store_id")
    if isinstance(number, int) and number > FORMAT:
        raise StoreError(
            f"store {path}: format {number} is newer than this torshi knows ({FORMAT}): use the torshi that wrote it"
        )
    if number != FORMAT or not isinstance(identity, bytes) or len(identity) != 16:
        raise StoreError(f"store {path}: the table meta does not say what a store's does, and it was left as it is")
    tables = _tables(connection)
    active = connection.execute("SELECT name FROM sqlite_master WHERE type NOT IN ('table', 'index')").fetchone()
    if active or any(tables.get(name) != text for name, text in _TABLES.items()):
        what = f"has the {active[0]!r} of somebody else" if active else "is not laid out as a store is"
        raise StoreError(f"store {path}: the file {what}, and was left as it is")
    return identity


def _log_ahead(connection: sqlite3.Connection, timeout: float) -> None:
    """Puts the file into write-ahead mode, which it stays in. SQLite does not wait for others here, so this does."""
    end = time.monotonic() + timeout
    while True:
        try:
            if connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal":
                return
            connection.execute("PRAGMA journal_mode = WAL").fetchone()
            return
        except sqlite3.OperationalError as error:
            if not getattr(error, "sqlite_errorname", "").startswith("SQLITE_BUSY") or time.monotonic() > end:
                raise
            time.sleep(0.005)
