"""How a target behaves: the same answer to the same question, and nobody else's arrays touched."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from checks.conformance.suite.calls import (
    AGREE,
    answer,
    arguments,
    explained,
    first_difference,
    result,
)
from checks.conformance.suite.failure import ConformanceError, script
from checks.conformance.suite.smallest_failure import short_problem
from checks.conformance.targets.known_costs import with_shares
from checks.conformance.targets.target import Target
from checks.strategies import Problem

# Rows of y sum to 1, for a target that insists on it.
ONE, OTHER = (with_shares(short_problem((2, 3, 3, 2), samples=2, number=n)) for n in (1, 2))
CALL = "target.gradient(weights, biases, x, y)"
INPUT = ("weights", "biases", "x", "y")


def fail(target: Target, claim: str, what: str, remedy: str, *lines: str) -> None:
    """Raise, with lines that show it again after those that set the problem."""
    __tracebackhide__ = True
    text = f"{target.name} fails: {claim}.\n{what}\nTo try: {remedy}"
    if target.gradient:
        text += f"\n\nTo see it, paste this into Python:\n\n{script(target, ONE, *lines)}"
    raise ConformanceError(text)


@pytest.mark.parametrize("samples", [1, 6], ids=["single-sample", "batch"])
def test_the_gradient_has_the_shapes_of_the_parameters(
    gradient_target: Target, samples: int
) -> None:
    """A pair of lists, with an array of the same shape for each of weights and biases."""
    for sizes in ((5, 3, 4, 2), (2, 1, 3), (3, 1)):
        weights, biases, x, y = arguments(with_shares(short_problem(sizes, samples)))
        with explained(gradient_target):
            got = result(gradient_target, weights, biases, x, y)
            shapes = [[np.shape(array) for array in part] for part in got]
        wanted = [[array.shape for array in part] for part in (weights, biases)]
        if shapes != wanted:
            raise ConformanceError(
                f"{gradient_target.name} fails: the gradient has the shapes of the parameters.\n"
                f"With sizes {sizes} and {samples} samples the shapes are\n  {shapes}, wanted\n"
                f"  {wanted}.\nTo try: keep the axis of a single node or sample: sum over axis 0 "
                "alone, no squeeze."
            )


def test_the_same_answer_twice(gradient_target: Target) -> None:
    """Two calls with the same arrays give the same bits."""
    once, twice = (answer(gradient_target, *arguments(ONE)) for _ in range(2))
    difference = first_difference(once, twice)
    if difference:
        fail(
            gradient_target,
            "the same answer twice",
            f"{difference}.",
            "fix the random seed, switch dropout off, and start sums from new arrays of zeros.",
            *[f"print({CALL})"] * 2,
        )


def test_calls_leave_no_trace(gradient_target: Target) -> None:
    """What was asked before does not matter."""
    first = answer(gradient_target, *arguments(ONE))
    for between in (
        OTHER,
        with_shares(short_problem((2, 3, 3, 2), samples=4)),
        with_shares(short_problem((3, 2), samples=3)),
    ):
        answer(gradient_target, *arguments(between))
        difference = first_difference(first, answer(gradient_target, *arguments(ONE)))
        if difference:
            fail(
                gradient_target,
                "calls leave no trace",
                f"After a call with other numbers, {difference}.",
                "a forward pass within the gradient, of these arguments, before anything is used "
                "of it; sums that start from new arrays of zeros.",
                f"print({CALL})",
                "target.gradient([-w for w in weights], biases, x, y)",
                f"print({CALL})",
            )


@pytest.mark.parametrize("function", ["cost", "gradient"])
def test_the_input_is_unchanged(gradient_target: Target, function: str) -> None:
    """Every array that is passed is left bit for bit as it was, and so are the lists."""
    if function == "gradient" and gradient_target.gradient is None:
        pytest.skip(f"not applicable: {gradient_target.name} has no gradient")
    given = arguments(ONE)
    held = [list(given[0]), list(given[1])]
    with explained(gradient_target):
        getattr(gradient_target, function)(*given)
    changed = [
        name
        for name, array, was in zip(_names(ONE), _flat(given), ONE.arrays, strict=True)
        if array.shape != was.shape or array.tobytes() != was.tobytes()
    ]
    changed += [
        f"the list of {name}"
        for name, now, then in zip(INPUT, given, held, strict=False)
        if len(now) != len(then) or any(a is not b for a, b in zip(now, then, strict=True))
    ]
    if changed:
        fail(
            gradient_target,
            "the input is unchanged",
            f"{function} changes {', '.join(changed)}.",
            "no -=, *=, out= or assignment into what was passed: work on a copy.",
            f"target.{function}(weights, biases, x, y)",
            "print(weights, biases, x, y)  # as above?",
        )


def test_the_answer_is_not_aliased_to_the_input_or_an_earlier_one(gradient_target: Target) -> None:
    """No array of the answer shares memory with what was passed, or with another answer."""
    if gradient_target.gradient is None:
        pytest.skip(f"not applicable: {gradient_target.name} has no gradient; a step may update")
    given = arguments(ONE)
    with explained(gradient_target):
        first, second = (_flat(gradient_target.gradient(*given)) for _ in range(2))
    for other, what in ((_flat(given), "what was passed"), (second, "the answer of a later call")):
        for name, array in zip(_names(ONE), first, strict=False):
            if any(np.shares_memory(array, another) for another in other):
                fail(
                    gradient_target,
                    "the answer is not aliased",
                    f"{name} of the answer shares memory with {what}: it changes when that does.",
                    "a new array for every answer, or .copy() of what is kept.",
                    f"one, two = {CALL}, {CALL}",
                    "print(np.shares_memory(one[0][0], two[0][0]))",
                )


def _strided(array: Any) -> Any:
    """Every other element of an array whose rest is nan, and back to front along the last axis."""
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
    """Strided, Fortran-ordered and read-only arrays of the same numbers have the same answer."""
    given = arguments(ONE, LAYOUTS[layout])
    if layout == "read-only" and gradient_target.gradient is None:
        given = (*arguments(ONE)[:2], *given[2:])  # a step may update the others in place
    expected = answer(gradient_target, *arguments(ONE))
    difference = first_difference(expected, answer(gradient_target, *given), AGREE)
    if difference:
        fail(
            gradient_target,
            f"{layout} arrays have the same answer",
            f"{difference} where the input is {layout}.",
            "no .data, .strides, ravel(order='K') or reshape of memory: index, or use a copy.",
            f"print({CALL})",
            f"print({CALL.replace('weights', '[np.asfortranarray(w) for w in weights]')})",
        )


def _flat(given: Any) -> list[Any]:
    """Return the arrays of weights and biases, and of x and y where they are there."""
    return [*given[0], *given[1], *given[2:]]


def _names(problem: Problem) -> list[str]:
    layers = range(len(problem.weights))
    return [*(f"{name}[{l}]" for name in INPUT[:2] for l in layers), "x", "y"]  # noqa: E741
