"""Typed loads: the annotation is the policy, and the result is compared with it.

If these failed, a value of the wrong type would come out of `loads(data, Config)` unnoticed, a right one
would be refused, or a stranger's classes would be trusted because they stood near an annotation.
"""

from __future__ import annotations

import collections
import dataclasses
import sys
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, Never, Optional, Union

import numpy as np
import numpy.typing as npt
import pytest

import torshi
from torshi._typed import validate
from typed_models import (
    Bare,
    Box,
    Colour,
    Config,
    Half,
    Holder,
    IntBox,
    Job,
    Knot,
    Lost,
    Model,
    Options,
    Pair,
    Plain,
    Server,
    Size,
    Slotted,
    Tree,
    UserId,
)


def failure(obj: Any, annotation: Any) -> str:
    with pytest.raises(torshi.ValidationError) as caught:
        validate(obj, annotation)
    return str(caught.value)


def config(*ports: Any) -> Config:
    return Config("web", [Server(f"h{i}", port) for i, port in enumerate(ports)])


FITTING = [
    (1, int),
    (1, float),
    (1.5, complex),
    (True, bool),
    (True, Any),
    (None, None),
    ("x", str),
    (b"x", bytes),
    ([1, 2], list[int]),
    ([], list[int]),
    ([1, "x"], list),
    ([1, "x"], typing.List[Union[int, str]]),
    ([1, None], list[Optional[int]]),
    ({"a": [1]}, dict[str, list[int]]),
    ({1, 2}, set[int]),
    (frozenset({"a"}), frozenset[str]),
    ((1, "x"), tuple[int, str]),
    ((1, 2, 3), tuple[int, ...]),
    ((), tuple[()]),
    ((1, 2), tuple),
    (collections.deque([1]), collections.deque[int]),
    (collections.defaultdict(list, {"a": [1]}), collections.defaultdict[str, list[int]]),
    (collections.OrderedDict(a=1), collections.OrderedDict[str, int]),
    (collections.Counter("aab"), collections.Counter[str]),
    ({"a": 1}, Mapping[str, int]),
    ([1], Sequence[int]),
    ("fast", Literal["fast", 1]),
    (Colour.RED, Colour),
    (Colour.RED, Literal[Colour.RED]),
    (7, UserId),
    (7, Annotated[int, []]),
    (int, type),
    (bool, type[int]),
    (len, Callable[[Any], int]),
    (config(80, 443), Config),
    (Slotted(1, 2), Slotted),
    (Box(1), Box[int]),
    (Box("x"), Box),
    (IntBox(1, "x"), IntBox),
    (Job("j", 1), Job),
    (Pair(1, ["x"]), Pair),
    ({"host": "h"}, Options),
    ({"host": "h", "port": 1}, Options),
    ({"y": 1}, Half),
    (Model(name="m", sizes=[1], inner=Model(name="n")), Model),
    (Bare(), Bare),
    (np.zeros(3), npt.NDArray[np.float64]),
    (np.zeros(3), npt.NDArray[np.floating]),
    (np.zeros(3), np.ndarray),
    (np.float64(1), np.float64),
    ([{"a": [1, 2.5, None, True]}], "json"),
]


@pytest.mark.parametrize(("obj", "annotation"), FITTING, ids=lambda value: str(value)[:40])
def test_a_value_of_the_type_is_returned_as_it_is(obj: Any, annotation: Any) -> None:
    annotation = JSON if annotation == "json" else annotation
    assert validate(obj, annotation) is obj


JSON = Union[None, bool, int, float, str, list[Any], dict[str, Any]]

