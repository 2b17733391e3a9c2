"""numpy's values under the default policy, at every protocol, in and out of band.

If these failed, the commonest scientific data would be refused, changed, or written otherwise than by stock.
"""

from __future__ import annotations

import io
import pickle
from typing import Any

import pytest

import torshi

np = pytest.importorskip("numpy", reason="numpy is not installed")

PROTOCOLS = range(6)

DTYPES = [
    "?", "b", "B", "h", "H", "i", "I", "l", "L", "q", "Q", "e", "f", "d", "g", "F", "D", "G",
    "S5", "U5", "V7", "O", "M8[s]", "M8[25us]", "m8[D]", "m8", ">i4", "<f8", ">U3", "=c16",
    [("a", "i4"), ("b", "f8", (2, 3))],
    [("name", "U8"), ("inner", [("x", "f4"), ("y", ">i2")])],
    {"names": ["a", "b"], "formats": ["i1", "f8"], "offsets": [0, 8], "itemsize": 24},
    [(("title", "a"), "i4")],
    ("i4", (2, 2)),
]  # fmt: skip

ARRAYS: dict[str, Any] = {
    "floats": np.arange(10.0),
    "empty": np.array([]),
    "zero_dimensional": np.array(5),
    "matrix": np.arange(12).reshape(3, 4),
    "fortran": np.asfortranarray(np.arange(12.0).reshape(3, 4)),
    "strided": np.arange(20)[::3],
    "transposed": np.arange(24).reshape(2, 3, 4).transpose(2, 0, 1),
    "broadcast": np.broadcast_to(np.arange(3), (4, 3)),
    "no_rows": np.zeros((0, 5)),
    "many_axes": np.zeros((1,) * 10),
    "bools": np.array([True, False]),
    "complex": np.array([1 + 2j, np.inf]),
    "bytes": np.array([b"ab", b"c"]),
    "texts": np.array(["ab", "ü€"]),
    "objects": np.array([1, "two", None, [3], {"four": 4.0}], dtype=object),
    "nested_objects": np.array([np.array([1]), np.array([2, 3])], dtype=object),
    "dates": np.array(["2024-02-29", "NaT"], dtype="M8[D]"),
    "spans": np.array([1, -1], dtype="m8[ns]"),
    "big_endian": np.arange(5, dtype=">f4"),
    "records": np.array([(1, 2.5, "x")], dtype=[("a", "i4"), ("b", "f8"), ("c", "U3")]),
    "object_fields": np.array([(1, [2])], dtype=[("a", "i4"), ("b", "O")]),
    "subarrays": np.zeros(2, dtype=[("a", "f4", (2, 2))]),
    "read_only": np.frombuffer(b"12345678", dtype="u1"),
    "large": np.arange(100_000, dtype="f8"),
    "large_columns": np.asfortranarray(np.ones((300, 300))),
}

SCALARS = [
    np.float64(1.5), np.float32(-0.0), np.float16(2), np.int8(-3), np.uint64(2**64 - 1), np.bool_(True),
    np.complex64(1j),
    np.str_("text"), np.bytes_(b"bytes"), np.datetime64("2024-02-29"), np.datetime64("NaT", "s"),
    np.timedelta64(5, "h"),
    np.longdouble(1) / 3, np.void(b"abc"), np.array([(1, 2.0)], dtype="i4,f8")[0],
]  # fmt: skip


