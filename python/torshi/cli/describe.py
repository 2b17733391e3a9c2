"""`torshi describe`: files in, what their manifests say out. Reads the ends of files, and loads none."""

from __future__ import annotations

import argparse
import dataclasses
import json
from typing import Any

from torshi._errors import UnpicklingError
from torshi._file import describe
from torshi._manifest import Description
from torshi._printable import printable
from torshi._urls import is_url
from torshi.cli._files import CLEAN, UNREACHABLE, UNREADABLE, add_command, add_store_options, complain, complain_of

__all__ = ["add_to"]

_EPILOG = """\
Shows what a file that torshi.save wrote says of itself: when, by what and with which versions it was written, which
names it uses, who sealed it, and the metadata its writer added. Where another version of a library is installed here,
that is said beside it. Nothing of it is compared with the content: torshi verify does that.

examples:
  torshi describe state.pkl
  torshi describe --json state.pkl | jq .distributions
  torshi describe s3://bucket/state.pkl    reads the end of the object alone

exit codes: 0 done, 2 a file is not readable, or has no manifest
"""


def add_to(commands: Any) -> None:
    """Adds the command to the parser."""
    parser = add_command(
        commands,
        "describe",
        run,
        help="what a file says of itself",
        description="Show the manifests of files that torshi.save wrote.",
        epilog=_EPILOG,
    )
    parser.add_argument("files", metavar="FILE", nargs="+", help="file or URL to describe")
    parser.add_argument("--json", action="store_true", help="one JSON object a file, one a line")
    add_store_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Describes each file; returns the worst exit code."""
    code, options = CLEAN, dict(arguments.store_option)
    for name in arguments.files:
        try:
            told = describe(name, storage_options=options if is_url(name) else None)
        except UnpicklingError as error:
            complain(printable(name), str(error))
            code = UNREADABLE
        except UNREACHABLE as error:
            complain_of(printable(name), error)
            code = UNREADABLE
        else:
            if arguments.json:
                changed = [dataclasses.asdict(change) for change in told.changes()]
                print(json.dumps({"path": name, **told.to_dict(), "changes": changed}))
            else:
                _show(name, told)
    return code


def _show(name: str, told: Description) -> None:
    print(printable(name))
    created = f"{told.created:%Y-%m-%d %H:%M:%S} UTC" if told.created else "unknown"
    lines = [
        ("written", f"{created} by {told.writer}, Python {told.python}, {told.platform}"),
        ("size", f"{told.size} bytes ({told.container}), of which the pickle has {told.stream} unpacked"),
        ("digest", told.digest),
        ("buffers", f"{len(told.buffers)}, {sum(buffer.length for buffer in told.buffers)} bytes"),
        ("versions", ", ".join(_versions(told)) or "none"),
        ("metadata", json.dumps(told.metadata)),
    ]
    if told.by_value:
        lines.append(("code", "it holds functions or classes by value: loading it runs code of whoever wrote it"))
    for label, text in lines:
        print(f"  {label:9} {printable(text)}")
    for label, texts in (("names", told.globals), ("seals", told.seals)):
        print(f"  {label:9} {printable(texts[0]) if texts else 'none'}")
        for text in texts[1:]:
            print(f"  {'':9} {printable(text)}")


def _versions(told: Description) -> list[str]:
    """The libraries of the file, each with the version that is here where that is another."""
    changed = {change.name: change.now for change in told.changes() if change.kind == "library"}
    here = {name: f" (here {now})" if now else " (not installed here)" for name, now in changed.items()}
    return [f"{name} {version}{here.get(name, '')}" for name, version in told.distributions.items()]
