"""What is done in one step comes to what stock pickle does in many: states, records, members, rows, text.

If these failed, a quick way would give another object than the plain way, or miss a hook that the plain way calls.
"""

from __future__ import annotations

import enum
import gc
import io
import pickle
import struct
import sys
import uuid
from typing import Any, NamedTuple

import numpy as np
import pytest

import torshi


class Plain:
    """Takes state into its dict."""


class WithProperty:
    """A data descriptor does not take what the state says: the dict does."""

    @property
    def size(self) -> int:
        return 7


class WithSetattr:
    def __setattr__(self, name: str, value: Any) -> None:
        raise AssertionError("state is not set by __setattr__")


class WithSlots:
    __slots__ = ("a", "b")


class WithBoth(WithSlots):
    """Slots of its own, of a base, and a dict."""

    __slots__ = ("__dict__", "c")


class SlotsWithSetattr:
    __slots__ = ("a", "seen")

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)
        if name == "a":
            object.__setattr__(self, "seen", "set by __setattr__")


class OwnDict:
    """Has another idea of what its dict is."""

    def __init__(self) -> None:
        self.x = 1

    @property
    def __dict__(self) -> Any:  # type: ignore[override]
        return STORED


STORED: dict[str, Any] = {}


class WithGetattr:
    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)


class WithSetstate:
    def __setstate__(self, state: Any) -> None:
        self.given = dict(state)


class Meta(type):
    def __setstate__(cls, state: Any) -> None:
        raise AssertionError("a metaclass has no say in it")


class OfMeta(metaclass=Meta):
    pass


class Child(Plain):
    y = 5


CLASSES = [Plain, WithProperty, WithSetattr, WithSlots, WithBoth, SlotsWithSetattr, WithGetattr, WithSetstate, OfMeta]


def stream(class_: type, state: bytes, count: int = 1) -> bytes:
    """`count` objects of a class, each given the state, as protocol 2 writes them."""
    name = f"c{class_.__module__}\n{class_.__qualname__}\n".encode()
    return b"\x80\x02](" + (name + b")\x81" + state + b"b") * count + b"e."


def attributes(object_: Any) -> Any:
    slots = {name for class_ in type(object_).__mro__ for name in getattr(class_, "__slots__", ())} - {"__dict__"}
    own = object.__getattribute__(object_, "__dict__") if hasattr(object_, "__dict__") else None
    return type(object_), own, {name: getattr(object_, name) for name in sorted(slots) if hasattr(object_, name)}


def outcome(load: Any, data: bytes) -> Any:
    """The values, or the kind of error."""
    try:
        return [attributes(one) for one in load(data)]
    except Exception as error:
        return next(base for base in type(error).__mro__ if base.__module__ == "builtins")


TRUST = torshi.unrestricted("the streams of this test are made by it")
STATES = {
    "dict": b"}(U\x01aK\x01U\x01b]K\x02au",
    "one pair": b"}U\x01aK\x01s",
    "twice the same": b"}(U\x01aK\x01U\x01aK\x02u",
    "a data descriptor": b"}(U\x04sizeK\x01U\x01aK\x02u",
    "keys of numbers": b"}(K\x01K\x02u",
    "in two batches": b"}(U\x01aK\x01u(U\x01bK\x02u",
    "empty": b"}",
    "empty batch": b"}(u",
    "slots": b"N}(U\x01aK\x01U\x01bK\x02u\x86",
    "slots, memoised": b"N}(U\x01aK\x01u\x86q\x05",
    "slots and dict": b"}(U\x01xK\x01u}(U\x01aK\x01u\x86",
    "an unknown slot": b"N}(U\x01zK\x01u\x86",
    "a dict that is kept": b"}q\x07(U\x01aK\x01u",
    "not a dict": b"K\x05",
}


@pytest.mark.parametrize("class_", CLASSES, ids=lambda c: c.__name__)
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("trust", [TRUST, CLASSES], ids=["unrestricted", "trusted"])
def test_states(class_: type, state: str, trust: Any) -> None:
    data = stream(class_, STATES[state], 3)
    stock = outcome(lambda data: pickle.loads(data, encoding="utf-8"), data)
    assert outcome(lambda data: torshi.loads(data, trust=trust, encoding="utf-8"), data) == stock


