"""Rows in Redis: one string a row, so that a read is one GET, and an index beside them that scripts keep.

Layout, below ``torshi:{namespace}:``, whose braces keep all of it on one node of a cluster:

    meta            hash: format, the store's id, bytes of all values
    row:KEY         string: header (format, version, expiry) and sealed value; with Redis' own expiry
    keys            sorted set of all keys, for scans in the order of their bytes
    about           hash, key to JSON: size, written, expires, tags, name
    used, ends      sorted sets, key by the time of its last use, and of its expiry
    tag:TAG         set of the keys that have the tag
    lock, done:...  the lock of transactions; answers of calls, for a minute, for those that have to ask twice

Every change is one script, which Redis runs alone: all or none, and rows and index never differ. Redis itself removes
rows that have expired, and if its ``maxmemory-policy`` says so others too; what the index has of those is removed by
whoever meets it. Never trusts that the index is right, and loads nothing.
"""

from __future__ import annotations

import contextlib
import os
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Final, TypeVar

from torshi._errors import StoreError
from torshi._store import redis_scripts as scripts
from torshi._store.backend import ABSENT, Change, Delete, Put, Row, Stat, Version
from torshi._store.optimistic import Transaction
from torshi._store.redis_place import About, Place, about_of, parsed, said
from torshi._store.steps import Step, steps

if TYPE_CHECKING:
    from torshi._store.backend import Backend

__all__ = ["open_backend"]

T = TypeVar("T")

FORMAT: Final = 1
# A format's number, the version, when the row expires in seconds since 1970 or 0.
_HEADER: Final = struct.Struct(">BQd")
# The version of what has no header.
_NONE: Final = (1 << 64) - 1
# Keys of a page of a scan, and of one call that reads values.
_PAGE: Final = 500
_VALUES: Final = 100
# Times of use that are kept here before Redis hears of them.
_USES: Final = 512
# Pauses before trying again what a lost connection broke off, in seconds.
_PAUSES: Final = (0.02, 0.2, 0.6)


def open_backend(url: str, **options: Any) -> Backend:
    """The backend of a URL.

    Args:
        url: ``redis://user:password@host:port/database/namespace``, ``rediss://`` for TLS, or
            ``unix:///socket?db=0``; the namespace may be behind a ``#`` too.
        options: `namespace`, and whatever `redis.Redis.from_url` takes.

    Raises:
        ImportError: redis-py is not installed.
        StoreError: Redis cannot be reached, refuses the login, or holds something else there.
        ValueError: the URL is none of Redis.
    """
    return RedisBackend(parsed(url, options))


