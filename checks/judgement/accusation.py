"""What is wrong in an array whose claim is off: entries and parts of it, each compared anew."""

from collections.abc import Sequence

import numpy as np

from checks.estimation.directional import Along, Estimator
from checks.judgement.localisation import Block, Entry, locate
from checks.parameters.random_directions import SURE, Direction, Region

__all__ = ["not_finite", "wrong"]


def wrong(at: Estimator, path: str, along: Along, owed: float) -> list[Block]:
    """Find what is wrong in an array; where no entry is by more than it owes, nothing is.

    Parameters
    ----------
    at : Estimator
    path : str
        The array.
    along : Along
        What accuses it: by its method, and with its error by the complex step, parts are compared.
    owed : float
        The accuracy that the claim owes along a direction.
    """
    lines, leaf = at.lines, at.lines.leaves[path]

    def each(regions: Sequence[Region]) -> list[tuple[Direction, Along]]:
        """Return a direction in each region, and claim and estimate along it."""
        several = [lines.directions({path: leaf.scale}, region) for region in regions]
        if along.method == "central":
            found = [at.central(path, moves) for moves in several]
        else:
            slopes = lines.slopes(several) if several else ()
            found = [
                Along(lines.claimed(moves), float(slope), along.error, along.method)
                for moves, slope in zip(several, slopes, strict=True)
            ]
        return [(moves[path], one) for moves, one in zip(several, found, strict=True)]

    def look(regions: Sequence[Region]) -> list[bool]:
        return [not one.off - one.error <= owed for _, one in each(regions)]

    def judge(regions: Sequence[Region]) -> list[Entry]:
        """Estimate single entries: n·v over the one entry of v."""
        entries = []
        for direction, one in each(regions):
            v = direction.block(direction.region).item()
            claimed, numeric, error = one.claimed / v, one.numeric / v, one.error / abs(v)
            off = abs(claimed - numeric) - error > owed / (SURE * leaf.scale)
            entries.append(Entry(direction.region, claimed, numeric, error, off and not one.kink))
        return entries

    return locate(leaf.whole, look, judge, at.rng)


def not_finite(at: Estimator, path: str) -> list[Block]:
    """Find the claimed entries of an array that are not finite, which takes no evaluation."""
    lines = at.lines

    def claimed(regions: Sequence[Region]) -> list[float]:
        moves = (lines.directions({path: 1.0}, region) for region in regions)
        return [lines.claimed(move) for move in moves]

    def look(regions: Sequence[Region]) -> list[bool]:
        return [not np.isfinite(g) for g in claimed(regions)]

    def judge(regions: Sequence[Region]) -> list[Entry]:
        return [
            Entry(region, g, np.nan, np.inf, not np.isfinite(g))
            for region, g in zip(regions, claimed(regions), strict=True)
        ]

    return locate(lines.leaves[path].whole, look, judge, at.rng)
