"""What single calls show the probe: what a cost reads, and whether a gradient is right."""

from dataclasses import replace

import numpy as np
import pytest

from checks.conformance.naming.faults import FAULTS, right_target
from checks.conformance.targets.probe import (
    _brought_back,
    _Candidate,
    _other,
    _Probe,
    _wanted,
    described,
    probed,
)
from checks.conformance.targets.takes import Form, Takes
from checks.conformance.targets.target import Target

HERE = _Candidate(2, 3, 2, Form(), "numbers")
RIGHT = right_target("tanh", "mean_squared")


def sigma(z):
    return 1 / (1 + np.exp(-z))


def target(cost=RIGHT.cost, gradient=RIGHT.gradient, step=None):
    return Target("mynet", cost, gradient, step)


def probe(cost=RIGHT.cost, gradient=RIGHT.gradient, step=None):
    return _Probe(target(cost, gradient, step))


def times(factor, which=slice(None)):
    def gradient(*given):
        dw, db = RIGHT.gradient(*given)
        factors = np.ones(len(dw))
        factors[which] = factor
        return [f * g for f, g in zip(factors, dw, strict=True)], db

    return gradient


@pytest.mark.parametrize("layers", [1, 2, 4])
@pytest.mark.parametrize("samples", [1, 2])
def test_a_right_gradient_is_right_along_a_line(layers, samples):
    assert probe()._weights_are_right(replace(HERE, layers=layers, samples=samples))


@pytest.mark.parametrize("factor", [-1, 0, 0.5, 2, 1.001, 0.999])
@pytest.mark.parametrize("last_only", [True, False])
def test_a_wrong_gradient_is_not(factor, last_only):
    assert not probe(gradient=times(factor))._weights_are_right(HERE, last_only)


def test_of_the_last_weights_only_they_are_looked_at():
    below = probe(gradient=times(2, slice(0, -1)))
    assert below._weights_are_right(HERE, True)
    assert not below._weights_are_right(HERE)
    assert not probe(gradient=times(2, slice(-1, None)))._weights_are_right(HERE, True)


def test_without_a_gradient_and_with_one_that_raises():
    def raising(*given):
        raise ZeroDivisionError

    assert probe(gradient=None, step=RIGHT.step)._weights_are_right(HERE)
    wrong = probe(gradient=raising)
    assert not wrong._weights_are_right(HERE)
    assert wrong._weights_fit(HERE)
    assert not wrong._gradient_fits(HERE)
    assert probe(gradient=None)._gradient_fits(HERE)
    assert probe()._gradient_fits(HERE)
    assert probe(gradient=None, step=RIGHT.step)._gradient_fits(HERE)


def test_a_form_is_that_of_the_gradient_too():
    form = Form(transposed=True)
    own = probe(
        lambda w, b, x, y: RIGHT.cost([m.T for m in w], b, x, y),
        lambda w, b, x, y: ([g.T for g in RIGHT.gradient([m.T for m in w], b, x, y)[0]], b),
    )
    assert own._weights_are_right(replace(HERE, form=form))
    assert own._gradient_fits(replace(HERE, form=form))
    assert own._weights_fit(replace(HERE, form=form))
    turned = probe(gradient=lambda *g: ([m.T for m in RIGHT.gradient(*g)[0]], []))
    assert not turned._weights_fit(HERE)


# what a cost reads


def forward(weights, biases, x, layers=None):
    for w, b in zip(weights[:layers], biases[:layers], strict=True):
        x = np.tanh(x @ w.T + b)
    return x


def error(weights, biases, x, y):
    return forward(weights, biases, x) - y


def penalized(weights, biases, x, y):
    last = np.tanh(x[:, :4] @ weights[-1].T + biases[-1])
    return ((last - y) ** 2).mean() + sum((w**2).sum() for w in weights)