class RedisBackend:
    """Rows in a namespace of a database of Redis."""

    def __init__(self, place: Place) -> None:
        self.where = place.where
        self._base = place.base
        self._client = place.client
        self._library = place.library
        self._scripts = {name: self._client.register_script(text) for name, text in scripts.ALL.items()}
        self._uses: dict[bytes, float] = {}
        self._uses_lock = threading.Lock()
        self.store_id = self._opened()

    # -- calls

    def _asked(self, call: Callable[[], T]) -> T:
        """What a call gives, made again after a lost connection.

        For calls that may be carried out twice: reads, and scripts that know their own answer.

        Raises:
            StoreError: Redis does not answer, or refuses.
        """
        known = self._library.exceptions
        for pause in (*_PAUSES, None):
            try:
                return call()
            except (known.AuthenticationError, known.AuthorizationError) as error:
                raise said(self._library, self.where, error) from error
            except (known.ConnectionError, known.TimeoutError) as error:
                if pause is None or isinstance(error, known.TimeoutError):
                    raise said(self._library, self.where, error) from error
                time.sleep(pause)
            except known.RedisError as error:
                raise said(self._library, self.where, error) from error
        raise AssertionError("the last pause is none")

    def _run(self, name: str, *arguments: bytes | str | int | float) -> Any:
        return self._asked(lambda: self._scripts[name](keys=[self._base], args=list(arguments)))

    def _many(self, calls: Sequence[tuple[bytes | str | int | float, ...]]) -> list[Any]:
        """The answers of several calls, which go out together."""

        def together() -> list[Any]:
            pipeline = self._client.pipeline(transaction=False)
            for call in calls:
                pipeline.execute_command(*call)
            answers = list(pipeline.execute(raise_on_error=False))
            for answer in answers:
                if isinstance(answer, Exception):
                    raise answer
            return answers

        return self._asked(together)

    def _one(self, *call: bytes | str | int | float) -> Any:
        return self._asked(lambda: self._client.execute_command(*call))

    def _opened(self) -> bytes:
        meta = self._base + b"meta"
        store_id, held = self._one("HMGET", meta, "id", "format")
        if store_id is None:
            calls = (("HSETNX", meta, "id", os.urandom(16).hex()), ("HSETNX", meta, "format", FORMAT))
            store_id, held = self._many([*calls, ("HMGET", meta, "id", "format")])[-1]
        if held is None or int(held) > FORMAT:
            raise StoreError(f"{self.where}: the store has format {held!r}, which a later torshi reads; upgrade torshi")
        return bytes.fromhex(store_id.decode())

    # -- rows

    def _row(self, key: bytes, held: bytes | None) -> Row | None:
        if not held:
            return None
        if len(held) < _HEADER.size or held[0] != FORMAT:
            return Row(key, held, -1)  # nothing that was put: the seal will say so
        _, version, expires = _HEADER.unpack_from(held)
        return Row(key, held[_HEADER.size :], version, expires or None)

    def _used(self, keys: Sequence[bytes]) -> None:
        now = time.time()
        with self._uses_lock:
            for key in keys:
                self._uses[key] = now
            full = len(self._uses) >= _USES
        if full:
            self._tell_uses()

    def _tell_uses(self) -> None:
        """Tells Redis what was used when. A replica does not want to know."""
        with self._uses_lock:
            uses, self._uses = self._uses, {}
        if not uses:
            return
        pairs = [part for key, at in uses.items() for part in (at, key)]
        try:
            self._one("ZADD", self._base + b"used", "XX", "GT", *pairs)
        except StoreError:
            return

    def get(self, key: bytes) -> Row | None:
        """The row, or None."""
        return self.get_many([key])[0]

    def get_many(self, keys: Sequence[bytes]) -> list[Row | None]:
        """One for each key, in one trip for a hundred."""
        rows: list[Row | None] = []
        for start in range(0, len(keys), _VALUES):
            some = keys[start : start + _VALUES]
            held = self._one("MGET", *(self._base + b"row:" + key for key in some))
            rows += map(self._row, some, held)
        self._used([row.key for row in rows if row is not None])
        return rows

    def scan(self, prefix: bytes, *, after: bytes | None = None, reverse: bool = False) -> Iterator[Row]:
        """Rows whose keys begin with `prefix`, in order."""
        for keys in self._pages(prefix, after, reverse):
            gone = []
            for start in range(0, len(keys), _VALUES):
                some = keys[start : start + _VALUES]
                held = self._one("MGET", *(self._base + b"row:" + key for key in some))
                for key, value in zip(some, held, strict=True):
                    row = self._row(key, value)
                    if row is None:
                        gone.append(key)
                    else:
                        yield row
            self._forget(gone)

    def _pages(self, prefix: bytes, after: bytes | None, reverse: bool) -> Iterator[list[bytes]]:
        """Keys of the index, page by page."""
        low, high = b"[" + prefix, b"(" + _behind(prefix) if _behind(prefix) else b"+"
        if after is not None and reverse:
            high = b"(" + after if not _behind(prefix) or after < _behind(prefix) else high
        elif after is not None and after >= prefix:
            low = b"(" + after
        index = self._base + b"keys"
        while True:
            if reverse:
                page = self._one("ZREVRANGEBYLEX", index, high, low, "LIMIT", 0, _PAGE)
            else:
                page = self._one("ZRANGEBYLEX", index, low, high, "LIMIT", 0, _PAGE)
            if page:
                yield page
            if len(page) < _PAGE:
                return
            low, high = (low, b"(" + page[-1]) if reverse else (b"(" + page[-1], high)

    def _forget(self, keys: Sequence[bytes]) -> int:
        """Takes from the index what is not there any more: expired, or evicted by Redis. Not from a replica's."""
        if not keys:
            return 0
        try:
            return int(self._run("forget", *keys))
        except StoreError:
            return 0

    # -- stats

    def stats(self, prefix: bytes, *, after: bytes | None = None, tag: str | None = None) -> Iterator[Stat]:
        """The same without values."""
        self._tell_uses()
        pages = self._pages(prefix, after, False) if tag is None else self._tagged(prefix, after, tag)
        for keys in pages:
            # Versions first: a row that has the same one later had it all the while, and what is read between is of it.
            sizes = self._sizes(keys)
            about, used = self._many(
                [("HMGET", self._base + b"about", *keys), ("ZMSCORE", self._base + b"used", *keys)]
            )
            for key, (size, version), text, at in zip(keys, sizes, about, used, strict=True):
                known = about_of(text)
                if size and (tag is None or tag in known.tags):
                    yield self._stat(key, size, version, known, at)

    def _sizes(self, keys: Sequence[bytes]) -> list[tuple[int, int]]:
        """Bytes of the strings of rows, and their versions; of what is no string or not there no bytes."""
        found = self._run("sizes", *keys)
        return [(int(size), _version_of(head)) for size, head in zip(found[::2], found[1::2], strict=True)]

    def _stat(self, key: bytes, size: int, version: int, known: About, used: Any) -> Stat:
        at = known.written if used is None else max(float(used), known.written)
        return Stat(key, max(0, size - _HEADER.size), known.written, at, known.expires, known.tags, version)

    def _tagged(self, prefix: bytes, after: bytes | None, tag: str) -> Iterator[list[bytes]]:
        name = self._base + b"tag:" + tag.encode("utf-8", "surrogatepass")
        keys = sorted(key for key in self._one("SMEMBERS", name) if key.startswith(prefix))
        keys = [key for key in keys if after is None or key > after]
        for start in range(0, len(keys), _PAGE):
            yield keys[start : start + _PAGE]

    def usage(self) -> tuple[int, int]:
        """How many rows, and how many bytes their values have."""
        with contextlib.suppress(StoreError):  # of a replica, which has it swept for it
            self.sweep()
        count, size = self._many([("ZCARD", self._base + b"keys"), ("HGET", self._base + b"meta", "bytes")])
        return int(count), max(0, int(size or 0))

    def least_used(self, prefix: bytes, count: int) -> list[tuple[bytes, Version]]:
        """Keys and versions of those that were not used for the longest time."""
        self._tell_uses()
        found: list[tuple[bytes, Any]] = []
        start = 0
        while len(found) < count:
            page = self._one("ZRANGE", self._base + b"used", start, start + _PAGE - 1, "WITHSCORES")
            pairs = _pairs(page)
            found += (pair for pair in pairs if pair[0].startswith(prefix))
            start += _PAGE
            if len(pairs) < _PAGE:
                break
        if not (found := found[:count]):
            return []
        keys = [key for key, _ in found]
        sizes = self._sizes(keys)
        # Whoever was used since is no longer among them, and his version may be one that nobody has chosen.
        scores = self._one("ZMSCORE", self._base + b"used", *keys)
        self._forget([key for key, (size, _) in zip(keys, sizes, strict=True) if not size])
        told = zip(found, sizes, scores, strict=True)
        return [
            (key, version)
            for (key, used), (size, version), score in told
            if size and score is not None and float(score) == float(used)
        ]

    # -- changes

    def apply(self, changes: Sequence[Change]) -> bool:
        """Makes all changes or none, in one script."""
        wanted = steps(changes)
        if not wanted:
            return True
        version = int.from_bytes(os.urandom(8), "big") >> 1
        # A call that goes by what was there must know its own answer when it has to ask again.
        token = os.urandom(12).hex() if any(step.expected for step in wanted) else ""
        arguments: list[bytes | str | int | float] = [self.store_id.hex(), token]
        for step in wanted:
            arguments += _argument(step, version)
        answer = int(self._run("apply", *arguments))
        if answer < 0:
            raise StoreError(f"{self.where}: another store has been made there since this one was opened; open it anew")
        return answer == 1

    def transaction(self) -> AbstractContextManager[Backend]:
        """A view whose changes are made at the end, if nothing that was read has changed."""
        return Transaction(self)

    def take_lock(self, token: str, seconds: float) -> bool:
        """Takes the lock of transactions, or keeps it; False if another has it."""
        return bool(self._run("lock", token, int(seconds * 1000)))

    def give_lock(self, token: str) -> None:
        """Gives the lock back, if it is still held."""
        self._run("unlock", token)

    # -- care

    def sweep(self) -> int:
        """Removes expired rows, and from the index those that Redis has removed; how many."""
        swept = 0
        while True:
            some = int(self._run("sweep", _PAGE))
            swept += some
            if some < _PAGE:
                return swept

    def _held(self) -> Iterator[list[bytes]]:
        """Keys of the rows themselves, by no order, some of them twice."""
        rows = self._base + b"row:"
        pattern = b"".join(b"\\" + bytes([byte]) if byte in b"*?[]\\^" else bytes([byte]) for byte in rows) + b"*"
        cursor: Any = 0
        while True:
            cursor, names = self._one("SCAN", cursor, "MATCH", pattern, "COUNT", 1000)
            yield [name[len(rows) :] for name in names]
            if int(cursor) == 0:
                return

    def _unlisted(self) -> Iterator[list[bytes]]:
        """Keys of rows that the index lacks."""
        for keys in self._held():
            if keys:
                scores, about = self._many(
                    [("ZMSCORE", self._base + b"keys", *keys), ("HMGET", self._base + b"about", *keys)]
                )
                yield [key for key, score, text in zip(keys, scores, about, strict=True) if None in (score, text)]

    def check(self) -> list[str]:
        """What is wrong with the index, and what Redis' settings put at risk."""
        found = []
        lost = {key for keys in self._unlisted() for key in keys}
        if lost:
            found.append(
                f"{self.where}: {len(lost)} rows are not in the index, so scans miss them; repair() lists them"
            )
        strayed = self._strayed()
        if strayed:
            found.append(f"{self.where}: {len(strayed)} keys stand out of order in the index; repair() puts them right")
        policy = self._policy()
        if policy.startswith("allkeys"):
            found.append(
                f"{self.where}: redis' maxmemory-policy {policy} may remove any row and the index; "
                "noeviction or a volatile policy keeps what has no expiry"
            )
        return found

    def _strayed(self) -> list[bytes]:
        """Keys that the index has with a score, which puts scans out of order."""
        index = self._base + b"keys"
        below, above = self._many([("ZRANGEBYSCORE", index, "-inf", "(0"), ("ZRANGEBYSCORE", index, "(0", "+inf")])
        return [*below, *above]

    def _policy(self) -> str:
        """What Redis removes when its memory is full; nothing if it has no limit, or will not say."""
        try:
            memory = self._asked(lambda: self._client.info("memory"))
        except StoreError:
            return ""
        return str(memory.get("maxmemory_policy", "")) if int(memory.get("maxmemory", 0)) else ""

    def repair(self) -> list[str]:
        """Lists rows that the index lacks, takes from it those that are gone, and counts bytes anew."""
        strayed = self._strayed()
        if strayed:
            self._one("ZADD", self._base + b"keys", *(part for key in strayed for part in (0, key)))
        listed = sum(int(self._run("list", *keys)) for keys in self._unlisted() if keys)
        gone = 0
        for keys in self._pages(b"", None, False):
            sizes = self._sizes(keys)
            gone += self._forget([key for key, (size, _) in zip(keys, sizes, strict=True) if not size])
        counted = int(self._run("count"))
        done = [(len(strayed), "put {} keys of the index into their order")]
        done += [(listed, "listed {} rows that the index lacked"), (gone, "took {} rows from the index that were gone")]
        done.append((counted, "counted bytes anew: {} more or fewer"))
        return [f"{self.where}: {text.format(count)}" for count, text in done if count]

    def compact(self) -> int:
        """Sweeps, and asks Redis to give memory back."""

        def used() -> int:
            return int(self._asked(lambda: self._client.info("memory")).get("used_memory", 0))

        before = used()
        self.sweep()
        with contextlib.suppress(StoreError):  # not allowed to everybody
            self._one("MEMORY", "PURGE")
        return max(0, before - used())

    def close(self) -> None:
        """Gives back connections."""
        try:
            self._tell_uses()
        finally:
            self._client.close()
            self._client.connection_pool.disconnect()


