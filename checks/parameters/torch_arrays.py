"""Tensors of PyTorch as parameters: moved and projected on the device they are on."""

from typing import Any

import numpy as np
import torch

from checks._types import FloatArray
from checks.parameters.claims import overlaps
from checks.parameters.numpy_arrays import NumpyArray, known_dtype

__all__ = ["TorchArray"]

Array = Any  # a tensor


class TorchArray(NumpyArray):
    """A tensor of PyTorch, on any device. Its entries are not copied to the host."""

    def _take(self, array: Array) -> np.dtype[Any]:
        self.real = array
        if not array.is_contiguous():
            matrix = array.detach().reshape(self.whole.shape)
            # several entries of an expanded tensor are one number: they are moved in a copy
            if matrix.data_ptr() != array.data_ptr() or overlaps(array.shape, array.stride(), 1):
                self.real = matrix.clone(memory_format=torch.contiguous_format).view(array.shape)
        return known_dtype(str(array.dtype).removeprefix("torch."))

    def _copy(self) -> Array:
        return self.real.detach().clone()

    def _empty_complex(self) -> Array:
        dtype = torch.complex128 if self.dtype.itemsize == 8 else torch.complex64
        return torch.empty_like(self._saved, dtype=dtype)

    def _matrix(self, array: Array) -> Array:
        return array.detach().view(self.whole.shape)

    def _native(self, factor: FloatArray) -> Array:
        return torch.from_numpy(factor).to(self.real.device)

    def _in_float64(self, part: Array) -> Array:
        return part.double()

    def _write_product(self, r: FloatArray, c: FloatArray, out: Array) -> None:
        torch.mul(self._native(r), self._native(c), out=out)

    def _equals_saved(self) -> bool:
        return bool((self.real == self._saved).all())

    def accept_claim(self, array: Array) -> Array:
        """Return a claimed gradient of this tensor, copied if it shares this tensor's memory."""
        if not isinstance(array, torch.Tensor) or not array.is_floating_point():
            raise TypeError(
                f"gradient has a {type(array).__name__} of {array.dtype}, wanted a tensor of "
                "floats, as params have: torch.from_numpy makes one of an array"
            )
        array = array.detach()
        same = array.untyped_storage().data_ptr() == self.real.untyped_storage().data_ptr()
        return array.clone() if same else array

    def norm(self, claim: Array) -> float:
        """Return the claim's norm ‖g‖₂; nan or inf if an entry is not finite."""
        return float(claim.detach().double().norm())

    def largest(self, claim: Array) -> float:
        """Return the largest |entry|; nan or inf if one is not finite."""
        return float(claim.detach().abs().max())
