"""joblib's files, whose array bytes stand between instructions, and PyTorch's, whose tensors stand apart.

If these failed, such files would be cried at or left undecided, or an attack would hide behind an array.
"""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier

import torshi
from typed_models import Point

ARRAYS: dict[str, Any] = {
    "numbers": np.arange(1000.0).reshape(10, 100),
    "fortran": np.asfortranarray(np.arange(12).reshape(3, 4)),
    "empty": np.zeros((0, 3)),
    "no dimension": np.array(5.0),
    "text": np.array(["a", "bc"]),
    "fields": np.zeros(3, dtype=[("a", "<i4"), ("b", ">f8")]),
    "dates": np.array(["2020-01-01"], dtype="M8[D]"),
    "bytes like a pickle": np.frombuffer(b"\x80\x04\x95" * 30 + b"cos\nsystem\n" * 9, dtype="u1"),
    "objects": np.array([{1: 2}, None, "x"], dtype=object),
    "large": np.random.default_rng(1).standard_normal(2_200_000),
}


def dumped(value: Any, protocol: int | None = None, **options: Any) -> bytes:
    out = io.BytesIO()
    joblib.dump(value, out, protocol=protocol, **options)
    return out.getvalue()


@pytest.mark.parametrize("protocol", range(2, 6))
@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_are_passed_over_and_read_on_behind(name: str, protocol: int) -> None:
    data = dumped([ARRAYS[name], {"again": ARRAYS[name][:1] if ARRAYS[name].ndim else 1}, Point(1, 2)], protocol)
    result = torshi.scan_bytes(data)
    assert {finding.name for finding in result.findings} == {"typed_models.Point"}, result
    assert {finding.path for finding in result.findings} == {"$[2]"}
    assert result.undecided == ()
    assert torshi.scan_bytes(data, trust=[Point]).verdict == "no findings"
    assert result.format == "joblib"


def test_models_and_frames_are_read_like_their_pickles() -> None:
    numbers = np.random.default_rng(1).random((60, 4))
    classes = (numbers[:, 0] > 0.5).astype(int)
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", None], "c": np.array([(1, 2), "y"], dtype=object)})
    for value in (RandomForestClassifier(3, random_state=1).fit(numbers, classes), frame, {"deep": [frame]}):
        assert torshi.scan_bytes(pickle.dumps(value)).verdict == "no findings"
        for protocol in (2, 4, 5):
            result = torshi.scan_bytes(dumped(value, protocol))
            assert (result.verdict, result.format) == ("no findings", "joblib"), result


def test_forged_trees_are_findings_in_joblibs_layout_too() -> None:
    numbers = np.random.default_rng(1).random((60, 4))
    forest = RandomForestClassifier(1, random_state=1).fit(numbers, numbers[:, 0] > 0.5)
    nodes = forest.estimators_[0].tree_.__getstate__()["nodes"]
    data = dumped(forest)
    assert data.count(nodes.tobytes()) == 1
    forged = nodes.copy()
    forged["left_child"][0] = 10_000
    result = torshi.scan_bytes(data.replace(nodes.tobytes(), forged.tobytes()))
    assert "sklearn.tree._tree.Tree" in {finding.name for finding in result.findings}


def test_compressed_files() -> None:
    value = {"a": np.arange(10), "b": Point(1, 2)}
    for method, name in [("zlib", "zlib"), ("gzip", "gzip"), ("bz2", "bzip2"), ("xz", "xz"), ("lzma", "lzma")]:
        data = dumped(value, compress=method)
        assert torshi.scan_bytes(data).verdict == "findings"
        result = torshi.scan_bytes(data, trust=[Point])
        assert (result.verdict, result.format) == ("no findings", f"{name} > joblib")


class Evil:
    def __reduce__(self) -> Any:
        import os

        return os.system, ("true",)


def test_attacks_behind_and_in_arrays_are_found() -> None:
    for value in ([np.arange(10), Evil()], [Evil(), np.arange(10)], np.array([1, Evil()], dtype=object)):
        for protocol in (2, 4, 5):
            result = torshi.scan_bytes(dumped(value, protocol))
            assert "posix.system" in {finding.name for finding in result.findings}


