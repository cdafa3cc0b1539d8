"""Networks as students of different courses write them: the text of a right one, and its mistakes.

Each mistake is a pair of texts: what is replaced, and by what.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Student:
    """The text of a right network, what the suite says that it takes, and mistakes by name."""

    text: str
    takes: str
    mistakes: dict[str, tuple[str, str]] = field(default_factory=dict)
    spec: str = ""  # the object in the module, if the module itself is not the target

    def wrong(self, name: str) -> str:
        """Return the text with one of its mistakes."""
        old, new = self.mistakes[name]
        assert self.text.count(old) == 1, (name, old)
        return self.text.replace(old, new)


TWO_LAYERS = Student(
    """
import numpy as np

def cost(weights, biases, x, y):
    (w1, w2), (b1, b2) = weights, biases
    return np.mean((np.tanh(x @ w1.T + b1) @ w2.T + b2 - y) ** 2)

def gradient(weights, biases, x, y):
    (w1, w2), (b1, b2) = weights, biases
    h = np.tanh(x @ w1.T + b1)
    d = 2 * (h @ w2.T + b2 - y) / y.size
    e = d @ w2 * (1 - h * h)
    return [e.T @ x, d.T @ h], [e.sum(axis=0), d.sum(axis=0)]
""",
    "2 layers",
    {
        "no slope": ("* (1 - h * h)", ""),
        "mean of biases": ("d.sum(axis=0)]", "d.mean(axis=0)]"),
        "one layer too low": ("[e.T @ x, d.T @ h]", "[e.T @ x, d.T @ (x @ w1.T)]"),
    },
)

LOGISTIC_REGRESSION = Student(
    """
import numpy as np

def sigmoid(z):
    return 1 / (1 + np.exp(-z))

def cost(weights, biases, x, y):
    w, = weights
    b, = biases
    a = sigmoid(np.dot(x, w.T) + b)
    return -np.mean(y * np.log(a) + (1 - y) * np.log(1 - a))

def gradient(weights, biases, x, y):
    w, = weights
    b, = biases
    m = x.shape[0] * y.shape[1]
    dz = (sigmoid(np.dot(x, w.T) + b) - y) / m
    return [np.dot(dz.T, x)], [np.sum(dz, axis=0)]
""",
    "1 layer",
    {"sign": ("- y) / m", "+ y) / m"), "sum": ("m = x.shape[0] * y.shape[1]", "m = 1")},
)

# one neuron; p is clipped before the log, so that the cost is flat where p is saturated
CLIPPED = Student(
    """
import numpy as np

def neuron(weights, biases, x):
    return 1 / (1 + np.exp(-(x @ weights[0][0] + biases[0][0])))

def cost(weights, biases, x, y):
    p = np.clip(neuron(weights, biases, x), 1e-12, 1 - 1e-12)
    t = y[:, 0]
    return -np.mean(t * np.log(p) + (1 - t) * np.log(1 - p))

def gradient(weights, biases, x, y):
    e = (neuron(weights, biases, x) - y[:, 0]) / len(x)
    return [(e @ x)[None]], [np.array([e.sum()])]
""",
    "1 layer; one output",
    {"no mean": (" / len(x)", ""), "x forgotten": ("(e @ x)[None]", "(e @ x**0)[None]")},
)

ONE_OUTPUT_VECTOR = Student(
    """
import numpy as np

def predict(weights, biases, X):
    hidden = np.maximum(0, X.dot(weights[0].T) + biases[0])
    return hidden, hidden.dot(weights[1].ravel()) + biases[1][0]

def cost(weights, biases, X, y):
    _, p = predict(weights, biases, X)
    return 0.5 * np.sum((p - y.ravel()) ** 2) / len(X)

def gradient(weights, biases, X, y):
    hidden, p = predict(weights, biases, X)
    error = (p - y.ravel()) / len(X)
    back = np.outer(error, weights[1][0]) * (hidden > 0)
    return ([back.T.dot(X), error.dot(hidden).reshape(1, -1)],
            [back.sum(axis=0), np.array([error.sum()])])
""",
    "one output",
    {
        "no relu slope": (" * (hidden > 0)", ""),
        "mean": ("[error.sum()]", "[error.mean()]"),
    },
)

# y (B, 1) minus p (B,) would be (B, B): this network wants y as (B,)
FLAT_Y = Student(
    """
