"""Entries of an array that move different results, so that one call moves many of them."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from checks._types import IntArray
from checks.parameters.nesting import Nesting, leaves

__all__ = ["Groups"]

# Groups are sought where at least MANY entries take at least STEPS steps each, or one complex step,
# and used for at least MANY entries: a second estimate, of few flagged ones, moves each alone.
MANY, STEPS = 32, 4
SLABS = 16  # the most slabs into which an axis is cut at once
SAVES = 2  # groups have to save this factor of the calls, slabs a factor more
TRIED = 4  # moves of single entries that are compared with the same ones in groups, in each call
# The most pairs of an entry and a result, 32 MiB, and the most results that are returned at once.
MAX_PAIRS, MAX_RESULTS = 2**25, 2**20


@dataclass(frozen=True, eq=False)
class _Moves:
    """Moves of entries of an array: steps at places, each made in one of several calls."""

    call: IntArray
    place: IntArray
    step: NDArray[Any]

    def between(self, first: int, last: int) -> "_Moves":
        """Return those of some calls, which are then numbered from 0."""
        inside = (first <= self.call) & (self.call < last)
        return _Moves(self.call[inside] - first, self.place[inside], self.step[inside])


# Takes moves and the number of calls; returns the results (calls, m), after those at the point (m,)
# that were evaluated along with them. None where that fails.
_Call = Callable[[_Moves, int], tuple[NDArray[Any], NDArray[Any]] | None]


@dataclass(frozen=True, eq=False)
class _Pattern:
    """Which results the entries of one array move.

    Attributes
    ----------
    moves : (n, m) bool
        Which results an entry may move.
    group : (n,) int
        The number of the group of each entry; those of one group move different results.
    of_group : (groups, m) bool
        Which results the entries of a group may move.
    """

    moves: NDArray[np.bool_]
    group: IntArray
    of_group: NDArray[np.bool_]


class Groups:
    """Moves of single entries of x, many in one call where the entries move different results.

    So Curtis, Powell and Reid (1974) estimate sparse Jacobians. Here no pattern is given: slabs of
    the array are moved, and an entry may move the results that every slab which holds it has moved.
    All other results are those at the point.

    Parameters
    ----------
    at_points : callable
        Takes points with a leading axis of every array; returns the results (S, m), or None where
        it does not take these.
    part : callable
        Takes results (S, m); returns what is to be kept of them.
    """

    def __init__(self, at_points: Callable[[Any], Any], part: Callable[[Any], Any]) -> None:
        self._at_points, self._part = at_points, part
        self._patterns: dict[tuple[str, str], _Pattern | None] = {}

    def pieces(
        self, params: Any, path: str, entries: IntArray, steps: Any, wanted: Any, most: int
    ) -> Iterator[tuple[IntArray, Any]]:
        """Yield numbers of wanted moves, and what is kept there; nothing if that saves no calls.

        Parameters
        ----------
        params
            The point.
        path, entries, steps
            The array, the flat indices of entries (r,), and their steps (r, c).
        wanted : (2, k) int
            The row and the column of each step that is to be made, row by row.
        most
            The most points in one call.
        """
        rows, columns = wanted
        first = np.flatnonzero(np.diff(rows, prepend=-1))
        key, most = (path, steps.dtype.char), most - 1 - TRIED
        if first.size < MANY or most < 1:
            return
        call = self._call(params, path)
        is_whole = steps.shape[1] >= STEPS or steps.dtype.kind == "c"
        if key not in self._patterns and is_whole:
            made = np.zeros(steps.shape, steps.dtype)
            made[rows, columns] = steps[rows, columns]
            shape = np.shape(leaves(params)[path])
            self._patterns[key] = _pattern(call, shape, entries, made, most)
        pattern = self._patterns.get(key)
        if pattern is None:
            return
        # the j-th step of every entry of a group is made in the same call
        turns = np.arange(rows.size) - np.repeat(first, np.diff([*first, rows.size]))
        longest = 1 + turns.max()
        numbers, calls = np.unique(
            pattern.group[entries[rows]] * longest + turns, return_inverse=True
        )
        if SAVES * numbers.size > rows.size:
            return
        order, rng = np.argsort(calls, kind="stable"), np.random.default_rng(rows.size)
        moves = _Moves(calls[order], entries[rows][order], steps[rows, columns][order])
        for begin in range(0, numbers.size, most):
            groups = numbers[begin : begin + most] // longest
            part = moves.between(begin, begin + most)
            tried = rng.integers(part.place.size, size=TRIED)
            number = np.append(np.arange(TRIED), TRIED + part.call)
            place, step = (np.append(a[tried], a) for a in (part.place, part.step))
            found = call(_Moves(number, place, step), TRIED + len(groups))

            def results(some: Any, part: _Moves = part, found: Any = found) -> NDArray[Any]:
                base, together = found[0], found[1][TRIED:]
                chosen = np.where(pattern.moves[part.place[some]], together[part.call[some]], base)
                return np.asarray(chosen)

            if (
                found is None
                or not _are_same(results(tried), found[1][:TRIED]).all()
                or not (pattern.of_group[groups] | _are_same(*found)[TRIED:]).all()
            ):
                self._patterns[key] = None
                return
            size = max(1, MAX_RESULTS // found[0].size)
            made, order = np.split(order, [part.place.size])
            for k in range(0, made.size, size):
                yield made[k : k + size], self._part(results(slice(k, k + size)))

    def _call(self, params: Any, path: str) -> _Call:
        """Return the results where entries of an array are moved, as a function."""
        nesting = Nesting(params)
        arrays = {p: np.asarray(leaf) for p, leaf in nesting.leaves.items()}
        flat, shape = arrays[path].reshape(1, -1), arrays[path].shape

        def call(moves: _Moves, count: int) -> tuple[NDArray[Any], NDArray[Any]] | None:
            moved = np.repeat(flat, 1 + count, axis=0)
            moved[1 + moves.call, moves.place] += moves.step
            stack = {p: np.broadcast_to(a, (1 + count, *a.shape)) for p, a in arrays.items()}
            stack[path] = moved.reshape((1 + count, *shape))
            found = self._at_points(nesting.rebuild(stack))
            return None if found is None else (found[0], found[1:])

        return call


def _pattern(
    call: _Call, shape: tuple[int, ...], entries: IntArray, steps: Any, most: int
) -> _Pattern | None:
    """Return which results some entries of an array move by some steps; None if groups save little.

    Parameters
    ----------
    call
    shape
        Of the array.
    entries, steps
        Flat indices into it (r,), and the steps of each (r, c); 0 for one that is not made.
    most
        The most points in one call.
    """
    slabs, size = _slabs(shape), math.prod(shape)
    count, moved = int(slabs.max()) + 1, np.zeros((0, 0), bool)
    if SAVES**2 * count > entries.size:
        return None
    # Random parts of the steps: of entries moved by the same, a difference would not change.
    parts = steps * np.random.default_rng(entries.size).uniform(0.5, 1, steps.shape)
    places, probed = np.tile(entries, len(slabs)), entries[(steps != 0).all(axis=1)]
    for column in parts.T:
        moves = _Moves(slabs[:, entries].reshape(-1), places, np.tile(column, len(slabs)))
        for begin in range(0, count, most):
            found = call(moves.between(begin, begin + most), min(most, count - begin))
            if found is None or found[0].size * size > MAX_PAIRS:
                return None
            if not moved.size:
                moved = np.zeros((count, found[0].size), bool)
            moved[begin : begin + most] |= ~_are_same(*found)
        may_move = np.ones((size, moved.shape[1]), bool)
        for of_entry in slabs[:, probed]:
            may_move[probed] &= moved[of_entry]
        if SAVES * may_move.sum(axis=0).max() > size:  # so many entries move one of the results
            return None
    return _grouped(may_move)


def _slabs(shape: tuple[int, ...]) -> IntArray:
    """Return the numbers of the slabs that hold each entry of an array, (slabs of an entry, n).

    Along each axis they are those of one index, or of one digit of it where the axis is long.
    """
    slabs, first = list[IntArray](), 0
    for axis, index in enumerate(np.indices(shape).reshape(len(shape), -1)):
        digits = max(1, math.ceil(math.log(max(shape[axis], 1), SLABS)))
        radix = math.ceil(shape[axis] ** (1 / digits))
        for digit in range(digits):
            slabs.append(first + index // radix**digit % radix)
            first += radix
    return np.array(slabs)


def _grouped(moves: NDArray[np.bool_]) -> _Pattern:
    """Return groups of entries that move different results, each in the first that takes it."""
    group, of_group, count = np.zeros(len(moves), int), np.zeros(moves.shape, bool), 0
    for entry, row in enumerate(moves):
        results = np.flatnonzero(row)
        taken = of_group[:count, results].any(axis=1)
        group[entry] = number = count if taken.all() else int(taken.argmin())
        of_group[number, results] = True
        count = max(count, number + 1)
    return _Pattern(moves, group, of_group[:count].copy())


def _are_same(one: NDArray[Any], other: NDArray[Any]) -> NDArray[np.bool_]:
    """Whether results are the same, or both nan."""
    return np.asarray((one == other) | (np.isnan(one) & np.isnan(other)))
