"""xgboost: boosters and the wrappers for scikit-learn."""

from __future__ import annotations

from policy_tables import Library, Review

REVIEWS = [
    Review(
        "the bytes of a model, all of which are followed, since C++ believes them; no address in their place",
        ["xgboost.core:Booster"],
        {"construct": "()", "state": "!xgboost.booster", "freezes": True},
    ),
    Review(
        "an estimator of plain parameters over a booster; no function, no callback, no more threads than a machine has",
        ["XGBModel", "XGBClassifier", "XGBRegressor", "XGBRanker", "XGBRFClassifier", "XGBRFRegressor"],
        {"construct": "()", "state": "!xgboost.estimator", "freezes": True},
    ),
]

LIBRARY = Library(
    "xgboost",
    """# xgboost. Callbacks, matrices of data and what runs on clusters are absent.
# Written by tools/policy_tables.py from the reviews there.""",
    ["xgboost"],
    REVIEWS,
    ("tests", "dask", "spark", "testing"),
)
