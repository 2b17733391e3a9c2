"""Text from a stranger's file in, text that is harmless on a terminal out.

Never changes text that prints as itself.
"""

from __future__ import annotations

import unicodedata

__all__ = ["printable"]


def printable(text: str) -> str:
    r"""Escapes whatever steers a terminal or hides: control, format, surrogate and private characters.

    Example:
        >>> from torshi._printable import printable
        >>> print(printable("os\x1b[2Ksystem\u202e"))
        os\x1b[2Ksystem\u202e
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_shown(character) for character in text)


def _shown(character: str) -> str:
    # Categories C* (control, format, surrogate, private, unassigned) and the line and paragraph separators.
    if unicodedata.category(character)[0] == "C" or character in "\u2028\u2029":
        return character.encode("unicode_escape", "surrogatepass").decode("ascii")
    return character
