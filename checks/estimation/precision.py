"""Calls of a function in the next wider dtype: what the result changes by is its rounding."""

import math
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from checks._types import FloatArray, IntArray
from checks.estimation.rounding_mode import call_toward_zero
from checks.evaluation.box import Box
from checks.evaluation.control_flow import is_control_flow
from checks.evaluation.cost_value import as_number
from checks.evaluation.step_sizes import imaginary_step, typical_size
from checks.parameters.nesting import Nesting

__all__ = [
    "EVERY",
    "FAR",
    "LIFTED",
    "LINE",
    "VISIBLE",
    "Copies",
    "Lift",
    "Moves",
    "coarsest_dtype",
    "off_the_line",
    "wider_dtype",
]

# Costs of up to so many parameters are called one precision up as often as serves. A call in long
# double has no BLAS, so that for a large network it takes as long as 20 others.
EVERY = 256
# A stage in the narrow dtype leaves residuals of about 1 in the unit in which a function that lifts
# leaves 2^-9. Of 116,000 arrays behind one narrow stage 54 stay below this in three directions.
LIFTED = 1 / 8
VISIBLE = 16.0  # last places of the wide dtype by which a result must move to show anything
FAR = 37.0  # narrow last places: over so few every cost is linear, and roundings differ
# Points on a line, by their distance from the first. Unevenly spaced: evenly spaced values that are
# rounded to whole last places would often lie on a line again.
LINE = (0.0, 0.625, 1.0, 1.75, 2.25)

Moves = Mapping[str, Any]


class Lift(Enum):
    """Whether a function computes in the wider dtype at every stage."""

    LIFTS = "lifts"
    HIDDEN = "hidden"  # nothing moves that could show it
    NARROW = "narrow"  # some stage is cast: a buffer, a closure, a library


def wider_dtype(dtype: Any) -> np.dtype[Any] | None:
    """Return float64 for float16 and float32, long double for float64; None where there is none.

    On Windows and on macOS on arm64 a long double is a float64.
    """
    narrow: np.dtype[Any] = np.dtype(dtype)
    wide: np.dtype[Any] = np.dtype(np.float64 if narrow.itemsize < 8 else np.longdouble)
    return wide if np.finfo(wide).eps < np.finfo(narrow).eps else None


def coarsest_dtype(values: Mapping[str, FloatArray]) -> Any:
    """Return the coarsest dtype of some arrays."""
    dtypes = (value.dtype for value in values.values())
    return max(dtypes, key=lambda dtype: float(np.finfo(dtype).eps))


