"""The actions of `torshi cache`: what cached functions have stored, by function; and forgetting it. Loads no result."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Any

from torshi._cache.shelf import Shelf, cache_folder
from torshi._printable import printable
from torshi._store import Store
from torshi._store.keys import DATA, decode, encode_prefix
from torshi.cli._files import CLEAN, UNREADABLE
from torshi.cli._stored import ask, counted, existing, opened, print_json, rfc3339, size_text

__all__ = ["clear", "ls", "stat"]

_SPACE = "torshi.cache"
# For how long results are not stored that are being computed when they are forgotten: as for a cached function.
_LEASE = 10.0


@dataclass
class _Function:
    """What is stored of a function."""

    results: int = 0
    bytes: int = 0
    written: float = 0.0
    used: float = 0.0


def _there(arguments: argparse.Namespace) -> Store[Any]:
    where = arguments.where or str(cache_folder() / "results.db")
    return opened(arguments, existing(where))


def _functions(store: Store[Any]) -> dict[str, _Function]:
    found: dict[str, _Function] = {}
    for row in store._now().stats(encode_prefix(DATA, (_SPACE,))):
        try:
            key = decode(row.key)
        except ValueError:  # of whoever wrote it there
            continue
        if isinstance(key, tuple) and len(key) == 3 and isinstance(key[1], str):
            function = found.setdefault(key[1], _Function())
            function.results += 1
            function.bytes += row.size
            function.written = max(function.written, row.written)
            function.used = max(function.used, row.used, row.written)
    return found


def ls(arguments: argparse.Namespace) -> int:
    """Lists functions."""
    with _there(arguments) as store:
        functions = _functions(store)
    for name, function in sorted(functions.items()):
        used = rfc3339(function.used)
        if arguments.json:
            written = rfc3339(function.written)
            record = {"results": function.results, "bytes": function.bytes, "written": written, "used": used}
            print_json({"function": name, **record})
        else:
            print(f"{function.results:>8}  {size_text(function.bytes):>10}  {used}  {printable(name)}")
    return CLEAN


def stat(arguments: argparse.Namespace) -> int:
    """Says how much there is."""
    with _there(arguments) as store:
        functions = _functions(store)
        record = {
            "where": store.where,
            "functions": len(functions),
            "results": sum(function.results for function in functions.values()),
            "bytes": sum(function.bytes for function in functions.values()),
            "sealed": store._envelope.is_sealed,
        }
    if arguments.json:
        print_json(record)
    else:
        for name, value in record.items():
            print(f"{name:12} {printable(str(value))}")
    return CLEAN


def clear(arguments: argparse.Namespace) -> int:
    """Forgets results, after asking."""
    with _there(arguments) as store:
        functions = _functions(store)
        if arguments.function not in (None, *functions):
            raise ValueError(f"no results of {arguments.function} are stored: torshi cache ls says of which there are")
        chosen = functions if arguments.function is None else {arguments.function: functions[arguments.function]}
        count = sum(function.results for function in chosen.values())
        which = counted(len(chosen), "function") if arguments.function is None else printable(arguments.function)
        if not ask(f"forget {counted(count, 'result')} of {which} in {printable(store.where)}?", arguments.yes):
            return UNREADABLE
        for name in chosen:
            Shelf(store, name).clear(_LEASE)
    if arguments.json:
        print_json({"where": store.where, "functions": sorted(chosen), "removed": count})
    else:
        print(f"{printable(store.where)}: {counted(count, 'result')} forgotten")
    return CLEAN
