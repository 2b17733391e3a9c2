"""`torshi store`: the arguments of its actions, which are in `_store_actions`. Loads no value."""

from __future__ import annotations

import argparse
from typing import Any

from torshi.cli._files import add_command, add_policy_options
from torshi.cli._stored import add_place, later

__all__ = ["KINDS", "add_to"]

KINDS = ("shelve", "sqlitedict", "diskcache")
"""What can be imported, as `torshi._store.foreign` has it."""

_EPILOG = """\
A store is what torshi.Store keeps: a file, or rows behind a URL. No value of it is loaded by these.

examples:
  torshi store ls game.db --prefix user:   keys that begin with user:, with sizes, expiry and tags
  torshi store get game.db ada             what the value is, and whether its seal is right
  torshi store check game.db || torshi store repair game.db
  torshi store import old-shelf game.db --trust myapp.models.Player

exit codes: 0 done, 1 problems or refused values, 2 there is no such store or key, or it cannot be opened
"""

_LS = """\
examples:
  torshi store ls game.db
  torshi store ls game.db --prefix user:
  torshi store ls game.db --json-key --prefix '["user"]'   tuples that begin with "user"
  torshi store ls game.db --json | jq -r 'select(.size > 1000000) | .key'

In JSON a tuple is an array, and bytes are {"base64": "..."}.

exit codes: 0 listed, 2 there is no such store, or it cannot be read
"""

_GET = """\
examples:
  torshi store get game.db ada
  torshi store get game.db --json-key '["user", 7]' --json

Shows what the pickle says it is, as torshi show does. It is sealed for this key of this store, or else an error.

exit codes: 0 shown, 1 there are findings, 2 there is no such key, or its value is not to be believed
"""

_IMPORT = """\
examples:
  torshi store import old-shelf game.db              what shelve.open("old-shelf") has
  torshi store import results.sqlite game.db --table runs
  torshi store import cache-folder game.db --check   what would be refused, without writing
  torshi store import old-shelf game.db --trust myapp.models:Player

Reads what shelve, sqlitedict and diskcache have stored; which one is seen by the content. Pickles are checked under
the policy and written anew, and none is built. Classes are trusted by name: what a pattern alone lets in is refused.

exit codes: 0 all of it, 1 some values were refused, 2 it cannot be read or written
"""

_CODES = "exit codes: 0 done, 2 there is no such store, or it cannot be read or written\n"
_CHECK = """\
Reads everything, loads nothing, changes nothing.

exit codes: 0 nothing is wrong, 1 problems, 2 there is no such store, or it cannot be opened
"""


_ACTIONS = "_store_actions"


def add_to(commands: Any) -> None:
    """Adds the command to the parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "store",
        help="what is in a store, and what is wrong with it",
        description="List, show, check, mend, clear and fill stores, without loading a value.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)

    def action(name: str, run: str, help: str, epilog: str = _CODES) -> argparse.ArgumentParser:
        text = help[0].upper() + help[1:] + "."
        added = add_command(actions, name, later(_ACTIONS, run), help=help, description=text, epilog=epilog)
        if name == "import":
            added.add_argument("source", metavar="SOURCE", help="shelf, file of sqlitedict or folder of diskcache")
        add_place(added)
        added.add_argument("--json", action="store_true", help="write JSON instead of text")
        return added

    ls = action("ls", "ls", "list keys with sizes, expiry and tags", _LS)
    ls.add_argument("--prefix", metavar="TEXT", help="only keys that begin with this")
    ls.add_argument("--json-key", action="store_true", help="the prefix is JSON: an array for tuples")
    ls.add_argument("--tag", help="only values with this tag")
    ls.add_argument("-n", type=int, metavar="N", dest="count", help="the first N")
    get = action("get", "get", "show what a value is, without loading it", _GET)
    get.add_argument("item", metavar="KEY", help="which value")
    get.add_argument("--json-key", action="store_true", help="the key is JSON: 7, or an array for a tuple")
    action("stat", "stat", "say how many values there are, how large, and how they are sealed")
    action("check", "check", "look for what is wrong", _CHECK)
    action("repair", "repair", "put aside what cannot be read, and mend what can be mended; no row is deleted")
    action("compact", "compact", "remove what has expired, and give unused space back")
    clear = action("clear", "clear", "remove all values, or those with a tag")
    clear.add_argument("--tag", help="only values with this tag")
    clear.add_argument("--yes", action="store_true", help="do not ask")
    take = action("import", "take", "import what shelve, sqlitedict or diskcache has stored", _IMPORT)
    take.add_argument("--kind", choices=KINDS, help="what the source is; seen by its content if absent")
    take.add_argument("--table", help="which table of a file of sqlitedict")
    take.add_argument("--prefix", metavar="TEXT", help="make each key a tuple that begins with this")
    take.add_argument("--keep", action="store_true", help="leave keys alone that are there already")
    take.add_argument("--strict", action="store_true", help="import nothing if anything is refused")
    take.add_argument("--check", action="store_true", help="write nothing, and say what would be done")
    add_policy_options(take)
