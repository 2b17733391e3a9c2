"""What happens to calls of cached functions, as records, as lines of a log, and as counts.

Everything that a cache decides by itself is told here and nowhere else: a row it could not read, a store that is not
there. Nothing here decides anything.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

__all__ = ["CacheEvent", "CacheInfo", "Counts", "Teller", "logger"]

logger: Final = logging.getLogger("torshi.cache")

# How each kind is logged; what is expected happens at DEBUG.
_LEVELS: Final = {
    "unreadable": logging.WARNING,
    "unavailable": logging.WARNING,
    "unstorable": logging.WARNING,
}
_TEXTS: Final = {
    "memory": "in memory",
    "store": "read from the store",
    "shared": "computed by another caller",
    "computed": "computed",
    "raised": "the function raised",
    "refreshed": "computed anew",
    "forgotten": "forgotten",
    "unreadable": "the stored result cannot be read, and is computed again",
    "unavailable": "the store cannot be used, and results are kept in memory alone",
    "unstorable": "the result cannot be stored, and is kept in memory alone",
}


@dataclass(frozen=True, slots=True)
class CacheEvent:
    """Something that happened to a call of a cached function.

    Attributes:
        kind: ``memory``, ``store`` or ``shared`` for a hit there; ``computed`` or ``raised``; ``refreshed``;
            ``forgotten``; ``unreadable`` for a stored result that could not be loaded; ``unavailable`` for a store that
            failed; ``unstorable`` for a result that cannot be pickled.
        function: module and qualified name.
        key: of the call, as hexadecimal digits; empty where there is none.
        seconds: how long it took, for what takes time.
        error: what was raised, if anything.
    """

    kind: str
    function: str
    key: str = ""
    seconds: float = 0.0
    error: BaseException | None = None


CacheEvent.__module__ = "torshi"


class CacheInfo(NamedTuple):
    """How a cached function fared in this process. The first four are those of `functools.lru_cache`.

    Attributes:
        hits: calls that were answered without running the function: `memory`, `store` and `shared` together.
        misses: runs of the function.
        maxsize: how many results memory holds at most; None for any number.
        currsize: how many it holds now.
        memory: hits in memory.
        store: hits in the store.
        shared: calls that waited for the run of another one, and got what came of it.
        errors: runs that raised.
        unreadable: stored results that could not be loaded.
        unavailable: operations of the store that failed.
        bytes: about how much memory the results in memory take.
    """

    hits: int
    misses: int
    maxsize: int | None
    currsize: int
    memory: int
    store: int
    shared: int
    errors: int
    unreadable: int
    unavailable: int
    bytes: int


CacheInfo.__module__ = "torshi"


class Counts:
    """Counters of one function; `memory` is counted by the function itself, which has no time for a call."""

    __slots__ = (
        "computed",
        "forgotten",
        "memory",
        "raised",
        "refreshed",
        "shared",
        "store",
        "unavailable",
        "unreadable",
        "unstorable",
    )

    computed: int
    forgotten: int
    memory: int
    raised: int
    refreshed: int
    shared: int
    store: int
    unavailable: int
    unreadable: int
    unstorable: int

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        for name in self.__slots__:
            setattr(self, name, 0)


class Teller:
    """Tells of one function: counts, logs, and calls back.

    Args:
        function: its name.
        on_event: called with each `CacheEvent`, in the thread in which it happens. What it raises is logged.
    """

    def __init__(self, function: str, on_event: Callable[[CacheEvent], object] | None) -> None:
        self.function = function
        self.on_event = on_event
        self.counts = Counts()
        self._said: set[str] = set()

    def __call__(self, kind: str, key: bytes = b"", seconds: float = 0.0, error: BaseException | None = None) -> None:
        counts = self.counts
        setattr(counts, kind, getattr(counts, kind) + 1)
        level = _LEVELS.get(kind, logging.DEBUG)
        if kind in ("unavailable", "unstorable"):
            # Once aloud: whoever has read it knows, and each call would say it again.
            level = logging.DEBUG if kind in self._said else level
            self._said.add(kind)
        if logger.isEnabledFor(level):
            reason = f": {type(error).__name__}: {error}" if error is not None else ""
            logger.log(level, "%s %s: %s%s", self.function, key.hex()[:16], _TEXTS[kind], reason)
        if self.on_event is not None:
            self.call_back(CacheEvent(kind, self.function, key.hex(), seconds, error))

    def call_back(self, event: CacheEvent) -> None:
        try:
            if self.on_event is not None:
                self.on_event(event)
        except Exception:
            logger.exception("%s: on_event raised", self.function)
