"""What a store needs of a place that keeps bytes by key: rows read, rows scanned, changes made all or none.

The contract of a backend. It sees encoded keys and sealed values and understands neither: order, sealing, objects and
the layout of keys are the store's. A backend never loads a value, and a change that it has answered for is never lost
by a process that dies.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol, TypeAlias, runtime_checkable

__all__ = [
    "ABSENT",
    "ANY",
    "Backend",
    "Change",
    "Check",
    "Delete",
    "Expectation",
    "Put",
    "Row",
    "Side",
    "Stat",
    "Version",
]

Version: TypeAlias = int | str | bytes
"""What a row's value is told from an earlier or later one by: compared for equality, and otherwise opaque."""


class _Token:
    """A value that is only itself."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name


ANY: Final = _Token("ANY")
"""Expected of a row: nothing."""
ABSENT: Final = _Token("ABSENT")
"""Expected of a row: that there is none. One that has expired is none."""

Expectation: TypeAlias = Version | _Token


class Row(NamedTuple):
    """A row that is there.

    Attributes:
        key: as the store encoded it.
        value: as the store sealed it.
        version: of this value; another put gives another one, even of the same bytes.
        expires: when it is no longer there, in seconds since 1970; None for never.
    """

    key: bytes
    value: bytes
    version: Version
    expires: float | None = None


@dataclass(frozen=True, slots=True)
class Stat:
    """What is known of a row without its value: plain columns, which no seal covers.

    Attributes:
        key: as the store encoded it.
        size: bytes of the value.
        written: when it was put, in seconds since 1970.
        used: when it was last read or put, as far as the backend keeps that.
        expires: when it is no longer there; None for never.
        tags: what it can be evicted by.
        version: of the value that all this is of, as a `Row` has it; None where it is not known, and a change that is
            made for what stands here may be one of another value.
    """

    key: bytes
    size: int
    written: float
    used: float
    expires: float | None
    tags: tuple[str, ...]
    version: Version | None = None


class Side(NamedTuple):
    """A file beside the store that a row's value names.

    Attributes:
        name: below the folder of such files.
        size: its bytes.
    """

    name: str
    size: int


@dataclass(frozen=True, slots=True)
class Put:
    """Writes a row, if what is expected of the one there holds.

    Attributes:
        key: up to 1,024 bytes.
        value: the sealed value.
        name: the key as a person would write it, for whoever browses the backend with other tools.
        expires: in seconds since 1970; one that is past deletes.
        tags: what it can be evicted by.
        expect: the version that the row must have, `ABSENT` or `ANY`.
        side: the side file that the value names; never for a backend that has no `sides`.
    """

    key: bytes
    value: bytes
    name: str = ""
    expires: float | None = None
    tags: tuple[str, ...] = ()
    expect: Expectation = field(default=ANY)
    side: Side | None = None


@dataclass(frozen=True, slots=True)
class Delete:
    """Removes a row, if what is expected of it holds; one that is not there is no failure unless one was expected."""

    key: bytes
    expect: Expectation = field(default=ANY)


@dataclass(frozen=True, slots=True)
class Check:
    """Changes nothing, and holds if what is expected does."""

    key: bytes
    expect: Expectation


Change: TypeAlias = Put | Delete | Check


@runtime_checkable
class Backend(Protocol):
    """A place that keeps rows, for any number of threads and processes at the same time.

    A backend whose transactions lock has an attribute ``locks = True``: the store then changes a value in one, and
    elsewhere by comparing versions until nobody was faster. Blocks of a store within one another are one
    transaction of the backend: the view's `transaction` is not called.

    Errors of the place itself are raised as `StoreError` (of `_errors`, a subclass of ``OSError`` too), with the name
    of the place and the way out: the store stays usable after each.
    """

    where: str
    """How a person names it: a path or a URL, without secrets."""

    store_id: bytes
    """Sixteen random bytes, made with the store and kept in it: what seals bind values to."""

    def get(self, key: bytes) -> Row | None:
        """The row, or None: not there, or expired."""

    def get_many(self, keys: Sequence[bytes]) -> list[Row | None]:
        """One for each key, in order, in as few trips as the backend can."""

    def scan(self, prefix: bytes, *, after: bytes | None = None, reverse: bool = False) -> Iterator[Row]:
        """Rows whose keys begin with `prefix`, by the order of their keys' bytes, from behind `after`.

        Read in pages: rows put or deleted meanwhile may or may not be seen, and none is seen twice. No lock is held
        between two rows.
        """

    def stats(self, prefix: bytes, *, after: bytes | None = None, tag: str | None = None) -> Iterator[Stat]:
        """The same without values, and if asked only those with a tag."""

    def apply(self, changes: Sequence[Change]) -> bool:
        """Makes all changes or none; False if an expectation did not hold, and then none was made.

        When it has returned True they survive the death of this process at any moment.
        """

    def transaction(self) -> AbstractContextManager[Backend]:
        """A view in which what is read stays as it is, and changes are made all or none when the block ends.

        The view is for this thread. An exception in the block undoes all, and is raised. Backends that lock do so at
        once (`SQLite`: ``BEGIN IMMEDIATE``); those that cannot make the block wait for other transactions, and raise
        `ConflictError` at its end if a row that was read has changed, having changed nothing.
        """

    def usage(self) -> tuple[int, int]:
        """How many rows there are, and how many bytes their values have together."""

    def least_used(self, prefix: bytes, count: int) -> list[tuple[bytes, Version]]:
        """Keys and versions of the `count` rows not read or put for the longest time, the first to evict first.

        Rows that are put meanwhile may be missing.
        """

    def sweep(self) -> int:
        """Removes expired rows; how many."""

    def check(self) -> list[str]:
        """What is wrong with the place itself, a line each; never changes anything."""

    def repair(self) -> list[str]:
        """Mends what can be mended without losing a row that can be read; what was done, a line each."""

    def compact(self) -> int:
        """Gives unused space back; bytes."""

    def close(self) -> None:
        """Gives back connections; the rows stay. May be called again."""