import numpy as np

def cost(weights, biases, x, y):
    h = 1 / (1 + np.exp(-(x @ weights[0].T + biases[0])))
    p = (h @ weights[1].T + biases[1])[:, 0]
    return ((p - y) ** 2).mean()

def gradient(weights, biases, x, y):
    h = 1 / (1 + np.exp(-(x @ weights[0].T + biases[0])))
    p = (h @ weights[1].T + biases[1])[:, 0]
    d = 2 * (p - y)[:, None] / len(y)
    e = (d @ weights[1]) * h * (1 - h)
    return [e.T @ x, d.T @ h], [e.sum(axis=0), d.sum(axis=0)]
""",
    "one output",
    {"slope": ("* h * (1 - h)", "* (1 - h)")},
)

# as in a famous blog post of eleven lines: (in, out), no biases, one output
ELEVEN_LINES = Student(
    """
import numpy as np

def nonlin(x, deriv=False):
    if deriv:
        return x * (1 - x)
    return 1 / (1 + np.exp(-x))

def forward(syn, X):
    l1 = nonlin(np.dot(X, syn[0]))
    l2 = nonlin(np.dot(l1, syn[1]))
    return l1, l2

def cost(syn, biases, X, y):
    l1, l2 = forward(syn, X)
    return 0.5 * np.sum((y - l2) ** 2)

def gradient(syn, biases, X, y):
    l1, l2 = forward(syn, X)
    l2_delta = (l2 - y) * nonlin(l2, deriv=True)
    l1_delta = l2_delta.dot(syn[1].T) * nonlin(l1, deriv=True)
    return [X.T.dot(l1_delta), l1.T.dot(l2_delta)], []
""",
    "no biases",
    {
        "slope of z": ("(l2 - y) * nonlin(l2, deriv=True)", "(l2 - y)"),
        "wrong sign": ("(l2 - y) *", "(y - l2) *"),
    },
)

# the same through an adapter
ADAPTER = Student(
    """
import numpy as np

class Net:
    def forward(self, W, b, X):
        self.h = np.tanh(X @ W[0] + b[0])
        return self.h @ W[1] + b[1]
    def loss(self, W, b, X, Y):
        return np.sum((self.forward(W, b, X) - Y) ** 2) / X.shape[0]
    def backward(self, W, b, X, Y):
        d2 = 2 * (self.forward(W, b, X) - Y) / X.shape[0]
        d1 = (1 - self.h ** 2) * (d2 @ W[1].T)
        return [X.T @ d1, self.h.T @ d2], [d1.sum(0), d2.sum(0)]

net = Net()

def cost(weights, biases, x, y):
    return net.loss([w.T for w in weights], biases, x, y)

def gradient(weights, biases, x, y):
    dW, db = net.backward([w.T for w in weights], biases, x, y)
    return [g.T for g in dW], db
""",
    "2 layers",
    {
        "h for h squared": ("(1 - self.h ** 2)", "(1 - self.h)"),
        "w for wT": ("d2.sum(0)]", "d2[0]]"),
    },
)

# (in, out), biases (1, n), softmax with a penalty, labels as integers
SOFTMAX_INTEGERS = Student(
    """
import numpy as np

reg = 1e-2

def scores_of(W, b, X):
    W1, W2 = W
    b1, b2 = b
    hidden = np.maximum(0, X.dot(W1) + b1)
    return hidden, hidden.dot(W2) + b2

def probabilities(scores):
    e = np.exp(scores - np.max(scores, axis=1, keepdims=True))
    return e / np.sum(e, axis=1, keepdims=True)

def cost(W, b, X, y):
    N = X.shape[0]
    _, scores = scores_of(W, b, X)
    p = probabilities(scores)
    data_loss = -np.sum(np.log(p[np.arange(N), y])) / N
    return data_loss + 0.5 * reg * sum(np.sum(w * w) for w in W)

def gradient(W, b, X, y):
    N = X.shape[0]
    hidden, scores = scores_of(W, b, X)
    d = probabilities(scores)
    d[np.arange(N), y] -= 1
    d /= N
    dW2 = hidden.T.dot(d) + reg * W[1]
    dh = d.dot(W[1].T)
    dh[hidden <= 0] = 0
    dW1 = X.T.dot(dh) + reg * W[0]
    return [dW1, dW2], [dh.sum(axis=0), d.sum(axis=0)]
