"""The short workloads: what people pickle, a few megabytes at most, the hard cases among them.

Makes values and measures nothing. No workload is here because torshi is good at it, and none is left out
because it is not. The long ones are in `large.py`; `suites.py` picks from both.
"""

from __future__ import annotations

import datetime
import decimal
import random
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np


@dataclass
class Point:
    x: int
    y: int
    label: str


class Pair(NamedTuple):
    left: int
    right: str


class Plain:
    def __init__(self, number: int) -> None:
        self.number = number
        self.name = f"object {number}"
        self.parts = [number, number + 1]


@dataclass
class Workload:
    """A value and how it is measured.

    Attributes:
        name: how tables call it.
        make: makes the value, the same one each time.
        trust: what a load of it must trust beside the default policy.
        times: how often it is pickled for one measurement.
        each: the value is a list of messages, pickled one by one.
        fresh: made anew before each measurement: C pickle leaves the UTF-8 of texts in them, for the next one to find.
        schema: its type, for peers that want one.
    """

    name: str
    make: Callable[[], Any]
    trust: list[Any] | None = None
    times: int = 1
    each: bool = False
    fresh: bool = False
    schema: Any = None


def documents(count: int) -> list[dict[str, Any]]:
    return [
        {
            "id": i,
            "name": f"user {i}",
            "tags": ["a", "b"],
            "score": i / 7,
            "active": i % 3 == 0,
            "address": {"zip": str(i % 99), "street": None},
        }
        for i in range(count)
    ]


def message() -> dict[str, Any]:
    return {"id": 17, "method": "add", "params": [1, 2.5, "three"], "ok": True, "error": None}


def moments(count: int) -> list[datetime.datetime]:
    start = datetime.datetime(2024, 1, 1)
    return [start + datetime.timedelta(seconds=i) for i in range(count)]


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def shared(count: int) -> list[list[str]]:
    words = [[f"word {i}"] for i in range(100)]
    return [words[i % 100] for i in range(count)]


def workloads() -> Iterator[Workload]:
    """The suite, in the order it is shown."""
    source = random.Random(0)
    yield Workload("small message", message, times=5_000)
    yield Workload("small object", lambda: Point(1, 2, "p"), [Point], times=5_000)
    yield Workload("small array", lambda: np.arange(10), times=5_000)
    yield Workload("documents", lambda: documents(10_000))
    yield Workload("small ints", lambda: list(range(256)) * 400)
    yield Workload("random ints", lambda: [source.randrange(-(2**40), 2**40) for _ in range(100_000)])
    yield Workload("big ints", lambda: [1 << (i % 200) for i in range(50_000)])
    yield Workload("floats", lambda: [i / 3 for i in range(100_000)])
    yield Workload("booleans", lambda: [True, False, None] * 30_000)
    yield Workload("strings", lambda: [f"text number {i}" for i in range(100_000)])
    yield Workload("strings, not ASCII", lambda: [f"größe {i} 木" for i in range(50_000)], fresh=True)
    yield Workload("bytes", lambda: [b"x" * (i % 64) for i in range(100_000)])
    yield Workload("one text of 4 MB", lambda: "some text " * 400_000)
    yield Workload("tuples", lambda: [(i, str(i), None) for i in range(50_000)])
    yield Workload("dict of numbers", lambda: {i: i * 1.5 for i in range(50_000)})
    yield Workload("sets", lambda: [{i, i + 1, i + 2} for i in range(20_000)])
    yield Workload("shared lists", lambda: shared(100_000))
    yield Workload("nested lists", lambda: [nested(100) for _ in range(500)])
    yield Workload("datetimes", lambda: moments(20_000))
    yield Workload("decimals", lambda: [decimal.Decimal(i) / 8 for i in range(10_000)])
    yield Workload("uuids", lambda: [uuid.UUID(int=i << 64 | i) for i in range(10_000)])
    yield Workload("dataclasses", lambda: [Point(i, -i, f"p{i}") for i in range(20_000)], [Point])
    yield Workload("plain objects", lambda: [Plain(i) for i in range(20_000)], [Plain])
    yield Workload("named tuples", lambda: [Pair(i, str(i)) for i in range(20_000)], [Pair])
    yield Workload("array of 8 MB", lambda: np.arange(1_000_000, dtype="f8"))
    yield Workload("small arrays", lambda: [np.arange(10) for _ in range(5_000)])
