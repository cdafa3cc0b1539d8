"""The catalogue of faults, and the names that it gives to the mistakes of a target."""

from dataclasses import replace
from itertools import combinations, product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, note, settings
from hypothesis import strategies as st

from backprop import Network, Parameters
from backprop.activations import ACTIVATIONS
from backprop.costs import COSTS
from checks.conformance.naming import agreement, faults, name_fault
from checks.conformance.naming.evidence import Evidence
from checks.conformance.naming.faults import FAULTS, PLUS, right_target, together
from checks.conformance.naming.observations import NETWORKS, watch
from checks.conformance.targets.target import Target
from checks.strategies import layer_sizes, problems

ROWS = list(product(ACTIVATIONS, COSTS))
PAIRS = [pair for pair in combinations(FAULTS.values(), 2) if together(*pair)]


def named(target):
    return [mistake.name for mistake in name_fault(target)]


def told_together(target):
    """Return those named after the first that nothing tells from it."""
    first = name_fault(target)[0].text
    return first.partition("differ from: ")[2].rstrip(".").split("; ")


def is_wrong(target, rows, through="gradient"):
    """Whether there is a mistake at all, under this activation and this cost."""
    with np.errstate(all="ignore"):
        return bool(Evidence(target, rows, through).wrong)


def is_reproduced(names, target, rows):
    """Whether the faults named give a target's gradient, on networks that it was not named by."""
    fault = FAULTS[names[0]] if len(names) == 1 else together(*(FAULTS[name] for name in names))
    with np.errstate(all="ignore"):
        return fault is not None and all(
            agreement.likeness(rows, "gradient", fault, seen)[0] <= agreement.SAME
            for seen in watch(target, rows, "gradient", NETWORKS, seed=1000)
        )


# The catalogue.


def test_there_are_enough_faults_and_each_says_where_to_look():
    assert len(FAULTS) >= 45
    for fault in FAULTS.values():
        assert fault.text.endswith((".", ".)"))
        assert len(fault.text) <= 240
        assert PLUS not in fault.name


def test_every_wrong_step_is_marked():
    source = Path(faults.__file__).read_text(encoding="utf-8")
    table = source[source.index("_ROWS = (") :]
    assert table.count("# wrong on purpose") >= table.count("_fault(")


@given(rows=st.sampled_from(ROWS), problem=problems(layer_sizes(), regime="ordinary"))
def test_without_a_fault_the_textbook_is_the_reference(rows, problem):
    net, theta = Network(problem.sizes, *rows), Parameters(problem.weights, problem.biases)
    arguments = problem.weights, problem.biases, problem.x, problem.y
    target, right = right_target(*rows), net.gradient(theta, problem.x, problem.y)
    assert target.cost(*arguments) == pytest.approx(net.cost(theta, problem.x, problem.y), 1e-12)
    dw, db = target.gradient(*arguments)
    for ours, theirs in zip([*dw, *db], [*right.weights, *right.biases], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-13 * np.abs(theirs).max())


def test_a_step_is_the_parameters_minus_the_gradient():
    problem = next(watch(right_target(), ("logistic", "mean_squared"), "gradient", NETWORKS))
    weights, biases = right_target().step(*problem.copies, 0.5)
    for new, old, slope in zip(
        [*weights, *biases], [*problem.weights, *problem.biases], problem.claimed, strict=True
    ):
        np.testing.assert_allclose(new, old - 0.5 * slope, rtol=1e-14)


# Names.


