"""`torshi seal`: files and keys in, the same files with seals out. Loads none, and seals none that is damaged."""

from __future__ import annotations

import argparse
from typing import Any

from torshi._errors import UnpicklingError
from torshi._file import seal
from torshi._printable import printable
from torshi._urls import is_url
from torshi.cli._files import (
    CLEAN,
    FINDINGS,
    UNREACHABLE,
    UNREADABLE,
    add_command,
    add_store_options,
    complain,
    complain_of,
)

__all__ = ["add_to"]

_EPILOG = """\
With a seal of your local key you load a file without naming its classes; with one of a pair, whoever trusts that pair
does. So look at a file you did not write before you seal it: torshi describe, torshi show.

examples:
  torshi seal state.pkl                    with your local key
  torshi seal --key release models/*.pkl   with a pair (torshi keys new release)

exit codes: 0 sealed, 1 damaged or not to be sealed, 2 not readable
"""


def add_to(commands: Any) -> None:
    """Adds the command to the parser."""
    parser = add_command(
        commands,
        "seal",
        run,
        help="vouch for a file",
        description="Add seals to files that torshi.save wrote.",
        epilog=_EPILOG,
    )
    parser.add_argument("files", metavar="FILE", nargs="+", help="file or URL to seal")
    parser.add_argument(
        "--key", metavar="NAME", action="append", help="key to seal with; repeatable; your local key if absent"
    )
    add_store_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Seals each file; returns the worst exit code."""
    code, options = CLEAN, dict(arguments.store_option)
    for name in arguments.files:
        shown = printable(name)
        try:
            seals = seal(name, arguments.key, storage_options=options if is_url(name) else None)
        except UnpicklingError as error:
            complain(shown, str(error))
            code = max(code, FINDINGS)
            continue
        except UNREACHABLE as error:
            complain_of(shown, error)
            code = UNREADABLE
            continue
        print(f"{shown}: sealed")
        for each in seals:
            print(f"  {printable(str(each))}")
    return code
