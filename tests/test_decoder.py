"""load, loads and Unpickler: files, buffers, hooks, encodings, the memo, threads.

If these failed, a program that reads pickles with pickle's own arguments and hooks would read other
objects, other bytes of its file, or nothing.
"""

from __future__ import annotations

import contextlib
import copyreg
import datetime
import gzip
import io
import os
import pickle
import socket
import sys
import tempfile
import threading
from typing import Any

import pytest

import torshi

VALUE = {"name": "John Doe", "marks": [1, 2.5, (3, None)], "raw": b"\0\1", "when": datetime.date(2024, 2, 29)}
PROTOCOLS = range(6)


class Minimal:
    """What pickle asks of a file: `read` and `readline`; and nothing more."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)
        self.asked: list[int] = []

    def read(self, size: int) -> bytes:
        self.asked.append(size)
        return self._file.read(size)

    def readline(self) -> bytes:
        return self._file.readline()


class OneByte(Minimal):
    """A raw file that gives less than it is asked for."""

    def read(self, size: int) -> bytes:
        return super().read(min(size, 1))


class Intoless(Minimal):
    def readinto(self, target: Any) -> int:
        data = self._file.read(len(target))
        target[: len(data)] = data
        return len(data)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("make", [io.BytesIO, Minimal, Intoless, lambda data: io.BufferedReader(io.BytesIO(data))])
def test_any_file_with_read_and_readline(make: Any, protocol: int) -> None:
    """If this fails, some file-like object that stock pickle reads is not read."""
    assert torshi.load(make(pickle.dumps(VALUE, protocol))) == VALUE
    assert torshi.Unpickler(make(pickle.dumps(VALUE, protocol))).load() == VALUE


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_several_pickles_leave_the_file_behind_each(protocol: int) -> None:
    """If this fails, the second of two pickles in one file is lost, or bytes behind a pickle are eaten."""
    values = [VALUE, "x" * 100_000, list(range(3000)), None, 7]
    file = io.BytesIO(b"".join(pickle.dumps(value, protocol) for value in values) + b"tail")
    ends = []
    for value in values:
        assert torshi.load(file) == value
        ends.append(file.tell())
    assert file.read() == b"tail"
    sizes = [len(pickle.dumps(value, protocol)) for value in values]
    assert ends == [sum(sizes[: i + 1]) for i in range(len(sizes))]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_one_unpickler_reads_several(protocol: int) -> None:
    """If this fails, the memo of one pickle leaks into the next, or their order is lost."""
    shared = ["shared"]
    file = io.BytesIO()
    pickler = pickle.Pickler(file, protocol)
    pickler.dump([shared, shared])
    pickler.dump([shared, 2])
    file.seek(0)
    unpickler = torshi.Unpickler(file)
    first, second = unpickler.load(), unpickler.load()
    assert first[0] is first[1] is second[0]
    with pytest.raises(EOFError):
        unpickler.load()


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_files_that_cannot_seek_are_not_read_beyond_the_pickle(protocol: int) -> None:
    """If this fails, a message behind a pickle in a pipe is lost."""
    reader, writer = os.pipe()
    with open(reader, "rb") as source, open(writer, "wb") as sink:
        for value in (VALUE, [1], "x" * 5000):
            sink.write(pickle.dumps(value, protocol))
        sink.write(b"tail")
        sink.close()
        assert [torshi.load(source) for _ in range(3)] == [VALUE, [1], "x" * 5000]
        assert source.read() == b"tail"


def test_raw_unbuffered_files(tmp_path: Any) -> None:
    """If this fails, an unbuffered file is read past the pickle's end."""
    path = tmp_path / "raw"
    path.write_bytes(pickle.dumps(VALUE, 4) + pickle.dumps([2], 4))
    with open(path, "rb", buffering=0) as file:
        assert torshi.load(file) == VALUE
        assert torshi.load(file) == [2]


def test_a_socket_answers_before_more_is_sent() -> None:
    """If this fails, two processes that take turns over a socket wait for each other for ever."""
    left, right = socket.socketpair()
    left.settimeout(20)
    with left, right, left.makefile("rb") as source:
        for turn in range(3):
            right.sendall(pickle.dumps({"turn": turn}, 5))
            assert torshi.load(source) == {"turn": turn}


def test_compressed_and_temporary_files(tmp_path: Any) -> None:
    """If this fails, gzip and spooled files, which seek slowly or through a wrapper, are not read."""
    path = tmp_path / "x.gz"
    with gzip.open(path, "wb") as file:
        torshi.dump(VALUE, file)
        torshi.dump([2], file)
    with gzip.open(path, "rb") as file:
        assert torshi.load(file) == VALUE
        assert torshi.load(file) == [2]
    with tempfile.TemporaryFile() as file:
        torshi.dump(VALUE, file)
        file.seek(0)
        assert torshi.load(file) == VALUE


@pytest.mark.parametrize("make", [bytes, bytearray, memoryview])
def test_loads_takes_any_bytes(make: Any) -> None:
    """If this fails, a received buffer has to be copied before it can be loaded."""
    assert torshi.loads(make(pickle.dumps(VALUE))) == VALUE


