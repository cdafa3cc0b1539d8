"""One check of a target on one network, and whether two such trials show the same mistake."""

import math
import time
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from checks.conformance.targets.known_costs import factor_names
from checks.conformance.targets.target import Target
from checks.conformance.targets.target_interface import SIGNATURES
from checks.evaluation.cost_value import as_number
from checks.gradient import check_gradient
from checks.judgement.interruption import CheckInterrupted
from checks.report.array_report import ArrayReport
from checks.report.report import Report
from checks.report.verdict import Verdict
from checks.step import check_step
from checks.strategies import Problem

__all__ = ["Trial", "digits_are_lost", "is_clipped", "try_out"]

Group = tuple[str, str]  # "last layer" or "layers below", and "weights" or "biases"
GRACE = 0.5  # seconds in which a check has to end after its deadline
NOT_PROPORTIONAL = "not proportional"
LAST_PLACES = 64 * np.finfo(float).eps  # what a few sums of rounded products may be off by
# Long double divides rounding by 2,048, a formula's error by 1: this is between.
NEARER = 256
PACKAGE = str(Path(__file__).parents[2])


class _TimeIsUp(KeyboardInterrupt):
    """The deadline of a check is over."""


@dataclass(frozen=True, eq=False)
class Trial:
    """The outcome of a check on one problem.

    Attributes
    ----------
    problem : Problem
    function : {"gradient", "step"}
        Which function of the target was checked.
    report : Report or None
        None if there is an error.
    error : Exception or None
        What the target raised, or why the check refused its result.
    not_taken : bool
        Whether the cost does not take the network: it raises there, or is not finite.
    unfinished : bool
        Whether the time was over before the check was: the report, if any, is of a part.
    excused : bool
        Whether the gradient is off only by what rounding loses in a saturated network, or where the
        cost is clipped.
    """

    problem: Problem
    function: str
    report: Report | None = None
    error: Exception | None = None
    not_taken: bool = False
    unfinished: bool = False
    excused: bool = False

    @property
    def raised_in(self) -> str:
        """Which of the target's functions raised the error; empty if the check did."""
        frames = traceback.extract_tb(self.error.__traceback__) if self.error else []
        # `try_out` calls the target inside functions named cost, gradient and step
        if frames and frames[-1].filename == __file__:
            return ""  # `_nested` refused the result
        callers = [f.name for f in frames if f.filename == __file__ and f.name in SIGNATURES]
        return callers[-1] if callers else ""

    @property
    def is_wrong(self) -> bool:
        """Whether the gradient is wrong or raises; kinks excuse it, as conventions differ."""
        if self.not_taken or self.unfinished or self.excused:
            return False
        if self.report is None:
            return True
        kinks = any(array.slope_jump.any() for array in self.report.arrays.values())
        return self.report.verdict is Verdict.MISMATCH and not kinks

    def arrays(self) -> dict[Group, list[ArrayReport]]:
        """Return the arrays in up to four groups: weights or biases, of the last layer or below."""
        groups: dict[Group, list[ArrayReport]] = {}
        last = len(self.problem.weights) - 1
        for path, array in self.report.arrays.items() if self.report is not None else ():
            what, _, index = path.removesuffix("]").partition("[")
            layer = "last layer" if int(index) == last else "layers below"
            groups.setdefault((layer, what), []).append(array)
        return groups

    def error_kinds(self) -> dict[Group, frozenset[str]]:
        """Return in which ways the arrays of each group are wrong; empty for a right group."""
        factor_values = factor_names(self.problem)
        rtol = self.report.rtol if self.report is not None else 0.0
        return {
            group: frozenset().union(
                *(_error_kinds(array, factor_values, rtol) for array in arrays)
            )
            for group, arrays in self.arrays().items()
        }

    def shows_the_mistake_of(self, other: "Trial") -> bool:
        """Whether this trial, of a smaller network, is wrong in the same way as another one.

        The same groups of arrays must be wrong in the same ways, and the discrepancy must be at
        least a tenth of the other's, or a hundredth. A smaller network may lack layers below the
        last, if they were wrong in the same way as the last layer.
        """
        if not self.is_wrong:
            return False
        if self.report is None or other.report is None:
            return _origin(self.error) == _origin(other.error)
        # a much smaller discrepancy would be a poor example of a large mistake
        if self.report.discrepancy < min(other.report.discrepancy / 10, 0.01):
            return False
        mine, theirs = self.error_kinds(), other.error_kinds()
        single_entries = {
            group: all(array.claimed.size == 1 for array in arrays)
            for group, arrays in self.arrays().items()
        }
        return all(
            _wrong_in_the_same_way(mine[layer, what], kinds, single_entries[layer, what])
            if (layer, what) in mine
            else not kinds or kinds & theirs["last layer", what]
            for (layer, what), kinds in theirs.items()
        )


