"""scan and `torshi scan`: what they look at, what they say of it, in which form and with which exit code.

If these failed, a folder would be scanned in part, results would depend on threads, or a script would take a file
with findings for one without.
"""

from __future__ import annotations

import dataclasses
import gzip
import io
import json
import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import torshi
from torshi._scan import scan_codes
from torshi.cli import main
from typed_models import Point

EVIL = b"cposix\nsystem\n(S'true'\ntR."


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "good.pkl").write_bytes(torshi.dumps({"name": "John Doe"}))
    (tmp_path / "a" / "b" / "evil.bin.gz").write_bytes(gzip.compress(EVIL))
    (tmp_path / "a" / "readme.txt").write_text("nothing to see here\n")
    (tmp_path / "cut.pkl").write_bytes(torshi.dumps(list(range(100)))[:50])
    (tmp_path / "own.pkl").write_bytes(torshi.dumps(Point(1, 2)))
    return tmp_path


def verdicts(report: torshi.ScanReport) -> dict[str, str]:
    return {Path(result.path).name: result.verdict for result in report}


def test_a_folder_is_walked_in_order_whatever_the_threads(folder: Path) -> None:
    one, two = (torshi.scan(folder, jobs=jobs) for jobs in (1, 2))
    assert one == two
    names = ["good.pkl", "readme.txt", "evil.bin.gz", "cut.pkl", "own.pkl"]
    assert sorted(Path(result.path).name for result in one) == sorted(names)
    assert [result.path for result in one] == sorted((result.path for result in one), key=lambda path: path.split("/"))
    assert verdicts(one) == {
        "good.pkl": "no findings",
        "readme.txt": "no findings",
        "evil.bin.gz": "findings",
        "cut.pkl": "findings",
        "own.pkl": "findings",
    }
    assert (one.verdict, one.exit_code) == ("findings", 1)


def test_a_result_says_what_where_and_why(folder: Path) -> None:
    (result,) = torshi.scan(folder / "a" / "b" / "evil.bin.gz")
    (finding,) = result.findings
    assert (result.format, result.pickles, result.reason) == ("gzip > pickle", 1, "1 finding")
    assert result.size == (folder / "a" / "b" / "evil.bin.gz").stat().st_size
    assert (finding.code, finding.rule, finding.severity) == ("T101", "untrusted-global", "high")
    assert (finding.offset, finding.opcode, finding.path, finding.name) == (0, "GLOBAL", "$", "posix.system")
    assert finding.format == "gzip > pickle"
    assert "posix.system is not trusted" in str(finding)
    assert result.entries == (torshi.ScanEntry("", "gzip > pickle", len(EVIL), 1),)


def test_the_path_in_the_object_and_the_entry_are_told() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("model/data.pkl", torshi.dumps({"a": [1, Point(1, 2)]}))
        archive.writestr("notes.txt", "hello, reader\n")
    result = torshi.scan_bytes(out.getvalue(), "m.zip")
    assert {(finding.entry, finding.path) for finding in result.findings} == {("model/data.pkl", "$.a[1]")}
    assert [(entry.name, entry.format) for entry in result.entries] == [
        ("model/data.pkl", "zip > pickle"),
        ("notes.txt", "zip > plain text"),
    ]


def test_digests_are_those_of_the_bytes() -> None:
    # The digest of the empty input, from the BLAKE3 paper's test vectors.
    empty = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
    assert torshi.scan_bytes(b"").blake3 == empty
    assert torshi.scan_bytes(b"x").blake3 != empty


def test_results_are_plain_data(folder: Path) -> None:
    for result in torshi.scan(folder):
        assert torshi.FileResult.from_record(json.loads(json.dumps(result.to_record()))) == result
        assert pickle.loads(pickle.dumps(result)) == result
        hash(result)


