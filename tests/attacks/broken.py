"""Streams that are wrong in their form: cut off, left over, lying about frames, several in one file.

A call that stands before the damage must not have been made when the damage is found.
"""

from __future__ import annotations

import gzip
import io
import pickle
import tarfile
import zipfile
from collections.abc import Iterator

from attacks.assembler import CANARY, MKDIR, TOUCH, Case, call, name, op, stream, value

COUNTER = call(name("collections", "Counter"))


def truncated() -> Iterator[tuple[str, bytes]]:
    whole = stream(TOUCH)
    for cut in range(0, len(whole), 5):
        yield f"cut_{cut:02}", whole[:cut]
    yield "no_stop", op.PROTO(4) + TOUCH
    yield "string_cut", op.PROTO(4) + TOUCH + op.POP() + op.BINUNICODE("abc", claimed=50)
    yield "line_cut", TOUCH + op.POP() + b"S'abc"
    yield "argument_cut", op.PROTO(4) + TOUCH + op.POP() + b"J\x01"
    yield "harmless_cut", stream([1, 2, {"a": COUNTER}])[:-3]


def broken() -> Iterator[tuple[str, bytes]]:
    for label, tail in {
        "unknown_opcode": b"\xf7",
        "zero_opcode": b"\0",
        "bad_utf8": op.BINUNICODE(b"\xff\xfe"),
        "bad_float": op.FLOAT("nonsense"),
        "bad_int": op.INT("nonsense"),
        "bad_long": op.LONG("1x"),
        "bad_string": op.STRING("unquoted"),
        "bad_escape": op.STRING(r"'\x9'"),
        "bad_unicode_escape": op.UNICODE("\\u00"),
        "bad_put": op.PUT("x"),
        "bad_get": op.GET("x"),
        "pop_empty": op.POP() * 3,
        "stop_without_value": op.POP(),
        "dup_empty": op.POP() + op.DUP(),
        "tuple_without_mark": op.TUPLE(),
        "appends_without_mark": op.APPENDS(),
        "setitems_odd": op.EMPTY_DICT() + op.MARK() + value(1) + op.SETITEMS(),
        "dict_odd": op.MARK() + value(1) + op.DICT(),
        "appends_to_tuple": value((1,)) + op.MARK() + value(1) + op.APPENDS(),
        "append_to_integer": value(1) + value(1) + op.APPEND(),
        "setitem_on_list": value([1]) + value(0) + value(2) + op.SETITEM(),
        "additems_to_list": value([1]) + op.MARK() + value(1) + op.ADDITEMS(),
        "additems_to_integer": value(1) + op.MARK() + value(1) + op.ADDITEMS(),
        "unhashable_key": op.EMPTY_DICT() + op.EMPTY_LIST() + value(1) + op.SETITEM(),
        "unhashable_member": op.EMPTY_SET() + op.MARK() + op.EMPTY_LIST() + op.ADDITEMS(),
        "build_on_nothing": op.POP() + op.BUILD(),
        "newobj_ex_short": op.NEWOBJ_EX(),
        "persistent_id": op.PERSID("os.mkdir"),
        "binpersid": value(CANARY) + op.BINPERSID(),
        "buffer_missing": op.NEXT_BUFFER(),
        "readonly_of_list": op.EMPTY_LIST() + op.READONLY_BUFFER(),
        "global_without_newline": b"cos",
        "stack_global_numbers": value(1) + value(2) + op.STACK_GLOBAL(),
        "stack_global_empty": op.POP() + op.STACK_GLOBAL(),
        "get_missing": op.BINGET(200),
        "proto_unknown": op.PROTO(77),
        "memoize_empty": op.POP() + op.MEMOIZE(),
    }.items():
        yield f"after_call_{label}", stream(TOUCH, tail)
        yield label, stream(op.NONE(), tail)
    yield "stop_with_open_mark_and_call", stream(op.MARK(), TOUCH, op.POP(), op.POP())


