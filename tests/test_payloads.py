"""Long payloads: what a load reads from a regular file straight into the objects it gives.

If these failed, a large array would load differently from a file than from memory, be refused with other words or
at another place, take its memory twice, or leave the file at the wrong byte.
"""

from __future__ import annotations

import datetime
import gc
import io
import os
import pickle
import random
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import torshi

np = pytest.importorskip("numpy")

LONG = 1 << 20  # from here on payloads are read into their objects


class Box:
    def __init__(self, value: Any = None) -> None:
        self.value = value


def filled(length: int, seed: int = 7) -> bytes:
    return bytes(np.random.default_rng(seed).integers(0, 256, length, dtype=np.uint8))


A, B = filled(LONG + 5, 1), filled(3 * LONG, 2)
ARRAY = np.arange(400_000, dtype=np.float64)

SHAPES: dict[str, Any] = {
    "array": ARRAY,
    "arrays": [ARRAY, {"second": ARRAY * 2, "small": np.arange(10)}, ARRAY.astype("float32").reshape(40, -1)],
    "fortran": np.asfortranarray(np.arange(400_000.0).reshape(400, -1)),
    "bytes": A,
    "bytearray": bytearray(A),
    "just long enough": [bytes(LONG - 1), bytearray(LONG - 1), bytes(LONG), bytearray(LONG), bytes(LONG + 1)],
    "in a row": [A, bytearray(B), A[1:], bytearray(A)],
    "among small ones": [{"a": 1}, A, "text", bytearray(A), datetime.date(2024, 2, 29), [1.5, None] * 9000, B, ()],
    "keys": {A: 1, B: [A, 2]},
    "shared": [B] * 3 + [[B]],
    "long text too": ["x" * (2 * LONG), B, "y" * (2 * LONG)],
    "as arguments": (frozenset([A]), {"state": {A: bytearray(A)}}),
}


def equal(left: Any, right: Any) -> bool:
    if isinstance(right, np.ndarray):
        same = left.dtype == right.dtype and left.shape == right.shape and left.strides == right.strides
        return bool(same and (left == right).all() and left.flags.writeable == right.flags.writeable)
    if type(left) is not type(right):
        return False
    if isinstance(right, (list, tuple)):
        return len(left) == len(right) and all(map(equal, left, right))
    if isinstance(right, dict):
        return left.keys() == right.keys() and all(equal(left[key], right[key]) for key in right)
    return bool(left == right)


def opened(path: Path, data: bytes, buffering: int = -1) -> Any:
    path.write_bytes(data)
    return open(path, "rb", buffering=buffering)


@pytest.mark.parametrize("protocol", [3, 4, 5])
@pytest.mark.parametrize("buffering", [-1, 0, 1 << 16])
@pytest.mark.parametrize("name", SHAPES)
def test_a_file_loads_as_its_bytes_do(tmp_path: Path, name: str, buffering: int, protocol: int) -> None:
    """If this fails, a payload is lost, misplaced, or becomes another type on its way from a file."""
    data = pickle.dumps(SHAPES[name], protocol)
    with opened(tmp_path / "file", data + b"tail", buffering) as file:
        loaded = torshi.load(file)
        assert file.tell() == len(data)
        assert file.read() == b"tail"
    assert equal(loaded, torshi.loads(data))
    assert equal(loaded, SHAPES[name]) or name == "shared"
    assert equal(torshi.load(tmp_path / "file"), loaded)


def test_shared_payloads_stay_one(tmp_path: Path) -> None:
    with opened(tmp_path / "file", pickle.dumps([B, [B], B])) as file:
        first, (second,), third = torshi.load(file)
    assert first is second is third
    assert first == B


def test_arrays_own_their_memory(tmp_path: Path) -> None:
    """If this fails, two arrays share memory, or one changes when a file or another load does."""
    with opened(tmp_path / "file", pickle.dumps([ARRAY, ARRAY.copy()], 5)) as file:
        first, second = torshi.load(file)
        file.seek(0)
        again = torshi.load(file)[0]
    first += 1
    assert (second == ARRAY).all()
    assert (again == ARRAY).all()
    assert (first == ARRAY + 1).all()


def test_a_bytearray_can_grow(tmp_path: Path) -> None:
    """If this fails, something still holds on to the memory of an object that was given away."""
    with opened(tmp_path / "file", pickle.dumps(bytearray(A), 5)) as file:
        loaded = torshi.load(file)
    assert sys.getrefcount(loaded) == 2
    loaded += b"more"
    assert loaded == A + b"more"


