"""The entries of all arrays of the parameters, in one vector."""

from collections.abc import Mapping
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Entries"]


class Entries:
    """Where each array stands in a vector (P,) of all entries, in order.

    What is done for every entry is done once for the vector, not array by array: with numpy, small
    arrays take as long as large ones.

    Parameters
    ----------
    values : dict of str to ndarray
        The arrays, by path.

    Attributes
    ----------
    size : int
        P.
    slices : dict of str to slice
        The place of each array.
    filled : list of str
        The paths of the arrays that have entries.
    """

    def __init__(self, values: Mapping[str, NDArray[Any]]) -> None:
        self._shapes = {path: value.shape for path, value in values.items()}
        ends = [0, *accumulate(value.size for value in values.values())]
        self.size = ends[-1]
        self.slices = dict(zip(values, map(slice, ends[:-1], ends[1:]), strict=True))
        self.filled = [path for path, value in values.items() if value.size]
        self._starts = [self.slices[path].start for path in self.filled]
        self._counts = [values[path].size for path in self.filled]

    def split(self, vectors: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Return the parts of vectors (..., P), by path: views (..., shape of the array)."""
        leading = vectors.shape[:-1]
        return {
            path: vectors[..., part].reshape((*leading, *self._shapes[path]))
            for path, part in self.slices.items()
        }

    def joined(self, arrays: Mapping[str, Any], count: int | None = None) -> NDArray[Any]:
        """Return a vector (P,) of arrays; of stacks of `count` arrays, vectors (count, P).

        For arrays that are missing it holds −0, which leaves every number as it is that it is added
        to, −0 too.
        """
        leading = () if count is None else (count,)
        if len(arrays) == len(self.slices):
            parts = [arrays[path].reshape((*leading, -1)) for path in self.slices]
            return np.concatenate(parts, axis=-1) if len(parts) > 1 else parts[0]
        dtype = np.result_type(float, *arrays.values())
        vectors = np.full((*leading, self.size), -0.0, dtype)
        for path, array in arrays.items():
            vectors[..., self.slices[path]] = np.reshape(array, (*leading, -1))
        return vectors

    def of_arrays(self, ufunc: np.ufunc, values: NDArray[Any]) -> Any:
        """Return what a ufunc reduces (P,) to for each array that has entries, in order."""
        return ufunc.reduceat(values, self._starts)

    def spread(self, numbers: Any) -> NDArray[Any]:
        """Return one number of each array that has entries at all of its entries, (P,)."""
        return np.repeat(numbers, self._counts)
