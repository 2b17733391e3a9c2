"""Streams that reach for what they were not given: state of classes and modules, names inside names,
attributes that shadow methods, forged insides of objects whose C code trusts them.
"""

from __future__ import annotations

from collections.abc import Iterator

from attacks.assembler import CANARY, MKDIR, TOUCH, Case, build, call, name, new, op, stream, text, value

VALUE = name("victim", "Value")
INSTANCE = new(VALUE)
TRUST_VALUE = ("victim.Value",)
NUMPY = ("numpy",)

Labelled = Iterator[tuple[str, bytes, tuple[str, ...]]]


def state_on_code() -> Labelled:
    """BUILD, SETITEMS and APPENDS need an instance: never a class, a module or a function."""
    patch = {"x": 1}
    yield "class", stream(build(VALUE, patch)), TRUST_VALUE
    yield "class_setstate", stream(build(VALUE, {"__setstate__": MKDIR})), (*TRUST_VALUE, "os.mkdir")
    yield "class_eq", stream(build(name("collections", "Counter"), {"__eq__": name("builtins", "int")})), ()
    yield "table_class", stream(build(name("types", "SimpleNamespace"), patch)), ()
    yield "class_slots", stream(build(VALUE, (None, {"x": 1}))), TRUST_VALUE
    yield "class_from_memo", stream(VALUE, op.MEMOIZE(), op.POP(), build(op.BINGET(0), patch)), TRUST_VALUE
    yield "function", stream(build(MKDIR, {"__doc__": "x"})), ("os.mkdir",)
    yield "module", stream(build(name("victim", "os"), {"getcwd": MKDIR})), ("victim.*",)
    yield "module_dict", stream(name("victim", "__dict__"), "Value", 1, op.SETITEM()), ("victim.*",)
    yield "environ", stream(name("os", "environ"), "PATH", "x", op.SETITEM()), ()
    yield "sys_path", stream(name("sys", "path"), op.MARK(), "x", op.APPENDS()), ()
    yield "sys_modules", stream(name("sys", "modules"), "os", 1, op.SETITEM()), ()
    yield "builtins_dict", stream(name("builtins", "__dict__"), "len", MKDIR, op.SETITEM()), ()
    yield "warnings_filters", stream(name("warnings", "filters"), op.MARK(), 1, op.APPENDS()), ()
    yield "none", stream(build(op.NONE(), patch)), ()
    yield "true", stream(build(op.NEWTRUE(), patch)), ()
    yield "ellipsis", stream(build(name("builtins", "Ellipsis"), patch)), ()
    yield "not_implemented", stream(build(name("builtins", "NotImplemented"), patch)), ()
    yield "enum_member", stream(build(call(name("re", "RegexFlag"), 2), {"_value_": 4})), ()
    yield "singleton_safeuuid", stream(build(call(name("uuid", "SafeUUID"), -1), {"_value_": 1})), ()
    yield "zoneinfo", stream(build(call(name("zoneinfo", "ZoneInfo._unpickle"), "UTC", 1), {"key": "x"})), ()
    yield "integer", stream(build(value(1), patch)), ()
    yield "list", stream(build(op.EMPTY_LIST(), patch)), ()
    yield "type_of_none", stream(build(call(name("builtins", "type"), None), {"x": 1})), ()


