"""Reports: what inspection shows, as data, text and JSON.

If these failed, a reader of a report could be told less than the stream holds, more than was checked, or
have a terminal steered by a name in a stranger's file.
"""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

import torshi
from torshi._report import Report
from typed_models import Point

EVIL = b"cposix\nsystem\n(S'true'\ntR."


def nested(depth: int) -> str:
    """The JSON of a report whose tree is a list in a list in a list..."""
    node = '{"kind":"list","start":0,"end":1,"path":"$","count":0,"children":[%s]}'
    text = node % ""
    for _ in range(depth):
        text = node % f'{{"key":null,"node":{text}}}'
    return text


def report_with(**changes: object) -> Report:
    record: dict[str, object] = {
        "protocol": 4,
        "protocols": [4],
        "size": 3,
        "trailing": 0,
        "opcodes": 2,
        "memo": {"stored": 0, "read": 0},
        "globals": [],
        "calls": [],
        "findings": [],
        "error": None,
        "tree": None,
    }
    return Report.from_json(json.dumps(record | changes))


def test_a_plain_value_has_no_findings_and_a_tree() -> None:
    data = torshi.dumps({"name": "John Doe", "age": 30})
    report = torshi.inspect(data)
    assert report.verdict == "no findings under policy default"
    assert (report.size, report.trailing, report.error) == (len(data), 0, None)
    assert report.tree is not None
    assert report.tree.kind == "dict"
    assert [key for key, _ in report.tree.children] == ["name", "age"]
    assert report.findings == report.globals == report.calls == ()


def test_a_malicious_pickle_is_shown_and_not_run() -> None:
    report = torshi.inspect(EVIL)
    assert report.verdict == "1 finding under policy default"
    assert [use.name for use in report.globals] == ["posix.system"]
    assert [use.verdict for use in report.globals] == ["untrusted"]
    assert [call.name for call in report.calls] == ["posix.system"]
    assert report.findings[0].name == "posix.system"
    text = report.to_text()
    assert "posix.system is not trusted" in text
    assert "untrusted  posix.system" in text


def test_no_wording_claims_more_than_was_checked() -> None:
    for data in (torshi.dumps([1]), EVIL, b"<html>"):
        report = torshi.inspect(data)
        for text in (report.to_text(), report.to_json(), report.verdict):
            assert "safe" not in text.lower()
            assert "trustworthy" not in text.lower()


def test_sources_are_bytes_paths_and_files(tmp_path: Path) -> None:
    data = torshi.dumps([1, 2])
    path = tmp_path / "x.pkl"
    path.write_bytes(data)
    expected = torshi.inspect(data)
    assert torshi.inspect(bytearray(data)) == expected
    assert torshi.inspect(memoryview(data)) == expected
    assert torshi.inspect(path) == expected
    assert torshi.inspect(str(path)) == expected
    assert torshi.inspect(io.BytesIO(data)) == expected
    with open(path, "rb") as file:
        assert torshi.inspect(file) == expected
    with pytest.raises(TypeError, match="expected bytes, a path or a binary file, not int"):
        torshi.inspect(3)  # type: ignore[arg-type]
    with pytest.raises(OSError, match="No such file"):
        torshi.inspect(tmp_path / "absent")


def test_the_policy_of_a_report_is_the_one_asked_for() -> None:
    data = torshi.dumps(Point(1, 2))
    assert torshi.inspect(data).findings
    assert not torshi.inspect(data, trust=["typed_models.*"]).findings
    policy = torshi.Policy.default().allow(Point)
    assert torshi.inspect(data, policy=policy).verdict == "no findings under policy default, 1 allowed"
    with pytest.raises(TypeError, match="not both"):
        torshi.inspect(data, policy=policy, trust=[Point])


def test_check_raises_what_load_would_raise() -> None:
    data = torshi.dumps(Point(1, 2))
    for trust in (None, [Point]):
        outcomes = []
        for function in (torshi.check, torshi.loads):
            try:
                function(data, trust=trust)  # type: ignore[operator]
                outcomes.append("nothing")
            except torshi.UnpicklingError as error:
                outcomes.append(f"{type(error).__name__}: {error}")
        assert outcomes[0] == outcomes[1]
    torshi.check(data, Point)
    with pytest.raises(torshi.MalformedError):
        torshi.check(b"\xff\xff")
    with pytest.raises(torshi.LimitError):
        torshi.check(data, Point, limits=torshi.Limits(stream=3))


def test_a_stream_that_is_no_pickle_gives_a_report_with_an_error() -> None:
    report = torshi.inspect(b"<html>")
    assert report.error is not None
    assert not report.is_pickle
    assert report.verdict.startswith("not a pickle: this is HTML")
    assert str(report) == report.verdict
    cut = torshi.inspect(torshi.dumps({"name": "John Doe"})[:-4])
    assert cut.is_pickle
    assert cut.verdict.startswith("not a readable pickle: ")


def test_names_cannot_steer_a_terminal() -> None:
    name = "os\x1b[2K\x07\u202esystem\nno findings"
    use = {"name": name, "module": "os", "qualname": "x", "offset": 0, "opcode": "GLOBAL"}
    node = {"kind": "str", "value": name, "start": 0, "end": 1, "path": "$", "children": []}
    finding = {"kind": "x", "offset": 0, "opcode": "GLOBAL", "message": name, "remedy": name + "!"}
    text = report_with(
        globals=[use | {"verdict": "untrusted", "uses": ["call"]}],
        calls=[{"name": name, "offset": 1, "opcode": "REDUCE", "path": name}],
        findings=[finding],
        tree=node | {"children": [{"key": name, "node": node}]},
    ).to_text()
    assert not {"\x1b", "\x07", "\u202e"} & set(text)
    assert not any(line.startswith("no findings") for line in text.splitlines())
    assert r"os\x1b[2K\x07\u202esystem\nno findings" in text


def test_colour_is_only_where_asked_for() -> None:
    report = report_with(error={"message": "x", "offset": 0, "opcode": None})
    assert "\x1b" not in report.to_text()
    assert "\x1b[31m" in report.to_text(color=True)


def test_depth_cuts_the_tree() -> None:
    node = {"kind": "list", "start": 0, "end": 1, "path": "$", "count": 1}
    tree = node | {"children": [{"key": None, "node": node | {"children": [{"key": "k", "node": node}]}}]}
    report = report_with(tree=tree | {"truncated": 7})
    lines = {
        depth: sum("list" in line for line in report.to_text(depth=depth).splitlines()) for depth in (0, 1, 2, None)
    }
    assert lines == {0: 0, 1: 1, 2: 2, None: 3}
    assert "... and 7 more" in report.to_text()


def test_a_deep_tree_costs_no_stack() -> None:
    depth = sys.getrecursionlimit() // 2
    record = json.loads(nested(depth // 4))
    for _ in range(8):
        leaf = record
        while leaf["children"]:
            leaf = leaf["children"][0]["node"]
        leaf["children"].append({"key": None, "node": json.loads(nested(depth // 4))})
    report = report_with()
    from torshi._report import _tree

    object.__setattr__(report, "tree", _tree(record))
    assert report.to_text().count("list") > depth


def test_json_holds_verdict_and_native_fields() -> None:
    record = json.loads(torshi.inspect(EVIL).to_json())
    assert record["policy"] == "default"
    assert record["verdict"] == "1 finding under policy default"
    assert record["findings"][0]["name"] == "posix.system"
    assert {"globals", "calls", "tree", "memo", "size"} <= set(record)
