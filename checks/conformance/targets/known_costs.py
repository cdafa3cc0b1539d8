"""Recognising a target's cost as one of the reference's, times a factor."""

from collections.abc import Sequence
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
    "costs_on",
    "factor_names",
    "find_known_cost",
    "known_cost",
    "known_costs",
]

# These problems tell all `factor_names` apart: no two of the factors are equal on every problem.
PROBLEMS = [
    Problem.generate(sizes, samples, seed=samples)
    for sizes, samples in (((3, 4, 5), 3), ((2, 3, 4, 3), 7), ((4, 5, 7), 5))
]
# Two more, to fit a penalty with two unknown coefficients.
MORE_PROBLEMS = [
    Problem.generate(sizes, samples, seed=samples)
    for sizes, samples in (((5, 2, 4), 2), ((3, 6, 3), 4))
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
    decay : (float, float)
        λ of a penalty ½ λ Σ θ² that is added, of the weights and of the biases.
    decay_per_sample : bool
        Whether that penalty is divided by B.
    """

    activation: str
    cost_name: str
    factor: str = "1"
    output: str = ""
    decay: tuple[float, float] = (0.0, 0.0)
    decay_per_sample: bool = False

    def __str__(self) -> str:
        times = f"{self.factor} × " if self.factor != "1" else ""
        last = f" (the last: {self.output})" if self.output else ""
        penalty = "".join(
            f" + ½ {size:.3g}{'/B' * self.decay_per_sample} Σ {letter}²"
            for size, letter in zip(self.decay, "wb", strict=True)
            if size
        )
        return f"{times}{self.cost_name} with {self.activation} layers{last}{penalty}"

    def has(self, target: Target) -> bool:
        """Whether activation and cost are those that a target declares, of each that it does."""
        return all(getattr(self, name) == getattr(target, name) for name in target.names)

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
    problems, costs = costs_on(target, PROBLEMS)
    candidates = known_costs(target)
    costs_of = {known: [known.cost(problem) for problem in problems] for known in candidates}
    factors_of = [factor_names(problem) for problem in problems]
    for name in factors_of[0]:
        factors = [named[name] for named in factors_of]
        for known, known_costs_of in costs_of.items():
            expected = np.multiply(factors, known_costs_of)
            if np.all(np.abs(costs - expected) <= FLOAT32_TOLERANCE * np.abs(expected)):
                return replace(known, factor=name)
    return _with_penalty(target, candidates)


def costs_on(target: Target, problems: Sequence[Problem]) -> tuple[list[Problem], Any]:
    """Return problems like these that a target takes, and its cost of each."""
    taken = [target.takes.example(p.sizes, len(p.x), p.seed or 0) for p in problems]
    return taken, np.array(
        [float(as_number(target.cost(p.weights, p.biases, p.x, p.y)).real) for p in taken]
    )


def known_costs(target: Target) -> list[KnownCost]:
    """Return every known cost without a factor, those with the target's names first."""
    return sorted(
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


def _with_penalty(target: Target, candidates: list[KnownCost]) -> KnownCost | None:
    """Return the known cost that a target has but for a penalty on the parameters."""
    problems, costs = costs_on(target, [*PROBLEMS, *MORE_PROBLEMS])
    squares = np.array(
        [[sum((v * v).sum() for v in part) / 2 for part in (p.weights, p.biases)] for p in problems]
    )
    samples = np.array([[len(p.x)] for p in problems])
    factors_of = [factor_names(problem) for problem in problems]
    for known in candidates:
        known_costs_of = [known.cost(problem) for problem in problems]
        for name, per_sample in product(factors_of[0], (False, True)):
            rest = costs - np.multiply([named[name] for named in factors_of], known_costs_of)
            terms = squares / samples if per_sample else squares
            for columns in ([0], [0, 1]):
                decay = np.linalg.lstsq(terms[:, columns], rest)[0]
                residual = np.abs(terms[:, columns] @ decay - rest)
                if (decay > 0).all() and (residual <= FLOAT32_TOLERANCE * np.abs(costs)).all():
                    both = (float(decay[0]), float(decay[1]) if len(decay) > 1 else 0.0)
                    return replace(known, factor=name, decay=both, decay_per_sample=per_sample)
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
