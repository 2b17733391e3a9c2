"""Models of xgboost and lightgbm that lie to the C++ that parses them: children outside, lengths that are not there,
parameters that name a file. `sound_models` are the same without a lie, and load.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

from attacks.assembler import Case, build, name, new, stream

Labelled = Iterator[tuple[str, bytes]]


# -- xgboost: UBJSON


class Items:
    """A typed array."""

    def __init__(self, code: str, *items: float, count: int | None = None) -> None:
        self.code, self.items, self.count = code, items, len(items) if count is None else count

    def written(self) -> bytes:
        letter = {"d": "f", "U": "B", "l": "i", "L": "q", "i": "b"}[self.code]
        body = struct.pack(f">{len(self.items)}{letter}", *self.items)
        return b"[$" + self.code.encode() + b"#L" + struct.pack(">q", self.count) + body


def ubjson(value: Any) -> bytes:
    if isinstance(value, dict):
        return b"{" + b"".join(length(key) + key.encode() + ubjson(part) for key, part in sorted(value.items())) + b"}"
    if isinstance(value, list):
        return b"[#L" + struct.pack(">q", len(value)) + b"".join(map(ubjson, value))
    if isinstance(value, str):
        return b"S" + length(value) + value.encode()
    if isinstance(value, int):
        return b"i" + struct.pack("b", value)
    return bytes(value.written())


def length(text: str) -> bytes:
    return b"L" + struct.pack(">q", len(text.encode()))


def tree(**other: Any) -> dict[str, Any]:
    """A root and two leaves, the root split by two categories."""
    return {
        "base_weights": Items("d", 0.0, 1.0, 2.0), "categories": Items("l", 1, 3), "categories_nodes": Items("l", 0),
        "categories_segments": Items("L", 0), "categories_sizes": Items("L", 2), "default_left": Items("U", 0, 0, 0),
        "id": 0, "left_children": Items("l", 1, -1, -1), "loss_changes": Items("d", 1.0, 0.0, 0.0),
        "parents": Items("l", 2**31 - 1, 0, 0), "right_children": Items("l", 2, -1, -1),
        "split_conditions": Items("d", 0.0, 1.0, 2.0), "split_indices": Items("l", 1, 0, 0),
        "split_type": Items("U", 1, 0, 0), "sum_hessian": Items("d", 2.0, 1.0, 1.0),
        "tree_param": {"num_deleted": "0", "num_feature": "2", "num_nodes": "3", "size_leaf_vector": "1"},
        **other,
    }  # fmt: skip


def boosted(
    grown: dict[str, Any] | None = None,
    *,
    config: dict[str, Any] | None = None,
    learner: dict[str, Any] | None = None,
    **model: Any,
) -> bytes:
    """The bytes of a booster of one tree, with these parts in place of others."""
    param = {"base_score": "[5E-1]", "num_class": "0", "num_feature": "2", "num_target": "1", **(learner or {})}
    forest = {
        "gbtree_model_param": {"num_parallel_tree": "1", "num_trees": "1"}, "iteration_indptr": [0, 1],
        "tree_info": [0], "trees": [grown or tree()], **model,
    }  # fmt: skip
    objective = {"name": "reg:squarederror", "reg_loss_param": {"scale_pos_weight": "1"}}
    settings = {
        "generic_param": {"device": "cpu", "nthread": "1"},
        "gradient_booster": {
            "gbtree_train_param": {"tree_method": "hist", "updater_seq": "grow_quantile_histmaker"}, "name": "gbtree",
            "tree_train_param": {"max_depth": "3"}, "updater": [],
        },
        "learner_model_param": param,
        "learner_train_param": {"booster": "gbtree", "objective": "reg:squarederror"},
        "metrics": [], "objective": objective, **(config or {}),
    }  # fmt: skip
    whole = {
        "attributes": {}, "feature_names": [], "feature_types": [], "learner_model_param": param,
        "gradient_booster": {"model": forest, "name": "gbtree"}, "objective": objective,
    }  # fmt: skip
    version = [3, 2, 0]
    return ubjson(
        {"Config": {"learner": settings, "version": version}, "Model": {"learner": whole, "version": version}}
    )


def booster(model: Any, **more: Any) -> bytes:
    return build(new(name("xgboost.core", "Booster")), {"handle": model, **more})


def xgboost() -> Labelled:
    """Numbers that a predictor would follow out of its arrays, and lengths that a reader would copy."""
    lies: dict[str, dict[str, Any]] = {
        "child_outside": {"left_children": Items("l", 2, -1, -1), "right_children": Items("l", 3, -1, -1)},
        "child_far_outside": {"left_children": Items("l", 2**30, -1, -1)},
        "child_itself": {"left_children": Items("l", 0, -1, -1), "right_children": Items("l", 1, -1, -1)},
        "children_apart": {"right_children": Items("l", 1, -1, -1)},
        "feature_outside": {"split_indices": Items("l", 2, 0, 0)},
        "feature_negative": {"split_indices": Items("l", -5, 0, 0)},
        "parent_outside": {"parents": Items("l", 2**31 - 1, 0, 9)},
        "array_shorter": {"split_conditions": Items("d", 0.0)},
        "nodes_lie": {"tree_param": {**tree()["tree_param"], "num_nodes": "9"}},
        "vector_lies": {"tree_param": {**tree()["tree_param"], "size_leaf_vector": "4"}},
        "number_lies": {"id": 7},
        "category_outside": {"categories_sizes": Items("L", 2**40)},
        "category_negative": {"categories": Items("l", -(2**31), 3)},
        "category_large": {"categories": Items("l", 1, 2**31 - 1)},
        "category_begin": {"categories_segments": Items("L", -8)},
        "length_not_there": {"sum_hessian": Items("d", 1.0, count=2**60)},
        "length_negative": {"sum_hessian": Items("d", 1.0, count=-1)},
    }  # fmt: skip
    for label, other in lies.items():
        yield label, stream(booster(bytearray(boosted(tree(**other)))))
    names = ubjson("feature_names")[1:]
    models = {
        "group_outside": boosted(tree_info=[9]),
        "round_outside": boosted(iteration_indptr=[0, 9]),
        "trees_lie": boosted(gbtree_model_param={"num_parallel_tree": "1", "num_trees": "4"}),
        "features_without_end": boosted(learner={"num_feature": "4294967295"}),
        "classes_without_end": boosted(learner={"num_class": "2147483647"}),
        "scores_lie": boosted(learner={"base_score": "[5E-1,5E-1,5E-1]"}),
        "threads_without_end": boosted(config={"generic_param": {"nthread": "1000000"}}),
        "brackets_without_end": boosted(config={"generic_param": {"interaction_constraints": "[" * 300}}),
        "objective_differs": boosted(config={"objective": {"name": "multi:softmax"}}),
        "names_few": boosted().replace(names + ubjson([]), names + ubjson(["a"])),
        "cut": boosted()[:-40],
        "longer": boosted() + b"}",
        "json": b'{"Config": {}, "Model": {}}',
        "empty": b"",
    }  # fmt: skip
    for label, model in models.items():
        yield label, stream(booster(bytearray(model)))
    yield "address", stream(booster(12345))
    yield "address_later", stream(build(booster(bytearray(boosted())), {"handle": 12345}))
    yield "no_model", stream(build(new(name("xgboost.core", "Booster")), {}))
    yield "other_attribute", stream(booster(bytearray(boosted()), predict=1))
    wrapper = name("xgboost.sklearn", "XGBRegressor")
    yield "wrapper_threads", stream(build(new(wrapper), {"n_jobs": 10**6}))
    yield "wrapper_function", stream(build(new(wrapper), {"objective": name("numpy", "exp")}))


# -- lightgbm: text

TREE = """Tree=0
num_leaves=3
num_cat=1
split_feature=0 1
split_gain=1 0.5
threshold=0.5 0
decision_type=2 1
left_child=1 -1
right_child=-2 -3
leaf_value=1 2 3
leaf_weight=1 1 1
leaf_count=1 1 1
internal_value=0 0
internal_weight=0 0
internal_count=3 2
cat_boundaries=0 1
cat_threshold=5
is_linear=0
shrinkage=0.1


