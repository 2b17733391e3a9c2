"""Writes the policy tables of scientific libraries from the libraries as installed, and from what was reviewed.

    python tools/policy_tables.py pandas          writes crates/torshi-core/src/policy/tables/pandas.toml
    python tools/policy_tables.py --check pandas  says whether the table is what would be written

A library is walked for its classes; a class comes into a table only if a review names it, or names a base class
whose subclasses it covers, and then with the uses, the patterns and the reason of that review. Everything else is
left out and counted. Names of earlier releases, which no walk finds, stand in the reviews.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import pkgutil
import sys
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

TABLES = Path(__file__).parents[1] / "crates" / "torshi-core" / "src" / "policy" / "tables"
ORDER = ("call", "construct", "state", "makes", "kind")
FLAGS = ("freezes", "fragile", "hashes", "items", "append", "value")


@dataclass
class Review:
    """What was found about some names of a library, and so what a stream may do with them.

    Attributes:
        reason: why that is harmless, for any values that match.
        names: `module:qualname`, as written; or the last part of a class found by walking.
        uses: the fields of the row.
        old: names of earlier releases.
        bases: `module:class`; classes below it are covered, unless another review names them.
    """

    reason: str
    names: list[str]
    uses: dict[str, Any]
    old: list[str] = field(default_factory=list)
    bases: list[str] = field(default_factory=list)


@dataclass
class Library:
    """How a table is made.

    Attributes:
        name: of the table.
        header: the comment it opens with.
        packages: what is walked.
        reviews: the rows.
        skip: modules that are not imported: tests, command lines, what needs other libraries.
    """

    name: str
    header: str
    packages: list[str]
    reviews: list[Review]
    skip: tuple[str, ...] = ("tests", "conftest", "_testing", "__main__", "setup")


def modules(library: Library) -> Iterator[ModuleType]:
    """Every module of a library that can be imported."""
    for package in library.packages:
        root = importlib.import_module(package)
        yield root
        for found in pkgutil.walk_packages(getattr(root, "__path__", []), package + ".", onerror=lambda _: None):
            if not set(found.name.split(".")) & set(library.skip):
                try:
                    yield importlib.import_module(found.name)
                except Exception:
                    print(f"  not imported: {found.name}", file=sys.stderr)


def spellings(library: Library) -> dict[str, dict[str, type]]:
    """Classes by name, and of each the modules a stream may name it by: its own, and those that define it."""
    found: dict[str, dict[str, type]] = {}
    seen = list(modules(library))
    for module in seen:
        for name, value in vars(module).items():
            if not isinstance(value, type) or name != value.__qualname__:
                continue
            if value.__module__.split(".")[0] not in {p.split(".")[0] for p in library.packages}:
                continue
            homes = {value.__module__, defined_in(value, seen)}
            if module.__name__ in homes:
                found.setdefault(name, {})[f"{module.__name__}:{name}"] = value
    return found


def defined_in(cls: type, seen: Iterable[ModuleType]) -> str:
    """The module whose source has the class statement, which may not be the one the class calls its own."""
    try:
        file = inspect.getsourcefile(cls)
    except (TypeError, OSError):
        return cls.__module__
    return next((module.__name__ for module in seen if getattr(module, "__file__", None) == file), cls.__module__)


def resolve(review: Review, found: dict[str, dict[str, type]]) -> list[str]:
    """The names of a row; a reviewed name that is not there is an error."""
    names = set(review.old)
    for name in review.names:
        if ":" in name:
            module, _, qualname = name.partition(":")
            value: Any = importlib.import_module(module)
            for part in qualname.split("."):
                value = getattr(value, part)
            names.add(name)
        elif name in found:
            names |= found[name].keys()
        else:
            raise SystemExit(f"reviewed, but not there: {name}")
    for base in review.bases:
        module, _, qualname = base.partition(":")
        root = getattr(importlib.import_module(module), qualname)
        for homes in found.values():
            names |= {spelled for spelled, cls in homes.items() if issubclass(cls, root) and cls is not root}
    return sorted(names)


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def bare(key: str) -> str:
    return key if key.isidentifier() else quoted(key)


def row(names: list[str], review: Review) -> str:
    lines = ["[[row]]"]
    if sum(map(len, names)) < 90:
        lines.append("name = [" + ", ".join(map(quoted, names)) + "]")
    else:
        lines += ["name = [", *(f"    {quoted(name)}," for name in names), "]"]
    lines.append(f"reason = {quoted(review.reason)}")
    uses = dict(review.uses)
    lines += [f"{key} = {quoted(uses.pop(key))}" for key in ORDER if key in uses]
    lines += [f"{key} = true" for key in FLAGS if uses.pop(key, False)]
    fields = uses.pop("fields", None)
    assert not uses, uses
    if fields:
        lines += ["[row.fields]", *(f"{bare(key)} = {quoted(text)}" for key, text in fields.items())]
    return "\n".join(lines) + "\n"


def table(library: Library) -> str:
    """The text of a table."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = spellings(library)
        rows: dict[str, str] = {}
        taken: set[str] = set()
        for review in library.reviews:
            names = [name for name in resolve(review, found) if name not in taken]
            taken |= set(names)
            if names:
                rows[names[0]] = row(names, review)
    every = {name for names in found.values() for name in names}
    print(f"{library.name}: {len(taken)} names in {len(rows)} rows; {len(every - taken)} classes left out")
    return library.header.strip() + "\n\n" + "\n".join(rows[name] for name in sorted(rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("library", nargs="+")
    parser.add_argument("--check", action="store_true", help="write nothing, exit with 1 if a table differs")
    options = parser.parse_args()
    differs = False
    for name in options.library:
        library = importlib.import_module(f"reviews.{name}").LIBRARY
        text = table(library)
        path = TABLES / f"{name}.toml"
        if options.check:
            differs |= not path.exists() or path.read_text(encoding="utf-8") != text
        else:
            path.write_text(text, encoding="utf-8")
    if differs:
        raise SystemExit("the tables are not what the reviews and the installed libraries make")


if __name__ == "__main__":
    main()
