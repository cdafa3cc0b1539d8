"""The whole text of a name: what the mistake is, and how that is known."""

import re
from dataclasses import replace

import numpy as np
import pytest

from checks.conformance.naming import name_fault
from checks.conformance.naming.evidence import Evidence
from checks.conformance.naming.faults import FAULTS, right_target, together
from checks.conformance.naming.observations import NETWORKS, SATURATED, TextbookCost

RIGHT = right_target("tanh", "mean_squared")
ALL = len(NETWORKS)


def named(target):
    """Return names and texts, with # for how exactly a gradient is reproduced."""
    return [(m.name, re.sub(r"(?<= to )(\de-\d+|the last bit)", "#", m.text))
            for m in name_fault(target)]  # fmt: skip


def changed(change, step=False):
    """Return a right target whose gradient is changed by a function of it and of its arguments."""

    def gradient(*given):
        dw, db = RIGHT.gradient(*given)
        return change(dw, db, *given)

    return replace(RIGHT, gradient=gradient)


def times(factor):
    return lambda dw, db, *given: (
        [factor(*given) * g for g in dw],
        [factor(*given) * g for g in db],
    )


def text(name, rest, whose="your gradient"):
    return name, f"{FAULTS[name].text} Reproduces {whose} to # on {rest}"


@pytest.mark.parametrize("through", ["gradient", "step"])
@pytest.mark.parametrize(
    ("name", "rest"),
    [
        ("factor 2 extra", f"{ALL} of {ALL} networks."),
        ("biases forgotten", f"{ALL} of {ALL} networks."),
        ("first layer zero", f"{ALL} of {ALL} networks."),
        ("σ' omitted at hidden layers", f"{ALL} of {ALL} networks, on 2 of which it makes no "
         "difference."),
        ("z for a", f"{ALL} of {ALL} networks, on 2 of which it makes no difference."),
        ("penalty in the gradient only", f"{ALL} of {ALL} networks; λ = 0.01."),
    ],
)  # fmt: skip
def test_a_fault_of_the_catalogue(name, rest, through):
    target = FAULTS[name].target("tanh", "mean_squared")
    whose = "your gradient"
    if through == "step":
        target, whose = replace(target, gradient=None), "what your step implies"
    assert named(target)[0] == text(name, rest, whose)


def test_a_penalty_that_is_subtracted_has_its_sign_in_the_text():
    lam = 0.037
    found = named(changed(lambda dw, db, w, *rest: (
        [g - lam * v for g, v in zip(dw, w, strict=True)], db)))  # fmt: skip
    advice = FAULTS["penalty in the gradient only"].text.replace("+ λ", "− λ")
    assert found == [("penalty in the gradient only",
                      f"{advice} Reproduces your gradient to # on {ALL} of {ALL} networks; λ = "
                      "0.037.")]  # fmt: skip


def test_a_penalty_over_the_samples():
    found = named(changed(lambda dw, db, w, b, x, y: (
        [g + 0.3 / len(x) * v for g, v in zip(dw, w, strict=True)], db)))  # fmt: skip
    assert found[0][1].endswith(f"on {ALL} of {ALL} networks; λ/B, λ = 0.3.")


def test_a_fault_under_a_condition():
    wrong = FAULTS["biases forgotten"].target("tanh", "mean_squared")
    found = named(changed(
        lambda dw, db, *given: wrong.gradient(*given) if len(given[2]) == 1 else (dw, db)
    ))  # fmt: skip
    rest = f"2 of 2 networks where B = 1; on the other {ALL - 2} your gradient is right."
    assert found == [text("biases forgotten", rest)]


def test_a_factor_that_is_in_no_row():
    found = named(changed(times(lambda w, b, x, y: 0.5 * len(x) * y.shape[1])))
    assert found == [
        ("factor ½·B·n_L", "Your gradient is ½·B·n_L × that of your cost, in every entry on "
         f"{ALL} of {ALL} networks: compare what the cost divides by with what ① = ∂C/∂a^L divides "
         "by.")
    ]  # fmt: skip


