"""Scanners of pickle files, side by side: torshi, picklescan, fickling and modelscan.

How many hostile files each finds, raw and in containers, how often it cries at harmless ones, and how fast it is. Every
tool runs in child processes of its own with a limit of time for each file; a file that makes it crash or run over the
limit counts as such, and the next file gets a new child. A tool that says that it cannot tell counts as `undecided`.

The hostile files are tests/attacks/corpus and any folder given; some only break a load and call nothing, which a
scanner may well call undecided. The harmless ones are the values of `workloads.py` (their own classes left out: no
scanner knows them) and any folder given. Scanners that go by a file's name get the usual one.

Examples:
  scanners.py                                            detection and false alarms, then speed
  scanners.py --attacks corpus/malicious --benign corpus/benign --skip speed
  scanners.py --python peers/bin/python --json scanners.json --markdown scanners.md
"""

from __future__ import annotations

import argparse
import json
import pickle
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "tests"))

TOOLS = ["torshi", "picklescan", "fickling", "modelscan"]
VERDICTS = ["found", "nothing", "undecided", "crashed", "too slow"]
#: What is wrapped into every container: enough kinds of attack, few enough to wait for.
WRAPPED = 25
#: The usual name of each container of tests/containers.py that a tool which goes by names must see.
SUFFIXES = {"zip": ".zip", "npz": ".npz", "npy": ".npy", "tar": ".tar", "gzip": ".gz", "bzip2": ".bz2", "xz": ".xz"}


# -- children: one tool, paths on standard input, a verdict a line on standard output


def _torshi() -> Callable[[str], str]:
    import torshi

    words = {"findings": "found", "no findings": "nothing", "undecided": "undecided"}
    return lambda path: words[torshi.scan(path, jobs=1).verdict]


def _picklescan() -> Callable[[str], str]:
    from picklescan.scanner import scan_file_path

    def look(path: str) -> str:
        result = scan_file_path(path)
        return "found" if result.issues_count else "undecided" if result.scan_err else "nothing"

    return look


def _fickling() -> Callable[[str], str]:
    import fickling

    sys.setrecursionlimit(20_000)

    def look(path: str) -> str:
        try:
            return "nothing" if fickling.is_likely_safe(path) else "found"
        except Exception:
            return "undecided"

    return look


def _modelscan() -> Callable[[str], str]:
    from modelscan.modelscan import ModelScan

    def look(path: str) -> str:
        summary = ModelScan().scan(path)
        if summary["summary"]["total_issues"]:
            return "found"
        return "undecided" if summary["errors"] or not summary["summary"]["scanned"]["total_scanned"] else "nothing"

    return look


LOOKS = {"torshi": _torshi, "picklescan": _picklescan, "fickling": _fickling, "modelscan": _modelscan}


def child(tool: str) -> None:
    """Answers each path of standard input with a verdict and the seconds of wall clock and of processor time."""
    out = sys.stdout
    sys.stdout = sys.stderr  # tools print what they like
    look = LOOKS[tool]()
    print("ready", file=out, flush=True)
    for line in sys.stdin:
        wall, processor = time.perf_counter(), time.process_time()
        verdict = look(line.rstrip("\n"))
        print(verdict, time.perf_counter() - wall, time.process_time() - processor, file=out, flush=True)


class Child:
    """A child process, started anew whenever it has died or been ended."""

    def __init__(self, tool: str, python: str) -> None:
        self._command = [python if tool != "torshi" else sys.executable, __file__, "--child", tool]
        self._process: subprocess.Popen[str] | None = None
        self._lines: queue.Queue[str] = queue.Queue()

    def _start(self) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        lines: queue.Queue[str] = queue.Queue()

        def pump() -> None:
            assert process.stdout is not None
            for line in process.stdout:
                lines.put(line)
            lines.put("")

        threading.Thread(target=pump, daemon=True).start()
        if lines.get(timeout=120) != "ready\n":
            raise RuntimeError(f"{self._command} does not start")
        self._process, self._lines = process, lines
        return process

    def ask(self, path: Path, limit: float) -> tuple[str, float, float]:
        process = self._process or self._start()
        assert process.stdin is not None
        try:
            process.stdin.write(f"{path}\n")
            process.stdin.flush()
            answer = self._lines.get(timeout=limit)
        except queue.Empty:
            self.end()
            return "too slow", limit, limit
        except BrokenPipeError:
            answer = ""
        if not answer:
            self.end()
            return "crashed", 0.0, 0.0
        verdict, wall, processor = answer.split()
        return verdict, float(wall), float(processor)

    def end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


