"""Objects of a bucket: read, listed, removed, and written only where nothing has changed since.

What obstore says becomes an answer, or an error of the store with the way out. Leases are told by watching: a lock
that has not changed for as long as it says is over, by the clock of whoever waits, so that no two clocks are
compared. Never shows the secrets of a bucket, and never writes without a condition.
"""

from __future__ import annotations

import json
import re
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from torshi._errors import StoreError
from torshi._urls import failures, first_line, obstore, store_of

__all__ = ["ABSENT_TAG", "Blob", "Bucket", "Entry", "Lease", "Tag"]

Tag = Mapping[str, str]
"""What the store tells versions of an object by."""
ABSENT_TAG: Final[Tag] = {}
"""That of no object."""

# Seconds after which a request that fails for a passing reason is not tried again; how many times it is.
_RETRIES: Final = {"max_retries": 4, "retry_timeout": timedelta(seconds=20)}
# What `urlsplit` finds, and obstore has a store for that can compare and set.
_SCHEMES: Final = ("s3", "s3a", "gs", "az", "azure", "abfs", "abfss", "memory")
_MISSING: Final = re.compile(r"NoSuchBucket|ContainerNotFound|bucket does not exist", re.IGNORECASE)
_CONFLICT: Final = re.compile(r"\b409 Conflict|ConditionalRequestConflict|\b412 Precondition")


class Blob(NamedTuple):
    """An object, or the beginning of one."""

    data: bytes
    tag: Tag
    modified: datetime
    size: int


class Entry(NamedTuple):
    """An object of a listing."""

    name: str
    size: int
    mark: str
    modified: datetime


def _tag(meta: Mapping[str, Any]) -> Tag:
    return {what: str(meta[what]) for what in ("e_tag", "version") if meta.get(what) is not None}


