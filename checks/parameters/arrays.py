"""Wraps an array of numpy, PyTorch or JAX; PyTorch and JAX are imported only if used."""

from typing import Any

import numpy as np

from checks.parameters.numpy_arrays import NumpyArray

__all__ = ["parameter_array"]


def parameter_array(array: Any, path: str) -> NumpyArray:
    """Return the wrapper that moves an array in its own library, on its own device.

    Raises
    ------
    TypeError
        It is none of numpy, PyTorch or JAX, or not of real floats.
    """
    if isinstance(array, np.ndarray):
        return NumpyArray(array)
    if type(array).__module__.partition(".")[0] in ("jax", "jaxlib"):
        from checks.parameters.jax_arrays import JaxArray

        return JaxArray(array)
    if hasattr(array, "detach"):
        from checks.parameters.torch_arrays import TorchArray

        return TorchArray(array)
    raise TypeError(f"{path} is a {type(array).__name__}, wanted an array of numpy, PyTorch or JAX")