@settings(max_examples=settings().max_examples // 3)
@given(
    fault=st.sampled_from(list(FAULTS.values())),
    rows=st.sampled_from(ROWS),
    through=st.sampled_from(["gradient", "step"]),
)
def test_a_planted_fault_is_named_first(fault, rows, through):
    target = fault.target(*rows)
    if through == "step":
        target = replace(target, gradient=None)
    mistakes = name_fault(target)
    note(str(mistakes))
    if not is_wrong(target, rows, through):
        assert not mistakes
    elif mistakes[0].name != fault.name:
        # the very same gradient, under this activation and this cost, on every network
        assert fault.name in told_together(target)
        assert is_reproduced([mistakes[0].name], fault.target(*rows), rows)


@pytest.mark.parametrize("rows", ROWS)
def test_of_a_right_target_nothing_is_said(rows):
    assert not name_fault(right_target(*rows))


@settings(max_examples=settings().max_examples // 25, suppress_health_check=[*HealthCheck])
@given(pair=st.sampled_from(PAIRS), rows=st.sampled_from(ROWS))
def test_of_two_faults_no_wrong_name_is_given(pair, rows):
    assume(all(is_wrong(fault.target(*rows), rows) for fault in pair))
    target = together(*pair).target(*rows)
    # what the structure of the errors shows is an observation, and names no fault
    names = [name for name in named(target) if name in FAULTS]
    planted = {fault.name for fault in pair}
    note(f"{planted} named {names}")
    # one of them may hide the other; and another name may be the same mistake
    one_or_none = {*names} <= planted
    assert one_or_none or planted <= {*names} or is_reproduced(names[:2], target, rows)


def naive(z):
    return 1 / (1 + np.exp(-z))


def naive_cost(weights, biases, x, y):
    for w, b in zip(weights, biases, strict=True):
        x = naive(x @ w.T + b)
    return np.mean((x - y) ** 2)


def one_by_one(weights, biases, x, y, slope=lambda z, a: a * (1 - a), biases_times=1.0):
    """Return a gradient as people write it: sample by sample, and of other rounding than ours."""
    dw, db = [np.zeros_like(w) for w in weights], [np.zeros_like(b) for b in biases]
    for sample, wanted in zip(x, y, strict=True):
        a, z = [sample], []
        for w, b in zip(weights, biases, strict=True):
            z.append(w @ a[-1] + b)
            a.append(naive(z[-1]))
        error = 2 * (a[-1] - wanted) / len(wanted)
        for k in reversed(range(len(weights))):
            error = error * slope(z[k], a[k + 1])
            dw[k] += np.outer(error, a[k]) / len(x)
            db[k] += biases_times * error / len(x)
            error = weights[k].T @ error
    return dw, db


def strangers(gradient=one_by_one, step=None, cost=naive_cost):
    return Target("a stranger's", cost, gradient, step)


def altered(change, gradient=one_by_one):
    """Return a gradient that is changed where a condition on its arguments holds."""

    def wrong(weights, biases, x, y):
        dw, db = gradient(weights, biases, x, y)
        return change(dw, db, weights, x)

    return wrong


@pytest.mark.parametrize(
    ("target", "name", "said"),
    [
        (
            strangers(lambda *args: one_by_one(*args, slope=lambda z, a: naive(a) * naive(-a))),
            "σ'(a) for σ'(z)",
            "on 12 of 12 networks",
        ),
        (
            strangers(altered(lambda dw, db, w, x: (dw, [len(x) * g for g in db]))),
            "1/B missing in the biases",
            "it makes no difference",
        ),
        (
            strangers(
                altered(
                    lambda dw, db, w, x: ([g + 0.02 * v for g, v in zip(dw, w, strict=True)], db)
                )
            ),
            "penalty in the gradient only",
            "λ = 0.02",
        ),
        (
            strangers(
                altered(
                    lambda dw, db, w, x: (
                        [g + 0.02 / len(x) * v for g, v in zip(dw, w, strict=True)],
                        db,
                    )
                )
            ),
            "penalty in the gradient only",
            "λ/B, λ = 0.02",
        ),
        (
            strangers(
                altered(lambda dw, db, w, x: (dw if len(x) > 1 else [2 * g for g in dw], db))
            ),
            "scale",
            "On 2 of 12 networks, only where B = 1",
        ),
        (
            strangers(altered(lambda dw, db, w, x: (dw if len(x) > 1 else [g**2 for g in dw], db))),
            "unknown",
            "where B = 1",
        ),
        (
            strangers(
                altered(
                    lambda dw, db, w, x: (
                        ([0 * dw[0], *dw[1:]], [0 * db[0], *db[1:]]) if len(w) > 2 else (dw, db)
                    )
                )
            ),
            "first layer zero",
            "with three or more layers; on the other",
        ),
        (
            strangers(cost=lambda *args: naive_cost(*args) * args[3].size),
            "factor 1/B/n_L",
            "what ① divides by",
        ),
        (
            strangers(altered(lambda dw, db, w, x: ([0.37 * g for g in dw], db))),
            "scale",
            "0.37 ×",
        ),
        (
            strangers(altered(lambda dw, db, w, x: ([dw[0] ** 2, *dw[1:]], db))),
            None,
            "",
        ),
    ],
)
def test_a_strangers_mistake_is_named_with_its_evidence(target, name, said):
    mistakes = name_fault(target)
    assert [mistake.name for mistake in mistakes] == [name] * (name is not None)
    assert said in "".join(mistake.text for mistake in mistakes)


def test_a_cost_of_other_size_does_not_hide_the_mistake():
    target = strangers(
        altered(
            lambda dw, db, w, x: ([3 * g for g in dw], [3 * g / len(x) for g in db]),
        ),
        cost=lambda *args: 3 * naive_cost(*args),
    )
    assert named(target) == ["biases averaged where weights are summed"]


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("name", ["w for wᵀ", "first sample only, biases"])
def test_a_mistake_below_a_linear_last_layer_is_named(activation, name):
    mistakes = name_fault(FAULTS[name].target(activation, "mean_squared", linear=True))
    assert mistakes[0].name == name
    assert "and a linear last layer" in mistakes[0].text


def test_the_cost_is_told_without_a_factor_where_there_is_such_a_row():
    target = FAULTS["first sample only, biases"].target("tanh", "half_squared")
    strange = replace(target, activation="logistic", cost_name="mean_squared")
    assert "activation='tanh', cost_name='half_squared'" in name_fault(strange)[0].text


def test_weights_updated_on_the_way_back_are_named_by_the_step_alone():
    def step(weights, biases, x, y, learning_rate):
        a = [x]
        for w, b in zip(weights, biases, strict=True):
            a.append(naive(a[-1] @ w.T + b))
        error = 2 * (a[-1] - y) / y.size
        for k in reversed(range(len(weights))):
            error = error * a[k + 1] * (1 - a[k + 1])
            weights[k] -= learning_rate * error.T @ a[k]
            biases[k] -= learning_rate * error.sum(axis=0)
            error = error @ weights[k]  # wrong on purpose

    assert named(strangers(None, step)) == ["updated w in the backward pass"]


def test_a_target_that_raises_or_has_another_cost_is_left_unnamed():
    assert not name_fault(strangers(lambda *args: 1 / 0))
    assert not name_fault(strangers(cost=lambda *args: naive_cost(*args) ** 2))
