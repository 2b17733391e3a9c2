"""Stores in Redis and Valkey: the contract of every store on real servers, and what only a server can do to one.

If these failed, a row planted in Redis would be loaded, an index would differ from its rows, or a lost connection would
lose a change or make one twice.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

import store_contract_rows
import torshi
from store_contract import MakeStore, TestComparing, TestExpiry, TestMapping, TestQueue, store
from store_contract_rows import TestBackend, TestSeals
from store_servers import RedisServer, redis_programs, redis_server

pytest.importorskip("redis", reason="redis is not installed")

__all__ = ["TestBackend", "TestComparing", "TestExpiry", "TestMapping", "TestQueue", "TestSeals", "store"]


class TestProcesses(store_contract_rows.TestProcesses):
    TURNS = 10


_numbers = itertools.count()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    name = next(iter(redis_programs()), "redis")
    with redis_server(name, tmp_path_factory.mktemp(name), "--appendfsync", "no") as server:
        yield server


@pytest.fixture
def make_store(server: RedisServer) -> Iterator[MakeStore]:
    number = next(_numbers)
    made: list[torshi.Store[Any]] = []

    def make(name: str = "one", **options: Any) -> torshi.Store[Any]:
        made.append(torshi.Store(server.url(f"/0/{name}-{number}"), **options))
        return made[-1]

    yield make
    for opened in made:
        opened.close()
