"""`torshi.digest` of values that need no library: the same for the same content, different for everything else.

If these failed, a cache would compute again what it has, would take one value for another, or would forget everything
with the next release.
"""

from __future__ import annotations

import collections
import gc
import json
import os
import random
import signal
import string
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import digest_forms
import digest_values
import torshi
from digest_values import VALUES, Hooked, Plain, Point, Row, Stated

UNNAMED = [lambda: None]
GOLDEN = Path(__file__).parent / "data" / "digests.json"


def alike(*values: object) -> bool:
    return len({torshi.digest(value) for value in values}) == 1


def all_different(*values: object) -> bool:
    return len({torshi.digest(value) for value in values}) == len(values)


# The form is frozen


def test_the_digests_of_all_kinds_of_values_never_change() -> None:
    """A digest that is not what it was makes every cache of the world forget, or worse."""
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    assert {name: torshi.digest(make()).hex() for name, make in VALUES.items()} == golden


@pytest.mark.parametrize("name", VALUES)
def test_a_digest_is_that_of_the_documented_form(name: str) -> None:
    """The page describes another form than is used, or some fast way leads elsewhere than the plain one."""
    assert torshi.digest(VALUES[name]()) == digest_forms.digest(VALUES[name]())


def test_no_two_of_these_values_have_one_digest() -> None:
    assert all_different(*(make() for make in VALUES.values()))


PROGRAM = """
import json, sys
sys.path.insert(0, sys.argv[1])
import torshi
from digest_values import VALUES
print(json.dumps({name: torshi.digest(make()).hex() for name, make in VALUES.items()}))
"""


@pytest.mark.parametrize("seed", ["1", "4711"])
def test_digests_are_the_same_in_another_process_with_another_hash_seed(seed: str) -> None:
    command = [sys.executable, "-c", PROGRAM, str(Path(__file__).parent)]
    environment = {**os.environ, "PYTHONHASHSEED": seed}
    result = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    assert json.loads(result.stdout) == json.loads(GOLDEN.read_text(encoding="utf-8"))


def test_a_digest_is_32_bytes() -> None:
    digest = torshi.digest([1])
    assert type(digest) is bytes
    assert len(digest) == 32


# Equal content


leaves = st.one_of(
    st.none(), st.booleans(), st.integers(), st.integers(-(2**200), 2**200), st.floats(), st.text(), st.binary()
)
keys = st.one_of(st.integers(), st.text(), st.binary(), st.booleans(), st.none(), st.tuples(st.text(), st.integers()))
values = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner),
        st.lists(inner).map(tuple),
        st.dictionaries(keys, inner),
        st.dictionaries(st.sampled_from(string.ascii_lowercase), inner),
        st.sets(keys),
        st.frozensets(keys),
        st.builds(lambda x, y: Plain(x=x, y=y), inner, inner),
        st.builds(Row, inner, inner),
        st.builds(Point, inner, inner),
        st.builds(Hooked, inner, inner),
        st.builds(lambda x: [x, x, [x]], inner),
    ),
    max_leaves=30,
)


@settings(max_examples=80, deadline=None)
@given(values)
def test_any_value_has_the_digest_of_its_form(value: Any) -> None:
    assert torshi.digest(value) == digest_forms.digest(value)


@settings(max_examples=50, deadline=None)
@given(values)
def test_a_loaded_copy_has_the_digest_of_the_original(value: Any) -> None:
    """Identity, interning or sharing have come into the digest."""
    copy = torshi.loads(torshi.dumps(value), trust=torshi.unrestricted("made by this test"))
    assert torshi.digest(copy) == torshi.digest(value)


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(keys, leaves, min_size=2), st.randoms(use_true_random=False))
def test_the_order_of_insertion_does_not_count(entries: dict[Any, Any], order: random.Random) -> None:
    items = list(entries.items())
    order.shuffle(items)
    assert alike(entries, dict(items))
    assert alike(set(entries), {key for key, _ in items})
    assert alike(Plain(content=entries), Plain(content=dict(items)))
    assert alike(digest_values.Table(entries), digest_values.Table(items))


def test_keys_that_are_the_same_objects_in_another_order_are_put_in_order() -> None:
    """The order of one dict has been used for another that has other keys, or has them in another order."""
    names = [f"k{i}" for i in range(6)]
    order = random.Random(1)
    dicts = []
    for _ in range(300):
        chosen = order.sample(names, order.randint(1, 6))
        dicts.append({name: order.random() for name in chosen})
    fresh = [dict(sorted(((name + "")[:], value) for name, value in entries.items())) for entries in dicts]
    assert alike(dicts, fresh)
    assert torshi.digest(dicts) == digest_forms.digest(dicts)


def test_shared_and_copied_parts_are_the_same() -> None:
    inner = [1, {"a": (2, 3)}]
    assert alike([inner, inner], [inner, [1, {"a": (2, 3)}]])
    long = [list(range(2000)), "x" * 5000]
    assert alike([long, long, long], [[list(range(2000)), "x" * 5000] for _ in range(3)])
    assert alike({"a": long, "b": long[0]}, {"b": list(range(2000)), "a": [list(range(2000)), "x" * 5000]})


