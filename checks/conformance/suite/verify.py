"""Properties of a gradient on random networks: verified, or told in full where they fail."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from checks.conformance.naming.observations import has_softmax
from checks.conformance.suite.failure import (
    ConformanceError,
    failure_text,
    reproduction,
    rounding_text,
    said_before,
    unresolved_text,
)
from checks.conformance.suite.lost_digits import lost_digits
from checks.conformance.suite.smallest_failure import Found, Networks, search
from checks.conformance.suite.trial import Trial, try_out
from checks.conformance.targets.target import Target
from checks.report.session import describe
from checks.report.verdict import Verdict
from checks.strategies import Problem

__all__ = ["verify", "verify_problem"]

# On how many networks each kind of array has to be found right: of relus, many are dead.
WITNESSES = 3

# Derivatives so small that central differences see few of them: that takes a cost which accepts
# complex numbers. Elsewhere an estimate that is too blurred to say is a failure.
HARD = {"saturated", "vanishing"}

# What was told in full in this process: its target, claim and first wrong network.
_told: list[tuple[Any, str, Trial]] = []


def verify(target: Target, claim: str, networks: Networks, through: str | None = None) -> None:
    """Raise unless a target's gradient is right on random networks.

    Parameters
    ----------
    target : Target
    claim : str
        The property as a sentence, without its full stop.
    networks
        What to draw.
    through : {"gradient", "step"}, optional
        Which function is checked; default: the gradient where there is one.

    Raises
    ------
    ConformanceError
        It is wrong, or too little could be compared to say that it is right.
    """
    __tracebackhide__ = True
    way = through or _way(target)
    networks = replace(networks, shares=has_softmax(target))
    found = search(
        networks,
        lambda problem: _attempt(target, problem, way),
        shrink=lambda original: _earlier(target, original) is None,
    )
    _require_right(target, claim, found)
    _require_witnesses(target, claim, networks, found.trials)


def verify_problem(target: Target, claim: str, problem: Problem) -> None:
    """Raise unless a target's gradient is right on one problem, as `verify` does."""
    __tracebackhide__ = True
    trial = _attempt(target, problem, _way(target))
    wrong = trial if trial.is_wrong else None
    _require_right(target, claim, Found([trial], wrong, wrong))
    if not trial.report:
        raise ConformanceError(unresolved_text(target, claim, trial, "the gradient"))


def _way(target: Target) -> str:
    return "gradient" if target.gradient else "step"


def _attempt(target: Target, problem: Problem, way: str) -> Trial:
    """Try a problem, with the session listening."""
    describe(
        sizes=problem.sizes,
        samples=len(problem.x),
        regime=problem.regime,
        seed=problem.seed,
        dtype=problem.x.dtype,
        reproduction=lambda: reproduction(target, Trial(problem, way)),
    )
    trial = try_out(target, problem, way)
    return replace(trial, rounding=lost_digits(target, trial)) if trial.is_wrong else trial


def _earlier(target: Target, trial: Trial) -> str | None:
    """Return the claim with which this mistake was told in full, if it was."""
    for other, claim, original in _told:
        if other is target and trial.shows_the_mistake_of(original):
            return claim
    return None


def _require_right(target: Target, claim: str, found: Found) -> None:
    __tracebackhide__ = True
    if found.original is None or found.smallest is None:
        return
    earlier = _earlier(target, found.original)
    if earlier is not None:
        raise ConformanceError(said_before(target, claim, found, earlier))
    _told.append((target, claim, found.original))
    if found.smallest is not found.original:
        _attempt(target, found.smallest.problem, found.smallest.through)  # the last to be recorded
    raise ConformanceError(failure_text(target, claim, found))


def _require_witnesses(target: Target, claim: str, networks: Networks, trials: list[Trial]) -> None:
    """Raise unless each kind of array was compared, and found right, on some networks."""
    __tracebackhide__ = True
    rounded = [trial for trial in trials if trial.rounding]
    if rounded:
        pytest.xfail(rounding_text(target, rounded[0]))
    right: Counter[tuple[str, str]] = Counter()
    for trial in trials:
        for place, arrays in trial.arrays().items():
            right[place] += any(a.verdict is Verdict.MATCH and not a.all_zero for a in arrays)
    if networks.widths[1] == 1 and not right.total():
        pytest.skip("not applicable: with a single output the cost is constant, nothing to compare")
    place, count = min(right.items(), key=lambda item: item[1])
    if count < WITNESSES:
        blurred = [trial for trial in trials if not trial.report]
        last = (blurred or trials)[-1]
        text = unresolved_text(target, claim, last, " of the ".join(place[::-1]))
        if HARD & {*networks.regimes}:
            pytest.xfail(text.partition("\n\n")[0].replace("\n", " "))
        raise ConformanceError(text)
