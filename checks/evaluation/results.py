"""A function with many results: each is seen as a scalar cost, and all share its evaluations."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from checks._types import FloatArray
from checks.evaluation.control_flow import is_control_flow
from checks.evaluation.executors import in_order
from checks.evaluation.restoring import RestoresParameters, restore_arrays
from checks.parameters.claims import UNFIT, as_array, describe, entry_name, float_arrays
from checks.parameters.complex_parts import ComplexPoint, in_parts
from checks.parameters.nesting import Nesting, argument_name, leaves

__all__ = [
    "UNKNOWN",
    "Contraction",
    "Memo",
    "Result",
    "ResultNoise",
    "Results",
    "ResultsChanged",
]

# The bytes of a long double that hold its value; on x86 the last 6 of 16 are arbitrary.
USED = 10 if np.finfo(np.longdouble).nmant == 63 else np.dtype(np.longdouble).itemsize
ABOVE_HALF = 1.5 * 2.0**-53  # 1 + this shows the rounding mode: up to nearest, down toward zero

# The most numbers that are kept at once, 256 MiB in float64, and how often f is called for an entry
# of x, at a guess.
MAX_NUMBERS, CALLS_PER_ENTRY = 2**25, 16
NONE = slice(0, 0)
UNKNOWN = 1e150  # a noise larger than any: its square is finite
# The moves in one task of an executor, and the most tasks that wait.
MOVES, MAX_PENDING = 8, 256
# The most points that one call of a function of many points gets, and the most numbers in their
# arguments and results, 8 MiB in float64.
MAX_POINTS, MAX_STACKED = 2**12, 2**20

Key = tuple[Any, ...]


class ResultsChanged(ValueError):  # noqa: N818 — says what happened
    """The results of a function have another nesting or shape where its argument is moved.

    It passes through wherever the function is called: see `checks.evaluation.control_flow`.
    """


class Memo:
    """What a function returns, kept by the values of its argument, for several readers.

    The k-th time that a reader asks for the same values, it gets what the k-th call of the function
    with these values returned. So readers share calls, and each of them still sees whether two
    calls differ.

    Parameters
    ----------
    function
        Takes nested arrays. What it returns must not be changed later.
    params
        The caller's own arrays, nested. A function that closes over these and ignores its argument
        returns something else if it is called with copies, whatever their values.
    at_points : callable, optional
        The function at many points, stacked along a leading axis of every array, in one call; it
        returns None where that does not work.

    Attributes
    ----------
    calls : int
        Of the function.
    stacks : Memo, optional
        What `at_points` returns.
    most : int
        The most points that it gets at once.
    lifts : bool
        Some of its results were found to lift, see `checks.estimation.precision.Lift`.
    widest
        The widest dtype that the function takes, as far as that is known beforehand.
    is_narrow : bool
        float32 holds all its results at the point.
    """

    widest: Any = np.longdouble

    def __init__(
        self,
        function: Callable[[Any], Any],
        params: Any,
        at_points: Callable[[Any], Any] | None = None,
    ) -> None:
        self.function = function
        self.stacks = Memo(at_points, params) if at_points is not None else None
        self.most = MAX_POINTS
        self._own = {id(leaf) for leaf in Nesting(params).leaves.values()}
        self._outcomes: dict[Key, list[Any]] = {}
        self.last: Key | None = None  # the key of the last call
        self.by_move: dict[Key, Any] = {}  # what was returned where a single entry was moved
        self.calls, self.lifts, self.is_narrow = 0, False, False

    def read(self, params: Any, asked: dict[Key, int]) -> Any:
        """Return the function of `params`, or raise what it raised.

        Parameters
        ----------
        params
        asked
            How often this reader has asked for which values; it is counted on.
        """
        key = self.key(params)
        number = asked.get(key, 0)
        outcomes = self._outcomes.setdefault(key, [])
        while number >= len(outcomes):
            self.calls, self.last = self.calls + 1, key
            try:
                outcomes.append(self.function(params))
            except Exception as error:
                outcomes.append(error)
        asked[key] = number + 1
        if isinstance(outcomes[number], Exception):
            raise outcomes[number].with_traceback(None)
        return outcomes[number]

    def renew(self, params: Any) -> None:
        """Call the function with these values unless it was last, as it may keep its argument."""
        key = self.key(params)
        if key != self.last:
            self.calls, self.last = self.calls + 1, key
            self.function(params)

    def restart(self, params: Any, outcome: Any) -> None:
        """Drop all that is kept, and keep that a first call with `params` returned `outcome`."""
        self.by_move.clear()
        self._outcomes = {self.key(params): [outcome]}
        if self.stacks is not None:
            self.stacks._outcomes.clear()

    def key(self, params: Any) -> Key:
        """Return what the outcome depends on: the values, whose they are, and the rounding mode."""
        arrays = _arrays(params)
        is_own = any(id(array) in self._own for array in arrays)
        return (1.0 + ABOVE_HALF, is_own, *map(_contents, map(np.asarray, arrays)))

    def is_own(self, params: Any) -> bool:
        """Whether these are the caller's own arrays, not copies."""
        return any(id(array) in self._own for array in _arrays(params))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_outcomes": {}, "by_move": {}}  # a worker starts without them


