"""A value and a seed into the stream of a value that is almost the same: other numbers, arrays, texts, orders.

The value itself is never changed: a pickler in Python writes other parts in place of some it meets. A second kind of
mutant changes the bytes of the stream. The same seed gives the same stream.
"""

from __future__ import annotations

import io
import pickle
import random
from collections.abc import Callable
from typing import Any

from science.model_mutation import is_model, other_model

# How many parts a model counts for.
MODEL = 200
INTEGERS = (
    0,
    1,
    -1,
    2,
    7,
    127,
    128,
    255,
    256,
    -128,
    1000,
    2**15,
    2**31 - 1,
    -(2**31),
    2**31,
    2**62,
    2**63 - 1,
    -(2**63),
)
FLOATS = (0.0, -1.0, 1e308, float("nan"), float("inf"), -float("inf"), 1e-320, 2.0**31, 2.0**63)
CODES = ("i1", "i2", "i4", "i8", "u1", "u8", "f4", "f8", "b1", "O", "U3", "S2", "c16", "M8[ns]", ">i4", ">f8")


def other_array(array: Any, chance: random.Random) -> Any:
    """An array near to the one given: other elements, another shape, order or dtype."""
    import numpy as np

    kind = chance.randrange(12)
    if array.dtype.hasobject or (array.dtype.kind in "USVMm" and kind < 5 and array.dtype.names is None):
        kind = 5 + kind % 7
    new = array.copy()
    flat = new.reshape(-1) if new.size else new
    if array.dtype.names and kind < 6 and new.size:
        names = [n for n in array.dtype.names if array.dtype[n].kind in "iufb"]
        name = chance.choice(names)
        at = chance.randrange(new.size)
        big = chance.choice(INTEGERS)
        try:
            flat[name][at] = chance.choice([big, new.size, at, -new.size, flat[name][at] + 1])
        except (OverflowError, ValueError):
            flat[name][at] = -1 if array.dtype[name].kind in "if" else 255
        return new
    if kind < 4 and new.size:
        for _ in range(chance.choice([1, 1, 2, new.size])):
            at = chance.randrange(new.size)
            number = chance.choice([*INTEGERS, new.size, new.size - 1, *array.shape])
            with np.errstate(all="ignore"):
                flat[at] = (
                    np.array(number, dtype=object).astype("i8" if abs(number) < 2**63 else "u8").astype(array.dtype)
                )
        return new
    if kind == 4 and new.size:
        return flat[np.array(chance.sample(range(new.size), new.size))].reshape(new.shape)
    if kind in (5, 6) and new.ndim:
        axis = chance.randrange(new.ndim)
        keep = chance.randrange(new.shape[axis] + 1)
        return np.ascontiguousarray(new.take(np.arange(keep), axis=axis))
    if kind in (7, 8) and new.ndim:
        axis = chance.randrange(new.ndim)
        return np.concatenate([new, new], axis=axis) if chance.random() < 0.7 else np.repeat(new, 3, axis=axis)
    if kind == 9:
        return np.asfortranarray(new) if chance.random() < 0.5 else new.T.copy()
    if kind == 10:
        code = chance.choice(CODES)
        with np.errstate(all="ignore"):
            try:
                return new.astype(code)
            except (TypeError, ValueError):
                return np.zeros(new.shape, code)
    return chance.choice([new.reshape(-1), new[None], new[:0], np.zeros((0, 0), new.dtype), np.zeros(1, new.dtype)])


