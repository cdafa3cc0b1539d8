"""What each fault of the catalogue returns, beside the same mistake written in another way."""

from types import SimpleNamespace

import numpy as np
import pytest

from checks.conformance.naming.faults import FAULTS, in_some_layers, right_target, together
from checks.strategies import Problem

# all square, B = n; one output; one sample; a width twice; large entries that are cut
PROBLEMS = {
    "square": Problem.generate((3, 3, 3, 3), 3, seed=0),
    "one output": Problem.generate((4, 3, 1), 4, seed=1),
    "one sample": Problem.generate((2, 3, 3, 2), 1, seed=2),
    "deep": Problem.generate((4, 3, 2, 3, 4, 2), 5, seed=3),
}
RATE, DECAY, LIMIT = 1.0, 0.01, 0.02


def logistic(z):
    return 1 / (1 + np.exp(-z))


def slope(z):
    return logistic(z) * logistic(-z)


def backward(problem, error=None, last=None, hidden=None, up=None, weights=None, biases=None,
             a=None, z=None):  # fmt: skip
    """Return the gradients of a logistic network and a mean squared error, some steps replaced.

    Layers are counted from 0. Each step takes what is known then: the layer l, δ and the error
    `e` before its slope, a and z with the input as a[0], and the network.
    """
    w, b, x, y = problem.weights, problem.biases, problem.x, problem.y
    if a is None:
        a, z = [x], [x]
        for m, v in zip(w, b, strict=True):
            z.append(np.einsum("ij,bj->bi", m, a[-1]) + v)
            a.append(logistic(z[-1]))
    n = SimpleNamespace(w=w, b=b, a=a, z=z, y=y, B=len(y), L=len(w), dw=[0] * len(w),
                        db=[0] * len(w), l=len(w) - 1)  # fmt: skip
    n.e = 2 * (a[-1] - y) / y.size if error is None else error(n)
    n.delta = n.e * (slope(z[-1]) if last is None else last(n))
    for l in range(n.L - 1, -1, -1):  # noqa: E741
        n.l = l
        if n.l < n.L - 1:
            n.e = np.einsum("bi,ij->bj", n.delta, w[n.l + 1]) if up is None else up(n)
            n.delta = n.e * (slope(z[n.l + 1]) if hidden is None else hidden(n))
        d, below = n.delta, a[n.l]
        n.dw[n.l] = np.einsum("bi,bj->ij", d, below) if weights is None else weights(n)
        n.db[n.l] = np.einsum("bi->i", d) if biases is None else biases(n)
    return n.dw, n.db


def both(f):
    """Return the steps of a slope that is wrong in every layer; f takes z, a and the error."""
    step = lambda n: f(n.z[n.l + 1], n.a[n.l + 1], n.e)  # noqa: E731
    return {"last": step, "hidden": step}


def is_square(m):
    return m.shape[0] == m.shape[1]


def one_of(wrong, right):
    return wrong if np.shape(wrong) == np.shape(right) else right


def right_up(n):
    return n.delta @ n.w[n.l + 1]


def outer(n):
    return n.delta.T @ n.a[n.l]


def carried(n):
    if n.l == n.L - 2:
        n.last_delta = n.delta
    return one_of(n.last_delta, n.delta) @ n.w[n.l + 1]


def all_samples(n):
    if n.y.shape[1] > 1:
        return 2 * (n.a[-1] - n.y) / n.y.size
    return 2 * (n.a[-1] - n.y.mean()) / n.B


