"""`torshi.digest` of what libraries hold: by content, however it lies in memory.

If these failed, a cache would not find what it has because an array was sliced or a frame put together another way; or
it would take one array for another.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import digest_forms
import torshi

np = pytest.importorskip("numpy")

GOLDEN = Path(__file__).parent / "data" / "digests_of_arrays.json"


def alike(*values: object) -> bool:
    return len({torshi.digest(value) for value in values}) == 1


def all_different(*values: object) -> bool:
    return len({torshi.digest(value) for value in values}) == len(values)


def numbers(*shape: int) -> Any:
    return np.random.default_rng(7).random(shape)


# numpy


def frozen_values() -> dict[str, object]:
    return {
        "int64": np.arange(6, dtype="<i8").reshape(2, 3),
        "float32": np.array([0.5, float("nan"), -0.0], dtype="<f4"),
        "strings": np.array(["a", "bcd"], dtype="<U3"),
        "long": np.arange(200_000, dtype="<i4"),
        "scalar": np.float64(1.5),
        "dtype": np.dtype("<f8"),
        "structured": np.array([(1, 2.5)], dtype=[("a", "<i4"), ("b", "<f8")]),
        "masked": np.ma.masked_array([1, 2, 3], [0, 1, 0], dtype="<i8", fill_value=9),
    }


def test_the_digests_of_arrays_never_change() -> None:
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    assert {name: torshi.digest(value).hex() for name, value in frozen_values().items()} == golden


@pytest.mark.parametrize("dtype", ["b1", "i1", "u2", "i4", "i8", "f2", "f4", "f8", "c8", "c16", "U3", "S3", "M8[ns]"])
@pytest.mark.parametrize("shape", [(), (0,), (5,), (3, 4), (2, 3, 4), (40, 50)])
def test_an_array_has_the_digest_of_its_form(dtype: str, shape: tuple[int, ...]) -> None:
    array = np.asarray(numbers(*shape) * 100).astype("i4").astype(dtype)
    expected = digest_forms.digest(array)
    assert torshi.digest(array) == expected
    swapped = array.astype(array.dtype.newbyteorder(">"))
    assert torshi.digest(swapped) == expected
    assert torshi.digest(np.array(array, order="F")) == expected
    if array.ndim:
        assert torshi.digest(array[::-1][::-1]) == expected
        wide = np.repeat(array, 2, axis=-1)
        assert torshi.digest(wide[..., ::2]) == expected


@pytest.mark.parametrize("item", ["i1", "i2", "i4", "f8", "c16", "S5"])
@pytest.mark.parametrize("shape", [(1, 1), (7, 3), (3, 700), (700, 3), (70, 65)])
def test_a_matrix_by_columns_is_that_by_rows(item: str, shape: tuple[int, int]) -> None:
    array = (numbers(*shape) * 100).astype("i4").astype(item)
    assert alike(array, np.asfortranarray(array), array.T.copy().T)
    assert torshi.digest(array) == digest_forms.digest(array)


def test_large_arrays_are_hashed_alike_by_one_and_by_several_threads() -> None:
    """From some megabytes on there are threads, and pieces between which others may run."""
    array = numbers(2500, 1000)
    assert array.nbytes > 16 << 20
    wide = np.zeros((2500, 1001))
    wide[:, :1000] = array
    assert alike(array, np.asfortranarray(array), wide[:, :1000], array.astype(">f8"), array.reshape(2500, -1))
    other = array.copy()
    other[-1, -1] += 1
    assert all_different(array, other, array[::-1], array.reshape(1000, 2500))


def test_nans_are_one_wherever_they_stand() -> None:
    """What a processor makes of 0/0 is not what a program writes down."""
    for dtype, bits, other in (("f8", "u8", 0xFFF8_0000_0000_0001), ("f4", "u4", 0xFFC0_0001), ("f2", "u2", 0xFE01)):
        for size in (3, 1000, 3_000_000):
            plain = np.zeros(size, dtype)
            plain[size // 2] = np.nan
            strange = plain.copy()
            strange.view(bits)[size // 2] = other
            assert np.isnan(strange[size // 2])
            assert alike(plain, strange)
    assert all_different(np.array([0.0]), np.array([-0.0]), np.array([np.nan]), np.array([np.inf]))


def test_dtype_and_shape_count() -> None:
    assert all_different(
        *(np.zeros(4, dtype) for dtype in ("i1", "i2", "i4", "i8", "u4", "f4", "f8", "M8[s]", "M8[ns]"))
    )
    assert all_different(np.zeros(4), np.zeros((2, 2)), np.zeros((4, 1)), np.zeros((1, 4)), np.zeros(5), [0.0] * 4)
    assert all_different(np.zeros(0), np.zeros((0, 1)), np.zeros((1, 0)))
    assert all_different(np.float64(1), 1.0, np.float32(1), np.array(1.0), np.array([1.0]), np.int64(1), 1)


def test_objects_are_told_one_by_one() -> None:
    array = np.array([[1, "a"], [None, [1, 2]]], dtype=object)
    assert alike(array, np.asfortranarray(array), array.copy())
    assert torshi.digest(array) == digest_forms.digest(array)
    array[1, 1].append(3)
    assert torshi.digest(array) != torshi.digest(np.array([[1, "a"], [None, [1, 2]]], dtype=object))
    loop = np.array([None, 1], dtype=object)
    loop[0] = loop
    assert torshi.digest(loop) == digest_forms.digest(loop)


def test_fields_are_told_without_what_lies_between_them() -> None:
    packed = np.dtype([("a", "i1"), ("b", "f8"), ("c", "i2", (2,))])
    padded = np.dtype({"names": ["a", "b", "c"], "formats": ["i1", "f8", ("i2", (2,))], "offsets": [3, 8, 20]})
    one = np.zeros(4, packed)
    one["a"], one["b"], one["c"] = range(4), numbers(4), 5
    other = np.frombuffer(bytearray(b"\xff" * 4 * padded.itemsize), padded)
    other["a"], other["b"], other["c"] = one["a"], one["b"], one["c"]
    assert alike(one, other, one.astype(packed.newbyteorder(">")))
    assert alike(one[1], other[1])
    renamed = one.astype([("a", "i1"), ("B", "f8"), ("c", "i2", (2,))])
    assert all_different(one, renamed, one[["a", "b"]])


def test_masked_arrays_are_told_without_what_is_masked() -> None:
    one = np.ma.masked_array([1.0, 2.0, 3.0], [0, 1, 0])
    other = np.ma.masked_array([1.0, 7.0, 3.0], [0, 1, 0])
    assert alike(one, other)
    assert all_different(one, np.ma.masked_array([1.0, 2.0, 3.0], [0, 0, 0]), np.array([1.0, 2.0, 3.0]))


def test_subclasses_count_and_long_doubles_go_by_their_numbers(tmp_path: Path) -> None:
    array = numbers(30, 30)
    array.tofile(tmp_path / "array")
    mapped = np.memmap(tmp_path / "array", dtype=array.dtype, shape=array.shape)
    assert all_different(array, array.view(np.matrix), np.rec.fromarrays([array]), mapped)
    assert alike(array.view(np.matrix), np.asfortranarray(array).view(np.matrix))
    long = array.astype("longdouble")
    noisy = np.frombuffer(bytearray(b"\xff" * long.nbytes), "longdouble").reshape(long.shape).copy()
    noisy[...] = long
    assert alike(long, noisy, long.T.copy().T)


def test_dtypes_are_values_with_an_order_of_bytes() -> None:
    assert all_different(np.dtype("<f8"), np.dtype(">f8"), np.dtype("f4"), np.float64, np.dtype([("a", "f8")]))
    assert alike(np.dtype("f8"), np.dtype(np.float64))


def test_text_of_variable_width_is_told_by_its_strings() -> None:
    if not hasattr(np.dtypes, "StringDType"):
        pytest.skip("needs numpy 2")
    array = np.array(["a", "long " * 20], dtype=np.dtypes.StringDType())
    assert alike(array, array.copy(), np.array(["a", "-", "long " * 20], dtype=array.dtype)[::2])


def test_an_array_met_twice_is_the_same_as_its_copy() -> None:
    array = numbers(1000)
    assert alike([array, array, {"a": array}], [array.copy(), array[:], {"a": array.copy()}])


FORKING = """
import os, numpy, torshi
array = numpy.zeros(2_000_000)
digest = torshi.digest(array)
child = os.fork()
if child == 0:
    os._exit(torshi.digest(array) != digest)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_forked_process_can_digest_large_arrays() -> None:
    """It would wait for the threads of its parent, which it does not have."""
    result = subprocess.run([sys.executable, "-c", FORKING], check=True, capture_output=True, text=True, timeout=60)
    assert result.stdout == "0\n"