class Mutator(pickle._Pickler):  # type: ignore[misc, name-defined]
    """Writes others in place of the parts whose numbers, counted as they are met, are among ``targets``."""

    def __init__(self, file: io.BytesIO, protocol: int, targets: set[int], chance: random.Random) -> None:
        super().__init__(file, protocol)
        self.targets, self.chance, self.met = targets, chance, 0
        self.texts: list[str] = []

    def changed(self, value: Any) -> Any:
        import numpy as np

        chance = self.chance
        if is_model(value) and chance.random() < 0.95:
            return other_model(value, chance)
        if isinstance(value, np.ndarray):
            return other_array(value, chance)
        if isinstance(value, bool):
            return chance.choice([not value, None, 2, "x"])
        if isinstance(value, int):
            return chance.choice([value + 1, value - 1, -value, value * 2, *INTEGERS, None, float(value % 1000)])
        if isinstance(value, float):
            return chance.choice([-value, value * 2, *FLOATS, 1, None])
        if isinstance(value, str):
            return chance.choice(
                [*self.texts[-20:], value + "x", "", value[:-1], "\ud800" if chance.random() < 0.1 else "a"]
            )
        if isinstance(value, (bytes, bytearray)):
            return other_bytes(bytes(value), chance)
        if isinstance(value, tuple):
            return chance.choice([value[:-1], value[::-1], (*value, None), value + value])
        if type(value) is list:
            return chance.choice([value[:-1], value[::-1], [*value, None], value + value, []])
        if type(value) is dict and value:
            items = list(value.items())
            gone = chance.randrange(len(items))
            return dict(items[:gone] + items[gone + 1 :])
        return None

    def save(self, obj: Any, save_persistent_id: bool = True) -> None:
        import numpy as np

        if hasattr(type(obj), "written"):
            obj.written(self)
            return
        mutable = isinstance(obj, (np.ndarray, bool, int, float, str, bytes, bytearray)) or type(obj) in (
            tuple, list, dict, type(None),
        )  # fmt: skip
        if mutable and not isinstance(obj, (np.generic,)):
            # A model is one part among many, and all that C++ parses.
            first, self.met = self.met, self.met + (MODEL if is_model(obj) else 1)
            if not self.targets.isdisjoint(range(first + 1, self.met + 1)):
                obj = self.changed(obj)
            elif isinstance(obj, str):
                self.texts.append(obj)
        super().save(obj, save_persistent_id)

    def memoize(self, obj: Any) -> None:
        # Parts made here are met once, but may have the address of an earlier one.
        self.kept = [*getattr(self, "kept", []), obj]
        if id(obj) not in self.memo:
            super().memoize(obj)
        else:
            index = len(self.memo) + len(self.kept) * 1000
            self.write(self.put(index)) if self.proto < 4 else self.write(pickle.POP + self.get(self.memo[id(obj)][0]))


def other_bytes(data: bytes, chance: random.Random) -> bytes:
    """Bytes with a word, a byte or the length changed."""
    kind = chance.randrange(5)
    changed = bytearray(data)
    if kind == 0 or not data:
        return data[: chance.randrange(len(data) + 1)]
    if kind == 1:
        return data + data[: chance.randrange(len(data) + 1)]
    width = chance.choice([1, 2, 4, 8])
    at = chance.randrange(len(data)) // width * width
    word = chance.choice([*INTEGERS, len(data)]) & (2 ** (8 * width) - 1)
    changed[at : at + width] = word.to_bytes(width, "little")[: len(changed[at : at + width])]
    return bytes(changed)


def count(value: Any, protocol: int) -> int:
    """How many parts of a value can be changed."""
    counter = Mutator(io.BytesIO(), protocol, set(), random.Random(0))
    counter.dump(value)
    return counter.met


def mutant(value: Any, seed: int, parts: int, protocols: tuple[int, ...]) -> bytes:
    """The stream of a seed."""
    chance = random.Random(seed)
    protocol = chance.choice(protocols)
    file = io.BytesIO()
    many = chance.choice([1, 1, 1, 2, 3])
    targets = set() if chance.random() < 0.05 else {chance.randrange(1, parts + 1) for _ in range(many)}
    Mutator(file, protocol, targets, chance).dump(value)
    data = file.getvalue()
    if not targets or chance.random() < 0.05:
        data = other_bytes(data, chance)
    return data


Make = Callable[[], Any]
