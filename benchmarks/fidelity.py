"""Two values into what the second has lost of the first, if anything.

For codecs that do not write pickles: a figure of one that turns tuples into lists, or two references to one list into
two lists, would compare different work. Knows builtin types, dataclasses and named tuples; of anything else it says
that it cannot tell, which counts as lost. Never changes a value.
"""

from __future__ import annotations

import array
import dataclasses
from typing import Any

ATOMS = frozenset({int, str, bytes, bool, type(None)})
SETS = frozenset({set, frozenset})


def lost(before: Any, after: Any) -> str | None:
    """What `after` has lost of `before`; `None` if nothing."""
    there: dict[int, int] = {}
    back: dict[int, int] = {}
    pairs = [(before, after)]
    while pairs:
        left, right = pairs.pop()
        kind = type(left)
        if kind is not type(right):
            return f"{kind.__name__} became {type(right).__name__}"
        if kind in ATOMS or kind is float:
            if not _equal_atoms([left], [right]):
                return f"a value of {kind.__name__} changed"
            continue
        if kind in SETS and (left != right or sorted(map(_typed, left)) != sorted(map(_typed, right))):
            return f"a {kind.__name__} changed"
        if not issubclass(kind, tuple) and kind is not frozenset:
            one, other = there.setdefault(id(left), id(right)), back.setdefault(id(right), id(left))
            if (one, other) != (id(right), id(left)):
                return f"sharing of a {kind.__name__} was lost"
        if kind in SETS:
            continue
        parts = _parts(left, right)
        if parts is None:
            return f"cannot compare a {kind.__name__}"
        for mine, theirs in parts:
            if len(mine) != len(theirs):
                return f"length of a {kind.__name__} changed"
            if not _equal_atoms(mine, theirs):
                pairs.extend(zip(mine, theirs, strict=True))
    return None


def _typed(value: Any) -> str:
    return f"{type(value).__name__} {value!r}"


def _equal_atoms(left: list[Any], right: list[Any]) -> bool:
    """Whether both hold the same builtin values of the same types; a quick way for long rows of them."""
    kinds = set(map(type, left))
    if list(map(type, left)) != list(map(type, right)):
        return False
    if kinds <= ATOMS:
        return left == right
    # Bit by bit: a NaN is not equal to itself, and 0.0 is to -0.0.
    return kinds == {float} and array.array("d", left).tobytes() == array.array("d", right).tobytes()


def _parts(left: Any, right: Any) -> list[tuple[list[Any], list[Any]]] | None:
    kind = type(left)
    if kind is list or issubclass(kind, tuple):
        return [(list(left), list(right))]
    if kind is dict:
        # In order: a reader may depend on it, and pickle keeps it.
        return [(list(left), list(right)), (list(left.values()), list(right.values()))]
    if dataclasses.is_dataclass(left) and hasattr(left, "__dict__"):
        return [(list(vars(left)), list(vars(right))), (list(vars(left).values()), list(vars(right).values()))]
    return None
