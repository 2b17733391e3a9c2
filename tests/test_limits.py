"""Limits: the defaults that are documented are those that hold, and each limit is named when it is met.

If these failed, `limits=torshi.Limits()` would mean something else than leaving it out, or a refusal would not
tell which number to raise.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

import torshi

ROOT = Path(__file__).parents[1]


def shared_lists(depth: int) -> bytes:
    """A value of 10**depth elements, from a few bytes a level."""
    level = b"](" + b"h%c" * 10 + b"e\x94"
    return b"\x80\x04]\x94" + b"".join(level % ((i,) * 10) for i in range(depth)) + b"."


MET = {
    "memory": (b"cbuiltins\nbytearray\n(I100000000000\ntR.", {}),
    # A key of 2**40 elements: a tuple, and forty times a pair of the last.
    "hash_steps": (b"\x80\x04}K\x00\x85" + b"2\x86" * 40 + b"Ns.", {}),
    "collisions": (torshi.dumps({i * (2**61 - 1) for i in range(2000)}), {}),
    "depth": (b"ccollections\ndeque\n)R" * 3000 + b"a" * 2999 + b".", {}),
    "expansion": (shared_lists(30), {}),
    "stream": (torshi.dumps("x" * 1000), {"stream": 100}),
}


@pytest.mark.parametrize("name", MET)
def test_each_limit_is_named_when_it_is_met(name: str) -> None:
    data, limits = MET[name]
    policies = [torshi.Policy.default(), torshi.unrestricted("limits hold under it too")]
    for policy in policies:
        with pytest.raises(torshi.LimitError) as caught:
            torshi.loads(data, trust=policy, limits=torshi.Limits(**limits))
        assert caught.value.limit == name
        assert f"limit {name}=" in str(caught.value)


def test_every_limit_is_met_here_and_documented() -> None:
    names = {field.name for field in dataclasses.fields(torshi.Limits)}
    assert set(MET) == names
    page = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    assert names <= set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE))


def test_the_defaults_are_those_of_a_load_without_limits() -> None:
    text = (ROOT / "crates/torshi-core/src/limits.rs").read_text(encoding="utf-8")
    body = text[text.index("impl Default for Limits") :]
    for field in dataclasses.fields(torshi.Limits):
        found = re.search(rf"\b{field.name}: ([^,]+),", body)
        assert found is not None, field.name
        native = None if found[1] == "None" else eval(found[1])
        assert native == field.default, field.name
