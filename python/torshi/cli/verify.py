"""`torshi verify`: files in, whether they are as they were written, and who vouches for them, out. Loads none."""

from __future__ import annotations

import argparse
from typing import Any

from torshi._errors import LimitError, MalformedError, SealError
from torshi._file import describe, verify
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
Reads all of a file, mapped or not, and compares it with its manifest, and the seals with your keys. That a file is as
it was written says nothing about what it would do: torshi check does that.

examples:
  torshi verify state.pkl
  torshi verify --sealed backup/*.pkl && restore   go on only with files that you or someone you trust wrote

exit codes: 0 as written, 1 damaged, a wrong seal, or with --sealed none that you trust, 2 not readable or no manifest
"""


def add_to(commands: Any) -> None:
    """Adds the command to the parser."""
    parser = add_command(
        commands,
        "verify",
        run,
        help="is a file as it was written, and who vouches for it",
        description="Compare files that torshi.save wrote with their manifests and seals.",
        epilog=_EPILOG,
    )
    parser.add_argument("files", metavar="FILE", nargs="+", help="file or URL to verify")
    parser.add_argument("--sealed", action="store_true", help="want a seal by your own key or one you trust")
    add_store_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Verifies each file; returns the worst exit code."""
    options = dict(arguments.store_option)
    return max(_verify(name, arguments.sealed, options if is_url(name) else None) for name in arguments.files)


def _verify(name: str, sealed: bool, options: dict[str, Any] | None) -> int:
    shown = printable(name)
    try:
        found = verify(name, storage_options=options)
    except (MalformedError, LimitError, SealError) as error:
        if _has_none(name, options):
            complain(shown, str(error))
            return UNREADABLE
        print(f"{shown}: {printable(str(error))}")
        return FINDINGS
    except UNREACHABLE as error:
        complain_of(shown, error)
        return UNREADABLE
    if sealed and not found.sealed:
        print(f"{shown}: as written, but no key that you trust has sealed it")
        code = FINDINGS
    else:
        print(f"{shown}: as written")
        code = CLEAN
    for seal in found.seals:
        print(f"  {printable(str(seal))}")
    return code


def _has_none(name: str, options: dict[str, Any] | None) -> bool:
    """Whether a file has no manifest at all, which is no damage."""
    try:
        describe(name, storage_options=options)
    except MalformedError as error:
        return "has no manifest" in str(error)
    except (SealError, OSError):
        return False
    return False
