"""Stores in memory: the contract of every store, in one process.

If these failed, what was tried out in memory would behave otherwise in a file.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from store_contract import TestComparing, TestEvicting, TestExpiry, TestMapping, TestPuttingOver, TestQueue, store
from store_contract_rows import TestBackend, TestSeals
from torshi._store.memory import Memory

__all__ = [
    "TestBackend",
    "TestComparing",
    "TestEvicting",
    "TestExpiry",
    "TestMapping",
    "TestPuttingOver",
    "TestQueue",
    "TestSeals",
    "store",
]


@pytest.fixture
def place_of() -> Callable[[str], Memory]:
    places: dict[str, Memory] = {}
    return lambda name: places.setdefault(name, Memory())
