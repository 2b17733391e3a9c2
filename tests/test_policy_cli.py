"""`torshi policy`, and what learning makes of files.

If these failed, a learnt policy would allow more than its files used, or less than they need, or a reviewer would
not see what he signs.
"""

from __future__ import annotations

import functools
import gzip
import json
import pickle
import subprocess
import sys
import tomllib
import zipfile
from collections import OrderedDict, defaultdict
from pathlib import Path
from typing import Any

import pytest

import torshi
from torshi.cli import main
from typed_models import Bare, Point


class Items(list[int]):
    """A class whose instances take state, items and construction."""


class Made:
    """A class made by a function of the module."""

    def __reduce__(self) -> Any:
        return make_made, (1,)


def make_made(*_: Any) -> Made:
    return Made()


def learn(tmp_path: Path, *values: Any, protocol: int | None = None) -> tuple[dict[str, Any], str]:
    """The policy learnt from a file a value, as TOML and as text; checked to let every file load."""
    paths = []
    for number, value in enumerate(values):
        path = tmp_path / f"good{number}.pkl"
        path.write_bytes(value if isinstance(value, bytes) else pickle.dumps(value, protocol))
        paths.append(str(path))
    output = tmp_path / "learnt.toml"
    assert main(["policy", "learn", "-o", str(output), *paths]) == 0
    assert main(["check", "--policy", str(output), *paths]) == 0
    text = output.read_text()
    return tomllib.loads(text), text


def entries(tmp_path: Path, *values: Any, protocol: int | None = None) -> list[str]:
    return [str(text) for text in learn(tmp_path, *values, protocol=protocol)[0]["allow"]]


def test_names_and_uses_are_those_of_the_files(tmp_path: Path) -> None:
    items = Items([1, 2])
    items.label = "x"  # type: ignore[attr-defined]
    assert entries(tmp_path, Point(1, 2), [items], {"class": Bare}, Made(), [1, OrderedDict()]) == [
        "test_policy_cli:Items [construct, state, items]",
        "test_policy_cli:make_made [call]",
        "typed_models:Bare [value]",
        "typed_models:Point [construct, state]",
    ]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_every_protocol_is_learnt(tmp_path: Path, protocol: int) -> None:
    items = Items([1, 2])
    items.label = "x"  # type: ignore[attr-defined]
    for text in entries(tmp_path, [Point(1, 2), items, Bare], protocol=protocol):
        assert "*" not in text
        assert text.endswith("]")


def test_uses_are_added_up_over_files(tmp_path: Path) -> None:
    assert entries(tmp_path, Bare, make_made, Made()) == [
        "test_policy_cli:make_made [call, value]",
        "typed_models:Bare [value]",
    ]


def test_what_a_rule_asks_for_is_learnt_too(tmp_path: Path) -> None:
    """A partial, a factory: the stream calls nothing, and whoever uses the object does."""
    partial = functools.partial(int, base=2)
    factory = defaultdict(Bare, {1: 2})
    assert entries(tmp_path, partial, factory, functools.partial(make_made)) == [
        "builtins:int [call]",
        "test_policy_cli:make_made [call, value]",
        "typed_models:Bare [call]",
    ]


def test_a_learnt_policy_refuses_every_other_use(tmp_path: Path) -> None:
    learn(tmp_path, Bare, Point(1, 2))
    policy = torshi.Policy.from_file(tmp_path / "learnt.toml")
    for other in (b"ctyped_models\nBare\n(tR.", b"ctyped_models\nPoint\n(I1\nI2\ntR.", b"ctyped_models\nPoint\n."):
        with pytest.raises(torshi.UntrustedError):
            torshi.check(other, trust=policy)


def test_the_file_says_what_to_review(tmp_path: Path) -> None:
    document, text = learn(tmp_path, [1, Made()], Made())
    assert document["base"] == "default"
    assert f"# {tmp_path}/good0.pkl, byte " in text
    assert "in 2 pickles" in text
    assert "# call: may be called, with any arguments" in text
    assert "To allow a call is to allow it with any arguments" in text
    assert "# what this allows already is not listed" in text


def test_names_of_files_cannot_leave_their_comment(tmp_path: Path) -> None:
    path = tmp_path / 'x\nallow = ["os.*"]\n#.pkl'
    path.write_bytes(pickle.dumps(Bare))
    output = tmp_path / "learnt.toml"
    assert main(["policy", "learn", "-o", str(output), str(path)]) == 0
    assert tomllib.loads(output.read_text())["allow"] == ["typed_models:Bare [value]"]


