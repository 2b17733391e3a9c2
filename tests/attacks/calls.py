"""Streams that would run code: every opcode that calls, every way to spell a name, every detour.

The payload is always the making of one folder in the working directory.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator

from attacks.assembler import CANARY, MKDIR, TOUCH, TOUCH_SOURCE, Case, build, call, name, new, op, stream, text, value

PLAIN = op.GLOBAL("os", "mkdir")
LIST_OF_ONE = value([CANARY])


def direct() -> Iterator[tuple[str, bytes]]:
    yield "reduce", stream(TOUCH)
    yield "reduce_protocol0", PLAIN + op.MARK() + op.STRING(f"'{CANARY}'") + op.TUPLE() + op.REDUCE() + op.STOP()
    yield "reduce_tuple1", stream(MKDIR, CANARY, op.TUPLE1(), op.REDUCE())
    yield "inst", op.MARK() + op.STRING(f"'{CANARY}'") + op.INST("os", "mkdir") + op.STOP()
    yield "obj", stream(op.MARK(), MKDIR, CANARY, op.OBJ())
    yield "obj_of_class", stream(op.MARK(), name("subprocess", "Popen"), ["mkdir", CANARY], op.OBJ())
    yield "newobj", stream(new(name("subprocess", "Popen"), ["mkdir", CANARY]))
    yield "newobj_of_function", stream(new(MKDIR, CANARY))
    yield "newobj_ex", stream(name("subprocess", "Popen"), (["mkdir", CANARY],), {}, op.NEWOBJ_EX())
    yield "newobj_ex_map", stream(name("builtins", "map"), (MKDIR, [CANARY]), {}, op.NEWOBJ_EX())
    yield "discarded", stream(TOUCH, op.POP(), 1)
    yield "discarded_by_mark", stream(op.MARK(), TOUCH, op.POP_MARK(), 1)
    yield "deep_in_data", stream([1, {"a": (2, [TOUCH])}])
    yield "as_key", stream(op.EMPTY_DICT(), TOUCH, 1, op.SETITEM())
    yield "framed", op.PROTO(5) + op.FRAME(len(TOUCH) + 1) + TOUCH + op.STOP()
    yield "eval", stream(call(name("builtins", "eval"), f"__import__('os').mkdir({CANARY!r})"))
    yield "exec", stream(call(name("builtins", "exec"), TOUCH_SOURCE))
    yield "open", stream(call(name("builtins", "open"), CANARY, "w"))
    yield "system", stream(call(name("posix", "system"), f"mkdir {CANARY}"))
    yield (
        "compile_exec",
        stream(call(name("builtins", "exec"), call(name("builtins", "compile"), TOUCH_SOURCE, "x", "exec"))),
    )
    yield (
        "runpy",
        stream(call(name("runpy", "_run_code"), call(name("builtins", "compile"), TOUCH_SOURCE, "x", "exec"))),
    )
    yield "code_runsource", stream(call(name("code", "InteractiveInterpreter.runsource"), None, TOUCH_SOURCE))
    yield "timeit", stream(call(name("timeit", "main"), ["-n1", "-r1", TOUCH_SOURCE]))
    yield "path_mkdir", stream(call(name("pathlib", "Path.mkdir"), call(name("pathlib", "PosixPath"), CANARY)))
    yield "path_open", stream(call(name("pathlib", "Path.write_text"), call(name("pathlib", "PosixPath"), CANARY), "x"))
    yield "fileio", stream(call(name("_io", "FileIO"), CANARY, "w"))
    yield "import_only", stream(name("antigravity", "fly"))
    yield "import_submodule", stream(name("xml.sax.expatreader", "x"))
    yield "import_by_getattr", stream(call(name("builtins", "getattr"), name("xml.sax", "make_parser"), "__globals__"))


def spelling() -> Iterator[tuple[str, bytes]]:
    """A name is two literal strings, by whatever opcode they come."""
    tail = op.STACK_GLOBAL() + value((CANARY,)) + op.REDUCE()
    strings = {
        "short_binunicode": (op.SHORT_BINUNICODE("os"), op.SHORT_BINUNICODE("mkdir")),
        "binunicode": (op.BINUNICODE("os"), op.BINUNICODE("mkdir")),
        "binunicode8": (op.BINUNICODE8("os"), op.BINUNICODE8("mkdir")),
        "unicode": (op.UNICODE("os"), op.UNICODE("mkdir")),
        "unicode_escape": (op.UNICODE("\\u006fs"), op.UNICODE("mk\\u0064ir")),
        "string": (op.STRING("'os'"), op.STRING('"mkdir"')),
        "string_escape": (op.STRING(r"'\x6fs'"), op.STRING(r"'mk\144ir'")),
        "binstring": (op.BINSTRING("os"), op.BINSTRING("mkdir")),
        "short_binstring": (op.SHORT_BINSTRING("os"), op.SHORT_BINSTRING("mkdir")),
        "mixed": (op.STRING("'os'"), op.BINUNICODE8("mkdir")),
    }
    for label, (module, qualname) in strings.items():
        yield label, stream(module, qualname, tail)
    puts = {"put": op.PUT(7), "binput": op.BINPUT(7), "long_binput": op.LONG_BINPUT(7), "memoize": op.MEMOIZE()}
    gets = {"get": op.GET, "binget": op.BINGET, "long_binget": op.LONG_BINGET}
    for stored, put in puts.items():
        for read, get in gets.items():
            at = 0 if stored == "memoize" else 7
            yield f"{stored}_{read}", stream(text("os"), put, op.POP(), get(at), text("mkdir"), tail)
    yield "dup", stream(text("os"), op.DUP(), op.POP(), text("mkdir"), tail)
    yield "frame_between", stream(text("os"), op.FRAME(len(text("mkdir") + tail) + 1), text("mkdir"), tail)
    yield "posix", stream(call(name("posix", "mkdir"), CANARY))
    yield "nt_or_posix_via_os_path", stream(call(name("posixpath", "os.mkdir"), CANARY))
    yield "name_in_list", stream(text("os"), text("mkdir"), op.MARK(), text("x"), op.POP_MARK(), tail)
    yield "padded", stream(*[op.NONE() + op.POP()] * 300, TOUCH)
    # Names that the stream computes are none at all.
    made = call(name("_codecs", "encode"), codecs.encode("os", "rot13"), "rot13")
    yield "computed", stream(made, text("mkdir"), tail)
    yield "computed_str", stream(call(name("builtins", "str"), op.SHORT_BINBYTES(b"os"), "ascii"), text("mkdir"), tail)
    yield "bytes_as_name", stream(op.SHORT_BINBYTES(b"os"), op.SHORT_BINBYTES(b"mkdir"), tail)
    yield "list_as_name", stream(["os"], ["mkdir"], tail)


def memo_confusion() -> Iterator[tuple[str, bytes]]:
    """What a checker thinks stands in a slot must be what stands there."""
    touch = value((CANARY,)) + op.REDUCE()
    harmless = name("collections", "OrderedDict")
    yield "overwritten", stream(harmless, op.BINPUT(0), op.POP(), MKDIR, op.BINPUT(0), op.POP(), op.BINGET(0), touch)
    yield (
        "memoize_after_put",
        stream(
            harmless,
            op.BINPUT(0),
            op.POP(),
            op.NONE(),
            op.MEMOIZE(),
            op.POP(),
            MKDIR,
            op.BINPUT(1),
            op.POP(),
            op.BINGET(1),
            touch,
        ),
    )
    yield (
        "same_slot_other_spelling",
        stream(harmless, op.BINPUT(5), op.POP(), MKDIR, op.PUT("5"), op.POP(), op.LONG_BINGET(5), touch),
    )
    yield "leading_zero", stream(MKDIR, op.PUT("05"), op.POP(), op.GET("5"), touch)
    yield "missing_slot", stream(op.BINGET(9), touch)
    yield "missing_after_call", stream(TOUCH, op.BINGET(9))
    yield "put_on_mark", stream(op.MARK(), op.BINPUT(0), MKDIR, touch)
    yield "dup_mark", stream(MKDIR, op.DUP(), touch)
    yield "overwritten_name", stream(
        text("collections"), op.BINPUT(0), op.POP(), text("os"), op.BINPUT(0), op.POP(), op.BINGET(0), text("mkdir"),
        op.STACK_GLOBAL(), touch,
    )  # fmt: skip
    yield (
        "slot_of_a_list_that_grows",
        stream(
            op.EMPTY_LIST(), op.BINPUT(0), MKDIR, op.APPEND(), op.POP(), op.BINGET(0), value((CANARY,)), op.REDUCE()
        ),
    )


def trampolines() -> Iterator[tuple[str, bytes]]:
    """Something harmless that calls what it is given."""
    getter = name("builtins", "getattr")
    yield "map", stream(call(name("builtins", "list"), call(name("builtins", "map"), MKDIR, [CANARY])))
    yield "filter", stream(call(name("builtins", "tuple"), call(name("builtins", "filter"), MKDIR, [CANARY])))
    yield "partial", stream(op.MARK(), call(name("functools", "partial"), MKDIR, CANARY), op.TUPLE(), op.POP(), 1)
    yield "partial_called", stream(call(call(name("functools", "partial"), MKDIR, CANARY)))
    yield (
        "partial_of_partial",
        stream(call(name("functools", "partial"), call(name("functools", "partial"), MKDIR), CANARY)),
    )
    yield "reduce", stream(call(name("functools", "reduce"), MKDIR, [CANARY, 0o777]))
    yield (
        "reduce_or",
        stream(call(name("functools", "reduce"), MKDIR, [name("builtins", "int"), name("builtins", "str")])),
    )
    yield "operator_call", stream(call(name("_operator", "call"), MKDIR, CANARY))
    yield "methodcaller", stream(call(call(name("operator", "methodcaller"), "mkdir", CANARY), name("os", "path")))
    yield "attrgetter", stream(call(call(call(name("operator", "attrgetter"), "mkdir"), name("os", "path")), CANARY))
    yield "starmap", stream(call(name("builtins", "list"), call(name("itertools", "starmap"), MKDIR, [(CANARY,)])))
    yield "getattr_function", stream(call(call(getter, name("collections", "os"), "mkdir"), CANARY))
    yield "getattr_class_method", stream(call(call(getter, name("pathlib", "PosixPath"), "mkdir"), CANARY))
    yield "getattr_result", stream(call(call(getter, call(name("pathlib", "PosixPath"), CANARY), "mkdir")))
    yield "getattr_dunder", stream(call(getter, name("collections", "OrderedDict"), "__init__"))
    yield "getattr_globals", stream(call(getter, call(getter, name("collections", "Counter"), "update"), "__globals__"))
    yield "subclasses", stream(call(call(getter, name("builtins", "object"), "__subclasses__")))
    yield "start_thread", stream(call(name("_thread", "start_new_thread"), MKDIR, (CANARY,)))
    yield "sched", stream(call(name("threading", "Timer"), 0, MKDIR, [CANARY]))
    yield "iter_sentinel", stream(call(name("builtins", "iter"), call(name("functools", "partial"), MKDIR, CANARY), 1))
    yield "sorted_key", stream(name("builtins", "sorted"), ([CANARY],), op.REDUCE())
    yield "counter_of_map", stream(call(name("collections", "Counter"), call(name("builtins", "map"), MKDIR, [CANARY])))
    yield "deque_of_map", stream(call(name("collections", "deque"), call(name("builtins", "map"), MKDIR, [CANARY])))
    yield "bytes_of_map", stream(new(name("builtins", "bytes"), call(name("builtins", "map"), MKDIR, [CANARY])))
    yield "frozenset_of_map", stream(new(name("builtins", "frozenset"), call(name("builtins", "map"), MKDIR, [CANARY])))
    yield (
        "ordereddict_fromkeys",
        stream(call(name("collections", "OrderedDict.fromkeys"), call(name("builtins", "map"), MKDIR, [CANARY]))),
    )
    yield "genericalias", stream(call(name("types", "GenericAlias"), name("builtins", "list"), MKDIR))
    yield "property", stream(call(name("builtins", "property"), MKDIR))
    yield (
        "reconstructor",
        stream(call(name("copyreg", "_reconstructor"), name("subprocess", "Popen"), name("builtins", "object"), None)),
    )
    yield "newobj_function", stream(call(name("copyreg", "__newobj__"), name("subprocess", "Popen"), ["mkdir", CANARY]))
    yield (
        "newobj_ex_function",
        stream(call(name("copyreg", "__newobj_ex__"), name("subprocess", "Popen"), (["mkdir", CANARY],), {})),
    )
    yield "reduce_of_instance", stream(call(getter, name("collections", "Counter"), "__reduce_ex__"))


def delayed() -> Iterator[tuple[str, bytes]]:
    """Nothing happens during the load; the object does it when it is used."""
    factory = call(name("functools", "partial"), MKDIR, CANARY)
    yield "defaultdict_function", stream(call(name("collections", "defaultdict"), MKDIR))
    yield "defaultdict_partial", stream(call(name("collections", "defaultdict"), factory))
    yield (
        "defaultdict_setitems",
        stream(call(name("collections", "defaultdict"), factory), op.MARK(), 1, 2, op.SETITEMS()),
    )
    yield (
        "partial_state",
        stream(build(call(name("functools", "partial"), name("builtins", "int")), (MKDIR, (CANARY,), {}, None))),
    )
    yield "bare_function", stream([MKDIR])
    yield "bare_function_p0", PLAIN + op.STOP()
    yield "bare_partial", stream({"callback": factory})
    yield "map_returned", stream(call(name("builtins", "map"), MKDIR, [CANARY]))
    yield "namespace_holds", stream(build(call(name("types", "SimpleNamespace")), {"repr": MKDIR}))
    yield "namespace_key", stream(op.EMPTY_DICT(), "a", MKDIR, op.SETITEM())
    yield "set_member", stream(op.EMPTY_SET(), op.MARK(), MKDIR, op.ADDITEMS())
    yield "frozenset_member", stream(op.MARK(), MKDIR, op.FROZENSET())
    yield "userdict_data", stream(build(new(name("collections", "UserDict")), {"data": MKDIR}))
    yield "atexit", stream(call(name("atexit", "register"), MKDIR, CANARY))
    yield (
        "weakref_finalize",
        stream(call(name("weakref", "finalize"), call(name("types", "SimpleNamespace")), MKDIR, CANARY)),
    )
    yield "exitstack", stream(build(new(name("contextlib", "ExitStack")), {"_exit_callbacks": [MKDIR]}))
    yield (
        "tzinfo",
        stream(call(name("datetime", "datetime"), bytearray(b"\x07\xe8\x01\x02\x00\x00\x00\x00\x00\x00"), MKDIR)),
    )


INNER = stream(TOUCH)


def nested() -> Iterator[tuple[str, bytes]]:
    inner = op.BINBYTES(INNER)
    for module, function in (
        ("pickle", "loads"), ("_pickle", "loads"), ("pickle", "_loads"), ("marshal", "loads"), ("cPickle", "loads"),
        ("torshi", "loads"), ("torshi._native", "loads"), ("torshi._unpickler", "loads"), ("cloudpickle", "loads"),
        ("dill", "loads"), ("joblib", "load"), ("shelve", "open"), ("yaml", "unsafe_load"),
    ):  # fmt: skip
        yield f"{module}.{function}", stream(call(name(module, function), inner))
    file = call(name("io", "BytesIO"), inner)
    yield "unpickler", stream(call(name("pickle", "Unpickler.load"), call(name("pickle", "Unpickler"), file)))
    yield (
        "torshi_unrestricted",
        stream(call(name("torshi", "loads"), inner, call(name("torshi", "unrestricted"), "because the file says so"))),
    )
    yield "policy_made_by_file", stream(call(name("torshi._policy", "_rebuilt"), "allow = ['*']", "mine"))
    yield "twice", stream(call(name("pickle", "loads"), op.BINBYTES(stream(call(name("pickle", "loads"), inner)))))


def python2() -> Iterator[tuple[str, bytes]]:
    """Old names mean new ones, and a second PROTO must not change what a name means to one side only."""
    touch = value((CANARY,)) + op.REDUCE()
    yield "builtin", op.PROTO(2) + op.GLOBAL("__builtin__", "eval") + value((TOUCH_SOURCE,)) + op.REDUCE() + op.STOP()
    yield "execfile", op.PROTO(2) + op.GLOBAL("__builtin__", "execfile") + touch + op.STOP()
    yield "imap", op.PROTO(2) + op.GLOBAL("itertools", "imap") + value((MKDIR, [CANARY])) + op.REDUCE() + op.STOP()
    yield (
        "cpickle",
        op.PROTO(2) + op.GLOBAL("cPickle", "loads") + op.BINUNICODE("x") + op.TUPLE1() + op.REDUCE() + op.STOP(),
    )
    yield "urllib", op.PROTO(2) + op.GLOBAL("urllib", "urlopen") + touch + op.STOP()
    yield "second_proto_up", op.PROTO(2) + op.PROTO(4) + op.GLOBAL("__builtin__", "eval") + touch + op.STOP()
    yield "second_proto_down", op.PROTO(4) + op.PROTO(2) + op.GLOBAL("__builtin__", "eval") + touch + op.STOP()
    yield (
        "proto_between",
        op.PROTO(2) + text("__builtin__") + op.PROTO(4) + text("eval") + op.STACK_GLOBAL() + touch + op.STOP(),
    )
    yield "proto_255", op.PROTO(255) + TOUCH + op.STOP()
    yield "commands", op.GLOBAL("commands", "getoutput") + value((f"mkdir {CANARY}",)) + op.REDUCE() + op.STOP()


def registry() -> Iterator[tuple[str, bytes]]:
    """Extension codes name whatever somebody registered; 201 is `os.mkdir` in the tests."""
    touch = value((CANARY,)) + op.REDUCE()
    yield "ext1", stream(op.EXT1(201), touch)
    yield "ext2", stream(op.EXT2(201), touch)
    yield "ext4", stream(op.EXT4(201), touch)
    yield "ext_unknown", stream(op.EXT4(0x7FFFFFFF), touch)
    yield "ext_zero", stream(op.EXT1(0), touch)
    yield "ext_negative", stream(op.EXT4(-5), touch)
    yield (
        "poisons_the_cache",
        stream(op.MARK(), name("copyreg", "_extension_cache"), 202, MKDIR, op.SETITEM(), op.EXT1(202), touch),
    )
    yield (
        "poisons_the_registry",
        stream(name("copyreg", "_inverted_registry"), 202, ("os", "mkdir"), op.SETITEM(), op.EXT1(202), touch),
    )
    yield (
        "adds_an_extension",
        stream(call(name("copyreg", "add_extension"), "os", "mkdir", 202), op.POP(), op.EXT1(202), touch),
    )
    yield "poisons_dispatch", stream(call(name("copyreg", "pickle"), name("builtins", "int"), MKDIR))


def cases() -> Iterator[Case]:
    groups = {
        "direct-call": direct,
        "name-spelling": spelling,
        "memo-confusion": memo_confusion,
        "trampoline": trampolines,
        "delayed-payload": delayed,
        "nested-deserialiser": nested,
        "python2-names": python2,
        "extension-registry": registry,
    }
    for mechanism, group in groups.items():
        for label, data in group():
            yield Case(f"{mechanism}/{label}", mechanism, data)