STEPS = {
    "the cost for its derivative": {"error": lambda n: (n.a[-1] - n.y) ** 2 / n.y.size},
    "(B,) against (B, 1)": {"error": all_samples},
    "σ'(a) for σ'(z)": both(lambda z, a, e: slope(a)),
    "σ'(upstream) for σ'(z)": both(lambda z, a, e: slope(e)),
    "σ' of the layer above": {
        "hidden": lambda n: slope(
            n.z[n.l + 2]
            if n.l + 2 < n.L and n.z[n.l + 2].shape == n.z[n.l + 1].shape
            else n.z[n.l + 1]
        )
    },
    "σ' omitted everywhere": both(lambda z, a, e: 1),
    "σ' omitted at the output": {"last": lambda n: 1},
    "σ' omitted at hidden layers": {"hidden": lambda n: 1},
    "σ' omitted on the path to hidden layers": {"up": lambda n: n.e @ n.w[n.l + 1]},
    "σ' omitted in the biases": {"biases": lambda n: n.e.sum(0)},
    "σ' twice at hidden layers": {"hidden": lambda n: slope(n.z[n.l + 1]) ** 2},
    "σ for σ'": both(lambda z, a, e: a),
    "1 − a for σ'": both(lambda z, a, e: 1 - a),
    "1 − a² for σ'": both(lambda z, a, e: (1 - a) * (1 + a)),
    "1 or 0 for σ'": both(lambda z, a, e: np.heaviside(z, 0)),
    "σ' in terms of a, taken of z": both(lambda z, a, e: z - z**2),
    "w for wᵀ": {
        "up": lambda n: n.delta @ (n.w[n.l + 1].T if is_square(n.w[n.l + 1]) else n.w[n.l + 1])
    },
    "w of the layer below": {"up": lambda n: n.delta @ one_of(n.w[n.l], n.w[n.l + 1])},
    "w left out": {"up": lambda n: one_of(n.delta, right_up(n))},
    "updated w in the backward pass": {
        "up": lambda n: right_up(n) - RATE * n.delta @ n.dw[n.l + 1]
    },
    "upstream gradient dropped": {
        "up": lambda n: np.tile(n.w[n.l + 1].sum(axis=0), (n.B, 1))
    },
    "δ^L for δ^{l+1}": {"up": carried},
    "z for a": {"weights": lambda n: n.delta.T @ n.z[n.l]},
    "a^l for a^{l−1}": {"weights": lambda n: n.delta.T @ one_of(n.a[n.l + 1], n.a[n.l])},
    "σ'(z^{l−1}) written over a^{l−1}": {
        "weights": lambda n: n.delta.T @ (slope(n.z[n.l]) if n.l else n.a[0])
    },
    "outer product transposed": {
        "weights": lambda n: outer(n).T if is_square(n.w[n.l]) else outer(n)
    },
    "column-major for row-major": {
        "weights": lambda n: outer(n).T.reshape(-1).reshape(n.w[n.l].shape)
    },
    "weights averaged where biases are summed": {"weights": lambda n: outer(n) / n.B},
    "1/B missing in the weights": {"weights": lambda n: outer(n) * n.B},
    "last sample only, weights": {"weights": lambda n: n.delta[-1:].T @ n.a[n.l][-1:]},
    "biases averaged where weights are summed": {"biases": lambda n: n.delta.sum(0) / n.B},
    "1/B missing in the biases": {"biases": lambda n: n.delta.sum(0) * n.B},
    "last sample only, biases": {"biases": lambda n: n.delta[n.B - 1]},
    "first sample only, biases": {"biases": lambda n: n.delta[:1].sum(0)},
    "biases summed over the wrong axis": {
        "biases": lambda n: one_of(n.delta.T.sum(0), n.delta.sum(0))
    },
    "biases summed over every axis": {
        "biases": lambda n: np.ones(n.delta.shape[1]) * n.delta.sum()
    },
    "batch of one squeezed": {
        "biases": lambda n: n.delta.sum(0) if n.B > 1 else n.delta.sum() + 0 * n.delta[0]
    },
    "biases not summed": {"biases": lambda n: n.delta},
    "biases forgotten": {"biases": lambda n: np.zeros(len(n.b[n.l]))},
    "last sample only": {
        "weights": lambda n: n.delta[-1:].T @ n.a[n.l][-1:], "biases": lambda n: n.delta[-1]
    },
}  # fmt: skip
TEXTBOOK = ["a (1 − a) loses digits", "a (1 − a) for σ'", "σ' once more after a cross entropy",
            "softmax: diagonal of its Jacobian only", "penalty in the cost only"]  # fmt: skip
FACTORS = {  # of all arrays; of B and the number of outputs
    "factor 2 missing": lambda B, n: 1 / 2,  # noqa: N803
    "factor 2 extra": lambda B, n: 2,  # noqa: N803
    "y − a for a − y": lambda B, n: -1,  # noqa: N803
    "1/B missing": lambda B, n: B,  # noqa: N803
    "1/B twice": lambda B, n: 1 / B,  # noqa: N803
    "1/n_L missing": lambda B, n: n,  # noqa: N803
    "1/n_L extra": lambda B, n: 1 / n,  # noqa: N803
}


