"""Objects that keep their parameters in attributes, as targets."""

from types import SimpleNamespace

import numpy as np
import pytest

from checks.conformance import from_object
from checks.conformance.suite.smallest_failure import Networks
from checks.conformance.suite.verify import verify
from checks.conformance.targets.probe import probed


def arrays(*shapes):
    rng = np.random.default_rng(0)
    return [rng.standard_normal(shape) for shape in shapes]


class Net:
    """Two layers of samples in rows, the gradient in attributes."""

    def __init__(self):
        self.W1, self.b1, self.W2, self.b2 = arrays((4, 3), (1, 4), (2, 4), (1, 2))

    def loss(self, x, y):
        self.x, self.y = x, y
        self.h = np.tanh(x @ self.W1.T + self.b1)
        self.p = self.h @ self.W2.T + self.b2
        return ((self.p - y) ** 2).mean()

    def backward(self):
        d = 2 * (self.p - self.y) / self.y.size
        self.dW2, self.db2 = d.T @ self.h, d.sum(axis=0, keepdims=True)
        d = d @ self.W2 * (1 - self.h**2)
        self.dW1, self.db1 = d.T @ self.x, d.sum(axis=0, keepdims=True)

    def both(self, x, y):
        cost = self.loss(x, y)
        self.backward()
        return cost, {name: getattr(self, f"d{name}") for name in NAMES}


NAMES = ["W1", "b1", "W2", "b2"]


def of_attributes():
    return from_object(Net(), NAMES, loss="loss", gradient="backward")


def of_a_pair():
    net = Net()
    return from_object(net, NAMES, loss=net.both)


def of_an_inner_object():
    outer = SimpleNamespace(inner=Net())
    names = [f"inner.{name}" for name in NAMES]

    def gradient(x, y):
        outer.inner.backward()
        return [getattr(outer.inner, f"d{name}") for name in NAMES]

    return from_object(outer, names, loss=outer.inner.loss, gradient=gradient)


def of_lists():
    net = SimpleNamespace(weights=arrays((4, 3), (2, 4)), biases=arrays((4,), (2,)))
    inner = Net()

    def both(x, y):
        inner.W1, inner.W2 = net.weights
        inner.b1, inner.b2 = net.biases
        _, grads = inner.both(x, y)
        db = [grads["b1"][0], grads["b2"][0]]
        return inner.loss(x, y), {"weights": [grads["W1"], grads["W2"]], "biases": db}

    return from_object(net, ["weights", "biases"], loss=both)


def of_a_dict_of_a_vector_and_a_number():
    params = {"w": np.array([0.5, -0.2, 0.1]), "b": 0.3}

    def both(x, y):
        a = 1 / (1 + np.exp(-(x @ params["w"] + params["b"])))
        cost = -np.mean(y * np.log(a) + (1 - y) * np.log(1 - a))
        return cost, {"w": (a - y) @ x / len(y), "b": (a - y).mean()}

    return from_object(params, ["w", "b"], loss=both)


OBJECTS = [
    of_attributes,
    of_a_pair,
    of_an_inner_object,
    of_lists,
    of_a_dict_of_a_vector_and_a_number,
]


@pytest.mark.parametrize("make", OBJECTS)
def test_an_object_is_judged(make):
    target = make()
    assert probed(target).takes.known
    verify(target, "it is right", Networks(examples=6))


def test_the_object_is_left_as_it_was():
    net = Net()
    before = [getattr(net, name) for name in NAMES]
    copies = [array.copy() for array in before]
    target = from_object(net, NAMES, loss=net.loss, gradient=net.backward)
    weights, biases = arrays((4, 3), (2, 4)), arrays((1, 4), (1, 2))
    target.gradient(weights, biases, np.ones((5, 3)), np.ones((5, 2)))
    with pytest.raises(ValueError, match="mismatch"):
        target.cost(weights, biases, np.ones((5, 4)), np.ones((5, 2)))
    for name, array, copy in zip(NAMES, before, copies, strict=True):
        assert getattr(net, name) is array
        np.testing.assert_array_equal(array, copy)


@pytest.mark.parametrize(("outputs", "says"), [(1, "2 layers; one output"), (2, "one output or s")])
def test_an_object_of_one_output_is_judged_with_one(outputs, says):
    net = Net()
    net.W2, net.b2 = arrays((outputs, 4), (1, outputs))
    assert says in str(probed(from_object(net, NAMES, loss=net.both)).takes)


def training(net):
    """Return a loss that takes a step of the training, which binds W1 to a new array."""

    def loss(x, y):
        cost, grads = net.both(x, y)
        net.W1 = net.W1 - 0.1 * grads["W1"]
        return cost, grads

    return loss


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"names": ["W1", "c1"]}, AttributeError, "Net has no 'c1'; "),
        ({"names": ["b1"]}, ValueError, r"names is \['b1'\]: wanted the name of a matrix"),
        ({"names": ["loss"]}, TypeError, "loss is method"),
        ({"loss": "los"}, AttributeError, "Net has no 'los'; did you mean 'loss'"),
    ],
)
def test_what_cannot_be_used_is_said_at_once(change, error, said):
    arguments = {"names": NAMES, "loss": "both"} | change
    with pytest.raises(error, match=said):
        from_object(Net(), arguments["names"], loss=arguments["loss"])


@pytest.mark.parametrize(
    ("functions", "said"),
    [
        (lambda net: {"loss": training(net)}, "a call binds W1 to another array"),
        (lambda net: {"loss": net.loss}, "no pair of cost and gradient: pass gradient="),
        (
            lambda net: {"loss": net.loss, "gradient": lambda x, y: [0]},
            r"the gradient has 1 arrays, wanted one for each of \['W1'",
        ),
        (
            lambda net: {"loss": net.loss, "gradient": lambda x, y: {"W1": 0}},
            "the gradient has no 'b1'; it has W1",
        ),
    ],
)
def test_what_cannot_be_used_is_said_when_it_is_called(functions, said):
    net = Net()
    target = from_object(net, NAMES, **functions(net))
    given = arrays((4, 3), (2, 4)), arrays((1, 4), (1, 2)), np.ones((5, 3)), np.ones((5, 2))
    with pytest.raises((TypeError, ValueError), match=said):
        target.gradient(*given)
