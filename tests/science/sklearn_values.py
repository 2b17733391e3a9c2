"""Every estimator that scikit-learn lists, fitted, and what estimators hold: pipelines, searches, kernels, losses."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from science.values import Value, Values

METHODS = (
    "predict", "predict_proba", "predict_log_proba", "decision_function", "transform", "score_samples", "apply",
    "decision_path", "staged_predict", "inverse_transform", "kneighbors", "radius_neighbors",
)  # fmt: skip


def data() -> tuple[Any, Any, Any]:
    """Forty rows of three features, a class and a number for each."""
    import numpy as np

    chance = np.random.RandomState(0)
    features = chance.rand(40, 3)
    return features, (features[:, 0] > 0.5).astype(int), features @ [1.0, 2.0, -1.0]


TEXTS = ["a cat sat on the mat", "the dog ran", "a cat ran", "dogs and cats"] * 3


def special() -> dict[str, Callable[[], Any]]:
    """Estimators that need parts, other data or other targets than the rest."""
    import numpy as np
    from sklearn import (
        calibration,
        compose,
        covariance,
        decomposition,
        ensemble,
        feature_extraction,
        feature_selection,
        frozen,
        isotonic,
        linear_model,
        manifold,
        model_selection,
        multiclass,
        multioutput,
        neighbors,
        pipeline,
        preprocessing,
        random_projection,
        semi_supervised,
        svm,
        tree,
    )  # fmt: skip

    x, y, z = data()
    two = np.c_[y, 1 - y]
    line, plain = linear_model.LogisticRegression(), linear_model.Ridge()
    stump = tree.DecisionTreeClassifier(max_depth=2, random_state=0)
    grid = {"max_depth": [1, 2]}
    text = feature_extraction.text
    return {
        "ClassifierChain": lambda: multioutput.ClassifierChain(line).fit(x, two),
        "RegressorChain": lambda: multioutput.RegressorChain(plain).fit(x, np.c_[z, -z]),
        "ColumnTransformer": lambda: compose.ColumnTransformer(
            [("a", preprocessing.StandardScaler(), [0]), ("b", "passthrough", [1]), ("c", "drop", [2])]
        ).fit(x),
        "FeatureUnion": lambda: pipeline.FeatureUnion(
            [("a", preprocessing.StandardScaler()), ("b", decomposition.PCA(1))]
        ).fit(x),
        "Pipeline": lambda: pipeline.make_pipeline(preprocessing.StandardScaler(), line).fit(x, y),
        "GridSearchCV": lambda: model_selection.GridSearchCV(stump, grid, cv=2).fit(x, y),
        "RandomizedSearchCV": lambda: model_selection.RandomizedSearchCV(stump, grid, n_iter=2, cv=2).fit(x, y),
        "HalvingGridSearchCV": lambda: halving("HalvingGridSearchCV", stump, grid).fit(x, y),
        "HalvingRandomSearchCV": lambda: halving("HalvingRandomSearchCV", stump, grid).fit(x, y),
        "MultiOutputClassifier": lambda: multioutput.MultiOutputClassifier(line).fit(x, two),
        "MultiOutputRegressor": lambda: multioutput.MultiOutputRegressor(plain).fit(x, np.c_[z, -z]),
        "OneVsOneClassifier": lambda: multiclass.OneVsOneClassifier(line).fit(x, y),
        "OneVsRestClassifier": lambda: multiclass.OneVsRestClassifier(line).fit(x, y),
        "OutputCodeClassifier": lambda: multiclass.OutputCodeClassifier(line, random_state=0).fit(x, y),
        "RFE": lambda: feature_selection.RFE(plain, n_features_to_select=1).fit(x, z),
        "RFECV": lambda: feature_selection.RFECV(plain, cv=2).fit(x, z),
        "SelectFromModel": lambda: feature_selection.SelectFromModel(plain).fit(x, z),
        "SequentialFeatureSelector": lambda: feature_selection.SequentialFeatureSelector(
            plain, n_features_to_select=1, cv=2
        ).fit(x, z),
        "SelfTrainingClassifier": lambda: semi_supervised.SelfTrainingClassifier(line).fit(x, np.where(z > 2, -1, y)),
        "SparseCoder": lambda: decomposition.SparseCoder(np.eye(3)),
        "StackingClassifier": lambda: ensemble.StackingClassifier([("a", line), ("b", stump)], cv=2).fit(x, y),
        "StackingRegressor": lambda: ensemble.StackingRegressor([("a", plain)], cv=2).fit(x, z),
        "VotingClassifier": lambda: ensemble.VotingClassifier([("a", line), ("b", stump)]).fit(x, y),
        "VotingRegressor": lambda: ensemble.VotingRegressor([("a", plain)]).fit(x, z),
        "FixedThresholdClassifier": lambda: model_selection.FixedThresholdClassifier(line).fit(x, y),
        "TunedThresholdClassifierCV": lambda: model_selection.TunedThresholdClassifierCV(line, cv=2).fit(x, y),
        "FrozenEstimator": lambda: frozen.FrozenEstimator(line.__class__().fit(x, y)),
        "DictVectorizer": lambda: feature_extraction.DictVectorizer().fit([{"a": 1, "b": "x"}, {"a": 2}]),
        "FeatureHasher": lambda: feature_extraction.FeatureHasher(n_features=8),
        "CountVectorizer": lambda: text.CountVectorizer().fit(TEXTS),
        "TfidfVectorizer": lambda: text.TfidfVectorizer(stop_words="english").fit(TEXTS),
        "HashingVectorizer": lambda: text.HashingVectorizer(n_features=16),
        "TfidfTransformer": lambda: text.TfidfTransformer().fit(x),
        "PatchExtractor": lambda: feature_extraction.image.PatchExtractor(patch_size=(2, 2)),
        "IsotonicRegression": lambda: isotonic.IsotonicRegression(out_of_bounds="clip").fit(x[:, 0], z),
        "LabelBinarizer": lambda: preprocessing.LabelBinarizer().fit(y),
        "LabelEncoder": lambda: preprocessing.LabelEncoder().fit(["b", "a"]),
        "MultiLabelBinarizer": lambda: preprocessing.MultiLabelBinarizer().fit([{"a", "b"}, {"c"}]),
        "GammaRegressor": lambda: linear_model.GammaRegressor().fit(x, np.abs(z) + 1),
        "PoissonRegressor": lambda: linear_model.PoissonRegressor().fit(x, np.abs(z)),
        "TweedieRegressor": lambda: linear_model.TweedieRegressor(power=1.5).fit(x, np.abs(z) + 1),
        "MultiTaskElasticNet": lambda: linear_model.MultiTaskElasticNet().fit(x, np.c_[z, -z]),
        "MultiTaskElasticNetCV": lambda: linear_model.MultiTaskElasticNetCV(cv=2).fit(x, np.c_[z, -z]),
        "MultiTaskLasso": lambda: linear_model.MultiTaskLasso().fit(x, np.c_[z, -z]),
        "MultiTaskLassoCV": lambda: linear_model.MultiTaskLassoCV(cv=2).fit(x, np.c_[z, -z]),
        "NuSVC": lambda: svm.NuSVC(nu=0.3).fit(x, y),
        "RadiusNeighborsClassifier": lambda: neighbors.RadiusNeighborsClassifier(2.0).fit(x, y),
        "RadiusNeighborsTransformer": lambda: neighbors.RadiusNeighborsTransformer(radius=2.0).fit(x),
        "TargetEncoder": lambda: preprocessing.TargetEncoder(cv=2, random_state=0).fit(np.round(x * 2).astype(str), y),
        "OneHotEncoder": lambda: preprocessing.OneHotEncoder(handle_unknown="ignore").fit(np.round(x * 2).astype(str)),
        "OrdinalEncoder": lambda: preprocessing.OrdinalEncoder().fit(np.round(x * 2).astype(str)),
        "EllipticEnvelope": lambda: covariance.EllipticEnvelope(random_state=0).fit(x),
        "CalibratedClassifierCV": lambda: calibration.CalibratedClassifierCV(line, cv=2).fit(x, y),
        "GaussianRandomProjection": lambda: random_projection.GaussianRandomProjection(2, random_state=0).fit(x),
        "SparseRandomProjection": lambda: random_projection.SparseRandomProjection(2, random_state=0).fit(x),
        "KernelCenterer": lambda: preprocessing.KernelCenterer().fit(x @ x.T),
        "OrthogonalMatchingPursuitCV": lambda: linear_model.OrthogonalMatchingPursuitCV(cv=2, max_iter=2).fit(x, z),
        "TSNE": lambda: manifold.TSNE(perplexity=5, max_iter=250, random_state=0, init="random").fit(x),
    }


def halving(name: str, *arguments: Any) -> Any:
    from sklearn.experimental import enable_halving_search_cv  # noqa: F401
    from sklearn import model_selection  # isort: skip

    options = {"n_candidates": 2} if "Random" in name else {}
    return getattr(model_selection, name)(*arguments, cv=2, random_state=0, **options)


def estimators() -> dict[str, Any]:
    from sklearn.experimental import enable_halving_search_cv, enable_iterative_imputer  # noqa: F401
    from sklearn.utils import all_estimators

    return dict(all_estimators())


FAST = {
    "n_estimators": 3, "max_iter": 20, "random_state": 0, "n_init": 1, "n_components": 2, "cv": 2, "max_epochs": 2,
    "n_clusters": 2, "init": None,
}  # fmt: skip


def fitted(name: str) -> Any:
    """An estimator of a class, fitted as its kind is."""
    from sklearn.base import is_regressor

    cls = estimators()[name]
    known = cls().get_params()
    options = {key: FAST[key] for key in ("n_estimators", "max_iter", "random_state", "cv") if key in known}
    if name in ("KMeans", "BisectingKMeans", "MiniBatchKMeans", "SpectralClustering", "SpectralBiclustering"):
        options["n_clusters"] = 2
    if name == "CCA" or name.startswith("PLS"):
        options["n_components"] = 1
    if name in ("GroupLasso",):
        options.pop("max_iter", None)
    estimator = cls(**options)
    x, y, z = data()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return estimator.fit(x, z if is_regressor(estimator) else y)


def further() -> dict[str, Callable[[], Any]]:
    """Variants of estimators that keep other things than the plain ones."""
    import numpy as np
    from sklearn import (
        ensemble,
        gaussian_process,
        linear_model,
        metrics,
        model_selection,
        neighbors,
        neural_network,
        pipeline,
        preprocessing,
        svm,
        tree,
    )  # fmt: skip
    from sklearn.feature_extraction import text
    from sklearn.gaussian_process import kernels

    x, y, z = data()
    three = np.digitize(z, [0.5, 1.2])
    found: dict[str, Callable[[], Any]] = {
        "tree_three_classes": lambda: tree.DecisionTreeClassifier(random_state=0).fit(x, three),
        "tree_outputs": lambda: tree.DecisionTreeClassifier(random_state=0).fit(x, np.c_[y, three]),
        "tree_missing": lambda: tree.DecisionTreeRegressor(max_depth=3).fit(np.where(x > 0.9, np.nan, x), z),
        "forest_names": lambda: ensemble.RandomForestClassifier(3, random_state=0, oob_score=True).fit(x, np.array(["a", "b"])[y]),
        "boosting_three": lambda: ensemble.GradientBoostingClassifier(n_estimators=3, random_state=0).fit(x, three),
        "boosting_quantile": lambda: ensemble.GradientBoostingRegressor(loss="quantile", n_estimators=3).fit(x, z),
        "hist_three": lambda: ensemble.HistGradientBoostingClassifier(max_iter=3, min_samples_leaf=3).fit(x, three),
        "hist_stopping": lambda: ensemble.HistGradientBoostingRegressor(max_iter=3, early_stopping=True).fit(x, z),
        "hist_poisson": lambda: ensemble.HistGradientBoostingRegressor(loss="poisson", max_iter=3).fit(x, np.abs(z)),
        "svc_three": lambda: svm.SVC(random_state=0).fit(x, three),
        "svc_linear": lambda: svm.SVC(kernel="linear").fit(x, y),
        "svc_poly": lambda: svm.SVC(kernel="poly", degree=2).fit(x, three),
        "svc_precomputed": lambda: svm.SVC(kernel="precomputed").fit(x @ x.T, y),
        "svc_sparse": lambda: svm.SVC().fit(sparse(x), three),
        "svc_probability": lambda: svc_probability(x, y),
        "neighbors_kd": lambda: neighbors.KNeighborsClassifier(algorithm="kd_tree").fit(x, three),
        "neighbors_ball": lambda: neighbors.KNeighborsRegressor(algorithm="ball_tree", metric="manhattan").fit(x, z),
        "neighbors_brute": lambda: neighbors.KNeighborsClassifier(algorithm="brute").fit(x, y),
        "neighbors_haversine": lambda: neighbors.NearestNeighbors(algorithm="ball_tree", metric="haversine").fit(x[:, :2]),
        "neighbors_minkowski": lambda: neighbors.NearestNeighbors(algorithm="kd_tree", p=3).fit(x),
        "neighbors_seuclidean": lambda: neighbors.NearestNeighbors(
            algorithm="ball_tree", metric="seuclidean", metric_params={"V": np.ones(3)}).fit(x),
        "neighbors_mahalanobis": lambda: neighbors.NearestNeighbors(
            algorithm="ball_tree", metric="mahalanobis", metric_params={"VI": np.eye(3)}).fit(x),
        "neighbors_float32": lambda: neighbors.NearestNeighbors(algorithm="kd_tree").fit(x.astype("f4")),
        "kd_tree": lambda: neighbors.KDTree(x, leaf_size=5),
        "ball_tree": lambda: neighbors.BallTree(x, leaf_size=5),
        "kd_tree_32": lambda: tree32("KDTree32", x),
        "sgd_log": lambda: linear_model.SGDClassifier(loss="log_loss", average=True, random_state=0).fit(x, three),
        "sgd_partial": lambda: linear_model.SGDClassifier(random_state=0).partial_fit(x, y, classes=[0, 1]),
        "logistic_three": lambda: linear_model.LogisticRegression().fit(x, three),
        "mlp_adam": lambda: neural_network.MLPClassifier((5,), max_iter=5, random_state=0, early_stopping=True).fit(x, y),
        "grid_scorer": lambda: model_selection.GridSearchCV(
            tree.DecisionTreeClassifier(random_state=0), {"max_depth": [1, 2]}, cv=model_selection.StratifiedKFold(2),
            scoring="f1").fit(x, y),
        "pipeline_nested": lambda: pipeline.make_pipeline(
            pipeline.make_union(preprocessing.MinMaxScaler(), preprocessing.PolynomialFeatures(2)),
            ensemble.RandomForestClassifier(2, random_state=0)).fit(x, y),
        "onehot_drop": lambda: preprocessing.OneHotEncoder(drop="if_binary").fit(np.round(x * 2).astype(str)),
        "onehot_first": lambda: preprocessing.OneHotEncoder(drop="first").fit(np.round(x * 2).astype(str)),
        "onehot_rare": lambda: preprocessing.OneHotEncoder(
            min_frequency=12, handle_unknown="infrequent_if_exist").fit(np.round(x * 4).astype(str)),
        "tfidf_most": lambda: text.TfidfVectorizer(max_features=5).fit(TEXTS),
        "tfidf_long": lambda: text.TfidfVectorizer().fit([" ".join(f"w{i}" for i in range(3000))]),
        "labels_cached": lambda: cached_labels(),
        "forest_many": lambda: ensemble.RandomForestClassifier(20, random_state=0).fit(x, three),
        "isolation": lambda: ensemble.IsolationForest(n_estimators=5, max_features=2, random_state=0).fit(x),
        "spline": lambda: preprocessing.SplineTransformer(n_knots=4).fit(x),
        "function_ufunc": lambda: preprocessing.FunctionTransformer(np.log1p, inverse_func=np.expm1).fit(x),
        "function_none": lambda: preprocessing.FunctionTransformer().fit(x),
        "random_state": lambda: ensemble.BaggingClassifier(random_state=np.random.RandomState(0), n_estimators=2).fit(x, y),
        "pandas_names": lambda: with_names(x, y),
        "gaussian_process": lambda: gaussian_process.GaussianProcessRegressor(
            kernels.ConstantKernel() * kernels.RBF() + kernels.WhiteKernel(), random_state=0).fit(x, z),
    }  # fmt: skip
    for kernel in (
        "RBF",
        "Matern",
        "RationalQuadratic",
        "ExpSineSquared",
        "DotProduct",
        "WhiteKernel",
        "ConstantKernel",
    ):
        found[f"kernel_{kernel}"] = lambda kernel=kernel: getattr(kernels, kernel)()
    found["kernel_compound"] = lambda: kernels.Exponentiation(kernels.RBF(), 2) * kernels.PairwiseKernel(metric="rbf")
    for metric in ("EuclideanDistance", "ManhattanDistance", "ChebyshevDistance", "HammingDistance", "JaccardDistance"):
        found[f"metric_{metric}"] = lambda metric=metric: distance(metric)
    for cut in (
        "KFold",
        "StratifiedKFold",
        "ShuffleSplit",
        "TimeSeriesSplit",
        "GroupKFold",
        "LeaveOneOut",
        "RepeatedKFold",
    ):
        found[f"split_{cut}"] = lambda cut=cut: getattr(model_selection, cut)()
    found["bunch"] = lambda: __import__("sklearn.datasets", fromlist=["x"]).load_iris()
    found["confusion"] = lambda: metrics.confusion_matrix(y, y)
    for loss in ("HalfSquaredError", "AbsoluteError", "PinballLoss", "HuberLoss", "HalfPoissonLoss", "HalfGammaLoss",
                 "HalfTweedieLoss", "HalfBinomialLoss", "HalfMultinomialLoss", "ExponentialLoss"):  # fmt: skip
        found[f"loss_{loss}"] = lambda loss=loss: loss_object(loss)
    return found


def cached_labels() -> Any:
    from sklearn.preprocessing import MultiLabelBinarizer

    made = MultiLabelBinarizer().fit([{"a", "b"}, {"c"}])
    made.transform([{"a"}])
    return made


def sparse(x: Any) -> Any:
    from scipy.sparse import csr_matrix

    return csr_matrix(x)


def svc_probability(x: Any, y: Any) -> Any:
    from sklearn import svm

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return svm.SVC(probability=True, random_state=0).fit(x, y)


def tree32(name: str, x: Any) -> Any:
    from sklearn.neighbors import _kd_tree

    return getattr(_kd_tree, name)(x.astype("f4"))


def distance(metric: str) -> Any:
    from sklearn.metrics import _dist_metrics

    return getattr(_dist_metrics, metric + "64")()


def loss_object(name: str) -> Any:
    from sklearn._loss import loss

    options = {"n_classes": 3} if "Multinomial" in name else {}
    return getattr(loss, name)(**options)


def with_names(x: Any, y: Any) -> Any:
    import pandas as pd
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression().fit(pd.DataFrame(x, columns=list("abc")), y)


def use(estimator: Any) -> Any:
    """What its methods give for data like those it was fitted on."""
    import numpy as np

    x = data()[0][:9]
    inputs: list[Any] = [
        x,
        TEXTS[:3],
        [{"a": 1.0}],
        np.round(x * 2).astype(str),
        x[:, 0],
        x[:, :2],
        x.astype("f4"),
        x @ data()[0].T,
        sparse(x),
    ]
    results = []
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for method in METHODS:
            for given in inputs:
                if not hasattr(estimator, method):
                    break
                try:
                    result = getattr(estimator, method)(given)
                    result = list(result) if method == "staged_predict" else result
                    results.append((method, dense(result)))
                except Exception as error:
                    results.append((method, type(error).__name__))
                    continue
                break
        results.extend(trees(estimator))
    return results


def dense(result: Any) -> Any:
    if isinstance(result, (tuple, list)):
        return [dense(part) for part in result]
    return result.toarray() if hasattr(result, "toarray") else result


def trees(estimator: Any) -> list[Any]:
    """What is done with trees and neighbours' trees beside predicting."""
    found: list[Any] = []
    x = data()[0]
    if hasattr(estimator, "tree_") and hasattr(estimator, "get_depth"):
        from sklearn.tree import export_text

        for action in (lambda: export_text(estimator), lambda: estimator.feature_importances_,
                       lambda: estimator.tree_.compute_partial_dependence is not None,
                       lambda: estimator.cost_complexity_pruning_path(x, data()[1])):  # fmt: skip
            try:
                found.append(action())
            except Exception as error:
                found.append(type(error).__name__)
    if type(estimator).__name__.rstrip("3264") in ("KDTree", "BallTree"):
        for call in (lambda: estimator.query(x, 3), lambda: estimator.query_radius(x, 0.4, return_distance=True),
                     lambda: estimator.kernel_density(x, 0.3) if not type(estimator).__name__.endswith("32") else 0, lambda: estimator.two_point_correlation(x, [0.1, 0.5]),
                     lambda: estimator.query(x, 2, dualtree=True)):  # fmt: skip
            try:
                found.append(
                    [list(map(list, part)) if getattr(part, "dtype", None) == object else part for part in call()]
                )
            except Exception as error:
                found.append(type(error).__name__)
    return found


def values() -> Values:
    recipes = special()
    for name in estimators():
        make = recipes.get(name, lambda name=name: fitted(name))
        yield Value("sklearn", f"estimator/{name}", make, use)
    for name, make in further().items():
        yield Value("sklearn", f"further/{name}", make, use)
