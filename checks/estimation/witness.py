"""Whether a second estimate of a derivative confirms that a claim is wrong."""

from typing import Any

import numpy as np

__all__ = ["VISIBLE", "confirms"]

# A second estimate with an error above this part of the discrepancy could not have seen it.
VISIBLE = 1 / 4
# The two estimates may differ by this part of the discrepancy, besides their errors.
AGREEMENT = 1 / 100


def confirms(
    claimed: Any,
    first: tuple[Any, Any],
    second: tuple[Any, Any],
    tolerance: float,
    is_proven: Any = False,
) -> Any:
    """Whether two estimates agree and the claim is wrong by both.

    Parameters
    ----------
    claimed
        The claim, a number or an array of them; so are the others.
    first, second
        Value and error of each estimate. The first has flagged the claim.
    tolerance
        What the claim may be off by, besides the error of the second estimate.
    is_proven
        The first estimate is known to be right to within less than the discrepancy, so the second
        must not contradict it, but need not see the discrepancy itself.
    """
    (value, error), (value_again, error_again) = first, second
    discrepancy = np.abs(claimed - value)
    apart = np.abs(value_again - value)
    agree = apart - error - error_again <= AGREEMENT * discrepancy
    sees = error_again <= VISIBLE * discrepancy
    wrong_again = np.abs(claimed - value_again) - error_again > tolerance
    return agree & (sees & wrong_again | is_proven)