# -- what is scanned


def hostile(folders: Iterable[Path]) -> dict[str, list[Path]]:
    return {
        str(folder): sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".json")
        for folder in folders
    }


def harmless(into: Path) -> list[Path]:
    """The values of the benchmarks that are made of builtin and standard types and numpy's."""
    import torshi
    from suites import SUITES

    sys.setrecursionlimit(20_000)
    made = []
    for suite in SUITES["short"]:
        for number, workload in enumerate(suite()):
            if workload.trust is None:
                path = into / f"{suite.__name__}_{number}.pkl"
                path.write_bytes(torshi.dumps(workload.make()))
                made.append(path)
    return made


def wrapped(into: Path) -> dict[str, list[Path]]:
    """Every so many attacks of the corpus in each container."""
    import torshi
    from attacks.make import corpus, is_written
    from containers import CONTAINERS

    cases = [case for case in corpus().values() if is_written(case) and not case.trust]
    refused = [case for case in cases if torshi.scan_bytes(case.data).verdict == "findings"]
    chosen = refused[:: max(1, len(refused) // WRAPPED)]
    made: dict[str, list[Path]] = {}
    for container, wrap in CONTAINERS.items():
        suffix = next((suffix for start, suffix in SUFFIXES.items() if container.startswith(start)), ".pkl")
        folder = into / container.replace(" ", "_").replace(",", "")
        folder.mkdir()
        for number, case in enumerate(chosen):
            (folder / f"{number}{suffix}").write_bytes(wrap(case.data))
        made[container] = sorted(folder.iterdir())
    return made


# -- the tables


def counted(tools: dict[str, Child], groups: dict[str, list[Path]], limit: float) -> list[dict[str, Any]]:
    rows = []
    for group, paths in groups.items():
        for tool, asked in tools.items():
            counts = Counter(asked.ask(path, limit)[0] for path in paths)
            rows.append({"files": group, "tool": tool, "of": len(paths), **{word: counts[word] for word in VERDICTS}})
            print(f"{group[-48:]:48} {tool:12} {counts['found']:4} of {len(paths):4}  {dict(counts)}", flush=True)
    return rows


def speed(tools: dict[str, Child], into: Path, limit: float, array_bytes: int) -> list[dict[str, Any]]:
    import numpy as np

    from large import api_documents

    files = {"object-dense, 50 MB": into / "documents.pkl", "one array, 1 GB": into / "array.pkl"}
    one = len(pickle.dumps(api_documents(100), 5)) / 100
    files["object-dense, 50 MB"].write_bytes(pickle.dumps(api_documents(int(50e6 / one)), 5))
    with open(files["one array, 1 GB"], "wb") as file:
        pickle.dump(np.random.default_rng(1).standard_normal(array_bytes // 8), file, 5)
    rows = []
    for what, path in files.items():
        for tool, asked in tools.items():
            runs = [asked.ask(path, limit)]
            while len(runs) < 3 and runs[0][2] < 10:
                runs.append(asked.ask(path, limit))
            verdict, wall, processor = min(runs, key=lambda run: run[2])
            rate = path.stat().st_size / 1e6 / max(processor, 1e-9) if verdict in VERDICTS[:3] else None
            row = {"files": what, "tool": tool, "seconds": wall, "processor": processor, "MB/s": rate, "said": verdict}
            rows.append(row)
            print(f"{what:24} {tool:12} {processor:8.2f} s  {rate and round(rate)} MB/s  {verdict}", flush=True)
            asked.end()
        path.unlink()
    return rows + folder_speed(tools, into, limit)


def folder_speed(tools: dict[str, Child], into: Path, limit: float) -> list[dict[str, Any]]:
    """2,000 files of 50 kB: torshi with one and two threads, the others file by file in one process."""
    import torshi
    from large import api_documents

    folder = into / "folder"
    folder.mkdir()
    for number in range(2000):
        (folder / f"{number}.pkl").write_bytes(torshi.dumps(api_documents(40 + number % 7)))
    rows = []
    for jobs in (1, 2):
        began = time.perf_counter()
        torshi.scan(folder, jobs=jobs)
        rows.append({"files": "2,000 files", "tool": f"torshi, {jobs} jobs", "seconds": time.perf_counter() - began})
    for tool, asked in tools.items():
        if tool != "torshi":
            began, done = time.perf_counter(), 0
            for path in folder.iterdir():
                asked.ask(path, limit)
                done += 1
                if time.perf_counter() - began > limit:
                    break
            rows.append({"files": "2,000 files", "tool": tool, "seconds": (time.perf_counter() - began) * 2000 / done})
    for row in rows:
        print(f"{row['files']:24} {row['tool']:16} {row['seconds']:8.2f} s", flush=True)
    return rows


def markdown(tables: dict[str, list[dict[str, Any]]]) -> str:
    text = []
    for title, rows in tables.items():
        if not rows:
            continue
        columns = list(dict.fromkeys(key for row in rows for key in row))
        text += [f"### {title}", "", "| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
        for row in rows:
            cells = (row.get(column) for column in columns)
            shown = ("" if cell is None else f"{cell:.3g}" if isinstance(cell, float) else str(cell) for cell in cells)
            text.append("| " + " | ".join(shown) + " |")
        text.append("")
    return "\n".join(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--attacks", metavar="DIR", type=Path, action="append", default=[], help="more hostile files")
    parser.add_argument("--benign", metavar="DIR", type=Path, action="append", default=[], help="more harmless files")
    parser.add_argument("--python", metavar="PATH", default=sys.executable, help="interpreter that has the other tools")
    parser.add_argument("--tools", metavar="NAMES", default=",".join(TOOLS), help="which tools, separated by commas")
    parser.add_argument(
        "--skip", metavar="PART", action="append", default=[], help="attacks, containers, benign, speed"
    )
    parser.add_argument("--limit", metavar="SECONDS", type=float, default=60, help="for one file; default: 60")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the tables as JSON")
    parser.add_argument("--markdown", metavar="FILE", type=Path, help="write the tables as Markdown")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments.child)
        return
    tools: dict[str, Child] = {}
    for tool in arguments.tools.split(","):
        asked = Child(tool, arguments.python)
        try:
            asked.ask(Path(__file__), 120)
            tools[tool] = asked
        except RuntimeError:
            print(f"{tool} is not installed in {arguments.python}, and left out", file=sys.stderr)
    tables: dict[str, list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        into = Path(folder)
        for name in ("containers", "benign", "speed"):
            (into / name).mkdir()
        if "attacks" not in arguments.skip:
            groups = hostile([ROOT / "tests" / "attacks" / "corpus", *arguments.attacks])
            tables["Hostile files found"] = counted(tools, groups, arguments.limit)
        if "containers" not in arguments.skip:
            tables["Hostile files found in containers"] = counted(tools, wrapped(into / "containers"), arguments.limit)
        if "benign" not in arguments.skip:
            groups = {"values of the benchmarks": harmless(into / "benign"), **hostile(arguments.benign)}
            tables["Harmless files"] = counted(tools, groups, arguments.limit)
        if "speed" not in arguments.skip:
            tables["Speed"] = speed(tools, into / "speed", arguments.limit, 10**9)
    for asked in tools.values():
        asked.end()
    if arguments.json:
        arguments.json.write_text(json.dumps(tables, indent=2), encoding="utf-8")
    if arguments.markdown:
        arguments.markdown.write_text(markdown(tables), encoding="utf-8")


if __name__ == "__main__":
    main()
