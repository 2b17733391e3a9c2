"""scan_objects: objects in stores such as S3 in, one verdict an object out, here or on a Dask cluster.

Lists what is below some URLs, leaves out what is known already, and has batches of the rest scanned by threads or
by workers. An object is read once and scanned by `scan_bytes`; nothing in it is imported, built or called. Listing
and reading are obstore's, distributing is Dask's: both are imported only when they are needed.
"""

from __future__ import annotations

import fnmatch
import hashlib
import json
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from torshi._policy import Policy, Trust, policy_of
from torshi._scan import FileResult, ScanLimits, scan_bytes
from torshi._urls import failures, first_line, local_path, obstore, store_of
from torshi._version import __version__

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["Key", "ObjectResult", "scan_objects"]

Key: TypeAlias = tuple[str, "str | None", str]
"""What makes a result worth keeping: URL, entity tag, and the fingerprint of policy, limits and version."""

# A batch is one task of a cluster: big enough to be worth sending, small enough for a worker's memory.
_MOST_OBJECTS = 128
_MOST_BYTES = 64 << 20
# Objects of a batch that are fetched at a time: a small one is nothing but waiting.
_FETCHERS = 16
# Batches in flight for each thread that scans, so that none waits for the next.
_AHEAD = 3
# A worker that is lost takes its batch with it; the scheduler tries again this often.
_RETRIES = 2


@dataclass(frozen=True)
class ObjectResult:
    """What a scan says of one object.

    Attributes:
        result: the verdict; its `path` is the object's URL.
        e_tag: the store's tag of the content that was scanned, or None where the store has none.
        basis: fingerprint of the policy, the limits and torshi's version.
        failed: whether the object could not be read or its worker was lost; another run tries again.
    """

    result: FileResult
    e_tag: str | None
    basis: str
    failed: bool

    @property
    def key(self) -> Key:
        """By what the result is found again."""
        return (self.result.path, self.e_tag, self.basis)

    def to_record(self) -> dict[str, Any]:
        """The result as a flat dict of plain values, for JSON."""
        own = {"e_tag": self.e_tag, "basis": self.basis, "failed": self.failed}
        return {**self.result.to_record(), **own}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> ObjectResult:
        """Builds a result from what `to_record` gives."""
        own = {name: record[name] for name in ("e_tag", "basis", "failed")}
        return cls(result=FileResult.from_record({k: v for k, v in record.items() if k not in own}), **own)


@dataclass(frozen=True)
class _Batch:
    """Objects of one store, to be scanned together."""

    store: str
    paths: tuple[str, ...]
    e_tags: tuple[str | None, ...]
    options: Mapping[str, Any]
    policy: Policy
    limits: ScanLimits
    basis: str

    def urls(self) -> list[str]:
        return [f"{self.store}/{path}" for path in self.paths]


def scan_objects(
    urls: str | Iterable[str],
    *,
    policy: Policy | None = None,
    trust: Trust = None,
    limits: ScanLimits | None = None,
    dask: str | Client | None = None,
    jobs: int | None = None,
    options: Mapping[str, Any] | None = None,
    known: Collection[Key] = (),
    listed: Callable[[int], object] | None = None,
) -> Iterator[ObjectResult]:
    """Scans the objects below URLs; results come as they are ready, in no order.

    Args:
        urls: ``s3://bucket/prefix``, ``gs://...``, ``az://...``, ``file:///folder``: an object, or whatever is below a
            prefix; with ``*`` or ``?`` in it, the objects whose URL matches, ``*`` also across slashes.
        policy: what is allowed; the default policy if absent.
        trust: the same in the form `load` takes it; only one of the two may be given.
        limits: how much of each object is read and unpacked.
        dask: the address of a Dask scheduler, or a client of one, to scan there; its workers need torshi and obstore,
            and read the store themselves. Scanned by threads of this process if absent.
        jobs: threads of this process; as many as there are processors if absent.
        options: settings of the store, as obstore's `from_url` takes them, beside those of the environment.
        known: keys of results there are already, such as `ObjectResult.key` gave them; these objects are left out.
        listed: called with the number of objects to scan, as far as they are listed.

    Yields:
        One result an object. One that cannot be read is undecided, says why, and is marked as failed.

    Raises:
        ImportError: obstore, or Dask's distributed, is not installed.
        FileNotFoundError: there is no object at or below a URL.
        OSError: a store cannot be listed.
        TypeError: both `policy` and `trust` are given.
        ValueError: the policy is unrestricted.

    Example:
        >>> import pathlib, torshi
        >>> pathlib.Path("models").mkdir()
        >>> _ = pathlib.Path("models/one.pkl").write_bytes(torshi.dumps([1, 2]))
        >>> for found in torshi.scan_objects(pathlib.Path("models").absolute().as_uri()):
        ...     print(found.result.path.rpartition("/")[2], found.result.verdict)
        one.pkl no findings
    """
    if policy is not None and trust is not None:
        raise TypeError("give policy or trust, not both")
    chosen = policy_of(trust) if policy is None else policy
    bounds = ScanLimits() if limits is None else limits
    if chosen.is_unrestricted:
        raise ValueError("an unrestricted policy has nothing to find")
    text = json.dumps([chosen._inner.to_toml(), asdict(bounds), __version__])
    basis = hashlib.sha256(text.encode()).hexdigest()[:16]
    plan = _Plan(dict(options or {}), chosen, bounds, basis, known, listed)
    batches = plan.batches([urls] if isinstance(urls, str) else urls)
    if dask is None:
        yield from _by_threads(batches, jobs or os.cpu_count() or 1)
    else:
        yield from _by_dask(batches, dask)