def finished(dw, db, p):
    """Yield faults of the whole gradient: a name and what becomes of the arrays."""
    w, b = p.weights, p.biases
    norm = np.linalg.norm(np.concatenate([g.ravel() for g in (*dw, *db)]))
    plus = lambda gs, vs, c: [g + c * v for g, v in zip(gs, vs, strict=True)]  # noqa: E731
    yield "penalty in the gradient only", plus(dw, w, DECAY), db
    yield "penalty in the gradient only, biases too", plus(dw, w, DECAY), plus(db, b, DECAY)
    yield "penalty twice", plus(dw, w, 2 * DECAY), db
    yield "penalty with the wrong sign", plus(dw, w, -DECAY), db
    yield "penalty of biases too", plus(dw, w, DECAY), plus(db, b, DECAY)
    zero = [np.where(np.arange(g.size).reshape(g.shape) == g.size - 1, 0, g) for g in dw[-1:]]
    yield "one entry zero", [*dw[:-1], *zero], db
    yield "first layer zero", [0 * dw[0], *dw[1:]], [0 * db[0], *db[1:]]
    yield "clipped by value", *([np.maximum(-LIMIT, np.minimum(g, LIMIT)) for g in part]
                                for part in (dw, db))  # fmt: skip
    share = LIMIT / norm if norm > LIMIT else 1
    yield "clipped by norm", [share * g for g in dw], [share * g for g in db]
    yield "integer gradient", *([np.fix(g) for g in part] for part in (dw, db))
    swapped = []
    for part in (dw, db):
        left = list(part)
        new = []
        for g in part:
            k = max(i for i, other in enumerate(left) if other.shape == g.shape)
            new.append(left.pop(k))
        swapped.append(new)
    yield "layers in reverse order", *swapped


def assert_close(claimed, expected, rtol=1e-11):
    for ours, theirs in zip([*claimed[0], *claimed[1]], [*expected[0], *expected[1]], strict=True):
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=1e-14)


def arguments(p):
    return [w.copy() for w in p.weights], [b.copy() for b in p.biases], p.x, p.y


@pytest.mark.parametrize("kind", PROBLEMS)
def test_without_a_fault_both_agree(kind):
    p = PROBLEMS[kind]
    assert_close(right_target().gradient(*arguments(p)), backward(p))


@pytest.mark.parametrize("kind", PROBLEMS)
@pytest.mark.parametrize("name", STEPS)
def test_a_wrong_step(name, kind):
    p = PROBLEMS[kind]
    assert_close(FAULTS[name].target().gradient(*arguments(p)), backward(p, **STEPS[name]))


@pytest.mark.parametrize("kind", PROBLEMS)
@pytest.mark.parametrize("name", FACTORS)
def test_a_factor_of_all_arrays(name, kind):
    p = PROBLEMS[kind]
    factor = FACTORS[name](len(p.y), p.y.shape[1])
    dw, db = backward(p)
    expected = [factor * g for g in dw], [factor * g for g in db]
    assert_close(FAULTS[name].target().gradient(*arguments(p)), expected)


@pytest.mark.parametrize("kind", PROBLEMS)
def test_a_gradient_that_is_changed_at_its_end(kind):
    p, seen = PROBLEMS[kind], []
    p = Problem(p.sizes, p.weights, p.biases, p.x, 30 * p.y)  # entries above 1, and the limit
    for name, *expected in finished(*backward(p), p):
        assert_close(FAULTS[name].target().gradient(*arguments(p)), expected)
        seen.append(name)
    assert len(seen) == 11


def test_a_small_norm_is_not_clipped():
    p = PROBLEMS["square"]
    p = Problem(p.sizes, p.weights, p.biases, p.x, np.full_like(p.y, 0.5))
    small = [1e-3 * w for w in p.weights], [1e-3 * b for b in p.biases], p.x, p.y
    claimed = FAULTS["clipped by norm"].target().gradient(*small)
    assert_close(claimed, right_target().gradient(*small))
    zero = [0 * w for w in p.weights], [0 * b for b in p.biases], 0 * p.x, p.y
    for part in FAULTS["clipped by norm"].target().gradient(*zero):
        assert not any(g.any() for g in part)


@pytest.mark.parametrize("name", ["penalty in the cost only", "penalty twice", "penalty of biases "
                                  "too", "penalty with the wrong sign"])  # fmt: skip
def test_a_penalty_of_the_cost(name):
    p = PROBLEMS["square"]
    penalty = 0.005 * sum((w**2).sum() for w in p.weights)
    cost = right_target().cost(*arguments(p))
    assert FAULTS[name].target().cost(*arguments(p)) == pytest.approx(cost + penalty, rel=1e-12)
    if name == "penalty in the cost only":
        assert_close(FAULTS[name].target().gradient(*arguments(p)), backward(p))


