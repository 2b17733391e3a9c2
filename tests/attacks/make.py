"""Writes the corpus: one file a case, and `manifest.json` that says what must become of each.

Run it from the folder `tests` as ``python -m attacks.make``. Cases above `LARGEST` bytes are not written;
whoever wants them asks `corpus()`, which makes every case anew.
"""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

from attacks import boosted, broken, calls, cost, scientific, state, tensors
from attacks.assembler import Case

FOLDER = Path(__file__).parent / "corpus"
MANIFEST = Path(__file__).parent / "manifest.json"
LARGEST = 4_096


@cache
def corpus() -> dict[str, Case]:
    found = [case for module in (calls, state, broken, cost, scientific, boosted, tensors) for case in module.cases()]
    by_id = {case.id: case for case in found}
    assert len(by_id) == len(found), "an id is used twice"
    return by_id


def path_of(case: Case) -> Path:
    return FOLDER / (re.sub(r"[^\w/-]", "_", case.id) + ".pkl")


def is_written(case: Case) -> bool:
    return len(case.data) <= LARGEST


def record(case: Case) -> dict[str, Any]:
    entry: dict[str, Any] = {"id": case.id, "mechanism": case.mechanism, "expected": case.expected}
    entry["trust"] = list(case.trust) if isinstance(case.trust, tuple) else case.trust
    entry["file"] = str(path_of(case).relative_to(FOLDER.parent)) if is_written(case) else None
    entry["size"] = len(case.data)
    if case.error:
        entry["error"] = case.error
    return entry


def manifest() -> str:
    lines = ",\n".join(json.dumps(record(case)) for case in corpus().values())
    return f"[\n{lines}\n]\n"


def write() -> None:
    wanted = {path_of(case): case.data for case in corpus().values() if is_written(case)}
    for old in FOLDER.rglob("*.pkl"):
        if old not in wanted:
            old.unlink()
    for path, data in wanted.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    MANIFEST.write_text(manifest(), encoding="utf-8")


if __name__ == "__main__":
    write()
