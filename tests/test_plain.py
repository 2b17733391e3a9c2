"""Short streams of plain data are read once, all others are checked first: which of the two a stream meets must not
be told from what comes of it. A limit that differs from the default sends any stream the checked way.
"""

from __future__ import annotations

import gc
import pickle
import random
import struct
from typing import Any

import pytest

import torshi

CHECKED = torshi.Limits(stream=1 << 40)

MESSAGES: list[Any] = [
    {"id": 17, "name": "n", "tags": ["a", "b"], "score": 0.5, "ok": True, "none": None, "raw": b"bytes"},
    [{"x": i, "y": -i} for i in range(5)],
    ["same", "same", {"same": "same"}],
    {1: 2, 1.5: b"", None: [], b"k": (), "t": (1, (2, (3,)))},
    {"a", 1, None, 2.5, b"x"},
    [bytearray(b"abc"), 1 << 70, -(1 << 200), "größe 木 🥒", "\ud800"],
    "text",
    None,
    [[[[]]], {}, set(), ()],
]


def outcome(data: bytes, **options: Any) -> tuple[str, object]:
    """What a load comes to: the bytes of its value, so that types, order and sharing count, or its error."""
    try:
        return "value", pickle.dumps(torshi.loads(data, **options), 4)
    except Exception as error:
        return type(error).__name__, str(error)


@pytest.mark.parametrize("message", MESSAGES, ids=repr)
@pytest.mark.parametrize("protocol", [4, 5])
def test_plain_messages_come_back_as_from_a_checked_load(message: Any, protocol: int) -> None:
    """A value that depends on how short its stream is would be wrong in production and right in tests."""
    data = pickle.dumps(message, protocol)
    assert outcome(data) == outcome(data, limits=CHECKED) == ("value", pickle.dumps(pickle.loads(data), 4))


def mutants(source: random.Random, data: bytes, count: int) -> list[bytes]:
    """Bytes changed, cut out, doubled; opcodes put in."""
    opcodes = b"\x93cR\x81bQPiohj2010usea.}])(\x94t\x85K\x8c\x97\x98\x82"
    made = []
    for _ in range(count):
        changed = bytearray(data)
        for _ in range(source.randint(1, 3)):
            at = source.randrange(2, len(changed))
            how = source.randrange(4)
            if how == 0:
                changed[at] = source.randrange(256)
            elif how == 1:
                del changed[at : at + source.randint(1, 4)]
            elif how == 2:
                changed[at:at] = bytes([source.choice(opcodes)])
            else:
                changed[at:at] = changed[at : at + source.randint(1, 8)]
            if len(changed) < 4:
                break
        made.append(bytes(changed))
    return made


@pytest.mark.parametrize("message", MESSAGES, ids=repr)
def test_broken_messages_fail_as_a_checked_load_does(message: Any) -> None:
    """What stops the short way must raise what the checked way raises, and what it accepts must be the same."""
    source = random.Random(repr(message))
    data = pickle.dumps(message, 4)
    if data[2:3] == b"\x95":  # without its frame, whose length most changes would only belie
        data = data[:2] + data[11:]
    for mutant in mutants(source, data, 400):
        assert outcome(mutant) == outcome(mutant, limits=CHECKED), mutant


BOMBS = {
    "unfolding by DUP": b"\x80\x04)" + b"2\x86" * 100 + b".",
    "unfolding by the memo": b"\x80\x04]\x94" + b"".join(b"](h%ch%ce\x94" % (i, i) for i in range(60)) + b".",
    "hashing of tuples nested by DUP": b"\x80\x04}K\x01" + b"2\x86" * 100 + b"K\x01s.",
    "hashing of tuples in a set": b"\x80\x04\x8f(K\x01" + b"2\x86" * 100 + b"\x90.",
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_meet_their_limit(name: str) -> None:
    """A hundred bytes can describe more than any walker survives; short streams are no exception."""
    with pytest.raises(torshi.LimitError):
        torshi.loads(BOMBS[name])


EFFECTS = {
    "GLOBAL": b"\x80\x04cos\nsystem\n.",
    "a name built without STACK_GLOBAL's byte": b"\x80\x04cos\nsystem\n(S'true'\ntR.",
    "INST": b"\x80\x04(S'true'\nios\nsystem\n.",
    "a call of plain data": b"\x80\x04\x8c\x02os)R.",
    "NEWOBJ of plain data": b"\x80\x04\x8c\x02os)\x81.",
    "BUILD of plain data": b"\x80\x04]}b.",
    "BUILD of a dict": b"\x80\x04}}\x8c\x01aK\x01sb.",
    "a persistent id": b"\x80\x04K\x01Q.",
    "an extension code": b"\x80\x04\x82\x01.",
    "a buffer": b"\x80\x05\x97.",
    "a buffer of bytes": b"\x80\x05C\x01a\x98.",
    "behind plain data": b"\x80\x04](K\x01\x8c\x03abcecos\nsystem\n.",
}


@pytest.mark.parametrize("name", EFFECTS)
def test_what_is_more_than_data_is_refused_as_ever(name: str) -> None:
    """The short way knows no names and makes no calls; what asks for them must meet the policy."""
    data = EFFECTS[name]
    kind, _ = outcome(data)
    assert kind != "value"
    assert outcome(data) == outcome(data, limits=CHECKED)


def test_a_stack_global_byte_in_data_is_data() -> None:
    """The guess by which streams take the short way looks at bytes, not opcodes: it may only cost time."""
    for message in (b"\x93", 0x93, "\u0093", [0x93939393, struct.unpack("d", b"\x93" * 8)[0]]):
        assert torshi.loads(pickle.dumps(message, 4)) == message


@pytest.mark.parametrize("value", [[[1], [1]], {"a": [1], "b": [1]}], ids=repr)
def test_equal_containers_stay_apart(value: Any) -> None:
    """Two equal lists made one would change together."""
    loaded = torshi.loads(pickle.dumps(value, 4))
    first, second = loaded.values() if isinstance(loaded, dict) else loaded
    assert first == second == [1]
    assert first is not second


def test_shared_containers_stay_shared() -> None:
    """One list made two would no longer change together."""
    shared: list[int] = [1]
    first, second = torshi.loads(pickle.dumps([shared, shared], 4))
    assert first is second


def test_nothing_is_kept_of_a_stream_that_was_given_up() -> None:
    """What was made before an instance is met must be let go of, load by load."""
    data = b"\x80\x04](}\x8c\x03keyK\x01s]C\x03abccbuiltins\ncomplex\n(K\x01K\x02tRe."
    assert torshi.loads(data) == [{"key": 1}, [], b"abc", 1 + 2j]
    gc.collect()
    before = len(gc.get_objects())
    for _ in range(200):
        torshi.loads(data)
    gc.collect()
    assert len(gc.get_objects()) - before < 50