def try_out(
    target: Target, problem: Problem, function: str = "gradient", deadline: float = math.inf
) -> Trial:
    """Check a target's gradient, or the gradient that its step implies, on one problem.

    The target is called in its own form, see `targets.probe`. At the deadline, a value of
    `time.monotonic`, the check ends as by Ctrl-C.
    """
    is_late = False
    takes, rtol, target = target.takes, target.rtol, target.own or target
    given = takes.form.given(problem.weights, problem.biases, problem.x, problem.y)
    x, y = given[2:]
    params = dict(zip(("weights", "biases"), map(_copies, given[:2]), strict=True))
    unread = {} if takes.biases else {"biases": params.pop("biases")}

    # Other tests check that the target leaves its input unchanged and that a call does not depend
    # on earlier ones. Here the target gets copies, and the gradient of a second call is checked.
    def gradient(p: Any) -> Any:
        assert target.gradient is not None
        target.gradient(*arguments(p))
        return _nested(target.gradient(*arguments(p)), "gradient", arguments(p), bool(unread))

    def step(p: Any, learning_rate: float) -> Any:
        assert target.step is not None
        own = arguments(p)
        result = target.step(*own, learning_rate)
        result = own[:2] if result is None else result
        return _nested((result[0], []) if unread else result, "step", own, bool(unread))

    def cost(p: Any) -> Any:
        nonlocal is_late, deadline
        if time.monotonic() > deadline:
            # An interrupted check still reports what it has judged. If that takes longer than
            # GRACE, it is interrupted again and ends without a report.
            is_late, deadline = True, deadline + GRACE
            raise _TimeIsUp
        return target.cost(*(p | unread).values(), x, y)

    def arguments(p: Any) -> tuple[Any, ...]:
        weights, biases = map(_copies, (p | unread).values())
        return weights, biases, np.array(x), np.array(y)

    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            if takes.known:
                refused = _refused_by_cost(cost, params, raising_counts=bool(takes.declared))
                if refused:
                    return Trial(problem, function, error=refused, not_taken=True)
            if function == "step":
                return Trial(problem, function, check_step(cost, step, params, rtol=rtol))
            return Trial(problem, function, check_gradient(cost, gradient, params, rtol=rtol))
    except CheckInterrupted as interruption:
        if not is_late:
            raise
        return Trial(problem, function, interruption.report, unfinished=True)
    except _TimeIsUp:
        return Trial(problem, function, unfinished=True)
    except Exception as error:
        # A check refuses a result by a TypeError or a ValueError. Any other error that arises in
        # this package is a defect of this package.
        if _origin(error)[1].startswith(PACKAGE) and not isinstance(error, (TypeError, ValueError)):
            raise
        return Trial(problem, function, error=error)


def digits_are_lost(target: Target, trial: Trial) -> bool:
    """Whether a gradient is off by what rounding loses beside a saturated output, and by no more.

    Where a label is 0 or 1 and the output p rounds to it, p − y is 0, or nothing but rounding. Then
    every entry is off by some last places of what it would be for another label. Or the gradient is
    nearer by far where it is computed in long double.
    """
    problem, report = trial.problem, trial.report
    if target.gradient is None or report is None:
        return False
    if problem.y.shape[1] > 1:
        y = np.roll(problem.y, 1, axis=1)
    else:
        y = -problem.y if target.takes.labels == "±1" else 1 - problem.y
    wide = (
        [np.asarray(array, np.longdouble) for array in part]
        for part in (problem.weights, problem.biases)
    )
    try:
        with np.errstate(all="ignore"):
            others = target.gradient(problem.weights, problem.biases, problem.x, y)
            in_long_double = target.gradient(*wide, problem.x, problem.y)
    except Exception:  # the target may raise anything
        return False
    parts = 1 + target.takes.biases
    arrays = [
        [np.asarray(g, np.longdouble) for part in result[:parts] for g in part]
        for result in (others, in_long_double)
    ]
    for array, other, g in zip(report.arrays.values(), *arrays, strict=True):
        n, flagged = array.numeric, array.verdicts == Verdict.MISMATCH
        is_absorbed = np.abs(array.claimed - n) <= LAST_PLACES * np.abs(other).max()
        # the report has the arrays in the target's own form
        own = g.T if target.takes.form.transposed else g
        discrepancy = np.abs(array.claimed - n)
        is_nearer = np.abs(own.reshape(n.shape) - n) <= array.error + discrepancy / NEARER
        if not (is_absorbed | is_nearer)[flagged].all():
            return False
    return True


