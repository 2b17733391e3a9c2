"""`torshi check`: files in, one verdict a file and an exit code out. Never loads them."""

from __future__ import annotations

import argparse
from typing import Any

from torshi import _native
from torshi._errors import LimitError, UnpicklingError, UntrustedError
from torshi._policy import Policy
from torshi._printable import printable
from torshi.cli._files import (
    CLEAN,
    FINDINGS,
    UNREADABLE,
    add_command,
    add_policy_options,
    chosen_policy,
    complain_about_rest,
    contents,
    place,
    worst,
)

__all__ = ["add_to"]

_EPILOG = """\
Says for each file whether a load under the policy would build it, and if not, why not. "no findings" means
just that: every class and call in the file is on the policy's list. Where several pickles follow one another
in a file, all of them are judged.

examples:
  torshi check data.pkl
  torshi check --trust 'myapp.models.*' sessions/*.pkl
  torshi check --policy team.toml model.pkl
  cat data.pkl | torshi check -

exit codes: 0 no findings, 1 findings, 2 a file is not readable, not a pickle, or not a pickle from somewhere on;
with both, 1
"""


def add_to(commands: Any) -> None:
    """Adds the command to the parser."""
    parser = add_command(
        commands,
        "check",
        run,
        help="would it load, and if not, why not",
        description="Judge pickles under a policy, without loading them.",
        epilog=_EPILOG,
    )
    parser.add_argument("files", metavar="FILE", nargs="+", help="file to judge; - for standard input")
    add_policy_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Judges each file; returns the exit code of all."""
    policy = chosen_policy(arguments)
    files = contents(arguments.files)
    return worst([UNREADABLE if data is None else _judge(name, data, policy) for name, data in files])


def _judge(name: str, data: bytes, policy: Policy) -> int:
    """Judges the pickles of a file one after another, up to the first that would not load."""
    shown = printable(policy.name)
    start, number = 0, 1
    while True:
        where = place(name, number, start)
        try:
            start += _native.check(data, policy._inner, None, start)
        except UntrustedError as error:
            count = len(error.findings)
            print(f"{where}: {count} finding{'' if count == 1 else 's'} under policy {shown}")
            for finding in error.findings:
                print(f"  {printable(finding.to_line('--trust {}'))}")
            return FINDINGS
        except LimitError as error:
            print(f"{where}: 1 finding under policy {shown}")
            print(f"  {printable(str(error))}")
            return FINDINGS
        except UnpicklingError as error:
            complain_about_rest(name, len(data), start, str(error))
            return UNREADABLE
        if start >= len(data):
            break
        number += 1
    print(f"{name}: no findings under policy {shown}{f' in {number} pickles' if number > 1 else ''}")
    return CLEAN