def test_digests_import_no_library() -> None:
    program = "import sys, torshi, fractions; torshi.digest([{1: fractions.Fraction(1)}]); print(set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    for name in ("numpy", "pandas", "pyarrow", "polars", "scipy", "torch"):
        assert f"'{name}'" not in result.stdout


# pandas


def pandas() -> Any:
    return pytest.importorskip("pandas")


def frame(pd: Any) -> Any:
    return pd.DataFrame(
        {
            "i": range(50),
            "f": numbers(50),
            "g": numbers(50) + 1,
            "s": [f"text {i}" for i in range(50)],
            "t": pd.date_range("2024-01-01", periods=50),
            "z": pd.date_range("2024-01-01", periods=50, tz="Europe/Berlin"),
            "c": pd.Categorical(["a", "b"] * 25),
            "n": pd.array([1, None] * 25, dtype="Int64"),
            "b": pd.array([True, None] * 25, dtype="boolean"),
            "o": [[1], None] * 25,
        }
    )


def test_a_frame_put_together_another_way_is_the_same() -> None:
    pd = pandas()
    one = frame(pd)
    piecewise = pd.DataFrame(index=one.index)
    for name in one.columns:
        piecewise[name] = one[name]
    doubled = pd.concat([one, one], ignore_index=True)
    sliced = doubled.iloc[:50]
    loaded = torshi.loads(torshi.dumps(one), trust=torshi.unrestricted("made by this test"))
    used = one.copy()
    used.index.get_loc(3)
    used.describe()
    assert alike(one, piecewise, sliced, loaded, used, one.copy())
    assert alike(one["f"], piecewise["f"], sliced["f"])


