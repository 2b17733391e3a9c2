"""Sparse matrices of scipy and tensors of torch into the arrays they are made of.

A sparse matrix is told by its entries in order, whatever its arrays looked like; a tensor by its elements, wherever
they lie. Never imports either library: what it is asked about is theirs.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any


def sparse_way(cls: type) -> Callable[[Any], object] | None:
    """The function that tells what an instance of a class of scipy holds, if there is one."""
    sparse = sys.modules.get("scipy.sparse")
    if sparse is not None and issubclass(cls, sparse.sparray | sparse.spmatrix):
        return _sparse
    return None


def _sparse(matrix: Any) -> object:
    """Shape, places and entries; what is stored as zero is an entry."""
    if matrix.ndim != 2:
        return _places(matrix.tocoo(copy=True))
    if matrix.format not in ("csr", "csc"):
        matrix = matrix.tocsr(copy=True)
    if not matrix.has_canonical_format:
        matrix = matrix.copy()
        matrix.sum_duplicates()
    return matrix.shape, matrix.indptr.astype("i8"), matrix.indices.astype("i8"), matrix.data


def _places(matrix: Any) -> object:
    matrix.sum_duplicates()
    order = sys.modules["numpy"].lexsort(matrix.coords[::-1])
    return matrix.shape, [axis[order].astype("i8") for axis in matrix.coords], matrix.data[order]


def tensor_way(cls: type) -> Callable[[Any], object] | None:
    """The function that tells what an instance of a class of torch holds, if there is one."""
    torch = sys.modules["torch"]
    if issubclass(cls, torch.Tensor):
        return _tensor
    return _dtype if issubclass(cls, torch.dtype | torch.device) else None


def _dtype(dtype: Any) -> object:
    return str(dtype)


def _tensor(tensor: Any) -> object:
    """The name of its dtype, whether gradients are wanted, and its elements."""
    torch = sys.modules["torch"]
    if tensor.layout is not torch.strided or tensor.is_quantized or tensor.device.type != "cpu":
        return NotImplemented
    plain = tensor.detach().resolve_conj().resolve_neg()
    try:
        elements = plain.numpy()
    except TypeError:
        # numpy has no such numbers, bfloat16 for instance: their bytes.
        elements = plain.contiguous().reshape(-1).view(torch.uint8).numpy()
    return str(tensor.dtype), tuple(tensor.shape), tensor.requires_grad, elements
