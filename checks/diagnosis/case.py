"""The input of a hypothesis about one array, a `Case`, and its output, `Fit`s."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np

from checks._types import FloatArray
from checks.report.array_report import ArrayReport
from checks.report.verdict import Verdict

__all__ = ["CERTAIN", "LEFT_OVER", "Case", "Fit", "Hypothesis"]

# An explanation may leave at most this share of the discrepancy, and of the claim, unexplained. The
# unexplained rest must also lie within the intervals of the estimates.
LEFT_OVER = 0.05
SHARE_BITS = 4.0
# Up to so many different entries may agree by chance if their numbers are short, as 1.5 and 2.
FEW = 3
# The evidence for what is seen without a comparison, as an array of zeros.
CERTAIN = 1e6


@dataclass(frozen=True)
class Fit:
    """A hypothesis that explains an array.

    Attributes
    ----------
    name : str
    clause : str
        Completes the sentence "weights[0] is …".
    rank : int
        0: a formula for the whole array. 1: a formula for a part of it, or for its entries in
        another order. 2: which entries are wrong, and 3: by how much, without a formula.
    evidence : float
        How unlikely the agreement would be by chance, in bits: the sum over the entries of
        log2(discrepancy / tolerance), where the tolerance is what the prediction may be off by.
    cost : float
        How many hypotheses of this kind there are, in bits, so how likely it is that one of them
        agrees by chance. A fitted number costs as many bits as it has, or as the entry that
        determines it best.
    number, tolerance : float
        The fitted number, if there is one, and how far it may be off. Two arrays have the same
        mistake only if their numbers agree.
    single : bool
        The array has only one entry.
    """

    name: str
    clause: str
    rank: int = 0
    evidence: float = CERTAIN
    cost: float = 0.0
    number: float = 0.0
    tolerance: float = 0.0
    single: bool = False

    def agrees(self, other: "Fit") -> bool:
        """Whether both fits are the same hypothesis, with the same number."""
        difference = abs(self.number - other.number)
        return self.name == other.name and difference <= self.tolerance + other.tolerance


@dataclass(frozen=True, eq=False)
class Case:
    """An array that is a MISMATCH, or a part of it, with everything that may explain it.

    Attributes
    ----------
    path : str
    claimed, numeric, error : ndarray
        The claim, in double precision at least, and the estimate with its error.
    limit : ndarray
        By how much more than the error the claim of each entry may be off its prediction.
    parameters : ndarray
        In their own dtype.
    wrong : ndarray of bool
        Which entries are a MISMATCH.
    arrays : dict of str to ArrayReport
        All arrays by path, this one included.
    unresolved : ndarray of bool, optional
        Which entries are UNRESOLVED, so neither wrong nor right; default none.
    """

    path: str
    claimed: FloatArray
    numeric: FloatArray
    error: FloatArray
    limit: FloatArray
    parameters: FloatArray
    wrong: Any
    arrays: Mapping[str, ArrayReport]
    unresolved: Any = False

    @classmethod
    def of(cls, array: ArrayReport, value: FloatArray, arrays: Mapping[str, ArrayReport]) -> "Case":
        """Return the case of a whole array."""
        double = np.result_type(array.claimed, np.float64)
        claimed, limit = array.claimed.astype(double), array.limit
        if array.rule.scale == "entry":
            # The limit grows with max(|claimed|, |numeric|). A prediction that agrees with the
            # claim is as large as the claim, so its limit is that of the claim's size.
            beyond = np.maximum(np.abs(array.numeric) - np.abs(np.nan_to_num(claimed)), 0)
            limit = limit - array.rule.rtol * beyond
        return cls(
            array.path,
            np.atleast_1d(claimed),
            np.atleast_1d(array.numeric),
            np.atleast_1d(array.error),
            np.atleast_1d(limit),
            np.atleast_1d(value),
            np.atleast_1d(array.verdicts == Verdict.MISMATCH),
            arrays,
            np.atleast_1d(array.verdicts == Verdict.UNRESOLVED),
        )

    def part(self, entries: Any) -> "Case":
        """Return the case of some entries, in an array of one axis."""
        return Case(
            self.path,
            self.claimed[entries],
            self.numeric[entries],
            self.error[entries],
            self.limit[entries],
            self.parameters[entries],
            self.wrong[entries],
            self.arrays,
            np.broadcast_to(self.unresolved, self.wrong.shape)[entries],
        )

    @property
    def right(self) -> Any:
        """Which entries are neither wrong nor UNRESOLVED."""
        return ~(self.wrong | self.unresolved)

    @cached_property
    def known(self) -> Any:
        """Which entries have an estimate."""
        return np.isfinite(self.numeric) & np.isfinite(self.error)

    @cached_property
    def theta(self) -> FloatArray:
        """The parameters, in double precision at least."""
        return self.parameters.astype(np.result_type(self.parameters, np.float64))

    @cached_property
    def tolerance(self) -> FloatArray:
        """By how much the claim of each entry may be off the estimate."""
        return self.error + self.limit

    @cached_property
    def discrepancy(self) -> FloatArray:
        """|claimed − numeric|."""
        return np.abs(self.claimed - self.numeric)

    @cached_property
    def _comparable(self) -> bool:
        return bool(np.isfinite(self.claimed).all() and self.known.any())

    @cached_property
    def narrowest(self) -> Any:
        """The claims in the narrowest dtype that holds them all."""
        for dtype in (np.float16, np.float32):
            with np.errstate(over="ignore"):
                narrow = self.claimed.astype(dtype)
            if np.array_equal(narrow.astype(self.claimed.dtype), self.claimed):
                return narrow
        return self.claimed

    def in_narrow_dtype(self) -> "Case | None":
        """Return the case with the last places of the narrowest dtype that holds all claims.

        A claim in float16 agrees with no prediction better than to half of its last place. None if
        only float64 holds them.
        """
        if self.narrowest is self.claimed:
            return None
        half = np.abs(np.spacing(self.narrowest)).astype(float) / 2
        return replace(self, limit=self.limit + half)

    def fit(
        self,
        name: str,
        clause: str,
        prediction: Any,
        cost: float,
        *,
        error: FloatArray | None = None,
        rank: int = 0,
        number: float = 0.0,
        tolerance: float = 0.0,
        bits: float = 0.0,
        plain: bool = False,
    ) -> Iterator[Fit]:
        """Yield the fit of a hypothesis, if claim and prediction agree.

        Parameters
        ----------
        name, clause, rank, cost, number, tolerance
            As in `Fit`.
        prediction : ndarray
            What the hypothesis says that the claim should be.
        error : ndarray
            Of the prediction; default the estimate's.
        bits : float
            Those of a fitted number; inf for one that is known only from the entries themselves,
            which costs as many bits as the entry that determines it best.
        plain : bool
            Whether the hypothesis is believed of numbers of few digits: of 4.2 for 1.4, a factor
            3 is, but no term of 2.8.
        """
        evidence = self.evidence(prediction, error, plain)
        if evidence is not None:
            total, largest = evidence
            yield Fit(name, clause, rank, total, cost + min(bits, largest), number, tolerance)

    def evidence(
        self, prediction: Any, error: FloatArray | None = None, plain: bool = False
    ) -> tuple[float, float] | None:
        """Return the bits by which the claim confirms a prediction, and those of the best entry.

        None if the prediction does not explain the claim.
        """
        if not self._comparable:
            return None
        known, limit = self.known, self.limit[self.known]
        error = (self.error if error is None else error)[known]
        with np.errstate(invalid="ignore", over="ignore"):
            left_over = np.abs(self.claimed - prediction)[known]
        discrepancy, claimed = self.discrepancy[known], np.abs(self.claimed)[known]
        most = LEFT_OVER * min(discrepancy.max(), claimed.max() or discrepancy.max())
        if not (np.max(left_over) <= most and (left_over <= error + limit).all()):
            return None
        # All entries agree to `share` of their limit, mostly far below 1, and that is counted as
        # evidence. `share` was fitted, out of about 2^SHARE_BITS values, which costs these bits.
        beyond = np.maximum(left_over - error, 0)
        share = max(float(np.max(beyond / np.maximum(limit, np.finfo(float).tiny))), 2.0**-24)
        tolerance = error + share * limit
        tiny = np.finfo(float).tiny
        bits = np.log2(np.maximum(discrepancy, tiny) / np.maximum(tolerance, tiny))
        # entries that are equal, in both claim and estimate, are evidence only once
        pairs = np.stack([self.claimed[known], self.numeric[known]]).astype(np.float32)
        _, first = np.unique(_rounded(pairs), axis=1, return_index=True)
        bits = np.maximum(bits[first], 0)
        if len(bits) <= FEW and not plain:
            bits = np.minimum(bits, [_bits(g) for g in self.claimed[known][first]])
        return float(bits.sum()) - SHARE_BITS, float(bits.max())

    def number(self, x: FloatArray, y: FloatArray, error: FloatArray) -> tuple[float, float] | None:
        """Return the number c in y = c·x, and by how much it may be off; None if x is 0.

        Every entry gives y/x, within its error over |x|; entries are weighted by that.
        """
        with np.errstate(all="ignore"):
            weight = self.known & (x != 0) & np.isfinite(y) & np.isfinite(error)
            uncertainty = np.where(weight, error / np.abs(x), np.inf)
            best = float(uncertainty.min(initial=np.inf))
            if not math.isfinite(best):
                return None
            weights = (best / uncertainty) ** 2 if best else (uncertainty == 0).astype(float)
            ratios = np.where(weight, y / x, 0)
            c = float(np.sum(weights * ratios) / np.sum(weights))
        return (c, best) if math.isfinite(c) else None


def _bits(number: float) -> float:
    """Return the bits of a number's digits."""
    mantissa = f"{number:.15e}".partition("e")[0].replace(".", "")
    return math.log2(10) * len(mantissa.strip("-0"))


def _rounded(numbers: FloatArray) -> FloatArray:
    """Round numbers to about three significant digits, all of them times 1,024."""
    mantissa, exponent = np.frexp(numbers)
    return np.ldexp(np.round(mantissa * 1024), exponent)


Hypothesis: TypeAlias = Callable[[Case], Iterator[Fit]]
