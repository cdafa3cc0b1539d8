"""Adapters of JAX: for a loss with its `jax.grad`, and for a function with its derivatives."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

from checks.gradient import require_match

try:
    import jax  # noqa: F401 — that it is there
except ImportError as error:
    raise ImportError(
        "checks.adapters.jax needs JAX: install gradient-gate[jax], or jax itself"
    ) from error

from checks.adapters.jax_check import assert_function, check_derivative, check_function
from checks.adapters.jax_loss import LossCost

__all__ = ["assert_function", "check_function", "check_grads", "from_loss"]


def check_grads(
    f: Callable[..., Any],
    args: Sequence[Any],
    order: int,
    modes: Sequence[str] = ("fwd", "rev"),
    atol: Any = None,
    rtol: Any = None,
    eps: float | None = None,
) -> None:
    """Check derivatives as `jax.test_util.check_grads` does, but every entry.

    Parameters
    ----------
    f, args
        The function, and its arguments: pytrees.
    order
        All derivatives up to this order are judged, in all combinations of modes.
    modes
        Of "fwd", "rev" and "lin": `jax.jvp`, `jax.vjp`, `jax.linearize`.
    rtol
        As in `check_function`, where it is given as a number between 0 and 1.
    atol, eps
        Not used, which a warning says: errors are measured, and so are steps chosen.

    Raises
    ------
    GradientMismatch, GradientUnresolved
        Both are an AssertionError; the text is the whole report.
    TypeError, ValueError
        As `check_function`; also where a mode cannot differentiate the function, as in JAX.
    """
    __tracebackhide__ = True
    names = {"fwd": "forward", "rev": "reverse", "lin": "linearized"}
    modes = [modes] if isinstance(modes, str) else list(modes)
    if unknown := [mode for mode in modes if mode not in names]:
        raise ValueError(f"modes has {unknown[0]!r}, wanted some of 'fwd', 'rev' and 'lin'")
    options = {"rtol": rtol} if isinstance(rtol, float) and 0 < rtol < 1 else {}
    given = {"atol": atol, "rtol": None if options else rtol, "eps": eps}
    if ignored := [name for name, value in given.items() if value is not None]:
        warnings.warn(
            f"{' and '.join(ignored)} of check_grads: not used. The errors of the numerical "
            "derivatives are measured and their steps chosen; rtol is one number between 0 and 1",
            stacklevel=2,
        )

    def check(inner: list[bool], order: int) -> None:
        __tracebackhide__ = True
        for mode in modes:
            tree = {"inputs": tuple(args), "kwargs": {}}
            require_match(check_derivative(f, tree, None, inner, names[mode], options))
        for mode in modes if order > 1 else ():
            check([*inner, mode != "rev"], order - 1)

    check([], order)


def from_loss(
    loss: Callable[[Any], Any], parameters: Any, *, has_aux: bool = False
) -> tuple[Any, Any, Any]:
    """Return cost, gradient and params for `check_gradient` and `assert_gradient`.

    Parameters
    ----------
    loss
        Takes parameters nested as `parameters` and returns a real scalar.
    parameters
        A pytree. Its arrays of floats are checked; all other leaves are constants.
    has_aux
        The loss returns a pair, of the scalar and anything else, as `jax.grad` takes it.

    Returns
    -------
    cost, gradient, params
        `params` holds copies in the dtype in which JAX computes: float32 unless ``jax_enable_x64``
        is set. The gradient by a complex z = x + iy is ∂C/∂x + i ∂C/∂y, the conjugate of JAX's.
    """
    cost = LossCost((lambda p: loss(p)[0]) if has_aux else loss, parameters)
    return cost, cost.gradient, cost.params
