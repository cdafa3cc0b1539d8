"""Whether other gradient checkers, at their defaults, accept a gradient.

Each function takes a `Claim` and runs the checker itself, of the extra `peers`. Options are changed
only where the default is impossible: jax and autograd would also differentiate the gradient and use
forward mode, which a gradient written by hand does not have, so first-order reverse mode is asked.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["ESTIMATORS", "NORM", "PEERS", "Claim", "accepts"]

# The largest accepted norm of claim − estimate, for checkers that return it and give no verdict.
NORM = 1e-6


@dataclass(frozen=True)
class Claim:
    """A cost and its claimed gradient at a point, which is a list of arrays.

    Attributes
    ----------
    cost, gradient
        Functions of a list of arrays that return a number and a list of arrays.
    params
        The point.
    """

    cost: Callable[[list[Any]], Any]
    gradient: Callable[[list[Any]], list[Any]]
    params: list[Any]

    @property
    def dtype(self):
        return self.params[0].dtype

    @property
    def vector(self):
        return np.concatenate([array.ravel() for array in self.params])

    def split(self, vector):
        ends = np.cumsum([array.size for array in self.params])[:-1]
        parts = np.split(np.asarray(vector), ends)
        return [part.reshape(a.shape) for part, a in zip(parts, self.params, strict=True)]

    def joined(self, vector):
        """Return the gradient at a point as one vector. A vector of wrong size is a ValueError."""
        return np.concatenate([np.ravel(g) for g in self.gradient(self.split(vector))])


def accepts(name, claim):
    """Whether a checker accepts the claim; an error means that it does not."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            return bool(PEERS[name](claim))
        except Exception:  # the checkers reject by exceptions of different types
            return False


def torch_gradcheck(claim, fast_mode=False):
    import torch

    class Cost(torch.autograd.Function):
        @staticmethod
        def forward(ctx, *tensors):
            ctx.save_for_backward(*tensors)
            return torch.tensor(claim.cost([t.numpy() for t in tensors]), dtype=tensors[0].dtype)

        @staticmethod
        def backward(ctx, upstream):
            slopes = claim.gradient([t.numpy() for t in ctx.saved_tensors])
            return tuple(upstream * torch.from_numpy(np.array(g)) for g in slopes)

    tensors = [torch.from_numpy(a.copy()).requires_grad_() for a in claim.params]
    return torch.autograd.gradcheck(Cost.apply, tensors, raise_exception=False, fast_mode=fast_mode)


def torch_gradcheck_fast(claim):
    return torch_gradcheck(claim, fast_mode=True)


def jax_check_grads(claim):
    import jax
    from jax.test_util import check_grads

    jax.config.update("jax_enable_x64", True)
    number = jax.ShapeDtypeStruct((), claim.dtype)
    shapes = [jax.ShapeDtypeStruct(a.shape, claim.dtype) for a in claim.params]

    def value(arrays):
        return np.asarray(claim.cost([np.array(a) for a in arrays]), claim.dtype)

    def slopes(arrays):
        return [np.asarray(g, claim.dtype) for g in claim.gradient([np.array(a) for a in arrays])]

    @jax.custom_vjp
    def cost(arrays):
        return jax.pure_callback(value, number, arrays)

    cost.defvjp(
        lambda arrays: (cost(arrays), arrays),
        lambda arrays, g: ([g * s for s in jax.pure_callback(slopes, shapes, arrays)],),
    )
    check_grads(cost, (list(map(jax.numpy.asarray, claim.params)),), order=1, modes=["rev"])
    return True


def autograd_check_grads(claim):
    from autograd.extend import defvjp, primitive
    from autograd.test_util import check_grads

    @primitive
    def cost(vector):
        return claim.cost(claim.split(vector))

    defvjp(cost, lambda _, vector: lambda g: g * claim.joined(vector))
    np.random.seed(0)  # noqa: NPY002 — check_grads uses this generator
    check_grads(cost, modes=["rev"], order=1)(claim.vector)
    return True


def scipy_check_grad(claim):
    from scipy.optimize import check_grad

    norm = check_grad(lambda v: claim.cost(claim.split(v)), claim.joined, claim.vector)
    return norm < NORM


def numdifftools_gradient(claim):
    from numdifftools import Gradient

    numeric = Gradient(lambda v: claim.cost(claim.split(v)))(claim.vector)
    return np.linalg.norm(numeric - claim.joined(claim.vector)) < NORM


def jacobi_jacobi(claim):
    from jacobi import jacobi

    numeric, _ = jacobi(lambda v: claim.cost(claim.split(v)), claim.vector)
    return np.linalg.norm(numeric - claim.joined(claim.vector)) < NORM


PEERS = {
    "torch": torch_gradcheck,
    "torch, fast": torch_gradcheck_fast,
    "jax": jax_check_grads,
    "autograd": autograd_check_grads,
    "scipy": scipy_check_grad,
}
# These return an estimate and no verdict.
ESTIMATORS = {"numdifftools": numdifftools_gradient, "jacobi": jacobi_jacobi}
