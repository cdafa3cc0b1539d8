"""The judgement of a gradient on random networks, and the failure if it is wrong."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from checks.conformance.naming.observations import has_softmax
from checks.conformance.suite.failure import (
    ConformanceError,
    failure_text,
    repeated_failure_text,
    reproduction,
    unresolved_text,
)
from checks.conformance.suite.smallest_failure import Networks, SearchResult, find_failure
from checks.conformance.suite.trial import Trial, try_out
from checks.conformance.targets.target import Target
from checks.report.session import describe
from checks.report.verdict import Verdict
from checks.report.wording import LOST_DIGITS
from checks.strategies import Problem

__all__ = ["verify", "verify_problem"]

# Each group of arrays has to be right, and not all zero, on at least this many networks. It may be
# all zero on others, because relus with z < 0 for every sample have a zero gradient.
MIN_CONFIRMING_NETWORKS = 3

# In these regimes most derivatives are too small for central differences, and a textbook's gradient
# loses most of its digits. So UNRESOLVED is excused. Elsewhere it is a failure.
HARD_REGIMES = {"saturated", "vanishing"}

# The failures of this process that were shown in full: target, claim and first wrong trial.
_shown_failures: list[tuple[Any, str, Trial]] = []


def verify(target: Target, claim: str, networks: Networks, function: str | None = None) -> None:
    """Raise unless a target's gradient is right on random networks.

    Parameters
    ----------
    target : Target
    claim : str
        The property as a sentence, without its full stop.
    networks
        What to draw.
    function : {"gradient", "step"}, optional
        Which function is checked; by default the gradient, or the step if there is no gradient.

    Raises
    ------
    ConformanceError
        It is wrong, or too little could be compared to say that it is right.
    """
    __tracebackhide__ = True
    checked = function or _default_function(target)
    networks = replace(networks, y_sums_to_1=has_softmax(target))
    found = find_failure(
        networks,
        lambda problem: _recorded_trial(target, problem, checked),
        shrink=lambda first_wrong: _earlier_claim(target, first_wrong) is None,
    )
    _require_right(target, claim, found)
    _require_confirmation(target, claim, networks, found.trials)


def verify_problem(target: Target, claim: str, problem: Problem) -> None:
    """Raise unless a target's gradient is right on one problem, as `verify` does."""
    __tracebackhide__ = True
    trial = _recorded_trial(target, problem, _default_function(target))
    wrong = trial if trial.is_wrong else None
    _require_right(target, claim, SearchResult([trial], wrong, wrong))
    if not trial.report:
        raise ConformanceError(unresolved_text(target, claim, trial, "the gradient"))


def _default_function(target: Target) -> str:
    return "gradient" if target.gradient else "step"


def _recorded_trial(target: Target, problem: Problem, function: str) -> Trial:
    """Check one problem, and describe it to the session's record."""
    describe(
        sizes=problem.sizes,
        samples=len(problem.x),
        regime=problem.regime,
        seed=problem.seed,
        dtype=problem.x.dtype,
        reproduction=lambda: reproduction(target, Trial(problem, function)),
    )
    return try_out(target, problem, function)


def _earlier_claim(target: Target, trial: Trial) -> str | None:
    """Return the claim whose failure has shown the same mistake in full, if there is one."""
    for other, claim, first_wrong in _shown_failures:
        if other is target and trial.shows_the_mistake_of(first_wrong):
            return claim
    return None


def _require_right(target: Target, claim: str, found: SearchResult) -> None:
    __tracebackhide__ = True
    if found.first_wrong is None or found.smallest is None:
        return
    earlier_claim = _earlier_claim(target, found.first_wrong)
    if earlier_claim is not None:
        raise ConformanceError(repeated_failure_text(target, claim, found, earlier_claim))
    _shown_failures.append((target, claim, found.first_wrong))
    if found.smallest is not found.first_wrong:
        # checked once more, so that the last check in the record is the one that is shown
        _recorded_trial(target, found.smallest.problem, found.smallest.function)
    raise ConformanceError(failure_text(target, claim, found))


def _require_confirmation(
    target: Target, claim: str, networks: Networks, trials: list[Trial]
) -> None:
    """Raise unless each group of arrays was compared, and found right, on enough networks."""
    __tracebackhide__ = True
    confirmed: Counter[tuple[str, str]] = Counter()
    for trial in trials:
        for group, arrays in trial.arrays().items():
            confirmed[group] += any(a.verdict is Verdict.MATCH and not a.all_zero for a in arrays)
    if networks.widths[1] == 1 and not confirmed.total():
        pytest.skip("not applicable: with a single output the cost is constant, nothing to compare")
    group, count = min(confirmed.items(), key=lambda item: item[1])
    if count < MIN_CONFIRMING_NETWORKS:
        unresolved = [trial for trial in trials if not trial.report]
        last = (unresolved or trials)[-1]
        text = unresolved_text(target, claim, last, " of the ".join(group[::-1]))
        if HARD_REGIMES & {*networks.regimes}:
            reports = [trial.report for trial in trials if trial.report is not None]
            findings = (finding for report in reports for finding in report.findings)
            lost = next((f" In one, {f}" for f in findings if f.startswith(LOST_DIGITS)), "")
            pytest.xfail(text.partition("\n\n")[0].replace("\n", " ") + lost)
        raise ConformanceError(text)
