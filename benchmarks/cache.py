"""Hits of `torshi.cache`, in memory and from disk, beside `functools.lru_cache`, diskcache and joblib.

Each function has its results before anything is timed, and each run calls it for all keys in turn, in one process, the
caches in an order drawn anew for each round. What only keeps results on disk is left out of the hits in memory, and the
other way round. "control" is the first of the table once more: as far as its ratio is from 1, any figure is noise.

Examples:
  cache.py
  cache.py --rounds 30 --only "memory hit, one int;disk hit, one int"
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import importlib.util
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import machine
import torshi
from timing import interleaved, paired, shown

#: A function to cache and a folder into the cached function.
Maker = Callable[[Callable[..., Any], Path], Callable[..., Any]]


def lru(function: Callable[..., Any], folder: Path) -> Callable[..., Any]:
    return functools.lru_cache(None)(function)


def torshi_memory(function: Callable[..., Any], folder: Path) -> Callable[..., Any]:
    return torshi.cache(store=":memory:", max_bytes=None, max_entries=None)(function)


def torshi_both(function: Callable[..., Any], folder: Path) -> Callable[..., Any]:
    return torshi.cache(store=folder / "torshi.db", max_bytes=None)(function)


def torshi_disk(function: Callable[..., Any], folder: Path) -> Callable[..., Any]:
    return torshi.cache(store=folder / "torshi-disk.db", copy=True)(function)


def of_diskcache(function: Callable[..., Any], folder: Path) -> Callable[..., Any]:
    import diskcache

    made: Callable[..., Any] = diskcache.Cache(str(folder / "diskcache")).memoize(typed=True)(function)
    return made


def of_joblib(function: Callable[..., Any], folder: Path) -> Callable[..., Any]:
    import joblib

    made: Callable[..., Any] = joblib.Memory(str(folder / "joblib"), verbose=0).cache(function)
    return made


MEMORY: dict[str, Maker] = {
    "functools.lru_cache": lru,
    "torshi, memory alone": torshi_memory,
    "torshi, before a store": torshi_both,
    "control": lru,
}
DISK: dict[str, Maker] = {
    "diskcache.memoize": of_diskcache,
    "torshi": torshi_disk,
    "joblib.Memory": of_joblib,
    "control": of_diskcache,
}
#: What each needs, where that may be missing.
NEEDS = {of_diskcache: "diskcache", of_joblib: "joblib"}


def small(n: int, *_: Any, **__: Any) -> dict[str, Any]:
    return {"n": n, "name": f"item {n}", "tags": ["a", "b"]}


def sized(values: Any, *_: Any) -> int:
    return len(values)


def array_of(n: int) -> Any:
    import numpy as np

    return np.arange(n, n + 131_072, dtype=float)


@dataclass(frozen=True)
class Workload:
    """Calls of a function.

    Attributes:
        name: how tables call it.
        function: what is cached.
        calls: arguments by position and by name, made when they are needed.
        makers: the caches, the one that others are compared with first.
        needs: a package without which it cannot run.
    """

    name: str
    function: Callable[..., Any]
    calls: Callable[[], list[tuple[tuple[Any, ...], dict[str, Any]]]]
    makers: dict[str, Maker]
    needs: str = ""


def one_int() -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
    return [((n,), {}) for n in range(200)]


def mixed() -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
    return [((n, f"name {n}", 1.5), {"flag": True}) for n in range(200)]


def records() -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
    return [(([{"id": i, "name": f"n{i}"} for i in range(n, n + 20)],), {}) for n in range(50)]


def arrays() -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
    return [((array_of(n),), {}) for n in range(5)]


def unhashable(makers: dict[str, Maker]) -> dict[str, Maker]:
    """Those that take arguments which cannot be hashed."""
    return {name: maker for name, maker in makers.items() if maker is not lru}


WORKLOADS = [
    Workload("memory hit, one int", small, one_int, MEMORY),
    Workload("memory hit, int, str, float, a name", small, mixed, MEMORY),
    Workload("memory hit, 20 records", sized, records, unhashable(MEMORY)),
    Workload("disk hit, one int", small, one_int, DISK),
    Workload("disk hit, int, str, float, a name", small, mixed, DISK),
    Workload("disk hit, 1 MB array as argument", sized, arrays, unhashable(DISK), "numpy"),
    Workload("disk hit, 1 MB array as result", array_of, lambda: one_int()[:20], DISK, "numpy"),
]


def measured(workload: Workload, rounds: int, folder: Path) -> dict[str, Any]:
    """Times of a hit in each cache, in seconds, and what was left out."""
    calls = workload.calls()
    runs: dict[str, Callable[[Any], object]] = {}
    missing = []
    for place, (name, maker) in enumerate(workload.makers.items()):
        if maker in NEEDS and importlib.util.find_spec(NEEDS[maker]) is None:
            missing.append(name)
            continue
        own = folder / f"{place}"
        own.mkdir(parents=True)
        cached = maker(workload.function, own)
        for args, kwargs in calls:
            expected = workload.function(*args, **kwargs)
            for _ in range(2):
                found = cached(*args, **kwargs)
                same = found == expected
                if not (same if isinstance(same, bool) else same.all()):
                    raise SystemExit(f"{name} returned something else for {workload.name}")
        runs[name] = _run(cached, calls)
    times = interleaved(runs, rounds)
    per_call = {name: [time / len(calls) for time in found] for name, found in times.items()}
    return {"times": per_call, "missing": missing}


def _run(cached: Callable[..., Any], calls: list[tuple[tuple[Any, ...], dict[str, Any]]]) -> Callable[[Any], object]:
    def run(_: Any) -> None:
        for args, kwargs in calls:
            cached(*args, **kwargs)

    return run


def async_hit(rounds: int) -> dict[str, Any]:
    """A hit of a coroutine function, beside awaiting one that does nothing."""

    async def bare(n: int) -> int:
        return n

    cached = torshi.cache(store=":memory:")(bare)

    def awaited(function: Callable[[int], Any]) -> Callable[[Any], object]:
        async def run() -> None:
            for n in range(200):
                await function(n)

        return lambda _: asyncio.run(run())

    awaited(cached)(None)
    runs = {"a bare coroutine": awaited(bare), "torshi, memory alone": awaited(cached), "control": awaited(bare)}
    times = interleaved(runs, rounds)
    return {"times": {name: [time / 200 for time in found] for name, found in times.items()}, "missing": []}


def rows(record: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """A row for each cache: its shortest time, its median, and how many times faster than the first it is."""
    times = record["times"]
    base = next(iter(times.values()))
    return [
        (name, shown(min(found)), shown(median(found)), f"{paired(base, found):.2f}") for name, found in times.items()
    ]


def document(result: dict[str, Any]) -> str:
    """Everything a reader needs beside the figures, as Markdown to be pasted."""
    lines = [machine.paragraph(result["machine"]), "", "| | cache | a hit | median | paired |", "|---|---|---|---|---|"]
    for name, record in result["workloads"].items():
        lines += [f"| {name} | " + " | ".join(row) + " |" for row in rows(record)]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20, help="how often each is run (default: 20)")
    parser.add_argument("--only", default="", metavar="NAMES", help="workloads, by semicolons")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write all figures there too")
    parser.add_argument("--markdown", metavar="FILE", type=Path, help="write the table there too")
    arguments = parser.parse_args()
    only = {name.strip() for name in arguments.only.split(";") if name.strip()}
    about = machine.described()
    print(machine.paragraph(about))
    result: dict[str, Any] = {"machine": about, "workloads": {}}
    with tempfile.TemporaryDirectory(prefix="torshi-bench-") as folder:
        for place, workload in enumerate(WORKLOADS):
            if only and workload.name not in only:
                continue
            if workload.needs and importlib.util.find_spec(workload.needs) is None:
                print(f"{workload.name}: left out, {workload.needs} is not installed")
                continue
            result["workloads"][workload.name] = measured(workload, arguments.rounds, Path(folder) / str(place))
    if not only:
        result["workloads"]["memory hit, awaited"] = async_hit(arguments.rounds)
    for name, record in result["workloads"].items():
        print(f"\n{name}")
        for row in rows(record):
            print("  {:24} {:>10} {:>10} {:>8}".format(*row))
        for missing in record["missing"]:
            print(f"  {missing}: left out, it is not installed")
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if arguments.markdown:
        arguments.markdown.write_text(document(result), encoding="utf-8")


if __name__ == "__main__":
    main()
