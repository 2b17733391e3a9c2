"""Files in object stores: saved, loaded, described, verified and sealed by URL.

If these failed, a save that was interrupted would leave half an object in the place of a whole one, a load would put
together the halves of two versions, or describing a large object would fetch all of it.
"""

from __future__ import annotations

import gzip
import io
import os
import pickle
import signal
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import torshi
from stores import BUCKET, s3_server, unfinished
from torshi import _urls
from torshi.cli import main

obstore = pytest.importorskip("obstore", reason="obstore is not installed")
np = pytest.importorskip("numpy")

ROOT = f"s3://{BUCKET}/folder with spaces"
BIG = np.arange(6_000_000, dtype=np.float64)  # three parts of an upload


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with s3_server() as address:
        yield address


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
def test_a_forked_child_is_told_that_obstore_does_not_work_there(tmp_path: Path) -> None:
    """A child that waits for ever for threads that its parent has."""
    _urls.obstore().put(_urls.store_of(f"file://{tmp_path}", {}), "a", b"of the parent")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of later Pythons: threads and forks
        child = os.fork()
    if child == 0:
        told = 0
        for use in (
            lambda: _urls.obstore().get(_urls.store_of(f"file://{tmp_path}", {}), "a"),
            lambda: torshi.load("s3://bucket/name"),
            lambda: torshi.save([1], "s3://bucket/name"),
            lambda: torshi.Store("memory://bucket/name"),
        ):
            try:
                use()
            except torshi.StoreError as error:
                told += "'spawn' or 'forkserver'" in str(error)
        os._exit(told)
    deadline = time.monotonic() + 10
    while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0) and time.monotonic() < deadline:
        time.sleep(0.01)
    if ended == (0, 0):
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert ended[0] == child, "the child hung"
    assert os.waitstatus_to_exitcode(ended[1]) == 4
    assert bytes(_urls.obstore().get(_urls.store_of(f"file://{tmp_path}", {}), "a").bytes()) == b"of the parent"


@pytest.fixture
def url(endpoint: str, request: pytest.FixtureRequest) -> str:
    """A name of its own for each test."""
    return f"{ROOT}/{request.node.name}.pkl"


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """What is asked of the store from here on: kind, and bytes that came."""
    asked: list[tuple[str, int]] = []

    def counting(name: str) -> None:
        stock = getattr(obstore, name)

        def counted(*args: Any, **kwargs: Any) -> Any:
            got = stock(*args, **kwargs)
            length = got.range[1] - got.range[0] if name == "get" else 0
            asked.append((name, length))
            return got

        monkeypatch.setattr(obstore, name, counted)

    for name in ("get", "head", "put"):
        counting(name)
    return asked


class Config:
    def __init__(self, port: int) -> None:
        self.port = port


class Broken:
    def __reduce__(self) -> Any:
        raise RuntimeError("broken on purpose")


def raw(url: str) -> bytes:
    """What the store has under a URL."""
    folder, _, name = url.rpartition("/")
    return bytes(obstore.get(_urls.store_of(folder, {}), name).bytes())


def put(url: str, data: bytes) -> None:
    folder, _, name = url.rpartition("/")
    obstore.put(_urls.store_of(folder, {}), name, data)