def test_patterns_and_several_paths(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert set(verdicts(torshi.scan("**/*.pkl"))) == {"good.pkl", "cut.pkl", "own.pkl"}
    assert set(verdicts(torshi.scan([Path("own.pkl"), "a/*.txt"]))) == {"own.pkl", "readme.txt"}
    assert [result.path for result in torshi.scan(["own.pkl", "own.pkl"])] == ["own.pkl", "own.pkl"]


def test_what_cannot_be_read_is_undecided(folder: Path) -> None:
    fifo = folder / "pipe"
    os.mkfifo(fifo)
    for path in (folder / "absent", fifo, folder / "*.absent"):
        (result,) = torshi.scan(path)
        assert (result.verdict, result.undecided[0].code, result.blake3) == ("undecided", "T911", None)


def test_links_are_followed_to_files_and_not_to_folders(folder: Path) -> None:
    links = folder / "links"
    links.mkdir()
    (links / "file").symlink_to(folder / "own.pkl")
    (links / "folder").symlink_to(folder)
    (links / "nowhere").symlink_to(folder / "absent")
    assert verdicts(torshi.scan(links)) == {"file": "findings"}


def test_names_that_are_not_utf8_are_scanned(folder: Path) -> None:
    name = os.fsdecode(os.fsencode(str(folder)) + b"/caf\xe9.pkl")
    with open(name, "wb") as file:
        file.write(EVIL)
    assert [result.verdict for result in torshi.scan(name)] == ["findings"]


def test_trust_and_policies(folder: Path) -> None:
    own = folder / "own.pkl"
    assert torshi.scan(own, trust=[Point]).verdict == "no findings"
    assert torshi.scan(own, policy=torshi.Policy.default().allow("typed_models.*")).verdict == "no findings"
    with pytest.raises(TypeError, match="policy or trust, not both"):
        torshi.scan(own, policy=torshi.Policy.default(), trust=[Point])
    with pytest.raises(ValueError, match="jobs must be at least 1"):
        torshi.scan(own, jobs=0)
    with pytest.raises(ValueError, match="limit nesting is out of range"):
        torshi.ScanLimits(nesting=-1)


def test_progress_counts_up_to_the_end(folder: Path) -> None:
    for number in range(50):
        (folder / f"{number}.pkl").write_bytes(torshi.dumps(number))
    seen: list[torshi.ScanProgress] = []
    torshi.scan(folder, progress=seen.append)
    assert seen
    assert seen == sorted(seen, key=lambda progress: progress.done)
    assert seen[-1].done == seen[-1].files == 55


def test_an_exception_of_the_caller_ends_a_scan(folder: Path) -> None:
    def stop(progress: torshi.ScanProgress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        torshi.scan(folder, progress=stop)


def test_every_code_has_a_row() -> None:
    codes = scan_codes()
    assert len({code.id for code in codes}) == len(codes) > 30
    assert all(code.title and code.text and code.advice for code in codes)


# -- the command line


def run(*arguments: object, stdin: bytes = b"", cwd: Path | None = None) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "torshi", "scan", *map(str, arguments)]
    return subprocess.run(command, input=stdin, capture_output=True, cwd=cwd, timeout=60)


def test_text_names_verdicts_and_sums_up(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["scan", str(folder)]) == 1
    out = capsys.readouterr().out
    assert "evil.bin.gz: 1 finding under policy default [gzip > pickle]\n  T101 posix.system is not trusted" in out
    assert "cut.pkl: 1 finding under policy default [pickle]\n  T113 pickle data was truncated" in out
    assert "good.pkl" not in out
    assert out.splitlines()[-1].startswith("5 files, 4 pickles, ")
    assert "2 no findings, 3 findings (policy default)" in out
    assert main(["scan", "--verbose", str(folder / "a" / "good.pkl")]) == 0
    assert "no findings under policy default (1 pickle) [pickle]" in capsys.readouterr().out


def test_exit_codes(folder: Path) -> None:
    assert run("a/good.pkl", "a/readme.txt", cwd=folder).returncode == 0
    assert run("a", cwd=folder).returncode == 1
    assert run("cut.pkl", cwd=folder).returncode == 1
    assert run("absent", cwd=folder).returncode == 2
    assert run("absent", "a/good.pkl", cwd=folder).returncode == 2
    for form in ([], ["--json"], ["--jsonl"], ["--sarif"]):  # a finding counts more than what could not be seen
        assert run(*form, "absent", "a", "absent", cwd=folder).returncode == 1
    assert run("--trust", "no name", "a", cwd=folder).returncode == 2
    assert run("--jobs", "0", "a", cwd=folder).returncode == 2
    assert run("--policy", "absent.toml", "a", cwd=folder).returncode == 2
    assert run(cwd=folder).returncode == 2
    assert run("--trust", "typed_models.Point", "own.pkl", cwd=folder).returncode == 0


def test_remarks_are_told_and_change_no_verdict(folder: Path) -> None:
    (folder / "kept.pkl").write_bytes(torshi.dumps({"raw": EVIL}))
    done = run("kept.pkl", "a/readme.txt", "a/good.pkl", cwd=folder)
    assert done.returncode == 0
    lines = done.stdout.decode().splitlines()
    assert lines[0] == "kept.pkl: no findings under policy default (1 pickle) [pickle]"
    assert lines[1].startswith(
        "  remark: T301 a value of the pickle is itself a pickle, in which posix.system is not trusted"
    )
    assert b"T301" in run("--sarif", "kept.pkl", cwd=folder).stdout
    result = torshi.scan(folder / "kept.pkl").results[0]
    assert (result.verdict, result.remarks[0].severity) == ("no findings", "note")
    record = result.to_record()
    del record["remarks"]  # as results of earlier versions are kept in ledgers
    assert torshi.FileResult.from_record(record) == dataclasses.replace(result, remarks=())


def test_standard_input(folder: Path) -> None:
    done = run("-", stdin=gzip.compress(EVIL))
    assert done.returncode == 1
    assert done.stdout.startswith(b"<stdin>: 1 finding under policy default [gzip > pickle]\n")
    assert run("-", stdin=torshi.dumps([1])).returncode == 0


def test_json_and_jsonl_have_all_that_the_api_has(folder: Path) -> None:
    report = torshi.scan(folder)
    whole = run("--json", folder)
    assert whole.returncode == 1
    record = json.loads(whole.stdout)
    assert [torshi.FileResult.from_record(file) for file in record["files"]] == list(report)
    assert (record["tool"], record["policy"], record["verdict"]) == ("torshi", "default", "findings")
    assert record["counts"] == {"no findings": 2, "findings": 3, "undecided": 0}
    lines = run("--jsonl", folder)
    assert lines.returncode == 1
    read = [torshi.FileResult.from_record(json.loads(line)) for line in lines.stdout.splitlines()]
    assert read == list(report)


def test_the_bar_is_drawn_only_where_it_is_asked_for(folder: Path) -> None:
    assert run(folder).stderr == b""
    assert b"files" in run("--progress", folder).stderr
    assert run("--no-progress", folder).stderr == b""


def test_control_characters_of_a_file_do_not_reach_the_terminal(folder: Path) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("\x1b[2Jname", b"cpo\x1b[2Jsix\nsystem\n(S'true'\ntR.")
    (folder / "e\x1b[31mvil.zip").write_bytes(out.getvalue())
    done = run(folder)
    assert done.returncode == 1
    assert b"\x1b" not in done.stdout