def test_the_slope_of_another_activation():
    p = PROBLEMS["square"]
    dw, _ = FAULTS["a (1 − a) for σ'"].target("tanh").gradient(*arguments(p))
    a = [p.x]
    for w, b in zip(p.weights, p.biases, strict=True):
        a.append(np.tanh(a[-1] @ w.T + b))
    wrong = 2 * (a[-1] - p.y) / p.y.size * (a[-1] - a[-1] ** 2)
    np.testing.assert_allclose(dw[-1], wrong.T @ a[-2], rtol=1e-12)
    dw, _ = FAULTS["1 − a² for σ'"].target("tanh").gradient(*arguments(p))
    np.testing.assert_allclose(dw[-1], right_target("tanh").gradient(*arguments(p))[0][-1])
    for name in ("a (1 − a) for σ'", "a (1 − a) loses digits"):
        claimed = FAULTS[name].target().gradient(*arguments(p))
        assert_close(claimed, backward(p))
    claimed = FAULTS["a (1 − a) loses digits"].target("tanh").gradient(*arguments(p))
    assert_close(claimed, right_target("tanh").gradient(*arguments(p)), rtol=1e-9)
    claimed = FAULTS["a (1 − a) loses digits"].target("relu").gradient(*arguments(p))
    relu = right_target("relu").gradient(*arguments(p))
    assert [g.shape for g in claimed[0]] == [g.shape for g in relu[0]]
    claimed = FAULTS["σ' in terms of a, taken of z"].target("tanh").gradient(*arguments(p))
    z = a[-2] @ p.weights[-1].T + p.biases[-1]
    wrong = 2 * (a[-1] - p.y) / p.y.size * (1 - z**2)
    np.testing.assert_allclose(claimed[0][-1], wrong.T @ a[-2], rtol=1e-12)


@pytest.mark.parametrize("kind", PROBLEMS)
def test_wrong_ends_of_cross_entropies(kind):
    p = PROBLEMS[kind]
    y = np.abs(p.y) / np.abs(p.y).sum(axis=1, keepdims=True)
    given = (*arguments(p)[:3], y)
    name = "σ' once more after a cross entropy"
    dw, _ = FAULTS[name].target("logistic", "cross_entropy").gradient(*given)
    a = [p.x]
    for w, b in zip(p.weights, p.biases, strict=True):
        z = a[-1] @ w.T + b
        a.append(logistic(z))
    wrong = (a[-1] - y) * slope(z) / len(y)
    np.testing.assert_allclose(dw[-1], wrong.T @ a[-2], rtol=1e-12)
    claimed = FAULTS[name].target().gradient(*given)
    assert_close(claimed, right_target().gradient(*given))
    name = "softmax: diagonal of its Jacobian only"
    dw, _ = FAULTS[name].target("logistic", "softmax_cross_entropy").gradient(*given)
    q = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(dw[-1], (-y * (1 - q) / len(y)).T @ a[-2], rtol=1e-9, atol=1e-14)
    assert_close(FAULTS[name].target().gradient(*given), right_target().gradient(*given))


@pytest.mark.parametrize(
    ("name", "share"),
    [("updated sample by sample", 0.25), ("updated sample by sample, 1/B missing", 1)],
)
@pytest.mark.parametrize("rate", [1.0, 0.5])
def test_updates_of_sample_after_sample(name, share, rate):
    p = PROBLEMS["one output"]
    w, b, x, y = arguments(p)
    for i in range(4):
        dw, db = right_target().gradient(w, b, x[i : i + 1], y[i : i + 1])
        w = [v - rate * share * g for v, g in zip(w, dw, strict=True)]
        b = [v - rate * share * g for v, g in zip(b, db, strict=True)]
    book = FAULTS[name].textbook(learning_rate=rate)
    expected = ([(old - new) / rate for old, new in zip(olds, news, strict=True)]
                for olds, news in ((p.weights, w), (p.biases, b)))  # fmt: skip
    assert_close(book.gradient(*arguments(p)), [*expected], rtol=1e-9)


def forwarded(p, change):
    """Return the gradient with other a and z, made from the right ones."""
    a, z = [p.x], [p.x]
    for w, b in zip(p.weights, p.biases, strict=True):
        z.append(a[-1] @ w.T + b)
        a.append(logistic(z[-1]))
    a, z = change(a, z)
    return backward(p, a=a, z=z)