def test_learning_runs_nothing_and_writes_what_it_read(tmp_path: Path) -> None:
    assert entries(tmp_path, b"cnowhere_to_be_found\nrun\n(S'x'\ntR.") == ["nowhere_to_be_found:run [call]"]
    assert "nowhere_to_be_found" not in sys.modules


def test_what_no_entry_can_allow_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "forged.pkl"
    path.write_bytes(b"(cnumpy\nndarray\n((I2\ntVO8\nVbuffer\ntRcmyapp\nUser\n0cx\nf.__globals__\nt.")
    assert main(["policy", "learn", str(path)]) == 1
    out, err = capsys.readouterr()
    assert "no entry can allow it: numpy.ndarray may not be called" in err
    assert "#   " in out
    assert "numpy.ndarray may not be called" in out
    assert tomllib.loads(out)["allow"] == ["myapp:User [import]"]


def test_nothing_is_written_from_what_cannot_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, page, rest = tmp_path / "good.pkl", tmp_path / "page.pkl", tmp_path / "rest.pkl"
    good.write_bytes(pickle.dumps(Bare))
    page.write_bytes(b"<!doctype html><html></html>")
    rest.write_bytes(pickle.dumps(Bare) + pickle.dumps(Point(1, 2))[:-3])
    output = tmp_path / "learnt.toml"
    for bad in (page, rest, tmp_path / "absent.pkl"):
        assert main(["policy", "learn", "-o", str(output), str(good), str(bad)]) == 2
        assert not output.exists()
        assert "nothing written" in capsys.readouterr().err


def test_several_pickles_of_a_file_and_a_policy_to_start_from(tmp_path: Path) -> None:
    start = tmp_path / "start.toml"
    torshi.Policy.builtins().allow("typed_models.Bare").deny("os.*").save(start)
    path = tmp_path / "two.pkl"
    path.write_bytes(pickle.dumps(Bare) + pickle.dumps(Point(1, 2)))
    output = tmp_path / "learnt.toml"
    assert main(["policy", "learn", "--policy", str(start), "-o", str(output), str(path)]) == 0
    assert tomllib.loads(output.read_text()) == {
        "base": "builtins",
        "allow": ["typed_models.Bare", "typed_models:Point [construct, state]"],
        "deny": ["os.*"],
    }
    policy = torshi.Policy.from_file(output)
    assert policy.allows(Point)
    assert not policy.allows("os.system")


def test_files_of_every_format_are_learnt_from(tmp_path: Path) -> None:
    data = pickle.dumps(Point(1, 2))
    (tmp_path / "one.pkl.gz").write_bytes(gzip.compress(data))
    with zipfile.ZipFile(tmp_path / "two.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inner/data.pkl", data)
        archive.writestr("notes.txt", "nothing to learn from")
    output = tmp_path / "learnt.toml"
    for name in ("one.pkl.gz", "two.zip"):
        assert main(["policy", "learn", "-o", str(output), str(tmp_path / name)]) == 0
        assert tomllib.loads(output.read_text())["allow"] == ["typed_models:Point [construct, state]"]
        assert main(["scan", "--policy", str(output), str(tmp_path / name)]) == 0
    assert "two.zip!inner/data.pkl, byte " in output.read_text()
    (tmp_path / "text.zip").write_bytes(gzip.compress(b"no pickle"))
    assert main(["policy", "learn", str(tmp_path / "text.zip")]) == 2


def test_joblib_files_are_learnt_from(tmp_path: Path) -> None:
    joblib = pytest.importorskip("joblib", reason="joblib is not installed")
    numpy = pytest.importorskip("numpy", reason="numpy is not installed")
    joblib.dump([numpy.arange(100), Point(1, 2), numpy.ones(3)], tmp_path / "model.joblib", compress=3)
    output = tmp_path / "learnt.toml"
    assert main(["policy", "learn", "-o", str(output), str(tmp_path / "model.joblib")]) == 0
    assert "typed_models:Point [construct, state]" in tomllib.loads(output.read_text())["allow"]
    with torshi.guard(torshi.Policy.from_file(output)) as guard:
        assert joblib.load(tmp_path / "model.joblib")[1] == Point(1, 2)
    assert guard.events == ()


def test_learning_in_python_saves_the_same_text(tmp_path: Path) -> None:
    _, text = learn(tmp_path, Point(1, 2))
    torshi.Policy.learn([tmp_path / "good0.pkl"]).save(tmp_path / "python.toml")
    assert (tmp_path / "python.toml").read_text() == text
    changed = torshi.Policy.learn(tmp_path / "good0.pkl").allow(Bare)
    changed.save(tmp_path / "python.toml")
    assert torshi.Policy.from_file(tmp_path / "python.toml").allows(Bare)