""",
    "integer",
    {
        "penalty twice": ("hidden.T.dot(d) + reg * W[1]", "hidden.T.dot(d) + 2 * reg * W[1]"),
        "not divided": ("    d /= N\n", ""),
        "no relu": ("    dh[hidden <= 0] = 0\n", ""),
    },
)

# samples in columns, biases (n, 1)
COLUMNS = Student(
    """
import numpy as np

def sigmoid(z):
    return 1.0 / (1.0 + np.exp(-z))

def propagate(W, b, X):
    A1 = np.tanh(np.dot(W[0], X) + b[0])
    A2 = sigmoid(np.dot(W[1], A1) + b[1])
    return A1, A2

def cost(W, b, X, Y):
    m = X.shape[1]
    A1, A2 = propagate(W, b, X)
    logprobs = np.multiply(np.log(A2), Y) + np.multiply(np.log(1 - A2), 1 - Y)
    return float(np.squeeze(-np.sum(logprobs) / m))

def gradient(W, b, X, Y):
    m = X.shape[1]
    A1, A2 = propagate(W, b, X)
    dZ2 = A2 - Y
    dW2 = np.dot(dZ2, A1.T) / m
    db2 = np.sum(dZ2, axis=1, keepdims=True) / m
    dZ1 = np.dot(W[1].T, dZ2) * (1 - np.power(A1, 2))
    dW1 = np.dot(dZ1, X.T) / m
    db1 = np.sum(dZ1, axis=1, keepdims=True) / m
    return [dW1, dW2], [db1, db2]
""",
    "column",
    {
        "sigmoid slope for tanh": ("(1 - np.power(A1, 2))", "A1 * (1 - A1)"),
        "bias not divided": (
            "db1 = np.sum(dZ1, axis=1, keepdims=True) / m",
            "db1 = np.sum(dZ1, axis=1, keepdims=True)",
        ),
    },
)

# biases of (1, n), two hidden layers
KEEPDIMS = Student(
    """
import numpy as np

def forward(weights, biases, X):
    Z1 = X.dot(weights[0]) + biases[0]
    A1 = np.tanh(Z1)
    Z2 = A1.dot(weights[1]) + biases[1]
    A2 = np.tanh(Z2)
    Z3 = A2.dot(weights[2]) + biases[2]
    A3 = 1 / (1 + np.exp(-Z3))
    return A1, A2, A3

def cost(weights, biases, X, Y):
    A3 = forward(weights, biases, X)[2]
    return np.mean(np.square(Y - A3))

def gradient(weights, biases, X, Y):
    A1, A2, A3 = forward(weights, biases, X)
    dZ3 = -2 * (Y - A3) / Y.size * A3 * (1 - A3)
    dW3 = A2.T.dot(dZ3)
    db3 = np.sum(dZ3, axis=0, keepdims=True)
    dZ2 = dZ3.dot(weights[2].T) * (1 - A2 ** 2)
    dW2 = A1.T.dot(dZ2)
    db2 = np.sum(dZ2, axis=0, keepdims=True)
    dZ1 = dZ2.dot(weights[1].T) * (1 - A1 ** 2)
    dW1 = X.T.dot(dZ1)
    db1 = np.sum(dZ1, axis=0, keepdims=True)
    return [dW1, dW2, dW3], [db1, db2, db3]
""",
    "b of (1, n)",
    {
        "sign": ("dZ3 = -2 *", "dZ3 = 2 *"),
        "other layer's slope": ("(1 - A2 ** 2)", "(1 - A1.mean() ** 2)"),
        "not summed": (
            "db2 = np.sum(dZ2, axis=0, keepdims=True)",
            "db2 = np.mean(dZ2, axis=0, keepdims=True)",
        ),
    },
)

# one sample at a time, as a vector
ONE_SAMPLE = Student(
    """
import numpy as np

def sigmoid(z):
    return 1 / (1 + np.exp(-z))

def sigmoid_prime(z):
    return sigmoid(z) * (1 - sigmoid(z))

