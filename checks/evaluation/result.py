"""One of the results of a function, or a sum over them, as a scalar cost."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from checks._types import FloatArray
from checks.evaluation.control_flow import is_control_flow
from checks.evaluation.executors import in_order
from checks.evaluation.memo import Key, Memo
from checks.parameters.nesting import Nesting

__all__ = ["UNKNOWN", "Contraction", "Result", "ResultNoise"]

UNKNOWN = 1e150  # a noise larger than any: its square is finite
# The moves in one task of an executor, and the most tasks that wait.
MOVES, MAX_PENDING = 8, 256


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


class _Results(Protocol):
    """What a sum over results reads of `checks.evaluation.results.Results`."""

    memo: Memo
    noise: ResultNoise | None
    latest: list[NDArray[Any]]


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

    def all_results(self) -> NDArray[Any]:
        """Return what the last call returned to all readers, as one vector."""
        return np.array([]) if self._last is None else np.concatenate(self._last, axis=None)

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

    @property
    def most(self) -> int:
        """The most points that `at_points` should be given."""
        return self.memo.most

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
        known = self.memo.by_move

        def keep(rows: Any, columns: Any, found: Sequence[Any]) -> None:
            places, taken = entries[rows].tolist(), steps[rows, columns].tolist()
            keys = ((*of, *move) for move in zip(places, taken, strict=True))
            for key, outcome in zip(keys, zip(*found, strict=True), strict=True):
                (self._again if key in self._moved else known)[key] = outcome

        if self.memo.groups is not None:
            alone, moves = np.ones(missing.shape[1], bool), (of[0], entries, steps, missing)
            for numbers, found in self.memo.groups.pieces(params, *moves, self.memo.most):
                keep(missing[0, numbers], missing[1, numbers], found)
                alone[numbers] = False
            missing = missing[:, alone]
        nesting = Nesting(params)
        arrays = {path: np.asarray(leaf) for path, leaf in nesting.leaves.items()}
        flat = arrays[of[0]].reshape(-1)
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
            keep(rows, columns, found)

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
    results : checks.evaluation.results.Results
        Of f.
    """

    def __init__(self, results: _Results, number: int, weights: NDArray[Any], terms: float) -> None:
        super().__init__(results.memo, 0, number, "⟨u, f(x)⟩")
        self.results, self._number, self._weights, self.terms = results, number, weights, terms
        self._noises: dict[Key, NDArray[Any]] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_noises": {}}

    def all_results(self) -> NDArray[Any]:
        """Return the sums for all cotangents of the last call."""
        return np.array([]) if self._last is None else np.asarray(self._last[0])

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
