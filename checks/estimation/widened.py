"""Parameters narrower than float64 are estimated in float64, where the cost computes in it."""

import numpy as np

from checks.estimation.cost_rounding import measure_cost_rounding
from checks.estimation.precision import Lift
from checks.evaluation.pointwise import Evaluations

__all__ = ["widened"]


def widened(evaluations: Evaluations, seed: int) -> Evaluations:
    """Return the cost around float64 copies of the parameters, if it computes in float64 there.

    The same evaluations are returned if it does not, or if the parameters are not narrower. The
    count goes on, and the tolerance still follows the narrower dtype.
    """
    float64 = np.dtype(np.float64)
    if evaluations.eps <= float(np.finfo(float64).eps):
        return evaluations
    with evaluations.restoring_parameters():
        rounding = measure_cost_rounding(evaluations, np.random.default_rng(seed))
        if rounding is None or rounding.lift is not Lift.LIFTS:
            return evaluations
        return evaluations.in_dtype(float64)
