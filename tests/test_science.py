"""The scientific stack under the default policy: nothing refused, everything equal, nothing dies of what loads.

If these failed, honest files of numpy, pandas, scipy, scikit-learn and their like would be refused or changed, or a
crafted one would make compiled code read where it should not.
"""

from __future__ import annotations

import bz2
import gzip
import importlib
import importlib.util
import lzma
import os
import pickle
import subprocess
import sys
import warnings
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

import torshi
from attacks.boosted import sound_models
from science.equality import Difference, compare
from science.values import Value

LEAST = {
    "lightgbm": 300,
    "pandas": 1600,
    "polars": 1000,
    "pyarrow": 800,
    "scipy": 750,
    "sklearn": 1600,
    "xgboost": 300,
}
LIBRARIES = tuple(LEAST)
COMPRESSIONS: dict[str, tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]] = {
    "plain": (bytes, bytes),
    "gzip": (lambda data: gzip.compress(data, 1), gzip.decompress),
    "zlib": (lambda data: zlib.compress(data, 1), zlib.decompress),
    "bz2": (lambda data: bz2.compress(data, 1), bz2.decompress),
    "xz": (lambda data: lzma.compress(data, preset=0), lzma.decompress),
}
MUTANTS = int(os.environ.get("TORSHI_MUTANTS", "300"))

pytestmark = [pytest.mark.filterwarnings("ignore")]


@cache
def values(library: str) -> dict[str, Value]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {value.name: value for value in importlib.import_module(f"science.{library}_values").values()}


def every() -> list[object]:
    found: list[object] = []
    for library in LIBRARIES:
        if importlib.util.find_spec(library) is None:
            reason = f"{library} is not installed: pip install 'torshi[science]'"
            found.append(pytest.param(library, "", marks=pytest.mark.skip(reason=reason), id=library))
        else:
            found += [pytest.param(library, name, id=f"{library}/{name}") for name in values(library)]
    return found


@pytest.mark.parametrize(("library", "name"), every())
def test_loads_and_is_equal(library: str, name: str) -> None:
    """If this fails, a harmless file is refused, or another value comes out of it."""
    value = values(library)[name]
    made = value.make()
    expected = value.use(made) if value.use else None
    for number, protocol in enumerate(value.protocols):
        squeeze, open_up = list(COMPRESSIONS.values())[(number + len(name)) % len(COMPRESSIONS)]
        data = open_up(squeeze(pickle.dumps(made, protocol)))
        loaded = torshi.loads(data)
        try:
            compare(made, loaded)
        except Difference:
            # Some values change in their own pickling: then stock's is the standard.
            compare(pickle.loads(data), loaded)
        if value.use:
            compare(expected, value.use(loaded), "what it gives")


def test_the_corpus_is_as_large_as_it_says() -> None:
    """If this fails, values went missing without a word."""
    for library in LIBRARIES:
        if importlib.util.find_spec(library):
            files = sum(len(value.protocols) for value in values(library).values())
            assert files >= LEAST[library], (library, files)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("library", LIBRARIES)
def test_no_mutant_kills_its_reader(library: str) -> None:
    """If this fails, a stream passes the check whose object crashes when it is used."""
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "science.fuzz_state", library, "--mutants", str(MUTANTS)],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        timeout=3600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def boosted_and_refused() -> dict[str, Callable[[], object]]:
    lightgbm = pytest.importorskip("lightgbm", reason="lightgbm is not installed")
    xgboost = pytest.importorskip("xgboost", reason="xgboost is not installed")
    return {
        "a file": lambda: lightgbm.LGBMRegressor(forcedsplits_filename="splits.json"),
        "machines": lambda: lightgbm.LGBMRegressor(machines="127.0.0.1:12400"),
        "wide rows": lambda: lightgbm.LGBMRegressor(predict_disable_shape_check=True),
        "two parameters in one": lambda: lightgbm.LGBMRegressor(metric="l2 predict_disable_shape_check=true"),
        "own objective of lightgbm": lambda: lightgbm.LGBMRegressor(objective=os.path.basename),
        "own objective of xgboost": lambda: xgboost.XGBRegressor(objective=os.path.basename),
        "callbacks": lambda: xgboost.XGBRegressor(callbacks=[xgboost.callback.EarlyStopping(2)]),
        "threads": lambda: xgboost.XGBRegressor(n_jobs=100_000),
        "more threads": lambda: xgboost.XGBRegressor(nthread=100_000),
    }


@pytest.mark.parametrize(
    "name",
    [
        "a file",
        "machines",
        "wide rows",
        "two parameters in one",
        "own objective of lightgbm",
        "own objective of xgboost",
        "callbacks",
        "threads",
        "more threads",
    ],
)
def test_boosted_trees_refused_by_design(name: str) -> None:
    """If this fails, a stranger's model makes its reader open files or sockets, run functions, or ask for threads."""
    data = pickle.dumps(boosted_and_refused()[name](), 4)
    with pytest.raises(torshi.UntrustedError):
        torshi.loads(data, trust=["posixpath.basename"] if "own" in name else None)


def refused_by_design() -> dict[str, Callable[[], object]]:
    np = pytest.importorskip("numpy", reason="numpy is not installed")
    stats = pytest.importorskip("scipy.stats", reason="scipy is not installed")
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, StandardScaler

    rows = np.array([[0.0, 1.0], [1.0, 2.0]] * 20)
    return {
        "own function": lambda: FunctionTransformer(os.path.basename),
        "folder": lambda: make_pipeline(StandardScaler(), memory="folder"),
        "file names": lambda: CountVectorizer(input="filename"),
        "categories": lambda: HistGradientBoostingRegressor(max_iter=2, categorical_features=[0]).fit(rows, rows[:, 1]),
        "discrete": lambda: stats.poisson(3),
    }


@pytest.mark.parametrize("name", ["own function", "folder", "file names", "categories", "discrete"])
def test_refused_by_design(name: str) -> None:
    """If this fails, what docs/policy.md says is refused loads after all, unchecked."""
    data = pickle.dumps(refused_by_design()[name](), 4)
    with pytest.raises(torshi.UntrustedError):
        torshi.loads(data)


def test_columns_may_come_out_of_band_and_codes_may_not() -> None:
    """If this fails, frames cannot be sent without copies, or positions nobody has read reach compiled code."""
    pd = pytest.importorskip("pandas", reason="pandas is not installed")
    frame = pd.DataFrame({"a": [1.5, 2.5]}, columns=pd.Index(["a"], dtype=object))
    buffers: list[pickle.PickleBuffer] = []
    data = pickle.dumps(frame, 5, buffer_callback=buffers.append)
    assert buffers
    pd.testing.assert_frame_equal(torshi.loads(data, buffers=buffers), frame)
    buffers.clear()
    data = pickle.dumps(pd.Categorical(["x", "y"]), 5, buffer_callback=buffers.append)
    assert buffers
    with pytest.raises(torshi.UntrustedError):
        torshi.loads(data, buffers=buffers)


def test_forged_models_are_refused_for_what_is_forged_in_them() -> None:
    """If this fails, the attacks of `attacks.boosted` are refused for another reason than the one they show."""
    for data in sound_models():
        torshi.check(data)