def test_two_mistakes_together():
    one, other = FAULTS["σ' omitted at hidden layers"], FAULTS["biases forgotten"]
    found = named(together(one, other).target("tanh", "mean_squared"))
    assert {name for name, _ in found} == {one.name, other.name}
    for _, what in found:
        assert what.startswith(f"Two mistakes together. {one.text} And: {other.text} Reproduces")


def test_what_the_cost_is_where_the_target_does_not_say():
    book = FAULTS["factor 2 extra"].textbook("tanh", "half_squared")
    target = replace(RIGHT, activation="logistic", cost_name="mean_squared", names=frozenset(),
                     cost=book.cost, gradient=book.gradient)  # fmt: skip
    ((name, what),) = named(target)
    assert name == "factor 2 extra"
    assert what.endswith("networks. (Your cost is that of activation='tanh', cost_name="
                         "'half_squared'.)")  # fmt: skip
    book = FAULTS["biases forgotten"].textbook("tanh", "mean_squared", "softmax")
    target = replace(target, cost=book.cost, gradient=book.gradient)
    assert named(target)[0][1].endswith("cost_name='mean_squared' and a softmax last layer.)")


def test_a_factor_of_all_layers_is_no_clipping_of_the_last():
    found = named(changed(times(lambda *given: 0.37)))
    assert [name for name, _ in found] == ["scale"]
    assert found[0][1].startswith(f"On {ALL} of {ALL} networks; on the first of them: weights[0], ")


def test_an_unknown_structure_is_told_of_every_network():
    rng = np.random.default_rng(0)
    single = changed(lambda dw, db, w, b, x, y: ([g + rng.standard_normal(g.shape) for g in dw], db)
                     if len(x) == 1 else (dw, db))  # fmt: skip
    assert named(single) == [
        ("unknown", f"Right on {ALL - 2} networks and wrong on others, only where B = 1: look at "
         "what your code does differently there.")
    ]  # fmt: skip


def test_the_last_layer_may_be_named_alone():
    rng = np.random.default_rng(0)
    half = FAULTS["factor 2 missing"].target("tanh", "mean_squared")

    def gradient(*given):
        dw, db = half.gradient(*given)
        below = [g * rng.uniform(2, 3, g.shape) for g in dw[:-1]]
        return [*below, dw[-1]], [*(g * rng.uniform(2, 3, g.shape) for g in db[:-1]), db[-1]]

    found = named(replace(RIGHT, gradient=gradient))
    assert found[0][0] == "factor 2 missing"
    assert found[0][1].startswith(
        f"In the last layer: {FAULTS['factor 2 missing'].text} This gives your ∂C/∂w^L and ∂C/∂b^L "
        "on every network. The layers below have another mistake; look at it once this one is "
        "mended."
    )


def test_saturated_networks_are_seen_where_ordinary_ones_show_nothing():
    book = TextbookCost("tanh", "mean_squared")
    right = Evidence(RIGHT, book, "gradient")
    assert (right.regime, len(right.observations), right.wrong) == ("saturated", len(SATURATED), [])
    assert Evidence(RIGHT, book, "step").regime == "ordinary"
    wrong = Evidence(FAULTS["factor 2 extra"].target(*book[:2]), book, "gradient")
    assert (wrong.regime, len(wrong.wrong), wrong.conditions) == ("ordinary", ALL, [])
    one = Evidence(FAULTS["batch of one squeezed"].target(*book[:2]), book, "gradient")
    assert one.conditions == ["where B = 1"]
    assert {len(o.x) for o in one.wrong} == {1}


def test_faults_that_are_alike_are_grouped():
    evidence = Evidence(FAULTS["factor 2 extra"].target("tanh", "mean_squared"),
                        TextbookCost("tanh", "mean_squared"), "gradient")  # fmt: skip
    faults = [FAULTS[name] for name in ("1 − a² for σ'", "factor 2 extra", "w for wᵀ")]
    again = replace(FAULTS["factor 2 extra"], name="again")
    groups = evidence.distinct([*faults, again])
    assert {fault.name: names for fault, names in groups.items()} == {
        "factor 2 extra": ["again"], "w for wᵀ": []
    }  # fmt: skip
