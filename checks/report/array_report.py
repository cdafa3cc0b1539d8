"""What a check found in one array: the verdict of every entry, and numbers that sum it up."""

import math
from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from checks._types import FloatArray
from checks.parameters.claims import entry_name
from checks.report.verdict import (
    Rule,
    Verdict,
    entry_size,
    is_seen,
    judge_by,
    limit,
    relative_discrepancy,
    tolerance,
)
from checks.report.wording import plural

__all__ = ["ArrayReport", "WorstEntry", "joined", "judge_by_rule"]

VERDICTS = tuple(Verdict)  # each at its own value


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
        # a ratio is shown only if the estimate and the discrepancy are larger than the error
        if math.isfinite(discrepancy) and min(discrepancy, abs(self.numeric)) > self.error:
            factor = self.claimed / self.numeric
            near = abs(factor - 1) < 0.01
            text += ": claimed is " + (
                f"off by {factor - 1:.1e} of numeric" if near else f"{factor:.4g} × numeric"
            )
        return text

    def numbers(self) -> tuple[str, str]:
        """Return claim and estimate as text, with the certain digits, at least 5 and at most 9."""
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
    rule : Rule
        What the entries are judged by.
    rounding : ndarray or float
        The claim's own rounding: nan where it is not known, 0 if no verdict depends on it.
    reason : str
        Why entries are UNRESOLVED; empty if none is.
    method : str
        "central" or "complex-step".
    precision : str
        How the rounding of complex steps is known. "lifted": it was measured in a wider dtype;
        "sampled": that was done for a few entries; "estimated": the cost does not compute in a
        wider dtype. Empty for differences.
    dtype : str
        That of the estimates, if it is not that of the parameters: "float64" for narrower ones that
        the cost takes in float64, "float32" where it rounds them to float32. Else empty.
    by_rows : bool
        An entry's array, for its scale, is its row: of a Jacobian, one result by one array of x.
    """

    path: str
    claimed: FloatArray
    numeric: FloatArray
    error: FloatArray
    verdicts: NDArray[np.int8]
    slope_jump: FloatArray
    rule: Rule
    rounding: FloatArray | float = 0.0
    reason: str = ""
    method: str = "central"
    precision: str = ""
    dtype: str = ""
    by_rows: bool = False

    @classmethod
    def judged(
        cls,
        path: str,
        claimed: FloatArray,
        numeric: FloatArray,
        error: FloatArray,
        rule: Rule,
        rounding: FloatArray | float = 0.0,
        slope_jump: FloatArray | None = None,
        method: str = "central",
        precision: str = "",
        dtype: str = "",
    ) -> "ArrayReport":
        """Return the report of an array whose entries are judged by the rule alone."""
        jump = np.zeros(claimed.shape) if slope_jump is None else slope_jump
        verdicts, rest = np.empty(claimed.shape, np.int8), (method, precision, dtype)
        array = cls(path, claimed, numeric, error, verdicts, jump, rule, rounding, "", *rest)
        judge_by_rule([array])
        return array

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
        return VERDICTS[int(self.verdicts.max(initial=0))]

    @cached_property
    def sizes(self) -> FloatArray:
        """max(|claimed|, |numeric|) of every entry; at a kink numeric is the steeper slope."""
        return entry_size(self.claimed, self.numeric, self.slope_jump)

    @cached_property
    def largest(self) -> float:
        """The largest finite entry, claimed or numeric; errors are given relative to it."""
        return float(self.sizes.max(initial=0))

    @cached_property
    def largest_beside(self) -> FloatArray | float:
        """What s of `checks.report.verdict.Rule` is: `largest`, or that of each row as a column."""
        if not self.by_rows:
            return self.largest
        return np.asarray(self.sizes.max(axis=1, keepdims=True, initial=0))

    @property
    def all_zero(self) -> bool:
        """Whether all entries are zero, claimed as well as numeric."""
        # any() counts nan as nonzero, and `largest` ignores it
        return self.largest == 0 and not self.claimed.any()

    @property
    def compared_nothing(self) -> bool:
        """Whether it matches only because the cost does not depend on it, and all is zero.

        To rounding, if not exactly: then the rule alone would not call it a MATCH.
        """
        if self.verdict is not Verdict.MATCH or self.seen:
            return False
        return self.all_zero or bool(self.verdicts_by_rule.any())

    @cached_property
    def discrepancies(self) -> FloatArray:
        """|claimed − numeric| of each entry; at a kink, the distance from the two slopes' range."""
        with np.errstate(invalid="ignore"):
            d = np.maximum(np.abs(self.claimed - self.numeric) - self.slope_jump, 0)
        return np.where(np.isnan(d), np.inf, d)

    @cached_property
    def differentiable(self) -> NDArray[np.bool_]:
        """Which entries do not lie on a kink."""
        return self.slope_jump == 0  # type: ignore[no-any-return]

    @cached_property
    def coarse(self) -> NDArray[np.bool_]:
        """Which entries, on no kink, are known too inaccurately relative to their own size.

        Their error, and what their claim may round, exceed `resolution` times their size. They can
        still match if these are small beside the largest entry of their array.
        """
        if self.rule.scale == "array":
            return np.zeros(self.claimed.shape, bool)
        rounding = self.tolerance - self.rule.rtol * self.sizes
        return ~(self.error + rounding <= self.rule.resolution * self.sizes) & self.differentiable

    @property
    def zeros(self) -> NDArray[np.bool_]:
        """Which entries are claimed to be 0, and may be."""
        return np.asarray((self.claimed == 0) & (np.abs(self.numeric) <= self.error))

    @cached_property
    def scales(self) -> FloatArray:
        """What errors of each entry are relative to: its own size, max(|claimed|, |numeric|).

        For entries that are `coarse`, and for all with ``scale="array"``, the array's largest.
        """
        if self.rule.scale == "array":
            return np.full(self.claimed.shape, self.largest_beside)
        return np.where(self.coarse, self.largest_beside, self.sizes)

    @property
    def seen(self) -> Any:
        """Whether some derivative of the array is surely not zero."""
        return is_seen(self.numeric, self.error)

    @property
    def verdicts_by_rule(self) -> NDArray[np.int8]:
        """What the rule alone says of every entry, without a second estimate."""
        largest_error = self.rule.resolution * np.asarray(self.largest_beside)
        rest = self.claimed, self.numeric, self.error, largest_error, self.slope_jump
        return judge_by(self.tolerance, lambda: self.limit, *rest)

    @cached_property
    def tolerance(self) -> FloatArray:
        """By how much the claim of each entry may be off: t of `checks.report.verdict.Rule`."""
        return tolerance(self.sizes, self.largest_beside, self.rule, self.rounding)

    @property
    def limit(self) -> FloatArray:
        """By how much more than the error the claim of each entry must be off for a MISMATCH."""
        return limit(self.tolerance, self.largest_beside, self.seen, self.rule, self.rounding)

    @property
    def detectable_errors(self) -> FloatArray:
        """The smallest error of each entry that was sure not to pass, relative to its scale.

        If a claim is off by Δ, |claimed − numeric| is at least Δ − e. For a MATCH it has to be at
        most t + e, which Δ > t + 2 e excludes.
        """
        return relative_discrepancy(self.tolerance + 2 * self.error, self.scales)

    @property
    def undetectable(self) -> int:
        """The number of entries, on no kink, so small that a claim of 0 would be tolerated."""
        of_numeric = entry_size(np.zeros(self.claimed.shape), self.numeric, self.slope_jump)
        t = tolerance(of_numeric, self.largest_beside, self.rule, self.rounding)
        return int(np.sum(~(np.abs(self.numeric) - self.error > t) & self.differentiable))

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
        """The largest of `discrepancies`, each relative to its scale; inf if not finite.

        0 if nothing was compared.
        """
        if self.compared_nothing:
            return 0.0
        return float(relative_discrepancy(self.discrepancies, self.scales).max(initial=0))

    @property
    def digits(self) -> float:
        """The decimal digits that are verified of every entry: −log10(max((|g − n| + e) / scale)).

        g is the claim, n ± e the estimate; the scale is the entry's of `scales`. Entries on kinks
        are left out; if all entries are on kinks, 0 digits are verified.
        """
        if self.all_zero or self.compared_nothing or not self.differentiable.any():
            return 0.0
        bounds = relative_discrepancy(self.discrepancies + self.error, self.scales)
        bound = float(bounds[self.differentiable].max())
        return max(0.0, -math.log10(bound)) if bound else math.inf

    @property
    def detectable(self) -> float:
        """The smallest error, relative to an entry's scale, that was sure not to pass.

        It holds for every entry but those on kinks, where any claim between the two slopes is
        accepted. If all entries are on kinks it is inf.
        """
        if not self.differentiable.any():
            return math.inf
        return float(self.detectable_errors[self.differentiable].max())


