"""Files of every format that torshi ever wrote: whatever writes today, they are read, verified and trusted as then.

If these failed, files that users have would be lost with an upgrade.
"""

from __future__ import annotations

import gzip
import importlib.util
import pickle
from pathlib import Path
from typing import Any

import pytest

import torshi
from saved_models import Run
from torshi import _keys

DATA = Path(__file__).parent / "data" / "files"
FORMATS = sorted(folder.name for folder in DATA.iterdir() if folder.is_dir() and folder.name.startswith("v"))


def made() -> Any:
    """The script that wrote the files, for the values it wrote."""
    spec = importlib.util.spec_from_file_location("make_files", DATA / "make.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(params=FORMATS)
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files of a format, to a reader who knows no keys."""
    monkeypatch.setenv("TORSHI_CONFIG_DIR", str(tmp_path / "keys"))
    return DATA / str(request.param)


def test_there_are_files_of_the_present_format(tmp_path: Path) -> None:
    """If this fails, the format was changed, and has no files yet: python tests/data/files/make.py vN."""
    torshi.save(1, tmp_path / "file", key=False)
    assert f"v{torshi.describe(tmp_path / 'file').format}" in FORMATS
    assert [f"v{number}" for number in range(1, len(FORMATS) + 1)] == FORMATS


@pytest.mark.parametrize("name", ["plain", "zstd", "lz4", "gzip"])
def test_values_and_metadata(folder: Path, name: str) -> None:
    make, path = made(), folder / f"{name}.pkl"
    assert torshi.load(path) == make.VALUE
    assert torshi.load(path, verify=True) == make.VALUE
    told = torshi.describe(path)
    assert f"v{told.format}" == folder.name
    assert (told.container, told.metadata, told.seals) == (name, make.METADATA, ())
    assert told.created is not None
    assert told.created.timestamp() == 1_700_000_000
    assert not torshi.verify(path).sealed
    assert torshi.inspect(path).findings == ()
    if name == "plain":
        with open(path, "rb") as file:
            assert pickle.load(file) == make.VALUE


def test_seals(folder: Path) -> None:
    value = Run("first", 3, [0.5, 0.25])
    for name, keys in made().SEALED.items():
        path = folder / f"{name}.pkl"
        assert [seal.state for seal in torshi.verify(path).seals] == ["valid"] * len(keys)
        assert torshi.load(path, Run) == value
        with pytest.raises(torshi.UntrustedError):
            torshi.load(path)
    _keys.import_key((folder / "release.pub").read_text())
    _keys.trust_key("release")
    for name in made().SEALED:
        assert torshi.load(folder / f"{name}.pkl") == value
    assert torshi.load(folder / "signed-zstd.pkl") == [Run("first", 3, [0.5])] * 2
    assert torshi.describe(folder / "signed.pkl").classes["saved_models:Run"] == {
        "fields": [["name", "str"], ["steps", "int"], ["losses", "list[float]"]]
    }
    assert [change for change in torshi.describe(folder / "signed.pkl").changes() if change.matters] == []


def test_damage_is_still_damage(folder: Path, tmp_path: Path) -> None:
    data = (folder / "signed.pkl").read_bytes()
    for at in range(0, len(data), 7):
        (tmp_path / "file").write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        with pytest.raises((torshi.MalformedError, torshi.SealError)):
            torshi.verify(tmp_path / "file")


@pytest.mark.parametrize("mmap", [True, False])
def test_large_buffers(folder: Path, tmp_path: Path, mmap: bool) -> None:
    np = pytest.importorskip("numpy")
    path = tmp_path / "mapped.pkl"
    path.write_bytes(gzip.decompress((folder / "mapped.pkl.packed").read_bytes()))
    loaded = torshi.load(path, mmap=mmap, verify=True)
    expected = np.zeros((1 << 17) + 3)
    expected[::4096] = np.arange(33)
    assert np.array_equal(loaded["array"], expected)
    assert loaded["bytes"] == bytes(1 << 20)
    assert [buffer.offset % 64 for buffer in torshi.describe(path).buffers] == [0, 0]
    with open(path, "rb") as file:
        assert np.array_equal(pickle.load(file)["array"], expected)
