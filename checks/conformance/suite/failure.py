"""What a person is told of a target that is wrong: where, by how much, and how to see it again."""

import textwrap
import traceback

from checks.conformance.naming.fault_name import UNKNOWN, name_fault
from checks.conformance.suite.digits import load_digits
from checks.conformance.suite.smallest_failure import Found, unrecorded
from checks.conformance.suite.trial import Trial, try_out
from checks.conformance.targets.known_costs import known_cost, with_shares
from checks.conformance.targets.layouts import layout_hint
from checks.conformance.targets.target import Target
from checks.report.verdict import Verdict
from checks.report.wording import COLUMNS, plural
from checks.strategies import Problem

__all__ = [
    "ConformanceError",
    "digits_problem",
    "failure_text",
    "reproduction",
    "rounding_text",
    "said_before",
    "script",
    "unresolved_text",
]

SMALL = 1e-4  # of an array's largest entry: no formula with a term wrong or missing comes so close


class ConformanceError(AssertionError):
    """A property does not hold; the text says everything."""


def failure_text(target: Target, claim: str, found: Found) -> str:
    """Return the text for a property that fails on a network."""
    original, trial = found.original, found.smallest
    assert original is not None
    assert trial is not None
    lines = [f"{target.name} fails: {claim}."]
    lines.append(f"Smallest network that shows it: {_network(target, trial.problem)}.")
    if trial is not original:
        lines.append(
            f"Seen first with sizes {original.problem.sizes}, {_samples(original.problem)}, on "
            f"network {len(found.trials)} of those tried."
        )
    lines = [_filled(line) for line in lines] + ["", _what_happened(trial), ""]
    lines += [_filled(f"To try: {_advice(target, original)}"), ""]
    lines += ["To see it again, paste this into Python:", "", reproduction(target, trial)]
    return "\n".join(lines)


def said_before(target: Target, claim: str, found: Found, earlier: str) -> str:
    """Return the text for a property that fails by a mistake which was told in full before."""
    trial = found.original
    assert trial is not None
    what = f"{trial.report.worst}" if trial.report is not None else _error(trial)
    return "\n".join(
        _filled(line)
        for line in (
            f"{target.name} fails: {claim}.",
            f"{what}. Network: {_network(target, trial.problem)}.",
            f"It looks like the mistake that is shown in full for: {earlier}.",
        )
    )


def unresolved_text(target: Target, claim: str, trial: Trial, place: str) -> str:
    """Return the text for a property of which too little could be compared."""
    lines = [
        f"{target.name} is UNRESOLVED: {claim}.",
        f"No claim was found wrong, but {place} could be compared on too few networks to say more. "
        f"The last of them: {_network(target, trial.problem)}.",
    ]
    return "\n".join([*map(_filled, lines), "", str(trial.report)])


def rounding_text(target: Target, trial: Trial) -> str:
    """Return what is said of a mismatch where σ' is computed from the rounded a."""
    assert trial.report is not None
    return f"{trial.rounding} {trial.report.worst} ({_network(target, trial.problem)})."


def reproduction(target: Target, trial: Trial) -> str:
    """Return a script that shows a trial again, without Hypothesis and pytest.

    It has no block and no blank line, so it can be pasted at a prompt too.
    """
    if trial.through == "step":
        check, of = "check_step", "p, rate"
        # what is updated in place need not be returned
        result = "target.step(*p.values(), x, y, rate) or p.values()"
    else:
        check, of, result = "check_gradient", "p", "target.gradient(*p.values(), x, y)"
    return script(
        target,
        trial.problem,
        f"print({check}(",
        "    lambda p: target.cost(*p.values(), x, y),",
        f"    lambda {of}: dict(zip(p, {result})),",
        '    {"weights": weights, "biases": biases},',
        "))",
        imports=f"from checks import {check}",
    )


def script(target: Target, problem: Problem, *lines: str, imports: str = "") -> str:
    """Return lines of Python that load a target, set weights, biases, x and y, and what follows."""
    before = ["import numpy as np", *filter(None, [imports]), *_import(target)]
    return "\n".join([*before, *_literals(problem), *lines])


def digits_problem(samples: int = 10) -> Problem:
    """Return 64-30-10 with the parameters of seed 0, and the first of the handwritten digits."""
    sizes = (64, 30, 10)
    random = Problem.generate(sizes, seed=0)
    x, y, _ = load_digits()
    return Problem(sizes, random.weights, random.biases, x[:samples], y[:samples], "digits", 0)


