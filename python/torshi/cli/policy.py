"""`torshi policy`: known-good files into a policy file, a policy into a list, a name into what a policy says of it.

Never loads a pickle, and imports none of the names it speaks of.
"""

from __future__ import annotations

import argparse
import json
import sys
import tomllib
from collections.abc import Iterator
from typing import Any

from torshi import _native
from torshi._errors import UnpicklingError
from torshi._lesson import USES, Lesson
from torshi._policy import Policy, write_text
from torshi._printable import printable
from torshi.cli._files import (
    CLEAN,
    FINDINGS,
    UNREADABLE,
    add_command,
    add_policy_options,
    chosen_policy,
    complain,
    contents,
    policy_in,
)

__all__ = ["add_to"]

_EPILOG = """\
examples:
  torshi policy learn known-good/*.pkl -o team.toml
  torshi check --policy team.toml incoming.pkl
  torshi policy show team.toml
  torshi policy show --library numpy
  torshi policy explain numpy.dtype myapp.models.User
"""

_LEARN = """\
Writes the smallest policy under which the files load, for you to read before you use it: exact names, each for
the uses that were met, with a comment where. What the policy it starts from allows already is left out. Files may be
of any format that torshi scan opens. Nothing of them is loaded. It believes what they say: teach it only with files
you wrote yourself.

examples:
  torshi policy learn known-good/*.pkl -o team.toml
  torshi policy learn --policy team.toml new.pkl        add to a policy

exit codes: 0 the policy lets all files load, 1 it does not, since no entry can allow what they do, 2 a file is not
readable, not a pickle, or not a pickle from somewhere on
"""

_SHOW = """\
Shows what a policy allows: by library how many names, and the entries added or denied. With --library the names
of that library, what may be done with each, and why that is harmless.

examples:
  torshi policy show
  torshi policy show team.toml
  torshi policy show --library collections
  torshi policy show --json | jq -r '.name'

exit codes: 0 shown, 1 no such library in it, 2 the file is no policy
"""

_EXPLAIN = """\
Says of each name whether the policy allows it, by which row or entry, what a stream may do with it and with which
arguments, and why; or the entry that would allow it.

examples:
  torshi policy explain numpy.dtype
  torshi policy explain --policy team.toml myapp.models.User myapp.util:rebuild

exit codes: 0 all allowed, 1 some not, 2 the policy cannot be used or a name is none
"""


def add_to(commands: Any) -> None:
    """Adds the command to the parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "policy",
        help="learn a policy from files, show one, explain a name",
        description="Learn, show and explain policies: the lists of what a load may use.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)

    def action(name: str, help: str, epilog: str, run: Any) -> argparse.ArgumentParser:
        return add_command(actions, name, run, help=help, description=f"{help[0].upper()}{help[1:]}.", epilog=epilog)

    learn = action("learn", "write the policy that lets known-good files load", _LEARN, _learn)
    learn.add_argument("files", metavar="FILE", nargs="+", help="file to learn from; - for standard input")
    learn.add_argument("-o", "--output", metavar="FILE", help="write the policy there instead of to standard output")
    add_policy_options(learn)
    show = action("show", "show what a policy allows", _SHOW, _show)
    show.add_argument("file", metavar="FILE", nargs="?", help="policy file; the default policy if absent")
    show.add_argument("--library", metavar="NAME", help="show the names of this table or module, such as numpy")
    show.add_argument("--json", action="store_true", help="write one JSON object a name")
    explain = action("explain", "say what a policy makes of a name", _EXPLAIN, _explain)
    explain.add_argument("names", metavar="NAME", nargs="+", help="package.module.Class or package.module:Class")
    add_policy_options(explain)


# -- learn


def _learn(arguments: argparse.Namespace) -> int:
    policy = chosen_policy(arguments)
    lesson, code = Lesson(policy._inner), CLEAN
    for name, data in contents(arguments.files):
        if data is None or not _study(lesson, name, data):
            code = UNREADABLE
    if code == CLEAN and lesson.leftovers:
        code = FINDINGS
    if code == UNREADABLE:
        complain("policy", "nothing written, since not all files could be read")
        return code
    text = lesson.to_toml()
    if arguments.output is None:
        print(text, end="")
    else:
        try:
            write_text(arguments.output, text)
        except OSError as error:
            complain(arguments.output, error.strerror or str(error))
            return UNREADABLE
    count, pickles = len(lesson.entries), lesson.pickles
    print(
        f"torshi: {count} name{'' if count == 1 else 's'} beyond policy {printable(policy.name)}"
        f" in {pickles} pickle{'' if pickles == 1 else 's'}; review them before you rely on them",
        file=sys.stderr,
    )
    for source, finding in lesson.leftovers:
        complain(source, f"refused still, and no entry can allow it: {finding.message}")
    return code


def _study(lesson: Lesson, name: str, data: bytes) -> bool:
    """Learns from the pickles of a file; whether all of it could be read."""
    try:
        lesson.study_file(data, name)
    except UnpicklingError as error:
        complain(name, str(error))
        return False
    return True


# -- show


def _show(arguments: argparse.Namespace) -> int:
    policy = Policy.default() if arguments.file is None else policy_in(arguments.file)
    names = list(_names(policy, arguments.library))
    if arguments.json:
        for record in names:
            print(json.dumps(record))
    elif arguments.library is not None:
        _print_rows(names)
    else:
        _print_summary(policy, names)
    if arguments.library is not None and not names:
        complain("policy", f"{policy.name} allows nothing of {arguments.library}")
        return FINDINGS
    return CLEAN


def _names(policy: Policy, library: str | None) -> Iterator[dict[str, Any]]:
    """The names a policy allows, each with its row: those of its tables, then those of its own entries."""
    for row in _native.Policy.rows():
        for name in row["names"]:
            module, _, qualname = name.partition(":")
            found = policy._inner.find(module, qualname)
            if found is not None and _is_of(library, found["table"], module):
                yield {"name": name, **found}
    for text in _entries(policy)["allow"]:
        name, _, _ = text.partition(" ")
        if not _is_of(library, "trust", name.partition(":")[0]):
            continue
        # An entry of one name with uses shows them; any other, such as one with a star, allows every use.
        found = _looked_up(policy, name)[1]
        everything = {"call": "any", "construct": "any", "state": "any", "value": True, "items": True}
        yield {"name": text, "table": "trust", "reason": "an entry of this policy", **(everything | (found or {}))}


def _is_of(library: str | None, table: str, module: str) -> bool:
    return library is None or library == table or f"{module}.".startswith(f"{library}.")


def _entries(policy: Policy) -> dict[str, Any]:
    return tomllib.loads(policy._inner.to_toml())


def _print_rows(names: list[dict[str, Any]]) -> None:
    """The names by row: those with the same rules and reason stand together."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for record in names:
        key = json.dumps({word: value for word, value in record.items() if word != "name"}, sort_keys=True)
        groups.setdefault(key, []).append(record)
    for number, group in enumerate(groups.values()):
        print("" if number == 0 else "\n", end="")
        for record in group:
            print(printable(record["name"]))
        for line in _rules(group[0]):
            print(f"  {line}")