def cost(weights, biases, x, y):
    a = x
    for w, b in zip(weights, biases):
        a = sigmoid(np.dot(w, a) + b)
    return 0.5 * np.linalg.norm(a - y) ** 2

def gradient(weights, biases, x, y):
    nabla_b = [np.zeros(b.shape) for b in biases]
    nabla_w = [np.zeros(w.shape) for w in weights]
    activation, activations, zs = x, [x], []
    for w, b in zip(weights, biases):
        z = np.dot(w, activation) + b
        zs.append(z)
        activation = sigmoid(z)
        activations.append(activation)
    delta = (activations[-1] - y) * sigmoid_prime(zs[-1])
    nabla_b[-1] = delta
    nabla_w[-1] = np.outer(delta, activations[-2])
    for l in range(2, len(weights) + 1):
        delta = np.dot(weights[-l + 1].T, delta) * sigmoid_prime(zs[-l])
        nabla_b[-l] = delta
        nabla_w[-l] = np.outer(delta, activations[-l - 1])
    return nabla_w, nabla_b
""",
    "one sample",
    {
        "slope of a": ("* sigmoid_prime(zs[-l])", "* sigmoid_prime(activations[-l])"),
        "own w": ("np.dot(weights[-l + 1].T, delta)", "np.dot(weights[-l + 1].T, delta) * 2"),
    },
)

# one sample at a time in pure loops, of a network of exactly two layers
LOOPS = Student(
    """
import math

def forward(weights, biases, x):
    hidden = []
    for i in range(len(weights[0])):
        z = biases[0][i]
        for j in range(len(x)):
            z += weights[0][i][j] * x[j]
        hidden.append(math.tanh(z))
    out = []
    for i in range(len(weights[1])):
        z = biases[1][i]
        for j in range(len(hidden)):
            z += weights[1][i][j] * hidden[j]
        out.append(1 / (1 + math.exp(-z)))
    return hidden, out

def cost(weights, biases, x, y):
    hidden, out = forward(weights, biases, x)
    return sum((o - t) ** 2 for o, t in zip(out, y)) / len(out)

def gradient(weights, biases, x, y):
    hidden, out = forward(weights, biases, x)
    d2 = [2 * (o - t) * o * (1 - o) / len(out) for o, t in zip(out, y)]
    d1 = []
    for j in range(len(hidden)):
        s = sum(weights[1][i][j] * d2[i] for i in range(len(d2)))
        d1.append(s * (1 - hidden[j] ** 2))
    w2 = [[d * h for h in hidden] for d in d2]
    w1 = [[d * v for v in x] for d in d1]
    return [w1, w2], [d1, d2]
""",
    "one sample",
    {
        "half": ("2 * (o - t) * o", "(o - t) * o"),
        "no slope": ("s * (1 - hidden[j] ** 2)", "s"),
    },
)

# a margin loss with labels of ±1
PLUS_MINUS_ONE = Student(
    """
import numpy as np

def cost(weights, biases, x, y):
    h = np.tanh(x @ weights[0].T + biases[0])
    f = h @ weights[1].T + biases[1]
    return np.mean((1 - y * f) ** 2)

def gradient(weights, biases, x, y):
    h = np.tanh(x @ weights[0].T + biases[0])
    f = h @ weights[1].T + biases[1]
    d = 2 * (f - y) / y.size          # as y ** 2 is 1
    e = d @ weights[1] * (1 - h ** 2)
    return [e.T @ x, d.T @ h], [e.sum(0), d.sum(0)]
""",
    "±1",
    {"twice": ("2 * (f - y)", "(f - y)"), "slope": ("(1 - h ** 2)", "(1 - h) ** 2")},
)

LOGISTIC_MARGIN = Student(
    """
import numpy as np

def cost(weights, biases, x, y):
    assert set(np.unique(y)) <= {-1, 1}, "labels must be -1 or 1"
    f = np.dot(x, weights[0].T) + biases[0]
    return np.mean(np.log(1 + np.exp(-y * f)))

def gradient(weights, biases, x, y):
    f = np.dot(x, weights[0].T) + biases[0]
    d = -y / (1 + np.exp(y * f)) / y.size
    return [d.T @ x], [d.sum(axis=0)]
