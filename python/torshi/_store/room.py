"""Room: how much a store may hold, and what goes when it holds more. Sizes and times of use in, deletions out.

Never looks at a value. What others put is seen when this process has put a part of the limit itself, so that the bound
is one of some percent for each process that writes.
"""

from __future__ import annotations

from typing import Final

from torshi._store.backend import Backend, Delete, Version
from torshi._store.keys import DATA

__all__ = ["Room"]

# Parts of the limit: what is put between two measurements, and what remains after rows had to go.
_UNSEEN: Final = 1 / 32
_REMAINS: Final = 0.9
_AT_ONCE: Final = 64


class Room:
    """A limit on the bytes of all values."""

    __slots__ = ("_most", "_since")

    def __init__(self, most: int) -> None:
        if isinstance(most, bool) or not isinstance(most, int):
            raise TypeError(f"max_bytes is a number of bytes, not {type(most).__name__}")
        if most < 0:
            raise ValueError(f"max_bytes is zero or more, not {most}")
        self._most = most
        self._since = most  # so that the first put measures

    def grew(self, backend: Backend, size: int) -> None:
        """Tells of a put."""
        self._since += size
        if self._since >= self._most * _UNSEEN:
            self.changed(backend)

    def changed(self, backend: Backend) -> None:
        """Measures, and makes room if there is too much."""
        self._since = 0
        if backend.usage()[1] <= self._most:
            return
        backend.sweep()
        while backend.usage()[1] > self._most * _REMAINS:
            # What expires meanwhile goes by a sweep alone. If nothing goes, others are at work on all of it.
            if not self._evict(backend, backend.least_used(DATA, _AT_ONCE)) and not backend.sweep():
                return

    def _evict(self, backend: Backend, found: list[tuple[bytes, Version]]) -> int:
        """Removes rows, the least used first, until there is room; how many. One that was put again meanwhile stays."""
        count = 0
        for key, version in found:
            count += backend.apply([Delete(key, version)])
            if backend.usage()[1] <= self._most * _REMAINS:
                break
        return count
