"""Results of functions, kept by what they were called with: in memory, and in a store that processes share."""

from __future__ import annotations

from torshi._cache.decorator import cache
from torshi._cache.events import CacheEvent, CacheInfo

__all__ = ["CacheEvent", "CacheInfo", "cache"]