def test_what_is_in_a_frame_counts() -> None:
    pd = pandas()
    one = frame(pd)
    changed = [one]
    for name, value in (("f", 5.0), ("s", "x"), ("n", 7), ("b", False), ("i", 99)):
        other = one.copy()
        other.loc[3, name] = value
        changed.append(other)
    changed += [one.rename(columns={"f": "F"}), one[one.columns[::-1]], one.set_index("i"), one.astype({"i": "int32"})]
    changed += [one.iloc[::-1], one.iloc[:49], one["f"], one[["f"]]]
    noted = one.copy()
    noted.attrs["unit"] = "m"
    assert all_different(*changed, noted)


def test_what_lies_where_a_value_is_missing_does_not_count() -> None:
    pd = pandas()
    one = pd.arrays.IntegerArray(np.array([1, 2, 3]), np.array([False, True, False]))
    other = pd.arrays.IntegerArray(np.array([1, 9, 3]), np.array([False, True, False]))
    assert alike(one, other)
    assert alike(pd.Series(one), pd.Series(other))


def test_indexes_and_arrays_of_pandas_go_by_content() -> None:
    pd = pandas()
    pairs = pd.MultiIndex.from_tuples([("a", 1), ("b", 2), ("a", 2)], names=["x", "y"])
    longer = pd.MultiIndex.from_tuples([("a", 1), ("b", 2), ("a", 2), ("c", 0)], names=["x", "y"])
    assert alike(pairs, longer[:3])
    intervals = pd.interval_range(0, 5)
    sparse = pd.arrays.SparseArray([0, 0, 1, 2])
    periods = pd.period_range("2024-01", periods=3, freq="M")
    made = [
        pairs,
        pairs[::-1],
        pairs.rename(["x", "z"]),
        pd.RangeIndex(3),
        pd.Index([0, 1, 2]),
        pd.Index([0.0, 1.0, 2.0]),
    ]
    made += [intervals, intervals[1:], sparse, pd.arrays.SparseArray([0, 1, 0, 2]), periods, periods[1:]]
    made += [pd.Timestamp("2024-01-01"), pd.Timedelta(1, "s"), pd.NaT, pd.NA, periods[0], intervals[0]]
    made += [pd.Index(["a"]), pd.Index(["a"], name="n"), pd.Categorical(["a"]), pd.Categorical(["a"], ["a", "b"])]
    assert all_different(*made)
    assert alike(intervals, pd.interval_range(0, 6)[:5])
    assert alike(periods, pd.period_range("2023-12", periods=4, freq="M")[1:])


# Arrow, polars


