"""`torshi migrate`: old files in, files for today out, under the same names or others. Loads none."""

from __future__ import annotations

import argparse
import difflib
import json
import os
import re
import sys
from collections.abc import Iterator
from typing import Any

from torshi import _native
from torshi._errors import UnpicklingError
from torshi._migrate import Migration, migrate
from torshi._printable import printable
from torshi._scan import ScanProgress
from torshi.cli._bar import Bar
from torshi.cli._files import CLEAN, FINDINGS, UNREADABLE, complain

__all__ = ["add_to"]

# Lines of a disassembly beyond which a diff of it is neither quick nor read: the names are shown instead.
_MOST_LINES = 5000
# Offset and byte of a disassembled line, and the slot that a MEMOIZE takes.
_PLACE = re.compile(r"^ *\d+: \S+ +")
_NOTE = re.compile(r" +\((as|MARK at) \d+\)$")

_EPILOG = """\
Rewrites pickles without loading them: classes under the names they have now, protocol 5, a manifest with digests behind
them. What is written is compared with what was read, and must build the same but for the names. A file is replaced as
a whole or not at all, and left alone where nothing changes. Without a manifest's seal by your own key the new file is
not sealed either: migrating a stranger's file does not vouch for it.

examples:
  torshi migrate --check store/*.pkl                      what would change?
  torshi migrate --rename shop.models.User=shop.people.User store/*.pkl
  torshi migrate --rename 'old.pkg.*=new.pkg.*' --diff --check state.pkl
  torshi migrate --current-names --compress zstd -o new.pkl frame.pkl
  torshi migrate --recursive archive/                     every *.pkl and *.pickle below

exit codes: 0 done; with --check 1 if anything would change, 0 if nothing; 2 a file is not readable, no pickle, or
cannot be migrated
"""


def add_to(commands: Any) -> None:
    """Adds the command to the parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "migrate",
        help="rewrite old files: names, protocol, compression",
        description="Rewrite pickles for today, without loading them.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("files", metavar="FILE", nargs="+", help="file to migrate; a folder with --recursive")
    parser.add_argument("-o", "--output", metavar="OUT", help="write there and leave the file alone; of one file only")
    parser.add_argument(
        "--rename",
        metavar="OLD=NEW",
        action="append",
        default=[],
        help="a class or function, or 'old.*=new.*'; repeatable",
    )
    parser.add_argument(
        "--current-names", action="store_true", help="names that pandas, scikit-learn, scipy and numpy use today"
    )
    parser.add_argument("--protocol", type=int, choices=(4, 5), default=5, help="protocol to write; 5 if absent")
    parser.add_argument("--strip", action="store_true", help="leave out memo slots that nothing reads")
    parser.add_argument("--compress", metavar="HOW", help="zstd, lz4, gzip, with a level as in zstd:19; none for plain")
    parser.add_argument(
        "--seal", metavar="NAME", nargs="?", const="local", help="seal it with this key, or your local one"
    )
    parser.add_argument(
        "--no-seal", action="store_true", help="do not seal it, even if your key has sealed the old one"
    )
    parser.add_argument("--plain", action="store_true", help="without a manifest, as pickle.dump writes")
    parser.add_argument("--check", action="store_true", help="write nothing; say what would change")
    parser.add_argument("--diff", action="store_true", help="show the instructions that change")
    parser.add_argument("--recursive", action="store_true", help="every *.pkl and *.pickle in folders")
    parser.add_argument("--json", action="store_true", help="one JSON object a file, one a line")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Migrates each file; returns the exit code of all."""
    problem = _problem(arguments)
    if problem is not None:
        complain("migrate", problem)
        return UNREADABLE
    names = list(_files(arguments))
    failed = changed = False
    with Bar(len(names) > 1 and sys.stderr.isatty()) as bar:
        size = 0
        for number, name in enumerate(names):
            bar.update(ScanProgress(len(names), number, size))
            told = _one(name, arguments, bar)
            if told is None:
                failed = True
                continue
            size += told.size
            changed |= told.changed
            bar.wipe()
            _show(told, arguments)
    return UNREADABLE if failed else FINDINGS if arguments.check and changed else CLEAN


