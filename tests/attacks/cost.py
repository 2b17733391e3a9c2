"""Streams that cost more than they weigh: claimed sizes, hashing, expansion, nesting that is freed badly.

Whether such a stream loads or is refused is the loader's choice; that it stays within its bounds is not.
"""

from __future__ import annotations

from collections.abc import Iterator

from attacks.assembler import Case, call, name, op, stream, text, value

# Deep enough that stock pickle overflows a stack of one MiB in freeing what it loads.
DEEP = 45_000


def claimed() -> Iterator[tuple[str, bytes]]:
    """A length that is not there."""
    yield "binbytes", stream(op.BINBYTES(b"x", claimed=0xFFFF_FFFF))
    yield "binbytes8", stream(op.BINBYTES8(b"x", claimed=1 << 40))
    yield "binbytes8_max", stream(op.BINBYTES8(b"x", claimed=(1 << 64) - 1))
    yield "binunicode", stream(op.BINUNICODE("x", claimed=0xFFFF_FFFF))
    yield "binunicode8", stream(op.BINUNICODE8("x", claimed=1 << 40))
    yield "bytearray8", stream(op.BYTEARRAY8(b"x", claimed=1 << 40))
    yield "bytearray8_max", stream(op.BYTEARRAY8(b"x", claimed=(1 << 63) - 1))
    yield "binstring", stream(op.BINSTRING("x", claimed=0x7FFF_FFFF))
    yield "binstring_negative", stream(op.BINSTRING("x", claimed=-1))
    yield "long4", b"\x80\x04\x8b\xff\xff\xff\x7fx."
    yield "long4_negative", b"\x80\x04\x8b\xff\xff\xff\xffx."
    yield "frame", op.PROTO(4) + op.FRAME(1 << 40) + op.NONE() + op.STOP()
    yield "frame_max", op.PROTO(4) + op.FRAME((1 << 64) - 1) + op.NONE() + op.STOP()
    yield "line_without_end", b"S'" + b"x" * 1000
    yield "int_digits", op.INT("9" * 60_000) + op.STOP()
    yield "long_digits", op.LONG("9" * 60_000 + "L") + op.STOP()


def memo_indices() -> Iterator[tuple[str, bytes]]:
    """An index allocates nothing by itself."""
    for index in (0xFFFF_FFFF, 0x7FFF_FFFF, 1 << 28):
        yield f"long_binput_{index}", stream(op.NONE(), op.LONG_BINPUT(index))
        yield f"put_{index}", stream(op.NONE(), op.PUT(index))
    yield "put_huge", stream(op.NONE(), op.PUT(10**30))
    yield "put_negative", stream(op.NONE(), op.PUT(-1))
    yield "get_huge", stream(op.GET(10**30))
    yield "spread", stream(*[op.NONE() + op.LONG_BINPUT(i << 20) + op.POP() for i in range(1, 2000)], op.NONE())
    yield "half_way", stream(*[op.NONE() + op.LONG_BINPUT(i) + op.POP() for i in (1, 1 << 20, 1 << 30, 3 << 30)], 1)


def sizes() -> Iterator[tuple[str, bytes]]:
    """A number that is a length."""
    yield "bytearray", stream(call(name("builtins", "bytearray"), 1 << 40))
    yield "bytes", stream(call(name("builtins", "bytes"), 1 << 40))
    yield "list_of_range", stream(call(name("builtins", "list"), call(name("builtins", "range"), 0, 1 << 40, 1)))
    yield "set_of_range", stream(call(name("builtins", "set"), call(name("builtins", "range"), 0, 1 << 40, 1)))
    yield "deque_of_range", stream(call(name("collections", "deque"), call(name("builtins", "range"), 0, 1 << 40, 1)))
    yield (
        "counter_of_range",
        stream(call(name("collections", "Counter"), call(name("builtins", "range"), 0, 1 << 40, 1))),
    )
    yield "array_of_range", stream(call(name("array", "array"), "d", call(name("builtins", "range"), 0, 1 << 40, 1)))
    yield (
        "bytearray_of_range",
        stream(call(name("builtins", "bytearray"), call(name("builtins", "range"), 0, 1 << 40, 1))),
    )
    yield "decimal_exponent", stream(call(name("fractions", "Fraction"), "1e999999999"))
    yield (
        "decimal_to_fraction",
        stream(call(name("fractions", "Fraction"), call(name("decimal", "Decimal"), "1e999999999"))),
    )
    yield "pow", stream(call(name("builtins", "pow"), 10, 10**10))
    yield "zfill", stream(call(name("builtins", "str.zfill"), "x", 1 << 40))
    yield "regex", stream(call(name("re", "_compile"), "((((a{1000}){1000}){1000}){1000}){1000}", 0))
    yield "regex_nested", stream(call(name("re", "_compile"), "(" * 9000 + ")" * 9000, 0))
    yield "codec_bomb", stream(call(name("_codecs", "encode"), "x" * 100, "zlib"))
    yield "bytes_copies", stream(
        op.BINBYTES(b"x" * 60_000), op.MEMOIZE(), op.POP(),
        *[call(name("builtins", "bytearray"), op.BINGET(0)) for _ in range(5000)],
    )  # fmt: skip


