"""Tensors in files of torshi that lie: views beyond their storage, types that are not those of the bytes, bools of
other bytes, memory that must not be written to. torch's compiled code would believe most of them; each is refused
before torch is imported.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from attacks.assembler import Case, build, call, name, new, op, stream
from attacks.scientific import dtype

Labelled = Iterator[tuple[str, bytes]]

TORCH = {
    key: name("torch", qualname)
    for key, qualname in {
        "row": "from_numpy", "view": "Tensor.view", "strided": "as_strided", "conj": "conj",
        "grad": "Tensor.requires_grad_",
    }.items()
}  # fmt: skip
HOOKS = call(name("collections", "OrderedDict"))
FLAT = (6,)


def array(code: str = "f4", data: bytes | None = None, shape: tuple[int, ...] = FLAT, **kind: Any) -> bytes:
    """An array over a bytearray; of ``held`` instead, if that is given."""
    held = kind.pop("held", None) or op.BYTEARRAY8(bytes(24) if data is None else data)
    made = kind.pop("dtype", None) or dtype("b1" if code == "u1" else code, **kind)
    if code == "u1":
        made = build(call(name("numpy", "dtype"), "u1", False, True), (3, "|", None, None, None, -1, -1, 0))
    return call(name("numpy._core.numeric", "_frombuffer"), held, made, shape, "C")


def row(*given: Any, **how: Any) -> bytes:
    return call(TORCH["row"], array(*given, **how))


def strided(base: bytes, sizes: Any = (2, 3), strides: Any = (3, 1), offset: Any = 0) -> bytes:
    return call(TORCH["strided"], base, sizes, strides, offset)


def integers() -> bytes:
    return strided(row("i4"))


def outside() -> Labelled:
    """Views that reach beyond their storage, or before it."""
    huge = 2**63 - 1
    for label, parts in {
        "sizes_beyond": ((2, 4), (3, 1), 0),
        "strides_beyond": ((2, 3), (4, 1), 0),
        "stride_huge": ((2, 3), (huge, 1), 0),
        "stride_wraps": ((3, 2), (2**62, 1), 0),
        "stride_of_nine_bytes": ((2, 3), (2**64 + 3, 1), 0),
        "offset_beyond": ((2, 3), (3, 1), 1),
        "offset_huge": ((1,), (1,), huge),
        "offset_negative": ((2, 3), (3, 1), -1),
        "strides_negative": ((2, 3), (-3, 1), 3),
        "sizes_negative": ((-2, 3), (3, 1), 0),
        "sizes_negative_twice": ((-2, -3), (3, 1), 0),
        "axes_disagree": ((2, 3), (3,), 0),
        "axes_too_many": ((1,) * 65, (1,) * 65, 0),
        "sizes_huge": ((huge,), (0,), 0),
        "sizes_wrap": ((2**32, 2**32), (0, 0), 0),
        "sizes_wrap_beside_none": ((0, huge, huge), (0, 0, 0), 0),
        "many_of_one": ((2**32 + 1,), (0,), 0),
        "none_beyond": ((0, 3), (3, 1), 7),
        "sizes_of_floats": ((2.0, 3.0), (3, 1), 0),
        "sizes_a_list": ([2, 3], (3, 1), 0),
        "no_offset": ((2, 3), (3, 1), None),
    }.items():
        yield label, stream(strided(row(), *parts), protocol=5)
    kept = strided(row(), op.MARK() + op.BININT1(2) + op.BININT1(3) + op.TUPLE() + op.MEMOIZE(), op.BINGET(0))
    yield "strides_are_the_sizes_again", stream(kept, protocol=5)
    yield "view_of_a_view", stream(strided(strided(row(), (1,), (1,)), (6,), (1,)), protocol=5)


def types() -> Labelled:
    """Storages of one type that are read as another."""
    record = (3, "|", None, ("a",), {"a": (dtype("f8"), 0)}, 8, 1, 16)
    references = (3, "|", None, ("a",), {"a": (dtype("O8"), 0)}, 8, 1, 27)
    dates = (4, "<", None, None, None, -1, -1, 0, (None, (bytearray(b"ns"), 1, 1, 1)))
    yield "objects", stream(row("O8", bytes(48)), protocol=5)
    for label, code, kind in (
        ("objects_in_records", "V8", references), ("records", "V8", record), ("dates", "M8", dates),
    ):  # fmt: skip
        made = build(call(name("numpy", "dtype"), code, False, True), kind)
        yield label, stream(row(code, bytes(48), dtype=made), protocol=5)
    yield "big_endian", stream(row("f8", bytes(48), order=">"), protocol=5)
    yield "dtype_without_state", stream(row(dtype=call(name("numpy", "dtype"), "f4", False, True)), protocol=5)
    yield "fewer_bytes", stream(row(data=bytes(23)), protocol=5)
    yield "more_numbers", stream(row(shape=(7,)), protocol=5)
    yield "matrix", stream(row(shape=(2, 3)), protocol=5)
    yield "wider", stream(call(TORCH["view"], row("i4", bytes(20), (5,)), name("torch", "float64")), protocol=5)
    for label, module, qualname in (
        ("quantised", "torch", "qint8"), ("no_type", "builtins", "float"), ("a_class", "torch", "Tensor"),
        ("a_storage", "torch", "FloatStorage"),
    ):  # fmt: skip
        yield f"as_{label}", stream(call(TORCH["view"], row(), name(module, qualname)), protocol=5)
    yield "as_sizes", stream(call(TORCH["view"], row(), (2, 12)), protocol=5)
    yield (
        "view_of_what_is_viewed",
        stream(
            call(TORCH["view"], call(TORCH["view"], row(), name("torch", "int16")), name("torch", "int64")), protocol=5
        ),
    )
    yield "bools_of_other_bytes", stream(row("b1", b"\0\1\2\0\1\xff"), protocol=5)
    yield "bytes_as_bools", stream(call(TORCH["view"], row("u1", b"\0\1\2\0\1\xff"), name("torch", "bool")), protocol=5)
    yield "conjugated_reals", stream(call(TORCH["conj"], strided(row())), protocol=5)


def gradients() -> Labelled:
    parameter = name("torch._utils", "_rebuild_parameter")
    code = call(name("collections", "OrderedDict")) + op.BININT1(1) + name("os", "system") + op.SETITEM()
    yield "of_integers", stream(call(TORCH["grad"], integers()), protocol=5)
    yield "of_a_row", stream(call(TORCH["grad"], row()), protocol=5)
    yield "of_a_number", stream(call(TORCH["grad"], 1), protocol=5)
    yield "parameter_of_integers", stream(call(parameter, integers(), True, HOOKS), protocol=5)
    yield "parameter_of_a_list", stream(call(parameter, [1.0], True, HOOKS), protocol=5)
    yield "parameter_with_hooks", stream(call(parameter, strided(row()), True, code), protocol=5)


def states() -> Labelled:
    """What makes a tensor is all that is done to it."""
    legacy = (strided(row(), (1,), (1,)), 0, (1 << 40,), (1,))
    yield "legacy_storage", stream(build(strided(row()), legacy), protocol=5)
    yield "gradients", stream(build(strided(row()), (True, None, HOOKS)), protocol=5)
    yield "class_swapped", stream(build(strided(row()), {"__class__": name("torch", "Size")}), protocol=5)
    yield "array_of_a_tensor", stream(build(array(), (1, (1 << 30,), dtype("f4"), False, bytearray(24))), protocol=5)
    yield "bytes_that_must_not_change", stream(row(held=op.SHORT_BINBYTES(bytes(24))), protocol=5)
    yield "a_text", stream(row(held=op.SHORT_BINUNICODE("0" * 24)), protocol=5)
    yield "an_array_of_a_list", stream(call(TORCH["row"], [1.0]), protocol=5)
    for qualname in ("Tensor.numpy", "Tensor.set_", "Tensor.resize_", "Tensor.apply_", "Tensor.__setstate__"):
        label = qualname.removeprefix("Tensor.").strip("_")
        yield f"method_{label}", stream(call(name("torch", qualname), strided(row()), 1), protocol=5)
    for function in ("frombuffer", "load", "from_file", "jit.load", "hub.load", "UntypedStorage.from_file"):
        yield f"function_{function}", stream(call(name("torch", function), "x"), protocol=5)
    yield "class_called", stream(call(name("torch", "Tensor"), (1 << 40,)), protocol=5)
    yield "class_made", stream(new(name("torch", "Tensor"), 1 << 40), protocol=5)
    yield "parameter_class_called", stream(call(name("torch.nn.parameter", "Parameter"), strided(row())), protocol=5)


def cases() -> Iterator[Case]:
    for mechanism, group in (
        ("tensor-outside", outside), ("tensor-type", types), ("tensor-gradients", gradients), ("tensor-state", states),
    ):  # fmt: skip
        for label, data in group():
            yield Case(f"{mechanism}/{label}", mechanism, data)
