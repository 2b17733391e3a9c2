"""Streams that lie to compiled code of scientific libraries: positions outside, lengths that disagree, indices that
were never checked again. Every one of them is refused before the library is imported.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

from attacks.assembler import Case, build, call, name, new, op, stream, text, value

Labelled = Iterator[tuple[str, bytes]]


def dtype(code: str, order: str = "<") -> bytes:
    made = call(name("numpy", "dtype"), code, False, True)
    if code == "O8":
        return build(made, (3, "|", None, None, None, -1, -1, 63))
    return build(made, (3, "|" if code in ("b1", "i1") else order, None, None, None, -1, -1, 0))


def array(code: str, shape: tuple[int, ...], items: tuple[Any, ...]) -> bytes:
    """A numpy array that is what it says, of numbers or (code ``O8``) of anything."""
    made = call(name("numpy.core.multiarray", "_reconstruct"), name("numpy", "ndarray"), (0,), bytearray(b"b"))
    if code == "O8":
        return build(made, (1, shape, dtype(code), False, list(items)))
    letter = {"b1": "?", "i1": "b", "i4": "i", "i8": "q", "f8": "d", "f4": "f"}[code]
    return build(made, (1, shape, dtype(code), False, bytearray(struct.pack(f"<{len(items)}{letter}", *items))))


# -- pandas


def pandas(qualname: str) -> bytes:
    return name("pandas", qualname)


def span(stop: int) -> bytes:
    parts = {"name": None, "start": 0, "stop": stop, "step": 1}
    return call(name("pandas.core.indexes.base", "_new_Index"), pandas("RangeIndex"), parts)


def block(values: bytes, placement: bytes, axes: int = 2) -> bytes:
    return call(name("pandas._libs.internals", "_unpickle_block"), values, placement, axes)


def piece(start: int, stop: int, step: int = 1) -> bytes:
    return call(name("builtins", "slice"), start, stop, step)


def frame(blocks: tuple[bytes, ...], columns: bytes, rows: bytes) -> bytes:
    manager = call(name("pandas.core.internals.managers", "BlockManager"), blocks, [columns, rows])
    state = {"_mgr": manager, "_typ": "dataframe", "_metadata": [], "attrs": {}, "_flags": {}}
    return build(new(pandas("DataFrame")), state)


def series(values: bytes, rows: bytes, placement: bytes) -> bytes:
    versions = {"0.14.1": {"axes": [rows], "blocks": [{"values": values, "mgr_locs": placement}]}}
    manager = build(
        new(name("pandas.core.internals.managers", "SingleBlockManager")), ([rows], [values], [rows], versions)
    )
    return build(new(pandas("Series")), {"_mgr": manager, "_typ": "series", "_metadata": ["_name"], "attrs": {}})


def backed(cls: str, kind: bytes, values: bytes) -> bytes:
    made = call(name("pandas._libs.arrays", "__pyx_unpickle_NDArrayBacked"), pandas(cls), 82904607, None)
    return build(made, (kind, values))


def index(values: bytes) -> bytes:
    return call(name("pandas.core.indexes.base", "_new_Index"), pandas("Index"), {"data": values, "name": None})


def categories(count: int) -> bytes:
    kind = new(pandas("CategoricalDtype"))
    return build(kind, {"categories": index(array("i8", (count,), tuple(range(count)))), "ordered": False})


def frames() -> Labelled:
    """Blocks whose positions and lengths compiled code would write and read by."""
    two = array("i8", (1, 2), (1, 2))
    wide = array("i8", (2, 2), (1, 2, 3, 4))
    yield "placement_outside", stream(frame((block(two, piece(5, 6)),), span(1), span(2)))
    yield "placement_far_outside", stream(frame((block(two, array("i8", (1,), (2**40,))),), span(1), span(2)))
    yield "placement_negative", stream(frame((block(two, array("i8", (1,), (-7,))),), span(1), span(2)))
    yield "placement_twice", stream(frame((block(two, piece(0, 1)), block(two, piece(0, 1))), span(2), span(2)))
    yield "placement_longer", stream(frame((block(two, piece(0, 3)),), span(3), span(2)))
    yield "rows_disagree", stream(frame((block(two, piece(0, 1)),), span(1), span(2**30)))
    yield "columns_disagree", stream(frame((block(two, piece(0, 1)),), span(2), span(2)))
    yield "slice_backwards", stream(frame((block(wide, piece(1, -1, -1)),), span(2), span(2)))
    yield "slice_endless", stream(frame((block(two, piece(0, 2**62)),), span(2**62), span(2)))
    yield "block_of_list", stream(frame((block(op.EMPTY_LIST(), piece(0, 1)),), span(1), span(2)))
    yield "series_longer", stream(series(array("i8", (2,), (1, 2)), span(2**20), piece(0, 2)))
    yield "series_placement", stream(series(array("i8", (2,), (1, 2)), span(2), piece(9, 11)))
    late = array("i8", (1, 2), (1, 2))
    axes = op.EMPTY_LIST() + op.MEMOIZE() + op.MARK() + span(1) + span(2) + op.APPENDS()
    manager = name("pandas.core.internals.managers", "BlockManager")
    called = manager + op.MARK() + value((block(late, piece(0, 1)),)) + axes + op.TUPLE() + op.REDUCE()
    yield "axes_appended_later", stream(called, op.BINGET(0), span(9), op.APPEND(), op.POP())
    good = frame((block(two, piece(0, 1)),), span(1), span(2))
    yield "state_twice", stream(build(good, {"_mgr": None, "_typ": "dataframe"}))
    yield "shadowed_method", stream(build(new(pandas("DataFrame")), {"_typ": "dataframe", "to_numpy": 1}))


def codes() -> Labelled:
    """Codes that compiled code takes for positions in an array of references."""
    yield "categorical_outside", stream(backed("Categorical", categories(2), array("i1", (2,), (0, 2))))
    yield "categorical_negative", stream(backed("Categorical", categories(2), array("i1", (2,), (0, -2))))
    yield "categorical_wide", stream(backed("Categorical", categories(2), array("i8", (1,), (2**50,))))
    yield "categorical_floats", stream(backed("Categorical", categories(2), array("f8", (1,), (0.0,))))
    yield "categorical_later", stream(backed("Categorical", new(pandas("CategoricalDtype")), array("i1", (1,), (0,))))
    buffer = call(name("numpy.core.numeric", "_frombuffer"), op.NEXT_BUFFER(), dtype("i1"), (2,), "C")
    yield "categorical_out_of_band", stream(backed("Categorical", categories(2), buffer), protocol=5)
    multi = {"levels": [span(2)], "codes": [array("i1", (2,), (0, 7))], "sortorder": None, "names": [None]}
    yield "multi_outside", stream(call(name("pandas.core.indexes.base", "_new_Index"), pandas("MultiIndex"), multi))
    masked = {"_data": array("i8", (2,), (1, 2)), "_mask": array("b1", (1,), (False,))}
    yield "mask_shorter", stream(build(new(name("pandas.arrays", "IntegerArray")), masked))
    dates = backed("DatetimeArray", dtype("i8"), array("i8", (1,), (1,)))
    yield "dates_of_integers", stream(dates)
    sparse = call(name("pandas._libs.sparse", "IntIndex"), 3, array("i4", (2,), (0, 9)))
    yield "sparse_outside", stream(sparse)


# -- Arrow


def arrow(qualname: str, *arguments: Any) -> bytes:
    return call(name("pyarrow.lib", qualname), *arguments)


def alias(kind: str) -> bytes:
    return arrow("type_for_alias", kind)


def octets(*numbers: int, letter: str = "i", extra: bytes = b"") -> bytes:
    return arrow("py_buffer", bytearray(struct.pack(f"<{len(numbers)}{letter}", *numbers) + extra))


def restored(kind: bytes, length: int, buffers: list[Any], *, nulls: int = 0, offset: int = 0,
             children: tuple[Any, ...] = (), words: Any = None) -> bytes:  # fmt: skip
    return arrow("_restore_array", (kind, length, nulls, offset, buffers, list(children), words))


def arrows() -> Labelled:
    """Arrow's C++ looks at nothing it is given."""
    letters = octets(extra=b"abcdef")
    yield "offsets_outside", stream(restored(alias("string"), 1, [None, octets(0, 2**30), letters]))
    yield "offsets_fall", stream(restored(alias("string"), 2, [None, octets(0, 5, 2), letters]))
    yield "offsets_negative", stream(restored(alias("string"), 1, [None, octets(-4, 2), letters]))
    yield "offsets_short", stream(restored(alias("string"), 9, [None, octets(0, 1), letters]))
    yield "offsets_missing", stream(restored(alias("string"), 1, [octets(1), None, letters]))
    yield "data_missing", stream(restored(alias("string"), 1, [octets(1), octets(0, 1), None]))
    item = arrow("field", "item", alias("int64"), True, None)
    none = (alias("int64"), 0, 0, 0, [None, octets()], [], None)
    yield "empty_without_offsets", stream(restored(arrow("list_", item), 0, [octets(0), None], children=(none,)))
    yield "buffers_missing", stream(restored(alias("int64"), 4, []))
    yield "data_short", stream(restored(alias("int64"), 1000, [None, octets(1, letter="q")]))
    yield "offset_outside", stream(restored(alias("int64"), 1, [None, octets(1, letter="q")], offset=2**20))
    yield "bits_short", stream(restored(alias("int8"), 64, [octets(1, letter="b"), octets(*range(64), letter="b")]))
    yield "nulls_lie", stream(restored(alias("int8"), 2, [octets(1, letter="b"), octets(1, 2, letter="b")]))
    yield "not_text", stream(restored(alias("string"), 1, [None, octets(0, 2), octets(extra=b"\xff\xe0")]))
    yield "split_text", stream(restored(alias("string"), 2, [None, octets(0, 1, 2), octets(extra=b"\xc3\xbc")]))
    words = (alias("string"), 1, 0, 0, [None, octets(0, 1), letters], [], None)
    kind = arrow("dictionary", alias("int32"), alias("string"), False)
    yield "index_outside", stream(restored(kind, 1, [None, octets(7)], words=words))
    yield "index_negative", stream(restored(kind, 1, [None, octets(-1)], words=words))
    field = arrow("field", "item", alias("int64"), True, None)
    child = (alias("int64"), 1, 0, 0, [None, octets(1, letter="q")], [], None)
    yield "list_outside", stream(restored(arrow("list_", field), 1, [None, octets(0, 50)], children=(child,)))
    narrow = (alias("int8"), 1, 0, 0, [None, octets(1, letter="b")], [], None)
    yield "child_of_another_type", stream(restored(arrow("list_", field), 1, [None, octets(0, 1)], children=(narrow,)))
    yield "struct_child_short", stream(restored(arrow("struct", [field]), 9, [None], children=(child,)))
    yield "out_of_band", stream(restored(alias("int64"), 1, [None, arrow("py_buffer", op.NEXT_BUFFER())]), protocol=5)
    yield "view_type", stream(restored(alias("string_view"), 1, [None, octets(0, 0, 0, 0)]))
    nest = child
    for _ in range(40):
        nest = (arrow("list_", field), 1, 0, 0, [None, octets(0, 1)], [nest], None)
    yield "nested_deep", stream(arrow("_restore_array", nest))
    # A tuple shared by its memo, twice at every level: checked one by one it would take 2**30 steps.
    shared = value(child) + op.MEMOIZE() + op.POP()
    pair = arrow("struct", [field, field])
    for level in range(30):
        below = op.EMPTY_LIST() + op.MARK() + op.BINGET(level) + op.BINGET(level) + op.APPENDS()
        shared += value((pair, 1, 0, 0, [None], below, None)) + op.MEMOIZE() + op.POP()
    yield "shared_children", stream(shared, arrow("_restore_array", op.BINGET(30)))


