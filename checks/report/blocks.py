"""The wrong parts of an array that a projected check found: single entries, and rectangles."""

from dataclasses import dataclass

import numpy as np

from checks.parameters.random_directions import Region

__all__ = ["Block", "Entry"]


@dataclass(frozen=True)
class Entry:
    """One entry: its place, what is claimed, and the estimate."""

    region: Region
    claimed: float
    numeric: float
    error: float
    wrong: bool

    @property
    def discrepancy(self) -> float:
        """By how much the claim is off."""
        off = abs(self.claimed - self.numeric)
        return off if off == off else float("inf")


@dataclass(frozen=True)
class Block:
    """A part of an array that is wrong: one entry, or a rectangle of them.

    Attributes
    ----------
    region : Region
    entries : tuple of Entry
        Those that were estimated one by one, worst first; all wrong where `throughout`.
    throughout : bool
        All of them were wrong. Else some are: the search for which was given up.
    """

    region: Region
    entries: tuple[Entry, ...]
    throughout: bool = True

    @property
    def factor(self) -> float | None:
        """The claim over the estimate, where it is the same in all entries tried."""
        if not all(entry.numeric and np.isfinite(entry.numeric) for entry in self.entries):
            return None
        ratios = [entry.claimed / entry.numeric for entry in self.entries]
        blurs = [abs(r * e.error / e.numeric) for r, e in zip(ratios, self.entries, strict=True)]
        # that of the entry known best
        factor = ratios[int(np.argmin(blurs))]
        apart = [abs(ratio - factor) for ratio in ratios]
        same = all(
            off <= 4 * (blur + min(blurs)) + 1e-9 * abs(factor)
            for off, blur in zip(apart, blurs, strict=True)
        )
        return factor if same else None
