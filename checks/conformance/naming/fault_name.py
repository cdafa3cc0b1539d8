"""The name of a target's mistake: the fault of the catalogue that returns the same gradient."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any, cast

import numpy as np

from checks.conformance.naming.agreement import RIGHT, SAME, apart, predict
from checks.conformance.naming.evidence import Evidence, Match
from checks.conformance.naming.faults import FAULTS, PLUS, Fault, together
from checks.conformance.naming.observations import Observation, rows_of
from checks.conformance.targets.known_costs import factor_names
from checks.conformance.targets.target import Target
from checks.diagnosis.diagnosis import diagnose
from checks.report.array_report import ArrayReport
from checks.report.report import Diagnosis
from checks.report.verdict import judge

__all__ = ["UNKNOWN", "name_fault"]

UNKNOWN = "unknown"  # the name where there is only a condition to tell


def name_fault(target: Target) -> tuple[Diagnosis, ...]:
    """Name the mistake of a target that is wrong.

    Parameters
    ----------
    target : Target
        With a gradient, a step, or both.

    Returns
    -------
    tuple of Diagnosis
        The fault of the catalogue that returns the target's gradient on all of a dozen networks;
        several where nothing tells them apart; the two of a pair that does it together; else what
        the structure of the errors shows on every network. Empty if nothing fits, or all is right.
    """
    with np.errstate(all="ignore"):
        rows = rows_of(target)
        for through in ("gradient", "step"):
            if rows and getattr(target, through) is not None:
                evidence = Evidence(target, rows, through)
                if evidence.wrong:
                    return _answer(evidence)
    return ()


def _answer(evidence: Evidence) -> tuple[Diagnosis, ...]:
    """Return the plainest kind of explanation that there is."""
    faults = list(FAULTS.values())
    plain = [fault for fault in faults if not evidence.free(fault)]
    for explain, some in (
        (evidence.matching, plain),
        (evidence.matching, faults),
        (evidence.conditional, faults),
    ):
        matches = explain(some)
        if matches:
            return tuple(_worded(evidence, match, matches) for match in matches)
    distinct = evidence.distinct(plain)
    matches = evidence.matching(_pairs(list(distinct)))
    if matches:
        return _both(evidence, matches, {fault.name: names for fault, names in distinct.items()})
    return _factor(evidence) or _structure(evidence)


def _pairs(faults: Sequence[Fault]) -> Iterator[Fault]:
    for one, other in combinations(faults, 2):
        pair = together(one, other)
        if pair:
            yield pair


def _worded(evidence: Evidence, match: Match, matches: Sequence[Match]) -> Diagnosis:
    """Say what the mistake is, and how it is known."""
    whose = "your gradient" if evidence.through == "gradient" else "what your step implies"
    total, wrong = len(evidence.seen), len(evidence.wrong)
    count = wrong if match.condition else total
    digits = f"{match.off:.0e}" if match.off else "the last bit"
    text = f"{match.fault.text} Reproduces {whose} to {digits} on {count} of {count} networks"
    if match.condition:
        text += f" {match.condition}; on the other {total - wrong} your gradient is right"
    elif wrong < total:
        text += f", on {total - wrong} of which it makes no difference"
    text += f"; {match.constant}." if match.constant else "."
    others = [other.fault.name for other in matches if other is not match]
    if others:
        text += f" On no network does it differ from: {'; '.join(others)}."
    activation, cost, linear = evidence.rows
    if evidence.rows != (evidence.target.activation, evidence.target.cost_name, False):
        last = " and a linear last layer" if linear else ""
        text += f" (Your cost is that of activation={activation!r}, cost_name={cost!r}{last}.)"
    return Diagnosis(match.fault.name, text)


def _both(
    evidence: Evidence, matches: Sequence[Match], alike: Mapping[str, list[str]]
) -> tuple[Diagnosis, ...]:
    """Name the two faults of a pair; of several pairs that nothing tells apart, all."""
    named: dict[str, str] = {}
    for match in matches:
        text = f"Two mistakes together. {_worded(evidence, match, matches).text}"
        for name in match.fault.name.split(PLUS):
            also = f" The same here: {'; '.join(alike[name])}." if alike[name] else ""
            named.setdefault(name, text + also)
    return tuple(Diagnosis(*pair) for pair in named.items())


def _factor(evidence: Evidence) -> tuple[Diagnosis, ...]:
    """Return the product of 2, B and n_L by which the whole gradient is off."""
    names: list[str] = []
    for seen in evidence.seen:
        right, network = predict(evidence.rows, RIGHT, seen), cast(Any, seen)
        fitting = [
            name
            for name, factor in factor_names(network).items()
            if apart(seen.claimed, [factor * g for g in right]) <= SAME
        ]
        names = fitting if seen is evidence.seen[0] else [n for n in names if n in fitting]
    if not names:
        return ()
    text = (
        f"Your gradient is {names[0]} × that of your cost, in every entry on {len(evidence.seen)} "
        f"of {len(evidence.seen)} networks: look at what ① divides by, and at what the cost does."
    )
    return (Diagnosis(f"factor {names[0]}", text),)


def _structure(evidence: Evidence) -> tuple[Diagnosis, ...]:
    """Return what the structure of the errors shows on every network where there are any."""
    only = f", only {evidence.conditions[0]}" if evidence.conditions else ""
    first = _diagnosed(evidence, evidence.wrong[0])
    names = {mistake.name for mistake in first}
    if names and all(
        {mistake.name for mistake in _diagnosed(evidence, seen)} == names
        for seen in evidence.wrong[1:]
    ):
        where = f"{len(evidence.wrong)} of {len(evidence.seen)} networks{only}"
        return tuple(Diagnosis(m.name, f"On {where}; of the first: {m.text}") for m in first)
    if only:
        text = f"Right on {len(evidence.seen) - len(evidence.wrong)} networks and wrong on others"
        return (Diagnosis(UNKNOWN, f"{text}{only}: look at what is special there."),)
    return ()


def _diagnosed(evidence: Evidence, seen: Observation) -> tuple[Diagnosis, ...]:
    layers = range(len(seen.weights))
    paths = [f"{what}[{layer}]" for what in ("weights", "biases") for layer in layers]
    values = dict(zip(paths, [*seen.weights, *seen.biases], strict=True))
    arrays: dict[str, Any] = {}
    right = predict(evidence.rows, RIGHT, seen)
    for path, claimed, numeric in zip(paths, seen.claimed, right, strict=True):
        if claimed.size != numeric.size:
            return ()
        claim, error = claimed.reshape(numeric.shape), np.abs(numeric) * SAME / 100
        verdicts = judge(claim, numeric, error, SAME, resolution=1e-3)
        arrays[path] = ArrayReport(path, claim, numeric, error, verdicts, np.zeros_like(error))
    return diagnose(arrays, values, SAME)