"""
TEXT = """tree
version=v4
num_class=1
num_tree_per_iteration=1
label_index=0
max_feature_idx=1
objective=regression
feature_names=a b
feature_infos=[0:1] 0:2
tree_sizes={size}

{tree}end of trees

feature_importances:
a=1

parameters:
[boosting: gbdt]
[data: ]
[machines: ]
[num_threads: 1]

end of parameters

pandas_categorical:null
"""


def text(*changes: str) -> str:
    """A model with one piece of it in place of another, by `piece -> other`."""
    grown = TREE
    for change in changes:
        piece, other = change.split(" -> ")
        assert piece in grown or piece in TEXT, piece
        grown = grown.replace(piece, other)
    model = TEXT.format(size=len(grown), tree=grown)
    for change in changes:
        model = model.replace(*change.split(" -> "))
    return model


def light(model: Any, **more: Any) -> bytes:
    return build(new(name("lightgbm.basic", "Booster")), {"_handle": model, "params": {}, **more})


def lightgbm() -> Labelled:
    """The same of the text that lightgbm parses, and of parameters that it is handed whenever it predicts."""
    for label, change in {
        "leaves_lie": "num_leaves=3 -> num_leaves=900",
        "leaves_negative": "num_leaves=3 -> num_leaves=-3",
        "child_outside": "left_child=1 -1 -> left_child=7 -1",
        "leaf_outside": "right_child=-2 -3 -> right_child=-2 -30",
        "child_itself": "left_child=1 -1 -> left_child=0 -1",
        "feature_outside": "split_feature=0 1 -> split_feature=0 1000000",
        "feature_negative": "split_feature=0 1 -> split_feature=0 -9",
        "values_few": "leaf_value=1 2 3 -> leaf_value=1",
        "category_outside": "threshold=0.5 0 -> threshold=0.5 99",
        "category_without_sets": "num_cat=1 -> num_cat=0",
        "sets_outside": "cat_boundaries=0 1 -> cat_boundaries=0 100000",
        "linear_without_lines": "is_linear=0 -> is_linear=1",
        "no_equals_sign": "shrinkage=0.1 -> shrinkage",
        "rounds_of_none": "num_tree_per_iteration=1 -> num_tree_per_iteration=0",
        "classes_without_end": "num_class=1 -> num_class=2000000000",
        "features_lie": "max_feature_idx=1 -> max_feature_idx=0",
        "range_cut": "[0:1] -> [0]",
        "objective_unknown": "objective=regression -> objective=multiclass num_class:0",
        "parameter_of_a_file": "[data: ] -> [data: /etc/passwd]",
        "parameter_of_machines": "[machines: ] -> [machines: 127.0.0.1:9]",
        "parameter_cut": "[boosting: gbdt] -> [boosting]",
        "threads_without_end": "[num_threads: 1] -> [num_threads: 1000000]",
        "line_twice": "label_index=0 -> label_index=0\nlabel_index=0",
    }.items():
        yield label, stream(light(text(change)))
    lines = "is_linear=1\nleaf_const=1 1 1\nnum_features=0 0 1\nleaf_features=  0  \nleaf_coeff=  1e-320  "
    yield "too_small_for_a_float", stream(light(text(f"is_linear=0 -> {lines}")))
    yield "sizes_lie", stream(light(text().replace(f"tree_sizes={len(TREE)}", "tree_sizes=99999999")))
    yield "cut", stream(light(text()[: len(TEXT) // 2]))
    yield "nought", stream(light(text() + "\0"))
    yield "address", stream(light(12345))
    yield "no_address", stream(light(None))
    yield "address_later", stream(build(light(text()), {"_handle": 12345}))
    yield "no_model", stream(build(new(name("lightgbm.basic", "Booster")), {"params": {}}))
    yield "network", stream(light(text(), _network=True))
    freed = {"_InnerPredictor__is_manage_handle": True, "_handle": 12345}
    yield "freed_address", stream(build(new(name("lightgbm.basic", "_InnerPredictor")), freed))
    for label, params in {
        "file": {"forcedsplits_filename": "x.json"},
        "machines": {"machines": "127.0.0.1:9"},
        "wide_rows": {"predict_disable_shape_check": True},
        "blank": {"metric": "l2 predict_disable_shape_check=true"},
        "blank_in_list": {"metric": ["l2 machines=127.0.0.1:9"]},
        "unknown": {"other": 1},
    }.items():
        yield f"parameter_{label}", stream(light(text(), params=params))
        yield (
            f"wrapper_{label}",
            stream(build(new(name("lightgbm.sklearn", "LGBMRegressor")), {"_other_params": params})),
        )
    yield (
        "wrapper_word",
        stream(
            build(
                new(name("lightgbm.sklearn", "LGBMRegressor")),
                {"boosting_type": "gbdt predict_disable_shape_check=true"},
            )
        ),
    )


def sound_models() -> list[bytes]:
    lines = "is_linear=1\nleaf_const=1 1 1\nnum_features=0 0 1\nleaf_features=  0  \nleaf_coeff=  1e-300  "
    linear = light(text(f"is_linear=0 -> {lines}"))
    return [stream(booster(bytearray(boosted()))), stream(light(text())), stream(linear)]


def cases() -> Iterator[Case]:
    for mechanism, group in (("xgboost-lie", xgboost), ("lightgbm-lie", lightgbm)):
        for label, data in group():
            yield Case(f"{mechanism}/{label}", mechanism, data)