def _behind(prefix: bytes) -> bytes:
    """The least key behind all that begin with a prefix; nothing if there is none."""
    kept = prefix.rstrip(b"\xff")
    return kept[:-1] + bytes([kept[-1] + 1]) if kept else b""


def _expected(expected: Version | object) -> bytes:
    if expected is ABSENT:
        return b"!"
    if isinstance(expected, int) and -1 <= expected < _NONE:
        return b"=" + (_NONE if expected == -1 else expected).to_bytes(8, "big")
    return b"="  # of another backend: no row has it


def _argument(step: Step, version: int) -> tuple[bytes | str, ...]:
    """What the script is told of a step: key, expectations, what is known of the new row, the row."""
    expected = b"".join(map(_expected, step.expected))
    effect = step.effect
    if effect is None:
        return step.key, expected, "", b""
    if isinstance(effect, Delete):
        return step.key, expected, "-", b""
    assert isinstance(effect, Put)
    known = About(len(effect.value), time.time(), effect.expires, effect.tags, effect.name)
    header = _HEADER.pack(FORMAT, version, effect.expires or 0.0)
    return step.key, expected, known.text(), header + effect.value


def _version_of(head: bytes) -> int:
    """The version of a row that begins so; -1 of what was not put."""
    if len(head) < _HEADER.size or head[0] != FORMAT:
        return -1
    version: int = _HEADER.unpack_from(head)[1]
    return version


def _pairs(page: Sequence[Any]) -> list[tuple[bytes, Any]]:
    """Members with their scores, which clients give as pairs or one after the other."""
    if page and not isinstance(page[0], bytes):
        return [(member, score) for member, score in page]
    return list(zip(page[::2], page[1::2], strict=True))