@pytest.mark.parametrize("bad", ["text", 3, None, [1]])
def test_loads_of_something_else(bad: Any) -> None:
    with pytest.raises(TypeError):
        torshi.loads(bad)
    with pytest.raises((TypeError, FileNotFoundError)):  # a path is a text
        torshi.load("no such file" if bad == "text" else bad)
    with pytest.raises(TypeError):
        torshi.Unpickler(bad)


def test_files_that_misbehave() -> None:
    """If this fails, an error of the file is swallowed, or what it wrongly returns is believed."""

    class Broken(Minimal):
        def read(self, size: int) -> bytes:
            raise OSError("the disk is gone")

        readline = read  # type: ignore[assignment]

    class Texts(Minimal):
        def read(self, size: int) -> Any:
            return "text"

        readline = read  # type: ignore[assignment]

    with pytest.raises(OSError, match="the disk is gone"):
        torshi.load(Broken(b""))
    with pytest.raises((TypeError, torshi.UnpicklingError)):
        torshi.load(Texts(b""))
    with pytest.raises((torshi.UnpicklingError, EOFError)):
        torshi.load(io.BytesIO(pickle.dumps(VALUE)[:-4]))


def test_short_reads_are_read_on_or_refused() -> None:
    """If this fails, a file that gives few bytes at a time yields a wrong value."""
    with contextlib.suppress(torshi.UnpicklingError):
        assert torshi.load(OneByte(pickle.dumps(VALUE, 2))) == VALUE


# -- buffers


@pytest.mark.parametrize("writable", [True, False])
def test_buffers_out_of_band_are_not_copied(writable: bool) -> None:
    """If this fails, large arrays are copied on their way between processes."""
    payload: Any = bytearray(b"payload" * 1000) if writable else b"payload" * 1000
    buffers: list[pickle.PickleBuffer] = []
    data = torshi.dumps([pickle.PickleBuffer(payload), 1], 5, buffer_callback=buffers.append)
    assert len(data) < 100
    again = torshi.loads(data, buffers=buffers)
    assert bytes(again[0]) == bytes(payload)
    assert memoryview(again[0]).readonly is not writable
    assert pickle.loads(data, buffers=buffers)[1] == 1
    for spent in ([], iter([])):
        with pytest.raises(torshi.UnpicklingError):
            torshi.loads(data, buffers=spent)
    with pytest.raises(torshi.UnpicklingError):
        torshi.loads(data)
    with pytest.raises(TypeError):
        torshi.loads(data, buffers=5)


def test_buffers_in_band() -> None:
    for payload in (b"x" * 100, bytearray(b"y" * 100)):
        assert torshi.loads(torshi.dumps(pickle.PickleBuffer(payload), 5)) == payload


def test_an_error_of_the_buffers_comes_through() -> None:
    def broken() -> Any:
        yield b"x"
        raise KeyError("no more")

    data = torshi.dumps([pickle.PickleBuffer(b"a"), pickle.PickleBuffer(b"b")], 5, buffer_callback=lambda _: None)
    with pytest.raises(KeyError, match="no more"):
        torshi.loads(data, buffers=broken())


# -- hooks


class Stored(torshi.Unpickler):
    def persistent_load(self, pid: Any) -> Any:
        return ("stored", pid)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_persistent_ids(protocol: int) -> None:
    """If this fails, objects kept elsewhere are not found again."""

    class Storing(torshi.Pickler):
        def persistent_id(self, obj: Any) -> Any:
            return "three" if obj == 3 else None

    file = io.BytesIO()
    Storing(file, protocol).dump([1, 2, 3])
    assert Stored(io.BytesIO(file.getvalue())).load() == [1, 2, ("stored", "three")]
    with pytest.raises(torshi.UnpicklingError, match="persistent"):
        torshi.loads(file.getvalue())
    unpickler = torshi.Unpickler(io.BytesIO(file.getvalue()))
    unpickler.persistent_load = lambda pid: pid
    assert unpickler.load() == [1, 2, "three"]


def test_an_error_of_a_hook_comes_through() -> None:
    class Failing(torshi.Unpickler):
        def persistent_load(self, pid: Any) -> Any:
            raise LookupError(pid)

    with pytest.raises(LookupError, match="x"):
        Failing(io.BytesIO(b"Px\n.")).load()


class Finding(torshi.Unpickler):
    asked: list[tuple[str, str]]

    def find_class(self, module: str, name: str) -> Any:
        self.__dict__.setdefault("asked", []).append((module, name))
        return super().find_class(module, name)


def test_find_class_is_asked_only_for_what_the_policy_allows() -> None:
    """If this fails, an override imports before the stream is checked, or is not asked at all."""
    unpickler = Finding(io.BytesIO(pickle.dumps(datetime.date(2024, 1, 2))))
    assert unpickler.load() == datetime.date(2024, 1, 2)
    assert unpickler.asked == [("datetime", "date")]
    refused = Finding(io.BytesIO(b"cos\nsystem\n."))
    with pytest.raises(torshi.UntrustedError):
        refused.load()
    assert not hasattr(refused, "asked")


