"""`torshi.save` and `torshi.load` of paths, beside bare bytes, pickle, joblib and gzip: time, memory and size.

One large float array is written and synced, and loaded again, each time in a process of its own; in turn, another first
each time, so that what else the machine does falls on all of them. Before each save a file of that size is written and
removed: whoever comes first would pay for the memory of the page cache. Memory is the growth of the peak (VmHWM) over
what the process held right before. Then records, floats and a fitted forest, compressed by torshi and by joblib, in one
process. Where it is asked for, a tensor in the same way, beside torch's own files.

Examples:
  saves.py                                 1 GB, five rounds, in the temporary folder
  saves.py --folder /data --megabytes 256 --rounds 10
  saves.py --only compression
  saves.py --only torch                    a tensor instead, beside torch.save; skipped where torch is not installed
  saves.py --without gzip                  some gigabytes a minute less to wait for
"""

from __future__ import annotations

import argparse
import gzip
import importlib.util
import json
import os
import pickle
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import torshi


def bare_save(value: Any, path: Path) -> None:
    left = memoryview(value).cast("B")
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    while left.nbytes:
        left = left[os.write(handle, left[: 1 << 20]) :]
    os.fsync(handle)
    os.close(handle)


def pickle_save(value: Any, path: Path) -> None:
    with open(path, "wb") as file:
        pickle.dump(value, file, 5)
        file.flush()
        os.fsync(file.fileno())


def pickle_load(path: Path) -> Any:
    with open(path, "rb") as file:
        return pickle.load(file)


def gzip_save(value: Any, path: Path) -> None:
    with gzip.open(path, "wb", 1) as file:
        pickle.dump(value, file, 5)


def gzip_load(path: Path) -> Any:
    with gzip.open(path, "rb") as file:
        return pickle.load(file)


def joblib_save(value: Any, path: Path) -> None:
    import joblib

    joblib.dump(value, path)
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def joblib_load(path: Path, **how: Any) -> Any:
    import joblib

    return joblib.load(path, **how)


def torch_save(value: Any, path: Path) -> None:
    import torch

    torch.save(value, path)
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def torch_load(path: Path, **how: Any) -> Any:
    import torch

    return torch.load(path, **how)


#: Who writes what is loaded, how, by name.
SAVES: dict[str, Callable[[Any, Path], None]] = {
    "bare bytes": bare_save,
    "torshi.save": lambda value, path: torshi.save(value, path, key=False),
    "pickle": pickle_save,
    "joblib": joblib_save,
    "gzip -1, pickle": gzip_save,
}
LOADS: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "torshi.load": ("torshi.save", torshi.load),
    "torshi.load, verify=True": ("torshi.save", lambda path: torshi.load(path, verify=True)),
    "torshi.load, mmap=False": ("torshi.save", lambda path: torshi.load(path, mmap=False)),
    "pickle, of torshi's file": ("torshi.save", pickle_load),
    "joblib": ("joblib", joblib_load),
    "joblib, mmap_mode='c'": ("joblib", lambda path: joblib_load(path, mmap_mode="c")),
    "gzip -1, pickle": ("gzip -1, pickle", gzip_load),
}


TORCH_SAVES: dict[str, Callable[[Any, Path], None]] = {
    "bare bytes": lambda value, path: bare_save(value.numpy(), path),
    "torshi.save": SAVES["torshi.save"],
    "torch.save": torch_save,
    "pickle": pickle_save,
}
TORCH_LOADS: dict[str, tuple[str, Callable[[Path], Any]]] = {
    **{name: LOADS[name] for name in LOADS if LOADS[name][0] == "torshi.save"},
    "torch.load": ("torch.save", torch_load),
    "torch.load, mmap=True": ("torch.save", lambda path: torch_load(path, mmap=True)),
    "pickle": ("pickle", pickle_load),
}


def tensor(megabytes: int) -> Any:
    import torch

    return torch.from_numpy(array(megabytes))


