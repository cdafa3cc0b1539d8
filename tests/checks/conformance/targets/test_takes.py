"""Forms of arrays, kinds of y, and the networks that a target takes."""

from dataclasses import replace

import numpy as np
import pytest

from checks.conformance.suite.smallest_failure import Networks
from checks.conformance.targets.problems import labelled, rounded_problem, with_shares
from checks.conformance.targets.takes import LABELS, MANY, Form, Takes
from checks.strategies import Problem

P = Problem.generate((3, 4, 2), 5, seed=0)
ONE = Problem.generate((3, 4, 1), 5, seed=0)

FORMS = {
    Form(): "",
    Form(transposed=True): "w of (n_{l−1}, n_l)",
    Form(bias="(1, n)"): "b of (1, n)",
    Form(samples="columns", bias="(n, 1)"): "b of (n, 1), samples as columns",
    Form(samples="vector"): "x and y of one sample as vectors",
    Form(transposed=True, flat=True): "w of (n_{l−1}, n_l), y of (B,)",
    Form(samples="columns", flat=True): "samples as columns, y of (B,)",
    Form(samples="vector", flat=True): "x and y of one sample as vectors",
    Form(integers=True): "",
    Form(samples="columns", integers=True): "samples as columns",
}


@pytest.mark.parametrize("form", FORMS, ids=repr)
def test_a_form_does_what_its_lines_and_its_text_say(form):
    assert str(form) == FORMS[form]
    problem = ONE if form.flat else P
    w, b, x, y = problem.weights, problem.biases, problem.x, problem.y
    if form.integers:
        y = np.eye(2)[[0, 1, 1, 0, 1]]
    names = {"weights": w, "biases": b, "x": x, "y": y}
    exec("\n".join(form.lines()), {"np": np}, names)
    for given, own in zip(form.given(w, b, x, y), names.values(), strict=True):
        for one, other in zip(given, own, strict=True) if isinstance(own, list) else [(given, own)]:
            np.testing.assert_array_equal(one, other)
    weights, biases, x_given, y_given = form.given(w, b, x, y)
    assert weights[0].shape == ((3, 4) if form.transposed else (4, 3))
    assert biases[0].shape == {"(n,)": (4,), "(1, n)": (1, 4), "(n, 1)": (4, 1)}[form.bias]
    assert x_given.shape == {"rows": (5, 3), "columns": (3, 5), "vector": (3,)}[form.samples]
    if form.integers:
        assert (y_given == [0, 1, 1, 0, 1]).all()
        assert y_given.dtype.kind == "i"
    elif form.flat:
        assert np.shape(y_given) == (() if form.samples == "vector" else (5,))
    else:
        assert y_given.shape == {"rows": (5, 2), "columns": (2, 5), "vector": (2,)}[form.samples]
    again = form.weights(weights)
    assert all(np.shares_memory(one, other) for one, other in zip(again, w, strict=True))
    assert again[0].shape == (4, 3)


def test_classes_of_one_output_are_0_and_1():
    y = np.array([[0.0], [1], [1]])
    x = np.zeros((3, 2))
    np.testing.assert_array_equal(Form(integers=True).batch(x, y)[1], [0, 1, 1])
    names = {"x": x, "y": y, "weights": [], "biases": []}
    exec("\n".join(Form(integers=True).lines()), {"np": np}, names)
    np.testing.assert_array_equal(names["y"], [0, 1, 1])


@pytest.mark.parametrize(
    ("takes", "sizes", "nearest"),
    [
        (Takes(), (5, 4, 6, 3), (5, 4, 6, 3)),
        (Takes(sizes=(2, 3)), (5, 4, 6, 3), (2, 3)),
        (Takes(layers=(1, 1)), (5, 4, 6, 3), (5, 3)),
        (Takes(layers=(2, 2)), (5, 4, 6, 3), (5, 4, 3)),
        (Takes(layers=(4, 5)), (5, 4, 6, 3), (5, 4, 6, 6, 3)),
        (Takes(layers=(3, 5)), (5, 3), (5, 5, 5, 3)),
        (Takes(layers=(3, 3)), (2, 6), (2, 6, 6, 6)),
        (Takes(outputs=(1, 1)), (5, 4, 3), (5, 4, 1)),
        (Takes(outputs=(2, MANY)), (5, 4, 1), (5, 4, 2)),
    ],
)
def test_the_nearest_sizes_that_are_taken(takes, sizes, nearest):
    assert takes.nearest(sizes) == nearest