class Bucket:
    """Objects below a prefix."""

    def __init__(self, url: str, options: Mapping[str, Any]) -> None:
        """Finds the bucket.

        Raises:
            ImportError: obstore is not installed.
            StoreError: its settings are wrong.
            ValueError: the URL is none of a bucket that can compare and set.
        """
        parts = urlsplit(url)
        if parts.scheme not in _SCHEMES:
            raise ValueError(f"{parts.scheme}: no object store of which rows can be kept; use s3://, gs:// or az://")
        host = parts.netloc.rpartition("@")[2]
        self.where = f"{parts.scheme}://{host}{parts.path.rstrip('/')}"
        self._asked()
        settings = {"retry_config": _RETRIES, **options} if parts.scheme != "memory" else dict(options)
        try:
            self._store = store_of(url, settings)
        except failures() as error:
            raise StoreError(f"{self.where}: no such store: {first_line(error)}") from error
        # Only those that list by themselves in the order of names can be listed page by page.
        self.ordered = parts.scheme != "memory"

    def _asked(self) -> Any:
        try:
            return obstore()
        except StoreError as error:
            raise StoreError(f"{self.where}: {error}") from None

    def _said(self, error: Exception) -> StoreError:
        known = obstore().exceptions
        text = first_line(error)
        if _MISSING.search(str(error)):
            return StoreError(f"{self.where}: there is no such bucket: make it first")
        if isinstance(error, (known.PermissionDeniedError, known.UnauthenticatedError, PermissionError)):
            return StoreError(f"{self.where}: the store refuses the login or the right to do this: {text}")
        return StoreError(f"{self.where}: the store does not answer as it should; try again: {text}")

    # -- objects

    def get(self, name: str, length: int | None = None) -> Blob | None:
        """An object, or its first bytes; None if there is none.

        Raises:
            StoreError: it cannot be read.
        """
        library = self._asked()
        options = None if length is None else {"range": (0, length)}
        try:
            got = library.get(self._store, name, options=options)
            meta = got.meta  # of some releases it cannot be had once the bytes are read
            return Blob(bytes(got.bytes()), _tag(meta), meta["last_modified"], meta["size"])
        except FileNotFoundError as error:
            if _MISSING.search(str(error)):
                raise self._said(error) from error
            return None
        except failures() as error:
            if length is not None:  # of an empty object there is no range
                return self.get(name)
            raise self._said(error) from error

    def put(self, name: str, data: bytes, over: Tag) -> Tag | None:
        """Writes an object over the version that has this tag; the new one, or None if it is another by now.

        None does not say that nothing was written: a request may have been repeated, and met itself.

        Raises:
            StoreError: the store does not answer; whether it has written the object is not known.
        """
        library = self._asked()
        known = library.exceptions
        mode = dict(over) if over else "create"
        try:
            return _tag(library.put(self._store, name, data, mode=mode, use_multipart=False))
        except (known.AlreadyExistsError, known.PreconditionError):
            return None
        except FileNotFoundError as error:  # what it was to be written over is not there
            if _MISSING.search(str(error)):
                raise self._said(error) from error
            return None
        except NotImplementedError as error:
            raise StoreError(f"{self.where}: such a store cannot compare and set, which rows need") from error
        except failures() as error:
            if _CONFLICT.search(str(error)):  # two at the same moment
                return None
            raise self._said(error) from error

    def remove(self, names: Sequence[str]) -> None:
        """Removes objects, whatever is in them.

        Raises:
            StoreError: some may still be there, and some be removed later.
        """
        library = self._asked()
        try:
            library.delete(self._store, list(names))
        except FileNotFoundError:
            return
        except failures() as error:
            raise self._said(error) from error

    def entries(self, folder: str, behind: str = "") -> Iterator[Entry]:
        """The objects of a folder whose names come behind one, as the store lists them.

        Raises:
            StoreError: they cannot be listed.
        """
        library = self._asked()
        offset = f"{folder}/{behind}" if behind else None
        try:
            for page in library.list(self._store, prefix=folder, offset=offset):
                for meta in page:
                    name = meta["path"].removeprefix(f"{folder}/")
                    mark = str(meta.get("e_tag") or meta["last_modified"])
                    yield Entry(name, meta["size"], mark, meta["last_modified"])
        except FileNotFoundError as error:
            if _MISSING.search(str(error)):
                raise self._said(error) from error
        except failures() as error:
            raise self._said(error) from error

    def honours(self) -> bool:
        """Whether the store keeps to conditions: some ignore them."""
        name = f"try/{secrets.token_hex(12)}"
        try:
            first = self.put(name, b"1", ABSENT_TAG)
            again = self.put(name, b"2", ABSENT_TAG)
            second = None if first is None else self.put(name, b"3", first)
            late = None if first is None else self.put(name, b"4", first)
            return first is not None and again is None and second is not None and late is None
        finally:
            self.remove([name])


class Lease:
    """A lock in an object: who holds it, for how long at most without a sign of life."""

    def __init__(self, bucket: Bucket, name: str) -> None:
        self._bucket = bucket
        self._name = name
        self._watched: tuple[Tag | None, float] = (None, 0.0)

    def _read(self) -> tuple[Tag, str, float]:
        blob = self._bucket.get(self._name)
        if blob is None:
            return ABSENT_TAG, "", 0.0
        try:
            known = json.loads(blob.data)
            return blob.tag, str(known["holder"]), float(known["seconds"])
        except (ValueError, TypeError, KeyError):
            return blob.tag, "", 0.0

    def _write(self, holder: str, seconds: float, over: Tag) -> bool:
        # The mark makes every sign of life another one.
        text = json.dumps({"torshi": "lock", "holder": holder, "seconds": seconds, "mark": secrets.token_hex(8)})
        return self._bucket.put(self._name, text.encode(), over) is not None

    def take(self, token: str, seconds: float) -> bool:
        """Takes the lock, or gives a sign of life; False if another holds it.

        Raises:
            StoreError: the store does not answer.
        """
        tag, holder, lease = self._read()
        if holder not in ("", token):
            watched, since = self._watched
            if watched != tag:
                self._watched = (tag, time.monotonic())
                return False
            if time.monotonic() - since < lease:
                return False
        return self._write(token, seconds, tag)

    def keep(self, token: str, seconds: float) -> bool:
        """Gives a sign of life; False if the lock is not held any more."""
        tag, holder, _ = self._read()
        return holder == token and self._write(token, seconds, tag)

    def give(self, token: str) -> None:
        """Gives it back, if it is held."""
        tag, holder, _ = self._read()
        if holder == token:
            self._write("", 0.0, tag)
