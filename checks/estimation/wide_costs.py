"""Costs in a wider dtype, by which the rounding of a difference is measured, not bounded."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from checks._types import IntArray
from checks.estimation.noise import Noise
from checks.estimation.precision import (
    NODES,
    Copies,
    coarsest_dtype,
    copies_of,
    off_a_polynomial,
    wider_dtype,
)
from checks.evaluation.pointwise import Evaluations
from checks.evaluation.step_sizes import random_signs

__all__ = ["WideCosts", "wide_costs"]

# For up to FEW parameters: the calls, six for each, are few beside what a check takes anyway.
FEW = 32
# Noise is measured at NODES, CLOSE to the point relative to entries: a smooth cost is a polynomial
# of degree 4 there, up to 2^-70. It is taken as CAUTION times what is left, as four
# numbers show too little by chance. The wider dtype is of use if its noise is WORTH times smaller.
CLOSE, CAUTION, WORTH = 2.0**-14, 4.0, 16.0


@dataclass(frozen=True, eq=False)
class WideCosts:
    """The cost in a wider dtype: its value at the point, and its noise there."""

    evaluations: Evaluations
    copies: Copies
    at_point: Any
    noise: Noise

    def at_entries(self, path: str, entries: IntArray, moves: Any) -> Any:
        """Return costs (m, k) with m entries of an array moved, one at a time, by k moves each."""
        value = self.copies.values[path]
        stacked = np.zeros((moves.size, value.size), self.copies.dtype)
        stacked[np.arange(moves.size), np.repeat(entries, moves.shape[1])] = moves.ravel()
        before = self.copies.calls
        costs = list(self.copies.costs({path: stacked.reshape(-1, *value.shape)}))
        self.evaluations.count += self.copies.calls - before
        return np.array(costs).reshape(moves.shape)


def wide_costs(
    evaluations: Evaluations, noise: Noise, rng: np.random.Generator
) -> WideCosts | None:
    """Return the cost in a wider dtype if it has less noise there, as all arrays move.

    A cost that casts a part of itself to a narrower dtype has the noise of that part, unless other
    terms hide it: then it is less than the noise found.

    Parameters
    ----------
    evaluations
        The cost. Ten calls in the wider dtype.
    noise
        Of the cost in its own dtype.
    rng
        Draws the direction along which noise is measured.
    """
    wide = wider_dtype(coarsest_dtype(evaluations.values))
    if wide is None or noise.stochastic or evaluations.shared or evaluations.size > FEW:
        return None
    if not evaluations.at_point:
        return None  # as at a perfect fit: differences have hardly any rounding there
    copies = copies_of(evaluations, wide)
    nodes = np.concatenate([[0], NODES * rng.uniform(0.9, 1, NODES.size)])
    moves = {}
    for path, value in copies.values.items():
        direction = CLOSE * copies.box.sizes[path] * random_signs(value.shape, rng)
        direction = direction * rng.uniform(0.75, 1.5, value.shape)
        moves[path] = np.stack([copies.box.clipped(path, node * direction) for node in nodes])
    at_point, *line = found = np.array(list(copies.costs(moves)))
    evaluations.count += copies.calls
    change = (np.array(line) - at_point).astype(np.float64)
    # costs that the narrow dtype holds are rounded to it, also where too little changes to show it
    is_narrow = (found.astype(coarsest_dtype(evaluations.values)) == found).all()
    if is_narrow or not np.isfinite(change).all():
        return None
    level = CAUTION * off_a_polynomial(nodes[1:], change)
    if not level <= noise.level / WORTH:
        return None
    return WideCosts(evaluations, copies, at_point, replace(noise, level=level))
