"""`torshi show`: files in, what is inside them out, as text or JSON. Never loads them."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from torshi._inspect import inspect
from torshi.cli._files import (
    CLEAN,
    UNREADABLE,
    PolicyProblem,
    add_policy_options,
    chosen_policy,
    complain,
    contents,
)

__all__ = ["add_to"]

_EPILOG = """\
Shows the classes and functions a pickle names, the calls it would make, the findings under the policy, and
the tree of its values with byte ranges and sizes. Nothing of it is loaded.

examples:
  torshi show data.pkl
  torshi show --depth 2 big.pkl
  torshi show --json data.pkl | jq '.globals[].name'

exit codes: 0 shown, 2 a file is not readable or not a pickle
"""


def add_to(commands: Any) -> None:
    """Adds the command to the parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "show",
        help="what is inside a pickle",
        description="Show what is inside pickles, without loading them.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("files", metavar="FILE", nargs="+", help="file to look at; - for standard input")
    parser.add_argument("--json", action="store_true", help="write one JSON object a line instead of text")
    parser.add_argument("--depth", type=_depth, metavar="N", help="show N levels of the tree; 0 leaves it out")
    add_policy_options(parser)
    parser.set_defaults(run=run)


def _depth(text: str) -> int:
    depth = int(text)
    if depth < 0:
        raise ValueError(text)
    return depth


def run(arguments: argparse.Namespace) -> int:
    """Shows each file; returns the exit code."""
    try:
        policy = chosen_policy(arguments)
    except PolicyProblem as problem:
        complain("policy", str(problem))
        return UNREADABLE
    code = CLEAN
    color = sys.stdout.isatty()
    for number, (name, data) in enumerate(contents(arguments.files)):
        if data is None:
            code = UNREADABLE
            continue
        report = inspect(data, policy=policy)
        if report.error is not None:
            code = UNREADABLE
        if arguments.json:
            print(json.dumps({"file": name, **json.loads(report.to_json())}))
            continue
        if len(arguments.files) > 1:
            print(f"{'' if number == 0 else chr(10)}{name}")
        print(report.to_text(color=color, depth=arguments.depth))
    return code
