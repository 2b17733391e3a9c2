"""`torshi.digest` beside `joblib.hash`: arrays however they lie, records, frames, arguments; in turn, in one process.

Times are of the clock on the wall: both may use threads, and torshi does for large arrays. `--cpu` counts the time of
all threads instead, which says more on a machine that has other things to do.

Examples:
  digest.py                    all of it, nine rounds
  digest.py --rounds 30 --only arguments array-1MB
  digest.py --only $(digest.py --list | grep 1MB-f4)
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import joblib
import numpy as np
import pandas as pd

import torshi
from timing import interleaved, paired, shown

#: Digests in one timed run, where one takes too little time to be measured.
REPEATS = {"arguments": 2000, "keywords": 2000, "array-64kB": 50}


def records(count: int) -> list[dict[str, Any]]:
    return [
        {
            "id": i,
            "name": f"user {i}",
            "score": i * 0.5,
            "active": i % 2 == 0,
            "tags": ["a", "b", str(i % 7)],
            "address": {"city": "Berlin", "zip": 10_000 + i % 1000},
        }
        for i in range(count)
    ]


def frame(rows: int) -> pd.DataFrame:
    numbers = np.random.default_rng(0)
    text = [f"row {i}" for i in range(rows)]
    return pd.DataFrame({"a": numbers.random(rows), "b": numbers.integers(0, 99, rows), "c": text})


def block(size: int) -> pd.DataFrame:
    """Numbers in one block, in which each column lies strided."""
    return pd.DataFrame(array(size).reshape(-1, 8), columns=list("abcdefgh"))


def array(size: int, dtype: str = "f8") -> Any:
    return np.random.default_rng(0).random(size // np.dtype(dtype).itemsize, dtype=np.dtype(dtype).type)


def with_nans(size: int, dtype: str, value: float) -> Any:
    made = array(size, dtype)
    made[::1000] = value
    return made


def square(size: int, dtype: str) -> Any:
    return array(size, dtype).reshape(1 << (size.bit_length() // 2 - 2), -1)


#: How an array of a size in bytes and of a dtype may lie in memory.
LAYOUTS: dict[str, Callable[[int, str], Any]] = {
    "c": square,
    "nan": lambda size, dtype: with_nans(size, dtype, np.nan),
    # What processors of the x86 family make of 0/0.
    "negative-nan": lambda size, dtype: with_nans(size, dtype, -np.nan),
    "fortran": lambda size, dtype: np.asfortranarray(square(size, dtype)),
    "odd-fortran": lambda size, dtype: np.asfortranarray(square(size, dtype)[1:, 1:]),
    "transposed": lambda size, dtype: square(size, dtype).reshape(64, 32, -1).T,
    "columns": lambda size, dtype: square(2 * size, dtype)[:, ::2],
    "strided": lambda size, dtype: array(2 * size, dtype)[::2],
    "reversed": lambda size, dtype: array(size, dtype)[::-1],
    "swapped": lambda size, dtype: array(size, dtype).astype(">" + dtype),
}


def laid(layout: str, size: int, dtype: str) -> Callable[[], Any]:
    return lambda: LAYOUTS[layout](size, dtype)


VALUES: dict[str, Callable[[], Any]] = {
    "arguments": lambda: (1, "a", 2.5),
    "keywords": lambda: ((1, "a"), {"x": 1, "y": 2.0}),
    "array-64kB": lambda: array(1 << 16),
    "array-1MB": lambda: array(1 << 20),
    "array-256MB": lambda: array(1 << 28),
    "records-100000": lambda: records(100_000),
    "frame-1000000": lambda: frame(1_000_000),
    "frame-1MB": lambda: frame(30_000),
    "block-1MB": lambda: block(1 << 20),
    "block-64MB": lambda: block(1 << 26),
    "set-100000": lambda: {f"element {i}" for i in range(100_000)},
} | {
    f"{size >> 20}MB-{dtype}-{layout}": laid(layout, size, dtype)
    for size in (1 << 20, 1 << 26)
    for dtype in ("f8", "f4")
    for layout in LAYOUTS
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--only", nargs="+", choices=list(VALUES), default=list(VALUES))
    parser.add_argument("--cpu", action="store_true")
    parser.add_argument("--list", action="store_true", help="print the names of the cases and stop")
    options = parser.parse_args()
    if options.list:
        print("\n".join(VALUES))
        return
    clock = time.process_time if options.cpu else time.perf_counter
    print(f"{'':20} {'torshi':>10} {'joblib':>10} {'faster':>8}")
    for name in options.only:
        value, repeats = VALUES[name](), REPEATS.get(name, 10 if "1MB" in name else 1)

        def torshi_run(value: Any, repeats: int = repeats) -> None:
            for _ in range(repeats):
                torshi.digest(value)

        def joblib_run(value: Any, repeats: int = repeats) -> None:
            for _ in range(repeats):
                joblib.hash(value)

        def same(_: str, value: Any = value) -> Any:
            return value

        # Joblib walks records in Python, which takes long.
        rounds = min(options.rounds, 3) if name.startswith("records") else options.rounds
        times = interleaved({"torshi": torshi_run, "joblib": joblib_run}, rounds, prepare=same, clock=clock)
        ours, theirs = (statistics.median(times[who]) / repeats for who in ("torshi", "joblib"))
        print(f"{name:20} {shown(ours):>10} {shown(theirs):>10} {paired(times['joblib'], times['torshi']):7.1f}x")


if __name__ == "__main__":
    main()
