"""Functions of many parameter sets at once, stacked along a leading axis."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from checks._types import IntArray
from checks.evaluation.control_flow import is_control_flow
from checks.evaluation.cost_value import not_a_number
from checks.evaluation.pointwise import Evaluations
from checks.parameters.claims import entry_name
from checks.parameters.nesting import Nesting, leaves

__all__ = ["StackedCost", "StackedFunction", "is_close"]

# A call for many points agrees with calls for one if no result differs by more than PLACES last
# places of the largest.
PLACES = 16.0
# To bound the memory that the cost takes, a stack has at most MAX_SETS parameter sets, with at most
# MAX_NUMBERS numbers in all their arrays. But all steps of one entry are always in one stack.
MAX_NUMBERS, MAX_SETS = 2**20, 256


class StackedCost:
    """A cost that takes S parameter sets, along a leading axis of every array, and returns S costs.

    The arrays are read-only. Where single entries of one array move, the other arrays are views
    that repeat one set.

    Parameters
    ----------
    cost
        Takes parameters nested as usual, with arrays (S, ...); returns an array (S,).
    """

    def __init__(self, cost: Callable[[Any], Any]) -> None:
        self.cost = cost

    def __call__(self, params: Any) -> Any:
        """Return the cost of one set, evaluated as a stack of one."""
        nesting = Nesting(params)
        one = {path: np.asarray(leaf)[None] for path, leaf in nesting.leaves.items()}
        return self._costs(nesting.rebuild(one), 1)[0]

    def at_points(self, params: Any) -> Any:
        """Return the costs of a stack; see `checks.evaluation.pointwise.Evaluations`."""
        stack = leaves(params)
        for leaf in stack.values():
            leaf.flags.writeable = False
        return self._costs(params, len(next(iter(stack.values()))))

    def at_entries(
        self, params: Any, path: str, entries: IntArray, steps: Any
    ) -> Iterator[tuple[slice, Any]]:
        """Yield slices of rows of `steps`, with the costs there; see `pointwise.Evaluations`."""
        nesting = Nesting(params)
        arrays = {p: np.asarray(leaf) for p, leaf in nesting.leaves.items()}
        if steps.dtype.kind == "c":
            arrays = {p: a.astype(np.result_type(a, np.complex64)) for p, a in arrays.items()}
        flat, count = arrays[path].reshape(-1), steps.shape[1]
        size = sum(array.size for array in arrays.values())
        rows = max(1, min(MAX_SETS, MAX_NUMBERS // size) // count)
        moved = np.repeat(flat[None], min(rows, len(entries)) * count, axis=0)

        def stacked_costs(places: IntArray, values: Any) -> Any:
            """Return the costs of sets that each have one new value, at one place of the array."""
            stack = {p: np.broadcast_to(a, (len(places), *a.shape)) for p, a in arrays.items()}
            stack[path] = moved[: len(places)].reshape(stack[path].shape)
            stack[path].flags.writeable = False
            sets = np.arange(len(places))
            try:
                moved[sets, places] = values
                return self._costs(nesting.rebuild(stack), len(places))
            finally:
                moved[sets, places] = flat[places]

        def costs(places: IntArray, values: Any) -> Any:
            try:
                return stacked_costs(places, values)
            except Exception as error:  # some set is outside: halve the stack to find it
                if is_control_flow(error):
                    raise
                if len(places) == 1:
                    return not_a_number(flat.dtype).reshape(1)
                half = len(places) // 2
                halves = [slice(half), slice(half, None)]
                return np.concatenate([costs(places[part], values[part]) for part in halves])

        for first in range(0, len(entries), rows):
            part = slice(first, min(first + rows, len(entries)))
            places = np.repeat(entries[part], count)
            values = flat[places] + steps[part].reshape(-1)
            yield part, costs(places, values).reshape(-1, count)

    def check(self, evaluations: Evaluations) -> None:
        """Raise unless the costs of a stack are those of its sets, one at a time.

        Raises
        ------
        TypeError
            The cost does not return one number for each set.
        ValueError
            It returns other numbers than for each set alone.
        """
        # A cost that mistakes sets for samples returns the right shape if there are as many of
        # both. There cannot be 2 samples and also 3, so stacks of 2 and of 3 sets are tried.
        for sets in (2, 3):
            stack = {
                path: np.broadcast_to(value, (sets, *value.shape))
                for path, value in evaluations.values.items()
            }
            self._costs(evaluations.nesting.rebuild(stack), sets)
        for path, array in evaluations.values.items():
            if not array.size:
                continue
            move = np.zeros(array.shape)
            below, above = (float(room.flat[0]) for room in evaluations.box.room(path))
            move.flat[0] = step = 2.0**-5 * (above if above >= below else -below)
            alone = np.array([evaluations.at_point, evaluations.cost_moved({path: move})])
            stacked = evaluations.at_entries(path, np.array([0]), np.array([[0.0, step]]))[0]
            rounding = np.sqrt(np.finfo(array.dtype).eps) * np.abs(alone).max()
            same = (np.abs(stacked - alone) <= rounding) | (np.isnan(stacked) & np.isnan(alone))
            if not same.all():
                entry = entry_name(path, (0,) * array.ndim)
                raise ValueError(
                    f"cost(params) of two sets that differ in {entry} is {stacked}, but {alone} of "
                    "each alone: with stacked=True the sets along the leading axis of every array "
                    "must not mix; or take stacked=False"
                )

    def _costs(self, params: Any, sets: int) -> Any:
        try:
            costs = np.asarray(self.cost(params))
        except Exception as error:
            error.add_note(
                "raised by cost(params) with stacked=True: every array had a leading axis of "
                f"{sets} parameter sets"
            )
            raise
        if costs.shape != (sets,):
            raise TypeError(
                f"cost(params) returned shape {costs.shape}, wanted ({sets},): with stacked=True "
                f"every array had a leading axis of {sets} parameter sets, and each has a cost"
            )
        return costs


class StackedFunction:
    """A function of one point, which is also called at many points where that gives the same.

    Whether it does is tried for every set of arrays that differ from point to point, at the first
    points that come.

    Parameters
    ----------
    function
        Takes x, returns an array of floats or a nesting of them.
    at_points
        The same of many points: with a leading axis of every array, of x and of what it returns.
        Arrays that are the same at all points are read-only broadcasts.
    widest
        The widest dtype that it takes.
    keeps_nothing : bool
        No claim reads what the last call has kept, see `checks.evaluation.results.Results`.
    """

    def __init__(
        self,
        function: Callable[[Any], Any],
        at_points: Callable[[Any], Any],
        widest: Any = np.longdouble,
        keeps_nothing: bool = False,
    ) -> None:
        self._function, self._at_points = function, at_points
        self.widest, self.keeps_nothing = widest, keeps_nothing
        self._agrees: dict[tuple[tuple[bool, str], ...], bool] = {}

    def __call__(self, x: Any) -> Any:
        """Return the results at one point."""
        return self._function(x)

    def at_points(self, points: Any) -> Any:
        """Return the results at many points; None where it takes these one by one only."""
        stacks = list(leaves(points).values())
        moved = tuple((stack.strides[0] != 0, stack.dtype.char) for stack in stacks)
        if not self._agrees.get(moved, True):
            return None
        try:
            results = self._at_points(points)
            if moved not in self._agrees:
                self._agrees[moved] = self._is_same(results, points)
        except Exception as error:
            if is_control_flow(error):
                raise
            self._agrees[moved] = False
        return results if self._agrees[moved] else None

    def _is_same(self, results: Any, points: Any) -> bool:
        """Whether results at one of the points are what the function returns there.

        Of four points or more it is neither the first, the last nor the middle one, which stay
        right where one point stands for all, or the order is reversed.
        """
        nesting, together = Nesting(points), list(leaves(results).values())
        k = 2 * len(together[0]) // 3
        x = nesting.rebuild({path: stack[k].copy() for path, stack in nesting.leaves.items()})
        alone = map(np.asarray, leaves(self._function(x)).values())
        pairs = zip(alone, (np.asarray(stack[k]) for stack in together), strict=True)
        return all(is_close(one, other) for one, other in pairs)


def is_close(first: NDArray[Any], second: NDArray[Any]) -> bool:
    """Whether arrays differ by a few last places of the largest real and imaginary part at most."""
    if first.dtype != second.dtype or first.shape != second.shape:
        return False
    if np.array_equal(first, second):
        return True
    for one, other in ((first.real, second.real), (first.imag, second.imag)):
        largest = np.abs(one[np.isfinite(one)]).max(initial=0)
        least = np.finfo(one.dtype).tiny
        off = PLACES * np.finfo(one.dtype).eps * largest + least
        if not np.allclose(one, other, rtol=0, atol=off, equal_nan=True):
            return False
    return True
