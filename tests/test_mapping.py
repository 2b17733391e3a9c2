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
    """Whether the memory of an array, or a buffer of Arrow, is a mapping of the file."""
    start = array.address if hasattr(array, "address") else array.__array_interface__["data"][0]
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


class Restored:
    """Comes back as an array of Arrow of any parts, which Arrow's own constructors would look at."""

    def __init__(
        self,
        kind: Any,
        length: int,
        nulls: int | None,
        buffers: Any,
        offset: int = 0,
        children: Any = (),
        words: Any = None,
    ) -> None:
        parts = [child.__reduce__()[1][0] for child in children]
        dictionary = None if words is None else words.__reduce__()[1][0]
        self.data = (kind, length, 0 if nulls is None else nulls, offset, list(buffers), parts, dictionary)

    def __reduce__(self) -> Any:
        return pytest.importorskip("pyarrow").lib._restore_array, (self.data,)


def arrow_cases() -> dict[str, tuple[Any, list[bool | None]]]:
    """Arrays of Arrow, and which of their buffers (None: there is none) nothing has to look into."""
    pa = pytest.importorskip("pyarrow")
    numbers = np.arange(1_200_000)
    holes = numbers % 7 == 0
    text = pa.array([f"number {n}" for n in range(300_000)])
    return {
        "integers": (pa.array(numbers), [None, True]),
        "floats": (pa.array(numbers.astype(np.float32)), [None, True]),
        "bools": (pa.array(np.tile(holes, 8)), [None, True]),
        "dates": (pa.array(numbers, type=pa.timestamp("us")), [None, True]),
        "decimals": (pa.array(numbers[:100_000]).cast(pa.decimal128(20, 0)), [None, True]),
        "nulls": (pa.array(np.tile(numbers, 8), mask=np.tile(holes, 8)), [False, True]),
        "text": (text, [None, False, False]),
        "bytes": (text.cast(pa.large_binary()), [None, False, True]),
        "dictionary": (pa.DictionaryArray.from_arrays(pa.array(numbers % 3), ["a", "b", "c"]), [None, False]),
        "lists": (
            pa.ListArray.from_arrays(pa.array(np.arange(0, 1_200_001, 4, dtype=np.int32)), numbers),
            [None, False, None, True],
        ),
        "structs": (
            pa.StructArray.from_arrays([pa.array(numbers), text.take(pa.array(numbers % 1000))], ["n", "t"]),
            [None, None, True, None, False, False],
        ),
        "a slice": (pa.array(numbers)[1000:600_000], [None, True]),
    }


@pytest.mark.parametrize(
    "name",
    [
        "integers",
        "floats",
        "bools",
        "dates",
        "decimals",
        "nulls",
        "text",
        "bytes",
        "dictionary",
        "lists",
        "structs",
        "a slice",
    ],
)
def test_pyarrow(tmp_path: Path, name: str) -> None:
    """If this fails, Arrow reads what somebody could change after it was checked, or numbers are copied for nothing."""
    array, expected = arrow_cases()[name]
    path = tmp_path / "file"
    torshi.save(array, path)
    loaded = torshi.load(path)
    loaded.validate(full=True)
    assert loaded.equals(array)
    assert [buffer and is_mapped(buffer, path) for buffer in loaded.buffers()] == expected
    assert torshi.load(path, verify=True).equals(array)
    copied = torshi.load(path, mmap=False)
    assert not any(buffer and is_mapped(buffer, path) for buffer in copied.buffers())
    with open(path, "rb") as file:
        assert pickle.load(file).equals(array)


