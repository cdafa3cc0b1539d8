"""The same values in other memory layouts, as training hands over the gradient of an output."""

from collections.abc import Callable, Mapping

import numpy as np

from checks._types import FloatArray

__all__ = ["LAYOUTS", "expanded", "laid_out_as", "overwritten"]


def _fortran(array: FloatArray) -> FloatArray:
    return np.array(array, order="F")


def _read_only_slice(array: FloatArray) -> FloatArray:
    """Return every second entry of a larger array; what lies between is nan."""
    part = np.array(array)
    if array.ndim:
        larger = np.full((*array.shape[:-1], 2 * array.shape[-1] + 1), np.nan, array.dtype)
        larger[..., 1::2] = array
        part = larger[..., 1::2]
    part.flags.writeable = False
    return part


# The keys complete the sentence "With a cotangent …".
LAYOUTS: Mapping[str, Callable[[FloatArray], FloatArray]] = {
    "in Fortran order": _fortran,
    "that is a read-only slice of a larger array": _read_only_slice,
}


def expanded(array: FloatArray) -> FloatArray:
    """Return an array of equal entries as one with stride 0, as a sum hands it over."""
    one = np.array(array.flat[:1])
    return np.lib.stride_tricks.as_strided(one, array.shape, (0,) * array.ndim)


def laid_out_as(array: FloatArray, values: FloatArray) -> FloatArray:
    """Return values in new memory, with the strides of an array; what lies between is nan.

    If entries of the array share memory and the values differ there, the result is dense.
    """
    if not array.size:
        return array.copy()
    first, end = np.lib.array_utils.byte_bounds(array)
    memory = np.full((end - first) // array.itemsize, np.nan, array.dtype)
    offset = array.__array_interface__["data"][0] - first
    view: FloatArray = np.ndarray(array.shape, array.dtype, memory, offset, array.strides)
    view[...] = values
    return view if np.array_equal(view, values, equal_nan=True) else np.array(values, array.dtype)


def overwritten(before: Mapping[str, FloatArray], after: Mapping[str, FloatArray]) -> str:
    """Return the first entry that differs bit for bit, and how; an empty string if none does."""
    for path, array in before.items():
        if array.tobytes() != after[path].tobytes():
            differs = np.argwhere(array != after[path])
            index = tuple(int(i) for i in differs[0]) if len(differs) else (0,) * array.ndim
            place = f"{path}[{', '.join(map(str, index))}]" if index else path
            return f"{place} from {array[index]} to {after[path][index]}"
    return ""
