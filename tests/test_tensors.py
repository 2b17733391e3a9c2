"""Tensors of torch in files: what `save` writes comes back equal, shared and mapped, by torshi and by stock pickle.

If these failed, tensors would be lost or changed in a file, or loading one would take its size in memory. What is
known of the files without torch is looked at without it; the rest needs torch, whose wheels are too large for the
extra of the tests.
"""

from __future__ import annotations

import importlib.util
import os
import pickle
import subprocess
import sys
import warnings
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import torshi
from torshi._tensors import _KEPT_AS, _Call

if TYPE_CHECKING or importlib.util.find_spec("torch"):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import torch

needs_torch = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="torch is not installed")
quiet = pytest.mark.filterwarnings("ignore:ComplexHalf", "ignore:TypedStorage", "ignore:Sparse", "ignore:.*nested")
SAVED = Path(__file__).parent / "data" / "torch" / "saved.torshi"
LONG = 1 << 20


# -- without torch


def test_a_saved_file_passes_the_check() -> None:
    """Written by torch 2.15: the check needs no torch, and must let through what `save` writes."""
    torshi.check(SAVED.read_bytes()[: torshi.describe(SAVED).stream])
    assert {name for name in torshi.describe(SAVED).globals if name.startswith("torch:")} == {
        "torch:Size", "torch:Tensor.view", "torch:as_strided", "torch:bfloat16", "torch:conj", "torch:device",
        "torch:float16", "torch:from_numpy",
    }  # fmt: skip


def test_a_saved_file_calls_nothing_that_is_private_but_one() -> None:
    """Public functions are there in years to come; `torch.save` itself relies on `_rebuild_parameter`."""
    names = [name.partition(":")[2] for name in torshi.describe(SAVED).globals if name.startswith("torch")]
    assert [name for name in names if name.startswith("_") or "._" in name] == ["_rebuild_parameter"]


def test_a_scan_has_no_findings() -> None:
    (result,) = torshi.scan(SAVED)
    assert (result.verdict, result.findings) == ("no findings", ())


@pytest.mark.skipif(importlib.util.find_spec("torch") is not None, reason="torch is installed")
def test_where_there_is_no_torch_the_load_says_so() -> None:
    with pytest.raises(ModuleNotFoundError, match="torch"):
        torshi.load(SAVED)


@pytest.mark.skipif(importlib.util.find_spec("torch") is not None, reason="torch is installed")
def test_a_program_without_torch_hands_tensors_on(tmp_path: Path) -> None:
    """If this fails, whoever moves files about must have every library that made them."""
    torshi.save(torshi.load(SAVED, missing="placeholder"), tmp_path / "file", key=False)
    assert torshi.describe(tmp_path / "file").globals == torshi.describe(SAVED).globals
    torshi.check((tmp_path / "file").read_bytes()[: torshi.describe(tmp_path / "file").stream])


def row(numbers: Any) -> Any:
    """What stands for a tensor over an array, whatever that is: for files that lie."""
    return _Call(("torch", "from_numpy"), numbers)


def lies() -> dict[str, Any]:
    np = pytest.importorskip("numpy")
    numbers, bools = np.arange(LONG, dtype="f4"), np.zeros(2 * LONG, dtype=bool)
    bools.view("u1")[LONG] = 2
    strided, view = ("torch", "as_strided"), ("torch", "Tensor.view")
    return {
        "beyond": _Call(strided, row(numbers), (LONG,), (1,), 1),
        "wide": _Call(strided, _Call(view, row(numbers), np.dtype("f8")), (1,), (1,), 0),
        "bools": _Call(strided, row(bools), (LONG,), (1,), 0),
        "big endian": row(numbers.astype(">f4")),
        "matrix": row(numbers.reshape(2, -1)),
        "dates": row(numbers.view("M8[s]")),
        "long doubles": row(numbers.view("f16")),
    }


