"""Rows in the memory of this process alone: the same tables, one connection for all threads, one thread at a time.

Nothing outlives the process. Never writes a side file.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from torshi._store.backend import Change, Row, Side, Version
from torshi._store.link import Link
from torshi._store.sqlite import SQLite
from torshi._store.sqlite_file import connect, create_tables

__all__ = ["Memory"]


class Memory(SQLite):
    """Rows in memory."""

    def __init__(self, *, tracks_use: bool = False) -> None:
        # A transaction holds it to its end; whoever comes meanwhile waits.
        self._turn = threading.RLock()
        self._shared: Link | None = None
        super().__init__(":memory:", tracks_use=tracks_use)
        self.sides = None

    def _prepare(self) -> bytes:
        link = self._link()
        if self._uses is not None:
            link.execute("CREATE INDEX rows_by_use ON rows (used, key, size)").close()
        return self._identity

    def _link(self) -> Link:
        link = self._shared
        if link is None or self._is_closed:
            link = self._shared = self._connected()
        # A child has a copy of the parent's memory, which is as good as the parent's.
        return link

    def _connection(self) -> sqlite3.Connection:
        connection = connect(self.where, self._timeout, self._durable)
        self._identity = create_tables(connection)
        return connection

    def value(self, key: bytes) -> bytes | None:
        row = self.get(key)
        return None if row is None else row.value

    def get(self, key: bytes) -> Row | None:
        with self._turn:
            return super().get(key)

    def _page(self, statement: str, before: tuple[Any, ...], lower: bytes, upper: bytes, size: int) -> list[Any]:
        with self._turn:
            return super()._page(statement, before, lower, upper, size)

    def count(self, prefix: bytes) -> int:
        with self._turn:
            return super().count(prefix)

    def put(
        self,
        key: bytes,
        value: bytes,
        name: str = "",
        expires: float | None = None,
        tags: Sequence[str] = (),
        side: Side | None = None,
    ) -> None:
        with self._turn:
            super().put(key, value, name, expires, tags, side)

    def put_many(
        self, pages: Iterable[Iterable[tuple[bytes, bytes, str, float | None, Sequence[str], Side | None]]]
    ) -> None:
        with self._turn:
            super().put_many(pages)

    def _one(self, statement: str, *values: object) -> int:
        with self._turn:
            return super()._one(statement, *values)

    def apply(self, changes: Sequence[Change]) -> bool:
        with self._turn:
            return super().apply(changes)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[SQLite]:
        with self._turn, super().transaction() as view:
            yield view

    def _flush_uses(self) -> None:
        with self._turn:
            super()._flush_uses()

    def usage(self) -> tuple[int, int]:
        with self._turn:
            return super().usage()

    def least_used(self, prefix: bytes, count: int) -> list[tuple[bytes, Version]]:
        with self._turn:
            return super().least_used(prefix, count)

    def check(self) -> list[str]:
        with self._turn:
            return super().check()

    def compact(self) -> int:
        with self._turn:
            return super().compact()

    def close(self) -> None:
        with self._turn:
            super().close()
