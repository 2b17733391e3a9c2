"""Arrays that stay in the file: mapped privately, read when touched, checked as far as a check has to see them.

If these failed, loading a large array would take its size in memory, writing to one would change the file, or a check
would have gone by bytes that somebody could change after it.
"""

from __future__ import annotations

import gc
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import torshi

np = pytest.importorskip("numpy")

LONG = 1 << 20
if not sys.platform.startswith("linux"):
    pytest.skip("memory is read from /proc", allow_module_level=True)


def is_mapped(array: Any, path: Path) -> bool:
    """Whether the memory of an array is a mapping of the file."""
    start = array.__array_interface__["data"][0]
    with open("/proc/self/maps") as maps:
        for line in maps:
            bounds, _, _, _, inode, *_ = line.split()
            low, high = (int(bound, 16) for bound in bounds.split("-"))
            if low <= start < high:
                return int(inode) == path.stat().st_ino
    return False


class Holder:
    """Hands its memory over as a buffer."""

    def __init__(self, held: Any) -> None:
        self.held = held

    def __reduce_ex__(self, protocol: Any) -> Any:
        return Holder, (pickle.PickleBuffer(self.held),)


ARRAYS = {
    "floats": np.arange(400_000, dtype=np.float64),
    "matrix": np.arange(400_000, dtype=np.int32).reshape(1000, 400),
    "fortran": np.asfortranarray(np.arange(400_000.0).reshape(1000, 400)),
    "structured": np.zeros(100_000, dtype=[("a", "i4"), ("b", "f8")]),
    "complex": np.ones(200_000, dtype=complex),
    "big endian": np.arange(400_000).astype(">i8"),
    "bools": np.ones(2 * LONG, dtype=bool),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_stay_in_the_file(tmp_path: Path, name: str) -> None:
    path, array = tmp_path / "file", ARRAYS[name]
    torshi.save([array, "between", array + array if array.dtype.names is None else array.copy()], path)
    for loaded in torshi.load(path)[::2]:
        assert is_mapped(loaded, path)
        assert loaded.flags.writeable
        assert loaded.flags.aligned
        assert loaded.__array_interface__["data"][0] % 64 == 0
    first = torshi.load(path, verify=True)[0]
    assert is_mapped(first, path)
    assert (first == array).all()
    assert (first.dtype, first.shape, first.strides) == (array.dtype, array.shape, array.strides)
    copied = torshi.load(path, mmap=False)[0]
    assert not is_mapped(copied, path)
    assert (copied == array).all()
    with open(path, "rb") as file:
        assert (pickle.load(file)[0] == array).all()


def test_writing_changes_memory_alone(tmp_path: Path) -> None:
    path = tmp_path / "file"
    torshi.save([ARRAYS["floats"], ARRAYS["floats"].copy()], path)
    before = path.read_bytes()
    one, two = torshi.load(path)
    one += 1
    assert (two == ARRAYS["floats"]).all()
    assert (torshi.load(path)[0] == ARRAYS["floats"]).all()
    assert path.read_bytes() == before


def test_readonly_arrays_stay_readonly(tmp_path: Path) -> None:
    array = np.arange(400_000.0)
    array.flags.writeable = False
    torshi.save(array, tmp_path / "file")
    loaded = torshi.load(tmp_path / "file")
    assert is_mapped(loaded, tmp_path / "file")
    assert not loaded.flags.writeable


def test_bytes_stay_bytes(tmp_path: Path) -> None:
    """If this fails, a bytearray comes back as something that only looks like one."""
    value = [bytes(2 * LONG), bytearray(2 * LONG), {"key": bytearray(LONG)}]
    torshi.save(value, tmp_path / "file")
    loaded = torshi.load(tmp_path / "file")
    assert [type(loaded[0]), type(loaded[1]), type(loaded[2]["key"])] == [bytes, bytearray, bytearray]
    loaded[1] += b"more"
    assert loaded[0] == value[0]


def test_small_arrays_and_other_pickles_are_read(tmp_path: Path) -> None:
    path = tmp_path / "file"
    torshi.save(np.arange(1000), path)
    assert not is_mapped(torshi.load(path), path)
    path.write_bytes(pickle.dumps(ARRAYS["floats"], 5))
    assert not is_mapped(torshi.load(path), path)


def test_an_array_outlives_the_file_and_its_neighbours(tmp_path: Path) -> None:
    path = tmp_path / "file"
    torshi.save([ARRAYS["floats"], ARRAYS["floats"] * 2], path)
    second = torshi.load(path)[1]
    torshi.save("something else", path)
    os.unlink(path)
    gc.collect()
    assert (second == ARRAYS["floats"] * 2).all()


def test_no_descriptor_is_kept(tmp_path: Path) -> None:
    torshi.save(ARRAYS["floats"], tmp_path / "file")
    before = len(os.listdir("/proc/self/fd"))
    held = [torshi.load(tmp_path / "file") for _ in range(50)]
    assert len(os.listdir("/proc/self/fd")) == before
    del held


def test_mappings_go_with_their_arrays(tmp_path: Path) -> None:
    path = tmp_path / "file"
    torshi.save(ARRAYS["floats"], path)
    inode = str(path.stat().st_ino)

    def count() -> int:
        with open("/proc/self/maps") as maps:
            return sum(line.split()[4] == inode for line in maps)

    held = [torshi.load(path) for _ in range(5)]
    assert count() == 5
    del held
    gc.collect()
    assert count() == 0


def test_damage_of_a_mapped_buffer_shows_when_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "file"
    torshi.save(ARRAYS["floats"], path)
    data = bytearray(path.read_bytes())
    at = torshi.describe(path).buffers[0].offset
    data[at + 8 * 100] ^= 1
    path.write_bytes(data)
    assert torshi.load(path)[100] != 100.0
    for way in ({"verify": True}, {"mmap": False}):
        with pytest.raises(torshi.MalformedError, match="the buffer at byte"):
            torshi.load(path, **way)


def test_a_cut_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    torshi.save(ARRAYS["floats"], path)
    data = path.read_bytes()
    for size in (len(data) - 1, len(data) - 5000, LONG // 2):
        path.write_bytes(data[:size])
        with pytest.raises(torshi.UnpicklingError):
            torshi.load(path)
    # A tail that fits, and a buffer less.
    path.write_bytes(data[:1000] + data[5096:])
    with pytest.raises(torshi.MalformedError, match="lengths"):
        torshi.load(path)


# -- libraries


def test_pandas(tmp_path: Path) -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"a": np.arange(300_000.0), "b": np.arange(300_000.0) * 2, "c": np.arange(300_000)})
    path = tmp_path / "file"
    torshi.save(frame, path)
    loaded = torshi.load(path)
    pd.testing.assert_frame_equal(loaded, frame)
    assert is_mapped(loaded["a"].to_numpy(), path)
    assert is_mapped(loaded["c"].to_numpy(), path)
    torshi.save(frame["c"], path)
    assert is_mapped(torshi.load(path).to_numpy(), path)


