"""What may be wrong with one array of a gradient: guesses that its entries confirm or refute."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from checks._types import FloatArray
from checks.report.array_report import ArrayReport
from checks.report.verdict import Verdict
from checks.report.wording import listed

__all__ = ["Case", "Fit", "fits"]

# How much of the discrepancy, and of the claim, an explanation may leave over. What is left has to
# lie within the intervals as well.
LEFT_OVER = 0.05
RATIOS = sorted({p / q for p in range(1, 13) for q in range(1, 13)} - {1.0})
# Below, an error is "small": no mistake in a formula is, but for constants and digits.
SMALL = 1e-2


@dataclass(frozen=True, eq=False)
class Case:
    """An array that is a MISMATCH, with what there is to explain it by.

    Attributes
    ----------
    array : ArrayReport
    value : ndarray
        The parameters themselves.
    t : float
        The accuracy that the claim owes, rtol × the array's largest entry.
    others : dict of str to ArrayReport
        All arrays, by path.
    """

    array: ArrayReport
    value: FloatArray
    t: float
    others: Mapping[str, ArrayReport]

    @property
    def claimed(self) -> FloatArray:
        """The claim g, at least in double precision."""
        return self.array.claimed.astype(np.result_type(self.array.claimed, np.float64))

    @property
    def wrong(self) -> Any:
        """Where the entries are a MISMATCH."""
        return self.array.verdicts == Verdict.MISMATCH

    def explained_by(self, prediction: FloatArray, amplified: float = 1.0) -> bool:
        """Whether g is the prediction, within the intervals, `amplified` as much as n in it."""
        claimed = self.claimed
        left = np.abs(claimed - prediction)
        known = np.isfinite(left) & np.isfinite(self.array.error)
        if not known.any() or not np.isfinite(claimed).all():
            return False
        off = np.max(np.abs(claimed - self.array.numeric)[known])
        size = min(off, np.max(np.abs(claimed)[known]) or off)
        within = left <= max(1.0, abs(amplified)) * self.array.error + self.t
        return bool(within[known].all() and np.max(left[known]) <= LEFT_OVER * size)


@dataclass(frozen=True)
class Fit:
    """A hypothesis that explains an array.

    Attributes
    ----------
    name : str
    clause : str
        Completes "weights[0] is …".
    rank : int
        The more it leaves open, the higher: 0 without a free number, 1 with one, 2 with several.
    number, tolerance : float
        The free number, if any: two arrays share a hypothesis if theirs agree.
    weak : bool
        One entry shows it, which any free number explains: it takes another array to confirm it.
    single : bool
        The array has no other entry.
    """

    name: str
    clause: str
    rank: int = 0
    number: float = 0.0
    tolerance: float = 0.0
    weak: bool = False
    single: bool = False

    def agrees(self, other: "Fit") -> bool:
        """Whether both are one hypothesis."""
        apart = abs(self.number - other.number)
        return self.name == other.name and apart <= self.tolerance + other.tolerance


def fits(case: Case) -> list[Fit]:
    """Return the hypotheses that explain an array, those that leave the least open first."""
    found = [fit for hypothesis in HYPOTHESES for fit in hypothesis(case)]
    if case.array.claimed.size == 1:
        found = [replace(fit, single=True) for fit in found]
    return sorted(found, key=lambda fit: fit.rank)


def _not_finite(case: Case) -> Iterator[Fit]:
    bad = int(np.sum(~np.isfinite(case.array.claimed)))
    if bad:
        yield Fit(
            "not finite", f"nan or infinite in {bad:,} of {case.array.claimed.size:,} entries"
        )


def _zero(case: Case) -> Iterator[Fit]:
    if not case.array.claimed.any():
        clause = "zero in every entry"
        if np.all(np.abs(case.array.numeric) < 1):
            clause += " (never computed, or truncated to integers)"
        yield Fit("zero", clause)


def _scaled(case: Case) -> Iterator[Fit]:
    n, e = case.array.numeric, case.array.error
    known = np.isfinite(n) & np.isfinite(e)
    largest = np.max(np.abs(n), initial=0, where=known)
    if not largest > case.t or not case.array.claimed.any():
        return
    # to be independent of scale, and of entries that are all error
    n_, g_ = n[known] / largest, case.claimed[known] / largest
    c = float(np.sum(n_ * g_) / np.sum(n_ * n_))
    blur = float(np.max(e[known]))
    tolerance = 2 * (case.t + max(1, abs(c)) * blur) / largest
    sizes = {d for other in case.others.values() for d in other.claimed.shape if d > 1}
    ratios = {*RATIOS, *sizes, *(1 / d for d in sizes), *(2 / d for d in sizes)}
    nearest = min(ratios, key=lambda ratio: abs(ratio - abs(c)))
    informative = int(np.sum(np.abs(n_) > 100 * tolerance))
    # among some hundred ratios one is near any number: then several entries have to agree on it
    if abs(abs(c) - nearest) <= min(tolerance, 1e-2 if informative > 1 else 1e-4):
        nearest = float(np.copysign(nearest, c))
        if case.explained_by(nearest * n, nearest):
            yield Fit("scale", _factor(nearest, case), number=nearest)
    elif abs(c + 1) <= min(tolerance, 1e-2):
        if case.explained_by(-n):
            yield Fit("sign", "the numerical gradient with the opposite sign", number=-1)
    elif case.explained_by(c * n, c):
        weak = informative < 2
        norm = float(np.sqrt(sum(np.sum(a.claimed**2.0) for a in case.others.values())))
        short = abs(norm - float(f"{norm:.1e}")) <= 1e-6 * norm
        if 0 < c < 1 and short and all(_is_multiple(other, c) for other in case.others.values()):
            clause = f"{c:.6g} × the numerical gradient: as clipped to a norm of {norm:.2g} in all"
            yield Fit("clipped", clause, number=norm, weak=weak)
        clause = f"{c:.6g} × the numerical gradient in every entry"
        yield Fit("scale", clause, 1, c, tolerance, weak)


def _is_multiple(array: ArrayReport, c: float) -> bool:
    off = np.abs(array.claimed - c * array.numeric) - array.error
    return bool(np.max(off, initial=0) <= LEFT_OVER * np.abs(array.claimed).max(initial=0))


def _factor(c: float, case: Case) -> str:
    clause = f"{c:.3f}" if abs(c) >= 0.01 else f"{c:.3g}"
    clause += " × the numerical gradient in every entry: "
    clause += "the wrong sign, and " if c < 0 else ""
    size = abs(c)
    if size == round(size):
        clause += f"a factor {size:.0f} too many"
    elif round(1 / size, 9) == round(1 / size):
        clause += f"a factor {1 / size:.0f} missing, or 1/{1 / size:.0f} too many"
    else:
        clause += f"a factor {size:.6g}"
    for number in (size, 1 / size):
        paths = [p for p, a in case.others.items() if round(number, 9) in a.claimed.shape]
        if number > 1 and paths:
            clause += f" ({number:.0f} is a dimension of {listed(paths)})"
    return clause


def _reordered(case: Case) -> Iterator[Fit]:
    n = case.array.numeric
    if n.size < 2:
        return
    shape, known = n.shape, False
    if n.ndim == 2 and shape[0] == shape[1] > 1 and case.explained_by(n.T):
        yield Fit("transpose", "the transpose of the numerical gradient")
        known = True
    elif n.ndim > 1 and case.explained_by(n.reshape(-1, order="F").reshape(shape)):
        # a transposed claim was reshaped: which of the two it is can no longer be told
        clause = "the transpose of the numerical gradient, its entries read row by row"
        clause += " (as in column-major order)"
        yield Fit("transpose", clause)
        known = True
    elif n.ndim > 1 and case.explained_by(n.reshape(-1).reshape(shape, order="F")):
        yield Fit("column-major", "the numerical gradient, but filled in in column-major order")
        known = True
    for axis in range(n.ndim):
        if shape[axis] > 1 and case.explained_by(np.flip(n, axis)):
            along = f" along axis {axis}" if n.ndim > 1 else ""
            yield Fit("reversed", f"the numerical gradient in reverse order{along}")
            known = True
    # a sorted copy has no place for each entry's error: the largest stands for all
    blur = float(case.array.error.max())
    ours, theirs = np.sort(case.claimed, axis=None), np.sort(n, axis=None)
    apart = np.diff(theirs).min()
    if not known and n.size > 2 and np.abs(ours - theirs).max() <= case.t + blur < apart / 4:
        yield Fit("permuted", "the entries of the numerical gradient in another order", 2)


def _another_array(case: Case) -> Iterator[Fit]:
    for path, other in case.others.items():
        same = other is not case.array and other.claimed.shape == case.array.claimed.shape
        if same and other.claimed.size > 1 and case.explained_by(other.numeric):
            yield Fit("order", f"the gradient of {path}")


def _one_number(case: Case) -> Iterator[Fit]:
    claimed, n = case.claimed, case.array.numeric
    if claimed.size < 2 or not claimed.any() or np.ptp(claimed) > case.t:
        return
    for what, value in (("sum", n.sum()), ("mean", n.mean())):
        if case.explained_by(np.full_like(n, value), n.size):
            clause = f"one number, the {what} of the numerical gradient's entries: an axis too many"
            yield Fit("one number", clause)
            return


def _penalty(case: Case) -> Iterator[Fit]:
    theta = case.value.astype(np.float64)
    largest = np.abs(theta).max(initial=0)
    if not largest > 0:
        return
    u = theta / largest
    off = case.claimed - case.array.numeric
    known = np.isfinite(off) & np.isfinite(case.array.error)
    if not known.any():
        return
    slope = float(np.sum(off[known] * u[known]) / max(np.sum(u[known] ** 2), 1e-300)) / largest
    if slope and case.explained_by(case.array.numeric + slope * theta):
        sign, side = ("+", "gradient and not in the cost") if slope > 0 else (
            "−", "cost and not in the gradient"
        )  # fmt: skip
        clause = (
            f"the numerical gradient {sign} {abs(slope):.4g} × the parameters: a penalty ½ λ Σ θ², "
            f"λ = {abs(slope):.4g}, in the {side}"
        )
        blur = 2 * (case.t + float(case.array.error[known].max()))
        weak = int(np.sum(np.abs(slope * theta) > 5 * blur)) < 2
        yield Fit("penalty", clause, 1, slope, blur / largest, weak)


def _clipped(case: Case) -> Iterator[Fit]:
    limit = max(float(np.abs(a.claimed).max(initial=0)) for a in case.others.values())
    n = case.array.numeric
    cut = int(np.sum(np.abs(n) > limit))
    if cut and limit > 0 and case.explained_by(np.clip(n, -limit, limit)):
        clause = f"cut to ±{limit:.4g} in {cut:,} of {n.size:,} entries"
        yield Fit("clipped", clause, 1, limit, weak=cut < 2)


def _narrow(case: Case) -> Iterator[Fit]:
    claimed, n = case.claimed, case.array.numeric
    off = float(np.max(np.abs(claimed - n)))
    if not claimed.any() or not np.isfinite(off):
        return
    nearest = np.round(n)
    at_one = (np.abs(n - nearest) <= case.t) & (claimed == nearest)
    rounded = np.array_equal(claimed, nearest)
    if rounded or np.all((claimed == np.trunc(n)) | at_one):
        yield Fit("dtype", f"{'rounded' if rounded else 'truncated'} to integers")
        return
    for dtype in (np.float16, np.float32):
        with np.errstate(over="ignore"):
            same = np.array_equal(claimed, claimed.astype(dtype).astype(claimed.dtype))
        # rounding within the computation may add up to some hundred last places
        if same and off <= 256 * np.finfo(dtype).eps * case.array.largest:
            if np.dtype(dtype).itemsize < case.value.dtype.itemsize:
                yield Fit("dtype", f"rounded to {np.dtype(dtype)}: its digits end there")
            return


def _signs(case: Case) -> Iterator[Fit]:
    n, claimed = case.array.numeric, case.claimed
    flipped = int(np.sum(claimed * n < 0))
    if 1 < flipped < n.size and case.explained_by(np.copysign(n, claimed)):
        yield Fit("signs", f"right but for the sign of {flipped:,} of {n.size:,} entries", 2)


def _part(case: Case) -> Iterator[Fit]:
    """One entry, or one index along an axis, is wrong and the rest is right."""
    wrong, shape = case.wrong, case.array.claimed.shape
    places = np.argwhere(wrong)
    if wrong.size < 2 or wrong.all() or not np.isfinite(case.array.claimed).all():
        return
    if len(places) == 1:
        index = tuple(int(i) for i in places[0])
        value, truth = case.claimed[index], case.array.numeric[index]
        at = f"in one entry alone, {list(index)}: {_apart(value, truth)} is right"
        yield Fit("one entry", f"wrong {at}", 2)
        return
    for axis in range(len(shape) if len(shape) > 1 else 0):
        if np.unique(places[:, axis]).size == 1 and shape[axis] > 1:
            what = {(0, 2): "row", (1, 2): "column"}.get(
                (axis, len(shape)), f"index of axis {axis}"
            )
            zero = " (zero there)" if not case.claimed[wrong].any() else ""
            clause = f"wrong in one {what} alone, {what} {places[0, axis]}{zero}"
            yield Fit(f"one {what}", clause, 2)


def _small(case: Case) -> Iterator[Fit]:
    n, wrong = case.array.numeric, case.wrong
    off = np.abs(case.claimed - n)
    share = np.max(off) / case.array.largest
    if share < SMALL and np.mean(wrong) > 0.5:
        clause = (
            f"off by up to {share:.1e} of its largest entry, in {int(wrong.sum()):,} of "
            f"{wrong.size:,}: small and everywhere, as from a constant within a log or a division, "
            "or from a lower precision"
        )
        yield Fit("small", clause, 3, weak=wrong.size < 3)


def _apart(value: float, truth: float) -> str:
    """Print two numbers to as many digits as show that they differ, four at least."""
    texts = [f"{value:.{n}g} where {truth:.{n}g}" for n in range(4, 18)]
    return next((text for text in texts if len(set(text.split(" where "))) > 1), texts[-1])


HYPOTHESES: tuple[Callable[[Case], Iterator[Fit]], ...] = (
    _not_finite,
    _zero,
    _scaled,
    _another_array,
    _reordered,
    _one_number,
    _narrow,
    _penalty,
    _clipped,
    _signs,
    _part,
    _small,
)
