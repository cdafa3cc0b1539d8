"""One network tried on a target, and whether two such trials show the same mistake."""

import math
import traceback
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from checks.conformance.targets.known_costs import factor_names
from checks.conformance.targets.target import Target
from checks.conformance.targets.target_interface import SIGNATURES
from checks.gradient import check_gradient
from checks.report.array_report import ArrayReport
from checks.report.report import Report
from checks.report.verdict import Verdict
from checks.step import check_step
from checks.strategies import Problem

__all__ = ["Trial", "try_out"]

Kinds = Mapping[tuple[str, str], frozenset[str]]
UNEVEN = "uneven"
OURS = str(Path(__file__).parents[2])  # the package


@dataclass(frozen=True, eq=False)
class Trial:
    """What a check of one problem came to.

    Attributes
    ----------
    problem : Problem
    through : {"gradient", "step"}
        Which function of the target was checked.
    report : Report or None
        None where there is an error.
    error : Exception or None
        What the target raised, or what the check refused.
    rounding : str
        How rounding alone explains a mismatch; empty where it does not.
    """

    problem: Problem
    through: str
    report: Report | None = None
    error: Exception | None = None
    rounding: str = ""

    @property
    def raised_in(self) -> str:
        """Which of the target's functions raised the error; nothing where the check refused."""
        frames = traceback.extract_tb(self.error.__traceback__) if self.error else []
        ours = [f.name for f in frames if f.filename == __file__ and f.name in SIGNATURES]
        return ours[-1] if ours else ""

    @property
    def is_wrong(self) -> bool:
        """Whether there is something to accuse; where the cost has kinks, conventions differ."""
        if self.report is None:
            return True
        kinks = any(array.slope_jump.any() for array in self.report.arrays.values())
        return self.report.verdict is Verdict.MISMATCH and not kinks and not self.rounding

    def arrays(self) -> dict[tuple[str, str], list[ArrayReport]]:
        """Return the arrays by place, of the last layer or below it, and by what they hold."""
        places: dict[tuple[str, str], list[ArrayReport]] = {}
        top = len(self.problem.weights) - 1
        for path, array in self.report.arrays.items() if self.report is not None else ():
            what, _, index = path.removesuffix("]").partition("[")
            place = "last layer" if int(index) == top else "layers below"
            places.setdefault((place, what), []).append(array)
        return places

    def kinds(self) -> Kinds:
        """Return how the mismatching arrays of each place are wrong."""
        names = factor_names(self.problem)
        rtol = self.report.rtol if self.report is not None else 0.0
        return {
            place: frozenset().union(*(_kinds(array, names, rtol) for array in arrays))
            for place, arrays in self.arrays().items()
        }

    def shows_the_mistake_of(self, other: "Trial") -> bool:
        """Whether this trial, of a network no larger, is wrong in the same way as another one.

        The same places are wrong, in the same ways, by a hundredth or at least a tenth as much.
        Layers below the last may be gone if they were wrong in the way in which the last one is.
        """
        if not self.is_wrong:
            return False
        if self.report is None or other.report is None:
            return _origin(self.error) == _origin(other.error)
        # where half of an entry was missing, its sixth digit would not convince
        if self.report.discrepancy < min(other.report.discrepancy / 10, 0.01):
            return False
        mine, theirs = self.kinds(), other.kinds()
        few = {
            place: all(a.claimed.size == 1 for a in some) for place, some in self.arrays().items()
        }
        return all(
            _alike(mine[place, what], kinds, few[place, what])
            if (place, what) in mine
            else not kinds or kinds & theirs["last layer", what]
            for (place, what), kinds in theirs.items()
        )


def try_out(target: Target, problem: Problem, through: str = "gradient") -> Trial:
    """Check a target's gradient, or the one that its step implies, on one problem."""
    x, y = problem.x, problem.y

    # The target gets copies, and its second answer counts: whether it leaves its input alone, and
    # whether earlier calls leave a trace, are properties of their own.
    def gradient(p: Any) -> Any:
        assert target.gradient is not None
        target.gradient(*_copies(p), x.copy(), y.copy())
        return _nested(target.gradient(*_copies(p), x.copy(), y.copy()), "gradient")

    def step(p: Any, learning_rate: float) -> Any:
        assert target.step is not None
        weights, biases = _copies(p)
        result = target.step(weights, biases, x.copy(), y.copy(), learning_rate)
        return _nested((weights, biases) if result is None else result, "step")

    def cost(p: Any) -> Any:
        return target.cost(*p.values(), x, y)

    params = dict(zip(("weights", "biases"), _copies(vars(problem)), strict=True))
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            if through == "step":
                return Trial(problem, through, check_step(cost, step, params))
            return Trial(problem, through, check_gradient(cost, gradient, params))
    except Exception as error:
        # what a check refuses is a TypeError or a ValueError; any other error of ours is a defect
        if _origin(error)[1].startswith(OURS) and not isinstance(error, (TypeError, ValueError)):
            raise
        return Trial(problem, through, error=error)


def _copies(parts: Mapping[str, Any]) -> list[list[Any]]:
    return [[array.copy() for array in parts[name]] for name in ("weights", "biases")]


def _nested(result: Any, name: str) -> dict[str, Any]:
    if not isinstance(result, (list, tuple)) or len(result) != 2:
        raise TypeError(
            f"{name} returned a {type(result).__name__}, wanted the pair (weights, biases), "
            "two lists of arrays"
        )
    return {"weights": list(result[0]), "biases": list(result[1])}


def _kinds(array: ArrayReport, names: Mapping[str, float], rtol: float) -> frozenset[str]:
    """Return in which ways an array is wrong, as far as it can tell; nothing if it is not."""
    if array.verdict is not Verdict.MISMATCH:
        return frozenset()
    g, n = array.claimed, array.numeric
    if not np.isfinite(g).all():
        return frozenset({"not finite"})
    if not g.any():
        return frozenset({"zero"})
    if ((array.verdicts == Verdict.MATCH) & (np.abs(n) > array.error)).any():
        return frozenset({"some entries"})
    # g = c n, with the c of least squares
    c = float((g * n).sum() / (n * n).sum()) if n.any() else math.inf
    with np.errstate(invalid="ignore"):
        off = np.abs(g - c * n) - abs(c) * array.error
    if not (off <= rtol * array.largest).all():
        return frozenset({UNEVEN})
    alike = frozenset(name for name, value in names.items() if abs(c - value) <= rtol * abs(value))
    return alike or frozenset({"a factor"})


def _origin(error: Exception | None) -> tuple[Any, str, int | None]:
    """Return the type of an error, and the file and the line that raised it."""
    frames = traceback.extract_tb(error.__traceback__) if error else []
    return type(error), frames[-1].filename if frames else "", frames[-1].lineno if frames else 0


def _alike(mine: frozenset[str], theirs: frozenset[str], single: bool) -> bool:
    """Whether two places are wrong in the same way; a single entry cannot show any unevenness."""
    if not mine or not theirs:
        return not mine and not theirs
    return bool(mine & theirs) or (single and UNEVEN in theirs)
