"""What `compress=` accepts, into the name and level of a compression that there is. Compresses nothing itself."""

from __future__ import annotations

from typing import TypeAlias

from torshi import _native

__all__ = ["Compression", "chosen_compression"]

Compression: TypeAlias = bool | int | str | None
"""What `compress=` accepts."""


def chosen_compression(compress: Compression) -> tuple[str, int | None]:
    """Name and level of what `compress=` asks for.

    Raises:
        TypeError: it is nothing that could be meant.
        ValueError: there is no such compression or level.
    """
    name, level = "plain", None
    if compress is True:
        name = "zstd"
    elif isinstance(compress, int) and compress is not False:
        name, level = "zstd", compress
    elif isinstance(compress, str):
        name, colon, digits = compress.partition(":")
        if colon and not (digits.isascii() and digits.isdecimal()):
            raise ValueError(f"no such compression: {compress}; a level is a number, as in zstd:19")
        level = int(digits) if colon else None
        if name == "plain":
            raise ValueError("no such compression: plain; there are zstd, lz4 and gzip, and None")
    elif compress not in (None, False):
        raise TypeError(f"compress is True, a level or a name, not {type(compress).__name__}")
    _native.check_compression(name, level)
    return name, level
