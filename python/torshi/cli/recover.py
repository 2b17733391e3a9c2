"""`torshi recover`: a broken file in, what is whole of it and what is lost out. Loads nothing."""

from __future__ import annotations

import argparse
import json
from typing import Any

from torshi._errors import UnpicklingError
from torshi._printable import printable
from torshi._recover import Recovery, salvaged
from torshi.cli._files import CLEAN, FINDINGS, UNREADABLE, complain

__all__ = ["add_to"]

_EPILOG = """\
Finds what is whole in a pickle that was cut, or is damaged from some place on: of the list or dict that breaks off, the
items that are whole. With -o they are written to a file, which is checked like any other when it is loaded. Nothing is
made up: what may be a part of something unfinished is left out.

examples:
  torshi recover broken.pkl                what can be recovered, what is lost?
  torshi recover broken.pkl -o rest.pkl
  torshi recover --incomplete keep broken.pkl -o rest.pkl

exit codes: 0 nothing is wrong with the file, 1 something is lost, 2 nothing can be recovered or the file not be read
"""


def add_to(commands: Any) -> None:
    """Adds the command to the parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "recover",
        help="what is whole of a broken file",
        description="Recover what is whole of a broken pickle, without loading it.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", metavar="FILE", help="the broken file")
    parser.add_argument("-o", "--output", metavar="OUT", help="write what was recovered to this file")
    parser.add_argument(
        "--incomplete",
        choices=("usual", "drop", "keep"),
        default="usual",
        help="inner containers that break off: keep those that are values of a dict (usual), none, or all",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Recovers the file; returns the exit code."""
    shown = printable(arguments.file)
    try:
        found = salvaged(arguments.file, incomplete=arguments.incomplete)
        if arguments.output is not None:
            found.write(arguments.output)
    except OSError as error:
        complain(shown, error.strerror or str(error))
        return UNREADABLE
    except (UnpicklingError, ValueError) as error:
        complain(shown, str(error))
        return UNREADABLE
    if arguments.json:
        print(json.dumps({"path": arguments.file, **found.account.to_dict()}))
    else:
        _show(shown, found.account, arguments.output)
    return CLEAN if found.account.whole else FINDINGS


def _show(name: str, told: Recovery, output: str | None) -> None:
    if told.whole:
        print(f"{name}: whole")
    else:
        print(f"{name}: {told.read} of {told.size} bytes can be read")
    lines = []
    if told.fault is not None:
        lines.append(("fault", told.fault))
    if told.pickles > 1:
        lines.append(("pickles", str(told.pickles)))
    lines += [("kept", f"{path}, {items} item{'' if items == 1 else 's'}") for path, items in told.kept]
    if told.dropped is not None:
        lines.append(("left out", f"{told.dropped}, which is not whole, and all behind it"))
    lines += [("note", note) for note in told.notes]
    if output is not None:
        lines.append(("written", output))
    for label, text in lines:
        print(f"  {label:9} {printable(text)}")
