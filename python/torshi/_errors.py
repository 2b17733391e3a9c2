"""The exceptions of torshi, each with its evidence as attributes.

`PickleError`, `PicklingError` and `UnpicklingError` are the very classes of `pickle`, so that code which
mixes both modules catches what either raises; every other class here is below one of them. Each exception
pickles and unpickles with its attributes. Nothing here formats a refusal: whoever raises says what, where
and what to do about it.
"""

from __future__ import annotations

from pickle import PickleError, PicklingError, UnpicklingError
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torshi._findings import Finding

__all__ = [
    "ConflictError",
    "LimitError",
    "MalformedError",
    "MalformedTextError",
    "MalformedTypeError",
    "MalformedValueError",
    "PickleError",
    "PicklingError",
    "SealError",
    "StoreError",
    "TruncatedError",
    "UnpicklableError",
    "UnpicklingError",
    "UntrustedError",
    "ValidationError",
]


class UnpicklableError(PicklingError):
    """An object cannot be pickled.

    Attributes:
        path: where in the dumped object the culprit stands, such as ``$['jobs'][2].lock``, or None.
    """

    __module__ = "torshi"

    path: str | None

    def __init__(self, *args: object, path: str | None = None) -> None:
        super().__init__(*args)
        self.path = path


class UntrustedError(UnpicklingError):
    """The stream asks for something the policy does not list; nothing of it was run.

    Attributes:
        findings: every reason for the refusal, in stream order.

    Example:
        >>> import torshi
        >>> try:
        ...     torshi.loads(b"cos\\nsystem\\n(S'echo'\\ntR.")
        ... except torshi.UntrustedError as error:
        ...     print(error.findings[0].name)
        os.system
    """

    __module__ = "torshi"

    findings: tuple[Finding, ...]

    def __init__(self, message: str = "", findings: tuple[Finding, ...] = ()) -> None:
        super().__init__(message)
        self.findings = tuple(findings)


class MalformedError(UnpicklingError):
    """The bytes are not a well-formed pickle stream.

    Attributes:
        offset: byte offset of the opcode that cannot be followed, or None.
        opcode: name of that opcode, or None where no opcode was recognised.
    """

    __module__ = "torshi"

    offset: int | None
    opcode: str | None

    def __init__(self, message: str = "", offset: int | None = None, opcode: str | None = None) -> None:
        super().__init__(message)
        self.offset = offset
        self.opcode = opcode


class TruncatedError(MalformedError, EOFError):
    """The stream ends where another opcode should begin; also an `EOFError`, as in stock pickle.

    Example:
        >>> import torshi
        >>> try:
        ...     torshi.loads(b"")
        ... except EOFError as error:
        ...     print(type(error).__name__)
        TruncatedError
    """

    __module__ = "torshi"


class MalformedValueError(MalformedError, ValueError):
    """A literal or number of the stream has no meaning; also a `ValueError`, as in stock pickle."""

    __module__ = "torshi"


class MalformedTypeError(MalformedError, TypeError):
    """An opcode of the stream meets a value of the wrong type; also a `TypeError`, as in stock pickle."""

    __module__ = "torshi"


class MalformedTextError(MalformedError, UnicodeDecodeError):
    """A name of the stream is not UTF-8; also a `UnicodeDecodeError`, as in stock pickle."""

    __module__ = "torshi"

    def __init__(self, message: str = "", offset: int | None = None, opcode: str | None = None) -> None:
        UnicodeDecodeError.__init__(self, "utf-8", b"", 0, 0, message)
        self.args = (message,)
        self.offset = offset
        self.opcode = opcode

    def __str__(self) -> str:
        return self.reason


class LimitError(UnpicklingError):
    """The stream asks for more than `torshi.Limits` grants.

    Attributes:
        limit: name of the limit, a field of `torshi.Limits`.
        value: what the stream asked for, in that limit's unit.
        offset: byte offset of the opcode that asked, or None.
    """

    __module__ = "torshi"

    limit: str | None
    value: int | None
    offset: int | None

    def __init__(
        self, message: str = "", limit: str | None = None, value: int | None = None, offset: int | None = None
    ) -> None:
        super().__init__(message)
        self.limit = limit
        self.value = value
        self.offset = offset


class ValidationError(UnpicklingError):
    """The stream was loaded, and what came out is not of the type that was asked for.

    Attributes:
        path: where in the loaded object, such as ``$.servers[3].port``.
        expected: what the annotation says stands there.
        got: what does stand there.

    Example:
        >>> import torshi
        >>> try:
        ...     torshi.loads(torshi.dumps({"port": "80"}), dict[str, int])
        ... except torshi.ValidationError as error:
        ...     print(error)
        expected int, got str at $.port
    """

    __module__ = "torshi"

    path: str
    expected: str
    got: str

    def __init__(self, path: str, expected: str, got: str) -> None:
        super().__init__(f"expected {expected}, got {got} at {path}")
        self.path = path
        self.expected = expected
        self.got = got

    def __reduce__(self) -> tuple[type[ValidationError], tuple[str, str, str]]:
        # The arguments of the constructor are not the text in `args`.
        return type(self), (self.path, self.expected, self.got)


class SealError(UnpicklingError):
    """A file's seal is missing, damaged or not by a key the reader lists."""

    __module__ = "torshi"


class StoreError(PickleError, OSError):
    """A store cannot be read or written: the disk is full, another process is writing for too long, it is no store.

    Nothing of what was asked for has been done, and the store can be used on.
    """

    __module__ = "torshi"


class ConflictError(StoreError):
    """Somebody else changed what a transaction had read; it has changed nothing, and can be done again."""

    __module__ = "torshi"
