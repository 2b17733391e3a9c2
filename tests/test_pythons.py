"""Files that every Python from 2.7 to 3.13, and numpy from 1.16 to 2.2, wrote: equal values under the default policy.

If these failed, files of earlier years would be refused, or load as something else than was saved.
"""

from __future__ import annotations

import importlib.util
import math
import types
from pathlib import Path
from typing import Any

import pytest

import torshi

DATA = Path(__file__).parent / "data"


def maker(folder: str) -> types.ModuleType:
    """The script that wrote a folder, for the values it wrote."""
    spec = importlib.util.spec_from_file_location(f"make_{folder}", DATA / folder / "make.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def unlike(one: Any, other: Any, path: str = "$") -> list[str]:
    """Where two values differ, in type or value. Of a plain dict the order does not count: Python 2 had none."""
    if type(one) is not type(other):
        return [f"{path}: {type(one).__name__}, not {type(other).__name__}"]
    if isinstance(one, dict):
        if set(one) != set(other) or (type(one) is not dict and list(one) != list(other)):
            return [f"{path}: keys {sorted(map(str, one))}, not {sorted(map(str, other))}"]
        return [line for key in one for line in unlike(one[key], other[key], f"{path}[{key!r}]")]
    if isinstance(one, (list, tuple)):
        if len(one) != len(other):
            return [f"{path}: {len(one)} items, not {len(other)}"]
        return [line for at, pair in enumerate(zip(one, other, strict=True)) for line in unlike(*pair, f"{path}[{at}]")]
    same = one == other and (not isinstance(one, float) or math.copysign(1, one) == math.copysign(1, other))
    return [] if same else [f"{path}: {one!r:.100}, not {other!r:.100}"]


PYTHONS = sorted((DATA / "pythons").glob("*.pkl"))


# What Python 2 has not, or pickles by other means.
NEW: dict[str, set[str]] = {
    "plain": {"bytes", "astral text", "ellipsis"},
    "library": {"datetime", "date", "time", "timezone", "aware", "address", "namespace", "range"},
    "dates": set(),
}


@pytest.mark.parametrize("path", PYTHONS, ids=lambda path: path.stem)
def test_files_of_every_python(path: Path) -> None:
    version, protocol, kind = path.stem.split("-")
    made = maker("pythons")
    expected = getattr(made, kind)()
    # Python 2 kept the fields of a date in text that is no text, as stock pickle says too.
    encoding = {"encoding": "latin1"} if version == "2.7" and kind == "dates" else {}
    loaded = torshi.load(path, **encoding)
    if version == "2.7":
        assert set(expected) - set(loaded) == NEW[kind]
        expected = {name: expected[name] for name in loaded}
        for found in (loaded, expected):  # a dict below, without an order
            found.update({name: dict(found[name]) for name in {"counter"} & set(found)})
    assert unlike(loaded, expected) == []
    if not encoding:
        assert torshi.inspect(path).findings == ()
        assert torshi.inspect(path).protocol == int(protocol)
        assert torshi.scan_bytes(path.read_bytes()).verdict == "no findings"


def test_every_python_is_there() -> None:
    """If this fails, the test above runs over fewer files than it says."""
    versions = {path.stem.split("-")[0] for path in PYTHONS}
    assert versions == {"2.7", *(f"3.{minor}" for minor in range(6, 14))}
    newest = [path for path in PYTHONS if path.stem.startswith("3.8-")]
    assert len(newest) == 6 * 3


NUMPYS = sorted((DATA / "numpy").glob("*.pkl"))


@pytest.mark.parametrize("path", NUMPYS, ids=lambda path: path.stem)
def test_files_of_earlier_numpy(path: Path) -> None:
    """Without the warning that numpy 2 has for the names of numpy 1: the files are as good as new ones."""
    np = pytest.importorskip("numpy")
    expected = maker("numpy").values()
    # Python 2 kept the bytes of an array in text that is no text.
    loaded = torshi.load(path, **({"encoding": "latin1"} if "numpy-1.16" in path.stem else {}))
    assert set(loaded) == set(expected)
    for name, wanted in expected.items():
        got, wants = (value if isinstance(value, list) else [value] for value in (loaded[name], wanted))
        assert len(got) == len(wants)
        for one, other in zip(got, wants, strict=True):
            assert type(one) is type(other), name
            if isinstance(other, np.dtype):
                assert one == other, name
                continue
            # numpy itself brings what is read into the order of this machine, up to protocol 4.
            assert one.dtype.newbyteorder("=") == other.dtype.newbyteorder("="), name
            assert one.shape == other.shape, name
            assert one.tolist() == other.tolist(), name
    assert {stem.split("-")[1] for stem in (path.stem for path in NUMPYS)} == {"1.16.6", "1.19.5", "1.26.4", "2.2.6"}
