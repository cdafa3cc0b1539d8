"""The shipped suite: right targets pass, wrong ones fail and show a small wrong network."""

import contextlib
import itertools
import os
import re
import subprocess
import sys
import time
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

import checks
import checks.conformance.suite.failure as failure
import checks.conformance.suite.smallest_failure as smallest_failure
import checks.conformance.suite.test_gradient as suite
import checks.conformance.suite.test_interface as interface
import checks.conformance.suite.trial as suite_trial
from backprop.activations import ACTIVATIONS
from backprop.costs import COSTS
from checks.conformance.naming.faults import FAULTS, right_target, together
from checks.conformance.suite.failure import ConformanceError, failure_text
from checks.conformance.suite.smallest_failure import Networks, find_failure, rounded_problem
from checks.conformance.suite.trial import try_out
from checks.conformance.suite.verify import verify
from checks.conformance.targets.problems import with_shares
from checks.conformance.targets.target import EXAMPLE, Target, load_target, reference_target
from checks.report.verdict import Verdict

# With --hypothesis-profile=soak every fault and every property of every form is tested.
SOAK = settings().max_examples > 1000
# These faults are mistakes only with the given activation and cost.
ROWS = {
    "softmax: diagonal of its Jacobian only": ("logistic", "softmax_cross_entropy"),
    "σ' once more after a cross entropy": ("logistic", "cross_entropy"),
    "a (1 − a) for σ'": ("tanh", "mean_squared"),
}
BY_DEFAULT = (  # one of each class of mistakes
    "1/n_L missing",
    "σ' omitted at hidden layers",
    "w for wᵀ",
    "outer product transposed",
    "last sample only, biases",
    "biases not summed",
    "first layer zero",
    "one entry zero",
)
# Lost digits are excused, and `test_interface` finds a stale cache: see below for both.
ELSEWHERE = {"a (1 − a) loses digits", "stale cache"}


@pytest.fixture
def no_search(monkeypatch):
    """Show the first network that is wrong, without a name: to search for more takes long."""
    monkeypatch.setattr(smallest_failure, "MAX_SHRINK_CHECKS", 0)
    monkeypatch.setattr(failure, "name_fault", lambda target: ())


def find(target):
    """Return the result of the first search of the suite that finds a wrong network."""
    for networks in suite.NETWORKS.values():
        found = find_failure(networks, lambda p: try_out(target, p), shrink=lambda _: True)
        if found.first_wrong:
            return found
    return pytest.fail(f"{target.name} passes")


def differ(one, other):
    """Whether any array of two gradients differs by more than 1e-6 of its largest entry."""
    return any(
        np.abs(a - b).max() > 1e-6 * max(np.abs(a).max(), np.abs(b).max())
        for a, b in zip(one, other, strict=True)
    )


def gradient(target, problem):
    with np.errstate(all="ignore"):
        dw, db = target.gradient(problem.weights, problem.biases, problem.x, problem.y)
    return [*dw, *db]


def is_small(problem):
    return len(problem.weights) <= 3 and max(problem.sizes) <= 3 and len(problem.x) <= 3


def test_there_are_enough_faults():
    assert len(FAULTS.keys() - ELSEWHERE) >= 25


@pytest.mark.parametrize("name", FAULTS if SOAK else BY_DEFAULT)
def test_a_fault_comes_back_as_the_smallest_network_that_shows_it(name):
    if name in ELSEWHERE:
        return
    names = ROWS.get(name, ("logistic", "mean_squared"))
    target = FAULTS[name].target(*names)
    found = find(target)
    trial = found.smallest
    assert is_small(trial.problem)
    assert trial.shows_the_mistake_of(found.first_wrong)
    if trial.report is not None:
        claimed = [array.claimed for array in trial.report.arrays.values()]
        assert not differ(claimed, gradient(FAULTS[name].target(*names), trial.problem))
        assert trial.report.verdict is Verdict.MISMATCH
    lines = failure_text(target, "it is right", found).splitlines()
    assert max(map(len, lines)) <= 100
    assert len(lines) <= 50
    assert any("To try: " in line for line in lines)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("factor 2 missing", "σ' omitted at hidden layers"),
        ("biases averaged where weights are summed", "w for wᵀ"),
        ("y − a for a − y", "first layer zero"),
        ("outer product transposed", "biases forgotten"),
    ],
)
def test_two_faults_are_both_shown(one, other):
    both = together(FAULTS[one], FAULTS[other]).target()
    problem = find(both).smallest.problem
    assert is_small(problem)
    for alone in (one, other):
        assert differ(gradient(both, problem), gradient(FAULTS[alone].target(), problem))


