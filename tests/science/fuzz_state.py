"""Loads mutants of scientific values under the default policy, uses what loaded, and counts what dies of it.

    python -m science.fuzz_state sklearn --mutants 10000 [--seed 1] [--only svm] [--save folder]

Run it from the folder `tests`. Refusals and exceptions are fine; a signal is a finding: a stream that passed the check
and whose object read where it should not. Each child loads many mutants and says which it is at, so that its death
names one. ``make fuzz`` runs it for every library that is installed.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import faulthandler
import importlib
import importlib.util
import mmap
import os
import pickle
import resource
import signal
import struct
import sys
import time
import warnings
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import torshi
from science.mutation import count, mutant
from science.values import Value

LIBRARIES = ("numpy", "pandas", "scipy", "sklearn", "pyarrow", "polars", "xgboost", "lightgbm", "statsmodels", "torch")
THREADED = ("polars",)
PROTOCOLS = (2, 4, 5)
BATCH = 200
SECONDS = 6
LARGEST = 60_000
RECORD = struct.Struct("q16q")
OUTCOMES = ("refused", "failed to load", "unusable", "used")


class Corpus:
    """The values of a library that are small enough, and how many parts of each can be changed."""

    def __init__(self, library: str, only: str = "") -> None:
        self.library, self.only = library, only
        # A child has none of its parent's threads, and would wait for them for ever.
        if library not in THREADED:
            self.values

    @cached_property
    def values(self) -> list[tuple[Value, Any, int]]:
        """Each value with its name, and how many parts of it can be changed."""
        found: list[tuple[Value, Any, int]] = []
        for value in importlib.import_module(f"science.{self.library}_values").values():
            if self.only not in value.name:
                continue
            made = value.make()
            with contextlib.suppress(Exception):
                if len(pickle.dumps(made, 4)) <= LARGEST:
                    found.append((value, made, count(made, 4)))
        return found

    def stream(self, seed: int) -> tuple[Value, bytes]:
        """The mutant of a seed."""
        value, made, parts = self.values[seed % len(self.values)]
        protocols = tuple(p for p in PROTOCOLS if p in value.protocols)
        return value, mutant(made, seed, parts, protocols)


def one(corpus: Corpus, seed: int) -> str:
    """What becomes of one mutant."""
    try:
        value, data = corpus.stream(seed)
        if os.environ.get("FUZZ_KEEP"):  # what a death by an earlier mutant leaves is not in the seed
            Path(os.environ["FUZZ_KEEP"]).write_bytes(data)
    except Exception:
        return "not written"
    try:
        loaded = torshi.loads(data)
    except torshi.UntrustedError:
        return "refused"
    except Exception:
        return "failed to load"
    except BaseException as error:
        return panicked(error, "failed to load")
    try:
        if value.use is not None:
            value.use(loaded)
        repr(loaded)
        del loaded
    except Exception:
        return "unusable"
    except BaseException as error:
        return panicked(error, "unusable")
    return "used"


def panicked(error: BaseException, outcome: str) -> str:
    """What becomes of a mutant with an error that is no Exception: Rust code that stopped in good order raises one."""
    if type(error).__name__ != "PanicException":
        raise error
    return outcome


class Slow(Exception):
    """A mutant took too long."""


def tired(*_: Any) -> None:
    raise Slow


def child(corpus: Corpus, seeds: range, page: mmap.mmap, quiet: bool) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
    signal.signal(signal.SIGALRM, tired)
    warnings.simplefilter("ignore")
    if quiet:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
    counts: collections.Counter[str] = collections.Counter()
    for seed in seeds:
        page[:8] = struct.pack("q", seed)
        signal.alarm(SECONDS // 2)
        try:
            counts[one(corpus, seed)] += 1
        except (Slow, MemoryError):
            counts["too slow"] += 1
        signal.alarm(0)
        told = [counts[name] for name in OUTCOMES]
        page[8 : 8 + 8 * len(told)] = struct.pack(f"{len(told)}q", *told)
    os._exit(0)


def run(corpus: Corpus, first: int, mutants: int, quiet: bool = True) -> Iterator[tuple[int, int, list[int]]]:
    """Every batch: the seed its child died at or -1, the signal or 0, and how many mutants came to what."""
    page = mmap.mmap(-1, mmap.PAGESIZE)
    seed = first
    while seed < first + mutants:
        end = min(seed + BATCH, first + mutants)
        page[:] = bytes(len(page))
        pid = os.fork()
        if pid == 0:
            try:
                child(corpus, range(seed, end), page, quiet)
            finally:
                os._exit(1)
        status, last, since = None, -1, time.monotonic()
        while status is None:
            done, code = os.waitpid(pid, os.WNOHANG)
            if done:
                status = code
                break
            (at,) = struct.unpack("q", page[:8])
            if at != last:
                last, since = at, time.monotonic()
            elif time.monotonic() - since > SECONDS:
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)
        (at,) = struct.unpack("q", page[:8])
        counts = list(struct.unpack(f"{len(OUTCOMES)}q", page[8 : 8 + 8 * len(OUTCOMES)]))
        if status == 0:
            yield -1, 0, counts
            seed = end
        else:
            yield at, status & 0x7F or -(status >> 8), counts
            seed = at + 1


def named(corpus: Corpus, seed: int) -> tuple[str, bytes]:
    value, data = corpus.stream(seed)
    return value.name, data


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("library", nargs="*", default=list(LIBRARIES))
    parser.add_argument("--mutants", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1, help="where to begin")
    parser.add_argument("--only", default="", help="values whose name contains this")
    parser.add_argument("--one", type=int, help="this mutant alone, in this process, with a stack trace")
    parser.add_argument("--save", type=Path, help="a folder for the streams that something died of")
    options = parser.parse_args()
    # Threads of a pool that OpenMP has made here would be missing in the children, which would wait for them.
    os.environ["OMP_NUM_THREADS"] = "1"
    deaths = 0
    for library in options.library:
        if not importlib.util.find_spec(library):
            print(f"{library}: not installed")
            continue
        corpus = Corpus(library, options.only)
        if options.one is not None:
            faulthandler.enable()
            value, data = corpus.stream(options.one)
            print(value.name, len(data))
            Path("/tmp/mutant.pkl").write_bytes(data) if options.save is None else None
            print(one(corpus, options.one))
            continue
        totals, found = [0] * len(OUTCOMES), collections.Counter[str]()
        for seed, number, counts in run(corpus, options.seed, options.mutants):
            totals = [a + b for a, b in zip(totals, counts, strict=True)]
            if number:
                name, data = ("(see --one)", b"") if library in THREADED else named(corpus, seed)
                what = signal.Signals(number).name if number > 0 else f"exit {-number}"
                if what == "SIGKILL":
                    found["hang"] += 1
                    print(f"  {library} seed {seed}: {name}: hang", flush=True)
                    continue
                deaths += 1
                found[what] += 1
                print(f"  {library} seed {seed}: {name}: {what}", flush=True)
                if options.save and data:
                    options.save.mkdir(parents=True, exist_ok=True)
                    (options.save / f"{library}-{seed}.pkl").write_bytes(data)
        told = ", ".join(f"{n} {name}" for n, name in zip(totals, OUTCOMES, strict=True))
        print(f"{library}: {options.mutants} mutants: {told}; deaths: {dict(found) or 'none'}", flush=True)
    return 1 if deaths else 0


if __name__ == "__main__":
    sys.exit(main())