def array(megabytes: int) -> Any:
    return np.random.default_rng(13).random((megabytes << 20) // 8)


def status(key: str) -> int:
    """A figure of this process in kB, as Linux counts it."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(key):
            return int(line.split()[1])
    raise SystemExit(f"the system does not tell {key}")


def child(side: str, name: str, path: Path, megabytes: int, torch: bool) -> None:
    """Does one of them, and prints its time and by how many kB the peak grew."""
    run: Callable[[], Any]
    saves, loads, make = (TORCH_SAVES, TORCH_LOADS, tensor) if torch else (SAVES, LOADS, array)
    if side == "save":
        value = make(megabytes)
        save = saves[name]
        run = lambda: save(value, path)  # noqa: E731
        save(make(1)[:3], path.with_suffix(".warm"))
    else:
        writer, load = loads[name]
        saves[writer](make(1)[:3], path.with_suffix(".warm"))
        load(path.with_suffix(".warm"))
        run = lambda: load(path)  # noqa: E731
    before = status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak begins anew
    start = time.perf_counter()
    result = run()
    print(json.dumps([time.perf_counter() - start, status("VmHWM") - before]), flush=True)
    del result


def one(side: str, name: str, path: Path, megabytes: int, torch: bool) -> list[float]:
    command = [sys.executable, __file__, "--child", side, name, str(path), "--megabytes", str(megabytes)]
    command += ["--only", "torch"] if torch else []
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{side} by {name} failed:\n{done.stderr[-2000:]}")
    found: list[float] = json.loads(done.stdout)
    return found


def settled(folder: Path, megabytes: int) -> None:
    """Leaves the machine as the save before left it, whichever that was: nothing to write, and memory for the file."""
    os.sync()
    path, piece = folder / "settled.bin", bytes(1 << 20)
    with open(path, "wb", buffering=0) as file:
        for _ in range(megabytes):
            file.write(piece)
    path.unlink()


def large(folder: Path, megabytes: int, rounds: int, without: list[str], torch: bool = False) -> None:
    writers, readers = (TORCH_SAVES, TORCH_LOADS) if torch else (SAVES, LOADS)
    names = [name for name in writers if name != "joblib" or importlib.util.find_spec("joblib")]
    names = [name for name in names if not name.startswith(tuple(without))]
    with tempfile.TemporaryDirectory(dir=folder, prefix="torshi-bench-") as made:
        paths = {name: Path(made, f"{number}.bin") for number, name in enumerate(names)}
        saves: dict[str, list[list[float]]] = {}
        loads: dict[str, list[list[float]]] = {}
        for turn in range(rounds):
            for name in names[turn % len(names) :] + names[: turn % len(names)]:
                paths[name].unlink(missing_ok=True)
                settled(Path(made), megabytes)
                saves.setdefault(name, []).append(one("save", name, paths[name], megabytes, torch))
        for _ in range(rounds):
            for name, (writer, _) in readers.items():
                if writer in paths:
                    loads.setdefault(name, []).append(one("load", name, paths[writer], megabytes, torch))
        print(f"| save, {megabytes} MB, synced | least | median | over bare, paired | peak of memory | size |")
        print("|---|---|---|---|---|---|")
        for name, found in saves.items():
            times, peak = [time for time, _ in found], max(peak for _, peak in found)
            size = paths[name].stat().st_size / (megabytes << 20)
            paired = statistics.median(time / bare for time, (bare, _) in zip(times, saves["bare bytes"], strict=True))
            print(
                f"| {name} | {min(times):.2f} s | {statistics.median(times):.2f} s | {paired - 1:+.0%} | "
                f"+{peak / 1024:.0f} MB | {size:.0%} |"
            )
        print(f"\n| load, {megabytes} MB, in the page cache | least | median | peak of memory |\n|---|---|---|---|")
        for name, found in loads.items():
            times, peak = [time * 1000 for time, _ in found], max(peak for _, peak in found)
            print(f"| {name} | {min(times):.1f} ms | {statistics.median(times):.1f} ms | +{peak / 1024:.0f} MB |")


def compressible() -> dict[str, Any]:
    rng = random.Random(7)
    words = [f"word{rng.randrange(3000)}" for _ in range(5000)]
    records = [
        {"id": n, "name": rng.choice(words), "tags": rng.sample(words, 3), "score": round(rng.gauss(50, 20), 2)}
        for n in range(100_000)
    ]
    found: dict[str, Any] = {"records": records, "floats": np.random.default_rng(3).normal(size=2_000_000).round(3)}
    if importlib.util.find_spec("sklearn"):
        from sklearn.ensemble import RandomForestRegressor

        x = np.random.default_rng(1).random((5000, 20))
        found["forest"] = RandomForestRegressor(60, random_state=1).fit(x, x[:, 0] * x[:, 1])
    return found


def compression(folder: Path, rounds: int) -> None:
    ways: dict[str, tuple[Callable[[Any, Path], Any], Callable[[Path], Any]]] = {
        f"torshi, {way}": (
            lambda value, path, way=way: torshi.save(value, path, compress=way, key=False),
            lambda path: torshi.load(path, limits=torshi.Limits(stream=1 << 32)),
        )
        for way in ("zstd", "zstd:10", "lz4", "gzip")
    }
    if importlib.util.find_spec("joblib"):
        import joblib

        for way in (("zlib", 3), ("xz", 3), *([("lz4", 3)] if importlib.util.find_spec("lz4") else [])):
            ways[f"joblib, {way[0]}"] = (
                lambda value, path, way=way: joblib.dump(value, path, compress=way),
                joblib.load,
            )
    print("| value | by | size | of plain | save | load |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(dir=folder, prefix="torshi-bench-") as made:
        path = Path(made, "file")
        for value_name, value in compressible().items():
            torshi.save(value, path, key=False)
            plain = path.stat().st_size
            for name, (save, load) in ways.items():
                times: list[list[float]] = [[], []]
                for _ in range(rounds):
                    path.unlink(missing_ok=True)
                    for side, run in enumerate(
                        (lambda save=save, value=value: save(value, path), lambda load=load: load(path))
                    ):
                        start = time.perf_counter()
                        run()
                        times[side].append(time.perf_counter() - start)
                size = path.stat().st_size
                print(
                    f"| {value_name} | {name} | {size / 1e6:.1f} MB | {size / plain:.0%} | "
                    f"{min(times[0]):.2f} s | {min(times[1]):.2f} s |"
                )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--megabytes", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--without", nargs="*", default=[], metavar="NAME", help="writers to leave out: gzip, joblib")
    parser.add_argument("--only", choices=["large", "compression", "torch"])
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        side, name, path = arguments.child
        child(side, name, Path(path), arguments.megabytes, arguments.only == "torch")
        return
    if arguments.only == "torch":
        if importlib.util.find_spec("torch") is None:
            raise SystemExit("torch is not installed")
        large(arguments.folder, arguments.megabytes, arguments.rounds, arguments.without, torch=True)
        return
    if arguments.only != "compression":
        large(arguments.folder, arguments.megabytes, arguments.rounds, arguments.without)
        print()
    if arguments.only != "large":
        compression(arguments.folder, arguments.rounds)


if __name__ == "__main__":
    main()
