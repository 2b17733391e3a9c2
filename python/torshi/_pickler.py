"""The pickling half of pickle's API; the work is done by the native module."""

from __future__ import annotations

from torshi._native import Pickler, dump, dumps

__all__ = ["Pickler", "dump", "dumps"]
