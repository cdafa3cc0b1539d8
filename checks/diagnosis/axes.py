"""Hypotheses: a sum or a mean over an axis too many, or one that is missing."""

from collections.abc import Iterator

import numpy as np

from checks.diagnosis.case import Case, Fit

__all__ = ["centred", "one_number", "reduced"]

AXIS_BITS = 3.0


def one_number(case: Case) -> Iterator[Fit]:
    """Explain an array of equal entries: a sum, a mean, or another number of the gradient."""
    claimed, n = case.claimed, case.numeric
    tolerance = case.limit.max()
    if not claimed.any() or not np.isfinite(claimed).all():
        return
    if np.ptp(claimed) > tolerance or np.ptp(n) <= tolerance + case.error.max():
        return
    error = np.full_like(n, case.error.sum())
    numbers = (
        ("the sum of the numerical gradient's entries: an axis too many", n.sum(), error),
        ("the mean of the numerical gradient's entries: an axis too many", n.mean(), error),
        ("the norm of the numerical gradient", np.sqrt(np.sum(n * n)), error),
        ("the largest of the numerical gradient's entries", n.max(), error),
        ("the smallest of the numerical gradient's entries", n.min(), error),
        ("the first of the numerical gradient's entries", n.flat[0], error),
        ("the last of the numerical gradient's entries", n.flat[-1], error),
    )
    found = False
    for number, (what, value, errors) in enumerate(numbers):
        for fit in case.fit(
            "one number",
            f"one number in every entry, {what}",
            np.full_like(n, value),
            AXIS_BITS,
            error=errors,
            number=number,
        ):
            found = True
            yield fit
    if not found and claimed.size > 2 and not np.ptp(claimed):
        yield Fit("one number", f"one number in every entry, {claimed.flat[0]:.6g}", cost=AXIS_BITS)


def reduced(case: Case) -> Iterator[Fit]:
    """Explain an array by sums, means or running sums of the gradient along one axis."""
    n, e = case.numeric, case.error
    for axis in range(n.ndim):
        size = n.shape[axis]
        if size < 2:
            continue
        place = f" along axis {axis}" if n.ndim > 1 else ""
        total, error = (np.broadcast_to(np.sum(a, axis, keepdims=True), a.shape) for a in (n, e))
        if n.ndim > 1:
            for number, (what, divisor) in enumerate((("summed", 1), ("averaged", size))):
                clause = f"the numerical gradient {what}{place}, repeated along it"
                yield from case.fit(
                    "axis", clause, total / divisor, AXIS_BITS, error=error,
                    number=2 * axis + number,
                )  # fmt: skip
        running, errors = np.cumsum(n, axis), np.cumsum(e, axis)
        backward, reverse = (np.flip(np.cumsum(np.flip(a, axis), axis), axis) for a in (n, e))
        for number, (sums, es, order) in enumerate(
            ((running, errors, "first"), (backward, reverse, "last"))
        ):
            clause = f"the running sum of the numerical gradient{place}, from the {order} entry on"
            yield from case.fit(
                "running sum", clause, sums, AXIS_BITS + 1, error=es, number=2 * axis + number
            )


def centred(case: Case) -> Iterator[Fit]:
    """Explain an array by a mean along an axis that was subtracted, or was not."""
    n, e, claimed = case.numeric, case.error, case.claimed
    for axis in (*range(n.ndim), None) if n.ndim > 1 else (None,):
        size = n.size if axis is None else n.shape[axis]
        if size < 2:
            continue
        place = "" if axis is None else f" along axis {axis}"
        with np.errstate(invalid="ignore"):
            mean, error = (np.mean(a, axis, keepdims=True) for a in (n, e))
            claimed_mean = np.mean(claimed, axis, keepdims=True)
            # a sum below a millionth of its terms is zero by the formula, and not small by chance
            zero = error + 1e-6 * np.mean(np.abs(n), axis, keepdims=True)
            is_centred = bool(np.all(np.abs(mean) <= zero))
        number = -1 if axis is None else axis
        clause = f"the numerical gradient less its mean{place}: centred, where it should not be"
        yield from case.fit("centred", clause, n - mean, AXIS_BITS + 1, error=e + error,
                            number=number)  # fmt: skip
        if is_centred and n.any():
            clause = f"right once its mean{place} is subtracted: not centred"
            yield from case.fit("not centred", clause, n + claimed_mean, AXIS_BITS + 1,
                                number=number)  # fmt: skip
