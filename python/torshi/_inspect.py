"""inspect and check: look at a pickle, or judge it, without loading it.

Turn a path, a binary file or bytes into what the native verifier reads. Neither imports, constructs or
calls anything the stream names.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

from torshi import _native
from torshi._limits import Limits
from torshi._policy import Policy, Trust, policy_of
from torshi._report import Report

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["Source", "check", "inspect", "pickles_in"]


@runtime_checkable
class _Readable(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


Source: TypeAlias = "Buffer | str | os.PathLike[str] | _Readable"
"""Bytes, the path of a file, or a file open for reading bytes."""


def inspect(
    source: Source, *, policy: Policy | None = None, trust: Trust = None, limits: Limits | None = None
) -> Report:
    """Shows what a pickle holds and would do, without loading it.

    Args:
        source: bytes-like object, path, or binary file (read from where it stands to its end).
        policy: policy to report findings under; the default policy if absent.
        trust: the same in the form `load` takes it; only one of the two may be given.
        limits: bounds of the inspection.

    Returns:
        The report. A stream that is no pickle gives a report too, with its `error` set.

    Raises:
        TypeError: `source` is none of the above, or both `policy` and `trust` are given.
        OSError: the file cannot be read.

    Example:
        >>> import torshi
        >>> report = torshi.inspect(b"cbuiltins\\neval\\n(S'1+1'\\ntR.")
        >>> [use.name for use in report.globals], report.verdict
        (['builtins.eval'], '1 finding under policy default')
    """
    if policy is not None and trust is not None:
        raise TypeError("give policy or trust, not both")
    chosen = policy_of(trust) if policy is None else policy
    text = _native.inspect(_read(source), chosen._inner, limits)
    return Report.from_json(text, chosen.name)


def check(source: Source, type: Any = None, trust: Trust = None, limits: Limits | None = None) -> None:
    """Raises what `load` would raise before building anything, and builds nothing.

    Args:
        source: bytes-like object, path, or binary file (read from where it stands to its end).
        type: annotation a load would be given; its classes are trusted. The values are not compared with
            it, since there are none.
        trust: what a load would be given.
        limits: what a load would be given.

    Raises:
        UntrustedError: the policy has findings.
        MalformedError: it is no well-formed pickle.
        LimitError: it asks for more than the limits grant.
        OSError: the file cannot be read.

    Example:
        >>> import torshi
        >>> torshi.check(torshi.dumps([1, 2, 3]))
    """
    _native.check(_read(source), policy_of(trust, type)._inner, limits)


def pickles_in(data: bytes) -> bytes:
    """The pickles of a file: all of it, or what `torshi.save` has put a manifest behind, or compressed.

    Raises:
        MalformedError: the file is damaged.
        LimitError: it unpacks to more than a load may ask for.
    """
    stored = _native.StoredFile.open(data)
    return data if stored is None else stored.pickle()


def _read(source: Source) -> Buffer:
    if isinstance(source, (str, os.PathLike)):
        with open(source, "rb") as file:
            return pickles_in(file.read())
    if isinstance(source, _Readable):
        return source.read()
    try:
        memoryview(source)
    except TypeError:
        kind = type(source).__name__
        raise TypeError(f"expected bytes, a path or a binary file, not {kind}") from None
    return source