@pytest.mark.parametrize("kind", PROBLEMS)
def test_wrong_forward_passes(kind):
    p = PROBLEMS[kind]
    half = forwarded(p, lambda a, z: ([v.astype("float16").astype(float) for v in a], z))
    assert_close(FAULTS["float16 inside"].target().gradient(*arguments(p)), half)

    def shared(a, z):
        last = {v.shape[1]: v for v in a[1:-1]}
        return [a[0]] + [last[v.shape[1]] for v in a[1:-1]] + [a[-1]], z

    name = "one buffer for layers of one width"
    assert_close(FAULTS[name].target().gradient(*arguments(p)), forwarded(p, shared))

    a, z = [p.x], [p.x]
    for w in p.weights:
        z.append(a[-1] @ w.T)
        a.append(logistic(z[-1]))
    expected = backward(p, a=a, z=z)
    assert_close(FAULTS["biases left out of z"].target().gradient(*arguments(p)), expected)
    single = FAULTS["float32 inside"].target().gradient(*arguments(p))
    error = lambda n: (2 * (n.a[-1] - n.y) / n.y.size).astype("float32")  # noqa: E731
    assert_close(single, backward(p, error=error), rtol=1e-6)
    assert single[0][-1].dtype == np.float64
    right = right_target().gradient(*arguments(p))
    assert any(not np.array_equal(*pair) for pair in zip(single[0], right[0], strict=True))


def test_a_stale_cache_is_that_of_the_call_before():
    p, book = PROBLEMS["square"], FAULTS["stale cache"].textbook()
    w, b, x, y = arguments(p)
    assert_close(book.gradient(w, b, x, y), backward(p))
    other = Problem(p.sizes, p.weights, p.biases, 2 * x, y)
    stale = forwarded(p, lambda a, z: (a, z))
    a, z = [x], [x]
    for m, v in zip(w, b, strict=True):
        z.append(a[-1] @ m.T + v)
        a.append(logistic(z[-1]))
    assert_close(book.gradient(w, b, 2 * x, y), backward(other, a=a, z=z))
    assert_close(stale, backward(p))
    few = Problem(p.sizes, p.weights, p.biases, x[:2], y[:2])
    assert_close(book.gradient(w, b, x[:2], y[:2]), backward(few))  # other shapes


def test_every_fault_is_here():
    here = {*STEPS, *FACTORS, *TEXTBOOK, "stale cache", "float16 inside", "float32 inside",
            "one buffer for layers of one width", "biases left out of z",
            "updated sample by sample", "updated sample by sample, 1/B missing"}  # fmt: skip
    p = PROBLEMS["square"]
    here |= {name for name, *_ in finished(*backward(p), p)}
    assert here == FAULTS.keys()


# faults together and in some layers


def test_two_faults_are_one_with_both_steps():
    p = PROBLEMS["deep"]
    one, other = FAULTS["factor 2 extra"], FAULTS["σ' omitted at hidden layers"]
    both = together(one, other)
    assert both.name == "factor 2 extra + σ' omitted at hidden layers"
    assert both.text == f"{one.text} And: {other.text}"
    expected = backward(p, error=lambda n: 4 * (n.a[-1] - n.y) / n.y.size, hidden=lambda n: 1)
    assert_close(both.target().gradient(*arguments(p)), expected)
    assert together(one) is one
    assert together(one, FAULTS["factor 2 missing"]) is None
    dw, db = backward(p)
    twice = together(FAULTS["clipped by value"], FAULTS["first layer zero"],
                     FAULTS["penalty in the gradient only"])  # fmt: skip
    cut = [[np.clip(g, -LIMIT, LIMIT) for g in part] for part in (dw, db)]
    cut[0][0], cut[1][0] = 0 * dw[0], 0 * db[0]
    expected = [g + DECAY * w for g, w in zip(cut[0], p.weights, strict=True)], cut[1]
    assert_close(twice.target().gradient(*arguments(p)), expected)
    assert twice.constant == "limit"
    assert together(FAULTS["penalty twice"], FAULTS["factor 2 extra"]).constant == ""
    assert together(
        FAULTS["factor 2 extra"], FAULTS["updated w in the backward pass"]
    ).constant == ("learning_rate")


@pytest.mark.parametrize(
    ("place", "layers"),
    [
        ("in the last layer only", [4]),
        ("below the last layer only", [0, 1, 2, 3]),
        ("in the first layer only", [0]),
        ("above the first layer only", [1, 2, 3, 4]),
    ],
)
def test_a_fault_of_some_layers(place, layers):
    p = PROBLEMS["deep"]
    fault = FAULTS["weights averaged where biases are summed"]
    (here,) = [f for f in in_some_layers(fault) if f.text.endswith(f" This is so {place}.")]
    assert here.name == fault.name
    expected = backward(p, weights=lambda n: outer(n) / (n.B if n.l in layers else 1))
    assert_close(here.target().gradient(*arguments(p)), expected)
    assert len(in_some_layers(fault)) == 4
    assert in_some_layers(FAULTS["factor 2 extra"]) == []
