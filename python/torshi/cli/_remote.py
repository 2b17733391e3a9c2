"""Scanning what is no local file: options and results of `torshi scan` for object stores and clusters."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from torshi._ledger import Ledger, open_ledger
from torshi._objects import scan_objects
from torshi._policy import Policy
from torshi._scan import FileResult, ScanProgress
from torshi._urls import is_url
from torshi.cli._files import add_store_options

__all__ = ["RemoteProblem", "add_options", "is_remote", "results"]


class RemoteProblem(Exception):
    """A store, a cluster or a ledger cannot be used; the text is one line for the user."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds what is for object stores and clusters."""
    group = parser.add_argument_group("object stores and clusters")
    group.add_argument(
        "--dask",
        metavar="ADDRESS",
        help="scan on the Dask cluster of this scheduler; its workers read the paths, files included",
    )
    group.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help="keep the results there (JSON lines, or a folder of Parquet if it ends in .parquet), and leave out"
        " what it has already, unchanged",
    )
    add_store_options(group)


def is_remote(arguments: argparse.Namespace, path: str) -> bool:
    """Whether a path is scanned by way of a store."""
    return is_url(path) or arguments.dask is not None or arguments.output is not None


def results(
    paths: list[str], arguments: argparse.Namespace, policy: Policy, progress: Callable[[ScanProgress], object]
) -> Iterator[FileResult]:
    """The results of what is no local file, as they come.

    Raises:
        RemoteProblem: a store, the cluster or the ledger cannot be used, or a library for it is missing.
    """
    urls = [path if is_url(path) else Path(path).absolute().as_uri() for path in paths]
    files = done = size = 0

    def listed(count: int) -> None:
        nonlocal files
        files = count

    try:
        with contextlib.ExitStack() as stack:
            ledger: Ledger | None = None
            if arguments.output is not None:
                ledger = stack.enter_context(open_ledger(arguments.output))
            scanned = scan_objects(
                urls,
                policy=policy,
                dask=arguments.dask,
                jobs=arguments.jobs,
                options=dict(arguments.store_option),
                known=() if ledger is None else ledger.known,
                listed=listed,
            )
            stack.enter_context(contextlib.closing(scanned))  # type: ignore[type-var]  # a generator closes
            for found in scanned:
                if ledger is not None:
                    ledger.add(found)
                done, size = done + 1, size + found.result.size
                progress(ScanProgress(files, done, size))
                yield found.result
    except (ImportError, OSError, ValueError) as error:
        where = f"{arguments.output}: " if isinstance(error, ValueError) and arguments.output else ""
        raise RemoteProblem(f"{where}{error}") from error
