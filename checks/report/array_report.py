"""What a check found in one array: the verdict of every entry, and numbers that sum it up."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from checks._types import FloatArray
from checks.parameters.claims import entry_name
from checks.report.verdict import Verdict, detectable_error, largest_entry, relative_discrepancy
from checks.report.wording import plural

__all__ = ["ArrayReport", "WorstEntry"]


@dataclass(frozen=True)
class WorstEntry:
    """The worst entry of an array: what was claimed for it, and its estimate."""

    path: str
    index: tuple[int, ...]
    claimed: float
    numeric: float
    error: float

    def __str__(self) -> str:
        name = entry_name(self.path, self.index)
        claimed, numeric = self.numbers()
        text = f"{name}: claimed {claimed}, numeric {numeric}"
        discrepancy = abs(self.claimed - self.numeric)
        # a ratio means something only if the error hides neither the estimate nor the discrepancy
        if math.isfinite(discrepancy) and min(discrepancy, abs(self.numeric)) > self.error:
            factor = self.claimed / self.numeric
            near = abs(factor - 1) < 0.01
            text += ": claimed is " + (
                f"off by {factor - 1:.1e} of numeric" if near else f"{factor:.4g} × numeric"
            )
        return text

    def numbers(self) -> tuple[str, str]:
        """Return claim and estimate as text, with the digits that are certain, but 5 to 9."""
        value, error, decimals = self.numeric, self.error, 4
        if math.isfinite(value) and math.isfinite(error):
            certain = math.log10(abs(value) / error) if value and error else 9
            decimals = min(8, max(4, math.ceil(certain)))
        return f"{self.claimed:.{decimals}e}", f"{value:.{decimals}e} ± {error:.0e}"


@dataclass(frozen=True, eq=False)
class ArrayReport:
    """One array of parameters.

    Attributes
    ----------
    claimed, numeric, error : ndarray
        The claim, the estimate, and its error, in the shape of the array. An error of inf means
        that nothing is known of the entry.
    verdicts : ndarray of int8
        The `Verdict` of every entry.
    slope_jump : ndarray
        At a kink, half the difference of the slopes on the two sides, which is a part of `error`;
        0 elsewhere.
    reason : str
        Why entries are UNRESOLVED; empty if none is.
    method : str
        "central" or "complex-step".
    precision : str
        How the rounding of complex steps is known: "lifted", measured in a wider dtype; "sampled",
        so of some entries; "estimated", where the cost does not compute in a wider one. Empty for
        differences.
    dtype : str
        "float64" if narrower parameters were estimated in float64, which the cost computes in too.
    """

    path: str
    claimed: FloatArray
    numeric: FloatArray
    error: FloatArray
    verdicts: NDArray[np.int8]
    slope_jump: FloatArray
    reason: str = ""
    method: str = "central"
    precision: str = ""
    dtype: str = ""

    def __repr__(self) -> str:
        entries = plural(self.entries, "entry")
        return f"<ArrayReport {self.path}: {self.verdict}, {entries}, {self.method}>"

    @property
    def entries(self) -> int:
        """Entries compared."""
        return self.claimed.size

    @property
    def verdict(self) -> Verdict:
        """The worst verdict of its entries; MATCH if there are none."""
        return Verdict(int(self.verdicts.max(initial=0)))

    @cached_property
    def largest(self) -> float:
        """The largest finite entry, claimed or numeric; errors are given relative to it."""
        return largest_entry(self.claimed, np.abs(self.numeric) + self.slope_jump)

    @property
    def all_zero(self) -> bool:
        """Whether all entries are zero, claimed as well as numeric."""
        # any() counts nan as nonzero, and `largest` ignores it
        return self.largest == 0 and not self.claimed.any()

    @property
    def compared_nothing(self) -> bool:
        """Whether it is a MATCH only because all is zero and the cost does not depend on it."""
        return self.all_zero and self.verdict is Verdict.MATCH

    @cached_property
    def discrepancies(self) -> FloatArray:
        """|claimed − numeric| of each entry; at a kink, the distance from the two slopes' range."""
        with np.errstate(invalid="ignore"):
            d = np.maximum(np.abs(self.claimed - self.numeric) - self.slope_jump, 0)
        return np.where(np.isnan(d), np.inf, d)

    @property
    def differentiable(self) -> NDArray[np.bool_]:
        """Which entries do not lie on a kink."""
        return self.slope_jump == 0  # type: ignore[no-any-return]

    @cached_property
    def least_certain(self) -> int | None:
        """The flat index of the largest error, kinks left out; None if there are only kinks."""
        if not self.slope_jump.any():
            return int(self.error.argmax()) if self.error.size else None
        if not self.differentiable.any():
            return None
        return int(np.where(self.differentiable, self.error, -1).argmax())

    @property
    def worst(self) -> WorstEntry:
        """Of the entries with the worst verdict, the one with the largest discrepancy."""
        rank = np.where(self.verdicts == self.verdict, self.discrepancies, -1)
        flat = int(np.argmax(rank))
        index = tuple(int(i) for i in np.unravel_index(flat, self.claimed.shape))
        return WorstEntry(
            self.path,
            index,
            float(self.claimed[index]),
            float(self.numeric[index]),
            float(self.error[index]),
        )

    @property
    def discrepancy(self) -> float:
        """The largest of `discrepancies`, relative to the largest entry; inf if not finite."""
        return relative_discrepancy(float(np.max(self.discrepancies, initial=0)), self.largest)

    @property
    def digits(self) -> float:
        """The decimal digits that are verified: −log10(max(|g − n| + e) / s).

        g is the claim, n ± e the estimate, s the largest entry. Entries on kinks are left out; if
        all entries are on kinks, 0 digits are verified.
        """
        bounds = self.discrepancies + self.error
        bound = float(np.max(bounds, initial=0, where=self.differentiable))
        if not math.isfinite(bound) or self.all_zero or not self.differentiable.any():
            return 0.0
        return max(0.0, -math.log10(bound / self.largest)) if bound else math.inf

    def detectable(self, rtol: float) -> float:
        """Return the smallest error, relative to the largest entry, that is sure to be a MISMATCH.

        It holds for every entry but those on kinks, where any claim between the two slopes is
        accepted. If all entries are on kinks it is inf.
        """
        if self.least_certain is None:
            return math.inf
        return detectable_error(self.largest, float(self.error.flat[self.least_certain]), rtol)
