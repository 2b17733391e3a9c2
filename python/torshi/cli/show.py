"""`torshi show`: files in, what is inside them out, as text or JSON. Never loads them."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from torshi import _native
from torshi._policy import Policy
from torshi._report import Report
from torshi.cli._files import (
    CLEAN,
    UNREADABLE,
    add_command,
    add_policy_options,
    chosen_policy,
    complain_about_rest,
    contents,
)

__all__ = ["add_to"]

_EPILOG = """\
Shows the classes and functions a pickle names, the calls it would make, the findings under the policy, and
the tree of its values with byte ranges and sizes. Nothing of it is loaded. Where several pickles follow one
another in a file, all of them are shown.

examples:
  torshi show data.pkl
  torshi show --depth 2 big.pkl
  torshi show --json data.pkl | jq '.globals[].name'
  torshi show --trust 'myapp.models.*' state.pkl

exit codes: 0 shown, 2 a file is not readable or not a pickle
"""


def add_to(commands: Any) -> None:
    """Adds the command to the parser."""
    parser = add_command(
        commands,
        "show",
        run,
        help="what is inside a pickle",
        description="Show what is inside pickles, without loading them.",
        epilog=_EPILOG,
    )
    parser.add_argument("files", metavar="FILE", nargs="+", help="file to look at; - for standard input")
    parser.add_argument("--json", action="store_true", help="write one JSON object a line instead of text")
    parser.add_argument("--depth", type=_depth, metavar="N", help="show N levels of the tree; 0 leaves it out")
    add_policy_options(parser)


def _depth(text: str) -> int:
    depth = int(text)
    if depth < 0:
        raise ValueError(text)
    return depth


def run(arguments: argparse.Namespace) -> int:
    """Shows each file; returns the exit code."""
    policy = chosen_policy(arguments)
    code = CLEAN
    for number, (name, data) in enumerate(contents(arguments.files)):
        if data is None:
            code = UNREADABLE
            continue
        if len(arguments.files) > 1 and not arguments.json:
            print(f"{'' if number == 0 else chr(10)}{name}")
        code = max(code, _show(name, data, policy, arguments))
    return code


def _show(name: str, data: bytes, policy: Policy, arguments: argparse.Namespace) -> int:
    """Shows the pickles of a file one after another, up to the first that cannot be read."""
    start, number = 0, 1
    while True:
        report = Report.from_json(_native.inspect(data, policy._inner, None, start), policy.name)
        broken = report.error is not None
        if arguments.json:
            print(json.dumps({"file": name, "start": start, **json.loads(report.to_json())}))
        elif report.error is not None and (start > 0 or not report.is_pickle):
            complain_about_rest(name, len(data), start, report.error.message)
        else:
            if number > 1:
                print(f"\npickle {number} at byte {start}; offsets count from there")
            print(report.to_text(color=sys.stdout.isatty(), depth=arguments.depth))
        if broken:
            return UNREADABLE
        start += report.size
        number += 1
        if start >= len(data):
            return CLEAN
