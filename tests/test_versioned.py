"""Classes that changed since their objects were pickled: versions with upgrades, defaults for new fields, warnings.

If these failed, an object of an earlier release would come back without attributes that its methods use, with a state
that its class no longer understands, or one of a later release as if nothing were amiss.
"""

from __future__ import annotations

import abc
import copy
import functools
import pickle
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pytest

import torshi

attr = pytest.importorskip("attr", reason="attrs is not installed")

# Both must read what the decorator writes.
LOADS: list[Callable[[bytes], Any]] = [
    pickle.loads,
    lambda data: torshi.loads(data, trust=["test_versioned.*"]),
]
by_both = pytest.mark.parametrize("loads", LOADS, ids=["pickle", "torshi"])


@pytest.fixture
def become() -> Iterator[Callable[[type], type]]:
    """Puts a class in the place of the one that the stream names: the same, a release later."""
    given: list[str] = []

    def put(cls: type, name: str = "Changing") -> Any:
        cls.__qualname__ = cls.__name__ = name
        setattr(sys.modules[__name__], name, cls)
        given.append(name)
        return cls

    yield put
    for name in given:
        if hasattr(sys.modules[__name__], name):
            delattr(sys.modules[__name__], name)


KINDS = {
    "plain": {},
    "frozen": {"frozen": True},
    "slots": {"slots": True},
    "frozen slots": {"frozen": True, "slots": True},
}


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize("options", KINDS.values(), ids=KINDS)
def test_new_fields_get_their_defaults(options: dict[str, bool], protocol: int, become: Any) -> None:
    """If this fails, an old dataclass comes back without the fields it was given since."""

    class Old:
        x: int
        y: int = 2

    class New:
        x: int
        y: int = 2
        z: list[int] = field(default_factory=list)
        w: int = 5

    old = become(dataclass(**options)(Old))
    data = pickle.dumps([old(number) for number in range(4)], protocol)
    new = become(dataclass(**options)(New))
    loaded = torshi.loads(data, trust=[new])
    assert loaded == [new(number) for number in range(4)]
    assert len({id(item.z) for item in loaded}) == 4
    assert torshi.loads(torshi.dumps(loaded), list[new]) == loaded  # type: ignore[valid-type]
    # And states that have them all are left alone.
    whole = new(1, 2, [3], 4)
    assert torshi.loads(pickle.dumps([whole, whole, new(5)], protocol), trust=[new]) == [whole, whole, new(5)]


def test_defaults_are_the_instances_own(become: Any) -> None:
    """If this fails, what is pickled next lacks the field again."""
    old = become(dataclass(type("Old", (), {"__annotations__": {"x": int}, "__module__": __name__})))
    data = pickle.dumps(old(1))

    @dataclass
    class New:
        x: int
        y: int = 2

    new = become(New)
    assert vars(torshi.loads(data, trust=[new])) == {"x": 1, "y": 2}


@pytest.mark.parametrize("size", [1, 3000])
def test_every_object_of_a_load_is_looked_at(size: int, become: Any) -> None:
    """If this fails, old states pass among new ones of the same length, or behind the first of a load."""

    @dataclass
    class Some:
        a: int = 0
        b: int = 0
        c: int = 0

    some = become(Some)
    items = []
    for number in range(size):
        for names in ("abc", "ab", "bc", "cab", "acx", "b", "abcx", "xyz"):
            made = some.__new__(some)
            vars(made).update(dict.fromkeys(names, number))
            items.append(made)
    for protocol in (2, 5):
        for _ in range(2):  # with what the load before has learnt
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", torshi.ChangeWarning)
                loaded = torshi.loads(pickle.dumps(items, protocol), trust=[some])
            for before, after in zip(items, loaded, strict=True):
                assert vars(after) == {"a": 0, "b": 0, "c": 0} | vars(before)


def test_attrs_classes_too(become: Any) -> None:
    for make in (attr.define, attr.s(auto_attribs=True)):
        old = become(make(type("Old", (), {"__annotations__": {"x": int}, "__module__": __name__})))
        data = pickle.dumps(old(1))

        class New:
            x: int
            y: list[int] = attr.Factory(list)
            z: int = 3

        new = become(make(New))
        loaded = torshi.loads(data, trust=[new])
        assert (loaded.x, loaded.y, loaded.z) == (1, [], 3)


