"""`torshi.digest`: objects into 32 bytes that identify their content. The work is done by the native module.

Example:
    >>> digest({"a": 1, "b": {2, 3}}) == digest({"b": {3, 2}, "a": 1})
    True
    >>> digest([1]).hex()
    '87b4fdf9ea498f07f6ea9b7b741e4ed02a31b2ed472367f8503dbbf098e5c831'
"""

from __future__ import annotations

from torshi._native import digest

__all__ = ["digest"]
