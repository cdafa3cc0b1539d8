"""Where a wrong array is wrong: single entries, and blocks that are wrong throughout."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from checks.estimation.directional import DirectionalDerivative, DirectionalEstimator
from checks.parameters.random_directions import SURE, Direction, Region
from checks.report.blocks import Block, Entry

__all__ = ["locate", "not_finite", "wrong"]

TRIED = (
    12  # entries of a region: if all are wrong it is a block, and half right is missed in 1/4096
)
SMALL = 4  # entries that are judged one by one
# Of so many pieces along an axis, if more than this share is wrong, the axis tells nothing apart.
PIECES, DENSE = 8, 0.75
MOST = 50_000  # regions looked at; what is left is reported as it is


Wrong: TypeAlias = Callable[[Sequence[Region]], Sequence[bool]]
Judge: TypeAlias = Callable[[Sequence[Region]], Sequence[Entry]]


def locate(whole: Region, wrong: Wrong, judge: Judge, rng: np.random.Generator) -> list[Block]:
    """Find what is wrong in an array.

    Halves of a region are looked at along fresh directions until single columns are left, and then
    single rows: about 1½ log₂ P looks a mistake. Along an axis that tells nothing apart, as columns
    do not where a row is wrong, that is given up early. A region is a block if entries tried at
    random are all wrong.

    Parameters
    ----------
    whole : Region
        The array.
    wrong
        Of several regions: whether the claim along a random direction is off in each.
    judge
        Of several regions of one entry each: estimates.
    rng
        Chooses the entries to be tried.

    Returns
    -------
    list of Block
        In the order of their places; adjacent blocks of the same extent are one.
    """
    looks = 0

    def look(regions: Sequence[Region]) -> Sequence[bool]:
        nonlocal looks
        looks += len(regions)
        return wrong(regions) if regions else []

    def sort(regions: Sequence[Region]) -> list[Region]:
        """Put small regions and blocks aside, and return the others."""
        nonlocal looks
        small = [r.entry(i) for r in regions if r.size <= SMALL for i in range(r.size)]
        blocks.extend(Block(e.region, (e,)) for e in judge(small) if e.wrong)
        large = [region for region in regions if region.size > SMALL]
        firsts = judge([r.entry(int(rng.integers(r.size))) for r in large])
        looks += len(small) + len(firsts)
        rest = []
        for region, first in zip(large, firsts, strict=True):
            if first.wrong:
                numbers = rng.integers(region.size, size=TRIED - 1)
                tried = (first, *judge([region.entry(int(i)) for i in numbers]))
                looks += len(tried) - 1
                if all(entry.wrong for entry in tried):
                    worst = tuple(sorted(tried, key=lambda entry: -entry.discrepancy))
                    blocks.append(Block(region, worst))
                    continue
            rest.append(region)
        return rest

    blocks: list[Block] = []
    pending = [whole]
    while pending:
        pending = sort(pending)
        if looks > MOST:
            blocks += [Block(region, (), throughout=False) for region in pending]
            break
        found = []
        for axis in (1, 0):  # columns, then rows where columns tell nothing apart
            long = [region for region in pending if region.shape[axis] > 1]
            pieces = _narrow(long, axis, look)
            for region, parts in zip(long, pieces, strict=True):
                if parts is not None:
                    found += parts
                    pending.remove(region)
        # neither does: mistakes everywhere, between right entries
        dense = [part for region in pending for part in _quarters(region)]
        found += [part for part, bad in zip(dense, look(dense), strict=True) if bad]
        pending = found
    return _joined(blocks)


def _narrow(regions: Sequence[Region], axis: int, look: Wrong) -> list[list[Region] | None]:
    """Halve regions along an axis down to single rows or columns that are wrong.

    Returns for each its wrong parts, or None where so many are that the axis tells nothing apart.
    """
    found: list[list[Region] | None] = [[region] for region in regions]
    count = 1  # pieces of each region by now
    while True:
        halved = {
            (number, part): part.halves(axis)
            for number, parts in enumerate(found)
            for part in parts or ()
            if part.shape[axis] > 1
        }
        if not halved:
            return found
        first = look([half for half, _ in halved.values()])
        firsts = dict(zip(halved, first, strict=True))
        # if the first half is right the second is wrong, for the whole was
        asked = [key for key, bad in firsts.items() if bad]
        seconds = dict(zip(asked, look([halved[key][1] for key in asked]), strict=True))
        count *= 2
        for number, parts in enumerate(found):
            kept = []
            for part in parts or ():
                key = number, part
                if key not in halved:
                    kept.append(part)
                    continue
                kept += [halved[key][0]] if firsts[key] else []
                kept += [halved[key][1]] if seconds.get(key, True) else []
            pieces = min(count, regions[number].shape[axis])
            dense = pieces >= PIECES and len(kept) > DENSE * pieces
            found[number] = None if parts is None or dense else kept


def _quarters(region: Region) -> list[Region]:
    """Cut a region in up to sixteen."""
    parts = [region]
    for axis in (0, 1, 0, 1):
        parts = [
            half
            for part in parts
            for half in (part.halves(axis) if part.shape[axis] > 1 else (part,))
        ]
    return parts


def _joined(blocks: list[Block]) -> list[Block]:
    """Join neighbours of the same extent, rows below rows or columns beside columns."""
    if not blocks:
        return blocks
    joined: list[Block] = []
    for block in sorted(blocks, key=lambda block: block.region):
        last, region = joined[-1] if joined else None, block.region
        if last and block.throughout and last.throughout and region.size > 1 < last.region.size:
            before = last.region
            below = (before.left, before.right, before.bottom) == (
                region.left,
                region.right,
                region.top,
            )
            beside = (before.top, before.bottom, before.right) == (
                region.top,
                region.bottom,
                region.left,
            )
            if below or beside:
                entries = sorted(last.entries + block.entries, key=lambda entry: -entry.discrepancy)
                both = replace(before, bottom=region.bottom, right=region.right)
                joined[-1] = Block(both, tuple(entries))
                continue
        joined.append(block)
    return joined


def wrong(
    at: DirectionalEstimator, path: str, along: DirectionalDerivative, owed: float
) -> list[Block]:
    """Find what is wrong in an array; where no entry is by more than it owes, nothing is.

    Parameters
    ----------
    at : DirectionalEstimator
    path : str
        The array.
    along : Along
        What accuses it: by its method, and with its error by the complex step, parts are compared.
    owed : float
        The accuracy that the claim owes along a direction.
    """
    lines, leaf = at.lines, at.lines.leaves[path]

    def each(regions: Sequence[Region]) -> list[tuple[Direction, DirectionalDerivative]]:
        """Return a direction in each region, and claim and estimate along it."""
        several = [lines.directions({path: leaf.scale}, region) for region in regions]
        if along.method == "central":
            found = [at.central(path, moves) for moves in several]
        else:
            slopes = lines.slopes(several) if several else ()
            found = [
                DirectionalDerivative(lines.claimed(moves), float(slope), along.error, along.method)
                for moves, slope in zip(several, slopes, strict=True)
            ]
        return [(moves[path], one) for moves, one in zip(several, found, strict=True)]

    def look(regions: Sequence[Region]) -> list[bool]:
        return [not one.discrepancy - one.error <= owed for _, one in each(regions)]

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


def not_finite(at: DirectionalEstimator, path: str) -> list[Block]:
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
