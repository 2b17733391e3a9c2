"""`torshi.shelve_open`: what `shelve.open` gives, on a store.

A file name and a flag in, a mapping with text keys out that behaves as a shelf of the standard library: values are
copies, written when they are assigned, or with `writeback` when it is synced or closed. Never opens a shelf of another
kind: `Store.import_from` reads these.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, MutableMapping
from typing import Any, Final

from torshi._errors import StoreError
from torshi._store.rows import MISSING, Place
from torshi._store.store import Store

__all__ = ["Shelf", "shelve_open"]

_FLAGS: Final = ("r", "w", "c", "n")


class Shelf(MutableMapping[str, Any]):
    """A mapping that lasts, with text keys; made by `shelve_open`.

    Attributes:
        store: what it is on, with expiry, transactions and everything else; None once it is closed.
        writeback: whether values that were read are kept, and written back when it is synced or closed.
    """

    store: Store[Any] | None

    def __init__(self, store: Store[Any], *, writeback: bool = False, is_readonly: bool = False) -> None:
        self.store = store
        self.writeback = writeback
        self._is_readonly = is_readonly
        self._kept: dict[str, Any] = {}

    def _open(self) -> Store[Any]:
        if self.store is None:
            raise ValueError("invalid operation on closed shelf")
        return self.store

    def _writable(self) -> Store[Any]:
        store = self._open()
        if self._is_readonly:
            raise StoreError(f"the shelf {store.where} is open for reading only: open it with flag='w'")
        return store

    def __getitem__(self, key: str) -> Any:
        if key in self._kept:
            return self._kept[key]
        value = self._open()[_text(key)]
        if self.writeback:
            self._kept[key] = value
        return value

    def __setitem__(self, key: str, value: Any) -> None:
        self._writable()[_text(key)] = value
        if self.writeback:
            self._kept[key] = value

    def __delitem__(self, key: str) -> None:
        del self._writable()[_text(key)]
        self._kept.pop(key, None)

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and key in self._open()

    def get(self, key: str, default: Any = None) -> Any:
        if not self.writeback:
            return self._open().get(_text(key), default)
        try:
            return self[key]
        except KeyError:
            return default

    def pop(self, key: str, default: Any = MISSING) -> Any:
        """Removes a key and returns its value; of several who pop it at the same time one gets it."""
        kept = self._kept.pop(key, MISSING)
        try:
            found = self._writable().pop(_text(key))
        except KeyError:
            if default is MISSING:
                raise
            return default
        return found if kept is MISSING else kept

    def __iter__(self) -> Iterator[str]:
        # Keys of a store that are no text are of somebody who has opened it as one.
        return (key for key in self._open() if isinstance(key, str))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def clear(self) -> None:
        """Removes all keys."""
        self._writable().clear()
        self._kept.clear()

    def sync(self) -> None:
        """With `writeback`: writes back what was read or assigned, all of it or nothing."""
        store = self._open()
        if self._kept and not self._is_readonly:
            store.update(self._kept)
        self._kept.clear()

    def close(self) -> None:
        """Syncs and closes. May be called again."""
        if self.store is None:
            return
        try:
            self.sync()
        finally:
            self.store.close()
            self.store = None

    def __enter__(self) -> Shelf:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        # As a shelf of the standard library does: what is kept must not be lost by who forgets to close.
        if getattr(self, "store", None) is not None:
            self.close()


Shelf.__module__ = "torshi"


def _text(key: object) -> str:
    if not isinstance(key, str):
        raise TypeError(f"a key of a shelf is str, not {type(key).__name__}: torshi.Store takes others")
    return key


def shelve_open(
    filename: Place, flag: str = "c", protocol: int | None = None, writeback: bool = False, **options: Any
) -> Shelf:
    """Opens a shelf: `shelve.open`, on a store.

    The file is the one named, without an ending added, and no file of another shelf is opened: import that with
    `Store.import_from`. Each assignment has been committed when it returns, for any number of processes.

    Args:
        filename: where: a path, ``":memory:"`` or a URL.
        flag: ``"c"`` makes it if there is none; ``"w"`` and ``"r"`` want one, ``"r"`` for reading only; ``"n"`` empties
            it.
        protocol: taken for the sake of programs that pass it on; values are written as a store writes them.
        writeback: keep what is read, and write all of it back in `sync` and `close`, so that a value may be changed in
            place.
        options: settings of `torshi.Store`, such as ``key=`` and ``durable=``.

    Raises:
        ValueError: there is no such flag.
        FileNotFoundError: there is none, and the flag makes none.
        StoreError: it is something else, or cannot be opened. It is an ``OSError``, as `dbm.error` may be.

    Example:
        >>> import torshi
        >>> with torshi.shelve_open("state", writeback=True) as shelf:
        ...     shelf["names"] = ["Ada"]
        ...     shelf["names"].append("Bo")
        >>> with torshi.shelve_open("state", flag="r") as shelf:
        ...     dict(shelf)
        {'names': ['Ada', 'Bo']}
    """
    if flag not in _FLAGS:
        raise ValueError(f"flag is one of {', '.join(map(repr, _FLAGS))}, not {flag!r}")
    if flag in ("r", "w") and isinstance(filename, (str, os.PathLike)):
        place = os.fspath(filename)
        if "://" not in place and place != ":memory:" and not os.path.exists(place):
            raise FileNotFoundError(2, "no such shelf; flag='c' makes one", place)
    store: Store[Any] = Store(filename, **options)
    if flag == "n":
        store.clear()
    return Shelf(store, writeback=writeback, is_readonly=flag == "r")
