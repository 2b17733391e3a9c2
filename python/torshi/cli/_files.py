"""What the commands share: their parsers, FILE arguments, options of policies and stores, exit codes.

A path or `-` in, bytes out, and what to call the pickles that follow one another in them. Says in one line
why something cannot be read, and never lets one bad file stop the others.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from torshi._errors import UnpicklingError
from torshi._inspect import pickles_in
from torshi._policy import Policy
from torshi._printable import printable

__all__ = [
    "CLEAN",
    "FINDINGS",
    "UNREADABLE",
    "UNREACHABLE",
    "PolicyProblem",
    "add_command",
    "add_policy_options",
    "add_store_options",
    "chosen_policy",
    "complain",
    "complain_about_rest",
    "complain_of",
    "contents",
    "place",
    "policy_in",
    "worst",
]

CLEAN = 0
FINDINGS = 1
UNREADABLE = 2

# What is raised of a path or URL that leads to nothing that can be read.
UNREACHABLE = (OSError, ImportError, ValueError)


class PolicyProblem(Exception):
    """A policy cannot be used; the text is one line for the user. `main` says it, and ends."""


def add_command(
    commands: Any, name: str, run: Callable[[argparse.Namespace], int], *, help: str, description: str, epilog: str
) -> argparse.ArgumentParser:
    """Adds a command, or an action of one, to the parser: what its help says, and what runs it.

    Args:
        commands: the subparsers it is added to.
        name: what it is called by.
        run: takes the arguments, and returns the exit code.
        help: its line in the list of commands.
        description: what its own help begins with.
        epilog: what that ends with, shown as it stands: examples and exit codes.
    """
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=help,
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    return parser


def contents(names: Iterable[str]) -> Iterator[tuple[str, bytes | None]]:
    """Yields each file's shown name with its bytes, or None after a complaint."""
    for name in names:
        shown = "<stdin>" if name == "-" else printable(name)
        try:
            if name == "-":
                yield shown, sys.stdin.buffer.read()
                continue
            with open(name, "rb") as file:
                data = file.read()
        except OSError as error:
            complain(shown, error.strerror or str(error))
            yield shown, None
            continue
        try:
            yield shown, pickles_in(data)
        except UnpicklingError as error:
            complain(shown, str(error))
            yield shown, None


def worst(codes: Iterable[int]) -> int:
    """The exit code of several files: findings in one count more than that another could not be read."""
    every = set(codes)
    return FINDINGS if FINDINGS in every else UNREADABLE if UNREADABLE in every else CLEAN


def place(name: str, number: int, start: int) -> str:
    """What the pickle of that number, which begins at that byte, is called: its file, if it is the first."""
    return name if number == 1 else f"{name}, pickle {number} at byte {start}"


def complain_about_rest(name: str, size: int, start: int, message: str) -> None:
    """Says that what follows the pickles of a file is no pickle; at its beginning, that the file is none."""
    rest = size - start
    complain(name, message if start == 0 else f"{rest} bytes from byte {start} on are no whole pickle: {message}")


def complain(shown: str, message: str) -> None:
    """Writes one line to standard error."""
    print(f"torshi: {shown}: {printable(message)}", file=sys.stderr)


def complain_of(shown: str, error: Exception) -> None:
    """Says why a file cannot be reached: what the system calls it, where it is the system's error."""
    complain(shown, getattr(error, "strerror", None) or str(error))


def add_store_options(parser: argparse._ActionsContainer) -> None:
    """Adds `--store-option`, the same for every command that takes URLs."""
    parser.add_argument(
        "--store-option",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        type=_option,
        help="a setting of the store beside those of the environment, such as endpoint=http://...; repeatable",
    )


def _option(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise ValueError(text)
    return key, {"true": True, "false": False}.get(value.lower(), value)


def add_policy_options(parser: argparse.ArgumentParser) -> None:
    """Adds `--trust` and `--policy`, the same for every command that judges."""
    parser.add_argument(
        "--trust",
        metavar="NAME",
        action="append",
        default=[],
        help="trust a class, function or module too: myapp.models.User, myapp.util:rebuild, 'myapp.*'; repeatable",
    )
    parser.add_argument("--policy", metavar="FILE", help="use the policy in this TOML file instead of the default")


def chosen_policy(arguments: argparse.Namespace) -> Policy:
    """The policy the options ask for.

    Raises:
        PolicyProblem: the file cannot be read or is no policy, or a name is malformed.
    """
    base = Policy.default() if arguments.policy is None else policy_in(arguments.policy)
    try:
        return base.allow(*arguments.trust)
    except ValueError as error:
        raise PolicyProblem(str(error)) from error


def policy_in(path: str) -> Policy:
    """The policy of a file.

    Raises:
        PolicyProblem: the file cannot be read or is no policy.
    """
    try:
        return Policy.from_file(path)
    except OSError as error:
        raise PolicyProblem(f"{printable(path)}: {error.strerror or error}") from error
    except ValueError as error:
        raise PolicyProblem(str(error)) from error