def dunder_state() -> Labelled:
    """State never reaches a name that Python itself looks up."""
    for key in ("__class__", "__dict__", "__setstate__", "__reduce__", "__getattr__", "__init__", "__wrapped__"):
        yield key, stream(build(INSTANCE, {key: name("victim", "Slotted")})), ("victim.Value", "victim.Slotted")
        slots = op.NONE() + value({key: name("victim", "Slotted")}) + op.TUPLE2()
        yield f"slots_{key}", stream(build(INSTANCE, slots)), ("victim.Value", "victim.Slotted")
    yield "namespace_class", stream(build(call(name("types", "SimpleNamespace")), {"__class__": VALUE})), TRUST_VALUE
    escaped = op.EMPTY_DICT() + op.UNICODE("\\u005f_class__") + VALUE + op.SETITEM()
    yield "escaped", stream(build(INSTANCE, escaped)), TRUST_VALUE
    late = op.EMPTY_DICT() + op.MEMOIZE() + text("__class__") + VALUE + op.SETITEM()
    yield "one_setitem", stream(build(INSTANCE, late)), TRUST_VALUE
    two = op.EMPTY_DICT() + text("x") + value(1) + op.SETITEM() + text("__class__") + VALUE + op.SETITEM()
    yield "second_key", stream(build(INSTANCE, two)), TRUST_VALUE
    yield "fraction_slots", stream(build(call(name("fractions", "Fraction"), "1/2"), (None, {"_numerator": "x"}))), ()


def shadowing() -> Labelled:
    """An instance attribute that stands where a method is looked up, and the opcode that looks it up."""
    namespace = call(name("types", "SimpleNamespace"))
    for attribute, tail in (
        ("append", text(CANARY) + op.APPEND()),
        ("extend", op.MARK() + text(CANARY) + op.APPENDS()),
        ("add", op.MARK() + text(CANARY) + op.ADDITEMS()),
        ("__setitem__", text(CANARY) + value(1) + op.SETITEM()),
        ("__setstate__", value({"x": 1}) + op.BUILD()),
    ):
        yield f"namespace_{attribute}", stream(build(namespace, {attribute: MKDIR}), tail), ()
        yield f"trusted_{attribute}", stream(build(INSTANCE, {attribute: MKDIR}), tail), TRUST_VALUE
    yield (
        "list_subclass",
        stream(build(new(name("victim", "Watched")), {"extend": MKDIR}), op.MARK(), 1, op.APPENDS()),
        ("victim.Watched",),
    )
    yield "userlist", stream(build(new(name("collections", "UserList")), {"append": MKDIR}), CANARY, op.APPEND()), ()


def dotted() -> Labelled:
    """A name inside a name reaches only what was reviewed under that very name."""
    for module, qualname in (
        ("collections", "OrderedDict.__init__"), ("collections", "OrderedDict.fromkeys"),
        ("builtins", "object.__subclasses__"),
        ("collections", "_sys.modules"), ("fractions", "Fraction.__init__.__globals__"), ("enum", "bltns.eval"),
        ("pathlib", "os.mkdir"), ("tempfile", "_os.mkdir"), ("random", "_os.mkdir"), ("uuid", "os.mkdir"),
        ("argparse", "_sys.modules"), ("fnmatch", "os.mkdir"), ("logging", "os.mkdir"),
        ("decimal", "Decimal.__class__"),
        ("datetime", "sys.modules"), ("datetime", "datetime.now"), ("datetime", "datetime.strptime"),
    ):  # fmt: skip
        yield f"{module}.{qualname}", stream(call(name(module, qualname), CANARY)), ()
    yield "global_opcode", stream(op.GLOBAL("pathlib", "os.mkdir") + value((CANARY,)) + op.REDUCE()), ()
    yield "inst_opcode", stream(op.MARK() + text(CANARY) + op.INST("pathlib", "os.mkdir")), ()
    yield "getattr_chain", stream(call(call(name("builtins", "getattr"), name("pathlib", "os"), "mkdir"), CANARY)), ()


def called_results() -> Labelled:
    """What a trusted call makes is called, behind a state as the one partial has that pickle itself writes."""
    trust = ("victim.Command", "victim.Value")
    of_value = call(name("builtins", "getattr"), VALUE, "__new__")
    state = (of_value, (VALUE,), {}, None)
    for way, make in (("call", call), ("construct", new)):
        yield way, stream(call(build(make(name("victim", "Command"), of_value), state))), trust
        yield f"{way}_without_state", stream(call(make(name("victim", "Command"), of_value))), trust
    yield "plain", stream(call(call(name("victim", "Command")))), trust


