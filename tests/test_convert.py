"""Files of other formats made into torshi's, and torshi's into JSON, without loading a pickle.

If these failed, a conversion would change data, leave some of it out without a word, or run what a pickle says.
"""

from __future__ import annotations

import collections
import datetime
import decimal
import json
import math
import pickle
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import torshi
from torshi import _native
from torshi.cli import main
from typed_models import Point

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=5),
    max_leaves=20,
)


@given(JSON, st.integers(0, 5))
@settings(max_examples=200, deadline=None)
def test_json_is_what_the_module_json_writes(value: Any, protocol: int) -> None:
    stream = _native.rewrite(pickle.dumps(value, protocol), [])
    text = _native.plain_json(stream, False)
    assert json.loads(text) == value
    assert text == json.dumps(json.loads(text), separators=(",", ":"), ensure_ascii=False) or "e" in text


def converted(value: Any, folder: Path, **options: Any) -> Any:
    (folder / "in.pkl").write_bytes(pickle.dumps(value))
    torshi.convert(folder / "in.pkl", folder / "out.json", **options)
    return json.loads((folder / "out.json").read_text())


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"a": [1, b"x"]}, r"at \$\.a\[1\]"),
        ({"a": {1: 2}}, r"a key that is no text.*at \$\.a\[1\]"),
        ([{1, 2}], r"a set.*at \$\[0\]"),
        ([math.nan], r"at \$\[0\]"),
        ({"p": Point(1, 2)}, r"instance of typed_models\.Point \(at \$\.p\)"),
        ([datetime.date(2024, 1, 1)], r"instance of datetime\.date"),
        ([int], "class or function"),
        (["\ud800"], r"at \$\[0\]"),
        ([{(1, 2): 3}], r"a key that is a tuple"),
    ],
)
def test_what_json_has_no_form_for_is_named(value: Any, path: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=path):
        converted(value, tmp_path)
    assert not (tmp_path / "out.json").exists()


def test_lossy_conversions(tmp_path: Path) -> None:
    value = {
        1: b"abc",
        None: math.inf,
        "set": {5},
        "frozen": frozenset([6]),
        "day": datetime.date(2024, 2, 29),
        "time": datetime.datetime(2024, 2, 29, 12, 30, 1, 5),
        "price": decimal.Decimal("1.10"),
        "ordered": collections.OrderedDict(a=1),
        "counted": collections.defaultdict(int, {"b": 2}),
    }
    assert converted(value, tmp_path, lossy=True) == {
        "1": "YWJj",
        "null": None,
        "set": [5],
        "frozen": [6],
        "day": "2024-02-29",
        "time": "2024-02-29T12:30:01.000005",
        "price": "1.10",
        "ordered": {"a": 1},
        "counted": {"b": 2},
    }
    with pytest.raises(ValueError, match=r"typed_models\.Point"):
        converted([Point(1, 2)], tmp_path, lossy=True)


def test_cycles_and_bombs_end(tmp_path: Path) -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(ValueError, match="contains itself"):
        converted(loop, tmp_path)
    deep: list[Any] = []
    for _ in range(5000):
        deep = [deep]
    (tmp_path / "in.pkl").write_bytes(b"\x80\x04" + b"]" * 5000 + b"a" * 4999 + b".")
    with pytest.raises(ValueError, match="500 levels"):
        torshi.convert(tmp_path / "in.pkl", tmp_path / "out.json")
    shared: Any = ["x" * 1000]
    for _ in range(40):
        shared = [shared, shared]
    with pytest.raises(ValueError, match="shared parts"):
        converted(shared, tmp_path)


