"""Assembles pickle streams from opcode names, argument by argument as `pickletools` describes them.

`op.GLOBAL("os", "mkdir")` is the bytes of one instruction; a stream is the sum of its instructions. Nothing
here is checked for sense: the point of the corpus is streams that no pickler writes.
"""

from __future__ import annotations

import pickletools
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

OPCODES = {opcode.name: opcode for opcode in pickletools.opcodes}

# The file or folder that a payload makes; nothing else is ever touched.
CANARY = "torshi-canary"


def octets(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode("utf-8", "surrogatepass")


def sized(layout: str) -> Callable[..., bytes]:
    """Bytes behind their length; `claimed` writes another length than the true one."""

    def encode(value: str | bytes, claimed: int | None = None) -> bytes:
        data = octets(value)
        return struct.pack(layout, len(data) if claimed is None else claimed) + data

    return encode


def long_digits(value: int) -> bytes:
    return value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)


def line(*values: object) -> bytes:
    return b"".join(octets(value if isinstance(value, bytes) else str(value)) + b"\n" for value in values)


ARGUMENTS: dict[str, Callable[..., bytes]] = {
    "uint1": struct.Struct("<B").pack,
    "uint2": struct.Struct("<H").pack,
    "int4": struct.Struct("<i").pack,
    "uint4": struct.Struct("<I").pack,
    "uint8": struct.Struct("<Q").pack,
    "float8": struct.Struct(">d").pack,
    "stringnl": line,
    "stringnl_noescape": line,
    "stringnl_noescape_pair": line,
    "decimalnl_short": line,
    "decimalnl_long": line,
    "floatnl": line,
    "unicodestringnl": line,
    "string1": sized("<B"),
    "string4": sized("<i"),
    "bytes1": sized("<B"),
    "bytes4": sized("<I"),
    "bytes8": sized("<Q"),
    "bytearray8": sized("<Q"),
    "unicodestring1": sized("<B"),
    "unicodestring4": sized("<I"),
    "unicodestring8": sized("<Q"),
    "long1": lambda value: sized("<B")(long_digits(value)),
    "long4": lambda value: sized("<i")(long_digits(value)),
}


class Instructions:
    """`op.NAME(argument)`: the bytes of one instruction."""

    def __getattr__(self, name: str) -> Callable[..., bytes]:
        opcode = OPCODES[name]
        code = opcode.code.encode("latin-1")
        if opcode.arg is None:
            return lambda: code
        encode = ARGUMENTS[opcode.arg.name]
        return lambda *values, **options: code + encode(*values, **options)


op = Instructions()


def text(value: str) -> bytes:
    return op.SHORT_BINUNICODE(value) if len(octets(value)) < 256 else op.BINUNICODE(value)


def number(value: int) -> bytes:
    return op.BININT(value) if -(2**31) <= value < 2**31 else op.LONG1(value)


def value(item: Any) -> bytes:
    """An atom or a nest of them; bytes are taken to be instructions already."""
    match item:
        case bytes():
            return item
        case None:
            return op.NONE()
        case bool():
            return op.NEWTRUE() if item else op.NEWFALSE()
        case int():
            return number(item)
        case float():
            return op.BINFLOAT(item)
        case str():
            return text(item)
        case bytearray():
            return op.SHORT_BINBYTES(bytes(item)) if len(item) < 256 else op.BINBYTES(bytes(item))
        case tuple():
            return op.MARK() + b"".join(map(value, item)) + op.TUPLE()
        case list():
            return op.EMPTY_LIST() + op.MARK() + b"".join(map(value, item)) + op.APPENDS()
        case dict():
            pairs = b"".join(value(key) + value(held) for key, held in item.items())
            return op.EMPTY_DICT() + op.MARK() + pairs + op.SETITEMS()
    raise TypeError(item)


def name(module: str, qualname: str) -> bytes:
    return text(module) + text(qualname) + op.STACK_GLOBAL()


def call(function: bytes, *arguments: Any) -> bytes:
    return function + value(arguments) + op.REDUCE()


def new(cls: bytes, *arguments: Any) -> bytes:
    return cls + value(arguments) + op.NEWOBJ()


def build(instance: bytes, state: Any) -> bytes:
    return instance + value(state) + op.BUILD()


def stream(*parts: Any, protocol: int | None = 4) -> bytes:
    """The parts, between PROTO and STOP."""
    head = b"" if protocol is None else op.PROTO(protocol)
    return head + b"".join(map(value, parts)) + op.STOP()


MKDIR = name("os", "mkdir")
TOUCH = call(MKDIR, CANARY)
TOUCH_SOURCE = f"import os; os.mkdir({CANARY!r})"


@dataclass(frozen=True)
class Case:
    """One hostile stream.

    Attributes:
        id: the file's name.
        mechanism: the class of attack.
        data: the stream.
        expected: ``refuse`` (an UnpicklingError before anything is imported or called), ``bounded`` (an
            UnpicklingError or a value, within the bounds of memory and time), or ``first-only`` (the
            first pickle is harmless and loads; what follows it is not touched, and refused if loaded).
        trust: the names to trust beside the default policy, or ``unrestricted``.
        needs: distributions without which the case says nothing.
        isolated: loaded in a process of its own even where a refusal is expected: a miss would crash.
        error: the exception that stock pickle raises for the same fault, where that is no UnpicklingError
            and callers of pickle may rely on it.
    """

    id: str
    mechanism: str
    data: bytes
    expected: str = "refuse"
    trust: tuple[str, ...] | str = ()
    needs: tuple[str, ...] = ()
    isolated: bool = False
    error: str | None = None