def re_exported() -> Labelled:
    """Trusting a package is not trusting what the package imports."""
    glob = ("victim.*",)
    yield "module_inside", stream(call(name("victim", "os.mkdir"), CANARY)), glob
    yield "function_inside", stream(call(name("victim", "mkdir"), CANARY)), glob
    yield "class_inside", stream(call(name("victim", "subprocess.Popen"), ["mkdir", CANARY])), glob
    yield "submodule_name", stream(call(name("victim.os", "mkdir"), CANARY)), glob
    yield "renamed", stream(call(name("victim", "renamed.os.mkdir"), CANARY)), glob
    yield "by_getattr", stream(call(call(name("builtins", "getattr"), name("victim", "os"), "mkdir"), CANARY)), glob
    yield "dunder_inside", stream(call(name("victim", "Value.__init__.__globals__"))), glob
    yield "module_as_value", stream([name("victim", "os")]), glob
    yield "private_dunder", stream([name("victim", "__builtins__")]), glob
    yield "obj", stream(op.MARK(), name("victim", "mkdir"), CANARY, op.OBJ()), glob
    yield "inst", op.MARK() + text(CANARY) + op.INST("victim", "mkdir") + op.STOP(), glob
    yield "sibling_prefix", stream(name("victims", "x")), glob


def odd_names() -> Labelled:
    touch = value((CANARY,)) + op.REDUCE()
    for label, module, qualname in (
        ("empty_module", "", "mkdir"), ("empty_name", "os", ""), ("both_empty", "", ""), ("nul", "os\0", "mkdir"),
        ("nul_inside", "builtins\0x", "int"), ("nul_name", "builtins", "int\0"), ("ansi", "\x1b[2Jos", "mk\x1b[0mdir"),
        ("relative", ".os", "mkdir"), ("dots", "..", ".."), ("trailing_dot", "os.", "mkdir"),
        ("double_dot", "os", "path..x"),
        ("leading_dot_name", "builtins", ".int"), ("space", "builtins ", "int"), ("newline", "builtins\n", "int"),
        ("locals", "victim", "f.<locals>.g"), ("lambda", "victim", "<lambda>"), ("bidi", "\u202eso", "mkdir"),
        ("surrogate", "os\udc80", "mkdir"), ("homoglyph", "builtin\u0455", "int"),
        ("fullwidth", "\uff4f\uff53", "mkdir"),
        ("path", "/etc/passwd", "x"), ("huge", "m" * 70_000, "n" * 70_000), ("many_dots", "a", ".".join("b" * 5000)),
        ("colon", "os:mkdir", "x"), ("glob", "*", "*"), ("quote", "os'\"", "mkdir"),
    ):  # fmt: skip
        if label != "surrogate":
            yield label, stream(text(module), text(qualname), op.STACK_GLOBAL(), touch), ("victim.*",)
    yield "surrogate", stream(op.BINUNICODE("os\udc80"), text("mkdir"), op.STACK_GLOBAL(), touch), ()
    yield "not_utf8", b"c\xff\xfe\nmkdir\n" + touch + b".", ()
    yield "latin1_name", b"cos\nmk\xe9dir\n" + touch + b".", ()
    yield "carriage_return", b"cos\r\nmkdir\r\n" + touch + b".", ()