def equal(left: Any, right: Any) -> bool:
    assert type(left) is type(right)
    assert left.dtype == right.dtype
    assert left.shape == right.shape
    if left.dtype.hasobject:
        return bool(repr(left.tolist()) == repr(right.tolist()))
    return left.tobytes() == right.tobytes()


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("number", range(len(DTYPES)))
def test_dtypes(number: int, protocol: int) -> None:
    """If this fails, a dtype is refused or comes back as another."""
    value = np.dtype(DTYPES[number])
    data = torshi.dumps(value, protocol)
    assert data == pickle.dumps(value, protocol)
    again = torshi.loads(data)
    assert again == value
    assert (again.itemsize, again.alignment, again.flags, again.str) == (
        value.itemsize,
        value.alignment,
        value.flags,
        value.str,
    )
    assert np.zeros(3, again).nbytes == 3 * value.itemsize


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", ARRAYS)
def test_arrays(name: str, protocol: int) -> None:
    """If this fails, an array is refused, changed, or written otherwise than by stock pickle."""
    value = ARRAYS[name]
    data = torshi.dumps(value, protocol)
    assert data == pickle.dumps(value, protocol)
    stock = pickle.loads(data)  # below protocol 5 numpy itself turns big-endian into native
    assert repr(stock.tolist()) == repr(value.tolist())
    for again in (torshi.loads(data), torshi.load(io.BytesIO(data))):
        assert equal(again, stock)
        assert again.flags.f_contiguous == stock.flags.f_contiguous
        assert again.flags.writeable == stock.flags.writeable


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_out_of_band(name: str) -> None:
    """If this fails, arrays are copied between processes, or not readable there."""
    value = ARRAYS[name]
    buffers: list[pickle.PickleBuffer] = []
    data = torshi.dumps(value, 5, buffer_callback=buffers.append)
    theirs: list[pickle.PickleBuffer] = []
    assert data == pickle.dumps(value, 5, buffer_callback=theirs.append)
    assert len(buffers) == len(theirs)
    again = torshi.loads(data, buffers=buffers)
    assert equal(again, value)
    if buffers and not value.dtype.hasobject and value.flags.c_contiguous and value.size:
        assert np.shares_memory(again, value)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("number", range(len(SCALARS)))
def test_scalars(number: int, protocol: int) -> None:
    """If this fails, a single number from an array is refused or changes its type."""
    value = SCALARS[number]
    data = torshi.dumps(value, protocol)
    assert data == pickle.dumps(value, protocol)
    again = torshi.loads(data)
    assert type(again) is type(value)
    assert again.tobytes() == value.tobytes()
    assert again.dtype == value.dtype


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_masked_and_records(protocol: int) -> None:
    """If this fails, masks or the attribute access of records are lost."""
    masked = np.ma.array([1.0, 2.0, 3.0], mask=[0, 1, 0], fill_value=9)
    again = torshi.loads(torshi.dumps(masked, protocol))
    assert type(again) is type(masked)
    assert (again.tolist(), again.fill_value) == ([1.0, None, 3.0], 9)
    assert torshi.loads(torshi.dumps(np.ma.masked, protocol)) is np.ma.masked
    records = np.rec.array([(1, "x")], dtype=[("a", "i4"), ("b", "U1")])
    back = torshi.loads(torshi.dumps(records, protocol))
    assert type(back) is np.recarray
    assert (back.a[0], back[0].b) == (1, "x")


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("kind", ["MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64"])
def test_random_generators_go_on(kind: str, protocol: int) -> None:
    """If this fails, an experiment resumed from a checkpoint draws other numbers."""
    generator = np.random.Generator(getattr(np.random, kind)(7))
    generator.random(3)
    data = torshi.dumps(generator, protocol)
    expected = generator.random(5).tolist()
    assert torshi.loads(data).random(5).tolist() == expected


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_random_state_goes_on(protocol: int) -> None:
    state = np.random.RandomState(5)
    state.normal(size=3)
    data = torshi.dumps(state, protocol)
    assert torshi.loads(data).normal(size=4).tolist() == state.normal(size=4).tolist()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_shared_arrays_stay_one(protocol: int) -> None:
    """If this fails, an array that two attributes share is doubled."""
    array = np.arange(5)
    again = torshi.loads(torshi.dumps({"a": array, "b": [array], "c": array.dtype}, protocol))
    assert again["a"] is again["b"][0]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_names_of_older_and_newer_numpy(protocol: int) -> None:
    """If this fails, files of numpy 1 are refused under numpy 2, or the other way round."""
    for value in (np.arange(3.0), np.float64(2), np.dtype("i4,f8")):
        data = pickle.dumps(value, protocol)
        if protocol < 4:
            for old, new in ((b"numpy._core.", b"numpy.core."), (b"numpy.core.", b"numpy._core.")):
                again = torshi.loads(data.replace(old, new))
                assert again.tobytes() == value.tobytes() if hasattr(value, "tobytes") else again == value


def test_types_and_ufuncs_as_values() -> None:
    """If this fails, a configuration that names a dtype is refused; a function that is not data must be."""
    assert torshi.loads(torshi.dumps([np.float64, np.int8, np.ndarray])) == [np.float64, np.int8, np.ndarray]
    with pytest.raises(torshi.UntrustedError):
        torshi.loads(torshi.dumps(np.fromfile))
