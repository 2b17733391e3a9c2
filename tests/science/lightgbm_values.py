"""lightgbm: every objective, boosting and kind of tree, the wrappers for scikit-learn, and boosters by themselves.

The model is a text that C++ parses and then believes, so what is compared afterwards is what it predicts and dumps.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from typing import Any

from science.values import Value, Values
from science.xgboost_values import PROTOCOLS, attempt, data, estimator

CODED = {"min_data_per_group": 2, "cat_smooth": 0.1, "cat_l2": 0.1, "max_cat_to_onehot": 1}
FEW = {"num_leaves": 5, "min_data_in_leaf": 3, "verbose": -1, "num_threads": 1}
QUICK = {"n_estimators": 3, "num_leaves": 5, "min_child_samples": 3, "verbose": -1, "n_jobs": 1}
OBJECTIVES = {
    "regression": "number", "regression_l1": "number", "huber": "number", "fair": "number", "poisson": "number",
    "quantile": "number", "mape": "number", "gamma": "number", "tweedie": "number", "binary": "two",
    "multiclass": "three", "multiclassova": "three", "cross_entropy": "two", "cross_entropy_lambda": "two",
    "lambdarank": "ranks", "rank_xendcg": "ranks",
}  # fmt: skip


def booster(params: dict[str, Any], target: str = "number", rounds: int = 3, **given: Any) -> Any:
    import lightgbm

    x, two, three, number = data()
    x = given.pop("x", x)
    labels = {"two": two, "three": three, "number": number, "ranks": three}[target]
    held = lightgbm.Dataset(x, labels, group=[20, 20] if target == "ranks" else None, **given)
    params = {**FEW, **params}
    if target == "three":
        params["num_class"] = 3
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return lightgbm.train(params, held, rounds)


def codes() -> Any:
    """Rows whose first column is one of nine codes that tell much, and whose last is one of forty."""
    import numpy as np

    x, _, _, number = data()
    return np.c_[(number * 7).astype(int) % 9, x[:, 1:3], np.arange(40)]


def frame() -> Any:
    import pandas as pd

    words = pd.Categorical([["red", "green", "blue"][n] for n in data()[2]])
    return pd.DataFrame(data()[0][:, 2:], columns=list("cd")).assign(
        word=words, number=pd.Categorical(list(range(20)) * 2)
    )


def native() -> dict[str, Callable[[], Any]]:
    """Boosters by themselves."""
    made: dict[str, Callable[[], Any]] = {}
    for objective, target in OBJECTIVES.items():
        for kind in ("gbdt", "dart", "goss", "rf"):
            if kind == "rf" and objective in ("lambdarank", "rank_xendcg"):
                continue
            params: dict[str, Any] = {"objective": objective, "boosting": kind}
            if kind == "rf":
                params |= {"bagging_freq": 1, "bagging_fraction": 0.7}
            made[f"{objective}/{kind}"] = lambda p=params, t=target: booster(p, t)
    made["root of squares"] = lambda: booster({"objective": "regression", "reg_sqrt": True})
    made["weights of classes"] = lambda: booster({"objective": "binary", "is_unbalance": True, "sigmoid": 0.5}, "two")
    made["linear"] = lambda: booster({"linear_tree": True})
    made["linear and codes"] = lambda: booster({"linear_tree": True, **CODED}, x=codes(), categorical_feature=[0])
    made["codes"] = lambda: booster(
        CODED,
        x=codes(),
        categorical_feature=[0, 3],
    )
    made["one hot"] = lambda: booster(
        {"max_cat_to_onehot": 50, "min_data_per_group": 1}, x=codes(), categorical_feature=[0]
    )
    made["one leaf"] = lambda: booster({"min_data_in_leaf": 1000})
    made["names"] = lambda: booster({}, feature_name=["a", "b_2", "ç", "d-e"])
    made["monotone"] = lambda: booster(
        {"monotone_constraints": [1, 0, -1, 0], "monotone_constraints_method": "advanced"}
    )
    made["interaction"] = lambda: booster(
        {"interaction_constraints": [[0, 1], [2, 3]], "feature_contri": [1, 0.5, 1, 1]}
    )
    made["zero as missing"] = lambda: booster({"zero_as_missing": True})
    made["depth"] = lambda: booster({"max_depth": 2, "extra_trees": True, "path_smooth": 0.5})
    made["quantised"] = lambda: booster({"use_quantized_grad": True})
    made["metrics"] = lambda: booster(
        {"objective": "binary", "metric": ["auc", "binary_logloss"], "max_bin": 15}, "two"
    )
    made["ranks of places"] = lambda: booster({"objective": "lambdarank", "eval_at": [1, 2], "label_gain": [0, 1, 3]}, "ranks")  # fmt: skip
    made["frame"] = lambda: booster({**CODED, "objective": "multiclass"}, "three", x=frame())
    made["continued"] = continued
    made["early"] = early
    made["custom"] = custom
    made["from text"] = from_text
    made["refitted"] = refitted
    made["constant"] = constant
    return made


def continued() -> Any:
    import lightgbm

    x, _, _, number = data()
    return lightgbm.train(FEW, lightgbm.Dataset(x, number), 2, init_model=booster({}))


def early() -> Any:
    import lightgbm

    x, _, _, number = data()
    held = lightgbm.Dataset(x, number)
    again = lightgbm.Dataset(x, number[::-1], reference=held)
    stop = lightgbm.early_stopping(2, verbose=False)
    return lightgbm.train({**FEW, "metric": ["l1", "l2"]}, held, 20, [again], ["again"], callbacks=[stop])


def custom() -> Any:
    import lightgbm
    import numpy as np

    x, _, _, number = data()

    def square(guess: Any, held: Any) -> Any:
        return guess - held.get_label(), np.ones(len(guess))

    return lightgbm.train({**FEW, "objective": square}, lightgbm.Dataset(x, number), 2)


def from_text() -> Any:
    import lightgbm

    return lightgbm.Booster(model_str=booster({}).model_to_string())


def refitted() -> Any:
    x, _, _, number = data()
    return booster({}).refit(x, number * 2)


def constant() -> Any:
    import lightgbm
    import numpy as np

    return lightgbm.train({**FEW, "objective": "binary"}, lightgbm.Dataset(np.ones((20, 2)), [0.0, 1.0] * 10), 2)


def wrapped() -> dict[str, Callable[[], Any]]:
    """The wrappers for scikit-learn."""
    import lightgbm
    import numpy as np
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x, two, three, number = data()
    made: dict[str, Callable[[], Any]] = {}
    for kind in ("gbdt", "dart", "goss", "rf"):
        more = {"subsample": 0.7, "subsample_freq": 1} if kind == "rf" else {}
        made[f"LGBMClassifier/{kind}"] = lambda k=kind, m=more: lightgbm.LGBMClassifier(
            boosting_type=k, **QUICK, **m
        ).fit(x, two)
        made[f"LGBMRegressor/{kind}"] = lambda k=kind, m=more: lightgbm.LGBMRegressor(
            boosting_type=k, **QUICK, **m
        ).fit(x, number)
    made["LGBMClassifier/three"] = lambda: lightgbm.LGBMClassifier(**QUICK).fit(x, three)
    made["LGBMClassifier/words"] = lambda: lightgbm.LGBMClassifier(class_weight="balanced", **QUICK).fit(
        x, np.array(["no", "yes"])[two]
    )
    made["LGBMClassifier/weights"] = lambda: lightgbm.LGBMClassifier(class_weight={0: 1.0, 1: 2.0}, **QUICK).fit(x, two)
    made["LGBMClassifier/sets"] = lambda: lightgbm.LGBMClassifier(**QUICK).fit(
        x,
        two,
        eval_set=[(x, two)],
        eval_metric=["auc", "binary_error"],
        callbacks=[lightgbm.early_stopping(2, verbose=False)],
    )
    made["LGBMClassifier/frame"] = lambda: lightgbm.LGBMClassifier(**CODED, **QUICK).fit(frame(), three)
    made["LGBMRegressor/codes"] = lambda: lightgbm.LGBMRegressor(objective="quantile", alpha=0.3, **CODED, **QUICK).fit(
        codes(), number, categorical_feature=[0, 3]
    )
    made["LGBMRegressor/linear"] = lambda: lightgbm.LGBMRegressor(linear_tree=True, **QUICK).fit(x, number)
    made["LGBMRegressor/random"] = lambda: lightgbm.LGBMRegressor(
        random_state=np.random.RandomState(3), colsample_bytree=0.5, importance_type="gain", metric="l1", **QUICK
    ).fit(x, number)
    made["LGBMRegressor/lists"] = lambda: lightgbm.LGBMRegressor(
        monotone_constraints=[1, 0, 0, -1], interaction_constraints=[[0, 1], [2, 3]], metric=["l1", "l2"], **QUICK
    ).fit(x, number)
    made["LGBMRanker"] = lambda: lightgbm.LGBMRanker(**QUICK).fit(x, three, group=[20, 20], eval_at=[1, 3])
    made["LGBMModel"] = lambda: lightgbm.LGBMModel(objective="gamma", **QUICK).fit(x, number)
    made["unfitted"] = lambda: lightgbm.LGBMRegressor(random_state=1, n_jobs=-1)
    made["pipeline"] = lambda: make_pipeline(StandardScaler(), lightgbm.LGBMClassifier(**QUICK)).fit(x, two)
    made["search"] = lambda: GridSearchCV(
        lightgbm.LGBMRegressor(n_estimators=2, n_jobs=1, verbose=-1), {"num_leaves": [3, 4]}, cv=2
    ).fit(x, number)
    made["nested"] = lambda: [lightgbm.LGBMRegressor(**QUICK).fit(x, number)] * 2
    return made


def use(value: Any) -> Any:
    """What is done with a model: predictions of every kind, dumps, copies, training on."""
    found: list[Any] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if isinstance(value, list):
            return [use(part) for part in value]
        import lightgbm

        if not isinstance(value, lightgbm.Booster):
            found += estimator(value)
            value = getattr(value, "best_estimator_", value)
            value = value[-1] if hasattr(value, "steps") else value
            x = data()[0]
            for kind in ("raw_score", "pred_leaf", "pred_contrib"):
                attempt(found, lambda kind=kind: value.predict(x, **{kind: True}))
            attempt(found, lambda: value.predict(codes()))
            value = attempt(found, lambda: value.booster_)
        if isinstance(value, lightgbm.Booster):
            found += model(value)
    return found


def model(value: Any) -> list[Any]:
    import lightgbm
    import numpy as np
    from scipy import sparse

    found: list[Any] = []
    width = attempt(found, value.num_feature)
    width = width if isinstance(width, int) and 0 < width < 64 else 4
    chance = np.random.RandomState(1)
    x = np.concatenate([chance.rand(6, width), np.zeros((1, width)), np.full((1, width), 1e6), -np.ones((1, width))])
    x[3, :] = np.nan
    x[4, :] = range(width)
    kinds: list[dict[str, Any]] = [
        {}, {"raw_score": True}, {"pred_leaf": True}, {"pred_contrib": True}, {"start_iteration": 1},
        {"num_iteration": 2}, {"pred_early_stop": True, "pred_early_stop_freq": 1}, {"num_iteration": -1},
    ]  # fmt: skip
    for given in (x, x[:1], sparse.csr_matrix(np.nan_to_num(x)), sparse.csc_matrix(np.nan_to_num(x)), frame()):
        for kind in kinds:
            attempt(found, lambda kind=kind, given=given: dense(value.predict(given, num_threads=1, **kind)))
    attempt(found, lambda: json.dumps(value.dump_model()))
    attempt(found, lambda: value.model_to_string())
    attempt(found, lambda: value.model_to_string(num_iteration=1, start_iteration=1))
    for kind in ("split", "gain"):
        attempt(found, lambda kind=kind: value.feature_importance(kind))
    attempt(found, lambda: (value.feature_name(), value.num_trees(), value.current_iteration()))
    attempt(found, lambda: (value.lower_bound(), value.upper_bound(), value.num_model_per_iteration()))
    attempt(found, lambda: value.get_leaf_output(0, 0))
    attempt(found, lambda: value.get_split_value_histogram(0))
    attempt(found, lambda: value.trees_to_dataframe().to_csv())
    attempt(found, lambda: value.eval_train(), False)  # of one's own, with the rows it was trained on
    attempt(found, lambda: value.eval_valid())
    again = attempt(found, lambda: lightgbm.Booster(model_str=value.model_to_string()))
    if again is not None:
        attempt(found, lambda: again.predict(x))
        attempt(found, lambda: again.params)
        attempt(found, lambda: again.set_leaf_output(0, 0, 1.5).predict(x))
    # Not refitted: lightgbm 4.7 dies of that with linear trees over categories as they were trained.
    label = np.arange(len(x)) % 2
    attempt(found, lambda: lightgbm.train(FEW, lightgbm.Dataset(np.nan_to_num(x), label), 1, init_model=value), False)
    return found


def dense(result: Any) -> Any:
    if isinstance(result, list):
        return [dense(part) for part in result]
    return result.toarray() if hasattr(result, "toarray") else result


def values() -> Values:
    for name, make in native().items():
        yield Value("lightgbm", f"booster/{name}", make, use, PROTOCOLS)
    for name, make in wrapped().items():
        yield Value("lightgbm", f"wrapper/{name}", make, use, PROTOCOLS)
