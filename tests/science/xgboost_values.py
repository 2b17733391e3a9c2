"""xgboost: every objective, booster and tree method, the wrappers for scikit-learn, and boosters by themselves.

The model is bytes that C++ parses and then believes, so what is compared afterwards is what it predicts and dumps.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from typing import Any

from science.values import Value, Values

# The model is the same bytes at each; these write it in three ways.
PROTOCOLS = (0, 2, 5)
QUICK = {"n_estimators": 3, "max_depth": 3, "n_jobs": 1}
TREES = ("gbtree", "dart")


def data() -> tuple[Any, Any, Any, Any]:
    """Forty rows of four features with gaps, a class, one of three classes and a positive number for each."""
    import numpy as np

    chance = np.random.RandomState(0)
    x = chance.rand(40, 4)
    two, three = (x[:, 0] > 0.5).astype(int), (x[:, 1] * 3).astype(int)
    number = 0.5 + x @ [1.0, 2.0, 0.5, 0.0]
    x[::7, 2] = np.nan
    return x, two, three, number


def frame(**more: Any) -> Any:
    import pandas as pd

    x = data()[0]
    return pd.DataFrame(x, columns=["a", "b [x]", "c", "d"]).rename(columns={"b [x]": "b"}).assign(**more)


def booster(params: dict[str, Any], target: str = "number", rounds: int = 3, **given: Any) -> Any:
    import xgboost

    x, two, three, number = data()
    labels = {"two": two, "three": three, "number": number, "ranks": three}[target]
    matrix = xgboost.DMatrix(x, label=labels, **given)
    if target == "ranks":
        matrix.set_group([20, 20])
    params = {"nthread": 1, "max_depth": 3, **params}
    if target == "three" and "num_class" not in params:
        params["num_class"] = 3
    return xgboost.train(params, matrix, rounds)


def survival() -> Any:
    import xgboost

    x, _, _, number = data()
    matrix = xgboost.DMatrix(x)
    matrix.set_float_info("label_lower_bound", number)
    matrix.set_float_info("label_upper_bound", number + 1)
    return xgboost.train({"objective": "survival:aft", "eval_metric": "aft-nloglik", "nthread": 1}, matrix, 3)


OBJECTIVES = {
    "reg:squarederror": "number", "reg:squaredlogerror": "number", "reg:logistic": "two",
    "reg:pseudohubererror": "number", "reg:absoluteerror": "number", "reg:quantileerror": "number",
    "reg:gamma": "number", "reg:tweedie": "number", "count:poisson": "number", "survival:cox": "number",
    "binary:logistic": "two", "binary:logitraw": "two", "binary:hinge": "two", "multi:softmax": "three",
    "multi:softprob": "three", "rank:ndcg": "ranks", "rank:map": "ranks", "rank:pairwise": "ranks",
}  # fmt: skip


def native() -> dict[str, Callable[[], Any]]:
    """Boosters by themselves."""
    import xgboost

    made: dict[str, Callable[[], Any]] = {}
    for objective, target in OBJECTIVES.items():
        more: dict[str, Any] = {"quantile_alpha": 0.3} if "quantile" in objective else {}
        target = "two" if objective == "rank:map" else target
        for kind in ("gbtree", "dart", "gblinear"):
            if kind == "gblinear" and objective in ("reg:absoluteerror", "reg:quantileerror"):
                continue
            params = {"objective": objective, "booster": kind, **more}
            if objective.startswith("rank"):
                made[f"{objective}/{kind}"] = lambda p=params, o=objective: ranked(p, o == "rank:map")
            else:
                made[f"{objective}/{kind}"] = lambda p=params, t=target: booster(p, t)
    for method in ("exact", "approx", "hist"):
        made[f"method/{method}"] = lambda m=method: booster({"tree_method": m, "gamma": 0.05, "max_depth": 5})
    made["pruned"] = lambda: booster({"tree_method": "exact", "gamma": 1.0, "max_depth": 6}, rounds=4)
    made["lossguide"] = lambda: booster({"grow_policy": "lossguide", "max_leaves": 6, "max_depth": 0})
    made["forest"] = lambda: booster({"num_parallel_tree": 3, "subsample": 0.7, "colsample_bynode": 0.6})
    made["forest of classes"] = lambda: booster({"objective": "multi:softprob", "num_parallel_tree": 2}, "three")
    made["no rounds"] = lambda: booster({}, rounds=0)
    made["one leaf"] = lambda: booster({"min_child_weight": 1e9})
    made["quantiles"] = lambda: booster({"objective": "reg:quantileerror", "quantile_alpha": [0.1, 0.5, 0.9]})
    made["dropped"] = lambda: booster({"booster": "dart", "rate_drop": 0.5, "one_drop": 1}, rounds=6)
    made["shotgun"] = lambda: booster({"booster": "gblinear", "updater": "shotgun", "feature_selector": "shuffle"})
    made["constraints"] = lambda: booster({"monotone_constraints": "(1,0,-1,0)", "interaction_constraints": "[[0,1],[2,3]]"})  # fmt: skip
    made["metrics"] = lambda: booster(
        {"objective": "binary:logistic", "eval_metric": ["logloss", "error@0.4", "auc", "aucpr", "rmse"]}, "two"
    )
    made["base score"] = lambda: booster({"base_score": 0.25})
    made["updaters"] = lambda: booster({"updater": "grow_colmaker,prune"})
    made["names and types"] = lambda: booster(
        {}, feature_names=["a", "b", "ç d", "e"], feature_types=["float", "q", "int", "q"]
    )
    made["sliced"] = lambda: booster({}, rounds=6)[1:5:2]
    made["attributes"] = attributes
    made["multi output"] = lambda: outputs("one_output_per_tree")
    made["vector leaves"] = lambda: outputs("multi_output_tree")
    made["refreshed"] = refreshed
    made["survival:aft"] = survival
    made["early"] = early
    made["unbiased"] = lambda: ranked({"objective": "rank:ndcg", "lambdarank_unbiased": True, "eval_metric": "ndcg@2"})
    made["raw"] = lambda: xgboost.Booster(model_file=booster({}).save_raw("ubj"))
    made["continued"] = continued
    return made


def ranked(params: dict[str, Any], binary: bool = False) -> Any:
    import xgboost

    x, two, three, _ = data()
    matrix = xgboost.DMatrix(x, label=two if binary else three)
    matrix.set_group([20, 20])
    return xgboost.train({"nthread": 1, "max_depth": 3, **params}, matrix, 3)


def attributes() -> Any:
    made = booster({})
    made.set_attr(note="a text of one's own", empty="")
    return made


def outputs(strategy: str) -> Any:
    import numpy as np
    import xgboost

    x, _, _, number = data()
    matrix = xgboost.DMatrix(x, label=np.c_[number, -number, number * 2])
    return xgboost.train({"multi_strategy": strategy, "nthread": 1, "max_depth": 3, "tree_method": "hist"}, matrix, 3)


def refreshed() -> Any:
    import xgboost

    x, _, _, number = data()
    matrix = xgboost.DMatrix(x, label=number)
    first = booster({"max_depth": 4})
    update = {"process_type": "update", "updater": "refresh,prune", "gamma": 0.3, "nthread": 1}
    return xgboost.train(update, matrix, 3, xgb_model=first)


def early() -> Any:
    import xgboost

    x, _, _, number = data()
    matrix = xgboost.DMatrix(x, label=number)
    params = {"nthread": 1, "learning_rate": 1.0}
    return xgboost.train(params, matrix, 30, [(matrix, "again")], early_stopping_rounds=2, verbose_eval=False)


def continued() -> Any:
    import xgboost

    x, _, _, number = data()
    return xgboost.train({"nthread": 1}, xgboost.DMatrix(x, label=number), 2, xgb_model=booster({}))


def wrapped() -> dict[str, Callable[[], Any]]:
    """The wrappers for scikit-learn."""
    import numpy as np
    import pandas as pd
    import xgboost
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x, two, three, number = data()
    words = pd.Categorical([["red", "green", "none at all"][n] for n in three])
    many = pd.Categorical([int(n * 7) % 13 for n in number])
    made: dict[str, Callable[[], Any]] = {}
    for kind in ("gbtree", "dart", "gblinear"):
        made[f"XGBClassifier/{kind}"] = lambda k=kind: xgboost.XGBClassifier(booster=k, **QUICK).fit(x, two)
        made[f"XGBRegressor/{kind}"] = lambda k=kind: xgboost.XGBRegressor(booster=k, **QUICK).fit(x, number)
    made["XGBClassifier/three"] = lambda: xgboost.XGBClassifier(**QUICK).fit(x, three)
    made["XGBClassifier/labels"] = lambda: xgboost.XGBClassifier(multi_strategy="multi_output_tree", **QUICK).fit(
        x, np.c_[two, 1 - two]
    )
    made["XGBClassifier/sets"] = lambda: xgboost.XGBClassifier(
        early_stopping_rounds=2, eval_metric=["auc", "logloss"], **QUICK
    ).fit(x, two, eval_set=[(x, two)], verbose=False)
    made["XGBClassifier/frame"] = lambda: xgboost.XGBClassifier(**QUICK).fit(frame(), two)
    made["XGBClassifier/categories"] = lambda: xgboost.XGBClassifier(enable_categorical=True, **QUICK).fit(
        frame(word=words, many=many), two
    )
    made["XGBRegressor/one hot"] = lambda: xgboost.XGBRegressor(
        enable_categorical=True, max_cat_to_onehot=20, tree_method="approx", **QUICK
    ).fit(frame(word=words, many=many), number)
    made["XGBRegressor/codes"] = lambda: xgboost.XGBRegressor(
        enable_categorical=True, max_cat_to_onehot=1, feature_types=["c", "q", "q", "q"], **QUICK
    ).fit(np.c_[np.arange(40) % 9, x[:, 1:]], number)
    made["XGBRegressor/multi"] = lambda: xgboost.XGBRegressor(**QUICK).fit(x, np.c_[number, -number])
    made["XGBRegressor/quantiles"] = lambda: xgboost.XGBRegressor(
        objective="reg:quantileerror", quantile_alpha=np.array([0.2, 0.8]), **QUICK
    ).fit(x, number)
    made["XGBRegressor/missing"] = lambda: xgboost.XGBRegressor(missing=0.0, **QUICK).fit(np.nan_to_num(x), number)
    made["XGBRegressor/weights"] = lambda: xgboost.XGBRegressor(
        feature_weights=np.ones(4), colsample_bytree=0.5, random_state=np.random.RandomState(0), **QUICK
    ).fit(x, number)
    made["XGBRegressor/dict"] = lambda: xgboost.XGBRegressor(
        monotone_constraints={"a": 1}, interaction_constraints=[["a", "b"]], gamma=0.1, **QUICK
    ).fit(frame(), number)
    made["XGBRanker"] = lambda: xgboost.XGBRanker(**QUICK).fit(x, three, qid=[0] * 20 + [1] * 20)
    made["XGBRFClassifier"] = lambda: xgboost.XGBRFClassifier(n_estimators=4, n_jobs=1).fit(x, three)
    made["XGBRFRegressor"] = lambda: xgboost.XGBRFRegressor(n_estimators=4, n_jobs=1).fit(x, number)
    made["XGBModel"] = lambda: xgboost.XGBModel(objective="reg:gamma", **QUICK).fit(x, number)
    made["unfitted"] = lambda: xgboost.XGBClassifier(device="cpu", importance_type="gain")
    made["pipeline"] = lambda: make_pipeline(StandardScaler(), xgboost.XGBRegressor(**QUICK)).fit(x, number)
    made["search"] = lambda: GridSearchCV(
        xgboost.XGBClassifier(n_estimators=2, n_jobs=1), {"max_depth": [1, 2]}, cv=2
    ).fit(x, two)
    made["nested"] = lambda: {"models": [xgboost.XGBRegressor(**QUICK).fit(x, number)] * 2, "note": "both the same"}
    return made


def use(value: Any) -> Any:
    """What is done with a model: predictions of every kind, dumps, scores, copies, slices, training on."""
    found: list[Any] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if isinstance(value, dict):
            return [use(part) for part in value.get("models", [])]
        import xgboost

        if not isinstance(value, xgboost.Booster):
            found += estimator(value)
            value = getattr(value, "best_estimator_", value)
            value = value[-1] if hasattr(value, "steps") else value
            value = attempt(found, value.get_booster)
        if isinstance(value, xgboost.Booster):
            found += model(value)
    return found


def attempt(found: list[Any], action: Callable[[], Any], equal: bool = True) -> Any:
    """The result of an action. It, or the name of its error, is noted where it must be equal every time."""
    import numpy as np

    try:
        result = action()
    except Exception as error:
        found += [type(error).__name__] * equal
        return None
    plain = isinstance(result, (np.ndarray, str, int, float, list, dict, tuple))
    found += [result if plain else type(result).__name__] * equal
    return result


def estimator(value: Any) -> list[Any]:
    found: list[Any] = []
    x = data()[0]
    for given in (x, frame()):
        for method in ("predict", "predict_proba", "apply"):
            if hasattr(value, method):
                attempt(found, lambda method=method, given=given: getattr(value, method)(given))
    for name in ("feature_importances_", "coef_", "intercept_", "best_iteration", "classes_", "n_features_in_"):
        attempt(found, lambda name=name: getattr(value, name))
    return found


def model(value: Any) -> list[Any]:
    import numpy as np
    import xgboost

    found: list[Any] = []
    width = attempt(found, value.num_features)
    width = width if isinstance(width, int) and 0 < width < 64 else 4
    chance = np.random.RandomState(1)
    x = np.concatenate([chance.rand(6, width), np.zeros((1, width)), np.full((1, width), 1e6), -np.ones((1, width))])
    x[3, :] = np.nan
    x[4, :] = range(width)
    types = value.feature_types
    matrix = attempt(
        found,
        lambda: xgboost.DMatrix(
            x if not types or "c" not in types else np.abs(np.nan_to_num(x)) % 1000,
            feature_names=value.feature_names, feature_types=types, enable_categorical=True, nthread=1,
        ),
    )  # fmt: skip
    kinds: list[dict[str, Any]] = [
        {}, {"output_margin": True}, {"pred_leaf": True}, {"pred_contribs": True}, {"pred_interactions": True},
        {"pred_contribs": True, "approx_contribs": True}, {"iteration_range": (0, 1)}, {"iteration_range": (1, 3)},
    ]  # fmt: skip
    if matrix is not None:
        for kind in kinds:
            attempt(found, lambda kind=kind: value.predict(matrix, **kind))
        attempt(found, lambda: value.predict(matrix, training=True), False)  # trees are dropped at random
    attempt(found, lambda: value.inplace_predict(x, validate_features=False))
    attempt(found, lambda: value.inplace_predict(x, validate_features=False, predict_type="margin"))
    for form in ("text", "json", "dot"):
        attempt(found, lambda form=form: value.get_dump(dump_format=form, with_stats=form != "dot"))
    for kind in ("weight", "gain", "total_cover"):
        attempt(found, lambda kind=kind: value.get_score(importance_type=kind))
    attempt(found, lambda: value.attributes())
    attempt(found, lambda: (value.feature_names, value.feature_types, value.num_boosted_rounds()))
    attempt(found, lambda: json.loads(value.save_config())["learner"]["learner_model_param"])
    attempt(found, lambda: bytes(value.save_raw("json")).decode())
    attempt(found, lambda: value.trees_to_dataframe().to_csv())
    attempt(found, lambda: value.get_split_value_histogram(value.feature_names[0] if value.feature_names else "f0", as_pandas=False))  # fmt: skip
    attempt(found, lambda: value.get_categories())
    attempt(found, lambda: value[0:1].get_dump())
    attempt(found, lambda: value.copy().get_dump())
    again = attempt(found, value.copy)
    if again is not None and matrix is not None:
        attempt(found, lambda: matrix.set_label(np.arange(len(x)) % 2))
        attempt(found, lambda: again.eval(matrix))
        attempt(found, lambda: again.update(matrix, 0), False)  # rows are sampled at random
        attempt(found, lambda: again.predict(matrix), False)
        attempt(found, again.reset)
    return found


def values() -> Values:
    for name, make in native().items():
        yield Value("xgboost", f"booster/{name}", make, use, PROTOCOLS)
    for name, make in wrapped().items():
        yield Value("xgboost", f"wrapper/{name}", make, use, PROTOCOLS)
