"""Writes the files of this folder with the pandas that is installed; those here are of pandas 1.5.3 and numpy 1.26.4.

python -m venv old && old/bin/pip install 'pandas==1.5.3' 'numpy<2'
old/bin/python tests/data/renames/make.py tests/data/renames
"""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

VALUES: dict[str, Any] = {
    "int_index": pd.Index([3, 1, 2]),
    "float_index": pd.Index([1.5, 2.5]),
    "uint_index": pd.Index([1, 2], dtype="uint64"),
    "frame": pd.DataFrame(
        {
            "a": [1, 2, 3],
            "b": ["x", None, "z"],
            "c": [1.5, 2.5, np.nan],
            "d": pd.to_datetime(["2020-01-01"] * 3),
            "e": pd.Categorical(["p", "q", "p"]),
            "f": [True, False, True],
        },
        index=pd.Index([3, 1, 2]),
    ),
    "series": pd.Series([1.0, 2.0], index=[10, 20], name="s"),
    "multi": pd.DataFrame({"v": [1, 2]}, index=pd.MultiIndex.from_tuples([(1, "a"), (2, "b")], names=["i", "j"])),
    "sparse": pd.Series(pd.arrays.SparseArray([0, 0, 1.0])),
    "period": pd.Series(pd.period_range("2020", periods=2, freq="M")),
    "interval": pd.Series(pd.interval_range(0, 2)),
    "masked": pd.Series([1, None], dtype="Int64"),
    "string": pd.Series(["a", None], dtype="string"),
    "timedelta": pd.Series(pd.to_timedelta([1, 2], unit="D")),
}

if __name__ == "__main__":
    for name, value in VALUES.items():
        (Path(sys.argv[1]) / f"pandas-{name}.pkl").write_bytes(pickle.dumps(value, 4))
