"""Speed of checking without loading, beside other tools that look into pickles: `make bench`.

`torshi.check`, `pickletools.genops`, picklescan and fickling, each on each workload, each in a process of its own with
a limit of time. All are given the bytes in memory; neither imports nor reading the file are timed. Processor time, the
shortest of as many runs as fit. What a tool finds is not judged here: torshi is given the workload's own classes to
trust, as somebody would who wants to load it, and every tool may say of the files what it likes.

A slow tool gets a smaller input of the same kind: first a part of the value (of a list its first items, of an array its
beginning), and the whole only where that would take no longer than the limit. The size read is shown beside the figure.
A rate on a small input is no worse for the tool: none of them gets faster with size.

Examples:
  check_speed.py                                  the long workloads
  check_speed.py --suite all --json check.json --markdown check.md
  check_speed.py --only array --limit 60
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import json
import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

import machine
from peers import OURS
from suites import SUITES, add_options, chosen
from workloads import Workload

MB = 1e6
#: Rates above this are not told, in MB/s.
MOST = 100_000
#: Of the value a slow tool is given first.
PART = 1 / 32
#: Values up to this size are given whole at once.
SMALL = 200_000
#: Seconds for starting a child and importing its tool, beside the limit.
START = 60


#: What is timed: given the bytes of a pickle.
Look = Callable[[bytes], object]


def _torshi(trust: list[Any] | None) -> Look:
    import torshi

    return lambda data: torshi.check(data, trust=trust)


def _genops(_: object) -> Look:
    import pickletools

    return lambda data: sum(1 for _ in pickletools.genops(data))


def _picklescan(_: object) -> Look:
    from picklescan.scanner import scan_pickle_bytes

    return lambda data: scan_pickle_bytes(io.BytesIO(data), "benchmark")


def _fickling(_: object) -> Look:
    from fickling.fickle import Pickled

    return Pickled.load


def _fickling_safety(_: object) -> Look:
    from fickling.analysis import check_safety
    from fickling.fickle import Pickled

    return lambda data: check_safety(Pickled.load(data)).severity


#: Each tool: the module it needs, and what makes the function to be timed.
TOOLS: dict[str, tuple[str, Callable[[Any], Look]]] = {
    OURS: ("torshi", _torshi),
    "genops": ("pickletools", _genops),
    "picklescan": ("picklescan", _picklescan),
    "fickling, parse": ("fickling", _fickling),
    "fickling, check": ("fickling", _fickling_safety),
}


def part_of(value: Any, share: float) -> Any:
    """A smaller value of the same kind; the value itself if it has no parts."""
    if isinstance(value, (list, str, bytes, np.ndarray)):
        return value[: max(1, int(len(value) * share))]
    if type(value) is dict:
        return dict(islice(value.items(), max(1, int(len(value) * share))))
    if type(value).__name__ == "DataFrame":
        return value.head(max(1, int(len(value) * share))).copy()
    return value


def _child(tool: str, path: Path, limit: float, name: str) -> None:
    """Times one tool on one file and prints the shortest time."""
    trust = None
    if tool == OURS:
        found = (workload for make in SUITES["all"] for workload in make() if workload.name == name)
        trust = next(found).trust
    look, data = TOOLS[tool][1](trust), path.read_bytes()
    sys.setrecursionlimit(20_000)
    shortest, spent, runs = float("inf"), 0.0, 0
    while runs < 3 or (runs < 15 and spent < min(1.0, limit)):
        start = time.process_time()
        look(data)
        took = time.process_time() - start
        shortest, spent, runs = min(shortest, took), spent + took, runs + 1
        if spent > limit / 3:
            break
    print(json.dumps({"seconds": shortest, "runs": runs}))


def timed(tool: str, path: Path, limit: float, name: str) -> dict[str, Any]:
    """The child's figure, or why there is none."""
    command = [sys.executable, "-W", "ignore", __file__, "--child", tool, str(path), name, "--limit", str(limit)]
    size = path.stat().st_size
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=START + limit, check=False)
    except subprocess.TimeoutExpired:
        return {"bytes": size, "failed": f"takes longer than {limit:g} s"}
    if done.returncode:
        said = done.stderr.strip().splitlines()
        return {"bytes": size, "failed": said[-1][:160] if said else f"ended by signal {-done.returncode}"}
    figure = json.loads(done.stdout.splitlines()[-1])
    return {"bytes": size, "mb_per_s": size / MB / figure["seconds"], **figure}


