"""Lists of numbers, short texts and constants in any mix: passed over by the check, and made kind by kind.

If these failed, an item would come to stand in another's place, a memo would lose its count, or a list that a rule
looks into would be seen to hold something else than it is given.
"""

from __future__ import annotations

import pickle
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import torshi

MAKERS: dict[str, Callable[[random.Random], Any]] = {
    "none": lambda r: None,
    "bool": lambda r: r.random() < 0.5,
    "byte": lambda r: r.randrange(256),
    "short": lambda r: r.randrange(1 << 16),
    "int": lambda r: r.randrange(-(1 << 31), 1 << 31),
    "float": lambda r: r.choice((0.0, -1.5, float("inf"), r.random())),
    "text": lambda r: "".join(r.choices("abcdefghä€", k=r.randrange(2, 40))),
    "letter": lambda r: r.choice("ab"),
    "long": lambda r: r.randrange(-(1 << 63), 1 << 63),
    "longer": lambda r: r.randrange(1 << 200),
    "bytes": lambda r: r.randbytes(5),
    "long text": lambda r: "x" * r.choice((255, 256, 300)),
    "list": lambda r: [1, 2],
}
PLAIN = ("none", "bool", "byte", "short", "int", "float", "text")


def mixed(kinds: tuple[str, ...], count: int, seed: int, shared: bool = False) -> list[Any]:
    r = random.Random(f"{kinds} {count} {seed}")
    items = [MAKERS[r.choice(kinds)](r) for _ in range(count)]
    # Some stand there again: the stream reads them from the memo.
    return [r.choice(items) if shared and r.random() < 0.02 else item for item in items]


def same(a: Any, b: Any) -> None:
    assert repr(a) == repr(b)
    assert list(map(type, a)) == list(map(type, b))


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("count", [1, 2, 5, 254, 255, 256, 257, 510, 511, 999, 1000, 1001, 1255, 1256, 5000])
def test_mixed_lists(count: int, protocol: int) -> None:
    """Every place where a chunk, a batch or a frame may end; a chunk that begins one off would shift what follows."""
    value = mixed(PLAIN, count, protocol)
    same(torshi.loads(pickle.dumps(value, protocol)), value)


@pytest.mark.parametrize("kind", sorted(set(MAKERS) - set(PLAIN)))
def test_kinds_that_end_a_row(kind: str) -> None:
    """What is no atom ends a row, and what the check had passed over until then must be read again as it was."""
    for seed in range(20):
        value = mixed((*PLAIN, kind), 3000, seed)
        same(torshi.loads(pickle.dumps(value)), value)


@pytest.mark.parametrize("kinds", [("none", "text"), ("float", "none"), ("int", "float"), ("text",), ("float",)])
def test_rows_of_few_kinds(kinds: tuple[str, ...]) -> None:
    """Runs of one kind are passed over otherwise than mixes, and the two meet in one list."""
    for seed in range(10):
        value = mixed(kinds, 2500, seed)
        value[700:700] = [1.5] * 40 + ["same"] * 40 + [None] * 40
        same(torshi.loads(pickle.dumps(value)), value)


@pytest.mark.parametrize("count", [1, 63, 64, 65, 127, 128, 129, 999, 1000, 1001, 3000])
def test_many_constants(count: int) -> None:
    """Rows of constants are looked at many at a time: none may be lost, at no end of such a look, whatever follows."""
    rng = random.Random(count)
    for constants in ([True, False], [None], [None, True, False], [False]):
        row: list[Any] = rng.choices(constants, k=count)
        for rest in ([], [1.5], ["text"] * 70, mixed(PLAIN, 400, count), [[]], rng.choices([None, True], k=70)):
            same(torshi.loads(pickle.dumps([*row, *rest])), [*row, *rest])
            same(torshi.loads(pickle.dumps([*rest, *row, *rest])), [*rest, *row, *rest])
    # A rule that counts them, and one to which a None among them matters.
    value = np.array([*rng.choices([True, None], k=count), 1], dtype=object)
    same(torshi.loads(pickle.dumps(value)).tolist(), value.tolist())