def test_tables_of_arrow(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    pd = pytest.importorskip("pandas")
    path = tmp_path / "file"
    buffer = pa.py_buffer(os.urandom(2 * LONG))
    table = pa.table({"numbers": pa.array(np.arange(400_000)), "text": pa.array([f"text {n}" for n in range(400_000)])})
    frame = pd.DataFrame({"a": pd.array(np.arange(400_000), dtype="int64[pyarrow]"), "b": np.arange(400_000.0)})
    torshi.save([buffer, table, frame], path)
    loaded = torshi.load(path)
    assert loaded[0].equals(buffer)
    assert is_mapped(loaded[0], path)
    assert loaded[1].equals(table)
    assert is_mapped(loaded[1]["numbers"].chunk(0).buffers()[1], path)
    assert not is_mapped(loaded[1]["text"].chunk(0).buffers()[2], path)
    pd.testing.assert_frame_equal(loaded[2], frame)
    assert is_mapped(loaded[2]["a"].array._pa_array.chunk(0).buffers()[1], path)
    assert is_mapped(loaded[2]["b"].to_numpy(), path)


def test_what_arrow_would_believe_is_refused(tmp_path: Path) -> None:
    """Of buffers that stay in the file the length is known, of all others the content."""
    pa = pytest.importorskip("pyarrow")
    numbers = np.arange(300_000)
    wide, narrow = pa.py_buffer(numbers), pa.py_buffer(numbers.astype(np.int32))
    falling = pa.py_buffer(np.array([*range(299_999), 5], dtype=np.int32))
    short, words = pa.py_buffer(bytes(2 * LONG)), pa.array(["a", "b"])
    forged = {
        "short": (pa.int64(), 10**6, None, [None, short]),
        "shorter for an offset": (pa.int64(), LONG // 4, None, [None, short], 1),
        "short of validity": (pa.int8(), 2 * LONG, -1, [pa.py_buffer(b"\xff"), short]),
        "offsets that fall": (pa.binary(), 299_999, 0, [None, falling, short]),
        "offsets that lead out": (pa.binary(), 299_999, 0, [None, narrow, pa.py_buffer(b"short")]),
        "offsets that lead out of the file's": (
            pa.large_binary(),
            299_999,
            0,
            [None, pa.py_buffer(numbers * 9), short],
        ),
        "no text": (pa.large_string(), 299_999, 0, [None, wide, pa.py_buffer(b"\xff" * LONG)]),
        "indices that lead out": (pa.dictionary(pa.int64(), pa.string()), 300_000, 0, [None, wide], 0, [], words),
        "lists that lead out": (pa.list_(pa.int64()), 299_999, 0, [None, narrow], 0, [pa.array([1])]),
    }
    path = tmp_path / "file"
    for parts in forged.values():
        torshi.save([Restored(*parts), ARRAYS["floats"]], path)
        for way in ({}, {"mmap": False}):
            with pytest.raises(torshi.UntrustedError, match="_restore_array may not be called with these arguments"):
                torshi.load(path, **way)
    torshi.save(Restored(pa.int64(), LONG // 4, 0, [None, short]), path)
    assert torshi.load(path)[-1].as_py() == 0, "then all of this was refused for another reason"


def test_just_what_a_check_wants_is_copied(tmp_path: Path) -> None:
    sparse = pytest.importorskip("scipy.sparse")
    matrix = sparse.random(20_000, 1000, density=0.02, format="csr", random_state=1)
    matrix.data = np.arange(len(matrix.data))
    path = tmp_path / "file"
    torshi.save([matrix, np.arange(400_000)], path)
    loaded, beside = torshi.load(path)
    assert (loaded != matrix).nnz == 0
    assert [is_mapped(part, path) for part in (loaded.indices, loaded.data, beside)] == [False, True, True]


def test_buffers_out_of_band_are_no_parts_of_arrays(tmp_path: Path) -> None:
    """Nothing tells a check how long they are."""
    pa = pytest.importorskip("pyarrow")
    buffers: list[Any] = []
    data = torshi.dumps(pa.array(np.arange(10)), buffer_callback=buffers.append)
    with pytest.raises(torshi.UntrustedError):
        torshi.loads(data, buffers=buffers)
    buffers.clear()
    data = torshi.dumps(pa.py_buffer(b"abc"), buffer_callback=buffers.append)
    assert torshi.loads(data, buffers=buffers).to_pybytes() == b"abc"


def test_many_rounds_are_not_many_checks(tmp_path: Path) -> None:
    """Each array can be looked at only when the one above it has been; if this fails, each costs a check of its own."""
    pa = pytest.importorskip("pyarrow")
    array = pa.array(np.arange(400_000))
    for _ in range(12):
        array = pa.ListArray.from_arrays(pa.array(np.arange(300_001, dtype=np.int32)), array)
    path = tmp_path / "file"
    torshi.save([array, np.arange(400_000.0)], path)
    loaded = torshi.load(path)
    assert loaded[0].equals(array)
    assert is_mapped(loaded[1], path)


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
