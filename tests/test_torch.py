"""PyTorch files: what torch wrote, scanned without torch, and loaded by torch under a guard where it is installed.

If these failed, a checkpoint of tensors would be cried at, or a forged one would reach memory beside its storages.
"""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

import torshi

FOLDER = Path(__file__).parent / "data" / "torch"
TENSORS = sorted(path.name for path in FOLDER.glob("*.pt") if path.stem != "module")


@pytest.mark.parametrize("name", TENSORS)
def test_tensors_and_state_dicts_have_no_findings(name: str) -> None:
    (result,) = torshi.scan(FOLDER / name)
    assert (result.verdict, result.findings, result.remarks) == ("no findings", (), ())
    assert result.pickles >= 1


def test_there_are_files_of_both_layouts() -> None:
    assert len(TENSORS) == 12
    assert sum(name.endswith(".legacy.pt") for name in TENSORS) == 6


def test_modules_are_classes_that_nobody_lists() -> None:
    (result,) = torshi.scan(FOLDER / "module.pt")
    assert "torch.nn.modules.linear.Linear" in {finding.name for finding in result.findings}


@pytest.mark.parametrize("trust", [None, ["torch.storage._load_from_bytes"]])
def test_plain_pickles_of_tensors_say_why_they_do_not_load(trust: Any) -> None:
    """They hand bytes to torch's loader, which asks no policy: not even a user's entry makes that a checked load."""
    data = (FOLDER / "tensor.pkl").read_bytes()
    with pytest.raises(torshi.UntrustedError, match="torch would unpickle these bytes unchecked; write tensors with"):
        torshi.check(data, trust=trust)


def names(data: bytes) -> set[str]:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a/data.pkl", data)
        archive.writestr("a/version", "3\n")
        archive.writestr("a/data/0", bytes(4096))
    return {f"{finding.code} {finding.name}" for finding in torshi.scan_bytes(out.getvalue()).findings}


def text(value: bytes) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value


def storage(cls: bytes = b"torch\nFloatStorage", count: int = 6) -> bytes:
    return (
        b"("
        + text(b"storage")
        + b"c"
        + cls
        + b"\n"
        + text(b"0")
        + text(b"cpu")
        + b"J"
        + struct.pack("<i", count)
        + b"tQ"
    )


def tensor(
    offset: int = 0, sizes: bytes = b"K\x02K\x03\x86", strides: bytes = b"K\x03K\x01\x86",
    hooks: bytes = b"ccollections\nOrderedDict\n)R", end: bytes = b"", held: bytes | None = None,
) -> bytes:  # fmt: skip
    number = b"\x8a\x08" + struct.pack("<q", offset)
    arguments = (storage() if held is None else held) + number + sizes + strides + b"\x89" + hooks
    return b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(" + arguments + b"tR" + end + b"."


def test_honest_tensors_pass() -> None:
    assert names(tensor()) == set()
    assert names(tensor(sizes=b"K\x00K\x03\x86")) == set()
    assert names(tensor(sizes=b")", strides=b")", offset=5)) == set()


FORGED = {
    "offset beyond": tensor(offset=1),
    "offset negative": tensor(offset=-1),
    "sizes beyond": tensor(sizes=b"K\x02K\x04\x86"),
    "strides beyond": tensor(strides=b"K\x04K\x01\x86"),
    "stride huge": tensor(strides=b"\x8a\x08" + b"\xff" * 7 + b"\x7fK\x01\x86"),
    "stride negative": tensor(strides=b"J\xff\xff\xff\xffK\x01\x86"),
    "axes disagree": tensor(strides=b"K\x01\x85"),
    "count negative": tensor(held=storage(count=-1)),
    "empty beyond": tensor(sizes=b"K\x00K\x03\x86", offset=7),
    "no storage": tensor(held=b"K\x01"),
    "another id": tensor(held=text(b"x") + b"Q"),
    "hooks": tensor(hooks=b"ccollections\nOrderedDict\n)RK\x01K\x02s"),
    "hooks given later": tensor(hooks=b"ccollections\nOrderedDict\n)Rq\x01", end=b"h\x01K\x01K\x02s0"),
    "state of a storage": tensor(held=storage() + b"}" + text(b"a") + b"K\x01sb"),
    "class of another library": tensor(held=storage(cls=b"builtins\nbytearray")),
}


@pytest.mark.parametrize("name", FORGED)
def test_forged_tensors_are_findings(name: str) -> None:
    found = names(FORGED[name])
    assert found
    assert all(code.startswith(("T102", "T104", "T105", "T107")) for code in found), found


def test_persistent_ids_are_the_programs_own_elsewhere() -> None:
    """What stands for a storage in the check is whatever the program's hook gives."""
    data = b"\x80\x02" + storage() + b"."
    with pytest.raises(torshi.UnpicklingError, match="persistent id"):
        torshi.loads(data)


GUARDED = """
import sys, torch, torshi
sys.path.insert(0, sys.argv[1])
import make
for name, value in make.values().items():
    for layout in ("", ".legacy"):
        path = f"{sys.argv[1]}/{name}{layout}.pt"
        with torshi.guard():
            loaded = torch.load(path, weights_only=False)
        plain = torch.load(path, weights_only=False)
        assert repr(loaded) == repr(plain), name
for path in ("module.pt",):
    try:
        with torshi.guard():
            torch.load(f"{sys.argv[1]}/{path}", weights_only=False)
    except torshi.UntrustedError as error:
        assert "Linear" in str(error)
    else:
        raise SystemExit("a module was loaded")
print("done")
"""


def test_torch_loads_them_under_a_guard() -> None:
    probe = subprocess.run([sys.executable, "-W", "ignore", "-c", "import torch"], capture_output=True, check=False)
    if probe.returncode:
        pytest.skip("torch is not installed")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", GUARDED, str(FOLDER)], capture_output=True, text=True, check=False
    )
    assert done.stdout == "done\n", done.stderr
