"""Single calls of a target, and the comparison of two results."""

import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from checks._types import FloatArray
from checks.conformance.suite.failure import TargetRaisesError
from checks.conformance.targets.target import Target
from checks.parameters.claims import entry_name
from checks.strategies import Problem

__all__ = [
    "RTOL",
    "arguments",
    "array_names",
    "call_gradient",
    "errors_explained",
    "first_difference",
    "gradient_arrays",
]

RTOL = np.finfo(float).eps ** 0.5  # the default rtol of a check in float64


def arguments(problem: Problem, change: Callable[[Any], Any] = np.array) -> tuple[Any, ...]:
    """Return weights, biases, x and y of a problem, each array copied or changed by `change`."""
    return (
        [change(w) for w in problem.weights],
        [change(b) for b in problem.biases],
        change(problem.x),
        change(problem.y),
    )


def call_gradient(target: Target, weights: Any, biases: Any, x: Any, y: Any) -> Any:
    """Return the target's gradient; without one, the parameters after a step at learning rate 1."""
    if target.gradient:
        return target.gradient(weights, biases, x, y)
    assert target.step is not None
    updated = target.step(weights, biases, x, y, 1.0)
    return (weights, biases) if updated is None else updated


def gradient_arrays(target: Target, *given: Any) -> list[FloatArray]:
    """Return copies of the arrays of `call_gradient`, first for weights, then for biases."""
    with errors_explained(target):
        return [np.array(array) for part in call_gradient(target, *given) for array in part]


def array_names(count: int) -> list[str]:
    """Return the names of `count` arrays, half of them weights and half of them biases."""
    return [f"{name}[{l}]" for name in ("weights", "biases") for l in range(count // 2)]  # noqa: E741


def first_difference(
    one: Sequence[FloatArray], other: Sequence[FloatArray], rtol: float = 0.0
) -> str:
    """Return the first entry in which two gradients differ, with both values; empty if none does.

    Entries differ if they are apart by more than `rtol` of the array's largest entry. Two nans are
    equal.
    """
    for name, a, b in zip(array_names(len(one)), one, other, strict=True):
        if a.shape != b.shape:
            return f"{name} has shape {a.shape}, then {b.shape}"
        largest = max(np.abs(a).max(initial=0.0), np.abs(b).max(initial=0.0))
        differs = ~((np.abs(a - b) <= rtol * largest) | (np.isnan(a) & np.isnan(b)))
        if differs.any():
            index = tuple(int(i) for i in np.argwhere(differs)[0])
            return f"{entry_name(name, index)} is {a[index]!s}, then {b[index]!s}"
    return ""


@contextmanager
def errors_explained(target: Target) -> Iterator[None]:
    """Silence warnings, and turn an error of the target into a failure that says where it arose."""
    __tracebackhide__ = True
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            yield
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        raise TargetRaisesError(
            f"{target.name} raises {type(error).__name__}: {error} "
            f"({frame.filename}, line {frame.lineno})"
        ) from error
