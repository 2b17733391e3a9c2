"""Files that `save` writes: pickles any Python reads, replaced as a whole or not at all, in which damage shows.

If these failed, a save could lose the file it replaces, change who may read it, write what stock pickle cannot read, or
a damaged file could load as something else than was saved.
"""

from __future__ import annotations

import dataclasses
import enum
import errno
import inspect
import io
import json
import os
import pickle
import stat
import threading
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import torshi
from torshi import _atomic

LONG = 1 << 20
A, B = os.urandom(LONG + 5), os.urandom(2 * LONG)


@dataclasses.dataclass
class Point:
    x: int
    y: float


class Pair(NamedTuple):
    first: int
    second: int


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


class Slotted:
    __slots__ = ("one", "two")


class Versioned:
    __torshi_version__ = 3


class Failing:
    def __reduce__(self) -> Any:
        raise RuntimeError("no")


VALUES: dict[str, Any] = {
    "none": None,
    "document": {"a": [1, 2.5, "three"], "b": {"c": (None, True)}},
    "empty": [],
    "long bytes": A,
    "long bytearray": bytearray(A),
    "several": [A, bytearray(B), "x" * (2 * LONG), A, [bytearray(A)]],
    "long buffers behind much else": [[str(number) * 8 for number in range(400_000)], *[bytes(LONG + 1)] * 2, B],
    "just too short": bytes(LONG - 1),
    "just long enough": bytes(LONG),
    "many frames": [str(number) * 50 for number in range(20_000)],
}


@pytest.mark.parametrize("name", VALUES)
def test_what_is_saved_is_loaded_by_everyone(tmp_path: Path, name: str) -> None:
    path = tmp_path / "file.pkl"
    torshi.save(VALUES[name], path)
    assert torshi.load(path) == VALUES[name]
    assert torshi.load(str(path), mmap=False, verify=True) == VALUES[name]
    with open(path, "rb") as file:
        assert pickle.load(file) == VALUES[name]
    with open(path, "rb") as file:
        assert pickle._Unpickler(file).load() == VALUES[name]  # type: ignore[attr-defined]
    with open(path, "rb") as file:
        assert torshi.load(file) == VALUES[name]
        assert file.tell() == torshi.describe(path).stream


@pytest.mark.parametrize("name", VALUES)
def test_file_objects(tmp_path: Path, name: str) -> None:
    torshi.save(VALUES[name], tmp_path / "file")
    buffer = io.BytesIO()
    torshi.save(VALUES[name], buffer)
    size = torshi.describe(tmp_path / "file").stream
    assert buffer.getvalue()[:size] == (tmp_path / "file").read_bytes()[:size]
    (tmp_path / "other").write_bytes(buffer.getvalue())
    assert torshi.load(tmp_path / "other", verify=True) == VALUES[name]
    assert torshi.load(io.BytesIO(buffer.getvalue())) == VALUES[name]


def test_load_has_the_parameters_of_stock_first() -> None:
    """If this fails, programs that look at the signature of what they are given take `load` for something else."""
    stock = inspect.signature(pickle.load).parameters.values()
    ours = list(inspect.signature(torshi.load).parameters.values())
    assert [(p.name, p.default) for p in ours[: len(stock)]] == [(p.name, p.default) for p in stock]
    assert [p.kind for p in ours[1:]] == [inspect.Parameter.KEYWORD_ONLY] * (len(ours) - 1)
    assert torshi.load(io.BytesIO(torshi.dumps(1)), int) == 1


def test_without_long_buffers_the_stream_is_what_dumps_writes(tmp_path: Path) -> None:
    torshi.save(VALUES["document"], tmp_path / "file")
    assert (tmp_path / "file").read_bytes().startswith(torshi.dumps(VALUES["document"], 5))


def test_long_buffers_are_aligned(tmp_path: Path) -> None:
    """If this fails, arrays cannot be mapped, or what pads them is not what stock pickle skips."""
    value = [bytearray(LONG + extra) for extra in range(130)]
    path = tmp_path / "file"
    torshi.save(value, path)
    buffers = torshi.describe(path).buffers
    assert len(buffers) == 130
    assert {buffer.offset % 64 for buffer in buffers} == {0}
    with open(path, "rb") as file:
        assert pickle.load(file) == value


# -- the manifest


