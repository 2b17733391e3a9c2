"""The command line, run as a user runs it: output, exit codes, standard input, pipes.

If these failed, a shell script could take a refused or unreadable file for a good one.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import torshi
from torshi.cli import main
from typed_models import Point

EVIL = b"cposix\nsystem\n(S'touch canary'\ntR."


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "good.pkl").write_bytes(torshi.dumps({"name": "John Doe", "age": 30}))
    (tmp_path / "evil.pkl").write_bytes(EVIL)
    (tmp_path / "own.pkl").write_bytes(torshi.dumps(Point(1, 2)))
    (tmp_path / "page.pkl").write_bytes(b"<!doctype html><html></html>")
    return tmp_path


def run(*arguments: object, stdin: bytes = b"", cwd: Path | None = None) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "torshi", *map(str, arguments)], input=stdin, capture_output=True, cwd=cwd, timeout=60
    )


def test_check_gives_a_verdict_a_file_and_the_worst_code(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(files / "good.pkl")]) == 0
    assert capsys.readouterr().out == f"{files}/good.pkl: no findings under policy default\n"
    assert main(["check", str(files / "good.pkl"), str(files / "evil.pkl")]) == 1
    out = capsys.readouterr().out
    assert f"{files}/evil.pkl: 1 finding under policy default\n  posix.system is not trusted" in out
    assert main(["check", str(files / "page.pkl"), str(files / "evil.pkl")]) == 1
    assert main(["check", str(files / "absent.pkl"), str(files / "evil.pkl"), str(files / "absent.pkl")]) == 1
    assert main(["check", str(files / "good.pkl"), str(files / "absent.pkl")]) == 2
    assert "No such file" in capsys.readouterr().err


def test_check_takes_trust_and_policy_files(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = str(files / "own.pkl")
    assert main(["check", own]) == 1
    assert main(["check", "--trust", "typed_models.Point", own]) == 0
    assert main(["check", "--trust", "typed_models.*", own]) == 0
    torshi.Policy.default().allow(Point).save(files / "team.toml")
    assert main(["check", "--policy", str(files / "team.toml"), own]) == 0
    assert "no findings under policy team.toml" in capsys.readouterr().out
    assert main(["check", "--policy", str(files / "absent.toml"), own]) == 2
    assert main(["check", "--trust", "not a name", own]) == 2
    (files / "broken.toml").write_text("= =")
    assert main(["check", "--policy", str(files / "broken.toml"), own]) == 2
    assert capsys.readouterr().err.count("torshi: policy: ") == 3


def test_show_shows_and_runs_nothing(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(files / "good.pkl")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("pickle, protocol ")
    assert lines[1] == "no findings under policy default"
    assert any("name: " in line and "John Doe" in line for line in lines)
    assert main(["show", str(files / "evil.pkl")]) == 0
    assert "posix.system" in capsys.readouterr().out
    assert main(["show", str(files / "page.pkl")]) == 2
    assert not (files / "canary").exists()


def test_show_json_is_one_object_a_line(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "--json", str(files / "good.pkl"), str(files / "evil.pkl")]) == 0
    good, evil = map(json.loads, capsys.readouterr().out.splitlines())
    assert good["file"].endswith("good.pkl")
    assert good["findings"] == []
    assert evil["globals"][0]["name"] == "posix.system"


def test_show_depth(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["show", "--depth", "0", str(files / "good.pkl")])
    assert "tree" not in capsys.readouterr().out
    main(["show", "--depth", "1", str(files / "good.pkl")])
    assert "John Doe" not in capsys.readouterr().out
    with pytest.raises(SystemExit) as caught:
        main(["show", "--depth", "-1", str(files / "good.pkl")])
    assert caught.value.code == 2


def test_dis_lists_opcodes(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dis", str(files / "good.pkl")]) == 0
    out = capsys.readouterr().out
    assert "EMPTY_DICT" in out
    assert out.rstrip().splitlines()[-1].lstrip().split()[0].rstrip(":").isdigit() or "STOP" in out
    assert main(["dis", str(files / "absent.pkl")]) == 2


def test_every_pickle_of_a_file_is_judged(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, evil = (files / "good.pkl").read_bytes(), (files / "evil.pkl").read_bytes()
    several = files / "several.pkl"
    several.write_bytes(good * 3)
    assert main(["check", str(several)]) == 0
    assert capsys.readouterr().out.endswith("no findings under policy default in 3 pickles\n")
    # A load in a loop would come to the last one.
    several.write_bytes(good + good + evil)
    assert main(["check", str(several)]) == 1
    assert f"{several}, pickle 3 at byte {2 * len(good)}: 1 finding" in capsys.readouterr().out
    for command in ("show", "dis"):
        assert main([command, str(several)]) == 0
        out = capsys.readouterr().out
        assert out.count("John Doe") == 2
        assert f"pickle 3 at byte {2 * len(good)}" in out
        assert "touch canary" in out
    several.write_bytes(good + b"<html>")
    for command in ("check", "show", "dis"):
        assert main([command, str(several)]) == 2
        assert f"6 bytes from byte {len(good)} on are no whole pickle: " in capsys.readouterr().err


def test_what_is_no_pickle_is_called_what_it_is(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("check", "show", "dis"):
        assert main([command, str(files / "page.pkl")]) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.startswith(f"torshi: {files}/page.pkl: not a pickle: this is HTML")


def test_output_cannot_steer_a_terminal(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    steering = files / "steering.pkl"
    steering.write_bytes(b"c\x1b[2Kos\x07\nsys\x1b]0;x\x07tem\n.")
    for command in ("show", "check", "dis"):
        main([command, str(steering)])
        captured = capsys.readouterr()
        assert not {"\x1b", "\x07"} & set(captured.out + captured.err), command


def test_module_standard_input_and_version(files: Path) -> None:
    done = run("check", "-", stdin=EVIL, cwd=files)
    assert done.returncode == 1
    assert done.stdout.startswith(b"<stdin>: 1 finding under policy default")
    assert not (files / "canary").exists()
    assert run("--version").stdout.decode().strip() == f"torshi {torshi.__version__}"
    assert run().returncode == 2


def test_help_shows_examples_and_exit_codes() -> None:
    for arguments in (["--help"], ["show", "--help"], ["check", "--help"], ["dis", "--help"]):
        done = run(*arguments)
        assert done.returncode == 0
        assert b"examples:" in done.stdout
        assert b"exit codes:" in done.stdout


def test_a_closed_pipe_is_quiet(tmp_path: Path) -> None:
    big = tmp_path / "big.pkl"
    big.write_bytes(torshi.dumps([str(number) for number in range(200_000)]))
    with subprocess.Popen(
        [sys.executable, "-m", "torshi", "dis", str(big)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as reader:
        assert reader.stdout is not None
        assert reader.stderr is not None
        reader.stdout.readline()
        reader.stdout.close()
        complaint = reader.stderr.read()
    assert complaint == b""
    assert reader.returncode == 141
