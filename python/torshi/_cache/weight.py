"""Values into about how many bytes of memory they take, for a bound on what is kept.

An estimate in little time: of a long container a sample is walked, and stands for the rest. Arrays and tables say how
large they are. Nothing of a class is called, but ``__sizeof__`` and that account.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from itertools import chain, islice
from typing import Any, Final

__all__ = ["weight"]

# Objects that are looked at, about; and levels of containers.
_LOOKS: Final = 2_000
_DEPTH: Final = 20
_ATOMS: Final = frozenset({int, float, str, bytes, bool, type(None), complex, bytearray})


def weight(value: object) -> int:
    """About how many bytes a value takes.

    Example:
        >>> weight(b"x" * 1000) > 1000, weight([b"x" * 1000] * 5) < 2000
        (True, True)
        >>> 0.9 < weight([str(n) for n in range(1000, 9000)]) / 488_056 < 1.1
        True
    """
    if type(value) in _ATOMS:
        return sys.getsizeof(value)
    try:
        return _estimate(value, {id(value)}, _LOOKS, _DEPTH)
    except RuntimeError:  # somebody changes it meanwhile
        return _own(value)


def _estimate(item: object, seen: set[int], looks: int, depth: int) -> int:
    size = _own(item)
    if type(item) in _ATOMS or not depth:
        return size
    count, inner = _inner(item)
    if not count:
        return size
    sample = min(count, max(looks, 1))
    sampled = 0
    for found in islice(inner, sample):
        if id(found) not in seen:
            seen.add(id(found))
            sampled += _estimate(found, seen, looks // sample, depth - 1)
    return size + sampled * count // sample


def _own(item: Any) -> int:
    for name in ("nbytes", "memory_usage"):
        if getattr(type(item), name, None) is None:
            continue
        try:
            size = getattr(item, name)
            size = size() if callable(size) else size
            return int(size.sum() if hasattr(size, "sum") else size) + 128
        except Exception:  # an account that fails is none
            break
    try:
        return sys.getsizeof(item)
    except Exception:  # a class may have a __sizeof__ that fails
        return 64


def _inner(item: object) -> tuple[int, Iterable[object]]:
    """How many objects one holds, and these."""
    if isinstance(item, dict):
        return 2 * len(item), chain.from_iterable(item.items())
    if isinstance(item, (list, tuple, set, frozenset)):
        return len(item), item
    state = getattr(item, "__dict__", None)
    return (len(state), state.values()) if type(state) is dict else (0, ())
