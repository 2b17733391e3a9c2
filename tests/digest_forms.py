"""The forms of `docs/digest.md`, built slowly and whole: what `torshi.digest` is compared with.

It follows the page line by line: it keeps no digests, sorts by building, and asks every object by `__reduce_ex__`, so
that what the native module does in another way has to come to the same. Of libraries it knows numpy's arrays alone.
"""

from __future__ import annotations

import copyreg
import enum
import fractions
import math
import pathlib
import pickle
import struct
import types
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

from blake3 import blake3

LONGEST = 1024
NAMED = (types.FunctionType, type)
SINGLE = {None: b"N", True: b"T", False: b"F"}
NAMELESS = {type(None): "NoneType", type(...): "ellipsis", type(NotImplemented): "NotImplementedType"}


def number(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def cut(form: bytes) -> bytes:
    """A form, or its digest if it is long."""
    return form if len(form) <= LONGEST else b"#" + bytes.fromhex(blake3(form))


def sized(tag: bytes, data: bytes) -> bytes:
    return tag + number(len(data)) + cut(data)


class Forms:
    """One digest."""

    def __init__(self) -> None:
        self.numbers: dict[int, int] = {}
        self.open: list[int] = []
        self.alive: list[object] = []
        self.count = 0
        self.low = math.inf

    def walk(self, value: Any) -> bytes:
        """The form of a value as it stands in what holds it."""
        leaf = self.leaf(value)
        if leaf is not None:
            return leaf
        self.alive.append(value)
        if id(value) in self.numbers:
            self.low = min(self.low, self.numbers[id(value)])
            return b"^" + number(self.count - self.numbers[id(value)])
        mine, outer, mark = self.count, self.low, len(self.open)
        self.numbers[id(value)] = mine
        self.count, self.low = mine + 1, math.inf
        form = cut(self.form(value))
        if self.low >= mine:
            self.count, self.low = mine + 1, outer
            self.forget(mark)
            del self.numbers[id(value)]
        else:
            self.open.append(id(value))
            self.low = min(self.low, outer)
        return form

    def forget(self, mark: int) -> None:
        for key in self.open[mark:]:
            del self.numbers[key]
        del self.open[mark:]

    def apart(self, *values: Any) -> bytes:
        count, mark = self.count, len(self.open)
        form = b"".join(map(self.walk, values))
        self.count = count
        self.forget(mark)
        return form

    def leaf(self, value: Any) -> bytes | None:
        cls = type(value)
        if cls in (type(None), bool):
            return SINGLE[value]
        if cls is int:
            size = (value if value >= 0 else ~value).bit_length() // 8 + 1
            return sized(b"i", value.to_bytes(size, "little", signed=True))
        if cls is float:
            return b"f" + struct.pack("<d", math.nan if math.isnan(value) else value)
        if cls is str:
            return sized(b"s", value.encode("utf-8", "surrogatepass"))
        if isinstance(value, NAMED):
            return self.name(value)
        return sized(b"b", value) if cls is bytes else None

    def form(self, value: Any) -> bytes:
        cls = type(value)
        if cls is bytearray:
            return sized(b"B", bytes(value))
        if cls is pickle.PickleBuffer:
            return sized(b"P", bytes(value.raw()))
        if cls in (list, tuple):
            return (b"l" if cls is list else b"t") + number(len(value)) + b"".join(map(self.walk, value))
        if cls is dict:
            return self.entries(value.items())
        if cls in (set, frozenset):
            return self.elements(b"S" if cls is set else b"Z", value)
        if cls is SetArguments:
            return b"t" + number(1) + self.walk(Elements(value))
        if cls is Elements:
            return self.elements(b"S", value)
        return self.instance(value)

    def elements(self, tag: bytes, values: Iterable[Any]) -> bytes:
        forms = sorted(self.apart(value) for value in values)
        return tag + number(len(forms)) + b"".join(forms)

    def entries(self, pairs: Iterable[tuple[Any, Any]]) -> bytes:
        groups: dict[bytes, list[tuple[Any, Any]]] = {}
        size = 0
        for pair in pairs:
            groups.setdefault(self.apart(pair[0]), []).append(pair)
            size += 1
        out = b"d" + number(size)
        for key, same in sorted(groups.items()):
            values = [self.walk(same[0][1])] if len(same) == 1 else sorted(self.apart(value) for _, value in same)
            out += b"".join(key + value for value in values)
        return out

    def name(self, value: Any, name: str | None = None) -> bytes:
        module = getattr(value, "__module__", None) or "builtins"
        name = (
            NAMELESS.get(value, name or value.__qualname__) if isinstance(value, type) else name or value.__qualname__
        )
        module = {"__mp_main__": "__main__", "pathlib._local": "pathlib"}.get(module, module)
        parts = [text.encode() for text in (module, name)]
        return b"n" + b"".join(number(len(part)) + part for part in parts)

    def instance(self, value: Any) -> bytes:
        cls = type(value)
        if hasattr(cls, "__torshi_digest__"):
            return b"h" + self.name(cls) + self.walk(value.__torshi_digest__())
        if isinstance(value, enum.Enum):
            return b"e" + self.name(cls) + self.walk(value._name_) + self.walk(value._value_)
        if cls is fractions.Fraction:
            return b"h" + self.name(cls) + self.walk((value.numerator, value.denominator))
        if isinstance(value, pathlib.PurePath):
            return b"h" + self.name(cls) + self.walk(str(value))
        if cls.__module__.partition(".")[0] == "numpy":
            return self.of_numpy(value)
        reduce = copyreg.dispatch_table.get(cls)
        answer = reduce(value) if reduce else value.__reduce_ex__(5)
        return self.name(value, answer) if isinstance(answer, str) else self.answer(value, *answer)

    def answer(
        self,
        value: Any,
        call: Any,
        args: Any,
        state: Any = None,
        items: Any = None,
        pairs: Any = None,
        setter: Any = None,
    ) -> bytes:
        named: dict[str, Any] = {}
        if call.__name__ == "__newobj_ex__":
            made, args, named = args
            form = b"o" + self.walk(made) + self.walk(args)
        elif call.__name__ == "__newobj__":
            form = b"o" + self.walk(args[0]) + self.walk(args[1:])
        elif isinstance(value, set | frozenset):
            form = b"r" + self.walk(call) + self.walk(SetArguments(args[0]))
        else:
            form = b"r" + self.walk(call) + self.walk(args)
        parts = [bool(named), *(part is not None for part in (state, items, pairs, setter))]
        form += bytes([sum(there << at for at, there in enumerate(parts))])
        if named:
            form += self.walk(named)
        if state is not None:
            form += self.walk(state)
        if items is not None:
            form += b"".join(map(self.walk, items)) + b"."
        if pairs is not None and isinstance(value, dict) and not isinstance(value, OrderedDict):
            form += self.entries(pairs)
        elif pairs is not None:
            form += b"".join(self.walk(key) + self.walk(item) for key, item in pairs) + b"."
        return form + (self.walk(setter) if setter is not None else b"")

    def of_numpy(self, value: Any) -> bytes:
        import numpy

        if isinstance(value, numpy.dtype):
            return b"y" + self.walk(value.str)
        array = numpy.asarray(value)
        head = (b"a" if isinstance(value, numpy.ndarray) else b"v") + self.walk(array.dtype.str[1:])
        head += number(array.ndim) + b"".join(map(number, array.shape))
        if array.dtype == object:
            return head + b"".join(map(self.walk, array.reshape(-1).tolist()))
        if array.dtype.kind == "f":
            array = numpy.where(numpy.isnan(array), array.dtype.type("nan"), array)
        return head + cut(array.astype(array.dtype.newbyteorder("<")).tobytes("C"))


class SetArguments(list[Any]):
    """The arguments of a set, which are a tuple of one list whose order means nothing."""


class Elements(list[Any]):
    """That list."""


def digest(value: object) -> bytes:
    """What `torshi.digest` answers."""
    form = Forms().walk(value)
    return form[1:] if form[:1] == b"#" else bytes.fromhex(blake3(form))
