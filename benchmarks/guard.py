"""Instructions counted, not seconds: `make bench-guard`.

Runs a few workloads under callgrind, counts the instructions inside torshi's `dumps` and `loads` (what they call of
Python included), and compares with the counts in `guard.json`. The same binary, interpreter and input give the
same count however busy the machine is, so a slowdown of a few per cent shows where a clock would not. Other
interpreters and C libraries count otherwise: counts are kept by Python version, and `--update` stores new ones.

Needs valgrind. Measures nothing in the tests, and says nothing about cache misses: for those see `speed.py`.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import torshi
from workloads import Workload, workloads

STORED = Path(__file__).with_name("guard.json")
#: Growth of a count that is called a slowdown, as a share of the stored one.
TOLERANCE = 0.03
#: The functions between whose entry and return instructions count.
ENTRIES = {"dumps": "*__pyfunction_dumps*", "loads": "*__pyfunction_loads*"}
#: Workloads that between them take every quick way, each for the sake of another one.
CASES = [
    *("small message", "small object", "documents", "random ints", "floats", "strings", "strings, not ASCII"),
    *("shared lists", "datetimes", "uuids", "dataclasses", "named tuples", "small arrays"),
]


def case(name: str) -> Workload:
    return next(workload for workload in workloads() if workload.name == name)


def run(name: str, side: str) -> None:
    """What callgrind watches."""
    workload = case(name)
    value, trust = workload.make(), workload.trust
    data = pickle.dumps(value, 5)
    torshi.check(data, trust=trust)  # reads the policy tables, once for a process, outside of what is counted
    for _ in range(500 if workload.times > 1 else 2):
        if side == "dumps":
            torshi.dumps(value, 5)
        else:
            torshi.loads(data, trust=trust)


def watch(name: str, side: str, into: str) -> int:
    """Instructions of one side of a workload; what callgrind wrote is in the file `into`."""
    command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={into}"]
    command += [f"--toggle-collect={ENTRIES[side]}", sys.executable, __file__, "--run", name, side]
    environment = {**os.environ, "PYTHONHASHSEED": "0", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    found = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode or found is None or int(found[1]) == 0:
        raise SystemExit(f"{name}, {side}: nothing counted\n{done.stderr[-2000:]}")
    return int(found[1])


def count(name: str, side: str) -> int:
    """Instructions of one side of a workload."""
    with tempfile.TemporaryDirectory() as folder:
        return watch(name, side, f"{folder}/out")


def shares(name: str, side: str) -> dict[str, float]:
    """Where they go: the check, what Python and the C library do for the rest, and torshi's own part of it."""
    with tempfile.TemporaryDirectory() as folder:
        total = watch(name, side, f"{folder}/out")
        annotate = ["callgrind_annotate", "--tree=none", "--auto=no", "--threshold=100"]
        flat, whole = (
            subprocess.run(
                [*annotate, f"--inclusive={way}", f"{folder}/out"], capture_output=True, text=True, check=True
            )
            for way in ("no", "yes")
        )
    line = re.compile(r"^ *([\d,]+) \([^)]*\)\s+(.*)$", re.MULTILINE)
    verify = [int(n.replace(",", "")) for n, where in line.findall(whole.stdout) if "symbolic::verify_apart [" in where]
    check = max(verify, default=0)
    ours = sum(
        int(n.replace(",", "")) for n, where in line.findall(flat.stdout) if "torshi" in where or "_native" in where
    )
    return {"check": check / total, "torshi": (ours - check) / total, "Python": 1 - ours / total}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--update", action="store_true", help="store these counts as the ones to compare with")
    parser.add_argument("--only", default="", help="workloads whose name contains this")
    parser.add_argument("--shares", action="store_true", help="compare nothing: show where the instructions go")
    parser.add_argument("--run", nargs=2, metavar=("NAME", "SIDE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        return run(*arguments.run)
    if shutil.which("valgrind") is None:
        raise SystemExit("valgrind is not installed: it counts the instructions (apt-get install valgrind)")
    if arguments.shares:
        print(f"{'':26} {'check':>8} {'torshi':>8} {'Python':>8}")
        for name in (name for name in CASES if arguments.only in name):
            for side in ENTRIES:
                parts = shares(name, side)
                print(
                    f"{name + ', ' + side:26} {parts['check']:8.0%} {parts['torshi']:8.0%} {parts['Python']:8.0%}",
                    flush=True,
                )
        return None
    version = f"{platform.python_version()} {platform.machine()}"
    stored = json.loads(STORED.read_text(encoding="utf-8")) if STORED.exists() else {}
    known = stored.setdefault(version, {})
    if not known and not arguments.update:
        raise SystemExit(f"no counts of Python {version} are stored: run with --update on the state to compare with")
    slower = []
    print(f"{'':20} {'instructions':>14} {'stored':>14} {'change':>8}")
    for name in (name for name in CASES if arguments.only in name):
        for side in ENTRIES:
            key, now = f"{name}, {side}", count(name, side)
            before = known.get(key)
            change = f"{now / before - 1:+8.1%}" if before else "new"
            print(f"{key:26} {now:>14,} {before or 0:>14,} {change:>8}", flush=True)
            if before and now > before * (1 + TOLERANCE):
                slower.append(key)
            if arguments.update:
                known[key] = now
    if arguments.update:
        STORED.write_text(json.dumps(stored, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    elif slower:
        raise SystemExit(f"more instructions than stored: {'; '.join(slower)}")
    return None


if __name__ == "__main__":
    main()
