"""What every test starts from: the pickling registry as Python has it."""

from __future__ import annotations

import copyreg
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def registry_of_its_own() -> Iterator[None]:
    """Libraries register ways to pickle other people's classes when they are imported: Dask does, by way of tblib, for
    every exception there is. What one test imports must not change what another one's values come to."""
    before = dict(copyreg.dispatch_table)
    yield
    if copyreg.dispatch_table != before:
        copyreg.dispatch_table.clear()
        copyreg.dispatch_table.update(before)
