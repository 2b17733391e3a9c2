"""Sparse matrices and arrays of every format, splines, distributions and those frozen, densities."""

from __future__ import annotations

import warnings
from typing import Any

from science.values import Value, Values

FORMATS = ("csr", "csc", "coo", "bsr", "dia", "lil", "dok")
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


def ask(distribution: Any) -> Any:
    """What is done with a frozen distribution: densities, quantiles, moments, samples."""
    import numpy as np

    x = np.array([-1.0, 0.0, 0.3, 0.5, 1.0, 2.5])
    actions = [
        lambda: distribution.pdf(x), lambda: distribution.logpdf(x), lambda: distribution.cdf(x), lambda: distribution.sf(x),
        lambda: distribution.ppf([0.1, 0.5]), lambda: distribution.mean(), lambda: distribution.std(), lambda: distribution.support(),
        lambda: distribution.rvs(4, random_state=1), lambda: distribution.interval(0.5), lambda: distribution.stats("mv"),
        lambda: distribution.random_state is not None, lambda: distribution.args, lambda: distribution.kwds,
    ]  # fmt: skip
    return [attempt(action) for action in actions]


def estimate(density: Any) -> Any:
    import numpy as np

    points = np.linspace(-1, 4, 5 * density.d).reshape(density.d, 5)
    return [attempt(action) for action in (
        lambda: density(points), lambda: density.logpdf(points), lambda: density.integrate_gaussian(points[:, 0], np.eye(density.d)),
        lambda: density.integrate_kde(density), lambda: density.resample(3, seed=1), lambda: density.neff, lambda: density.inv_cov,
        lambda: density.integrate_box_1d(0, 1), lambda: density.marginal([0]).factor,
    )]  # fmt: skip


def distributions() -> Values:
    import numpy as np
    from scipy import stats

    frozen = {
        "norm": lambda: stats.norm(1, 2), "gamma": lambda: stats.gamma(2.0, scale=3), "beta": lambda: stats.beta(2, 3.5),
        "uniform": lambda: stats.uniform(loc=-1, scale=2), "expon": lambda: stats.expon(), "t": lambda: stats.t(df=4),
        "lognorm": lambda: stats.lognorm(s=0.5), "chi2": lambda: stats.chi2(3), "f": lambda: stats.f(2, 7),
        "weibull": lambda: stats.weibull_min(1.5), "loguniform": lambda: stats.loguniform(1e-3, 1e2),
        "arrays": lambda: stats.norm([0.0, 1.0], np.array([1.0, 2.0])), "scalar": lambda: stats.norm(np.float64(3), np.int64(2)),
        "genpareto": lambda: stats.genpareto(0.1), "pareto": lambda: stats.pareto(3), "truncnorm": lambda: stats.truncnorm(-1, 1),
        "levy": lambda: stats.levy(1), "laplace": lambda: stats.laplace(), "logistic": lambda: stats.logistic(1),
        "triang": lambda: stats.triang(0.3),
    }  # fmt: skip
    for name, make in frozen.items():
        yield Value("scipy", f"frozen/{name}", make, ask)
    yield Value("scipy", "frozen/seeded", lambda: seeded(stats.norm(0, 1), 7), ask)
    yield Value("scipy", "frozen/generator", lambda: seeded(stats.norm(0, 1), np.random.default_rng(7)), ask)
    yield Value("scipy", "distribution/gamma", lambda: stats.gamma, lambda gamma: ask(gamma(2)))
    yield Value("scipy", "distribution/own_support", lambda: type(stats.norm)(a=-2.0, b=2.0, name="n"))
    yield Value(
        "scipy", "histogram", lambda: stats.rv_histogram(np.histogram([1.0, 2, 2, 3], 4)), lambda made: ask(made())
    )
    rows = np.random.default_rng(1).normal(size=(2, 12))
    yield Value("scipy", "density/one", lambda: stats.gaussian_kde(rows[0]), estimate)
    yield Value("scipy", "density/two", lambda: stats.gaussian_kde(rows, weights=np.arange(1.0, 13)), estimate)


def seeded(frozen: Any, seed: Any) -> Any:
    frozen.random_state = seed
    return frozen


def values() -> Values:
    yield from distributions()
    yield from matrices()


def matrices() -> Values:
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
