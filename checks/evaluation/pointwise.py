"""The one seam to the cost: its value at the parameters, and with some entries moved."""

import contextlib
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import cache, cached_property
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from checks._types import FloatArray, IntArray
from checks.evaluation.progress import Progress
from checks.parameters.claims import describe, entry_name, float_arrays
from checks.parameters.nesting import Nesting

__all__ = ["Evaluations", "as_number", "imaginary_step", "not_a_number", "typical_size"]

# Im C(θ + ih)/h: any h whose square vanishes beside 1 and whose product with a small slope does not
# underflow will do (Squire and Trapp 1998). Powers of two, so that dividing by them is exact.
COMPLEX_STEP = {np.dtype(np.complex64): 2.0**-40}
DEFAULT_COMPLEX_STEP = 2.0**-100

NUMBERS = 2**17  # that moves of whole arrays, several at once, may hold


class Evaluations:
    """Values of a cost around a point, counted; the point is left bit for bit as it was.

    The caller's own writable arrays are moved in place, because their cost may close over them and
    ignore its argument; read-only ones, and all of them for complex moves, are moved in copies.

    Parameters
    ----------
    cost
        Takes parameters nested as `params`, returns one number. It may have its own way with many
        single moves, a method ``at_entries(params, path, entries, steps)``: its arguments are those
        of `at_entries` below, with params at the point, not to be changed; it yields pairs of some
        rows, as a slice, and their costs, nan outside the cost's domain. And with many points, a
        method ``at_points(params)``: every leaf (S, ...), returns (S,). If it is known to carry
        imaginary parts through, ``analytic = True`` saves the move by which that is tried; it is
        proven in any case.
    params
        See `checks.parameters.claims.flatten`.
    progress : Progress, optional
        Is told of the entries that are done.

    Attributes
    ----------
    values : dict of str to ndarray
        The parameters at the point, by path: copies, never moved.
    size : int
        Their entries.
    count : int
        Calls of the cost so far.
    at_point : float
        The cost at the point.
    outside : str
        Where moving a parameter made the cost raise, what it said last; empty otherwise.
    interrupted : bool
        A KeyboardInterrupt has ended the moving of entries, see `patience`.
    """

    def __init__(
        self, cost: Callable[[Any], Any], params: Any, progress: Progress | None = None
    ) -> None:
        if not callable(cost):
            raise TypeError(
                f"cost is a {type(cost).__name__}, wanted a function of the parameters that "
                "returns one number: pass the function, not its value"
            )
        self.cost = cost
        self.nesting = Nesting(params)
        arrays = float_arrays(self.nesting)
        self.values = {path: array.copy() for path, array in arrays.items()}
        ends = [*accumulate(array.size for array in arrays.values())]
        self.size = ends[-1]
        self._parts = dict(zip(arrays, map(slice, [0, *ends[:-1]], ends), strict=True))
        self.count = 0
        self.outside = ""
        self.interrupted = False
        self._patient = False
        self._progress = progress or Progress(False)
        self._changed = ""
        self._complex_dtypes = {
            path: np.result_type(array.dtype, np.complex64) for path, array in arrays.items()
        }
        self._real = {p: a if a.flags.writeable else a.copy() for p, a in arrays.items()}
        same = all(self._real[p] is a for p, a in arrays.items())
        self._real_params = params if same else self.nesting.rebuild(self._real)
        self._complex: dict[str, Any] = {}
        self._complex_params: Any = None
        self.at_point = self._at_point()

    def _at_point(self) -> Any:
        """Call the cost once, unmoved, and refuse what is not a cost."""
        with self.unchanged("cost"):
            result = self._call(self._real_params)
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

    def call_unmoved(self, function: Callable[[Any], Any]) -> Any:
        """Return a function of the parameters at the point, such as their claimed gradient."""
        return function(self._real_params)

    def _call(self, params: Any) -> Any:
        self.count += 1
        return self.cost(params)

    @contextlib.contextmanager
    def unchanged(self, who: str) -> Iterator[None]:
        """Restore the parameters at the end, and refuse a function that has left them changed."""
        changed = ""
        try:
            yield
        finally:
            changed = self.restore() or self._changed
        if changed:
            raise ValueError(
                f"{who} changes its argument ({changed}); the parameters were restored: let it "
                "work on copies of what it assigns to"
            )

    @contextlib.contextmanager
    def restoring_parameters(self) -> Iterator[None]:
        """Hide the warnings of moved costs, and restore the parameters at the end."""
        with self.unchanged("cost"), np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield

    def restore(self) -> str:
        """Put the point back, containers and values; return the first that had changed."""
        replaced = self.nesting.restore()
        changed = f"{replaced} is replaced" if replaced else ""
        for path, array in self._real.items():
            saved = self.values[path]
            if array.tobytes() == saved.tobytes():
                continue
            differs = (array != saved) | (np.signbit(array) != np.signbit(saved))  # -0.0 is not 0.0
            if differs.any():
                index = tuple(int(i) for i in np.argwhere(differs)[0])
                changed = changed or (
                    f"{entry_name(path, index)} from {saved[index]} to {array[index]}"
                )
                array[...] = saved
        return changed

    @contextlib.contextmanager
    def patience(self) -> Iterator[None]:
        """Take the first KeyboardInterrupt for an answer: entries not yet moved have nan costs."""
        self._patient = True
        try:
            yield
        finally:
            self._patient = False

    def accept_interrupt(self) -> bool:
        """Whether a KeyboardInterrupt ends the moving of entries only: the first, with patience."""
        accepted = self._patient and not self.interrupted
        self.interrupted = self.interrupted or accepted
        return accepted

    @cached_property
    def scales(self) -> dict[str, float]:
        """The typical size of every array's entries, by path."""
        return {path: typical_size(value) for path, value in self.values.items()}

    @cached_property
    def eps(self) -> float:
        """The spacing of numbers at 1 in the coarsest of the arrays' dtypes."""
        return max(float(np.finfo(dtype).eps) for dtype in {v.dtype for v in self.values.values()})

    def again(self) -> Any:
        """Call the cost at the point once more."""
        return self._moved_cost(self._real_params, self._result_dtypes[False], "at the point")

    def at_entries(self, path: str, entries: IntArray, steps: Any) -> Any:
        """Return the cost with one entry moved at a time.

        Parameters
        ----------
        path
            The array whose entries are moved.
        entries : (m,) int
            Flat (row-major) indices into it.
        steps : (m, k) float or complex
            What is added to each; real steps should be representable, see `differences`.

        Returns
        -------
        (m, k) ndarray
            float64 (longdouble where the cost returns it), or complex for complex steps; nan where
            the cost raised an arithmetic or value error, or an interruption came first.
        """
        costs = np.empty(steps.shape, self._result_dtypes[steps.dtype.kind == "c"])
        costs[...] = not_a_number(costs.dtype)
        if self.interrupted and self._patient:
            return costs
        own = getattr(self.cost, "at_entries", None)
        if own is None:
            pieces: Any = self._one_by_one(path, entries, steps, costs.dtype)
        else:
            pieces = self._counted(own(self._real_params, path, entries, steps), costs.dtype)
        try:
            # closed, for where an interruption comes first an entry is still moved
            with self._progress.of(path, len(entries)) as advance, contextlib.closing(pieces):
                for rows, some in pieces:
                    costs[rows] = some
                    advance(rows.stop - rows.start)
        except KeyboardInterrupt:
            if not self.accept_interrupt():
                raise
        return costs

    def _counted(self, pieces: Any, dtype: Any) -> Iterator[tuple[slice, Any]]:
        with contextlib.closing(pieces):
            for rows, costs in pieces:
                self.count += costs.size
                outside = costs.dtype.kind == "c" and dtype.kind != "c"
                yield rows, not_a_number(dtype) if outside else costs

    def _one_by_one(
        self, path: str, entries: IntArray, steps: Any, dtype: Any
    ) -> Iterator[tuple[slice, Any]]:
        arrays, params = self._arrays(steps.dtype.kind == "c")
        saved = self.values[path].reshape(-1)
        flat = arrays[path].flat
        where = f"with an entry of {path} moved"
        for row, entry in enumerate(entries):
            start, costs = saved[entry], []
            try:
                for step in steps[row]:
                    flat[entry] = start + step
                    costs.append(self._moved_cost(params, dtype, where))
            finally:
                flat[entry] = start
            yield slice(row, row + 1), [costs]
        self._changed = self._changed or self.restore()

    def along(self, moves: Mapping[str, Any]) -> Any:
        """Return the cost with whole arrays moved at once, by path; complex if any move is."""
        is_complex = any(move.dtype.kind == "c" for move in moves.values())
        arrays, params = self._arrays(is_complex)
        try:
            for path, move in moves.items():
                arrays[path][...] = self.values[path] + move
            where = f"with all of {', '.join(moves)} moved"
            return self._moved_cost(params, self._result_dtypes[is_complex], where)
        finally:
            for path in moves:
                arrays[path][...] = self.values[path]

    def along_each(self, numbers: NDArray[Any], moves: Callable[[Any], Mapping[str, Any]]) -> Any:
        """Return the cost with whole arrays moved, once for each of some numbers.

        Parameters
        ----------
        numbers : (m,) array
        moves : callable
            Of some of the numbers (k,), returns moves by path, (k, ...): as few as memory allows.

        Returns
        -------
        (m,) ndarray
        """
        many = max(1, NUMBERS // self.size)
        parts = (numbers[first : first + many] for first in range(0, len(numbers), many))
        return np.concatenate([self._several(moves(part), len(part)) for part in parts])

    def split(self, vectors: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Return parts of vectors (..., P) of all entries, by path, (..., shape of the array)."""
        some = vectors.shape[:-1]
        return {
            path: vectors[..., part].reshape((*some, *self.values[path].shape))
            for path, part in self._parts.items()
        }

    def _several(self, moves: Mapping[str, Any], count: int) -> Any:
        own = getattr(self.cost, "at_points", None)
        is_complex = any(move.dtype.kind == "c" for move in moves.values())
        if own is not None:
            points = {}
            for path, value in self.values.items():
                dtype = self.complex_dtype(path) if is_complex else value.dtype
                moved = moves[path] if path in moves else np.zeros((count, *value.shape))
                points[path] = (value + moved).astype(dtype, copy=False)
            try:
                costs = own(self.nesting.rebuild(points))
            except (ArithmeticError, ValueError):
                pass  # one of them has left the domain: which, is seen one by one
            else:
                self.count += count
                if is_complex or costs.dtype.kind != "c":
                    return costs.astype(self._result_dtypes[is_complex])
        return np.array(
            [self.along({path: move[k] for path, move in moves.items()}) for k in range(count)]
        )

    def complex_dtype(self, path: str) -> Any:
        """Return the dtype in which an array is moved by complex steps."""
        return self._complex_dtypes[path]

    def complex_step(self, path: str) -> float:
        """Return the h of an array's complex step: exact to divide by, its square vanishing."""
        return imaginary_step(self.complex_dtype(path))

    def _arrays(self, is_complex: bool) -> tuple[dict[str, Any], Any]:
        if not is_complex:
            return self._real, self._real_params
        if not self._complex:
            self._complex = {
                path: value.astype(self.complex_dtype(path)) for path, value in self.values.items()
            }
            self._complex_params = self.nesting.rebuild(self._complex)
        return self._complex, self._complex_params

    @cached_property
    def _result_dtypes(self) -> tuple[Any, Any]:
        """The dtypes of real and of complex costs."""
        real = np.result_type(self.at_point.dtype, np.float64)
        return real, np.result_type(real, np.complex64)

    def _moved_cost(self, params: Any, dtype: Any, where: str) -> Any:
        """Call the cost away from the point: leaving its domain is an answer, nan, no error."""
        nan = not_a_number(dtype)
        try:
            value = as_number(self._call(params))
        except (ArithmeticError, ValueError) as error:
            self.outside = f"{type(error).__name__}: {error}"
            return nan
        except Exception as error:
            error.add_note(f"raised by cost(params) {where}; params are restored")
            raise
        if value.dtype.kind == "c" and dtype.kind != "c":
            self.outside = f"cost(params) is {value}"
            return nan
        return value.astype(dtype)


def not_a_number(dtype: Any) -> Any:
    """Return nan of a dtype: of a complex one, in both its parts."""
    return dtype.type(complex(np.nan, np.nan) if dtype.kind == "c" else np.nan)


@cache
def imaginary_step(dtype: Any) -> float:
    """Return the h of a complex step from numbers of a dtype."""
    return COMPLEX_STEP.get(np.result_type(dtype, np.complex64), DEFAULT_COMPLEX_STEP)


def typical_size(values: FloatArray) -> float:
    """Return the scale of an array's entries, their root mean square; 1 for zeros."""
    size = float(np.abs(values).max(initial=0))
    # scaled by the largest, so that squares neither overflow nor vanish
    scaled = values.astype(float).reshape(-1) / (size or 1.0)
    return size * math.sqrt(float(scaled @ scaled) / scaled.size) if size > 0 else 1.0


def as_number(result: Any) -> Any:
    """Return a cost as a 0-d numpy number: float, 0-d, (1,), (1, 1), any library's scalar.

    Raises
    ------
    TypeError
        Not one number, or not a number.
    """
    try:
        value = np.asarray(result)
    except ValueError:  # lists of different lengths
        value = np.asarray(None)
    if value.size != 1 or value.dtype.kind not in "fciu":
        with contextlib.suppress(Exception):  # another library's scalar
            value = np.asarray(result.item())
    if value.size != 1 or value.dtype.kind not in "fciu":
        raise TypeError(
            f"cost(params) returned {describe(result)}, wanted one number: {_remedy(result)}"
        )
    number = value.reshape(())
    return number.astype(np.float64) if number.dtype.kind in "iu" else number


def _remedy(result: Any) -> str:
    """Say what to do about a result that is not one number."""
    if result is None:
        return "is a return forgotten in the cost?"
    if isinstance(result, tuple) and result:
        first = result[0]
        if isinstance(first, (int, float)) or getattr(first, "shape", None) == ():
            return "let the cost return its value alone, without what else it tells"
    if np.isscalar(result):
        return "let the cost return a float"
    if hasattr(result, "shape"):
        return "reduce it inside the cost, with .sum() or .mean()"
    return "is it the gradient? The cost comes first: check_gradient(cost, gradient, params)"
