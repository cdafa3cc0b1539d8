"""Which of the reference's costs a target has."""

from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np

from backprop.activations import ACTIVATIONS
from backprop.costs import COSTS
from checks.conformance.targets.target import Target
from checks.evaluation.cost_value import as_number
from checks.strategies import Problem

__all__ = [
    "FLOAT32_TOLERANCE",
    "KnownCost",
    "factor_names",
    "find_known_cost",
    "known_cost",
    "with_shares",
]

# Samples, outputs, 2 and ½ differ, and no factor is the same on all of them by accident.
PROBLEMS = [
    Problem.generate(sizes, samples, seed=samples)
    for sizes, samples in (((3, 4, 5), 3), ((2, 3, 4, 3), 7), ((4, 5, 7), 5))
]
# A target may compute its cost in float32: 16 eps of float32.
FLOAT32_TOLERANCE = 2.0**-19


@dataclass(frozen=True)
class KnownCost:
    """A row of the reference's tables of activations and costs, and a factor before the cost.

    The last layer may have an activation of its own, as the reference's do not; it is linear where
    the cost takes logits.
    """

    activation: str
    cost_name: str
    factor: str = "1"
    output: str = ""

    def __str__(self) -> str:
        times = f"{self.factor} × " if self.factor != "1" else ""
        last = f" (the last: {self.output})" if self.output else ""
        return f"{times}{self.cost_name} with {self.activation} layers{last}"

    def activations(self, layers: int) -> list[str]:
        """Return the names of the activations of so many layers."""
        linear = COSTS[self.cost_name].linear_output
        return [self.activation] * (layers - 1) + [
            "identity" if linear else self.output or self.activation
        ]

    def layers(self, problem: Problem) -> tuple[list[Any], list[Any]]:
        """Return a^0 … a^L and σ'(z^0) … σ'(z^L), with ones for the first."""
        a, slope = [problem.x], [np.ones_like(problem.x)]
        names = self.activations(len(problem.weights))
        for name, w, b in zip(names, problem.weights, problem.biases, strict=True):
            value, derivative = ACTIVATIONS[name].value_and_slope(a[-1] @ w.T + b)
            a.append(value)
            slope.append(derivative)
        return a, slope

    def cost(self, problem: Problem) -> float:
        """Return the cost, without the factor."""
        return float(COSTS[self.cost_name].value(self.layers(problem)[0][-1], problem.y).mean())


def find_known_cost(target: Target) -> KnownCost | None:
    """Return the row that gives a target's cost on every network; None if there is none.

    The plainest factor comes first, and with it the row that the target names.
    """
    problems = [with_shares(problem) for problem in PROBLEMS]  # what many a softmax relies on
    costs = [as_number(target.cost(p.weights, p.biases, p.x, p.y)) for p in problems]
    rows = sorted(
        (
            KnownCost(activation, cost_name, output=output)
            for activation, cost_name, output in product(ACTIVATIONS, COSTS, ("", *ACTIVATIONS))
            if not output or (output != activation and not COSTS[cost_name].linear_output)
        ),
        key=lambda row: (
            row.output != "",
            (row.activation != target.activation) + (row.cost_name != target.cost_name),
        ),
    )
    known = {row: [row.cost(problem) for problem in problems] for row in rows}
    factors = [factor_names(problem) for problem in problems]
    for name in factors[0]:
        times = [named[name] for named in factors]
        for row, values in known.items():
            expected = np.multiply(times, values)
            if np.all(np.abs(costs - expected) <= FLOAT32_TOLERANCE * np.abs(expected)):
                return replace(row, factor=name)
    return None


@lru_cache(maxsize=8)
def known_cost(target: Target) -> KnownCost | None:
    """Return the same, from memory; None too where the cost raises."""
    try:
        with np.errstate(all="ignore"):
            return find_known_cost(target)
    except Exception:  # whatever a stranger's code raises: the suite reports it
        return None


def factor_names(problem: Problem) -> dict[str, float]:
    """Return factors by which a gradient, or a cost, may be off as a whole, the plainest first."""
    named = {}
    for sign, (text, number), b, n in product(
        (1, -1), (("", 1.0), ("2", 2.0), ("½", 0.5)), (0, 1, -1), (0, 1, -1)
    ):
        above = "·".join([text] * (text > "") + ["B"] * (b > 0) + ["n_L"] * (n > 0))
        below = "/B" * (b < 0) + "/n_L" * (n < 0)
        name = "−" * (sign < 0) + (above or "1") + below
        named[name] = sign * number * len(problem.x) ** float(b) * problem.sizes[-1] ** float(n)
    return dict(
        sorted(named.items(), key=lambda item: (item[0] != "1", len(item[0].replace("n_L", "n"))))
    )


def with_shares(problem: Problem) -> Problem:
    """Return a problem with rows of y that sum to 1: hundredths, each above 0.

    None is 1, unless it is alone: where p rounds to 1, p − 1 loses all of its digits.
    """
    sizes = np.abs(problem.y)
    y = np.maximum(1, np.floor(99 * sizes / sizes.sum(axis=1, keepdims=True)))
    y[np.arange(len(y)), y.argmax(axis=1)] += 100 - y.sum(axis=1)
    return replace(problem, y=(y / 100).astype(problem.y.dtype))
