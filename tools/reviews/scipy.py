"""scipy: sparse matrices and arrays, splines, frozen distributions."""

from __future__ import annotations

from policy_tables import Library, Review

FORMATS = [f"{name}_{kind}" for name in ("csr", "csc", "coo", "bsr", "dia") for kind in ("matrix", "array")]
SPARSE = {"construct": "()", "state": "!scipy.sparse"}
OLD = {"csr": "csr", "csc": "csc", "coo": "coo", "bsr": "bsr", "dia": "dia"}


REVIEWS = [
    Review(
        "indices and pointers that lie within the shape: compiled code takes them for addresses",
        FORMATS,
        SPARSE,
        [f"scipy.sparse.{name}:{name}_matrix" for name in OLD],
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
]

LIBRARY = Library(
    "scipy",
    """# scipy. Distributions, optimizers, trees in space and whatever keeps a function are absent, and so is
# lil_matrix, whose lists of numbers a check does not keep.
# Written by tools/policy_tables.py from the reviews there.""",
    ["scipy.sparse"],
    REVIEWS,
)
