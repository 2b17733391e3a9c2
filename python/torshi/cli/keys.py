"""`torshi keys`: the keys of a user's folder: made, listed, passed on, taken up, trusted. Prints no secret unasked."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from torshi._errors import SealError
from torshi._keys import config_folder, find_key, import_key, keys, new_key, remove_key, trust_key
from torshi._printable import printable
from torshi.cli._files import CLEAN, UNREADABLE, complain

__all__ = ["add_to"]

_EPILOG = """\
Your local key is a secret of yours on this machine; torshi.save seals with it, so that you get your own classes back.
It is made when it is first needed, and stays. A pair is for sharing: whoever has the public half can check your seals,
and trust them.

examples:
  torshi keys new release                  make a pair, and print its public half
  torshi keys export release > release.pub
  torshi keys import release.pub           take up someone's public half; it is known, and not trusted yet
  torshi keys trust release                files it sealed may use the classes in their manifests
  torshi keys new --local                  seal with a new local key from now on; old files still count
  torshi keys list

The keys are in keys/ below the configuration folder; TORSHI_CONFIG_DIR names another one.

exit codes: 0 done, 2 there is no such key, or it cannot be read or written
"""


def add_to(commands: Any) -> None:
    """Adds the command to the parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "keys",
        help="the keys that files are sealed with",
        description="Make, list, pass on and trust keys.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)

    def action(name: str, run: Any, text: str) -> argparse.ArgumentParser:
        added: argparse.ArgumentParser = actions.add_parser(name, help=text, description=text)
        added.set_defaults(run=lambda arguments: _guarded(run, arguments))
        return added

    new = action("new", _new, "make a pair, or with --local a new local key")
    which = new.add_mutually_exclusive_group(required=True)
    which.add_argument("name", metavar="NAME", nargs="?", help="what to call the pair")
    which.add_argument("--local", action="store_true", help="a new local key, which seals from now on")
    action("list", _list, "list all keys")
    export = action("export", _export, "print a pair's public half")
    export.add_argument("name", metavar="NAME")
    export.add_argument("--secret", action="store_true", help="print the secret half: who has it seals in your name")
    take = action("import", _import, "take up a key that export printed")
    take.add_argument("file", metavar="FILE", help="file with the key; - for standard input")
    take.add_argument("--name", help="what to call it; by default as its owner does")
    for verb, trusted, text in (
        ("trust", True, "let files that a key sealed use the classes in their manifests"),
        ("distrust", False, "take that back"),
    ):
        change = action(verb, _trust, text)
        change.add_argument("name", metavar="NAME")
        change.set_defaults(trusted=trusted)
    remove = action("remove", _remove, "remove a key; what it sealed is then sealed by a stranger")
    remove.add_argument("name", metavar="NAME")


def _guarded(run: Any, arguments: argparse.Namespace) -> int:
    try:
        run(arguments)
    except SealError as error:
        complain("keys", str(error))
        return UNREADABLE
    except OSError as error:
        complain(printable(str(error.filename or config_folder())), error.strerror or str(error))
        return UNREADABLE
    return CLEAN


def _new(arguments: argparse.Namespace) -> None:
    key = new_key(None if arguments.local else arguments.name)
    print(key.label if arguments.local else key.export())


def _list(arguments: argparse.Namespace) -> None:
    found = keys()
    if not found:
        print("torshi: no keys yet: the first save or seal makes your local key", file=sys.stderr)
    for key in found:
        whose = "own" if key.is_own else "someone's"
        trusted = "trusted" if key.trusted else "not trusted"
        print(f"{key.kind:8} {key.id.hex()[:16]}  {key.created[:10]}  {whose:9}  {trusted:11}  {printable(key.name)}")


def _export(arguments: argparse.Namespace) -> None:
    print(find_key(arguments.name).export(secret=arguments.secret))


def _import(arguments: argparse.Namespace) -> None:
    if arguments.file == "-":
        text = sys.stdin.read()
    else:
        with open(arguments.file, encoding="ascii", errors="replace") as file:
            text = file.read()
    print(import_key(text, arguments.name).label)


def _trust(arguments: argparse.Namespace) -> None:
    print(trust_key(arguments.name, trusted=arguments.trusted).label)


def _remove(arguments: argparse.Namespace) -> None:
    print(remove_key(arguments.name).label)
