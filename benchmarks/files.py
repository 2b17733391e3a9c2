"""A large array into a file and back, beside writing and reading its bare bytes: `make bench`.

dump and load of one float array, in folders of several file systems, each beside a bare `write` of the array's memory
and a bare `readinto` a new numpy array (the same kind of memory that a load returns). In turn, in one process; wall
time, because a file system is waited for, from opening the file to closing it. Files are deleted before each dump and
read right after it, so that they are in the page cache; `--cold` has them dropped from it before each load, `--sync`
waits for the disk in each dump. All rounds are in the JSON, the slow ones too.

Then peak memory: each operation once more, in a process of its own, as growth of the peak (VmHWM) over what the process
held right before, in units of the array. A copy that is made and dropped again shows.

Examples:
  files.py                                         256 MB, in /dev/shm and in the temporary folder
  files.py --folder /data --megabytes 1024 --cold
  files.py --json files.json --markdown files.md
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import pickle
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import machine
import torshi
from timing import interleaved, paired

RAW = "bare bytes"
SIDES = ("dump", "load")


def write_raw(value: Any, file: Any) -> None:
    left = memoryview(value).cast("B")
    while left.nbytes:
        left = left[file.write(left) :]


def read_raw(file: Any) -> Any:
    made = np.empty(os.fstat(file.fileno()).st_size // 8)
    left = memoryview(made).cast("B")
    while left.nbytes:
        count = file.readinto(left)
        if not count:
            raise EOFError("the file is shorter than it was")
        left = left[count:]
    return made


def ways() -> dict[str, tuple[Callable[[Any, Any], Any], Callable[[Any], Any], int]]:
    """How each writes to and reads from an open file, and the buffering it wants of it: 0 none, -1 Python's own."""
    found: dict[str, Any] = {
        RAW: (write_raw, read_raw, 0),
        "torshi": (lambda value, file: torshi.dump(value, file, 5), torshi.load, -1),
        "C pickle": (lambda value, file: pickle.dump(value, file, 5), pickle.load, -1),
    }
    if importlib.util.find_spec("joblib"):
        import joblib

        found["joblib"] = (lambda value, file: joblib.dump(value, file, protocol=5), joblib.load, -1)
    return found


def array(megabytes: int) -> Any:
    return np.random.default_rng(13).random((megabytes << 20) // 8)


def timed(folder: Path, value: Any, rounds: int, sync: bool, cold: bool) -> dict[str, dict[str, list[float]]]:
    """Wall times of all rounds, by side and by way."""
    found = ways()
    with tempfile.TemporaryDirectory(dir=folder, prefix="torshi-bench-") as made:
        paths = {name: Path(made, f"{number}.bin") for number, name in enumerate(found)}

        def delete(name: str) -> None:
            paths[name].unlink(missing_ok=True)

        def writer(name: str) -> Callable[[Any], object]:
            dump, _, buffering = found[name]

            def run(_: None) -> None:
                with open(paths[name], "wb", buffering=buffering) as file:
                    dump(value, file)
                    if sync:
                        file.flush()
                        os.fsync(file.fileno())

            return run

        def reader(name: str) -> Callable[[Any], object]:
            _, load, buffering = found[name]

            def run(_: None) -> Any:
                with open(paths[name], "rb", buffering=buffering) as file:
                    return load(file)

            return run

        def evict(name: str) -> None:
            with open(paths[name], "rb") as file:
                if cold:
                    os.fsync(file.fileno())
                    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)

        out = interleaved({name: writer(name) for name in found}, rounds, prepare=delete, clock=time.perf_counter)
        for name in found:
            if not np.array_equal(reader(name)(None), value):
                raise SystemExit(f"{name} reads another array than was written")
        back = interleaved({name: reader(name) for name in found}, rounds, prepare=evict, clock=time.perf_counter)
    return {"dump": out, "load": back}


# Peak memory ----------------------------------------------------------------------------------------------------------

#: What is done in a process of its own, by name: what it is given, and whether the array is to be there already.
OPERATIONS = ("dumps", "dump", "loads", "load")


