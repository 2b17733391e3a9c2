"""`torshi dis`: one file in, its opcodes out, one a line. Never loads it."""

from __future__ import annotations

import argparse
from typing import Any

from torshi import _native
from torshi._errors import UnpicklingError
from torshi._printable import printable
from torshi.cli._files import CLEAN, UNREADABLE, complain, contents

__all__ = ["add_to"]

_EPILOG = """\
Writes one line an opcode: byte offset, opcode, argument. Compare with python -m pickletools.

examples:
  torshi dis data.pkl
  torshi dis - < data.pkl | head

exit codes: 0 shown, 2 the file is not readable or not a pickle
"""


def add_to(commands: Any) -> None:
    """Adds the command to the parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "dis",
        help="the opcodes, one a line",
        description="Disassemble a pickle, without loading it.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", metavar="FILE", help="file to disassemble; - for standard input")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Disassembles the file; returns the exit code."""
    ((name, data),) = contents([arguments.file])
    if data is None:
        return UNREADABLE
    try:
        listing = _native.disassemble(data)
    except UnpicklingError as error:
        complain(name, str(error))
        return UNREADABLE
    for line in listing.rstrip("\n").split("\n"):
        print(printable(line.replace("\t", " ")))
    return CLEAN
