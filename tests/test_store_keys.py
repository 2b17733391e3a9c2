"""Keys as bytes: the same order, and the same key back.

If these failed, iteration would be out of order, a prefix would miss rows, or two keys would be one.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from torshi._store.keys import DATA, LONGEST, QUEUE, decode, encode, encode_prefix, lost_key, named

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=8)
ATOMS = st.one_of(
    TEXT,
    st.binary(max_size=8),
    st.integers(),
    st.integers(-(2**70), 2**70),
    st.sampled_from(["\0", "\0\0", "a\0", b"\0", b"\xff", b"\0\xff", 0, -1, 2**64, -(2**64), 2**2039, -(2**2039)]),
)
KEYS = st.recursive(ATOMS, lambda inner: st.lists(inner, max_size=4).map(tuple), max_leaves=8)

RANKS = {bytes: 0, str: 1, tuple: 2, int: 3}


def order(key: Any) -> Any:
    """What keys are sorted by, in terms of Python's own comparisons."""
    return RANKS[type(key)], tuple(map(order, key)) if isinstance(key, tuple) else key


def fits(*keys: Any) -> bool:
    try:
        return all(encode(DATA, key) is not None for key in keys)
    except ValueError:
        return False


@given(KEYS)
def test_keys_come_back(key: Any) -> None:
    """A key that comes back as another one, or of another type."""
    if fits(key):
        again = decode(encode(DATA, key))
        assert again == key
        assert order(again) == order(key)


@given(KEYS, KEYS)
def test_bytes_have_the_order_of_keys(one: Any, other: Any) -> None:
    """Rows in another order than their keys."""
    if fits(one, other):
        first, second = encode(DATA, one), encode(DATA, other)
        assert (first < second) == (order(one) < order(other))
        assert (first == second) == (order(one) == order(other))


@given(st.lists(KEYS, max_size=3).map(tuple), st.lists(KEYS, max_size=3).map(tuple))
def test_a_tuple_begins_as_its_prefix(start: tuple[Any, ...], more: tuple[Any, ...]) -> None:
    """A prefix that is none in bytes, or one in bytes that is none."""
    if fits(start + more, more):
        prefix = encode_prefix(DATA, start)
        assert encode(DATA, start + more).startswith(prefix)
        assert encode(DATA, more).startswith(prefix) == (order(more[: len(start)]) == order(start))


@given(TEXT, TEXT)
def test_a_text_begins_as_its_prefix(start: str, text: str) -> None:
    """The same of text."""
    prefix = encode_prefix(DATA, start)
    assert encode(DATA, start + text).startswith(prefix)
    assert encode(DATA, text).startswith(prefix) == text.startswith(start)
    assert encode_prefix(DATA, None) == DATA


@given(st.binary(max_size=40))
def test_other_bytes_are_no_keys(data: bytes) -> None:
    """A second way to write a key, under which a row would be another of the same name."""
    try:
        key = decode(DATA + data)
    except ValueError:
        return
    assert encode(DATA, key) == DATA + data


def test_limits() -> None:
    """A key that one backend takes and another does not."""
    assert len(encode(DATA, "x" * 1021)) == LONGEST
    for key in ("x" * 1022, b"\0" * 600, ("x" * 600, "x" * 600), "€" * 400):
        with pytest.raises(ValueError, match=r"a key may have 1,024 bytes, and .* has .*: use a digest of it"):
            encode(DATA, key)
    with pytest.raises(ValueError, match="an integer of a key may have 255 bytes, not 256"):
        encode(DATA, 2**2040)
    with pytest.raises(ValueError, match="text in Unicode"):
        encode(DATA, ("\udc80",))


def test_subclasses_are_what_they_are_of() -> None:
    """A key of a subclass that is never found again."""

    class Text(str):
        pass

    class Number(int):
        pass

    assert encode(DATA, Text("a")) == encode(DATA, "a")
    assert encode(DATA, Number(3)) == encode(DATA, 3)


def test_names() -> None:
    """A message about a row that does not say which."""
    assert named(encode(DATA, ("a", 1))) == "('a', 1)"
    assert named(encode(QUEUE, ("jobs", 1, b"x"))) == "message ('jobs', 1, b'x')"
    assert named(b"d\x07") == "b'd\\x07'"
    assert lost_key(b"dabc") == b"Dabc"
    assert len(named(encode(DATA, "x" * 500))) == 80