def test_a_dict_property_gets_the_state() -> None:
    STORED.clear()
    torshi.loads(stream(OwnDict, STATES["dict"]), trust=[OwnDict])
    assert STORED == {"a": 1, "b": [2]}


def test_a_state_that_is_read_again_is_whole() -> None:
    """Two objects of one dict, and the dict itself: a state that went straight into the first would be gone."""
    name = f"c{__name__}\nPlain\n".encode()
    data = b"\x80\x02(" + name + b")\x81}q\x01(X\x01\x00\x00\x00aK\x01ub" + name + b")\x81h\x01bh\x01t."
    first, second, state = torshi.loads(data, trust=[Plain])
    assert vars(first) == vars(second) == state == {"a": 1}
    slots = f"c{__name__}\nWithSlots\n".encode()
    data = b"\x80\x02(" + slots + b")\x81N}(X\x01\x00\x00\x00aK\x01u\x86q\x01b" + slots + b")\x81h\x01bh\x01t."
    first, second, state = torshi.loads(data, trust=[WithSlots])
    assert first.a == second.a == 1
    assert state == (None, {"a": 1})


def test_one_unpickler_keeps_states_for_its_next_pickle() -> None:
    name = f"c{__name__}\nPlain\n".encode()
    file = io.BytesIO(b"\x80\x02" + name + b")\x81}q\x01(X\x01\x00\x00\x00aK\x01ub.\x80\x02h\x01.")
    unpickler = torshi.Unpickler(file, trust=[Plain])
    assert vars(unpickler.load()) == {"a": 1}
    assert unpickler.load() == {"a": 1}


def test_dunder_names_stay_refused_in_every_form() -> None:
    """A state read in one step must meet the same rule as any other."""
    for state in (b"}(X\x09\x00\x00\x00__class__K\x01u", b"N}(X\x09\x00\x00\x00__class__K\x01u\x86"):
        for class_ in (Plain, WithSlots):
            with pytest.raises(torshi.UntrustedError):
                torshi.loads(stream(class_, state), trust=[class_])


def test_attribute_names_are_interned() -> None:
    one = torshi.loads(stream(Plain, STATES["dict"]), trust=[Plain], encoding="utf-8")[0]
    assert all(name is sys.intern(name) for name in vars(one))


def test_classes_that_change_between_loads() -> None:
    """What is known of a class is known for one load only."""
    data = torshi.dumps([Child()])
    child = Child()
    child.y = 1
    data = torshi.dumps([child, child.__class__()])
    assert torshi.loads(data, trust=[Child])[0].y == 1
    try:
        Child.__setstate__ = lambda self, state: self.__dict__.update(y=2)  # type: ignore[attr-defined]
        assert torshi.loads(data, trust=[Child])[0].y == 2
    finally:
        del Child.__setstate__  # type: ignore[attr-defined]


def test_slots_hold_one_reference() -> None:
    """A slot written past the attribute protocol must own what it holds, and give up what it held."""
    value = object.__new__(WithSlots)
    marker = "a marker nobody else has"
    value.a, value.b = [marker], None
    data = pickle.dumps([value] * 3 + [value.a], 4)
    for _ in range(200):
        ours, stock = torshi.loads(data, trust=[WithSlots]), pickle.loads(data)
        counts = [sys.getrefcount(loaded[3]) for loaded in (ours, stock)]
        assert ours[0].a is ours[3]
        assert counts[0] == counts[1]


# -- members of enumerations


class Color(enum.Enum):
    RED = "red"
    GREEN = 2
    TUPLE = (1, 2)


class Number(enum.IntEnum):
    ONE = 1


class Flags(enum.Flag):
    A = 1
    B = 2


class Lenient(enum.Enum):
    KNOWN = 1

    @classmethod
    def _missing_(cls, value: object) -> Any:
        return cls.KNOWN


class Loud(enum.EnumMeta):
    calls: list[Any] = []

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        Loud.calls.append(args)
        return super().__call__(*args, **kwargs)


