"""Results of one function in a store: rows of its own, each a record of what came out and when.

A shelf is a store's rows below ("torshi.cache", name of the function); the store seals, orders and keeps them, and its
tags, expiry and limits are the store's. `Source` says which store, and opens it when it is first needed. Nothing here
decides whether a result may be used.
"""

from __future__ import annotations

import os
import sys
import threading
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

if TYPE_CHECKING:
    from torshi._cache.lease import Lease

__all__ = ["Record", "Shelf", "Source", "cache_folder"]

MEMORY: Final = ":memory:"


class Record(NamedTuple):
    value: Any
    failed: bool
    created: float
    expires: float | None
    tags: tuple[str, ...]
    version: object


class Source:
    """Which store."""

    def __init__(self, store: Any, copy: bool) -> None:
        self._given = store

    @property
    def where(self) -> str:
        return MEMORY

    @property
    def is_memory(self) -> bool:
        return True

    def open(self, name: str) -> Any:
        raise NotImplementedError
class Shelf: pass
