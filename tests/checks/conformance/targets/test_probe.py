"""What the probe finds, where a wrong form would fit by chance, and what a target declares."""

from types import SimpleNamespace

import numpy as np
import pytest

from checks.conformance.naming.faults import FAULTS, right_target
from checks.conformance.suite import test_gradient as suite
from checks.conformance.suite.failure import ConformanceError, TargetRaisesError
from checks.conformance.suite.smallest_failure import Networks
from checks.conformance.suite.verify import verify
from checks.conformance.targets.probe import probed
from checks.conformance.targets.takes import Takes
from checks.conformance.targets.target import TargetError, as_target

FEW = Networks((1, 3), (2, 4), (1, 4), examples=8)


def target(cost, gradient=lambda *given: given[:2], **attributes):
    return as_target(SimpleNamespace(cost=cost, gradient=gradient, **attributes), "mynet")


def test_the_reference_takes_everything():
    assert probed(right_target()).takes == Takes()
    assert str(Takes()) == (
        "takes 1 to 7 layers; one output or several; one sample or several; y of any numbers"
    )


def test_a_probed_target_is_not_probed_again():
    once = probed(right_target())
    assert probed(once) is once


def first_output(weights, biases, x, y):
    """Read one output of any number, and y of (B,); the penalty reads all weights."""
    hidden = np.tanh(x @ weights[0].T + biases[0])
    error = (hidden @ weights[1].T + biases[1])[:, 0] - y
    return np.mean(error**2) + 0.01 * sum((w**2).sum() for w in weights)


def last_sample(weights, biases, x, y):
    for w, b in zip(weights, biases, strict=True):
        x = np.tanh(x @ w.T + b)
    return ((x[-1] - y[-1]) ** 2).sum()


def class_of_each(weights, biases, x, y):
    p = np.exp(x @ weights[0].T + biases[0])
    return -np.log((p / p.sum(axis=1, keepdims=True))[range(len(x)), y]).mean()


def only_between_0_and_1(weights, biases, x, y):
    p = 1 / (1 + np.exp(-(x @ weights[0].T + biases[0])))
    return (y * np.log(y / p) + (1 - y) * np.log((1 - y) / (1 - p))).mean()


def threshold(weights, biases, x, y):
    p = 1 / (1 + np.exp(-(x @ weights[0].T + biases[0])))
    return -np.where(y == 1, np.log(p), np.log(1 - p)).mean()


@pytest.mark.parametrize(
    ("cost", "says"),
    [
        (first_output, "2 layers; one output; one sample or several; y of any numbers; y of (B,)"),
        (last_sample, "1 to 7 layers; one output or several; one sample at a time"),
        (class_of_each, "1 layer; several outputs; one sample or several; y of integer classes"),
        (only_between_0_and_1, "1 layer; one output or several; one sample or several; y from 0 "),
        (threshold, "y one-hot (0 or 1)"),
    ],
)
def test_what_a_cost_takes(cost, says):
    assert says in str(probed(target(cost)).takes)


@pytest.mark.parametrize(
    "cost",
    [
        lambda *given: 1.0,
        lambda weights, biases, x, y: (x @ weights[0].T).sum(),  # reads no y
        lambda weights, biases, x, y: np.nan,
        lambda weights, biases, x, y: x @ weights[0].T,
        lambda weights, biases, x, y: 1 / 0,
    ],
    ids=["constant", "no y", "nan", "an array", "raises"],
)
def test_what_takes_nothing(cost):
    assert not probed(target(cost)).takes.known


def two_layers(fault, has_biases):
    """Return a target of exactly two layers with a fault, or with biases of 0 that it ignores."""
    textbook = fault.target("tanh", "mean_squared")

    def called(function):
        def with_two_layers(weights, biases, x, y):
            _, _ = weights  # raises for any other number
            return function(weights, biases if has_biases else [0 * b for b in biases], x, y)

        return with_two_layers

    def gradient(*given):
        dw, db = called(textbook.gradient)(*given)
        return dw, db if has_biases else []

    return target(called(textbook.cost), gradient)


