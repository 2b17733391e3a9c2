"""Keys into bytes of the same order, and back: text, bytes, integers, and tuples of these.

The layout is that of FoundationDB's tuples: a byte for the type, then the value, so that comparing bytes compares
values, types are told apart (``1``, ``"1"`` and ``b"1"`` are three keys), and the bytes of a tuple begin with those of
every tuple that it begins with. Between types the order is bytes, text, tuples, integers. In front stands a byte for
the space: a store's own rows never show among those of its user. Nothing here knows values.
"""

from __future__ import annotations

from typing import Final, TypeAlias

from torshi._native import text_key

__all__ = [
    "DATA",
    "LEASE",
    "LONGEST",
    "META",
    "QUEUE",
    "Key",
    "decode",
    "encode",
    "encode_prefix",
    "lost_key",
    "named",
    "shown",
]

Key: TypeAlias = str | bytes | int | tuple["Key", ...]
"""What a store's key may be."""

LONGEST: Final = 1024
"""Bytes that a key may have, encoded."""

# Spaces: what a row is.
DATA: Final = b"d"
QUEUE: Final = b"q"
LEASE: Final = b"l"
META: Final = b"m"

# Types, by the first byte of a value. Whole numbers have one for each length in bytes on either side of zero.
_END = 0x00
_BYTES = 0x01
_TEXT = 0x02
_TUPLE = 0x05
_LONG_NEGATIVE = 0x0B
_ZERO = 0x14
_LONG_POSITIVE = 0x1D
_SHORT = 8  # bytes of an integer whose length is in its first byte
_ESCAPED_END = b"\x00\xff"


def encode(space: bytes, key: object) -> bytes:
    """The bytes of a key in a space.

    Raises:
        TypeError: it is, or holds, something else than text, bytes, integers and tuples.
        ValueError: it is too long, or text that is not Unicode.

    Example:
        >>> encode(DATA, "a") < encode(DATA, "b") < encode(DATA, ("a",)) < encode(DATA, -5) < encode(DATA, 300)
        True
    """
    made = text_key(space, key)  # what most keys are, by the shortest way
    if made is not None:
        return made
    if key.__class__ is str:
        try:
            text = key.encode()
        except UnicodeEncodeError as error:
            raise _not_unicode(key, error) from None
        if b"\0" in text:
            text = text.replace(b"\0", _ESCAPED_END)
        made = b"%b\x02%b\0" % (space, text)
    elif isinstance(key, tuple):
        made = b"%b\x05%b" % (space, b"".join(map(_value, key)))
    else:
        made = space + _value(key)
    if len(made) > LONGEST:
        raise ValueError(f"a key may have {LONGEST:,} bytes, and {shown(key)} has {len(made):,}: use a digest of it")
    return made


def encode_prefix(space: bytes, prefix: object) -> bytes:
    """What the keys of a space begin with that begin with a text, bytes, or the items of a tuple; all for None.

    Raises:
        TypeError: it is none of these.

    Example:
        >>> encode(DATA, "user:7").startswith(encode_prefix(DATA, "user:"))
        True
        >>> encode(DATA, ("user", 7)).startswith(encode_prefix(DATA, ("user",)))
        True
    """
    if prefix is None:
        return space
    if isinstance(prefix, tuple):
        return encode(space, prefix)
    if isinstance(prefix, (str, bytes)):
        return encode(space, prefix)[:-1]
    raise TypeError(f"a prefix is text, bytes or a tuple, not {type(prefix).__name__}")


def _value(value: object) -> bytes:
    if isinstance(value, str):
        try:
            return b"\x02" + value.encode().replace(b"\0", _ESCAPED_END) + b"\0"
        except UnicodeEncodeError as error:
            raise _not_unicode(value, error) from None
    if isinstance(value, bytes):
        return b"\x01" + value.replace(b"\0", _ESCAPED_END) + b"\0"
    if isinstance(value, int) and not isinstance(value, bool):
        return _integer(int(value))
    if isinstance(value, tuple):
        return b"\x05" + b"".join(map(_value, value)) + b"\0"
    raise TypeError(f"a key is str, bytes, int or a tuple of these, not {type(value).__name__}")