def _literals(problem: Problem) -> list[str]:
    if problem.regime == "digits":
        return [
            "from checks.conformance.suite.digits import load_digits",
            "from checks.strategies import Problem",
            f"problem = Problem.generate({problem.sizes}, seed={problem.seed})",
            "weights, biases = problem.weights, problem.biases",
            f"x, y = (numbers[:{len(problem.x)}] for numbers in load_digits()[:2])",
        ]
    wanted = ("weights = ", "biases = ", "x = ", "y = ")
    lines = problem.snippet().splitlines()
    return [_filled(line, "    ") for line in lines if line.startswith(wanted)]


def _import(target: Target) -> list[str]:
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


def _what_happened(trial: Trial) -> str:
    return _filled(_error(trial)) if trial.report is None else str(trial.report)


def _error(trial: Trial) -> str:
    if not trial.raised_in:
        return f"Refused: {trial.error}"
    frames = traceback.extract_tb(trial.error.__traceback__) if trial.error else []
    where = f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""
    return f"{type(trial.error).__name__} from {trial.raised_in}: {trial.error}{where}"


def _advice(target: Target, trial: Trial) -> str:
    """Return where to look: by the name of the mistake, else from what is right.

    δ^l is right if ∂C/∂b^l is, and δ^L comes first.
    """
    hint = layout_hint(target)  # where all sizes are equal other shapes raise no error
    if hint:
        return hint
    if trial.report is None:
        return "the lines below, which show the whole traceback."
    kinds = trial.kinds()
    wrong = {place for place, some in kinds.items() if some}
    if any("not finite" in some for some in kinds.values()):
        return "what is not finite: an exponential that overflows, a division by 0, a log of 0."
    named = name_fault(target)
    if named:
        return "; or ".join(
            m.text if m.name == UNKNOWN else f"it looks like {m.name!r}. {m.text}" for m in named
        )
    if _is_right_with_shares(target, trial):
        return (
            "y: here its rows need not sum to 1, and where they do the gradient is right. δ = s − "
            "y takes that for granted; δ = s Σy − y does not. Or if the cost is the reference's, "
            'say so, cost_name = "softmax_cross_entropy": then the rows sum to 1.'
        )
    if trial.report.discrepancy < SMALL:
        return (
            f"what is small: the worst entry is off by {trial.report.discrepancy:.0e} of "
            "its array's largest. A lower precision inside, a constant as in log(a + 1e-9), or a "
            "penalty that only one of cost and gradient has."
        )
    if {what for _, what in wrong} == {"biases"}:
        return (
            "∂C/∂b^l, which is δ^l summed over the samples (axis 0). The weights' part is right, "
            "so δ^l is."
        )
    if {what for _, what in wrong} == {"weights"}:
        return (
            "∂C/∂w^l = δ^l a^{l−1}ᵀ: which activations, in which order; or a penalty that only one "
            "of cost and gradient has. The biases' part is right, so δ^l is."
        )
    if {place for place, _ in wrong} == {"layers below"}:
        return (
            "how δ is passed down, δ^l = (w^{l+1}ᵀ δ^{l+1}) ⊙ σ'(z^l). The last layer is right, so "
            "δ^L is."
        )
    return (
        "the last layer first: ∂C/∂b^L is δ^L = ① ⊙ σ'(z^L), summed over the samples, with ① the "
        "derivative of this very cost. The layers below inherit it."
    )


def _is_right_with_shares(target: Target, trial: Trial) -> bool:
    """Whether a trial is right once the rows of y sum to 1."""
    if trial.problem.sizes[-1] == 1:
        return False
    with unrecorded():
        again = try_out(target, with_shares(trial.problem), trial.through)
    return again.report is not None and again.report.verdict is Verdict.MATCH


def _network(target: Target, problem: Problem) -> str:
    row = known_cost(target)
    named = f"{target.activation}, {target.cost_name}"
    if row and (row.activation, row.cost_name, row.output) != (*named.split(", "), ""):
        named = f"{row}"  # of a factor nothing is said where the names are right
    elif not row and named == "logistic, mean_squared":  # which stand for nothing said, too
        named = "a cost of its own"
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
