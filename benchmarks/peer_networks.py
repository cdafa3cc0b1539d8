"""The notes' network and its gradient in other libraries: ``NETWORKS[library](net, theta, x, y)``.

Each returns a call, which returns first ∂C/∂w, then ∂C/∂b in the dtype of θ. All layers are
logistic, the cost is the mean of squares. What can be done before the call is done: arrays are
converted and functions compiled.
"""

from functools import partial

import numpy as np

__all__ = ["NETWORKS", "plain_cost", "torch_cost"]


def plain_cost(params, x, y):
    """Return C by plain numpy; params are the weights, then the biases. No argument is checked."""
    layers = len(params) // 2
    a = x
    for w, b in zip(params[:layers], params[layers:], strict=True):
        a = 1 / (1 + np.exp(-(a @ w.T + b)))
    return np.mean((a - y) ** 2)


def torch_cost(x, y):
    """Return C as a function of its tensors."""
    import torch
    from torch.nn.functional import linear, mse_loss

    x, y = torch.from_numpy(x), torch.from_numpy(y)

    def cost(*params):
        layers = len(params) // 2
        a = x
        for w, b in zip(params[:layers], params[layers:], strict=True):
            a = torch.sigmoid(linear(a, w, b))
        return mse_loss(a, y)

    return cost


def torch_gradient(net, theta, x, y):
    import torch

    params = [torch.from_numpy(v.copy()).requires_grad_() for v in (*theta.weights, *theta.biases)]
    cost = torch_cost(x, y)
    return lambda: torch.autograd.grad(cost(*params), params)


def jax_gradient(net, theta, x, y, at_home=True):
    """Return a call with arrays of jax; if not `at_home`, with input and output of numpy."""
    import jax
    from jax import numpy as jnp

    jax.config.update("jax_enable_x64", True)

    def cost(params, x, y):
        a = x
        for w, b in zip(params[: net.L], params[net.L :], strict=True):
            a = jax.nn.sigmoid(a @ w.T + b)
        return jnp.mean((a - y) ** 2)

    gradient, params = jax.jit(jax.grad(cost)), [*theta.weights, *theta.biases]
    if not at_home:
        return lambda: list(map(np.asarray, gradient(params, x, y)))
    params, x, y = list(map(jnp.asarray, params)), jnp.asarray(x), jnp.asarray(y)
    return lambda: jax.block_until_ready(gradient(params, x, y))


def autograd_gradient(net, theta, x, y):
    from autograd import grad
    from autograd import numpy as anp

    def cost(params):
        a = x
        for w, b in zip(params[: net.L], params[net.L :], strict=True):
            a = 1 / (1 + anp.exp(-(anp.dot(a, w.T) + b)))
        return anp.mean((a - y) ** 2)

    gradient, params = grad(cost), [*theta.weights, *theta.biases]
    return lambda: gradient(params)


NETWORKS = {
    "torch": torch_gradient,
    "jax.jit": jax_gradient,
    "jax.jit, numpy in and out": partial(jax_gradient, at_home=False),
    "autograd": autograd_gradient,
}