def test_a_search_is_the_same_on_every_run():
    target = FAULTS["w for wᵀ"].target()
    once, twice = (find(target).smallest.problem for _ in range(2))
    assert repr(once) == repr(twice)


# Right targets.


INTERFACE = [test for name, test in vars(interface).items() if name.startswith("test_")]


def properties():
    """Yield (test,) or (test, argument) for every test of the suite with every argument."""
    for module in (suite, interface):
        for name, test in vars(module).items():
            if name.startswith("test_"):
                yield from ((test, *argument) for argument in arguments(test))


def arguments(test):
    """Return the arguments with which a test of the suite is parametrized, beside the target."""
    marks = getattr(test, "pytestmark", [])
    return [(value,) for value in marks[0].args[1]] if marks else [()]


QUICK = "one-layer"  # the quickest kind; the CI runs python -m checks, which tries all kinds


@pytest.mark.parametrize("form", ["matrix_form", "chain_form", "index_form"])
def test_the_forms_pass(form):
    target = reference_target(form)
    for test, *argument in properties():
        takes_kind = test is suite.test_every_entry_is_the_derivative_of_the_cost
        takes_steps = (
            test is suite.test_a_step_is_gradient_descent_at_small_and_large_learning_rates
        )
        if SOAK or not (takes_steps or (takes_kind and argument != [QUICK])):
            test(target, *argument)


# Every activation and every cost at least once, however many there are of each.
EACH_ONCE = [
    (list(ACTIVATIONS)[i % len(ACTIVATIONS)], list(COSTS)[i % len(COSTS)])
    for i in range(max(len(ACTIVATIONS), len(COSTS)))
]


@pytest.mark.parametrize("kind", suite.NETWORKS if SOAK else [QUICK])
@pytest.mark.parametrize(
    ("activation", "cost_name"), [*product(ACTIVATIONS, COSTS)] if SOAK else EACH_ONCE
)
def test_every_activation_and_cost_passes(activation, cost_name, kind):
    target = right_target(activation, cost_name)
    if cost_name == "softmax_cross_entropy" and kind == "one-neuron":
        with pytest.raises(pytest.skip.Exception, match="not taken: with one output"):
            suite.test_every_entry_is_the_derivative_of_the_cost(target, kind)
    else:
        suite.test_every_entry_is_the_derivative_of_the_cost(target, kind)


