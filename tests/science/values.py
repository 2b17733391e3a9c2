"""One value of the scientific stack, by library and name, and how it is told whether it came back.

A value is made when it is asked for and never stored. Nothing here loads a pickle.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Value:
    """A value to write and read back.

    Attributes:
        library: the distribution it needs.
        name: what it is, unique in its library.
        make: makes it anew.
        use: what its user would do with it; gives results that must be equal before and after.
        protocols: the protocols it can be written at.
    """

    library: str
    name: str
    make: Callable[[], Any]
    use: Callable[[Any], Any] | None = None
    protocols: tuple[int, ...] = (0, 1, 2, 3, 4, 5)


Values = Iterator[Value]
