"""What `trust=` does to streams: every form of it, and the line that a refusal proposes.

If these failed, a refusal would leave its reader without a way out, or a way out would open more than it says.
"""

from __future__ import annotations

import collections
import datetime
import functools
import itertools
import operator
import pickle
import re
import sys
import threading
from typing import Any

import pytest

import torshi
from typed_models import Point

PROTOCOLS = range(6)


class Plain:
    def __init__(self, value: Any = 1) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Plain) and self.value == other.value

    __hash__ = None  # type: ignore[assignment]

    def method(self) -> Any:
        return self.value

    @classmethod
    def made(cls) -> Plain:
        return cls()

    @staticmethod
    def helper() -> str:
        return "helped"

    class Inner:
        pass


class Slotted:
    __slots__ = ("a", "b")

    def __init__(self) -> None:
        self.a = self.b = 1


class WithArguments:
    def __new__(cls, a: int, *, b: int) -> WithArguments:
        self = object.__new__(cls)
        self.pair = (a, b)  # type: ignore[attr-defined]
        return self

    def __getnewargs_ex__(self) -> Any:
        return (self.pair[0],), {"b": self.pair[1]}  # type: ignore[attr-defined]


class Reduced:
    def __reduce__(self) -> Any:
        return rebuild, (5,)


class ReducedWithItems:
    def __init__(self) -> None:
        self.items: list[Any] = []
        self.pairs: dict[Any, Any] = {}

    def append(self, item: Any) -> None:
        self.items.append(item)

    def extend(self, items: Any) -> None:
        self.items.extend(items)

    def __setitem__(self, key: Any, value: Any) -> None:
        self.pairs[key] = value

    def __reduce__(self) -> Any:
        return type(self), (), None, iter([1, 2]), iter([("a", 1)])


class OwnState:
    def __getstate__(self) -> Any:
        return ("any", {"shape": 1})

    def __setstate__(self, state: Any) -> None:
        self.state = state


class OwnList(list):  # type: ignore[type-arg]
    pass


class OwnDict(dict):  # type: ignore[type-arg]
    pass


class OwnError(Exception):
    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


Row = collections.namedtuple("Row", "a b")


def function() -> str:
    return "called"


def rebuild(value: int) -> Plain:
    return Plain(value)


def second(value: Any) -> Any:
    return value[1]


HARD: dict[str, Any] = {
    "function": function,
    "builtin_function": len,
    "library_function": operator.itemgetter,
    "instance": Plain([1]),
    "class": Plain,
    "inner_class": Plain.Inner,
    "inner_instance": Plain.Inner(),
    "bound_method": Plain(3).method,
    "class_method": Plain.made,
    "static_method": Plain.helper,
    "builtin_method": [1].append,
    "class_builtin_method": dict.fromkeys,
    "partial": functools.partial(function),
    "partial_arguments": functools.partial(rebuild, 3),
    "partial_nested": {"call": functools.partial(functools.partial(rebuild), 3)},
    "itemgetter": operator.itemgetter(1, 2),
    "attrgetter": operator.attrgetter("a.b"),
    "methodcaller": operator.methodcaller("lower"),
    "iterator": iter([1, 2]),
    "range_iterator": iter(range(3)),
    "text_iterator": iter("ab"),
    "dict_iterator": iter({1: 2}),
    "enumerate": enumerate([1]),
    "zip": zip([1], [2], strict=False),
    "map": map(second, [(1, 2)]),
    "reversed": reversed([1, 2]),
    "slots": Slotted(),
    "arguments": WithArguments(1, b=2),
    "reduced": Reduced(),
    "reduced_with_items": ReducedWithItems(),
    "own_state": OwnState(),
    "list_subclass": OwnList([1, 2]),
    "dict_subclass": OwnDict({1: 2}),
    "exception": OwnError(3),
    "named_tuple": Row(1, 2),
    "default_of_function": collections.defaultdict(function, {1: 2}),
    "default_of_class": collections.defaultdict(Plain, {1: 2}),
    "list_of_many": [Plain(1), function, Row(1, 2), Slotted()],
    "in_containers": {"k": ({"deep": [Plain(2)]},)},
    "dataclass": Point(1, 2),
    "pattern_method": re.compile("x").match,
    "cmp_to_key": functools.cmp_to_key,
}
if sys.version_info < (3, 14):
    HARD["count"] = itertools.count(3)
    HARD["chain"] = itertools.chain([1], [2])
    HARD["product"] = itertools.product([1], [2])


def proposed(error: torshi.UntrustedError) -> list[str]:
    """The list that the text of a refusal tells its reader to paste."""
    found = re.search(r"trust=\[(.*)\]\)$", str(error))
    assert found, f"no way out in: {error}"
    return re.findall(r'"([^"]+)"', found[1])