def reconstructors() -> Labelled:
    """Helpers that make an instance of the class they are given."""
    made = name("copyreg", "_reconstructor")
    obj = name("builtins", "object")
    yield "function_as_class", stream(call(made, MKDIR, obj, None)), ()
    yield "type", stream(call(made, name("builtins", "type"), obj, None)), ()
    yield "map", stream(call(made, name("builtins", "map"), obj, None)), ()
    yield "code", stream(call(name("copyreg", "__newobj__"), name("types", "CodeType"), 0)), ()
    yield "function_type", stream(call(name("copyreg", "__newobj__"), name("types", "FunctionType"), None)), ()
    yield "type_call", stream(call(name("builtins", "type"), "X", (), {"__del__": MKDIR})), ()
    yield "newobj_type", stream(new(name("builtins", "type"), "X", op.EMPTY_TUPLE(), {})), ()
    yield "wrong_base", stream(call(made, VALUE, name("builtins", "list"), [1])), ()
    yield "newobj_not_class", stream(new(value("x"), 1)), ()
    yield "newobj_none", stream(new(op.NONE())), ()
    yield "reduce_text", stream(call(text("os.mkdir"), CANARY)), ()
    yield "reduce_result", stream(call(call(name("builtins", "complex"), 1.0, 2.0), 1)), ()
    yield "reduce_not_tuple", stream(name("collections", "deque"), [1], op.REDUCE()), ()
    yield "keywords_not_dict", stream(name("collections", "UserDict"), (), 5, op.NEWOBJ_EX()), ()
    yield "keywords_not_text", stream(VALUE, (), {1: 2}, op.NEWOBJ_EX()), TRUST_VALUE


def forged() -> Labelled:
    """Insides that C code would believe."""
    date = name("datetime", "datetime")
    yield "datetime_month_13", stream(call(date, bytearray(b"\x07\xe8\x0d\x02" + bytes(6)))), ()
    yield "datetime_all_ff", stream(call(date, bytearray(b"\xff" * 10))), ()
    yield "datetime_hour_99", stream(call(date, bytearray(b"\x07\xe8\x01\x02\x63" + bytes(5)))), ()
    yield "date_day_31_feb", stream(call(name("datetime", "date"), bytearray(b"\x07\xe8\x02\x1f"))), ()
    yield "date_text_state", stream(call(name("datetime", "date"), "\x07\u00e8\x02\x1f")), ()
    yield "time_minute_255", stream(call(name("datetime", "time"), bytearray(b"\x01\xff" + bytes(4)))), ()
    yield "timedelta_huge", stream(call(name("datetime", "timedelta"), 10**12, 0, 0)), ()
    yield "timezone_of_text", stream(call(name("datetime", "timezone"), "x")), ()
    uuid = new(name("uuid", "UUID"))
    yield "uuid_text", stream(build(uuid, {"int": "x"})), ()
    yield "uuid_too_large", stream(build(uuid, {"int": 1 << 128})), ()
    yield "uuid_negative", stream(build(uuid, {"int": -1})), ()
    yield "uuid_extra", stream(build(uuid, {"int": 1, "hex": "x"})), ()
    generator = call(name("random", "Random"))
    yield "random_short", stream(build(generator, (3, tuple(range(10)), None))), ()
    yield "random_index", stream(build(generator, (3, (*range(624), 10**6), None))), ()
    yield "random_negative_index", stream(build(generator, (3, (*range(624), -5), None))), ()
    yield "random_words", stream(build(generator, (3, (*["x"] * 624, 1), None))), ()
    yield "random_version", stream(build(generator, (9, (*range(624), 1), None))), ()
    yield (
        "array_short",
        stream(call(name("array", "_array_reconstructor"), name("array", "array"), "d", 15, bytearray(7))),
        (),
    )
    yield (
        "array_typecode",
        stream(call(name("array", "_array_reconstructor"), name("array", "array"), "O", 15, bytearray(8))),
        (),
    )
    yield "array_wrong_class", stream(call(name("array", "_array_reconstructor"), MKDIR, "d", 15, bytearray(8))), ()
    yield "decimal_context", stream(call(name("decimal", "Context"), 10**30, "x", 0, 0, 0, 0, [], [])), ()
    yield "partial_state_text", stream(build(call(name("functools", "partial"), name("builtins", "int")), "x")), ()
    yield "bytesio_negative", stream(build(new(name("_io", "BytesIO")), (bytearray(b"x"), -1, None))), ()
    yield "stringio_bytes", stream(build(new(name("_io", "StringIO")), (bytearray(b"x"), "\n", 0, None))), ()
    yield (
        "element_text",
        stream(build(new(name("xml.etree.ElementTree", "Element")), {"tag": "a", "_children": "x"})),
        (),
    )
    yield (
        "element_child",
        stream(build(new(name("xml.etree.ElementTree", "Element")), {"tag": "a", "_children": [1]})),
        (),
    )
    yield "zoneinfo_escape", stream(call(name("zoneinfo", "ZoneInfo._unpickle"), "../../etc/passwd", 1)), ()
    yield "regex_debug", stream(call(name("re", "_compile"), "a", 128)), ()
    yield "struct_time_short", stream(call(name("time", "struct_time"), (1, 2))), ()
    yield "slice_of_call", stream(call(name("builtins", "slice"), TOUCH, None, None)), ()


