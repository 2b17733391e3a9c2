"""Results by key, in the memory of one process: the very objects, as long as they are fresh and there is room.

Lookups take no lock: an entry that is there is whole, and one that was dropped has no time left. Nothing here knows of
stores or functions.
"""

from __future__ import annotations

import heapq
import math
import threading
import time
from collections.abc import Iterable
from typing import Any, Final

__all__ = ["Entry", "Memory"]

# How many ways to write one call lead to its entry directly; a program uses few.
_SPELLINGS: Final = 8


class Entry:
    """A result that is in memory.

    Attributes:
        key: of the call.
        value: what the function returned, or raised.
        failed: whether it raised.
        until: until when it is handed out without a further look, on the monotonic clock; never, if it is dropped.
        expires: when it is no longer a result, on the same clock.
        refresh: when it is to be computed anew in the background.
        seen: when it was last known to be in the store.
        version: of its row in the store; None if there is none.
        used: when it was last handed out.
        weight: about how many bytes it takes.
        tags: what it can be evicted by.
        is_told: whether what the function raised has been raised to somebody.
        spellings: under which it is found without a key.
    """

    __slots__ = (
        "expires",
        "failed",
        "is_told",
        "key",
        "refresh",
        "seen",
        "spellings",
        "tags",
        "until",
        "used",
        "value",
        "version",
        "weight",
    )

    def __init__(
        self,
        key: bytes,
        value: Any,
        *,
        failed: bool = False,
        expires: float = math.inf,
        refresh: float = math.inf,
        version: int | None = None,
        weight: int = 0,
        tags: tuple[str, ...] = (),
    ) -> None:
        self.key = key
        self.value = value
        self.failed = failed
        self.is_told = False
        self.until = -math.inf
        self.expires = expires
        self.refresh = refresh
        self.version = version
        self.used = self.seen = time.monotonic()
        self.weight = weight
        self.tags = tags
        self.spellings: list[bytes] = []


class Memory:
    """The results of one function.

    Args:
        max_bytes: about how many bytes they take together.
        max_entries: how many there are.
    """

    def __init__(self, max_bytes: int | None, max_entries: int | None) -> None:
        self.max_bytes = max_bytes
        self.max_entries = max_entries
        self.by_key: dict[bytes, Entry] = {}
        self.by_spelling: dict[bytes, Entry] = {}
        self.bytes = 0
        self.renew_lock()

    def renew_lock(self) -> None:
        """After a fork: whoever held the lock is not in this process."""
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self.by_key)

    def put(self, entry: Entry, until: float) -> bool:
        """Keeps an entry in place of what was there; False for one that alone is too large."""
        with self._lock:
            self._drop(entry.key)
            if self.max_bytes is not None and entry.weight > self.max_bytes:
                return False
            if self.max_entries == 0:
                return False
            entry.until = -math.inf if entry.failed else until
            self.by_key[entry.key] = entry
            self.bytes += entry.weight
            self._shrink()
        return True

    def spell(self, entry: Entry, spelling: bytes) -> None:
        """Lets an entry be found by how its call was written."""
        with self._lock:
            if self.by_key.get(entry.key) is entry and len(entry.spellings) < _SPELLINGS:
                if spelling not in self.by_spelling:
                    entry.spellings.append(spelling)
                self.by_spelling[spelling] = entry

    def drop(self, keys: Iterable[bytes]) -> int:
        """Forgets entries; how many of these there were."""
        with self._lock:
            return sum(map(self._drop, list(keys)))

    def clear(self) -> None:
        self.drop(list(self.by_key))

    def tagged(self, tag: str) -> list[bytes]:
        """Keys of the entries with a tag."""
        with self._lock:
            return [entry.key for entry in self.by_key.values() if tag in entry.tags]

    def _drop(self, key: bytes) -> bool:
        entry = self.by_key.pop(key, None)
        if entry is None:
            return False
        entry.until = -math.inf
        self.bytes -= entry.weight
        for spelling in entry.spellings:
            if self.by_spelling.get(spelling) is entry:
                del self.by_spelling[spelling]
        entry.spellings.clear()
        return True

    def _is_over(self, share: float = 1.0) -> bool:
        return (self.max_entries is not None and len(self.by_key) > self.max_entries * share) or (
            self.max_bytes is not None and self.bytes > self.max_bytes * share
        )

    def _shrink(self) -> None:
        """Drops the least recently used, some more than have to go: to find them means to look at all."""
        if not self._is_over():
            return
        now = time.monotonic()
        for key in [key for key, entry in self.by_key.items() if entry.expires <= now]:
            self._drop(key)
        if not self._is_over():
            return
        newest = max(self.by_key.values(), key=_used)
        share = 0.9 if len(self.by_key) > 16 else 1.0
        waiting = [(entry.used, place, entry.key) for place, entry in enumerate(self.by_key.values())]
        heapq.heapify(waiting)
        while waiting and self._is_over(share) and len(self.by_key) > 1:
            key = heapq.heappop(waiting)[2]
            if key != newest.key:
                self._drop(key)


def _used(entry: Entry) -> float:
    return entry.used