def test_digits_lost_to_rounding_are_no_wrong_formula(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", sys.path[:])
    (tmp_path / "a_textbook.py").write_text(EXAMPLE, encoding="utf-8")
    target = load_target("a_textbook.py", tmp_path)
    # right on enough networks, or excused where no wider dtype measures the rounding
    with contextlib.suppress(pytest.xfail.Exception):
        suite.test_every_entry_is_the_derivative_of_the_cost(target, "saturated")


@pytest.mark.usefixtures("no_search")
def test_a_wrong_formula_is_no_matter_of_rounding():
    twice = FAULTS["σ' twice at hidden layers"].target()
    with pytest.raises(ConformanceError, match="fails"):
        suite.test_every_entry_is_the_derivative_of_the_cost(twice, "saturated")


# Targets as people write them: σ' as a function of a, and δ = s − y for the softmax.
OUTPUTS = {
    # functions of a and y: the cost of each sample, and its derivative ∂C/∂a
    "squared": (lambda a, y: ((a - y) ** 2).mean(axis=1), lambda a, y: 2 * (a - y) / y.shape[1]),
    "softmax": (lambda z, y: -(y * np.log(softmax(z))).sum(axis=1), lambda z, y: softmax(z) - y),
}
LAYERS = {
    "tanh": (np.tanh, lambda z, a: 1 - a**2),
    "logistic": (lambda z: 1 / (1 + np.exp(-z)), lambda z, a: a * (1 - a)),
    "arctan": (np.arctan, lambda z, a: 1 / (1 + z**2)),
    "linear": (lambda z: z, lambda z, a: 1.0),
    # the last two are wrong where |z| > 10, and right elsewhere
    "clipped": (np.tanh, lambda z, a: (1 - a**2) * (np.abs(z) < 10)),
    "uneven": (np.arctan, lambda z, a: 1 / (1 + z**2) + 1e-3 * (np.abs(z) > 10)),
}


def softmax(z):
    p = np.exp(z - z.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True)


def textbook(hidden, last, output, plus=0.0, **names):
    """Return a target with activations for hidden and last layers; `plus` is added to its cost."""
    value, error = OUTPUTS[output]

    def forward(weights, biases, x):
        a, z = [x], [x]
        for w, b in zip(weights, biases, strict=True):
            z.append(a[-1] @ w.T + b)
            a.append(LAYERS[hidden if len(a) < len(weights) else last][0](z[-1]))
        return a, z

    def cost(weights, biases, x, y):
        return value(forward(weights, biases, x)[0][-1], y).mean() + plus

    def gradient(weights, biases, x, y):
        a, z = forward(weights, biases, x)
        dw, db = [], []
        delta = error(a[-1], y) / len(x) * LAYERS[last][1](z[-1], a[-1])
        for k in reversed(range(len(weights))):
            dw.insert(0, delta.T @ a[k])
            db.insert(0, delta.sum(axis=0))
            if k:
                delta = (delta @ weights[k]) * LAYERS[hidden][1](z[k], a[k])
        return dw, db

    return Target("mynet", cost, gradient, None, **names)


SOFTMAX = {"activation": "tanh", "cost_name": "softmax_cross_entropy"}


@pytest.mark.usefixtures("no_search")
@pytest.mark.parametrize(("hidden", "names"), [("tanh", SOFTMAX), ("arctan", {})])
def test_a_softmax_gets_rows_of_y_that_sum_to_1(hidden, names):
    target = textbook(hidden, "linear", "softmax", **names)
    for kind in ("random-shapes", "narrow-layers"):
        suite.test_every_entry_is_the_derivative_of_the_cost(target, kind)
    if hidden == "tanh":
        with pytest.raises(pytest.xfail.Exception, match="rounding inside your gradient"):
            suite.test_every_entry_is_the_derivative_of_the_cost(target, "saturated")
    wrong = textbook(hidden, "linear", "softmax", **names)
    wrong = replace(wrong, gradient=lambda *given: target.gradient(*given[:3], given[3] ** 2))
    with pytest.raises(ConformanceError) as caught:
        suite.test_every_entry_is_the_derivative_of_the_cost(wrong, "random-shapes")
    y = re.search(r"^y = (np.array.*)$", str(caught.value), re.MULTILINE)[1]
    np.testing.assert_allclose(eval(y, {"np": np}).sum(axis=1), 1, rtol=1e-15)


def test_a_cost_that_takes_a_sum_of_1_for_granted_is_recognized():
    def cost(weights, biases, x, y):
        z = right.forward(weights, biases, x)
        return (np.log(np.exp(z).sum(axis=1)) - (y * z).sum(axis=1)).mean()

    class right:  # noqa: N801
        @staticmethod
        def forward(weights, biases, x):
            for w, b in zip(weights[:-1], biases[:-1], strict=True):
                x = np.tanh(x @ w.T + b)
            return x @ weights[-1].T + biases[-1]

    target = Target("mynet", cost, None, None, **SOFTMAX, names=frozenset(SOFTMAX))
    suite.test_the_cost_is_the_one_that_the_target_names(target)


def test_a_softmax_is_recognized_in_a_cost_that_has_no_name():
    target = textbook("tanh", "linear", "softmax", plus=1.0)
    suite.test_every_entry_is_the_derivative_of_the_cost(target, "random-shapes")


@pytest.mark.parametrize("samples", [1, 4])
@pytest.mark.parametrize("regime", ["ordinary", "targets"])
@pytest.mark.parametrize("outputs", [1, 2, 6])
def test_shares_are_hundredths_that_sum_to_1(outputs, regime, samples):
    for number in range(20):
        y = with_shares(rounded_problem((2, outputs), samples, regime, number)).y
        hundredths = np.rint(100 * y)
        np.testing.assert_array_equal(hundredths.sum(axis=1), 100)
        np.testing.assert_allclose(100 * y, hundredths, rtol=1e-15)
        assert (y > 0).all()


@pytest.mark.parametrize(
    ("hidden", "last"), [("tanh", "logistic"), ("logistic", "tanh"), ("arctan", "tanh")]
)
def test_digits_lost_in_any_layers_are_no_failure(hidden, last):
    target = textbook(hidden, last, "squared")
    with contextlib.suppress(pytest.xfail.Exception):
        suite.test_every_entry_is_the_derivative_of_the_cost(target, "saturated")


@pytest.mark.usefixtures("no_search")
@pytest.mark.parametrize("hidden", ["clipped", "uneven"])
def test_what_is_wrong_where_it_is_saturated_alone_is_no_rounding(hidden):
    target = textbook(hidden, "linear", "squared")
    suite.test_every_entry_is_the_derivative_of_the_cost(target, QUICK)
    with pytest.raises(ConformanceError, match="fails"):
        suite.test_every_entry_is_the_derivative_of_the_cost(target, "saturated")


# What a failure says.


def test_the_same_mistake_is_told_in_full_once():
    target = FAULTS["factor 2 extra"].target()
    texts = []
    for kind in ("random-shapes", "deep", "single-sample"):
        with pytest.raises(ConformanceError) as caught:
            suite.test_every_entry_is_the_derivative_of_the_cost(target, kind)
        texts.append(str(caught.value))
    assert "paste this" in texts[0]
    for text in texts[1:]:
        assert "shown in full for: every entry is the derivative" in text
        assert "2 × numeric" in text
        assert len(text.splitlines()) <= 8


@pytest.mark.parametrize(
    ("spec", "function"), [("faulty:net", "gradient"), ("there/faulty.py:net", "step")]
)
def test_the_script_pasted_at_a_prompt_shows_the_same(spec, function, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", sys.path[:])
    module = tmp_path / spec.partition(":")[0]
    module = module if module.suffix else module.with_suffix(".py")
    module.parent.mkdir(exist_ok=True)
    module.write_text(
        'from checks.conformance.naming.faults import FAULTS\nnet = FAULTS["w for wᵀ"].target()\n',
        encoding="utf-8",
    )
    with pytest.raises(ConformanceError) as caught:
        verify(load_target(spec, tmp_path), "it is right", suite.RANDOM, function)
    text = str(caught.value)
    report, _, script = text.partition("To see it again, paste this into Python:\n\n")
    assert script.strip()
    pasted = subprocess.run(
        [sys.executable, "-i", "-q", "-X", "utf8"],
        input=script + "\n",
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(checks.__file__).parents[1])},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=True,
    )
    rows = report.partition("  array ")[2].partition("\n\n")[0].splitlines()
    assert len(rows) >= 5
    for row in rows:
        assert row in pasted.stdout, pasted.stderr


