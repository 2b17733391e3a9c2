"""`recover`: files that break off or are damaged into what is whole of them.

A broken file in, pickles of what is whole out, and an account of what is lost. What was recovered is loaded like any
other pickle: checked against the policy, then built. Nothing is made up: what may be a part of something unfinished is
left out, and every guess is told.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from torshi import _native
from torshi._errors import MalformedError, UnpicklingError
from torshi._limits import Limits
from torshi._opening import BEHIND
from torshi._rewritten import write_plain, write_stream

if TYPE_CHECKING:
    from torshi._inspect import Source
    from torshi._policy import Trust

__all__ = ["Incomplete", "Recovery", "Salvage", "recover", "salvaged"]

Incomplete: TypeAlias = Literal["usual", "drop", "keep"]
"""What `incomplete=` accepts."""

# Bytes that a compressed file may unpack to beside 32 times its own: what any load grants.
_UNPACKED = 64 << 20


@dataclass(frozen=True)
class Recovery:
    """What `recover` saved of a file, and what is lost.

    Attributes:
        value: what was recovered; of several pickles in a row, a list of what each had. None where it was not loaded.
        whole: whether nothing is wrong with the file.
        pickles: pickles that something was recovered of, of which all but perhaps the last are whole.
        size: bytes of the pickles that are there, unpacked.
        read: bytes of these up to the fault.
        fault: what is wrong at that place; None if the pickles are whole.
        kept: containers that are kept without all their items: path, items. The outermost comes first.
        dropped: where the first thing stands that had begun and is left out; None if nothing had.
        notes: what else is to be said: of the manifest, of the compression, and what was guessed.
    """

    value: Any
    whole: bool
    pickles: int
    size: int
    read: int
    fault: str | None
    kept: tuple[tuple[str, int], ...]
    dropped: str | None
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain data without the value, for JSON."""
        told = {name: value for name, value in self.__dict__.items() if name != "value"}
        told["kept"] = [{"path": path, "items": items} for path, items in self.kept]
        return {**told, "notes": list(self.notes)}


Recovery.__module__ = "torshi"


@dataclass(frozen=True)
class Salvage:
    """What is whole of a file, as streams that were not loaded."""

    streams: tuple[_native.RewrittenStream, ...]
    account: Recovery
    source: bytes = field(repr=False)

    def write(self, path: str | os.PathLike[str]) -> int:
        """Writes what was recovered to a file as `save` does, unsealed; several pickles one after another, plain."""
        if len(self.streams) == 1:
            return write_stream(self.streams[0], path, ("plain", None), [], source=None)
        return write_plain((stream.bytes() for stream in self.streams), path)


def recover(
    source: Source,
    *,
    trust: Trust = None,
    limits: Limits | None = None,
    incomplete: Incomplete = "usual",
) -> Recovery:
    """Loads what is whole of a file that was cut, or is damaged from some place on.

    Of a list or dict that breaks off, the items that are whole are kept. An item that is not whole is left out; only a
    list, dict or set that is the value of a dict is kept with the whole items it has, since it often holds nearly all.

    Args:
        source: path, bytes, or a binary file: a pickle of any kind, or a file of `save`, compressed or not.
        trust, limits: as for `loads`. What was recovered is checked like any other pickle; a cut file has no seal left,
            so your own classes are to be named.
        incomplete: ``"drop"`` keeps the outermost container alone, ``"keep"`` every one that has a whole item.

    Returns:
        The value and what is lost. A file with nothing wrong gives its value, and `whole` is true.

    Raises:
        MalformedError: nothing could be recovered.
        UntrustedError, LimitError: as for `loads`.
        OSError: the file cannot be read.

    Example:
        >>> import torshi
        >>> data = torshi.dumps([{"id": n, "name": f"user {n}"} for n in range(100)])
        >>> told = torshi.recover(data[: len(data) // 2])
        >>> len(told.value), told.value[-1], told.dropped
        (49, {'id': 48, 'name': 'user 48'}, '$[49]')
    """
    found = salvaged(source, limits=limits, incomplete=incomplete)
    values = [_native.loads(stream.bytes(), trust=trust, limits=limits) for stream in found.streams]
    value = values[0] if len(values) == 1 else values
    return Recovery(**{**found.account.__dict__, "value": value})


def salvaged(source: Source, *, limits: Limits | None = None, incomplete: Incomplete = "usual") -> Salvage:
    """What `recover` would load, and the account of it. Loads nothing.

    Raises:
        MalformedError: nothing could be recovered.
        OSError: the file cannot be read.
    """
    raw = _bytes_of(source)
    notes: list[str] = []
    data = _unpacked(raw, limits, notes)
    streams: list[_native.RewrittenStream] = []
    start, fault, dropped = 0, None, None
    kept: list[tuple[str, int]] = []
    while start < len(data) or not streams:
        if streams and _is_trailer(data, start):
            break
        stream, kept, dropped, guesses, fault, end = _native.salvage(data, incomplete, start)
        if stream is not None:
            streams.append(_native.rewrite(stream, [], strip=True))
            notes += guesses
        start += end
        if fault is not None:
            break
    if not streams:
        raise MalformedError(f"nothing could be recovered: {fault}", start)
    damaged = fault is not None or bool(notes)
    account = Recovery(None, not damaged, len(streams), len(data), start, fault, tuple(kept), dropped, tuple(notes))
    return Salvage(tuple(streams), account, raw)


def _bytes_of(source: Any) -> bytes:
    if isinstance(source, (str, os.PathLike)):
        with open(source, "rb") as opened:
            return opened.read()
    if hasattr(source, "read"):
        return bytes(source.read())
    return bytes(memoryview(source))


def _unpacked(raw: bytes, limits: Limits | None, notes: list[str]) -> bytes:
    """The pickles of a file, as far as they are there; what is wrong with the file goes to the notes."""
    try:
        stored = _native.StoredFile.open(raw)
        if stored is not None and (stored.manifest is not None or stored.container != "plain"):
            return stored.pickle(limits)
    except UnpicklingError as error:
        text = str(error)
        notes.append(text if text.startswith("the file") else f"the file is not as it was written: {text}")
    container = _native.sniff_container(raw[:4])
    if container == "plain":
        return raw
    most = _UNPACKED + 32 * len(raw)
    if limits is not None and limits.stream is not None:
        most = limits.stream
    data, fault = _native.unpack_some(raw, most)
    data = data[:most]
    if fault is not None:
        notes.append(f"{container} gives {len(data)} bytes and then breaks off: {fault}")
    return data


def _is_trailer(data: bytes, start: int) -> bool:
    """Whether what follows a pickle is what is left of a manifest, and the zeros before it."""
    rest = data[start : start + BEHIND].lstrip(b"\0")
    head = _native.MANIFEST_HEAD
    return rest.startswith(head) or head.startswith(rest)
