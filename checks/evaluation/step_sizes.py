"""Sizes of steps: of typical entries, of the imaginary step of a dtype, and after rounding."""

import math
from functools import cache
from typing import Any

import numpy as np

from checks._types import FloatArray, IntArray

__all__ = [
    "RESIDUE",
    "SMALL",
    "entry_sizes",
    "imaginary_step",
    "random_signs",
    "steps_taken",
    "typical_size",
]

# The complex step Im C(θ + ih)/h is exact to rounding if h is so small that 1 + h² rounds to 1, but
# so large that h times a small slope does not underflow (Squire and Trapp 1998). These are powers
# of two, because dividing by them is exact.
COMPLEX_STEP = {np.dtype(np.complex64): 2.0**-40}
DEFAULT_COMPLEX_STEP = 2.0**-100

TINY = 2.0**-900  # sums of squares between this and its inverse have lost nothing
# In units of the typical size of an array: an entry below SMALL is stepped relative to its own
# size, not to that of the array. One below RESIDUE, 256 last places of 1 in float64, may be what
# rounding has left of zero: `Evaluations` measures that. Where it is not measured, entries below
# NEGLIGIBLE count as zero.
SMALL, RESIDUE, NEGLIGIBLE = 1e-6, 2.0**-44, 1e-20


@cache
def imaginary_step(dtype: Any) -> float:
    """Return the h of a complex step for parameters of a real or complex dtype."""
    return COMPLEX_STEP.get(np.result_type(dtype, np.complex64), DEFAULT_COMPLEX_STEP)


def typical_size(values: FloatArray) -> float:
    """Return the root mean square of an array's entries; 1 if all are zero."""
    vector = values.astype(float).reshape(-1)
    square, largest = float(np.vdot(vector, vector)), 1.0  # vdot does not warn of overflow
    if not TINY < square < 1 / TINY:  # squares may have overflowed or underflowed
        largest = float(np.abs(vector).max(initial=0))
        vector = vector / (largest or 1.0)
        square = float(np.vdot(vector, vector))
    return largest * math.sqrt(square / vector.size) if largest > 0 else 1.0


def entry_sizes(values: FloatArray, of_array: FloatArray | float | None = None) -> FloatArray:
    """Return |x| of every entry x; for zeros and negligible entries the array's typical size.

    `checks.evaluation.box.Box` lets no entry be moved farther than this. `of_array` is that typical
    size, of one array or of that of each entry, if the caller knows it.
    """
    sizes, of_array = np.abs(values), typical_size(values) if of_array is None else of_array
    return np.where(sizes > NEGLIGIBLE * of_array, sizes, of_array)


def random_signs(shape: tuple[int, ...], rng: np.random.Generator) -> IntArray:
    """Return −1 or 1 for each place of an array."""
    return np.asarray(2 * rng.integers(2, size=shape) - 1)


def steps_taken(x: Any, steps: Any) -> Any:
    """Return the steps that are left when the dtype of x rounds x + step, in float64 or wider."""
    wide = x.astype(np.result_type(x.dtype, np.float64))
    return (wide + steps).astype(x.dtype).astype(wide.dtype) - wide