@pytest.mark.parametrize("name", ["beyond", "wide", "bools", "big endian", "matrix", "dates", "long doubles"])
def test_lies_about_large_storages(tmp_path: Path, name: str) -> None:
    """Of what stays in the file the check sees the length alone; what it must see is read, and lies are found."""
    torshi.save(lies()[name], tmp_path / "file", key=False)
    for mmap in (True, False):
        with pytest.raises(torshi.UntrustedError, match=r"torch\.\S+ may not be called with these arguments"):
            torshi.load(tmp_path / "file", mmap=mmap)


def test_saving_other_things_imports_no_torch(tmp_path: Path) -> None:
    """If this fails, every save waits a second for torch."""
    code = "import sys, torshi; torshi.save([1, object], sys.argv[1]); print({'torch', 'numpy'} & {*sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "file")], capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"


# -- with torch


def bits(tensor: Any) -> bytes:
    """The numbers of a tensor in its own order, as they are in memory."""
    plain = tensor.detach().resolve_conj().contiguous()
    return bytes(torch.empty(0, dtype=torch.uint8).set_(plain.untyped_storage()).numpy())[
        : plain.numel() * plain.element_size()
    ]


def assert_same(one: Any, two: Any) -> None:
    assert type(one) is type(two)
    for tell in ("dtype", "shape", "requires_grad", "device", "layout"):
        assert getattr(one, tell) == getattr(two, tell), tell
    assert (one.stride(), one.storage_offset(), one.is_conj()) == (two.stride(), two.storage_offset(), two.is_conj())
    assert bits(one) == bits(two)


def loaded(value: Any, path: Path) -> list[Any]:
    """What comes back of a file: mapped, read, by stock pickle, compressed, through functions by value."""
    torshi.save(value, path, key=False)
    found = [torshi.load(path), torshi.load(path, mmap=False), torshi.load(path, verify=True)]
    with open(path, "rb") as file:
        found.append(pickle.load(file))
    torshi.save(value, path, key=False, compress=True)
    found.append(torshi.load(path))
    torshi.save(value, path, key=False, by_value=True)
    return [*found, torshi.load(path)]


def storage_of(tensor: Any) -> int:
    return int(tensor.untyped_storage().data_ptr())


@needs_torch
@quiet
@pytest.mark.parametrize("name", _KEPT_AS)
def test_every_type_comes_back(tmp_path: Path, name: str) -> None:
    """Of any bits, through gaps, from an offset: what numpy has no type for must not be rounded either."""
    dtype = getattr(torch, name, None)
    if dtype is None:
        pytest.skip(f"this torch has no {name}")
    size = torch.empty(0, dtype=dtype).element_size()
    numbers = (torch.arange(16 * size) * 37 % (2 if name == "bool" else 256)).to(torch.uint8)
    tensor = torch.empty(0, dtype=dtype).set_(numbers.untyped_storage(), 1, (2, 3), (5, 2))
    for back in loaded(tensor, tmp_path / "file"):
        assert_same(tensor, back)
        assert storage_of(back) % size == 0
        assert back.untyped_storage().nbytes() == 16 * size


@needs_torch
def test_views_share_their_storage_again(tmp_path: Path) -> None:
    whole = torch.arange(24.0).reshape(2, 3, 4)
    views = [whole, whole[1, :, ::2], whole.permute(2, 0, 1), whole[0, 0, 0], whole.expand(2, 2, 3, 4), whole[:0]]
    views += [whole.view(torch.int32), whole.view(torch.uint8)[..., ::3], whole.detach()]
    alone = [torch.zeros(()), torch.zeros(0), torch.zeros(2, 0, 3), whole.clone()]
    for back in loaded({"views": views, "alone": alone, "again": views[1]}, tmp_path / "file"):
        for one, two in zip([*views, *alone], [*back["views"], *back["alone"]], strict=True):
            assert_same(one, two)
        assert len(set(map(storage_of, back["views"]))) == 1
        assert storage_of(back["alone"][3]) != storage_of(back["views"][0])
        assert back["again"] is back["views"][1]
        back["views"][0][1, 0, 0] = 99.0
        assert back["views"][1][0, 0] == back["views"][2][0, 1, 0] == 99.0


