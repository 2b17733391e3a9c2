"""Payloads that are not copied: arrays in states whose class copies what it takes.

If these failed, a forest would share memory with the bytes it was loaded from, or an array that a program gets would be
read-only because a tree was made from it as well.
"""

from __future__ import annotations

import pickle
import sys
import tracemalloc
from typing import Any

import pytest

import torshi

numpy = pytest.importorskip("numpy", reason="numpy is not installed")
pytest.importorskip("sklearn", reason="scikit-learn is not installed")


class Reduced:
    """Pickles as a call and a state."""

    def __init__(self, *parts: Any) -> None:
        self.parts = parts

    def __reduce__(self) -> Any:
        return self.parts


@pytest.fixture(scope="module")
def tree() -> Any:
    from sklearn.tree import DecisionTreeRegressor

    random = numpy.random.default_rng(1)
    return DecisionTreeRegressor().fit(random.random((500, 3)), random.random(500)).tree_


def streams(tree: Any) -> dict[str, bytes]:
    """The tree beside each of what it is made from, which the memo is asked for."""
    make, arguments, state = tree.__reduce__()
    again = Reduced(make, arguments, state)
    return {
        "alone": pickle.dumps(again, 5),
        "nodes before": pickle.dumps([state["nodes"], again], 5),
        "nodes": pickle.dumps([again, state["nodes"]], 5),
        "values": pickle.dumps([again, state["values"]], 5),
        "state": pickle.dumps([again, state], 5),
    }


def arrays(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [item for item in value.values() if isinstance(item, numpy.ndarray)]
    return [value] if isinstance(value, numpy.ndarray) else []


@pytest.mark.parametrize("name", ["nodes before", "nodes", "values", "state"])
def test_arrays_that_the_program_gets_as_well_are_its_own(tree: Any, name: str) -> None:
    data = streams(tree)[name]
    expected, loaded = pickle.loads(data), torshi.loads(data)
    found = [array for value in loaded for array in arrays(value)]
    assert len(found) == len([array for value in expected for array in arrays(value)]) > 0
    for array in found:
        assert array.flags.writeable
        before = bytes(data)
        array.view("u1")[:] = 0
        assert data == before


def test_a_tree_is_equal_and_keeps_nothing_of_the_stream(tree: Any) -> None:
    data = streams(tree)["alone"]
    references = sys.getrefcount(data)
    loaded = torshi.loads(data)
    assert sys.getrefcount(data) == references
    for name in ("nodes", "values"):
        assert (loaded.__getstate__()[name] == tree.__getstate__()[name]).all()


def test_payloads_of_a_tree_are_not_copied_on_the_way(tree: Any) -> None:
    data = streams(tree)["alone"]
    torshi.loads(data)
    tracemalloc.start()
    try:
        torshi.loads(data)
        assert tracemalloc.get_traced_memory()[1] < len(data) / 2
        pickle.loads(data)
        assert tracemalloc.get_traced_memory()[1] > len(data) / 2
    finally:
        tracemalloc.stop()


def test_a_class_put_in_the_place_of_a_tree_gets_payloads_of_its_own(tree: Any) -> None:
    """An application's own class may keep the arrays."""

    class Kept:
        def __init__(self, *arguments: Any) -> None:
            self.state: dict[str, Any] = {}

        def __setstate__(self, state: dict[str, Any]) -> None:
            self.state = state

    class Unpickler(torshi.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            return Kept if name == "Tree" else super().find_class(module, name)

    import io

    loaded = Unpickler(io.BytesIO(streams(tree)["alone"])).load()
    assert all(array.flags.writeable for array in arrays(loaded.state))