def measured(workload: Workload, tools: list[str], limit: float, folder: Path) -> dict[str, Any]:
    """The record of one workload: of each tool the rate and the bytes it was given."""
    value = workload.make()
    small, whole = folder / "small.pickle", folder / "whole.pickle"
    small.write_bytes(pickle.dumps(part_of(value, PART), 5))
    whole.write_bytes(pickle.dumps(value, 5))
    del value
    size = whole.stat().st_size
    record: dict[str, Any] = {"bytes": size, "tools": {}}
    for tool in tools:
        if tool == OURS or size <= SMALL:
            record["tools"][tool] = timed(tool, whole, limit, workload.name)
            continue
        figure = timed(tool, small, limit, workload.name)
        if "seconds" in figure and figure["seconds"] * size / figure["bytes"] * 1.2 < limit:
            # A tool that fails on more of the same keeps its figure.
            larger = timed(tool, whole, limit, workload.name)
            figure = larger if "seconds" in larger else {**figure, "whole": larger["failed"]}
        record["tools"][tool] = figure
    return record


def cell(record: dict[str, Any], tool: str) -> str:
    figure = record["tools"][tool]
    if "failed" in figure:
        return "failed"
    rate = figure["mb_per_s"]
    # Bytes that are stepped over without a look have no rate worth telling.
    text = f"over {MOST:,}" if rate > MOST else f"{rate:,.0f}" if rate >= 10 else f"{rate:.2g}"
    return text if figure["bytes"] == record["bytes"] else f"{text} (of {figure['bytes'] / MB:.2g} MB)"


def failures(records: dict[str, Any]) -> Iterator[str]:
    """What could not be measured and why, a line for each tool and reason."""
    names: dict[tuple[str, str], list[str]] = {}
    for name, record in records.items():
        for tool, figure in record["tools"].items():
            reason = figure.get("failed") or figure.get("whole")
            if reason:
                names.setdefault((tool, reason), []).append(name)
    for (tool, reason), those in names.items():
        yield f"{tool} failed on {', '.join(those)}: {reason}"


def document(result: dict[str, Any], tools: list[str]) -> str:
    """Everything a reader needs beside the figures, as Markdown to be pasted."""
    lines = [machine.paragraph(result["machine"]), ""]
    head = ["workload", "MB", *(f"{tool}, MB/s" for tool in tools)]
    lines += ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for name, record in result["workloads"].items():
        cells = [name, f"{record['bytes'] / MB:.3g}", *(cell(record, tool) for tool in tools)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", *(f"* {reason}" for reason in failures(result["workloads"]))]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=float, default=5, help="seconds a tool may take for a file (default: 5)")
    add_options(parser, default="large")
    parser.add_argument("--tools", default="", metavar="NAMES", help=f"only these, by semicolons: {'; '.join(TOOLS)}")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write all figures there too")
    parser.add_argument("--markdown", metavar="FILE", type=Path, help="write the table there too")
    parser.add_argument("--child", nargs=3, metavar=("TOOL", "FILE", "WORKLOAD"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        tool, path, name = arguments.child
        return _child(tool, Path(path), arguments.limit, name)
    wanted = [name.strip() for name in arguments.tools.split(";") if name.strip()] or list(TOOLS)
    unknown = [name for name in wanted if name not in TOOLS]
    if unknown:
        parser.error(f"no tool called {', '.join(unknown)}; there are: {'; '.join(TOOLS)}")
    tools = [name for name in wanted if importlib.util.find_spec(TOOLS[name][0])]
    selected = chosen(arguments)
    about = machine.described()
    print(machine.paragraph(about))
    for name in wanted:
        if name not in tools:
            print(f"{name}: left out, it is not installed")
    print(f"\n{'MB/s':20} {'MB':>8} " + " ".join(f"{tool:>22}" for tool in tools))
    records: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="torshi-bench-") as folder:
        for workload in selected:
            record = records[workload.name] = measured(workload, tools, arguments.limit, Path(folder))
            row = " ".join(f"{cell(record, tool):>22}" for tool in tools)
            print(f"{workload.name:20} {record['bytes'] / MB:8.3g} {row}", flush=True)
    result = {"machine": about, "limit": arguments.limit, "workloads": records}
    print("".join(f"\n{reason}" for reason in failures(records)))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if arguments.markdown:
        arguments.markdown.write_text(document(result, tools), encoding="utf-8")
    return None


if __name__ == "__main__":
    main()
