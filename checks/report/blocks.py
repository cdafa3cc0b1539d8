"""The wrong parts of an array that a projected check has found: single entries and rectangles."""

import math
from dataclasses import dataclass

from checks.parameters.random_directions import Region

__all__ = ["Block", "Entry"]


@dataclass(frozen=True)
class Entry:
    """One entry that a projected check has estimated by itself.

    Attributes
    ----------
    region : Region
        Its place: a rectangle of one entry.
    claimed, numeric, error : float
    wrong : bool
        Whether the claim lies outside of the interval by more than the tolerance.
    """

    region: Region
    claimed: float
    numeric: float
    error: float
    wrong: bool

    @property
    def discrepancy(self) -> float:
        """|claimed − numeric|; inf if either is nan."""
        difference = abs(self.claimed - self.numeric)
        return math.inf if math.isnan(difference) else difference


@dataclass(frozen=True)
class Block:
    """A part of an array that is wrong: one entry, or a rectangle of them.

    Attributes
    ----------
    region : Region
    entries : tuple of Entry
        The entries of the region that were estimated one by one, the worst first.
    throughout : bool
        Whether each of these entries is wrong. If not, some entries of the region are wrong, but
        the search for them was given up.
    """

    region: Region
    entries: tuple[Entry, ...]
    throughout: bool = True

    @property
    def factor(self) -> float | None:
        """The ratio claimed / numeric, if all `entries` agree on it to within their errors."""
        if not all(entry.numeric and math.isfinite(entry.numeric) for entry in self.entries):
            return None
        ratios = [entry.claimed / entry.numeric for entry in self.entries]
        errors = [abs(r * e.error / e.numeric) for r, e in zip(ratios, self.entries, strict=True)]
        smallest = min(errors)
        factor = ratios[errors.index(smallest)]
        same = all(
            abs(ratio - factor) <= 4 * (error + smallest) + 1e-9 * abs(factor)
            for ratio, error in zip(ratios, errors, strict=True)
        )
        return factor if same else None
