"""The command `torshi`: arguments in, an exit code out.

Builds the parser from the commands, one module each, and runs the one asked for. Never loads a pickle:
every command works on what the inspection says.

Exit codes: 0 done or no findings, 1 findings, 2 not readable, not a pickle or undecided (argparse's own code
for a wrong command line too).
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from torshi._version import __version__
from torshi.cli import (
    cache,
    check,
    convert,
    describe,
    dis,
    keys,
    migrate,
    policy,
    recover,
    scan,
    seal,
    show,
    store,
    verify,
)
from torshi.cli._files import UNREADABLE, PolicyProblem, complain

__all__ = ["main"]

_COMMANDS = (show, check, scan, dis, policy, describe, verify, seal, keys, migrate, convert, recover, store, cache)

# What a shell reports for a program that SIGPIPE ended.
_BROKEN_PIPE = 141

_EPILOG = """\
examples:
  torshi show data.pkl                     what is inside
  torshi check data.pkl && python job.py   go on only where there are no findings
  curl -s https://example.org/x.pkl | torshi check -
  torshi scan models/ --sarif > torshi.sarif   every pickle in every file, archives too
  torshi dis data.pkl | less
  torshi policy learn known-good/*.pkl     the policy that lets these files load, for review
  torshi verify backup/*.pkl               as they were written, and by whom
  torshi migrate --check store/*.pkl       what would change if they were rewritten for today
  torshi recover broken.pkl -o rest.pkl    what is whole of a file that was cut
  torshi store ls game.db                  what a store has

exit codes: 0 no findings, 1 findings, 2 not readable, not a pickle or undecided; of several files, 1 comes before 2
"""


def parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    top = argparse.ArgumentParser(
        prog="torshi",
        description="Look at pickles, judge them and vouch for them, without loading them.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"torshi {__version__}")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in _COMMANDS:
        command.add_to(commands)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        argv: the arguments after the program's name; those of the process if absent.

    Returns:
        The exit code.
    """
    top = parser()
    if not (sys.argv[1:] if argv is None else argv):
        top.print_help(sys.stderr)
        return 2
    arguments = top.parse_args(argv)
    try:
        code: int = arguments.run(arguments)
        sys.stdout.flush()
    except PolicyProblem as problem:
        complain("policy", str(problem))
        return UNREADABLE
    except BrokenPipeError:
        # The reader has what it wanted. What is still buffered must not be flushed at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _BROKEN_PIPE
    except KeyboardInterrupt:
        return 130
    return code