def test_one_unpickler_reads_several(tmp_path: Path) -> None:
    """If this fails, the second pickle of a file is read from the wrong byte, or forgets the memo of the first."""
    path = tmp_path / "file"
    with open(path, "wb") as sink:
        pickler = pickle.Pickler(sink, 5)
        for value in ([B, ARRAY], [B, 1], [A, B]):
            pickler.dump(value)
        sink.write(b"tail")
    for buffering in (-1, 0):
        with open(path, "rb", buffering=buffering) as file:
            unpickler = torshi.Unpickler(file)
            first, second, third = (unpickler.load() for _ in range(3))
            assert first[0] is second[0] is third[1]
            assert first[0] == B
            assert third[0] == A
            assert file.read() == b"tail"


def test_the_hooks_of_an_unpickler_see_the_objects(tmp_path: Path) -> None:
    class Stored(torshi.Unpickler):
        def persistent_load(self, pid: Any) -> Any:
            return pid

    class Storing(pickle.Pickler):
        def persistent_id(self, obj: Any) -> Any:
            return ("box", bytearray(A)) if isinstance(obj, Box) else None

    sink = io.BytesIO()
    Storing(sink, 5).dump([Box(), B])
    with opened(tmp_path / "file", sink.getvalue()) as file:
        assert Stored(file).load() == [("box", bytearray(A)), B]


# -- streams that are at fault

HEAD = b"\x80\x05"


def long_bytes(data: bytes, length: int | None = None) -> bytes:
    return b"\x8e" + (len(data) if length is None else length).to_bytes(8, "little") + data


def long_bytearray(data: bytes, length: int | None = None) -> bytes:
    return b"\x96" + (len(data) if length is None else length).to_bytes(8, "little") + data


def short_bytes(data: bytes, length: int | None = None) -> bytes:
    return b"B" + (len(data) if length is None else length).to_bytes(4, "little") + data