def test_an_error_of_the_target_is_told_with_its_place():
    def gradient(weights, biases, x, y):
        raise IndexError("list index out of range")

    target = replace(right_target(), name="mynet", gradient=gradient)
    with pytest.raises(ConformanceError, match="IndexError from gradient: list index"):
        suite.test_every_entry_is_the_derivative_of_the_cost(target, "random-shapes")
    with pytest.raises(ConformanceError, match="mynet raises IndexError"):
        interface.test_the_same_answer_twice(target)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda dw, db: (db, dw), "Refused: gradient returned the biases first, wanted the pair"),
        (lambda dw, db: [*dw, *db], r"Refused: gradient returned a list of \d, wanted the pair"),
        (lambda dw, db: None, "Refused: gradient returned a NoneType, wanted the pair"),
        (lambda dw, db: (dw[:-1], db), "Refused: .*weights"),
    ],
    ids=["biases first", "one list", "None", "one less"],
)
def test_a_gradient_of_another_form_is_refused(change, said):
    right = right_target()
    target = replace(right, gradient=lambda *given: change(*right.gradient(*given)))
    for kind in ("random-shapes", "one-neuron"):
        with pytest.raises(ConformanceError, match=said) as caught:
            suite.test_every_entry_is_the_derivative_of_the_cost(target, kind)
        assert caught.value.outcome == "WRONG"


