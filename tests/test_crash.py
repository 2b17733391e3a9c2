"""Files after the process that wrote them was killed, and on a disk that is full.

If these failed, a save could leave half a file, or none, where there was a whole one. tests/crash.py kills more often,
and other writers too.
"""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import torshi

CRASH = Path(__file__).parent / "crash.py"
OLD = {"old": list(range(1000))}


def crash(*writers: str, kills: int) -> list[dict[str, Any]]:
    command = [sys.executable, str(CRASH), "--kills", str(kills), "--writers", *writers]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_killed_at_any_moment() -> None:
    """The old file or the new one, whole; and nothing beside it once another save has been."""
    for counts in crash("torshi", "torshi, compressed", kills=40):
        assert (counts["whole"], counts["lost"]) == (40, 0)
        assert counts["most litter at once"] <= 1
        assert counts["litter in the end"] == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_the_test_sees_what_is_lost() -> None:
    """Writing in place must lose files here, or the test above could not fail."""
    (counts,) = crash("pickle", kills=40)
    assert counts["lost"] > 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of four megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    try:
        mounted = sys.platform.startswith("linux") and subprocess.run(mount, capture_output=True).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("mounting a small disk is not permitted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize(
    "value", [bytes(8 << 20), bytearray(8 << 20), ["text" * 100_000] * 3 + [str(n) for n in range(900_000)]]
)
def test_a_full_disk_leaves_the_old_file(small_disk: Path, value: Any) -> None:
    path = small_disk / "file"
    torshi.save(OLD, path)
    with pytest.raises(OSError, match="No space left") as caught:
        torshi.save(value, path)
    assert caught.value.errno == errno.ENOSPC
    assert torshi.load(path) == OLD
    assert os.listdir(small_disk) == ["file"]
    # And the room it took is free again.
    torshi.save(bytes(2 << 20), path)
    assert torshi.load(path) == bytes(2 << 20)


def test_a_disk_that_fills_up_with_the_manifest(small_disk: Path) -> None:
    path = small_disk / "file"
    torshi.save(OLD, path)
    with pytest.raises(OSError, match="No space left"):
        torshi.save([], path, metadata="m" * (5 << 20))
    assert torshi.load(path) == OLD
    assert os.listdir(small_disk) == ["file"]


def test_a_file_that_may_not_grow(tmp_path: Path) -> None:
    """The limit of a process on the size of files is an error like a full disk."""
    program = f"""
import resource, signal
import torshi
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
path = {str(tmp_path / "file")!r}
torshi.save("old", path)
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, resource.RLIM_INFINITY))
try:
    torshi.save(bytes(4 << 20), path)
except OSError as error:
    print(error.errno)
print(torshi.load(path))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(errno.EFBIG), "old"]
    assert os.listdir(tmp_path) == ["file"]
