"""Calls of a function in the next wider dtype: what the result changes by is its rounding.

A function *lifts* if every stage of it computes in the wider dtype when its parameters have it. A
*narrow* stage does not: a cast, a buffer of np.zeros. It rounds alike in both calls, so that the
change of the result does not show its rounding. Hence the tests of whether a function lifts.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import Enum
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from checks._types import FloatArray, IntArray
from checks.estimation.narrowing import Narrowing
from checks.estimation.rounding_mode import call_toward_zero
from checks.evaluation.box import Box
from checks.evaluation.control_flow import is_control_flow
from checks.evaluation.cost_value import as_number, not_a_number
from checks.evaluation.pointwise import Evaluations
from checks.evaluation.step_sizes import imaginary_step
from checks.parameters.nesting import Nesting

__all__ = [
    "EVERY",
    "FAR",
    "LIFT_LIMIT",
    "LINE",
    "NODES",
    "VISIBLE",
    "Copies",
    "Lift",
    "Moves",
    "coarsest_dtype",
    "copies_of",
    "off_a_polynomial",
    "off_the_line",
    "real_if_possible",
    "wider_dtype",
]

# For up to so many parameters, every entry is measured in the wider dtype; for more, a few entries.
# Long double has no BLAS, so that a large network takes 20 times as long in it.
EVERY = 256
# A test of the lift divides the deviation that it finds by what a narrow stage would make of it:
# about 1 with such a stage, about 1/100 or less without. Up to LIFT_LIMIT, the function lifts. Of
# 116,000 arrays with one narrow stage, 54 passed in three random directions.
LIFT_LIMIT = 1 / 8
VISIBLE = 16.0  # a change of a result by fewer last places of the wide dtype may be rounding
# Points along a line, as multiples of a move. They are unevenly spaced, because values at even
# spacings that are rounded to whole last places often lie on a straight line again.
LINE = (0.0, 0.625, 1.0, 1.75, 2.25)
# Points along a longer line, and the degree of a polynomial that a smooth function is there. They
# are uneven, as values at even spacings may round alike, and make no step to the point itself.
NODES, DEGREE = np.array([-1, -0.8, -0.55, -0.3, -0.12, 0.2, 0.42, 0.65, 0.9]), 4
# Costs are moved by FAR last places of the narrow dtype times the factors LINE. Over so few places
# every cost is linear; over so many, the points round differently.
FAR = 37.0

# The most numbers in the arrays of all points of one call.
MAX_STACKED = 2**17
# Libraries share longer loops among threads, each of which has a rounding mode of its own.
ONE_THREAD = 2**14

Moves = Mapping[str, Any]


class Lift(Enum):
    """Whether every stage of a function computes in the wider dtype, as far as tests show."""

    LIFTS = "lifts"
    HIDDEN = "hidden"  # the result moves too little to tell
    NARROW = "narrow"  # some stage computes in the narrow dtype, or refuses the wide one


def wider_dtype(dtype: Any) -> np.dtype[Any] | None:
    """Return float64 for float16 and float32, long double for float64; None where there is none.

    On Windows and on macOS on arm64 a long double is a float64.
    """
    narrow: np.dtype[Any] = np.dtype(dtype)
    wide: np.dtype[Any] = np.dtype(np.float64 if narrow.itemsize < 8 else np.longdouble)
    return wide if np.finfo(wide).eps < np.finfo(narrow).eps else None


def coarsest_dtype(values: Mapping[str, FloatArray]) -> Any:
    """Return the coarsest dtype of some arrays."""
    dtypes = {value.dtype for value in values.values()}
    return max(dtypes, key=lambda dtype: float(np.finfo(dtype).eps))


def copies_of(
    evaluations: Evaluations, dtype: Any = None, function: Callable[[Any], Any] | None = None
) -> "Copies":
    """Return a function, by default the cost, to be called with copies of the parameters.

    They have a dtype in common, by default the widest of the parameters.
    """
    values = evaluations.values
    dtype = dtype or np.result_type(*(value.dtype for value in values.values()))
    function = function or evaluations.cost
    return Copies(function, evaluations.nesting, values, dtype, evaluations.box)


class Copies:
    """Calls a function with copies of its parameters, all in one dtype, made anew for every call.

    Where entries of an array move one at a time, the copies are the same for all of them.

    Warnings of the function are not hidden here, but by `checks.evaluation.restoring`.

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
        Where the function may be called. Default: the box without the caller's bounds.

    Attributes
    ----------
    calls : int
        How often the function was called.
    refused : bool
        Some stage of the function refused the wide dtype, and gets narrow arguments since then.
    narrowed : list
        The functions inside that got narrow arguments.
    always_refused : bool
        It refused these as well, so that it is not called any more: its results are nan.
    said : str
        What the function last raised where a result is nan for that, or what it returned instead.
    overflowed : bool
        Some call met a number too large for the dtype, or divided by 0.
    eps : float
        The spacing of numbers at 1 in the dtype.
    shared : bool
        As in `checks.evaluation.pointwise.Evaluations`.
    narrow_eps : float
        The same in the coarsest dtype of the values.
    follow : callable, optional
        Takes each of the copies, and returns what the function gets instead.
    scales : dict of str to float
        The typical size of every array's entries at the point of the box.
    size : int
        The number of entries of all arrays.
    """

    def __init__(
        self,
        function: Callable[[Any], Any],
        nesting: Nesting,
        values: Mapping[str, FloatArray],
        dtype: Any,
        box: Box | None = None,
    ) -> None:
        self._function: Any = function
        self._at_points: Any = getattr(function, "at_points", None)
        self._takes_many = self._at_points is not None and hasattr(function, "complex_steps")
        self._nesting, self.values = nesting, values
        self.box = box or Box(values)
        self.dtype = np.dtype(dtype)
        self.complex_dtype = np.result_type(self.dtype, np.complex64)
        self.eps = float(np.finfo(self.dtype).eps)
        self.narrow_eps = float(np.finfo(coarsest_dtype(values)).eps)
        self.scales = self.box.scales
        self.size = sum(value.size for value in values.values())
        # the most points of one call
        self._most = min(getattr(function, "most", MAX_STACKED), max(1, MAX_STACKED // self.size))
        self.calls = 0
        self.refused = self.always_refused = False
        self.narrowed: list[Any] = []
        self.said = ""
        self.overflowed = False
        self.follow: Callable[[Any], Any] | None = None
        self._latest: tuple[Any, Any] = (None, None)  # arrays, and the parameters that hold them
        self.shared = getattr(function, "shared", False)

    def result(self, moves: Moves | None = None, *, toward_zero: bool = False) -> Any:
        """Return the result of the function, with arrays moved by `moves`, by path.

        Raises
        ------
        ValueError
            The moves leave the box.
        """
        arrays = self._moved(moves or {})
        with self._noting_overflow():
            return self._result(arrays, toward_zero)

    def _result(self, arrays: Mapping[str, Any], toward_zero: bool) -> Any:
        """Return the result for some arrays, as `Narrowing` if a stage refuses the wide dtype."""
        self.calls += 1
        try:
            return self._called(self._function, arrays, toward_zero)
        except TypeError:  # as np.linalg raises it
            if self.refused or not self.eps < self.narrow_eps:
                raise
        self.refused = True
        return self._result(arrays, toward_zero)

    def _moved(
        self, moves: Moves, count: int | None = None, *, is_complex: bool = False
    ) -> dict[str, Any]:
        """Return new copies of the arrays, moved; those of `count` points, stacked."""
        is_complex = is_complex or any(map(np.iscomplexobj, moves.values()))
        dtype = self.complex_dtype if is_complex else self.dtype
        arrays = {path: np.array(value, dtype) for path, value in self.values.items()}
        if count is not None:
            arrays = {
                p: a[None].repeat(count, axis=0)
                if p in moves
                else np.broadcast_to(a, (count, *a.shape))
                for p, a in arrays.items()
            }
        for path, move in moves.items():
            arrays[path][...] += move
        if not self.box.holds_all({path: arrays[path] for path in moves}):
            raise ValueError("a move leaves the bounds")
        return arrays

    def _called(
        self, function: Callable[[Any], Any], arrays: Mapping[str, Any], toward_zero: bool
    ) -> Any:
        """Return a function of the parameters that hold these arrays."""
        if self.refused:
            arrays = {p: Narrowing.of(array, self.narrowed) for p, array in arrays.items()}
        if self.follow is not None:
            arrays = {path: self.follow(array) for path, array in arrays.items()}
        if arrays is not self._latest[0]:  # where entries move one by one it is the same
            self._latest = arrays, self._nesting.rebuild(arrays)
        params = self._latest[1]
        return call_toward_zero(function, params) if toward_zero else function(params)

    def _noting_overflow(self) -> np.errstate:
        return np.errstate(over="call", divide="call", call=self._note_overflow)

    def _note_overflow(self, kind: str, flag: int) -> None:
        self.overflowed = True

    def cost(self, moves: Moves | None = None, *, toward_zero: bool = False) -> Any:
        """Return the `result` as one number; nan if the function raises an exception."""
        try:
            arrays = self._moved(moves or {})
        except ValueError as error:
            self.said = f"{type(error).__name__}: {error}"
            return self.dtype.type(np.nan)
        with self._noting_overflow():
            return self._cost_of(arrays, toward_zero)

    def _cost_of(self, arrays: Mapping[str, Any], toward_zero: bool) -> Any:
        """Return the cost of some arrays; nan if the function raises an exception."""
        if self.always_refused:
            return self.dtype.type(np.nan)
        try:
            return as_number(self._result(arrays, toward_zero))
        except Exception as error:  # a library may refuse the dtype
            if is_control_flow(error):
                raise
            self.always_refused |= isinstance(error, TypeError) and self.eps < self.narrow_eps
            self.said = f"{type(error).__name__}: {error}"
            return self.dtype.type(np.nan)

    def slope(
        self, direction: Moves, moves: Moves | None = None, *, toward_zero: bool = False
    ) -> tuple[Any, Any]:
        """Return Im C(θ + ihv)/h and Re C along a direction v of some arrays, by path.

        Before the complex step, θ is moved by `moves`, which are real.
        """
        h, moves = self._stepped(direction, moves)
        cost = self._complex(self.cost(moves, toward_zero=toward_zero))
        return cost.imag / h, cost.real

    def _complex(self, cost: Any) -> Any:
        """Return a cost; nan if it is not complex, or in a narrower dtype."""
        if cost.dtype == self.complex_dtype or (cost.dtype.kind == "c" and not self.rounds(cost)):
            return cost
        self.said = self.said or f"cost(params) is {cost!r}"
        return not_a_number(self.complex_dtype)

    def slopes(
        self,
        entries: Mapping[str, IntArray],
        moves: Moves | None = None,
        *,
        toward_zero: bool = False,
    ) -> tuple[dict[str, FloatArray], dict[str, FloatArray]]:
        """Return Im C/h and Re C for complex steps of single entries, by path: a call for each.

        A cost that takes many points is called once for all entries, if these are few. An analytic
        cost may move all entries of an array in one call, see `checks.evaluation.pointwise`.

        Parameters
        ----------
        entries : dict of str to (m,) int
            Flat indices into some arrays, by path.
        moves, toward_zero
            As in `slope`.
        """
        steps, moves = {path: self._step([path]) for path in entries}, moves or {}
        if self._takes_many:
            costs = self._analytic_costs(entries, steps, moves, toward_zero)
        else:
            costs = self._stacked_costs(entries, steps, moves, toward_zero) or {}
        for path, some in entries.items():
            if path not in costs and len(entries) > 1:
                costs |= self._stacked_costs({path: some}, steps, moves, toward_zero) or {}
            if path not in costs:
                costs[path] = self._costs_of_array(path, some, steps[path], moves, toward_zero)
        found = {path: array.imag / steps[path] for path, array in costs.items()}
        return found, {path: array.real for path, array in costs.items()}

    def _analytic_costs(
        self, entries: Mapping[str, IntArray], steps: Moves, moves: Moves, toward_zero: bool
    ) -> dict[str, Any]:
        """Return costs with single entries moved, all of an array at once by the cost itself."""

        def costs_at(params: Any) -> dict[str, Any]:
            costs = self._function.complex_steps(params, steps)
            return {path: costs[path][some] for path, some in entries.items()}

        self.calls += sum(map(np.size, entries.values()))
        with self._noting_overflow():
            found: dict[str, Any] = self._called(costs_at, self._moved(moves), toward_zero)
        return found

    def _stacked_costs(
        self, entries: Mapping[str, IntArray], steps: Moves, moves: Moves, toward_zero: bool
    ) -> dict[str, Any] | None:
        """Return costs with single entries moved, all from one call; None where that fails."""
        counts = list(map(np.size, entries.values()))
        count = sum(counts)
        most = min(self._most, ONE_THREAD // self.size) if toward_zero else self._most
        if self._at_points is None or not 2 <= count <= most:
            return None
        stacked, ends = dict(moves), np.cumsum(counts)
        for (path, some), end in zip(entries.items(), ends, strict=True):
            value = self.values[path]
            move = np.zeros((count, value.size), self.complex_dtype)
            move[np.arange(end - some.size, end), some] = 1j * steps[path]
            stacked[path] = moves.get(path, 0) + move.reshape(count, *value.shape)
        costs = self._costs_at(self._moved(stacked, count), count, toward_zero)
        if costs is None:
            return None
        return dict(zip(entries, np.split(costs, ends[:-1]), strict=True))

    def _costs_at(self, arrays: Moves, count: int, toward_zero: bool = False) -> Any:
        """Return costs at points that are stacked, from one call; None if that fails."""
        if self._at_points is None or self.always_refused:
            return None
        is_complex = any(map(np.iscomplexobj, arrays.values()))
        try:
            with self._noting_overflow():
                costs = self._called(self._at_points, arrays, toward_zero)
            if np.iscomplexobj(costs) == is_complex and not self.rounds(costs):
                self.calls += count
                return costs
        except Exception as error:
            if is_control_flow(error):
                raise
        self._at_points = None  # it is not asked again
        return None

    def _costs_of_array(
        self, path: str, entries: IntArray, h: Any, moves: Moves, toward_zero: bool
    ) -> Any:
        """Return complex costs (m,) with entries of an array moved by ih one at a time."""
        arrays = self._moved(moves, is_complex=True)
        flat, costs = arrays[path].flat, np.empty(entries.size, self.complex_dtype)
        saved, step = flat[entries], 1j * h
        with self._noting_overflow():
            for k, entry in enumerate(entries.tolist()):
                flat[entry] += step
                costs[k] = self._complex(self._cost_of(arrays, toward_zero))
                flat[entry] = saved[k]
        return costs

    def slopes_along(
        self, directions: Moves | NDArray[Any], moves: Moves | NDArray[Any] | None = None
    ) -> Iterator[Any]:
        """Yield what `slope` finds along k directions, as `costs` takes moves."""
        paths: Iterable[str] = self.box.entries.filled
        if isinstance(directions, Mapping):
            paths, directions = list(directions), self._vectors(directions)
        h = self._step(paths)
        points = np.empty(directions.shape, self.complex_dtype)
        points.real = 0 if moves is None else self._vectors(moves)
        np.multiply(directions, h, out=points.imag, casting="same_kind")
        for cost in self.costs(points):
            yield self._complex(cost).imag / h

    def _vectors(self, moves: Moves | NDArray[Any]) -> NDArray[Any]:
        """Return the moves of k points as vectors of all entries, (k, P)."""
        if not isinstance(moves, Mapping):
            return moves
        count = len(next(iter(moves.values()))) if moves else 1
        return self.box.entries.joined(moves, count)

    def costs(self, moves: Moves | NDArray[Any]) -> Iterator[Any]:
        """Yield the `cost` at k points; moves are (k, ...), by path, or of all entries, (k, P).

        A cost that takes many points is called once for all of them, if these are not too large.
        """
        moves = self._vectors(moves)
        count, split = len(moves), self.box.entries.split
        most = count if self._takes_many else self._most
        for first in range(0, count, most):
            part = moves[first : first + most]
            points = self._vector + part
            if not self.box.holds(points).all():  # some are outside
                yield from map(self.cost, map(split, part))
                continue
            arrays = split(points)
            costs = self._costs_at(arrays, len(part))
            if costs is not None:
                yield from costs
                continue
            for k in range(len(part)):
                with self._noting_overflow():
                    cost = self._cost_of({path: a[k] for path, a in arrays.items()}, False)
                yield cost

    @cached_property
    def _vector(self) -> NDArray[Any]:
        """The point, (P,)."""
        return self.box.entries.joined(self.values).astype(self.dtype)

    def _stepped(self, directions: Moves, moves: Moves | None) -> tuple[Any, dict[str, Any]]:
        """Return h, and the moves with complex steps ihv along directions."""
        h, stepped = self._step(directions), dict(moves or {})
        for path, v in directions.items():
            stepped[path] = stepped.get(path, 0) + 1j * (h * v.astype(self.dtype))
        return h, stepped

    def _step(self, paths: Iterable[str]) -> Any:
        """Return h of complex steps: a power of two, so that dividing by it is exact.

        It is small beside the smallest of the arrays.
        """
        scale = min(1.0, *(self.scales[path] for path in paths))
        return self.dtype.type(imaginary_step(self.complex_dtype) * 2.0 ** math.frexp(scale)[1])

    def rounds(self, result: Any) -> bool:
        """Whether a result is in a dtype narrower than that of the copies, or holds no floats."""
        return result.dtype.kind not in "fc" or float(np.finfo(result.dtype).eps) > self.eps

    def last_places(self, path: str, move: Any = 0) -> FloatArray:
        """Return the last place of every entry in its own dtype, and for zeros a typical one.

        They are those of entries to which a move has been added.
        """
        value = (self.values[path] + move).astype(self.values[path].dtype)
        return np.asarray(_last_places(value, self.scales[path]), self.dtype)

    def all_last_places(self) -> FloatArray:
        """Return the `last_places` of all entries, (P,)."""
        if len({value.dtype for value in self.values.values()}) > 1:
            return self.box.entries.joined({path: self.last_places(path) for path in self.values})
        vector = self.box.entries.joined(self.values)
        return _last_places(vector, self.box.typical).astype(self.dtype)


def _last_places(values: FloatArray, scale: FloatArray | float) -> FloatArray:
    """Return the last place of every entry, and for zeros one of the typical size."""
    sizes = np.where(values == 0, np.asarray(scale, values.dtype), values)
    return np.asarray(np.spacing(np.abs(sizes)))


def off_the_line(line: NDArray[Any]) -> Any:
    """Return by how much values (k, ...) at `LINE` leave the line from the first to the last."""
    t = np.array(LINE).reshape(-1, *[1] * (line.ndim - 1)) / LINE[-1]
    return np.abs(line - line[0] - t * (line[-1] - line[0])).max(axis=0)


def real_if_possible(array: Any) -> Any:
    """Return the real part of an array that has no imaginary one."""
    return array.real.copy() if np.iscomplexobj(array) and not array.imag.any() else array


def off_a_polynomial(nodes: FloatArray, values: FloatArray) -> float:
    """Return the standard deviation of values (k,) at nodes (k,) from a polynomial of `DEGREE`."""
    powers = nodes[:, None] ** np.arange(DEGREE + 1)
    rest = values - powers @ np.linalg.lstsq(powers, values, rcond=None)[0]
    return math.sqrt(rest @ rest / (nodes.size - DEGREE - 1))
