"""Whether a second estimate of a derivative confirms that a claim is wrong."""

from typing import Any

import numpy as np

__all__ = ["VISIBLE", "confirms"]

# A second estimate sees a discrepancy if its error is at most VISIBLE times the discrepancy. Two
# estimates agree if the gap between their intervals is at most AGREEMENT times the discrepancy.
VISIBLE, AGREEMENT = 1 / 4, 1 / 100


def confirms(
    claimed: Any,
    first: tuple[Any, Any],
    second: tuple[Any, Any],
    tolerance: float,
    is_proven: Any = False,
) -> Any:
    """Whether two estimates agree, and the claim is wrong by both.

    Parameters
    ----------
    claimed
        The claim: a number, or an array. All values and errors below are of the same shape.
    first, second
        Value and error of each estimate. The first has flagged the claim as wrong.
    tolerance
        By how much the claim may be off beyond the error of the second estimate.
    is_proven
        Something else, such as the proof of a complex step, shows that the first estimate is off by
        less than the discrepancy. The second then only has to agree with it.
    """
    (value, error), (value_again, error_again) = first, second
    discrepancy = np.abs(claimed - value)
    gap = np.abs(value_again - value) - error - error_again
    agree = gap <= AGREEMENT * discrepancy
    sees = error_again <= VISIBLE * discrepancy
    wrong_again = np.abs(claimed - value_again) - error_again > tolerance
    return agree & (sees & wrong_again | is_proven)