def dtype(code: str, *state: object) -> bytes:
    made = call(name("numpy", "dtype"), code, False, True)
    return build(made, state) if state else made


def array(kind: bytes, shape: tuple[int, ...], data: object, version: int = 1) -> bytes:
    made = call(name("numpy.core.multiarray", "_reconstruct"), name("numpy", "ndarray"), (0,), bytearray(b"b"))
    return build(made, op.MARK() + value(version) + value(shape) + kind + value(False) + value(data) + op.TUPLE())


PLAIN_DTYPE = (3, "<", None, None, None, -1, -1, 0)


def numpy_lies() -> Labelled:
    """Segmentation faults, in a loader that lets these through."""
    float64 = dtype("f8", *PLAIN_DTYPE)
    objects = dtype("O8", 3, "|", None, None, None, -1, -1, 63)
    flagless = dtype("O8", 3, "|", None, None, None, -1, -1, 0)
    pointer = bytearray(b"\x41" * 8)
    yield "object_buffer", stream(array(objects, (1,), pointer)), ()
    yield "object_buffer_no_flags", stream(array(flagless, (1,), pointer)), ()
    yield "flags_on_float", stream(array(dtype("f8", 3, "<", None, None, None, -1, -1, 63), (1,), pointer)), ()
    yield "object_list_short", stream(array(objects, (1000,), [1])), ()
    yield "object_list_missing", stream(array(objects, (4,), op.NONE())), ()
    yield "bytes_short", stream(array(float64, (1000,), bytearray(8))), ()
    yield "bytes_long", stream(array(float64, (1,), bytearray(80))), ()
    yield "shape_negative", stream(array(float64, (-1,), bytearray(8))), ()
    yield "shape_overflow", stream(array(float64, (2**40, 2**40), bytearray(8))), ()
    yield "shape_text", stream(array(float64, ("x",), bytearray(8))), ()
    yield "dtype_object", stream(call(name("numpy", "dtype"), name("os", "mkdir"), False, True)), ()
    yield "dtype_of_class", stream(call(name("numpy", "dtype"), name("victim", "Value"), False, True)), TRUST_VALUE
    yield "item_size", stream(array(dtype("V8", 3, "|", None, None, None, 10**9, 1, 0), (1,), pointer)), ()
    yield "negative_size", stream(array(dtype("S8", 3, "|", None, None, None, -9, 1, 0), (1,), pointer)), ()
    fields = {"a": (float64, 0), "b": (objects, 100)}
    yield (
        "field_offset_outside",
        stream(array(dtype("V16", 3, "|", None, ("a", "b"), fields, 16, 1, 16), (1,), bytearray(16))),
        (),
    )
    yield (
        "field_names_differ",
        stream(array(dtype("V8", 3, "|", None, ("a", "z"), {"a": (float64, 0)}, 8, 1, 0), (1,), pointer)),
        (),
    )
    shared = op.EMPTY_DICT() + op.BINPUT(9) + text("a") + float64 + value(0) + op.TUPLE2() + op.SETITEM()
    changed = op.BINGET(9) + text("a") + objects + value(0) + op.TUPLE2() + op.SETITEM() + op.POP()
    kind = dtype("V8", 3, "|", None, op.MARK() + text("a") + op.TUPLE(), shared, 8, 1, 0)
    yield (
        "fields_changed_after_build",
        stream(kind, op.BINPUT(8), op.POP(), changed, array(op.BINGET(8), (1,), pointer)),
        (),
    )
    yield "subarray", stream(array(dtype("V8", 3, "|", (objects, (1,)), None, None, 8, 1, 0), (1,), pointer)), ()
    scalar = name("numpy.core.multiarray", "scalar")
    yield "scalar_object_bytes", stream(call(scalar, objects, pointer)), ()
    yield "scalar_short", stream(call(scalar, float64, bytearray(3))), ()
    yield (
        "scalar_structured",
        stream(call(scalar, dtype("V16", 3, "|", None, ("a",), {"a": (objects, 0)}, 16, 1, 63), bytearray(16))),
        (),
    )
    frombuffer = name("numpy.core.numeric", "_frombuffer")
    yield "frombuffer_object", stream(call(frombuffer, pointer, objects, (1,), "C")), ()
    yield "frombuffer_short", stream(call(frombuffer, pointer, float64, (100,), "C")), ()
    yield "frombuffer_order", stream(call(frombuffer, pointer, float64, (1,), "K")), ()
    yield (
        "reconstruct_huge",
        stream(
            call(name("numpy.core.multiarray", "_reconstruct"), name("numpy", "ndarray"), (2**40,), bytearray(b"b"))
        ),
        (),
    )
    yield (
        "reconstruct_wrong_class",
        stream(call(name("numpy.core.multiarray", "_reconstruct"), name("builtins", "dict"), (0,), bytearray(b"b"))),
        (),
    )
    yield "fromfile", stream(call(name("numpy", "fromfile"), "/etc/hostname")), ()
    yield "vectorize", stream(call(name("numpy", "vectorize"), MKDIR)), ()
    yield "zeros", stream(call(name("numpy", "zeros"), 2**40)), ()
    yield "load", stream(call(name("numpy", "load"), "x.npy")), ()
    yield "generator_function", stream(call(name("numpy.random._pickle", "__generator_ctor"), MKDIR)), ()
    yield "bit_generator_state", stream(
        build(call(name("numpy.random._pickle", "__bit_generator_ctor"), "MT19937"),
              {"bit_generator": "MT19937", "state": {"key": "x", "pos": 10**9}})
    ), ()  # fmt: skip
    # Behind more entries than a check keeps: an entry that may be absent must not pass unseen.
    filler = {f"filler{n}": None for n in range(40)}
    inner = {"state": 1, "inc": 3}
    late = {"bit_generator": "PCG64", "state": inner, **filler, "has_uint32": 7, "uinteger": 2**40}
    yield "bit_generator_late_entry", stream(
        build(call(name("numpy.random._pickle", "__bit_generator_ctor"), "PCG64"), late)
    ), ()  # fmt: skip


# Harmless once checked: the import or the class itself refuses, with its own exception, as under stock pickle.
CONSTRUCTORS_REFUSE = {
    "submodule_name": "ModuleNotFoundError",
    "struct_time_short": "TypeError",
    "scalar_object_bytes": "TypeError",
    "frombuffer_order": "ValueError",
}


def cases() -> Iterator[Case]:
    groups = {
        "state-on-code": state_on_code,
        "dunder-state": dunder_state,
        "shadowed-method": shadowing,
        "dotted-name": dotted,
        "re-exported": re_exported,
        "called-result": called_results,
        "odd-name": odd_names,
        "reconstructor": reconstructors,
        "forged-state": forged,
        "numpy-lie": numpy_lies,
    }
    for mechanism, group in groups.items():
        needs = NUMPY if mechanism == "numpy-lie" else ()
        for label, data, trust in group():
            # What C code would believe crashes whoever builds it.
            isolated = mechanism in ("forged-state", "numpy-lie")
            error = CONSTRUCTORS_REFUSE.get(label)
            yield Case(
                f"{mechanism}/{label}", mechanism, data, trust=trust, needs=needs, isolated=isolated, error=error
            )