@dataclass(frozen=True, eq=False)
class _Joined(ArrayReport):
    """Several arrays as one, (n,): each entry keeps the scale of its own array."""

    counts: tuple[int, ...] = ()  # the sizes of the arrays

    def _reduced(self, ufunc: np.ufunc, values: Any) -> Any:
        """Return what a ufunc reduces the values of each array to, at all of its entries."""
        starts = [0, *accumulate(self.counts[:-1])]
        return np.repeat(ufunc.reduceat(values, starts), self.counts)

    @cached_property
    def largest_beside(self) -> FloatArray | float:
        """The largest entry of the array of each."""
        return np.asarray(self._reduced(np.maximum, self.sizes))

    @property
    def seen(self) -> Any:
        """Whether some derivative of the array of each entry is surely not zero."""
        return self._reduced(np.logical_or, np.abs(self.numeric) > self.error)


def joined(arrays: Collection[ArrayReport]) -> ArrayReport:
    """Return arrays that have entries as one, so that all of them take as many steps as one."""
    first, *others = arrays
    if not others:
        return first
    sizes = [array.claimed.size for array in arrays]

    def flat(name: str) -> Any:
        return np.concatenate([getattr(array, name).ravel() for array in arrays])

    def each(values: list[Any]) -> Any:
        """Return a number that arrays have in common; if it differs, what is of each entry."""
        if all(isinstance(value, float) and value == values[0] for value in values):
            return values[0]
        filled = [np.full(n, np.ravel(v)) for n, v in zip(sizes, values, strict=True)]
        return np.concatenate(filled)

    return _Joined(
        path="",
        claimed=flat("claimed"),
        numeric=flat("numeric"),
        error=flat("error"),
        verdicts=flat("verdicts"),
        slope_jump=flat("slope_jump"),
        rule=replace(first.rule, lost=each([array.rule.lost for array in arrays])),
        rounding=each([array.rounding for array in arrays]),
        counts=tuple(sizes),
    )


def judge_by_rule(arrays: Collection[ArrayReport]) -> ArrayReport:
    """Judge every entry of some arrays by the rule alone, in place; return all of them as one."""
    filled = [array for array in arrays if array.claimed.size]
    flat = joined(filled or [*arrays][:1])
    verdicts, end = flat.verdicts_by_rule, 0
    flat.verdicts[...] = verdicts
    if len(filled) > 1:
        for array in filled:
            start, end = end, end + array.claimed.size
            array.verdicts[...] = verdicts[start:end].reshape(array.claimed.shape)
    return flat
