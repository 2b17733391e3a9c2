"""Random values there and back, and broken streams, against stock pickle.

If these failed, a value would come back changed, a stream would mean something else to torshi than to
pickle, or a damaged one would raise something a caller does not expect. `TORSHI_FUZZ=1` runs many more.
"""

from __future__ import annotations

import os
import pickle
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import torshi

LONG = os.environ.get("TORSHI_FUZZ") == "1"

settings.register_profile(
    "torshi",
    max_examples=20_000 if LONG else 150,
    derandomize=not LONG,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("torshi")

HASHABLE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.complex_numbers(allow_nan=False)
    | st.text()
    | st.binary()
    | st.dates()
    | st.datetimes()
    | st.timedeltas()
    | st.decimals(allow_nan=False)
    | st.fractions()
    | st.uuids(),
    lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=4),
    max_leaves=8,
)
VALUES = st.recursive(
    HASHABLE,
    lambda inner: (
        st.lists(inner, max_size=6)
        | st.dictionaries(HASHABLE, inner, max_size=6)
        | st.sets(HASHABLE, max_size=6)
        | st.builds(bytearray, st.binary())
    ),
    max_leaves=25,
)


@given(VALUES, st.integers(0, 5))
def test_values_come_back_and_bytes_are_pickles(value: Any, protocol: int) -> None:
    data = torshi.dumps(value, protocol)
    assert data == pickle.dumps(value, protocol)
    again = torshi.loads(data)
    assert again == value
    assert type(again) is type(value)


def mutants(data: bytes, count: int, seed: int) -> list[bytes]:
    source = random.Random(seed)
    made = []
    for _ in range(count):
        broken = bytearray(data)
        for _ in range(source.randint(1, 3)):
            at = source.randrange(len(broken) or 1)
            match source.randrange(4):
                case 0 if broken:
                    broken[at] = source.randrange(256)
                case 1 if broken:
                    del broken[at : at + source.randint(1, 4)]
                case 2:
                    broken[at:at] = bytes([source.randrange(256)])
                case _:
                    del broken[at:]
        made.append(bytes(broken))
    return made


SEEDS = [
    [1, 2.5, "three", None, {"a": (1, 2), "b": [b"x", bytearray(b"y")]}, {1, 2}, frozenset({3})],
    {"when": __import__("datetime").datetime(2024, 1, 2), "much": __import__("decimal").Decimal("1.5")},
]


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("number", range(len(SEEDS)))
def test_broken_streams_raise_what_pickle_errors_are(number: int, protocol: int) -> None:
    data = pickle.dumps(SEEDS[number], protocol)
    for broken in mutants(data, 5_000 if LONG else 200, seed=number * 10 + protocol):
        try:
            torshi.loads(broken)
        except (torshi.UnpicklingError, ValueError, TypeError, OverflowError):
            continue