""",
    "±1",
    {"sign": ("d = -y /", "d = y /"), "exponent": ("np.exp(y * f)", "np.exp(-y * f)")},
)

LEAKY_RELU = Student(
    """
import numpy as np

ALPHA = 0.01

def leaky(z):
    return np.where(z > 0, z, ALPHA * z)

def dleaky(z):
    return np.where(z > 0, 1.0, ALPHA)

def forward(weights, biases, x):
    zs, activations = [], [x]
    for i, (w, b) in enumerate(zip(weights, biases)):
        z = activations[-1] @ w.T + b
        zs.append(z)
        activations.append(leaky(z) if i < len(weights) - 1 else z)
    return zs, activations

def cost(weights, biases, x, y):
    return 0.5 * np.mean(np.sum((forward(weights, biases, x)[1][-1] - y) ** 2, axis=1))

def gradient(weights, biases, x, y):
    zs, activations = forward(weights, biases, x)
    dw, db = [None] * len(weights), [None] * len(weights)
    delta = (activations[-1] - y) / len(x)
    for l in reversed(range(len(weights))):
        if l < len(weights) - 1:
            delta = delta * dleaky(zs[l])
        dw[l] = delta.T @ activations[l]
        db[l] = delta.sum(axis=0)
        delta = delta @ weights[l]
    return dw, db
""",
    "1 to",
    {
        "plain relu slope": ("1.0, ALPHA)", "1.0, 0.0)"),
        "slope from x": ("dleaky(zs[l])", "dleaky(-zs[l])"),
    },
)

SOFTMAX_PENALTY = Student(
    """
import numpy as np

LAM = 0.01

def forward(weights, biases, x):
    a = [x]
    for w, b in zip(weights, biases):
        z = a[-1] @ w.T + b
        a.append(np.tanh(z))
    return a, z

def cost(weights, biases, x, y):
    z = forward(weights, biases, x)[1]
    z = z - z.max(axis=1, keepdims=True)
    logp = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    return -(y * logp).sum() / len(x) + 0.5 * LAM * sum(np.sum(w * w) for w in weights)

def gradient(weights, biases, x, y):
    a, z = forward(weights, biases, x)
    e = np.exp(z - z.max(axis=1, keepdims=True))
    d, gw, gb = (e / e.sum(axis=1, keepdims=True) - y) / len(x), [], []
    for l in range(len(weights) - 1, -1, -1):
        gw.insert(0, d.T @ a[l] + LAM * weights[l])
        gb.insert(0, d.sum(axis=0))
        d = (d @ weights[l]) * (1 - a[l] ** 2)
    return gw, gb
""",
    "sum to 1",
    {
        "penalty left out": (" + LAM * weights[l])", ")"),
        "slope left out": (" * (1 - a[l] ** 2)", ""),
    },
)

# three layers, softmax of one-hot rows, the label found by argmax in the gradient
THREE_LAYERS_ONE_HOT = Student(
    """
import numpy as np

def run(weights, biases, x):
    w1, w2, w3 = weights
    b1, b2, b3 = biases
    h1 = np.maximum(x @ w1.T + b1, 0)
    h2 = np.maximum(h1 @ w2.T + b2, 0)
    s = h2 @ w3.T + b3
    p = np.exp(s) / np.exp(s).sum(axis=1, keepdims=True)
    return h1, h2, p

def cost(weights, biases, x, y):
    h1, h2, p = run(weights, biases, x)
    return -np.mean(np.sum(y * np.log(p), axis=1))

def gradient(weights, biases, x, y):
    h1, h2, p = run(weights, biases, x)
    labels = y.argmax(axis=1)
    d3 = p.copy()
    d3[range(len(x)), labels] -= 1
    d3 /= len(x)
    d2 = (d3 @ weights[2]) * (h2 > 0)
    d1 = (d2 @ weights[1]) * (h1 > 0)
    return ([d1.T @ x, d2.T @ h1, d3.T @ h2],
            [d1.sum(axis=0), d2.sum(axis=0), d3.sum(axis=0)])
""",
    "3 layers",
    {
        "mask of the other layer": ("d2 = (d3 @ weights[2]) * (h2 > 0)", "d2 = (d3 @ weights[2])"),
        "below": ("d2.T @ h1", "d2.T @ h1 / len(x)"),
    },
)

NO_BIASES = Student(
    """