def test_an_error_of_the_cost_is_told_as_such():
    def cost(weights, biases, x, y):
        raise IndexError("list index out of range")

    target = replace(right_target(), name="mynet", cost=cost)
    with pytest.raises(ConformanceError, match="IndexError from cost: list index"):
        suite.test_every_entry_is_the_derivative_of_the_cost(target, "random-shapes")
    target = replace(right_target(), cost=lambda *given: np.nan)
    with pytest.raises(ConformanceError, match=r"Refused: cost\(params\) is nan"):
        suite.test_every_entry_is_the_derivative_of_the_cost(target, "random-shapes")


def test_what_has_no_name_is_given_none():
    right = right_target()

    def gradient(weights, biases, x, y):
        dw, db = right.gradient(weights, biases, x, y)
        return (dw if len(x) > 1 else [g**3 for g in dw]), db

    target = replace(right, gradient=gradient)
    with pytest.raises(ConformanceError, match="To try: Right on ") as caught:
        suite.test_every_entry_is_the_derivative_of_the_cost(target, "single-sample")
    assert "looks like 'unknown'" not in str(caught.value)


def test_what_cannot_be_compared_is_no_pass():
    def gradient(weights, biases, x, y):
        return [0 * w for w in weights], [0 * b for b in biases]

    target = Target("constant", lambda weights, biases, x, y: 1.0, gradient, None)
    with pytest.raises(ConformanceError, match="UNRESOLVED"):
        suite.test_every_entry_is_the_derivative_of_the_cost(target, QUICK)
    with pytest.raises(ConformanceError, match="UNRESOLVED"):
        suite.test_every_entry_is_the_derivative_of_the_cost_on_digits(target)


def test_what_is_too_blurred_by_nature_is_excused_and_no_pass():
    right = right_target()
    target = replace(right, cost=lambda *given: abs(right.cost(*given)))  # central differences only
    suite.test_every_entry_is_the_derivative_of_the_cost(target, QUICK)
    with pytest.raises(pytest.xfail.Exception, match="UNRESOLVED"):
        suite.test_every_entry_is_the_derivative_of_the_cost(target, "saturated")


# Steps.


def in_place(weights, biases, x, y, learning_rate):
    dw, db = right_target().gradient(weights, biases, x, y)
    for value, slope in zip((*weights, *biases), (*dw, *db), strict=True):
        np.subtract(value, learning_rate * slope, out=value)


@pytest.mark.parametrize("step", [right_target().step, in_place])
def test_a_target_with_a_step_alone(step):
    target = replace(right_target(), gradient=None, step=step)
    suite.test_every_entry_is_the_derivative_of_the_cost(target, "one-layer")
    suite.test_float32_is_kept_and_accurate(target)
    for test in INTERFACE:
        if test is interface.test_the_answer_is_not_aliased_to_the_input_or_an_earlier_one:
            with pytest.raises(pytest.skip.Exception, match="not taken"):
                test(target)
        elif test is interface.test_the_input_is_unchanged:
            test(target, "cost")
        else:
            for argument in arguments(test):
                test(target, *argument)


def test_a_wrong_step():
    target = replace(FAULTS["updated w in the backward pass"].target(), gradient=None)
    with pytest.raises(ConformanceError, match="depends on the learning rate"):
        suite.test_a_step_is_gradient_descent_at_small_and_large_learning_rates(target)


def test_a_target_without_a_step():
    target = replace(right_target(), step=None)
    with pytest.raises(pytest.skip.Exception, match="has no step"):
        suite.test_a_step_is_gradient_descent_at_small_and_large_learning_rates(target)


# rtol and time.


def nearly(weights, biases, x, y):
    dw, db = right_target().gradient(weights, biases, x, y)
    return [(1 + 1e-4) * g for g in dw], db


def test_rtol_is_that_of_the_checks():
    target, problem = replace(right_target(), gradient=nearly), rounded_problem((2, 3), samples=2)
    assert try_out(replace(target, rtol=1e-3), problem).report.verdict is Verdict.MATCH
    assert try_out(target, problem).report.verdict is Verdict.MISMATCH


