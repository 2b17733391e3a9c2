"""lightgbm: boosters and the wrappers for scikit-learn."""

from __future__ import annotations

from policy_tables import Library, Review

REVIEWS = [
    Review(
        "the text of a model, all of which is followed, since C++ believes it; no address in its place",
        ["lightgbm.basic:Booster"],
        {"construct": "()", "state": "!lightgbm.booster", "freezes": True},
    ),
    Review(
        "what a model was trained on from, without the address of a model",
        ["lightgbm.basic:_InnerPredictor"],
        {
            "construct": "()",
            "state": "attrs",
            "freezes": True,
            "fields": {
                "_InnerPredictor__is_manage_handle": "int[0..0]",
                "pandas_categorical": "none | list",
                "pred_parameter": "str",
                "num_class": "int[0..65536]",
                "num_total_iteration": "int[0..2147483647]",
                "*": "none",
            },
        },
    ),
    Review(
        "an estimator of plain parameters over a booster; none that names a file, a machine or a function",
        ["LGBMModel", "LGBMClassifier", "LGBMRegressor", "LGBMRanker"],
        {"construct": "()", "state": "!lightgbm.estimator", "freezes": True},
    ),
]

LIBRARY = Library(
    "lightgbm",
    """# lightgbm. Callbacks, data sets and what runs on clusters are absent.
# Written by tools/policy_tables.py from the reviews there.""",
    ["lightgbm"],
    REVIEWS,
    ("tests", "dask"),
)