def _problem(arguments: argparse.Namespace) -> str | None:
    """Why these arguments do not go together, if so."""
    if arguments.output is not None and (len(arguments.files) > 1 or arguments.recursive):
        return "-o takes one file"
    if arguments.seal is not None and arguments.no_seal:
        return "--seal and --no-seal contradict each other"
    wrong = [pair for pair in arguments.rename if pair.count("=") != 1]
    return f"--rename wants OLD=NEW, not {wrong[0]}" if wrong else None


def _files(arguments: argparse.Namespace) -> Iterator[str]:
    for name in arguments.files:
        if not (arguments.recursive and os.path.isdir(name)):
            yield name
            continue
        for folder, folders, files in os.walk(name):
            folders.sort()
            yield from (os.path.join(folder, file) for file in sorted(files) if file.endswith((".pkl", ".pickle")))


def _one(name: str, arguments: argparse.Namespace, bar: Bar) -> Migration | None:
    """Migrates a file, or says why not."""
    compress = False if arguments.compress == "none" else arguments.compress
    options: dict[str, Any] = {
        "rename": dict(pair.split("=") for pair in arguments.rename),
        "current_names": arguments.current_names,
        "protocol": arguments.protocol,
        "strip": arguments.strip,
        "compress": compress,
        "key": False if arguments.no_seal else arguments.seal,
        "plain": arguments.plain,
    }
    try:
        # A diff needs both streams, which only a check keeps.
        seen = migrate(name, arguments.output, check=True, **options) if arguments.check or arguments.diff else None
        told = seen if arguments.check else migrate(name, arguments.output, **options)
    except OSError as error:
        bar.wipe()
        complain(printable(name), error.strerror or str(error))
    except (UnpicklingError, ValueError) as error:
        bar.wipe()
        complain(printable(name), str(error))
    else:
        if arguments.diff and seen is not None and not arguments.json:
            bar.wipe()
            _diff(name, seen)
        return told
    return None


def _show(told: Migration, arguments: argparse.Namespace) -> None:
    if arguments.json:
        print(json.dumps(told.to_dict()))
        return
    done = (
        "would change" if arguments.check else f"written to {told.target}" if told.target != told.path else "migrated"
    )
    if not told.changed:
        done = "nothing to change" if not told.written else f"{done}, nothing changed"
    print(printable(f"{told.path}: {done}"))
    if told.changed:
        for line in told.changes:
            print(f"  {printable(line)}")
        if told.seals and not arguments.check:
            print(f"  {printable('sealed by ' + ', '.join(told.seals))}")


def _diff(name: str, told: Migration) -> None:
    """Shows how the instructions differ; of a long stream, how the names do."""
    for before, after in told._streams:
        old, new = _lines(before), _lines(after)
        if max(len(old), len(new)) > _MOST_LINES:
            old = [f"{entry[0]}" for entry in told.renamed]
            new = [f"{entry[1]}" for entry in told.renamed]
        for line in difflib.unified_diff(old, new, name, told.target, lineterm=""):
            print(printable(line))


def _lines(stream: bytes) -> list[str]:
    """The instructions without what differs in any case: places, frames, and the form that memo slots are filled in."""
    lines = []
    for line in _native.disassemble(stream)[0].splitlines()[:-1]:
        text = _NOTE.sub("", _PLACE.sub("", line))
        word = text.split(None, 1)[0]
        if word in ("FRAME", "PROTO"):
            continue
        lines.append(re.sub(r"^(BINPUT|LONG_BINPUT|PUT|MEMOIZE)\b.*", "MEMOIZE", text))
    return lines