@pytest.fixture
def slow_clock(monkeypatch):
    """Let every look at the clock, such as that before a call of the cost, take a second."""
    clock = itertools.count()
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(suite_trial, "GRACE", 100)


@pytest.mark.usefixtures("slow_clock")
@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (100, r"not reached: 0 networks of up to 40 in the time"),
        (600, r"not reached: [12] networks? of up to 40 in the time"),
        (4000, r"ok: \d+ networks of up to 40 in the time"),
    ],
)
def test_at_its_share_of_the_time_a_property_ends(seconds, said):
    target = replace(reference_target(), deadline=seconds)
    with pytest.raises(pytest.skip.Exception, match=said):
        suite.test_every_entry_is_the_derivative_of_the_cost(target, "random-shapes")


@pytest.mark.usefixtures("slow_clock")
def test_a_long_check_ends_at_its_share_of_the_time():
    target = replace(reference_target(), deadline=1000)
    match = r"not reached: \d+ of 2,260 entries were compared in the time"
    with pytest.raises(pytest.skip.Exception, match=match):
        suite.test_every_entry_is_the_derivative_of_the_cost_on_digits(target)


@pytest.mark.usefixtures("slow_clock", "no_search")
def test_a_wrong_network_in_the_time_is_wrong():
    target = replace(FAULTS["factor 2 extra"].target(), deadline=100_000)
    with pytest.raises(ConformanceError, match="fails"):
        suite.test_every_entry_is_the_derivative_of_the_cost(target, "deep")


# Costs.


def scaled(factor, cost_name="mean_squared"):
    cost = right_target("tanh", cost_name).cost

    def scaled_cost(weights, biases, x, y):
        return factor(len(x), y.shape[1]) * cost(weights, biases, x, y)

    return scaled_cost


@pytest.mark.parametrize(
    ("cost", "said"),
    [
        (scaled(lambda b, n: 3 * n), "none of the reference's costs"),
        (scaled(lambda b, n: b), "B × mean_squared with tanh layers"),
        (scaled(lambda b, n: -0.5), "−½ × mean_squared"),
        (scaled(lambda b, n: 1, "cross_entropy"), "the cost is cross_entropy with tanh layers"),
        (scaled(lambda b, n: n / 2), "the cost is half_squared with tanh layers"),
    ],
)
def test_another_cost_is_said(cost, said):
    target = Target("mynet", cost, None, None)
    with pytest.raises(pytest.skip.Exception, match=said):
        suite.test_the_cost_is_the_one_that_the_target_names(target)
    names = frozenset({"activation", "cost_name"})
    declared = replace(target, activation="tanh", cost_name="softmax_cross_entropy", names=names)
    with pytest.raises(ConformanceError, match=said):
        suite.test_the_cost_is_the_one_that_the_target_names(declared)


# Interface. Each of these is a right gradient that misbehaves.


def misbehaving(name):
    right, kept = right_target().gradient, []

    def gradient(weights, biases, x, y):
        dw, db = right(weights, biases, x, y)
        match name:
            case "squeezed":
                return [g.squeeze() for g in dw], [g.squeeze() for g in db]
            case "transposed shapes":
                return [g.T for g in dw], db
            case "random":
                dw[0] = dw[0] * (1 + 1e-9 * np.random.default_rng().normal())
            case "accumulating":
                kept.append(db[0])
                db[0] = sum(g for g in kept if g.shape == db[0].shape)
            case "x in place":
                x *= 1
                x[0, 0] += 1
            case "list":
                weights.reverse()
            case "parameters returned":
                dw[0], weights[0][...] = weights[0], dw[0]
            case "one buffer":
                kept.append(dw[1])
                dw[1] = kept[0]
            case "memory order":
                flat = weights[0].ravel(order="K").reshape(weights[0].shape)
                dw = right([flat, *weights[1:]], biases, x, y)[0]
            case "base" if weights[0].base is not None:
                w = weights[0].base.ravel()[: weights[0].size].reshape(weights[0].shape)
                dw = right([w, *weights[1:]], biases, x, y)[0]
            case "writing":
                weights[0] *= 1.0
            case "float64":
                dw[0] = dw[0].astype(np.float64)
            case "coarse" if dw[0].dtype == np.float32:
                dw[0] = dw[0].round(3)
        return dw, db

    return replace(right_target(), name=name, gradient=gradient)