def zones() -> Labelled:
    """Names and numbers that lead elsewhere than to a time zone or a unit."""
    stamp = name("pandas._libs.tslibs.timestamps", "_unpickle_timestamp")
    yield "unit_outside", stream(call(stamp, 0, None, None, 99))
    yield "zone_path", stream(call(name("pytz", "_p"), "../../../etc/passwd"))
    yield "offset_month", stream(call(name("pandas._libs.tslibs.offsets", "YearEnd"), 1, False, 77))
    step = name("sklearn.cluster._kmeans", "_kmeans_single_lloyd")
    aggregate = {"column": "a", "aggfunc": step, "args": (), "kwargs": {"centers_init": 1}}
    yield "aggregation_compiled", stream(build(new(pandas("NamedAgg")), aggregate))
    yield "offset_of_another_kind", stream(build(call(pandas("DateOffset")), {"_offset": array("f8", (0,), ())}))
    yield (
        "offset_calendar",
        stream(call(name("pandas._libs.tslibs.offsets", "CustomBusinessDay"), 1, False, "Mon", (), text("x"))),
    )


# -- scipy and scikit-learn


def made(module: str, qualname: str, state: dict[str, Any]) -> bytes:
    return build(new(name(module, qualname)), state)


def matrix(kind: str, shape: tuple[int, int], **parts: bytes) -> bytes:
    return made(f"scipy.sparse._{kind}", f"{kind}_matrix", {"_shape": shape, **parts})


