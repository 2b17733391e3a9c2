"""Changes of one call into steps, one a key: what is expected of the row, and what becomes of it.

For backends that look at every row once before they change any. Expectations are of the rows as they were before the
call; of several changes of one row the last one counts. Never looks at a row.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from torshi._store.backend import ANY, Change, Check, Delete, Expectation, Put

__all__ = ["Step", "steps"]


class Step(NamedTuple):
    """What a call wants of one row.

    Attributes:
        key: of the row.
        expected: what has to hold of it; `ANY` is not among these.
        effect: what becomes of it; None for nothing.
    """

    key: bytes
    expected: tuple[Expectation, ...]
    effect: Put | Delete | None


def steps(changes: Sequence[Change] | Iterable[Change]) -> list[Step]:
    """The steps of some changes, by their keys.

    Example:
        >>> from torshi._store.backend import ABSENT, Check, Delete
        >>> [step.key for step in steps([Delete(b"b"), Check(b"a", ABSENT), Delete(b"a")])]
        [b'a', b'b']
    """
    expected: dict[bytes, list[Expectation]] = {}
    effects: dict[bytes, Put | Delete | None] = {}
    for change in changes:
        known = expected.setdefault(change.key, [])
        if change.expect is not ANY and change.expect not in known:
            known.append(change.expect)
        if isinstance(change, Check):
            effects.setdefault(change.key, None)
        else:
            effects[change.key] = change
    return [Step(key, tuple(expected[key]), effects[key]) for key in sorted(expected)]
