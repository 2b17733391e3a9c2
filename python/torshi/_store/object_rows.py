"""What stands in an object of a store into rows, and back: one line of JSON, and behind it the sealed value.

An object is a row; or says that there is none any more (`Gone`), which keeps the place so that one who still believes
in the row before cannot write over the one behind; or is claimed by a change of several rows, and has what it was and
what it becomes. What was not written so is a row all the same, of all its bytes: its seal will say what it is. Never
trusts a length or a name of an object.
"""

from __future__ import annotations

import json
import re
import secrets
from typing import Any, Final, NamedTuple

from torshi._store.backend import Put

__all__ = ["GONE_SIZE", "HEAD", "Claim", "Gone", "Held", "claim", "doomed", "fresh", "gone", "parsed", "row"]

HEAD: Final = 2048
"""Bytes that the line of nearly every object fits in."""
# What a line never exceeds.
_LINE: Final = 1 << 16
# Versions before its own that a row remembers, by which one whose request was repeated finds that it was made.
_PAST: Final = 8
_VERSION: Final = re.compile(r"[0-9a-f]{16}\Z")
_CHANGE: Final = re.compile(r"[0-9a-f]{32}\Z")


class Held(NamedTuple):
    """A row.

    Attributes:
        version: of the value.
        past: versions before, the last one first.
        expires: when it is there no more.
        written: when it was put.
        tags: what it can be evicted by.
        name: for people.
        key: as the store encoded it, if the object's name does not tell.
        value: the sealed value, or as much of it as was read.
        head: bytes in front of the value.
    """

    version: str
    past: tuple[str, ...] = ()
    expires: float | None = None
    written: float = 0.0
    tags: tuple[str, ...] = ()
    name: str = ""
    key: bytes | None = None
    value: bytes = b""
    head: int = 0


class Gone(NamedTuple):
    """That there is no row. A doomed one is about to be removed, and nothing may be written over it."""

    version: str
    doomed: bool = False


class Claim(NamedTuple):
    """A row that belongs to a change.

    Attributes:
        change: whose it is.
        old: what stood in the object; empty for nothing.
        new: what will.
    """

    change: str
    old: bytes
    new: bytes


def fresh() -> str:
    """A version that no row has had."""
    return secrets.token_hex(8)


def _line(kind: str, known: dict[str, Any]) -> bytes:
    text = json.dumps({"torshi": kind, **known}, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "surrogatepass") + b"\n"


def row(put: Put, version: str, before: Held | Gone | None, now: float, key: bytes | None) -> bytes:
    """An object for a row that is put over what was there before."""
    past: tuple[str, ...] = ()
    if before is not None:
        past = (before.version, *(before.past if isinstance(before, Held) else ()))[:_PAST]
    known: dict[str, Any] = {"version": version, "past": past, "written": now, "expires": put.expires}
    known |= {"tags": put.tags, "name": put.name}
    if key is not None:
        known["key"] = key.hex()
    return _line("row", known) + put.value


def gone(version: str) -> bytes:
    """An object for no row."""
    return _line("gone", {"version": version})


def doomed(version: str) -> bytes:
    """An object for no row that is about to be removed."""
    return _line("doom", {"version": version})


GONE_SIZE: Final = len(gone("0" * 16))
"""Bytes of an object for no row, and of none for a row: by which listings tell."""


def claim(change: str, old: bytes, new: bytes) -> bytes:
    """An object for a row that a change claims. No two are equal, even of one change."""
    return _line("claim", {"change": change, "mark": fresh(), "old": len(old), "new": len(new)}) + old + new


def parsed(data: bytes, tag: str) -> Held | Gone | Claim:
    """What stands in an object, of which `tag` is the store's own mark."""
    end = data.find(b"\n", 0, _LINE)
    if not data.startswith(b'{"torshi":') or end < 0:
        return Held(f"?{tag}", value=data)
    try:
        known = json.loads(data[:end].decode("utf-8", "surrogatepass"))
        kind = known["torshi"]
        if kind == "row":
            return _row(known, data, end + 1)
        if kind in ("gone", "doom"):
            return Gone(_matched(_VERSION, known["version"]), kind == "doom")
        if kind == "claim":
            return _claim(known, data, end + 1)
    except (ValueError, TypeError, KeyError, RecursionError):
        pass
    return Held(f"?{tag}", value=data)


def _matched(pattern: re.Pattern[str], text: Any) -> str:
    if pattern.match(text) is None:
        raise ValueError("not as it was written")
    return str(text)


def _row(known: dict[str, Any], data: bytes, start: int) -> Held:
    expires = known.get("expires")
    return Held(
        _matched(_VERSION, known["version"]),
        tuple(map(str, known["past"])),
        None if expires is None else float(expires),
        float(known["written"]),
        tuple(map(str, known["tags"])),
        str(known["name"]),
        bytes.fromhex(known["key"]) if "key" in known else None,
        data[start:],
        start,
    )


def _claim(known: dict[str, Any], data: bytes, start: int) -> Claim:
    middle, end = start + int(known["old"]), start + int(known["old"]) + int(known["new"])
    if not start <= middle <= end or end > len(data):
        raise ValueError("not as it was written")
    return Claim(_matched(_CHANGE, known["change"]), data[start:middle], data[middle:end])
