"""What loads learn from each other (where objects were found, how types take state, which texts come again) must never
change what a load gives: each case changes the world between two loads of the same bytes.
"""

from __future__ import annotations

import gc
import pickle
import random
import string
import subprocess
import sys
import types
import weakref
from typing import Any

import pytest

import torshi

ROUNDS = 6  # enough for everything that is noted once and kept when it is met again


class Point:
    """Its instances have a dict."""

    def __init__(self, x: Any = None) -> None:
        self.x = x


class Slotted:
    """Its instances have none."""

    __slots__ = ("x",)

    def __init__(self, x: Any = None) -> None:
        self.x = x


def made_module(monkeypatch: pytest.MonkeyPatch, name: str = "made_between_loads") -> types.ModuleType:
    module = types.ModuleType(name)
    monkeypatch.setitem(sys.modules, name, module)
    return module


def class_in(module: types.ModuleType, name: str = "Thing", **members: Any) -> type:
    made = type(name, (), {"__module__": module.__name__, **members})
    setattr(module, name, made)
    return made


def loaded(data: bytes, trust: Any) -> Any:
    for _ in range(ROUNDS):
        value = torshi.loads(data, trust=trust)
    return value


def test_another_object_under_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """An object that is no longer there under its name would be made an instance of the old class."""
    module = made_module(monkeypatch)
    old = class_in(module)
    data = torshi.dumps(old())
    assert type(loaded(data, ["made_between_loads.*"])) is old
    new = class_in(module)
    assert type(loaded(data, ["made_between_loads.*"])) is new
    exec("def put(what):\n global Thing\n Thing = what", vars(module))
    for put in [old, new] * 10:  # often enough for the interpreter to find a quicker way to store
        module.put(put)  # type: ignore[attr-defined]
        assert type(torshi.loads(data, trust=["made_between_loads.*"])) is put
    del module.Thing  # type: ignore[attr-defined]
    with pytest.raises(AttributeError):
        torshi.loads(data, trust=["made_between_loads.*"])
    module.Thing = old  # type: ignore[attr-defined]
    assert type(loaded(data, ["made_between_loads.*"])) is old


def test_another_module_under_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """A module that was loaded anew has other classes."""
    old = class_in(made_module(monkeypatch))
    data = torshi.dumps(old())
    assert type(loaded(data, ["made_between_loads.*"])) is old
    new = class_in(made_module(monkeypatch))
    assert type(loaded(data, ["made_between_loads.*"])) is new
    del sys.modules["made_between_loads"]
    with pytest.raises(ModuleNotFoundError):
        torshi.loads(data, trust=["made_between_loads.*"])


def test_a_module_that_computes_its_attributes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A module with a say in its attributes is asked each time."""
    asked = []

    class Asked(types.ModuleType):
        def __getattribute__(self, name: str) -> Any:
            if name == "Thing":
                asked.append(name)
            return super().__getattribute__(name)

    module = Asked("made_between_loads")
    monkeypatch.setitem(sys.modules, "made_between_loads", module)
    data = torshi.dumps(class_in(module)())
    asked.clear()
    loaded(data, ["made_between_loads.*"])
    assert len(asked) >= ROUNDS


def test_an_object_that_no_longer_lives_below_the_glob(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a glob let in is looked at in each load: another place it says it is from is another answer."""
    thing = class_in(made_module(monkeypatch))
    data = torshi.dumps(thing())
    loaded(data, ["made_between_loads.*"])
    thing.__module__ = "os"
    with pytest.raises(torshi.UntrustedError):
        torshi.loads(data, trust=["made_between_loads.*"])


def test_audit_hooks_are_told_of_every_load() -> None:
    """Who audits must see each lookup, remembered or not. A hook stays, so it gets a process of its own."""
    script = """
import sys, torshi, fractions
told = []
sys.addaudithook(lambda event, arguments: told.append(arguments) if event == "pickle.find_class" else None)
data = torshi.dumps(fractions.Fraction(1, 3))
for _ in range(5):
    torshi.loads(data)
print(told.count(("fractions", "Fraction")))
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["5"]


def test_a_name_that_moved_since() -> None:
    """A table of renames holds from the next load on, and no longer than it is in force."""
    data = torshi.dumps(Point(1))
    trust = [Point, Slotted]
    here = __name__
    assert type(loaded(data, trust)) is Point
    with torshi.renames({f"{here}:Point": f"{here}:Slotted"}):
        renamed = torshi.loads(torshi.dumps([Point]), trust=trust)
    assert renamed == [Slotted]
    assert type(loaded(data, trust)) is Point


@pytest.mark.parametrize("kind", [Point, Slotted])
def test_a_class_that_takes_state_otherwise(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A class that is given a `__setstate__`, a property or a `__setattr__` between two loads must have them used."""
    data = torshi.dumps(kind(5))
    assert loaded(data, [kind]).x == 5
    states = []
    monkeypatch.setattr(kind, "__setstate__", lambda self, state: states.append(state), raising=False)
    loaded(data, [kind])
    assert len(states) == ROUNDS
    monkeypatch.undo()
    assert loaded(data, [kind]).x == 5
    set_ = []

    def note(self: Any, name: str, value: Any) -> None:
        set_.append((name, value))

    monkeypatch.setattr(kind, "__setattr__", note, raising=False)
    mine, stock = loaded(data, [kind]), pickle.loads(data)
    seen = set_[:]
    assert seen.count(("x", 5)) == (ROUNDS + 1 if kind is Slotted else 0)
    monkeypatch.undo()
    assert getattr(mine, "x", None) == getattr(stock, "x", None)