REFUSED = [
    (True, int, "expected int, got bool at $"),
    (1, bool, "expected bool, got int at $"),
    (1.0, int, "expected int, got float at $"),
    (True, float, "expected float, got bool at $"),
    ("x", bytes, "expected bytes, got str at $"),
    (None, int, "expected int, got None at $"),
    (1, None, "expected None, got int at $"),
    ([1, "x"], list[int], "expected int, got str at $[1]"),
    ([True], list[int], "expected int, got bool at $[0]"),
    ((1,), list[int], "expected list[int], got tuple at $"),
    ({"a": [1, None]}, dict[str, list[int]], "expected int, got None at $.a[1]"),
    ({"a b": 1.5}, dict[str, int], "expected int, got float at $['a b']"),
    ({1: 1}, dict[str, int], "expected str, got int at $[1] (key)"),
    ({"x"}, set[int], "expected int, got str at $[*]"),
    ((1, 2), tuple[int, str], "expected str, got int at $[1]"),
    ((1,), tuple[int, str], "expected tuple of 2, got tuple of 1 at $"),
    ((1, "x"), tuple[int, ...], "expected int, got str at $[1]"),
    (collections.deque(["x"]), collections.deque[int], "expected int, got str at $[0]"),
    ("slow", Literal["fast", 1], "expected 'fast' or 1, got 'slow' at $"),
    (True, Literal["fast", 1], "expected 'fast' or 1, got True at $"),
    ("x", int | None, "expected int | None, got str at $"),
    ("x", Optional[list[int]], "expected list[int] | None, got str at $"),
    ([1.5], list[int] | None, "expected int, got float at $[0]"),
    ([["x"]], list[list[int]] | list[list[bytes]], "expected int, got str at $[0][0]"),
    (Size.RED, Colour, "expected Colour, got Size at $"),
    (1, Colour, "expected Colour, got int at $"),
    (1, Never, "expected no value, got int at $"),
    (int, type[str], "expected type[str], got class int at $"),
    (1, Callable[[], int], "expected Callable[[], int], got int at $"),
    (config(80, 443, 8080, "22"), Config, "expected int, got str at $.servers[3].port"),
    (dataclasses.replace(config(), mode="slow"), Config, "expected 'fast' or 'careful', got 'slow' at $.mode"),
    (dataclasses.replace(config(), owner="me"), Config, "expected UserId | None, got str at $.owner"),
    (Slotted(1, "2"), Slotted, "expected int, got str at $.y"),
    (Box("x"), Box[int], "expected int, got str at $.item"),
    (IntBox("x"), IntBox, "expected int, got str at $.item"),
    (Tree(1, [Tree(2), Tree("3")]), Tree, "expected int, got str at $.children[1].value"),
    (Job("j", "1"), Job, "expected int, got str at $.retries"),
    (Pair(1, ["x", 2]), Pair, "expected str, got int at $.right[1]"),
    ({"host": 1}, Options, "expected str, got int at $.host"),
    ({"port": 1}, Options, "expected key host of Options, got none at $"),
    ({"x": 1}, Half, "expected key y of Half, got none at $"),
    ({"host": "h", "x": 1}, Options, "expected Options without other keys, got key x at $"),
    (Model.model_construct(name=1), Model, "expected str, got int at $.name"),
    (Bare(), Plain, "expected Plain, got Bare at $"),
    (np.zeros(3, "i4"), npt.NDArray[np.float64], "expected float64 array, got int32 array at $"),
    ([0.0], npt.NDArray[np.float64], "expected float64 array, got list at $"),
]


@pytest.mark.parametrize(("obj", "annotation", "text"), REFUSED, ids=lambda value: str(value)[:40])
def test_a_value_of_another_type_is_refused_with_its_place(obj: Any, annotation: Any, text: str) -> None:
    assert failure(obj, annotation) == text


def test_the_error_carries_path_expected_and_got() -> None:
    with pytest.raises(torshi.ValidationError) as caught:
        validate([1, "x"], list[int])
    assert (caught.value.path, caught.value.expected, caught.value.got) == ("$[1]", "int", "str")


def test_two_classes_of_one_name_are_told_apart() -> None:
    other = type("Server", (), {"__module__": "elsewhere"})
    assert failure(other(), Server) == "expected typed_models.Server, got elsewhere.Server at $"


def test_plain_class_is_checked_where_its_annotations_resolve() -> None:
    plain = Plain()
    assert validate(plain, Plain) is plain  # annotations of a plain class do not demand a value
    plain.count = "many"  # type: ignore[assignment]
    assert failure(plain, Plain) == "expected int, got str at $.count"


def test_a_declared_field_must_be_there() -> None:
    server = Server("h", 1)
    del server.port
    assert failure(server, Server) == "expected attribute port of Server, got none at $"


def test_a_schema_that_cannot_be_resolved_is_an_error_and_not_a_hole() -> None:
    with pytest.raises(TypeError, match=r"annotations of typed_models\.Lost: name 'Unheard' is not defined"):
        validate(object(), Lost)
    with pytest.raises(TypeError, match="forward reference 'Server'"):
        validate([], list["Server"])
    with pytest.raises(TypeError, match="3 is not a type"):
        validate(3, 3)


