"""The examples, the demo and the benchmark, run as a reader would run them.

If these failed, the first thing a newcomer copies would not work.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"

LAST_LINES = {
    "cached_function.py": "after a change of the data: 3 numbers, computed 2 times",
    "cache_result.py": "168 primes, after someone changed the file",
    "demo.py": "Everything above was checked while it was shown.",
    "keep_model.py": "the loaded model predicts the same: True",
    "over_socket.py": "the sum is 10",
    "save_state.py": "Ada goes on at level 2 with lamp",
    "two_processes.py": "task 1: 2 words",
}


def test_every_example_is_run() -> None:
    assert sorted(LAST_LINES) == sorted(path.name for path in EXAMPLES.glob("*.py"))


@pytest.mark.parametrize("name", sorted(LAST_LINES))
def test_example(name: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / name)], capture_output=True, text=True, cwd=tmp_path, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == LAST_LINES[name]
    assert done.stderr == ""
    assert list(tmp_path.iterdir()) == []


def test_the_benchmark_runs_and_finds_the_same_bytes_and_values(tmp_path: Path) -> None:
    # Once each: figures of a busy machine would say nothing, and none is asserted.
    speed = EXAMPLES.parent / "benchmarks" / "speed.py"
    done = subprocess.run(
        [sys.executable, str(speed), "--rounds", "1"], capture_output=True, text=True, cwd=tmp_path, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith("loads: geometric mean ")