def test_the_manifest_says_what_is_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    value = [Point(1, 2.0), Pair(1, 2), Colour.RED, Slotted(), Versioned()]
    torshi.save(value, path, metadata={"run": [1, None]})
    told = torshi.describe(path)
    here = __name__
    names = {f"{here}:{name}" for name in ("Point", "Pair", "Colour", "Slotted", "Versioned")}
    assert names <= set(told.globals)
    assert told.classes[f"{here}:Point"] == {"fields": [["x", "int"], ["y", "float"]]}
    assert told.classes[f"{here}:Pair"] == {"fields": [["first", ""], ["second", ""]]}
    assert told.classes[f"{here}:Colour"] == {"fields": [["RED", ""], ["BLUE", ""]]}
    assert told.classes[f"{here}:Slotted"] == {"fields": [["one", ""], ["two", ""]]}
    assert told.classes[f"{here}:Versioned"] == {"version": 3}
    assert (told.format, told.container, told.metadata) == (1, "plain", {"run": [1, None]})
    assert told.size == path.stat().st_size
    assert told.writer == f"torshi {torshi.__version__}"
    assert told.created is not None
    assert json.loads(json.dumps(told.to_dict()))["stream"] == told.stream


def test_distributions_by_the_name_they_are_installed_under(tmp_path: Path) -> None:
    np, linear_model = pytest.importorskip("numpy"), pytest.importorskip("sklearn.linear_model")
    import sklearn

    model = linear_model.LinearRegression().fit(np.eye(2), np.ones(2))
    torshi.save(model, tmp_path / "file")
    told = torshi.describe(tmp_path / "file").distributions
    assert told["numpy"] == np.__version__
    assert told["scikit-learn"] == sklearn.__version__


def test_every_name_of_the_stream_is_in_the_manifest(tmp_path: Path) -> None:
    """If this fails, a file sealed by oneself does not come back whole, or brings more than it says."""
    import datetime
    import decimal

    value = [Point(1, 2.0), datetime.datetime.now(datetime.UTC), decimal.Decimal(1), Colour, len, Pair(1, 2)]
    torshi.save([value, value, type(None), 1j], tmp_path / "file")
    data = (tmp_path / "file").read_bytes()[: torshi.describe(tmp_path / "file").stream]
    report = torshi.inspect(data, policy=torshi.Policy.empty())
    used = {use.name for use in report.globals}
    assert {name.replace(":", ".") for name in torshi.describe(tmp_path / "file").globals} == used


def test_the_digest_is_that_of_the_stream(tmp_path: Path) -> None:
    torshi.save([1, 2, 3], tmp_path / "file")
    told = torshi.describe(tmp_path / "file").digest
    assert told.startswith("blake3:")
    assert len(told) == 7 + 64
    torshi.save([1, 2, 3], tmp_path / "again")
    torshi.save([1, 2, 4], tmp_path / "other")
    assert torshi.describe(tmp_path / "again").digest == told != torshi.describe(tmp_path / "other").digest


def test_equal_times_give_equal_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    torshi.save(VALUES["document"], tmp_path / "one")
    torshi.save(VALUES["document"], tmp_path / "two")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert torshi.describe(tmp_path / "one").created.year == 2023  # type: ignore[union-attr]


@pytest.mark.parametrize("bad", [object(), {1, 2}, float("nan"), {"a": b""}])
def test_metadata_that_is_no_json_is_refused_before_anything_is_written(tmp_path: Path, bad: Any) -> None:
    (tmp_path / "file").write_bytes(b"old")
    with pytest.raises((TypeError, ValueError), match="metadata must be JSON"):
        torshi.save(1, tmp_path / "file", metadata=bad)
    assert (tmp_path / "file").read_bytes() == b"old"


def test_describe_of_what_has_no_manifest(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(pickle.dumps([1]))
    with pytest.raises(torshi.MalformedError, match="no manifest"):
        torshi.describe(tmp_path / "plain")
    with pytest.raises(torshi.MalformedError, match="no manifest"):
        torshi.load(tmp_path / "plain", verify=True)
    assert torshi.load(tmp_path / "plain") == [1]
    (tmp_path / "empty").write_bytes(b"")
    with pytest.raises(EOFError):
        torshi.load(tmp_path / "empty")


# -- damage


def small(path: Path) -> bytes:
    torshi.save({"a": [1, "two", b"three"], "b": None}, path, metadata="m")
    return path.read_bytes()


def test_every_flipped_bit_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "file"
    data = small(path)
    value = torshi.load(path)
    for at in range(len(data)):
        path.write_bytes(data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :])
        try:
            loaded = torshi.load(path)
        except torshi.UnpicklingError:
            continue
        # Only a byte of the closing magic can go unnoticed: then it is a pickle without a manifest.
        assert loaded == value, at


