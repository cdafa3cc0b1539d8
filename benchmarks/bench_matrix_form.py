"""The time of the matrix form, of the two other forms, and of its matrix multiplications alone.

``pytest --benchmark-only`` prints one table for each network, batch and dtype. All calls reuse the
memory of their results, and every result is compared with the matrix form's.
"""

# ruff: noqa: E741, N806 — the notes' letters l and L
import numpy as np
import pytest

from backprop import Network, chain_form, index_form, matrix_form

SMALL = [((2, 3, 1), 1), ((64, 30, 10), 100)]
MIDDLE = [((784, 30, 10), 10)]
LARGE = [((512,) * 3, 128), ((784, 512, 512, 10), 128), ((1024,) * 5, 256)]
FORMS = {"matrix form": matrix_form, "chain form": chain_form, "index form": index_form}


def bare_multiplications(net, theta, x, y):
    """Return a call that makes only the 3 L − 1 matrix products of the gradient, and returns dw."""
    w, L = theta.w, net.L
    a, slope = net.layers(theta, x)
    z, delta, below, dw = ([np.empty_like(v) for v in like] for like in (a, a, a, w))
    delta[L] = 2 / y.size * (a[L] - y) * slope[L]
    for l in range(L - 1, 0, -1):
        delta[l] = (delta[l + 1] @ w[l + 1]) * slope[l]

    def call():
        for l in range(1, L + 1):
            np.matmul(a[l - 1], w[l].T, out=z[l])
        for l in range(L, 0, -1):
            if l < L:
                np.matmul(delta[l + 1], w[l + 1], out=below[l])
            np.matmul(delta[l].T, a[l - 1], out=dw[l])
        return dw[1:]

    return call


def form_call(name, net, theta, x, y):
    out = net.gradient(theta, x, y)
    return lambda: FORMS[name].gradient(net, theta, x, y, out).weights


NAMES = {
    "matrix form": SMALL + MIDDLE + LARGE,
    "bare multiplications": SMALL + MIDDLE + LARGE,
    "chain form": SMALL + MIDDLE,
    "index form": SMALL,
}
CASES = [  # rows of one table follow each other, so that the processor's clock rate is the same
    pytest.param(name, sizes, batch, dtype, id=f"{name}-{sizes}-{batch}-{dtype}".replace(" ", ""))
    for sizes, batch in SMALL + MIDDLE + LARGE
    for dtype in ("float64", "float32")
    for name, networks in NAMES.items()
    if (sizes, batch) in networks
]


@pytest.mark.parametrize(("name", "sizes", "batch", "dtype"), CASES)
def test_gradient(benchmark, name, sizes, batch, dtype):
    net, rng = Network(sizes), np.random.default_rng(0)
    theta = net.random_parameters(rng, dtype=dtype)
    x = rng.standard_normal((batch, sizes[0])).astype(dtype)
    y = rng.random((batch, sizes[-1])).astype(dtype)
    benchmark.group = f"{'-'.join(map(str, sizes))}, batch {batch}, {dtype}"
    benchmark.name = name
    if name in FORMS:
        call = form_call(name, net, theta, x, y)
    else:
        call = bare_multiplications(net, theta, x, y)
    weights = benchmark(call)
    for g, expected in zip(weights, net.gradient(theta, x, y).weights, strict=True):
        assert g.shape == expected.shape
        atol = 100 * np.finfo(dtype).eps * abs(expected).max()
        np.testing.assert_allclose(g, expected, rtol=0, atol=atol)