def _arrays(params: Any) -> list[Any]:
    is_array = type(params) is np.ndarray
    return [params] if is_array else list(leaves(params).values())


def _contents(array: NDArray[Any]) -> tuple[str, bytes]:
    if array.dtype.char not in "gG" or np.dtype(np.longdouble).itemsize == USED:
        return array.dtype.char, array.tobytes()
    raw = np.ascontiguousarray(array).reshape(-1).view(np.longdouble).view(np.uint8)
    return array.dtype.char, raw.reshape(-1, np.dtype(np.longdouble).itemsize)[:, :USED].tobytes()


@dataclass(frozen=True, eq=False)
class ResultNoise:
    """The noise of all results of a function.

    Attributes
    ----------
    at_point : (m,) float
        f(x) as one vector, in the dtype in which derivatives are estimated.
    level : (m,) float
        The standard deviation of the noise of each result; `UNKNOWN` where that is not known.
    is_narrow : bool
        float32 holds all results that were met.
    """

    at_point: NDArray[Any]
    level: FloatArray
    is_narrow: bool


class Results:
    """The results of a function f at x and around it, as flat arrays.

    Parameters
    ----------
    f
        Takes x; returns an array of floats or a nesting of such arrays. It may have a method
        ``at_points``, see `checks.evaluation.stacked.StackedFunction`.
    x
        See `checks.parameters.claims.flatten`.
    name : str
        How texts name f(x).

    Attributes
    ----------
    at_point : dict of str to ndarray
        f(x) by path: ``f(x)`` itself if it is an array, else as ``f(x)[0]`` or ``sum``.
    f
        As given.
    complex : ComplexPoint
        f(x) as f returns it.
    nesting : Nesting
        Of f(x), with the parts of complex results.
    point : Point
        x.
    size : int
        The number of results.
    noise : ResultNoise or None
        Of all results, once it has been measured.
    latest : list of ndarray
        The results of the last call of f, as flat arrays.

    Raises
    ------
    TypeError
        f is no function, or a result no array of real floats.
    ValueError
        f has no results, they are not finite, or f changes its argument.
    """

    def __init__(self, f: Callable[[Any], Any], x: Any, name: str = "f(x)") -> None:
        self._root = f".{name}"
        if not callable(f):
            raise TypeError(
                f"f is {describe(f)}, wanted a function of x that returns an array of floats or a "
                "nesting of them: pass the function, not its value"
            )
        self.f = f
        self.point = point = Point(x)
        self._dtypes = [array.dtype for array in point.arrays.values()]
        with point.unchanged("f"):
            result = f(x)
        self.complex = ComplexPoint(result)
        self.nesting = Nesting(self.complex.params, self._root)
        self.at_point = {p: _result_array(p, leaf) for p, leaf in self.nesting.leaves.items()}
        self.size = sum(array.size for array in self.at_point.values())
        if not self.size:
            raise ValueError(
                f"f(x) has no entries ({describe(result)}), wanted at least one float: there is "
                "nothing to check"
            )
        self._entries = sum(array.size for array in point.arrays.values())
        self._first = [array.reshape(-1).copy() for array in self.at_point.values()]
        self.noise: ResultNoise | None = None
        self.latest = self._first
        at_points = getattr(f, "at_points", None)
        of_stack = None if at_points is None else partial(self._flat_stack, at_points)
        self.memo = Memo(self._flat, x, of_stack)
        self.memo.widest = getattr(f, "widest", np.longdouble)
        self.memo.most = min(MAX_POINTS, max(1, MAX_STACKED // (self._entries + self.size)))
        self.memo.calls, self.memo.last = 1, self.memo.key(x)
        self.memo.is_narrow = all(np.array_equal(a, a.astype(np.float32)) for a in self._first)
        self._keep_only(_copied)

    def _keep_only(self, part: Callable[[list[NDArray[Any]]], tuple[NDArray[Any], ...]]) -> None:
        """Keep a part of the results from now on, and of earlier ones only those at the point."""
        self._part = part
        self.memo.restart(self.point.nesting.params, part(self._first))

    def _flat(self, x: Any) -> tuple[NDArray[Any], ...]:
        """Return f(x) as flat arrays, in the order of `at_point`."""
        result = self.f(x)
        if self.complex.is_complex:
            result = in_parts(result)
        try:
            arrays = {p: np.asarray(leaf) for p, leaf in leaves(result, self._root).items()}
        except ValueError:  # lists of different lengths
            arrays = {}
        shapes = {path: array.shape for path, array in arrays.items()}
        wanted = {path: array.shape for path, array in self.at_point.items()}
        if shapes != wanted:
            if 1.0 + ABOVE_HALF == 1.0:  # toward zero, so that a length computed in floats differs
                arrays = self.at_point
            else:
                raise self._changed(x, shapes, wanted)
        self.latest = [array.reshape(-1) for array in arrays.values()]
        return self._part(self.latest)

    def vector(self, x: Any) -> NDArray[Any]:
        """Return f(x) as one vector, in the order of `at_point`: a new call, which is not kept."""
        self.memo.calls += 1
        self._flat(x)
        return np.concatenate(self.latest)

    def _flat_stack(
        self, at_points: Callable[[Any], Any], points: Any
    ) -> tuple[NDArray[Any], ...] | None:
        """Return what `_flat` does of many points, with a leading axis; None where it fails."""
        result = at_points(points)
        if result is None:
            return None
        found = leaves(in_parts(result) if self.complex.is_complex else result)
        arrays = [np.asarray(leaf) for leaf in found.values()]
        self.memo.calls += len(arrays[0])
        return self._part([array.reshape(len(array), -1) for array in arrays])

    def _changed(self, x: Any, shapes: Any, wanted: Any) -> ValueError:
        """Return the error for results of another nesting or shape than at the point."""
        paths = [path for path in {**wanted, **shapes} if shapes.get(path) != wanted.get(path)]
        path = paths[0] if paths else next(iter(wanted))

        def said(found: Any) -> str:
            return f"has shape {found[path]}" if path in found else "does not exist"

        text = (
            f"{path} {said(wanted)} at the point, but {said(shapes)} where x is moved, wanted the "
            "same results everywhere: a derivative needs them"
        )
        dtypes = [np.asarray(leaf).dtype for leaf in Nesting(x).leaves.values()]
        # complex and wider arguments are only tried: a function need not take them
        return ResultsChanged(text) if dtypes == self._dtypes else ValueError(text)

    def costs(self) -> Iterator["Result"]:
        """Yield every result as a scalar cost, in the order of `at_point`.

        Where the results at all moved points would take too much memory, only those of the costs
        that come next are kept; f is called again for the others.
        """
        calls = CALLS_PER_ENTRY * self._entries
        most = max(1, MAX_NUMBERS // calls)
        names = list(self.at_point.items())
        places = [(leaf, k) for leaf, (_, a) in enumerate(names) for k in range(a.size)]
        for first in range(0, self.size, most):
            block = places[first : first + most]
            kept = {leaf: slice(k, k + most) for leaf, k in reversed(block)}
            if self.size > most:
                self._keep_only(partial(_cut, kept))
            for leaf, k in block:
                start = kept[leaf].start if self.size > most else 0
                path, array = names[leaf]
                index = tuple(map(int, np.unravel_index(k, array.shape)))
                yield Result(self.memo, leaf, k - start, entry_name(path, index))

    def contractions(self, cotangents: Sequence[Mapping[str, NDArray[Any]]]) -> list["Contraction"]:
        """Return ⟨u, f(x)⟩ for some u, by path, as scalar costs; no others are kept from now on."""
        first = np.concatenate(self._first)
        first = first.astype(np.result_type(np.float64, first))
        vectors = [np.concatenate([u[path].ravel() for path in self.at_point]) for u in cotangents]
        weights = np.array(vectors, first.dtype)
        self._keep_only(partial(self._contracted, weights, first))
        terms = np.abs(weights) @ np.abs(first)
        return [Contraction(self, k, weights[k], float(terms[k])) for k in range(len(weights))]

    def _contracted(
        self, weights: NDArray[Any], first: NDArray[Any], arrays: list[NDArray[Any]]
    ) -> tuple[NDArray[Any], ...]:
        """Return Σ u f for several u, (k, m), along a last axis, in float64 at least.

        It is that at the point, plus the change, so that results that have not moved add no
        rounding. Once the noise σ of all results is known, also Σ |u| σ and Σ (u σ)² over those
        that have moved.
        """
        f = np.concatenate(arrays, axis=-1)
        change = f - first
        # np.vecdot of a stack is bit for bit that of each point; a matrix product may differ
        sums = np.stack([np.vecdot(u, first) + np.vecdot(u, change) for u in weights], axis=-1)
        if self.noise is None:
            return (sums,)
        moved = (f != self.noise.at_point).astype(float)
        terms = np.abs(weights) * self.noise.level
        parts = [[np.vecdot(moved, t), np.vecdot(moved, t * t)] for t in terms]
        return sums, np.moveaxis(np.array(parts), (0, 1), (-2, -1))

    def renew(self, x: Any) -> None:
        """Let the last call of f be at `x`, as a claim may read what f kept of it.

        A backward pass does, for example, but not if f says that nothing is: ``keeps_nothing``.
        What f raises is left for those who ask for its results.
        """
        if getattr(self.f, "keeps_nothing", False):
            return
        try:
            self.memo.renew(x)
        except Exception as error:
            if is_control_flow(error):
                raise

    @contextlib.contextmanager
    def handing_back(self, claim: Any = None) -> Iterator[None]:
        """Call f once more at the end with the caller's own x, as it may keep its argument."""
        self.memo.calls += 1
        with self.point.handing_back(self.f, claim):
            yield


def _copied(arrays: list[NDArray[Any]]) -> tuple[NDArray[Any], ...]:
    return tuple(array.copy() for array in arrays)


def _cut(kept: Mapping[int, slice], arrays: list[NDArray[Any]]) -> tuple[NDArray[Any], ...]:
    return tuple(array[..., kept.get(leaf, NONE)].copy() for leaf, array in enumerate(arrays))


class Point(RestoresParameters):
    """The arrays of x, restored after functions of the caller.

    Attributes
    ----------
    arrays : dict of str to ndarray
        By path.
    """

    def __init__(self, x: Any) -> None:
        super().__init__(x)
        self.arrays = float_arrays(self.nesting)
        self.in_place = all(array.flags.writeable for array in self.arrays.values())
        self.count = 0
        self._saved = {path: array.copy() for path, array in self.arrays.items()}

    def _restore_arrays(self) -> str:
        named = ({argument_name(p): a for p, a in d.items()} for d in (self.arrays, self._saved))
        return restore_arrays(*named)


class Result:
    """One of the results of a function, as a scalar cost.

    Attributes
    ----------
    shared : bool
        True: the same evaluations serve other results, so steps and directions should be the same.
    name : str
        As in "f(x)[0]", for texts.
    noise : float
        Its noise, if that is known before it is measured; else 0.
    terms : float
        Σ |u f(x)| of a sum ⟨u, f(x)⟩, which rounds as numbers of that size do; else 0.
    executor : concurrent.futures.Executor, optional
        Calls the function where single entries are moved.
    """

    shared = True
    noise = whole_noise = terms = 0.0
    executor: Any = None

    def __init__(self, memo: Memo, leaf: int, entry: int, name: str) -> None:
        self.memo, self._leaf, self._entry, self.name = memo, leaf, entry, name
        self._asked: dict[Key, int] = {}
        self._asked_of_stacks: dict[Key, int] = {}
        self._moved: set[Key] = set()  # moves of single entries that were asked for
        self._again: dict[Key, Any] = {}  # what another call has returned for some of these
        self._last: Any = None

    def __getstate__(self) -> dict[str, Any]:
        return {
            **self.__dict__,
            "_asked": {},
            "_asked_of_stacks": {},
            "_moved": set(),
            "_again": {},
            "_last": None,
            "executor": None,
        }

    def __call__(self, x: Any) -> Any:
        """Return the result at `x`."""
        self._last = None
        self._last = self.memo.read(x, self._asked)
        return self._last[self._leaf][self._entry]

    def renew(self, x: Any) -> None:
        """Let the last call of the function be at `x`, whatever is known of it there."""
        self.memo.renew(x)

    def remember(self, of: Key, entry: int, step: Any) -> None:
        """Note that the last call was at an entry moved by a step; see `recall`."""
        key = (*of, int(entry), step.item())
        self._moved.add(key)
        if self._last is not None:
            self.memo.by_move.setdefault(key, self._last)
            self._note(of, int(entry), self._last)

    def _note(self, of: Key, entry: int, outcome: Any) -> None:
        """Note what the function returned where an entry was moved."""

    def noise_moved(self, of: Key, entries: Any) -> FloatArray | None:
        """Return what part of the noise moved with some entries; None of a single result."""
        return None

    @property
    def widest(self) -> Any:
        """The widest dtype that the function takes."""
        return self.memo.widest

    @property
    def at_points(self) -> Callable[[Any], Any] | None:
        """Return the result at many points, if the function takes these in one call."""
        return None if self.memo.stacks is None else self._at_points

    def _at_points(self, points: Any) -> Any:
        assert self.memo.stacks is not None
        found = self.memo.stacks.read(points, self._asked_of_stacks)
        if found is None:
            raise ValueError("the function does not take these points in one call")
        return found[self._leaf][:, self._entry]

    def fetch(self, params: Any, of: Key, entries: Any, steps: Any, wanted: Any) -> None:
        """Call the function at moves that are not known yet: in an executor, or many at once."""
        if self.executor is None and self.memo.stacks is None:
            return
        known = self.memo.by_move
        moves = _keys(of, entries, steps, wanted)
        asked = self._moved if self.executor is None else ()
        missing = [(r, column) for r, column, key in moves if key not in known or key in asked]
        if self.executor is None:
            self._fetch_stacks(params, of, entries, steps, np.array(missing).reshape(-1, 2).T)
            return
        parts = [missing[first : first + MOVES] for first in range(0, len(missing), MOVES)]
        calls = (
            (part, (_outcomes, self.memo.function, params, of[0], entries[r], steps[r, c]))
            for part in parts
            for r, c in [np.array(part).T]
        )
        for part, future in in_order(self.executor, calls, MAX_PENDING):
            try:
                outcomes = future.result()
            except Exception:  # what the worker could not do is done in this process
                continue
            self.memo.calls += len(part)
            for (row, column), outcome in zip(part, outcomes, strict=True):
                if outcome is not None:
                    known[(*of, int(entries[row]), steps[row, column].item())] = outcome

    def _fetch_stacks(self, params: Any, of: Key, entries: Any, steps: Any, missing: Any) -> None:
        """Call the function at many moves at once, where it takes them."""
        assert self.memo.stacks is not None
        nesting = Nesting(params)
        arrays = {path: np.asarray(leaf) for path, leaf in nesting.leaves.items()}
        flat, known = arrays[of[0]].reshape(-1), self.memo.by_move
        for first in range(0, missing.shape[1], self.memo.most):
            rows, columns = missing[:, first : first + self.memo.most]
            if rows.size < 2:
                return
            places, taken = entries[rows], steps[rows, columns]
            moved = np.repeat(flat[None], rows.size, axis=0)
            moved[np.arange(rows.size), places] += taken
            stack = {p: np.broadcast_to(a, (rows.size, *a.shape)) for p, a in arrays.items()}
            stack[of[0]] = moved.reshape(stack[of[0]].shape)
            found = self.memo.stacks.function(nesting.rebuild(stack))
            if found is None:
                return
            keys = ((*of, *move) for move in zip(places.tolist(), taken.tolist(), strict=True))
            for key, outcome in zip(keys, zip(*found, strict=True), strict=True):
                (self._again if key in self._moved else known)[key] = outcome

    def recall(self, of: Key, entries: Any, steps: Any, wanted: Any, costs: Any) -> None:
        """Fill in costs (m, k) that are known of other readers, and take them off `wanted`.

        It is the same as calling for each, but faster. Of moves that were asked for before only
        another call counts: they are left unless `fetch` has made it for many at once. So are
        results that are not finite.
        """
        if not self.memo.by_move:
            return
        moved, again = self._moved, self._again
        moves = _keys(of, entries, steps, wanted)
        known: dict[Key, Any] = {
            key: (again if key in moved else self.memo.by_move).get(key) for _, _, key in moves
        }
        again.clear()
        moves = [move for move in moves if known[move[2]] is not None]
        found = np.array([known[key][self._leaf][self._entry] for _, _, key in moves])
        if not moves or found.dtype.kind == "c" != costs.dtype.kind:
            return
        finite = np.isfinite(found)
        rows, columns = np.array([move[:2] for move in moves])[finite].T
        costs[rows, columns], wanted[rows, columns] = found[finite], False
        for usable, (_, _, key) in zip(finite.tolist(), moves, strict=True):
            if usable:
                moved.add(key)
                self._note(of, key[-2], known[key])


class Contraction(Result):
    """⟨u, f(x)⟩ of a cotangent u, as a scalar cost.

    Attributes
    ----------
    results : Results
        Of f.
    """

    def __init__(self, results: Results, number: int, weights: NDArray[Any], terms: float) -> None:
        super().__init__(results.memo, 0, number, "⟨u, f(x)⟩")
        self.results, self._number, self._weights, self.terms = results, number, weights, terms
        self._noises: dict[Key, NDArray[Any]] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_noises": {}}

    def _note(self, of: Key, entry: int, outcome: Any) -> None:
        if len(outcome) > 1:
            before = self._noises.get((*of, entry), 0.0)
            self._noises[*of, entry] = np.maximum(before, outcome[1][self._number])

    @property
    def whole_noise(self) -> float:  # type: ignore[override]
        """√Σ (u σ)² with the noise σ of each result, 0 if that is not known."""
        noise = self.results.noise
        if noise is None:
            return 0.0
        level = np.where(noise.level < UNKNOWN, noise.level, 0)
        return float(np.linalg.norm(self._weights * level))

    def noise_moved(self, of: Key, entries: Any) -> FloatArray | None:
        """Return Σ |u| σ and Σ (u σ)² over results that some entries moved, (r, 2); see `Results`.

        Relative to the same sums over all results. None where the noise of results is not known.
        """
        whole = self.whole_noise
        if not whole:
            return None
        unknown = np.full(2, np.nan)
        parts = np.array([self._noises.get((*of, entry), unknown) for entry in entries.tolist()])
        return parts.reshape(-1, 2) / [whole, whole**2]


def _keys(of: Key, entries: Any, steps: Any, wanted: Any) -> list[tuple[int, int, Key]]:
    """Return row, column and key of every wanted move of an entry by a step, (m, k)."""
    rows = zip(entries.tolist(), steps.tolist(), wanted.tolist(), strict=True)
    return [
        (row, column, (*of, entry, step))
        for row, (entry, of_entry, is_wanted) in enumerate(rows)
        for column, step in enumerate(of_entry)
        if is_wanted[column]
    ]


def _outcomes(
    function: Callable[[Any], Any], params: Any, path: str, entries: Any, steps: Any
) -> list[Any]:
    """Return what a function returns where an entry of a copy is moved, None where it raises."""
    nesting = Nesting(params)
    copies = {p: np.array(leaf) for p, leaf in nesting.leaves.items()}
    moved, flat, found = nesting.rebuild(copies), copies[path].flat, list[Any]()
    with np.errstate(all="ignore"):
        for entry, step in zip(entries, steps, strict=True):
            saved = flat[entry]
            try:
                flat[entry] = saved + step
                found.append(function(moved))
            except Exception as error:
                if is_control_flow(error):
                    raise
                found.append(None)
            finally:
                flat[entry] = saved
    return found


def _result_array(path: str, leaf: Any) -> NDArray[Any]:
    """Return one of the results as an array, checked."""
    array = as_array(leaf)
    if array.dtype.kind != "f" or isinstance(leaf, UNFIT):
        remedy = {
            "i": "let f compute in floats",
            "u": "let f compute in floats",
            "b": "truth values have no derivative",
        }.get(array.dtype.kind, "f returns numpy arrays, nested in lists, tuples or dicts")
        remedy = "is a return forgotten in f?" if leaf is None else remedy
        what = describe(leaf)
        raise TypeError(f"{path} is {what}, wanted an array of floats: {remedy}")
    if not np.isfinite(array).all():
        index = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise ValueError(
            f"{entry_name(path, index)} is {array[index]}, wanted finite results: check at a point "
            "where f is defined; or f reads memory beside the entries of x, as as_strided may"
        )
    return array
