"""Stores in Redis and Valkey: the contract of every store on real servers, and what only a server can do to one.

If these failed, a row planted in Redis would be loaded, an index would differ from its rows, or a lost connection would
lose a change or make one twice.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import pytest

import store_contract_rows
from store_contract import TestComparing, TestEvicting, TestExpiry, TestMapping, TestPuttingOver, TestQueue, store
from store_contract_rows import TestBackend, TestSeals
from store_servers import RedisServer, redis_programs, redis_server

pytest.importorskip("redis", reason="redis is not installed")

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


class TestProcesses(store_contract_rows.TestProcesses):
    TURNS = 10


_numbers = itertools.count()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    name = next(iter(redis_programs()), "redis")
    with redis_server(name, tmp_path_factory.mktemp(name), "--appendfsync", "no") as server:
        yield server


@pytest.fixture
def place_of(server: RedisServer) -> Callable[[str], str]:
    number = next(_numbers)
    return lambda name: server.url(f"/0/{name}-{number}")
