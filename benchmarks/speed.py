"""Speed beside C pickle: `make bench`.

Times torshi and C pickle in turn in one process (protocol 5, default policy or the workload's own classes),
after checking that the values agree, and prints the shortest times with their ratios and geometric means.
Over 1 means that torshi is faster. Never compares with anything but what it measured itself just before.
"""

from __future__ import annotations

import argparse
import datetime
import gc
import json
import math
import pickle
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import torshi


@dataclass
class Point:
    x: int
    y: int
    label: str


def workloads() -> dict[str, tuple[Any, Any]]:
    """Values by name, each with what a load of it must trust."""
    start = datetime.datetime(2024, 1, 1)
    shared = [f"shared {i}" for i in range(100)]
    return {
        "documents": (
            [
                {"id": i, "name": f"user {i}", "tags": ["a", "b"], "score": i / 7, "address": {"zip": str(i % 99)}}
                for i in range(10_000)
            ],
            None,
        ),
        "small ints": (list(range(256)) * 400, None),
        "big ints": ([1 << (i % 200) for i in range(50_000)], None),
        "floats": ([i / 3 for i in range(100_000)], None),
        "strings": ([f"text number {i}" for i in range(100_000)], None),
        "unicode": ([f"größe {i} 木" for i in range(50_000)], None),
        "bytes": ([b"x" * (i % 64) for i in range(100_000)], None),
        "tuples": ([(i, str(i), None) for i in range(50_000)], None),
        "shared": ([shared[i % 100] for i in range(100_000)], None),
        "sets": ([{i, i + 1, i + 2} for i in range(20_000)], None),
        "datetimes": ([start + datetime.timedelta(seconds=i) for i in range(20_000)], None),
        "dataclasses": ([Point(i, -i, f"p{i}") for i in range(20_000)], [Point]),
        "array of 8 MB": (np.arange(1_000_000, dtype="f8"), None),
        "small arrays": ([np.arange(10) for _ in range(5_000)], None),
    }


def shortest(functions: list[Callable[[], object]], rounds: int) -> list[float]:
    best = [math.inf] * len(functions)
    for _ in range(rounds):
        for place, function in enumerate(functions):
            gc.collect()
            start = time.perf_counter()
            result = function()
            best[place] = min(best[place], time.perf_counter() - start)
            del result
    return best


def same(left: Any, right: Any) -> bool:
    return pickle.dumps(left, 5) == pickle.dumps(right, 5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9, help="times each is run; the shortest counts")
    parser.add_argument("--only", help="workloads whose name contains this")
    parser.add_argument("--json", metavar="FILE", help="write the figures there too")
    arguments = parser.parse_args()
    print(f"Python {sys.version.split()[0]}, {platform.machine()}, torshi {torshi.__version__}")
    print(f"{'':<14} {'pickle':>10} {'torshi':>10} {'dumps':>7}   {'pickle':>10} {'torshi':>10} {'loads':>7}")
    figures: dict[str, dict[str, float]] = {}
    for name, (value, trust) in workloads().items():
        if arguments.only and arguments.only not in name:
            continue
        data = pickle.dumps(value, 5)
        if not same(torshi.loads(torshi.dumps(value, 5), trust=trust), pickle.loads(data)):
            raise SystemExit(f"{name}: torshi and pickle disagree")
        out = shortest([lambda v=value: pickle.dumps(v, 5), lambda v=value: torshi.dumps(v, 5)], arguments.rounds)
        back = shortest(
            [lambda d=data: pickle.loads(d), lambda d=data, t=trust: torshi.loads(d, trust=t)], arguments.rounds
        )
        figures[name] = {"dumps": out[0] / out[1], "loads": back[0] / back[1]}
        print(
            f"{name:<14} {out[0] * 1e3:7.2f} ms {out[1] * 1e3:7.2f} ms {out[0] / out[1]:6.2f}x   "
            f"{back[0] * 1e3:7.2f} ms {back[1] * 1e3:7.2f} ms {back[0] / back[1]:6.2f}x"
        )
    for side in ("dumps", "loads"):
        ratios = [figure[side] for figure in figures.values()]
        if ratios:
            mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
            print(f"{side}: geometric mean {mean:.2f}x, least {min(ratios):.2f}x")
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump(figures, file, indent=1)


if __name__ == "__main__":
    main()
