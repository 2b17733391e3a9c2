"""A pickle in every container a scan opens: bytes in, a file that holds them out.

Written with the standard library's own writers, and by hand where those write nothing of the kind: zstd and lz4
frames of uncompressed blocks, zip archives whose headers lie.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable

import torshi

BENIGN = torshi.dumps({"harmless": [1, 2, 3]})


def zstd(data: bytes) -> bytes:
    """One frame of raw blocks."""
    size = 1 << 16
    pieces = [data[at : at + size] for at in range(0, len(data), size)] or [b""]
    blocks = [
        (len(piece) << 3 | (at == len(pieces) - 1)).to_bytes(3, "little") + piece for at, piece in enumerate(pieces)
    ]
    return b"\x28\xb5\x2f\xfd\xa0" + len(data).to_bytes(4, "little") + b"".join(blocks)


def lz4(data: bytes) -> bytes:
    """One frame of uncompressed blocks of at most 64 KiB."""
    size = 1 << 16
    blocks = [
        struct.pack("<I", 1 << 31 | len(data[at : at + size])) + data[at : at + size]
        for at in range(0, len(data), size)
    ]
    return b"\x04\x22\x4d\x18\x60\x40\x82" + b"".join(blocks) + bytes(4)


def zipped(data: bytes, method: int = zipfile.ZIP_DEFLATED, name: str = "archive/data.pkl") -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        archive.writestr(name, data)
    return out.getvalue()


def streamed_zip(data: bytes) -> bytes:
    """Sizes and checksum behind the contents, as writers to a pipe put them."""

    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            self.parts = io.BytesIO()

        def writable(self) -> bool:
            return True

        def write(self, part: object) -> int:
            return self.parts.write(part)  # type: ignore[arg-type]

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:  # type: ignore[arg-type]
        archive.writestr("data.pkl", data)
    return pipe.parts.getvalue()


def zip64(data: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive, archive.open("data.pkl", "w", force_zip64=True) as entry:
        entry.write(data)
    return out.getvalue()


def tarred(data: bytes, mode: str = "w", form: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode, format=form) as archive:  # type: ignore[call-overload]
        info = tarfile.TarInfo("folder/" + "long" * 40 + "/data.pkl")
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def lzma_alone(data: bytes) -> bytes:
    return lzma.compress(data, lzma.FORMAT_ALONE)


def npy(data: bytes) -> bytes:
    """An array of objects, whose pickle is the data."""
    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (2,), }"
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\0" + struct.pack("<H", len(header)) + header + data


def joblib_z(data: bytes) -> bytes:
    return b"ZF" + hex(len(data)).ljust(19).encode() + zlib.compress(data)


def _fields(archive: bytes) -> tuple[bytearray, int, int]:
    """The archive, where the first local header stands, and where the first central one."""
    return bytearray(archive), archive.index(b"PK\x03\x04"), archive.index(b"PK\x01\x02")


def zip_wrong_crc(data: bytes) -> bytes:
    archive, local, central = _fields(zipped(data, zipfile.ZIP_STORED))
    archive[local + 14] ^= 0xFF
    archive[central + 16] ^= 0xFF
    return bytes(archive)


def zip_false_encryption(data: bytes) -> bytes:
    archive, local, central = _fields(zipped(data))
    archive[local + 6] |= 1
    archive[central + 8] |= 1
    return bytes(archive)


def zip_encrypted_in_the_directory_only(data: bytes) -> bytes:
    archive, _, central = _fields(zipped(data))
    archive[central + 8] |= 1
    return bytes(archive)


def zip_prefixed(data: bytes) -> bytes:
    return b"#!/bin/sh\n" + b"junk" * 1000 + zipped(data)


def zip_duplicate(data: bytes, last: bool = True) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for part in (BENIGN, data) if last else (data, BENIGN):
            info = zipfile.ZipInfo("data.pkl")
            archive.NameToInfo.clear()
            archive.writestr(info, part)
    return out.getvalue()


def zip_other_method(data: bytes) -> bytes:
    """The directory says deflated, the header before the entry says stored; only the latter is true."""
    archive, _, central = _fields(zipped(data, zipfile.ZIP_STORED))
    archive[central + 10] = 8
    return bytes(archive)


def zip_other_size(data: bytes) -> bytes:
    """The directory says that the entry is empty."""
    archive, _, central = _fields(zipped(data, zipfile.ZIP_STORED))
    archive[central + 20 : central + 28] = bytes(8)
    return bytes(archive)


def zip_unlisted(data: bytes) -> bytes:
    """An entry between the last one and the directory, which does not list it."""
    hidden, archive = zipped(data), zipped(BENIGN)
    hidden, at = hidden[: hidden.index(b"PK\x01\x02")], archive.index(b"PK\x01\x02")
    offset = (at + len(hidden)).to_bytes(4, "little")
    return archive[:at] + hidden + archive[at:-6] + offset + archive[-2:]


def zip_without_directory(data: bytes) -> bytes:
    archive = zipped(data)
    return archive[: archive.index(b"PK\x01\x02")]


def zip_moved(data: bytes) -> bytes:
    """Offsets count from the file's start, though bytes stand in front: other readers find another entry there."""
    decoy = zipped(BENIGN, zipfile.ZIP_STORED)
    archive = zipped(data, zipfile.ZIP_STORED)
    return decoy[: decoy.index(b"PK\x01\x02")] + archive