import numpy as np
s = lambda z: 1 / (1 + np.exp(-z))
def forward(weights, x): return [x := s(x @ w.T) for w in weights]
def cost(weights, biases, x, y): return np.mean((forward(weights, x)[-1] - y) ** 2)
def gradient(weights, biases, x, y):
    a, dw = [x, *forward(weights, x)], []
    d = 2 * (a[-1] - y) / y.size * a[-1] * (1 - a[-1])
    for l in range(len(weights) - 1, -1, -1):
        dw.insert(0, d.T @ a[l]); d = d @ weights[l] * a[l] * (1 - a[l])
    return dw, [0 * b for b in biases]
""",
    "no biases",
    {"no output slope": (" * a[-1] * (1 - a[-1])", "")},
)

# a class with attributes W1, b1, …
CLASS = Student(
    """
import numpy as np
from checks.conformance import from_object

class TwoLayerNet:
    def __init__(self, n_in, n_hidden, n_out, seed=0):
        rng = np.random.default_rng(seed)
        self.W1 = 0.5 * rng.standard_normal((n_in, n_hidden))
        self.b1 = np.zeros(n_hidden)
        self.W2 = 0.5 * rng.standard_normal((n_hidden, n_out))
        self.b2 = np.zeros(n_out)

    def forward(self, X):
        self.X = X
        self.H = np.maximum(0, X @ self.W1 + self.b1)
        return self.H @ self.W2 + self.b2

    def loss(self, X, y):
        scores = self.forward(X)
        scores = scores - scores.max(axis=1, keepdims=True)
        self.p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
        return -np.log(self.p[np.arange(len(X)), y]).mean()

    def backward(self, X, y):
        self.loss(X, y)
        d = self.p.copy()
        d[np.arange(len(X)), y] -= 1
        d /= len(X)
        dh = (d @ self.W2.T) * (self.H > 0)
        return {"W1": X.T @ dh, "b1": dh.sum(axis=0), "W2": self.H.T @ d, "b2": d.sum(axis=0)}

net = TwoLayerNet(4, 5, 3)
target = from_object(net, ["W1", "b1", "W2", "b2"], loss=net.loss, gradient=net.backward)
""",
    "2 layers",
    {"no mask": (" * (self.H > 0)", ""), "sum": ("        d /= len(X)\n", "")},
    "target",
)

# a class whose backward leaves the gradient in attributes, with sizes that are fixed
CLASS_WITH_ATTRIBUTES = Student(
    """
import numpy as np
from checks.conformance import from_object

class MLP:
    def __init__(self):
        rng = np.random.default_rng(1)
        self.w1 = rng.normal(size=(6, 3)); self.b1 = rng.normal(size=(6, 1))
        self.w2 = rng.normal(size=(1, 6)); self.b2 = rng.normal(size=(1, 1))

    def loss(self, x, y):
        self.x, self.y = x, y
        self.h = 1 / (1 + np.exp(-(self.w1.dot(x) + self.b1)))
        self.o = self.w2.dot(self.h) + self.b2
        return ((self.o - y) ** 2).mean()

    def backward(self):
        n = self.x.shape[1]
        d = 2 * (self.o - self.y) / n
        self.dw2 = d.dot(self.h.T)
        self.db2 = d.sum(axis=1, keepdims=True)
        d = self.w2.T.dot(d) * self.h * (1 - self.h)
        self.dw1 = d.dot(self.x.T)
        self.db1 = d.sum(axis=1, keepdims=True)

mlp = MLP()

def gradient(x, y):
    mlp.loss(x, y)
    mlp.backward()
    return [mlp.dw1, mlp.db1, mlp.dw2, mlp.db2]

target = from_object(mlp, ["w1", "b1", "w2", "b2"], loss=mlp.loss, gradient=gradient)
""",
    "2 layers",
    {
        "before w2": (
            "d = self.w2.T.dot(d) * self.h * (1 - self.h)",
            "d = self.w2.T.dot(d) * self.h",
        )
    },
    "target",
)

STUDENTS = {
    name.lower().replace("_", "-"): value
    for name, value in list(globals().items())
    if isinstance(value, Student)
}
