"""Where a store is: a path, a URL or a backend into the backend.

A table of schemes. Nothing is imported before it is used.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final, TypeGuard

from torshi._store.backend import Backend
from torshi._urls import is_url, local_path

__all__ = ["SCHEMES", "open_place", "says_all"]

SCHEMES: Final = {
    "redis": "torshi._store.redis",
    "rediss": "torshi._store.redis",
    "unix": "torshi._store.redis",
    "s3": "torshi._store.objects",
    "gs": "torshi._store.objects",
    "az": "torshi._store.objects",
    "memory": "torshi._store.objects",
}
"""Modules with ``open_backend(url, **options)``, by the scheme of the URL."""


def says_all(where: str) -> bool:
    """Whether the name that a store gives of itself leads there: it leaves out logins, and settings behind a ``?``.

    Example:
        >>> says_all("redis://host/0#jobs"), says_all("redis://:secret@host"), says_all("a@b?.db")
        (True, False, True)
    """
    if not is_url(where) or local_path(where) is not None:
        return True
    from urllib.parse import parse_qsl, urlsplit

    parts = urlsplit(where)
    # Which database a socket has is part of its name.
    settings = [name for name, _ in parse_qsl(parts.query) if not (parts.scheme == "unix" and name == "db")]
    return "@" not in parts.netloc and not settings


#: What a backend has.
_ASKED: Final = tuple(name for name in {**vars(Backend), **Backend.__annotations__} if not name.startswith("_"))


def _is_backend(where: object) -> TypeGuard[Backend]:
    # As an attribute is looked up, so that one may stand before another one: `isinstance` of a protocol does that no
    # longer from Python 3.12 on.
    return all(hasattr(where, name) for name in _ASKED)


def open_place(
    where: str | os.PathLike[str] | Backend,
    *,
    durable: str,
    timeout: float,
    tracks_use: bool,
    storage_options: Mapping[str, Any] | None,
) -> Backend:
    """The backend of a place.

    Raises:
        TypeError: it is no place; or there are options for a server, and none is meant.
        ValueError: no backend has that scheme.
        ImportError: what the backend needs is not installed.
        StoreError: it cannot be opened.
    """
    if not isinstance(where, (str, os.PathLike)):
        if _is_backend(where):
            return where
        raise TypeError(f"a store is at a path, a URL or a backend, not {type(where).__name__}")
    text = os.fsdecode(where)
    if is_url(text):
        local = local_path(text)
        if local is None:
            return _served(text, dict(storage_options or {}))
        text = os.fsdecode(local)
    if storage_options:
        raise TypeError("storage_options are for URLs, such as redis://localhost/0")
    if text == ":memory:":
        from torshi._store.memory import Memory

        return Memory(tracks_use=tracks_use)
    from torshi._store.sqlite import SQLite

    return SQLite(os.path.abspath(text), timeout=timeout, durable=durable, tracks_use=tracks_use)


def _served(url: str, options: dict[str, Any]) -> Backend:
    scheme = url.partition("://")[0].lower()
    module = SCHEMES.get(scheme)
    if module is None:
        raise ValueError(f"no store has the scheme {scheme}://; there are {', '.join(SCHEMES)}, and paths")
    backend: Backend = import_module(module).open_backend(url, **options)
    return backend
