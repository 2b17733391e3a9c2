"""Every attack of the corpus in every container a scan opens, and harmless data in all of them.

If these failed, a pickle would pass a scan by being packed, or honest files would be cried at.
"""

from __future__ import annotations

import io
import random
import struct
import zipfile
from pathlib import Path

import pytest

import torshi
from attacks.assembler import Case
from attacks.make import corpus, is_written
from containers import BENIGN, CONTAINERS, zipped

CASES = [case for case in corpus().values() if is_written(case) and not case.trust]


def judged(case: Case) -> str:
    """What `check` says of the first pickle: the measure of what a scan must say."""
    try:
        torshi.check(case.data)
    except (torshi.UntrustedError, torshi.LimitError):
        return "findings"
    except torshi.UnpicklingError as error:
        return "foreign" if str(error).startswith("not a pickle: this is") else "no load"
    return "no findings"


REFUSED = [case for case in CASES if judged(case) == "findings"]


def test_a_scan_never_says_less_than_a_check() -> None:
    assert len(REFUSED) > 300
    for case in CASES:
        verdict = torshi.scan_bytes(case.data).verdict
        said = judged(case)
        if said == "findings":
            assert verdict == "findings", case.id
        elif said == "no load" and case.id != "claimed-length/line_without_end":  # one line of text
            assert verdict != "no findings", case.id


@pytest.mark.parametrize("container", CONTAINERS)
def test_every_attack_is_found_in_every_container(container: str) -> None:
    for case in REFUSED:
        result = torshi.scan_bytes(CONTAINERS[container](case.data))
        # Of a pickle: that the container is odd would be a finding without any.
        assert any(finding.code.startswith("T1") for finding in result.findings), (container, case.id)


@pytest.mark.parametrize("container", CONTAINERS)
def test_harmless_pickles_give_no_findings_in_honest_containers(container: str) -> None:
    result = torshi.scan_bytes(CONTAINERS[container](BENIGN))
    if container.startswith("zip,"):
        assert result.verdict == ("undecided" if container == "zip, no directory" else "findings")
        assert all(finding.code.startswith("T2") for finding in result.findings)
    else:
        assert result.verdict == "no findings", result
        assert result.pickles >= 1


ODDITIES = {
    "zip, wrong checksum": "T201",
    "zip, false encryption": "T207",
    "zip, false encryption in the directory": "T202",
    "zip, prefixed": "T204",
    "zip, duplicate last": "T203",
    "zip, other method": "T202",
    "zip, other size": "T202",
    "zip, unlisted": "T205",
    "zip, moved": "T204",
}


@pytest.mark.parametrize("container", ODDITIES)
def test_a_zip_that_reads_in_two_ways_says_so(container: str) -> None:
    codes = {finding.code for finding in torshi.scan_bytes(CONTAINERS[container](BENIGN)).findings}
    assert ODDITIES[container] in codes


def test_oddities_of_a_zip_without_pickles_are_no_findings() -> None:
    archive = bytearray(zipped(b"some text, and no pickle\n" * 10, zipfile.ZIP_STORED, "readme.txt"))
    archive[14] ^= 1
    assert torshi.scan_bytes(b"#!/bin/sh\n" + bytes(archive)).verdict == "no findings"


def test_an_encrypted_entry_is_undecided() -> None:
    archive = bytearray(zipped(random.Random(1).randbytes(500), zipfile.ZIP_STORED))
    central = archive.index(b"PK\x01\x02")
    archive[6] |= 1
    archive[central + 8] |= 1
    archive[50] ^= 0xFF  # so that it is not just what the checksum says
    result = torshi.scan_bytes(bytes(archive))
    assert (result.verdict, result.undecided[0].code) == ("undecided", "T907")


EVIL = b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x04true\x85R."
EVIL_TEXT = b"cposix\nsystem\n(S'true'\ntR."


def png() -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + bytes(4)

    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", bytes(13)) + chunk(b"IEND", b"")


HIDING = {
    "behind a PNG": lambda data: png() + data,
    "in the middle of noise": lambda data: random.Random(2).randbytes(5000) + data + random.Random(3).randbytes(5000),
    "behind a zip": lambda data: zipped(b"text\n" * 9, name="a.txt") + data,
    "in a zip's comment": lambda data: commented(data),
    "behind zeros": lambda data: bytes(1000) + data,
    "behind a pickle and noise": lambda data: BENIGN + b"\0\xff\0" + data,
    "in an array of bytes": lambda data: array_of(b"\0" * 64 + data),
    "behind text": lambda data: b"Dear reader,\n\nall is well.\n" * 5 + data,
}


def commented(data: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a.txt", "text")
        archive.comment = b"a comment " + data
    return out.getvalue()


def array_of(data: bytes) -> bytes:
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({len(data)},), }}".encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\0" + struct.pack("<H", len(header)) + header + data


