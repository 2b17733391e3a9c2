"""Stores in memory: the contract of every store, in one process.

If these failed, what was tried out in memory would behave otherwise in a file.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import torshi
from store_contract import MakeStore, TestComparing, TestExpiry, TestMapping, TestQueue, store
from store_contract_rows import TestBackend, TestSeals
from torshi._store.memory import Memory

__all__ = ["TestBackend", "TestComparing", "TestExpiry", "TestMapping", "TestQueue", "TestSeals", "store"]


@pytest.fixture
def make_store() -> Iterator[MakeStore]:
    places: dict[str, Memory] = {}

    def make(name: str = "one", **options: Any) -> torshi.Store[Any]:
        return torshi.Store(places.setdefault(name, Memory()), **options)

    yield make
    for place in places.values():
        place.close()
