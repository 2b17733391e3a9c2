"""Writers killed at random moments: what is left of the file, counted. Run by test_crash.py, and by hand for longer:

    python tests/crash.py --kills 2000 --writers torshi pickle joblib pandas

A child saves two values in turn to one name, over and over; after a random while it is killed, as `kill -9` does, and
what stands under the name is loaded with stock pickle. It must be one of the two, whole. Whatever else lies in the
folder is litter. Children are forked, so that most of their life is writing.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torshi

VALUES = [
    {"version": 1, "payload": bytes(3 << 20), "items": list(range(20_000)), "last": "one"},
    {"version": 2, "payload": b"\x01" * (3 << 20), "items": list(range(20_000, 40_000)), "last": "two"},
]
LONGEST = 0.08


def dump(value: Any, path: Path) -> None:
    with open(path, "wb") as file:
        pickle.dump(value, file)


def joblib_dump(value: Any, path: Path) -> None:
    import joblib

    joblib.dump(value, path)


def pandas_dump(value: Any, path: Path) -> None:
    import pandas

    pandas.to_pickle(value, path)


WRITERS: dict[str, Callable[[Any, Path], None]] = {
    "torshi": lambda value, path: torshi.save(value, path, key=False),
    "torshi, compressed": lambda value, path: torshi.save(value, path, key=False, compress=1),
    "pickle": dump,
    "joblib": joblib_dump,
    "pandas": pandas_dump,
}


def load(path: Path) -> Any:
    if path.suffix == ".zst":
        return torshi.load(path)
    with open(path, "rb") as file:
        return pickle.load(file)


def killed(write: Callable[[Any, Path], None], path: Path, moment: float) -> None:
    """Has a child save until it is killed."""
    child = os.fork()
    if child == 0:
        try:
            turn = 0
            while True:
                write(VALUES[turn % 2], path)
                turn += 1
        finally:
            os._exit(1)
    time.sleep(moment)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status):
        raise RuntimeError("the child ended before it was killed: it could not save")


def count(name: str, kills: int, seed: int = 1) -> dict[str, Any]:
    """What so many kills do to a file of one writer."""
    write, rng = WRITERS[name], random.Random(seed)
    counts = {"writer": name, "kills": kills, "whole": 0, "lost": 0, "most litter at once": 0, "litter in the end": 0}
    write(VALUES[0], Path(os.devnull))  # imports come before the clock
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "state.zst" if "compressed" in name else "state.pkl")
        write(VALUES[0], path)
        for _ in range(kills):
            killed(write, path, rng.random() * LONGEST)
            try:
                whole = load(path) in VALUES
            except Exception:
                whole = False
            counts["whole" if whole else "lost"] += 1
            counts["most litter at once"] = max(counts["most litter at once"], len(os.listdir(folder)) - 1)
        write(VALUES[1], path)
        counts["litter in the end"] = len(os.listdir(folder)) - 1
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description="Kill writers at random moments, and count what they lose.")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--writers", nargs="+", choices=WRITERS, default=["torshi"])
    arguments = parser.parse_args()
    for name in arguments.writers:
        print(json.dumps(count(name, arguments.kills, arguments.seed)), flush=True)


if __name__ == "__main__":
    sys.exit(main())