def sparse() -> Labelled:
    """Indices that C++ takes for addresses."""
    data, one = array("f8", (2,), (1.0, 2.0)), array("i4", (2,), (0, 1))
    rises = array("i4", (3,), (0, 1, 2))
    yield (
        "column_outside",
        stream(matrix("csr", (2, 2), data=data, indices=array("i4", (2,), (0, 2**30)), indptr=rises)),
    )
    yield "column_negative", stream(matrix("csr", (2, 2), data=data, indices=array("i4", (2,), (0, -1)), indptr=rises))
    far = array("i4", (3,), (0, 1, 2**30))
    yield "pointer_outside", stream(matrix("csr", (2, 2), data=data, indices=one, indptr=far))
    yield "pointer_falls", stream(matrix("csr", (2, 2), data=data, indices=one, indptr=array("i4", (3,), (0, 2, 1))))
    yield "pointer_begins", stream(matrix("csr", (2, 2), data=data, indices=one, indptr=array("i4", (3,), (-9, 1, 2))))
    yield "pointers_short", stream(matrix("csc", (2, 9), data=data, indices=one, indptr=rises))
    yield "shape_grows", stream(matrix("csr", (2**40, 2), data=data, indices=one, indptr=rises))
    yield "two_sizes", stream(matrix("csr", (2, 2), data=data, indices=one, indptr=array("i8", (3,), (0, 1, 2))))
    yield "row_outside", stream(matrix("coo", (2, 2), data=data, row=one, col=array("i4", (2,), (0, 99))))
    blocks = array("f8", (1, 2, 2), (1.0, 2.0, 3.0, 4.0))
    index, starts = array("i4", (1,), (7,)), array("i4", (2,), (0, 1))
    yield "block_outside", stream(matrix("bsr", (2, 2), data=blocks, indices=index, indptr=starts))
    diagonal = array("f8", (1, 2), (1.0, 2.0))
    yield "diagonal_outside", stream(matrix("dia", (2, 2), data=diagonal, offsets=array("i4", (1,), (-(2**31),))))
    good = matrix("csr", (2, 2), data=data, indices=one, indptr=rises)
    yield "state_twice", stream(build(good, {"_shape": (2**40, 2**40)}))
    lists = array("O8", (2,), ([0], [9]))
    yield "lists", stream(matrix("lil", (2, 2), rows=lists, data=lists))
    knots = array("f8", (4,), (0.0, 0.0, 1.0, 1.0))
    spline = {"_t": knots, "_c": array("f8", (3,), (1.0, 1.0, 1.0)), "k": 1, "extrapolate": True, "axis": 0}
    yield "knots_short", stream(made("scipy.interpolate._bsplines", "BSpline", spline))
    yield "degree_high", stream(made("scipy.interpolate._bsplines", "BSpline", {**spline, "k": 90}))