def test_cycles_end() -> None:
    tree = Tree(1)
    tree.children.append(tree)
    tree.parent = tree
    assert validate(tree, Tree) is tree
    loop: list[Any] = []
    loop.append(loop)
    assert failure([loop, 1], list[list[Any]]) == "expected list[Any], got int at $[1]"


def test_depth_costs_no_stack() -> None:
    tree = Tree(0)
    tip = tree
    for value in range(20 * sys.getrecursionlimit()):
        tip.children.append(Tree(value))
        tip = tip.children[0]
    assert validate(tree, Tree) is tree
    tip.value = "deep"  # type: ignore[assignment]
    assert failure(tree, Tree).startswith("expected int, got str at $.children[0].children[0]")
    while tree.children:  # taken apart by hand: freeing so deep a tree is not what is tested
        tree = tree.children.pop()


def test_a_shared_value_is_looked_at_once() -> None:
    looks = 0

    class Counting(int):
        @property  # type: ignore[misc]
        def __class__(self) -> type:
            nonlocal looks
            looks += 1
            return int

    shared = [Counting(1)]
    validate([shared] * 1000, list[list[int]])
    assert looks <= 2


def test_ambiguous_unions_do_not_multiply() -> None:
    knot = Knot(["leaf"])
    for _ in range(40):  # two options a level: 2**40 attempts if failures were not remembered
        knot = Knot([knot])
    assert failure(knot, Knot).startswith("expected Knot, got str at $.inner[0].inner[0]")


def test_an_annotation_that_expands_without_end_is_an_error() -> None:
    annotation: Any = int
    for _ in range(14):  # 2**14 nodes from a few lines
        annotation = Union[list[annotation], Sequence[annotation]]
    with pytest.raises(TypeError, match="expands without end"):
        validate(1, annotation)


def test_user_iteration_is_never_run() -> None:
    class Trap(collections.abc.Sequence[int]):
        def __len__(self) -> int:
            raise AssertionError("called")

        def __getitem__(self, index: Any) -> Any:
            raise AssertionError("called")

    trap = Trap()
    assert validate(trap, Sequence[int]) is trap


@pytest.mark.skipif(sys.version_info < (3, 12), reason="the type statement is new in Python 3.12")
def test_type_statements_with_recursion_and_parameters() -> None:
    names: dict[str, Any] = {}
    exec("type Json = None | int | str | list[Json] | dict[str, Json]\ntype Two[T] = tuple[T, T]", names)
    good = {"a": [1, None, {"b": "c"}]}
    assert validate(good, names["Json"]) is good
    assert failure({"a": [1, 2.5]}, names["Json"]) == "expected Json, got float at $.a[1]"
    assert failure((1, "x"), names["Two"][int]) == "expected int, got str at $[1]"


def allowed(annotation: Any, *names: Any) -> list[bool]:
    policy = torshi.Policy.for_type(annotation)
    return [policy.allows(name) for name in names]


def test_policy_of_a_type_is_what_can_be_reached_from_it() -> None:
    assert allowed(Config, Config, Server, Colour) == [True, True, True]
    assert allowed(Config, Tree, Size, Bare, "os.system", "subprocess.Popen") == [False] * 5
    assert allowed(dict[str, list[Union[Job, Pair]]], Job, Pair, Model) == [True, True, False]
    assert allowed(Model, Model, Config) == [True, False]
    assert allowed(Box[Tree], Box, Tree, Server) == [True, True, False]
    assert allowed(type[Server], Server, Config) == [True, False]
    assert allowed(Options, Server) == [False]
    assert allowed(Literal[Colour.RED], Colour) == [True]


def test_classes_a_table_covers_stay_under_their_table() -> None:
    policy = torshi.Policy.for_type(collections.deque[int])
    assert policy == torshi.Policy.builtins()
    assert torshi.Policy.for_type(npt.NDArray[np.float64]) == torshi.Policy.default()
    assert torshi.Policy.for_type(list[Any]) == torshi.Policy.default()
    assert torshi.Policy.for_type(Holder).allows(Holder)


def test_typed_load_trusts_checks_and_refuses() -> None:
    data = torshi.dumps(config(80, 443))
    with pytest.raises(torshi.UntrustedError):
        torshi.loads(data)
    assert torshi.loads(data, Config) == config(80, 443)
    with pytest.raises(torshi.ValidationError, match=r"expected int, got str at \$\.servers\[1\]\.port"):
        torshi.loads(torshi.dumps(config(80, "443")), Config)
    with pytest.raises(torshi.UntrustedError):
        torshi.loads(data, Server | Job)
