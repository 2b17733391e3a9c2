"""Two values, equal or not: every part of what they would be pickled as is compared, bit by bit.

Nothing is taken on a type's own word: `==` of an estimator says nothing, and that of a frame not enough.
"""

from __future__ import annotations

import copyreg
import math
import types
from typing import Any

ATOMS = (type(None), bool, int, str, bytes, bytearray, complex, type(Ellipsis))
CODE = (type, types.FunctionType, types.BuiltinFunctionType, types.MethodType)


class Difference(AssertionError):
    """Where two values differ."""


def compare(left: Any, right: Any, path: str = "$", seen: dict[tuple[int, int], tuple[Any, Any]] | None = None) -> None:
    """Raises at the first difference.

    Raises:
        Difference: saying where.
    """
    seen = {} if seen is None else seen
    if left is right:
        return
    if type(left) is not type(right):
        raise Difference(f"{path}: {type(left)} and {type(right)}")
    if isinstance(left, CODE) or (callable(getattr(left, "__array_ufunc__", None)) and type(left).__name__ == "ufunc"):
        raise Difference(f"{path}: {left!r} and {right!r}")
    if isinstance(left, float):
        if not (
            (left == right and math.copysign(1, left) == math.copysign(1, right)) or (left != left and right != right)
        ):
            raise Difference(f"{path}: {left!r} and {right!r}")
        return
    if type(left) in ATOMS:
        if left != right:
            raise Difference(f"{path}: {left!r} and {right!r}")
        return
    if (id(left), id(right)) in seen:
        return
    seen[id(left), id(right)] = left, right  # kept alive, so that addresses stay their own
    if isinstance(left, dict):
        if len(left) != len(right):
            raise Difference(f"{path}: {len(left)} and {len(right)} entries")
        for (a, x), (b, y) in zip(left.items(), right.items(), strict=True):
            compare(a, b, f"{path}.keys", seen)
            compare(x, y, f"{path}[{a!r:.60}]", seen)
        if type(left) is dict:
            return
    if isinstance(left, (list, tuple)):
        if len(left) != len(right):
            raise Difference(f"{path}: lengths {len(left)} and {len(right)}")
        for number, (a, b) in enumerate(zip(left, right, strict=True)):
            compare(a, b, f"{path}[{number}]", seen)
        if type(left) in (list, tuple):
            return
    if isinstance(left, (set, frozenset)):
        if left != right:
            raise Difference(f"{path}: {left!r:.80} and {right!r:.80}")
        return
    arrays(left, right, path, seen)


def arrays(left: Any, right: Any, path: str, seen: Any) -> None:
    import numpy as np

    if isinstance(left, np.ndarray) and type(left) is np.ndarray:
        if (left.dtype, left.shape) != (right.dtype, right.shape):
            raise Difference(f"{path}: {left.dtype}{left.shape} and {right.dtype}{right.shape}")
        if left.dtype.hasobject:
            if left.dtype.names:
                compare(left.tolist(), right.tolist(), path, seen)
            else:
                for number, (a, b) in enumerate(zip(left.ravel().tolist(), right.ravel().tolist(), strict=True)):
                    compare(a, b, f"{path}[{number}]", seen)
        elif left.tobytes() != right.tobytes():
            raise Difference(f"{path}: contents differ")
        return
    if isinstance(left, np.dtype):
        if left != right:
            raise Difference(f"{path}: {left} and {right}")
        return
    reduced(left, right, path, seen)


def reduced(left: Any, right: Any, path: str, seen: Any) -> None:
    """By what pickle would write."""
    reduce = copyreg.dispatch_table.get(type(left))
    a, b = (reduce(x) if reduce else x.__reduce_ex__(4) for x in (left, right))
    if isinstance(a, str) or isinstance(b, str):
        if a != b:
            raise Difference(f"{path}: {a} and {b}")
        return
    for name, x, y in zip(("call", "args", "state", "items", "pairs"), a, b, strict=False):
        if name in ("items", "pairs"):
            x, y = (None if part is None else list(part) for part in (x, y))
        compare(x, y, f"{path}.<{name}>" if name != "state" else path, seen)