def sevenfold(data: bytes) -> bytes:
    return gzip.compress(bz2.compress(zipped(lzma.compress(tarred(zlib.compress(data))))))


CONTAINERS: dict[str, Callable[[bytes], bytes]] = {
    "raw": lambda data: data,
    "behind a pickle": lambda data: BENIGN + data,
    "behind a pickle of protocol 0": lambda data: torshi.dumps([1], 0) + data,
    "gzip": gzip.compress,
    "gzip, second member": lambda data: gzip.compress(BENIGN) + gzip.compress(data),
    "behind gzip": lambda data: gzip.compress(BENIGN) + data,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "lzma alone": lzma_alone,
    "zlib": zlib.compress,
    "zlib, fastest": lambda data: zlib.compress(data, 1),
    "joblib z": joblib_z,
    "zstd": zstd,
    "zstd behind a skippable frame": lambda data: b"\x50\x2a\x4d\x18\x03\0\0\0abc" + zstd(data),
    "lz4": lz4,
    "zip stored": lambda data: zipped(data, zipfile.ZIP_STORED),
    "zip deflated": zipped,
    "zip bzip2": lambda data: zipped(data, zipfile.ZIP_BZIP2),
    "zip lzma": lambda data: zipped(data, zipfile.ZIP_LZMA),
    "zip streamed": streamed_zip,
    "zip64": zip64,
    "zip, wrong checksum": zip_wrong_crc,
    "zip, false encryption": zip_false_encryption,
    "zip, false encryption in the directory": zip_encrypted_in_the_directory_only,
    "zip, prefixed": zip_prefixed,
    "zip, duplicate last": zip_duplicate,
    "zip, duplicate first": lambda data: zip_duplicate(data, last=False),
    "zip, other method": zip_other_method,
    "zip, other size": zip_other_size,
    "zip, unlisted": zip_unlisted,
    "zip, no directory": zip_without_directory,
    "zip, moved": zip_moved,
    "zip in zip": lambda data: zipped(zipped(data), name="inner.zip"),
    "tar": tarred,
    "tar of the old form": lambda data: tarred(data, form=tarfile.GNU_FORMAT),
    "tar.gz": lambda data: tarred(data, "w:gz"),
    "tar.xz": lambda data: tarred(data, "w:xz"),
    "npy": npy,
    "npz": lambda data: zipped(npy(data), name="arr_0.npy"),
    "seven deep": sevenfold,
}
