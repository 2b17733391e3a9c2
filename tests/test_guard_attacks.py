"""The attack corpus against a guard: through torshi, and through a class that builds what torshi only checks.

If these failed, a stream that torshi refuses would pass where a library loads it under a guard.
"""

from __future__ import annotations

import codecs
import io
import pickle
import sys
from collections.abc import Callable
from typing import Any

import pytest

import torshi
from test_attacks import REFUSED, Case, accepted, nothing_happened, scene, trust_of
from test_guard import Dialect, Early, Pure

# They ask for a persistent object, and that class answers.
ANSWERED = {"broken-after-call/binpersid", "broken-after-call/persistent_id"}

__all__ = ["scene"]  # the fixture that puts the victim's package in place

WAYS: dict[str, Callable[[bytes], Any]] = {
    "pickle.loads": lambda data: pickle.loads(data),
    "pickle.load": lambda data: pickle.load(io.BytesIO(data)),
    "a subclass": lambda data: Early(io.BytesIO(data)).load(),
    "a pure subclass": lambda data: Pure(io.BytesIO(data)).load(),
    "a pure dialect": lambda data: Dialect(io.BytesIO(data)).load(),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=list(WAYS))
def test_every_attack_is_refused_before_anything_happens(way: Callable[[bytes], Any]) -> None:
    codecs.lookup("raw_unicode_escape")  # which stock pickle imports when it first needs it
    by_trust: dict[str, list[Case]] = {}
    for case in REFUSED:
        by_trust.setdefault(repr(case.trust), []).append(case)
    tried = 0
    for cases in by_trust.values():
        with torshi.guard(trust_of(cases[0])):
            for case in cases:
                if case.id in ANSWERED and way is WAYS["a subclass"]:
                    continue
                known = set(sys.modules)
                try:
                    way(case.data)
                except (*accepted(case), EOFError):
                    pass
                else:
                    pytest.fail(f"{case.id} was loaded")
                nothing_happened(known)
                tried += 1
    assert tried > 300
