"""A cost that is evaluated by the workers of any `concurrent.futures.Executor`."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from typing import Any, TypeVar

import numpy as np

from checks._types import IntArray
from checks.evaluation.box import Box
from checks.evaluation.pointwise import Evaluations
from checks.parameters.claims import float_arrays
from checks.parameters.nesting import Nesting

__all__ = ["ExecutedCost", "in_order"]

K = TypeVar("K")

TASK_SECONDS = 0.25  # how long a worker computes for one task: far longer than sending it takes
# The most tasks that are submitted before the result of the first is taken. It is bounded because
# each holds a copy of the parameters. Of more workers than this, some would be idle.
MAX_PENDING = 256


class ExecutedCost:
    """A cost that the workers of an executor evaluate when single entries are moved.

    A task is some moves and a copy of the parameters. A task that fails, for instance because its
    worker died, is repeated in this process.

    Parameters
    ----------
    cost
        Takes the parameters. Both are sent to the workers; processes get them pickled.
    executor : concurrent.futures.Executor

    Attributes
    ----------
    worker_error : str
        The error of the last task that failed in a worker and succeeded here; empty otherwise.

    Raises
    ------
    TypeError
        `executor` is no instance with a method ``submit``.
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
        self.cost, self.executor, self.worker_error = cost, executor, ""
        self._call_seconds = TASK_SECONDS  # duration of the fastest call in this process
        # `Evaluations` calls this when whole arrays are moved: never in the workers
        self.at_points = getattr(cost, "at_points", None)

    def __call__(self, params: Any) -> Any:
        """Return the cost, evaluated in this process."""
        started = time.perf_counter()
        result = self.cost(params)
        self._call_seconds = max(1e-9, min(self._call_seconds, time.perf_counter() - started))
        return result

    def at_entries(
        self, params: Any, path: str, entries: IntArray, steps: Any
    ) -> Iterator[tuple[slice, Any]]:
        """Yield slices of rows of `steps`, with the costs there; see `pointwise.Evaluations`."""
        rows = max(1, round(TASK_SECONDS / self._call_seconds / steps.shape[1]))
        parts = (slice(first, first + rows) for first in range(0, len(entries), rows))
        tasks = ((p, (self.cost, params, path, entries[p], steps[p])) for p in parts)
        calls = (((part, task), (_at_entries, *task)) for part, task in tasks)
        for (part, task), future in in_order(self.executor, calls, MAX_PENDING):
            try:
                costs = future.result()
            except Exception as error:
                costs = _at_entries(*task)
                self.worker_error = f"{type(error).__name__}: {error}"
            yield part, costs

    def check(self, evaluations: Evaluations, seed: int) -> None:
        """Raise unless a worker returns, bit for bit, the cost that this process does.

        Raises
        ------
        TypeError
            The worker returns no cost: the cost cannot be sent, or raises there.
        ValueError
            The worker returns another cost, for instance because the cost closes over arrays and
            ignores its argument; or the executor is shut down and takes no tasks.
        """
        ends = evaluations.box.ends(np.random.default_rng(seed))
        for size in (*2.0 ** -np.arange(5, 50, 5), 0.0):
            moves = {path: size * end for path, end in ends.items()}
            here = evaluations.cost_moved(moves)
            if np.isfinite(here) and here != evaluations.at_point:
                break  # a worker that ignores the move will return another cost
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
        if there != here and here == evaluations.cost_moved(moves):
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
    """Evaluate a task on a copy of the parameters, because another thread may be moving them."""
    nesting = Nesting(params)
    copies = {p: array.copy() for p, array in float_arrays(nesting).items()}
    with np.errstate(all="ignore"):
        evaluations = Evaluations(cost, nesting.rebuild(copies))
        anywhere = {p: np.full(array.shape, np.inf) for p, array in copies.items()}
        evaluations.box = Box(copies, measured=anywhere)  # what is outside was left out before
        return evaluations.at_entries(path, entries, steps)


def in_order(
    executor: Executor, calls: Iterable[tuple[K, tuple[Any, ...]]], max_pending: int
) -> Iterator[tuple[K, Future[Any]]]:
    """Submit calls (function and arguments), and yield each key with its future, in their order.

    At most `max_pending` calls are submitted ahead; they are cancelled when the caller stops.
    """
    pending: deque[tuple[K, Future[Any]]] = deque()
    try:
        for key, call in calls:
            pending.append((key, _submit(executor, call)))
            if len(pending) > max_pending:
                yield pending.popleft()
        while pending:
            yield pending.popleft()
    finally:
        for _, future in pending:
            future.cancel()


def _submit(executor: Executor, call: tuple[Any, ...]) -> Future[Any]:
    """Submit a call; return a failed future if the executor refuses it, as a broken one does."""
    try:
        return executor.submit(*call)
    except Exception as error:
        failed: Future[Any] = Future()
        failed.set_exception(error)
        return failed