class OfLoud(enum.Enum, metaclass=Loud):
    X = 1


@pytest.mark.parametrize("member", [*Color, Number.ONE, Flags.A, Flags.A | Flags.B, Lenient.KNOWN])
@pytest.mark.parametrize("protocol", range(6))
def test_members(member: enum.Enum, protocol: int) -> None:
    back = torshi.loads(pickle.dumps([member, member], protocol), trust=["test_fusion.*"])
    assert back[0] is back[1]
    assert back[0] == member
    assert type(back[0]) is type(member)


def called(class_: type, argument: bytes) -> bytes:
    return f"\x80\x04c{class_.__module__}\n{class_.__qualname__}\n".encode("latin-1") + argument + b"\x85R."


def test_values_that_are_no_members() -> None:
    assert torshi.loads(called(Lenient, b"K\x09"), trust=["test_fusion.*"]) is Lenient.KNOWN
    with pytest.raises(ValueError, match="is not a valid Color"):
        torshi.loads(called(Color, b"K\x09"), trust=["test_fusion.*"])
    # Equal to a member's value, and of another type: 1.0 finds 1, as it does when called.
    assert torshi.loads(called(Number, b"G\x3f\xf0\0\0\0\0\0\0"), trust=["test_fusion.*"]) is Number.ONE


def test_a_metaclass_of_ones_own_is_asked() -> None:
    Loud.calls.clear()
    assert torshi.loads(called(OfLoud, b"K\x01"), trust=["test_fusion.*"]) is OfLoud.X
    assert Loud.calls == [(1,)]


# -- UUIDs and arrays


@pytest.mark.parametrize("protocol", range(6))
def test_uuids(protocol: int) -> None:
    values = [uuid.UUID(int=0), uuid.UUID(int=2**128 - 1), uuid.UUID(int=5, is_safe=uuid.SafeUUID.safe), uuid.uuid4()]
    back = torshi.loads(pickle.dumps(values * 2, protocol))
    assert back == values * 2
    assert [one.is_safe for one in back] == [one.is_safe for one in values * 2]


class OwnUUID(uuid.UUID):
    def __setstate__(self, state: Any) -> None:
        object.__setattr__(self, "int", 7)
        object.__setattr__(self, "is_safe", uuid.SafeUUID.unknown)


def test_a_uuid_of_ones_own_takes_state_its_own_way() -> None:
    assert torshi.loads(pickle.dumps([OwnUUID(int=1)]), trust=[OwnUUID])[0].int == 7


@pytest.mark.parametrize("shape", [(0,), (4,), (2, 3), (3, 0), (), (2, 2, 2)])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("writable", [True, False])
def test_arrays(shape: tuple[int, ...], order: str, writable: bool) -> None:
    array = np.arange(np.prod(shape, dtype=int), dtype="f8").reshape(shape).copy(order)  # type: ignore[call-overload]
    array.flags.writeable = writable
    data = pickle.dumps([array, array + 1], 5)
    for stock, ours in zip(pickle.loads(data), torshi.loads(data), strict=True):
        assert (ours.shape, ours.dtype, ours.strides) == (stock.shape, stock.dtype, stock.strides)
        assert ours.flags.writeable == stock.flags.writeable
        assert np.array_equal(ours, stock)


def test_arrays_out_of_band_share_their_memory() -> None:
    array, buffers = np.arange(5.0), []
    data = pickle.dumps(array, 5, buffer_callback=buffers.append)
    assert np.shares_memory(torshi.loads(data, buffers=buffers), array)


# -- records


def test_records_of_one_shape() -> None:
    """Keys put in by a template: order, values, sharing, the cyclic collector and later changes must be as ever."""
    for count in (2, 3, 5, 6, 8, 9, 11, 12, 21, 22, 32, 33, 40):
        rows = [{f"key {i}": [i, row] if i % 2 else row for i in range(count)} for row in range(6)]
        back = torshi.loads(torshi.dumps(rows))
        assert back == rows
        assert [list(row) for row in back] == [list(row) for row in rows]
        assert all(gc.is_tracked(row) for row in back)
        back[3]["another"] = 1
        del back[4]["key 0"]
        back[5]["key 0"] = "changed"
        assert back[2] == rows[2]
        assert torshi.loads(torshi.dumps(rows)) == rows


