"""The text of a failure: where the target is wrong, by how much, and how to reproduce it."""

import textwrap
import traceback
from dataclasses import replace
from typing import Any

import numpy as np

from checks.conformance.naming.fault_name import UNKNOWN, name_fault
from checks.conformance.suite.digits import load_digits
from checks.conformance.suite.smallest_failure import SearchResult
from checks.conformance.suite.trial import Trial, try_out
from checks.conformance.targets.known_costs import known_cost
from checks.conformance.targets.log_constant import find_log_constant
from checks.conformance.targets.takes import Takes
from checks.conformance.targets.target import Target
from checks.gradient import check_gradient
from checks.report.session import unrecorded
from checks.report.verdict import Verdict
from checks.report.wording import COLUMNS, plural
from checks.strategies import Problem

__all__ = [
    "ConformanceError",
    "TargetRaisesError",
    "UnresolvedError",
    "WrongDerivativeError",
    "digits_problem",
    "failure_text",
    "repeated_failure_text",
    "reproduction",
    "script",
    "seen",
    "unresolved_text",
]

# A formula with a wrong or missing term is off by more than this share of the largest entry.
SMALL_DISCREPANCY = 1e-4


class ConformanceError(AssertionError):
    """The target lacks a property that the suite tests.

    Attributes
    ----------
    outcome : str
        One word: WRONG, or that of a subclass.
    rank : int
        The failure of the least rank tells most.
    short : str
        What was seen, in a line.
    """

    outcome = "WRONG"
    rank = 1

    def __init__(self, text: str, short: str = "") -> None:
        super().__init__(text)
        self.short = short or " ".join(text.splitlines()[:2][-1:])


class WrongDerivativeError(ConformanceError):
    """The gradient, or the step, is not the derivative of the cost."""

    rank = 0


class TargetRaisesError(ConformanceError):
    """The target raises on a network that its cost takes: nothing is known of its derivative."""

    outcome = "raises"
    rank = 2


class UnresolvedError(ConformanceError):
    """Too little could be compared to say whether the target is right."""

    outcome = "UNRESOLVED"
    rank = 3


def failure_text(target: Target, claim: str, found: SearchResult) -> str:
    """Return the text for a property that fails on some network."""
    first, trial = found.first_wrong, found.smallest
    assert first is not None
    assert trial is not None
    lines = [f"{target.name} fails: {claim}."]
    lines.append(f"Smallest network that shows it: {_network(target, trial.problem)}.")
    if trial is not first:
        lines.append(
            f"Seen first with sizes {first.problem.sizes}, {_samples(first.problem)}, on "
            f"network {len(found.trials)} of those tried."
        )
    lines = [_filled(line) for line in lines] + ["", _what_happened(trial), ""]
    lines += [_filled(f"To try: {_advice(target, first)}{_right_elsewhere(target, first)}"), ""]
    lines += ["To see it again, paste this into Python:", "", reproduction(target, trial)]
    return "\n".join(lines)


def repeated_failure_text(
    target: Target, claim: str, found: SearchResult, earlier_claim: str
) -> str:
    """Return the short text for a mistake that another property has already shown in full."""
    trial = found.first_wrong
    assert trial is not None
    what = seen(trial)
    return "\n".join(
        _filled(line)
        for line in (
            f"{target.name} fails: {claim}.",
            f"{what}. Network: {_network(target, trial.problem)}.",
            f"It looks like the mistake that is shown in full for: {earlier_claim}.",
        )
    )


def unresolved_text(target: Target, claim: str, trial: Trial, place: str) -> str:
    """Return the text for a property that was compared on too few networks."""
    lines = [
        f"{target.name} is UNRESOLVED: {claim}.",
        f"No claim was found wrong, but {place} could be compared on too few networks to say more. "
        f"The last of them: {_network(target, trial.problem)}.",
    ]
    return "\n".join([*map(_filled, lines), "", str(trial.report)])


def reproduction(target: Target, trial: Trial) -> str:
    """Return a script that repeats a trial without Hypothesis and pytest.

    The script has no indented block and no blank line, so that it can be pasted at a prompt.
    """
    reads_biases = target.takes.biases
    given = "*p.values(), x, y" if reads_biases else "*p.values(), biases, x, y"
    params = '"weights": weights' + ', "biases": biases' * reads_biases
    if trial.function == "step":
        check, parameters = "check_step", "p, rate"
        # a step that updates in place returns None
        result = f"target.step({given}, rate) or p.values()"
    else:
        check, parameters, result = "check_gradient", "p", f"target.gradient({given})"
    return script(
        target,
        trial.problem,
        f"print({check}(",
        f"    lambda p: target.cost({given}),",
        f"    lambda {parameters}: dict(zip(p, {result})),",
        f"    {{{params}}},",
        "))",
        imports=f"from checks import {check}",
    )


