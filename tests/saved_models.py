"""The class of the files in `data/files`. It stays as it is: the files say what its fields were."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Run:
    """A run of an experiment."""

    name: str
    steps: int
    losses: list[float]