NODE = (
    ("left_child", "i8", "q"), ("right_child", "i8", "q"), ("feature", "i8", "q"), ("threshold", "f8", "d"),
    ("impurity", "f8", "d"), ("n_node_samples", "i8", "q"), ("weighted_n_node_samples", "f8", "d"),
    ("missing_go_to_left", "u1", "B"),
)  # fmt: skip


def records(fields: tuple[tuple[str, str, str], ...], size: int, rows: list[tuple[Any, ...]], gap: bool,
            said: int | None = None) -> bytes:  # fmt: skip
    """A structured array of these fields, each behind the one before."""
    layout, offset = {}, 0
    for label, code, letter in fields:
        layout[label] = (dtype("i1" if code == "u1" else code), offset)
        if code == "u1":
            plain = call(name("numpy", "dtype"), "u1", False, True)
            layout[label] = (build(plain, (3, "|", None, None, None, -1, -1, 0)), offset)
        offset += struct.calcsize(letter)
    kind = call(name("numpy", "dtype"), f"V{size}", False, True)
    align, flags = (8, 16) if gap else (1, 16)
    kind = build(kind, (3, "|", None, tuple(layout), layout, size, 1 if gap else align, flags))
    packed = "<" + "".join(letter for _, _, letter in fields)
    data = b"".join(struct.pack(packed, *row).ljust(size, b"\0") for row in rows)
    empty = call(name("numpy.core.multiarray", "_reconstruct"), name("numpy", "ndarray"), (0,), bytearray(b"b"))
    return build(empty, (1, (len(rows) if said is None else said,), kind, False, bytearray(data)))