# -- listing


class _Plan:
    """Listings into batches."""

    def __init__(
        self,
        options: Mapping[str, Any],
        policy: Policy,
        limits: ScanLimits,
        basis: str,
        known: Collection[Key],
        listed: Callable[[int], object] | None,
    ) -> None:
        self._options = options
        self._policy = policy
        self._limits = limits
        self._basis = basis
        self._known = known
        self._listed = listed
        self._count = 0

    def batches(self, urls: Iterable[str]) -> Iterator[_Batch]:
        for url in urls:
            store, pending, size = "", list[tuple[str, "str | None"]](), 0
            for store, path, e_tag, length in _listing(url, self._options):
                if (f"{store}/{path}", e_tag, self._basis) in self._known:
                    continue
                self._count += 1
                if pending and (len(pending) >= _MOST_OBJECTS or size + length > _MOST_BYTES):
                    yield self._batch(store, pending)
                    pending, size = [], 0
                pending.append((path, e_tag))
                size += length
            if pending:
                yield self._batch(store, pending)

    def _batch(self, store: str, objects: list[tuple[str, str | None]]) -> _Batch:
        if self._listed is not None:
            self._listed(self._count)
        paths, e_tags = zip(*objects, strict=True)
        return _Batch(store, paths, e_tags, self._options, self._policy, self._limits, self._basis)


def _listing(url: str, options: Mapping[str, Any]) -> Iterator[tuple[str, str, str | None, int]]:
    """What is at or below a URL: store, path, tag and size of each object."""
    folder, pattern = url.rstrip("/"), None
    magic = [at for at in (url.find("*"), url.find("?")) if at >= 0]
    if magic:
        folder, pattern = url[: min(magic)].rpartition("/")[0], url
    count = 0
    try:
        for meta in _below(folder, options):
            if pattern is None or fnmatch.fnmatchcase(f"{folder}/{meta['path']}", pattern):
                count += 1
                yield folder, meta["path"], _tag(meta), meta["size"]
    except failures() as error:
        # A folder that cannot be listed may be an object.
        if count or pattern is not None or not _is_object(folder, options):
            raise _unlisted(url, error) from error
    if count == 0:
        parent, _, name = folder.rpartition("/")
        if pattern is not None or not _is_object(folder, options):
            raise FileNotFoundError(f"{url}: no object there")
        meta = obstore().head(store_of(parent, options), name)
        yield parent, name, _tag(meta), meta["size"]