@pytest.mark.parametrize("has_biases", [True, False])
@pytest.mark.parametrize(
    "name", ["biases not summed", "w for wᵀ", "outer product transposed", "1/B missing"]
)
def test_a_wrong_shape_or_size_makes_no_other_form(name, has_biases):
    wrong = two_layers(FAULTS[name], has_biases)
    expected = "takes 2 layers; one output or several; one sample or several; "
    expected += "" if has_biases else "no biases are read; "
    assert str(probed(wrong).takes) == expected + "y of any numbers"
    if has_biases or name != "biases not summed":
        with pytest.raises(ConformanceError, match="fails"):
            verify(wrong, "it is right", FEW)


def test_a_gradient_of_biases_that_the_cost_does_not_read_is_wrong():
    right = right_target("tanh")

    def cost(weights, biases, x, y):
        return right.cost(weights, [0 * b for b in biases], x, y)

    def gradient(weights, biases, x, y):
        return right.gradient(weights, [0 * b for b in biases], x, y)

    with pytest.raises(ConformanceError, match=r"forward\s+pass\s+of\s+the\s+cost"):
        verify(target(cost, gradient), "it is right", FEW)


# What a target declares.


def two(weights, biases, x, y):
    (w1, w2), (b1, b2) = weights, biases
    return np.mean((np.tanh(x @ w1.T + b1) @ w2.T + b2 - y) ** 2)


def gradient_of_two(weights, biases, x, y):
    (w1, w2), (b1, b2) = weights, biases
    h = np.tanh(x @ w1.T + b1)
    d = 2 * (h @ w2.T + b2 - y) / y.size
    e = d @ w2 * (1 - h * h)
    return [e.T @ x, d.T @ h], [e.sum(axis=0), d.sum(axis=0)]


def test_what_a_target_declares_counts():
    declaring = target(two, gradient_of_two, takes={"layers": (1, 2)})
    assert "1 to 2 layers" in str(probed(declaring).takes)
    with pytest.raises(TargetRaisesError, match="not enough values to unpack"):
        suite.test_every_entry_is_the_derivative_of_the_cost(declaring, "one-layer")
    with pytest.raises(pytest.skip.Exception, match="not taken: with 6 layers"):
        suite.test_every_entry_is_the_derivative_of_the_cost(declaring, "deep")


def fixed_sizes(weights, biases, x, y):
    return two([w.reshape(s) for w, s in zip(weights, ((4, 3), (1, 4)), strict=True)], biases, x, y)


def test_sizes_are_declared_where_there_are_no_others():
    assert not probed(target(fixed_sizes, gradient_of_two)).takes.known
    declaring = target(fixed_sizes, gradient_of_two, takes={"sizes": (3, 4, 1)})
    assert "sizes (3, 4, 1) alone" in str(probed(declaring).takes)
    suite.test_every_entry_is_the_derivative_of_the_cost(declaring, "random-shapes")
    for kind in ("one-neuron", "square-layers", "deep"):
        with pytest.raises(pytest.skip.Exception, match="not taken: "):
            suite.test_every_entry_is_the_derivative_of_the_cost(declaring, kind)


def test_one_output_is_advised_where_that_alone_is_right():
    def gradient(weights, biases, x, y):
        dw, db = gradient_of_two(weights, biases, x, y)
        return [y.shape[1] * g for g in dw], [y.shape[1] * g for g in db]

    with pytest.raises(ConformanceError) as caught:
        verify(target(two, gradient), "it is right", Networks())
    assert 'takes = {"outputs": 1}' in " ".join(str(caught.value).split())
    verify(target(two, gradient, takes={"outputs": 1}), "it is right", Networks())


@pytest.mark.parametrize(
    ("takes", "said"),
    [
        (3, "takes is 3: wanted a dict"),
        ({"depth": 2}, "takes has 'depth': wanted some of layers, outputs, samples, sizes"),
        ({"layers": (2, 1)}, "takes['layers'] is (2, 1): wanted a number, or (least, most)"),
        ({"layers": 0}, "takes['layers'] is 0: wanted a number, or (least, most)"),
        ({"sizes": 3}, "takes['sizes'] is 3: wanted the widths (n_0, …, n_L)"),
        ({"biases": "no"}, "takes['biases'] is 'no': wanted True or False"),
        ({"labels": "ints"}, "takes['labels'] is 'ints': wanted one of 'numbers', 'from 0 to 1',"),
        ({"weights": "in, out"}, "wanted one of '(out, in)', '(in, out)'"),
    ],
)
def test_what_cannot_be_declared_is_said(takes, said):
    with pytest.raises(TargetError) as caught:
        target(two, takes=takes)
    assert said in caught.value.problem
