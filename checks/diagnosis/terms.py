"""Hypotheses: the claim has a term too many, or one is missing."""

from collections.abc import Iterator

import numpy as np

from checks.diagnosis.case import Case, Fit

__all__ = ["penalty"]


def penalty(case: Case) -> Iterator[Fit]:
    """Explain an array by a penalty's term λθ that the cost or the gradient lacks."""
    theta = case.value.astype(np.float64)
    largest = np.abs(theta).max(initial=0)
    if not largest > 0:
        return
    u = theta / largest
    difference = case.claimed - case.array.numeric
    known = np.isfinite(difference) & np.isfinite(case.array.error)
    if not known.any():
        return
    # least squares gives λ in claimed = numeric + λθ, where θ is the array of parameters
    norm = max(np.sum(u[known] ** 2), 1e-300)
    lambda_ = float(np.sum(difference[known] * u[known]) / norm) / largest
    if lambda_ and case.explained_by(case.array.numeric + lambda_ * theta):
        sign, side = ("+", "gradient and not in the cost") if lambda_ > 0 else (
            "−", "cost and not in the gradient"
        )  # fmt: skip
        clause = (
            f"the numerical gradient {sign} {abs(lambda_):.4g} × the parameters: a penalty "
            f"½ λ Σ θ², λ = {abs(lambda_):.4g}, in the {side}"
        )
        uncertainty = 2 * (case.t + float(case.array.error[known].max()))
        weak = int(np.sum(np.abs(lambda_ * theta) > 5 * uncertainty)) < 2
        yield Fit("penalty", clause, 1, lambda_, uncertainty / largest, weak)
