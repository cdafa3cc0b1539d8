"""The list of all hypotheses about what is wrong with one array of a gradient."""

from dataclasses import replace

from checks.diagnosis.case import Case, Fit, Hypothesis
from checks.diagnosis.extent import one_part, small_everywhere
from checks.diagnosis.factors import scaled, signs
from checks.diagnosis.order import another_array, one_number, reordered
from checks.diagnosis.terms import penalty
from checks.diagnosis.values import clipped, not_finite, rounded, zero

__all__ = ["HYPOTHESES", "fits"]

# Of two hypotheses of the same rank that explain an array, the first in this list is preferred.
HYPOTHESES: tuple[Hypothesis, ...] = (
    not_finite,
    zero,
    scaled,
    another_array,
    reordered,
    one_number,
    rounded,
    penalty,
    clipped,
    signs,
    one_part,
    small_everywhere,
)


def fits(case: Case) -> list[Fit]:
    """Return the hypotheses that explain an array, those with the least freedom first."""
    found = [fit for hypothesis in HYPOTHESES for fit in hypothesis(case)]
    if case.array.claimed.size == 1:
        found = [replace(fit, single=True) for fit in found]
    return sorted(found, key=lambda fit: fit.rank)
