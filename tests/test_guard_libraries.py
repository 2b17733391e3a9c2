"""torshi.guard under the libraries that call pickle: numpy, pandas, joblib, scikit-learn, cloudpickle, dill, torch.

If these failed, a library's own load would run what a stranger's file says although a guard is on, or would no
longer load its own files.
"""

from __future__ import annotations

import functools
import io
import os
import pickle
import subprocess
import sys
import types
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import torshi

PAYLOAD = """
import os
def note(text):
    with open(os.environ["GUARD_CANARY"], "a") as file:
        file.write(text)
note("imported ")
def run(*args):
    note("ran ")
"""


class Evil:
    def __reduce__(self) -> Any:
        import guard_payload  # type: ignore[import-not-found]

        return guard_payload.run, ()


@pytest.fixture(autouse=True)
def canary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A module that tells when it is imported or run."""
    (tmp_path / "guard_payload.py").write_text(PAYLOAD)
    monkeypatch.syspath_prepend(str(tmp_path))
    path = tmp_path / "canary"
    monkeypatch.setenv("GUARD_CANARY", str(path))
    yield path
    sys.modules.pop("guard_payload", None)


def forget(canary: Path) -> None:
    sys.modules.pop("guard_payload", None)
    canary.unlink(missing_ok=True)


def refused(canary: Path, load: Callable[[], Any]) -> None:
    """A file of `Evil` is refused, and was worth refusing."""
    load()
    assert "ran" in canary.read_text(), "the attack does not work"
    forget(canary)
    with torshi.guard(), pytest.raises(torshi.UntrustedError, match=r"guard_payload\.run is not trusted"):
        load()
    assert not canary.exists(), canary.read_text()
    assert "guard_payload" not in sys.modules


def admitted(load: Callable[[], Any], tmp_path: Path) -> Any:
    """What the guard lets through with the policy learnt from watching the same load, as written to a file."""
    with torshi.guard(observe=True) as seen:
        load()
    seen.save(tmp_path / "seen.toml")
    with torshi.guard(torshi.Policy.from_file(tmp_path / "seen.toml")) as guard:
        value = load()
    assert guard.events == ()
    return value


def test_numpy(tmp_path: Path, canary: Path) -> None:
    numpy = pytest.importorskip("numpy", reason="numpy is not installed")
    objects = numpy.empty(2, dtype=object)
    objects[:] = [{"a": 1}, None]
    numpy.save(tmp_path / "good.npy", objects, allow_pickle=True)
    numpy.savez(tmp_path / "good.npz", objects=objects, numbers=numpy.arange(3))
    with torshi.guard() as guard:
        assert numpy.load(tmp_path / "good.npy", allow_pickle=True).tolist() == [{"a": 1}, None]
        with numpy.load(tmp_path / "good.npz", allow_pickle=True) as archive:
            assert archive["objects"].tolist() == [{"a": 1}, None]
            assert archive["numbers"].tolist() == [0, 1, 2]
    assert guard.events == ()
    objects[1] = Evil()
    numpy.save(tmp_path / "evil.npy", objects, allow_pickle=True)
    numpy.savez(tmp_path / "evil.npz", objects=objects)
    forget(canary)
    refused(canary, lambda: numpy.load(tmp_path / "evil.npy", allow_pickle=True))
    forget(canary)

    def load_npz() -> None:
        with numpy.load(tmp_path / "evil.npz", allow_pickle=True) as archive:
            archive["objects"]

    refused(canary, load_npz)


def test_pandas(tmp_path: Path, canary: Path) -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    frame = pandas.DataFrame({"a": [1, 2], "b": ["x", "y"], "t": pandas.to_datetime(["2020-01-01", "2021-01-01"])})
    for name in ("frame.pkl", "frame.pkl.gz", "frame.pkl.zip"):
        frame.to_pickle(tmp_path / name)
        assert admitted(lambda name=name: pandas.read_pickle(tmp_path / name), tmp_path).equals(frame)
    pandas.to_pickle(Evil(), tmp_path / "evil.pkl.gz")
    forget(canary)
    refused(canary, lambda: pandas.read_pickle(tmp_path / "evil.pkl.gz"))


def test_pandas_reading_old_files(tmp_path: Path, canary: Path) -> None:
    """pandas has an unpickler of its own for these, with opcodes of its own."""
    compat = pytest.importorskip("pandas.compat.pickle_compat", reason="pandas is not installed")
    evil = pickle.dumps(Evil())
    forget(canary)
    refused(canary, lambda: compat.Unpickler(io.BytesIO(evil)).load())
    good = pickle.dumps([1, {"a": 2}])
    with torshi.guard():
        assert compat.Unpickler(io.BytesIO(good)).load() == [1, {"a": 2}]


def test_joblib(tmp_path: Path, canary: Path) -> None:
    joblib = pytest.importorskip("joblib", reason="joblib is not installed")
    numpy = pytest.importorskip("numpy", reason="numpy is not installed")
    objects = numpy.empty(1, dtype=object)
    objects[0] = "text"
    value = {"numbers": numpy.arange(1000.0), "objects": objects, "square": numpy.ones((3, 4), order="F"), "n": 3}
    for compress in (0, 3, ("xz", 3)):
        path = tmp_path / "value.joblib"
        joblib.dump(value, path, compress=compress)
        loaded = admitted(lambda path=path: joblib.load(path), tmp_path)
        assert loaded.keys() == value.keys()
        for key in ("numbers", "objects", "square"):
            numpy.testing.assert_array_equal(loaded[key], value[key])
    path = tmp_path / "value.joblib"
    joblib.dump(value, path)
    mapped = admitted(lambda: joblib.load(path, mmap_mode="r"), tmp_path)
    assert type(mapped["numbers"]).__name__ == "memmap"
    joblib.dump([numpy.arange(10), Evil()], path)
    forget(canary)
    refused(canary, lambda: joblib.load(path))
    forget(canary)
    objects[0] = Evil()
    joblib.dump(objects, path)
    forget(canary)
    refused(canary, lambda: joblib.load(path))


def test_joblib_files_are_checked_whole_before_anything(tmp_path: Path, canary: Path) -> None:
    """Names behind arrays, rules of arguments, several dumps in a file, and files that were changed on the way."""
    joblib = pytest.importorskip("joblib", reason="joblib is not installed")
    numpy = pytest.importorskip("numpy", reason="numpy is not installed")
    path = tmp_path / "value.joblib"
    made: list[str] = []

    class Tells:
        def __setstate__(self, state: Any) -> None:
            made.append("made")

    Tells.__qualname__, Tells.__module__ = "Tells", "guard_tells"
    module = types.ModuleType("guard_tells")
    module.Tells = Tells  # type: ignore[attr-defined]
    sys.modules["guard_tells"] = module
    tells = Tells()
    tells.state = numpy.arange(3)  # type: ignore[attr-defined]
    joblib.dump([tells, numpy.arange(10), Evil()], path)
    forget(canary)
    with torshi.guard(trust=["guard_tells.Tells"]), pytest.raises(torshi.UntrustedError, match="guard_payload"):
        joblib.load(path)
    assert made == []
    joblib.dump([numpy.arange(10), functools.partial(int, base=2)], path)
    for mode in (None, "r"):
        with torshi.guard(), pytest.raises(torshi.UntrustedError, match="may not be called with these arguments"):
            joblib.load(path, mmap_mode=mode)
    with open(path, "wb") as file:
        for number in range(3):
            joblib.dump([number, numpy.arange(number)], file)
    with torshi.guard(), open(path, "rb") as file:
        assert [joblib.load(file)[0] for _ in range(3)] == [0, 1, 2]
    joblib.dump(numpy.arange(1000), path)
    path.write_bytes(path.read_bytes()[:-100])
    with torshi.guard(), pytest.raises(torshi.UnpicklingError):
        joblib.load(path)
    del sys.modules["guard_tells"]


def test_scikit_learn(tmp_path: Path, canary: Path) -> None:
    tree = pytest.importorskip("sklearn.tree", reason="scikit-learn is not installed")
    import joblib

    model = tree.DecisionTreeClassifier(random_state=0).fit([[0], [1], [2]], [0, 0, 1])
    joblib.dump(model, tmp_path / "model.joblib")
    with open(tmp_path / "model.pkl", "wb") as file:
        pickle.dump(model, file)

    def load() -> Any:
        with open(tmp_path / "model.pkl", "rb") as file:
            return pickle.load(file)

    for way in (load, lambda: joblib.load(tmp_path / "model.joblib")):
        assert admitted(way, tmp_path).predict([[2]]).tolist() == [1]
    model.evil = Evil()
    joblib.dump(model, tmp_path / "model.joblib")
    forget(canary)
    with torshi.guard(trust=["sklearn.*"]), pytest.raises(torshi.UntrustedError, match="guard_payload"):
        joblib.load(tmp_path / "model.joblib")
    assert not canary.exists()


@pytest.mark.parametrize("name", ["cloudpickle", "dill"])
def test_picklers_of_functions(name: str, canary: Path, tmp_path: Path) -> None:
    library = pytest.importorskip(name, reason=f"{name} is not installed")
    evil = pickle.dumps(Evil())
    forget(canary)
    refused(canary, lambda: library.loads(evil))
    forget(canary)
    refused(canary, lambda: library.load(io.BytesIO(evil)))
    with torshi.guard():
        assert library.loads(library.dumps({"a": [1, 2]})) == {"a": [1, 2]}
        with pytest.raises(torshi.UntrustedError):
            library.loads(library.dumps(lambda: 1))


# -- torch


def stand_in() -> types.ModuleType:
    """A module that loads as torch.load does: a class made of the pickle module's at each call, with both hooks."""
    module = types.ModuleType("torch_stand_in")

    class Storage:
        pass

    def load(path: Path, pickle_module: Any = pickle, **options: Any) -> Any:
        with zipfile.ZipFile(path) as archive:
            data = io.BytesIO(archive.read("archive/data.pkl"))

            class UnpicklerWrapper(pickle_module.Unpickler):  # type: ignore[misc,name-defined]
                def find_class(self, module: str, name: str) -> Any:
                    if name == "FloatStorage":
                        return Storage
                    return super().find_class(module, name)

            unpickler = UnpicklerWrapper(data, **options)
            unpickler.persistent_load = lambda pid: archive.read(f"archive/data/{pid[2]}")
            return unpickler.load()

    module.Storage = Storage  # type: ignore[attr-defined]
    module.load = load  # type: ignore[attr-defined]
    return module