def test_a_base_that_takes_state_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    """A change of a base is a change of the class."""
    data = torshi.dumps(Derived(5))
    assert loaded(data, [Derived]).x == 5
    monkeypatch.setattr(Point, "__setstate__", lambda self, state: None, raising=False)
    assert not vars(loaded(data, [Derived]))
    monkeypatch.undo()
    assert loaded(data, [Derived]).x == 5


class Derived(Point):
    pass


def test_a_property_in_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """State goes into the instance's dict past a property, as stock pickle has it; before and after there is one."""
    data = torshi.dumps(Point(5))
    loaded(data, [Point])
    monkeypatch.setattr(Point, "x", property(lambda self: "computed", lambda self, value: None), raising=False)
    mine, stock = loaded(data, [Point]), pickle.loads(data)
    assert (mine.x, vars(mine)) == (stock.x, vars(stock)) == ("computed", {"x": 5})


def test_more_attributes_than_are_remembered() -> None:
    """A class whose objects have ever other attributes must not come to lose some."""
    for n in range(300):
        point = Point()
        vars(point).update({f"a{n}": n, f"b{n % 7}": -n})
        assert vars(torshi.loads(torshi.dumps(point), trust=[Point])) == vars(point)


def test_classes_are_not_kept_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is remembered of a class must not keep it from going."""
    module = made_module(monkeypatch)
    thing = class_in(module, __reduce__=lambda self: (type(self), (), {"x": 1}))
    data = torshi.dumps(thing())
    loaded(data, ["made_between_loads.*"])
    gone = weakref.ref(thing)
    del thing, module.Thing  # type: ignore[attr-defined]
    gc.collect()
    assert gone() is None


def test_texts_of_all_lengths_at_all_places() -> None:
    """Short text is read sixteen bytes at a time, also where fewer are left, and kept when it comes again: whatever
    came before, each load gives what stock pickle gives."""
    rng = random.Random(7)
    words = ["".join(rng.choices(string.ascii_letters, k=n)) for n in range(40) for _ in range(3)]
    words += [word[:-1] + "é" for word in words if word] + ["\x00" * n for n in range(1, 20)]
    words += ["é", "aé", "\ud800", "日本"]
    for _ in range(3000):
        value: Any = [rng.choice(words) for _ in range(rng.randrange(4))]
        if rng.random() < 0.5:
            value = {rng.choice(words): rng.choice([1, rng.choice(words)]) for _ in range(rng.randrange(5))}
        data = pickle.dumps(value, 5)
        assert torshi.loads(data) == value
        cut = data[: rng.randrange(len(data))]
        with pytest.raises((torshi.UnpicklingError, EOFError)):
            torshi.loads(cut)


def test_texts_stay_what_they_are() -> None:
    """Text that is made beside its header must be whole: its length, its hash, its end, and what is beside it."""
    for length in range(2, 40):
        text = "".join(chr(97 + (length + n) % 26) for n in range(length))
        made = torshi.loads(pickle.dumps([text, text + "x"], 5))
        assert made == [text, text + "x"]
        assert [hash(word) for word in made] == [hash(text), hash(text + "x")]
        assert [sys.getsizeof(word) for word in made] == [sys.getsizeof("".join(list(word))) for word in made]
        assert made[0].encode() == text.encode()
        assert made[0].isascii()
        assert text in {made[0]: 1}


def test_known_text_is_shared_and_new_text_is_not() -> None:
    """A key that comes in every message is one string; text that never comes again is not kept."""
    keys = [next(iter(torshi.loads(pickle.dumps({"between loads": n}, 5)))) for n in range(80)]
    assert keys[-1] is keys[-2]
    fresh = [torshi.loads(pickle.dumps({"between loads": f"value {n}"}, 5))["between loads"] for n in range(40)]
    control = [f"another {n}" for n in range(40)]
    assert {sys.getrefcount(word) for word in fresh} == {sys.getrefcount(word) for word in control}
