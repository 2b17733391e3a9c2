"""What `store` and `cache` share: opening a store that is there, keys and times as text and JSON, asking.

Never makes a store for the sake of looking at it, and never loads a value.
"""

from __future__ import annotations

import argparse
import base64
import datetime
import json
import os
import sys
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from torshi._errors import PickleError, SealError, StoreError
from torshi._printable import printable
from torshi._urls import is_url
from torshi.cli._files import UNREADABLE, add_store_options, complain, complain_of

if TYPE_CHECKING:
    from torshi._store.keys import Key
    from torshi._store.store import Store

__all__ = [
    "add_place",
    "ask",
    "counted",
    "existing",
    "is_there",
    "later",
    "json_key",
    "key_argument",
    "opened",
    "print_json",
    "rfc3339",
    "size_text",
]


def add_place(parser: argparse.ArgumentParser, *, default: str | None = None) -> None:
    """Adds WHERE, and how the store is sealed.

    Args:
        parser: of the action.
        default: what is meant without it, for the help: it is then an option, ``--store``, as of cached functions.
    """
    if default is None:
        parser.add_argument("where", metavar="WHERE", help="file or URL of the store")
    else:
        help = f"file or URL of the store; {default} if absent"
        parser.add_argument("--store", metavar="WHERE", dest="where", help=help)
    seals = parser.add_mutually_exclusive_group()
    seals.add_argument(
        "--key", metavar="NAME", action="append", help="the key that rows are sealed with, if not your own; repeatable"
    )
    seals.add_argument("--unsealed", action="store_true", help="rows are not sealed")
    add_store_options(parser)


def is_there(where: str) -> bool:
    """Whether there may be a store: of a URL only opening it says."""
    return is_url(where) or os.path.exists(where)


def existing(where: str) -> str:
    """The place, if something is there: to look at a store must not make one.

    Raises:
        FileNotFoundError: there is nothing.
    """
    if not is_there(where):
        raise FileNotFoundError(2, "there is no such store", where)
    return where


def opened(arguments: argparse.Namespace, where: str) -> Store[Any]:
    """The store of the arguments.

    Raises:
        StoreError, SealError, OSError, ImportError, ValueError: it cannot be opened.
    """
    from torshi._store.store import Store

    key: Any = False if arguments.unsealed else arguments.key
    return Store(where, key=key, storage_options=dict(arguments.store_option) or None)


def later(module: str, name: str) -> Callable[[argparse.Namespace], int]:
    """An action of a module that is imported when it is asked for, and of whose errors one line is said.

    Args:
        module: below this package: the other commands need not wait for what it imports.
        name: of the function, which takes the arguments and returns the exit code.
    """

    def run(arguments: argparse.Namespace) -> int:
        shown = printable(str(arguments.where or "cache"))
        try:
            code: int = getattr(import_module(f"torshi.cli.{module}"), name)(arguments)
            return code
        except (StoreError, SealError, PickleError) as error:
            complain(shown, str(error))
        except KeyError as error:
            complain(shown, f"there is no value of {error}")
        except OSError as error:
            complain(printable(str(error.filename or shown)), error.strerror or str(error))
        except (ImportError, ValueError, TypeError) as error:
            complain_of(shown, error)
        return UNREADABLE

    return run


def json_key(key: Key) -> Any:
    """A key as JSON has it: a tuple is an array, bytes are an object with their base64.

    Example:
        >>> json_key(("user", 7, b"x"))
        ['user', 7, {'base64': 'eA=='}]
    """
    if isinstance(key, tuple):
        return [json_key(item) for item in key]
    return {"base64": base64.b64encode(key).decode()} if isinstance(key, bytes) else key


def key_argument(text: str, is_json: bool) -> Key:
    """The key that an argument names: the text itself, or JSON as `json_key` makes it.

    Raises:
        ValueError: it is no JSON, or not of a key.

    Example:
        >>> key_argument("user", False), key_argument('["user", 7]', True)
        ('user', ('user', 7))
    """
    return _key_of(json.loads(text)) if is_json else text


def _key_of(plain: Any) -> Key:
    if isinstance(plain, list):
        return tuple(_key_of(item) for item in plain)
    if isinstance(plain, dict) and plain.keys() == {"base64"}:
        return base64.b64decode(plain["base64"], validate=True)
    if isinstance(plain, str) or (isinstance(plain, int) and not isinstance(plain, bool)):
        return plain
    raise ValueError(f"a key is text, a whole number, an array of these, or an object with base64, not {plain!r}")


def rfc3339(seconds: float | None) -> str | None:
    """A time, to the second, in UTC."""
    if seconds is None:
        return None
    try:
        return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):  # of whoever wrote it there
        return str(seconds)


def size_text(size: int) -> str:
    """A number of bytes as columns have it.

    Example:
        >>> size_text(900), size_text(150_000), size_text(3 << 30)
        ('900 B', '146.5 KiB', '3.0 GiB')
    """
    number, units = float(size), ["B", "KiB", "MiB", "GiB", "TiB"]
    while number >= 1024 and len(units) > 1:
        number, units = number / 1024, units[1:]
    return f"{size} B" if units[0] == "B" else f"{number:.1f} {units[0]}"


def counted(number: int, noun: str) -> str:
    """A number of things.

    Example:
        >>> counted(1, "value"), counted(1200, "value")
        ('1 value', '1,200 values')
    """
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def print_json(record: Any) -> None:
    """Writes one JSON object on one line."""
    print(json.dumps(record))


def ask(question: str, yes: bool) -> bool:
    """Whether to go on: by `--yes`, or by who sits there."""
    if yes:
        return True
    if not sys.stdin.isatty():
        complain("not done", "nobody is there to ask: say --yes")
        return False
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