def test_a_field_that_was_renamed_is_reported(become: Any) -> None:
    """If this fails, a value is lost in silence: under its old name nobody looks for it."""

    @dataclass
    class Old:
        host: str

    @dataclass
    class New:
        address: str = "localhost"

    data = pickle.dumps(become(Old)("far.away"))
    new = become(New)
    with pytest.warns(torshi.ChangeWarning, match="the default for 'address'; 'host' is not a field of it") as record:
        loaded = torshi.loads(data, trust=[new])
    assert (loaded.address, loaded.host) == ("localhost", "far.away")
    warning = record[0].message
    assert isinstance(warning, torshi.ChangeWarning)
    assert (warning.cls, warning.filled, warning.missing, warning.unknown) == (new, ("address",), (), ("host",))
    assert record[0].filename == __file__
    again = pickle.loads(pickle.dumps(warning))
    assert (again.unknown, str(again)) == (warning.unknown, str(warning))


def test_a_field_without_a_default_is_reported(become: Any) -> None:
    @dataclass
    class Old:
        x: int

    @dataclass
    class New:
        x: int
        y: int

    data = pickle.dumps(become(Old)(1))
    new = become(New)
    with pytest.warns(torshi.ChangeWarning, match="nothing for 'y'"):
        loaded = torshi.loads(data, trust=[new])
    assert not hasattr(loaded, "y")
    with pytest.warns(torshi.ChangeWarning), pytest.raises(torshi.ValidationError, match="attribute y"):
        torshi.loads(data, new)


def test_what_is_no_change_is_not_reported(become: Any) -> None:
    """If this fails, programs get warnings for what they do on purpose (all warnings are errors here)."""

    @dataclass
    class Some:
        x: int
        y: int = 0

        @functools.cached_property
        def double(self) -> int:
            return self.x * 2

    some = become(Some)
    made = some(1)
    made.extra = "set by somebody"  # type: ignore[attr-defined]
    assert made.double == 2
    loaded = torshi.loads(pickle.dumps(made), trust=[some])
    assert vars(loaded) == vars(made)

    @dataclass
    class Leaves:
        x: int
        lock: Any

        def __getstate__(self) -> Any:
            return {"x": self.x}

    leaves = become(Leaves)
    assert vars(torshi.loads(pickle.dumps(leaves(1, None)), trust=[leaves])) == {"x": 1}

    class Ordinary:
        y: int = 1

    ordinary = become(Ordinary)
    assert vars(torshi.loads(pickle.dumps(ordinary()), trust=[ordinary])) == {}


def test_a_class_with_a_setstate_of_its_own_is_its_own_affair(become: Any) -> None:
    @dataclass
    class Some:
        x: int
        y: int = 7

        def __getstate__(self) -> Any:
            return {"x": self.x}

        def __setstate__(self, state: Any) -> None:
            self.x = state["x"]

    some = become(Some)
    assert "y" not in vars(torshi.loads(pickle.dumps(some(1)), trust=[some]))


# -- versions


class Plain:
    def __init__(self, x: Any) -> None:
        self.x = x


class Slotted:
    __slots__ = ("x",)

    def __init__(self, x: Any) -> None:
        self.x = x


class Both(Slotted):
    def __init__(self, x: Any) -> None:
        Slotted.__init__(self, x)
        self.more = "more"


class Own:
    def __init__(self, x: Any) -> None:
        self.x = x

    def __getstate__(self) -> Any:
        return [self.x]

    def __setstate__(self, state: Any) -> None:
        (self.x,) = state


@dataclass
class Data:
    x: Any


@dataclass(frozen=True, slots=True)
class Frozen:
    x: Any


@attr.define
class Attrs:
    x: Any


SHAPES = [Plain, Slotted, Both, Own, Data, Frozen, Attrs]


def subclass(cls: type) -> type:
    """A new class like one of the above, which stays as it is."""
    namespace = {
        name: value
        for name, value in vars(cls).items()
        if name not in ("__dict__", "__weakref__", "x") or not hasattr(value, "__set__")
    }
    return type(cls)(cls.__name__, cls.__bases__, namespace)


