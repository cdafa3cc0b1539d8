"""Hypothesis: a network, parameters and a batch, small enough for every form."""

import numpy as np
from hypothesis import strategies as st

from backprop import Network, Parameters
from backprop.activations import ACTIVATIONS
from backprop.costs import COSTS


@st.composite
def problems(
    draw,
    *,
    activations=tuple(ACTIVATIONS),
    costs=tuple(COSTS),
    scale=1.0,
    dtype=np.float64,
):
    """(net, theta, x, y): depths 1–5, widths 1–8, batches 1–6; shrinks to one of each, seed 0."""
    sizes = draw(st.lists(st.integers(1, 8), min_size=2, max_size=6))
    net = Network(sizes, draw(st.sampled_from(activations)), draw(st.sampled_from(costs)))
    batch, rng = draw(st.integers(1, 6)), np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    theta = net.random_parameters(rng, scale, dtype)
    x = rng.standard_normal((batch, sizes[0])).astype(dtype)
    return net, theta, x, rng.uniform(0.1, 0.9, (batch, sizes[-1])).astype(dtype)


def arrays(theta):
    return theta.weights + theta.biases


def as_complex(theta):
    return Parameters(
        *([v.astype(complex) for v in part] for part in (theta.weights, theta.biases))
    )
