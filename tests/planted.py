"""Attack pickles, put by hand into the file of a store in the place of what was there."""

from __future__ import annotations

import pickle
import sqlite3
from pathlib import Path
from typing import Any

RAN: list[Any] = []


def act(*args: Any) -> dict[str, Any]:
    """What a stranger would like to have called."""
    RAN.append(args)
    return {"acted": True}


class Acting:
    def __reduce__(self) -> Any:
        return act, ("x",)


ATTACK = pickle.dumps(Acting())

# As it is; as a value that nobody has sealed; as one that claims to be sealed; the same with tags and names.
FORMS = {
    "bare": ATTACK,
    "unsealed": bytes([1, 0]) + ATTACK,
    "forged": bytes([1, 1]) + bytes(32) + ATTACK,
    "named": bytes([1, 3]) + bytes(32) + (11).to_bytes(4, "little") + b"planted:act" + ATTACK,
}


def plant(path: Path, form: str, like: str = "%") -> int:
    """Replaces the values of rows by their names; how many."""
    with sqlite3.connect(path) as connection:
        changed = connection.execute("UPDATE rows SET value = ? WHERE name LIKE ?", (FORMS[form], like)).rowcount
    connection.close()
    return changed
