"""Files that a stranger made by hand: a manifest that fits, right digests, and a hostile stream or a lying table.

If these failed, a manifest would let through what the check refuses without one, or the digest would be another than
the format says.
"""

from __future__ import annotations

import builtins
import importlib
import json
import os
import pickle
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import torshi
from attacks.assembler import Case
from attacks.make import corpus
from blake3 import blake3
from torshi import _native
from torshi.cli import main

LONG = 1 << 20
REFUSED = [case for case in corpus().values() if case.expected == "refuse" and not case.isolated and not case.trust]


def forged(stream: bytes, buffers: Sequence[tuple[int, int, bool]] = (), **more: Any) -> bytes:
    """A file whose digest is right for its structure; that of a mapped buffer nobody compares on loading."""
    parts, at, table = [], 0, []
    for offset, length, lent in buffers:
        digest = "00" * 32
        parts += [stream[at:offset], bytes.fromhex(digest)]
        at = offset + length
        table.append((offset, length, f"blake3:{digest}", lent))
    structure = b"".join([*parts, stream[at:]])
    record = {"torshi": 1, "stream": len(stream), "digest": f"blake3:{blake3(structure)}", "buffers": table, **more}
    return stream + _native.render_trailer("plain", len(stream), json.dumps(record).encode(), b"")


def test_the_digest_is_blake3(tmp_path: Path) -> None:
    """Written independently: an error in ours would be noticed by nobody else's tool only."""
    assert blake3(b"") == "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
    for value in ([], "x" * 900, list(range(3000))):
        torshi.save(value, tmp_path / "file")
        told = torshi.describe(tmp_path / "file")
        assert told.digest == f"blake3:{blake3((tmp_path / 'file').read_bytes()[: told.stream])}"


def test_the_digest_of_a_file_with_buffers(tmp_path: Path) -> None:
    torshi.save([1, bytearray(LONG), 2], tmp_path / "file")
    told, data = torshi.describe(tmp_path / "file"), (tmp_path / "file").read_bytes()
    (buffer,) = told.buffers
    parts = data[: buffer.offset], bytes.fromhex(buffer.digest[7:]), data[buffer.offset + buffer.length : told.stream]
    assert told.digest == f"blake3:{blake3(b''.join(parts))}"


