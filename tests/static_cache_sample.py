"""What type checkers make of cached functions: `tests/test_cache_static.py` has mypy read it, and nothing runs it."""

from __future__ import annotations

from typing import Any, assert_type

import torshi


@torshi.cache
def bare(n: int, *, unit: str = "m") -> list[str]:
    return [unit] * n


@torshi.cache(store="results.db", ttl=60, tags=["a"], ignore="unit")
def with_options(n: int, unit: str) -> dict[str, int]:
    return {unit: n}


@torshi.cache(ttl=60)
async def later(n: int) -> bytes:
    return bytes(n)


class Model:
    @torshi.cache
    def predict(self, x: float) -> float:
        return x

    @torshi.cache(store=":memory:")
    async def later(self, x: float) -> str:
        return str(x)

    @staticmethod
    @torshi.cache
    def still(x: int) -> str:
        return str(x)

    @classmethod
    @torshi.cache
    def made(cls, x: int) -> Model:
        return cls()

    @torshi.cache
    @classmethod
    def outer(cls, x: int) -> Model:
        return cls()

    @torshi.cache
    @staticmethod
    def stiller(x: int) -> str:
        return str(x)


def functions_keep_their_signatures() -> None:
    assert_type(bare(1), list[str])
    assert_type(bare(1, unit="s"), list[str])
    assert_type(with_options(1, "s"), dict[str, int])
    assert_type(bare.peek(1), list[str])
    assert_type(bare.refresh(1, unit="s"), list[str])
    assert_type(bare.forget(1), bool)
    assert_type(bare.cache_info().hits, int)
    assert_type(bare.cache_parameters(), dict[str, Any])


async def coroutine_functions_too() -> None:
    assert_type(await later(1), bytes)
    assert_type(await later.peek(1), bytes)
    assert_type(await later.forget(1), bool)
    assert_type(await Model().later(1.0), str)


def methods_are_bound() -> None:
    model = Model()
    assert_type(model.predict(1.0), float)
    assert_type(model.predict.peek(1.0), float)
    assert_type(Model.predict(model, 1.0), float)
    assert_type(Model.still(1), str)
    assert_type(Model.stiller(1), str)
    assert_type(model.made(1), Model)