@pytest.mark.parametrize("compress", [None, "zstd", "lz4", "gzip"])
def test_what_is_saved_is_loaded(url: str, compress: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same bytes as a file has, small or in parts."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    for value in ({"small": [1, 2]}, {"array": BIG, "again": BIG[:200_000]}):
        torshi.save(value, url, compress=compress, metadata="here")
        torshi.save(value, tmp_path / "file", compress=compress, metadata="here")
        assert raw(url) == (tmp_path / "file").read_bytes()
        loaded = torshi.load(url, limits=torshi.Limits(stream=1 << 30))
        assert loaded.keys() == value.keys()
        assert all(np.array_equal(loaded[key], value[key]) for key in value)
        assert torshi.describe(url).metadata == "here"
        assert torshi.describe(url).to_dict() == torshi.describe(tmp_path / "file").to_dict()
        assert torshi.verify(url).sealed
    if compress is None:
        assert np.array_equal(pickle.loads(raw(url))["array"], BIG)


def test_describing_reads_the_end_alone(url: str, requests: list[tuple[str, int]]) -> None:
    torshi.save(BIG, url)
    requests.clear()
    assert torshi.describe(url).buffers[0].length == BIG.nbytes
    assert requests == [("get", 64 << 10)]
    torshi.save(BIG, url, metadata="x" * 100_000)  # a manifest that is longer than what is fetched at first
    requests.clear()
    assert len(torshi.describe(url).metadata) == 100_000
    assert len(requests) == 2
    assert sum(length for _, length in requests) < 200_000


def test_a_load_asks_for_every_byte_once(url: str, requests: list[tuple[str, int]]) -> None:
    torshi.save(BIG, url)
    size = len(raw(url))
    requests.clear()
    torshi.load(url)
    assert {name for name, _ in requests} == {"get"}
    assert sum(length for _, length in requests) == size
    torshi.save("small", url)
    requests.clear()
    assert torshi.load(url) == "small"
    assert len(requests) == 1


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_error_leaves_the_old_object_and_no_parts(url: str, endpoint: str, error: type[BaseException]) -> None:
    torshi.save("old", url)

    def stop(done: int) -> None:
        if done > 40_000_000:
            raise error("stopped on purpose")

    with pytest.raises(error, match="stopped"):
        torshi.save(BIG, url, progress=stop)
    with pytest.raises(RuntimeError, match="on purpose"):
        torshi.save([BIG, Broken()], url)
    with pytest.raises(RuntimeError, match="on purpose"):
        torshi.save(["small", Broken()], url)
    assert torshi.load(url) == "old"
    assert unfinished(endpoint) == 0


def test_an_error_of_the_store_ends_the_save(url: str, endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that comes while much is still to be written: the writer must not wait for what nobody takes."""
    for value in (BIG, "small"):
        with pytest.raises(OSError, match="absent-bucket"):
            torshi.save(value, "s3://absent-bucket/key")
    torshi.save("old", url)
    stock = obstore.put

    def failing(store: Any, name: str, pieces: Any, **options: Any) -> Any:
        def some() -> Iterator[bytes]:
            for number, piece in enumerate(pieces):
                if number == 30:
                    raise OSError("the line is cut")
                yield piece

        return stock(store, name, some(), **options)

    monkeypatch.setattr(obstore, "put", failing)
    with pytest.raises(OSError, match="the line is cut"):
        torshi.save(np.arange(16_000_000.0), url)
    assert torshi.load(url) == "old"
    assert unfinished(endpoint) == 0


def test_one_version_is_read(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, a load puts together the beginning of a new object and the end of an old one."""
    torshi.save(BIG, url)
    whole = raw(url)
    reader = _urls.ObjectReader(url)
    assert reader.read_at(0, 100) == whole[:100]
    reader.close()
    reader = _urls.ObjectReader(url)
    torshi.save(BIG + 1, url)
    with pytest.raises(OSError, match="was replaced while it was read"):
        reader.read_at(0, 100)
    reader.close()


def test_ranges(url: str) -> None:
    data = bytes(range(256)) * (90 << 10)
    put(url, data)
    with _urls.ObjectReader(url) as reader:
        assert reader.size == len(data)
        for at, length in [(0, 10), (5, 9 << 20), (len(data) - 3, 3), (1 << 20, 4), (len(data) - (64 << 10) - 2, 9)]:
            assert reader.read_at(at, length) == data[at : at + length], (at, length)
        assert reader.read_at(len(data), 0) == b""
        with pytest.raises(EOFError):
            reader.read_at(len(data) - 1, 2)
        assert io.BufferedReader(reader).read() == data


@pytest.mark.parametrize("compress", [None, "zstd", "lz4", "gzip"])
def test_damage_shows(url: str, compress: Any) -> None:
    torshi.save(BIG[:300_000].round(), url, compress=compress)
    whole = bytearray(raw(url))
    limits = torshi.Limits(stream=1 << 30)
    for at in (20, len(whole) // 2, len(whole) - 60):
        whole[at] ^= 1
        put(url, bytes(whole))
        with pytest.raises(torshi.UnpicklingError):
            torshi.load(url, limits=limits)
        with pytest.raises((torshi.MalformedError, torshi.SealError)):
            torshi.verify(url)
        whole[at] ^= 1
    put(url, bytes(whole) + b"appended")
    with pytest.raises(torshi.MalformedError):
        torshi.load(url, verify=True, limits=limits)
    if compress is None:
        with pytest.raises(torshi.MalformedError, match="something was appended"):
            torshi.load(url)


@pytest.mark.parametrize("compress", [None, "zstd", "lz4", "gzip"])
def test_errors_of_the_store_are_said_as_they_are(url: str, compress: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, a network that is down is called a damaged file."""
    torshi.save(np.random.default_rng(1).random(4_000_000), url, compress=compress)
    stock = _urls.ObjectReader._range

    def broken(self: Any, offset: int) -> bytes:
        if offset > 0:
            raise OSError("the line is cut")
        return stock(self, offset)

    monkeypatch.setattr(_urls.ObjectReader, "_range", broken)
    with pytest.raises(OSError, match="the line is cut"):
        torshi.load(url, limits=torshi.Limits(stream=1 << 30))


def test_other_pickles_are_read_too(url: str) -> None:
    put(url, pickle.dumps({"a": 1}) + b"behind")
    assert torshi.load(url) == {"a": 1}
    put(url, gzip.compress(pickle.dumps([1] * 1000)))
    assert torshi.load(url) == [1] * 1000
    put(url, b"cposix\nsystem\n(S'true'\ntR.")
    with pytest.raises(torshi.UntrustedError):
        torshi.load(url)
    put(url, b"")
    with pytest.raises(EOFError):
        torshi.load(url)
    for look in (torshi.describe, torshi.verify, torshi.seal):
        with pytest.raises(torshi.MalformedError, match="no manifest"):
            look(url)


def test_seals_lend_and_are_added(url: str, requests: list[tuple[str, int]]) -> None:
    torshi.save([Config(80), BIG], url, key=False)
    with pytest.raises(torshi.UntrustedError):
        torshi.load(url)
    before = raw(url)
    assert [seal.trusted for seal in torshi.seal(url)] == [True]
    assert torshi.load(url)[0].port == 80
    assert raw(url)[: len(before) // 2] == before[: len(before) // 2]
    damaged = bytearray(raw(url))
    damaged[5000] ^= 1
    put(url, bytes(damaged))
    with pytest.raises(torshi.MalformedError):
        torshi.seal(url, "local")
    assert raw(url) == bytes(damaged)


def test_what_cannot_be_found(url: str, endpoint: str) -> None:
    for look in (torshi.load, torshi.describe, torshi.verify, torshi.seal):
        with pytest.raises(FileNotFoundError, match="no object there"):
            look(url)
    with pytest.raises(OSError, match="absent-bucket"):
        torshi.load("s3://absent-bucket/key")
    for wrong in ("s3://bucket", "s3://", "s3://bucket/folder/"):
        with pytest.raises(ValueError, match="names no object"):
            torshi.save(1, wrong)
    with pytest.raises(ValueError, match="new and empty each time"):
        torshi.save(1, "memory:///key")


def test_options_reach_the_store(url: str, endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    monkeypatch.setenv("AWS_ENDPOINT", "http://127.0.0.1:1")
    options = {"endpoint": endpoint}
    torshi.save("told", url, storage_options=options)
    assert torshi.load(url, storage_options=options) == "told"
    assert torshi.describe(url, storage_options=options).stream
    assert torshi.verify(url, storage_options=options).sealed
    assert torshi.seal(url, storage_options=options)
    assert main(["describe", "--store-option", f"endpoint={endpoint}", url]) == 0
    for call in (
        lambda: torshi.load("file", storage_options=options),
        lambda: torshi.save(1, "file", storage_options=options),
    ):
        with pytest.raises(TypeError, match="are for URLs"):
            call()


def test_file_urls_are_paths(tmp_path: Path) -> None:
    """Replaced as paths are, and mapped: without a library."""
    path = tmp_path / "a b.pkl"
    torshi.save(BIG, path.as_uri())
    assert np.array_equal(torshi.load(path.as_uri()), BIG)
    assert torshi.describe(path.as_uri()).size == path.stat().st_size
    assert [seal.name for seal in torshi.seal(path.as_uri())] == ["local"]
    with pytest.raises(ValueError, match="three slashes"):
        torshi.load("file://elsewhere/path")


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    for call in (lambda: torshi.save(1, "s3://bucket/key"), lambda: torshi.load("s3://bucket/key")):
        with pytest.raises(ImportError, match=r"pip install 'torshi\[s3\]'"):
            call()


def test_the_commands_take_urls(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    torshi.save([1, 2], url, key=False)
    assert main(["describe", url]) == 0
    assert main(["verify", url]) == 0
    assert main(["verify", "--sealed", url]) == 1
    assert main(["seal", url]) == 0
    assert main(["verify", "--sealed", url]) == 0
    assert "as written" in capsys.readouterr().out
    assert main(["describe", f"{ROOT}/absent"]) == 2
    assert "no object there" in capsys.readouterr().err
