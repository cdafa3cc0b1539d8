"""The judgement of a gradient on random networks, and the failure if it is wrong."""

import math
import time
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from checks.conformance.suite.failure import (
    ConformanceError,
    TargetRaisesError,
    UnresolvedError,
    WrongDerivativeError,
    failure_text,
    repeated_failure_text,
    reproduction,
    seen,
    unresolved_text,
)
from checks.conformance.suite.smallest_failure import Networks, SearchResult, find_failure
from checks.conformance.suite.trial import Trial, digits_are_lost, is_clipped, try_out
from checks.conformance.targets.probe import described, probed
from checks.conformance.targets.target import Target
from checks.report.session import describe, record, unrecorded
from checks.report.verdict import Verdict
from checks.report.wording import LOST_DIGITS, plural
from checks.strategies import Problem

__all__ = ["verify", "verify_problem"]

# Each group of arrays has to be right, and not all zero, on at least this many networks. It may be
# all zero on others, because relus with z < 0 for every sample have a zero gradient.
MIN_CONFIRMING_NETWORKS = 3

# In these regimes most derivatives are too small for central differences, and a textbook's gradient
# loses most of its digits. So UNRESOLVED is excused. Elsewhere it is a failure.
HARD_REGIMES = {"saturated", "vanishing"}

# How the reason of a property begins that was not judged, or judged in part.
NOT_TAKEN, NOT_REACHED, PARTLY_OK = "not taken: ", "not reached: ", "ok: "

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
    target = probed(target)
    checked = function or _default_function(target)
    networks = _within(target, networks)
    deadline = _share(target)
    found = find_failure(
        networks,
        lambda problem: _recorded_trial(target, problem, checked, deadline),
        shrink=lambda first_wrong: _earlier_claim(target, first_wrong) is None,
        deadline=deadline,
    )
    _require_right(target, claim, found)
    finished = [trial for trial in found.trials if not trial.unfinished]
    ended_early = found.ended_early or len(finished) < len(found.trials)
    count = f"{plural(len(finished), 'network')} of up to {networks.examples} in the time"
    if not finished:
        pytest.skip(f"{NOT_REACHED}{count}")
    _require_confirmation(target, claim, networks, finished, count if ended_early else "")
    if ended_early:
        pytest.skip(f"{PARTLY_OK}{count}")


def verify_problem(target: Target, claim: str, problem: Problem) -> None:
    """Raise unless a target's gradient is right on one problem, as `verify` does."""
    __tracebackhide__ = True
    target = probed(target)
    trial = _recorded_trial(target, problem, _default_function(target), _share(target, 2))
    if trial.unfinished:
        last = trial.report.findings[-1] if trial.report is not None else "no entry was compared"
        pytest.skip(f"{NOT_REACHED}{last.removeprefix('Interrupted: ').rstrip('.')} in the time")
    _require_taken([trial])
    wrong = trial if trial.is_wrong else None
    _require_right(target, claim, SearchResult([trial], wrong, wrong))
    if not trial.report:
        raise UnresolvedError(unresolved_text(target, claim, trial, "the gradient"))


def _within(target: Target, networks: Networks) -> Networks:
    """Return those of the networks that a target takes; skip the test if it takes none."""
    __tracebackhide__ = True
    taken = networks.within(target.takes)
    if isinstance(taken, str):
        pytest.skip(f"{NOT_TAKEN}{taken}")
    return taken


def _require_taken(trials: list[Trial]) -> None:
    """Skip the test if the cost takes none of the networks that were tried."""
    __tracebackhide__ = True
    if all(trial.not_taken for trial in trials):
        pytest.skip(f"{NOT_TAKEN}{described(trials[-1].error)}")


def _default_function(target: Target) -> str:
    return "gradient" if target.gradient else "step"


def _share(target: Target, part: float = 3) -> float:
    """Return when a property has to end, so that time is left for others: after a third of it."""
    now = time.monotonic()
    return now + max(0.0, target.deadline - now) / part


def _recorded_trial(
    target: Target, problem: Problem, function: str, deadline: float = math.inf
) -> Trial:
    """Check one problem, and describe it to the session's record."""
    describe(
        sizes=problem.sizes,
        samples=len(problem.x),
        regime=problem.regime,
        seed=problem.seed,
        dtype=problem.x.dtype,
        reproduction=lambda: reproduction(target, Trial(problem, function)),
    )
    if problem.regime != "saturated":
        return try_out(target, problem, function, deadline)
    with unrecorded():
        trial = try_out(target, problem, function, deadline)
        if trial.is_wrong and trial.report is not None:
            excused = digits_are_lost(target, trial) or is_clipped(target, trial)
            trial = replace(trial, excused=excused)
    if trial.excused:
        return trial
    if trial.report is not None:
        record(trial.report)
    return trial


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
    first, short = found.first_wrong, seen(found.first_wrong)
    failure: type[ConformanceError] = ConformanceError  # the check refused the gradient
    if first.report is not None or first.raised_in:
        failure = TargetRaisesError if first.raised_in else WrongDerivativeError
    earlier_claim = _earlier_claim(target, found.first_wrong)
    if earlier_claim is not None:
        raise failure(repeated_failure_text(target, claim, found, earlier_claim), short)
    _shown_failures.append((target, claim, found.first_wrong))
    if found.smallest is not found.first_wrong:
        # checked once more, so that the last check in the record is the one that is shown
        _recorded_trial(target, found.smallest.problem, found.smallest.function)
    raise failure(failure_text(target, claim, found), short)


def _require_confirmation(
    target: Target, claim: str, networks: Networks, trials: list[Trial], ended_early: str
) -> None:
    """Raise unless each group of arrays was compared, and found right, on enough networks.

    If the time was over before, `ended_early` says how many were tried, and the test is skipped.
    """
    __tracebackhide__ = True
    _require_taken(trials)
    confirmed: Counter[tuple[str, str]] = Counter()
    for trial in trials:
        for group, arrays in trial.arrays().items():
            confirmed[group] += any(a.verdict is Verdict.MATCH and not a.all_zero for a in arrays)
    group, count = min(confirmed.items(), key=lambda item: item[1])
    if count < MIN_CONFIRMING_NETWORKS:
        if ended_early:
            pytest.skip(f"{NOT_REACHED}{ended_early}")
        unresolved = [trial for trial in trials if not trial.report]
        last = (unresolved or trials)[-1]
        text = unresolved_text(target, claim, last, " of the ".join(group[::-1]))
        if HARD_REGIMES & {*networks.regimes}:
            reports = [trial.report for trial in trials if trial.report is not None]
            findings = (finding for report in reports for finding in report.findings)
            lost = next((f" In one, {f}" for f in findings if f.startswith(LOST_DIGITS)), "")
            pytest.xfail(text.partition("\n\n")[0].replace("\n", " ") + lost)
        raise UnresolvedError(text)
