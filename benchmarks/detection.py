"""What is caught, and what is named: ``python -m benchmarks.detection [NETWORKS [PAGE PICTURE]]``.

Plants every fault of the catalogue in networks of every kind, and asks this project and, on the
same problems, the gradient checkers of torch, jax, autograd and scipy (extra `peers`) whether the
gradient is right. A fault counts where it changes the gradient by more than the report of this
project says it would have seen. The same is asked of the right gradient: what is accused there is a
false alarm. Then every fault, and random pairs of two, are given to `name_fault`.

Writes a page of tables (markdown), and a picture of both: caught, and planted against named.
"""

import sys
import time
import warnings
from collections import Counter, defaultdict
from itertools import combinations, product
from pathlib import Path

import numpy as np

from backprop.activations import ACTIVATIONS
from backprop.costs import COSTS
from benchmarks.peers import PEERS, Claim, accepts
from checks import Verdict, check_gradient
from checks.conformance.naming import name_fault
from checks.conformance.naming.agreement import TOLERANCE, compare
from checks.conformance.naming.evidence import Evidence
from checks.conformance.naming.faults import FAULTS, PLUS, right_target, together
from checks.conformance.naming.observations import NETWORKS, observe
from checks.conformance.naming.textbook import Constants
from checks.strategies import Problem

SEED = 0
PAIRS = 200
RIGHT = 10  # right gradients for every problem with faults
ROWS = list(product(ACTIVATIONS, COSTS))
METHODS = {"complex step": "auto", "central": "central"}
CHECKERS = (*METHODS, *PEERS)
DTYPES = ("float64", "float32")
KINDS = {
    "small": ((2, 3, 3, 2), "ordinary"),
    "deep": ((3,) * 8, "ordinary"),
    "wide": ((12, 16, 16, 10), "ordinary"),
    "saturated": ((3, 4, 4, 2), "saturated"),
}
# Faults that show only with so many nodes in the last layer, or so many samples (from, below).
LAST = {"(B,) against (B, 1)": 1}
SAMPLES = {"batch of one squeezed": (1, 2)}


def draw_problem(kind, dtype, numbers, name=""):
    """Return a problem that numbers determine, in the shapes that a fault needs to show."""
    sizes, regime = KINDS[kind]
    rng = np.random.default_rng([SEED, *numbers, list(KINDS).index(kind)])
    samples = int(rng.integers(*SAMPLES.get(name, (2, 6))))
    if name == "biases summed over the wrong axis":
        samples = sizes[1]
    sizes = (*sizes[:-1], LAST.get(name, sizes[-1]))
    return Problem.generate(sizes, samples, regime, int(rng.integers(2**32)), dtype)


def call(target, problem, params):
    """Return a target's gradient after a call with other parameters, which it may have kept."""
    half = len(params) // 2
    before = [[a + a.dtype.type(0.5) for a in some] for some in (params[:half], params[half:])]
    target.gradient(*before, problem.x, problem.y)
    dw, db = target.gradient(params[:half], params[half:], problem.x, problem.y)
    return [*dw, *db]


def claim_of(target, problem):
    half = len(problem.weights)
    return Claim(
        lambda params: target.cost(params[:half], params[half:], problem.x, problem.y),
        lambda params: call(target, problem, params),
        [*problem.weights, *problem.biases],
    )


def is_off(report, truth):
    """Whether a claim is off the truth by more than its report would have seen."""
    return any(
        (np.abs(a.claimed - true) > a.limit + 2 * a.error).any()
        for a, true in zip(report.arrays.values(), truth, strict=True)
    )


def truth_of(fault, rows, problem):
    """Return the right gradient of the cost that a faulty target has."""
    right = call(right_target(*rows), problem, [*problem.weights, *problem.biases])
    if "penalty" in fault.steps:
        pairs = zip(right, problem.weights, strict=False)
        right[: len(problem.weights)] = [g + Constants.decay * w for g, w in pairs]
    return right


def ask(claim, problem, truth=None):
    """Return {checker: whether it rejects the claim}; empty if the claim is too little off.

    Without a truth the claim is right, and a rejection is a false alarm.
    """
    answers = {}
    for checker, method in METHODS.items():
        try:
            report = check_gradient(claim.cost, claim.gradient, claim.params, method=method)
        except ValueError:  # the claim has arrays of another size
            answers[checker] = True
            continue
        if truth is None or is_off(report, truth):
            answers[checker] = report.verdict is Verdict.MISMATCH
    if answers:
        answers |= {peer: not accepts(peer, claim) for peer in PEERS}
    return answers