def test_records_of_plain_values_are_not_collected_twice() -> None:
    rows = [{"a": row, "b": str(row), "c": None} for row in range(5)]
    assert [gc.is_tracked(row) for row in torshi.loads(torshi.dumps(rows))] == [
        gc.is_tracked(row) for row in pickle.loads(torshi.dumps(rows))
    ]


def test_shapes_are_told_apart() -> None:
    rows = []
    for row in range(40):
        keys = [["x", "y", "z"], ["x", "z", "y"], ["x", "y"], ["x", "q", "z"], ["z", "y", "x"]][row % 5]
        rows.append({key: (key, row) for key in keys})
    assert torshi.loads(torshi.dumps(rows)) == rows
    assert [list(row) for row in torshi.loads(torshi.dumps(rows))] == [list(row) for row in rows]


def test_a_key_twice_in_a_record() -> None:
    row = b"}(h\x01K\x01h\x02K\x02h\x01K\x03u"
    data = b"\x80\x02](X\x01\x00\x00\x00aq\x01X\x01\x00\x00\x00bq\x02" + row * 5 + b"e."
    assert torshi.loads(data) == pickle.loads(data) == ["a", "b"] + [{"a": 3, "b": 2}] * 5


def test_records_filled_while_they_are_held() -> None:
    """A record in its own value, many times over: the template must fill the very dict that is held."""
    row: dict[str, Any] = {"self": None, "n": 1}
    row["self"] = row
    rows = [row]
    for n in range(5):
        another: dict[str, Any] = {"self": None, "n": n}
        another["self"] = another
        rows.append(another)
    for one in torshi.loads(torshi.dumps(rows)):
        assert one["self"] is one


# -- rows of numbers and constants


def test_rows_of_constants() -> None:
    values = [None, True, False, None, 1, True, "x", False, False, None]
    assert torshi.loads(torshi.dumps(values * 50)) == values * 50
    assert torshi.loads(b"\x80\x02(N\x88\x89t.") == (None, True, False)


def test_rows_of_integers() -> None:
    edges = [0, 1, 255, 256, 65535, 65536, 2**31 - 1, -1, -(2**31), 2**31, -(2**31) - 1, 2**63 - 1, -(2**63), 2**64]
    for values in (edges, edges * 40, list(range(256)) * 9, [7] * 9 + edges, [2**40] * 20):
        assert torshi.loads(torshi.dumps(values)) == values
        assert torshi.loads(torshi.dumps(tuple(values))) == tuple(values)
    for length in range(1, 9):
        data = b"\x80\x02(K\x01\x8a" + bytes([length]) + b"\xff" * length + b"\x8a\x00K\x02t."
        assert torshi.loads(data) == pickle.loads(data) == (1, -1, 0, 2)


@pytest.mark.parametrize(
    "data", [b"\x80\x02(K\x01K", b"\x80\x02(K\x01J\x01", b"\x80\x02(NN", b"\x80\x02(K\x01\x8a\x05\x01"]
)
def test_rows_that_are_cut_off(data: bytes) -> None:
    with pytest.raises((EOFError, pickle.UnpicklingError)):
        torshi.loads(data)


# -- text


TEXTS = [
    "é",
    "ÿé",
    "Āb",
    "漢字",
    "aé漢",
    "\U0001f600",
    "a\U0001f600é漢",
    "\ud800",
    "\udcff漢",
    "é" * 1000,
    "x\0é",
    "\uffff",
    "\U0010ffff",
]


@pytest.mark.parametrize("text", TEXTS, ids=ascii)
def test_text_of_every_width(text: str) -> None:
    for value in (text, "a" + text, text + "z" * 100, text * 3):
        back = torshi.loads(torshi.dumps([value]))[0]
        assert back == value
        assert back.isascii() == value.isascii()
        assert sys.getsizeof(back) <= sys.getsizeof(pickle.loads(pickle.dumps(value)))
        assert hash(back) == hash(value)


