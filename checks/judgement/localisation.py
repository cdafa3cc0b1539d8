"""Search a wrong array for its wrong entries, and for blocks that are wrong throughout."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from checks.estimation.directional import DirectionalDerivative, DirectionalEstimator
from checks.parameters.random_directions import MIN_VISIBLE_SHARE, Direction, Region
from checks.report.blocks import Block, Entry

__all__ = ["find_nonfinite_blocks", "find_wrong_blocks", "locate"]

# A region is a block if this many of its entries, drawn at random, are all wrong. If half of its
# entries are right, that happens with a probability of 2⁻¹² = 1/4096.
SAMPLED = 12
SMALL = 4  # regions of at most this many entries are judged entry by entry
# Halving along an axis is given up if it has cut a region into at least MIN_PIECES pieces, and more
# than MAX_WRONG_SHARE of them are wrong: that axis does not separate wrong entries from right ones.
MIN_PIECES, MAX_WRONG_SHARE = 8, 0.75
MAX_COMPARISONS = 50_000  # of regions and entries; wrong regions left then are not searched

# For several regions: whether the claim along a random direction is wrong in each.
IsWrong: TypeAlias = Callable[[Sequence[Region]], Sequence[bool]]
# For several regions of one entry each: that entry, with claim and estimate.
JudgeEntries: TypeAlias = Callable[[Sequence[Region]], Sequence[Entry]]


def find_wrong_blocks(
    estimator: DirectionalEstimator, path: str, whole: DirectionalDerivative, tolerance: float
) -> list[Block]:
    """Return the wrong entries and blocks of an array; none if no entry exceeds its tolerance.

    Parameters
    ----------
    estimator : DirectionalEstimator
    path : str
        The array.
    whole : DirectionalDerivative
        Claim and estimate along a direction of the whole array. Regions are estimated by the same
        method. Complex steps in them are taken to have the same error.
    tolerance : float
        By how much the claim may differ from the derivative along a direction.
    """
    evaluations = estimator.evaluations
    array = evaluations.arrays[path]

    def compare(regions: Sequence[Region]) -> list[tuple[Direction, DirectionalDerivative]]:
        """Return a direction in each region, with claim and estimate along it."""
        moves = [evaluations.directions({path: array.scale}, region) for region in regions]
        if whole.method == "central":
            compared = [estimator.central(path, move) for move in moves]
        else:
            slopes = evaluations.complex_slopes(moves) if moves else ()
            compared = [
                DirectionalDerivative(
                    evaluations.claimed_slope(move), float(slope), whole.error, whole.method
                )
                for move, slope in zip(moves, slopes, strict=True)
            ]
        return [(move[path], result) for move, result in zip(moves, compared, strict=True)]

    def is_wrong(regions: Sequence[Region]) -> list[bool]:
        # "not … ≤", so that a discrepancy of nan counts as wrong
        return [
            not result.discrepancy - result.error <= tolerance for _, result in compare(regions)
        ]

    def judge_entries(regions: Sequence[Region]) -> list[Entry]:
        entries = []
        for direction, result in compare(regions):
            # along a direction with one entry v, the derivative is v times that of the entry
            v = direction.values_in(direction.region).item()
            claimed, numeric, error = result.claimed / v, result.numeric / v, result.error / abs(v)
            wrong = abs(claimed - numeric) - error > tolerance / (MIN_VISIBLE_SHARE * array.scale)
            entries.append(
                Entry(direction.region, claimed, numeric, error, wrong and not result.kink)
            )
        return entries

    return locate(array.whole, is_wrong, judge_entries, estimator.rng)


def find_nonfinite_blocks(estimator: DirectionalEstimator, path: str) -> list[Block]:
    """Return the claimed entries and blocks of an array that are not finite.

    This takes no evaluation of the cost.
    """
    evaluations = estimator.evaluations

    def claims(regions: Sequence[Region]) -> list[float]:
        moves = (evaluations.directions({path: 1.0}, region) for region in regions)
        return [evaluations.claimed_slope(move) for move in moves]

    def is_wrong(regions: Sequence[Region]) -> list[bool]:
        return [not np.isfinite(claimed) for claimed in claims(regions)]

    def judge_entries(regions: Sequence[Region]) -> list[Entry]:
        return [
            Entry(region, claimed, np.nan, np.inf, not np.isfinite(claimed))
            for region, claimed in zip(regions, claims(regions), strict=True)
        ]

    return locate(evaluations.arrays[path].whole, is_wrong, judge_entries, estimator.rng)


def locate(
    whole: Region, is_wrong: IsWrong, judge_entries: JudgeEntries, rng: np.random.Generator
) -> list[Block]:
    """Find the wrong entries and blocks of an array.

    A region is halved by columns until single columns are left, and these by rows; each half is
    compared along a fresh direction. One wrong entry among P takes about 1½ log₂ P comparisons.
    Halving along an axis ends early if most pieces are wrong: where a whole row is wrong, every
    column is. A region is a block if entries drawn from it at random are all wrong.

    Parameters
    ----------
    whole : Region
        The array.
    is_wrong, judge_entries
        See `IsWrong` and `JudgeEntries`.
    rng
        Draws entries from regions.

    Returns
    -------
    list of Block
        In the order of their places; adjacent blocks of the same extent are joined.
    """
    comparisons = 0
    blocks: list[Block] = []

    def counted_is_wrong(regions: Sequence[Region]) -> Sequence[bool]:
        nonlocal comparisons
        comparisons += len(regions)
        return is_wrong(regions) if regions else []

    def counted_entries(regions: Sequence[Region]) -> Sequence[Entry]:
        nonlocal comparisons
        comparisons += len(regions)
        return judge_entries(regions)

    def unsettled(regions: Sequence[Region]) -> list[Region]:
        """Store blocks, and the wrong entries of small regions; return the other regions."""
        small = [r.entry(i) for r in regions if r.size <= SMALL for i in range(r.size)]
        blocks.extend(Block(e.region, (e,)) for e in counted_entries(small) if e.wrong)
        large = [region for region in regions if region.size > SMALL]
        firsts = counted_entries([r.entry(int(rng.integers(r.size))) for r in large])
        others = []
        for region, first in zip(large, firsts, strict=True):
            if first.wrong:
                numbers = rng.integers(region.size, size=SAMPLED - 1)
                sampled = (first, *counted_entries([region.entry(int(i)) for i in numbers]))
                if all(entry.wrong for entry in sampled):
                    blocks.append(Block(region, _worst_first(sampled)))
                    continue
            others.append(region)
        return others

    regions = [whole]
    while regions:
        regions = unsettled(regions)
        if comparisons > MAX_COMPARISONS:
            blocks += [Block(region, (), throughout=False) for region in regions]
            break
        wrong = []
        for axis in (1, 0):  # by columns; then by rows those that columns do not narrow
            divisible = [region for region in regions if region.shape[axis] > 1]
            narrowed = _narrow(divisible, axis, counted_is_wrong)
            for region, pieces in zip(divisible, narrowed, strict=True):
                if pieces is not None:
                    wrong += pieces
                    regions.remove(region)
        # regions that neither axis narrows: wrong entries are everywhere between right ones
        pieces = [piece for region in regions for piece in _sixteenths(region)]
        wrong += [p for p, bad in zip(pieces, counted_is_wrong(pieces), strict=True) if bad]
        regions = wrong
    return _joined(blocks)


def _narrow(regions: Sequence[Region], axis: int, is_wrong: IsWrong) -> list[list[Region] | None]:
    """Halve wrong regions along an axis down to the single rows or columns that are wrong.

    Returns for each region its wrong pieces, or None if they are too many: see `MIN_PIECES`.
    """
    found: list[list[Region] | None] = [[region] for region in regions]
    count = 1  # pieces that each region is cut into by now
    while True:
        halves = {
            (number, piece): piece.halves(axis)
            for number, pieces in enumerate(found)
            for piece in pieces or ()
            if piece.shape[axis] > 1
        }
        if not halves:
            return found
        first_wrong = dict(
            zip(halves, is_wrong([first for first, _ in halves.values()]), strict=True)
        )
        # if the first half of a wrong piece is right, its second half is known to be wrong
        unknown = [key for key, wrong in first_wrong.items() if wrong]
        second_wrong = dict(
            zip(unknown, is_wrong([halves[key][1] for key in unknown]), strict=True)
        )
        count *= 2
        for number, pieces in enumerate(found):
            if pieces is None:
                continue
            wrong_pieces = []
            for piece in pieces:
                key = number, piece
                if key not in halves:
                    wrong_pieces.append(piece)
                    continue
                first, second = halves[key]
                wrong_pieces += [first] if first_wrong[key] else []
                wrong_pieces += [second] if second_wrong.get(key, True) else []
            total = min(count, regions[number].shape[axis])
            too_many = total >= MIN_PIECES and len(wrong_pieces) > MAX_WRONG_SHARE * total
            found[number] = None if too_many else wrong_pieces


def _sixteenths(region: Region) -> list[Region]:
    """Halve a region twice along each axis, as far as it has rows and columns for that."""
    pieces = [region]
    for axis in (0, 1, 0, 1):
        pieces = [
            half
            for piece in pieces
            for half in (piece.halves(axis) if piece.shape[axis] > 1 else (piece,))
        ]
    return pieces


def _joined(blocks: list[Block]) -> list[Block]:
    """Join adjacent blocks of the same extent: rows below rows, or columns beside columns."""
    joined: list[Block] = []
    for block in sorted(blocks, key=lambda block: block.region):
        if joined and _may_join(joined[-1], block):
            last, region = joined[-1], block.region
            both = replace(last.region, bottom=region.bottom, right=region.right)
            joined[-1] = Block(both, _worst_first(last.entries + block.entries))
        else:
            joined.append(block)
    return joined


def _may_join(last: Block, block: Block) -> bool:
    a, b = last.region, block.region
    if not (last.throughout and block.throughout and a.size > 1 and b.size > 1):
        return False
    below = (a.left, a.right, a.bottom) == (b.left, b.right, b.top)
    beside = (a.top, a.bottom, a.right) == (b.top, b.bottom, b.left)
    return below or beside


def _worst_first(entries: Sequence[Entry]) -> tuple[Entry, ...]:
    return tuple(sorted(entries, key=lambda entry: -entry.discrepancy))