UNREAD = {
    "weights[0]": (penalized, "the cost does not read weights[0]"),
    "output 0": (lambda *g: (error(*g)[:, 1:] ** 2).mean(), "the cost does not read output 0"),
    "output 2": (lambda *g: (error(*g)[:, :2] ** 2).mean(), "the cost does not read output 2"),
    "x of sample 1": (lambda w, b, x, y: (error(w, b, np.stack([x[0], x[0]]), y) ** 2).mean(),
                      "the cost does not read x of sample 1"),
    "y": (lambda w, b, x, y: (forward(w, b, x) ** 2).mean() + 1e-14 * y.sum(),
          "the cost does not read y of sample 0"),
    "order": (lambda *g: (error(*g) ** 2 * [[1.0], [2.0]]).mean(),
              "the cost depends on the order of the samples"),
    "own y": (lambda w, b, x, y: (forward(w, b, x).sum() - (y @ [1, 2, 3]).sum()) ** 2,
              "the cost does not compare each output with its own y"),
    "nan": (lambda *g: np.nan, "the cost is nan"),
    "inf": (lambda *g: -np.inf, "the cost is -inf"),
    "all": (lambda *g: (error(*g) ** 2).mean(), ""),
    "all, and a penalty": (
        lambda w, b, x, y: (error(w, b, x, y) ** 2).mean() + 7 * sum((m**2).sum() for m in w), ""),
    "a sum": (lambda *g: (error(*g) ** 2).sum(), ""),
    "negative": (lambda *g: -(error(*g) ** 2).sum(), ""),
    "offset": (lambda *g: (error(*g) ** 2).sum() - 1e3, ""),
}  # fmt: skip


@pytest.mark.parametrize("name", UNREAD)
def test_what_a_cost_does_not_read_is_said(name):
    cost, reason = UNREAD[name]
    own = probe(cost)
    found = own._unread(HERE, own._problem(HERE, 0))
    assert found == reason
    assert own._refusal(HERE) == reason


def test_what_one_network_does_not_show_another_may():
    first = probe()._problem(HERE, 0)

    def dead(weights, biases, x, y):  # on the first network alone
        alive = not np.allclose(np.abs(x / first.x), np.abs(x / first.x)[0, 0])
        return ((alive * forward(weights, biases, x) - y) ** 2).mean()

    assert probe(dead)._refusal(HERE, 1) == "the cost does not read weights[0]"
    assert probe(dead)._refusal(HERE, 2) == ""


def test_what_changes_by_rounding_is_not_read():
    quiet = probe(lambda w, b, x, y: (forward(w, b, x) ** 2).mean() * (1 + 1e-10 * y.sum()))
    assert quiet._refusal(HERE) == "the cost does not read y of sample 0"


def test_integers_are_asked_for_only_where_one_hot_is_refused():
    def classes(weights, biases, x, y):
        p = np.exp(forward(weights, biases, x))
        return -np.log((p / p.sum(axis=1, keepdims=True))[np.arange(len(x)), y]).mean()

    integers = replace(HERE, labels="integers", form=Form(integers=True))
    assert probe(classes)._refusal(integers) == ""
    both = lambda w, b, x, y: classes(w, b, x, y.argmax(1) if y.ndim > 1 else y)  # noqa: E731
    assert probe(both)._refusal(integers) == "the cost takes y one-hot, too"


@pytest.mark.parametrize("sign", [1, -1])
def test_biases_are_read_or_not(sign):
    with_biases = probe(lambda *g: sign * (error(*g) ** 2).sum())
    assert with_biases._reads_biases(HERE)
    without = probe(lambda w, b, x, y: sign * (error(w, [0 * v for v in b], x, y) ** 2).sum())
    assert not without._reads_biases(HERE)


# labels


def logits(weights, biases, x):
    return forward(weights[:-1], biases[:-1], x) @ weights[-1].T + biases[-1]


def softmax_cost(weights, biases, x, y):
    z = logits(weights, biases, x)
    return -(y * (z - np.log(np.exp(z).sum(axis=1, keepdims=True)))).sum(axis=1).mean()


