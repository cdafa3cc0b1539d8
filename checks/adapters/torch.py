"""Adapters of PyTorch: for a loss with its autograd gradient, and for a function of tensors."""

import warnings
from collections.abc import Callable
from typing import Any

from checks.adapters.keyed_nesting import nest

try:
    import torch
except ImportError as error:
    raise ImportError(
        "checks.adapters.torch needs PyTorch: install gradient-gate[torch], or torch itself"
    ) from error

from checks.adapters.torch_check import assert_function, check_function
from checks.adapters.torch_function import restored
from checks.adapters.torch_gradcheck import gradcheck, gradgradcheck

__all__ = ["assert_function", "check_function", "from_loss", "gradcheck", "gradgradcheck"]


def from_loss(loss: Callable[[], Any], parameters: Any) -> tuple[Any, Any, Any]:
    """Return cost, gradient and params for `check_gradient` and `assert_gradient`.

    Parameters
    ----------
    loss
        Takes nothing, runs the model and returns its loss, a tensor of one element.
    parameters
        A module, or a mapping of names to leaf tensors, on the CPU. Parameters of a module that do
        not require a gradient are left out, with a warning. Its buffers, such as running means, are
        restored after every call.

    Returns
    -------
    cost, gradient, params
        The arrays in `params` share the memory of the tensors and keep their dtype, so that a check
        moves the model's own parameters, and restores them bit for bit. `gradient` does not change
        ``.grad``.
    """
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
    params = {_keys(name): _array(tensor, name) for name, tensor in tensors.items()}

    def cost(_: Any) -> Any:
        with restored(buffers):
            return _array(loss(), "the loss")

    def gradient(_: Any) -> Any:
        with restored(buffers):
            slopes = torch.autograd.grad(loss(), list(tensors.values()), materialize_grads=True)
        return nest(zip(params, map(_array, slopes), strict=True))

    return cost, gradient, nest(params.items())


def _array(tensor: Any, name: str = "a tensor") -> Any:
    """Return a numpy array that shares the memory of a tensor."""
    if tensor.dtype is torch.bfloat16 or tensor.device.type != "cpu":
        raise TypeError(
            f"{name} is {tensor.dtype} on {tensor.device}, wanted a dtype that numpy has, on the "
            "CPU: convert with .float() and .cpu()"
        )
    return tensor.detach().numpy()


def _keys(name: str) -> tuple[str | int, ...]:
    """Split the name of a parameter at the dots: "layers.0.w" gives "layers", 0 and "w"."""
    parts = name.split(".")
    return tuple(int(k) if k.isdecimal() and k == str(int(k)) else k for k in parts)
