"""Files made to take a scan's time or memory.

If these failed, one small file would keep a scan of a folder busy for hours, or end it.
"""

from __future__ import annotations

import gzip
import io
import struct
import time
import zipfile
from collections.abc import Callable

import joblib
import numpy as np
import pytest

import torshi
from containers import BENIGN, zipped

MIB = 1 << 20
EVIL = b"cposix\nsystem\n(S'true'\ntR."


def overlapping(count: int, method: int) -> bytes:
    """Many entries of the directory, one content."""
    archive = zipped(bytes(4 * MIB), method)
    at, end = archive.index(b"PK\x01\x02"), archive.index(b"PK\x05\x06")
    entry = archive[at:end]
    tail = bytearray(archive[end:])
    tail[8:12] = struct.pack("<HH", count, count)
    tail[12:16] = struct.pack("<I", len(entry) * count)
    return archive[:at] + entry * count + bytes(tail)


def many_local_headers(count: int) -> bytes:
    """Headers no directory lists, each of which reaches to the end of the file."""
    header = struct.pack("<4sHHHHHIIIHH", b"PK\x03\x04", 20, 8, 0, 0, 0, 0, 0, 0, 1, 0) + b"x"
    return header * count + bytes(4 * MIB) + zipped(b"text")


def swallowing(count: int) -> bytes:
    """Array wrappers whose bytes, taken for instructions, lead through all that follows."""
    out = io.BytesIO()
    joblib.dump(np.frombuffer(b"N" * 3 + b"B\x10\x01\x00\x00" + b"0" * 8, dtype="u1"), out, protocol=2)
    one = out.getvalue()
    key = b"numpy_array_alignment_bytes"
    one = one.replace(key, key[::-1])
    start = one.index(b"b", one.index(key[::-1])) + 1
    return (one[:start] + one[one.index(b"NNNB") :]) * count


HOSTILE: dict[str, Callable[[], bytes]] = {
    "stored entries that overlap": lambda: overlapping(20_000, zipfile.ZIP_STORED),
    "deflated entries that overlap": lambda: overlapping(20_000, zipfile.ZIP_DEFLATED),
    "local headers without a directory": lambda: many_local_headers(20_000),
    "protocols in a row": lambda: b"\x80\x02" * (2 * MIB),
    "frames in a row": lambda: b"\x80\x04\x95\0\0\0\0\0\0\0\0" * (MIB // 2),
    "globals in a row": lambda: b"cos\nsystem\n" * (MIB // 4),
    "names in lines": lambda: b"\x00" + b"ccccc\nccccc\n" * MIB,
    "array wrappers in a row": lambda: swallowing(20_000),
    "small pickles in a row": lambda: b"N." * (2 * MIB),
    "pickles with findings in a row": lambda: EVIL * (MIB // 8),
    "hidden pickles in a row": lambda: b"\0" + (b"\x80\x02" + EVIL + b"\0") * (MIB // 16),
    "gzip members": lambda: gzip.compress(b"") * 100_000,
    "bombs in a bomb": lambda: gzip.compress(gzip.compress(bytes(200 * MIB), 9) * 20, 9),
    "end marks of a zip": lambda: b"PK\x05\x06" * (2 * MIB),
    "tar headers": lambda: tar_of_many(20_000),
}


def tar_of_many(count: int) -> bytes:
    import tarfile

    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        info = tarfile.TarInfo("x" * 90)
        for _ in range(count):
            archive.addfile(info)
    return out.getvalue()


@pytest.mark.parametrize("name", HOSTILE)
def test_time_is_bounded(name: str) -> None:
    data = HOSTILE[name]()
    limits = torshi.ScanLimits(expanded=256 * MIB)
    began = time.process_time()
    result = torshi.scan_bytes(data, limits=limits)
    spent = time.process_time() - began
    assert spent < 20, (spent, result.verdict)  # seconds; most take well under one
    assert len(result.findings) <= 500
    assert len(result.entries) <= 10_000


def test_a_real_pickle_among_the_noise_is_still_found() -> None:
    result = torshi.scan_bytes(b"\x80\x02" * 1000 + b"\0" + b"\x80\x02" + EVIL + BENIGN)
    assert result.verdict == "findings"
