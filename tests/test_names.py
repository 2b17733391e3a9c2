"""The names of the package: everything pickle offers, with the same values where they are data.

If these failed, `import torshi as pickle` would break a program that uses a name it rightly expects.
"""

from __future__ import annotations

import pickle
import tomllib
from pathlib import Path

import torshi

ROOT = Path(__file__).parents[1]


def test_every_public_name_of_pickle_is_there() -> None:
    assert set(pickle.__all__) <= set(torshi.__all__)
    assert all(hasattr(torshi, name) for name in torshi.__all__)
    assert len(set(torshi.__all__)) == len(torshi.__all__)


def test_constants_are_equal_to_pickles() -> None:
    for name in pickle.__all__:
        if name.isupper():
            assert getattr(torshi, name) == getattr(pickle, name), name
    assert torshi.PickleBuffer is pickle.PickleBuffer


def test_the_version_is_that_of_the_workspace() -> None:
    with open(ROOT / "Cargo.toml", "rb") as file:
        assert tomllib.load(file)["workspace"]["package"]["version"] == torshi.__version__