def test_what_stock_pickle_makes_of_the_bytes_of_an_array_counts() -> None:
    # To joblib these bytes are numbers; stock pickle runs them as instructions.
    payload = b"cposix\nsystem\n(S'true'\ntR0" + b"0" * 6
    array = np.frombuffer(payload, dtype="u1")
    data = dumped(array, 2)
    at = data.index(payload)
    padding = data[at - 1]
    assert padding == 0xFF  # an invalid opcode: joblib's own padding keeps stock pickle out
    for protocol in (2, 3):
        data = dumped(array, protocol)
        at = data.index(payload)
        # As old versions write it: no padding, so that the instructions follow on the BUILD.
        old = data.replace(
            b"X\x1b\x00\x00\x00numpy_array_alignment_bytes", b"X\x1b\x00\x00\x00numpy_array_alignment_nothing"[:32]
        )
        start = old.index(b"b", old.index(b"alignment")) + 1
        old = old[:start] + old[at:]
        assert "posix.system" in {finding.name for finding in torshi.scan_bytes(old).findings}


def test_lying_dtypes_are_findings() -> None:
    data = dumped(np.arange(10.0), 2)
    for old, new in [(b"f8", b"O8"), (b"numpy\nndarray", b"posix\nsystem.")]:
        assert old in data
        assert torshi.scan_bytes(data.replace(old, new, 1)).verdict == "findings"


def test_cut_off_arrays_are_findings() -> None:
    data = dumped([np.arange(1000.0)])
    for length in (len(data) // 2, len(data) - 1):
        assert [finding.code for finding in torshi.scan_bytes(data[:length]).findings] == ["T113"]


# -- PyTorch


class Tensor:
    """Pickled as torch pickles a tensor: a call with a storage by persistent id."""

    def __init__(self, key: str) -> None:
        self.key = key


class TorchPickler(pickle._Pickler):
    def save(self, obj: Any, save_persistent_id: bool = True) -> None:
        if isinstance(obj, Tensor):
            self.write(b"ctorch._utils\n_rebuild_tensor_v2\n(")
            self.write(b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\n")
            super().save(obj.key)
            self.write(b"X\x03\x00\x00\x00cpuK\x0atQK\x00K\x0a\x85K\x01\x85\x89ccollections\nOrderedDict\n)RtR")
            return
        super().save(obj)


def state_dict(value: Any) -> bytes:
    out = io.BytesIO()
    TorchPickler(out, 2).dump(value)
    return out.getvalue()


def torch_zip(value: Any, storage: bytes = bytes(40)) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("model/data.pkl", state_dict(value))
        archive.writestr("model/byteorder", "little")
        archive.writestr("model/data/0", storage)
        archive.writestr("model/version", "3\n")
    return out.getvalue()


def torch_legacy(value: Any, storage: bytes = bytes(40)) -> bytes:
    head = [0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True}]
    parts = [pickle.dumps(part, 2) for part in head]
    return b"".join([*parts, state_dict(value), pickle.dumps(["0"], 2), struct.pack("<q", 10), storage])


TRUST = ["torch._utils._rebuild_tensor_v2", "torch.FloatStorage"]


@pytest.mark.parametrize("make", [torch_zip, torch_legacy])
def test_torch_files_of_tensors_have_no_findings(make: Any) -> None:
    data = make({"weight": Tensor("0")})
    assert torshi.scan_bytes(data, trust=TRUST).verdict == "no findings"
    assert torshi.scan_bytes(data).verdict == "no findings"
    evil = make({"weight": Tensor("0"), "hook": Evil()})
    assert {finding.name for finding in torshi.scan_bytes(evil, trust=TRUST).findings} == {"posix.system"}


@pytest.mark.parametrize("make", [torch_zip, torch_legacy])
def test_storages_that_begin_like_a_pickle_are_numbers(make: Any) -> None:
    for storage in (b"\x80\x02K\x01K\x02" + bytes(34), b"\x80\x04\x95" + bytes(37), b"]q\x00(K" + bytes(35)):
        assert torshi.scan_bytes(make({"weight": Tensor("0")}, storage), trust=TRUST).verdict == "no findings"
    evil = b"\x80\x02cposix\nsystem\nX\x04\x00\x00\x00true\x85R." + bytes(10)
    result = torshi.scan_bytes(make({"weight": Tensor("0")}, evil), trust=TRUST)
    assert {finding.name for finding in result.findings} == {"posix.system"}


def test_persistent_ids_outside_torch_are_findings() -> None:
    result = torshi.scan_bytes(state_dict({"weight": Tensor("0"), "hook": Evil()}), trust=TRUST)
    assert [finding.code for finding in result.findings] == ["T108", "T101"]
