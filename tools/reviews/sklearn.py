"""scikit-learn: estimators and what they hold."""

from __future__ import annotations

from typing import Any

from policy_tables import Library, Review

STATE = {"construct": "()", "state": "!sklearn.state", "freezes": True}
TREES = {"tree_": "features n", "n_features_in_": "with tree_ size n"}
ENSEMBLE = {"estimators_": "features n", "n_features_in_": "with estimators_ size n"}


def fields(**given: str) -> dict[str, Any]:
    return {**STATE, "fields": given}


LOSSES = (
    "AbsoluteError ExponentialLoss HalfBinomialLoss HalfGammaLoss HalfMultinomialLoss HalfPoissonLoss "
    "HalfSquaredError HalfTweedieLoss HalfTweedieLossIdentity HuberLoss PinballLoss"
).split(" ")
LINKS = "IdentityLink LogLink LogitLink HalfLogitLink MultinomialLogit Interval".split()
METRICS = [
    f"{name}Distance{size}"
    for name in (
        "Euclidean", "SEuclidean", "Manhattan", "Chebyshev", "Minkowski", "Mahalanobis", "Hamming", "Canberra",
        "BrayCurtis", "Jaccard", "RogersTanimoto", "SokalSneath", "RussellRao", "Dice", "Haversine",
    )
    for size in ("", "64", "32")
]  # fmt: skip


def present(module: str, names: list[str]) -> list[str]:
    import importlib

    found = importlib.import_module(module)
    return [f"{module}:{name}" for name in names if hasattr(found, name)]


def score_functions(module: str) -> list[str]:
    """The public functions of a module of metrics or scores."""
    import importlib
    import inspect

    found = importlib.import_module(module)
    return [
        f"{module}:{name}"
        for name, value in vars(found).items()
        if inspect.isfunction(value) and value.__module__ == module and not name.startswith("_")
        and not name.startswith(("check_", "make_", "get_"))
    ]  # fmt: skip


SGD = "sklearn.linear_model._sgd_fast"
LOSS = "sklearn._loss._loss"

