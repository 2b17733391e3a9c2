"""Keys of a store into names of objects that a bucket lists in the order of the keys' bytes, and back.

Letters and digits stand as they are, every other byte as a mark and two hexadecimal digits; the mark is the one that
has its place between the same letters and digits as the byte. No name holds anything that a store, a URL or a file
system reads in a way of its own. What would be too long ends in a digest, and tells its key in the object alone.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

__all__ = ["BEFORE", "Name", "group_of", "is_long", "key_of", "name_before", "name_of"]

Name = str

# Letters of a name that is not cut, and bytes of the key that a cut one begins with.
_LONGEST: Final = 240
_KEPT: Final = 50
# In no other name: what follows a mark is a digit.
_CUT: Final = "~~"

_PLAIN: Final = re.compile(r"(?:[0-9A-Za-z]|[-=_~][0-9a-f]{2})*\Z")
_PARTS: Final = re.compile(r"[0-9A-Za-z]|[-=_~][0-9a-f]{2}")
_LONG: Final = re.compile(r"(?:[0-9A-Za-z]|[-=_~][0-9a-f]{2})*~~[0-9a-f]{64}\Z")
_ALPHABET: Final = "-0123456789=ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~"
BEFORE: Final = dict(zip(_ALPHABET[1:], _ALPHABET, strict=False))
"""What stands before each letter of names, in the order of names."""


def _written(byte: int) -> str:
    letter = chr(byte)
    if letter.isascii() and letter.isalnum():
        return letter
    mark = "-" if byte < 0x30 else "=" if byte < 0x41 else "_" if byte < 0x61 else "~"
    return f"{mark}{byte:02x}"


_TABLE: Final = [_written(byte) for byte in range(256)]


def _plain(key: bytes) -> str:
    return "".join([_TABLE[byte] for byte in key])


def name_of(key: bytes) -> Name:
    """The name of a key.

    Example:
        >>> name_of(b"user/7"), name_of(b"user/7") < name_of(b"user:") < name_of(b"userA")
        ('user-2f7', True)
    """
    name = _plain(key)
    if len(name) <= _LONGEST:
        return name
    return f"{_plain(key[:_KEPT])}{_CUT}{hashlib.sha256(key).hexdigest()}"


def is_long(name: Name) -> bool:
    """Whether a name is cut, and tells of its key only how it begins."""
    return _LONG.match(name) is not None


def key_of(name: Name) -> bytes | None:
    """The key of a name that is not cut; None for a cut one, and for what is no name.

    Example:
        >>> key_of("user-2f7"), key_of("user-2F7")
        (b'user/7', None)
    """
    if len(name) > _LONGEST or _PLAIN.match(name) is None:
        return None
    key = bytes(ord(part) if len(part) == 1 else int(part[1:], 16) for part in _PARTS.findall(name))
    return key if _plain(key) == name else None


def group_of(name: Name) -> bytes | None:
    """What the keys begin with among which a cut name may stand anywhere; None if there are none such about.

    Example:
        >>> group_of("short") is None, group_of("a" * 60) == group_of(name_of(b"a" * 1000)) == b"a" * 50
        (True, True)
    """
    key = key_of(name.partition(_CUT)[0])
    return None if key is None or len(key) < _KEPT else key[:_KEPT]


def name_before(prefix: bytes) -> Name:
    """A name before all those whose keys begin so, and close to them: from where to list. Empty for the beginning."""
    name = _plain(prefix[:_KEPT])
    return f"{name[:-1]}{BEFORE[name[-1]]}~~~~" if name else ""
