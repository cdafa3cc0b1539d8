"""The value of a cost: one number, whatever type the caller's function returns it in."""

import contextlib
from typing import Any

import numpy as np

from checks.parameters.claims import as_array, describe

__all__ = ["as_finite_real", "as_number", "not_a_number"]


def as_number(result: Any) -> Any:
    """Return a cost as a numpy scalar; it may be a float, an array of one, or a scalar tensor.

    Raises
    ------
    TypeError
        It is not exactly one number.
    """
    if isinstance(result, np.inexact):
        return result
    if isinstance(result, (float, complex)):
        return np.asarray(result)[()]
    value = as_array(result)
    if np.ma.is_masked(result):  # numpy takes the number behind the mask
        value = np.asarray(None)
    elif value.size != 1 or value.dtype.kind not in "fciu":
        with contextlib.suppress(Exception):  # another library's scalar
            value = np.asarray(result.item())
    if value.size != 1 or value.dtype.kind not in "fciu":
        raise TypeError(
            f"cost(params) returned {describe(result)}, wanted one number: {_remedy(result)}"
        )
    number = value.astype(np.float64) if value.dtype.kind in "iu" else value
    return number.reshape(())[()]


def as_finite_real(result: Any) -> Any:
    """Return the cost at the point as `as_number` does.

    Raises
    ------
    TypeError
        It is not exactly one number, or a complex one.
    ValueError
        Not finite.
    """
    value = as_number(result)
    if value.dtype.kind == "c":
        raise TypeError(
            f"cost(params) is {result!r}, wanted a real number: take the real part or the "
            "modulus inside the cost"
        )
    if not np.isfinite(value):
        raise ValueError(
            f"cost(params) is {value}, wanted a finite number: a gradient is checked at a "
            "point where the cost is defined"
        )
    return value


def not_a_number(dtype: Any) -> Any:
    """Return nan of a dtype; for a complex dtype both parts are nan."""
    return dtype.type(complex(np.nan, np.nan) if dtype.kind == "c" else np.nan)


def _remedy(result: Any) -> str:
    """Say what to do about a result that is not one number."""
    if result is None:
        return "is a return forgotten in the cost?"
    if np.ma.is_masked(result):
        return "is every entry of it masked?"
    if isinstance(result, tuple) and result:
        first = result[0]
        if isinstance(first, (int, float)) or getattr(first, "shape", None) == ():
            return "let the cost return its value alone, without further results"
    if np.isscalar(result):
        return "let the cost return a float"
    if hasattr(result, "shape"):
        return "reduce it inside the cost, with .sum() or .mean()"
    return "is it the gradient? The cost comes first: check_gradient(cost, gradient, params)"
