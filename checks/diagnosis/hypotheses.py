"""The list of all hypotheses about what is wrong with one array of a gradient."""

from dataclasses import replace

import numpy as np

from checks.diagnosis.axes import centred, one_number, reduced
from checks.diagnosis.case import Case, Fit, Hypothesis
from checks.diagnosis.extent import formula_of_a_part, masked, one_part, small_everywhere
from checks.diagnosis.factors import chain_factor, row_factors, scaled, signs
from checks.diagnosis.matrices import triangles
from checks.diagnosis.order import another_array, exchanged, reordered
from checks.diagnosis.terms import added, along_parameters
from checks.diagnosis.values import clipped, in_single_precision, not_finite, powers, rounded, zero

__all__ = ["HYPOTHESES", "fits"]

# Of two hypotheses that explain an array equally well, the first in this list is named first.
HYPOTHESES: tuple[Hypothesis, ...] = (
    not_finite,
    zero,
    scaled,
    another_array,
    reordered,
    exchanged,
    one_number,
    reduced,
    centred,
    triangles,
    rounded,
    added,
    along_parameters,
    chain_factor,
    clipped,
    powers,
    signs,
    row_factors,
    formula_of_a_part,
    masked,
    in_single_precision,
    one_part,
    small_everywhere,
)


def fits(case: Case) -> list[Fit]:
    """Return the hypotheses that explain an array, those of the lowest rank first."""
    found = [fit for hypothesis in HYPOTHESES for fit in hypothesis(case)]
    if all(fit.rank > 1 for fit in found):
        narrow = case.in_narrow_dtype()
        if narrow is not None:
            found = [fit for hypothesis in HYPOTHESES for fit in hypothesis(narrow)]
    if unresolved := int(np.sum(case.unresolved)):
        remark = f" ({unresolved:,} of {case.claimed.size:,} entries could not be judged)"
        found = [replace(fit, clause=fit.clause + remark * (fit.rank > 0)) for fit in found]
    if case.claimed.size == 1:
        found = [replace(fit, single=True) for fit in found]
    return sorted(found, key=lambda fit: (fit.rank, fit.cost))