@pytest.mark.parametrize(
    ("takes", "text"),
    [
        (Takes(layers=(2, 2)), "takes 2 layers; one output or several; one sample or several; y "
         "of any numbers"),
        (Takes(layers=(1, 1), outputs=(1, 1), samples=(1, 1)),
         "takes 1 layer; one output; one sample at a time; y of any numbers"),
        (Takes(layers=(1, 3), outputs=(2, MANY), samples=(2, MANY), biases=False, labels="±1"),
         "takes 1 to 3 layers; several outputs; several samples; no biases are read; y of ±1"),
        (Takes(outputs=(2, 5), samples=(3, 4)),
         "takes 1 to 7 layers; 2 to 5 outputs; 3 to 4 samples; y of any numbers"),
        (Takes(sizes=(2, 3, 1), form=Form(transposed=True), labels="integers"),
         "takes sizes (2, 3, 1) alone; one sample or several; y of integer classes (B,); w of "
         "(n_{l−1}, n_l)"),
        (Takes(known=False), "takes none of the networks that the suite draws"),
    ],
)  # fmt: skip
def test_what_is_taken_is_said_in_a_line(takes, text):
    assert str(takes) == text


@pytest.mark.parametrize(
    ("noun", "least", "most", "text"),
    [
        ("layer", 1, 1, "with 1 layer: too few"),
        ("layer", 2, 4, "with 3 layers: none"),
        ("layer", 6, 7, "with 6 layers: it takes 1 to 7 layers; one output or several; one sample "
         "or several; y of any numbers"),
        ("output", 1, 1, "with one output: raises"),
        ("sample", 2, 9, "with several samples: it takes 1 to 7 layers; one output or several; one "
         "sample or several; y of any numbers"),
    ],
)  # fmt: skip
def test_why_a_network_is_not_taken(noun, least, most, text):
    reasons = {"1 layer": "too few", "3 layers": "none", "one output": "raises"}
    assert Takes(reasons=reasons).why_not(noun, least, most) == text


@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("outputs", [1, 3])
def test_an_example_has_short_numbers_and_y_of_the_kind(labels, outputs):
    takes = Takes(labels=labels, samples=(2, 4), outputs=(outputs, outputs))
    p = takes.example((4, 5, 2), 9, number=3)
    assert (p.sizes, len(p.x)) == ((4, 5, outputs), 4)
    assert len(takes.example((4, 5, 2), 1).x) == 2
    assert all(float(f"{v:.1e}") == v for w in (*p.weights, *p.biases, p.x) for v in w.flat)
    y = p.y
    if labels == "±1":
        assert set(y.flat) <= {-1, 1}
    elif labels in ("one-hot", "integers"):
        assert set(y.flat) <= {0, 1}
    elif outputs == 1 and labels != "shares":
        assert ((y >= 0.01) & (y <= 0.99)).all()
    else:
        np.testing.assert_allclose(y.sum(axis=1), 1)
    if outputs > 1 and labels in ("one-hot", "integers"):
        assert (y.sum(axis=1) == 1).all()
    assert p.biases[0].any()
    assert not replace(takes, biases=False).example((4, 5, 2), 3).biases[0].any()


def test_what_is_declared_counts():
    takes = Takes().with_declared({"layers": (2, 3), "weights": "(in, out)", "x": "rows"})
    assert takes.layers == (2, 3)
    assert takes.declared == {"layers", "weights", "x"}


# kinds of y


def with_y(y):
    return replace(P if len(y[0]) > 1 else ONE, y=np.array(y, np.float32))


@pytest.mark.parametrize(
    ("labels", "y", "expected"),
    [
        ("numbers", [[-2.0, 7.0]], [[-2, 7]]),
        ("from 0 to 1", [[-2.25, 7.0]], [[0.25, 0.01]]),
        ("from 0 to 1", [[0.999, -0.5]], [[0.99, 0.5]]),
        ("one-hot", [[-2.0, 7.0], [3, 1]], [[0, 1], [1, 0]]),
        ("integers", [[-2.0, 7.0]], [[0, 1]]),
        ("±1", [[-2.0, 7.0]], [[-1, 1]]),
        ("±1", [[0.6], [0.5], [-3]], [[1], [-1], [-1]]),
        ("one-hot", [[0.6], [0.5], [-3]], [[1], [0], [0]]),
        ("shares", [[1.0, 3.0], [-3, 1]], [[0.24, 0.76], [0.76, 0.24]]),
        ("shares", [[1.0, 1e-9]], [[0.99, 0.01]]),
        ("shares", [[0.3]], [[1]]),
    ],
)
def test_y_become_of_a_kind(labels, y, expected):
    found = labelled(with_y(y), labels)
    assert found.y.dtype == np.float32
    np.testing.assert_allclose(found.y, expected, rtol=1e-6)