@by_both
@pytest.mark.parametrize("protocol", range(2, 6))
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
def test_states_of_all_kinds_carry_their_version(shape: Any, protocol: int, loads: Any, become: Any) -> None:
    cls = become(torshi.versioned(3)(subclass(shape)))
    made = cls([1, 2])
    data = pickle.dumps([made, made], protocol)
    assert torshi.dumps([made, made], protocol) == data
    assert b"_torshi_version" in data
    first, second = loads(data)
    assert first is second
    assert type(first) is cls
    assert (first.x, getattr(first, "more", None)) == ([1, 2], getattr(made, "more", None))
    assert not hasattr(first, "_torshi_version")
    for copied in (copy.copy(made), copy.deepcopy(made)):
        assert copied.x == [1, 2]


@by_both
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
def test_older_states_are_upgraded(shape: Any, loads: Any, become: Any) -> None:
    """If this fails, a class gets the state of an earlier release as if it were its own."""
    seen: list[Any] = []

    def upgrade(state: Any, from_version: int) -> Any:
        seen.append((copy.copy(state), from_version))
        if isinstance(state, list):  # what frozen dataclasses with slots, and Own, have
            return [f"{state[0]}!"]
        return {**(state if isinstance(state, dict) else {"x": state[0]}), "x": f"{state['x']}!"}

    before = pickle.dumps(become(subclass(shape))("none"))
    first = pickle.dumps(become(torshi.versioned(1)(subclass(shape)))("one"))
    second = pickle.dumps(become(torshi.versioned(2)(subclass(shape)))("two"))
    latest = subclass(shape)
    latest.upgrade = staticmethod(upgrade)
    become(torshi.versioned(2)(latest))
    assert [loads(data).x for data in (before, first, second)] == ["none!", "one!", "two"]
    assert [version for _, version in seen] == [0, 1]
    for state, _ in seen:
        assert "_torshi_version" not in state


@by_both
def test_a_later_release_is_an_error(loads: Any, become: Any) -> None:
    data = pickle.dumps(become(torshi.versioned(4)(subclass(Plain)))(1))
    become(torshi.versioned(3)(subclass(Plain)))
    with pytest.raises(torshi.UnpicklingError, match=r"Changing has version 4, and .* up to 3: it was"):
        loads(data)


@by_both
def test_fields_of_a_versioned_dataclass(loads: Any, become: Any) -> None:
    """Under stock pickle as well: the decorator does it."""
    for options in KINDS.values():

        class Old:
            x: int
            gone: int

        old = become(torshi.versioned(1)(dataclass(**options)(Old)))
        data = pickle.dumps(old(1, 2))

        class New:
            x: int
            y: list[int] = field(default_factory=list)

            @classmethod
            def upgrade(cls, state: Any, from_version: int) -> Any:
                return {name: value for name, value in state.items() if name != "gone"}

        new = become(torshi.versioned(2)(dataclass(**options)(New)))
        assert loads(data) == new(1, [])
        del new.upgrade
        with pytest.warns(torshi.ChangeWarning, match="'gone' is not a field of it"):
            assert loads(data) == new(1, [])


@by_both
def test_a_class_and_its_base_have_versions_of_their_own(loads: Any, become: Any) -> None:
    """If this fails, a base cannot change without every class below it taking note."""

    def release(base_version: int, own_version: int, log: list[Any]) -> Any:
        class Base:
            def __init__(self) -> None:
                self.base = base_version

            @classmethod
            def upgrade(cls, state: Any, from_version: int) -> Any:
                log.append(("base", cls.__name__, from_version))
                return state | {"base": base_version}

        base = become(torshi.versioned(base_version)(Base), "ChangingBase")

        class Derived(base):  # type: ignore[misc, valid-type]
            def __init__(self) -> None:
                super().__init__()
                self.own = own_version

            @classmethod
            def upgrade(cls, state: Any, from_version: int) -> Any:
                log.append(("derived", cls.__name__, from_version, state["base"]))
                return state | {"own": own_version}

        return become(torshi.versioned(own_version)(Derived))

    data = pickle.dumps(release(1, 5, [])())
    log: list[Any] = []
    release(1, 5, log)
    assert vars(loads(data)) == {"base": 1, "own": 5}
    assert log == []
    release(2, 5, log)
    assert vars(loads(data)) == {"base": 2, "own": 5}
    assert log == [("base", "ChangingBase", 1)]
    del log[:]
    release(2, 6, log)
    assert vars(loads(data)) == {"base": 2, "own": 6}
    assert log == [("base", "ChangingBase", 1), ("derived", "Changing", 5, 2)]


