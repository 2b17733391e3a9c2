"""The exceptions of torshi, each also one of stock pickle's, so that old ``except`` clauses go on working.

The native module raises them. They carry their evidence as attributes, and can be pickled themselves.
"""
from __future__ import annotations

import pickle as _pickle
from typing import Any

__all__ = [
    "LimitError",
    "MalformedError",
    "PickleError",
    "PicklingError",
    "SealError",
    "TruncatedError",
    "UnpicklingError",
    "UntrustedError",
    "ValidationError",
]


class PickleError(_pickle.PickleError):
    """Base of every error of torshi's own."""


class PicklingError(PickleError, _pickle.PicklingError):
    """An object cannot be pickled.

    Attributes:
        path: The way from the root to that object, such as ``$.config['db'][3]``; ``None`` if unknown.
    """

    path: str | None = None


class UnpicklingError(PickleError, _pickle.UnpicklingError):
    """A stream cannot be loaded."""


class UntrustedError(UnpicklingError):
    """A stream asks for something its policy does not allow; nothing of it has been built.

    Attributes:
        findings: Every such thing, as ``torshi.Finding``.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.findings: tuple[Any, ...] = tuple(args[1]) if len(args) > 1 else ()

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class MalformedError(UnpicklingError):
    """The bytes are not a well-formed pickle stream.

    Attributes:
        offset: Byte offset of the opcode at fault; ``None`` if unknown.
        opcode: Its name in ``pickletools``; ``None`` if it has none.
    """

    offset: int | None = None
    opcode: str | None = None


class TruncatedError(MalformedError, EOFError):
    """The stream ends where an opcode should begin."""


class LimitError(UnpicklingError):
    """A limit on the resources of a load was reached.

    Attributes:
        limit: Name of the limit.
        value: What it was set to.
        offset: Byte offset of the opcode that went beyond it.
    """

    limit: str | None = None
    value: int | None = None
    offset: int | None = None


class ValidationError(UnpicklingError):
    """The loaded object is not of the expected type.

    Attributes:
        path: Where it differs, such as ``$.servers[3].port``.
        expected: The type that was expected there.
        got: What was found.
    """

    path: str | None = None
    expected: str | None = None
    got: str | None = None


class SealError(UnpicklingError):
    """A seal is missing, broken or from an unknown key."""


for _class in (
    PickleError, PicklingError, UnpicklingError, UntrustedError, MalformedError, TruncatedError, LimitError,
    ValidationError, SealError,
):
    _class.__module__ = "torshi"
