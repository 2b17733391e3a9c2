"""Names into workloads: which suite, and which of its workloads, for every tool that runs them.

Makes no value and measures nothing.
"""

from __future__ import annotations

import argparse
import sys

from large import OF_LIBRARIES, large
from workloads import Workload, workloads

SUITES = {"short": (workloads,), "large": (large,), "all": (workloads, large)}


def add_options(parser: argparse.ArgumentParser, default: str) -> None:
    """Adds `--suite`, `--only` and `--list`."""
    parser.add_argument("--suite", choices=SUITES, default=default, help=f"which workloads (default: {default})")
    parser.add_argument(
        "--only",
        default="",
        metavar="TEXT",
        help="only workloads with this in their name, or one of several, separated by semicolons",
    )
    parser.add_argument("--list", action="store_true", help="name the workloads and do nothing else")


def chosen(arguments: argparse.Namespace) -> list[Workload]:
    """The workloads that the options ask for; those whose library is missing are named and left out.

    Raises:
        SystemExit: after `--list` has named them; or none has such a name, or two have the same.
    """
    # Some graphs are deep for C pickle, which recurses; torshi does not.
    sys.setrecursionlimit(20_000)
    parts = [part.strip() for part in arguments.only.split(";")]
    found = [
        workload
        for suite in SUITES[arguments.suite]
        for workload in suite()
        if any(part in workload.name for part in parts)
    ]
    if arguments.list:
        print("\n".join(workload.name for workload in found))
        raise SystemExit
    if len({workload.name for workload in found}) < len(found):
        raise SystemExit("two workloads have one name: the figures of one would be lost")
    missing = {name for name, is_there in OF_LIBRARIES.items() if not is_there()}
    for workload in found:
        if workload.name in missing:
            print(f"{workload.name}: left out, its library is not installed")
    found = [workload for workload in found if workload.name not in missing]
    if not found:
        raise SystemExit(f"no workload of the suite {arguments.suite} has {arguments.only!r} in its name; see --list")
    return found
