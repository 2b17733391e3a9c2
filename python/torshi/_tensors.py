"""Tensors of torch into calls that a check can follow, for files.

What a tensor says of itself, when it is pickled, is bytes that torch's loader unpickles: no policy sees into them. In a
file each storage is an array of numpy, whose bytes may stay in the file, and each tensor a view of it, made by public
functions of torch: `from_numpy`, `Tensor.view` for another type, `as_strided`. Tensors that share a storage share it
again. torch is never imported here: where there is a tensor, it has been.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from torshi._errors import UnpicklableError

__all__ = ["MOST_AXES", "MOST_ELEMENTS", "Tensors"]

Name: TypeAlias = tuple[str, str]
"""A module, and a name in it."""

_FROM_NUMPY: Final = ("torch", "from_numpy")
_VIEW: Final = ("torch", "Tensor.view")
_AS_STRIDED: Final = ("torch", "as_strided")
_CONJ: Final = ("torch", "conj")
_REQUIRES_GRAD: Final = ("torch", "Tensor.requires_grad_")
_PARAMETER: Final = ("torch._utils", "_rebuild_parameter")

_OF_NUMPY = "float64 float32 float16 int64 int32 int16 int8 uint64 uint32 uint16 uint8 bool complex128 complex64"
_OF_ONE_BYTE = "float8_e4m3fn float8_e5m2 float8_e4m3fnuz float8_e5m2fnuz float8_e8m0fnu float4_e2m1fn_x2"

# As what numbers of a type are kept: themselves, where numpy has the type; else as integers of their size. The rules in
# the core have the same types.
_KEPT_AS: Final = {
    **{name: name for name in _OF_NUMPY.split()},
    **dict.fromkeys(_OF_ONE_BYTE.split(), "uint8"),
    "bfloat16": "int16",
    "complex32": "int32",
}

MOST_AXES: Final = 64
"""Axes of a tensor that a load lets pass."""

MOST_ELEMENTS: Final = 1 << 32
"""Elements of a tensor that has more of them than its storage, as `expand` makes it, that a load lets pass."""


class _Call:
    """A call of a function that is known by name; where one object stands for it, it is made once."""

    def __init__(self, function: Name, *arguments: Any) -> None:
        self.function, self.arguments = function, arguments

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise UnpicklableError("what stands for a tensor is of its file alone")


class Tensors:
    """The tensors of one file: which storages they have in common."""

    def __init__(self) -> None:
        # By the address of a storage: the storage, which so keeps its address, and what stands for it, by type, with
        # the size of a number.
        self._storages: dict[int, tuple[Any, dict[Any, tuple[_Call, int]]]] = {}

    def calls_of(self, cls: type) -> Callable[[Any], tuple[Name, tuple[Any, ...]]] | None:
        """Who says by which call instances of a class are written; None if they say it themselves."""
        if cls is _Call:
            return lambda made: (made.function, made.arguments)
        torch: Any = sys.modules.get("torch")
        tensor = getattr(torch, "Tensor", None)
        if not isinstance(tensor, type):
            return None
        if issubclass(cls, tensor):
            return self._parameter if cls is getattr(torch.nn, "Parameter", None) else self._tensor
        kinds = (getattr(torch, name, None) for name in ("UntypedStorage", "TypedStorage"))
        return _refuse_storage if any(isinstance(kind, type) and issubclass(cls, kind) for kind in kinds) else None

    def _parameter(self, tensor: Any) -> tuple[Name, tuple[Any, ...]]:
        data = _plain(tensor, "parameter")
        return _PARAMETER, (self._view(data), bool(tensor.requires_grad), OrderedDict())

    def _tensor(self, tensor: Any) -> tuple[Name, tuple[Any, ...]]:
        view = self._view(_plain(tensor, "tensor"))
        if tensor.requires_grad:
            return _REQUIRES_GRAD, (view,)
        return view.function, view.arguments

    def _view(self, tensor: Any) -> _Call:
        """A tensor as a view of its storage."""
        sizes, strides = tuple(tensor.shape), tuple(tensor.stride())
        if len(sizes) > MOST_AXES:
            raise UnpicklableError(f"a tensor of {len(sizes)} axes cannot be saved; {MOST_AXES} are the most")
        base, count = self._base(tensor)
        if tensor.numel() > max(count, MOST_ELEMENTS):
            raise UnpicklableError(
                f"a tensor of {tensor.numel()} elements over {count} cannot be saved; save what was expanded"
            )
        offset = tensor.storage_offset()
        last = offset + sum((size - 1) * stride for size, stride in zip(sizes, strides, strict=True))
        if tensor.numel() and last >= count:
            raise UnpicklableError(f"a tensor of {last + 1} numbers over a storage of {count} cannot be saved")
        view = _Call(_AS_STRIDED, base, sizes, strides, offset)
        return _Call(_CONJ, view) if tensor.is_conj() else view

    def _base(self, tensor: Any) -> tuple[_Call, int]:
        """The numbers of a tensor's storage in a row, as a tensor of its type; how many they are."""
        torch, storage, dtype = sys.modules["torch"], tensor.untyped_storage(), tensor.dtype
        size, length = tensor.element_size(), storage.nbytes()
        _, known = self._storages.setdefault(storage._cdata, (storage, {}))
        if dtype not in known:
            kept = getattr(torch, _KEPT_AS[_name(dtype)])
            if not known:
                row = torch.empty(0, dtype=kept, device="cpu").set_(storage, 0, (length // size,), (1,))
                known[kept] = _Call(_FROM_NUMPY, _as_array(row)), size
            if dtype not in known:
                sizes = {size, *(other for _, other in known.values())}
                if len(sizes) > 1 and length % max(sizes):
                    raise UnpicklableError(
                        f"a storage of {length} bytes that tensors of several types share cannot be saved; clone() one"
                    )
                known[dtype] = _Call(_VIEW, next(iter(known.values()))[0], dtype), size
        return known[dtype][0], length // size


def _as_array(row: Any) -> Any:
    try:
        return row.numpy()
    except RuntimeError as error:
        raise UnpicklableError("tensors are saved as arrays of numpy, which torch cannot make here") from error


def _name(dtype: Any) -> str:
    return str(dtype).removeprefix("torch.")


def _refuse_storage(storage: Any) -> Any:
    raise UnpicklableError("a storage of torch cannot be saved by itself; save a tensor over it")


def _plain(tensor: Any, kind: str) -> Any:
    """The tensor without gradients, if its numbers, sizes and strides are all there is to it.

    Raises:
        UnpicklableError: there is more to it, or they are elsewhere.
    """
    if not hasattr(tensor, "untyped_storage"):
        raise UnpicklableError("saving tensors needs torch 2.0 or later")
    for applies, what, way in _UNFIT:
        if applies(tensor):
            raise UnpicklableError(f"a {kind} {what(tensor)} cannot be saved; {way}")
    sys.modules["torch"].utils.hooks.warn_if_has_hooks(tensor)
    return tensor.detach()


def _is_subclass(tensor: Any) -> bool:
    torch = sys.modules["torch"]
    return type(tensor) is not torch.Tensor and type(tensor) is not torch.nn.Parameter


def _class_name(tensor: Any) -> str:
    return f"{type(tensor).__module__}.{type(tensor).__qualname__}"


def _has_names(tensor: Any) -> bool:
    asked = getattr(tensor, "has_names", None)  # gone from torch 2.15
    return asked is not None and bool(asked())


_Unfit: TypeAlias = tuple[Callable[[Any], bool], Callable[[Any], str], str]

# What cannot be said of a tensor by these calls, in the order it is looked for: whether it applies, what it is called,
# what to do instead.
_UNFIT: Final[tuple[_Unfit, ...]] = (
    (
        _is_subclass,
        lambda t: f"of the class {_class_name(t)}",
        "save a torch.Tensor with its numbers, or use torch.save",
    ),
    (lambda t: t.device.type == "meta", lambda _: "without numbers (device meta)", "give it numbers first"),
    (lambda t: t.device.type != "cpu", lambda t: f"on the device {t.device}", "save tensor.cpu()"),
    (lambda t: t.is_nested, lambda _: "of nested tensors", "save tensor.unbind()"),
    (lambda t: t.is_quantized, lambda _: "of quantised numbers", "save tensor.dequantize(), or use torch.save"),
    (
        lambda t: t.layout != sys.modules["torch"].strided,
        lambda t: f"of the layout {_name(t.layout)}",
        "save its indices and values as tensors, tensor.to_dense(), or use torch.save",
    ),
    (
        lambda t: _name(t.dtype) not in _KEPT_AS,
        lambda t: f"of the type {_name(t.dtype)}",
        "convert it to another type, or use torch.save",
    ),
    (_has_names, lambda t: f"with named axes {t.names}", "save tensor.rename(None)"),
    (lambda t: t.is_neg(), lambda _: "that is negated when it is read", "save tensor.resolve_neg()"),
    (
        lambda t: bool(getattr(t, "__dict__", None)),
        lambda t: f"with attributes of its own ({', '.join(sorted(t.__dict__))})",
        "delete them, save tensor.detach(), or use torch.save",
    ),
)