def doubling(start: bytes, levels: int, join: bytes) -> bytes:
    """Bottom up: each level holds the one below it twice."""
    made = start
    for _ in range(levels):
        made += op.DUP() + join
    return made


def hashing() -> Iterator[tuple[str, bytes]]:
    """100 bytes may describe 2**60 steps of hashing."""
    tower = doubling(value((1, 2)), 60, op.TUPLE2())
    yield "tuple_as_key", stream(op.EMPTY_DICT(), tower, 1, op.SETITEM())
    yield "tuple_in_set", stream(op.EMPTY_SET(), op.MARK(), tower, op.ADDITEMS())
    yield "tuple_in_frozenset", stream(op.MARK(), tower, op.FROZENSET())
    yield "tuple_in_dict_opcode", stream(op.MARK(), tower, 1, op.DICT())
    yield "tuple_in_ordereddict", stream(call(name("collections", "OrderedDict")), tower, 1, op.SETITEM())
    memoised = value((1, 2)) + op.MEMOIZE() + b"".join(
        op.POP() + op.BINGET(i) + op.BINGET(i) + op.TUPLE2() + op.MEMOIZE() for i in range(60)
    )  # fmt: skip
    yield "by_memo", stream(op.EMPTY_DICT(), memoised, 1, op.SETITEM())
    yield "set_call", stream(call(name("builtins", "set"), op.EMPTY_LIST() + op.MARK() + tower + op.APPENDS()))
    yield (
        "nested_frozensets",
        stream(*[op.MARK()] * 50, op.MARK(), 1, op.FROZENSET(), *[op.DUP() + op.TUPLE2() + op.FROZENSET()] * 50),
    )
    yield "many_hashes_of_one_tuple", stream(
        value(tuple(range(2000))), op.MEMOIZE(), op.POP(),
        *[op.EMPTY_SET() + op.MARK() + op.BINGET(0) + op.ADDITEMS() + op.POP() for _ in range(20_000)], 1,
    )  # fmt: skip
    modulus = (1 << 61) - 1
    same = b"".join(value(i * modulus) for i in range(1, 20_000))
    yield "equal_integers_set", stream(op.EMPTY_SET(), op.MARK(), same, op.ADDITEMS())
    pairs = b"".join(value(i * modulus) + op.NONE() for i in range(1, 20_000))
    yield "equal_integers_dict", stream(op.EMPTY_DICT(), op.MARK(), pairs, op.SETITEMS())
    yield "equal_integers_frozenset", stream(op.MARK(), same, op.FROZENSET())
    yield "equal_tuples", stream(op.EMPTY_SET(), op.MARK(), *[(i * modulus, 1) for i in range(1, 8_000)], op.ADDITEMS())
    yield "equal_floats", stream(op.EMPTY_SET(), op.MARK(), *[float(2 ** (61 * i)) for i in range(16)], op.ADDITEMS())
    yield (
        "minus_one_minus_two",
        stream(op.EMPTY_SET(), op.MARK(), *[(-1, -2)[i % 2] for i in range(4000)], op.ADDITEMS()),
    )


def expansion() -> Iterator[tuple[str, bytes]]:
    """Small in memory, without end for whoever prints or copies it."""
    yield "lists_bottom_up", stream(doubling(value([1]), 100, op.TUPLE2()))
    ten = value(["ha"]) + op.MEMOIZE()
    for level in range(40):
        ten += op.POP() + op.EMPTY_LIST() + op.MARK() + op.BINGET(level) * 10 + op.APPENDS() + op.MEMOIZE()
    yield "billion_laughs", stream(ten)
    top = op.EMPTY_LIST() + op.MEMOIZE()
    for level in range(1, 60):
        top += op.EMPTY_LIST() + op.MEMOIZE() + op.POP()
        top += op.BINGET(level - 1) + op.MARK() + op.BINGET(level) * 10 + op.APPENDS() + op.POP()
    yield "lists_top_down", stream(top, op.BINGET(59), 1, op.APPEND(), op.POP())
    top = op.EMPTY_DICT() + op.MEMOIZE()
    for level in range(1, 60):
        top += op.EMPTY_DICT() + op.MEMOIZE() + op.POP() + op.BINGET(level - 1) + op.MARK()
        top += b"".join(value(key) + op.BINGET(level) for key in range(10)) + op.SETITEMS() + op.POP()
    yield "dicts_top_down", stream(top, op.BINGET(59), 1, 1, op.SETITEM(), op.POP())
    yield (
        "strings",
        stream(
            op.BINUNICODE("x" * 30_000),
            op.MEMOIZE(),
            op.POP(),
            op.EMPTY_LIST(),
            op.MARK(),
            op.BINGET(0) * 30_000,
            op.APPENDS(),
        ),
    )


def nest(open_: bytes, close: bytes, depth: int) -> bytes:
    return stream(open_ * depth, 1, close * depth)


