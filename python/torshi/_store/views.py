"""Keys, values and items of a store as live views: in the order of the keys, below a prefix, from either end.

Nothing is held in memory but a page of rows, and no lock between two of them.
"""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, KeysView, ValuesView
from typing import TYPE_CHECKING, Any, TypeVar

from torshi._store.keys import DATA, Key, encode, encode_prefix

if TYPE_CHECKING:
    from torshi._store.store import Store

__all__ = ["StoreItems", "StoreKeys", "StoreValues"]

_T = TypeVar("_T")


class _Below:
    """What the three views share: which rows they are of."""

    _store: Store[Any]
    _prefix: bytes
    _reverse: bool

    def __init__(self, store: Store[Any], prefix: object, reverse: bool) -> None:
        self._store = store
        self._prefix = encode_prefix(DATA, prefix)
        self._reverse = reverse

    def __len__(self) -> int:
        return self._store._count(self._prefix)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._store.where}>"


class StoreKeys(_Below, KeysView[Key]):
    """The keys of a store."""

    def __iter__(self) -> Iterator[Key]:
        return self._store._keys(self._prefix, self._reverse)

    def __reversed__(self) -> Iterator[Key]:
        return self._store._keys(self._prefix, not self._reverse)

    def __contains__(self, key: object) -> bool:
        return encode(DATA, key).startswith(self._prefix) and key in self._store


class StoreItems(_Below, ItemsView[Key, _T]):
    """The keys and values of a store."""

    def __iter__(self) -> Iterator[tuple[Key, _T]]:
        return self._store._items(self._prefix, self._reverse)

    def __reversed__(self) -> Iterator[tuple[Key, _T]]:
        return self._store._items(self._prefix, not self._reverse)

    def __contains__(self, item: object) -> bool:
        if not isinstance(item, tuple) or len(item) != 2 or not encode(DATA, item[0]).startswith(self._prefix):
            return False
        missing = object()
        found = self._store.get(item[0], missing)
        return found is not missing and bool(found == item[1])


class StoreValues(_Below, ValuesView[_T]):
    """The values of a store."""

    def __iter__(self) -> Iterator[_T]:
        return (value for _, value in self._store._items(self._prefix, self._reverse))

    def __reversed__(self) -> Iterator[_T]:
        return (value for _, value in self._store._items(self._prefix, not self._reverse))

    def __contains__(self, value: object) -> bool:
        return any(value is found or value == found for found in self)