BROKEN = [
    *[b"\xc3", b"a\xc3", b"\xc3\x28", b"\xc0\x80x", b"\xe2\x82", b"\xe2\x28\xa1", b"\xe0\x80\x80x"],
    *[b"\xf0\x9f\x98", b"\xf4\x90\x80\x80", b"\xf0\x80\x80\x80", b"\xf8\x88\x80\x80\x80"],
    *[b"\x80ab", b"ab\xbf", b"\xc3\xa9\x80", b"\xff\xfe"],
]


@pytest.mark.parametrize("raw", BROKEN, ids=repr)
def test_text_that_is_not_utf8(raw: bytes) -> None:
    data = b"\x80\x04X" + struct.pack("<I", len(raw)) + raw + b"."
    with pytest.raises(UnicodeDecodeError) as stock:
        pickle.loads(data)
    with pytest.raises(UnicodeDecodeError) as ours:
        torshi.loads(data)
    assert str(ours.value) == str(stock.value)


# -- frames


def frame(length: int) -> bytes:
    return b"\x95" + struct.pack("<Q", length)


LYING = {
    "an argument over the end": b"\x80\x04" + frame(1) + b"K\x01.",
    "a text over the end": b"\x80\x04" + frame(3) + b"\x8c\x04abcd.",
    "a line over the end": b"\x80\x04" + frame(2) + b"I1\n.",
    "a frame over the end": b"\x80\x04" + frame(12) + frame(10) + b"N0N0N0N0NN.",
    "a frame within": b"\x80\x04" + frame(13) + frame(2) + b"N0N.",
}


@pytest.mark.parametrize("case", LYING)
def test_frames_hold_whole_instructions(case: str) -> None:
    """Stock pickle takes such a stream one way from bytes and another from a file, so it has no one meaning."""
    with pytest.raises(torshi.MalformedError, match="frame"):
        torshi.loads(LYING[case])
    with pytest.raises(torshi.MalformedError, match="frame"):
        torshi.load(io.BytesIO(LYING[case]))


def test_a_frame_may_reach_beyond_the_pickle() -> None:
    data = b"\x80\x04" + frame(6) + b"K\x01.abcd"
    assert torshi.loads(data) == pickle.loads(data) == 1


class SubUUID(uuid.UUID):
    """Reduces as its base does, by the long way."""


@pytest.mark.parametrize("protocol", range(6))
def test_uuids_are_written_as_stock_pickle_writes_them(protocol: int, monkeypatch: pytest.MonkeyPatch) -> None:
    one, safe = uuid.UUID(int=7), uuid.UUID(int=5, is_safe=uuid.SafeUUID.safe)
    values = [one, safe, one, uuid.UUID(int=2**128 - 1), SubUUID(int=3), {"int": one, "is_safe": [safe, one]}]
    for value in (values, one, safe, (one, "int"), [one] * 3):
        assert torshi.dumps(value, protocol) == pickle.dumps(value, protocol)
    monkeypatch.setattr(uuid.UUID, "__getstate__", lambda self: {"int": 1})
    assert torshi.dumps(values, protocol) == pickle.dumps(values, protocol)


# -- what the check does not keep


def bit_generator(state: bytes) -> bytes:
    """A PCG64 that is given the state that these instructions leave on the stack."""
    names = b"cnumpy.random._pickle\n__bit_generator_ctor\ncnumpy.random._pcg64\nPCG64\n"
    return b"\x80\x04" + names + b"\x85R" + state + b"b."


def text(value: str) -> bytes:
    return b"\x8c" + bytes([len(value)]) + value.encode()


INNER = b"}(" + text("state") + b"K\x01" + text("inc") + b"K\x03u"
REQUIRED = text("bit_generator") + text("PCG64") + text("state") + INNER
HIDDEN = text("has_uint32") + b"K\x07"
FILL = b"".join(text(f"k{n}") + b"N" for n in range(40))