def _status(key: str) -> int:
    """A figure of this process in kB, as Linux counts it."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(key):
            return int(line.split()[1])
    raise SystemExit(f"the system does not tell {key}")


def _child(operation: str, way: str, path: Path, megabytes: int) -> None:
    """Does one operation and prints by how many kB the peak grew."""
    dump, load, buffering = ways()[way]
    module = {"torshi": torshi, "C pickle": pickle}.get(way)
    run: Callable[[], Any]
    if operation in ("dumps", "dump"):
        value = array(megabytes)
        file = open(path, "wb", buffering=buffering)  # noqa: SIM115 - it ends with the process
        run = (lambda: dump(value, file)) if operation == "dump" else (lambda: module.dumps(value, 5))
    elif operation == "loads":
        data = path.read_bytes()
        run = lambda: module.loads(data)  # noqa: E731
    else:
        file = open(path, "rb", buffering=buffering)  # noqa: SIM115
        run = lambda: load(file)  # noqa: E731
    before = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak begins anew
    result = run()
    print(_status("VmHWM") - before, flush=True)
    del result


def peaks(folder: Path, megabytes: int) -> dict[str, dict[str, float]]:
    """Growth of the peak by operation and way, in units of the array."""
    out: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory(dir=folder, prefix="torshi-bench-") as made:
        value = array(megabytes)
        for name, (dump, _, buffering) in ways().items():
            path = Path(made, name)
            with open(path, "wb", buffering=buffering) as file:
                dump(value, file)
            for operation in OPERATIONS:
                if operation in ("dumps", "loads") and name not in ("torshi", "C pickle"):
                    continue
                target = Path(made, "written") if operation == "dump" else path
                into = target if operation in ("dump", "load", "loads") else Path(made, "unused")
                command = [
                    sys.executable,
                    __file__,
                    "--child",
                    operation,
                    name,
                    str(into),
                    "--megabytes",
                    str(megabytes),
                ]
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                if done.returncode:
                    raise SystemExit(f"{operation} by {name} failed:\n{done.stderr[-2000:]}")
                out.setdefault(operation, {})[name] = int(done.stdout) / (megabytes << 10)
    return out


# Output ---------------------------------------------------------------------------------------------------------------


def lines_of_times(folder: str, both: dict[str, dict[str, list[float]]]) -> list[list[str]]:
    rows = []
    for side in SIDES:
        raw = both[side][RAW]
        for name, times in both[side].items():
            over = [min(times) / min(raw) - 1, 1 / paired(raw, times) - 1]
            rows.append(
                [folder, side, name, f"{min(times):.3f} s", f"{statistics.median(times):.3f} s", f"{max(times):.3f} s"]
                + ([f"{share:+.0%}" for share in over] if name != RAW else ["", ""])
            )
    return rows


HEAD = ["folder", "", "by", "shortest", "median", "longest", "shortest, over bare", "paired, over bare"]


def document(result: dict[str, Any]) -> str:
    """Everything a reader needs beside the figures, as Markdown to be pasted."""
    lines = [machine.paragraph(result["machine"]), ""]
    lines += [f"{result['megabytes']} MB, {result['rounds']} rounds, {result['cache']}.", ""]
    lines += ["| " + " | ".join(HEAD) + " |", "|" + "---|" * len(HEAD)]
    for folder, both in result["seconds"].items():
        lines += ["| " + " | ".join(row) + " |" for row in lines_of_times(folder, both)]
    if result["peaks"]:
        names = list(result["peaks"]["load"])
        lines += ["", "| peak memory, in arrays | " + " | ".join(names) + " |", "|" + "---|" * (len(names) + 1)]
        for operation, row in result["peaks"].items():
            cells = [f"{row[name]:.2f}" if name in row else "-" for name in names]
            lines.append(f"| {operation} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def folders(wanted: list[Path]) -> list[Path]:
    if wanted:
        absent = [str(folder) for folder in wanted if not folder.is_dir()]
        if absent:
            raise SystemExit(f"no folder: {', '.join(absent)}")
        return wanted
    return [folder for folder in (Path("/dev/shm"), Path(tempfile.gettempdir())) if folder.is_dir()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10, help="times each is run (default: 10)")
    parser.add_argument("--megabytes", type=int, default=256, help="size of the array (default: 256)")
    parser.add_argument("--folder", type=Path, action="append", default=[], help="where; may be given several times")
    parser.add_argument("--sync", action="store_true", help="each dump waits until the disk has it")
    parser.add_argument("--cold", action="store_true", help="files are dropped from the page cache before each load")
    parser.add_argument("--no-peaks", action="store_true", help="leave the memory out")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write all rounds there too")
    parser.add_argument("--markdown", metavar="FILE", type=Path, help="write the tables there too")
    parser.add_argument("--child", nargs=3, metavar=("OPERATION", "WAY", "FILE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        operation, way, path = arguments.child
        return _child(operation, way, Path(path), arguments.megabytes)
    places = folders(arguments.folder)
    result: dict[str, Any] = {
        "machine": machine.described(),
        "megabytes": arguments.megabytes,
        "rounds": arguments.rounds,
        "cache": ("dumps wait for the disk, " if arguments.sync else "dumps end in the page cache, ")
        + ("loads begin without it" if arguments.cold else "loads find it there"),
        "peaks": {},
        "seconds": {},
    }
    print(machine.paragraph(result["machine"]))
    print(f"{arguments.megabytes} MB; {result['cache']}\n")
    widths = (10, 6, 11, 9, 9, 9, 20, 18)
    print(" ".join(f"{cell:>{width}}" for cell, width in zip(HEAD, widths, strict=True)))
    # The children first: they would share memory and page cache with a parent that holds the array.
    if not arguments.no_peaks and Path("/proc/self/clear_refs").exists():
        result["peaks"] = peaks(places[0], arguments.megabytes)
    value = array(arguments.megabytes)
    for folder in places:
        both = result["seconds"][str(folder)] = timed(folder, value, arguments.rounds, arguments.sync, arguments.cold)
        for row in lines_of_times(str(folder), both):
            print(" ".join(f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True)), flush=True)
    for operation, row in result["peaks"].items():
        shares = ", ".join(f"{name} {share:.2f}" for name, share in row.items())
        print(f"peak memory of {operation}, in arrays: {shares}")
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if arguments.markdown:
        arguments.markdown.write_text(document(result), encoding="utf-8")
    return None


if __name__ == "__main__":
    main()
