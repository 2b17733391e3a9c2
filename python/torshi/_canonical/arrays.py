"""numpy's dtypes into descriptions, and arrays that do not lie as they are digested into pieces that do.

An array is digested by its description, its shape and its elements in C order, little-endian. The native module reads
numbers and text where they are, however they lie; of long doubles it asks for pieces, a few megabytes at a time, of
others for their parts. Never imports numpy: what it is given is of numpy.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

# Bytes of one piece: memory that an array of long doubles needs while it is digested.
_PIECE = 8 << 20

# Where the bytes of a number stand for nothing but it. Others are told by their elements.
_PLAIN_KINDS = frozenset("biufcmMSUV")
_DIRECT, _PIECES, _OBJECTS, _FIELDS = range(4)
_FLOATS = {("f", 2): 1, ("f", 4): 2, ("f", 8): 3, ("c", 8): 2, ("c", 16): 3}


def _numpy() -> Any:
    return sys.modules["numpy"]


def facts(dtype: Any) -> tuple[object, int, int, int, int]:
    """What the native module has to know of a dtype.

    Returns:
        Its description, the size of an item in bytes, which floats it is made of (0 none, 1 halves, 2 singles, 3
        doubles), what there is to be read (bytes as they lie, bytes in pieces, objects, or an array a field), and
        the bytes of a number if they lie the other way round, else 0.
    """
    content = _DIRECT
    if dtype.names is not None:
        content = _FIELDS
    elif dtype.kind not in _PLAIN_KINDS or dtype.hasobject:
        content = _OBJECTS
    elif _is_extended(dtype):
        content = _PIECES
    floats = _FLOATS.get((dtype.kind, dtype.itemsize), 0)
    return _description(dtype, ordered=False), dtype.itemsize, floats, content, _swapped(dtype)


def described(dtype: Any) -> object:
    """A dtype as a value of its own: the order of its bytes is part of it."""
    return _description(dtype, ordered=True)


def _description(dtype: Any, ordered: bool) -> object:
    """A string such as ``f8`` or ``M8[ns]``; a tuple for fields, or for arrays within a field."""
    if dtype.names is not None:
        return ("fields", *((name, _description(dtype.fields[name][0], ordered)) for name in dtype.names))
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        return ("array", _description(base, ordered), shape)
    if dtype.kind not in _PLAIN_KINDS | {"O"} or dtype.isbuiltin == 2:
        # A dtype of another library, or one of variable width: what it calls itself.
        return dtype.kind if dtype.kind == "T" else str(dtype.name)
    text: str = dtype.str
    return text if ordered else text[1:]


def _swapped(dtype: Any) -> int:
    """The bytes of a number that is not little-endian, else 0."""
    little = dtype.byteorder in "<|" or (dtype.byteorder == "=" and sys.byteorder == "little")
    # Complex numbers are two, and text is a number for each character.
    return 0 if little else {"c": int(dtype.itemsize) // 2, "U": 4}.get(dtype.kind, int(dtype.itemsize))


def _is_extended(dtype: Any) -> bool:
    """Is it a long double, which has bytes that mean nothing?"""
    return bool(dtype.itemsize > {"f": 8, "c": 16}.get(dtype.kind, dtype.itemsize))


def as_array(scalar: Any) -> Any:
    """A scalar as an array without dimensions."""
    return _numpy().asarray(scalar)


def parts(array: Any) -> Iterator[Any]:
    """The content of an array that cannot be read as it lies: elements, arrays of fields, or pieces in order."""
    array = _numpy().asarray(array)
    dtype = array.dtype
    content = facts(dtype)[3]
    if content == _FIELDS:
        return (array[name] for name in dtype.names)
    if content == _OBJECTS:
        return iter(array.reshape(-1).tolist())
    return _pieces(array)


def _pieces(array: Any) -> Iterator[Any]:
    if array.size == 0:
        return
    if array.ndim == 0:
        array = array.reshape(1)
    row = array.nbytes // len(array)
    if row > _PIECE and array.ndim > 1:
        for part in array:
            yield from _pieces(part)
        return
    step = max(_PIECE // max(row, 1), 1)
    for start in range(0, len(array), step):
        yield _ordered(array[start : start + step])


def _ordered(array: Any) -> Any:
    """The bytes of long doubles that mean something."""
    numpy = _numpy()
    numbers = numpy.array(array, dtype=array.dtype.newbyteorder("="), order="C", copy=True)
    numbers = numbers.reshape(-1).view(numpy.longdouble)
    numbers[numpy.isnan(numbers)] = numpy.nan
    used = 10 if numpy.finfo(numpy.longdouble).nmant == 63 else numbers.itemsize
    return numpy.ascontiguousarray(numbers.view(numpy.uint8).reshape(-1, numbers.itemsize)[:, :used])


def masked(array: Any) -> object:
    """A masked array as its data with nothing where it is masked, its mask, and what it would be filled with."""
    numpy = _numpy()
    mask, data = numpy.ma.getmaskarray(array), numpy.asarray(numpy.ma.getdata(array))
    if mask.dtype.names is None and mask.any():
        data = data.copy()
        data[mask] = numpy.zeros((), data.dtype)
    return data, numpy.asarray(mask), array.fill_value, bool(array.hardmask)