def test_attacks_are_not_run(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    (tmp_path / "evil.pkl").write_bytes(f"cposix\nsystem\n(S'touch {canary}'\ntR.".encode())
    with pytest.raises(ValueError, match=r"posix\.system"):
        torshi.convert(tmp_path / "evil.pkl", tmp_path / "out.json", lossy=True)
    torshi.convert(tmp_path / "evil.pkl", tmp_path / "out.pkl")
    assert not canary.exists()
    with pytest.raises(torshi.UntrustedError):
        torshi.load(tmp_path / "out.pkl")


def test_pickles_become_files_with_a_manifest_and_back(tmp_path: Path) -> None:
    (tmp_path / "in.pkl").write_bytes(pickle.dumps([1, 2, 3], 1))
    assert torshi.convert(tmp_path / "in.pkl", tmp_path / "out.pickle", compress="zstd") == "torshi"
    assert torshi.describe(tmp_path / "out.pickle").container == "zstd"
    assert torshi.load(tmp_path / "out.pickle") == [1, 2, 3]
    assert torshi.convert(tmp_path / "out.pickle", tmp_path / "plain.bin", to="pickle") == "pickle"
    assert pickle.loads((tmp_path / "plain.bin").read_bytes()) == [1, 2, 3]
    with pytest.raises(torshi.MalformedError):
        torshi.describe(tmp_path / "plain.bin")


def test_numpys_files(tmp_path: Path) -> None:
    arrays = {"a": np.arange(300_000.0), "b": np.array(["x", "yz"])}
    np.savez(tmp_path / "in.npz", **arrays)
    np.save(tmp_path / "in.npy", arrays["a"])
    torshi.convert(tmp_path / "in.npz", tmp_path / "out.pkl")
    loaded = torshi.load(tmp_path / "out.pkl")
    assert list(loaded) == ["a", "b"]
    assert all((loaded[name] == arrays[name]).all() for name in arrays)
    torshi.convert(tmp_path / "in.npy", tmp_path / "one.pkl", compress=True)
    assert (torshi.load(tmp_path / "one.pkl") == arrays["a"]).all()
    assert torshi.verify(tmp_path / "one.pkl").seals == ()


def test_numpys_files_with_pickles_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "in.npy", np.array([{}], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "in.npz", a=np.array([{}], dtype=object))
    (tmp_path / "other.npz").write_bytes(b"PK\x03\x04nonsense")
    for name in ("in.npy", "in.npz", "other.npz"):
        with pytest.raises(torshi.MalformedError, match="numpy"):
            torshi.convert(tmp_path / name, tmp_path / "out.pkl")
    assert not (tmp_path / "out.pkl").exists()
    with pytest.raises(ValueError, match="torshi alone"):
        torshi.convert(tmp_path / "in.npy", tmp_path / "out.json")


ARRAYS: dict[str, Any] = {
    "numbers": np.arange(1000.0).reshape(10, 100),
    "fortran": np.asfortranarray(np.arange(12).reshape(3, 4)),
    "empty": np.zeros((0, 3)),
    "no dimension": np.array(5.0),
    "text": np.array(["a", "bc"]),
    "fields": np.zeros(3, dtype=[("a", "<i4"), ("b", ">f8")]),
    "dates": np.array(["2020-01-01"], dtype="M8[D]"),
    "bytes like a pickle": np.frombuffer(b"\x80\x04\x95" * 30 + b"cos\nsystem\n" * 9, dtype="u1"),
    "objects": np.array([{1: 2}, None, "x"], dtype=object),
    "large": np.arange(300_000.0),
}


@pytest.mark.parametrize("protocol", range(2, 6))
@pytest.mark.parametrize("name", ARRAYS)
def test_joblibs_files_become_pickles(name: str, protocol: int, tmp_path: Path) -> None:
    shared = ["x", "y"]
    value = [shared, ARRAYS[name], {"again": ARRAYS[name][:1] if ARRAYS[name].ndim else 1, "shared": shared}]
    joblib.dump(value, tmp_path / "in.joblib", protocol=protocol)
    torshi.convert(tmp_path / "in.joblib", tmp_path / "out.pkl")
    torshi.convert(tmp_path / "in.joblib", tmp_path / "plain.pkl", to="pickle")
    report = torshi.inspect(tmp_path / "out.pkl")
    assert not report.findings
    assert not [use.name for use in report.globals if "joblib" in use.name]
    stock = pickle.loads((tmp_path / "plain.pkl").read_bytes())
    for loaded in (torshi.load(tmp_path / "out.pkl", verify=True), stock):
        assert loaded[0] == shared
        assert loaded[2]["shared"] is loaded[0]
        array = loaded[1]
        assert (array.dtype, array.shape) == (ARRAYS[name].dtype, ARRAYS[name].shape)
        assert (array == ARRAYS[name]).all()
        assert array.flags["F_CONTIGUOUS"] == ARRAYS[name].flags["F_CONTIGUOUS"]
        array[...] = array  # may be written to


@pytest.mark.parametrize("compress", ["zlib", "gzip", "bz2", "xz", "lzma"])
def test_joblibs_compressed_files(compress: str, tmp_path: Path) -> None:
    value = {"a": np.arange(100_000) % 7, "b": pd.DataFrame({"x": [1, 2], "y": ["a", None]})}
    joblib.dump(value, tmp_path / "in.joblib", compress=compress)
    torshi.convert(tmp_path / "in.joblib", tmp_path / "out.pkl", compress="zstd")
    loaded = torshi.load(tmp_path / "out.pkl")
    assert (loaded["a"] == value["a"]).all()
    assert loaded["b"].equals(value["b"])
    data = (tmp_path / "in.joblib").read_bytes()
    (tmp_path / "cut.joblib").write_bytes(data[: len(data) // 2])
    with pytest.raises(torshi.MalformedError, match="damaged"):
        torshi.convert(tmp_path / "cut.joblib", tmp_path / "out.pkl")
    with pytest.raises(torshi.LimitError):
        torshi.convert(tmp_path / "in.joblib", tmp_path / "out.pkl", limits=torshi.Limits(stream=1000))


def test_models_from_joblibs_files(tmp_path: Path) -> None:
    from sklearn.ensemble import RandomForestClassifier

    rows = np.random.default_rng(1).random((60, 4))
    model = RandomForestClassifier(3, random_state=1).fit(rows, rows[:, 0] > 0.5)
    joblib.dump(model, tmp_path / "in.joblib")
    torshi.convert(tmp_path / "in.joblib", tmp_path / "out.pkl")
    assert (torshi.load(tmp_path / "out.pkl").predict(rows) == model.predict(rows)).all()


def test_attacks_in_joblibs_layout_are_not_run(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    joblib.dump([np.arange(5), Evil(str(canary))], tmp_path / "in.joblib")
    torshi.convert(tmp_path / "in.joblib", tmp_path / "out.pkl")
    with pytest.raises(torshi.UntrustedError):
        torshi.load(tmp_path / "out.pkl")
    assert not canary.exists()


class Evil:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return open, (self.path, "w")


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "in.pkl"
    source.write_bytes(pickle.dumps({"a": [1, 2.5, None]}))
    target = tmp_path / "out.json"
    assert main(["convert", str(source), str(target)]) == 0
    assert capsys.readouterr().out == f"{target}: json\n"
    assert json.loads(target.read_text()) == {"a": [1, 2.5, None]}
    source.write_bytes(pickle.dumps([b"x"]))
    assert main(["convert", str(source), str(target)]) == 1
    assert "JSON has no form for bytes" in capsys.readouterr().err
    assert main(["convert", "--lossy", str(source), str(target)]) == 0
    assert main(["convert", str(source), str(tmp_path / "out.xyz")]) == 1
    assert main(["convert", str(tmp_path / "absent"), str(target)]) == 2
    source.write_bytes(b"<html>")
    assert main(["convert", str(source), str(target)]) == 2
