"""Persistence: objects by key, in a file or behind a server, each value sealed."""

from torshi._store.queue import Message, Queue
from torshi._store.store import Entry, Store
from torshi._store.upkeep import Problem, StoreStat, StoreStats

__all__ = ["Entry", "Message", "Problem", "Queue", "Store", "StoreStat", "StoreStats"]