def test_every_truncation_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "file"
    data = small(path)
    value, stream = torshi.load(path), torshi.describe(path).stream
    for length in range(len(data)):
        path.write_bytes(data[:length])
        if length < stream:
            with pytest.raises((torshi.UnpicklingError, EOFError)):
                torshi.load(path)
        elif length >= stream + -stream % 64 + 16:  # the manifest's first bytes are there
            with pytest.raises(torshi.MalformedError, match="damaged"):
                torshi.load(path)
        else:
            assert torshi.load(path) == value


@pytest.mark.parametrize("more", [b"\0", b"N.", b"anything", b"\0" * 64])
def test_what_is_appended_is_noticed(tmp_path: Path, more: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(small(path) + more)
    with pytest.raises(torshi.MalformedError, match="damaged"):
        torshi.load(path)


def test_the_manifest_of_another_file_does_not_fit(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    torshi.save([1, 2, 3], one)
    torshi.save([1, 2, 4], two)
    stream = torshi.describe(one).stream
    assert stream == torshi.describe(two).stream
    one.write_bytes(one.read_bytes()[:stream] + two.read_bytes()[stream:])
    with pytest.raises(torshi.MalformedError, match="digest"):
        torshi.load(one)


def test_a_file_without_its_trailer_is_a_plain_pickle(tmp_path: Path) -> None:
    path = tmp_path / "file"
    data = small(path)
    path.write_bytes(data[: torshi.describe(path).stream])
    assert torshi.load(path) == {"a": [1, "two", b"three"], "b": None}


def test_damage_in_a_long_buffer(tmp_path: Path) -> None:
    path = tmp_path / "file"
    torshi.save([A, bytearray(B)], path)
    data = bytearray(path.read_bytes())
    data[torshi.describe(path).buffers[1].offset + 1000] ^= 1
    path.write_bytes(data)
    with pytest.raises(torshi.MalformedError, match="the buffer at byte"):
        torshi.load(path)


# -- replacing


@pytest.fixture(params=["without a name", "with a name"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways to write a new file: those of systems with and without files that have no name."""
    if request.param == "with a name":
        monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    elif not hasattr(os, "O_TMPFILE"):
        pytest.skip("the system has no files without names")
    return str(request.param)


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


@pytest.mark.usefixtures("way")
class TestReplacing:
    def test_a_failing_object_leaves_the_old_file(self, tmp_path: Path) -> None:
        path = tmp_path / "file"
        torshi.save("old", path)
        before = path.read_bytes()
        with pytest.raises(RuntimeError, match="no"):
            torshi.save([A, Failing()], path)
        assert path.read_bytes() == before
        assert names(tmp_path) == ["file"]
        with pytest.raises(RuntimeError):
            torshi.save([A, Failing()], tmp_path / "new")
        assert names(tmp_path) == ["file"]

    def test_an_error_of_the_system_leaves_the_old_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = tmp_path / "file"
        torshi.save("old", path)
        for call in ("fsync", "replace"):
            with monkeypatch.context() as patch:

                def fails(*_: Any, **__: Any) -> None:
                    raise OSError(errno.ENOSPC, "no space")

                patch.setattr(_atomic.os, call, fails)
                with pytest.raises(OSError, match="no space"):
                    torshi.save("new", path)
            assert torshi.load(path) == "old"
            assert names(tmp_path) == ["file"]

    def test_progress_may_stop_it(self, tmp_path: Path) -> None:
        path = tmp_path / "file"
        torshi.save("old", path)
        seen: list[int] = []

        def watch(done: int) -> None:
            seen.append(done)
            if len(seen) == 3:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            torshi.save([bytes(8 << 20)] + [bytearray(9 << 20) for _ in range(8)], path, progress=watch)
        assert seen == sorted(seen)
        assert torshi.load(path) == "old"
        assert names(tmp_path) == ["file"]

    def test_permissions_stay(self, tmp_path: Path) -> None:
        path = tmp_path / "file"
        torshi.save(1, path)
        umask = os.umask(0)
        os.umask(umask)
        assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask
        for mode in (0o600, 0o640, 0o755, 0o444):
            path.chmod(mode)
            torshi.save(mode, path)
            assert stat.S_IMODE(path.stat().st_mode) == mode
            assert torshi.load(path) == mode

    def test_owner_stays(self, tmp_path: Path) -> None:
        if os.geteuid() != 0:
            pytest.skip("only root may give files away")
        path = tmp_path / "file"
        torshi.save(1, path)
        os.chown(path, 12345, 54321)
        path.chmod(0o640)
        torshi.save(2, path)
        status = path.stat()
        assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (12345, 54321, 0o640)

    def test_a_link_stays_and_its_target_is_replaced(self, tmp_path: Path) -> None:
        (tmp_path / "data").mkdir()
        link = tmp_path / "link"
        link.symlink_to("data/file")
        torshi.save("first", link)  # there is no target yet
        torshi.save("second", link)
        assert link.is_symlink()
        assert torshi.load(tmp_path / "data" / "file") == "second"
        assert names(tmp_path / "data") == ["file"]

    def test_leftovers_of_killed_saves_go(self, tmp_path: Path) -> None:
        stale, other = tmp_path / ".file.0.torshi", tmp_path / ".another.0.torshi"
        stale.write_bytes(b"half")
        other.write_bytes(b"half")
        torshi.save(1, tmp_path / "file")
        assert names(tmp_path) == [".another.0.torshi", "file"]

    def test_what_another_save_is_writing_stays(self, tmp_path: Path) -> None:
        class Within:
            def __reduce__(self) -> Any:
                torshi.save("inner", tmp_path / "file")
                return (str, ("outer",))

        torshi.save(Within(), tmp_path / "file")
        assert torshi.load(tmp_path / "file", trust=[str]) == "outer"
        assert names(tmp_path) == ["file"]

    def test_many_writers_of_one_name(self, tmp_path: Path) -> None:
        """If this fails, two saves of one name mix, or one takes the other's temporary file for a leftover."""
        path, errors = tmp_path / "file", []

        def work(number: int) -> None:
            try:
                for _ in range(10):
                    torshi.save([number] * 1000, path)
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            if path.exists():
                assert len(set(torshi.load(path))) == 1
        for thread in threads:
            thread.join()
        assert not errors
        assert names(tmp_path) == ["file"]


def test_long_names(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 255)
    torshi.save(1, path)
    torshi.save(2, path)
    assert torshi.load(path) == 2
    with pytest.raises(OSError, match="too long"):
        torshi.save(1, tmp_path / ("n" * 256))


def test_a_pipe_is_written_to_and_read_from(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    loaded: list[Any] = []
    reader = threading.Thread(target=lambda: loaded.append(torshi.load(pipe)))
    reader.start()
    torshi.save([1, 2], pipe)
    reader.join(10)
    assert loaded == [[1, 2]]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_paths_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        torshi.save(1, tmp_path)
    with pytest.raises(FileNotFoundError):
        torshi.save(1, tmp_path / "missing" / "file")
    with pytest.raises(FileNotFoundError):
        torshi.load(tmp_path / "missing")
    with pytest.raises(TypeError, match="path or a binary file"):
        torshi.save(1, 3.5)


def test_a_full_disk_is_an_os_error() -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("the system has no /dev/full")
    with pytest.raises(OSError, match="space") as caught:
        torshi.save([bytes(10 << 20)], "/dev/full")
    assert caught.value.errno == errno.ENOSPC


def test_a_file_object_that_fails(tmp_path: Path) -> None:
    class Broken(io.RawIOBase):
        def write(self, data: Any) -> int:
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        torshi.save([A], Broken())


def test_typed_loads_and_trust(tmp_path: Path) -> None:
    path = tmp_path / "file"
    torshi.save(Point(1, 2.0), path)
    with pytest.raises(torshi.UntrustedError):
        torshi.load(path, trust=torshi.Policy.default())
    assert torshi.load(path, Point) == Point(1, 2.0)
    assert torshi.load(path, trust=[Point]) == Point(1, 2.0)
    torshi.save({"x": "1"}, path)
    with pytest.raises(torshi.ValidationError):
        torshi.load(path, dict[str, int])
    with pytest.raises(torshi.LimitError):
        torshi.load(path, limits=torshi.Limits(stream=5))