def nodes(*rows: tuple[int, int, int]) -> bytes:
    return records(NODE, 64, [(left, right, feature, 0.5, 0.1, 1, 1.0, 0) for left, right, feature in rows], True)


def tree(rows: bytes, count: int, *, depth: int = 1, features: int = 2, classes: int = 1, outputs: int = 1,
         values: bytes | None = None) -> bytes:  # fmt: skip
    empty = call(name("sklearn.tree._tree", "Tree"), features, array("i8", (1,), (classes,)), outputs)
    values = values or array("f8", (count, 1, classes), (0.5,) * (count * classes))
    return build(empty, {"max_depth": depth, "node_count": count, "nodes": rows, "values": values})


LEAF = (-1, -1, -2)
TREE = ("sklearn.tree._classes", "DecisionTreeRegressor")


def trees() -> Labelled:
    """Nodes that lead outside, around, or over features that are not there."""
    yield "child_outside", stream(tree(nodes((1, 2**40, 0), LEAF, LEAF), 3))
    yield "child_negative", stream(tree(nodes((1, -7, 0), LEAF, LEAF), 3))
    yield "child_before", stream(tree(nodes((1, 2, 0), (0, 2, 0), LEAF), 3))
    yield "child_shared", stream(tree(nodes((1, 1, 0), LEAF, LEAF), 3))
    yield "feature_outside", stream(tree(nodes((1, 2, 2**40), LEAF, LEAF), 3))
    yield "feature_negative", stream(tree(nodes((1, 2, -3), LEAF, LEAF), 3))
    yield "count_lies", stream(tree(nodes((1, 2, 0), LEAF, LEAF), 2**20, values=array("f8", (3, 1, 1), (0.0,) * 3)))
    yield "depth_lies", stream(tree(nodes((1, 2, 0), LEAF, LEAF), 3, depth=0))
    yield "values_short", stream(tree(nodes((1, 2, 0), LEAF, LEAF), 3, values=array("f8", (1, 1, 1), (0.0,))))
    yield "outputs_lie", stream(tree(nodes((1, 2, 0), LEAF, LEAF), 3, outputs=9))
    short = records(NODE, 64, [(*LEAF, 0.5, 0.1, 1, 1.0, 0)] * 3, True, said=2)
    yield "nodes_unsaid", stream(tree(short, 2))
    yield "classes_huge", stream(tree(nodes(LEAF), 1, classes=2**40, values=array("f8", (1, 1, 1), (0.0,))))
    good = tree(nodes((1, 2, 1), LEAF, LEAF), 3)
    yield "features_of_estimator", stream(made(*TREE, {"tree_": good, "n_features_in_": 1, "n_outputs_": 1}))
    yield "features_missing", stream(made(*TREE, {"tree_": good, "n_outputs_": 1}))
    estimator = made(*TREE, {"tree_": good, "n_features_in_": 2, "n_outputs_": 1})
    yield "state_twice", stream(build(estimator, {"n_features_in_": 1}))
    boosted = {"estimators_": array("O8", (1, 1), (estimator,)), "n_features_in_": 1}
    yield "boosted", stream(made("sklearn.ensemble._gb", "GradientBoostingRegressor", boosted))
    # A method hidden by something that can be called: the data would never be compared with the tree.
    kernel = new(name("sklearn.gaussian_process.kernels", "RBF"))
    hidden = {"tree_": good, "n_features_in_": 2, "_validate_X_predict": kernel}
    yield "hidden_method", stream(made(*TREE, hidden))
    hidden["_validate_X_predict"] = name("numpy", "matrix")
    yield "hidden_by_class", stream(made(*TREE, hidden))


