"""Tensors as arrays of numpy and back: where they lie in memory, their dtypes and devices."""

from functools import cache
from typing import Any

import numpy as np
import torch

__all__ = ["DTYPES", "SPARSE", "Memory", "as_array", "memory_of", "stored_values", "strided"]

# Which dtype of numpy stands for a tensor's. Numbers of 16 bits are exact in float32; a complex
# number is a pair of real ones along a last axis.
DTYPES = {
    torch.float64: np.float64,
    torch.float32: np.float32,
    torch.float16: np.float32,
    torch.bfloat16: np.float32,
    torch.complex128: np.float64,
    torch.complex64: np.float32,
    torch.complex32: np.float32,
}

SPARSE = (torch.sparse_coo, torch.sparse_csr, torch.sparse_csc, torch.sparse_bsr, torch.sparse_bsc)


def as_array(tensor: Any, name: str = "a tensor") -> Any:
    """Return the values of a tensor as `DTYPES` says; they may share its memory.

    Raises
    ------
    TypeError
        The tensor has a dtype that is not in `DTYPES`, or no values.
    """
    if tensor.dtype not in DTYPES or tensor.device.type == "meta":
        names = ", ".join(str(dtype).removeprefix("torch.") for dtype in DTYPES)
        raise TypeError(
            f"{name} is {tensor.dtype} on {tensor.device}, wanted one of {names}, with values: "
            "convert it with .to()"
        )
    dense = tensor.detach()
    if dense.layout is not torch.strided:
        dense = dense.to_dense()
    if dense._is_zerotensor():  # zeros without memory, as autograd makes them
        dense = torch.zeros(dense.shape, dtype=dense.dtype)
    dense = dense.resolve_conj().resolve_neg().cpu()
    if dense.is_complex():
        single = dense.to(torch.complex64) if dense.dtype is torch.complex32 else dense
        dense = torch.view_as_real(single)
    return (dense.float() if dense.dtype.itemsize < 4 else dense).numpy()


@cache
def eps_of(dtype: Any) -> float:
    """Return the spacing of numbers at 1 in a dtype of numpy."""
    return float(np.finfo(dtype).eps)


def strided(
    values: Any, strides: Any, offset: int = 0, dtype: Any = None, device: Any = None
) -> Any:
    """Return a tensor of some values with given strides and offset, counted in entries.

    Entries that would share memory, as in an expanded tensor, get memory of their own where their
    values differ. Memory between the entries holds nan, so that a function that reads it fails.
    """
    places = tuple(stride * values.itemsize for stride in strides)
    dense = np.array(values, order="C")
    if not values.size or (places == dense.strides and not offset):
        return torch.from_numpy(dense).to(device, dtype)
    extent = _extent(values.shape, strides)
    buffer = np.full(offset + extent, np.nan, values.dtype)
    view = np.lib.stride_tricks.as_strided(buffer[offset:], values.shape, places)
    view[...] = values
    if extent < values.size and not np.array_equal(view, values, equal_nan=True):
        return torch.from_numpy(dense).to(device, dtype)
    memory = torch.from_numpy(buffer).to(device, dtype)
    return memory.as_strided(values.shape, strides, offset)


def _extent(shape: Any, strides: Any) -> int:
    """Return how many entries of memory lie from the first to the last entry of an array."""
    return 1 + sum((int(n) - 1) * int(stride) for n, stride in zip(shape, strides, strict=True))


def stored_values(tensor: Any) -> Any:
    """Return the dense tensor that holds the values of a sparse one; a dense one is returned."""
    dense = tensor.detach()
    if tensor.layout in SPARSE:
        return dense._values() if tensor.layout is torch.sparse_coo else dense.values()
    return dense


