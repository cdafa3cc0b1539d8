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
from checks.evaluation.step_sizes import entry_sizes, steps_taken

__all__ = ["noise_at_steps"]

# Spacings of the tables, in units of the typical size: from the longest step of a difference to
# below the first step in float64, each NARROWER than the one before.
LONGEST_SPACING, FINEST_SPACING, NARROWER = 0.1, 0.1 / 64, 1 / 4
PLACES = 3  # intervals of such a table in which a jump is looked for
ORDERS = 6  # of the levels that bound the noise: one of order 7 is a single number, which may be 0


def noise_at_steps(
    evaluations: Evaluations,
    path: str,
    entry: int,
    known: Noise,
    discrepancy: float,
    rng: np.random.Generator,
) -> Noise:
    """Return the noise of the cost at the steps of differences, at least what is known of it.

    A solver that stops at a tolerance, or a table that is interpolated, is smooth from one last
    place to the next, and differences may converge on one of its smooth pieces. Its error differs
    from piece to piece, which only shows in steps over several of them.

    Parameters
    ----------
    evaluations
        The cost; 7 evaluations are spent where it is smooth, a few hundred where it is not.
    path, entry
        The entry that is moved, by at most 0.35 of its typical size.
    known
        The noise that was found so far.
    discrepancy
        By how much a claim and an estimate differ: smaller noise than explains this is left out.

    Returns
    -------
    Noise
        The same object as `known` where no more is found.
    """
    x = evaluations.values[path].reshape(-1)[entry]
    size = float(entry_sizes(evaluations.values[path]).reshape(-1)[entry])

    def line(nodes: FloatArray) -> tuple[FloatArray, FloatArray]:
        steps = steps_taken(x, nodes)
        return steps, evaluations.at_entries(path, np.array([entry]), steps[None])[0]

    def line_through_x(nodes: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Put the node that is closest to x on it, where the cost is known."""
        closest = int(np.abs(nodes).argmin())
        steps, costs = line(np.delete(nodes, closest))
        return np.insert(steps, closest, 0), np.insert(costs, closest, evaluations.at_point)

    finest = 4 * float(np.spacing(x.dtype.type(size)))
    # On a piece of length l, the slope is off by up to 13 σ/l: a parabola, as of an interpolation,
    # has a height of √11.25 σ, and a slope of 4 heights over l at its ends. Noise below a 32nd of
    # discrepancy · l does not explain the discrepancy, with l the finest spacing.
    least = max(SAME_WITHIN * known.level, discrepancy * FINEST_SPACING * size / 32)
    spacing = LONGEST_SPACING
    while spacing >= FINEST_SPACING and spacing * size >= finest:
        reach = spacing * size * (POINTS - 1) / 2
        table = take_table(line_through_x, -reach, reach, rng)
        if min(table.levels[:ORDERS]) <= least:
            break  # noise would show in differences of every order
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
    # Dense noise, as of an interpolated table, is as large between most nodes, where a single kink
    # is not. Within them it may shrink in the end, but is never smooth, as the function is.
    places = [(table.nodes[n], table.nodes[n + 1]) for n in (0, POINTS // 2 - 1, POINTS - 2)]
    within = [noise_within(line, place, finest, rng)[0] for place in places]
    dense = [noises for noises in within if noises and noises[0] >= noise / SAME_WITHIN]
    if len(dense) > 1:
        return any(noises[-1] > 0 for noises in dense)
    # else a jump, which is as high however close one looks
    for place in table.rough_intervals(k)[:PLACES]:
        noises, narrower, slope = noise_within(line, place, finest, rng)
        if all(noises) and has_jump(line, narrower, slope, noise / SAME_WITHIN, finest):
            return True
    return False