@by_both
def test_methods_of_a_subclass_that_call_those_of_the_base(loads: Any, become: Any) -> None:
    """If this fails, a state is upgraded twice, or by a version that is not its own."""
    log: list[int] = []

    class Base:
        def __init__(self) -> None:
            self.x = 1

        @staticmethod
        def upgrade(state: Any, from_version: int) -> Any:
            log.append(from_version)
            return state

    base = become(torshi.versioned(2)(Base), "ChangingBase")

    class Derived(base):  # type: ignore[misc, valid-type]
        def __getstate__(self) -> Any:
            return super().__getstate__() | {"y": 2}

        def __setstate__(self, state: Any) -> None:
            super().__setstate__(state)
            self.z = 3

    for decorated in (False, True):
        cls = become(torshi.versioned(7)(Derived) if decorated else Derived)
        assert vars(loads(pickle.dumps(cls()))) == {"x": 1, "y": 2, "z": 3}
        assert log == []


def test_the_decorator_may_stand_below_the_dataclass(become: Any) -> None:
    @dataclass(slots=True)
    @torshi.versioned(2)
    class Below:
        x: int
        y: int = 3

    cls = become(Below)
    data = pickle.dumps(cls(1))
    assert b"_torshi_version" in data
    assert torshi.loads(data, trust=[cls]) == cls(1)


def test_an_upgrade_that_returns_nothing_is_an_error(become: Any) -> None:
    data = pickle.dumps(become(subclass(Plain))(1))
    cls = subclass(Plain)
    cls.upgrade = staticmethod(lambda state, from_version: None)  # type: ignore[attr-defined]
    cls = become(torshi.versioned(1)(cls))
    with pytest.raises(TypeError, match="upgrade returned None"):
        torshi.loads(data, trust=[cls])


def test_what_cannot_have_a_version() -> None:
    class Reduced:
        def __reduce__(self) -> Any:
            return Reduced, ()

    class Pair(NamedTuple):
        x: int

    for cls in (Reduced, Pair, type("E", (Exception,), {}), type("I", (int,), {}), type("S", (set,), {})):
        with pytest.raises(TypeError, match="cannot have a version"):
            torshi.versioned(1)(cls)
    for version in ("1", 1.0, True, None, Plain):
        with pytest.raises(TypeError, match="whole number"):
            torshi.versioned(version)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="from 1"):
        torshi.versioned(0)
    with pytest.raises(TypeError, match="for classes"):
        torshi.versioned(1)(len)  # type: ignore[arg-type]
    torshi.versioned(1)(abc.ABCMeta("Abstract", (), {}))


def test_a_state_never_reaches_the_class(become: Any) -> None:
    """If this fails, a versioned class is a way around the rule that no state has dunder names."""
    for shape in (Plain, Slotted, Data):
        cls = become(torshi.versioned(1)(subclass(shape)))
        for name in ("__class__", "__dict__", "__reduce__"):
            made = cls.__new__(cls)
            state = pickle.dumps({name: Plain, "_torshi_version": 1})
            stream = pickle.dumps(cls, 2)[:-1] + b")\x81" + state[:-1] + b"b."
            assert made is not None
            with pytest.raises(torshi.UnpicklingError, match="which no attribute may have"):
                torshi.loads(stream, trust=["test_versioned.*"])


def test_hostile_versions_are_errors(become: Any) -> None:
    cls = become(torshi.versioned(2)(subclass(Plain)))
    for version in (None, "2", 2.5, 10**30, []):
        data = pickle.dumps(cls, 2)[:-1] + b")\x81" + pickle.dumps({"_torshi_version": version})[:-1] + b"b."
        with pytest.raises(torshi.UnpicklingError, match="has version"):
            torshi.loads(data, trust=[cls])


def test_the_manifest_has_the_version(become: Any, tmp_path: Any) -> None:
    cls = become(torshi.versioned(6)(subclass(Plain)))
    torshi.save(cls(1), tmp_path / "a.pkl", key=False)
    assert torshi.describe(tmp_path / "a.pkl").classes["test_versioned:Changing"]["version"] == 6
