"""Stores in a bucket: the contract of every store on a real server of S3, and what only a bucket's neighbours can do.

If these failed, two writers would lose a change to one another, a writer that died would leave a part of one, or an object
planted in the bucket would be loaded.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

import store_contract
import torshi
from store_contract import MakeStore, TestBackend, TestComparing, TestExpiry, TestQueue, store
from store_servers import make_bucket, s3_server

pytest.importorskip("obstore", reason="obstore is not installed")

__all__ = ["TestBackend", "TestComparing", "TestExpiry", "TestQueue", "store"]


class TestMapping(store_contract.TestMapping):
    MANY = 150


class TestSeals(store_contract.TestSeals):
    FLAGS = range(0, 256, 15)


class TestProcesses(store_contract.TestProcesses):
    TURNS = 6


_numbers = itertools.count()


@pytest.fixture(scope="module", autouse=True)
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with s3_server(tmp_path_factory.mktemp("seaweedfs")) as address:
        make_bucket("stores")
        yield address


@pytest.fixture
def make_store() -> Iterator[MakeStore]:
    number = next(_numbers)
    made: list[torshi.Store[Any]] = []

    def make(name: str = "one", **options: Any) -> torshi.Store[Any]:
        made.append(torshi.Store(f"s3://stores/{number}/{name}", **options))
        return made[-1]

    yield make
    for store in made:
        store.close()
