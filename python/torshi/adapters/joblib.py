"""joblib: a backend of `joblib.Memory` whose results are in a store.

Calls of cached functions in, rows of a store out: the result, what joblib says of the call, and each function's code,
by which joblib sees that it has changed. A result that was forged or cannot be read is computed anew, with joblib's
warning. Nothing is loaded with joblib's own loader. Once this module has been imported the backend is known::

    import torshi.adapters.joblib

    memory = joblib.Memory("cache", backend="torshi")

The store is ``memory.db`` in the folder that joblib makes of it, here ``cache``. ``backend_options`` are settings of
`torshi.Store` (``wait`` for its ``timeout``). Large arrays are mapped from their files without being asked, and no
value is compressed.
"""

from __future__ import annotations

import datetime
import os
import warnings
from collections.abc import Sequence
from typing import Any, Final

try:
    from joblib import register_store_backend
    from joblib._store_backends import CacheItemInfo, CacheWarning, StoreBackendBase, StoreBackendMixin
except ImportError as error:
    raise ImportError(f"torshi.adapters.joblib needs joblib: pip install joblib ({error})") from error

from torshi._errors import StoreError
from torshi._store.store import Store
from torshi.adapters._sharing import MISSING, found, opened, short_key

__all__ = ["TorshiStoreBackend"]

_FILE: Final = "memory.db"
_OUTPUT: Final = "output"
_METADATA: Final = "metadata"
_CODE: Final = "code"
# Bytes of a part of a key: a function by its modules, or a call by a digest of its arguments.
_HALF: Final = 400
# What joblib gives every backend, and a store has no use for.
_IGNORED: Final = ("compress", "mmap_mode")


class TorshiStoreBackend(StoreBackendBase, StoreBackendMixin):
    """Where `joblib.Memory` keeps results: rows by function, call and what they are.

    Example:
        >>> import joblib, torshi.adapters.joblib
        >>> memory = joblib.Memory("cache", backend="torshi", verbose=0)
        >>> def double(n):
        ...     print("computing")
        ...     return 2 * n
        >>> doubled = memory.cache(double)
        >>> doubled(4), doubled(4)
        computing
        (8, 8)
    """

    location: str
    _store: Store[Any]
    _options: dict[str, Any]

    def configure(self, location: str, verbose: int = 0, backend_options: dict[str, Any] | None = None) -> None:
        """Opens the store in a folder, which is made if there is none."""
        self.location = os.path.abspath(location)
        self.verbose = verbose
        self.compress = False
        self.mmap_mode = None
        self._options = {name: value for name, value in (backend_options or {}).items() if name not in _IGNORED}
        self._open()

    def _open(self) -> None:
        os.makedirs(self.location, exist_ok=True)
        self._store = opened(os.path.join(self.location, _FILE), self._options)

    # Workers of joblib get a copy, and open the store for themselves.

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_store"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._open()

    def _key(self, call_id: Sequence[str], *what: str) -> tuple[str, ...]:
        return (*(short_key(part, _HALF) for part in call_id), *what)

    # Results

    def load_item(
        self, call_id: Sequence[str], verbose: int = 1, timestamp: float | None = None, metadata: Any = None, **_: Any
    ) -> Any:
        """The result of a call.

        Raises:
            KeyError: there is none that can be read.
        """
        value = found(self._store, self._key(call_id, _OUTPUT))
        if value is MISSING:
            raise KeyError(f"no result is kept for {'/'.join(call_id)}, or none that can be read")
        if verbose > 1:
            print(f"[Memory]: Loading {'/'.join(call_id)}...")
        return value

    def dump_item(self, call_id: Sequence[str], item: Any, verbose: int = 1) -> None:
        """Keeps the result of a call, or warns that it cannot be kept."""
        if verbose > 10:
            print(f"Persisting {'/'.join(call_id)}")
        try:
            self._store[self._key(call_id, _OUTPUT)] = item
        except Exception as error:
            warnings.warn(f"the result of {'/'.join(call_id)} is not kept: {error}", CacheWarning, stacklevel=2)

    def contains_item(self, call_id: Sequence[str]) -> bool:
        return self._key(call_id, _OUTPUT) in self._store

    def clear_item(self, call_id: Sequence[str]) -> None:
        self._clear(self._key(call_id))

    def get_item_info(self, call_id: Sequence[str]) -> dict[str, Any]:
        return {"location": os.path.join(self.location, *call_id)}

    # What is known of calls

    def get_metadata(self, call_id: Sequence[str]) -> Any:
        try:
            value = found(self._store, self._key(call_id, _METADATA))
        except StoreError:
            return {}
        return value if isinstance(value, dict) else {}

    def store_metadata(self, call_id: Sequence[str], metadata: Any) -> None:
        try:
            self._store[self._key(call_id, _METADATA)] = metadata
        except Exception as error:
            warnings.warn(f"what is known of {'/'.join(call_id)} is not kept: {error}", CacheWarning, stacklevel=2)

    # Functions

    def store_cached_func_code(self, call_id: Sequence[str], func_code: str | None = None) -> None:
        if func_code is not None:
            self._store[self._key(call_id, _CODE)] = func_code

    def get_cached_func_code(self, call_id: Sequence[str]) -> str:
        """The code of a function.

        Raises:
            FileNotFoundError: there is none, by which joblib knows that the function is new.
        """
        value = found(self._store, self._key(call_id, _CODE))
        if not isinstance(value, str):
            raise FileNotFoundError(f"no code is kept of {'/'.join(call_id)}")
        return value

    def get_cached_func_info(self, call_id: Sequence[str]) -> dict[str, Any]:
        return self.get_item_info(call_id)

    def contains_path(self, call_id: Sequence[str]) -> bool:
        return next(iter(self._store.keys(self._key(call_id))), None) is not None

    def clear_path(self, call_id: Sequence[str]) -> None:
        self._clear(self._key(call_id))

    def clear(self) -> None:
        self._store.clear()

    def _clear(self, prefix: tuple[str, ...]) -> None:
        for key in list(self._store.keys(prefix)):
            self._store.delete(key)

    # Limits: `Memory.reduce_size` chooses what goes by these, and removes each by its place.

    def get_items(self) -> list[Any]:
        items = []
        for key in self._store:
            if not isinstance(key, tuple) or key[-1] != _OUTPUT:
                continue
            try:
                stat = self._store.stat(key)
            except KeyError:  # removed meanwhile
                continue
            used = datetime.datetime.fromtimestamp(max(stat.used, stat.written))
            items.append(CacheItemInfo(key[:-1], stat.size, used))
        return items

    def clear_location(self, location: Any) -> None:
        """Removes what is at a place that `get_items` has named; everything for the folder."""
        if isinstance(location, tuple):
            self._clear(location)
        else:
            self._store.clear()

    def create_location(self, location: str) -> None:
        """Nothing: a row needs no folder."""

    # The base class has files; here nothing is one.

    def _open_item(self, f: Any, mode: str) -> Any:
        raise NotImplementedError("results are rows of a store, and no files")

    def _item_exists(self, location: Any) -> bool:
        raise NotImplementedError("results are rows of a store, and no files")

    def _move_item(self, src: Any, dst: Any) -> None:
        raise NotImplementedError("results are rows of a store, and no files")


register_store_backend("torshi", TorshiStoreBackend)