def is_clipped(target: Target, trial: Trial) -> bool:
    """Whether a gradient is right for each sample alone, or the cost of that sample is flat.

    A cost that clips p before its log is flat where p is saturated. Its gradient p − y is not, and
    is meant so.
    """
    problem = trial.problem
    if target.takes.samples[0] > 1:
        return False
    for i in range(len(problem.x)):
        alone = replace(problem, x=problem.x[i : i + 1], y=problem.y[i : i + 1])
        report = try_out(target, alone, trial.function).report
        if report is None:
            return False
        is_flat = not any(array.numeric.any() for array in report.arrays.values())
        if report.verdict is Verdict.MISMATCH and not is_flat:
            return False
    return True


def _refused_by_cost(
    cost: Callable[[Any], Any], params: Any, raising_counts: bool
) -> Exception | None:
    """Return why the cost does not take a network; None if it does, or raises and that counts."""
    try:
        value = as_number(cost(params))
    except Exception as error:  # the target may raise anything
        return None if raising_counts else error
    return None if np.isfinite(value) else ValueError(f"the cost is {value}")


def _copies(arrays: Sequence[Any]) -> list[Any]:
    return [np.array(array, order="C") for array in arrays]


def _nested(result: Any, name: str, given: Sequence[Any], no_biases: bool) -> dict[str, Any]:
    """Return what a target's function returned as a dict of weights and biases."""
    is_sequence = isinstance(result, (list, tuple))
    if not is_sequence or len(result) != 2:
        what = f"{type(result).__name__} of {len(result)}" if is_sequence else type(result).__name__
        raise TypeError(
            f"{name} returned a {what}, wanted the pair (weights, biases), two lists of arrays"
        )
    weights, biases = result
    shapes = [_shapes(part) for part in (*result, *given[:2])]
    if shapes[0] == shapes[3] != shapes[2] == shapes[1]:
        raise TypeError(f"{name} returned the biases first, wanted the pair (weights, biases)")
    if not no_biases:
        return {"weights": list(weights), "biases": list(biases)}
    if biases is not None and any(b is not None and np.any(b) for b in biases):
        raise ValueError(
            f"{name} returned ∂C/∂b that are not 0, but the cost reads no biases: does the forward "
            "pass of the cost lack + b?"
        )
    return {"weights": list(weights)}


def _shapes(arrays: Any) -> list[tuple[int, ...]] | None:
    """Return the shapes of arrays; None if they are no sequence of arrays."""
    try:
        return [np.shape(array) for array in arrays]
    except (TypeError, ValueError):
        return None


def _error_kinds(
    array: ArrayReport, factor_values: Mapping[str, float], rtol: float
) -> frozenset[str]:
    """Return the ways in which an array may be wrong; empty if it is no MISMATCH.

    Factors that have the same value on this problem cannot be told apart, so all are returned.
    """
    if array.verdict is not Verdict.MISMATCH:
        return frozenset()
    g, n = array.claimed, array.numeric
    if not np.isfinite(g).all():
        return frozenset({"not finite"})
    if not g.any():
        return frozenset({"zero"})
    if ((array.verdicts == Verdict.MATCH) & (np.abs(n) > array.error)).any():
        return frozenset({"some entries"})
    # least squares gives the factor c in claimed = c × numeric
    c = float((g * n).sum() / (n * n).sum()) if n.any() else math.inf
    with np.errstate(invalid="ignore"):
        residual = np.abs(g - c * n) - abs(c) * array.error
    if not (residual <= rtol * array.largest).all():
        return frozenset({NOT_PROPORTIONAL})
    factors = frozenset(
        name for name, value in factor_values.items() if abs(c - value) <= rtol * abs(value)
    )
    return factors or frozenset({"a factor"})


def _origin(error: Exception | None) -> tuple[Any, str, int | None]:
    """Return the type of an error, and the file and the line that raised it."""
    frames = traceback.extract_tb(error.__traceback__) if error else []
    return type(error), frames[-1].filename if frames else "", frames[-1].lineno if frames else 0


def _wrong_in_the_same_way(
    mine: frozenset[str], theirs: frozenset[str], single_entries: bool
) -> bool:
    """Whether two groups of arrays are wrong in the same way.

    An array of a single entry is always proportional, so it may stand for one that is not.
    """
    if not mine or not theirs:
        return not mine and not theirs
    return bool(mine & theirs) or (single_entries and NOT_PROPORTIONAL in theirs)
