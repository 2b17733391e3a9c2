"""Writes the files of this folder with the torch that is installed; those here are of torch 2.15.0.

python tests/data/torch/make.py tests/data/torch
"""

from __future__ import annotations

import collections
import pickle
import sys
from pathlib import Path
from typing import Any

import torch

import torshi

DTYPES = ["float32", "float64", "float16", "bfloat16", "uint8", "int8", "int16", "int32", "int64", "bool", "complex64"]


def values() -> dict[str, Any]:
    """What the files hold, by name."""
    torch.manual_seed(1)
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(4, 3)).sum().backward()
    optimizer.step()
    whole = torch.arange(24.0).reshape(2, 3, 4)
    return {
        "dtypes": {name: torch.ones(3).to(getattr(torch, name)) for name in DTYPES},
        "views": [whole, whole[1, :, ::2], whole.permute(2, 0, 1), whole[0, 0, 0], whole.expand(2, 2, 3, 4), whole[:0]],
        "state_dict": model.state_dict(),
        "checkpoint": {
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "epoch": 3,
            "device": torch.device("cpu"),
            "dtype": torch.float16,
            "size": torch.Size([1, 2]),
        },
        "parameter": collections.OrderedDict(
            w=torch.nn.Parameter(torch.ones(2, 2)), frozen=torch.nn.Parameter(torch.ones(1), False)
        ),
        "conjugated": torch.tensor([1 + 2j]).conj(),
    }


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    for name, value in values().items():
        torch.save(value, folder / f"{name}.pt")
        torch.save(value, folder / f"{name}.legacy.pt", _use_new_zipfile_serialization=False)
    torch.save(torch.nn.Linear(2, 1), folder / "module.pt")  # classes, which no table lists
    (folder / "tensor.pkl").write_bytes(pickle.dumps(torch.ones(2), 4))  # calls torch's loader on bytes
    torshi.save(values(), folder / "saved.torshi", key=False)
