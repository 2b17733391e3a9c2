"""Keeping a trained scikit-learn model in a file."""

from __future__ import annotations

import tempfile
from pathlib import Path

from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import torshi


def main() -> None:
    features, labels = make_classification(n_samples=200, random_state=0)
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(features, labels)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.pkl"
        torshi.save(model, path, compress=True, metadata={"trained on": "200 samples"})

        # What would this file bring into the program? Looked at without loading it.
        report = torshi.inspect(path)
        print(f"{len(report.globals)} classes and functions; {report.verdict}")

        # scikit-learn's estimators load under the default policy. A pipeline with a function of your own in it
        # would be refused, and the refusal would print the line that admits it.
        loaded = torshi.load(path)

    same = (loaded.predict(features) == model.predict(features)).all()
    print(f"the loaded model predicts the same: {bool(same)}")


if __name__ == "__main__":
    main()
