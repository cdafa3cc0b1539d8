"""Single calls of a target, and how their answers differ."""

import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from checks._types import FloatArray
from checks.conformance.suite.failure import ConformanceError
from checks.conformance.targets.layouts import layout_hint
from checks.conformance.targets.target import Target
from checks.parameters.claims import entry_name
from checks.strategies import Problem

__all__ = ["AGREE", "answer", "arguments", "explained", "first_difference", "named", "result"]

AGREE = np.finfo(float).eps ** 0.5  # what a gradient owes, too


def arguments(problem: Problem, change: Callable[[Any], Any] = np.array) -> tuple[Any, ...]:
    """Return weights, biases, x and y of a problem, each array changed; by default a copy."""
    return (
        [change(w) for w in problem.weights],
        [change(b) for b in problem.biases],
        change(problem.x),
        change(problem.y),
    )


def result(target: Target, weights: Any, biases: Any, x: Any, y: Any) -> Any:
    """Return what the gradient returns; where there is none, the step at a learning rate of 1."""
    if target.gradient:
        return target.gradient(weights, biases, x, y)
    assert target.step is not None
    after = target.step(weights, biases, x, y, 1.0)
    return (weights, biases) if after is None else after


def answer(target: Target, *given: Any) -> list[FloatArray]:
    """Return copies of the arrays of `result`, of the weights and then of the biases."""
    with explained(target):
        return [np.array(array) for part in result(target, *given) for array in part]


def named(count: int) -> list[str]:
    """Return the names of the arrays of an answer."""
    return [f"{name}[{l}]" for name in ("weights", "biases") for l in range(count // 2)]  # noqa: E741


def first_difference(
    one: Sequence[FloatArray], other: Sequence[FloatArray], rtol: float = 0.0
) -> str:
    """Return the first entry by which two answers differ, with both values; empty if none does.

    By more than `rtol` of the array's largest entry; a nan equals a nan.
    """
    for name, a, b in zip(named(len(one)), one, other, strict=True):
        if a.shape != b.shape:
            return f"{name} has shape {a.shape}, then {b.shape}"
        largest = max(np.abs(a).max(initial=0.0), np.abs(b).max(initial=0.0))
        apart = ~((np.abs(a - b) <= rtol * largest) | (np.isnan(a) & np.isnan(b)))
        if apart.any():
            index = tuple(int(i) for i in np.argwhere(apart)[0])
            return f"{entry_name(name, index)} is {a[index]!s}, then {b[index]!s}"
    return ""


@contextmanager
def explained(target: Target) -> Iterator[None]:
    """Keep warnings away, and turn what a target raises into a failure that says where."""
    __tracebackhide__ = True
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            yield
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        hint = layout_hint(target)
        raise ConformanceError(
            f"{target.name} raises {type(error).__name__}: {error} "
            f"({frame.filename}, line {frame.lineno})" + f"\nTo try: {hint}" * bool(hint)
        ) from error