def _integer(number: int) -> bytes:
    length = (abs(number).bit_length() + 7) // 8
    if length > 255:
        raise ValueError(f"an integer of a key may have 255 bytes, not {length:,}: use a digest of it")
    if number >= 0:
        head = bytes([_ZERO + length]) if length <= _SHORT else bytes([_LONG_POSITIVE, length])
        return head + number.to_bytes(length, "big")
    # The complement, so that what is further from zero comes first.
    head = bytes([_ZERO - length]) if length <= _SHORT else bytes([_LONG_NEGATIVE, 255 - length])
    return head + (number + (1 << 8 * length) - 1).to_bytes(length, "big")


def _not_unicode(text: object, error: UnicodeEncodeError) -> ValueError:
    return ValueError(f"a key is text in Unicode, and {text!a} is not: {error.reason}")


def shown(key: object) -> str:
    """A key as messages have it, not too long."""
    text = repr(key)
    return text if len(text) <= 80 else text[:60] + "..." + text[-17:]


def decode(encoded: bytes) -> Key:
    """The key that `encode` made these bytes of.

    Raises:
        ValueError: there is none.

    Example:
        >>> decode(encode(DATA, ("user", 7, b"x")))
        ('user', 7, b'x')
    """
    try:
        if encoded[1] == _TUPLE:
            items, end = _items(encoded, 2, top=True)
            key: Key = items
        else:
            key, end = _read(encoded, 1)
    except (IndexError, UnicodeDecodeError, RecursionError):
        raise ValueError(f"no key: {encoded[:80]!r}") from None
    # There is one way to write a key; another one would be a second row of the same key.
    if end != len(encoded) or encode(encoded[:1], key) != encoded:
        raise ValueError(f"no key: {encoded[:80]!r}")
    return key


def _items(data: bytes, at: int, *, top: bool) -> tuple[tuple[Key, ...], int]:
    items = []
    while (at < len(data)) if top else (data[at] != _END):
        item, at = _read(data, at)
        items.append(item)
    return tuple(items), at if top else at + 1


def _read(data: bytes, at: int) -> tuple[Key, int]:
    kind = data[at]
    if kind in (_BYTES, _TEXT):
        end = data.index(0, at + 1) if 0 in data[at + 1 :] else len(data)
        while data[end : end + 2] == _ESCAPED_END:
            end = data.find(0, end + 2)
            if end < 0:
                raise IndexError
        if data[end] != _END:
            raise IndexError
        raw = data[at + 1 : end].replace(_ESCAPED_END, b"\0")
        return (raw if kind == _BYTES else raw.decode()), end + 1
    if kind == _TUPLE:
        return _items(data, at + 1, top=False)
    if kind in (_LONG_NEGATIVE, _LONG_POSITIVE):
        length = data[at + 1] if kind == _LONG_POSITIVE else 255 - data[at + 1]
        return _number(data, at + 2, length, negative=kind == _LONG_NEGATIVE)
    if _ZERO - _SHORT <= kind <= _ZERO + _SHORT:
        return _number(data, at + 1, abs(kind - _ZERO), negative=kind < _ZERO)
    raise IndexError


def _number(data: bytes, at: int, length: int, *, negative: bool) -> tuple[int, int]:
    end = at + length
    if end > len(data):
        raise IndexError
    number = int.from_bytes(data[at:end], "big")
    return (number - (1 << 8 * length) + 1 if negative else number), end


def named(encoded: bytes) -> str:
    """A key's bytes as a person reads them: the key, and whose it is if not the user's."""
    try:
        key = decode(encoded)
    except ValueError:
        return repr(encoded)
    return (
        shown(key) if encoded[:1] == DATA else f"{_SPACES.get(encoded[:1], encoded[:1].decode('latin-1'))} {shown(key)}"
    )


_SPACES = {QUEUE: "message", LEASE: "lease", META: "record"}


def lost_key(encoded: bytes) -> bytes:
    """Where a row is put that cannot be read: the space of the capital letter, in which nothing is looked for."""
    return encoded[:1].upper() + encoded[1:]
