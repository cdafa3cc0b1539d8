"""What a check found of one array: verdicts by entry, and what follows from them."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from checks._types import FloatArray
from checks.parameters.claims import entry_name
from checks.report.verdict import Verdict, detectable_error, largest_entry
from checks.report.wording import plural

__all__ = ["ArrayReport", "WorstEntry"]


@dataclass(frozen=True)
class WorstEntry:
    """The entry that decides: of the worst verdict, and there the largest discrepancy."""

    path: str
    index: tuple[int, ...]
    claimed: float
    numeric: float
    error: float

    def __str__(self) -> str:
        name = entry_name(self.path, self.index)
        claimed, numeric = self.numbers()
        text = f"{name}: claimed {claimed}, numeric {numeric}"
        off = abs(self.claimed - self.numeric)
        if math.isfinite(off) and min(off, abs(self.numeric)) > self.error:
            factor = self.claimed / self.numeric
            near = abs(factor - 1) < 0.01
            text += ": claimed is " + (
                f"off by {factor - 1:.1e} of numeric" if near else f"{factor:.4g} × numeric"
            )
        return text

    def numbers(self) -> tuple[str, str]:
        """Print the claim and the estimate to the digits that the error leaves, between 5 and 9."""
        value, error, decimals = self.numeric, self.error, 4
        if math.isfinite(value) and math.isfinite(error):
            known = math.log10(abs(value) / error) if value and error else 9
            decimals = min(8, max(4, math.ceil(known)))
        return f"{self.claimed:.{decimals}e}", f"{value:.{decimals}e} ± {error:.0e}"


@dataclass(frozen=True, eq=False)
class ArrayReport:
    """One array of parameters.

    Attributes
    ----------
    claimed, numeric, error : ndarray
        The claim, the estimate, and its error (inf where nothing is known), in the array's shape.
    verdicts : ndarray of int8
        `Verdict` of every entry.
    gap : ndarray
        Half of what the slopes on the two sides of a kink differ by, part of `error`; else 0.
    reason : str
        Why entries are UNRESOLVED; empty where none is.
    method : str
        "central" or "complex-step".
    """

    path: str
    claimed: FloatArray
    numeric: FloatArray
    error: FloatArray
    verdicts: NDArray[np.int8]
    slope_jump: FloatArray
    reason: str = ""
    method: str = "central"

    def __repr__(self) -> str:
        entries = plural(self.entries, "entry")
        return f"<ArrayReport {self.path}: {self.verdict}, {entries}, {self.method}>"

    @property
    def entries(self) -> int:
        """Entries compared."""
        return self.claimed.size

    @property
    def verdict(self) -> Verdict:
        """The worst verdict of its entries; MATCH of an array without any."""
        return Verdict(int(self.verdicts.max(initial=0)))

    @cached_property
    def largest(self) -> float:
        """The largest finite entry, claimed or numeric: what errors are relative to."""
        return largest_entry(self.claimed, np.abs(self.numeric) + self.slope_jump)

    @property
    def all_zero(self) -> bool:
        """Whether there was nothing but zeros to compare."""
        return self.largest == 0 and not self.claimed.any()  # which nan is not

    @property
    def compared_nothing(self) -> bool:
        """Whether it matches with nothing compared: zeros, of which the cost sees nothing."""
        return self.all_zero and self.verdict is Verdict.MATCH

    @cached_property
    def discrepancies(self) -> FloatArray:
        """How far each claim is from the estimate; at a kink, from what lies between the slopes."""
        with np.errstate(invalid="ignore"):
            d = np.maximum(np.abs(self.claimed - self.numeric) - self.slope_jump, 0)
        return np.where(np.isnan(d), np.inf, d)

    @property
    def differentiable(self) -> NDArray[np.bool_]:
        """Where the entries do not lie on a kink."""
        return self.slope_jump == 0  # type: ignore[no-any-return]

    @cached_property
    def least_certain(self) -> int | None:
        """The entry of the largest error, on no kink, by its flat index; None if there is none."""
        if not self.slope_jump.any():
            return int(self.error.argmax()) if self.error.size else None
        smooth = self.differentiable
        return int(np.where(smooth, self.error, -1).argmax()) if smooth.any() else None

    @property
    def worst(self) -> WorstEntry:
        """The entry with the worst verdict, and among these the largest discrepancy."""
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
        """The largest of `off`, relative to the largest entry; inf where not finite."""
        d = float(np.max(self.discrepancies, initial=0))
        return 0.0 if d == 0 else d / self.largest if math.isfinite(d) else math.inf

    @property
    def digits(self) -> float:
        """Verified decimal digits, relative to the largest entry: −log10 of max(|g − n| + e)/s.

        Of entries that do not lie on a kink; 0 if all do.
        """
        off = float(np.max(self.discrepancies + self.error, initial=0, where=self.differentiable))
        if not math.isfinite(off) or self.all_zero or not self.differentiable.any():
            return 0.0
        return max(0.0, -math.log10(off / self.largest)) if off else math.inf

    def detectable(self, rtol: float) -> float:
        """Return the smallest relative error of any entry that would have been a MISMATCH.

        At a kink any claim between the slopes is accepted, so this is of the other entries; inf if
        there is none.
        """
        if self.least_certain is None:
            return math.inf
        return detectable_error(self.largest, float(self.error.flat[self.least_certain]), rtol)
