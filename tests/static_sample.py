"""What type checkers make of torshi's calls: `tests/test_static.py` has mypy read it, and nothing runs it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, assert_type

import torshi


@dataclass
class Config:
    name: str
    ports: list[int]


def loads_has_the_type_asked_for(data: bytes) -> None:
    assert_type(torshi.loads(data, Config), Config)
    assert_type(torshi.loads(data, type=Config), Config)
    assert_type(torshi.loads(data, dict[str, list[int]]), dict[str, list[int]])
    assert_type(torshi.loads(data), Any)
    assert_type(torshi.loads(data, trust=[Config, "myapp.models.*"]), Any)
    assert_type(torshi.loads(data, Config, trust=torshi.Policy.builtins(), limits=torshi.Limits(stream=100)), Config)


def load_too() -> None:
    with open("config.pkl", "rb") as file:
        assert_type(torshi.load(file, Config), Config)
    assert_type(torshi.load("config.pkl", Config), Config)


def the_rest_is_typed() -> None:
    assert_type(torshi.dumps(Config("web", [80])), bytes)
    assert_type(torshi.inspect(b"N.").verdict, str)
    assert_type(torshi.Policy.default().allow(Config), torshi.Policy)
    assert_type([finding.name for finding in torshi.inspect(b"N.").findings], list[str | None])
