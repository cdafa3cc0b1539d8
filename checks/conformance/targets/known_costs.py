"""Recognising a target's cost as one of the reference's, times a factor."""

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
]

# These problems tell all `factor_names` apart: no two of the factors are equal on every problem.
PROBLEMS = [
    Problem.generate(sizes, samples, seed=samples)
    for sizes, samples in (((3, 4, 5), 3), ((2, 3, 4, 3), 7), ((4, 5, 7), 5))
]
# Costs count as equal if they differ by at most 16 eps of float32, relatively: a target may compute
# its cost in float32.
FLOAT32_TOLERANCE = 2.0**-19


@dataclass(frozen=True)
class KnownCost:
    """A cost of the reference with an activation, times a factor.

    Attributes
    ----------
    activation, cost_name : str
        Names in the reference's tables.
    factor : str
        One of `factor_names`, by which the cost is multiplied.
    output : str
        The activation of the last layer; empty if it is that of the others, or if the cost takes
        logits and the last layer is linear.
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
        """Return the name of the activation of each layer, in a network of `layers` layers."""
        linear = COSTS[self.cost_name].linear_output
        return [self.activation] * (layers - 1) + [
            "identity" if linear else self.output or self.activation
        ]

    def layers(self, problem: Problem) -> tuple[list[Any], list[Any]]:
        """Return a^0 … a^L, and σ'(z^1) … σ'(z^L) after an array of ones for layer 0."""
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
    """Return the known cost that equals a target's on every network; None if there is none.

    If several do, the simplest factor is preferred, then the names that the target declares.
    """
    problems = [
        target.takes.example(problem.sizes, len(problem.x), problem.seed or 0)
        for problem in PROBLEMS
    ]
    costs = [as_number(target.cost(p.weights, p.biases, p.x, p.y)) for p in problems]
    candidates = sorted(
        (
            KnownCost(activation, cost_name, output=output)
            for activation, cost_name, output in product(ACTIVATIONS, COSTS, ("", *ACTIVATIONS))
            if not output or (output != activation and not COSTS[cost_name].linear_output)
        ),
        key=lambda known: (
            known.output != "",
            (known.activation != target.activation) + (known.cost_name != target.cost_name),
        ),
    )
    costs_of = {known: [known.cost(problem) for problem in problems] for known in candidates}
    factors_of = [factor_names(problem) for problem in problems]
    for name in factors_of[0]:
        factors = [named[name] for named in factors_of]
        for known, known_costs in costs_of.items():
            expected = np.multiply(factors, known_costs)
            if np.all(np.abs(costs - expected) <= FLOAT32_TOLERANCE * np.abs(expected)):
                return replace(known, factor=name)
    return None


@lru_cache(maxsize=8)
def known_cost(target: Target) -> KnownCost | None:
    """Return `find_known_cost` of a target, cached; None also if the cost raises."""
    try:
        with np.errstate(all="ignore"):
            return find_known_cost(target)
    except Exception:  # the target may raise anything; the suite reports it
        return None


def factor_names(problem: Problem) -> dict[str, float]:
    """Return products of a sign, 2 or ½, and powers of B and n_L, with their values, by name.

    A whole gradient or cost may be wrong by such a factor. There are B samples and n_L outputs. The
    simplest factors come first.
    """
    factors = {}
    for sign, (text, number), b, n in product(
        (1, -1), (("", 1.0), ("2", 2.0), ("½", 0.5)), (0, 1, -1), (0, 1, -1)
    ):
        above = "·".join([text] * (text > "") + ["B"] * (b > 0) + ["n_L"] * (n > 0))
        below = "/B" * (b < 0) + "/n_L" * (n < 0)
        name = "−" * (sign < 0) + (above or "1") + below
        factors[name] = sign * number * len(problem.x) ** float(b) * problem.sizes[-1] ** float(n)
    return dict(
        sorted(factors.items(), key=lambda item: (item[0] != "1", len(item[0].replace("n_L", "n"))))
    )
