"""Compressed files: frames that ordinary tools unpack to a plain pickle, found out by content, bounded when unpacked.

If these failed, a compressed file could not be read without torshi, a few bytes could fill the memory of who loads
them, or data that does not get smaller would cost the time of compressing it.
"""

from __future__ import annotations

import gzip
import io
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import torshi

LONG = 1 << 20
NOISE = os.urandom(4 * LONG)
VALUE: Any = {"text": ["some words"] * 50_000, "zeros": bytearray(3 * LONG), "noise": NOISE, "more": "x" * (2 * LONG)}

WAYS = {True: "zstd", 19: "zstd", "zstd": "zstd", "zstd:7": "zstd", "lz4": "lz4", "gzip": "gzip", "gzip:1": "gzip"}


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_what_is_saved_is_loaded(tmp_path: Path, way: Any) -> None:
    path = tmp_path / "file"
    torshi.save(VALUE, path, compress=way, metadata="m")
    assert path.stat().st_size < len(NOISE) + LONG // 2
    assert torshi.load(path) == VALUE
    assert torshi.load(path, verify=True) == VALUE
    told = torshi.describe(path)
    assert (told.container, told.metadata) == (WAYS[way], "m")
    torshi.save(VALUE, tmp_path / "plain")
    assert told.digest == torshi.describe(tmp_path / "plain").digest
    assert torshi.verify(path).sealed


@pytest.mark.parametrize("way", ["zstd", "lz4", "gzip"])
@pytest.mark.parametrize("value", [None, [1, 2], VALUE], ids=["none", "small", "large"])
def test_the_ordinary_tool_gives_the_plain_pickle(tmp_path: Path, way: str, value: Any) -> None:
    """If this fails, the manifest is in the way of `zstd -d`, `lz4 -d` or `gzip -d`."""
    if shutil.which(way) is None:
        pytest.skip(f"{way} is not installed")
    path = tmp_path / "file"
    torshi.save(value, path, compress=way)
    done = subprocess.run([way, "-d", "-c"], input=path.read_bytes(), capture_output=True, check=True)
    assert not done.stderr
    assert len(done.stdout) == torshi.describe(path).stream
    assert pickle.loads(done.stdout) == value


def test_python_unpacks_gzip(tmp_path: Path) -> None:
    torshi.save(VALUE, tmp_path / "file", compress="gzip", metadata="m" * 200_000)  # a manifest of several members
    with gzip.open(tmp_path / "file") as file:
        assert pickle.loads(file.read()) == VALUE
    assert torshi.describe(tmp_path / "file").metadata == "m" * 200_000


@pytest.mark.parametrize("way", ["zstd", "lz4", "gzip"])
def test_file_objects(tmp_path: Path, way: str) -> None:
    buffer = io.BytesIO()
    torshi.save(VALUE, buffer, compress=way)
    buffer.seek(0)
    assert torshi.load(buffer) == VALUE
    (tmp_path / "file").write_bytes(buffer.getvalue())
    assert torshi.load(tmp_path / "file") == VALUE
    with open(tmp_path / "file", "rb") as file:
        assert torshi.load(file) == VALUE


def test_others_gzip_files_load_too(tmp_path: Path) -> None:
    path = tmp_path / "file.pkl.gz"
    with gzip.open(path, "wb") as file:
        pickle.dump(VALUE, file)
    assert torshi.load(path) == VALUE
    assert torshi.load(io.BytesIO(path.read_bytes())) == VALUE
    with pytest.raises(torshi.MalformedError, match="no manifest"):
        torshi.load(path, verify=True)
    with pytest.raises(torshi.MalformedError, match="no manifest"):
        torshi.describe(path)
    with gzip.open(path, "wb") as file:
        file.write(b"cos\nsystem\n(S'echo'\ntR.")
    with pytest.raises(torshi.UntrustedError, match=r"os\.system"):
        torshi.load(path)
    with gzip.open(path, "wb") as file:
        file.write(pickle.dumps(VALUE)[:-100])
    with pytest.raises((torshi.MalformedError, EOFError)):
        torshi.load(path)


