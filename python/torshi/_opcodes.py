"""The opcode constants of `pickle`, by the same names and with the same values.

Offered because `pickle.__all__` offers them. Nothing in torshi reads them: what an opcode does stands in
the opcode table of the Rust core alone.

Source: the opcodes of CPython's `Lib/pickle.py` and `Lib/pickletools.py`, protocols 0 to 5.
"""

from typing import Final

__all__ = [
    "ADDITEMS",
    "APPEND",
    "APPENDS",
    "BINBYTES",
    "BINBYTES8",
    "BINFLOAT",
    "BINGET",
    "BININT",
    "BININT1",
    "BININT2",
    "BINPERSID",
    "BINPUT",
    "BINSTRING",
    "BINUNICODE",
    "BINUNICODE8",
    "BUILD",
    "BYTEARRAY8",
    "DICT",
    "DUP",
    "EMPTY_DICT",
    "EMPTY_LIST",
    "EMPTY_SET",
    "EMPTY_TUPLE",
    "EXT1",
    "EXT2",
    "EXT4",
    "FALSE",
    "FLOAT",
    "FRAME",
    "FROZENSET",
    "GET",
    "GLOBAL",
    "INST",
    "INT",
    "LIST",
    "LONG",
    "LONG1",
    "LONG4",
    "LONG_BINGET",
    "LONG_BINPUT",
    "MARK",
    "MEMOIZE",
    "NEWFALSE",
    "NEWOBJ",
    "NEWOBJ_EX",
    "NEWTRUE",
    "NEXT_BUFFER",
    "NONE",
    "OBJ",
    "PERSID",
    "POP",
    "POP_MARK",
    "PROTO",
    "PUT",
    "READONLY_BUFFER",
    "REDUCE",
    "SETITEM",
    "SETITEMS",
    "SHORT_BINBYTES",
    "SHORT_BINSTRING",
    "SHORT_BINUNICODE",
    "STACK_GLOBAL",
    "STOP",
    "STRING",
    "TRUE",
    "TUPLE",
    "TUPLE1",
    "TUPLE2",
    "TUPLE3",
    "UNICODE",
]

# protocol 0
MARK: Final = b"("
STOP: Final = b"."
POP: Final = b"0"
DUP: Final = b"2"
FLOAT: Final = b"F"
INT: Final = b"I"
FALSE: Final = b"I00\n"
TRUE: Final = b"I01\n"
LONG: Final = b"L"
NONE: Final = b"N"
PERSID: Final = b"P"
REDUCE: Final = b"R"
STRING: Final = b"S"
UNICODE: Final = b"V"
APPEND: Final = b"a"
BUILD: Final = b"b"
GLOBAL: Final = b"c"
DICT: Final = b"d"
GET: Final = b"g"
INST: Final = b"i"
LIST: Final = b"l"
PUT: Final = b"p"
SETITEM: Final = b"s"
TUPLE: Final = b"t"

# protocol 1
EMPTY_TUPLE: Final = b")"
POP_MARK: Final = b"1"
BINFLOAT: Final = b"G"
BININT: Final = b"J"
BININT1: Final = b"K"
BININT2: Final = b"M"
BINPERSID: Final = b"Q"
BINSTRING: Final = b"T"
SHORT_BINSTRING: Final = b"U"
BINUNICODE: Final = b"X"
EMPTY_LIST: Final = b"]"
APPENDS: Final = b"e"
BINGET: Final = b"h"
LONG_BINGET: Final = b"j"
OBJ: Final = b"o"
BINPUT: Final = b"q"
LONG_BINPUT: Final = b"r"
SETITEMS: Final = b"u"
EMPTY_DICT: Final = b"}"

# protocol 2
PROTO: Final = b"\x80"
NEWOBJ: Final = b"\x81"
EXT1: Final = b"\x82"
EXT2: Final = b"\x83"
EXT4: Final = b"\x84"
TUPLE1: Final = b"\x85"
TUPLE2: Final = b"\x86"
TUPLE3: Final = b"\x87"
NEWTRUE: Final = b"\x88"
NEWFALSE: Final = b"\x89"
LONG1: Final = b"\x8a"
LONG4: Final = b"\x8b"

# protocol 3
BINBYTES: Final = b"B"
SHORT_BINBYTES: Final = b"C"

# protocol 4
SHORT_BINUNICODE: Final = b"\x8c"
BINUNICODE8: Final = b"\x8d"
BINBYTES8: Final = b"\x8e"
EMPTY_SET: Final = b"\x8f"
ADDITEMS: Final = b"\x90"
FROZENSET: Final = b"\x91"
NEWOBJ_EX: Final = b"\x92"
STACK_GLOBAL: Final = b"\x93"
MEMOIZE: Final = b"\x94"
FRAME: Final = b"\x95"

# protocol 5
BYTEARRAY8: Final = b"\x96"
NEXT_BUFFER: Final = b"\x97"
READONLY_BUFFER: Final = b"\x98"