def test_uses_of_an_entry_survive_files_and_unions(tmp_path: Path) -> None:
    policy = torshi.Policy.empty().allow("app:f [value]") | torshi.Policy.empty().allow("app:f [ call ]")
    with pytest.raises(torshi.UntrustedError):
        torshi.check(b"capp\nf\n(tR.", trust=torshi.Policy.empty().allow("app:f [value]"))
    torshi.check(b"capp\nf\n(tR.", trust=policy)
    policy.save(tmp_path / "team.toml")
    assert torshi.Policy.from_file(tmp_path / "team.toml") == policy
    with pytest.raises(ValueError, match="uses are for one name"):
        torshi.Policy.empty().allow("app.* [call]")
    with pytest.raises(ValueError, match="none of call, construct"):
        torshi.Policy.empty().allow("app.f [run]")


def test_show_lists_libraries_names_and_entries(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["policy", "show"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("policy default\n")
    assert "numpy" in out
    path = tmp_path / "team.toml"
    torshi.Policy.builtins().allow("myapp.*", "myapp.util:rebuild [call]").deny("fractions.Fraction").save(path)
    assert main(["policy", "show", str(path)]) == 0
    out = capsys.readouterr().out
    assert "numpy" not in out
    assert "  myapp.util:rebuild [call]\n" in out
    assert "denied\n  fractions.Fraction\n" in out
    assert main(["policy", "show", "--library", "fractions"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("fractions:Fraction\n  table stdlib: ")
    assert "  call: " in out
    assert main(["policy", "show", str(path), "--library", "fractions"]) == 1
    assert "allows nothing of fractions" in capsys.readouterr().err
    assert main(["policy", "show", str(path), "--library", "myapp"]) == 0
    assert "call: may be called, with any arguments" in capsys.readouterr().out


def test_show_json_has_every_allowed_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["policy", "show", "--json"]) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(records) > 300
    for record in records:
        assert torshi.Policy.default().allows(record["name"])
        assert record["reason"]
    by_name = {record["name"]: record for record in records}
    assert by_name["numpy:dtype"]["call"] == "!numpy.dtype"
    assert by_name["builtins:int"]["construct"] is None or by_name["builtins:int"]["value"]


def test_explain_says_by_what_and_with_which_arguments(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["policy", "explain", "numpy.dtype", "fractions:Fraction"]) == 0
    out = capsys.readouterr().out
    assert "numpy.dtype is allowed under policy default\n  table numpy: " in out
    assert main(["policy", "explain", "os.system"]) == 1
    out = capsys.readouterr().out
    assert "os.system is not allowed under policy default: not trusted" in out
    assert 'allow = ["os.system"]' in out
    assert "called with any arguments" in out
    assert main(["policy", "explain", "x.__class__"]) == 1
    assert "to allow it" not in capsys.readouterr().out
    assert main(["policy", "explain", "nothing"]) == 2
    path = tmp_path / "team.toml"
    torshi.Policy.default().allow("myapp.*").deny("myapp.secret.*").save(path)
    assert main(["policy", "explain", "--policy", str(path), "myapp.User"]) == 0
    assert main(["policy", "explain", "--policy", str(path), "myapp.secret.Key"]) == 1
    assert 'denied by "myapp.secret.*"' in capsys.readouterr().out


def test_refusals_name_the_option_that_would_allow(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "own.pkl"
    path.write_bytes(pickle.dumps(Point(1, 2)))
    assert main(["check", str(path)]) == 1
    line = capsys.readouterr().out.splitlines()[1]
    assert line.endswith("expected it? --trust typed_models.Point")
    assert main(["check", *line.partition("expected it? ")[2].split(), str(path)]) == 0


def test_the_command_runs_as_a_user_runs_it(tmp_path: Path) -> None:
    data = pickle.dumps(Point(1, 2))
    command = [sys.executable, "-m", "torshi", "policy"]
    done = subprocess.run([*command, "learn", "-"], input=data, capture_output=True, timeout=60)
    assert done.returncode == 0
    assert b"typed_models:Point [construct, state]" in done.stdout
    assert b"1 name beyond policy default in 1 pickle" in done.stderr
    done = subprocess.run(command, capture_output=True, timeout=60)
    assert done.returncode == 2
    for action in ("learn", "show", "explain"):
        done = subprocess.run([*command, action, "--help"], capture_output=True, timeout=60)
        assert done.returncode == 0
        assert b"examples:" in done.stdout
