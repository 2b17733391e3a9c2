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
from typed_models import Point

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
        if said == "findings" or (said == "no load" and case.id != "claimed-length/line_without_end"):
            assert verdict == "findings", case.id


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
        assert [remark.code for remark in result.remarks] == ["T301"], (protocol, value)
        assert (result.verdict, result.findings, result.remarks[0].name) == ("no findings", (), "posix.system")
    inner = torshi.dumps({"deeper": EVIL})
    assert [remark.code for remark in torshi.scan_bytes(torshi.dumps([inner], protocol)).remarks] == ["T301"]
    assert torshi.scan_bytes(torshi.dumps([BENIGN, "can you come.\nno.\n", "(see\nbelow)\n."], protocol)).remarks == ()


@pytest.mark.parametrize("protocol", range(6))
def test_a_value_that_the_stream_may_load_is_a_finding(protocol: int) -> None:
    """Whom the user trusts may do anything with the bytes that it is given: rebuild objects from them, say."""
    inner = {"payload": [EVIL]}
    for stream in (
        torshi.dumps(Point(1, EVIL), protocol),  # type: ignore[arg-type]
        torshi.dumps([Point(1, 2), inner], protocol),
        b"cmyapp.util\nrestore\n(S" + repr(EVIL_TEXT.decode()).encode() + b"\ntR.",
    ):
        result = torshi.scan_bytes(stream, trust=[Point, "myapp.util.restore"])
        assert (result.verdict, {finding.code for finding in result.findings}) == ("findings", {"T120"})
    # Only named: nothing is handed to it.
    named = torshi.scan_bytes(torshi.dumps([Point, inner], protocol), trust=[Point])
    assert (named.verdict, [remark.code for remark in named.remarks]) == ("no findings", ["T301"])
    # Not trusted: that is the finding, and the rest a remark.
    untrusted = torshi.scan_bytes(torshi.dumps(Point(1, EVIL), protocol))  # type: ignore[arg-type]
    assert untrusted.verdict == "findings"
    assert "T301" in {remark.code for remark in untrusted.remarks}


def test_what_runs_before_a_stream_breaks_is_a_finding() -> None:
    for tail in (b"\xff", b"X", b"", b"\0" * 50, b"q", b"(((("):
        for payload in (EVIL[:-1], EVIL_TEXT[:-1]):
            result = torshi.scan_bytes(payload + tail)
            assert {"T101", "T110"} <= {finding.code for finding in result.findings}, payload + tail


@pytest.mark.parametrize("protocol", range(2, 6))
def test_pickles_that_are_cut_off_are_findings(protocol: int) -> None:
    data = torshi.dumps({"name": "John Doe", "list": list(range(100))}, protocol)
    for length in range(4, len(data)):
        assert [finding.code for finding in torshi.scan_bytes(data[:length]).findings] == ["T113"], length


BROKEN: dict[str, tuple[str, bytes]] = {
    "a stack that is empty": ("T112", b"\x80\x040."),
    "no result": ("T112", b"\x80\x04."),
    "an index below zero": ("T112", b"\x80\x04K\x01p-1\n."),
    "arguments that are no tuple": ("T112", b"\x80\x04\x8c\x08builtins\x8c\x04list\x93K\x01R."),
    "items for a number": ("T112", b"\x80\x04K\x01(K\x02\x90."),
    "no mark": ("T112", b"\x80\x04\x8c\x08builtins\x8c\x04list\x93o."),
    "a length below zero": ("T112", b"\x80\x04\x8b\xff\xff\xff\xff."),
    "a slot that is empty": ("T112", b"\x80\x04h\x05."),
    "a byte that is no instruction": ("T112", b"\x80\x04K\x01\xff."),
    "read-only, but no buffer": ("T112", b"\x80\x05K\x01\x98."),
    "protocol 1, whole to its stop": ("T112", b"(K\x01K\x02u."),
    "more bytes than are there": ("T113", b"\x80\x05B\xf0\xff\xff\xffAAAA."),
    "a frame longer than the file": ("T113", b"\x80\x05\x95\0\0\0\0\0\1\0\0AAAA."),
    "buffers that are not there": ("T114", b"\x80\x05\x97."),
    "a memo index out of proportion": ("T115", b"\x80\x04K\x01r\0\0\0\x10."),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_load_refuses_is_a_finding(name: str) -> None:
    """If not, a file that no reader takes, or that harms one written in C, would be called undecided or nothing."""
    code, data = BROKEN[name]
    result = torshi.scan_bytes(data)
    assert ([finding.code for finding in result.findings], result.undecided) == ([code], ())
    if code != "T115":  # which torshi takes without making room for it
        with pytest.raises(torshi.UnpicklingError):
            torshi.loads(data)


def test_memos_that_go_on_from_pickle_to_pickle_are_in_proportion() -> None:
    data = b"\x80\x04" + b"N0" * 50 + b"]r\x0a\0\0\0."
    assert torshi.scan_bytes(data).findings == ()


def test_what_begins_like_a_pickle_by_chance_stays_undecided() -> None:
    noise = random.Random(5).randbytes(100_000)
    for head in (b"\x80\x03R", b"\x80\x04u", b"\x80\x02X\xff\xff\xff\x7f"):
        result = torshi.scan_bytes(head + noise)
        assert (result.verdict, [reason.code for reason in result.undecided]) == ("undecided", ["T901"])


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
