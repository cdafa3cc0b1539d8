"""How far each entry may be moved: not far from the point, and not beyond the caller's bounds."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from checks._types import FloatArray, IntArray
from checks.evaluation.entries import Entries
from checks.evaluation.step_sizes import entry_sizes, typical_size

__all__ = ["ON_BOUND", "Box"]

# An entry counts as standing on a bound if it can be moved to one side by less than this part of
# how far it can be moved to the other side: two-sided steps would be too short.
ON_BOUND = 2.0**-6


class Box:
    """The values that the parameters may take while a check moves them.

    No entry is moved by more than its own typical size (`step_sizes.entry_sizes`): a solver in the
    cost might never end for values much larger. No entry leaves the caller's bounds. `Evaluations`
    does not call the cost outside of the box; it returns nan there, as where the cost raises.

    Parameters
    ----------
    values
        The parameters at the point, by path.
    bounds
        As `checks.parameters.bounds.flatten_bounds` returns them.
    measured
        By path, in the shape of the array: sizes that take the place of entries' own, or 0.

    Attributes
    ----------
    sizes : dict of str to ndarray
        By how much each entry may be moved within no bounds, by path.
    lower, upper : dict of str to ndarray
        The ends of the box, by path, in float64 or wider.
    scales : dict of str to float
        The typical size of every array's entries.
    entries : Entries
        Where each array stands in a vector of all entries.
    vector, typical : (P,) float
        The parameters at the point, in float64 or wider, and the typical size of each one's array.
    """

    def __init__(
        self,
        values: Mapping[str, FloatArray],
        bounds: tuple[Mapping[str, FloatArray], Mapping[str, FloatArray]] | None = None,
        measured: Mapping[str, FloatArray] | None = None,
    ) -> None:
        self.entries = entries = Entries(values)
        self._dtypes = {path: value.dtype for path, value in values.items()}
        vector = entries.joined(values)
        self.vector = vector = vector.astype(np.result_type(vector, np.float64))
        self._values = entries.split(vector)
        self.scales = {path: typical_size(value) for path, value in self._values.items()}
        self.typical = entries.spread([self.scales[path] for path in entries.filled])
        sizes = entry_sizes(vector, self.typical)
        self.sizes = entries.split(sizes)
        for path, of_array in (measured or {}).items():
            np.copyto(self.sizes[path], of_array, where=of_array > 0)
        largest: Any = [np.finfo(self._dtypes[path]).max for path in entries.filled]
        largest = largest[0] if len(set(largest)) == 1 else entries.spread(largest)
        with np.errstate(over="ignore"):
            self._lower = np.maximum(vector - sizes, -largest)
            self._upper = np.minimum(vector + sizes, largest)
        if bounds:
            self._lower = np.maximum(self._lower, entries.joined(bounds[0]))
            self._upper = np.minimum(self._upper, entries.joined(bounds[1]))
        self.lower, self.upper = entries.split(self._lower), entries.split(self._upper)

    @property
    def below(self) -> FloatArray:
        """By how much every entry may be moved down, (P,)."""
        return np.asarray(self.vector - self._lower)

    @property
    def above(self) -> FloatArray:
        """By how much every entry may be moved up, (P,)."""
        return np.asarray(self._upper - self.vector)

    def room(self, path: str) -> tuple[FloatArray, FloatArray]:
        """Return by how much each entry of an array may be moved down, and by how much up."""
        value = self._values[path]
        return value - self.lower[path], self.upper[path] - value

    def ends(self, rng: np.random.Generator) -> dict[str, FloatArray]:
        """Draw for every entry a move to its lower or its upper end of the box, by path.

        An entry that stands on a bound (`ON_BOUND`) is moved away from it.
        """
        moves = {}
        for path in self._values:
            below, above = self.room(path)
            up = rng.integers(2, size=below.shape, dtype=bool)
            up = np.where(below < ON_BOUND * above, True, up & ~(above < ON_BOUND * below))
            moves[path] = np.where(up, above, -below)
        return moves

    def reflected(self, path: str, moves: NDArray[Any], reach: float = 1.0) -> NDArray[Any]:
        """Return moves (..., shape) of an array, with the sign changed where they leave the box.

        Where a move leaves it with either sign, 0 is returned. What must stay in the box is the
        move times `reach`.
        """
        ends = self._values[path], self.lower[path], self.upper[path]
        return _reflected(moves, reach, *ends)

    def reflected_all(self, moves: NDArray[Any]) -> NDArray[Any]:
        """Return moves (..., P) of all entries, as `reflected` does those of an array."""
        return _reflected(moves, 1.0, self.vector, self._lower, self._upper)

    def shortened(self, path: str, moves: NDArray[Any]) -> NDArray[Any]:
        """Return moves of an array, with those replaced that leave the box.

        The replacement goes to the side with more room, at most to its end.
        """
        below, above = self.room(path)
        inside = self._within(path, self._values[path] + moves)
        size = np.minimum(np.abs(moves), np.maximum(below, above))
        return np.where(inside, moves, np.copysign(size, above - below))

    def clipped(self, path: str, moves: NDArray[Any]) -> NDArray[Any]:
        """Return moves of an array, cut off at the ends of the box."""
        below, above = self.room(path)
        return np.asarray(np.clip(moves, -below, above))

    def shrunken(self, shrink: float) -> dict[str, FloatArray]:
        """Return the moves by path that multiply parameters by `shrink`, cut off at the ends."""
        return self.entries.split(
            np.clip(shrink * self.vector, self._lower, self._upper) - self.vector
        )

    def holds(self, points: NDArray[Any]) -> NDArray[np.bool_]:
        """Whether each of points (..., P) lies wholly in the box, by its real part: (...)."""
        real = points.real
        return np.asarray(((self._lower <= real) & (real <= self._upper)).all(axis=-1))

    def holds_moved(self, moves: Mapping[str, NDArray[Any]]) -> bool:
        """Whether moves (..., shape), by path, lead only to points in the box."""
        return self.holds_all({path: self._values[path] + move for path, move in moves.items()})

    def holds_all(self, points: Mapping[str, NDArray[Any]]) -> bool:
        """Whether all of some arrays (..., shape), by path, lie in the box, by their real parts."""
        return all(self._within(path, moved.real).all() for path, moved in points.items())

    def holds_entries(self, path: str, entries: IntArray, steps: Any) -> NDArray[np.bool_]:
        """Whether each of entries (m,) is in the box after each of its steps (m, k): (m, k)."""
        lower, upper, value = (
            array[path].reshape(-1)[entries][:, None]
            for array in (self.lower, self.upper, self._values)
        )
        with np.errstate(over="ignore"):
            moved = (value + steps.real).astype(self._dtypes[path])
        return np.asarray((lower <= moved) & (moved <= upper))

    def _within(self, path: str, moved: Any) -> Any:
        return (self.lower[path] <= moved) & (moved <= self.upper[path])


def _reflected(moves: Any, reach: float, values: Any, lower: Any, upper: Any) -> NDArray[Any]:
    """Return moves with the sign changed that leave what is between the ends; see `Box`."""

    def is_inside(side: float) -> NDArray[np.bool_]:
        moved = values + side * moves
        return np.asarray((lower <= moved) & (moved <= upper))

    inside = is_inside(reach)
    if inside.all():
        return np.asarray(moves)
    return np.where(inside, moves, np.where(is_inside(-reach), -moves, 0))