def test_a_file_made_by_hand_loads(tmp_path: Path) -> None:
    """If this fails, the tests below are refused for another reason than they should be."""
    (tmp_path / "file").write_bytes(forged(pickle.dumps([1, 2])))
    assert torshi.load(tmp_path / "file", verify=True) == [1, 2]


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.id)
def test_attacks_with_a_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: Case) -> None:
    """Every attack in a file that is as its manifest says, which lists all it wants."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "attacks" / "support"))
    importlib.import_module("victim")
    path = tmp_path.parent / f"{tmp_path.name}.pkl"
    path.write_bytes(forged(case.data, globals=["os:system", "builtins:eval", "victim:*", "*"]))
    known = set(sys.modules)
    named = getattr(builtins, case.error) if case.error else torshi.UnpicklingError
    try:
        for verify in (False, True):
            with pytest.raises((torshi.UnpicklingError, named, EOFError)):
                torshi.load(path, verify=verify)
        assert not os.listdir("."), "the payload ran"
        assert set(sys.modules) == known
    finally:
        sys.modules.pop("victim", None)


def stream_of(before: bytes, payload: bytes, after: bytes, opcode: bytes = b"\x96") -> tuple[bytes, int]:
    """A stream with a long payload at a multiple of 64, and where that is."""
    head = b"\x80\x05" + before
    filler = -(len(head) + 9) % 64
    filler += 64 if filler in (1, 2) else 0
    if filler:
        head += b"C" + bytes([filler - 3]) + bytes(filler - 3) + b"0"
    head += opcode + len(payload).to_bytes(8, "little")
    return head + payload + after, len(head)


def test_a_table_that_calls_a_bytearray_lent(tmp_path: Path) -> None:
    """It comes back as a buffer that is no bytearray, which is all that lying gains."""
    stream, at = stream_of(b"(", bytes(LONG), b"t.")
    (tmp_path / "file").write_bytes(forged(stream, [(at, LONG, True)]))
    (loaded,) = torshi.load(tmp_path / "file")
    assert isinstance(loaded, memoryview)
    with pytest.raises(torshi.MalformedError, match="the buffer"):
        torshi.load(tmp_path / "file", verify=True)
    with pytest.raises(torshi.MalformedError, match="the buffer"):
        torshi.load(tmp_path / "file", mmap=False)


@pytest.mark.parametrize("shape", [1 << 18, 1 << 40, LONG // 8 + 1, 3])
def test_an_array_over_a_mapped_buffer_of_another_length(tmp_path: Path, shape: int) -> None:
    """numpy compares the lengths before it reads; a mapping must not be read beyond its part."""
    pytest.importorskip("numpy")
    before = b"cnumpy._core.numeric\n_frombuffer\n("
    dtype = b"cnumpy\ndtype\n(\x8c\x02f8\x89\x88tR(K\x03\x8c\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    after = dtype + b"\x8a\x06" + shape.to_bytes(6, "little") + b"\x85\x8c\x01CtR."
    stream, at = stream_of(before, bytes(LONG), after)
    (tmp_path / "file").write_bytes(forged(stream, [(at, LONG, True)]))
    with pytest.raises((ValueError, torshi.UnpicklingError)):
        torshi.load(tmp_path / "file")


@pytest.mark.parametrize(
    "table",
    [
        lambda at: [(at + 1, LONG, True)],
        lambda at: [(at, LONG - 1, True)],
        lambda at: [(at - 64, LONG + 64, True)],
        lambda at: [],
        lambda at: [(at, LONG, True), (at + LONG, 2, True)],
        lambda at: [(0, 2, True), (at, LONG, True)],
    ],
)
def test_a_table_that_does_not_fit_the_stream(tmp_path: Path, table: Any) -> None:
    """Bytes that the table leaves out of the digest are those of a payload, and no others."""
    stream, at = stream_of(b"(", bytes(LONG), b"t.")
    digest = table(at)
    if not digest:
        # The digest without a table is over all bytes, which takes too long here: any will do.
        record = {"torshi": 1, "stream": len(stream), "digest": "blake3:" + "00" * 32, "buffers": []}
        data = stream + _native.render_trailer("plain", len(stream), json.dumps(record).encode(), b"")
    else:
        data = forged(stream, digest)
    (tmp_path / "file").write_bytes(data)
    with pytest.raises(torshi.MalformedError, match="damaged"):
        torshi.load(tmp_path / "file")


@pytest.mark.parametrize(
    "record",
    [
        [],
        {},
        {"torshi": 2},
        {"torshi": "1"},
        {"stream": 5},
        {"digest": "md5:00"},
        {"digest": "blake3:" + "0" * 63},
        {"buffers": {"a": 1}},
        {"buffers": [[0, 1]]},
        {"globals": "os:system"},
        {"globals": [1]},
    ],
    ids=str,
)
def test_manifests_that_are_none(tmp_path: Path, record: Any) -> None:
    stream = pickle.dumps([1])
    whole = {"torshi": 1, "stream": len(stream), "digest": f"blake3:{blake3(stream)}"}
    if record and isinstance(record, dict):
        record = {**whole, **record}
    text = json.dumps(record).encode()
    (tmp_path / "file").write_bytes(stream + _native.render_trailer("plain", len(stream), text, b""))
    with pytest.raises(torshi.MalformedError):
        torshi.load(tmp_path / "file")
    with pytest.raises(torshi.MalformedError):
        torshi.describe(tmp_path / "file")


def test_what_a_manifest_says_to_people_cannot_hurt_them(tmp_path: Path) -> None:
    """Values of other types than ours are left out."""
    odd = {"created": 5, "classes": [], "distributions": "x", "writer": "\x1b[31mred", "metadata": "\x1b]0;title\x07"}
    (tmp_path / "file").write_bytes(forged(pickle.dumps([1]), **odd))
    told = torshi.describe(tmp_path / "file")
    assert (told.created, told.classes, told.distributions) == (None, {}, {})


def test_the_terminal_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    odd = {"writer": "\x1b[31m", "globals": ["a:\x1b[31m"], "distributions": {"\x1b": "\x1b"}, "metadata": "\x1b"}
    (tmp_path / "file").write_bytes(forged(pickle.dumps([1]), **odd))
    assert main(["describe", str(tmp_path / "file")]) == 0
    assert "\x1b" not in capsys.readouterr().out
