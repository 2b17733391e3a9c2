"""The actions of `torshi store`: stores in, what is in them and what is wrong with them out, as text or JSON.

Loads no value: one is shown by inspecting its pickle, once its seal has been found right, and an import checks pickles
and builds none. Each action takes the arguments and returns the exit code.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from collections.abc import Iterator
from typing import Any

from torshi import _native
from torshi._printable import printable
from torshi._report import Report
from torshi._store import Store
from torshi._store.backend import Stat
from torshi._store.foreign import kind_of
from torshi._store.keys import DATA, decode, encode, encode_prefix
from torshi.cli._files import CLEAN, FINDINGS, UNREADABLE, chosen_policy
from torshi.cli._stored import (
    ask,
    counted,
    existing,
    is_there,
    json_key,
    key_argument,
    opened,
    print_json,
    rfc3339,
    size_text,
)

__all__ = ["check", "clear", "compact", "get", "ls", "repair", "stat", "take"]


def _there(arguments: argparse.Namespace) -> Store[Any]:
    return opened(arguments, existing(arguments.where))


def _stats(store: Store[Any], arguments: argparse.Namespace) -> Iterator[Stat]:
    prefix = None if arguments.prefix is None else key_argument(arguments.prefix, arguments.json_key)
    return store._now().stats(encode_prefix(DATA, prefix), tag=arguments.tag)


def _record(stat: Stat) -> dict[str, Any]:
    """What is known of a value, for JSON."""
    try:
        key = json_key(decode(stat.key))
    except ValueError:  # of whoever wrote it there; `check` says so
        key = None
    return {
        "key": key,
        "size": stat.size,
        "written": rfc3339(stat.written),
        "used": rfc3339(stat.used),
        "expires": rfc3339(stat.expires),
        "tags": list(stat.tags),
    }


def _shown_key(encoded: bytes) -> str:
    try:
        return printable(repr(decode(encoded)))
    except ValueError:
        return f"(no key) {encoded[:80]!r}"


def ls(arguments: argparse.Namespace) -> int:
    """Lists keys."""
    with _there(arguments) as store:
        for stat in itertools.islice(_stats(store, arguments), arguments.count):
            if arguments.json:
                print_json(_record(stat))
                continue
            life = rfc3339(stat.expires) or "-"
            tags = "  " + printable(" ".join(f"#{tag}" for tag in stat.tags)) if stat.tags else ""
            print(f"{size_text(stat.size):>10}  {life:20}  {_shown_key(stat.key)}{tags}")
    return CLEAN


def get(arguments: argparse.Namespace) -> int:
    """Shows what a value is."""
    key = key_argument(arguments.item, arguments.json_key)
    encoded = encode(DATA, key)
    with _there(arguments) as store:
        row = store._now().get(encoded)
        if row is None:
            raise KeyError(key)
        stream, names, _ = store._envelope.stream(encoded, row.value)
        policy = store._envelope.policy("\n".join(names).encode())
        sealed = store._envelope.is_sealed
        known = _record(next(iter(store._now().stats(encoded))))
    report = Report.from_json(_native.inspect(stream, policy._inner, None, 0), policy.name)
    if arguments.json:
        print_json({**known, "sealed": sealed, "names": names, "report": json.loads(report.to_json())})
    else:
        print(
            f"{printable(repr(key))}: {'sealed for this key' if sealed else 'not sealed'}, written {known['written']}"
        )
        for label in ("expires", "tags"):
            if known[label]:
                print(f"{label}: {printable(str(known[label]))}")
        if names:
            print(f"may use, as its seal says: {printable(', '.join(names))}")
        print(report.to_text(color=sys.stdout.isatty()))
    if report.error is not None:
        return UNREADABLE
    return FINDINGS if report.findings else CLEAN


def stat(arguments: argparse.Namespace) -> int:
    """Says what the store has, or what is known of one value."""
    with _there(arguments) as store:
        record = store.stats().to_dict()
    if arguments.json:
        print_json(record)
    else:
        for name, value in record.items():
            print(f"{name.replace('_', ' '):12} {printable(str(value))}")
    return CLEAN


def check(arguments: argparse.Namespace) -> int:
    """Says what is wrong."""
    with _there(arguments) as store:
        problems = store.check()
    if arguments.json:
        print_json({"where": arguments.where, "problems": [problem.to_dict() for problem in problems]})
    elif not problems:
        print(f"{printable(arguments.where)}: nothing is wrong")
    else:
        for problem in problems:
            print(f"{problem.kind:9} {printable(str(problem))}")
    return FINDINGS if problems else CLEAN


def repair(arguments: argparse.Namespace) -> int:
    """Puts aside what cannot be read."""
    with _there(arguments) as store:
        done = store.repair()
    if arguments.json:
        print_json({"where": arguments.where, "done": done})
    else:
        print("\n".join(map(printable, done)) or f"{printable(arguments.where)}: there was nothing to do")
    return CLEAN


def compact(arguments: argparse.Namespace) -> int:
    """Gives unused space back."""
    with _there(arguments) as store:
        size = store.compact()
    if arguments.json:
        print_json({"where": arguments.where, "bytes": size})
    else:
        print(f"{printable(arguments.where)}: {size_text(size)} given back")
    return CLEAN


def clear(arguments: argparse.Namespace) -> int:
    """Removes values, after asking."""
    with _there(arguments) as store:
        tag, shown = arguments.tag, printable(arguments.where)
        count = len(store) if tag is None else sum(1 for _ in store._now().stats(DATA, tag=tag))
        which = "" if tag is None else f" with the tag {printable(tag)}"
        if not ask(f"remove {counted(count, 'value')}{which} from {shown}?", arguments.yes):
            return UNREADABLE
        if tag is None:
            store.clear()
        else:
            count = store.evict(tag)
    if arguments.json:
        print_json({"where": arguments.where, "removed": count})
    else:
        print(f"{shown}: {counted(count, 'value')} removed")
    return CLEAN


def take(arguments: argparse.Namespace) -> int:
    """Imports what another library has stored."""
    asked = arguments.trust or arguments.policy
    # Before the store is opened: no new one is made for a source that is none, nor to say what would be done.
    kind = arguments.kind or kind_of(arguments.source)
    where = ":memory:" if arguments.check and not is_there(arguments.where) else arguments.where
    with opened(arguments, where) as store:
        report = store.import_from(
            arguments.source,
            kind,
            table=arguments.table,
            trust=chosen_policy(arguments) if asked else None,
            prefix=() if arguments.prefix is None else (arguments.prefix,),
            replace=not arguments.keep,
            strict=arguments.strict,
            check=arguments.check,
        )
    if arguments.json:
        print_json({**report.to_dict(), "check": arguments.check})
    else:
        for one in report.refused:
            print(f"refused {printable(str(one))}")
        would = "would be imported" if arguments.check else "imported"
        told = f"{counted(report.imported, 'value')} {would}, {report.skipped} skipped, {len(report.refused)} refused"
        print(f"{printable(report.source)} ({report.kind}): {told}")
    return FINDINGS if report.refused else CLEAN
