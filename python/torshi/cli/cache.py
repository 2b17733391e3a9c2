"""`torshi cache`: the arguments of its actions, which are in `_cache_actions`. Loads no result."""

from __future__ import annotations

import argparse
from typing import Any

from torshi.cli._files import add_command
from torshi.cli._stored import add_place, later

__all__ = ["add_to"]

_EPILOG = """\
--store is the store= of cached functions; without it, the user's own, which all functions without a store share.

examples:
  torshi cache ls                              functions, with how many results and how large
  torshi cache ls --store results.db --json
  torshi cache clear --function myapp.models:fit
  torshi cache clear --store results.db --yes

A program that runs hands out what is in its memory for its fresh= (a second, if nothing else is said) after that.

exit codes: 0 done, 2 there is no such store or function, or it cannot be read or written
"""


def add_to(commands: Any) -> None:
    """Adds the command to the parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "cache",
        help="what cached functions have stored",
        description="List and forget what functions under torshi.cache have stored, without loading a result.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)

    def action(name: str, help: str) -> argparse.ArgumentParser:
        text = help[0].upper() + help[1:] + "."
        added = add_command(actions, name, later("_cache_actions", name), help=help, description=text, epilog=_EPILOG)
        add_place(added, default="that of functions without one")
        added.add_argument("--json", action="store_true", help="write JSON instead of text")
        return added

    action("ls", "list functions, with how many results they have and how large these are")
    action("stat", "say how much there is in all, and where")
    clear = action("clear", "forget the results of all functions, or of one")
    clear.add_argument("--function", metavar="NAME", help="only those of this one, named as ls does")
    clear.add_argument("--yes", action="store_true", help="do not ask")
