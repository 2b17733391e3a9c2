"""URLs of Redis into clients and names without secrets; what Redis says into errors with the way out.

Never shows a password: neither in a name nor in an error.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit

from torshi._errors import StoreError

__all__ = ["About", "Place", "about_of", "parsed", "said"]

_NAMESPACE: Final = "torshi"
# Seconds for a connection to be made, and for an answer; the protocol that every server speaks.
_SETTINGS: Final = {"socket_connect_timeout": 5.0, "socket_timeout": 30.0, "protocol": 2}

# The first word of what Redis answers, and what to do about it.
_REFUSALS: Final = {
    "OOM": "its memory is full: raise maxmemory, delete rows, or give rows a ttl and set a volatile maxmemory-policy",
    "READONLY": "it is a replica, which takes no changes: use the address of the primary",
    "WRONGPASS": "it refuses the login: look at user and password",
    "NOAUTH": "it wants a login: write it as redis://user:password@host",
    "NOPERM": "its user may not do this: allow reads, writes and scripts of keys that begin with torshi:",
    "LOADING": "it is still reading its data: try again in a moment",
    "MISCONF": "it cannot save to its disk, and so takes no changes: look at its log",
    "BUSY": "it is in a long script: try again in a moment",
    "WRONGTYPE": "something else is kept under this name: choose another namespace=",
    "CLUSTERDOWN": "its cluster is not complete: try again when it is",
    "MASTERDOWN": "it is a replica that has lost its primary: use the address of the primary",
}


class Place(NamedTuple):
    """A namespace of a database, and who talks to it."""

    client: Any
    library: Any
    base: bytes
    where: str


def _library() -> Any:
    try:
        import redis
    except ImportError as error:
        raise ImportError("stores in redis need redis-py: pip install 'torshi[redis]'") from error
    return redis


def parsed(url: str, options: Mapping[str, Any]) -> Place:
    """The place of a URL.

    Raises:
        ImportError: redis-py is not installed.
        ValueError: the URL is none of Redis.
    """
    library = _library()
    rest = dict(options)
    namespace = rest.pop("namespace", None)
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "localhost", parts.port or 6379
    except ValueError:  # whose text may be a part of the password
        raise ValueError("the redis URL cannot be read: write special characters of the password as %xx") from None
    if parts.scheme == "unix":
        return _socket(library, parts, namespace, rest)
    if parts.scheme not in ("redis", "rediss"):
        raise ValueError(f"{parts.scheme}: no scheme of redis; use redis://, rediss:// or unix://")
    first, _, behind = parts.path.strip("/").partition("/")
    database, named = (first, behind) if first.isdigit() else ("0", parts.path.strip("/"))
    name = str(namespace or unquote(parts.fragment) or unquote(named) or _NAMESPACE)
    shown = f"[{host}]" if ":" in host else host
    clean = f"{parts.scheme}://{parts.netloc}/{database}" + (f"?{parts.query}" if parts.query else "")
    client = _client(library, clean, rest)
    where = f"{parts.scheme}://{shown}:{port}/{database}#{name}"
    return Place(client, library, _base(name), where)


def _base(name: str) -> bytes:
    """What the names of all keys begin with."""
    return b"torshi:{" + name.encode("utf-8", "surrogatepass") + b"}:"


def _socket(library: Any, parts: SplitResult, namespace: object, options: Mapping[str, Any]) -> Place:
    """The place of ``unix:///folder/socket?db=0#namespace``."""
    name = str(namespace or unquote(parts.fragment) or _NAMESPACE)
    query = f"?{parts.query}" if parts.query else ""
    client = _client(library, f"unix://{parts.netloc}{parts.path}{query}", options)
    database = client.connection_pool.connection_kwargs.get("db", 0)
    return Place(client, library, _base(name), f"unix://{parts.path}?db={database}#{name}")


def _client(library: Any, url: str, options: Mapping[str, Any]) -> Any:
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    # What may be done twice is known here, not there.
    settings = {**_SETTINGS, **options, "decode_responses": False, "retry": Retry(NoBackoff(), 0)}
    try:
        client = library.Redis.from_url(url, **settings)
        # What a connection does not take it would say with the first request, in words of its own.
        client.connection_pool.connection_class(**client.connection_pool.connection_kwargs)
        return client
    except (ValueError, TypeError) as error:
        raise ValueError(f"redis does not take these options: {', '.join(sorted(options)) or 'of the URL'}") from (
            error if options else None
        )


def said(library: Any, where: str, error: Exception) -> StoreError:
    """The error of a store for what Redis or its client says."""
    known = library.exceptions
    text = str(error).strip()
    word = text.split(" ", 1)[0].rstrip(":")
    if text.startswith("Authentication required"):  # how redis-py has NOAUTH
        word = "NOAUTH"
    by_type = {"AuthenticationError": "WRONGPASS", "ReadOnlyError": "READONLY", "OutOfMemoryError": "OOM"}
    by_type |= {"BusyLoadingError": "LOADING", "NoPermissionError": "NOPERM", "AuthorizationError": "NOPERM"}
    refusal = _REFUSALS.get(word) or _REFUSALS.get(by_type.get(type(error).__name__, ""))
    if refusal is None and "OOM command not allowed" in text:
        refusal = _REFUSALS["OOM"]
    if refusal is None and "WRONGTYPE" in text:
        refusal = _REFUSALS["WRONGTYPE"]
    if refusal is not None:
        return StoreError(f"{where}: redis cannot do this: {refusal}")
    if isinstance(error, known.TimeoutError):
        return StoreError(
            f"{where}: redis did not answer in time; whether a change was made is not known: read before trying again, "
            "or raise socket_timeout="
        )
    if isinstance(error, known.ConnectionError):
        return StoreError(f"{where}: redis cannot be reached ({text}); start it or look at the address, and try again")
    return StoreError(f"{where}: redis refuses: {text}")


# -- what is known of a row beside its value


class About(NamedTuple):
    """What the index knows of a row."""

    size: int = 0
    written: float = 0.0
    expires: float | None = None
    tags: tuple[str, ...] = ()
    name: str = ""

    def text(self) -> bytes:
        """As JSON, which scripts read too."""
        known: dict[str, Any] = {"size": self.size, "written": self.written, "tags": list(self.tags)}
        if self.expires is not None:
            known["expires"] = self.expires
        known["name"] = self.name
        return json.dumps(known, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def about_of(text: bytes | None) -> About:
    """Out of JSON; what is not as it was written is as if it were not there."""
    try:
        known = json.loads((text or b"{}").decode("utf-8", "surrogatepass"))
        expires = known.get("expires")
        return About(
            int(known.get("size", 0)),
            float(known.get("written", 0)),
            None if expires is None else float(expires),
            tuple(map(str, known.get("tags") or ())),
            str(known.get("name", "")),
        )
    except (ValueError, TypeError, AttributeError, RecursionError):
        return About()
