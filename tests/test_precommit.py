"""The pre-commit hooks, run by pre-commit in a scratch repository.

If these failed, a commit would be stopped for nothing, or a hostile file would get in.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import torshi

ROOT = Path(__file__).parents[1]


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    """A repository of hooks beside a repository that uses them, and a HOME of their own."""
    hooks, work = tmp_path / "hooks", tmp_path / "work"
    for folder in (hooks, work):
        folder.mkdir()
        git(folder, "init", "--quiet")
    shutil.copy(ROOT / ".pre-commit-hooks.yaml", hooks)
    git(hooks, "add", ".")
    git(hooks, "commit", "--quiet", "--message", "hooks")
    (work / "good.pkl").write_bytes(torshi.dumps({"a": 1}))
    (work / "readme.txt").write_text("hello\n")
    return work


def environment(home: Path) -> dict[str, str]:
    names = {f"GIT_{who}_{what}": "x@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {"PATH": path, "HOME": str(home), "PRE_COMMIT_HOME": str(home / "cache"), "LC_ALL": "C.UTF-8", **names}


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=folder, env=environment(folder.parent), check=True, timeout=60)


def hook(work: Path) -> subprocess.CompletedProcess[str]:
    git(work, "add", ".")
    command = [sys.executable, "-m", "pre_commit", "try-repo", "../hooks", "torshi-scan-system", "--all-files"]
    return subprocess.run(command, cwd=work, env=environment(work.parent), capture_output=True, text=True, timeout=120)


def test_harmless_files_pass(scratch: Path) -> None:
    done = hook(scratch)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Passed" in done.stdout


def test_a_hostile_file_stops_the_commit_whatever_its_name(scratch: Path) -> None:
    (scratch / "weights.safetensors").write_bytes(b"cposix\nsystem\n(S'true'\ntR.")
    done = hook(scratch)
    assert done.returncode == 1
    assert "weights.safetensors: 1 finding" in done.stdout
    assert "T101 posix.system is not trusted" in done.stdout


def test_both_hooks_run_the_same_command() -> None:
    text = (ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8")
    assert text.count("entry: torshi scan --no-progress\n") == 2
    assert text.count("language: ") == 2
