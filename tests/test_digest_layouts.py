"""`torshi.digest` of arrays however they lie in memory: the digest is that of the same elements in C order.

If these failed, a cache would not find an array because it was sliced, turned or loaded in another order; or worse,
would take one array for another. Sizes are chosen around what the native module reads at once: cache lines, squares of
them, pieces and strides (`bulk.rs`, `squares.rs`).
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from typing import Any

import pytest

import digest_forms
import torshi

np = pytest.importorskip("numpy")

DTYPES = ["b1", "i1", "u2", "i4", "i8", "f2", "f4", "f8", "c8", "c16", "U3", "S3", "S5", "S16", "V24", "M8[ns]"]
SWAPPED = [">i2", ">u4", ">i8", ">f2", ">f4", ">f8", ">c8", ">c16", ">U3", ">m8[s]"]
ITEMS = ["i1", "i2", "i4", "i8", "c16", "S5", "S12"]


def filled(shape: tuple[int, ...], dtype: str) -> Any:
    """Elements that all differ, as far as their dtype allows."""
    numbers = np.arange(int(np.prod(shape))).reshape(shape)
    dtype = np.dtype(dtype)
    if dtype.kind == "V":
        return numbers.astype("S24").view(dtype)
    # No more than the largest half.
    return (numbers * 7 % 65_000 if dtype.str[1:] == "f2" else numbers * 7).astype(dtype)


def laid(array: Any) -> Iterator[Any]:
    """Arrays of the same elements that lie otherwise."""
    for order in itertools.permutations(range(array.ndim)):
        back = np.argsort(order)
        yield np.ascontiguousarray(array.transpose(order)).transpose(back)
    yield np.flip(np.ascontiguousarray(np.flip(array)))
    for axis in range(array.ndim):
        wide = np.repeat(array, 2, axis)
        yield wide[(slice(None),) * axis + (slice(None, None, 2),)]
        yield np.flip(np.asfortranarray(np.flip(array, axis)), axis)
    raw = np.zeros(array.nbytes + 1, "u1")
    odd = raw[1:].view(array.dtype).reshape(array.shape)
    odd[...] = array
    yield odd
    yield np.asfortranarray(odd)


def same(arrays: Iterator[Any], expected: bytes) -> None:
    for array in arrays:
        assert torshi.digest(array) == expected, (array.dtype, array.shape, array.strides)


@pytest.mark.parametrize("dtype", DTYPES + SWAPPED)
@pytest.mark.parametrize("shape", [(7,), (3, 5), (2, 3, 4), (3, 1, 5, 2), (2, 3, 2, 1, 3), (300,), (67, 9), (9, 5, 17)])
def test_every_dtype_in_one_to_five_dimensions(dtype: str, shape: tuple[int, ...]) -> None:
    array = filled(shape, dtype)
    same(laid(array), digest_forms.digest(array))


@pytest.mark.parametrize("item", ITEMS)
def test_sizes_around_the_edges_of_squares(item: str) -> None:
    """A line has 4 to 64 elements; what is left over is taken one by one, or with what was done already."""
    for height, width in itertools.product((1, 3, 4, 5, 8, 15, 17, 31, 33, 63, 64, 65, 73, 129), repeat=2):
        array = filled((height, width), item)
        for other in (np.asfortranarray(array), np.flip(np.asfortranarray(np.flip(array)))):
            assert torshi.digest(other) == torshi.digest(array), (item, height, width)


def test_the_same_sizes_by_the_reference() -> None:
    for item, (height, width) in itertools.product(ITEMS, ((17, 65), (65, 33), (129, 8))):
        array = filled((height, width), item)
        assert torshi.digest(np.asfortranarray(array)) == digest_forms.digest(array)


@pytest.mark.parametrize("item", ITEMS)
@pytest.mark.parametrize("around", [1 << 16, 1 << 17])
def test_sizes_around_the_ends_of_pieces(item: str, around: int) -> None:
    """A piece may end within a row, and even within an element."""
    count = around // np.dtype(item).itemsize
    for more in (-1, 0, 1):
        array = filled((count + more,), item)
        expected = torshi.digest(array)
        assert torshi.digest(np.repeat(array, 2)[::2]) == expected
        assert torshi.digest(np.ascontiguousarray(array[::-1])[::-1]) == expected
    for width in (3, 1000, count // 2 + 1):
        array = filled((count // width + 3, width), item)
        expected = torshi.digest(array)
        same(laid(array), expected)


@pytest.mark.parametrize(
    "shape", [(3, 700_000), (700_000, 3), (1500, 1500), (130, 130, 130), (2, 1_100_000), (40, 9, 6000)]
)
def test_arrays_of_many_pieces_by_several_threads(shape: tuple[int, ...]) -> None:
    """Wide ones have long pieces; beyond sixteen megabytes they are looked at again in between."""
    array = filled(shape, "f8")
    same(laid(array), torshi.digest(array))
    other = np.asfortranarray(array)
    other[-1, -1] += 1
    assert torshi.digest(other) != torshi.digest(array)


def test_axes_of_which_nothing_lies_in_memory() -> None:
    row = filled((1000,), "f4")
    for array in (
        np.broadcast_to(row, (70, 1000)),
        np.broadcast_to(row[:, None], (1000, 70)),
        np.broadcast_to(row[:70, None, None], (70, 33, 65)),
        np.broadcast_to(row.reshape(40, 1, 25).T, (25, 50, 40)),
        np.broadcast_to(np.float32(3), (5, 7)),
    ):
        assert torshi.digest(array) == digest_forms.digest(array)


def test_arrays_without_elements_and_with_one() -> None:
    for shape in ((0,), (3, 0), (0, 3), (2, 0, 3), (1,), (1, 1, 1)):
        array = np.zeros((4, *shape), "f8")[::2, ...]
        assert torshi.digest(array) == digest_forms.digest(array)
        assert torshi.digest(np.zeros(shape).T) == digest_forms.digest(np.zeros(shape[::-1]))
    nothing = np.zeros((4, 3), np.dtype((np.void, 0)))
    assert torshi.digest(nothing[::2]) == torshi.digest(nothing[:2]) == digest_forms.digest(nothing[:2])


def test_arrays_put_together_at_random() -> None:
    """Views of views, as programs make them."""
    chance = random.Random(3)
    for _ in range(150):
        shape = tuple(chance.choice((1, 2, 3, 5, 8, 17, 33, 65)) for _ in range(chance.randint(1, 3)))
        array = filled(shape, chance.choice(DTYPES + SWAPPED))
        array = array.transpose(chance.sample(range(array.ndim), array.ndim))
        if chance.random() < 0.5:
            array = np.asfortranarray(array)
        array = array[tuple(slice(None, None, chance.choice((1, 1, 2, 3, -1, -2))) for _ in array.shape)]
        assert torshi.digest(array) == torshi.digest(array.copy("C")), (array.dtype, array.shape, array.strides)


NANS: dict[str, list[int]] = {
    "u2": [0xFE00, 0x7C01, 0xFC01, 0xFFFF, 0x7FFF],
    "u4": [0xFFC00000, 0x7F800001, 0xFF800001, 0xFFFFFFFF, 0x7FFFFFFF],
    "u8": [0xFFF8 << 48, (0x7FF0 << 48) + 1, (0xFFF0 << 48) + 1, (1 << 64) - 1, (1 << 63) - 1],
}
CANONICAL = {"u2": 0x7E00, "u4": 0x7FC00000, "u8": 0x7FF8 << 48}


@pytest.mark.parametrize(("bits", "dtype"), [("u2", "f2"), ("u4", "f4"), ("u8", "f8"), ("u4", "c8"), ("u8", "c16")])
@pytest.mark.parametrize("count", [16, 2000, 60_000])
def test_nans_are_one_however_they_lie(bits: str, dtype: str, count: int) -> None:
    """Of both signs, quiet and signalling, with payloads; infinities and zeros with a sign stay what they are."""
    numbers = np.arange(count).astype("f" + bits[1])
    numbers[:4] = np.inf, -np.inf, -0.0, 0.5
    patterns = numbers.view(bits)
    places = [5, 6, 7, 9, count - 1]
    patterns[places] = NANS[bits]
    expected = numbers.copy()
    expected.view(bits)[places] = CANONICAL[bits]
    array, expected = (each.view(dtype).reshape(4, -1) for each in (numbers, expected))
    assert array.tobytes() != expected.tobytes()
    digest = digest_forms.digest(expected)
    same(laid(array), digest)
    # Values that are turned round as bytes, for to convert a signalling NaN makes it quiet.
    turned = array.view(bits).byteswap().view(np.dtype(dtype).newbyteorder(">"))
    same(laid(turned), digest)


@pytest.mark.parametrize("dtype", ["longdouble", "clongdouble"])
def test_nans_of_long_doubles_are_one(dtype: str) -> None:
    array = np.arange(300).astype(dtype).reshape(20, 15)
    array[3, 4], array[5, 6] = np.nan, -np.nan
    other = array.copy()
    other[3, 4], other[5, 6] = -np.nan, np.nan
    expected = torshi.digest(array)
    same(laid(array), expected)
    same(laid(other), expected)
    array[3, 4] = 0
    assert torshi.digest(array) != expected


def test_small_arrays_that_are_strided_or_swapped_stand_where_they_are() -> None:
    """The longest form that is not hashed on its own is of 1024 bytes."""
    for count in (127, 128, 129):
        array = np.arange(2 * count, dtype="f8")
        array[5], array[6] = -np.nan, np.nan
        kept = np.where(np.isnan(array), np.nan, array)[::2].copy()
        assert torshi.digest(array[::2]) == torshi.digest(array[::2].astype(">f8")) == digest_forms.digest(kept)
