"""The pytest plugin of torshi: the fixture `torshi_lock`, and the option `--torshi-lock-update`.

An object of a test in, golden files of its classes beside the test file compared or, where that was asked for, written.
It stands beside the package and not in it, so that a test run which does not use it does not import torshi.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from torshi import SchemaLock

__all__ = ["torshi_lock"]

_FOLDER = "torshi_lock"
_written = pytest.StashKey[list[Path]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the option."""
    group = parser.getgroup("torshi", "golden files of pickled classes")
    group.addoption(
        "--torshi-lock-update",
        action="store_true",
        help="write a golden file where there is none of the shape that a class has now; old ones are never touched",
    )


@pytest.fixture
def torshi_lock(request: pytest.FixtureRequest) -> SchemaLock:
    """Golden files in `torshi_lock` beside the test file: `torshi_lock.check(obj, "name")`. See `torshi.SchemaLock`."""
    from torshi import SchemaLock

    lock = SchemaLock(
        request.path.parent / _FOLDER,
        update=bool(request.config.getoption("--torshi-lock-update")),
        root=request.config.rootpath,
    )
    lock.written = request.config.stash.setdefault(_written, [])
    return lock


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Says which golden files were written: they are part of the change that they are for."""
    written = config.stash.get(_written, [])
    if written:
        terminalreporter.section("torshi lock")
        for path in written:
            shown = path.relative_to(config.rootpath) if path.is_relative_to(config.rootpath) else path
            terminalreporter.line(f"written: {shown} and {path.stem}.json, to be looked at and committed")
