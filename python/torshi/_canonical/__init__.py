"""Classes into how their instances are digested; what the native module asks once for each class, and for each dtype.

What belongs to other libraries is known by `sys.modules` alone: a class of theirs can only be there when they are.
Nothing here imports one of them, reads a stream, or sees an object before the native module has to have it told.
"""

from __future__ import annotations

import enum
import sys
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from torshi._canonical.arrays import as_array, described, facts, masked, parts

__all__ = ["as_array", "described", "facts", "parts", "way"]

# What the native module makes of the first item of `way`.
_ORDINARY, _HOOK, _ENUM, _SET, _ARRAY, _SCALAR, _DTYPE, _INSTEAD = range(8)

#: What stands for an instance, to be digested instead of it; NotImplemented, if it has to say so itself.
Instead = Callable[[Any], object]


def way(cls: type) -> tuple[int, Instead | None, bool]:
    """How instances of a class are digested.

    Returns:
        The way, the function whose results stand for them (with the last way only), and whether the order of
        pairs counts if they are a kind of dict.
    """
    ordered = issubclass(cls, OrderedDict) or not issubclass(cls, dict)
    if any(vars(base).get("__torshi_digest__") is not None for base in cls.__mro__):
        return _HOOK, None, ordered
    if isinstance(cls, enum.EnumType):
        return _ENUM, None, ordered
    if issubclass(cls, set | frozenset) and _reduces_as(cls, set if issubclass(cls, set) else frozenset):
        return _SET, None, ordered
    kind, instead = _of_library(cls)
    return kind, instead, ordered


def _reduces_as(cls: type, base: type) -> bool:
    """Has no class between the two a say of its own?"""
    return cls.__reduce__ is base.__reduce__ and cls.__reduce_ex__ is base.__reduce_ex__


def _of_library(cls: type) -> tuple[int, Instead | None]:
    for root in {str(base.__module__).partition(".")[0] for base in cls.__mro__}:
        look = _LIBRARIES.get(root)
        # A module of that name that is still being imported has no classes yet, or is another one.
        if look is not None and root in sys.modules:
            found = look(cls)
            if found is not None:
                return found
    return _ORDINARY, None


def _numpy(cls: type) -> tuple[int, Instead | None] | None:
    numpy = sys.modules["numpy"]
    if issubclass(cls, numpy.ndarray):
        if issubclass(cls, numpy.ma.MaskedArray):
            return (_INSTEAD, masked) if _reduces_as(cls, numpy.ma.MaskedArray) else None
        return (_ARRAY, None) if _reduces_as(cls, numpy.ndarray) else None
    if issubclass(cls, numpy.generic):
        # A class of a program's own holds what its dtype does not tell.
        return (_SCALAR, None) if cls.__module__.partition(".")[0] == "numpy" else None
    return (_DTYPE, None) if issubclass(cls, numpy.dtype) else None


def _pandas(cls: type) -> tuple[int, Instead | None] | None:
    from torshi._canonical import frames

    return _instead(frames.pandas_way(cls))


def _polars(cls: type) -> tuple[int, Instead | None] | None:
    from torshi._canonical import frames

    return _instead(frames.polars_way(cls))


def _pyarrow(cls: type) -> tuple[int, Instead | None] | None:
    from torshi._canonical import arrow

    return _instead(arrow.way(cls))


def _scipy(cls: type) -> tuple[int, Instead | None] | None:
    from torshi._canonical import matrices

    return _instead(matrices.sparse_way(cls))


def _torch(cls: type) -> tuple[int, Instead | None] | None:
    from torshi._canonical import matrices

    return _instead(matrices.tensor_way(cls))


def _fractions(cls: type) -> tuple[int, Instead | None] | None:
    # What it says of itself has changed between versions of Python; so it has for paths.
    if cls is sys.modules["fractions"].Fraction:
        return _INSTEAD, lambda fraction: (fraction.numerator, fraction.denominator)
    return None


def _pathlib(cls: type) -> tuple[int, Instead | None] | None:
    pathlib = sys.modules["pathlib"]
    own = {pathlib.PurePosixPath, pathlib.PureWindowsPath, pathlib.PosixPath, pathlib.WindowsPath}
    return (_INSTEAD, str) if cls in own else None


def _instead(function: Instead | None) -> tuple[int, Instead | None] | None:
    return None if function is None else (_INSTEAD, function)


_LIBRARIES: dict[str, Callable[[type], tuple[int, Instead | None] | None]] = {
    "numpy": _numpy,
    "pandas": _pandas,
    "polars": _polars,
    "pyarrow": _pyarrow,
    "scipy": _scipy,
    "torch": _torch,
    "fractions": _fractions,
    "pathlib": _pathlib,
}