class Memory:
    """How a tensor lies in memory: its strides, its offset, its device, and its dtype.

    Parameters
    ----------
    tensor
    name : str
        How errors name it.

    Attributes
    ----------
    values : ndarray
        A copy of its values, as `as_array` returns them.
    dtype : torch.dtype
    is_sparse : bool
    """

    is_sparse = False

    def __init__(self, tensor: Any, name: str) -> None:
        self.values = as_array(tensor, name).copy()
        self.dtype = tensor.dtype
        self._shape, self._device = tuple(tensor.shape), tensor.device
        self._strides, self._offset = tensor.stride(), tensor.storage_offset()
        self._conj, self._neg = tensor.is_conj(), tensor.is_neg()
        strides = tuple(stride // self.values.itemsize for stride in self.values.strides)
        is_plain = self.dtype in (torch.float64, torch.float32) and not (self._conj or self._neg)
        # whether a copy of the values lies as the tensor does
        self._is_dense = (
            is_plain
            and (strides, 0) == (self._strides, self._offset)
            and self._device.type == "cpu"
        )

    def is_narrower_than(self, array: Any) -> bool:
        """Whether an array is in a wider dtype than that which stands for this tensor."""
        return eps_of(array.dtype) < eps_of(self.values.dtype)

    def tensor(self, array: Any) -> Any:
        """Return a tensor of other values that lies in new memory as this one does in its own.

        The values may have a leading axis: then it is a stack of such tensors. Its dtype is that of
        this tensor, or that of the array if that is wider or complex.

        Raises
        ------
        TypeError
            PyTorch does not have the dtype, or the parts of a complex number would be complex.
        """
        if array.dtype.itemsize > (16 if array.dtype.kind == "c" else 8):
            raise TypeError(f"PyTorch has no tensors of {array.dtype}")
        if self._is_dense and array.dtype.itemsize >= self.values.itemsize:
            return torch.from_numpy(np.array(array, order="C"))
        dtype = None if self.is_narrower_than(array) or array.dtype.kind == "c" else self.dtype
        stack = array.shape[: array.ndim - self.values.ndim]
        if self.dtype.is_complex:
            if array.dtype.kind == "c":
                raise TypeError("the real part of a complex number cannot be complex")
            pairs = np.ascontiguousarray(array)
            pairs = pairs.view(np.result_type(array.dtype, np.complex64))
            array = pairs.reshape((*stack, *self._shape))
        array = np.conj(array) if self._conj else array
        array = -array if self._neg else array
        apart = self._offset + _extent(self._shape, self._strides)
        strides = (*[apart for _ in stack], *self._strides)
        tensor = strided(array, strides, self._offset, dtype, self._device)
        tensor = tensor.conj() if self._conj else tensor
        return torch._neg_view(tensor) if self._neg else tensor

    def gradient(self, slope: Any) -> Any:
        """Return the gradient by this tensor as an array in the shape of `values`."""
        return as_array(slope)


class SparseMemory(Memory):
    """How a sparse tensor lies in memory: its indices, and how its values do.

    The arrays that stand for it are those of its values; all other entries stay zero.
    """

    is_sparse = True

    def __init__(self, tensor: Any, name: str) -> None:
        self._pattern, values = tensor.detach(), stored_values(tensor)
        super().__init__(values, name)
        places = torch.arange(tensor.numel(), device=tensor.device).reshape(tensor.shape)
        if tensor.layout is torch.sparse_coo:
            self._places = places[tuple(self._pattern._indices())]
        else:
            numbers = 1 + torch.arange(values.numel(), device=values.device).reshape(values.shape)
            numbered = self._like(numbers).to_dense()
            order = numbered[numbered > 0].argsort()
            self._places = places[numbered > 0][order].reshape(values.shape)

    def _like(self, values: Any) -> Any:
        """Return a sparse tensor with other values and the same indices."""
        pattern, size, layout = self._pattern, self._pattern.shape, self._pattern.layout
        if layout is torch.sparse_coo:
            options = {"is_coalesced": pattern.is_coalesced(), "check_invariants": False}
            return torch.sparse_coo_tensor(pattern._indices(), values, size, **options)
        if layout in (torch.sparse_csr, torch.sparse_bsr):
            indices = pattern.crow_indices(), pattern.col_indices()
        else:
            indices = pattern.ccol_indices(), pattern.row_indices()
        return torch.sparse_compressed_tensor(
            *indices, values, size, layout=layout, check_invariants=False
        )

    def tensor(self, array: Any) -> Any:
        """Return a tensor of the same indices, as `Memory.tensor` does of its values."""
        return self._like(super().tensor(array))

    def gradient(self, slope: Any) -> Any:
        """Return the gradient by the values, of a gradient that is dense or sparse."""
        dense = slope if slope.layout is torch.strided else slope.to_dense()
        return as_array(dense.reshape(-1)[self._places.to(dense.device)])


def memory_of(tensor: Any, name: str) -> Memory:
    """Return how a tensor lies in memory; errors name it by `name`."""
    return (SparseMemory if tensor.layout in SPARSE else Memory)(tensor, name)