def test_a_value_shared_at_every_level_takes_no_longer_than_its_levels() -> None:
    """Walking each of 2**200 ways would never end."""
    made: list[Any] = ["x"]
    for _ in range(200):
        made = [made, made]
    copy: list[Any] = ["x"]
    for _ in range(200):
        copy = [copy, copy]
    assert alike(made, copy)


def test_all_nans_are_one_and_zeros_are_two() -> None:
    import struct

    strange = struct.unpack("<d", struct.pack("<Q", 0xFFF8_0000_0000_0001))[0]
    assert alike(float("nan"), -float("nan"), strange)
    assert all_different(0.0, -0.0)


def test_keys_of_one_form_are_told_by_their_values() -> None:
    """Two entries with NaN as key stand in the order in which they happened to come."""
    one, two = float("nan"), float("nan")
    assert alike({one: 1, two: 2}, {one: 2, two: 1})
    assert all_different({one: 1, two: 2}, {one: 1, two: 1}, {one: 1})


def test_what_an_object_leaves_out_of_its_state_does_not_count() -> None:
    assert alike(Stated(1, 2), Stated(1, 3))
    assert alike(Hooked([1], "cache"), Hooked([1], None))
    assert all_different(Hooked([1]), [1], Stated([1], 0))


def test_the_main_module_has_one_name_in_all_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that multiprocessing has started would never find what its parent has stored."""

    class Local:
        pass

    Local.__qualname__ = "Local"
    digests = set()
    for module in ("__main__", "__mp_main__"):
        monkeypatch.setitem(sys.modules, module, sys.modules["__main__"])
        monkeypatch.setattr(sys.modules["__main__"], "Local", Local, raising=False)
        Local.__module__ = module
        digests.add(torshi.digest(Local()))
    assert len(digests) == 1


# Different content


@settings(max_examples=80, deadline=None)
@given(values, values)
def test_values_of_different_forms_have_different_digests(one: Any, two: Any) -> None:
    same = digest_forms.digest(one) == digest_forms.digest(two)
    assert alike(one, two) == same


def test_types_count() -> None:
    class_of = [int, float, bool, str, bytes]
    assert all_different(*(cls(1) if cls is not bytes else b"1" for cls in class_of))
    assert all_different([], (), {}, set(), frozenset(), "", b"", bytearray(), None, 0, False)
    assert all_different(Row("k", 1), ("k", 1), ["k", 1])
    assert all_different(digest_values.Number(1), 1, digest_values.Level.LOW, True)
    assert all_different(collections.OrderedDict(a=1), {"a": 1}, digest_values.Table(a=1))


def test_where_one_part_ends_and_the_next_begins_counts() -> None:
    assert all_different(["ab", "c"], ["a", "bc"], ["abc"], [["ab"], "c"], [["ab", "c"]], ["ab", ["c"]])
    assert all_different({"a": "b"}, {"b": "a"}, {"a", "b"}, ["a", "b"])
    assert all_different([[], [[]]], [[[]], []], [[[], []]])
    assert all_different("x" * 1024, "x" * 1025, "x" * 1026, b"x" * 1025)
    assert all_different(list(range(70_000)), list(range(70_001)), [*range(69_999), 0])


def test_a_long_part_is_not_its_digest() -> None:
    """What stands for something long could be written by hand."""
    long = "x" * 5000
    digest = torshi.digest([long])
    assert all_different([long], [digest], [b"#" + digest], ["#" + digest.hex()])


# Cycles


def test_cycles_end_and_equal_ones_are_equal() -> None:
    for make in (digest_values.cycle, digest_values.ring, digest_values.family):
        assert alike(make(), make())
    other = digest_values.ring()
    other["second"].name = "three"
    assert all_different(digest_values.ring(), other, digest_values.cycle())


def test_a_set_of_what_leads_back_to_it_is_in_order_whatever_the_addresses() -> None:
    first = digest_values.family()
    keep = [digest_values.family() for _ in range(50)]
    assert alike(first, *keep)


def test_many_objects_that_all_know_each_other_take_no_longer_than_their_references() -> None:
    """Following each way through sixty of them would never end."""

    def mesh(size: int) -> list[Plain]:
        nodes = [Plain(name=i) for i in range(size)]
        for node in nodes:
            node.others = list(nodes)  # type: ignore[attr-defined]
        return nodes

    small = mesh(8)
    assert torshi.digest(small) == digest_forms.digest(small)
    assert alike(mesh(60), mesh(60))


def test_a_long_ring_met_many_times_is_walked_once() -> None:
    """Each of the thousand would take as long as the first."""

    def ring(length: int) -> list[Any]:
        first: list[Any] = []
        last = first
        for _ in range(length):
            last.append([])
            last = last[0]
        last.append(first)
        return first

    small = ring(3000)
    assert torshi.digest([[small], [small]]) == torshi.digest([[small], [ring(3000)]])
    short = ring(5)
    assert torshi.digest([[short], short, [[short]]]) == digest_forms.digest([[short], short, [[short]]])
    long = ring(50_000)
    assert alike([[long] for _ in range(2000)], [[long] for _ in range(2000)])


def sets_of_all() -> list[Plain]:
    nodes = [Plain(name=i) for i in range(12)]
    for node in nodes:
        node.others = set(nodes)  # type: ignore[attr-defined]
    return nodes


def test_a_set_of_what_knows_all_others_through_sets_is_refused() -> None:
    """There would be no end, or an order that goes by addresses."""
    with pytest.raises(torshi.PicklingError, match="__torshi_digest__"):
        torshi.digest(sets_of_all())


def test_what_a_cycle_shares_with_its_surroundings_is_walked_in_each() -> None:
    """A digest of a part of a cycle has been used where the rest of the cycle is another one."""

    def pair(name: str) -> tuple[Plain, Plain]:
        parent, child = Plain(name=name, fill=list(range(2000))), Plain(fill=list(range(2000)))
        parent.child, child.parent = child, parent  # type: ignore[attr-defined]
        return parent, child

    one, two = pair("one"), pair("two")
    assert all_different(one[1], two[1])
    assert all_different([one[1], one[1]], [one[1], two[1]], [two[1], two[1]])


# Depth, errors, memory


def test_many_levels_are_no_error() -> None:
    made: list[Any] = []
    for _ in range(200_000):
        made = [made]
    assert len(torshi.digest(made)) == 32


def test_what_cannot_be_found_by_name_is_refused_with_its_place() -> None:
    with pytest.raises(torshi.UnpicklableError, match="lambda") as caught:
        torshi.digest({"jobs": [1, Plain(run=UNNAMED[0])]})
    assert caught.value.path == "$['jobs'][1].run"

    def local() -> None:
        pass

    with pytest.raises(AttributeError, match="local object") as other:
        torshi.digest([local])
    assert other.value.__notes__ == ["while digesting the object at $[0]"]


def test_what_cannot_be_pickled_is_refused_with_its_place() -> None:
    with pytest.raises(TypeError, match="cannot pickle") as caught:
        torshi.digest({"lock": threading.Lock()})
    assert caught.value.__notes__ == ["while digesting the object at $['lock']"]


def test_errors_of_an_object_pass_and_the_next_digest_is_right() -> None:
    class Refusing:
        def __torshi_digest__(self) -> object:
            raise ZeroDivisionError("no")

    with pytest.raises(ZeroDivisionError):
        torshi.digest([{"a": {Plain(b=Refusing())}}])
    assert torshi.digest([1]) == digest_forms.digest([1])


def test_an_object_told_by_itself_for_ever_is_refused() -> None:
    class Endless:
        def __torshi_digest__(self) -> object:
            return Endless()

    Endless.__qualname__ = "Endless"
    globals()["Endless"] = Endless
    try:
        with pytest.raises(RecursionError):
            torshi.digest(Endless())
    finally:
        del globals()["Endless"]


def test_a_list_that_changes_meanwhile_is_an_error() -> None:
    class Growing:
        def __init__(self, target: list[Any]) -> None:
            self.target = target

        def __torshi_digest__(self) -> object:
            self.target.append(1)
            return 1

    Growing.__qualname__ = "Growing"
    globals()["Growing"] = Growing
    target: list[Any] = []
    target.append(Growing(target))
    try:
        with pytest.raises(RuntimeError, match="changed"):
            torshi.digest(target)
    finally:
        del globals()["Growing"]


def test_nothing_is_kept_of_what_was_digested() -> None:
    values = [Plain(a=[object], b={1, 2}), Hooked([Point(1, 2)]), {"k": Plain()}, digest_values.ring()]
    dead = [weakref.ref(values[0]), weakref.ref(values[1])]
    torshi.digest(values)
    del values
    gc.collect()
    assert [ref() for ref in dead] == [None, None]


def test_digesting_again_and_again_takes_no_more_memory() -> None:
    value = [make() for make in VALUES.values()]

    def counted(rounds: int) -> int:
        before = sys.getallocatedblocks()
        for _ in range(rounds):
            torshi.digest(value)
        gc.collect()
        return sys.getallocatedblocks() - before

    counted(50)
    # What lives on by itself is a few dozen blocks, however many rounds; what is lost is one each round, or more.
    assert counted(300) < 300


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs signal.setitimer")
def test_a_long_digest_can_be_interrupted() -> None:
    class Stop(Exception):
        pass

    def stop(*_: object) -> None:
        raise Stop

    value = sets_of_all()
    old = signal.signal(signal.SIGALRM, stop)
    start = time.monotonic()
    signal.setitimer(signal.ITIMER_REAL, 0.02)
    try:
        with pytest.raises(Stop):
            torshi.digest(value)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
    assert time.monotonic() - start < 5


def test_a_class_that_has_changed_is_looked_at_again() -> None:
    """What was known of a class is used for another version of it."""
    value = Plain(a=1)
    before = torshi.digest(value)
    Plain.__getstate__ = lambda self: "state"  # type: ignore[method-assign]
    try:
        assert torshi.digest(value) != before
        assert torshi.digest(value) == digest_forms.digest(value)
    finally:
        del Plain.__getstate__
    assert torshi.digest(value) == before
