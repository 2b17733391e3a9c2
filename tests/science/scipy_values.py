"""Sparse matrices and arrays of every format that can be told, and splines."""

from __future__ import annotations

import warnings
from typing import Any

from science.values import Value, Values

FORMATS = ("csr", "csc", "coo", "bsr", "dia")
DTYPES = ("f8", "f4", "i8", "i4", "u1", "?", "c16")


def use(matrix: Any) -> Any:
    """What is done with a sparse matrix: products, sums, slices, conversions."""
    import numpy as np

    actions = [
        lambda: matrix.toarray(), lambda: matrix.tocsr().toarray(), lambda: matrix.tocsc().toarray(),
        lambda: matrix.tocoo().toarray(), lambda: matrix @ np.ones(matrix.shape[-1]), lambda: (matrix @ matrix.T).toarray(),
        lambda: matrix.sum(axis=0), lambda: matrix.T.toarray(), lambda: matrix[:2].toarray(), lambda: matrix.max(),
        lambda: (matrix + matrix).toarray(), lambda: matrix.multiply(matrix).toarray(), lambda: matrix.diagonal(),
        lambda: matrix.tocsr()[:, 1].toarray(), lambda: matrix.nonzero(), lambda: matrix.count_nonzero(),
        lambda: matrix.tobsr().toarray(), lambda: matrix.todia().toarray(), lambda: abs(matrix).sum(),
        lambda: matrix.tolil().toarray(), lambda: matrix.todok().toarray(), lambda: matrix.reshape((-1, 1)).toarray(),
        lambda: matrix.tocsr()[[0, 1, 0]].toarray(), lambda: matrix.copy().sum_duplicates(),
        lambda: matrix.copy().sort_indices(), lambda: matrix.copy().eliminate_zeros(), lambda: matrix.mean(),
    ]  # fmt: skip
    return [attempt(action) for action in actions]


def attempt(action: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return action()
        except Exception as error:
            return type(error).__name__


def draw(spline: Any) -> Any:
    import numpy as np

    x = np.linspace(-1, 6, 13)
    return [attempt(lambda: spline(x)), attempt(lambda: spline.derivative()(x)), attempt(lambda: spline.integrate(0, 2)),
            attempt(lambda: spline.antiderivative()(x))]  # fmt: skip


def values() -> Values:
    import numpy as np
    from scipy import interpolate, sparse

    plain = np.array([[1, 0, 0, 2], [0, 0, 3, 0], [0, 0, 0, 0], [4, 5, 0, 6]])
    for kind in FORMATS:
        for dtype in DTYPES:
            for family in ("matrix", "array"):
                made = getattr(sparse, f"{kind}_{family}")
                yield Value(
                    "scipy", f"{kind}_{family}/{dtype}", lambda made=made, dtype=dtype: made(plain.astype(dtype)), use
                )
    yield Value("scipy", "csr_array/row", lambda: sparse.csr_array(np.array([1, 0, 2])), use)
    yield Value("scipy", "coo_array/row", lambda: sparse.coo_array(np.array([1, 0, 2])), use)
    yield Value("scipy", "csr_matrix/empty", lambda: sparse.csr_matrix((3, 4)), use)
    yield Value("scipy", "csr_matrix/wide", lambda: wide(), use)
    yield Value("scipy", "csr_matrix/unsorted", lambda: sparse.csr_matrix(plain)[:, [3, 1, 0, 2]], use)
    yield Value("scipy", "bsr_matrix/blocks", lambda: sparse.bsr_matrix(plain, blocksize=(2, 2)), use)
    yield Value("scipy", "dia_matrix/diagonals", lambda: sparse.diags([[1.0, 2, 3], [4.0, 5]], [0, 1]), use)
    yield Value("scipy", "csr_matrix/random", lambda: sparse.random(50, 40, 0.1, "csr", random_state=0), use)
    x = np.arange(8.0)
    yield Value("scipy", "spline/cubic", lambda: interpolate.make_interp_spline(x, np.sin(x)), draw)
    yield Value("scipy", "spline/linear", lambda: interpolate.make_interp_spline(x, np.c_[x, x**2], k=1), draw)


def wide() -> Any:
    """Indices of 64 bits."""
    import numpy as np
    from scipy import sparse

    made = sparse.csr_matrix(np.eye(3))
    made.indices, made.indptr = made.indices.astype("i8"), made.indptr.astype("i8")
    return made
