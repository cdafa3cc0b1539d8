import pickle

import numpy as np
import pytest
from hypothesis import given, settings

from backprop import Network
from tests.backprop.problems import as_complex, problems
from tests.exact import exact_cost


def test_the_notes_by_hand():
    net = Network((1, 1))
    theta = net.random_parameters(np.random.default_rng(0))
    theta.weights[0][...], theta.biases[0][...] = 2, -1
    a = 1 / (1 + np.exp(-5.0))  # z = 2·3 − 1
    assert net.forward(theta, [3]) == pytest.approx(a, rel=1e-15)
    assert net.cost(theta, [3], [1]) == pytest.approx((a - 1) ** 2, rel=1e-13)
    grad = net.gradient(theta, [3], [1])
    assert grad.biases[0] == pytest.approx(2 * (a - 1) * a * (1 - a), rel=1e-13)
    assert grad.weights[0] == pytest.approx(3 * grad.biases[0][:, None], rel=1e-15)


@settings(max_examples=200, deadline=None)
@given(problem=problems())
def test_cost_is_exact(problem):
    net, theta, x, y = problem
    cost = net.cost(theta, x, y)
    assert type(cost) is float
    np.testing.assert_allclose(cost, float(exact_cost(net, theta, x, y)), rtol=1e-12, atol=1e-300)
    complex_cost = net.cost(as_complex(theta), x, y)
    assert type(complex_cost) is complex
    np.testing.assert_allclose(complex_cost, cost, rtol=1e-12)


@given(problem=problems())
def test_forward_takes_one_sample_or_a_batch(problem):
    net, theta, x, _ = problem
    rows = net.forward(theta, x)
    assert rows.shape == (len(x), net.sizes[-1])
    np.testing.assert_allclose(net.forward(theta, x[0]), rows[0], rtol=1e-13, atol=1e-13)


def test_forward_gives_logits_under_a_cross_entropy():
    for cost in ("cross_entropy", "softmax_cross_entropy"):
        net = Network((1, 1), "logistic", cost)
        theta = net.random_parameters(np.random.default_rng(0))
        z = theta.weights[0][0] * 3 + theta.biases[0]
        np.testing.assert_array_equal(net.forward(theta, [3]), z)


def test_a_value():
    net = Network([2, np.int64(3)], cost="half_squared")
    assert repr(net) == "Network(sizes=(2, 3), activation='logistic', cost='half_squared')"
    assert eval(repr(net)) == net == pickle.loads(pickle.dumps(net))
    assert hash(net) == hash(Network((2, 3), "logistic", "half_squared"))
    assert net != Network((2, 3))
    assert net.L == 1


def test_random_parameters_have_the_scale_they_claim():
    net = Network((400, 300, 200))
    theta = net.random_parameters(np.random.default_rng(0), scale=2)
    for w, b in zip(theta.weights, theta.biases, strict=True):
        assert w.std() * w.shape[1] ** 0.5 == pytest.approx(2, rel=0.02)
        assert b.std() == pytest.approx(2, rel=0.2)
    single = net.random_parameters(np.random.default_rng(0), scale=2, dtype=np.float32)
    np.testing.assert_array_equal(single.ravel(), theta.ravel().astype(np.float32))
