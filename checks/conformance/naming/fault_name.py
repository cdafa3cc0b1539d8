"""The name of a target's mistake: the fault of the catalogue that returns the same gradient."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from checks.conformance.naming.agreement import (
    NO_FAULT,
    TOLERANCE,
    compare,
    fault_gradient,
    relative_distance,
)
from checks.conformance.naming.combinations import last_layer
from checks.conformance.naming.evidence import Evidence, Match
from checks.conformance.naming.faults import FAULTS, PLUS, Fault, in_some_layers
from checks.conformance.naming.observations import Observation, find_textbook_cost
from checks.conformance.targets.known_costs import factor_names
from checks.conformance.targets.probe import probed
from checks.conformance.targets.takes import Form, Takes
from checks.conformance.targets.target import Target
from checks.diagnosis.diagnosis import diagnose
from checks.gradient import check_gradient
from checks.report.array_report import ArrayReport
from checks.report.report import Diagnosis
from checks.report.verdict import Rule, Verdict

__all__ = ["UNKNOWN", "name_fault"]

UNKNOWN = "unknown"  # the name of a mistake if only its condition is known


def name_fault(target: Target) -> tuple[Diagnosis, ...]:
    """Name the mistake of a target that is wrong.

    Parameters
    ----------
    target : Target
        With a gradient, a step, or both.

    Returns
    -------
    tuple of Diagnosis
        The fault of the catalogue that gives the target's gradient on all of a dozen networks;
        several faults if they give the same gradient on every network; both faults of a pair if
        only two together give it; otherwise what the structure of the errors shows on every
        network. Empty if nothing fits, or if the target is right.
    """
    given, target = target, probed(target)
    with np.errstate(all="ignore"):
        textbook_cost = find_textbook_cost(target)
        if not textbook_cost:
            # the probe may have found a form that fits the wrong gradient: try the usual one
            usual = replace(target.takes, form=Form(), labels="numbers", samples=Takes().samples)
            other = replace(given, takes=usual)
            textbook_cost = find_textbook_cost(other)
            target = other if textbook_cost else target
        for through in ("gradient", "step"):
            if textbook_cost and getattr(target, through) is not None:
                evidence = Evidence(target, textbook_cost, through)
                if evidence.wrong:
                    return _explain(evidence)
        return () if textbook_cost else _structure_of_unknown_cost(target)


def _structure_of_unknown_cost(target: Target) -> tuple[Diagnosis, ...]:
    """Return what the structure of the errors shows on a few networks, if it is always the same.

    The cost is none of the textbook's, so its derivative is estimated.
    """
    gradient = target.gradient
    if gradient is None or not target.takes.known:
        return ()
    found: list[tuple[Diagnosis, ...]] = []
    for number, (sizes, samples) in enumerate((((4, 3, 2), 5), ((3, 4, 3), 4), ((2, 4, 4, 3), 6))):
        problem = target.takes.example(sizes, samples, number)
        params = {"weights": problem.weights}
        if target.takes.biases:
            params["biases"] = problem.biases

        def cost(p: Any, problem: Any = problem) -> Any:
            return target.cost(p["weights"], p.get("biases", problem.biases), problem.x, problem.y)

        def claim(p: Any, problem: Any = problem) -> Any:
            biases = p.get("biases", problem.biases)
            return dict(zip(p, gradient(p["weights"], biases, problem.x, problem.y), strict=False))

        try:
            report = check_gradient(cost, claim, params, progress=False)
        except Exception:  # the target may raise anything; the suite reports it
            return ()
        if report.verdict is Verdict.MISMATCH:
            found.append(report.diagnosis)
    names = [{mistake.name for mistake in one} for one in found]
    if not names or not names[0] or any(other != names[0] for other in names):
        return ()
    return tuple(
        Diagnosis(m.name, f"On {len(found)} networks; on the first of them: {m.text}")
        for m in found[0]
    )


def _explain(evidence: Evidence) -> tuple[Diagnosis, ...]:
    """Try ever more complex kinds of explanations, and return the first kind that fits."""
    every_fault = list(FAULTS.values())
    if not evidence.observations[0].reads_biases:
        # whether a norm is taken with the biases' gradients, which are not returned, is unknown
        norm = FAULTS["clipped by norm"]
        steps = {**norm.steps, "bias_gradient": lambda _net, delta, _l: 0 * delta[0]}
        text = f"{norm.text} (The norm is that of the weights' gradients.)"
        every_fault.append(replace(norm, text=text, steps=steps))
    simple = [fault for fault in every_fault if not evidence.has_fitted_constant(fault)]
    for find_matches, faults in (
        (evidence.matching, simple),
        (evidence.matching, every_fault),
        (evidence.conditional, every_fault),
    ):
        matches = find_matches(faults)
        if matches:
            return tuple(_describe(evidence, match, matches) for match in matches)
    factor = _common_factor(evidence)
    if factor:
        return factor
    # with two layers, "in the last layer only" is "above the first layer only"
    of_layers = list(evidence.distinct(v for fault in simple for v in in_some_layers(fault)))
    matches = evidence.matching(of_layers)
    if matches:
        return tuple(_describe(evidence, match, matches) for match in matches)
    distinct = evidence.distinct(every_fault)
    equivalents = {fault.name: names for fault, names in distinct.items()}
    # faults that are equal alone may differ beside another
    wrong_names = {*equivalents, *(name for names in equivalents.values() for name in names)}
    wrong = [fault for fault in every_fault if fault.name in wrong_names]
    matches = evidence.combined(distinct) or evidence.combined([*wrong, *of_layers], most=2)
    if matches:
        return _describe_several(evidence, matches, equivalents)
    matches = evidence.in_the_last_layer(distinct)
    if matches:
        return _describe_last_layer(evidence, matches, equivalents)
    return _common_structure(evidence)


def _describe(evidence: Evidence, match: Match, matches: Sequence[Match]) -> Diagnosis:
    """Return the name of the mistake, and a text: what it is, and how this is known."""
    whose = "your gradient" if evidence.through == "gradient" else "what your step implies"
    total, wrong = len(evidence.observations), len(evidence.wrong)
    count = wrong if match.condition else total
    digits = f"{match.distance:.0e}" if match.distance else "the last bit"
    what = match.fault.text
    constant = match.constant
    if constant.startswith("λ = -"):
        what = what.replace("+ λ", "− λ")
        constant = constant.replace("-", "")
    text = f"{what} Reproduces {whose} to {digits} on {count} of {count} networks"
    if match.condition:
        text += f" {match.condition}; on the other {total - wrong} your gradient is right"
    elif wrong < total:
        text += f", on {total - wrong} of which it makes no difference"
    text += f"; {constant}." if constant else "."
    own = {*match.fault.name.split(PLUS)}
    others = [m.fault.name for m in matches if {*m.fault.name.split(PLUS)} != own]
    if others:
        text += f" These networks cannot tell it from: {'; '.join(others)}."
    activation, cost_name, *output = evidence.textbook_cost
    last = "".join(f" and a {name} last layer" for name in output if name)
    if last or (activation, cost_name) != (evidence.target.activation, evidence.target.cost_name):
        text += f" (Your cost is that of activation={activation!r}, cost_name={cost_name!r}{last}.)"
    return Diagnosis(match.fault.name, text)


def _describe_several(
    evidence: Evidence, matches: Sequence[Match], equivalents: Mapping[str, list[str]]
) -> tuple[Diagnosis, ...]:
    """Name all faults of every combination that matches.

    Parameters
    ----------
    evidence, matches
    equivalents
        By the name of a fault, the names of the faults that give the same gradient here.
    """
    texts: dict[str, str] = {}
    for match in matches:
        count = {2: "Two", 3: "Three"}[match.fault.name.count(PLUS) + 1]
        text = f"{count} mistakes together. {_describe(evidence, match, matches).text}"
        for name in match.fault.name.split(PLUS):
            names = equivalents.get(name, [])
            also = f" On these networks it is the same as: {'; '.join(names)}." if names else ""
            texts.setdefault(name, text + also)
    return tuple(Diagnosis(name, text) for name, text in texts.items())


def _describe_last_layer(
    evidence: Evidence, matches: Sequence[Match], equivalents: Mapping[str, list[str]]
) -> tuple[Diagnosis, ...]:
    """Name what explains the last layer, and what the structure of the others shows beside it."""
    names = list(dict.fromkeys(name for m in matches for name in m.fault.name.split(PLUS)))
    text = (
        f"In the last layer: {matches[0].fault.text} This gives your ∂C/∂w^L and ∂C/∂b^L on every "
        "network. The layers below have another mistake; look at it once this one is mended."
    )
    others = [match.fault.name for match in matches[1:]]
    others += [name for part in names for name in equivalents.get(part, [])]
    if others:
        text += f" In this layer these are the same: {'; '.join(dict.fromkeys(others))}."
    beside = _same_structure(evidence, matches[0].fault)
    return (
        *(Diagnosis(name, text) for name in names),
        *(Diagnosis(m.name, f"Beside this, of a gradient with it: {m.text}") for m in beside),
    )


def _common_factor(evidence: Evidence) -> tuple[Diagnosis, ...]:
    """Return the one of `factor_names` by which the whole gradient is wrong on every network."""
    names: list[str] = []
    for observation in evidence.observations:
        right = fault_gradient(evidence.textbook_cost, NO_FAULT, observation)
        fitting = [
            name
            for name, factor in factor_names(observation).items()
            if relative_distance(observation.claimed, [factor * g for g in right]) <= TOLERANCE
        ]
        is_first = observation is evidence.observations[0]
        names = fitting if is_first else [name for name in names if name in fitting]
    if not names:
        return ()
    total = len(evidence.observations)
    text = (
        f"Your gradient is {names[0]} × that of your cost, in every entry on {total} of {total} "
        "networks: compare what the cost divides by with what ① = ∂C/∂a^L divides by."
    )
    return (Diagnosis(f"factor {names[0]}", text),)


def _common_structure(evidence: Evidence) -> tuple[Diagnosis, ...]:
    """Return what the structure of the errors shows, if it is the same on all wrong networks.

    Otherwise return the condition under which the target is wrong, if there is one.
    """
    condition = f", only {evidence.conditions[0]}" if evidence.conditions else ""
    total, wrong = len(evidence.observations), len(evidence.wrong)
    structure = _same_structure(evidence, NO_FAULT)
    if structure:
        where = f"{wrong} of {total} networks{condition}"
        return tuple(
            Diagnosis(m.name, f"On {where}; on the first of them: {m.text}") for m in structure
        )
    if condition:
        text = f"Right on {total - wrong} networks and wrong on others{condition}"
        return (Diagnosis(UNKNOWN, f"{text}: look at what your code does differently there."),)
    return ()


def _same_structure(evidence: Evidence, fault: Fault) -> tuple[Diagnosis, ...]:
    """Return how claims differ from the gradient of a fault, if it is the same on all networks."""
    first, *others = (_diagnose(evidence, o, fault) for o in evidence.wrong)
    names = {mistake.name for mistake in first}
    is_same = all({mistake.name for mistake in other} == names for other in others)
    return first if is_same else ()


def _diagnose(evidence: Evidence, observation: Observation, fault: Fault) -> tuple[Diagnosis, ...]:
    """Return how the claim on one network differs from the gradient of a fault."""
    arrays_by_name = {"weights": observation.weights}
    if observation.reads_biases:
        arrays_by_name["biases"] = observation.biases
    values = {
        f"{name}[{layer}]": array
        for name, arrays in arrays_by_name.items()
        for layer, array in enumerate(arrays)
    }
    paths = list(values)
    reports: dict[str, Any] = {}
    book, through = evidence.textbook_cost, evidence.through
    _, constant = compare(book, through, fault, observation, last_layer(observation), quick=True)
    right = fault_gradient(book, fault, observation, constant)
    for path, claimed, numeric in zip(paths, observation.claimed, right, strict=True):
        if claimed.size != numeric.size:
            return ()
        claim, error = claimed.reshape(numeric.shape), np.abs(numeric) * TOLERANCE / 100
        rule = Rule(TOLERANCE, scale="array")
        reports[path] = ArrayReport.judged(path, claim, numeric, error, rule)
    return diagnose(reports, values)
