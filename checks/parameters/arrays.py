"""Wraps an array of numpy, PyTorch or JAX; PyTorch and JAX are imported only if used."""

from typing import Any

import numpy as np

from checks.parameters.numpy_arrays import NumpyArray

__all__ = ["is_foreign", "parameter_array"]


def is_foreign(array: Any) -> bool:
    """Whether an array is one of PyTorch or JAX."""
    return _is_jax(array) or hasattr(array, "detach")


def _is_jax(array: Any) -> bool:
    return type(array).__module__.partition(".")[0] in ("jax", "jaxlib")


def parameter_array(array: Any, path: str) -> NumpyArray:
    """Return the wrapper that moves an array in its own library, on its own device.

    Raises
    ------
    TypeError
        It is none of numpy, PyTorch or JAX, or not of real floats.
    """
    if isinstance(array, np.ndarray):
        return NumpyArray(array)
    if _is_jax(array):
        from checks.parameters.jax_arrays import JaxArray

        return JaxArray(array)
    if hasattr(array, "detach"):
        from checks.parameters.torch_arrays import TorchArray

        return TorchArray(array)
    raise TypeError(f"{path} is a {type(array).__name__}, wanted an array of numpy, PyTorch or JAX")