def machines() -> Labelled:
    """Support vectors, neighbours and encoders whose counts disagree."""
    empty = array("f8", (0,), ())
    machine = {
        "kernel": "rbf", "_sparse": False, "n_features_in_": 2, "shape_fit_": (4, 2),
        "support_": array("i4", (2,), (0, 1)), "support_vectors_": array("f8", (2, 2), (1.0, 2.0, 3.0, 4.0)),
        "_n_support": array("i4", (2,), (1, 1)), "_dual_coef_": array("f8", (1, 2), (1.0, -1.0)),
        "_intercept_": array("f8", (1,), (0.0,)), "_probA": empty, "_probB": empty,
    }  # fmt: skip
    svc = ("sklearn.svm._classes", "SVC")
    for label, changed in (
        ("counts_lie", {"_n_support": array("i4", (2,), (1, 2**30))}),
        ("coefficients_short", {"_dual_coef_": array("f8", (1, 1), (1.0,))}),
        ("vectors_narrow", {"support_vectors_": array("f8", (2, 1), (1.0, 2.0))}),
        ("intercepts_short", {"_intercept_": empty}),
        ("probabilities_short", {"_probA": array("f8", (0,), ()), "_probB": array("f8", (1,), (0.0,))}),
        ("support_outside", {"support_": array("i4", (2,), (0, 2**30))}),
        ("another_machine", {"_impl": "one_class"}),
    ):
        yield label, stream(made(*svc, {**machine, **changed}))
    yield (
        "vocabulary_outside",
        stream(made("sklearn.feature_extraction.text", "CountVectorizer", {"vocabulary_": {"a": 0, "b": 2**30}})),
    )
    many = {f"w{number}": number for number in range(200)} | {"w7": 2**40}
    yield "vocabulary_long", stream(made("sklearn.feature_extraction.text", "CountVectorizer", {"vocabulary_": many}))
    later = op.EMPTY_DICT() + op.MEMOIZE()
    words = made("sklearn.feature_extraction.text", "CountVectorizer", {"vocabulary_": later})
    yield "vocabulary_later", stream(words, op.BINGET(0), text("a"), 2**30, op.SETITEM(), op.POP())
    known = {"categories_": [array("i8", (3,), (0, 1, 2))], "_n_features_outs": [1], "_infrequent_enabled": False}
    yield "columns_lie", stream(made("sklearn.preprocessing._encoders", "OneHotEncoder", known))
    yield "buckets_of_nothing", stream(made("sklearn.feature_extraction._hash", "FeatureHasher", {"n_features": 0}))
    centres = {"cluster_centers_": array("f8", (1, 1), (0.0,)), "n_features_in_": 50}
    yield "centres_narrow", stream(made("sklearn.cluster._kmeans", "KMeans", centres))
    files = {"input": "filename", "vocabulary_": {}}
    yield "opens_files", stream(made("sklearn.feature_extraction.text", "CountVectorizer", files))
    yield "caches_elsewhere", stream(made("sklearn.pipeline", "Pipeline", {"steps": [], "memory": "/tmp/cache"}))
    step = name("sklearn.cluster._kmeans", "_kmeans_single_lloyd")
    function = {"func": step, "kw_args": {"centers_init": 1}}
    yield "compiled_step", stream(made("sklearn.preprocessing._function_transformer", "FunctionTransformer", function))


