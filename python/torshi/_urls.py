"""Object stores: URLs into objects to read in ranges, and into objects replaced as a whole or not at all.

The only place that opens a store. obstore does the talking, and is imported only when there is something to say. What
is read is of one version of the object, however often it is replaced meanwhile. Never keeps more of an object in memory
than a few pieces.
"""

from __future__ import annotations

import contextlib
import io
import os
import queue
import re
import threading
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from torshi._errors import StoreError

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

__all__ = ["ObjectReader", "failures", "first_line", "is_url", "local_path", "obstore", "replacing_object", "store_of"]

# One letter is a drive.
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")

# Bytes at the end of an object that are fetched first: manifest and seals of nearly every file.
_END = 64 << 10
# Bytes of a request, short enough for the time that obstore gives one; and requests under way ahead of the reader.
_PIECE = 8 << 20
_AHEAD = 3
# Bytes of a part of an upload, of which a store takes ten thousand; what is shorter goes in one request.
_PART = 16 << 20
_PARTS_AT_A_TIME = 4
# Pieces of up to a megabyte that wait to be uploaded.
_WAITING = 16


def is_url(path: object) -> bool:
    """Whether a path names something in a store rather than a file.

    Example:
        >>> is_url("s3://bucket/key"), is_url("folder/key"), is_url("C://key")
        (True, False, False)
    """
    return isinstance(path, str) and _URL.match(path) is not None


def local_path(url: str) -> str | None:
    """The path of a ``file://`` URL; None for every other.

    Raises:
        ValueError: it names a file of another machine.

    Example:
        >>> local_path("file:///data/a%20b.pkl"), local_path("s3://bucket/key")
        ('/data/a b.pkl', None)
    """
    if not url.lower().startswith("file://"):
        return None
    # Here, and not above: most programs that import torshi open no URL.
    from urllib.parse import urlsplit
    from urllib.request import url2pathname

    parts = urlsplit(url)
    if parts.netloc not in ("", "localhost"):
        raise ValueError(f"{url}: a file URL has three slashes and a path of this machine, as in file:///folder/name")
    return url2pathname(parts.path)


# The process whose threads obstore has: none of them lives on in one that is forked off, which would wait for ever.
_process: int | None = None


def obstore() -> Any:
    """The library, about to be used.

    Raises:
        ImportError: it is not installed.
        StoreError: this process was forked off one that had used it.
    """
    global _process
    library = _library()
    if _process is None:
        _process = os.getpid()
    elif _process != os.getpid():
        raise StoreError(
            "obstore does not work in a process that was forked off one that had used it: start processes by "
            "multiprocessing's 'spawn' or 'forkserver', and open the store there"
        )
    return library


def _library() -> Any:
    try:
        import obstore
        import obstore.exceptions
        import obstore.store
    except ImportError as error:
        raise ImportError("object stores need obstore: pip install 'torshi[s3]'") from error
    return obstore


def store_of(url: str, options: Mapping[str, Any]) -> Any:
    """The store of a bucket, or of what is below a prefix of one.

    Args:
        url: ``s3://bucket/prefix``, ``gs://...``, ``az://...``.
        options: settings as obstore's `from_url` takes them, beside those of the environment.
    """
    settings = dict(options)
    endpoint = str(
        settings.get("endpoint") or os.environ.get("AWS_ENDPOINT_URL") or os.environ.get("AWS_ENDPOINT") or ""
    )
    client = {"allow_http": True} if endpoint.startswith("http://") else None
    return obstore().store.from_url(url, client_options=client, **settings)


def failures() -> tuple[type[Exception], ...]:
    """What a store raises."""
    return (OSError, _library().exceptions.BaseError)