def test_find_class_may_give_something_else() -> None:
    """If this fails, programs that rename their classes in `find_class` no longer read old files."""

    class Renaming(torshi.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            return (
                super().find_class("collections", "Counter")
                if name == "OldCounter"
                else super().find_class(module, name)
            )

    data = b"\x80\x04\x8c\x0bcollections\x8c\nOldCounter\x93}\x85R."
    assert type(Renaming(io.BytesIO(data), trust=["collections.OldCounter"]).load()).__name__ == "Counter"


def test_find_class_may_be_called_by_hand() -> None:
    """If this fails, `find_class` of the base class is a way around the policy."""
    unpickler = torshi.Unpickler(io.BytesIO())
    assert unpickler.find_class("datetime", "date") is datetime.date
    with pytest.raises(torshi.UnpicklingError):
        unpickler.find_class("os", "system")


# -- names and text of Python 2


def test_encodings() -> None:
    """If this fails, text that Python 2 wrote comes back as other text."""
    data = b"S'caf\\xe9'\n."
    assert torshi.loads(data, encoding="latin-1") == "café"
    assert torshi.loads(data, encoding="bytes") == b"caf\xe9"
    assert torshi.loads(data, encoding="ascii", errors="replace") == "caf\ufffd"
    assert torshi.loads(data, encoding="utf-8", errors="surrogateescape") == "caf\udce9"
    with pytest.raises(UnicodeDecodeError):
        torshi.loads(data)
    with pytest.raises(LookupError):
        torshi.loads(data, encoding="no such encoding")
    date = b"cdatetime\ndatetime\n(S'\\x07\\xd0\\x01\\x02\\x03\\x04\\x05\\x00\\x00\\x00'\ntR."
    for encoding in ("latin1", "bytes"):
        assert torshi.loads(date, encoding=encoding) == datetime.datetime(2000, 1, 2, 3, 4, 5)


def test_python2_names() -> None:
    """If this fails, files of Python 2 refer to modules that no longer exist."""
    data = b"c__builtin__\nset\n((lI1\naI2\natR."
    assert torshi.loads(data) == {1, 2}
    with pytest.raises((torshi.UnpicklingError, ImportError)):
        torshi.loads(data, fix_imports=False)


# -- memo, re-entry, threads


def test_the_memo_can_be_read_and_given() -> None:
    """If this fails, tools that copy an unpickler's memo (as `pickle._Unpickler` allows) break."""
    data = pickle.dumps(["a", "b"], 2)
    unpickler, stock = torshi.Unpickler(io.BytesIO(data)), pickle.Unpickler(io.BytesIO(data))
    assert unpickler.load() == stock.load()
    assert unpickler.memo.copy() == stock.memo.copy()
    other = torshi.Unpickler(io.BytesIO(b"h\x01."))
    other.memo = unpickler.memo
    assert other.load() == "a"
    with pytest.raises(TypeError):
        other.memo = 5


def test_re_entry_is_refused() -> None:
    """If this fails, a hook that uses its own unpickler mixes two streams, or worse."""

    class Recursive(torshi.Unpickler):
        def persistent_load(self, pid: Any) -> Any:
            return self.load()

    with pytest.raises(RuntimeError):
        Recursive(io.BytesIO(b"\x80\x02Px\n." + pickle.dumps(1))).load()

    class Again(torshi.Unpickler):
        def persistent_load(self, pid: Any) -> Any:
            self.__init__(io.BytesIO(pickle.dumps(1)))  # type: ignore[misc]
            return pid

    # Stock pickle goes on with the new file in the middle of the old stream; here the load keeps its own.
    assert Again(io.BytesIO(b"(Px\nPy\nt.")).load() == ("x", "y")


def test_an_unpickler_without_a_file() -> None:
    class Forgetful(torshi.Unpickler):
        def __init__(self) -> None:
            pass

    with pytest.raises(torshi.UnpicklingError, match="__init__"):
        Forgetful().load()


def test_threads_load_at_once() -> None:
    """If this fails, two threads that load at once see each other's objects."""
    values = [{"who": who, "list": [who] * 500, "nest": [[{str(i): who}] for i in range(200)]} for who in range(8)]
    streams = [pickle.dumps(value) for value in values]
    wrong: list[int] = []

    def work(who: int) -> None:
        for _ in range(30):
            if torshi.loads(streams[who]) != values[who]:
                wrong.append(who)

    threads = [threading.Thread(target=work, args=(who,)) for who in range(8)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert not wrong


def test_extension_codes() -> None:
    """If this fails, codes registered with copyreg are not read, or are cached past their removal."""
    copyreg.add_extension("datetime", "date", 0x4321)
    try:
        data = pickle.dumps(datetime.date(2024, 1, 2), 2)
        assert torshi.loads(data) == datetime.date(2024, 1, 2)
    finally:
        copyreg.remove_extension("datetime", "date", 0x4321)
    with pytest.raises(ValueError, match="unregistered extension code"):
        torshi.loads(data)