def write_zip(path: Path, data: bytes) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", data)
        archive.writestr("archive/data/0", b"\0" * 8)


def test_a_loader_of_torchs_shape(tmp_path: Path, canary: Path) -> None:
    """The stand-in, so that the shape is tested where torch is not installed."""
    module = stand_in()
    path = tmp_path / "model.pt"
    write_zip(path, b"\x80\x02]q\x00(X\x07\x00\x00\x00storagectoast\nFloatStorage\nX\x01\x00\x00\x000tQa.")
    with torshi.guard(), pytest.raises(torshi.UntrustedError, match=r"toast\.FloatStorage"):
        module.load(path)
    with torshi.guard(trust=["toast.FloatStorage"]):
        assert module.load(path, encoding="utf-8") == [b"\0" * 8]
    evil = pickle.dumps(Evil(), 2)
    forget(canary)
    write_zip(path, evil)
    refused(canary, lambda: module.load(path))


TORCH = """
import os, pickle, sys, warnings
warnings.simplefilter("ignore")
import torch
import torshi

class Evil:
    def __reduce__(self):
        import guard_payload
        return guard_payload.run, ()

legacy = sys.argv[1] == "legacy"
options = {"weights_only": False} if "weights_only" in torch.load.__code__.co_varnames else {}
state = {"weight": torch.arange(6.0).reshape(2, 3), "steps": 3}
torch.save(state, "good.pt", _use_new_zipfile_serialization=not legacy)
torch.save({"weight": torch.ones(2), "evil": Evil()}, "evil.pt", _use_new_zipfile_serialization=not legacy)
sys.modules.pop("guard_payload")
os.unlink(os.environ["GUARD_CANARY"])

with torshi.guard(observe=True) as seen:
    torch.load("good.pt", **options)
seen.save("seen.toml")
policy = torshi.Policy.from_file("seen.toml")
with torshi.guard(policy) as guard:
    loaded = torch.load("good.pt", **options)
    assert guard.events == ()
    assert torch.equal(loaded["weight"], state["weight"]) and loaded["steps"] == 3
    try:
        torch.load("evil.pt", **options)
    except torshi.UntrustedError as error:
        assert error.findings[0].name == "guard_payload.run", error
        assert "guard_payload" not in sys.modules and not os.path.exists(os.environ["GUARD_CANARY"])
        print("refused")
"""


def python_with_torch() -> dict[str, str] | None:
    """The environment of a process that can import torch: with the system's own packages if need be."""
    for extra in ("", "/usr/lib/python3/dist-packages"):
        environment = {**os.environ, "PYTHONPATH": extra}
        probe = [sys.executable, "-W", "ignore", "-c", "import torch"]
        if subprocess.run(probe, env=environment, capture_output=True, timeout=120, check=False).returncode == 0:
            return environment
    return None


@pytest.mark.parametrize("layout", ["zip", "legacy"])
def test_torch(layout: str, tmp_path: Path, canary: Path) -> None:
    environment = python_with_torch()
    if environment is None:
        pytest.skip("torch is not installed; its shape is tested with a stand-in")
    environment["PYTHONPATH"] = os.pathsep.join([environment["PYTHONPATH"], str(tmp_path)])
    done = subprocess.run(
        [sys.executable, "-c", TORCH, layout],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "refused\n"