def test_a_softmax_is_seen_by_a_number_added_to_all_outputs():
    shares = replace(HERE, labels="shares")
    assert probe(softmax_cost)._is_softmax(shares)
    assert probe(lambda *g: softmax_cost(*g) + 0.1 * sum((w**2).sum() for w in g[0]))._is_softmax(
        shares
    )
    assert not probe()._is_softmax(shares)
    assert not probe(softmax_cost)._is_softmax(replace(shares, outputs=1))
    no_biases = probe(lambda w, b, x, y: softmax_cost(w, [0 * v for v in b], x, y))
    assert not no_biases._reads_biases(shares)
    assert not probe(lambda w, b, x, y: RIGHT.cost(w, [0 * v for v in b], x, y))._is_softmax(shares)


def margin_cost(weights, biases, x, y):
    return np.log(1 + np.exp(-y * logits(weights, biases, x))).mean()


def test_a_margin_is_seen_by_both_signs():
    assert probe(margin_cost)._is_a_margin(HERE)
    assert not probe(softmax_cost)._is_a_margin(HERE)
    squared = probe(lambda w, b, x, y: ((logits(w, b, x) - y) ** 2).mean())
    assert squared._is_a_margin(HERE)  # it changes both signs alike
    assert not probe(lambda w, b, x, y: (sigma(logits(w, b, x)) - y).mean() ** 2)._is_a_margin(HERE)
    raising = probe(lambda w, b, x, y: 1 / 0)
    assert not raising._is_a_margin(HERE)


# a mean over samples


def test_a_gradient_of_one_sample_beside_a_mean_is_a_mistake():
    not_summed = FAULTS["biases not summed"].target("tanh").gradient
    assert probe(gradient=not_summed)._is_mean(HERE)
    total = probe(lambda *g: len(g[2]) * RIGHT.cost(*g), not_summed)
    assert not total._is_mean(HERE)
    assert not probe(gradient=times(2))._is_mean(HERE)


def test_a_gradient_of_other_layers_says_so():
    one_less = probe(gradient=lambda *g: tuple(part[1:] for part in RIGHT.gradient(*g)))
    assert one_less._fixed_layers(HERE) == "the gradient has 1 weights there"
    assert probe()._fixed_layers(HERE) == ""

    def unpacking(weights, biases, x, y):
        _, _, _ = weights
        return weights, biases

    assert probe(gradient=unpacking)._fixed_layers(HERE).startswith("ValueError: not enough")
    assert probe(gradient=lambda *g: 1 / 0)._fixed_layers(HERE) == ""
    assert probe(gradient=lambda *g: np.zeros(3).reshape(2))._fixed_layers(HERE) == ""


# small parts


@pytest.mark.parametrize(
    ("declared", "wanted"),
    [(None, [2, 1, 3]), ((1, 2), [2, 1]), ((3, 9), [3]), ((5, 9), [5]), ((2, 2), [2])],
)
def test_of_the_usual_values_those_declared_are_tried(declared, wanted):
    assert _wanted(declared, [2, 1, 3]) == wanted


@pytest.mark.parametrize(
    ("y", "labels", "other"),
    [([1.0, 2, 3], "numbers", [3, 1, 2]), ([0.25], "numbers", [-0.25]), ([1.0], "±1", [-1]),
     ([0.25], "from 0 to 1", [0.75]), ([1.0], "one-hot", [0])],
)  # fmt: skip
def test_another_y_is_of_the_same_kind(y, labels, other):
    np.testing.assert_array_equal(_other(np.array(y), labels), other)


def test_an_error_is_described_with_its_line():
    with pytest.raises(ZeroDivisionError) as caught:
        1 / 0  # noqa: B018
    line = caught.traceback[-1].lineno + 1
    assert described(caught.value) == f"ZeroDivisionError: division by zero (line {line})"
    assert described(ValueError("there")) == "ValueError: there"


@pytest.mark.parametrize(
    ("form", "labels", "samples", "like"),
    [
        (Form(), "numbers", 1, True),
        (Form(bias="(1, n)"), "numbers", 1, False),
        (Form(bias="(1, n)"), "numbers", 2, True),
        (Form(transposed=True), "numbers", 2, False),
        (Form(), "±1", 2, False),
    ],
)
def test_a_candidate_is_like_one_of_rows(form, labels, samples, like):
    assert _Candidate(2, 3, samples, form, labels).is_like(HERE) is like


