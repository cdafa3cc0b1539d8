"""The catalogue of faults, and whether `name_fault` names the mistake of a target."""

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
from checks.conformance.naming.observations import NETWORKS, observe
from checks.conformance.targets.target import Target
from checks.strategies import layer_sizes, problems

TEXTBOOK_COSTS = list(product(ACTIVATIONS, COSTS))
PAIRS = [pair for pair in combinations(FAULTS.values(), 2) if together(*pair)]


def named(target):
    return [mistake.name for mistake in name_fault(target)]


def equivalents(target):
    """Return the names of the faults that give the same gradient as the first one named."""
    first = name_fault(target)[0].text
    return first.partition("cannot tell it from: ")[2].rstrip(".").split("; ")


def is_wrong(target, textbook_cost, through="gradient"):
    """Whether the target is wrong; under some activations and costs a fault changes nothing."""
    with np.errstate(all="ignore"):
        return bool(Evidence(target, textbook_cost, through).wrong)


def is_reproduced(names, target, textbook_cost):
    """Whether the faults named give the target's gradient on networks that naming did not use."""
    fault = FAULTS[names[0]] if len(names) == 1 else together(*(FAULTS[name] for name in names))
    with np.errstate(all="ignore"):
        return fault is not None and all(
            agreement.compare(textbook_cost, "gradient", fault, observation)[0]
            <= agreement.TOLERANCE
            for observation in observe(target, textbook_cost, "gradient", NETWORKS, seed=1000)
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
    table = source[source.index("_CATALOGUE = (") :]
    assert table.count("# wrong on purpose") >= table.count("_fault(")


@given(
    textbook_cost=st.sampled_from(TEXTBOOK_COSTS),
    problem=problems(layer_sizes(), regime="ordinary"),
)
def test_without_a_fault_the_textbook_is_the_reference(textbook_cost, problem):
    net, theta = Network(problem.sizes, *textbook_cost), Parameters(problem.weights, problem.biases)
    arguments = problem.weights, problem.biases, problem.x, problem.y
    target, right = right_target(*textbook_cost), net.gradient(theta, problem.x, problem.y)
    assert target.cost(*arguments) == pytest.approx(net.cost(theta, problem.x, problem.y), 1e-12)
    dw, db = target.gradient(*arguments)
    for ours, theirs in zip([*dw, *db], [*right.weights, *right.biases], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-13 * np.abs(theirs).max())


def test_a_step_is_the_parameters_minus_the_gradient():
    problem = next(observe(right_target(), ("logistic", "mean_squared"), "gradient", NETWORKS))
    weights, biases = right_target().step(*problem.copies, 0.5)
    for new, old, slope in zip(
        [*weights, *biases], [*problem.weights, *problem.biases], problem.claimed, strict=True
    ):
        np.testing.assert_allclose(new, old - 0.5 * slope, rtol=1e-14)


# Names.


@settings(max_examples=max(4, settings().max_examples // 3))
@given(
    fault=st.sampled_from(list(FAULTS.values())),
    textbook_cost=st.sampled_from(TEXTBOOK_COSTS),
    through=st.sampled_from(["gradient", "step"]),
)
def test_a_planted_fault_is_named_first(fault, textbook_cost, through):
    target = fault.target(*textbook_cost)
    if through == "step":
        target = replace(target, gradient=None)
    mistakes = name_fault(target)
    note(str(mistakes))
    if not is_wrong(target, textbook_cost, through):
        assert not mistakes
    elif mistakes[0].name != fault.name:
        # under this activation and cost both faults give the same gradient on every network
        assert fault.name in equivalents(target)
        assert is_reproduced([mistakes[0].name], fault.target(*textbook_cost), textbook_cost)


@pytest.mark.parametrize("textbook_cost", TEXTBOOK_COSTS)
def test_a_right_target_has_no_fault(textbook_cost):
    assert not name_fault(right_target(*textbook_cost))


@settings(max_examples=max(1, settings().max_examples // 12), suppress_health_check=[*HealthCheck])
@given(pair=st.sampled_from(PAIRS), textbook_cost=st.sampled_from(TEXTBOOK_COSTS))
def test_two_faults_together_get_no_wrong_name(pair, textbook_cost):
    assume(all(is_wrong(fault.target(*textbook_cost), textbook_cost) for fault in pair))
    target = together(*pair).target(*textbook_cost)
    # names outside of the catalogue describe the structure of the errors and blame no fault
    names = [name for name in named(target) if name in FAULTS]
    planted = {fault.name for fault in pair}
    note(f"{planted} named {names}")
    # one fault may hide the other, and another fault may give the same gradient
    one_or_none = {*names} <= planted
    assert one_or_none or planted <= {*names} or is_reproduced(names[:2], target, textbook_cost)


def logistic(z):
    return 1 / (1 + np.exp(-z))


def their_cost(weights, biases, x, y):
    for w, b in zip(weights, biases, strict=True):
        x = logistic(x @ w.T + b)
    return np.mean((x - y) ** 2)


def their_gradient(weights, biases, x, y, slope=lambda z, a: a * (1 - a), biases_times=1.0):
    """Return a gradient as people write it, sample by sample; its rounding error is not ours."""
    dw, db = [np.zeros_like(w) for w in weights], [np.zeros_like(b) for b in biases]
    for sample, target in zip(x, y, strict=True):
        a, z = [sample], []
        for w, b in zip(weights, biases, strict=True):
            z.append(w @ a[-1] + b)
            a.append(logistic(z[-1]))
        error = 2 * (a[-1] - target) / len(target)
        for k in reversed(range(len(weights))):
            error = error * slope(z[k], a[k + 1])
            dw[k] += np.outer(error, a[k]) / len(x)
            db[k] += biases_times * error / len(x)
            error = weights[k].T @ error
    return dw, db


def stranger(gradient=their_gradient, step=None, cost=their_cost):
    return Target("a stranger's", cost, gradient, step)


def altered(change, gradient=their_gradient):
    """Return a gradient with ``change(dw, db, weights, x)`` applied to it."""

    def wrong(weights, biases, x, y):
        dw, db = gradient(weights, biases, x, y)
        return change(dw, db, weights, x)

    return wrong


@pytest.mark.parametrize(
    ("target", "name", "expected"),
    [
        (
            stranger(
                lambda *args: their_gradient(*args, slope=lambda z, a: logistic(a) * logistic(-a))
            ),
            "σ'(a) for σ'(z)",
            "on 12 of 12 networks",
        ),
        (
            stranger(altered(lambda dw, db, w, x: (dw, [len(x) * g for g in db]))),
            "1/B missing in the biases",
            "it makes no difference",
        ),
        (
            stranger(
                altered(
                    lambda dw, db, w, x: ([g + 0.02 * v for g, v in zip(dw, w, strict=True)], db)
                )
            ),
            "penalty in the gradient only",
            "λ = 0.02",
        ),
        (
            stranger(
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
            stranger(altered(lambda dw, db, w, x: (dw if len(x) > 1 else [2 * g for g in dw], db))),
            "scale",
            "On 2 of 12 networks, only where B = 1",
        ),
        (
            stranger(altered(lambda dw, db, w, x: (dw if len(x) > 1 else [g**3 for g in dw], db))),
            "unknown",
            "where B = 1",
        ),
        (
            stranger(
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
            stranger(cost=lambda *args: their_cost(*args) * args[3].size),
            "factor 1/B/n_L",
            "what ① = ∂C/∂a^L divides by",
        ),
        (
            stranger(altered(lambda dw, db, w, x: ([0.37 * g for g in dw], db))),
            "scale",
            "0.37 ×",
        ),
        (
            stranger(altered(lambda dw, db, w, x: ([dw[0] ** 3, *dw[1:]], db))),
            None,
            "",
        ),
    ],
)
def test_a_strangers_mistake_is_named_with_its_evidence(target, name, expected):
    mistakes = name_fault(target)
    assert [mistake.name for mistake in mistakes] == [name] * (name is not None)
    assert expected in "".join(mistake.text for mistake in mistakes)


def test_a_factor_before_the_cost_does_not_hide_the_mistake():
    target = stranger(
        altered(
            lambda dw, db, w, x: ([3 * g for g in dw], [3 * g / len(x) for g in db]),
        ),
        cost=lambda *args: 3 * their_cost(*args),
    )
    assert named(target) == ["biases averaged where weights are summed"]


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("name", ["w for wᵀ", "first sample only, biases"])
def test_a_mistake_below_a_linear_last_layer_is_named(activation, name):
    mistakes = name_fault(FAULTS[name].target(activation, "mean_squared", "linear"))
    assert mistakes[0].name == name
    assert "and a linear last layer" in mistakes[0].text


def test_a_cost_that_needs_no_factor_is_preferred():
    target = FAULTS["first sample only, biases"].target("tanh", "half_squared")
    misnamed = replace(target, activation="logistic", cost_name="mean_squared")
    assert "activation='tanh', cost_name='half_squared'" in name_fault(misnamed)[0].text


def test_weights_updated_on_the_way_back_are_named_by_the_step_alone():
    def step(weights, biases, x, y, learning_rate):
        a = [x]
        for w, b in zip(weights, biases, strict=True):
            a.append(logistic(a[-1] @ w.T + b))
        error = 2 * (a[-1] - y) / y.size
        for k in reversed(range(len(weights))):
            error = error * a[k + 1] * (1 - a[k + 1])
            weights[k] -= learning_rate * error.T @ a[k]
            biases[k] -= learning_rate * error.sum(axis=0)
            error = error @ weights[k]  # wrong on purpose

    assert named(stranger(None, step)) == ["updated w in the backward pass"]


def test_a_target_that_raises_is_left_unnamed():
    assert not name_fault(stranger(lambda *args: 1 / 0))


def test_of_a_cost_that_is_none_of_the_textbooks_the_structure_is_named():
    def cost(weights, biases, x, y):
        return np.log(1 + their_cost(weights, biases, x, y))

    def gradient(weights, biases, x, y):
        factor = 1 / (1 + their_cost(weights, biases, x, y))
        dw, db = their_gradient(weights, biases, x, y)
        return [-factor * g for g in dw], [-factor * g for g in db]

    assert named(stranger(gradient, cost=cost)) == ["sign"]


def test_a_penalty_that_is_subtracted_is_said_so():
    target = stranger(
        altered(lambda dw, db, w, x: ([g - 0.1 * v for g, v in zip(dw, w, strict=True)], db))
    )
    (mistake,) = name_fault(target)
    assert mistake.name == "penalty in the gradient only"
    assert "∂C/∂w^l has − λ w^l; the cost has no" in mistake.text
    assert mistake.text.endswith("λ = 0.1.")


def test_a_factor_of_the_cost_belongs_to_its_derivative():
    """Faults that are not linear in δ are seen under any factor of the cost."""
    for name in ("updated w in the backward pass", "σ'(upstream) for σ'(z)"):
        target = FAULTS[name].target("logistic", "half_squared")
        scaled_cost = replace(target, cost_name="mean_squared", gradient=None)
        assert named(scaled_cost if "updated" in name else replace(target)) == [name]


def without_biases(weights, biases, x, y, output=1.0):
    """Return a gradient without ⊙ σ'(z^L), of a cost that reads no biases."""
    a = [x]
    for w in weights:
        a.append(logistic(a[-1] @ w.T))
    error, dw = output * 2 * (a[-1] - y) / y.size, []  # wrong on purpose
    for k in reversed(range(len(weights))):
        dw.insert(0, error.T @ a[k])
        error = error @ weights[k] * a[k] * (1 - a[k])
    return dw, [0 * b for b in biases]


def test_without_biases_the_mistake_is_named_and_nothing_is_said_of_them():
    target = stranger(
        without_biases, cost=lambda w, b, x, y: their_cost(w, [0 * v for v in b], x, y)
    )
    (mistake,) = name_fault(target)
    assert mistake.name == "σ' omitted at the output"
    assert "biases" not in mistake.text.partition("Reproduces")[2]


def test_a_mistake_in_one_layer_only_is_said_to_be_there():
    def wrong(weights, biases, x, y):
        dw, db = their_gradient(weights, biases, x, y)
        return dw, [len(x) * db[0], *db[1:]]

    (mistake,) = name_fault(stranger(wrong))
    assert mistake.name == "1/B missing in the biases"
    assert "in the first layer only" in mistake.text


def test_the_last_layer_is_named_where_the_others_cannot_be():
    def wrong(weights, biases, x, y):
        dw, db = their_gradient(weights, biases, x, y)
        below = [np.cos(9 * g) for g in dw[:-1]]
        return [*below, dw[-1] * len(x)], [*db[:-1], db[-1] * len(x)]

    def cost(weights, biases, x, y):
        (w1, w2), (b1, b2) = weights, biases
        return their_cost([w1, w2], [b1, b2], x, y)

    mistakes = name_fault(stranger(wrong, cost=cost))
    assert mistakes[0].name == "1/B missing"
    assert mistakes[0].text.startswith("In the last layer: ")


@pytest.mark.parametrize(
    "cost",
    [
        ("tanh", "mean_squared", "logistic"),
        ("relu", "half_squared", "softmax"),
        ("leaky relu, 0.01", "mean_squared", "linear"),
        ("leaky relu, 0.1", "softmax_cross_entropy"),
        ("relu", "mean_squared", "tanh"),
    ],
)
def test_other_outputs_and_activations_are_recognised(cost):
    for name in ("factor 2 missing", "z for a", "σ' omitted at hidden layers"):
        target = replace(FAULTS[name].target(*cost), activation="logistic")
        found = name_fault(target)
        assert name in [mistake.name for mistake in found]  # some give one gradient here
        assert f"activation={cost[0]!r}" in found[0].text


def test_a_condition_needs_a_network_on_which_the_target_is_right():
    """Of a target that takes several outputs alone, it is not said to be wrong only with them."""

    def several(function):
        def checked(weights, biases, x, y):
            assert y.shape[1] > 1
            return function(weights, biases, x, y)

        return checked

    target = stranger(
        several(altered(lambda dw, db, w, x: ([0.37 * g for g in dw], db))),
        cost=several(their_cost),
    )
    (mistake,) = name_fault(target)
    assert "only with several outputs" not in mistake.text