def neighbours() -> Labelled:
    """Ranges of points, and a permutation of them."""
    columns = (("idx_start", "i8", "q"), ("idx_end", "i8", "q"), ("is_leaf", "i8", "q"), ("radius", "f8", "d"))
    metric = call(
        name("sklearn.metrics._dist_metrics", "newObj"), name("sklearn.metrics._dist_metrics", "EuclideanDistance64")
    )
    metric = build(metric, (2.0, array("f8", (1,), (0.0,)), array("f8", (1, 1), (0.0,))))

    def kd(rows: list[tuple[int, int, int, float]], order: tuple[int, ...] = (0, 1), count: int = 1,
           distance: bytes = metric, bounds: bytes | None = None) -> bytes:  # fmt: skip
        made = call(name("sklearn.neighbors._kd_tree", "newObj"), name("sklearn.neighbors._kd_tree", "KDTree"))
        points = array("f8", (2, 1), (0.0, 1.0))
        bounds = bounds or array("f8", (2, 1, 1), (0.0, 1.0))
        order_ = array("i8", (len(order),), order)
        state = (points, order_, records(columns, 32, rows, True), bounds, 30, 1, count, 0, 0, 0, 0, distance, None)
        return build(made, state)

    yield "range_outside", stream(kd([(0, 2**40, 1, 0.0)]))
    yield "range_negative", stream(kd([(-5, 2, 1, 0.0)]))
    yield "no_children", stream(kd([(0, 2, 0, 0.0)]))
    yield "order_outside", stream(kd([(0, 2, 1, 0.0)], order=(0, 2**40)))
    yield "nodes_lie", stream(kd([(0, 2, 1, 0.0)], count=7))
    yield "bounds_short", stream(kd([(0, 2, 1, 0.0)], bounds=array("f8", (2, 1, 0), ())))
    weighted = call(
        name("sklearn.metrics._dist_metrics", "newObj"), name("sklearn.metrics._dist_metrics", "SEuclideanDistance64")
    )
    weighted = build(weighted, (2.0, array("f8", (0,), ()), array("f8", (1, 1), (0.0,))))
    yield "weights_short", stream(kd([(0, 2, 1, 0.0)], distance=weighted))
    function = call(
        name("sklearn.metrics._dist_metrics", "newObj"), name("sklearn.metrics._dist_metrics", "PyFuncDistance64")
    )
    yield "distance_of_function", stream(function)