@pytest.mark.parametrize(
    ("name", "test", "argument"),
    [
        ("squeezed", interface.test_the_gradient_has_the_shapes_of_the_parameters, (6,)),
        ("transposed shapes", interface.test_the_gradient_has_the_shapes_of_the_parameters, (1,)),
        ("random", interface.test_the_same_answer_twice, ()),
        ("accumulating", interface.test_the_same_answer_twice, ()),
        ("accumulating", interface.test_calls_leave_no_trace, ()),
        ("x in place", interface.test_the_input_is_unchanged, ("gradient",)),
        ("list", interface.test_the_input_is_unchanged, ("gradient",)),
        (
            "parameters returned",
            interface.test_the_answer_is_not_aliased_to_the_input_or_an_earlier_one,
            (),
        ),
        ("one buffer", interface.test_the_answer_is_not_aliased_to_the_input_or_an_earlier_one, ()),
        ("base", interface.test_the_layout_of_the_input_does_not_matter, ("non-contiguous",)),
        (
            "memory order",
            interface.test_the_layout_of_the_input_does_not_matter,
            ("fortran-ordered",),
        ),
        ("writing", interface.test_the_layout_of_the_input_does_not_matter, ("read-only",)),
        ("coarse", suite.test_float32_is_kept_and_accurate, ()),
    ],
)
def test_misbehaviour_is_found(name, test, argument):
    with pytest.raises(ConformanceError, match=name):
        test(misbehaving(name), *argument)


def test_float32_that_is_not_kept_is_a_note():
    with pytest.raises(
        pytest.skip.Exception, match=r"note: weights\[0\] of the gradient is float64"
    ):
        suite.test_float32_is_kept_and_accurate(misbehaving("float64"))


def declaring(cost_name=None, activation=None, cost=None, hidden="tanh", gradient=None):
    """Return a target that declares these names, of a squared cost by default."""
    names = {"activation": activation, "cost_name": cost_name}
    names = {name: value for name, value in names.items() if value}
    target = textbook(hidden, hidden, "squared", **names, names=frozenset(names))
    return replace(target, cost=cost or target.cost, gradient=gradient or target.gradient)


def squared(times=1.0, decay=0.0, decay_of_biases=0.0):
    """Return a cost of tanh layers: times × the mean squared error, and a penalty."""
    mean_squared = textbook("tanh", "tanh", "squared").cost

    def cost(weights, biases, x, y):
        sums = [sum((v**2).sum() for v in part) / 2 for part in (weights, biases)]
        penalty = decay * sums[0] + decay_of_biases * sums[1]
        return times * mean_squared(weights, biases, x, y) + penalty

    return cost


@pytest.mark.parametrize(
    ("target", "said"),
    [
        (declaring(activation="tanh"), None),
        (declaring(cost_name="mean_squared"), None),
        (declaring("mean_squared", "tanh"), None),
        (declaring("mean_squared", "tanh", squared(0.5)), "note: the cost is ½ × mean_squared w"),
        (declaring("mean_squared", cost=squared(1, 0.02)), r"with tanh layers \+ ½ 0.02 Σ w²"),
        (declaring("mean_squared", "tanh", squared(1, 0.02, 0.5)), "½ 0.02 Σ w² [+] ½ 0.5 Σ b²"),
        (declaring("mean_squared", "tanh", squared(2, 0.02)), "2 × mean_squared .* ½ 0.02 Σ w²"),
        # of a cost that is none of the tables, one name alone says nothing that can be compared
        (declaring(cost_name="mean_squared", hidden="arctan"), "note: the cost is none of the ref"),
        (declaring(activation="logistic", hidden="arctan"), "note: the cost is none of the ref"),
    ],
)
def test_a_name_is_compared_where_it_says_something(target, said):
    if said is None:
        suite.test_the_cost_is_the_one_that_the_target_names(target)
        return
    with pytest.raises(pytest.skip.Exception, match=said):
        suite.test_the_cost_is_the_one_that_the_target_names(target)


