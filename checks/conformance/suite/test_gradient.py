"""Tests of a target's numbers: the gradient is the derivative of the target's cost."""

from dataclasses import replace

import numpy as np
import pytest

from checks.conformance.suite.calls import arguments, array_names, errors_explained, gradient_arrays
from checks.conformance.suite.failure import ConformanceError, digits_problem
from checks.conformance.suite.smallest_failure import Networks
from checks.conformance.suite.verify import verify, verify_problem
from checks.conformance.targets.known_costs import find_known_cost
from checks.conformance.targets.log_constant import find_log_constant
from checks.conformance.targets.probe import probed
from checks.conformance.targets.target import Target

# Special networks hide some mistakes and show others: zero weights, a batch of 1, layers of width
# 1, a single output, only square layers. The first row has none of these; every other row has
# networks that are special in one way.
RANDOM = Networks((2, 4), (2, 5), (3, 5), ("ordinary", "targets"), examples=40)
NETWORKS = {
    "random-shapes": RANDOM,
    "square-layers": Networks(layers=(2, 4), equal_widths=True, examples=20),
    "single-sample": Networks(samples=(1, 1), needs=("samples",)),
    "one-layer": Networks(layers=(1, 1), widths=(2, 6), needs=("layers",)),
    "one-neuron": Networks(widths=(1, 1), samples=(1, 4), examples=40, needs=("widths",)),
    "narrow-layers": Networks(layers=(2, 4), widths=(1, 2)),
    "deep": Networks(layers=(6, 7), widths=(3, 4), samples=(2, 3), needs=("layers",)),
    "zero-weights": Networks(layers=(2, 3), regimes=("zeros",), examples=30),
    "tiny-weights": Networks(layers=(2, 3), regimes=("vanishing",)),
    "saturated": Networks(regimes=("saturated",), examples=20),
}


@pytest.mark.parametrize("kind", NETWORKS)
def test_every_entry_is_the_derivative_of_the_cost(gradient_target: Target, kind: str) -> None:
    """Every ∂C/∂w and ∂C/∂b agrees with the numerical estimate of the target's own cost."""
    claim = f"every entry is the derivative of the cost, on networks of kind {kind}"
    verify(gradient_target, claim, NETWORKS[kind])


def test_every_entry_is_the_derivative_of_the_cost_on_digits(gradient_target: Target) -> None:
    """Every entry is right for a network of 2,260 parameters on handwritten digits."""
    claim = "every entry is the derivative of the cost, on handwritten digits"
    target = probed(gradient_target)
    if target.takes.sizes:
        pytest.skip(f"not taken: sizes {(64, 30, 10)}: it {target.takes}")
    verify_problem(target, claim, digits_problem(target.takes))


def test_a_step_is_gradient_descent_at_small_and_large_learning_rates(
    gradient_target: Target,
) -> None:
    """A step from θ to θ' at learning rate η has (θ − θ')/η = ∇C, for η = 2⁻¹⁰, 1 and 2¹⁰."""
    if gradient_target.step is None:
        pytest.skip(f"not taken: {gradient_target.name} has no step")
    claim = "a step is θ − η ∇C, at small and large learning rates"
    verify(gradient_target, claim, replace(RANDOM, examples=15), function="step")


def test_float32_is_kept_and_accurate(gradient_target: Target) -> None:
    """For float32 input the gradient is float32, and right to half of its digits."""
    target = probed(gradient_target)
    problem = target.takes.example((4, 5, 3), samples=4)
    in_float64 = gradient_arrays(target, *arguments(problem))
    in_float32 = gradient_arrays(target, *arguments(problem, np.float32))
    not_kept = ""
    for name, single, double in zip(
        array_names(len(in_float64)), in_float32, in_float64, strict=True
    ):
        if single.dtype != np.float32:
            not_kept = not_kept or (
                f"{name} of the gradient is {single.dtype} where weights, biases, x and y are "
                "float32; zeros_like, or dtype=w.dtype, makes arrays that keep it"
            )
        largest = float(np.abs(double).max()) or 1.0
        discrepancy = float(np.abs(single - double).max() / largest)
        if not discrepancy <= np.finfo(np.float32).eps ** 0.5:
            raise ConformanceError(
                f"{gradient_target.name} fails: float32 is accurate. {name} is off by "
                f"{discrepancy:.1e} of its largest entry, compared with the gradient in float64."
            )
    if not_kept:
        pytest.skip(f"note: {not_kept}")


def test_the_cost_is_the_one_that_the_target_names(gradient_target: Target) -> None:
    """The cost is the reference's with the names of the target, but for a factor or a penalty."""
    target = probed(gradient_target)
    with errors_explained(target):
        row = find_known_cost(target)
        constant = None if row else find_log_constant(target)
    if row:
        found = f"the cost is {row} on every network"
    elif constant:
        found = f"the cost is {constant[0]}, but with the log of p + {constant[2]:.3g}"
    else:
        found = "the cost is none of the reference's costs times a factor"
    if row and row.has(target):
        if target.names and (row.factor, row.output, row.decay) == ("1", "", (0.0, 0.0)):
            return
        pytest.skip(f"note: {found}")
    # a target that names only its activation or only its cost may have its own in the other's place
    if (constant and constant[0].has(target)) or (not row and len(target.names) < 2):
        pytest.skip(f"note: {found}; every entry is judged by the target's own cost")
    says = " and ".join(f"{name} = {getattr(target, name)!r}" for name in sorted(target.names))
    remedy = "leave these names out"
    if row and not row.output:
        remedy = f"say activation = {row.activation!r} and cost_name = {row.cost_name!r}"
    raise ConformanceError(f"{target.name} says {says}, but {found}.\nTo try: {remedy}.", found)