def test_entries_that_are_not_kept_are_not_overlooked() -> None:
    """If this fails, a dict of many entries, or one that was another object's state, slips values past a rule."""
    honest = bit_generator(b"}(" + REQUIRED + text("has_uint32") + b"K\x01u")
    torshi.check(honest)
    with pytest.raises(torshi.UntrustedError):
        torshi.check(bit_generator(b"}(" + REQUIRED + HIDDEN + b"u"))
    with pytest.raises(torshi.UntrustedError):
        torshi.check(bit_generator(b"}(" + REQUIRED + FILL + HIDDEN + b"u"))
    plain = f"c{__name__}\nPlain\n".encode()
    state_of_another = (
        b"\x80\x04" + plain + b")\x81}\x94(" + HIDDEN + b"ub0" + bit_generator(b"h\0(" + REQUIRED + b"u")[2:]
    )
    with pytest.raises(torshi.UntrustedError):
        torshi.check(state_of_another, trust=[Plain])


class Named(NamedTuple):
    left: int
    right: str = "default"


class NamedWithMore(Named):
    """A class over a named tuple keeps attributes of its own."""


MADE: list[Any] = []


class NamedCounted(Named):
    def __new__(cls, *fields: Any) -> Any:
        MADE.append(fields)
        return super().__new__(cls, *fields)


def squared(_cls: Any, left: Any, right: Any) -> Any:
    return tuple.__new__(_cls, (left * left, right))


class NamedOtherwise(tuple[Any, ...]):
    """Looks like a named tuple, but its `__new__` turns the fields round."""

    __slots__ = ()
    __new__ = eval("lambda _cls, left, right: _tuple_new(_cls, (right, left))", {"_tuple_new": tuple.__new__})

    def __getnewargs__(self) -> Any:
        return tuple(self)


class NamedElsewhere(tuple[Any, ...]):
    """The same code, which calls something else."""

    __slots__ = ()
    __new__ = eval(
        "lambda _cls, left, right: _tuple_new(_cls, (left, right))",
        {"_tuple_new": lambda cls, fields: tuple.__new__(cls, fields[::-1])},
    )

    def __getnewargs__(self) -> Any:
        return tuple(self)


@pytest.mark.parametrize("kind", [Named, NamedWithMore, NamedCounted, NamedOtherwise, NamedElsewhere])
def test_named_tuples_are_made_by_their_own_new(kind: Any) -> None:
    """Many instances are made without calling `__new__`: only where it is `namedtuple`'s own, unchanged."""
    values = [kind(i, str(i)) for i in range(1000)]
    if kind is NamedWithMore:
        values[3].extra = [1]
    data = pickle.dumps(values, 5)
    MADE.clear()
    loaded = torshi.loads(data, trust=[kind])
    calls = len(MADE)
    assert loaded == pickle.loads(data)
    assert all(type(value) is kind for value in loaded)
    assert [getattr(value, "extra", None) for value in loaded[:5]] == [getattr(v, "extra", None) for v in values[:5]]
    assert calls == (1000 if kind is NamedCounted else 0)
    assert all(
        gc.is_tracked(value) == gc.is_tracked(other) for value, other in zip(loaded, pickle.loads(data), strict=True)
    )


def test_a_new_that_was_put_in_place_of_the_old_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program may give a named tuple another `__new__` between two loads."""
    data = pickle.dumps([Named(i, "x") for i in range(1, 1000)], 5)
    assert torshi.loads(data, trust=[Named])[1] == (2, "x")
    monkeypatch.setattr(Named, "__new__", squared)
    assert torshi.loads(data, trust=[Named])[1] == (4, "x") == pickle.loads(data)[1]


def test_named_tuples_with_the_wrong_number_of_fields_are_refused() -> None:
    """A default fills in for a field that the stream leaves out, and one too many is an error, as ever."""
    name = b"c" + Named.__module__.encode() + b"\nNamed\n"
    filler = b"X\xff\x1f\x00\x00" + b"f" * 0x1FFF + b"0"
    short = b"\x80\x02" + filler + b"]" + name + b"K\x05\x85\x81a."
    assert torshi.loads(short, trust=[Named]) == [Named(5)] == pickle.loads(short)
    long = b"\x80\x02" + filler + name + b"K\x05K\x05K\x05\x87\x81."
    with pytest.raises(TypeError):
        torshi.loads(long, trust=[Named])