# -- scipy's distributions and matrices of lists

TEMPLATE = """
def _parse_args(self, {names} loc=0, scale=1):
    return ({names}), loc, scale

def _parse_args_rvs(self, {names} loc=0, scale=1, size=None):
    return self._argcheck_rvs({names} loc, scale, size=size)

def _parse_args_stats(self, {names} loc=0, scale=1, moments='mv'):
    return ({names}), loc, scale, moments
"""
TOUCH = "open('canary', 'w')"


def distributions() -> Labelled:
    """The text in the state of a distribution is run when it is set."""

    def norm(template: str, **more: Any) -> bytes:
        state = {"_parse_arg_template": template, "numargs": 0, "moment_type": 1, **more}
        return made("scipy.stats._continuous_distns", "norm_gen", state)

    honest = TEMPLATE.format(names=" ").replace("( )", "()")
    yield "template_other", stream(norm(TOUCH))
    yield "template_longer", stream(norm(honest + TOUCH))
    yield "template_before", stream(norm(TOUCH + honest))
    yield "template_default", stream(norm(TEMPLATE.format(names=f"a={TOUCH}, ")))
    yield "template_annotated", stream(norm(TEMPLATE.format(names=f"a:{TOUCH}, ")))
    yield "template_of_keys", stream(norm(TEMPLATE.format(names=f"{TOUCH}, ")))
    yield "method", stream(made("scipy.stats._continuous_distns", "norm_gen", {"_pdf": name("numpy", "ndarray")}))
    frozen = {"args": (), "kwds": {}, "dist": name("os", "system"), "a": 0.0, "b": 1.0}
    yield "frozen_of_function", stream(made("scipy.stats._distn_infrastructure", "rv_continuous_frozen", frozen))
    density = {
        "dataset": array("f8", (1, 2), (0.0, 1.0)), "d": 1, "n": 2, "_weights": array("f8", (1,), (1.0,)),
        "covariance": array("f8", (1, 1), (1.0,)),
    }  # fmt: skip
    yield "weights_shorter", stream(made("scipy.stats._kde", "gaussian_kde", density))


def lists() -> Labelled:
    """Values are copied to where the indices end, without counting."""

    def lil(rows: Any, data: Any) -> bytes:
        return matrix(
            "lil", (1, 3), dtype=dtype("f8"), rows=array("O8", (1,), (rows,)), data=array("O8", (1,), (data,))
        )

    yield "values_longer", stream(lil(value([0]), value([1.0] * 9)))
    yield "values_shorter", stream(lil(value([0, 1]), value([1.0])))
    yield "column_outside", stream(lil(value([7]), value([1.0])))
    yield "columns_unordered", stream(lil(value([1, 0]), value([1.0, 2.0])))
    yield (
        "rows_missing",
        stream(
            matrix(
                "lil",
                (9, 3),
                dtype=dtype("f8"),
                rows=array("O8", (1,), (value([0]),)),
                data=array("O8", (1,), (value([1.0]),)),
            )
        ),
    )
    kept = value([1.0]) + op.BINPUT(0)
    yield "values_added_later", stream(lil(value([0]), kept), op.BINGET(0), 2.0, op.APPEND(), op.POP())


def cases() -> Iterator[Case]:
    for mechanism, group in (
        ("pandas-lie", frames), ("pandas-code", codes), ("arrow-lie", arrows), ("zone-lie", zones),
        ("sparse-lie", sparse), ("list-lie", lists), ("distribution-code", distributions),
        ("tree-lie", trees), ("machine-lie", machines), ("neighbour-lie", neighbours),
    ):  # fmt: skip
        for label, data in group():
            yield Case(f"{mechanism}/{label}", mechanism, data)