class Copies:
    """A function called with copies of its parameters, all in one dtype; no call reuses any.

    The caller hides warnings: see `checks.evaluation.restoring`.

    Parameters
    ----------
    function
        Of parameters nested as `nesting`.
    nesting
    values
        The point, by path; never written to.
    dtype
        float64 or long double; complex steps are taken in its complex counterpart.
    box
        Out of it the function is not called. Default: without bounds.

    Attributes
    ----------
    calls : int
        Of the function.
    said : str
        What it raised last, where that made a result nan.
    overflowed : bool
        Some call met a number too large for the dtype, or divided by 0: what depends on it is lost.
    eps : float
        The spacing of numbers at 1 in the dtype.
    narrow_eps : float
        The same in the coarsest dtype of the values.
    scales : dict of str to float
        The typical size of every array's entries.
    """

    def __init__(
        self,
        function: Callable[[Any], Any],
        nesting: Nesting,
        values: Mapping[str, FloatArray],
        dtype: Any,
        box: Box | None = None,
    ) -> None:
        self._function, self._nesting, self.values = function, nesting, values
        self.box = box or Box(values)
        self.dtype = np.dtype(dtype)
        self.complex_dtype = np.result_type(self.dtype, np.complex64)
        self.eps = float(np.finfo(self.dtype).eps)
        self.narrow_eps = float(np.finfo(coarsest_dtype(values)).eps)
        self.scales = {path: typical_size(value) for path, value in values.items()}
        self.calls = 0
        self.said = ""
        self.overflowed = False

    def result(self, moves: Moves | None = None, *, toward_zero: bool = False) -> Any:
        """Return whatever the function does, with arrays moved by some amounts, by path.

        Raises
        ------
        ValueError
            The moves leave the box.
        """
        moves = moves or {}
        is_complex = any(np.iscomplexobj(move) for move in moves.values())
        dtype = self.complex_dtype if is_complex else self.dtype
        copies = {path: np.array(value, dtype) for path, value in self.values.items()}
        for path, move in moves.items():
            copies[path][...] += move
        if not all(self.box.holds(path, copies[path]) for path in moves):
            raise ValueError("a move leaves the bounds")
        params = self._nesting.rebuild(copies)
        self.calls += 1
        with np.errstate(over="call", divide="call", call=self._note_overflow):
            if toward_zero:
                return call_toward_zero(self._function, params)
            return self._function(params)

    def _note_overflow(self, kind: str, flag: int) -> None:
        self.overflowed = True

    def cost(self, moves: Moves | None = None, *, toward_zero: bool = False) -> Any:
        """Return the function's one number; nan where it raises, whatever that is."""
        try:
            return as_number(self.result(moves, toward_zero=toward_zero))
        except Exception as error:  # a library that refuses the dtype is an answer
            if is_control_flow(error):
                raise
            self.said = f"{type(error).__name__}: {error}"
            return np.asarray(np.nan)

    def slope(
        self, direction: Moves, moves: Moves | None = None, *, toward_zero: bool = False
    ) -> tuple[Any, Any]:
        """Return Im C(θ + ihv)/h and Re C along a direction v of some arrays, by path.

        At the point, or with arrays moved by real amounts besides.
        """
        # a power of two, and small beside small parameters too
        scale = min(1.0, *(self.scales[path] for path in direction))
        h = self.dtype.type(imaginary_step(self.complex_dtype) * 2.0 ** math.frexp(scale)[1])
        moves = dict(moves or {})
        for path, v in direction.items():
            moves[path] = moves.get(path, 0) + 1j * (h * v.astype(self.dtype))
        cost = self.cost(moves, toward_zero=toward_zero)
        if cost.dtype.kind != "c" or self.rounds(cost):
            self.said = self.said or f"cost(params) is {cost!r}"
            return self.dtype.type(np.nan), self.dtype.type(np.nan)
        return cost.imag[()] / h, cost.real[()]

    def slopes(
        self,
        path: str,
        entries: IntArray,
        moves: Moves | None = None,
        *,
        toward_zero: bool = False,
    ) -> tuple[FloatArray, FloatArray]:
        """Return Im C/h and Re C by single entries of an array, (m,) each, one call for each."""
        shape = self.values[path].shape
        both = np.empty((2, entries.size), self.dtype)
        for k, entry in enumerate(entries):
            direction = np.zeros(shape, self.dtype)
            direction.reshape(-1)[entry] = 1
            both[:, k] = self.slope({path: direction}, moves, toward_zero=toward_zero)
        return both[0], both[1]

    def rounds(self, result: Any) -> bool:
        """Whether a result is in a dtype too narrow for this one."""
        return result.dtype.kind not in "fc" or float(np.finfo(result.dtype).eps) > self.eps

    def last_places(self, path: str) -> FloatArray:
        """Return the last place of an array's entries in their own dtype; of 0, the typical one."""
        value = self.values[path]
        size = np.where(value == 0, value.dtype.type(self.scales[path]), value)
        return np.asarray(np.spacing(np.abs(size)), self.dtype)


def off_the_line(line: NDArray[Any]) -> Any:
    """Return by how much values at `LINE` (k, ...) leave the straight line through both ends."""
    t = np.array(LINE).reshape(-1, *[1] * (line.ndim - 1)) / LINE[-1]
    return np.abs(line - line[0] - t * (line[-1] - line[0])).max(axis=0)
