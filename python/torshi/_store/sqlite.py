"""Rows in one SQLite file, for any number of threads and processes: the backend of a store that needs no server.

Keys and sealed values in, rows out. Each thread of each process has a connection of its own; one that a fork brought
along is never used nor closed. A write is one statement, or one transaction that takes the lock as it begins, so that
nobody who has read is refused when it writes. Never loads a value.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, TypeAlias, TypeVar

from torshi._errors import StoreError
from torshi._store.backend import ABSENT, ANY, Change, Check, Put, Row, Side, Stat, Version
from torshi._store.link import EPOCH, EVERY_FILE, FORBIDDEN, GATE, Link
from torshi._store.sides import SideFiles
from torshi._store.sqlite_file import DURABILITY, connect, prepare, store_error

__all__ = ["SQLite"]

_COLUMNS = "(key, name, version, size, written, used, expires, tags, side, value)"
_INSERT = f"INSERT INTO rows {_COLUMNS} VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_REPLACE = (
    "DO UPDATE SET name = excluded.name, version = excluded.version, size = excluded.size, written = excluded.written, "
    "used = excluded.used, expires = excluded.expires, tags = excluded.tags, side = excluded.side, "
    "value = excluded.value"
)
_PUT = f"{_INSERT} ON CONFLICT (key) {_REPLACE}"
_ADD = f"{_PUT} WHERE rows.expires <= ?"
_SWAP = (
    "UPDATE rows SET key = ?, name = ?, version = ?, size = ?, written = ?, used = ?, expires = ?, tags = ?, side = ?, "
    "value = ? WHERE key = ? AND version = ? AND (expires IS NULL OR expires > ?)"
)
# Over a row that has neither expiry, tags nor side file by one of the same kind, which most are: nothing else of the
# row changes, so that no index and no watch has to be looked at. A name follows from its key.
_OVER = (
    "UPDATE rows SET version = ?, size = ?, written = ?, used = ?, value = ? "
    "WHERE key = ? AND expires IS NULL AND tags = '' AND side IS NULL"
)
_VALUE = "SELECT value, expires FROM rows WHERE key = ?"
_GET = "SELECT key, value, version, expires FROM rows WHERE key = ?"
_LIVE = "(expires IS NULL OR expires > ?)"
_SCAN = f"SELECT key, value, version, expires FROM rows WHERE key >= ? AND key < ? AND {_LIVE} ORDER BY key LIMIT ?"
_SCAN_BACK = _SCAN.replace("ORDER BY key", "ORDER BY key DESC")
_KEYS = _SCAN.replace("key, value, version, expires", "key")
_KEYS_BACK = _SCAN_BACK.replace("key, value, version, expires", "key")
_STATS = _SCAN.replace("key, value, version, expires", "key, size, written, used, expires, tags, version")
_TAGGED = _STATS.replace("WHERE", "WHERE tags <> '' AND instr(tags, ?) AND")

# Rows of a page: few at first, since some callers want one.
_FIRST_PAGE: Final = 16
_PAGE: Final = 1024
# Times of use that are kept in memory, and for how long.
_USES: Final = 512
_USES_SECONDS: Final = 5.0
# Seconds that SQLite itself waits for others who write, before it is asked anew.
_TURN: Final = 0.05

_T = TypeVar("_T")
_Values: TypeAlias = tuple[bytes, str, int, int, float, float, float | None, str, str | None, bytes]


# Of tables of the file itself; that they are temporary keeps them from whoever opens the file otherwise.
_WATCHES = (
    (
        "CREATE TEMP TRIGGER side_replaced AFTER UPDATE OF side ON main.rows "
        "WHEN old.side IS NOT NULL AND old.side IS NOT new.side BEGIN SELECT torshi_gone(old.side); END"
    ),
    (
        "CREATE TEMP TRIGGER side_deleted AFTER DELETE ON main.rows "
        "WHEN old.side IS NOT NULL BEGIN SELECT torshi_gone(old.side); END"
    ),
)


def behind(prefix: bytes) -> bytes:
    """The first bytes, in order, behind all that begin with a prefix."""
    trimmed = prefix.rstrip(b"\xff")
    return trimmed[:-1] + bytes([trimmed[-1] + 1])


def joined(tags: Sequence[str]) -> str:
    """Tags as the column has them: a line each, so that one can be looked for as it is."""
    return "\n" + "\n".join(tags) + "\n" if tags else ""


class SQLite:
    """Rows in a file, or in memory for this process alone.

    Args:
        path: the file; made if there is none.
        timeout: seconds to wait for others who write.
        durable: what a committed row survives: ``"process"``, or ``"power"`` too, which waits for the disk.
        tracks_use: whether the time of a row's last use is kept.

    Raises:
        StoreError: it is no store, or cannot be opened.
        ValueError: there is no such durability.
    """

    locks: Final = True
    # The file whose log is watched: none, if nobody else can write.
    _watched: str | None = None

    def __init__(self, path: str, *, timeout: float = 60.0, durable: str = "process", tracks_use: bool = False) -> None:
        if durable not in DURABILITY:
            raise ValueError(f"durable is one of {', '.join(map(repr, DURABILITY))}, not {durable!r}")
        self.where = path
        self._timeout = timeout
        self._durable = durable
        self._local = threading.local()
        self._links: weakref.WeakSet[Link] = weakref.WeakSet()
        self._guard = threading.Lock()
        self._is_closed = False
        self._versions = itertools.count(int.from_bytes(os.urandom(7), "big"))
        self._uses: dict[bytes, float] | None = {} if tracks_use else None
        self._used_since = time.monotonic()
        self._watched = path if path != ":memory:" else None
        self.sides: SideFiles | None = SideFiles(path + ".d")
        self.store_id = self._prepare()

    def _prepare(self) -> bytes:
        self._demand_untangled()
        with GATE:
            identity = prepare(self.where, self._timeout)
        if self._uses is not None:
            self._ask("CREATE INDEX IF NOT EXISTS rows_by_use ON rows (used, key, size)")
        return identity

    # Connections

    def _link(self) -> Link:
        try:
            link: Link = self._local.link
        except AttributeError:
            return self._connected()
        if link.epoch != EPOCH[0]:
            return self._after_fork(link)
        if link.snapshot:
            with self._reported():
                link.leave()  # whoever wants the connection itself may write
        link.reads = 0
        return link

    def _after_fork(self, link: Link) -> Link:
        """A link in the place of one that was closed for a fork, or is a parent's."""
        if link.pid != os.getpid():
            # Others of the parent's threads may have held the lock when it forked, and they are not here.
            self._guard = threading.Lock()
            self._links = weakref.WeakSet()
            self._versions = itertools.count(int.from_bytes(os.urandom(7), "big"))
        del self._local.link
        return self._connected()

    def _connected(self) -> Link:
        if self._is_closed:
            raise StoreError(f"store {self.where}: it is closed")
        self._demand_untangled()
        with GATE:
            try:
                connection = self._connection()
            except sqlite3.Error as error:
                raise store_error(self.where, error) from error
            link = Link(connection, self._watched)
            connection.create_function("torshi_gone", 1, link.gone.append)
            for watch in _WATCHES:
                connection.execute(watch).close()
        self._local.link = link
        with self._guard:
            self._links.add(link)
        return link

    def _demand_untangled(self) -> None:
        """Raises in a child whose parent was in the middle of using this file, or SQLite, when it forked."""
        if FORBIDDEN and (EVERY_FILE in FORBIDDEN or os.path.realpath(self.where) in FORBIDDEN):
            raise StoreError(
                f"store {self.where}: this process was forked in the middle of a transaction, or while another thread "
                "was using the store: start processes before, or with the methods spawn or forkserver"
            )

    def _connection(self) -> sqlite3.Connection:
        return connect(self.where, min(self._timeout, _TURN), self._durable)

    @contextlib.contextmanager
    def _reported(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise store_error(self.where, error) from error

    def _failed(self, link: Link, error: sqlite3.Error) -> StoreError:
        """The error as callers see it, after what a statement by itself has left is put away."""
        if not link.is_open:
            self._settle(link, committed=False)
        return store_error(self.where, error)

    def _again(self, link: Link, error: sqlite3.Error, action: Callable[[], _T]) -> _T:
        """What comes of doing something once more, and again, as long as others are writing.

        SQLite looks for its turn at first after a millisecond, and then ever more seldom, so that whoever has waited
        for long would wait for longest. From here it begins anew each time.

        Raises:
            StoreError: it is another error, or others have been writing for too long.
        """
        end = time.monotonic() + self._timeout
        while _is_busy(error) and not link.is_open and time.monotonic() < end:
            try:
                return action()
            except sqlite3.Error as again:
                error = again
        raise self._failed(link, error) from error

    def _ask(self, statement: str, *values: object) -> list[Any]:
        """All rows of a statement.

        Raises:
            StoreError: it cannot be run.
        """
        link = self._link()
        try:
            return link.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            return self._again(link, error, lambda: link.execute(statement, values).fetchall())

    def _settle(self, link: Link, *, committed: bool) -> None:
        """After a change: of the side files that no row names now, none is left."""
        superseded = link.gone if committed else link.made
        if superseded and self.sides is not None:
            for name in superseded:
                self.sides.remove(name)
        link.gone.clear()
        link.made.clear()
        if link.locked is not None:
            os.close(link.locked)
            link.locked = None

    def new_side(self, writer: Callable[[int], object]) -> Side:
        """A side file, for the row that this thread puts next.

        Raises:
            StoreError: it cannot be written.
        """
        link = self._link()
        assert self.sides is not None
        try:
            if link.locked is None:
                link.locked = self.sides.lock()
            side = self.sides.write(writer)
        except OSError as error:
            if not link.is_open:
                self._settle(link, committed=False)
            raise StoreError(f"store {self.where}: a side file cannot be written: {error.strerror or error}") from error
        except BaseException:
            if not link.is_open:
                self._settle(link, committed=False)
            raise
        link.made.append(side.name)
        return side

    def drop_sides(self) -> None:
        """Removes the side files of rows that this thread did not put after all."""
        link = self._link()
        if not link.is_open:
            self._settle(link, committed=False)

    # Reading

    def value(self, key: bytes) -> bytes | None:
        """The value of a row, for whoever needs nothing else of it."""
        try:
            link: Link = self._local.link
            if link.epoch != EPOCH[0]:
                link = self._after_fork(link)
        except AttributeError:
            link = self._connected()
        try:
            row = link.read(_VALUE, key)
        except sqlite3.Error as error:
            row = self._again(link, error, lambda: link.read(_VALUE, key))
        if row is None:
            return None
        value, expires = row
        if expires is not None and expires <= time.time():  # type: ignore[operator]
            return None
        if self._uses is not None:
            self._use(key)
        return value  # type: ignore[return-value]

    def get(self, key: bytes) -> Row | None:
        link = self._link()
        try:
            found = link.run(_GET, (key,)).fetchone()
        except sqlite3.Error as error:
            found = self._again(link, error, lambda: link.run(_GET, (key,)).fetchone())
        if found is None or (found[3] is not None and found[3] <= time.time()):
            return None
        if self._uses is not None:
            self._use(key)
        return Row._make(found)

    def get_many(self, keys: Sequence[bytes]) -> list[Row | None]:
        return [self.get(key) for key in keys]

    def _page(self, statement: str, before: tuple[Any, ...], lower: bytes, upper: bytes, size: int) -> list[Any]:
        return self._ask(statement, *before, lower, upper, time.time(), size)

    def _pages(
        self,
        statements: tuple[str, str],
        prefix: bytes,
        after: bytes | None,
        reverse: bool,
        before: tuple[Any, ...] = (),
    ) -> Iterator[Any]:
        """Rows of a statement, in order; the key stands first in each."""
        lower, upper, size = prefix, behind(prefix), _FIRST_PAGE
        if after is not None and reverse:
            upper = min(upper, after)
        elif after is not None:
            lower = max(lower, after + b"\0")
        while page := self._page(statements[reverse], before, lower, upper, size):
            yield from page
            if len(page) < size:
                return
            if reverse:
                upper = page[-1][0]
            else:
                lower = page[-1][0] + b"\0"
            size = _PAGE

    def scan(self, prefix: bytes, *, after: bytes | None = None, reverse: bool = False) -> Iterator[Row]:
        return map(Row._make, self._pages((_SCAN, _SCAN_BACK), prefix, after, reverse))

    def keys(self, prefix: bytes, *, reverse: bool = False) -> Iterator[bytes]:
        """The keys of `scan` alone."""
        return (row[0] for row in self._pages((_KEYS, _KEYS_BACK), prefix, None, reverse))

    def stats(self, prefix: bytes, *, after: bytes | None = None, tag: str | None = None) -> Iterator[Stat]:
        self._flush_uses()
        statement, before = (_STATS, ()) if tag is None else (_TAGGED, (f"\n{tag}\n",))
        for key, size, written, used, expires, tags, version in self._pages(
            (statement, statement), prefix, after, False, before
        ):
            yield Stat(key, size, written, used, expires, tuple(tags.split("\n")[1:-1]), version)

    def count(self, prefix: bytes) -> int:
        """How many rows there are below a prefix."""
        bounds = (prefix, behind(prefix))
        ((count,),) = self._ask("SELECT COUNT(*) FROM rows WHERE key >= ? AND key < ?", *bounds)
        expired = "SELECT COUNT(*) FROM rows WHERE expires <= ? AND key >= ? AND key < ?"
        ((less,),) = self._ask(expired, time.time(), *bounds)
        return int(count) - int(less)

    # Writing

    def _values(
        self, key: bytes, value: bytes, name: str, expires: float | None, tags: Sequence[str], side: Side | None
    ) -> _Values:
        now, marks = time.time(), joined(tags) if tags else ""
        size, file = (len(value), None) if side is None else (len(value) + side.size, side.name)
        return key, name, next(self._versions), size, now, now, expires, marks, file, value

    def put(
        self,
        key: bytes,
        value: bytes,
        name: str = "",
        expires: float | None = None,
        tags: Sequence[str] = (),
        side: Side | None = None,
    ) -> None:
        """What `apply` does with one `Put` of which nothing is expected."""
        link = self._link()
        now = time.time()
        try:
            is_plain = link.is_over and expires is None and side is None and not tags
            if is_plain and link.run(_OVER, (next(self._versions), len(value), now, now, value, key)).rowcount:
                return
            size, file = (len(value), None) if side is None else (len(value) + side.size, side.name)
            marks = joined(tags) if tags else ""
            made = link.run(_PUT, (key, name, next(self._versions), size, now, now, expires, marks, file, value))
            # Who has put over a row is likely to do so again. A row that was put anew has another number.
            link.is_over = made.lastrowid == link.latest
            link.latest = made.lastrowid
        except sqlite3.Error as error:
            self._again(link, error, lambda: link.run(_PUT, self._values(key, value, name, expires, tags, side)))
        if not link.is_open and (link.gone or link.made):
            self._settle(link, committed=True)

    def remove(self, key: bytes) -> bool:
        """Deletes a row; whether it was there."""
        return self._one(f"DELETE FROM rows WHERE key = ? AND {_LIVE}", key, time.time()) > 0

    def touch(self, key: bytes, expires: float | None) -> bool:
        """Changes when a row expires, and nothing else of it; whether it was there."""
        statement = f"UPDATE rows SET expires = ?, version = ? WHERE key = ? AND {_LIVE}"
        return self._one(statement, expires, next(self._versions), key, time.time()) > 0

    def clear(self, prefix: bytes) -> int:
        """Deletes all rows below a prefix; how many."""
        return self._one("DELETE FROM rows WHERE key >= ? AND key < ?", prefix, behind(prefix))

    def _one(self, statement: str, *values: object) -> int:
        """Runs one statement; how many rows it has changed."""
        link = self._link()
        try:
            count = link.run(statement, values).rowcount
        except sqlite3.Error as error:
            count = self._again(link, error, lambda: link.run(statement, values).rowcount)
        if not link.is_open and link.gone:
            self._settle(link, committed=True)
        return count

    def put_many(
        self, pages: Iterable[Iterable[tuple[bytes, bytes, str, float | None, Sequence[str], Side | None]]]
    ) -> None:
        """Puts all rows of all pages in one transaction, with the arguments of `put`."""
        with self.transaction():
            link = self._link()
            for page in pages:
                values = self._values
                with self._reported():
                    link.connection.executemany(_PUT, [values(*row) for row in page])

    def apply(self, changes: Sequence[Change]) -> bool:
        link = self._link()
        if len(changes) == 1 and not link.is_open:
            try:
                done = self._change(link, changes[0])
            except sqlite3.Error as error:
                done = self._again(link, error, lambda: self._change(link, changes[0]))
            if link.gone or link.made:
                self._settle(link, committed=done)
            return done
        if not link.is_open:
            with contextlib.suppress(_UnmetError), self.transaction():
                if not all(self._change(link, change) for change in changes):
                    raise _UnmetError
                return True
            return False
        return self._apply_within(link, changes)

    def _apply_within(self, link: Link, changes: Sequence[Change]) -> bool:
        """Changes in a transaction that goes on, whether they are made or not."""
        gone = len(link.gone)
        with self._reported():
            link.run("SAVEPOINT changes")
            try:
                done = all(self._change(link, change) for change in changes)
            except BaseException:
                if link.connection.in_transaction:
                    link.run("ROLLBACK TO changes")
                    link.run("RELEASE changes")
                raise
            if not done:
                link.run("ROLLBACK TO changes")
                del link.gone[gone:]
                for change in changes:
                    if isinstance(change, Put) and change.side is not None and self.sides is not None:
                        self.sides.remove(change.side.name)
            link.run("RELEASE changes")
        return done

    def _change(self, link: Link, change: Change) -> bool:
        """Makes one change; False if what it expects does not hold, and then it has changed nothing."""
        expect, now = change.expect, time.time()
        if isinstance(change, Check):
            return self._holds(link, change.key, expect, now)
        if isinstance(change, Put) and (change.expires is None or change.expires > now):
            values = self._values(change.key, change.value, change.name, change.expires, change.tags, change.side)
            if expect is ANY:
                link.run(_PUT, values)
                return True
            if expect is ABSENT:
                return link.run(_ADD, (*values, now)).rowcount > 0
            return link.run(_SWAP, (*values, change.key, expect, now)).rowcount > 0
        if expect is ANY:
            link.run("DELETE FROM rows WHERE key = ?", (change.key,))
            return True
        if expect is ABSENT:
            return self._holds(link, change.key, expect, now)
        delete = f"DELETE FROM rows WHERE key = ? AND version = ? AND {_LIVE}"
        return link.run(delete, (change.key, expect, now)).rowcount > 0

    def _holds(self, link: Link, key: bytes, expect: object, now: float) -> bool:
        if expect is ANY:
            return True
        found = link.run(f"SELECT version FROM rows WHERE key = ? AND {_LIVE}", (key, now)).fetchone()
        return found is None if expect is ABSENT else found is not None and found[0] == expect

    @contextlib.contextmanager
    def transaction(self) -> Iterator[SQLite]:
        link = self._link()
        if link.is_open:
            raise StoreError(f"store {self.where}: a transaction of this thread is open already")
        try:
            link.run("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            self._again(link, error, lambda: link.run("BEGIN IMMEDIATE"))
        link.is_open = True
        committed = False
        try:
            yield self
            if link.pid == os.getpid():
                with self._reported():
                    link.run("COMMIT")
                committed = True
        finally:
            if link.pid == os.getpid():  # else this is a child of who began it, and it is the parent's
                if link.connection.in_transaction:
                    with contextlib.suppress(sqlite3.Error):
                        link.run("ROLLBACK")
                link.is_open = False
                self._settle(link, committed=committed)

    # Upkeep

    def _use(self, key: bytes) -> None:
        assert self._uses is not None
        self._uses[key] = time.time()
        if len(self._uses) >= _USES or time.monotonic() - self._used_since > _USES_SECONDS:
            self._flush_uses()

    def _flush_uses(self) -> None:
        """Writes the times of use that are in memory; those of a busy file are not worth an error."""
        if not self._uses:
            return
        uses, self._uses, self._used_since = self._uses, {}, time.monotonic()
        link = self._link()
        update = "UPDATE rows SET used = ? WHERE key = ?"
        with contextlib.suppress(sqlite3.Error, StoreError):
            times = [(used, key) for key, used in uses.items()]
            if link.is_open:
                link.connection.executemany(update, times)
                return
            with self.transaction():
                link.connection.executemany(update, times)

    def usage(self) -> tuple[int, int]:
        ((count, size),) = self._ask("SELECT COUNT(*), TOTAL(size) FROM rows")
        return count, int(size)

    def least_used(self, prefix: bytes, count: int) -> list[tuple[bytes, Version]]:
        self._flush_uses()
        statement = "SELECT key, version FROM rows WHERE key >= ? AND key < ? ORDER BY used LIMIT ?"
        return self._ask(statement, prefix, behind(prefix), count)

    def sweep(self) -> int:
        swept = 0
        some = "DELETE FROM rows WHERE id IN (SELECT id FROM rows WHERE expires <= ? LIMIT 1000)"
        while True:
            count = self._one(some, time.time())
            swept += count
            if count < 1000:
                return swept

    def check(self) -> list[str]:
        try:
            lines = self._ask("PRAGMA integrity_check")
        except StoreError as error:
            return [str(error)]
        return [line for (line,) in lines if line != "ok"]

    def repair(self) -> list[str]:
        if not self.check():
            return []
        self._ask("REINDEX")
        rest = self.check()
        return ["indexes were made anew", *(f"not mended: {line}" for line in rest)]

    def side_of(self, key: bytes) -> Side | None:
        """The side file of a row."""
        rows = self._ask("SELECT side, size - length(value) FROM rows WHERE key = ? AND side IS NOT NULL", key)
        return Side(*rows[0]) if rows else None

    def side_names(self) -> set[str]:
        """The side files that rows name."""
        return {name for (name,) in self._ask("SELECT side FROM rows WHERE side IS NOT NULL")}

    def compact(self) -> int:
        self.sweep()
        before = self._size()
        freed = self.sides.collect(self.side_names)[1] if self.sides is not None else 0
        self._ask("VACUUM")
        self._ask("PRAGMA wal_checkpoint(TRUNCATE)")
        return max(0, before - self._size()) + freed

    def _size(self) -> int:
        """Bytes of the file and its log."""
        size = 0
        for path in (self.where, self.where + "-wal"):
            with contextlib.suppress(OSError):
                size += os.stat(path).st_size
        return size

    def close(self) -> None:
        if self._is_closed:
            return
        with contextlib.suppress(StoreError):
            self._flush_uses()
        self._is_closed = True
        with self._guard:
            links = list(self._links)
            self._links.clear()
        for link in links:
            link.close()
        self._local = threading.local()


def _is_busy(error: sqlite3.Error) -> bool:
    return (getattr(error, "sqlite_errorname", None) or "").startswith("SQLITE_BUSY")


class _UnmetError(Exception):
    """What was expected of a row does not hold: undoes a transaction, and is told to nobody."""
