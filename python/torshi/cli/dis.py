"""`torshi dis`: one file in, its opcodes out, one a line. Never loads it."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from torshi import _native
from torshi._printable import printable
from torshi.cli._files import CLEAN, UNREADABLE, add_command, complain_about_rest, contents, place

__all__ = ["add_to"]

_PIECE = 1 << 16

_EPILOG = """\
Writes one line an opcode: byte offset, opcode, argument; what is no pickle, as far as it can be read.
Offsets count from the beginning of each pickle. Compare with python -m pickletools.

examples:
  torshi dis data.pkl
  torshi dis - < data.pkl | head

exit codes: 0 shown, 2 the file is not readable or not a pickle
"""


def add_to(commands: Any) -> None:
    """Adds the command to the parser."""
    parser = add_command(
        commands,
        "dis",
        run,
        help="the opcodes, one a line",
        description="Disassemble a pickle, without loading it.",
        epilog=_EPILOG,
    )
    parser.add_argument("file", metavar="FILE", help="file to disassemble; - for standard input")


def run(arguments: argparse.Namespace) -> int:
    """Disassembles the file; returns the exit code."""
    ((name, data),) = contents([arguments.file])
    if data is None:
        return UNREADABLE
    start, number = 0, 1
    while True:
        listing, fault, size = _native.disassemble(data, start)
        if number > 1 and fault is None:
            print(place("", number, start).removeprefix(", "))
        if number == 1 or fault is None:
            _write(listing)
        if fault is not None:
            complain_about_rest(name, len(data), start, fault)
            return UNREADABLE
        start += size
        number += 1
        if start >= len(data):
            return CLEAN


def _write(listing: str) -> None:
    # The disassembler escapes already; this is the second lock, and quick where there is nothing to do.
    if listing.isascii() and listing.replace("\n", "").isprintable():
        # In pieces: an unbuffered stream may take a part of a large write and not say that the pipe is closed.
        for at in range(0, len(listing), _PIECE):
            sys.stdout.write(listing[at : at + _PIECE])
        return
    for line in listing.splitlines():
        print(printable(line))
