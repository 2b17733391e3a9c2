"""`torshi.digest`: objects into what identifies their content. The work is done by the native module."""

from __future__ import annotations

from torshi._native import digest

__all__ = ["digest"]
