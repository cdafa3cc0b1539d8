"""The cost at the parameters, and with single entries or whole arrays moved."""

import cmath
import contextlib
import math
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from checks._types import FloatArray, IntArray
from checks.evaluation.box import Box
from checks.evaluation.control_flow import is_control_flow
from checks.evaluation.cost_value import as_finite_real, as_number, not_a_number
from checks.evaluation.progress import Progress
from checks.evaluation.restoring import RestoresParameters, restore_arrays
from checks.evaluation.step_sizes import RESIDUE, imaginary_step
from checks.parameters.bounds import flatten_bounds
from checks.parameters.claims import entry_name, float_arrays
from checks.parameters.nesting import argument_name

__all__ = ["MAX_NUMBERS", "Evaluations"]

MAX_NUMBERS = 2**17  # the most that moves of whole arrays hold at once: 1 MiB in float64
# Tiny entries are moved FARTHER and farther, or by more, so that it takes at most MOST_TIMES: see
# `Evaluations.measure_sizes`.
FARTHER, MOST_TIMES = 2.0**10, 10
OF_ALL = ", the farthest of all entries moved"
QUOTED = 200  # the most characters shown of an error message of the cost


class Evaluations(RestoresParameters):
    """Values of a cost at and around a point; the parameters are left bit for bit as they were.

    Moved costs are nan where the cost raises, and out of the `box`, where it is not called at all.

    The caller's own writable arrays are moved in place, because the cost may close over them and
    ignore its argument. Read-only arrays are moved in copies, as are all arrays in complex moves.

    A cost may offer more than being called:

    - a method ``at_entries(params, path, entries, steps)`` that moves many single entries. Its
      arguments are those of `at_entries` below; ``params`` are at the point, and must not be
      changed. It yields pairs: some rows of ``steps``, as a slice, and the costs there, nan where
      the cost is not defined.
    - a method ``at_points(params)`` that returns the costs (S,) of S points; every array of
      ``params`` is (S, ...).
    - ``most``: the most points that ``at_points`` should be given, if not any number.
    - ``levels``: the noise of moves of single entries, by path, where it is known of each.
    - ``analytic = True`` if the cost is known to compute with complex numbers from end to end. This
      saves a trial of whether it does; complex steps are compared with differences all the same.
    - a method ``complex_steps(params, steps)`` of an analytic cost. It takes h of each array, by
      path, and returns, by path, the costs (size,) with each entry moved by ih on its own.

    Parameters
    ----------
    cost
        Takes parameters nested as `params`, returns one number.
    params
        See `checks.parameters.claims.flatten`.
    progress : Progress, optional
        Shows how many entries are done.
    bounds
        As `checks.parameters.bounds.flatten_bounds` takes them.

    Attributes
    ----------
    box : Box
        Where the parameters may be moved to.
    values : dict of str to ndarray
        The parameters at the point, by path: copies, never moved.
    entries : Entries
        Where each array stands in a vector of all entries.
    size : int
        The number of entries of all arrays.
    count : int
        Calls of the cost so far.
    at_point : float
        The cost at the point.
    shared : bool
        The cost is one of several results of a function, which share its evaluations. So steps and
        directions should not depend on what is found of a single one.
    caller_eps : float
        The spacing of numbers at 1 in the coarsest dtype of the caller's arrays.
    lost : float
        By what part of itself rounding changes the cost in the dtype of the caller's arrays, if
        derivatives are estimated in a wider one; else 0.
    doubt : float
        By what part of themselves all derivatives may be off, beyond what values of the cost show.
    narrow : dict of str to float
        By path, arrays that may pass a stage in a narrower dtype than that of `values`, and the
        noise of the cost in that dtype.
    outside : dict of str to str
        By path, what the cost raised or returned when that array was last moved outside, and the
        move. A move of several arrays is noted at the one moved farthest.
    complex_outside : str
        Such a text of the last complex move outside, whatever the array; empty if none was.
    interrupted : bool
        Whether a KeyboardInterrupt has ended the moving of entries, see `tolerating_interrupt`.

    Raises
    ------
    TypeError, ValueError
        `cost` is no function, or its value no finite real number; `params` as in `flatten`.
    """

    def __init__(
        self,
        cost: Any,
        params: Any,
        progress: Progress | None = None,
        bounds: Any = None,
    ) -> None:
        if not callable(cost):
            raise TypeError(
                f"cost is a {type(cost).__name__}, wanted a function of the parameters that "
                "returns one number: pass the function, not its value"
            )
        super().__init__(params)
        self.cost = cost
        self.shared = getattr(cost, "shared", False)
        arrays = float_arrays(self.nesting)
        self.values = {path: array.copy() for path, array in arrays.items()}
        self._bounds = None if bounds is None else flatten_bounds(params, arrays, bounds)
        self._measured: dict[str, FloatArray] = {}  # see `measure_sizes`
        self.box = Box(self.values, self._bounds)
        self.entries = self.box.entries
        self.size = self.entries.size
        self._moved: dict[str, NDArray[Any]] = {}  # see `_note_moved`
        self._place = ""  # tells moves of entries from those at another point
        self.outside: dict[str, str] = {}
        self.complex_outside = ""
        self.interrupted = False
        self._tolerates_interrupt = False
        self._progress = progress or Progress(False)
        self._real = {p: a if a.flags.writeable else a.copy() for p, a in arrays.items()}
        self.in_place = all(self._real[p] is a for p, a in arrays.items())
        self._real_params = params if self.in_place else self.nesting.rebuild(self._real)
        with self.unchanged("cost"):
            result = self._call(self._real_params)
        self.at_point = as_finite_real(result)
        self.caller_eps = self.eps
        self.lost = self.doubt = 0.0
        self.narrow: dict[str, float] = {}

    def in_dtype(self, dtype: Any, view: Callable[[Any], Any] = np.asarray) -> "Evaluations":
        """Return evaluations of the same cost around copies of the parameters in another dtype.

        Their count begins with the calls made so far; the caller's bounds are kept. The cost gets
        what `view` makes of each copy, which must be an array of the same memory.
        """
        return self._around({p: view(value.astype(dtype)) for p, value in self.values.items()})

    def beside(self, moves: Mapping[str, FloatArray]) -> "Evaluations":
        """Return evaluations of the same cost around moved copies, as `in_dtype` does."""
        moved = {p: (value + moves[p]).astype(value.dtype) for p, value in self.values.items()}
        return self._around(moved)

    @contextlib.contextmanager
    def elsewhere(self, moves: Mapping[str, FloatArray]) -> Iterator["Evaluations"]:
        """Yield evaluations around a moved point, which the caller's own arrays hold inside.

        So a claim that reads these arrays, instead of its argument, is at that point as well. No
        evaluation leaves the box of the point. At the end the arrays are as they were.

        Raises
        ------
        TypeError, ValueError
            The cost there is no finite number.
        """
        try:
            for path, array in self._real.items():
                array[...] = self.values[path] + moves[path]
            others = Evaluations(self.cost, self._real_params)
            others._bounds = self.box.lower, self.box.upper
            others.box = Box(others.values, others._bounds, self._measured)
            others._place = str([hash(value.tobytes()) for value in others.values.values()])
            yield others
        finally:
            self.restore()

    def measure_sizes(self) -> None:
        """Measure by how much entries may be moved that are tiny beside others of their array.

        Some stand for zeros, as -2e-16 in ``np.arange(-1, 1, 0.1)``: moves by their own size are
        lost in the cost, and show no derivative. So they are moved farther, as a zero is, but only
        until that changes the cost by more than √eps of itself. Others are in a far larger unit
        than the rest of their array: moves by their own size change the cost as much as others do.
        """
        enough = math.sqrt(np.finfo(self.at_point.dtype).eps)
        every = np.abs(self.box.vector)
        some = np.where(every < RESIDUE * self.box.typical, every, 0)
        if not some.any():
            return
        for path, start in self.box.entries.split(some).items():
            tiny, farther, typical = start > 0, start, self.scales[path]
            if not tiny.any():
                continue
            known = {**self._measured}
            away = math.log(typical) - math.log(farther[tiny].min())
            factor = max(FARTHER, math.exp(away / MOST_TIMES))
            while True:
                measured = {**known, path: farther}
                self.box = Box(self.values, self._bounds, measured)
                change = self._change(path, farther)
                if math.isnan(change):  # outside: what was tried before has not shown anything
                    break
                self._measured = measured
                if change > enough or (farther[tiny] >= typical).all():
                    break
                farther = np.minimum(factor * farther, typical)
            self.box = Box(self.values, self._bounds, self._measured)

    def _change(self, path: str, move: FloatArray) -> float:
        """Return by what part of itself the cost changes if an array is moved, or the opposite way.

        Of a cost that is one of many results, it is the largest change, relative to the largest.
        """

        def results(moves: Mapping[str, FloatArray]) -> NDArray[Any]:
            cost = self.cost_moved(moves)
            return np.append(self.cost.all_results(), cost) if self.shared else np.array([cost])

        at_point = results({}) if self.shared else np.array([self.at_point])
        signs = np.resize([1, -1, -1], move.size).reshape(move.shape)
        moves = ({path: self.box.clipped(path, side * move)} for side in (signs, -signs))
        change = float(np.max([np.abs(results(m) - at_point).max() for m in moves]))
        return change and change / (float(np.abs(at_point).max()) or change)

    def _around(self, copies: Mapping[str, FloatArray]) -> "Evaluations":
        others = Evaluations(self.cost, self.nesting.rebuild(copies), self._progress)
        others._bounds, others._measured = self._bounds, self._measured
        others.box = Box(others.values, self._bounds, self._measured)
        others._place = self._place
        others.count += self.count
        others.caller_eps = self.caller_eps
        return others

    def call_at_point(self, function: Callable[[Any], Any]) -> Any:
        """Call a function of the parameters, such as their claimed gradient, at the point."""
        return function(self._real_params)

    def call_cost(self, params: Any) -> None:
        """Call the cost itself with any parameters, for what it keeps of them."""
        self.count += 1
        getattr(self.cost, "renew", self.cost)(params)

    def _call(self, params: Any) -> Any:
        self.count += 1
        return self.cost(params)

    def _restore_arrays(self) -> str:
        return restore_arrays(self._real, self.values)

    @contextlib.contextmanager
    def tolerating_interrupt(self) -> Iterator[None]:
        """Inside, let the first KeyboardInterrupt end the moving of entries instead of the check.

        From then on `at_entries` returns nan at once.
        """
        self._tolerates_interrupt = True
        try:
            yield
        finally:
            self._tolerates_interrupt = False

    def accept_interrupt(self) -> bool:
        """Note a KeyboardInterrupt; return whether it is tolerated, so must not be raised again."""
        accepted = self._tolerates_interrupt and not self.interrupted
        self.interrupted = self.interrupted or accepted
        return accepted

    @property
    def scales(self) -> dict[str, float]:
        """The typical size of every array's entries, by path."""
        return self.box.scales

    @cached_property
    def eps(self) -> float:
        """The spacing of numbers at 1 in the coarsest of the arrays' dtypes."""
        return max(float(np.finfo(dtype).eps) for dtype in {v.dtype for v in self.values.values()})

    def repeat_at_point(self) -> Any:
        """Call the cost at the point once more."""
        return as_number(self._call(self._real_params)).astype(self._result_dtypes[False])

    def at_entries(self, path: str, entries: IntArray, steps: Any) -> Any:
        """Return the cost with one entry moved at a time.

        Parameters
        ----------
        path
            The array whose entries are moved.
        entries : (m,) int
            Flat (row-major) indices into it.
        steps : (m, k) float or complex
            Row i is added to entry i, one step at a time. Real steps should be exact in the dtype
            of the array, see `checks.estimation.finite_differences`.

        Returns
        -------
        (m, k) ndarray
            float64 (longdouble where the cost returns it), or complex for complex steps; nan where
            the cost raised an exception, out of the box, or where an interruption came first.
        """
        costs = np.empty(steps.shape, self._result_dtypes[steps.dtype.kind == "c"])
        costs[...] = not_a_number(costs.dtype)
        if self.interrupted and self._tolerates_interrupt:
            return costs
        inside = self.box.holds_entries(path, entries, steps)
        costs_of_entries = getattr(self.cost, "at_entries", None)
        if costs_of_entries is None:
            if self.shared:
                moves = self._moves_of(path), entries, steps, inside
                self.cost.fetch(self._arrays(steps.dtype.kind == "c")[1], *moves)
                self.cost.recall(*moves, costs)
            pieces: Any = self._one_by_one(path, entries, steps, inside, costs)
        else:
            kept = np.where(inside, steps, 0)
            pieces = self._counted(
                costs_of_entries(self._real_params, path, entries, kept), costs.dtype
            )
        try:
            # closing the generator runs its `finally`, which moves the entry back
            with self._progress.of(path, len(entries)) as advance, contextlib.closing(pieces):
                for rows, piece in pieces:
                    costs[rows] = piece
                    advance(rows.stop - rows.start)
        except KeyboardInterrupt:
            if not self.accept_interrupt():
                raise
        if self.shared and steps.dtype.kind != "c":
            self._note_moved(path, entries, costs)
        if costs_of_entries is not None:
            costs[~inside] = not_a_number(costs.dtype)
            self._ask_why_outside(path, entries, steps, inside & np.isnan(costs))
        return costs

    def _note_moved(self, path: str, entries: IntArray, costs: Any) -> None:
        """Note whether entries change the cost, or which part of the noise of a sum they move."""
        parts = self.cost.noise_moved(self._moves_of(path), entries)
        if parts is None:
            parts = np.repeat((costs != self.at_point).any(axis=1)[:, None], 2, axis=1)
        noted = self._moved.setdefault(path, np.full((self.values[path].size, 2), np.nan))
        noted[entries] = np.fmax(noted[entries], parts)

    def noise_of(self, path: str, entries: IntArray, level: float) -> Any:
        """Return the noise of differences by some entries that were moved: one number, or (r,).

        Of a sum of results only those that an entry has moved have noise: the others cancel. But
        what has not moved may hide a derivative. If rounding hides it at x ± 3h, it is at most a
        last place over 6h, which a thirtieth of a last place as noise covers: an eighth of the
        noise of rounding. Of a sum this counts in the mean, by the part of it that entries of the
        array move: where each moves one result of many, a small entry is not likely to hide more.
        For a single result it is doubled, and the part counts by half its power.

        Parameters
        ----------
        path, entries
            As in `at_entries`.
        level
            The noise of the cost, which is the most that is returned.
        """
        levels = getattr(self.cost, "levels", None)
        if levels is not None:
            return levels[path][entries]
        if path not in self._moved:
            return level
        moved, share = self._moved[path].T
        tried = ~np.isnan(share)
        of_all = (1 + np.minimum(share[tried], 1).sum()) / (1 + tried.sum())
        whole = self.cost.whole_noise
        hidden = of_all**0.5 / 8 if whole else of_all**0.25 / 4
        return np.fmin(level, max(level, whole) * np.hypot(moved[entries], hidden))

    def _ask_why_outside(
        self, path: str, entries: IntArray, steps: Any, outside: NDArray[np.bool_]
    ) -> None:
        """Call the cost where its ``at_entries`` first gave nan, to store what it raises."""
        is_complex = steps.dtype.kind == "c"
        known = self.complex_outside if is_complex else self.outside.get(path)
        asked = known and not known.endswith(OF_ALL)
        if asked or self.interrupted or not outside.any():
            return
        row, column = np.argwhere(outside)[0]
        step = steps[row, column].reshape(1, 1)
        nothing = np.full((1, 1), np.nan, self._result_dtypes[is_complex])
        for _ in self._one_by_one(path, entries[[row]], step, np.ones((1, 1), bool), nothing):
            pass

    def _counted(self, pieces: Any, dtype: Any) -> Iterator[tuple[slice, Any]]:
        """Yield the pieces that the cost's ``at_entries`` yields, and count their evaluations."""
        with contextlib.closing(pieces):
            for rows, costs in pieces:
                self.count += costs.size
                outside = costs.dtype.kind == "c" and dtype.kind != "c"
                yield rows, not_a_number(dtype) if outside else costs

    def _one_by_one(
        self, path: str, entries: IntArray, steps: Any, inside: NDArray[np.bool_], known: Any
    ) -> Iterator[tuple[slice, Any]]:
        """Yield the costs of one entry after another; those known where they are not `inside`."""
        is_complex = known.dtype.kind == "c"
        arrays, params = self._arrays(is_complex)
        saved, flat = self.values[path].reshape(-1), arrays[path].flat
        moved, everywhere = saved[entries][:, None] + steps, inside.all()
        rows = np.flatnonzero(inside.any(axis=1)) if self.shared else range(len(entries))
        for row in rows:
            entry, costs = int(entries[row]), known[row].copy()
            where = partial(self._where, path, entry, is_complex)
            try:
                for column in range(costs.size) if everywhere else np.flatnonzero(inside[row]):
                    flat[entry] = moved[row, column]
                    costs[column] = self._moved_cost(params, known.dtype, where)
                    if self.shared:
                        self.cost.remember(self._moves_of(path), entry, steps[row, column])
            finally:
                flat[entry] = saved[entry]
            yield slice(row, row + 1), costs
        self.changed_by_cost = self.changed_by_cost or self.restore()

    def _moves_of(self, path: str) -> tuple[str, str]:
        """Return what tells the moves of one array from others, of wider copies, elsewhere."""
        return path, self.values[path].dtype.char + self._place

    def cost_moved(self, moves: Mapping[str, Any]) -> Any:
        """Return the cost with whole arrays moved at once, by path; complex if any move is.

        It is nan where the cost raised an exception, and out of the box.
        """
        return self._point_by_point({path: move[None] for path, move in moves.items()}, 1)[0]

    def costs_moved(self, numbers: NDArray[Any], moves: Callable[[Any], Any]) -> Any:
        """Return the costs of many points, each with whole arrays moved.

        Parameters
        ----------
        numbers : (m,) array
            One number for each point, such as a multiple of a direction.
        moves : callable
            Takes k of the numbers; returns the moves of those k points: by path, (k, ...), or of
            all entries, (k, P). It is called with few numbers at once if the arrays are large, see
            `MAX_NUMBERS`.

        Returns
        -------
        (m,) ndarray
        """
        most = max(1, MAX_NUMBERS // self.size)
        if len(numbers) <= most:
            return self._costs_at(moves(numbers), len(numbers))
        parts = (numbers[first : first + most] for first in range(0, len(numbers), most))
        return np.concatenate([self._costs_at(moves(part), len(part)) for part in parts])

    def split(self, vectors: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Return parts of vectors (..., P) of all entries, by path, (..., shape of the array)."""
        return self.entries.split(vectors)

    def at_every_entry(
        self, steps: Mapping[str, float], direction: Mapping[str, FloatArray] | None = None
    ) -> Iterator[tuple[str, Any]]:
        """Yield paths, and the cost with one entry moved at a time by an imaginary step, (size,).

        A cost that takes many points is called once for all arrays, if they are small. Another one
        is first moved along the direction, unless it declares itself analytic. If its imaginary
        part is 0 or nan there, nothing is yielded.

        Parameters
        ----------
        steps : dict of str to float
            h of the steps ih, by path.
        direction
            Of all arrays, by path.
        """
        takes_many = getattr(self.cost, "at_points", None) is not None
        is_analytic = getattr(self.cost, "analytic", False)  # its own methods take less work
        most = min(getattr(self.cost, "most", MAX_NUMBERS), MAX_NUMBERS // self.size)
        found: Any = None
        try:
            if is_analytic and hasattr(self.cost, "complex_steps"):
                found = self.cost.complex_steps(self._real_params, steps)
                self.count += self.size
            elif takes_many and not is_analytic and self.size <= most:
                sizes = [self.values[path].size for path in steps]
                moves = np.diag(1j * np.repeat([*steps.values()], sizes))
                costs = self._stacked_costs(moves, self.size)
                if costs is not None and np.isfinite(costs).all():
                    found = self.split(costs)
        except KeyboardInterrupt:
            if not self.accept_interrupt():
                raise  # else at_entries, below, calls nothing any more
        if found is not None:
            yield from ((path, costs.reshape(-1)) for path, costs in found.items())
            return
        if direction and not is_analytic and not self.interrupted:
            smallest = 1j * min(steps.values())
            along = self.cost_moved({path: smallest * move for path, move in direction.items()})
            if along.imag == 0 or np.isnan(along.imag):
                return
        for path, value in self.values.items():
            imaginary = np.full((value.size, 1), 1j * steps[path])
            yield path, self.at_entries(path, np.arange(value.size), imaginary)[:, 0]

    def _costs_at(self, moves: Any, count: int) -> Any:
        """Return the costs of `count` points, by the cost's own ``at_points`` if it has one."""
        costs = self._stacked_costs(moves, count)
        return self._point_by_point(moves, count) if costs is None else costs

    def _points(self, moves: Any, count: int) -> tuple[NDArray[Any], dict[str, NDArray[Any]]]:
        """Return `count` points, (count, P), and their arrays by path, in their own dtypes."""
        if isinstance(moves, Mapping):
            moves = self.entries.joined(moves, count)
        points = self._vector + moves
        arrays, dtypes = self.split(points), self._dtypes[points.dtype.kind == "c"]
        if len(set(dtypes.values())) > 1 or points.dtype not in dtypes.values():
            arrays = {path: array.astype(dtypes[path]) for path, array in arrays.items()}
            points = self.entries.joined(arrays, count)
        return points, arrays

    def _stacked_costs(self, moves: Any, count: int) -> Any:
        """Return the costs of `count` points from one call; None if the cost does not take them."""
        at_points = getattr(self.cost, "at_points", None)
        if at_points is None:
            return None
        points, arrays = self._points(moves, count)
        is_complex = points.dtype.kind == "c"
        if not self.box.holds(points).all():
            return None
        try:
            costs = at_points(self.nesting.rebuild(arrays))
            self.count += count
            if is_complex or costs.dtype.kind != "c":
                return costs.astype(self._result_dtypes[is_complex])
        except Exception as error:
            if is_control_flow(error):
                raise
        return None  # at least one point is outside

    def _point_by_point(self, moves: Any, count: int) -> Any:
        """Return the costs of `count` points, by one call for each; nan out of the box."""
        points, moved = self._points(moves, count)
        is_complex, paths = (
            points.dtype.kind == "c",
            list(moves if isinstance(moves, Mapping) else self.values),
        )
        arrays, params = self._arrays(is_complex)
        costs = np.empty(count, self._result_dtypes[is_complex])
        costs[...] = not_a_number(costs.dtype)

        def where() -> tuple[str, str]:
            """Return the path of the entry that is moved farthest, and its move."""
            sizes = {path: np.abs(arrays[path] - self.values[path]) for path in paths}
            path = max(sizes, key=lambda path: float(sizes[path].max(initial=0)))
            _, move = self._where(path, int(sizes[path].argmax()), is_complex)
            return path, f"{move}{OF_ALL}"

        try:
            for k in np.flatnonzero(self.box.holds(points)):
                for path in paths:
                    arrays[path][...] = moved[path][k]
                costs[k] = self._moved_cost(params, costs.dtype, where)
        finally:
            for path in paths:
                arrays[path][...] = self.values[path]
        return costs

    def complex_dtype(self, path: str) -> Any:
        """Return the dtype in which an array is moved by complex steps."""
        return np.result_type(self.values[path].dtype, np.complex64)

    def complex_step(self, path: str) -> float:
        """Return the h of an array's complex step, see `imaginary_step`."""
        return imaginary_step(self.values[path].dtype)

    def _arrays(self, is_complex: bool) -> tuple[dict[str, Any], Any]:
        """Return the arrays that are moved, by path, and the parameters that hold them."""
        return self._complex if is_complex else (self._real, self._real_params)

    @cached_property
    def _complex(self) -> tuple[dict[str, Any], Any]:
        arrays = {
            path: value.astype(self.complex_dtype(path)) for path, value in self.values.items()
        }
        return arrays, self.nesting.rebuild(arrays)

    @cached_property
    def _vector(self) -> NDArray[Any]:
        """The parameters at the point, (P,)."""
        return self.entries.joined(self.values)

    @cached_property
    def _dtypes(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The dtypes of arrays that are moved, by path: in real and in complex moves."""
        real = {path: value.dtype for path, value in self.values.items()}
        return real, {path: self.complex_dtype(path) for path in self.values}

    @cached_property
    def _result_dtypes(self) -> tuple[Any, Any]:
        """The dtypes of real and of complex costs."""
        real = np.result_type(self.at_point.dtype, np.float64)
        return real, np.result_type(real, np.complex64)

    def _where(self, path: str, entry: int, is_complex: bool) -> tuple[str, str]:
        """Return the path, and from where to where an entry (a flat index) is moved at present."""
        start, now = self.values[path].flat[entry], self._arrays(is_complex)[0][path].flat[entry]
        index = tuple(int(i) for i in np.unravel_index(entry, self.values[path].shape))
        name = entry_name(argument_name(path) if self.shared else path, index)
        return path, f"with {name} moved from {start} to {now}"

    def _moved_cost(self, params: Any, dtype: Any, where: Callable[[], tuple[str, str]]) -> Any:
        """Call the cost at moved parameters; return nan, and note why, where these are outside."""
        is_complex, said = dtype.kind == "c", ""
        try:
            value = as_number(self._call(params))
            if value.dtype == dtype and cmath.isfinite(value):
                return value
        except Exception as error:
            if is_control_flow(error):
                raise
            value, said = not_a_number(dtype), f"{type(error).__name__}: {error}".rstrip(": ")
        returned = value
        if value.dtype.kind == "c" and not is_complex:
            value = not_a_number(dtype)
        if not np.isfinite(value):
            said = said or f"{getattr(self.cost, 'name', 'cost(params)')} is {returned}"
            said = " ".join(said.split())
            said = said if len(said) <= QUOTED else said[: QUOTED - 3] + "..."
            path, move = where()
            if is_complex:
                self.complex_outside = f"{said}, {move}"
            else:
                self.outside[path] = f"{said}, {move}"
        return value if value.dtype == dtype else value.astype(dtype)
