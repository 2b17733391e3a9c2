"""Where cached functions of the tests keep results, in memory, in a file, far away; and functions that count."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torshi
from torshi._store.backend import Backend
from torshi._store.sqlite import SQLite

PLACES = [":memory:", "file", "far"]


class Far:
    """A backend that is a file, of which a store knows no more than of one on another machine."""

    def __init__(self, near: Backend) -> None:
        self._near = near
        self.where = near.where
        self.store_id = near.store_id
        self.locks = True

    def __getattr__(self, name: str) -> Any:
        if name in ("sides", "value", "new_side"):
            raise AttributeError(name)
        return getattr(self._near, name)

    def get(self, key: bytes) -> Any:
        return self._near.get(key)

    def get_many(self, keys: Any) -> Any:
        return self._near.get_many(keys)

    def scan(self, prefix: bytes, *, after: bytes | None = None, reverse: bool = False) -> Iterator[Any]:
        return self._near.scan(prefix, after=after, reverse=reverse)

    def stats(self, prefix: bytes, *, after: bytes | None = None, tag: str | None = None) -> Iterator[Any]:
        return self._near.stats(prefix, after=after, tag=tag)

    def apply(self, changes: Any) -> bool:
        return self._near.apply(changes)

    def transaction(self) -> AbstractContextManager[Backend]:
        return self._near.transaction()


def place(kind: str, folder: Path) -> Any:
    """What `store=` gets."""
    if kind == "file":
        return str(folder / "results.db")
    if kind == "far":
        return torshi.Store(Far(SQLite(str(folder / "far.db"))))  # type: ignore[arg-type]
    return kind


class Counting:
    """A function that counts its runs."""

    def __init__(self) -> None:
        self.runs: list[Any] = []

    def __call__(self, value: Any) -> Any:
        self.runs.append(value)
        return value


def fresh_memory(function: Any) -> None:
    """Leaves nothing of the function's results but what is in the store, as in another process."""
    function._core.memory.clear()
