"""The dtype in which derivatives are estimated follows from what the cost computes in.

By float16 or float32 parameters they are estimated in float64, if the cost can compute in it. By
float64 parameters that the cost rounds to float32, they are estimated in float32.
"""

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from checks._types import FloatArray
from checks.estimation.cost_rounding import cost_rounding, measure_cost_rounding
from checks.estimation.finite_differences import draw_direction
from checks.estimation.noise import FLOAT32_EPS
from checks.estimation.precision import LIFT_LIMIT, Copies, Lift, copies_of
from checks.estimation.rounding_mode import toward_zero_is_available
from checks.evaluation.control_flow import is_control_flow
from checks.evaluation.cost_value import as_number
from checks.evaluation.pointwise import Evaluations

__all__ = ["restoring_widened", "widened"]

# An array is also tested at the parameters times these: units that are saturated at the point are
# less so there.
SHRINK = (1, 2.0**-2, 2.0**-4, 1.5)
DIRECTIONS = 3  # pairs of random directions: a single pair misses a narrow stage now and then
FAR = 2.0**-6  # moves by this part of its size show whether the cost depends on an entry
MANY = 2.0**20  # float64 last places that rounding may change: one of float32 is 2^29 of them
# Whether the cost rounds its parameters to float32 is asked at the point, and at POINTS points that
# are up to SEVERAL last places of float32 away.
POINTS, SEVERAL = 3, 2**7


def widened(evaluations: Evaluations, seed: int) -> Evaluations:
    """Return evaluations of the same cost around float64 copies of the parameters.

    The given evaluations are returned if the parameters are float64 already, or if some stage of
    the cost computes in a narrower dtype whatever it is given. Where that cannot be told of an
    array, as the cost hardly depends on it, all errors will grow by a last place of that dtype, or
    by twice what rounding does to the cost if that is more; and differences by that array that are
    0 or meet jumps will be taken again with steps for the noise in that dtype.

    A cost that rounds all of its float64 parameters to float32 before it uses them is constant
    between two float32 numbers. Evaluations around float32 copies are returned then.

    The count of calls goes on, and the default tolerance still follows the dtype of the caller's
    arrays.
    """
    with evaluations.restoring_parameters():
        return _widened(evaluations, seed)


@contextlib.contextmanager
def restoring_widened(evaluations: Evaluations, seed: int) -> Iterator[Evaluations]:
    """Give what `widened` returns; at the end, restore the parameters of both."""
    with evaluations.restoring_parameters():
        others = _widened(evaluations, seed)
        with others.unchanged("cost"):
            yield others


def _widened(evaluations: Evaluations, seed: int) -> Evaluations:
    evaluations.measure_sizes()
    float64 = np.dtype(np.float64)
    if evaluations.eps <= float(np.finfo(float64).eps):
        reads_float32 = _reads_float32(evaluations, seed)
        return evaluations.in_dtype(np.float32) if reads_float32 else evaluations
    rng = np.random.default_rng(seed)
    rounding = measure_cost_rounding(evaluations, rng)
    if rounding is None or rounding.lift is not Lift.LIFTS:
        return evaluations
    filled = [path for path, value in evaluations.values.items() if value.size]
    narrow = [path for path in filled if not _lifts_alone(evaluations, path, rng)]
    wide = evaluations.in_dtype(float64)
    evaluations.lost = rounding.relative
    wide.narrow = dict.fromkeys(narrow, rounding.level)
    wide.doubt = max(evaluations.eps, 2 * rounding.relative) if narrow else 0.0
    return wide


def _reads_float32(evaluations: Evaluations, seed: int) -> bool:
    """Whether the cost is the same of float64 parameters and of copies of them in float32.

    It must also differ between points a few float32 places apart: floor, and what is lost beside a
    large term, are the same of such copies, but steps so short show no derivatives of them. Of
    several results, none is asked if one has more digits than float32.
    """
    values, box, at_point = evaluations.values, evaluations.box, evaluations.at_point
    if evaluations.shared and not evaluations.cost.memo.is_narrow:
        return False
    if getattr(evaluations.cost, "analytic", False):
        return False  # a cast would drop imaginary parts

    def same_of_copies(cost: Any, at: dict[str, FloatArray]) -> bool:
        copies = {path: value.astype(np.float32) for path, value in at.items()}
        if not box.holds_all(copies):
            return False
        evaluations.count += 1
        try:
            return bool(as_number(evaluations.cost(evaluations.nesting.rebuild(copies))) == cost)
        except Exception as error:  # a library may refuse the dtype
            if is_control_flow(error):
                raise
            return False

    if not same_of_copies(at_point, values):
        return False
    costs, rng = {float(at_point)}, np.random.default_rng(seed)
    for _ in range(POINTS):
        moves = {}
        for path, value in values.items():
            move = SEVERAL * FLOAT32_EPS * box.sizes[path] * rng.uniform(-1, 1, value.shape)
            moves[path] = box.clipped(path, move)
        cost = evaluations.cost_moved(moves)
        if not same_of_copies(cost, {path: value + moves[path] for path, value in values.items()}):
            return False
        costs.add(float(cost))
    return len(costs) == 1 + POINTS


def _lifts_alone(evaluations: Evaluations, path: str, rng: np.random.Generator) -> bool:
    """Whether the cost lifts by a single array, as is shown here or at smaller parameters.

    When all arrays move together, one that the cost hardly depends on may hide that a stage of it
    is narrow. What that stage computes may be a factor of the derivatives by all arrays. If the
    cost does not depend on the array at all, rounding toward zero shows such a stage.
    """
    if len(evaluations.values) == 1:
        return True
    copies = copies_of(evaluations, np.float64)
    if all(_adds_up(copies, path, rng) for _ in range(DIRECTIONS)):
        evaluations.count += copies.calls
        return True
    is_seen, size = False, evaluations.box.sizes[path]
    try:
        for shrink in SHRINK:
            base = evaluations.box.shrunken(shrink)
            narrow = evaluations.cost_moved(base)
            found = cost_rounding(narrow, copies, rng, paths=[path], base=base)
            if found.lift is not Lift.HIDDEN:
                return found.lift is Lift.LIFTS
            move = evaluations.box.clipped(path, base[path] - shrink * FAR * size)
            is_seen = is_seen or bool(copies.cost({**base, path: move}) != found.value)
        if is_seen or not toward_zero_is_available():
            return False
        truncated, at = copies.cost(toward_zero=True), copies.cost()
        return bool(abs(truncated - at) <= MANY * copies.eps * abs(at))
    finally:
        evaluations.count += copies.calls


def _adds_up(copies: Copies, path: str, rng: np.random.Generator) -> bool:
    """Whether complex steps along two directions of an array add up to that along their sum.

    A stage that casts to the narrow dtype rounds each of them by its last places. What hides real
    moves, as an offset of the cost does, has no imaginary part.
    """
    shape = copies.values[path].shape
    u, v = (copies.scales[path] * draw_direction(shape, rng) for _ in range(2))
    along_u, along_v, along_both = (copies.slope({path: w})[0] for w in (u, v, u + v))
    size = float(abs(along_u) + abs(along_v)) / math.sqrt(u.size)
    off = float(abs(along_u + along_v - along_both))
    return size > 0 and off <= LIFT_LIMIT * copies.narrow_eps / 4 * size