def first_line(error: BaseException) -> str:
    """What is wrong, without the library's account of its own types."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _place(url: str, options: Mapping[str, Any]) -> tuple[Any, str]:
    """The store of an object, and its name there.

    Raises:
        ValueError: the URL names no object, or nothing that would still be there afterwards.
    """
    if url.lower().startswith("memory:"):
        raise ValueError(f"{url}: such a store is new and empty each time; use io.BytesIO")
    folder, _, name = url.rpartition("/")
    if not name or folder.endswith((":", "/")):
        raise ValueError(f"{url}: names no object; a URL is of the form s3://bucket/key")
    return store_of(folder, options), name


def _said(url: str, error: Exception) -> OSError:
    """The error of a store as the system would have raised it."""
    known = _library().exceptions
    if isinstance(error, (FileNotFoundError, known.NotFoundError)):
        return FileNotFoundError(f"{url}: no object there")
    if isinstance(error, known.PreconditionError):
        return OSError(f"{url}: the object was replaced while it was read; try again")
    denied = (known.PermissionDeniedError, known.UnauthenticatedError)
    return (PermissionError if isinstance(error, denied) else OSError)(f"{url}: {first_line(error)}")


class ObjectReader(io.RawIOBase):
    """One version of an object, read in ranges: its end at once, the rest in pieces ahead of who reads in order."""

    def __init__(self, url: str, options: Mapping[str, Any] | None = None) -> None:
        """Finds the object and fetches its end.

        Raises:
            ImportError: obstore is not installed.
            OSError: there is no such object, or it cannot be read.
            ValueError: the URL names no object.
        """
        super().__init__()
        self._url = url
        # First what `close` looks at: a reader that could not be opened is closed too.
        self._at = 0
        self._ahead: dict[int, Future[bytes]] = {}
        self._pool: ThreadPoolExecutor | None = None
        self._piece = (0, b"")
        self._store, self._name = _place(url, options or {})
        try:
            end, meta = self._fetched_end()
        except failures() as error:
            raise _said(url, error) from error
        self.size = int(meta["size"])
        self.tag: str | None = meta.get("e_tag")
        self._end = (self.size - len(end), end)

    def _fetched_end(self) -> tuple[bytes, Mapping[str, Any]]:
        library = obstore()
        try:
            got = library.get(self._store, self._name, options={"range": {"suffix": _END}})
            return bytes(got.bytes()), got.meta
        except FileNotFoundError:
            raise
        except failures():
            # Not every store takes a range from the end, and none of an empty object. What else is wrong shows again.
            meta = library.head(self._store, self._name)
            start = max(0, meta["size"] - _END)
            if meta["size"] == 0:
                return b"", meta
            condition = {"if_match": meta["e_tag"]} if meta.get("e_tag") else {}
            got = library.get(self._store, self._name, options={"range": (start, meta["size"]), **condition})
            return bytes(got.bytes()), meta

    # -- ranges

    def read_at(self, offset: int, length: int) -> bytes:
        """So many bytes from there.

        Raises:
            EOFError: the object has not got them.
            OSError: they cannot be read, or the object has been replaced.
        """
        if offset + length > self.size:
            raise EOFError(f"{self._url}: the object ends before byte {offset + length}")
        parts = []
        while length:
            start, held = self._holding(offset)
            part = held[offset - start : offset - start + length]
            parts.append(part)
            offset, length = offset + len(part), length - len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _holding(self, offset: int) -> tuple[int, bytes]:
        """Some bytes of the object, that at `offset` among them, and where they begin."""
        for start, held in (self._piece, self._end):
            if start <= offset < start + len(held):
                return start, held
        ended = self._piece[0] + len(self._piece[1])
        waited = self._ahead.pop(offset, None)
        try:
            held = self._range(offset) if waited is None else waited.result()
        except failures() as error:
            raise _said(self._url, error) from error
        self._piece = (offset, held)
        if ended == offset or offset == 0:
            self._look_ahead(offset + len(held))
        return self._piece

    def _look_ahead(self, offset: int) -> None:
        """Asks for what will be read next by one who reads in order."""
        if self._pool is None:
            from concurrent.futures import ThreadPoolExecutor

            self._pool = ThreadPoolExecutor(_AHEAD)
        for _ in range(_AHEAD):
            if offset >= self._end[0]:
                return
            if offset not in self._ahead:
                self._ahead[offset] = self._pool.submit(self._range, offset)
            offset += self._length(offset)

    def _length(self, offset: int) -> int:
        """Bytes of the piece that begins there: none goes on into the end, which is here already."""
        return min(_PIECE, (self._end[0] if offset < self._end[0] else self.size) - offset)

    def _range(self, offset: int) -> bytes:
        length = self._length(offset)
        condition = {} if self.tag is None else {"if_match": self.tag}
        options = {"range": (offset, offset + length), **condition}
        held = bytes(obstore().get(self._store, self._name, options=options).bytes())
        if len(held) != length:
            raise OSError(f"the store gave {len(held)} bytes for {length}")
        return held

    # -- as a file

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Goes to a place, which may be behind the end."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self.size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Fills a buffer with what comes next, as far as the object has it."""
        view = memoryview(buffer).cast("B")
        length = max(0, min(len(view), self.size - self._at))
        view[:length] = self.read_at(self._at, length)
        self._at += length
        return length

    def close(self) -> None:
        """Waits for nothing that was asked for in vain, and asks for no more."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
        self._piece, self._end = (0, b""), (0, b"")
        self._ahead.clear()
        super().close()


# -- writing


@contextlib.contextmanager
def replacing_object(url: str, options: Mapping[str, Any] | None = None) -> Iterator[Any]:
    """Yields a function for the new content of an object, which takes the old one's place at the end of the block.

    What is long is uploaded in parts while it comes. An error within the block, or of the store, leaves the old object,
    and the parts are given up; only an end of the process leaves parts that the store keeps until a rule of the bucket
    clears them away.

    Raises:
        ImportError: obstore is not installed.
        OSError: the object cannot be written; the old one, if any, is as it was.
        ValueError: the URL names no object.
    """
    upload = _Upload(url, options or {})
    try:
        yield upload.write
        upload.finish()
    except BaseException:
        upload.abandon()
        raise


class _Abandoned(Exception):
    """The content will not come."""


class _Upload:
    """Bytes handed over piece by piece, to a thread that uploads them once they are many."""

    def __init__(self, url: str, options: Mapping[str, Any]) -> None:
        self._url = url
        self._store, self._name = _place(url, options)
        self._first: list[bytes] = []
        self._held = 0
        # A piece, or None at the end, or why there is none.
        self._pieces: queue.Queue[bytes | _Abandoned | None] = queue.Queue(_WAITING)
        self._ended = False
        self._failed: BaseException | None = None
        self._thread: threading.Thread | None = None

    def write(self, data: bytes) -> int:
        """Takes a piece, which may wait for those before it.

        Raises:
            OSError: the store has refused an earlier one.
        """
        if self._thread is not None:
            self._pieces.put(data)
            self._say()
            return len(data)
        self._first.append(data)
        self._held += len(data)
        if self._held > _PART:
            self._thread = threading.Thread(target=self._send, name="torshi-upload")
            self._thread.start()
        return len(data)

    def finish(self) -> None:
        """Has the store put the object in place.

        Raises:
            OSError: it does not.
        """
        if self._thread is None:
            try:
                obstore().put(self._store, self._name, b"".join(self._first), use_multipart=False)
            except failures() as error:
                raise _said(self._url, error) from error
            return
        self._pieces.put(None)
        self._thread.join()
        self._say()

    def abandon(self) -> None:
        """Gives up what was uploaded so far."""
        if self._thread is not None:
            self._pieces.put(_Abandoned())
            self._thread.join()

    def _say(self) -> None:
        if self._failed is None:
            return
        if isinstance(self._failed, failures()):
            raise _said(self._url, self._failed) from self._failed
        raise self._failed

    def _send(self) -> None:
        """Uploads; what goes wrong is for the one who writes to hear."""
        try:
            # An error of the iterator ends the upload, and has obstore tell the store to forget the parts.
            obstore().put(self._store, self._name, self._taken(), chunk_size=_PART, max_concurrency=_PARTS_AT_A_TIME)
        except BaseException as error:
            self._failed = error
        while not self._ended:  # so that the one who writes does not wait for ever
            self._ended = not isinstance(self._pieces.get(), bytes)

    def _taken(self) -> Iterator[bytes]:
        while self._first:
            yield self._first.pop(0)
        while True:
            piece = self._pieces.get()
            if isinstance(piece, bytes):
                yield piece
                continue
            self._ended = True
            if piece is None:
                return
            raise piece
