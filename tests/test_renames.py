"""Names that libraries gave up: streams of earlier releases under the policy, and built, as if they had today's names.

If these failed, files of an earlier pandas or scikit-learn would be refused, or checked as one name and built as
another.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

import torshi

pytestmark = [pytest.mark.filterwarnings("ignore")]

ROOT = Path(__file__).parents[1]
TABLE = ROOT / "crates" / "torshi-core" / "src" / "library_names.txt"
FILES = sorted((Path(__file__).parent / "data" / "renames").glob("pandas-*.pkl"))


def renames() -> list[list[str]]:
    lines = TABLE.read_text(encoding="utf-8").splitlines()
    return [line.split(" ") for line in lines if line and not line.startswith("#")]


def respelled(data: bytes) -> bytes:
    """A stream of protocol 2, with names as an earlier release wrote them."""
    for words in renames():
        match words:
            case [old, new]:
                data = data.replace(f"c{new}\n".encode(), f"c{old}\n".encode())
            case [old, name, new, present] if old.startswith("pandas.core.") and name == present:
                data = data.replace(f"c{new}\n{present}\n".encode(), f"c{old}\n{name}\n".encode())
    return data


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_files_of_pandas_1_5_load(path: Path) -> None:
    pd = pytest.importorskip("pandas", reason="pandas is not installed")
    data = path.read_bytes()
    torshi.check(data)
    assert torshi.scan_bytes(data).verdict == "no findings"
    expected = pd.read_pickle(path)  # which has a table of its own for these
    assert torshi.loads(data).equals(expected)
    assert not torshi.inspect(data).findings


def test_what_pandas_2_wrote_loads() -> None:
    """pandas 3 calls its public classes by their public names, pandas 2 by the modules they stand in."""
    pytest.importorskip("pandas", reason="pandas is not installed")
    from science import pandas_values
    from science.equality import Difference, compare

    changed = 0
    for value in pandas_values.values():
        made = value.make()
        data = pickle.dumps(made, 2)
        old = respelled(data)
        changed += old != data
        loaded = torshi.loads(old)
        try:
            compare(made, loaded)
        except Difference:
            compare(pickle.loads(data), loaded)
    assert changed > 150


def test_what_scikit_learn_0_21_called_its_modules() -> None:
    np = pytest.importorskip("numpy", reason="numpy is not installed")
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    from sklearn.cluster import KMeans
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    rows = np.random.default_rng(1).normal(size=(30, 3))
    target = rows[:, 0] > 0
    models: dict[bytes, Any] = {
        b"sklearn.ensemble.forest": RandomForestClassifier(3, random_state=1).fit(rows, target),
        b"sklearn.tree.tree": RandomForestClassifier(3, random_state=1).fit(rows, target),
        b"sklearn.linear_model.logistic": make_pipeline(StandardScaler(), LogisticRegression()).fit(rows, target),
        b"sklearn.preprocessing.data": make_pipeline(StandardScaler(), LogisticRegression()).fit(rows, target),
        b"sklearn.svm.classes": SVC().fit(rows, target),
        b"sklearn.cluster.k_means_": KMeans(2, n_init=1, random_state=1).fit(rows),
    }
    for name, model in models.items():
        data = respelled(pickle.dumps(model, 2))
        assert b"c" + name + b"\n" in data
        with pytest.raises(ImportError):  # which is why stock pickle cannot
            pickle.loads(data)
        assert (torshi.loads(data).predict(rows) == model.predict(rows)).all()


def test_rules_hold_under_old_names() -> None:
    """If this fails, an old name is a way around the rules of the new."""
    np = pytest.importorskip("numpy", reason="numpy is not installed")
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    from scipy import sparse

    forged = sparse.csr_matrix(np.eye(3))
    forged.indices[1] = 1_000_000
    data = pickle.dumps(forged, 2)
    for stream in (data, respelled(data)):
        with pytest.raises(torshi.UntrustedError, match="within the shape"):
            torshi.loads(stream)
    evil = b"\x80\x02csklearn.tree.tree\nDecisionTreeClassifier\n)\x81}U\x01acos\nsystem\nsb."
    with pytest.raises(torshi.UntrustedError, match=r"os\.system"):
        torshi.loads(evil)


def test_entries_may_use_either_name() -> None:
    base = torshi.Policy.empty()
    stream = b"csklearn.linear_model.logistic\nLogisticRegression\n."
    for entry in (
        "sklearn.linear_model.logistic.LogisticRegression",
        "sklearn.linear_model._logistic.LogisticRegression",
    ):
        policy = base.allow(entry)
        torshi.check(stream, trust=policy)
        assert torshi.scan_bytes(stream, policy=policy).verdict == "no findings"
    for entry in ("sklearn.linear_model.logistic.*", "sklearn.linear_model._logistic.*"):
        with pytest.raises(torshi.UntrustedError, match="denied by"):
            torshi.check(stream, trust=torshi.Policy.default().deny(entry))


def test_names_that_nobody_reviewed_stay_refused() -> None:
    for stream in (b"csklearn.externals.joblib.parallel\nParallel\n.", b"csklearn.tree.export\nexport_graphviz\n(tR."):
        with pytest.raises(torshi.UntrustedError):
            torshi.loads(stream)
