"""Cases of one array, made by hand: the claim, the estimate with its error, and the limit."""

from types import SimpleNamespace

import numpy as np

from checks import Verdict
from checks.diagnosis.case import Case

__all__ = ["array_like", "case_of", "edges"]


def array_like(claimed, numeric, error=0.0, verdict=Verdict.MISMATCH):
    """Return what a hypothesis reads of another array's report."""
    numeric = np.asarray(numeric, float)
    return SimpleNamespace(
        claimed=np.asarray(claimed),
        numeric=numeric,
        error=np.broadcast_to(error, numeric.shape),
        verdict=verdict,
    )


def case_of(claimed, numeric, theta=None, *, error=2.0**-40, limit=2.0**-30, path="w", **others):
    """Return the case of one array, wrong where it is off by more than error and limit."""
    claimed, numeric = np.asarray(claimed, float), np.asarray(numeric, float)
    error, limit = (np.broadcast_to(a, numeric.shape).astype(float) for a in (error, limit))
    theta = np.ones(numeric.shape) if theta is None else np.asarray(theta)
    with np.errstate(invalid="ignore"):
        wrong = ~(np.abs(claimed - numeric) <= error + limit)
    arrays = {path: array_like(claimed, numeric, error), **others}
    return Case(path, claimed, numeric, error, limit, theta, wrong, arrays)


def edges(hypothesis, clause, prediction, error, numeric, theta, case_error):
    """Return the fits at the prediction, and whether it may be off by its error but by no more."""
    fits = [f for f in hypothesis(case_of(prediction, numeric, theta, error=case_error))
            if f.clause == clause]  # fmt: skip
    sharp = True
    for sign in (1, -1):
        for share, expected in ((0.999, True), (1.001, False)):
            off = prediction + sign * share * error
            case = case_of(off, numeric, theta, error=case_error, limit=0.0)
            sharp &= any(f.clause == clause for f in hypothesis(case)) is expected
    return fits, sharp