def script(target: Target, problem: Problem, *lines: str, imports: str = "") -> str:
    """Return a script that loads a target, sets weights, biases, x and y, and runs `lines`."""
    head = ["import numpy as np", *filter(None, [imports]), *_target_lines(target)]
    return "\n".join([*head, *_problem_lines(problem), *target.takes.form.lines(), *lines])


def digits_problem(takes: Takes | None = None, samples: int = 10) -> Problem:
    """Return a network like 64-30-10, drawn with seed 0, and the first of the handwritten digits.

    With one output, y says whether a digit is above 4.
    """
    takes = takes or Takes()
    sizes = takes.nearest((64, 30, 10))
    samples = min(samples, takes.samples[1])
    random = Problem.generate(sizes, seed=0)
    x, y, labels = (rows[:samples] for rows in load_digits())
    if sizes[-1] == 1:
        y = (labels[:, None] > 4).astype(float)
    if takes.labels == "±1":
        y = 2 * y - 1
    return Problem(sizes, random.weights, random.biases, x, y, "digits", 0)


def _problem_lines(problem: Problem) -> list[str]:
    if problem.regime == "digits":
        return [
            "from checks.conformance.suite.digits import load_digits",
            "from checks.strategies import Problem",
            f"problem = Problem.generate({problem.sizes}, seed={problem.seed})",
            "weights, biases = problem.weights, problem.biases",
            f"x, y, labels = (rows[:{len(problem.x)}] for rows in load_digits())",
            *(["y = (labels[:, None] > 4).astype(float)"] if problem.sizes[-1] == 1 else []),
            *(["y = 2 * y - 1"] if problem.y.min() < 0 else []),
        ]
    assignments = ("weights = ", "biases = ", "x = ", "y = ")
    lines = problem.snippet().splitlines()
    return [_filled(line, "    ") for line in lines if line.startswith(assignments)]


def _target_lines(target: Target) -> list[str]:
    """Return the lines that load a target by its name."""
    name = target.name
    if name.startswith("the reference's "):
        arguments = (name.removeprefix("the reference's "), target.activation, target.cost_name)
        return [
            "from checks.conformance.targets import reference_target",
            f"target = reference_target{arguments}",
        ]
    module, _, attributes = name.partition(":")
    if name.partition(".py:")[0].endswith(".py") or "/" in name or "\\" in name:
        return [
            "from checks.conformance.targets import load_target",
            f"target = load_target({name!r})",
        ]
    lines = [f"import {module} as target"]
    return [*lines, f"target = target.{attributes}"] if attributes else lines


def seen(trial: Trial) -> str:
    """Return what is wrong in a trial, in a line."""
    return f"{trial.report.worst}" if trial.report is not None else _error(trial)


def _what_happened(trial: Trial) -> str:
    return _filled(_error(trial)) if trial.report is None else str(trial.report)


def _error(trial: Trial) -> str:
    if not trial.raised_in:
        return f"Refused: {trial.error}"
    frames = traceback.extract_tb(trial.error.__traceback__) if trial.error else []
    where = f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""
    return f"{type(trial.error).__name__} from {trial.raised_in}: {trial.error}{where}"


def _advice(target: Target, trial: Trial) -> str:
    """Return where to look: the name of the mistake, or else what the right arrays rule out.

    ∂C/∂b^l is the sum of δ^l, so δ^l is right where ∂C/∂b^l is. δ^L is computed first.
    """
    if trial.report is None and not target.takes.known:
        return (
            "the cost takes none of the networks that the suite draws: weights of (n_l, n_{l−1}) "
            "or (n_{l−1}, n_l), one to seven layers, x of one sample per row, per column, or of "
            "one sample. If it needs certain sizes, say so in the target: "
            'takes = {"sizes": (2, 3, 1)}.'
        )
    if trial.report is None and not trial.raised_in:
        return (
            "return the pair (weights, biases), two lists with an array for each parameter, of its "
            "shape."
        )
    if trial.report is None:
        return "the lines below, which show the whole traceback."
    error_kinds = trial.error_kinds()
    wrong = {group for group, kinds in error_kinds.items() if kinds}
    if any("not finite" in kinds for kinds in error_kinds.values()):
        return (
            "the gradient is nan or infinite: look for an exponential that overflows, a division "
            "by 0 or a log of 0."
        )
    log_constant = _log_constant(target, trial)
    if log_constant:
        return log_constant
    faults = name_fault(target)
    if any(fault.name != UNKNOWN for fault in faults):
        return "; or ".join(f"it looks like {fault.name!r}. {fault.text}" for fault in faults)
    # the text of an unknown mistake is the condition under which it happens; add where
    condition = "".join(f"{fault.text} Then: " for fault in faults)
    return condition + _place(target, trial, wrong)


