"""Adapters of PyTorch: for a loss with its autograd gradient, and for a function of tensors."""

import inspect
import warnings
from collections.abc import Callable
from typing import Any

from checks.adapters.keyed_nesting import nest
from checks.parameters.nesting import leaves

try:
    import torch
except ImportError as error:
    raise ImportError(
        "checks.adapters.torch needs PyTorch: install gradient-gate[torch], or torch itself"
    ) from error

from checks.adapters.torch_check import assert_function, check_function
from checks.adapters.torch_function import in_float64
from checks.adapters.torch_gradcheck import gradcheck, gradgradcheck
from checks.adapters.torch_loss import LossCost, array_of

__all__ = ["assert_function", "check_function", "from_loss", "gradcheck", "gradgradcheck"]


def from_loss(
    loss: Callable[..., Any], parameters: Any, *, precision: str | None = None
) -> tuple[Any, Any, Any]:
    """Return cost, gradient and params for `check_gradient` and `assert_gradient`.

    Parameters
    ----------
    loss
        Takes nothing, runs the model and returns its loss, a tensor of one element. With a
        `precision` it takes the module to be run.
    parameters
        A module, or a mapping of names to leaf tensors. Parameters of a module that do not require
        a gradient are left out, with a warning. Its buffers, such as running means, are restored
        after every call.
    precision : {None, "float64"}
        With "float64" a deep copy of the module, in float64 throughout, is what the loss gets and
        what is checked: its formulas, not what a module in float32 or bfloat16 rounds. Other
        tensors that the loss reads must be in float64 as well, as ``x.double()``.

    Returns
    -------
    cost, gradient, params
        The arrays in `params` keep the dtype of the tensors and share their memory, so that a check
        moves the model's own parameters, and restores them bit for bit. Of tensors on an
        accelerator they are copies: the tensors get their values for the length of a call, and
        losses are computed there. `gradient` does not change ``.grad``.

    Raises
    ------
    TypeError
        A tensor has a dtype that numpy has not; or with a precision, there is no module.
    ValueError
        `precision` is something else.
    """
    if precision is not None:
        loss, parameters = _in_float64(loss, parameters, precision)
    tensors, buffers = parameters, []
    if isinstance(parameters, torch.nn.Module):
        tensors, buffers = dict(parameters.named_parameters()), list(parameters.buffers())
        frozen = [name for name, tensor in tensors.items() if not tensor.requires_grad]
        tensors = {name: tensor for name, tensor in tensors.items() if tensor.requires_grad}
        if frozen:
            warnings.warn(
                f"{', '.join(frozen)} are frozen and left out of the check: call requires_grad_(), "
                "or pass the mapping of names to tensors that you mean",
                stacklevel=2,
            )
    keys = [_keys(name) for name in tensors]
    shared = [array_of(tensor, name) for name, tensor in tensors.items()]
    nested = nest(zip(keys, shared, strict=True))
    tensor_of = dict(zip(map(id, shared), tensors.values(), strict=True))
    arrays = leaves(nested)
    by_path = {path: tensor_of[id(array)] for path, array in arrays.items()}
    cost = LossCost(loss, by_path, arrays, buffers)

    def gradient(params: Any) -> Any:
        with cost.placed(params):
            slopes = torch.autograd.grad(loss(), list(tensors.values()), materialize_grads=True)
        return nest(zip(keys, map(array_of, slopes), strict=True))

    return cost, gradient, nested


def _in_float64(
    loss: Callable[[Any], Any], module: Any, precision: str
) -> tuple[Callable[[], Any], Any]:
    """Return the loss of a copy of a module in float64, and that copy."""
    if precision != "float64":
        raise ValueError(f"precision is {precision!r}, wanted None or 'float64'")
    if not isinstance(module, torch.nn.Module):
        raise TypeError(
            f"parameters is {type(module).__name__}, wanted a module if a precision is given: its "
            "copy in float64 is what the loss gets"
        )
    if not inspect.signature(loss).parameters:
        raise TypeError(
            "the loss takes no argument, wanted the module as one if a precision is given: write "
            "lambda module: ..., and run that, not the module of the closure"
        )
    copy = in_float64(module)

    def loss_of_copy() -> Any:
        try:
            return loss(copy)
        except RuntimeError as error:
            error.add_note("the module is in float64: so must be what the loss reads, x.double()")
            raise

    return loss_of_copy, copy


def _keys(name: str) -> tuple[str | int, ...]:
    """Split the name of a parameter at the dots: "layers.0.w" gives "layers", 0 and "w"."""
    parts = name.split(".")
    return tuple(int(k) if k.isdecimal() and k == str(int(k)) else k for k in parts)
