"""Tensors as files of torshi have them: every type, views, expanded and conjugated ones, parameters, shared storages.

A value is the tree of calls that `torshi.save` writes, which any pickler writes again: so the parts of it can be changed.
"""

from __future__ import annotations

import pickle
import struct
from typing import Any

from science.values import Value, Values

# Elements up to which everything is tried: more are of tensors that were expanded, and take their time.
FEW = 1 << 16


class Named:
    """A function by its name, which compiled functions do not tell themselves."""

    def __init__(self, module: str, qualname: str) -> None:
        self.module, self.qualname = module, qualname

    def __call__(self) -> Any:
        raise TypeError("a name is not called")

    def written(self, pickler: Any) -> None:
        """Writes it with a pickler of Python's own kind."""
        for text in (self.module, self.qualname):
            data = text.encode()
            pickler.write(pickle.SHORT_BINUNICODE + struct.pack("<B", len(data)) + data)
        pickler.write(pickle.STACK_GLOBAL)


class Made:
    """What a call of a function makes."""

    def __init__(self, function: Named, arguments: tuple[Any, ...]) -> None:
        self.function, self.arguments = function, arguments

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.function, self.arguments


def calls(value: Any) -> Any:
    """A value with calls in place of its tensors; those that share a storage share the call that makes it."""
    from torshi._tensors import Tensors

    tensors, made = Tensors(), {}

    def taken(part: Any) -> Any:
        if isinstance(part, (list, tuple)):
            return type(part)(map(taken, part))
        if type(part) is dict:
            return {key: taken(item) for key, item in part.items()}
        if id(part) not in made:
            of = tensors.calls_of(type(part))
            if of is None:
                return part
            (module, qualname), arguments = of(part)
            made[id(part)] = part, Made(Named(module, qualname), taken(arguments))
        return made[id(part)][1]

    return taken(value)


def use(value: Any) -> Any:
    """Every element, a sum, a sort, a product, what bools pick, and what gradients go through."""
    import torch

    if isinstance(value, dict):
        return {key: use(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [use(item) for item in value]
    if not isinstance(value, torch.Tensor):
        return repr(value)
    found: list[Any] = [value.dtype, tuple(value.shape), value.stride(), value.requires_grad]
    if value.numel() > FEW:
        return [*found, value.reshape(-1)[:8].tolist() if value.is_contiguous() else value.flatten(0, 0)[:1].shape]
    plain = value.detach()
    actions = [
        lambda: repr(value), lambda: plain.tolist(), lambda: plain.sum(), lambda: plain.sort(), lambda: plain.nonzero(),
        lambda: plain.clone().fill_(1), lambda: plain.float() @ plain.float().T, lambda: plain[plain.bool()],
        lambda: plain.contiguous().view(-1).flip(0), lambda: plain.unique(), lambda: torch.where(plain.bool(), 1, 2).sum(),
        lambda: value.float().sum().backward(), lambda: plain.numpy().copy(), lambda: plain.add_(1),
        lambda: torch.arange(8)[plain.long() % 8], lambda: torch.masked_select(torch.ones(plain.shape), plain.bool()),
        lambda: torch.bincount(plain.flatten() & 7), lambda: torch.cat([plain, plain]).sum(), lambda: plain.untyped_storage().nbytes(),
    ]  # fmt: skip
    for action in actions:
        try:
            found.append(str(action()))
        except Exception as error:
            found.append(type(error).__name__)
    return found


def values() -> Values:
    import torch

    from torshi._tensors import _KEPT_AS

    def value(name: str, made: Any) -> Value:
        return Value("torch", name, lambda made=made: calls(made), use, protocols=(5,))

    def of(name: str) -> Any:
        """A view with gaps, over bytes that are numbers of any type."""
        dtype = getattr(torch, name)
        numbers = torch.arange(16 * torch.empty(0, dtype=dtype).element_size(), dtype=torch.uint8) % (
            2 if name == "bool" else 200
        )
        return torch.empty(0, dtype=dtype).set_(numbers.untyped_storage(), 1, (2, 3), (5, 2))

    yield from (value(f"type/{name}", of(name)) for name in _KEPT_AS if hasattr(torch, name))
    whole = torch.arange(24.0).reshape(2, 3, 4)
    yield value("views", [whole, whole[1, :, ::2], whole.permute(2, 0, 1), whole[0, 0, 0], whole[:0]])
    yield value("expanded", [whole[0, 0].expand(3, 4), torch.ones(1).expand(1 << 20)])
    yield value("other types", [whole, whole.view(torch.int32), whole.view(torch.uint8)])
    yield value("parameters", [torch.nn.Parameter(torch.ones(2, 2)), torch.ones(3, requires_grad=True)])
    yield value("conjugated", torch.tensor([1 + 2j, 3j]).conj())
    yield value("bools", [torch.tensor([True, False] * 8), torch.zeros((), dtype=torch.bool)])
    yield value("indices", {"index": torch.tensor([0, 2, 5]), "mask": torch.tensor([[True], [False]])})
    yield value("state", {"weight": torch.ones(4, 3), "bias": torch.zeros(4), "steps": torch.tensor(7), "epoch": 3})