REVIEWS = [
    Review(
        "a class of splits, which repeated ones keep",
        present("sklearn.model_selection._split", ["KFold", "StratifiedKFold", "GroupKFold"]),
        {**STATE, "value": True},
    ),
    Review(
        "a tree of so many features, classes and outputs, which it allocates",
        ["sklearn.tree._tree:Tree"],
        {"call": "!sklearn.tree", "state": "!sklearn.tree_state", "freezes": True},
    ),
    Review(
        "an estimator over one tree of as many features as it compares its data with",
        ["DecisionTreeClassifier", "DecisionTreeRegressor", "ExtraTreeClassifier", "ExtraTreeRegressor"],
        {**STATE, "fields": TREES},
        [
            f"sklearn.tree.tree:{name}"
            for name in ("DecisionTreeClassifier", "DecisionTreeRegressor", "ExtraTreeClassifier", "ExtraTreeRegressor")
        ],
    ),
    Review(
        "an array of trees of as many features as it compares its data with: all are walked at once",
        ["GradientBoostingClassifier", "GradientBoostingRegressor"],
        {**STATE, "fields": {**ENSEMBLE, "estimators_": "features n", "n_trees_per_iteration_": "int[1..100000]"}},
    ),
    Review(
        "predictors over the features of the estimator, and bins for each",
        ["HistGradientBoostingClassifier", "HistGradientBoostingRegressor"],
        {"construct": "()", "state": "!sklearn.booster", "freezes": True},
    ),
    Review(
        "nodes whose children lie behind them, and sets of categories for those that use one",
        ["sklearn.ensemble._hist_gradient_boosting.predictor:TreePredictor"],
        {"construct": "()", "state": "!sklearn.predictor", "freezes": True},
    ),
    Review(
        "thresholds of bins for every feature",
        ["sklearn.ensemble._hist_gradient_boosting.binning:_BinMapper"],
        {"construct": "()", "state": "!sklearn.mapper", "freezes": True},
    ),
    Review(
        "vectors, coefficients and counts that agree: libsvm is given their addresses",
        ["SVC", "NuSVC", "SVR", "NuSVR", "OneClassSVM"],
        {"construct": "()", "state": "!sklearn.svm", "freezes": True},
        [f"sklearn.svm.classes:{name}" for name in ("SVC", "NuSVC", "SVR", "NuSVR", "OneClassSVM")],
    ),
    Review(
        "an empty tree of neighbours, given its state next",
        ["sklearn.neighbors._kd_tree:newObj"],
        {
            "call": "(@sklearn.neighbors._kd_tree:KDTree | @sklearn.neighbors._kd_tree:KDTree32"
            " | @sklearn.neighbors._kd_tree:KDTree64)",
            "kind": "function",
            "makes": "arg0",
        },
    ),
    Review(
        "an empty tree of neighbours, given its state next",
        ["sklearn.neighbors._ball_tree:newObj"],
        {
            "call": "(@sklearn.neighbors._ball_tree:BallTree | @sklearn.neighbors._ball_tree:BallTree32"
            " | @sklearn.neighbors._ball_tree:BallTree64)",
            "kind": "function",
            "makes": "arg0",
        },
    ),
    Review(
        "points in a permutation, and nodes that cover ranges of it",
        present("sklearn.neighbors._kd_tree", ["KDTree", "KDTree32", "KDTree64"])
        + present("sklearn.neighbors._ball_tree", ["BallTree", "BallTree32", "BallTree64"]),
        {"state": "!sklearn.neighbors"},
    ),
    Review(
        "an empty distance, given its state next; never one over a function",
        ["sklearn.metrics._dist_metrics:newObj"],
        {
            "call": "(" + " | ".join("@" + name for name in present("sklearn.metrics._dist_metrics", METRICS)) + ")",
            "kind": "function",
            "makes": "arg0",
        },
    ),
    Review(
        "a power and weights, compared with the points where they are used",
        present("sklearn.metrics._dist_metrics", METRICS),
        {"state": "!sklearn.metric"},
    ),
    Review(
        "neighbours of as many features as it compares its data with, and a target for each",
        [
            "NearestNeighbors",
            "KNeighborsClassifier",
            "KNeighborsRegressor",
            "RadiusNeighborsClassifier",
            "RadiusNeighborsRegressor",
            "KNeighborsTransformer",
            "RadiusNeighborsTransformer",
            "LocalOutlierFactor",
        ],
        fields(
            _tree="none || points m n",
            _fit_X="array f4,f8,i,u,b (m, n) || sparse m n || none",
            _y="array f,i,u,b,O,U,S (m) || array f,i,u,b,O,U,S (m, _)",
            n_features_in_="with _tree size n",
            n_samples_fit_="size m",
        ),
    ),
    Review(
        "a tree of as many features as it compares its data with",
        ["KernelDensity"],
        fields(tree_="features n", n_features_in_="with tree_ size n"),
    ),
    Review(
        "centres of as many features as it compares its data with",
        ["KMeans", "MiniBatchKMeans", "BisectingKMeans"],
        fields(
            cluster_centers_="array f4,f8 (k, n)",
            n_features_in_="with cluster_centers_ size n",
            labels_="array i (_)",
            _n_threads="int[1..4096]",
            _X_mean="array f4,f8 (n)",
        ),
    ),
    Review(
        "components and counts that agree: they are updated in place",
        ["NMF", "MiniBatchNMF"],
        fields(
            components_="array f4,f8 (k, n)",
            n_components_="size k",
            _n_components="size k",
            n_features_in_="with components_ size n",
        ),
    ),
    Review(
        "topics of as many features as it compares its data with",
        ["LatentDirichletAllocation"],
        fields(
            components_="array f4,f8 (k, n)",
            exp_dirichlet_component_="array f4,f8 (k, n)",
            n_features_in_="with components_ size n",
            n_components="size k",
        ),
    ),
    Review(
        "coefficients of one shape, which training on goes by",
        [
            "SGDClassifier",
            "SGDRegressor",
            "SGDOneClassSVM",
            "Perceptron",
            "PassiveAggressiveClassifier",
            "PassiveAggressiveRegressor",
        ],
        fields(
            coef_="array f4,f8 (k, n) || array f4,f8 (n)",
            standard_coef_="array f4,f8 (k, n) || array f4,f8 (n)",
            _standard_coef="array f4,f8 (k, n) || array f4,f8 (n)",
            _average_coef="none || array f4,f8 (k, n) || array f4,f8 (n)",
            intercept_="array f4,f8 (_)",
            n_features_in_="with coef_ size n",
        ),
    ),
    Review(
        "a number of buckets, by which it divides",
        ["FeatureHasher", "HashingVectorizer"],
        fields(n_features="int[1..2147483647]"),
    ),
    Review(
        "words and the columns they stand for, all within the matrix that is made of them",
        ["CountVectorizer", "TfidfVectorizer", "DictVectorizer"],
        fields(vocabulary_="indices"),
    ),
    Review("classes and the columns they stand for", ["MultiLabelBinarizer"], fields(_cached_dict="none || indices")),
    Review(
        "categories, and as many columns as the encoder numbers",
        ["OneHotEncoder"],
        {"construct": "()", "state": "!sklearn.encoder", "freezes": True},
    ),
    Review(
        "a linkage that is not cut again by what a stream says",
        ["HDBSCAN"],
        fields(_single_linkage_tree_="!sklearn.linkage"),
    ),
    Review(
        "attributes, none of which can be called but where the class calls it so; methods are the class's own",
        [],
        STATE,
        [],
        ["sklearn.base:BaseEstimator"],
    ),
    Review(
        "a kernel in Python: its parameters in attributes", [], STATE, [], ["sklearn.gaussian_process.kernels:Kernel"]
    ),
    Review(
        "a way to split rows, in Python; never one that was given the splits as an iterator",
        [],
        STATE,
        [],
        ["sklearn.model_selection:BaseCrossValidator"],
    ),
    Review(
        "a way to split rows, in Python",
        present(
            "sklearn.model_selection._split",
            ["ShuffleSplit", "StratifiedShuffleSplit", "GroupShuffleSplit", "RepeatedKFold", "RepeatedStratifiedKFold"],
        ),
        STATE,
    ),
    Review(
        "a part of an estimator in Python: its parameters in attributes",
        [
            "sklearn.calibration:_CalibratedClassifier",
            "sklearn.calibration:_SigmoidCalibration",
            "sklearn.calibration:_TemperatureScaling",
            "sklearn.cluster._birch:_CFNode",
            "sklearn.cluster._birch:_CFSubcluster",
            "sklearn.cluster._bisect_k_means:_BisectingTree",
            "sklearn.metrics._scorer:_Scorer",
            "sklearn.metrics._scorer:_PassthroughScorer",
            "sklearn.metrics._scorer:_CurveScorer",
            "sklearn.metrics._scorer:_MultimetricScorer",
            "sklearn.utils._metadata_requests:MetadataRequest",
            "sklearn.utils._metadata_requests:MethodMetadataRequest",
            "sklearn.neural_network._stochastic_optimizers:AdamOptimizer",
            "sklearn.neural_network._stochastic_optimizers:SGDOptimizer",
            "sklearn.preprocessing._function_transformer:FunctionTransformer",
        ],
        STATE,
    ),
    Review(
        "four parts of a step, as a named tuple",
        ["sklearn.impute._iterative:_ImputerTriplet"],
        {"construct": "(any, any, any)"},
    ),
    Review(
        "a dict whose entries are attributes too",
        ["sklearn.utils._bunch:Bunch"],
        {"construct": "()", "items": True, "state": "attrs"},
        ["sklearn.utils:Bunch"],
    ),
    Review(
        "a loss in Python over a compiled one: its parameters in attributes",
        present("sklearn._loss.loss", LOSSES),
        STATE,
    ),
    Review("a link function or an interval: numbers in attributes", present("sklearn._loss.link", LINKS), STATE),
    Review(
        "a compiled loss of at most one number",
        present(LOSS, ["Cy" + name for name in LOSSES]),
        {"call": "(number?)"},
    ),
    Review(
        "a compiled loss without parameters",
        [f"{LOSS}:__pyx_unpickle_CyHalfMultinomialLoss"],
        {
            "call": f"(@{LOSS}:CyHalfMultinomialLoss, int[..], () | none)",
            "kind": "function",
            "makes": f"{LOSS}:CyHalfMultinomialLoss",
        },
    ),
    Review(
        "a compiled loss of at most one number",
        present(
            SGD,
            [
                "Hinge",
                "SquaredHinge",
                "Log",
                "ModifiedHuber",
                "SquaredLoss",
                "Huber",
                "EpsilonInsensitive",
                "SquaredEpsilonInsensitive",
            ],
        ),
        {"call": "(number?)"},
    ),
    Review(
        "a score of features, a function of arrays that reads and writes nothing else",
        [
            *score_functions("sklearn.feature_selection._univariate_selection"),
            "sklearn.feature_selection._mutual_info:mutual_info_classif",
            "sklearn.feature_selection._mutual_info:mutual_info_regression",
        ],
        {"kind": "function", "makes": "data", "value": True},
    ),
    Review(
        "a metric, a function of arrays that reads and writes nothing else",
        [
            name
            for module in ("_classification", "_regression", "_ranking")
            for name in score_functions(f"sklearn.metrics.{module}")
        ],
        {"kind": "function", "makes": "data", "value": True},
    ),
    Review(
        "the inner step of k-means as bisecting k-means keeps it; sklearn.state lets it stand nowhere else",
        ["sklearn.cluster._kmeans:_kmeans_single_lloyd", "sklearn.cluster._kmeans:_kmeans_single_elkan"],
        {"kind": "function", "makes": "data", "value": True},
    ),
]

LIBRARY = Library(
    "sklearn",
    """# scikit-learn. Estimators that were given a function of one's own are refused: the function is.
# Written by tools/policy_tables.py from the reviews there.""",
    ["sklearn"],
    REVIEWS,
    ("tests", "conftest", "_testing", "__main__", "setup", "externals", "experimental"),
)
