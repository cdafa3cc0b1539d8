"""Noise at the steps of differences: a solver's tolerance, a table that is interpolated."""

from dataclasses import replace

import numpy as np

from checks._types import FloatArray
from checks.estimation.difference_table import (
    POINTS,
    SAME_WITHIN,
    DifferenceTable,
    Line,
    has_jump,
    noise_within,
    take_table,
)
from checks.estimation.noise import Noise
from checks.evaluation.pointwise import Evaluations
from checks.evaluation.step_sizes import steps_taken

__all__ = ["noise_at_steps"]

# Spacings of the tables, in units of the entry's typical size: from the longest step of a
# difference to less than the first step in float64. Each is NARROWER times the one before.
LONGEST_SPACING, FINEST_SPACING, NARROWER = 0.1, 0.1 / 64, 1 / 4
PLACES = 3  # how many of a table's roughest intervals are searched for a jump
ORDERS = 6  # orders of differences that are used: the only one of order 7 may be 0 by chance


def noise_at_steps(
    evaluations: Evaluations,
    path: str,
    entry: int,
    known: Noise,
    discrepancy: float,
    rng: np.random.Generator,
) -> Noise:
    """Return the noise of the cost at the steps of differences, at least what is known of it.

    A solver that stops at a tolerance, or a table that is interpolated, is smooth in pieces, and
    differences within a piece converge. The error of the cost differs from piece to piece, which
    shows only in steps over several of them.

    Parameters
    ----------
    evaluations
        The cost; 7 evaluations are spent where it is smooth, a few hundred where it is not.
    path, entry
        The entry that is moved, by at most 0.35 of its typical size.
    known
        The noise that was found so far.
    discrepancy
        By how much a claim and an estimate differ. Noise too small to explain this is left out.

    Returns
    -------
    Noise
        The same object as `known` where no more is found.
    """
    x = evaluations.values[path].ravel()[entry]
    size = float(evaluations.box.sizes[path].ravel()[entry])

    def line(nodes: FloatArray) -> tuple[FloatArray, FloatArray]:
        steps = steps_taken(x, nodes)
        return steps, evaluations.at_entries(path, np.array([entry]), steps[None])[0]

    def line_through_x(nodes: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Put the node that is closest to x on it, where the cost is known."""
        closest = int(np.abs(nodes).argmin())
        steps, costs = line(np.delete(nodes, closest))
        return np.insert(steps, closest, 0), np.insert(costs, closest, evaluations.at_point)

    finest = 4 * float(np.spacing(x.dtype.type(size)))
    # An interpolation in pieces of length l is off by a parabola in each. If its noise is σ, it is
    # √11.25 σ high and its slope at the ends, 4 heights/l, is about 13 σ/l. So noise below
    # discrepancy · l/13 does not explain that; 32 leaves a margin, and l is the finest spacing.
    least = max(SAME_WITHIN * known.level, discrepancy * FINEST_SPACING * size / 32)
    spacing = LONGEST_SPACING
    while spacing >= FINEST_SPACING and spacing * size >= finest:
        reach = spacing * size * (POINTS - 1) / 2
        table = take_table(line_through_x, -reach, reach, rng)
        if min(table.levels[:ORDERS]) <= least:
            break  # noise shows in differences of every order, and some order shows none
        k = table.agreeing_order()
        if k and _is_noise(line, table, k, finest, rng):
            level = table.levels[k - 1]
            relative = level / (abs(float(evaluations.at_point)) or level)
            return replace(known, level=level, relative=max(relative, known.relative))
        spacing *= NARROWER
    return known


def _is_noise(
    line: Line, table: DifferenceTable, k: int, finest: float, rng: np.random.Generator
) -> bool:
    """Whether what a table shows in differences of order k is noise, and not the function."""
    noise = table.levels[k - 1]
    # Noise that is everywhere, as of an interpolated table, is as large between most pairs of
    # nodes, where a single kink is not. In narrower tables it may shrink, but does not vanish; and
    # it does not grow, as what tables show of a pole does.
    places = [(table.nodes[n], table.nodes[n + 1]) for n in (0, POINTS // 2 - 1, POINTS - 2)]
    within = [noise_within(line, place, finest, rng)[0] for place in places]
    dense = [noises for noises in within if noises and noises[0] >= noise / SAME_WITHIN]
    if len(dense) > 1:
        return any(0 < noises[-1] <= SAME_WITHIN**2 * noises[0] for noises in dense)
    # a jump, as of a solver that takes a step more, is as high however narrow the table
    for place in table.rough_intervals(k)[:PLACES]:
        noises, narrower, slope = noise_within(line, place, finest, rng)
        if all(noises) and has_jump(line, narrower, slope, noise / SAME_WITHIN, finest):
            return True
    return False