@needs_torch
def test_a_storage_with_bytes_that_are_no_number(tmp_path: Path) -> None:
    """The rest of its bytes can belong to no tensor of the type, and is left out."""
    tensor = torch.empty(0, dtype=torch.bfloat16).set_(torch.arange(7, dtype=torch.uint8).untyped_storage(), 0, (3,))
    for back in loaded(tensor, tmp_path / "file"):
        assert_same(tensor, back)


@needs_torch
def test_a_storage_is_written_once(tmp_path: Path) -> None:
    whole = torch.arange(50_000.0)
    torshi.save([whole, *(whole[n:] for n in range(50))], tmp_path / "file")
    assert (tmp_path / "file").stat().st_size < 210_000


@needs_torch
def test_gradients_and_parameters(tmp_path: Path) -> None:
    """What is not a leaf comes back as one that keeps gradients, as from `torch.load`."""
    kept, parameter = torch.ones(3, requires_grad=True), torch.nn.Parameter(torch.randn(3, 2))
    complex_ = torch.tensor([1 + 2j, 3j], requires_grad=True)
    value = [
        kept,
        parameter,
        parameter.data,
        kept * 2,
        complex_,
        torch.nn.Parameter(torch.ones(2).int(), False),
        kept[1:],
    ]
    for back in loaded(value, tmp_path / "file"):
        for one, two in zip(value, back, strict=True):
            assert_same(one, two)
            assert two.is_leaf
        assert storage_of(back[1]) == storage_of(back[2])
        assert not back[2].requires_grad
        (back[0].sum() + (back[1] ** 2).sum() + back[4].abs().sum() + back[6].sum()).backward()
        assert back[0].grad.tolist() == [1, 1, 1]
        assert torch.equal(back[1].grad, 2 * back[1])
        with torch.no_grad():
            back[1] -= 1


@needs_torch
def test_conjugated_tensors_stay_so(tmp_path: Path) -> None:
    tensor = torch.tensor([1 + 2j, 3 - 1j])
    for back in loaded([tensor, tensor.conj(), tensor.conj()[1:]], tmp_path / "file"):
        assert [part.is_conj() for part in back] == [False, True, True]
        assert back[1].tolist() == [1 - 2j, 3 + 1j]
        assert len(set(map(storage_of, back))) == 1


def model() -> Any:
    torch.manual_seed(1)
    return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 1).bfloat16())


@needs_torch
def test_a_checkpoint(tmp_path: Path) -> None:
    """State dicts of a model and an optimizer, with what they note beside their items, are used by a new model."""
    trained = model()
    optimizer = torch.optim.Adam(trained[:2].parameters())
    trained[:2](torch.ones(4, 3) * torch.arange(4.0)[:, None]).pow(2).sum().backward()
    optimizer.step()
    value = {"model": trained.state_dict(), "optimizer": optimizer.state_dict(), "dtype": torch.bfloat16, "epoch": 3}
    value |= {"size": torch.Size([2, 3]), "device": torch.device("cpu")}
    for back in loaded(value, tmp_path / "file"):
        assert type(back["model"]) is OrderedDict
        assert back["model"]._metadata == value["model"]._metadata
        assert list(back["model"]) == list(value["model"])
        new = model()
        with torch.no_grad():
            for part in new.parameters():
                part.zero_()
        new.load_state_dict(back["model"])
        for one, two in zip(trained.state_dict().values(), new.state_dict().values(), strict=True):
            assert_same(one, two)
        torch.optim.Adam(new[:2].parameters()).load_state_dict(back["optimizer"])
        assert {key: back[key] for key in ("dtype", "epoch", "size", "device")} == {
            key: value[key] for key in ("dtype", "epoch", "size", "device")
        }


