"""What `torshi.recover` gives back of files that were cut: nested records, cut at random, beside stock pickle.

    python benchmarks/recovery.py [--files 500] [--markdown FILE]

For each file the share of its bytes that are there, the share of records that came back, and whether any of them is
another than was written. Stock pickle, which gives nothing of a cut file, is asked too.
"""

from __future__ import annotations

import argparse
import pickle
import random
import statistics
from pathlib import Path
from typing import Any

import torshi

SHAPES = ("list of records", "records by name", "records within a document", "rows of numbers", "protocol 0")


def record(rng: random.Random, n: int) -> dict[str, Any]:
    """A record with lists and dicts within."""
    return {
        "id": n,
        "name": f"user {n}",
        "scores": [rng.random() for _ in range(rng.randrange(12))],
        "tags": [f"tag {rng.randrange(50)}" for _ in range(rng.randrange(6))],
        "address": {"street": f"street {rng.randrange(999)}", "at": (rng.random(), rng.random())},
        "history": [{"step": step, "of": [step] * 3} for step in range(rng.randrange(5))],
    }


def made(rng: random.Random, shape: str) -> tuple[Any, int]:
    """A value of that shape, and the protocol it is written in."""
    many = [record(rng, n) for n in range(rng.randrange(100, 400))]
    if shape == "records by name":
        return {one["name"]: one for one in many}, 5
    if shape == "records within a document":
        return {"version": 3, "by": {"host": "a"}, "records": many}, 4
    if shape == "rows of numbers":
        return [[rng.random() for _ in range(8)] for _ in range(2000)], 5
    return many, 0 if shape == "protocol 0" else rng.choice([2, 3, 4, 5])


def items(value: Any) -> list[Any]:
    """The records of a value, in order."""
    if isinstance(value, dict):
        return value.get("records", []) if "version" in value else list(value.items())
    return list(value)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=500)
    parser.add_argument("--markdown", type=Path)
    arguments = parser.parse_args()
    rng = random.Random(1)
    rows: dict[str, list[tuple[float, float, int, bool]]] = {shape: [] for shape in SHAPES}
    for number in range(arguments.files):
        shape = SHAPES[number % len(SHAPES)]
        value, protocol = made(rng, shape)
        data = pickle.dumps(value, protocol)
        cut = rng.randrange(len(data) // 20, len(data))
        try:
            pickle.loads(data[:cut])
            stock = True
        except Exception:
            stock = False
        try:
            found = items(torshi.recover(data[:cut]).value)
        except torshi.MalformedError:
            found = []
        wanted = items(value)
        # A record that breaks off and is the value of a dict comes back with what is whole of it: no whole record.
        wrong = [one for one, other in zip(found, wanted, strict=False) if one != other]
        if shape == "records by name" and wrong == found[-1:]:
            found, wrong = found[:-1], []
        rows[shape].append((cut / len(data), len(found) / len(wanted), len(wrong), stock))
    lines = [
        "| files | bytes there | records recovered | of those there | wrong | stock pickle |",
        "|---|---|---|---|---|---|",
    ]
    for shape, all_of in [*rows.items(), ("all", [row for of in rows.values() for row in of])]:
        there, back = (statistics.mean(row[at] for row in all_of) for at in (0, 1))
        share = statistics.mean(min(1.0, row[1] / row[0]) for row in all_of)
        wrong, stock = sum(row[2] for row in all_of), sum(row[3] for row in all_of)
        lines.append(f"| {len(all_of)} {shape} | {there:.1%} | {back:.1%} | {share:.1%} | {wrong} | {stock} files |")
    text = "\n".join(lines)
    print(text)
    if arguments.markdown is not None:
        arguments.markdown.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