def frames() -> Iterator[tuple[str, bytes]]:
    body = TOUCH + op.STOP()
    yield "too_long", op.PROTO(4) + op.FRAME(len(body) + 50) + body
    yield "too_short", op.PROTO(4) + op.FRAME(3) + body
    yield "ends_inside_opcode", op.PROTO(4) + op.FRAME(len(TOUCH) - 4) + body
    yield "inside_a_frame", op.PROTO(4) + op.FRAME(len(body) + 9) + op.FRAME(len(body)) + body
    yield "empty", op.PROTO(4) + op.FRAME(0) * 3 + body
    yield "hides_a_call", op.PROTO(4) + op.FRAME(2) + op.NONE() + op.STOP() + body[:0] + TOUCH
    yield "in_protocol0", op.FRAME(len(body)) + body


HARMLESS = pickle.dumps({"harmless": [1, 2]}, 4)
EVIL = stream(TOUCH)


def several() -> Iterator[tuple[str, bytes]]:
    """The first one loads; the others only if they are asked for, and then they are refused."""
    yield "second", HARMLESS + EVIL
    yield (
        "protocol0_second",
        pickle.dumps([1], 0) + op.GLOBAL("os", "mkdir") + value((CANARY,)) + op.REDUCE() + op.STOP(),
    )
    yield "after_newline", HARMLESS + b"\n" + EVIL
    yield "broken_second", HARMLESS + EVIL[:-3]
    yield "opcodes_behind_stop", HARMLESS + TOUCH


def polyglots() -> Iterator[tuple[str, bytes]]:
    """Files that are something else too."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr(zipfile.ZipInfo("data.pkl", (2000, 1, 1, 0, 0, 0)), EVIL)
    yield "zip", archive.getvalue()
    yield "pickle_then_zip", EVIL + archive.getvalue()
    compressed = gzip.compress(EVIL, mtime=0)
    yield "gzip", compressed[:9] + b"\xff" + compressed[10:]  # whose system wrote it: Pythons differ
    tape = io.BytesIO()
    with tarfile.open(fileobj=tape, mode="w", format=tarfile.USTAR_FORMAT) as file:
        entry = tarfile.TarInfo("x.pkl")
        entry.size = len(EVIL)
        file.addfile(entry, io.BytesIO(EVIL))
    yield "tar", tape.getvalue()[:1024]
    yield "html", b"<!DOCTYPE html><html><body>404</body></html>"
    yield "git_lfs", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    yield "png", b"\x89PNG\r\n\x1a\n" + EVIL
    yield "json", b'{"a": 1}'
    yield "script", b"#!/bin/sh\nmkdir x\n"
    yield "empty", b""
    yield "text", b"hello world\n"
    yield "byte_order_mark", b"\xef\xbb\xbf" + EVIL
    yield "npy", b"\x93NUMPY\x01\x00" + EVIL
    yield "call_as_text", b"cos\nmkdir\n(S'" + CANARY.encode() + b"'\ntR.\n# a comment"


def leftovers() -> Iterator[tuple[str, bytes]]:
    yield "below_the_value", stream(TOUCH, 1, 2, 3)
    yield "mark_below", stream(op.MARK(), MKDIR, CANARY, 1)
    yield "many_stops", stream(TOUCH) + op.STOP() * 5
    yield "behind_a_mark", stream(op.MARK(), TOUCH, op.POP_MARK(), op.NONE())


def cases() -> Iterator[Case]:
    groups = {
        "truncated": truncated,
        "broken-after-call": broken,
        "frame-lie": frames,
        "polyglot": polyglots,
        "leftover": leftovers,
    }
    first_only = {"hides_a_call"}
    stock = {
        "bad_utf8": "UnicodeDecodeError",
        "bad_unicode_escape": "UnicodeDecodeError",
        "bad_int": "ValueError",
        "bad_long": "ValueError",
        "bad_escape": "ValueError",
        "unhashable_key": "TypeError",
        "unhashable_member": "TypeError",
    }
    for mechanism, group in groups.items():
        for label, data in group():
            expected = "first-only" if label in first_only else "refuse"
            yield Case(f"{mechanism}/{label}", mechanism, data, expected, error=stock.get(label))
    for label, data in several():
        yield Case(f"several-pickles/{label}", "several-pickles", data, "first-only")
