"""Writes what the numpy that is installed pickles, at each protocol, to the folder of this script.

Those here are of numpy 1.16.6 on Python 2.7, 1.19.5 on 3.6, 1.26.4 on 3.11 and 2.2.6 on 3.13:

python -m pip install --target old "numpy==1.26.4"
PYTHONPATH=old python tests/data/numpy/make.py

The test imports it for the values, so it is written for Python 2.7 and for today's alike.
"""

from __future__ import absolute_import, division, print_function, unicode_literals

import os
import pickle

import numpy as np


def values():
    """Arrays, scalars and types."""
    return {
        "numbers": [np.arange(5, dtype=str(code)) for code in ("i1", "u2", "i4", "i8", "f4", "f8", "c16")],
        "bools": np.array([True, False]),
        "big endian": np.arange(3, dtype=str(">i4")),
        "shapes": [np.zeros((2, 3)), np.zeros((0, 2)), np.array(7.0), np.asfortranarray(np.arange(6).reshape(2, 3))],
        "text": np.array(["a", "bc"]),
        "bytes": np.array([b"a", b"bc"]),
        "objects": np.array(["a", None, 1.5], dtype=object),
        "dates": np.array(["2020-01-02", "NaT"], dtype="datetime64[D]"),
        "spans": np.array([1, 2], dtype="timedelta64[s]"),
        "rows": np.array([(1, 2.5), (3, 4.5)], dtype=[(str("a"), str("i4")), (str("b"), str("f8"))]),
        "masked": np.ma.array([1, 2, 3], mask=[False, True, False]),
        "scalars": [np.float64(1.5), np.int32(7), np.bool_(True)],
        "types": [np.dtype(str("f4")), np.dtype(str(">i8"))],
    }


def main():
    """Writes the files."""
    folder = os.path.dirname(os.path.abspath(__file__))
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        path = os.path.join(folder, "numpy-%s-%d.pkl" % (np.__version__, protocol))
        with open(path, "wb") as file:
            pickle.dump(values(), file, protocol)


if __name__ == "__main__":
    main()