@pytest.mark.parametrize(
    ("target", "said"),
    [
        (declaring(activation="relu"), "says activation = 'relu', but the cost is mean_squared wi"),
        (declaring(cost_name="half_squared"), "says cost_name = 'half_squared', but the cost is m"),
        (declaring("mean_squared", "tanh", hidden="arctan"), "but the cost is none of the refere"),
    ],
)
def test_a_wrong_name_is_wrong(target, said):
    with pytest.raises(ConformanceError, match=said):
        suite.test_the_cost_is_the_one_that_the_target_names(target)


def with_constant(constant, cost_name, sums=False):
    """Return a tanh network whose cost has a constant inside the log, and its gradient has not."""

    def output(weights, biases, x):
        for w, b in zip(weights[:-1], biases[:-1], strict=True):
            x = np.tanh(x @ w.T + b)
        z = x @ weights[-1].T + biases[-1]
        return softmax(z) if cost_name == "softmax_cross_entropy" else 1 / (1 + np.exp(-z))

    def cost(weights, biases, x, y):
        p = output(weights, biases, x)
        total = (y * np.log(p + constant)).sum()
        if cost_name == "cross_entropy":
            total += ((1 - y) * np.log(1 - p + constant)).sum()
        return -total if sums else -total / len(x)

    def gradient(weights, biases, x, y):
        dw, db = right_target("tanh", cost_name).gradient(weights, biases, x, y)
        return [g * (len(x) if sums else 1) for g in dw], [g * (len(x) if sums else 1) for g in db]

    return Target("mynet", cost, gradient, None)


@pytest.mark.parametrize(
    ("cost_name", "constant", "rtol", "sums"),
    [
        ("cross_entropy", 1e-3, None, False),
        ("cross_entropy", 1e-9, 1e-10, True),
        ("softmax_cross_entropy", 1e-3, 1e-5, True),
        ("softmax_cross_entropy", 1e-7, None, False),
    ],
)
def test_a_constant_inside_the_log_is_told(cost_name, constant, rtol, sums):
    target = replace(with_constant(constant, cost_name, sums), rtol=rtol)
    with pytest.raises(ConformanceError, match=rf"takes the log of\s+p \+\s+{constant:.3g}"):
        suite.test_every_entry_is_the_derivative_of_the_cost(target, QUICK)


@pytest.mark.usefixtures("no_search")
def test_a_constant_inside_the_log_is_no_excuse_for_another_mistake():
    target = with_constant(1e-5, "softmax_cross_entropy")
    right = target.gradient

    def gradient(weights, biases, x, y):
        dw, db = right(weights, biases, x, y)
        return [2 * g for g in dw], db

    with pytest.raises(ConformanceError) as caught:
        suite.test_every_entry_is_the_derivative_of_the_cost(
            replace(target, gradient=gradient), "random-shapes"
        )
    assert "inside the log" not in str(caught.value)


def test_a_cost_in_float32_is_recognized():
    right = right_target()
    target = replace(right, cost=lambda *given: np.float32(right.cost(*given)))
    suite.test_the_cost_is_the_one_that_the_target_names(target)


def test_what_remembers_is_found():
    with pytest.raises(ConformanceError, match="After a call with other numbers"):
        interface.test_calls_leave_no_trace(FAULTS["stale cache"].target())


def test_numbers_are_short_where_they_are_printed():
    problem = rounded_problem((2, 3), samples=2, regime="saturated")
    assert all(float(f"{v:.1e}") == v for array in problem.arrays for v in array.flat)


def test_bounds_are_kept():
    networks = Networks(
        layers=(2, 3), widths=(2, 4), samples=(3, 5), equal_widths=True, examples=20
    )
    found = find_failure(networks, lambda p: try_out(right_target(), p), shrink=lambda _: True)
    assert len(found.trials) == 20
    assert len({repr(trial.problem) for trial in found.trials}) == 20
    for trial in found.trials:
        assert len(set(trial.problem.sizes)) == 1
        assert 2 <= len(trial.problem.weights) <= 3
        assert 2 <= trial.problem.sizes[0] <= 4
        assert 3 <= len(trial.problem.x) <= 5
