"""`torshi convert`: a file in one format in, a file in another out. Loads no pickle."""

from __future__ import annotations

import argparse
from typing import Any

from torshi._convert import convert
from torshi._errors import UnpicklingError
from torshi._printable import printable
from torshi.cli._files import CLEAN, FINDINGS, UNREADABLE, complain

__all__ = ["add_to"]

_EPILOG = """\
Reads pickles of any kind, compressed or not, joblib's files, and numpy's .npz and .npy; writes files as torshi.save
does, plain pickles, and JSON. Nothing of a pickle is loaded. JSON has text, numbers, lists and dictionaries with keys
of text: what does not fit is named by its path, and nothing is written. --lossy writes what has an obvious form: bytes
as base64, sets as lists, dates and decimals as text, numbers as keys.

examples:
  torshi convert settings.pkl settings.json
  torshi convert arrays.npz arrays.pkl
  torshi convert --to pickle state.pkl state.dat

exit codes: 0 done, 1 the data does not fit the format, 2 the file is not readable or not of a format known here
"""


def add_to(commands: Any) -> None:
    """Adds the command to the parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "convert",
        help="pickle, joblib, npz into torshi's files, pickles, JSON",
        description="Convert files between formats, without loading pickles.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", metavar="IN", help="file to convert")
    parser.add_argument("target", metavar="OUT", help="file to write; .pkl, .pickle, .torshi and .json say the format")
    parser.add_argument("--to", choices=("torshi", "pickle", "json"), help="format to write, whatever OUT is called")
    parser.add_argument("--lossy", action="store_true", help="in JSON, write what has an obvious form and no own one")
    parser.add_argument("--compress", metavar="HOW", help="zstd, lz4, gzip, with a level as in zstd:19")
    parser.add_argument(
        "--seal", metavar="NAME", nargs="?", const="local", help="seal it with this key, or your local one"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Converts the file; returns the exit code."""
    shown = printable(arguments.source)
    try:
        written = convert(
            arguments.source,
            arguments.target,
            to=arguments.to,
            lossy=arguments.lossy,
            compress=arguments.compress,
            key=arguments.seal,
        )
    except OSError as error:
        complain(shown, error.strerror or str(error))
        return UNREADABLE
    except (UnpicklingError, ModuleNotFoundError) as error:
        complain(shown, str(error))
        return UNREADABLE
    except ValueError as error:
        complain(shown, str(error))
        return FINDINGS
    print(printable(f"{arguments.target}: {written}"))
    return CLEAN