def rows_of(name, problem, rng):
    """Return an activation and a cost with which a fault changes the gradient, or None."""
    fault, params = FAULTS[name], [*problem.weights, *problem.biases]
    for index in rng.permutation(len(ROWS)):
        claimed = call(fault.target(*ROWS[index]), problem, params)
        truth = truth_of(fault, ROWS[index], problem)
        rounding = 100 * np.finfo(problem.x.dtype).eps
        if any(
            g.shape != t.shape or np.abs(g - t).max() > rounding * np.abs(t).max()
            for g, t in zip(claimed, truth, strict=True)
        ):
            return ROWS[index]
    return None


def detect(networks):
    """Return {(fault or "", kind, dtype): {checker: [caught, …]}}; "" is the right gradient."""
    found = defaultdict(lambda: defaultdict(list))
    for kind, dtype, number in product(KINDS, DTYPES, range(networks)):
        for place, name in enumerate([*FAULTS, *[""] * RIGHT]):
            rng = np.random.default_rng([SEED, number, place])
            problem = draw_problem(kind, dtype, [number, 0 if name else place], name)
            if name:
                rows = rows_of(name, problem, rng)
                if rows is None:
                    continue
                target, truth = FAULTS[name].target(*rows), truth_of(FAULTS[name], rows, problem)
                answers = ask(claim_of(target, problem), problem, truth)
            else:
                target = right_target(*ROWS[rng.integers(len(ROWS))])
                answers = ask(claim_of(target, problem), problem)
            for checker, caught in answers.items():
                found[name, kind, dtype][checker].append(caught)
    return found


def name_all():
    """Return {(planted, named first): how often}, over activations and costs where it is wrong."""
    named = Counter()
    for fault, rows in product(FAULTS.values(), ROWS):
        target = fault.target(*rows)
        if not Evidence(target, rows, "gradient").wrong:
            continue
        mistakes = name_fault(target)
        alike = mistakes[0].text.partition("cannot tell it from: ")[2] if mistakes else ""
        first = mistakes[0].name if mistakes else "unknown"
        # faults with the same gradients are named together: right, whichever is first
        named[fault.name, fault.name if fault.name in alike else first] += 1
    return named


def name_pairs():
    """Return how often of two faults planted together which were named."""
    rng, outcomes = np.random.default_rng(SEED), Counter()
    pairs = [pair for pair in combinations(FAULTS.values(), 2) if together(*pair)]
    for index in rng.permutation(len(pairs))[:PAIRS]:
        pair, rows = pairs[index], ROWS[rng.integers(len(ROWS))]
        both = together(*pair)
        if not all(Evidence(fault.target(*rows), rows, "gradient").wrong for fault in pair):
            continue
        names = [mistake.name for mistake in name_fault(both.target(*rows))]
        planted = set(both.name.split(PLUS))
        if not names or names == ["unknown"]:
            outcomes["unknown"] += 1
        elif planted <= {*names}:
            outcomes["both"] += 1
        elif not {*names} <= FAULTS.keys():
            outcomes["described, not named"] += 1
        elif {*names} <= planted:
            outcomes["one of the two"] += 1
        elif reproduces(names, both.target(*rows), rows):
            outcomes["a name for the same gradient"] += 1
        else:
            outcomes["wrong"] += 1
    return outcomes


def reproduces(names, target, rows):
    """Whether the faults named give the target's gradient on networks not seen before."""
    fault = FAULTS[names[0]] if len(names) == 1 else together(*(FAULTS[n] for n in names[:2]))
    return fault is not None and all(
        compare(rows, "gradient", fault, observation)[0] <= TOLERANCE
        for observation in observe(target, rows, "gradient", NETWORKS, seed=1000)
    )


def share(caught):
    return f"{np.mean(caught):.0%}" if caught else "–"


def gathered(found, **only):
    """Return {checker: all answers} of some faults, kinds and dtypes."""
    answers = defaultdict(list)
    for (name, kind, dtype), some in found.items():
        place = {"right": not name, "name": name, "kind": kind, "dtype": dtype}
        if all(place[key] == value for key, value in only.items()):
            for checker, caught in some.items():
                answers[checker] += caught
    return answers