def _print_summary(policy: Policy, names: list[dict[str, Any]]) -> None:
    print(f"policy {printable(policy.name)}")
    counts: dict[str, int] = {}
    for record in names:
        counts[record["table"]] = counts.get(record["table"], 0) + 1
    own = counts.pop("trust", 0)
    if counts:
        print("\nreviewed names")
        width = max(map(len, counts))
        for table, count in counts.items():
            print(f"  {table:<{width}}  {count:>5}")
    entries = _entries(policy)
    for word, entry_list in (("allowed beside them", entries["allow"]), ("denied", entries["deny"])):
        if entry_list:
            print(f"\n{word}")
            for text in entry_list:
                print(f"  {printable(text)}")
    total = sum(counts.values())
    print(f"\n{total} reviewed names and {own} entr{'y' if own == 1 else 'ies'}; names and rules: --library NAME")


def _rules(found: dict[str, Any]) -> Iterator[str]:
    """What a row lets a stream do."""
    yield f"table {found['table']}: {found['reason']}" if found["table"] != "trust" else found["reason"]
    trusted = found["table"] == "trust"
    for word in ("call", "construct", "state"):
        if found[word] is not None:
            yield USES[word] if trusted else f"{word}: {found[word]}"
    for word in ("items", "value"):
        if found[word]:
            yield USES[word] if trusted else f"{word}: yes"


# -- explain


def _explain(arguments: argparse.Namespace) -> int:
    policy = chosen_policy(arguments)
    code = CLEAN
    for number, name in enumerate(arguments.names):
        if number:
            print()
        if "." not in name and ":" not in name:
            complain(printable(name), "is no name: write package.module.Class or package.module:Class")
            code = UNREADABLE
            continue
        split, found = _looked_up(policy, name)
        if found is not None:
            print(f"{printable('.'.join(split))} is allowed under policy {printable(policy.name)}")
            for line in _rules(found):
                print(f"  {line}")
            continue
        code = max(code, FINDINGS)
        _print_denial(policy, split)
    return code


def _looked_up(policy: Policy, name: str) -> tuple[tuple[str, str], dict[str, Any] | None]:
    """Where a name splits into module and qualified name, and its row: the first split that is allowed."""
    if ":" in name:
        module, _, qualname = name.partition(":")
        return (module, qualname), policy._inner.find(module, qualname)
    parts = name.split(".")
    splits = [(".".join(parts[:at]), ".".join(parts[at:])) for at in range(len(parts) - 1, 0, -1)]
    for split in splits:
        found = policy._inner.find(*split)
        if found is not None:
            return split, found
    return splits[0], None


def _print_denial(policy: Policy, split: tuple[str, str]) -> None:
    denial = policy._inner.denial(*split)
    why, way_out = denial if denial is not None else ("not trusted", None)
    print(f"{printable('.'.join(split))} is not allowed under policy {printable(policy.name)}: {printable(why)}")
    if way_out is None:
        return
    print(f'  to allow it: torshi.load(..., trust=["{way_out}"]), --trust {way_out},')
    print(f'  or in a policy file: allow = ["{way_out}"]')
    print("  it may then be called with any arguments and given any state; uses in brackets allow less:")
    print(f'  "{way_out} [construct, state]" for a class of values, "{way_out} [call]" for a function')
