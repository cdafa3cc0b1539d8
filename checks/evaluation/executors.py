"""A cost evaluated elsewhere: by the workers of any `concurrent.futures.Executor`."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from typing import Any, TypeVar

import numpy as np

from checks._types import IntArray
from checks.evaluation.pointwise import Evaluations
from checks.parameters.claims import float_arrays
from checks.parameters.nesting import Nesting

__all__ = ["ExecutedCost", "in_order"]

K = TypeVar("K")

TASK = 0.25  # seconds of evaluations: far more than it takes to send them
AHEAD = 256  # tasks sent before the first is back, each with the parameters: for as many workers


class ExecutedCost:
    """A cost whose many single moves are evaluated by an executor.

    A task is some moves and a copy of the parameters. One that fails, as where its worker died, is
    done again in this process: so nothing is lost, and what the cost raises is raised here.

    Parameters
    ----------
    cost
        Takes the parameters and is sent to the workers, by processes pickled, as is its argument.
    executor : concurrent.futures.Executor

    Attributes
    ----------
    lost : str
        What a task failed of that did not fail here; empty otherwise.

    Raises
    ------
    TypeError
        There is nothing to submit tasks to.
    """

    def __init__(self, cost: Callable[[Any], Any], executor: Executor) -> None:
        if isinstance(executor, type):
            raise TypeError(
                f"executor is the class {executor.__name__}, wanted one of its instances: call it, "
                f"as in {executor.__name__}()"
            )
        if not callable(getattr(executor, "submit", None)):
            raise TypeError(
                f"executor is a {type(executor).__name__}, wanted a concurrent.futures.Executor, "
                "such as ProcessPoolExecutor() or get_executor() of a Dask client"
            )
        self.cost, self.executor, self.lost = cost, executor, ""
        self.seconds = TASK  # the shortest that a call took here
        self.at_points = getattr(cost, "at_points", None)  # of all arrays, moved here

    def __call__(self, params: Any) -> Any:
        """Return the cost, evaluated here."""
        started = time.perf_counter()
        result = self.cost(params)
        self.seconds = max(1e-9, min(self.seconds, time.perf_counter() - started))
        return result

    def at_entries(
        self, params: Any, path: str, entries: IntArray, steps: Any
    ) -> Iterator[tuple[slice, Any]]:
        """Yield some rows of steps and the costs there; see `pointwise.Evaluations`."""
        rows = max(1, round(TASK / self.seconds / steps.shape[1]))
        parts = (slice(first, first + rows) for first in range(0, len(entries), rows))
        tasks = ((p, (self.cost, params, path, entries[p], steps[p])) for p in parts)
        calls = (((part, task), (_at_entries, *task)) for part, task in tasks)
        for (part, task), future in in_order(self.executor, calls, AHEAD):
            try:
                costs = future.result()
            except Exception as error:
                costs = _at_entries(*task)
                self.lost = f"{type(error).__name__}: {error}"
            yield part, costs

    def check(self, evaluations: Evaluations, seed: int) -> None:
        """Raise unless a worker returns, bit for bit, the cost that this process does.

        Raises
        ------
        TypeError
            It returns none: the cost cannot be sent, or raises there.
        ValueError
            It returns another, as of a cost that closes over arrays and ignores its argument; or
            the executor takes no tasks, being shut down.
        """
        rng = np.random.default_rng(seed)
        units = {
            path: rng.choice([-1, 1], value.shape) * np.maximum(1, np.abs(value))
            for path, value in evaluations.values.items()
        }
        for size in (*2.0 ** -np.arange(5, 50, 5), 0.0):
            moves = {path: size * unit for path, unit in units.items()}
            here = evaluations.along(moves)
            if np.isfinite(here) and here != evaluations.at_point:  # so the move shows
                break
        moved = {p: (a + moves[p]).astype(a.dtype) for p, a in evaluations.values.items()}
        name = getattr(self.cost, "__qualname__", None) or repr(self.cost)
        who = "cost" if name == "cost" else f"cost {name}"
        params = evaluations.nesting.rebuild(moved)
        try:
            future = self.executor.submit(_at_point, self.cost, params)
        except RuntimeError as error:
            raise ValueError(
                f"executor, a {type(self.executor).__name__}, takes no tasks ({error}), wanted one "
                "that is open: check inside its with block"
            ) from error
        try:
            there = future.result()
        except Exception as error:
            raise TypeError(
                f"{who} cannot be evaluated by the executor ({type(error).__name__}: "
                f"{error}), wanted a function that it can send to its workers: for processes one "
                "at the top level of a module, with its data in functools.partial"
            ) from error
        if there != here and here == evaluations.along(moves):
            raise ValueError(
                f"{who} is {here!s} at moved parameters here and {there!s} in the executor, "
                "wanted the same: it must be a function of its argument alone, for arrays that it "
                "closes over or keeps in an object do not move in another process; and the workers "
                "must compute as this process does"
            )


def _at_point(cost: Callable[[Any], Any], params: Any) -> Any:
    with np.errstate(all="ignore"):
        return Evaluations(cost, params).at_point


def _at_entries(
    cost: Callable[[Any], Any], params: Any, path: str, entries: IntArray, steps: Any
) -> Any:
    """Do a task: on a copy, as another thread may be moving the parameters."""
    nesting = Nesting(params)
    copies = {p: array.copy() for p, array in float_arrays(nesting).items()}
    with np.errstate(all="ignore"):
        return Evaluations(cost, nesting.rebuild(copies)).at_entries(path, entries, steps)


def in_order(
    executor: Executor, calls: Iterable[tuple[K, tuple[Any, ...]]], ahead: int
) -> Iterator[tuple[K, Future[Any]]]:
    """Submit calls (function and arguments), a few ahead, and yield each key with its future.

    The futures come in the order of the calls; what is left when the caller stops is cancelled.
    """
    pending: deque[tuple[K, Future[Any]]] = deque()
    try:
        for key, call in calls:
            pending.append((key, _submit(executor, call)))
            if len(pending) > ahead:
                yield pending.popleft()
        while pending:
            yield pending.popleft()
    finally:
        for _, future in pending:
            future.cancel()


def _submit(executor: Executor, call: tuple[Any, ...]) -> Future[Any]:
    """Submit a call; an executor that refuses it, being broken, gives a future that failed."""
    try:
        return executor.submit(*call)
    except Exception as error:
        failed: Future[Any] = Future()
        failed.set_exception(error)
        return failed