def page_of(found, named, pairs, seconds):
    """Return the tables as markdown."""
    lines = [
        "# What is caught, and what is named",
        "",
        f"`python -m benchmarks.detection`, seed {SEED}: the {len(FAULTS)} faults of",
        "[the catalogue](../checks/conformance/naming/faults.py), planted in random networks.",
        "Counted are the problems on which a fault changes the gradient by more than this",
        "project's check says that it would have seen. The peers run at their defaults on the",
        "same problems, in the same dtype; jax and autograd in reverse mode and first order.",
        "(torch itself sums a gradient that is not summed over the batch: there it is no fault.)",
        "",
        "![share caught, and planted against named](detection.png)",
        "",
        "## Caught",
        "",
        f"| networks | dtype | problems | {' | '.join(CHECKERS)} |",
        f"|---|---|---|{'---|' * len(CHECKERS)}",
    ]
    for kind, dtype in product(KINDS, DTYPES):
        wrong = gathered(found, kind=kind, dtype=dtype, right=False)
        count = max(map(len, wrong.values()), default=0)
        cells = " | ".join(share(wrong[checker]) for checker in CHECKERS)
        lines.append(f"| {kind} | {dtype} | {count:,} | {cells} |")
    lines += ["", "## Accused, though right", ""]
    lines += [f"| networks | dtype | problems | {' | '.join(CHECKERS)} |"]
    lines += [f"|---|---|---|{'---|' * len(CHECKERS)}"]
    for kind, dtype in product(KINDS, DTYPES):
        right = gathered(found, kind=kind, dtype=dtype, right=True)
        count = max(map(len, right.values()), default=0)
        cells = " | ".join(share(right[checker]) for checker in CHECKERS)
        lines.append(f"| {kind} | {dtype} | {count:,} | {cells} |")
    total = sum(named.values())
    good = sum(n for (planted, name), n in named.items() if planted == name)
    unknown = sum(n for (_, name), n in named.items() if name == "unknown")
    lines += [
        "",
        "## Named",
        "",
        f"Each fault under every activation and cost where it is one, {total:,} in all: "
        f"{good / total:.1%} named",
        f"right and first, {unknown / total:.1%} unknown, "
        f"{(total - good - unknown) / total:.1%} given another name.",
    ]
    lines += [f"- {planted}: {name}" for planted, name in named if planted != name]
    lines += [
        "",
        f"Two faults at once, {pairs.total()} pairs: "
        + ", ".join(f"{count} {outcome}" for outcome, count in pairs.most_common())
        + ".",
        "",
        "## Fault by fault",
        "",
        f"| fault | {' | '.join(CHECKERS)} | named |",
        f"|---|{'---|' * (len(CHECKERS) + 1)}",
    ]
    for name in FAULTS:
        caught = gathered(found, name=name)
        ours = [first == name for (planted, first), n in named.items() for _ in range(n)
                if planted == name]  # fmt: skip
        cells = " | ".join(share(caught[checker]) for checker in CHECKERS)
        lines.append(f"| {name} | {cells} | {share(ours)} |")
    return "\n".join([*lines, "", f"In {seconds / 60:.0f} minutes.", ""])


def draw(found, named, picture):
    """Save two maps: the share caught of every fault by every checker, and the confusion matrix."""
    from matplotlib import pyplot as plt

    names = list(FAULTS)
    caught = np.array(
        [
            [np.mean(some[c]) if some[c] else np.nan for c in CHECKERS]
            for some in [*(gathered(found, name=n) for n in names), gathered(found, right=True)]
        ]
    )
    caught[-1] = 1 - caught[-1]
    columns = [*names, "unknown", "another"]
    confusion = np.zeros((len(names), len(columns)))
    for (planted, name), count in named.items():
        column = columns.index(name if name in columns else "another")
        confusion[names.index(planted), column] += count
    confusion /= np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(17, 13), layout="constrained", width_ratios=[1, 4]
    )
    left.imshow(caught, cmap="RdYlGn", vmin=0, vmax=1, aspect="auto")
    left.set_xticks(range(len(CHECKERS)), CHECKERS, rotation=90)
    left.set_yticks(range(len(names) + 1), [*names, "none, and not accused"], fontsize=8)
    left.set_title("share caught (grey: nothing to see)")
    left.set_facecolor("lightgrey")
    right.imshow(confusion, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    right.set_xticks(range(len(columns)), columns, rotation=90, fontsize=8)
    right.set_yticks([])
    right.set_title("fault planted, and the first name given")
    figure.savefig(picture, dpi=80)


def main(networks="4", page=None, picture=None):
    """Print the page, or write it and draw the picture if they have names."""
    started = time.perf_counter()
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        found, named, pairs = detect(int(networks)), name_all(), name_pairs()
    text = page_of(found, named, pairs, time.perf_counter() - started)
    if page:
        Path(page).write_text(text, encoding="utf-8")
    else:
        print(text)
    if picture:
        draw(found, named, picture)


if __name__ == "__main__":
    main(*sys.argv[1:])