def quiet_dumps(value: Any, protocol: int) -> bytes | None:
    try:
        return torshi.dumps(value, protocol)
    except Exception:
        try:
            pickle.dumps(value, protocol)
        except Exception:
            return None  # stock cannot either
        raise


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", HARD)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_line_in_the_error_admits_the_value(name: str, protocol: int) -> None:
    """If this fails, the reader of a refusal pastes its line and is refused again."""
    value = HARD[name]
    data = quiet_dumps(value, protocol)
    if data is None:
        pytest.skip("not picklable at this protocol")
    stock = pickle.loads(data)
    trust: list[str] = []
    for _ in range(4):  # a refusal lists all it knows; attributes show only once their owner is trusted
        try:
            again = torshi.loads(data, trust=trust)
            break
        except torshi.UntrustedError as error:
            refused = error
        more = proposed(refused)
        assert not set(more) <= set(trust), f"the same line again: {refused}"
        trust += more
    else:
        raise AssertionError(f"still refused with trust={trust}")
    assert type(again) is type(stock)
    if not any(name.endswith(end) for end in ("_method", "partial_nested")):
        assert torshi.dumps(again, protocol) == pickle.dumps(stock, protocol)
    assert len(trust) == len(set(trust))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_form_of_trust(protocol: int) -> None:
    """If this fails, one of the documented ways to trust a class does not."""
    value = Plain([1])
    data = torshi.dumps(value, protocol)
    module = Plain.__module__
    with pytest.raises(torshi.UntrustedError):
        torshi.loads(data)
    for trust in (
        Plain,
        [Plain],
        (Plain,),
        {Plain},
        f"{module}.Plain",
        [f"{module}.Plain"],
        [f"{module}:Plain"],
        [f"{module}.*"],
        torshi.Policy.default().allow(Plain),
        [torshi.Policy.empty().allow(f"{module}.Plain")],
        torshi.unrestricted("the test wrote it"),
        (item for item in [Plain]),
    ):
        assert torshi.loads(data, trust=trust) == value, trust
    for trust in (
        [f"{module}.Pla"],
        [f"{module}.plain"],
        [f"{module}.Plain.x"],
        ["other.*"],
        [Row],
        [],
        [f"x.{module}.*"],
    ):
        with pytest.raises(torshi.UntrustedError):
            torshi.loads(data, trust=trust)
    for wrong in (True, 5, [None], [3.5]):
        with pytest.raises(TypeError):
            torshi.loads(data, trust=wrong)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_deny_wins(protocol: int) -> None:
    """If this fails, a class taken away by name still loads."""
    data = torshi.dumps(Plain(1), protocol)
    module = Plain.__module__
    for policy in (
        torshi.Policy.default().allow(f"{module}.*").deny(f"{module}.Plain"),
        torshi.Policy.default().deny(Plain).allow(Plain),
        torshi.Policy.default().deny(f"{module}.*").allow(Plain),
        torshi.Policy.default().allow(Plain) | torshi.Policy.empty().deny(Plain),
        torshi.unrestricted("all but one").deny(Plain),
    ):
        with pytest.raises(torshi.UntrustedError) as caught:
            torshi.loads(data, trust=policy)
        assert "Plain" in str(caught.value)
    dates = torshi.Policy.default().deny("datetime.*")
    with pytest.raises(torshi.UntrustedError):
        torshi.loads(torshi.dumps(datetime.date(2024, 1, 2), protocol), trust=dates)
    assert torshi.loads(torshi.dumps([1], protocol), trust=torshi.Policy.empty()) == [1]


def test_a_policy_of_a_type_and_trust_add_up() -> None:
    data = torshi.dumps(Plain(Point(1, 2)))
    with pytest.raises(torshi.UntrustedError):
        torshi.loads(data, Plain)
    assert torshi.loads(data, Plain, trust=[Point]).value == Point(1, 2)


def test_a_refusal_carries_its_evidence() -> None:
    """If this fails, a program that reports refusals has only a text to go by."""
    data = torshi.dumps({"owner": [1, Plain(1)], "then": function}, 4)
    with pytest.raises(torshi.UntrustedError) as caught:
        torshi.loads(data)
    first, second_ = caught.value.findings
    module = Plain.__module__
    assert (first.name, first.opcode, first.remedy) == (f"{module}.Plain", "STACK_GLOBAL", f"{module}.Plain")
    assert data[first.offset : first.offset + 1] == pickle.STACK_GLOBAL
    assert second_.name == f"{module}.function"
    assert isinstance(caught.value, pickle.UnpicklingError)
    again = pickle.loads(pickle.dumps(caught.value))
    assert again.findings == caught.value.findings


def test_a_trusted_name_that_leads_elsewhere() -> None:
    """If this fails, a module that imports `os` hands it to whoever its package is trusted for."""
    for module, name in (("typed_models", "sys.exit"), ("typed_models", "dataclasses.make_dataclass")):
        data = pickle.PROTO + b"\x04\x8c" + bytes([len(module)]) + module.encode()
        data += b"\x8c" + bytes([len(name)]) + name.encode() + b"\x93."
        with pytest.raises((torshi.UntrustedError, AttributeError)):
            torshi.loads(data, trust=["typed_models.*"])


def test_one_policy_in_many_threads() -> None:
    """If this fails, policies remembered by identity are mixed up between threads."""
    data = torshi.dumps(Plain(1))
    wrong: list[str] = []

    def work(allowed: bool) -> None:
        for _ in range(200):
            try:
                torshi.loads(data, trust=[Plain] if allowed else [Row])
                loaded = True
            except torshi.UntrustedError:
                loaded = False
            if loaded is not allowed:
                wrong.append("mixed up")

    threads = [threading.Thread(target=work, args=(number % 2 == 0,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("name", HARD)
def test_typed_and_unrestricted_loads_agree_with_stock(name: str) -> None:
    """If this fails, unrestricted trust is not stock pickle's behaviour."""
    data = quiet_dumps(HARD[name], 5)
    assert data is not None
    assert type(torshi.loads(data, trust=torshi.unrestricted("the test wrote it"))) is type(pickle.loads(data))