EVIL = b"cos\nsystem\n\x8c\x02ls\x85R"
WHOLE = pickle.dumps([A, ARRAY, {"k": B}], 5)
FAULTS: dict[str, bytes] = {
    "cut in the first payload": WHOLE[: LONG // 2],
    "cut right behind a length": HEAD + long_bytes(A)[:9],
    "cut within a length": HEAD + b"(" + long_bytes(A) + long_bytes(B)[:5],
    "cut in the second payload": WHOLE[: len(A) + LONG],
    "cut before the end": WHOLE[:-1],
    "cut right behind a payload": HEAD + long_bytes(A),
    "lies of its length": HEAD + long_bytes(A, 1 << 40) + b".",
    "lies beyond all lengths": HEAD + long_bytes(A, (1 << 64) - 1) + b".",
    "lies by one byte": HEAD + long_bytes(A, len(A) + 2) + b".",
    "lies in its second payload": HEAD + b"(" + short_bytes(A) + long_bytearray(B, 1 << 40) + b"t.",
    "a name behind a payload": HEAD + b"(" + long_bytes(A) + EVIL + b"t.",
    "a name between payloads": HEAD + b"]" + long_bytes(A) + b"a(" + EVIL + long_bytearray(B) + b"Ne.",
    "a name below a dict": HEAD + b"}(" + long_bytes(A) + b"N\x8c\x03key](" + long_bytearray(B) + EVIL + b"eu.",
    "a name, then the end": HEAD + b"(" + long_bytes(A) + EVIL,
    "no such opcode": HEAD + b"(" + long_bytes(A) + b"\xff" + long_bytes(B) + b"t.",
    "a broken rule": HEAD + long_bytes(A) + long_bytearray(B) + b"R.",
    "a payload is no list": HEAD + long_bytearray(A) + b"Na.",
    "a payload is no name": HEAD + long_bytes(A) + b"\x8c\x02os\x93.",
    "a slot that nobody filled": HEAD + b"(" + long_bytes(A) + b"h\x05t.",
    "a frame around a payload, cut": HEAD + b"\x95" + (len(A) + 20).to_bytes(8, "little") + long_bytes(A),
    "a frame that ends in a payload": HEAD + b"\x95" + (100).to_bytes(8, "little") + long_bytes(A) + b".",
    "a payload in a frame in a frame": HEAD
    + b"\x95"
    + (18).to_bytes(8, "little")
    + b"\x95"
    + bytes(8)
    + long_bytes(A)
    + b".",
    "text instead": HEAD + b"\x8d" + (len(A)).to_bytes(8, "little") + b"\xff" * len(A) + b".",
    "buffers that are not there": HEAD + b"(" + long_bytes(A) + b"\x97t.",
    "text that is no text": HEAD + b"(" + long_bytes(A) + b"\x8c\x01\xfft.",
    "a number that is none": HEAD + b"(" + long_bytes(A) + b"Ione\nt.",
    "many equal hashes": HEAD
    + b"("
    + long_bytes(A)
    + torshi.dumps({i * (2**61 - 1) for i in range(2000)}, 4)[:-1]
    + b"t.",
}


def outcome(action: Callable[[], object]) -> tuple[Any, ...]:
    """What an action gives, or all that its exception tells."""
    try:
        return ("loaded", repr(action()))
    except Exception as error:
        shown = [(f.kind, f.name, f.offset, f.opcode, f.path, f.message) for f in getattr(error, "findings", ())]
        places = [getattr(error, name, None) for name in ("offset", "opcode", "limit", "value")]
        return type(error), str(error), places, shown


def failure(action: Callable[[], object]) -> tuple[Any, ...]:
    told = outcome(action)
    assert told[0] != "loaded"
    return told


@pytest.mark.parametrize("buffering", [-1, 0])
@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_told_as_of_bytes(tmp_path: Path, name: str, buffering: int) -> None:
    """If this fails, a refusal names another place when the same bytes come from a file, or there is none."""
    data = FAULTS[name]
    with opened(tmp_path / "file", data, buffering) as file:
        assert failure(lambda: torshi.load(file)) == failure(lambda: torshi.loads(data))
    with opened(tmp_path / "file", data, buffering) as file:
        expected = failure(lambda: torshi.Unpickler(io.BytesIO(data)).load())
        assert failure(lambda: torshi.Unpickler(file).load()) == expected


def test_a_finding_behind_payloads_is_found_at_its_place(tmp_path: Path) -> None:
    data = FAULTS["a name below a dict"]
    with opened(tmp_path / "file", data) as file, pytest.raises(torshi.UntrustedError) as caught:
        torshi.load(file)
    finding = caught.value.findings[0]
    assert finding.offset == data.index(EVIL)
    assert finding.path == "$.key[1]"


def test_a_state_that_only_building_refuses_is_found_at_its_place(tmp_path: Path) -> None:
    """If this fails, the offset of a finding made after the check leaves the payloads out."""
    inner = b"\x8c\x0dtest_payloads\x8c\x03Box\x93)\x81}\x8c\x08__evil__K\x01sb"
    data = HEAD + b"(" + long_bytes(A) + inner + b"t."
    with opened(tmp_path / "file", data) as file:
        told = failure(lambda: torshi.load(file, trust=[Box]))
    assert told == failure(lambda: torshi.loads(data, trust=[Box]))
    assert told[3][0][2] == data.rindex(b"sb") + 1


def test_limits_count_payloads(tmp_path: Path) -> None:
    """If this fails, a limit lets a long stream pass because its payload is elsewhere, or refuses one that fits."""
    data = pickle.dumps([A, bytearray(B)], 5)
    for length, fits in ((len(data), True), (len(data) - 1, False), (len(A) + 100, False), (100, False)):
        with opened(tmp_path / "file", data) as file:
            if fits:
                assert torshi.load(file, limits=torshi.Limits(stream=length)) == [A, bytearray(B)]
            else:
                with pytest.raises(torshi.LimitError, match=f"limit stream={length}"):
                    torshi.load(file, limits=torshi.Limits(stream=length))


def test_memory_limits_go_by_the_whole_stream(tmp_path: Path) -> None:
    """If this fails, calls that are within bounds for a long stream are refused when it comes from a file."""
    data = HEAD + b"(" + long_bytes(B) + b"cbuiltins\nbytearray\n(J" + (3 * LONG).to_bytes(4, "little") + b"tRt."
    limits = torshi.Limits(memory=1)
    told: list[Any] = []
    with opened(tmp_path / "file", data) as file:
        for load in (lambda: torshi.load(file, limits=limits), lambda: torshi.loads(data, limits=limits)):
            try:
                told.append(load())
            except torshi.LimitError as error:
                told.append(str(error))
    assert told[0] == told[1]


def test_streams_of_random_parts_read_the_same_from_a_file(tmp_path: Path) -> None:
    """If this fails, some arrangement of payloads, frames, names and faults means two things to one load."""
    source = random.Random(4)
    payload, odd = bytes(LONG), b"\x95\x08" + bytes(LONG)  # the second looks like a frame to who reads into it
    path = tmp_path / "file"
    kinds = set()
    for _ in range(150):
        parts = [
            long_bytes(payload),
            long_bytearray(odd),
            short_bytes(odd),
            long_bytes(payload[1:]),
            b"\x94",
            b"h" + bytes([source.randrange(4)]),
            b"q" + bytes([source.randrange(4)]),
            b"\x95" + source.choice((2, 4, 9, 20, LONG + 30)).to_bytes(8, "little"),
            b"K\x05",
            b"\x8c\x02ab",
            b"0",
            b"(",
            b"\x85",
            b"\x86",
            b"t",
            b"]",
            b"a",
            b"cbuiltins\nlen\n",
            EVIL,
            b"\xff",
        ]
        chosen = source.choices(parts, [6, 4, 4, 2, *[3] * 13, 1, 1, 1], k=source.randrange(3, 12))
        data = HEAD + b"(" + b"".join(chosen) + b"t."
        if source.random() < 0.3:
            data = data[: source.randrange(len(data))]
        path.write_bytes(data)
        seen = outcome(lambda: torshi.load(path))
        # The same with a class of its own below the buffer, which gets no objects to fill.
        with io.BufferedReader(RawCounting(path)) as file:
            expected = outcome(lambda: torshi.load(file))
        assert seen == expected
        kinds.add(seen[0])
    assert len(kinds) > 3  # some load, and others are refused for several reasons


# -- files of all kinds


def test_a_pipe(tmp_path: Path) -> None:
    """If this fails, a length that a peer claims is believed, or a message behind a payload is lost."""
    reader, writer = os.pipe()
    data = pickle.dumps([A, ARRAY.tobytes()], 5)

    def write() -> None:
        with open(writer, "wb") as sink:
            sink.write(data + b"tail")

    thread = threading.Thread(target=write)
    thread.start()
    with open(reader, "rb") as source:
        assert torshi.load(source) == [A, ARRAY.tobytes()]
        assert source.read() == b"tail"
    thread.join()


class Counting(io.BufferedReader):
    read_calls = 0

    def read(self, size: int | None = -1, /) -> bytes:
        self.read_calls += 1
        return super().read(size)


class RawCounting(io.FileIO):
    calls = 0

    def readinto(self, target: Any, /) -> int:
        self.calls += 1
        return super().readinto(target)


def test_classes_of_their_own_are_read_by_their_own_methods(tmp_path: Path) -> None:
    """If this fails, a wrapper that decrypts or counts is passed by, or sees objects before they are checked."""
    data = pickle.dumps([A, bytearray(B)], 5)
    (tmp_path / "file").write_bytes(data)
    with Counting(io.FileIO(tmp_path / "file")) as file:
        assert torshi.load(file) == [A, bytearray(B)]
        assert file.read_calls > 2
        assert file.tell() == len(data)
    raw = RawCounting(tmp_path / "file")
    with io.BufferedReader(raw) as file:
        assert torshi.load(file) == [A, bytearray(B)]
        assert raw.calls > 1


@pytest.mark.parametrize("method", ["read", "readinto"])
@pytest.mark.parametrize("buffering", [-1, 0])
def test_methods_put_in_place_of_others_do_not_get_the_objects(tmp_path: Path, method: str, buffering: int) -> None:
    """If this fails, code that replaced a file's method could keep an object and change it once it is checked."""
    data = pickle.dumps([A, bytearray(B)], 5)
    with opened(tmp_path / "file", data, buffering) as file:
        kept: list[Any] = []
        raw = getattr(file, "raw", file)
        original = getattr(raw, method)

        def keeping(argument: Any = -1) -> Any:
            if not isinstance(argument, int):
                kept.append(len(argument))
            return original(argument)

        setattr(raw, method, keeping)
        assert torshi.load(file) == [A, bytearray(B)]
        assert all(length < len(B) - LONG // 2 for length in kept)  # pieces, of no object that is given


def test_a_file_that_shrinks_is_truncated(tmp_path: Path) -> None:
    """If this fails, bytes that were never read are given as if they were."""
    data = HEAD + b"(" + long_bytes(A) + long_bytes(B) + b"t."
    path = tmp_path / "file"
    with opened(path, data) as file:
        file.seek(len(data) - 10)
        file.read(5)
        os.truncate(path, len(data) - 5)
        file.seek(0)
        expected = failure(lambda: torshi.loads(data[:-5]))
        assert failure(lambda: torshi.load(file)) == expected


def test_a_file_that_grew_since_it_was_opened(tmp_path: Path) -> None:
    path = tmp_path / "file"
    data = pickle.dumps(bytearray(B), 5)
    with opened(path, data[:100]) as file:
        file.peek(1)
        with open(path, "ab") as sink:
            sink.write(data[100:])
        assert torshi.load(file) == B


def test_a_position_within_a_file(tmp_path: Path) -> None:
    data = pickle.dumps(bytearray(A), 5)
    with opened(tmp_path / "file", b"x" * 12345 + data + data) as file:
        file.seek(12345)
        assert torshi.load(file) == A
        assert torshi.load(file) == A
        assert file.read() == b""


def test_a_file_for_reading_and_writing(tmp_path: Path) -> None:
    with open(tmp_path / "file", "w+b") as file:
        pickle.dump([A, ARRAY.tobytes()], file, 5)
        file.seek(0)
        assert torshi.load(file) == [A, ARRAY.tobytes()]


# -- memory


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    """If this fails, a load or a refusal leaks its payloads."""
    good = opened(tmp_path / "good", pickle.dumps([A, bytearray(A)], 5))
    bad = opened(tmp_path / "bad", FAULTS["a name between payloads"])

    def load() -> None:
        good.seek(0)
        torshi.load(good)
        bad.seek(0)
        try:
            torshi.load(bad)
        except torshi.UntrustedError as refusal:
            refusal.__traceback__ = None

    with good, bad:
        for _ in range(30):
            load()
        gc.collect()
        before = sys.getallocatedblocks()
        resident = memory("VmRSS")
        for _ in range(100):
            load()
        gc.collect()
        assert sys.getallocatedblocks() - before < 100
        assert memory("VmRSS") - resident < 50 << 20  # a leak of one payload a round is 100 MB


def memory(field: str) -> int:
    """Bytes, by the kernel's own account of this process; 0 where there is none."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(field))


CHILD = """
import pickle, sys
import numpy as np, torshi
def peak():
    return next(int(line.split()[1]) << 10 for line in open("/proc/self/status") if line.startswith("VmHWM"))
{before}
base = peak()
{action}
print(peak() - base)
"""


def peak_of(before: str, action: str, *arguments: str) -> int:
    """Bytes by which the peak of a new process rises while it does something."""
    if not Path("/proc/self/status").exists():
        pytest.skip("the peak of a process is read from /proc/self/status, which this system has not")
    command = [sys.executable, "-c", CHILD.format(before=before, action=action), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.parametrize("protocol", [4, 5])
def test_a_load_holds_a_payload_once(tmp_path: Path, protocol: int) -> None:
    """If this fails, loading a large array from a file takes twice its memory, which stock pickle does not."""
    size = 64 << 20
    path = tmp_path / "file"
    with open(path, "wb") as file:
        pickle.dump(np.ones(size // 8), file, protocol)
    small = f"torshi.loads(torshi.dumps(np.ones(10), {protocol}))"
    load = 'with open(sys.argv[1], "rb") as file: loaded = torshi.load(file)'
    assert peak_of(small, load, str(path)) < 1.1 * size


def test_a_claim_takes_no_memory(tmp_path: Path) -> None:
    """If this fails, a file of a few bytes takes the memory it says that it needs."""
    path = tmp_path / "file"
    path.write_bytes(HEAD + long_bytearray(b"", 1 << 30) + b".")
    load = "try: torshi.load(sys.argv[1])\nexcept torshi.MalformedError: pass"
    assert peak_of("torshi.loads(torshi.dumps(1))", load, str(path)) < 16 << 20


def test_the_first_dump_of_an_array_holds_one_copy() -> None:
    """If this fails, the first dump of each kind of number copies its array twice."""
    size = 64 << 20
    for dtype in ("float64", "int32", "complex64"):
        make = f'array = np.ones({size}, dtype="u1").view("{dtype}"); array[:1].tobytes()'
        assert peak_of(make, "data = torshi.dumps(array)") < 1.2 * size, dtype