def test_texts_that_are_read_again() -> None:
    """A text of a row may be asked for later: from the list, from another one, or as a key."""
    for seed in range(30):
        value = mixed(PLAIN, 2000, seed, shared=True)
        texts = [item for item in value if isinstance(item, str)]
        loaded = torshi.loads(pickle.dumps((value, {texts[-1]: texts[0]}, value[500:600])))
        same(loaded[0], value)
        assert loaded[1] == {texts[-1]: texts[0]}
        place = next(at for at, item in enumerate(value) if item is texts[-1])
        assert next(iter(loaded[1])) is loaded[0][place]
        same(loaded[2], value[500:600])


def test_pickles_that_share_a_memo() -> None:
    """The memo of an unpickler goes on from pickle to pickle, so that every text of a row must be in it."""
    import io

    file = io.BytesIO()
    pickler = pickle.Pickler(file, 5)
    value = mixed(PLAIN, 2000, 1)
    texts = [item for item in value if isinstance(item, str)]
    for part in (value, texts, value):
        pickler.dump(part)
    file.seek(0)
    unpickler = torshi.Unpickler(file)
    first, second, third = (unpickler.load() for _ in range(3))
    same(first, value)
    same(second, texts)
    assert third is first


@pytest.mark.parametrize(
    "rest",
    [
        b"K\x05\x94",  # a number is memoized
        b"\x8c\x02ab\x94\x94",  # a text twice
        b"\x8c\x02ab\x940",  # and popped
        b"\x8c\x02abq\x07",  # under a number of its own
        b"\x94",  # the list's mark is not
        b"N\x94N",
        b"\x8c\x05ab",  # what is missing of the text is the rest of the stream
        b"(K\x01e",
    ],
)
@pytest.mark.parametrize("before", [0, 3, 254, 255, 256, 600])
def test_streams_no_pickler_writes(rest: bytes, before: int) -> None:
    """What stands between atoms need not be what a pickler writes; it means what it means to stock pickle."""
    row = b"".join(
        (b"K\x01", b"\x8c\x02xy\x94", b"N", b"G?\xf8\x00\x00\x00\x00\x00\x00")[at % 4] for at in range(before)
    )
    for end in (b"e.", b"e0h\x01.", b"l.", b"t.", b"K\x01e.", b"."):
        for start in (b"\x80\x05]\x94(", b"\x80\x05](", b"\x80\x05}(", b"\x80\x05]\x94]("):
            data = start + row + rest + end
            try:
                expected = pickle.loads(data)
            except Exception:
                with pytest.raises((pickle.UnpicklingError, EOFError, ValueError, KeyError, IndexError, TypeError)):
                    torshi.loads(data)
            else:
                assert repr(torshi.loads(data)) == repr(expected), data[-40:]


def test_a_rule_sees_the_items_of_a_row() -> None:
    """Rules look at lists that stand in the stream: an array of objects must have as many as its shape says."""
    value = np.array(mixed(PLAIN, 3000, 2), dtype=object)
    data = pickle.dumps(value)
    same(torshi.loads(data).tolist(), value.tolist())
    assert data.count(b"M\xb8\x0b") >= 1
    with pytest.raises(torshi.UntrustedError):
        torshi.loads(data.replace(b"M\xb8\x0b", b"M\xb9\x0b", 1))


def test_text_of_a_row_that_is_not_utf8() -> None:
    """The builder meets it among the texts of its chunk: the error is stock pickle's, and nothing is left behind."""
    value = mixed(PLAIN, 700, 3)
    data = pickle.dumps([*value, "find me"]).replace(b"find me", b"find \xffe")
    with pytest.raises(UnicodeDecodeError):
        pickle.loads(data)
    with pytest.raises(UnicodeDecodeError):
        torshi.loads(data)


@pytest.mark.parametrize("end", [b"e.", b"t.", b""])
@pytest.mark.parametrize("padding", [0, 5000])
def test_short_rows_of_memo_reads(padding: int, end: bytes) -> None:
    """A few reads in a row are taken in another way than many: one of a slot that is not there must fail in both."""
    head = b"\x80\x04X" + padding.to_bytes(4, "little") + bytes(padding) + b"0](X\x01\0\0\0aq\x00K\x07q\x01"
    for count in range(1, 8):
        for missing in (*range(count), None):
            slots = [9 if place == missing else place % 2 for place in range(count)]
            reads = (b"h" + bytes([slot]) if slot else b"j" + slot.to_bytes(4, "little") for slot in slots)
            data = head + b"".join(reads) + end
            if missing is None and end:
                assert torshi.loads(data) == pickle.loads(data), data
            else:
                with pytest.raises(pickle.UnpicklingError):
                    torshi.loads(data)
