"""Derivatives by float16 or float32 parameters are estimated in float64, if the cost can."""

import numpy as np

from checks.estimation.cost_rounding import measure_cost_rounding
from checks.estimation.precision import Lift
from checks.evaluation.pointwise import Evaluations

__all__ = ["widened"]


def widened(evaluations: Evaluations, seed: int) -> Evaluations:
    """Return evaluations of the same cost around float64 copies of the parameters.

    The given evaluations are returned if the parameters are float64 already, or if some stage of
    the cost computes in a narrower dtype whatever it is given. The count of calls goes on, and the
    default tolerance still follows the dtype of the caller's arrays.
    """
    float64 = np.dtype(np.float64)
    if evaluations.eps <= float(np.finfo(float64).eps):
        return evaluations
    with evaluations.restoring_parameters():
        rounding = measure_cost_rounding(evaluations, np.random.default_rng(seed))
        if rounding is None or rounding.lift is not Lift.LIFTS:
            return evaluations
        return evaluations.in_dtype(float64)
