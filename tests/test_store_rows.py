"""Rows as bytes: the proof over all of a row and its place, names beside a pickle, keys by the short way.

If these failed, rows of one release could not be read by the next, or a proof would hold for something else.
"""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import torshi
from blake3 import _END, _ROOT, _START, _compress
from store_contract import Own
from torshi import _native
from torshi._store.keys import DATA, decode, encode

SECRET = bytes(range(32))
KEYED = 16


def keyed(secret: bytes, message: bytes) -> bytes:
    """Keyed BLAKE3 of a message of one block, as its specification has it."""
    assert len(message) <= 64
    words = tuple(int.from_bytes(secret[at : at + 4], "little") for at in range(0, 32, 4))
    chain = _compress(words, message, 0, _START | _END | _ROOT | KEYED)
    return b"".join(word.to_bytes(4, "little") for word in chain)


def counted(*parts: bytes) -> bytes:
    return b"".join(len(part).to_bytes(8, "little") + part for part in parts)


@pytest.mark.parametrize("parts", [(), (b"",), (b"abc",), (b"a", b"bc"), (b"ab", b"c"), (b"", b"x" * 40)])
def test_proofs_are_keyed_blake3_of_counted_parts(parts: tuple[bytes, ...]) -> None:
    """Another hash, after which no row of before can be read."""
    assert _native.keyed_digest(SECRET, parts) == keyed(SECRET, counted(*parts))


def test_parts_do_not_run_into_each_other() -> None:
    """A proof that holds for another key or store, since their bytes together are the same."""
    digests = {_native.keyed_digest(SECRET, parts) for parts in ([b"ab", b"c"], [b"a", b"bc"], [b"abc"], [b"abc", b""])}
    assert len(digests) == 4
    with pytest.raises(ValueError, match="a key has 32 bytes"):
        _native.keyed_digest(b"short", [])
    assert _native.derive_key("one purpose", SECRET) != _native.derive_key("another", SECRET)


def test_the_layout_of_a_row() -> None:
    """A row that stands otherwise than `docs` and earlier rows have it."""
    row = _native.seal_row(SECRET, b"s", b"k", b"\x01\x01", b"body")
    assert row == b"\x01\x01" + keyed(SECRET, counted(b"s", b"k", b"\x01\x01", b"body"))[:16] + b"body"
    assert _native.unseal_row(SECRET, b"s", b"k", 2, row) == b"body"
    for other in (
        (bytes(32), b"s", b"k", 2, row),
        (SECRET, b"t", b"k", 2, row),
        (SECRET, b"s", b"l", 2, row),
        (SECRET, b"s", b"k", 3, row),
        (SECRET, b"s", b"k", 2, row[:-1]),
        (SECRET, b"s", b"k", 2, row + b"\0"),
        (SECRET, b"s", b"k", 2, b"\x01"),
        (SECRET, b"s", b"k", 2, b""),
        (SECRET, b"s", b"k", 99, row),
    ):
        assert _native.unseal_row(*other) is None


def test_the_short_way_gives_the_same() -> None:
    """Most rows go a shorter way, on which they would be others, or would be let in."""
    seal = _native.RowSeal(SECRET, b"s", b"\x01\x01")
    row = seal.dump(b"k", {"a": 1})
    assert row == _native.seal_row(SECRET, b"s", b"k", b"\x01\x01", torshi.dumps({"a": 1}))
    assert isinstance(row, bytes)
    assert seal.load(b"k", row) == {"a": 1}
    for key, other in ((b"l", row), (b"k", row[:-1]), (b"k", b"\x01\x03" + row[2:]), (b"k", b"")):
        assert seal.load(key, other) is NotImplemented
    assert seal.dump(b"k", Own(1)) == (torshi.dumps(Own(1)), ["store_contract:Own"])
    assert seal.dump(b"k", b"x" * 70_000, True) is None


def test_names_beside_a_pickle() -> None:
    """A name of a stream that is not listed, so that its row cannot be read; or one that is none."""
    value: list[Any] = [Own(1), Own(2), datetime.date(2026, 1, 1), len]
    made = _native.dumps_named(value)
    assert made is not None
    assert made[0] == torshi.dumps(value)
    assert made[1] == ["builtins:len", "datetime:date", "store_contract:Own"]
    assert _native.dumps_named([1, "a"]) == (torshi.dumps([1, "a"]), None)


@pytest.mark.parametrize(
    "long", [b"x" * 65_536, "x" * 65_536, "é" * 40_000, list(range(40_000)), [b"y" * 70_000], {"a": bytearray(80_000)}]
)
def test_long_streams_are_given_up(long: Any) -> None:
    """A large value that is pickled whole to see that it is large, or kept in the database."""
    assert _native.dumps_named(long, True) is None
    made = _native.dumps_named(long)
    assert made is not None
    assert made[0] == torshi.dumps(long)
    short = _native.dumps_named(b"x" * 60_000, True)
    assert short is not None
    assert short[0] == torshi.dumps(b"x" * 60_000)


def test_errors_are_not_taken_for_length() -> None:
    """A value that cannot be pickled, taken for one that is too long; also if its class raises what length does."""

    class Raising:
        def __reduce__(self) -> Any:
            raise OverflowError("mine")

    with pytest.raises(OverflowError, match="mine"):
        _native.dumps_named(Raising(), True)


@given(st.text(max_size=20))
def test_text_keys(text: str) -> None:
    """A key that is another by the short way than by the long one."""
    key = _native.text_key(DATA, text)
    if key is not None:
        assert key == DATA + b"\x02" + text.encode() + b"\0"
        assert decode(key) == text
    assert encode(DATA, text) == DATA + b"\x02" + text.encode().replace(b"\0", b"\0\xff") + b"\0"
