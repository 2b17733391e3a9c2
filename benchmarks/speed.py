"""Speed beside C pickle: `make bench`.

Times torshi and C pickle in turn, in one process, first one and then the other going first, after checking
that both write the same bytes and read equal values. Protocol 5; loads are checked loads, under the default
policy and the workload's own classes, beside stock pickle's unchecked ones. The shortest time of each
counts; over 1 means that torshi is faster. Nothing is compared with a figure from another run or machine.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import pickle
import platform
import sys
import time
from collections.abc import Callable
from typing import Any

import torshi
from workloads import Workload, workloads

NAME = 18


def shortest(functions: list[Callable[[], object]], rounds: int) -> list[float]:
    """The shortest time of each function, the functions taking turns at going first."""
    best = [math.inf] * len(functions)
    order = list(enumerate(functions))
    for _ in range(rounds):
        for place, function in order:
            gc.collect()
            start = time.perf_counter()
            result = function()
            best[place] = min(best[place], time.perf_counter() - start)
            del result
        order.reverse()
    return best


def repeated(function: Callable[[], object], times: int) -> Callable[[], object]:
    if times == 1:
        return function

    def many() -> None:
        for _ in range(times):
            function()

    return many


def measured(workload: Workload, rounds: int) -> tuple[list[float], list[float]]:
    """Times of pickle and torshi, of dumps and of loads, in seconds a call."""
    value, trust = workload.make(), workload.trust
    data = pickle.dumps(value, 5)
    if torshi.dumps(value, 5) != data:
        raise SystemExit(f"{workload.name}: torshi and pickle write different bytes")
    if not same(torshi.loads(data, trust=trust), pickle.loads(data)):
        raise SystemExit(f"{workload.name}: torshi and pickle read different values")
    out: list[Callable[[], object]] = [lambda: pickle.dumps(value, 5), lambda: torshi.dumps(value, 5)]
    back: list[Callable[[], object]] = [lambda: pickle.loads(data), lambda: torshi.loads(data, trust=trust)]
    times = workload.times
    both = [shortest([repeated(function, times) for function in side], rounds) for side in (out, back)]
    return [best / times for best in both[0]], [best / times for best in both[1]]


def same(left: Any, right: Any) -> bool:
    return pickle.dumps(left, 5) == pickle.dumps(right, 5)


def shown(seconds: float) -> str:
    return f"{seconds * 1e6:7.2f} us" if seconds < 1e-4 else f"{seconds * 1e3:7.2f} ms"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10, help="times each is run; the shortest counts")
    parser.add_argument("--only", help="workloads whose name contains this")
    parser.add_argument("--json", metavar="FILE", help="write the ratios there too")
    parser.add_argument("--markdown", action="store_true", help="write the ratios as a table too")
    arguments = parser.parse_args()
    print(f"Python {sys.version.split()[0]}, {platform.machine()}, torshi {torshi.__version__}, protocol 5")
    header = f"{'':{NAME}}"
    for side in ("dumps", "loads"):
        header += f" {side + ': pickle':>13} {'torshi':>10} {'ratio':>7}  "
    print(header.rstrip())
    figures: dict[str, dict[str, float]] = {}
    for workload in workloads():
        if arguments.only and arguments.only not in workload.name:
            continue
        out, back = measured(workload, arguments.rounds)
        figures[workload.name] = {"dumps": out[0] / out[1], "loads": back[0] / back[1]}
        print(
            f"{workload.name:{NAME}} {shown(out[0]):>13} {shown(out[1]):>10} {out[0] / out[1]:6.2f}x   "
            f"{shown(back[0]):>13} {shown(back[1]):>10} {back[0] / back[1]:6.2f}x"
        )
    if not figures:
        raise SystemExit("no workload of that name")
    for side in ("dumps", "loads"):
        ratios = {name: figure[side] for name, figure in figures.items()}
        mean = math.exp(sum(map(math.log, ratios.values())) / len(ratios))
        least = min(ratios, key=ratios.__getitem__)
        ahead = sum(ratio > 1 for ratio in ratios.values())
        print(
            f"{side}: geometric mean {mean:.2f}x, least {ratios[least]:.2f}x ({least}), "
            f"faster on {ahead} of {len(ratios)} workloads"
        )
    if arguments.markdown:
        print("\n| workload | dumps | loads |\n|---|---|---|")
        for name, figure in figures.items():
            print(f"| {name} | {figure['dumps']:.1f}x | {figure['loads']:.1f}x |")
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump(figures, file, indent=1)


if __name__ == "__main__":
    main()
