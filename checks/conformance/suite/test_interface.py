"""Tests of how a target can be called: shapes, layouts, repeated calls, no side effects."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from checks.conformance.suite.calls import (
    RTOL,
    arguments,
    array_names,
    call_gradient,
    errors_explained,
    first_difference,
    gradient_arrays,
)
from checks.conformance.suite.failure import ConformanceError, script
from checks.conformance.targets.probe import probed
from checks.conformance.targets.target import Target
from checks.strategies import Problem

SIZES, SAMPLES = (2, 3, 3, 2), 2  # or the nearest that a target takes
CALL = "target.gradient(weights, biases, x, y)"


def example(target: Target, number: int = 1) -> Problem:
    """Return a network that a target takes."""
    return target.takes.example(SIZES, SAMPLES, number)


def names(problem: Problem) -> list[str]:
    """Return the names of its arrays, in order."""
    return [*array_names(2 * len(problem.weights)), "x", "y"]


def fail(target: Target, claim: str, what: str, remedy: str, *lines: str) -> None:
    """Raise a failure, with a script that sets the `example` and runs `lines` to show it."""
    __tracebackhide__ = True
    text = f"{target.name} fails: {claim}.\n{what}\nTo try: {remedy}"
    if target.gradient:
        text += (
            f"\n\nTo see it, paste this into Python:\n\n{script(target, example(target), *lines)}"
        )
    raise ConformanceError(text)


@pytest.mark.parametrize("samples", [1, 6], ids=["single-sample", "batch"])
def test_the_gradient_has_the_shapes_of_the_parameters(
    gradient_target: Target, samples: int
) -> None:
    """The gradient is two lists, with an array of the same shape for each of weights and biases."""
    target = probed(gradient_target)
    if not target.takes.samples[0] <= samples <= target.takes.samples[1]:
        pytest.skip(f"not taken: {target.takes.why_not('sample', samples, samples)}")
    for sizes in dict.fromkeys(map(target.takes.nearest, ((5, 3, 4, 2), (2, 1, 3), (3, 1)))):
        weights, biases, x, y = arguments(target.takes.example(sizes, samples))
        with errors_explained(target):
            gradient = call_gradient(target, weights, biases, x, y)
            shapes = [[np.shape(array) for array in part] for part in gradient]
        expected = [[array.shape for array in part] for part in (weights, biases)]
        if shapes != expected:
            raise ConformanceError(
                f"{target.name} fails: the gradient has the shapes of the parameters.\n"
                f"With sizes {sizes} and {samples} samples the shapes are\n  {shapes}, wanted\n"
                f"  {expected}.\nTo try: keep the axis of a single node or sample: sum over axis 0 "
                "alone, no squeeze."
            )


def test_the_same_answer_twice(gradient_target: Target) -> None:
    """Two calls with the same arrays give the same bits."""
    target = probed(gradient_target)
    once, twice = (gradient_arrays(target, *arguments(example(target))) for _ in range(2))
    difference = first_difference(once, twice)
    if difference:
        fail(
            target,
            "the same answer twice",
            f"{difference}.",
            "fix the random seed, switch dropout off, and start sums from new arrays of zeros.",
            *[f"print({CALL})"] * 2,
        )


def test_calls_leave_no_trace(gradient_target: Target) -> None:
    """A call with other arguments does not change the result of the next one."""
    target = probed(gradient_target)
    takes, problem = target.takes, example(target)
    first = gradient_arrays(target, *arguments(problem))
    for between in (example(target, 2), takes.example(SIZES, 4), takes.example((3, 2), 3)):
        gradient_arrays(target, *arguments(between))
        difference = first_difference(first, gradient_arrays(target, *arguments(problem)))
        if difference:
            fail(
                target,
                "calls leave no trace",
                f"After a call with other numbers, {difference}.",
                "run the forward pass inside the gradient, on its own arguments, and start sums "
                "from new arrays of zeros.",
                f"print({CALL})",
                "target.gradient([-w for w in weights], biases, x, y)",
                f"print({CALL})",
            )


@pytest.mark.parametrize("function", ["cost", "gradient"])
def test_the_input_is_unchanged(gradient_target: Target, function: str) -> None:
    """A call changes no bit of the arrays that are passed, and no list."""
    if function == "gradient" and gradient_target.gradient is None:
        pytest.skip(f"not taken: {gradient_target.name} has no gradient")
    target = probed(gradient_target)
    problem = example(target)
    given = arguments(problem)
    lists_before = [list(given[0]), list(given[1])]
    with errors_explained(target):
        getattr(target, function)(*given)
    changed = [
        name
        for name, array, before in zip(names(problem), _flat(given), problem.arrays, strict=True)
        if array.shape != before.shape or array.tobytes() != before.tobytes()
    ]
    changed += [
        f"the list of {name}"
        for name, after, before in zip(("weights", "biases"), given, lists_before, strict=False)
        if len(after) != len(before) or any(a is not b for a, b in zip(after, before, strict=True))
    ]
    if changed:
        fail(
            target,
            "the input is unchanged",
            f"{function} changes {', '.join(changed)}.",
            "no -=, *=, out= or assignment into an array that was passed: work on a copy.",
            f"target.{function}(weights, biases, x, y)",
            "print(weights, biases, x, y)  # as above?",
        )


def test_the_answer_is_not_aliased_to_the_input_or_an_earlier_one(gradient_target: Target) -> None:
    """No array of the gradient shares memory with the input, or with the result of another call."""
    if gradient_target.gradient is None:
        pytest.skip(
            f"not taken: {gradient_target.name} has no gradient, and a step may work in place"
        )
    target = probed(gradient_target)
    assert target.gradient is not None
    problem = example(target)
    given = arguments(problem)
    with errors_explained(target):
        first, second = (_flat(target.gradient(*given)) for _ in range(2))
    for other, what in ((_flat(given), "the input"), (second, "the gradient of a later call")):
        for name, array in zip(names(problem), first, strict=False):
            if any(np.shares_memory(array, another) for another in other):
                fail(
                    target,
                    "the answer is not aliased",
                    f"{name} of the gradient shares memory with {what}: it changes when that does.",
                    "return new arrays from every call, or a .copy() of those that are kept.",
                    f"one, two = {CALL}, {CALL}",
                    "print(np.shares_memory(one[0][0], two[0][0]))",
                )


def _strided(array: Any) -> Any:
    """Return a view with gaps of nan between the elements, and the last axis reversed."""
    wide = np.full([2 * n for n in array.shape], np.nan)
    view = wide[tuple(slice(None, None, 2) for _ in array.shape)][..., ::-1]
    view[...] = array
    return view


def _read_only(array: Any) -> Any:
    copy = array.copy()
    copy.flags.writeable = False
    return copy


LAYOUTS: dict[str, Callable[[Any], Any]] = {
    "non-contiguous": _strided,
    "fortran-ordered": np.asfortranarray,
    "read-only": _read_only,
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_layout_of_the_input_does_not_matter(gradient_target: Target, layout: str) -> None:
    """Strided, Fortran-ordered and read-only arrays of the same numbers have the same gradient."""
    target = probed(gradient_target)
    problem = example(target)
    given = arguments(problem, LAYOUTS[layout])
    if layout == "read-only" and target.gradient is None:
        given = (*arguments(problem)[:2], *given[2:])  # a step may work in place
    expected = gradient_arrays(target, *arguments(problem))
    difference = first_difference(expected, gradient_arrays(target, *given), RTOL)
    if difference:
        fail(
            target,
            f"{layout} arrays have the same answer",
            f"{difference} where the input is {layout}.",
            "no .data, .strides or ravel(order='K'), which depend on the layout: index, or copy.",
            f"print({CALL})",
            f"print({CALL.replace('weights', '[np.asfortranarray(w) for w in weights]')})",
        )


def _flat(given: Any) -> list[Any]:
    """Return the arrays of (weights, biases) or (weights, biases, x, y) in one list."""
    return [*given[0], *given[1], *given[2:]]