def _below(folder: str, options: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for chunk in obstore().list(store_of(folder, options), chunk_size=1000):
        yield from chunk


def _is_object(url: str, options: Mapping[str, Any]) -> bool:
    parent, _, name = url.rpartition("/")
    if parent.endswith(("/", ":")) or not name:
        return False  # a bucket
    try:
        obstore().head(store_of(parent, options), name)
    except failures():
        return False
    return True


def _unlisted(url: str, error: Exception) -> OSError:
    path = local_path(url)
    if isinstance(error, FileNotFoundError) or (path is not None and not Path(path).exists()):
        return FileNotFoundError(f"{url}: no object there")
    return OSError(f"{url}: {first_line(error)}")


def _tag(meta: Mapping[str, Any]) -> str | None:
    tag = meta.get("e_tag")
    return tag if tag is None else str(tag)


# -- scanning


def _scan_batch(batch: _Batch) -> list[dict[str, Any]]:
    """Fetches and scans the objects of a batch; what a worker runs."""
    store = store_of(batch.store, batch.options)
    with ThreadPoolExecutor(_FETCHERS) as pool:
        fetched = pool.map(lambda path: _fetched(store, path, batch.limits.file), batch.paths)
        results = [_judged(batch, *each) for each in zip(batch.urls(), batch.e_tags, fetched, strict=True)]
    return [result.to_record() for result in results]


@dataclass(frozen=True)
class _Fetched:
    """An object's bytes, or why there are none."""

    data: Any = None
    e_tag: str | None = None
    reason: str = ""
    failed: bool = False


def _fetched(store: Any, path: str, most: int) -> _Fetched:
    try:
        got = obstore().get(store, path)
        if got.meta["size"] > most:
            reason = f"has {got.meta['size']} bytes: more than the limit file={most}"
            return _Fetched(e_tag=_tag(got.meta), reason=reason)
        return _Fetched(got.bytes(), _tag(got.meta))
    except failures() as error:
        return _Fetched(reason=f"not readable: {first_line(error)}", failed=True)


def _judged(batch: _Batch, url: str, listed: str | None, fetched: _Fetched) -> ObjectResult:
    if fetched.data is None:
        return _undecided(url, fetched.reason, fetched.e_tag or listed, batch.basis, fetched.failed)
    result = scan_bytes(fetched.data, url, policy=batch.policy, limits=batch.limits)
    return ObjectResult(result, fetched.e_tag, batch.basis, failed=False)


def _undecided(url: str, reason: str, e_tag: str | None, basis: str, failed: bool) -> ObjectResult:
    result = FileResult(
        path=url,
        size=0,
        blake3=None,
        format="",
        verdict="undecided",
        reason=reason,
        pickles=0,
        findings=(),
        undecided=(),
        left_out=0,
        entries=(),
        entries_left_out=0,
    )
    return ObjectResult(result, e_tag, basis, failed)


def _by_threads(batches: Iterator[_Batch], jobs: int) -> Iterator[ObjectResult]:
    with ThreadPoolExecutor(jobs) as pool:
        flying: dict[Future[list[dict[str, Any]]], _Batch] = {}
        try:
            for batch in batches:
                flying[pool.submit(_scan_batch, batch)] = batch
                if len(flying) >= jobs * _AHEAD:
                    yield from _landed(flying, wait(flying, return_when=FIRST_COMPLETED).done)
            while flying:
                yield from _landed(flying, wait(flying, return_when=FIRST_COMPLETED).done)
        finally:
            for future in flying:
                future.cancel()


def _by_dask(batches: Iterator[_Batch], dask: str | Client) -> Iterator[ObjectResult]:
    try:
        from distributed import Client, as_completed
    except ImportError as error:
        raise ImportError("scanning on a cluster needs Dask: pip install 'torshi[dask]'") from error
    client = Client(dask) if isinstance(dask, str) else dask
    flying: dict[Any, _Batch] = {}
    try:
        landing = as_completed()
        room = max(1, sum(client.nthreads().values())) * _AHEAD
        for batch in batches:
            if len(flying) >= room:
                yield from _landed(flying, [next(landing)])
            future = client.submit(_scan_batch, batch, pure=False, retries=_RETRIES)
            flying[future] = batch
            landing.add(future)
        while flying:
            yield from _landed(flying, [next(landing)])
    finally:
        client.cancel(list(flying))
        if isinstance(dask, str):
            client.close()


def _landed(flying: dict[Any, _Batch], done: Iterable[Any]) -> Iterator[ObjectResult]:
    """The results of finished batches; of one that was lost, one an object that says so."""
    for future in done:
        batch = flying.pop(future)
        error = future.exception()
        if error is None:
            yield from map(ObjectResult.from_record, future.result())
            continue
        reason = f"not scanned: {type(error).__name__}: {first_line(error)}"
        for url, e_tag in zip(batch.urls(), batch.e_tags, strict=True):
            yield _undecided(url, reason, e_tag, batch.basis, failed=True)


ObjectResult.__module__ = "torshi"