def test_what_a_check_looks_at_is_not_left_in_the_file(tmp_path: Path) -> None:
    """If this fails, an index array could be changed after it was checked, and scipy would read outside its arrays."""
    sparse = pytest.importorskip("scipy.sparse")
    matrix = sparse.random(20_000, 1000, density=0.02, format="csr", random_state=1)
    assert matrix.indices.nbytes > LONG
    path = tmp_path / "file"
    torshi.save(matrix, path)
    loaded = torshi.load(path)
    assert (loaded != matrix).nnz == 0
    assert not is_mapped(loaded.indices, path)
    assert is_mapped(loaded.data, path)
    # The same file with an index outside, whose digests agree: the check sees it.
    matrix.indices[5] = 10**6
    torshi.save(matrix, path)
    with pytest.raises(torshi.UntrustedError):
        torshi.load(path)


def test_floats_that_a_check_looks_at_are_copied_too(tmp_path: Path) -> None:
    interpolate = pytest.importorskip("scipy.interpolate")
    knots = np.concatenate([[0.0] * 3, np.linspace(0, 1, 200_000), [1.0] * 3])
    spline = interpolate.BSpline(knots, np.ones(len(knots) - 4), 3)
    path = tmp_path / "file"
    torshi.save(spline, path)
    loaded = torshi.load(path)
    assert loaded(0.5) == spline(0.5)
    assert not is_mapped(loaded.t, path)
    spline.t[1000] = 5.0
    torshi.save(spline, path)
    with pytest.raises(torshi.UntrustedError):
        torshi.load(path)


def test_classes_of_ones_own_get_the_buffer(tmp_path: Path) -> None:
    path = tmp_path / "file"
    torshi.save(Holder(bytearray(b"x" * LONG)), path)
    for way in ({}, {"trust": torshi.unrestricted("the test wrote it")}):
        loaded = torshi.load(path, **way)
        assert isinstance(loaded.held, memoryview)
        loaded.held[:3] = b"abc"
        assert bytes(loaded.held[:4]) == b"abcx"
    assert isinstance(torshi.load(path, mmap=False).held, bytearray)


def test_pyarrow(tmp_path: Path) -> None:
    """Equal, and read: its rules look at everything."""
    pa = pytest.importorskip("pyarrow")
    path = tmp_path / "file"
    buffer = pa.py_buffer(os.urandom(2 * LONG))
    torshi.save([buffer], path)
    loaded = torshi.load(path)[0]
    assert loaded.equals(buffer)
    table = pa.table({"numbers": pa.array(np.arange(400_000)), "text": pa.array([str(n) for n in range(400_000)])})
    torshi.save(table, path)
    assert torshi.load(path).equals(table)


# -- memory

CHILD = """
import os, resource, sys
import numpy as np
import torshi

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

path, way = sys.argv[1:]
if way == "save":
    array = np.ones(16 << 20)
    torshi.save(1, path)
    before = peak()
    torshi.save([array, array[1:], memoryview(array).cast("B").tobytes()[:0]], path)
    print(peak() - before)
else:
    torshi.load(path, mmap=False) if way == "warm" else None
    before = resident()
    loaded = torshi.load(path)
    print(resident() - before)
"""


def child(path: Path, way: str) -> int:
    done = subprocess.run([sys.executable, "-c", CHILD, str(path), way], capture_output=True, text=True, check=True)
    return int(done.stdout)


def test_memory_of_saves_and_loads(tmp_path: Path) -> None:
    """128 MiB twice: neither is copied on its way out, nor read on its way in."""
    path = tmp_path / "file"
    assert child(path, "save") < 16 << 20
    assert path.stat().st_size > 256 << 20
    assert child(path, "load") < 8 << 20