def test_a_sliced_or_chunked_arrow_array_is_a_fresh_one() -> None:
    pa = pytest.importorskip("pyarrow")
    columns: list[tuple[Any, list[Any]]] = [
        (pa.int32(), [1, None, 3, 4]),
        (pa.float64(), [1.0, None, float("nan"), 0.5]),
        (pa.bool_(), [True, None, False, True]),
        (pa.string(), ["a", None, "", "long " * 9]),
        (pa.large_binary(), [b"a", None, b"", b"b"]),
        (pa.decimal128(9, 2), [1, None, 3, 4]),
        (pa.timestamp("us", "UTC"), [1, None, 3, 4]),
        (pa.list_(pa.int64()), [[1, None], None, [], [2]]),
        (pa.list_(pa.int64(), 2), [[1, None], None, [3, 4], [2, 2]]),
        (pa.map_(pa.string(), pa.int8()), [[("a", 1)], None, [], [("b", None)]]),
        (
            pa.struct([("x", pa.int8()), ("y", pa.string())]),
            [{"x": 1, "y": None}, None, {"x": None, "y": "b"}, {"x": 2}],
        ),
        (pa.dictionary(pa.int8(), pa.string()), ["a", None, "b", "a"]),
        (pa.null(), [None] * 4),
        (pa.string_view(), ["a", None, "", "long " * 9]),
    ]
    seen = []
    for of, values in columns:
        fresh = pa.array(values, of) if not pa.types.is_dictionary(of) else pa.array(values).cast(of)
        ends = pa.array([values[0], *values, values[3]], fresh.type) if not pa.types.is_dictionary(of) else None
        sliced = ends[1:5] if ends is not None else pa.concat_arrays([fresh, fresh])[4:]
        assert alike(fresh, sliced), of
        whole, chunked = pa.chunked_array([fresh]), pa.chunked_array([fresh[:1], fresh[1:3], fresh[3:]])
        assert alike(whole, chunked), of
        seen += [fresh, whole, fresh[:3]]
        if fresh.null_count == 1:
            seen.append(fresh[2:])
    assert all_different(*seen)


def test_tables_of_arrow_go_by_their_columns() -> None:
    pa = pytest.importorskip("pyarrow")
    table = pa.table({"a": [1, 2, 3], "b": ["x", None, "z"]})
    joined = pa.concat_tables([table[:1], table[1:]])
    assert alike(table, joined, table.replace_schema_metadata({"k": "v"}))
    assert all_different(
        table, table.rename_columns(["a", "c"]), table[:2], table.select(["b", "a"]), table.to_batches()[0]
    )


def test_frames_of_polars_go_by_their_columns() -> None:
    pl = pytest.importorskip("polars")
    pytest.importorskip("pyarrow")
    one = pl.DataFrame(
        {
            "a": [1, None, 3],
            "b": ["x", None, "z"],
            "c": [["a", None], None, []],
            "d": [1.5, float("nan"), None],
            "e": pl.Series(["u", None, "v"], dtype=pl.Categorical),
            "f": [{"k": "v"}, None, {"k": None}],
            "g": pl.Series([[1, 2], None, [3, 4]], dtype=pl.Array(pl.Int8, 2)),
        }
    )
    chunked = pl.concat([one[:1], one[1:]], rechunk=False)
    sliced = pl.concat([one, one])[3:]
    assert alike(one, chunked, sliced, one.clone())
    assert alike(one["a"], chunked["a"], sliced["a"])
    assert all_different(one, one[:2], one.rename({"a": "A"}), one["a"], one["a"].alias("A"), one.select("b", "a"))


# scipy


@pytest.mark.parametrize("kind", ["csr", "csc", "coo", "lil", "dok", "dia", "bsr"])
def test_sparse_arrays_go_by_their_entries(kind: str) -> None:
    sparse = pytest.importorskip("scipy.sparse")
    dense = np.array([[0, 1, 0], [2, 0, 3], [0, 0, 4.0]])
    one = sparse.coo_array(dense).asformat(kind)
    order = [3, 1, 0, 2]
    rows, columns = np.nonzero(dense)
    entries = (dense[rows, columns][order], (rows[order], columns[order]))
    assert alike(one, sparse.coo_array(entries, shape=(3, 3)).asformat(kind))
    dense[0, 0] = 9
    other = sparse.coo_array(dense).asformat(kind)
    assert all_different(one, other, sparse.coo_matrix(one).asformat(kind), dense)


def test_a_matrix_with_entries_out_of_order_or_in_parts_is_the_same() -> None:
    sparse = pytest.importorskip("scipy.sparse")
    one = sparse.csr_array(([1.0, 2.0, 3.0], [0, 2, 1], [0, 2, 3]), shape=(2, 3))
    other = sparse.csr_array(([1.5, 0.5, 3.0, 0.5], [2, 0, 1, 1], [0, 2, 4]), shape=(2, 3))
    shuffled = sparse.csr_array(([2.0, 1.0, 1.0, 2.0], [2, 0, 1, 1], [0, 2, 4]), shape=(2, 3))
    assert alike(one, shuffled)
    assert shuffled.nnz == 4, "the array itself has been changed"
    assert all_different(one, other)


# torch


def test_tensors_go_by_their_elements() -> None:
    torch = pytest.importorskip("torch")
    one = torch.arange(12.0).reshape(3, 4)
    assert alike(one, one.T.contiguous().T, one.clone())
    assert alike(one.to(torch.bfloat16), one.to(torch.bfloat16).T.contiguous().T)
    assert all_different(one, one.double(), one.T, one.to(torch.bfloat16), one.clone().requires_grad_(), one.numpy())