def _place(target: Target, trial: Trial, wrong: set[tuple[str, str]]) -> str:
    """Return where to look for a mistake without a name, by what the right arrays rule out."""
    assert trial.report is not None
    if trial.report.discrepancy < SMALL_DISCREPANCY:
        return (
            "something small: the worst entry is off by only "
            f"{trial.report.discrepancy:.0e} of its size. Look for a lower precision "
            "inside, a small constant as in log(a + 1e-9), or a penalty in only one of cost and "
            "gradient."
        )
    if not target.takes.biases:
        return (
            "∂C/∂w^L first: it needs only ① ⊙ σ'(z^L) and a^{L−1}. If it is right, look at how δ "
            "is passed down."
        )
    if {what for _, what in wrong} == {"biases"}:
        return (
            "∂C/∂b^l, which is δ^l summed over the samples (axis 0). δ^l is right, because the "
            "weights' gradient is."
        )
    if {what for _, what in wrong} == {"weights"}:
        return (
            "∂C/∂w^l = δ^l a^{l−1}ᵀ: which activations it uses, and in which order; or a penalty "
            "in only one of cost and gradient. δ^l is right, because the biases' gradient is."
        )
    if {layer for layer, _ in wrong} == {"layers below"}:
        return (
            "how δ is passed down, δ^l = (w^{l+1}ᵀ δ^{l+1}) ⊙ σ'(z^l). δ^L is right, because the "
            "last layer's gradient is."
        )
    return (
        "the last layer first: ∂C/∂b^L is δ^L = ① ⊙ σ'(z^L), summed over the samples, where ① is "
        "the derivative of this cost. An error in it reaches all layers below."
    )


def _log_constant(target: Target, trial: Trial) -> str:
    """Return that the cost has a constant inside a log which the gradient lacks, if it is so."""
    try:
        with np.errstate(all="ignore"):
            found = find_log_constant(target)
    except Exception:  # the target may raise anything
        return ""
    if found is None or target.gradient is None or trial.report is None:
        return ""
    known, factor, constant = found
    problem = target.takes.example((3, 4, 5), 3, 3)
    differentiate = target.gradient

    def cost(p: Any) -> float:
        return factor * known.cost(replace(problem, **p))

    def gradient(p: Any) -> Any:
        result = differentiate(*p.values(), problem.x, problem.y)
        return dict(zip(p, result, strict=True))

    params = {"weights": problem.weights, "biases": problem.biases}
    with unrecorded(), np.errstate(all="ignore"):
        if check_gradient(cost, gradient, params, rtol=target.rtol).verdict is Verdict.MISMATCH:
            return ""
    return (
        f"the constant inside the log: the cost takes the log of p + {constant:.3g}, the gradient "
        "is that of the log of p. Leave it out of the cost (a softmax whose largest logit is "
        "subtracted first needs none), or put it into the gradient: y / p becomes y / (p + ε)."
    )


def _right_elsewhere(target: Target, trial: Trial) -> str:
    """Return that a target is right with one output, if it is wrong only with several."""
    least, most = target.takes.outputs
    if trial.report is None or not least == 1 < most:
        return ""
    alone = replace(target, takes=replace(target.takes, outputs=(1, 1)))
    with unrecorded():
        for number in range(3):
            problem = alone.takes.example((3, 4, 1), 3, number)
            again = try_out(alone, problem, trial.function)
            if again.report is None or again.report.verdict is not Verdict.MATCH:
                return ""
    return (
        " With one output it is right: if it is meant for one output alone, say so in the target: "
        'takes = {"outputs": 1}.'
    )


def _network(target: Target, problem: Problem) -> str:
    row = known_cost(target)
    named = f"{target.activation}, {target.cost_name}"
    if row and (row.activation, row.cost_name, row.output) != (*named.split(", "), ""):
        named = f"{row}"  # the cost is no multiple of the named one
    elif not row and named == "logistic, mean_squared":
        named = "a cost of its own"  # these are the names of a target that declares none
    kind = f"{problem.regime}, {problem.x.dtype.name}, {named}"
    return f"sizes {problem.sizes}, {_samples(problem)}, {kind}"


def _samples(problem: Problem) -> str:
    return plural(len(problem.x), "sample")


def _filled(line: str, indent: str = "") -> str:
    return textwrap.fill(
        line,
        COLUMNS,
        subsequent_indent=indent,
        break_on_hyphens=False,
        break_long_words=False,
    )
