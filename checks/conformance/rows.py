"""Which of the reference's costs a target has."""

from dataclasses import dataclass
from itertools import product

import numpy as np

from backprop import Network, Parameters
from backprop.activations import ACTIVATIONS
from backprop.costs import COSTS
from checks.conformance.target import Target
from checks.conformance.trial import factor_names
from checks.evaluations import as_number
from checks.strategies import Problem

__all__ = ["Row", "find_row"]

# Samples, outputs, 2 and ½ differ, and no factor is the same on all of them by accident.
PROBLEMS = [
    Problem.generate(sizes, samples, seed=samples)
    for sizes, samples in (((3, 4, 5), 3), ((2, 3, 4, 3), 7), ((4, 5, 7), 5))
]
AGREE = 2.0**-19  # sixteen times the eps of float32, in which a cost may be computed


@dataclass(frozen=True)
class Row:
    """A row of the reference's tables of activations and costs, and a factor before the cost."""

    activation: str
    cost_name: str
    factor: str

    def __str__(self) -> str:
        times = f"{self.factor} × " if self.factor != "1" else ""
        return f"{times}{self.cost_name} with {self.activation} layers"


def find_row(target: Target) -> Row | None:
    """Return the row that gives a target's cost on every network; None if there is none.

    The plainest factor comes first, and with it the row that the target names.
    """
    costs = [as_number(target.cost(p.weights, p.biases, p.x, p.y)) for p in PROBLEMS]
    rows = sorted(
        product(ACTIVATIONS, COSTS),
        key=lambda row: (row[0] != target.activation) + (row[1] != target.cost_name),
    )
    known = {row: [_reference(*row, problem) for problem in PROBLEMS] for row in rows}
    factors = [factor_names(problem) for problem in PROBLEMS]
    for name in factors[0]:
        times = [named[name] for named in factors]
        for row, values in known.items():
            expected = np.multiply(times, values)
            if np.all(np.abs(costs - expected) <= AGREE * np.abs(expected)):
                return Row(*row, name)
    return None


def _reference(activation: str, cost_name: str, problem: Problem) -> complex:
    net = Network(problem.sizes, activation, cost_name)
    return net.cost(Parameters(problem.weights, problem.biases), problem.x, problem.y)
