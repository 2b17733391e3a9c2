"""What all tests share: exceptions are pickled as Python pickles them, and keys are those of the tests.

Dask, once anything imports it, has tblib register another way for every exception of the process, which stock pickle
and torshi follow alike. Tests of exceptions would then depend on which tests ran before them.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

with contextlib.suppress(ImportError):
    import tblib.pickling_support

    tblib.pickling_support.install = lambda *_, **__: None

# Set for child processes too, and before anything is saved: no test touches the keys of whoever runs it.
os.environ["TORSHI_CONFIG_DIR"] = tempfile.mkdtemp(prefix="torshi-test-keys-")
atexit.register(shutil.rmtree, os.environ["TORSHI_CONFIG_DIR"], ignore_errors=True)
# Nor does any leave results in his folder for caches.
os.environ["TORSHI_CACHE_DIR"] = tempfile.mkdtemp(prefix="torshi-test-cache-")
atexit.register(shutil.rmtree, os.environ["TORSHI_CACHE_DIR"], ignore_errors=True)


@pytest.fixture
def place_of(tmp_path: Path) -> Callable[[str], Any]:
    """Where a store of that name is: a file, unless the file of the tests has a fixture of its own that says where."""
    return lambda name: tmp_path / f"{name}.db"


@pytest.fixture
def make_store(place_of: Callable[[str], Any]) -> Iterator[Callable[..., Any]]:
    """Opens the one store of the test, or, by name, another one, anew each time; closes all of them behind it."""
    import torshi  # not before the folders of the tests are set

    opened: list[torshi.Store[Any]] = []

    def make(name: str = "one", **options: Any) -> torshi.Store[Any]:
        opened.append(torshi.Store(place_of(name), **options))
        return opened[-1]

    yield make
    for store in opened:
        store.close()