def test_shares_are_hundredths_near_the_sizes_of_y():
    y = np.random.default_rng(0).standard_normal((50, 4))
    found = with_shares(replace(P, y=y)).y
    sizes = np.abs(y) / np.abs(y).sum(axis=1, keepdims=True)
    assert np.abs(found - sizes).max() < 0.05
    assert (np.abs(100 * found - np.rint(100 * found)) < 1e-9).all()


def test_rounded_problems_are_those_generated():
    p = rounded_problem((3, 4, 2), 5, "ordinary", 7)
    own = Problem.generate((3, 4, 2), 5, "ordinary", 7)
    assert (p.sizes, p.regime, p.seed) == ((3, 4, 2), "ordinary", 7)
    for one, other in zip((*p.weights, *p.biases, p.x, p.y),
                          (*own.weights, *own.biases, own.x, own.y), strict=True):  # fmt: skip
        np.testing.assert_allclose(one, other, rtol=0.051)


# networks of a kind


@pytest.mark.parametrize(
    ("networks", "takes", "bounds"),
    [
        (Networks((1, 3), (2, 4), (2, 5)), Takes(), ((1, 3), (2, 5))),
        (Networks((1, 3), (2, 4), (2, 5)), Takes(layers=(2, 2)), ((2, 2), (2, 5))),
        (Networks((1, 3), (2, 4), (2, 5)), Takes(layers=(4, 6)), ((4, 4), (2, 5))),
        (Networks((6, 7), (2, 4), (2, 5)), Takes(layers=(1, 3)), ((3, 3), (2, 5))),
        (Networks((1, 3), (2, 4), (2, 5)), Takes(samples=(1, 1)), ((1, 3), (1, 1))),
        (Networks((1, 3), (2, 4), (2, 5)), Takes(samples=(3, MANY)), ((1, 3), (3, 5))),
    ],
)
def test_networks_are_moved_to_what_is_taken(networks, takes, bounds):
    found = networks.within(takes)
    assert (found.layers, found.samples) == bounds
    assert found.takes is takes


@pytest.mark.parametrize(
    ("networks", "takes", "said"),
    [
        (Networks(layers=(6, 7), needs=("layers",)), Takes(layers=(1, 3)), "with 6 layers: it ta"),
        (Networks(samples=(1, 1), needs=("samples",)), Takes(samples=(2, 9)), "with one sample: i"),
        (Networks(widths=(1, 1), needs=("widths",)), Takes(outputs=(2, MANY)), "with one output:"),
        (
            Networks(widths=(1, 1), needs=("widths",)),
            Takes(sizes=(2, 3)),
            "it takes sizes (2, 3) a",
        ),
        (Networks(equal_widths=True), Takes(sizes=(2, 3)), "it takes sizes (2, 3) alone"),
        (Networks(regimes=("vanishing",)), Takes(layers=(1, 1)), "with 2 layers: it takes 1 layer"),
    ],
)
def test_networks_of_a_kind_that_is_not_taken(networks, takes, said):
    assert networks.within(takes).startswith(said)


@pytest.mark.parametrize(
    ("networks", "takes"),
    [
        (Networks(layers=(6, 7), needs=("layers",)), Takes(layers=(1, 6))),
        (Networks(widths=(1, 1), needs=("widths",)), Takes(outputs=(1, MANY))),
        (Networks(widths=(1, 1)), Takes(outputs=(2, MANY))),
        (Networks(widths=(1, 1)), Takes(sizes=(2, 3))),
        (Networks(regimes=("vanishing",)), Takes(layers=(1, 2))),
        (Networks(regimes=("vanishing", "ordinary")), Takes(layers=(1, 1))),
    ],
)
def test_networks_that_are_taken_nearly(networks, takes):
    assert isinstance(networks.within(takes), Networks)