@needs_torch
def test_a_module_comes_back_to_who_saved_or_trusts_it(tmp_path: Path) -> None:
    """A module is classes of code: by one's own seal or by trust, never by default; its weights are as any tensors."""
    path, saved = tmp_path / "file", model()
    saved.append(torch.nn.Linear(1, LONG // 4))
    torshi.save(saved, path)
    torshi.save(saved, tmp_path / "unsealed", key=False)
    with pytest.raises(torshi.UntrustedError, match=r"torch\.nn\.modules\.container\.Sequential"):
        torshi.load(tmp_path / "unsealed")
    for back in (torshi.load(path), torshi.load(tmp_path / "unsealed", trust=["torch.nn.modules.*"])):
        assert repr(back) == repr(saved)
        for one, two in zip(saved.parameters(), back.parameters(), strict=True):
            assert_same(one, two)
        assert torch.equal(back[:2](torch.ones(2, 3)), saved[:2](torch.ones(2, 3)))


@needs_torch
def test_another_version_of_torch_matters_to_modules_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, every file of tensors warns after every release of torch, and the warnings that matter drown."""
    path = tmp_path / "file"
    for value, matters in ([torch.ones(2), torch.nn.Parameter(torch.ones(2)), torch.float16], False), (model(), True):
        torshi.save(value, path)
        with monkeypatch.context() as patch:
            patch.setattr("torshi._drift.installed_version", lambda name: "99.0" if name == "torch" else None)
            changes = [change for change in torshi.describe(path).changes() if change.name == "torch"]
        assert [(change.now, change.matters) for change in changes] == [("99.0", matters)]


@needs_torch
def test_typed_loads(tmp_path: Path) -> None:
    path = tmp_path / "file"
    torshi.save({"a": torch.ones(2), "b": torch.nn.Parameter(torch.ones(1))}, path, key=False)
    assert list(torshi.load(path, dict[str, torch.Tensor])) == ["a", "b"]
    with pytest.raises(torshi.ValidationError, match=r"expected Parameter, got Tensor at \$\.a"):
        torshi.load(path, dict[str, torch.nn.Parameter])


@needs_torch
def test_pickles_outside_of_files_are_as_ever(tmp_path: Path) -> None:
    """`dumps` writes what C pickle writes; loading that stays refused, and says what to do."""
    assert torshi.dumps(torch.ones(2), 4).startswith(pickle.dumps(torch.ones(2), 4)[:40])
    with pytest.raises(torshi.UntrustedError, match=r"write tensors with torshi\.save or torch\.save"):
        torshi.loads(torshi.dumps(torch.ones(2)))


def subclass() -> Any:
    class Marked(torch.Tensor):
        pass

    return torch.ones(1).as_subclass(Marked)


def with_attribute(made: Any) -> Any:
    made.note = "mine"
    return made


UNFIT: dict[str, tuple[Callable[[], Any], str]] = {
    "subclass": (subclass, "a tensor of the class .*Marked cannot be saved; save a torch.Tensor"),
    "meta": (lambda: torch.ones(2, device="meta"), "without numbers"),
    "sparse": (
        lambda: torch.eye(3).to_sparse(),
        "of the layout sparse_coo cannot be saved; save its indices and values",
    ),
    "csr": (lambda: torch.eye(3).to_sparse_csr(), "of the layout sparse_csr"),
    "nested": (lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]), "nested tensors"),
    "negated": (lambda: torch.tensor([1 + 2j]).conj().imag, r"save tensor.resolve_neg\(\)"),
    "attributes": (lambda: with_attribute(torch.ones(1)), r"with attributes of its own \(note\)"),
    "parameter": (lambda: with_attribute(torch.nn.Parameter(torch.ones(1))), r"a parameter with attributes of its own"),
    "expanded": (lambda: torch.ones(1).expand(1 << 33), "of 8589934592 elements over 1 cannot be saved"),
    "axes": (lambda: torch.ones((1,) * 64)[None], "of 65 axes"),
    "storage": (lambda: torch.ones(1).untyped_storage(), "a storage of torch cannot be saved by itself"),
    "typed storage": (lambda: torch.ones(1).storage(), "a storage of torch cannot be saved by itself"),
    "freed storage": (lambda: freed(), "a tensor of 4 numbers over a storage of 0 cannot be saved"),
    "odd storage": (lambda: odd(), "a storage of 6 bytes that tensors of several types share"),
}


def freed() -> Any:
    tensor = torch.ones(4)
    tensor.untyped_storage().resize_(0)
    return tensor


def odd() -> Any:
    storage = torch.arange(6, dtype=torch.uint8).untyped_storage()
    return [torch.empty(0, dtype=torch.int16).set_(storage), torch.empty(0).set_(storage, 0, (1,), (1,))]


@needs_torch
@quiet
@pytest.mark.parametrize("name", UNFIT)
def test_what_cannot_be_saved_says_what_to_do(tmp_path: Path, name: str) -> None:
    """If this fails, a file has another value than it was given, or none that loads; the old file must stay."""
    make, text = UNFIT[name]
    (tmp_path / "file").write_bytes(b"old")
    with pytest.raises(torshi.PicklingError, match=text) as caught:
        torshi.save({"x": [make()]}, tmp_path / "file")
    assert caught.value.path == ("$['x'][0]" if name != "odd storage" else "$['x'][0][1]")  # type: ignore[attr-defined]
    assert (tmp_path / "file").read_bytes() == b"old"


@needs_torch
def test_hooks_are_told_of_as_torch_does(tmp_path: Path) -> None:
    tensor = torch.ones(1, requires_grad=True)
    tensor.register_hook(lambda gradient: gradient * 2)
    with pytest.warns(UserWarning, match="hooks"):
        torshi.save(tensor, tmp_path / "file")
    assert torshi.load(tmp_path / "file").requires_grad


# -- mapping


def is_mapped(tensor: Any, path: Path) -> bool:
    """Whether the numbers of a tensor are a mapping of the file."""
    maps = Path("/proc/self/maps")
    if not maps.exists():
        pytest.skip("memory is read from /proc")
    for line in maps.read_text().splitlines():
        bounds, _, _, _, inode, *_ = line.split()
        low, high = (int(bound, 16) for bound in bounds.split("-"))
        if low <= tensor.data_ptr() < high:
            return int(inode) == path.stat().st_ino
    return False


@needs_torch
def test_large_tensors_stay_in_the_file(tmp_path: Path) -> None:
    """Those of bools are read: that each byte is 0 or 1 is nothing that may change after it was looked at."""
    path = tmp_path / "file"
    numbers, half = torch.arange(LONG, dtype=torch.float32), torch.ones(LONG, dtype=torch.bfloat16)
    bools = torch.ones(2 * LONG, dtype=torch.bool)
    torshi.save({"numbers": numbers, "half": half, "bools": bools, "row": numbers.view(1024, 1024)[1]}, path)
    before = path.read_bytes()
    back = torshi.load(path)
    assert [is_mapped(back[name], path) for name in ("numbers", "half", "row", "bools")] == [True, True, True, False]
    assert not is_mapped(torshi.load(path, mmap=False)["numbers"], path)
    assert back["numbers"].data_ptr() % 64 == back["half"].data_ptr() % 64 == 0
    assert torch.equal(back["numbers"], numbers)
    assert torch.equal(back["bools"], bools)
    back["numbers"] += 1
    assert back["row"][0] == 1025
    assert torch.equal(torshi.load(path)["numbers"], numbers)
    assert path.read_bytes() == before
    torshi.save(back, path)
    assert torshi.load(path)["row"][0] == 1025


@needs_torch
def test_migrating_a_file_keeps_its_tensors(tmp_path: Path) -> None:
    """A rewritten stream makes the same calls, and its buffers stay where they can be mapped."""
    numbers = torch.arange(LONG, dtype=torch.bfloat16)
    torshi.save({"numbers": numbers, "half": numbers[: LONG // 2]}, tmp_path / "file", compress=True)
    torshi.migrate(tmp_path / "file", tmp_path / "new", compress=False)
    back = torshi.load(tmp_path / "new")
    assert_same(back["numbers"], numbers)
    assert storage_of(back["half"]) == storage_of(back["numbers"])
    assert is_mapped(back["numbers"], tmp_path / "new")


@needs_torch
def test_mutants_of_tensors_end_no_process() -> None:
    """A few of the mutants of `science.fuzz_state`, which has run over many more."""
    count = os.environ.get("TORSHI_MUTANTS", "300")
    command = [sys.executable, "-W", "ignore", "-m", "science.fuzz_state", "torch", "--mutants", count]
    path = os.pathsep.join(part for part in sys.path if part)
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(
        command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stdout
    assert "deaths: none" in done.stdout