@pytest.mark.parametrize("place", HIDING)
@pytest.mark.parametrize("data", [EVIL, EVIL_TEXT], ids=["binary", "text"])
def test_hidden_pickles_are_found(place: str, data: bytes) -> None:
    result = torshi.scan_bytes(HIDING[place](data))
    assert result.verdict == "findings"
    assert any(finding.name == "posix.system" for finding in result.findings)


@pytest.mark.parametrize("place", HIDING)
def test_harmless_data_in_the_same_places_is_no_finding(place: str) -> None:
    assert torshi.scan_bytes(HIDING[place](BENIGN)).verdict == "no findings"


def test_a_pickle_in_front_of_a_zip_and_the_zip_are_both_read() -> None:
    for head, inside in ((EVIL, BENIGN), (BENIGN, EVIL)):
        result = torshi.scan_bytes(head + zipped(inside))
        assert "posix.system" in {finding.name for finding in result.findings}


@pytest.mark.parametrize("protocol", range(6))
def test_pickles_in_values_of_pickles_are_found(protocol: int) -> None:
    for value in (EVIL, bytearray(EVIL), EVIL.decode("latin1"), EVIL_TEXT, EVIL_TEXT.decode()):
        result = torshi.scan_bytes(torshi.dumps({"payload": [value]}, protocol))
        assert [finding.code for finding in result.findings] == ["T120"], (protocol, value)
    inner = torshi.dumps({"deeper": EVIL})
    assert torshi.scan_bytes(torshi.dumps([inner], protocol)).verdict == "findings"
    assert torshi.scan_bytes(torshi.dumps([BENIGN, "can you come.\nno.\n", "(see\nbelow)\n."], protocol)).findings == ()


def test_what_runs_before_a_stream_breaks_is_a_finding() -> None:
    for tail in (b"\xff", b"X", b"", b"\0" * 50, b"q", b"(((("):
        for payload in (EVIL[:-1], EVIL_TEXT[:-1]):
            result = torshi.scan_bytes(payload + tail)
            assert {"T101", "T110"} <= {finding.code for finding in result.findings}, payload + tail


def test_broken_pickles_that_do_nothing_are_undecided() -> None:
    data = torshi.dumps({"name": "John Doe", "list": list(range(100))})
    for length in range(4, len(data) - 1):
        assert torshi.scan_bytes(data[:length]).verdict == "undecided", length


HARMLESS: dict[str, bytes] = {
    "nothing": b"",
    "a word": b"certainly",
    "an essay": b"Comments\nare\nfine.\n" * 20,
    "words": b"cab\ncable\ncabs\n(and more)\ncage\n." * 20,
    "service names": b"com.example.first.Provider\ncom.example.second.Provider\n",
    "properties": b"Period.space=\\ \nPeriod.comma=,\nPeriod.and=and\n" * 10,
    "code": b"import pickle\n\nclass cat:\n    pass\n\ncopy = 1\n",
    "json": b'{"c": [1, 2, 3]}',
    "html": b"<!doctype html>\n<html></html>",
    "png": png(),
    "zeros": bytes(10_000),
    "noise": random.Random(4).randbytes(1_000_000),
    "protocols in a row": b"\x80\x02" * 100_000,
    "marks": b"(" * 100_000,
    "a tar's beginning": b"x" * 600,
}


@pytest.mark.parametrize("name", HARMLESS)
def test_what_is_no_pickle_has_no_findings(name: str) -> None:
    result = torshi.scan_bytes(HARMLESS[name])
    assert result.findings == (), result
    if name not in ("protocols in a row", "marks"):
        assert (result.verdict, result.reason) == ("no findings", "no pickle found")


def test_limits_leave_a_file_undecided() -> None:
    deep = BENIGN
    for _ in range(12):
        deep = CONTAINERS["gzip"](deep)
    bomb = CONTAINERS["gzip"](bytes(5_000_000))
    many = io.BytesIO()
    with zipfile.ZipFile(many, "w") as archive:
        for number in range(50):
            archive.writestr(f"{number}.txt", "x")
    for data, limits, code in [
        (deep, torshi.ScanLimits(), "T904"),
        (bomb, torshi.ScanLimits(expanded=1_000_000), "T902"),
        (many.getvalue(), torshi.ScanLimits(entries=10), "T905"),
        (BENIGN, torshi.ScanLimits(file=5), "T906"),
        (b"7z\xbc\xaf\x27\x1c\0\x04" + bytes(100), torshi.ScanLimits(), "T909"),
        (CONTAINERS["gzip"](BENIGN)[:-9], torshi.ScanLimits(), "T908"),
    ]:
        result = torshi.scan_bytes(data, limits=limits)
        assert (result.verdict, result.undecided[0].code) == ("undecided", code)


def test_the_corpus_on_disk_is_found_by_name(tmp_path: Path) -> None:
    for number, case in enumerate(REFUSED[:50]):
        (tmp_path / f"{number}.safetensors").write_bytes(case.data)
    report = torshi.scan(tmp_path, jobs=2)
    assert len(report) == 50
    assert all(result.verdict == "findings" for result in report)
