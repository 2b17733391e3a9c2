"""The two scripts every tutorial of pickle begins with, with torshi in pickle's place.

If these failed, `import torshi as pickle` would not be a way to start.
"""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import pytest

SAVE = """\
import {module} as pickle

data = {{'name': 'John Doe', 'age': 30, 'courses': ['Math', 'Science']}}
with open('data.pkl', 'wb') as file:
    pickle.dump(data, file)
"""
LOAD = """\
import {module} as pickle

with open('data.pkl', 'rb') as file:
    loaded_data = pickle.load(file)
print(loaded_data)
"""
PRINTED = "{'name': 'John Doe', 'age': 30, 'courses': ['Math', 'Science']}\n"


def run(script: str, module: str, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script.format(module=module)],
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize("reader", ["torshi", "pickle"])
@pytest.mark.parametrize("writer", ["torshi", "pickle"])
def test_save_in_one_script_and_load_in_the_other(writer: str, reader: str, tmp_path: Path) -> None:
    assert run(SAVE, writer, tmp_path) == ""
    assert run(LOAD, reader, tmp_path) == PRINTED


def test_both_write_the_same_file_at_the_same_protocol(tmp_path: Path) -> None:
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        files = []
        for module in ("torshi", "pickle"):
            script = SAVE.replace("pickle.dump(data, file)", f"pickle.dump(data, file, {protocol})")
            run(script, module, tmp_path)
            files.append((tmp_path / "data.pkl").read_bytes())
        assert files[0] == files[1]