def deep() -> Iterator[tuple[str, bytes]]:
    """What recurses on the C stack when it is freed, hashed or compared."""
    deque, default = name("collections", "deque"), name("collections", "defaultdict")
    slice_, namespace = name("builtins", "slice"), name("types", "SimpleNamespace")
    kept = deque + op.MEMOIZE() + op.POP() + default + op.MEMOIZE() + op.POP() + slice_ + op.MEMOIZE() + op.POP()
    kept += namespace + op.MEMOIZE() + op.POP()
    made = op.BINGET(0) + op.EMPTY_TUPLE() + op.REDUCE()
    many = DEEP
    yield "deque", stream(kept, made * many, op.APPEND() * (many - 1))
    by_argument = op.BINGET(0) + op.EMPTY_LIST()
    yield "deque_of_list", stream(kept, by_argument * many, 1, (op.APPEND() + op.TUPLE1() + op.REDUCE()) * many)
    default_made = op.BINGET(1) + op.EMPTY_TUPLE() + op.REDUCE() + value(0)
    yield "defaultdict", stream(kept, default_made * many, 1, op.SETITEM() * many)
    yield "slice", stream(kept, (op.BINGET(2)) * many, 1, (op.NONE() + op.NONE() + op.TUPLE3() + op.REDUCE()) * many)
    spaces = op.BINGET(3) + op.EMPTY_TUPLE() + op.REDUCE() + op.EMPTY_DICT() + text("x")
    yield "namespace", stream(kept, spaces * many, 1, (op.SETITEM() + op.BUILD()) * many)
    yield "ordereddict", stream(
        name("collections", "OrderedDict"), op.MEMOIZE(), op.POP(),
        (op.BINGET(0) + op.EMPTY_TUPLE() + op.REDUCE() + value(0)) * many, 1, op.SETITEM() * many,
    )  # fmt: skip
    yield "partial", stream(
        name("functools", "partial"), op.MEMOIZE(), op.POP(), name("builtins", "int"), op.MEMOIZE(), op.POP(),
        (op.BINGET(0) + op.BINGET(1)) * many, 1, (op.TUPLE2() + op.REDUCE()) * many,
    )  # fmt: skip
    yield "generic_alias", stream(
        name("types", "GenericAlias"), op.MEMOIZE(), op.POP(), name("builtins", "list"), op.MEMOIZE(), op.POP(),
        (op.BINGET(0) + op.BINGET(1)) * many, op.BINGET(1), (op.TUPLE1() + op.TUPLE2() + op.REDUCE()) * many,
    )  # fmt: skip
    # A ring hides how deep it is until the last link closes; the collector then frees it as a chain.
    ring = kept + made + op.MEMOIZE() + op.BINGET(4)
    yield "deque_ring", stream(ring + made * many + op.APPEND() * many + op.BINGET(4) + op.APPEND())
    slice_ring = kept + op.EMPTY_LIST() + op.MEMOIZE() + op.BINGET(2) * many + op.BINGET(4)
    yield "slice_ring", stream(slice_ring + (op.NONE() + op.NONE() + op.TUPLE3() + op.REDUCE()) * many + op.APPEND())
    default_ring = kept + op.BINGET(1) + op.EMPTY_TUPLE() + op.REDUCE() + op.MEMOIZE() + value(0)
    yield "defaultdict_ring", stream(default_ring + default_made * many + op.BINGET(4) + op.SETITEM() * (many + 1))
    links = b"".join(
        op.BINGET(0) + op.EMPTY_TUPLE() + op.REDUCE() + op.LONG_BINPUT(100 + i)
        + op.POP() + op.LONG_BINGET(100 + i - 1) + op.LONG_BINGET(100 + i) + op.APPEND() + op.POP()
        for i in range(1, many)
    )  # fmt: skip
    yield "deque_top_down", stream(kept, made, op.LONG_BINPUT(100), op.POP(), links, op.LONG_BINGET(100))
    yield "tuple_key", stream(op.EMPTY_DICT(), 1, op.TUPLE1() * many, 1, op.SETITEM())
    yield "frozensets", stream(op.MARK() * many, op.FROZENSET() * many)
    yield "frozenset_key", stream(op.EMPTY_SET(), op.MARK(), op.MARK() * many, op.FROZENSET() * many, op.ADDITEMS())
    yield "lists", stream(op.EMPTY_LIST() * many, op.APPEND() * (many - 1))
    yield "tuples", stream(op.EMPTY_TUPLE(), op.TUPLE1() * many)
    yield "dicts", stream((op.EMPTY_DICT() + value(0)) * many, 1, op.SETITEM() * many)
    yield "marks", stream(op.MARK() * (many * 3), op.POP() * (many * 3), 1)
    yield "stack", stream(op.NONE() * (many * 3))


def cases() -> Iterator[Case]:
    groups = {
        "claimed-length": claimed,
        "memo-index": memo_indices,
        "size-argument": sizes,
        "hash-bomb": hashing,
        "expansion": expansion,
        "deep-chain": deep,
    }
    for mechanism, group in groups.items():
        for label, data in group():
            error = "ValueError" if label in ("int_digits", "long_digits") else None  # Python's own limit of digits
            yield Case(f"{mechanism}/{label}", mechanism, data, "bounded", isolated=True, error=error)
