"""Hypotheses: the claim is the gradient times a factor, or has wrong signs."""

from collections.abc import Iterator

import numpy as np

from checks.diagnosis.case import LEFT_OVER, Case, Fit
from checks.report.array_report import ArrayReport
from checks.report.wording import listed

__all__ = ["scaled", "signs"]

# Wrong formulas often scale a gradient by a ratio of small whole numbers, or by a dimension of an
# array, which `scaled` adds to these ratios.
RATIOS = sorted({p / q for p in range(1, 13) for q in range(1, 13)} - {1.0})


def scaled(case: Case) -> Iterator[Fit]:
    """Explain an array by one factor: a simple ratio, −1, that of a clipped norm, or any other."""
    n, e = case.array.numeric, case.array.error
    known = np.isfinite(n) & np.isfinite(e)
    largest = np.max(np.abs(n), initial=0, where=known)
    if not largest > case.t or not case.array.claimed.any():
        return
    # least squares gives the factor c in claimed = c × numeric; both arrays are divided by
    # `largest`, so that no square overflows
    n_, g_ = n[known] / largest, case.claimed[known] / largest
    c = float(np.sum(n_ * g_) / np.sum(n_ * n_))
    tolerance = 2 * (case.t + max(1, abs(c)) * float(np.max(e[known]))) / largest
    sizes = {d for array in case.arrays.values() for d in array.claimed.shape if d > 1}
    ratios = {*RATIOS, *sizes, *(1 / d for d in sizes), *(2 / d for d in sizes)}
    nearest = min(ratios, key=lambda ratio: abs(ratio - abs(c)))
    informative = int(np.sum(np.abs(n_) > 100 * tolerance))
    # Any number is near one of about a hundred ratios. So if c comes from a single entry, it must
    # be very close to a ratio; several entries confirm each other.
    if abs(abs(c) - nearest) <= min(tolerance, 1e-2 if informative > 1 else 1e-4):
        nearest = float(np.copysign(nearest, c))
        if case.explained_by(nearest * n, nearest):
            yield Fit("scale", _factor_clause(nearest, case), number=nearest)
    elif abs(c + 1) <= min(tolerance, 1e-2):
        if case.explained_by(-n):
            yield Fit("sign", "the numerical gradient with the opposite sign", number=-1)
    elif case.explained_by(c * n, c):
        weak = informative < 2
        norm = float(np.sqrt(sum(np.sum(a.claimed**2.0) for a in case.arrays.values())))
        round_norm = abs(norm - float(f"{norm:.1e}")) <= 1e-6 * norm
        if 0 < c < 1 and round_norm and all(_is_multiple(a, c) for a in case.arrays.values()):
            clause = f"{c:.6g} × the numerical gradient: as clipped to a norm of {norm:.2g} in all"
            yield Fit("clipped", clause, number=norm, weak=weak)
        clause = f"{c:.6g} × the numerical gradient in every entry"
        yield Fit("scale", clause, 1, c, tolerance, weak)


def _is_multiple(array: ArrayReport, c: float) -> bool:
    left_over = np.abs(array.claimed - c * array.numeric) - array.error
    return bool(np.max(left_over, initial=0) <= LEFT_OVER * np.abs(array.claimed).max(initial=0))


def _factor_clause(c: float, case: Case) -> str:
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
        paths = [p for p, a in case.arrays.items() if round(number, 9) in a.claimed.shape]
        if number > 1 and paths:
            clause += f" ({number:.0f} is a dimension of {listed(paths)})"
    return clause


def signs(case: Case) -> Iterator[Fit]:
    """Explain an array by wrong signs in some of its entries."""
    n, claimed = case.array.numeric, case.claimed
    flipped = int(np.sum(claimed * n < 0))
    if 1 < flipped < n.size and case.explained_by(np.copysign(n, claimed)):
        yield Fit("signs", f"right but for the sign of {flipped:,} of {n.size:,} entries", 2)
