"""scipy: sparse matrices and arrays, splines, continuous distributions and those frozen."""

from __future__ import annotations

from policy_tables import Library, Review

FORMATS = [f"{name}_{kind}" for name in ("csr", "csc", "coo", "bsr", "dia") for kind in ("matrix", "array")]
SPARSE = {"construct": "()", "state": "!scipy.sparse"}
KERNEL = {
    "dataset": "needed array f8 (d, n)",
    "d": "needed size d",
    "n": "needed size n",
    "_weights": "needed array f8 (n)",
    "weights": "array f8 (n)",
    "covariance": "needed array f8 (d, d)",
    "inv_cov": "array f8 (d, d)",
    "cho_cov": "array f8 (d, d)",
    "_data_covariance": "array f8 (d, d)",
    "_data_inv_cov": "array f8 (d, d)",
    "_data_cho_cov": "array f8 (d, d)",
    "_neff": "number || #numpy:generic",
    "factor": "number || #numpy:generic",
    "log_det": "number || #numpy:generic",
    "_norm_factor": "number || #numpy:generic",
    "_bw_method": "none | str | number",
    "*": "none",
}


REVIEWS = [
    Review(
        "indices and pointers that lie within the shape: compiled code takes them for addresses",
        FORMATS,
        SPARSE,
    ),
    Review(
        "a list of columns and one of as many values for each row: compiled code copies them without counting",
        ["lil_matrix", "lil_array"],
        {"construct": "()", "state": "!scipy.lists", "freezes": True},
    ),
    Review(
        "a dict and a shape; Python code looks at both whenever they are used",
        ["dok_matrix", "dok_array"],
        {"construct": "()", "state": "!scipy.keys", "items": True},
    ),
    Review(
        "knots in order, and as many as coefficients and degree need",
        ["scipy.interpolate._bsplines:BSpline"],
        {"construct": "()", "state": "!scipy.spline", "freezes": True},
        ["scipy.interpolate:BSpline"],
    ),
    Review(
        "the function that makes arrays, which splines keep",
        ["scipy._lib.array_api_compat.numpy._aliases:asarray"],
        {"kind": "function", "makes": "data", "value": True},
        ["scipy._external.array_api_compat.numpy._aliases:asarray"],
    ),
    Review(
        "a distribution and its parameters, which are numbers",
        ["rv_continuous_frozen"],
        {"construct": "()", "state": "!scipy.frozen"},
        # Before scipy 1.9 frozen distributions of every kind were of this class.
        ["scipy.stats._distn_infrastructure:rv_frozen"],
    ),
    Review(
        "numbers, texts, and the source of three small functions, which must be what scipy writes: it is run",
        ["rv_continuous"],
        {"construct": "()", "state": "!scipy.distribution", "freezes": True},
        [],
        ["scipy.stats._distn_infrastructure:rv_continuous"],
    ),
    Review(
        "points, weights and covariances of sizes that agree: compiled code goes by one of them",
        ["gaussian_kde"],
        {"construct": "()", "state": "attrs", "fields": KERNEL},
        ["scipy.stats.kde:gaussian_kde"],
    ),
]

LIBRARY = Library(
    "scipy",
    """# scipy. Discrete and multivariate distributions, optimizers, spatial trees and what keeps a function are absent.
# Written by tools/policy_tables.py from the reviews there.""",
    ["scipy.sparse", "scipy.stats"],
    REVIEWS,
)
