"""Upkeep: what a store has, what is wrong with it, what can be done about that. Rows in, numbers, lines, copies out.

Builds no object, and deletes no row: what cannot be read is put aside.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final

from torshi._errors import (
    LimitError,
    MalformedError,
    PickleError,
    SealError,
    StoreError,
    UntrustedError,
    ValidationError,
)
from torshi._store.backend import ABSENT, ANY, Backend, Delete, Put, Row, Side
from torshi._store.envelope import Envelope, MissingSideError
from torshi._store.keys import DATA, LONGEST, QUEUE, Key, decode, lost_key, named
from torshi._store.sqlite import SQLite

__all__ = ["Problem", "StoreStat", "StoreStats", "check", "copy", "repair", "stats"]

# Rows that go into another store at once.
_PAGE: Final = 256


@dataclass(frozen=True)
class StoreStat:
    """What is known of a value without loading it. No seal covers it: others may have changed it.

    Attributes:
        key: where it is.
        size: bytes, those of a side file included.
        written: when it was put, in seconds since 1970.
        used: when it was last read or put, where there is a limit of size.
        expires: when it is no longer there; None for never.
        tags: what it can be evicted by.
    """

    key: Key
    size: int
    written: float
    used: float
    expires: float | None
    tags: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class StoreStats:
    """What a store has.

    Attributes:
        where: its place.
        id: what its seals are bound to.
        sealed: whether its rows are sealed.
        values: how many values.
        messages: how many messages in queues.
        lost: how many rows that `repair` put aside.
        bytes: of all rows, side files included.
        side_files: how many.
        unnamed: side files that no row names, which `compact` removes.
    """

    where: str
    id: str
    sealed: bool
    values: int
    messages: int
    lost: int
    bytes: int
    side_files: int
    unnamed: int

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Problem:
    """Something that is wrong with a store.

    Attributes:
        name: the row, as a person reads its key; empty for the place itself.
        kind: ``seal``, ``damaged``, ``missing`` (a side file), ``untrusted``, ``limit``, ``key`` or ``place``.
        text: what is wrong.
    """

    name: str
    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.name}: {self.text}" if self.name else self.text

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return asdict(self)


for _class in (StoreStat, StoreStats, Problem):
    _class.__module__ = "torshi"

# Which error is which kind of problem; the first that fits. Rows of the first four cannot be read by anybody.
_KINDS: Final[tuple[tuple[type[Exception], str], ...]] = (
    (SealError, "seal"),
    (MissingSideError, "missing"),
    (UntrustedError, "untrusted"),
    (LimitError, "limit"),
    (MalformedError, "damaged"),
    (ValidationError, "damaged"),
    (PickleError, "damaged"),
    (OSError, "place"),
    (Exception, "damaged"),
)
_UNREADABLE: Final = frozenset({"seal", "missing", "damaged", "key"})


def stats(backend: Backend, envelope: Envelope) -> StoreStats:
    """What a store has, as numbers."""
    count = backend.count if isinstance(backend, SQLite) else lambda space: sum(1 for _ in backend.stats(space))
    files, unnamed = 0, 0
    if isinstance(backend, SQLite) and backend.sides is not None:
        names = {name for name, _, _ in backend.sides.files()}
        files, unnamed = len(names), len(names - backend.side_names())
    return StoreStats(
        where=backend.where,
        id=backend.store_id.hex(),
        sealed=envelope.is_sealed,
        values=count(DATA),
        messages=count(QUEUE),
        lost=count(DATA.upper()) + count(QUEUE.upper()),
        bytes=backend.usage()[1],
        side_files=files,
        unnamed=unnamed,
    )


def _problem(envelope: Envelope, row: Row) -> Problem | None:
    name = named(row.key)
    try:
        decode(row.key)
    except ValueError as error:
        return Problem(name, "key", str(error))
    try:
        envelope.check(row.key, row.value)
    except Exception as error:  # whatever is wrong with one row, the others are looked at as well
        kind = next(kind for kinds, kind in _KINDS if isinstance(error, kinds))
        return Problem(name, kind, str(error))
    return None


def _problems(backend: Backend, envelope: Envelope) -> Iterator[tuple[Row, Problem | None]]:
    """All rows that hold values, each with what is wrong with it."""
    for space in (DATA, QUEUE):
        for row in backend.scan(space):
            problem = _problem(envelope, row)
            if problem is not None:
                # The row may have been replaced since it was read, and its side file with it.
                now = backend.get(row.key)
                if now is None:
                    continue
                if now.version != row.version:
                    row, problem = now, _problem(envelope, now)
            yield row, problem


def check(backend: Backend, envelope: Envelope) -> list[Problem]:
    """What is wrong with a store."""
    found = [Problem("", "place", line) for line in backend.check()]
    try:
        found += [problem for _, problem in _problems(backend, envelope) if problem is not None]
    except StoreError as error:
        found.append(Problem("", "place", str(error)))
    return found


def repair(backend: Backend, envelope: Envelope) -> list[str]:
    """Puts aside what cannot be read; what was done.

    Raises:
        SealError: nothing can be read with this key.
    """
    done = backend.repair()
    bad: list[tuple[Row, Problem]] = []
    right = 0
    for row, problem in _problems(backend, envelope):
        if problem is None or problem.kind != "seal":
            right += 1
        if problem is not None and problem.kind in _UNREADABLE:
            bad.append((row, problem))
    if bad and not right:
        raise SealError(
            f"no row of {backend.where} is sealed with the key here: open it with the one it was written with"
        )
    for row, problem in bad:
        if _put_aside(backend, row):
            done.append(f"put aside: {problem}")
    if isinstance(backend, SQLite) and backend.sides is not None:
        count, size = backend.sides.collect(backend.side_names)
        if count:
            done.append(f"removed {count} side files that no row names, {size:,} bytes")
    return done


def _put_aside(backend: Backend, row: Row) -> bool:
    """Moves a row to where nothing looks for it, with its side file; False if it has been replaced meanwhile."""
    stat = next((stat for stat in backend.stats(row.key) if stat.key == row.key), None)
    tags = stat.tags if stat is not None else ()
    place = lost_key(row.key)
    if backend.get(place) is not None:
        place = place[: LONGEST - 9] + b"\xff" + os.urandom(8)
    side = _side_column(backend, row)
    return backend.apply(
        [Put(place, row.value, named(row.key), None, tags, ABSENT, side), Delete(row.key, row.version)]
    )


def _side_column(backend: Backend, row: Row) -> Side | None:
    return backend.side_of(row.key) if isinstance(backend, SQLite) else None


def copy(source: Backend, reading: Envelope, target: Backend, writing: Envelope, prefix: bytes) -> int:
    """Copies rows, sealed for their new place; how many."""
    page: list[Put] = []
    count = 0
    for row in source.scan(prefix):
        body, names, beside, tagged = reading.unwrap(row.key, row.value)
        stat = next((stat for stat in source.stats(row.key) if stat.key == row.key), None) if tagged else None
        listed = names.decode().split("\n") if names else []
        side = None
        if beside and isinstance(target, SQLite) and target.sides is not None:
            side = _copy_side(reading, row.key, body, target)
            body = reading.moved(row.key, row.value, body, side.name, writing)
        elif beside:
            body, beside = reading.stream(row.key, row.value)[0], False
        value = writing.wrap(row.key, body, listed, tagged=tagged, beside=beside)
        key = decode(row.key)
        tags = stat.tags if stat is not None else ()
        page.append(Put(row.key, value, key if isinstance(key, str) else repr(key), row.expires, tags, ANY, side))
        # A side file belongs to the row that is put next.
        if len(page) == _PAGE or side is not None:
            target.apply(page)
            count, page = count + len(page), []
    if page:
        target.apply(page)
    return count + len(page)


def _copy_side(reading: Envelope, key: bytes, body: bytes, target: SQLite) -> Side:
    """A side file in another store."""
    with reading.side_of(key, body) as stored:
        stored.verify(reading.is_sealed)
        path = reading.side_path(body)

        def write(descriptor: int) -> None:
            with open(path, "rb") as file:
                while piece := file.read(1 << 20):
                    view = memoryview(piece)
                    while view:
                        view = view[os.write(descriptor, view) :]

        return target.new_side(write)
