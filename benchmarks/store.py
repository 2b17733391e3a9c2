"""Small records into stores and back, beside diskcache, sqlitedict, lmdb and shelve; and many processes at once.

Each store gets the same records (dictionaries of four entries) by the same keys, in a folder of its own. Every round
runs all stores in turn: a get of every key in random order, a put over every key, a put of every key anew; then 100,000
records at once. Each put is one committed change. What that survives differs and stands in the table: where the others
wait for the disk, `torshi, power` does too. The last part has eight processes do mixed operations on one store, and
counts what was lost; wall time, as with everything here but what the processor does alone.

A store that is not installed is named and left out.

Examples:
  store.py                       all of it
  store.py --rounds 20 --only "torshi;diskcache"
  store.py --json store.json --markdown store.md
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import multiprocessing
import os
import pickle
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import machine
import torshi
from timing import interleaved, paired, shown

RECORDS = 2_000
BATCH = 100_000
PROCESSES = 8
OPERATIONS = 10_000

BASE = "diskcache"


def record(number: int) -> dict[str, Any]:
    return {"id": number, "name": f"user {number}", "score": number / 7, "tags": ["a", "b"]}


def keys(count: int) -> list[str]:
    return [f"user:{number}" for number in range(count)]


class Torshi:
    """torshi.Store as it comes: sealed, write-ahead log."""

    module = "torshi"
    survives = "the end of a process"

    def __init__(self, folder: Path) -> None:
        self.store = torshi.Store(folder / "store.db", durable="process")
        self.get, self.put, self.delete = self.store.__getitem__, self.store.__setitem__, self.store.__delitem__

    def batch(self, items: Iterable[tuple[str, Any]]) -> None:
        self.store.update(items)

    def close(self) -> None:
        self.store.close()


class TorshiPower(Torshi):
    """The same, which waits for the disk."""

    survives = "power loss"

    def __init__(self, folder: Path) -> None:
        self.store = torshi.Store(folder / "store.db", durable="power")
        self.get, self.put, self.delete = self.store.__getitem__, self.store.__setitem__, self.store.__delitem__


class Diskcache:
    """diskcache.Index as it comes."""

    module = "diskcache"
    survives = "the end of a process"

    def __init__(self, folder: Path) -> None:
        self.index = importlib.import_module("diskcache").Index(str(folder))
        self.get, self.put, self.delete = self.index.__getitem__, self.index.__setitem__, self.index.__delitem__

    def batch(self, items: Iterable[tuple[str, Any]]) -> None:
        with self.index.transact():
            self.index.update(items)

    def close(self) -> None:
        self.index.cache.close()


class Sqlitedict:
    """sqlitedict, a commit after each put."""

    module = "sqlitedict"
    survives = "power loss"

    def __init__(self, folder: Path) -> None:
        self.dict = importlib.import_module("sqlitedict").SqliteDict(str(folder / "s.db"), journal_mode="WAL")
        self.get = self.dict.__getitem__

    def put(self, key: str, value: Any) -> None:
        self.dict[key] = value
        self.dict.commit()

    def delete(self, key: str) -> None:
        del self.dict[key]

    def batch(self, items: Iterable[tuple[str, Any]]) -> None:
        self.dict.update(items)
        self.dict.commit()

    def close(self) -> None:
        self.dict.close()


class Lmdb:
    """lmdb with C pickle, without waiting for the disk."""

    module = "lmdb"
    survives = "the end of a process"

    def __init__(self, folder: Path) -> None:
        self.env = importlib.import_module("lmdb").open(str(folder), map_size=1 << 30, sync=False)

    def get(self, key: str) -> Any:
        with self.env.begin() as transaction:
            return pickle.loads(transaction.get(key.encode()))

    def put(self, key: str, value: Any) -> None:
        with self.env.begin(write=True) as transaction:
            transaction.put(key.encode(), pickle.dumps(value, 5))

    def delete(self, key: str) -> None:
        with self.env.begin(write=True) as transaction:
            transaction.delete(key.encode())

    def batch(self, items: Iterable[tuple[str, Any]]) -> None:
        with self.env.begin(write=True) as transaction:
            for key, value in items:
                transaction.put(key.encode(), pickle.dumps(value, 5))

    def close(self) -> None:
        self.env.close()


class Shelve:
    """shelve on the dbm that the system has, a sync after each put; for one process."""

    module = "shelve"
    survives = "little"

    def __init__(self, folder: Path) -> None:
        self.shelf = importlib.import_module("shelve").open(str(folder / "s"))
        self.get = self.shelf.__getitem__

    def put(self, key: str, value: Any) -> None:
        self.shelf[key] = value
        self.shelf.sync()

    def delete(self, key: str) -> None:
        del self.shelf[key]

    def batch(self, items: Iterable[tuple[str, Any]]) -> None:
        self.shelf.update(items)
        self.shelf.sync()

    def close(self) -> None:
        self.shelf.close()


STORES: dict[str, Any] = {
    "torshi": Torshi,
    "torshi, power": TorshiPower,
    BASE: Diskcache,
    "sqlitedict": Sqlitedict,
    "lmdb": Lmdb,
    "shelve": Shelve,
}


def installed(only: str) -> tuple[dict[str, Any], list[str]]:
    """The stores that are there, and the names of those that are not."""
    wanted = {name.strip() for name in only.split(";") if name.strip()}
    found, missing = {}, []
    for name, kind in STORES.items():
        if wanted and name not in wanted:
            continue
        try:
            importlib.import_module(kind.module)
            found[name] = kind
        except ImportError:
            missing.append(name)
    return found, missing


def singly(kinds: dict[str, Any], folder: Path, rounds: int) -> dict[str, dict[str, list[float]]]:
    """Seconds an operation, by what is done and by store."""
    stores = {}
    for name, kind in kinds.items():
        place = folder / name
        place.mkdir()
        stores[name] = kind(place)
        stores[name].batch(zip(keys(RECORDS), map(record, range(RECORDS)), strict=True))
    names, values = keys(RECORDS), [record(number) for number in range(RECORDS)]
    order = names[:]
    random.Random(1).shuffle(order)

    def get_all(store: Any) -> None:
        get = store.get
        for key in order:
            get(key)

    def put_all(store: Any) -> None:
        put = store.put
        for key, value in zip(names, values, strict=True):
            put(key, value)

    def emptied(name: str) -> Any:
        for key in names:
            stores[name].delete(key)
        return stores[name]

    assert all(store.get(names[7]) == values[7] for store in stores.values())
    tasks: dict[str, tuple[Callable[[Any], None], Callable[[str], Any]]] = {
        "get": (get_all, stores.__getitem__),
        "put over": (put_all, stores.__getitem__),
        "put anew": (put_all, emptied),
    }
    found = {}
    for task, (run, prepare) in tasks.items():
        times = interleaved(dict.fromkeys(stores, run), rounds, prepare=prepare, clock=time.perf_counter)
        found[task] = {name: [seconds / RECORDS for seconds in each] for name, each in times.items()}
    for store in stores.values():
        store.close()
    return found


def batches(kinds: dict[str, Any], folder: Path, rounds: int) -> dict[str, list[float]]:
    """Seconds to put many records at once into an empty store."""
    names, values = keys(BATCH), [record(number) for number in range(BATCH)]
    made: list[Any] = []

    def empty(name: str) -> Any:
        while made:
            made.pop().close()
        place = folder / f"batch {name}"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        made.append(kinds[name](place))
        return made[-1]

    def put(store: Any) -> None:
        store.batch(zip(names, values, strict=True))

    times = interleaved(dict.fromkeys(kinds, put), rounds, prepare=empty, clock=time.perf_counter)
    while made:
        made.pop().close()
    return times


def mixed_torshi(path: str, number: int, operations: int) -> None:
    with torshi.Store(path) as store:
        chance = random.Random(number)
        for turn in range(operations):
            kind = turn % 10
            if kind < 5:
                store.get(f"user:{chance.randrange(1000)}")
            elif kind < 8:
                store[f"user:{chance.randrange(1000)}"] = record(turn)
            elif kind == 8:
                store.incr("count")
            else:
                with store.edit("list", default={}) as value:
                    value[number] = value.get(number, 0) + 1


def mixed_diskcache(path: str, number: int, operations: int) -> None:
    cache = importlib.import_module("diskcache").Cache(path)
    chance = random.Random(number)
    for turn in range(operations):
        kind = turn % 10
        if kind < 5:
            cache.get(f"user:{chance.randrange(1000)}")
        elif kind < 8:
            cache.set(f"user:{chance.randrange(1000)}", record(turn), retry=True)
        elif kind == 8:
            cache.incr("count", retry=True)
        else:
            with cache.transact(retry=True):
                value = cache.get("list", default={})
                value[number] = value.get(number, 0) + 1
                cache.set("list", value)
    cache.close()


def crowds(folder: Path, operations: int) -> dict[str, dict[str, Any]]:
    """Eight processes with one store: seconds, and how many of the counted changes are missing at the end."""
    found = {}
    context = multiprocessing.get_context("spawn")
    for name, work in (("torshi", mixed_torshi), (BASE, mixed_diskcache)):
        if name == BASE and importlib.util.find_spec("diskcache") is None:
            continue
        path = str(folder / f"crowd {name}")
        workers = [context.Process(target=work, args=(path, number, operations)) for number in range(PROCESSES)]
        start = time.perf_counter()
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        seconds = time.perf_counter() - start
        if name == "torshi":
            with torshi.Store(path) as store:
                count, edits = store["count"], sum(store["list"].values())
        else:
            cache = importlib.import_module("diskcache").Cache(path)
            count, edits = cache["count"], sum(cache["list"].values())
            cache.close()
        expected = PROCESSES * (operations // 10)
        found[name] = {
            "seconds": seconds,
            "lost": 2 * expected - count - edits,
            "failed": sum(bool(worker.exitcode) for worker in workers),
        }
    return found


def lines_of(result: dict[str, Any]) -> list[list[str]]:
    rows = []
    for task, times in [*result["each"].items(), (f"{BATCH:,} at once", result["batch"])]:
        base = times.get(BASE)
        for name, each in times.items():
            cells = [task, name, shown(min(each)), shown(statistics.median(each)), STORES[name].survives]
            ratio = "" if base is None or name == BASE else f"{min(base) / min(each):.2f}x"
            pairs = "" if base is None or name == BASE else f"{paired(base, each):.2f}x"
            rows.append([*cells[:4], ratio, pairs, cells[4]])
    return rows


HEAD = ["", "store", "shortest", "median", f"over {BASE}, shortest", "paired", "a put survives"]


def document(result: dict[str, Any]) -> str:
    """Everything a reader needs beside the figures, as Markdown to be pasted."""
    lines = [machine.paragraph(result["machine"]), "", f"{result['rounds']} rounds of {RECORDS:,} records.", ""]
    lines += ["| " + " | ".join(HEAD) + " |", "|" + "---|" * len(HEAD)]
    lines += ["| " + " | ".join(row) + " |" for row in lines_of(result)]
    lines += ["", f"| {PROCESSES} processes x {result['operations']:,} mixed operations | seconds | lost | failed |"]
    lines += ["|---|---|---|---|"]
    for name, crowd in result["crowd"].items():
        lines.append(f"| {name} | {crowd['seconds']:.1f} | {crowd['lost']} | {crowd['failed']} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10, help="times each is run (default: 10)")
    parser.add_argument("--batch-rounds", type=int, default=3, help="the same of the large batches (default: 3)")
    parser.add_argument("--operations", type=int, default=OPERATIONS, help="of each process; 0 leaves that part out")
    parser.add_argument("--only", default="", help="names of stores, separated by semicolons")
    parser.add_argument("--folder", type=Path, help="where the stores are made (default: the temporary folder)")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write all rounds there too")
    parser.add_argument("--markdown", metavar="FILE", type=Path, help="write the tables there too")
    arguments = parser.parse_args()
    kinds, missing = installed(arguments.only)
    if missing:
        print(f"not installed, and left out: {', '.join(missing)}")
    with tempfile.TemporaryDirectory(prefix="torshi-store-", dir=arguments.folder) as made:
        # Nobody's own key is used for a benchmark.
        os.environ["TORSHI_CONFIG_DIR"] = str(Path(made) / "keys")
        folder = Path(made)
        result: dict[str, Any] = {
            "machine": machine.described(),
            "rounds": arguments.rounds,
            "operations": arguments.operations,
            "each": singly(kinds, folder, arguments.rounds),
            "batch": batches(kinds, folder, arguments.batch_rounds) if arguments.batch_rounds else {},
            "crowd": crowds(folder, arguments.operations) if arguments.operations else {},
        }
    print(document(result))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if arguments.markdown:
        arguments.markdown.write_text(document(result), encoding="utf-8")


if __name__ == "__main__":
    main()