def test_sizes_of_a_candidate_are_all_different():
    assert HERE.sizes() == (5, 4, 3)
    assert replace(HERE, layers=1, outputs=1).sizes() == (5, 1)
    assert replace(HERE, layers=4).sizes() == (5, 4, 6, 7, 3)


def test_problems_differ_from_sample_to_sample():
    own = probe()
    for labels, low, high in (("numbers", -1, 2), ("from 0 to 1", 0, 1), ("shares", 0, 1)):
        p = own._problem(replace(HERE, labels=labels), 0)
        assert low <= p.y.min() < p.y.max() <= high
        assert (low < 0) == (p.y.min() < 0)
        assert not np.array_equal(p.y[0], p.y[1])
        assert all((b >= 0.5).all() for b in p.biases)
    np.testing.assert_array_equal(own._problem(replace(HERE, labels="one-hot"), 1).y,
                                  [[0, 1, 0], [0, 0, 1]])  # fmt: skip
    one = replace(HERE, labels="±1", outputs=1)
    np.testing.assert_array_equal(own._problem(one, 0).y, [[-1], [1]])
    np.testing.assert_array_equal(own._problem(one, 1).y, [[1], [-1]])


def test_a_gradient_comes_back_in_the_shapes_of_the_suite():
    biases = [np.ones(3)]
    for bias, shape in (("(1, n)", (1, 3)), ("(n, 1)", (3, 1)), ("(n,)", (3,))):
        takes = Takes(form=Form(transposed=True, bias=bias))
        dw, db = _brought_back(takes, ([np.zeros((2, 3))], [np.zeros(shape)]), biases)
        assert (dw[0].shape, db[0].shape) == ((3, 2), (3,))
        _, db = _brought_back(takes, ([np.zeros((2, 3))], [np.zeros((2, 5))]), biases)
        assert db[0].shape == (2, 5)
    silent = Takes(biases=False)
    for missing in (None, [], [None]):
        _, db = _brought_back(silent, ([np.zeros((3, 2))], missing), biases)
        np.testing.assert_array_equal(db[0], [0, 0, 0])
    _, db = _brought_back(silent, ([np.zeros((3, 2))], [np.full(3, 7.0)]), biases)
    np.testing.assert_array_equal(db[0], [7, 7, 7])


def test_ranges_end_where_a_cost_refuses():
    def narrow(weights, biases, x, y):
        if not 2 <= len(weights) <= 4:
            raise ValueError("two to four")
        return RIGHT.cost(weights, biases, x, y)

    takes = probed(target(narrow)).takes
    assert takes.layers == (2, 4)
    assert set(takes.reasons) >= {"1 layer", "5 layers"}
    assert "two to four" in takes.reasons["1 layer"]

    def one_output(weights, biases, x, y):
        (_,) = biases[-1]
        (_,) = x
        return RIGHT.cost(weights, biases, x, y)

    takes = probed(target(one_output)).takes
    assert (takes.outputs, takes.samples) == ((1, 1), (1, 1))
    assert set(takes.reasons) == {"several outputs", "several samples"}


def test_declared_sizes_are_the_only_ones():
    def fixed(weights, biases, x, y):
        if [w.shape for w in weights] != [(4, 3), (2, 4)]:
            raise ValueError("fixed")
        return RIGHT.cost(weights, biases, x, y)

    declaring = replace(target(fixed), declared_takes={"sizes": (3, 4, 2)})
    takes = probed(declaring).takes
    assert (takes.sizes, takes.layers) == ((3, 4, 2), (2, 2))
    assert takes.samples[1] > 1


def test_a_gradient_may_read_classes_where_the_cost_reads_shares():
    shares = replace(HERE, labels="shares")

    def of_classes(weights, biases, x, y):
        return RIGHT.gradient(weights, biases, x, np.eye(3)[y.argmax(axis=1)])

    assert probe(softmax_cost, of_classes)._gradient_reads_classes(shares)
    assert not probe(softmax_cost)._gradient_reads_classes(shares)
    assert not probe(softmax_cost, None, RIGHT.step)._gradient_reads_classes(shares)
    assert not probe(softmax_cost, lambda *g: 1 / 0)._gradient_reads_classes(shares)
