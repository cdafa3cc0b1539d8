"""The input of a hypothesis about one array, a `Case`, and its output, `Fit`s."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from checks._types import FloatArray
from checks.report.array_report import ArrayReport
from checks.report.verdict import Verdict

__all__ = ["LEFT_OVER", "Case", "Fit", "Hypothesis"]

# An explanation may leave at most this share of the discrepancy, and of the claim, unexplained. The
# unexplained rest must also lie within the intervals of the estimates.
LEFT_OVER = 0.05


@dataclass(frozen=True, eq=False)
class Case:
    """An array that is a MISMATCH, with everything that may explain it.

    Attributes
    ----------
    array : ArrayReport
    value : ndarray
        The parameters themselves.
    t : float
        The tolerance: rtol × the array's largest entry.
    arrays : dict of str to ArrayReport
        All arrays by path, this one included.
    """

    array: ArrayReport
    value: FloatArray
    t: float
    arrays: Mapping[str, ArrayReport]

    @property
    def claimed(self) -> FloatArray:
        """The claim g, in double precision at least."""
        return self.array.claimed.astype(np.result_type(self.array.claimed, np.float64))

    @property
    def wrong(self) -> Any:
        """Which entries are a MISMATCH."""
        return self.array.verdicts == Verdict.MISMATCH

    def explained_by(self, prediction: FloatArray, amplification: float = 1.0) -> bool:
        """Whether claim and prediction are equal, within the prediction's error plus the limit.

        The prediction's error is that of the estimate, times `amplification` if this is above 1.
        """
        claimed = self.claimed
        left_over = np.abs(claimed - prediction)
        known = np.isfinite(left_over) & np.isfinite(self.array.error)
        if not known.any() or not np.isfinite(claimed).all():
            return False
        discrepancy = np.max(np.abs(claimed - self.array.numeric)[known])
        size = min(discrepancy, np.max(np.abs(claimed)[known]) or discrepancy)
        within = left_over <= max(1.0, abs(amplification)) * self.array.error + self.array.limit
        return bool(within[known].all() and np.max(left_over[known]) <= LEFT_OVER * size)


@dataclass(frozen=True)
class Fit:
    """A hypothesis that explains an array.

    Attributes
    ----------
    name : str
    clause : str
        Completes the sentence "weights[0] is …".
    rank : int
        How much freedom the hypothesis had: 0 without a fitted number, 1 with one, 2 and 3 for
        those that explain almost anything.
    number, tolerance : float
        The fitted number, if there is one, and how far it may be off. Two arrays have the same
        mistake only if their numbers agree.
    weak : bool
        A single entry supports it. Some number explains any single entry, so another array must
        confirm the hypothesis.
    single : bool
        The array has only one entry.
    """

    name: str
    clause: str
    rank: int = 0
    number: float = 0.0
    tolerance: float = 0.0
    weak: bool = False
    single: bool = False

    def agrees(self, other: "Fit") -> bool:
        """Whether both fits are the same hypothesis, with the same number."""
        difference = abs(self.number - other.number)
        return self.name == other.name and difference <= self.tolerance + other.tolerance


Hypothesis: TypeAlias = Callable[[Case], Iterator[Fit]]
