"""Very deep values: written, read and freed without touching the recursion limit, in processes of their own.

If these failed, a deep value would raise RecursionError, as with stock pickle, or overflow the C stack.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import torshi

PRELUDE = """
import gc, io, sys
import torshi
DEPTH = {depth}

def depth_of(value, step):
    depth = 0
    while value:
        value, depth = step(value), depth + 1
    return depth
"""


def run(code: str, depth: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE.format(depth=depth) + code],
        env={**os.environ, "PYTHONPATH": str(Path(torshi.__file__).parents[1])},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize("protocol", [2, 5])
def test_a_list_nested_a_million_deep(protocol: int) -> None:
    run(
        f"""
value = []
for _ in range(DEPTH - 1):
    value = [value]
data = torshi.dumps(value, {protocol})
again = torshi.loads(data)
assert depth_of(again, lambda v: v[0] if v else None) == DEPTH - 1
assert torshi.dumps(again, {protocol}) == data
del value, again
gc.collect()
""",
        1_000_000,
    )


@pytest.mark.parametrize("protocol", [0, 3, 4])
def test_dicts_nested_deep(protocol: int) -> None:
    run(
        f"""
value = {{}}
for _ in range(DEPTH - 1):
    value = {{1: value}}
data = torshi.dumps(value, {protocol})
assert depth_of(torshi.loads(data), lambda v: v.get(1)) == DEPTH - 1
assert depth_of(torshi.load(io.BytesIO(data)), lambda v: v.get(1)) == DEPTH - 1
""",
        300_000,
    )


@pytest.mark.parametrize("protocol", [1, 2, 5])
def test_tuples_nested_deep(protocol: int) -> None:
    run(
        f"""
value = ()
for _ in range(DEPTH):
    value = (value,)
data = torshi.dumps(value, {protocol})
assert depth_of(torshi.loads(data), lambda v: v[0]) == DEPTH
""",
        300_000,
    )


def test_objects_nested_deep() -> None:
    """A linked list of objects is the deep value that programs really have."""
    run(
        """
import types
class Node:
    pass
sys.modules["nodes"] = module = types.ModuleType("nodes")
Node.__module__ = "nodes"
module.Node = Node
first = last = Node()
for _ in range(DEPTH - 1):
    last.next = Node()
    last = last.next
data = torshi.dumps(first)
again = torshi.loads(data, trust=["nodes.Node"])
depth, node = 1, again
while hasattr(node, "next"):
    node, depth = node.next, depth + 1
assert depth == DEPTH
for start in (first, again):  # freed link by link: how deep a chain of objects frees is Python's affair
    while start is not None:
        start.__dict__, start = {}, start.__dict__.pop("next", None)
""",
        100_000,
    )


def test_a_failure_deep_down_is_reported() -> None:
    """If this fails, an object that cannot be pickled overflows the stack or hides where it is."""
    run(
        """
value = [lambda: 0]
for _ in range(DEPTH):
    value = [value]
try:
    torshi.dumps(value)
except (torshi.PicklingError, AttributeError) as error:
    assert len(str(error)) < 10_000
else:
    raise AssertionError("pickled")
""",
        200_000,
    )


def test_inspecting_and_checking_deep_streams() -> None:
    run(
        """
data = b"\\x80\\x04" + b"]" * DEPTH + b"a" * (DEPTH - 1) + b"."
torshi.check(data)
report = torshi.inspect(data)
assert report.error is None
str(report)
""",
        200_000,
    )