def test_arrays_of_numbers_come_back(tmp_path: Path) -> None:
    np = pytest.importorskip("numpy")
    array = np.arange(1_000_000) % 1000
    for way in ("zstd", "lz4", "gzip"):
        torshi.save(array, tmp_path / "file", compress=way)
        assert (tmp_path / "file").stat().st_size < array.nbytes / 2
        loaded = torshi.load(tmp_path / "file")
        assert (loaded == array).all()
        assert loaded.flags.writeable


def test_noise_is_stored_as_it_is(tmp_path: Path) -> None:
    """If this fails, random data is compressed in vain: the frames would be as long, and take many times as long."""
    for way in ("zstd:19", "gzip:9", "lz4"):
        torshi.save([NOISE], tmp_path / "file", compress=way)
        assert len(NOISE) < (tmp_path / "file").stat().st_size < len(NOISE) * 1.002 + 2000
        # Some of it stands in the file as it is.
        assert NOISE[1000:1100] in (tmp_path / "file").read_bytes()


@pytest.mark.parametrize("way", ["zstd", "lz4", "gzip"])
def test_bombs_are_bounded(tmp_path: Path, way: str) -> None:
    path = tmp_path / "file"
    torshi.save(bytes(100 << 20), path, compress=way, key=False)
    assert path.stat().st_size < 1 << 20
    with pytest.raises(torshi.LimitError, match="unpacks to") as caught:
        torshi.load(path)
    assert caught.value.limit == "stream"
    assert len(torshi.load(path, limits=torshi.Limits(stream=200 << 20))) == 100 << 20
    with pytest.raises(torshi.LimitError):
        torshi.load(path, limits=torshi.Limits(stream=50 << 20))
    # The same with nothing that says how much it will be.
    packed = io.BytesIO(path.read_bytes()[: -(torshi.describe(path).size // 2)])
    with pytest.raises(torshi.UnpicklingError):
        torshi.load(packed)
    # One's own seal vouches for it.
    torshi.save(bytes(100 << 20), path, compress=way)
    assert len(torshi.load(path)) == 100 << 20


def test_a_bomb_without_a_manifest(tmp_path: Path) -> None:
    path = tmp_path / "file.gz"
    with gzip.open(path, "wb", compresslevel=9) as file:
        file.write(b"\x80\x05B" + (200 << 20).to_bytes(4, "little") + bytes(200 << 20) + b".")
    with pytest.raises(torshi.LimitError, match="unpacks to"):
        torshi.load(path)


@pytest.mark.parametrize("way", ["zstd", "lz4", "gzip"])
def test_every_flipped_byte_and_truncation(tmp_path: Path, way: str) -> None:
    path = tmp_path / "file"
    value = {"a": [1, "two", b"three"] * 5, "b": None}
    torshi.save(value, path, compress=way)
    data = path.read_bytes()
    for at in range(len(data)):
        for mask in (1, 0x80, 0xFF):
            path.write_bytes(data[:at] + bytes([data[at] ^ mask]) + data[at + 1 :])
            try:
                assert torshi.load(path) == value, at
            except (torshi.UnpicklingError, EOFError):
                continue
    for length in range(len(data)):
        path.write_bytes(data[:length])
        try:
            assert torshi.load(path) == value, length
        except (torshi.UnpicklingError, EOFError):
            continue


@pytest.mark.parametrize("bad", [0, 20, -1, "zip", "zstd:20", "zstd:", "zstd:x", "lz4:3", "gzip:10", "plain", ""])
def test_what_there_is_not_is_refused_before_anything_is_written(tmp_path: Path, bad: Any) -> None:
    with pytest.raises(ValueError, match=r"compression|levels"):
        torshi.save(1, tmp_path / "file", compress=bad)
    with pytest.raises(TypeError, match="compress is"):
        torshi.save(1, tmp_path / "file", compress=2.5)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_the_command_line_looks_inside(tmp_path: Path) -> None:
    for way in (None, "zstd", "lz4", "gzip"):
        torshi.save({"needle": [1, 2]}, tmp_path / "file", compress=way)
        assert torshi.inspect(tmp_path / "file").error is None
        torshi.check(tmp_path / "file")
        command = [sys.executable, "-m", "torshi", "show", str(tmp_path / "file")]
        done = subprocess.run(command, capture_output=True, text=True)
        assert "needle" in done.stdout
        assert (done.returncode, done.stderr) == (0, "")
