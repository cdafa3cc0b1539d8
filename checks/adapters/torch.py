"""Adapters of PyTorch: for a loss with its autograd gradient, and for a function of tensors."""

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from checks.adapters.keyed_nesting import nest
from checks.adapters.reference import check_by_reference
from checks.jacobian import check_jvp, check_vjp
from checks.parameters.claims import flatten_claim
from checks.parameters.nesting import Nesting
from checks.report.array_report import ArrayReport
from checks.report.report import Report
from checks.report.session import record
from checks.report.verdict import Rule

try:
    import torch
except ImportError as error:
    raise ImportError(
        "checks.adapters.torch needs PyTorch: install gradient-gate[torch], or torch itself"
    ) from error

from checks.adapters.torch_function import TensorFunction, in_float64, restored

__all__ = ["check_function", "from_loss"]

MODES = ("reverse", "batched", "forward")


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


def check_function(
    function: Callable[..., Any],
    *inputs: Any,
    kwargs: Mapping[str, Any] | None = None,
    reference: Callable[..., Any] | None = None,
    mode: str = "reverse",
    **options: Any,
) -> Report:
    """Check the derivative of a function of tensors, such as ``MyFunction.apply``.

    Parameters
    ----------
    function
        Returns a tensor or any nesting of tensors, in lists, tuples, dicts and dataclasses. Outputs
        that require a gradient are checked; all other outputs are constants.
    *inputs
        Any nesting. Tensors that require a gradient are checked, all other inputs are constants. A
        moved tensor has the strides, the offset, the device and the dtype of the one given.
    kwargs
        Keyword arguments of the function, as inputs.
    reference : callable, optional
        A function of the same meaning, such as the eager form of a fused kernel. It is evaluated
        with all floats in float64; values and gradients of the function are judged by it. For 16
        bits, bfloat16 and float16, the default is the function itself.
    mode : {"reverse", "batched", "forward"}
        The backward pass; the backward pass under vmap; or forward mode, jvp.
    **options
        As of `check_vjp`; of `check_jvp` for forward mode.

    Returns
    -------
    Report
        Its arrays have the names of the inputs, as ``inputs[0]`` or ``kwargs.scale.w``. A complex
        number is two entries, the derivatives by its real and its imaginary part.

    Raises
    ------
    TypeError, ValueError, CheckInterrupted
        As `check_vjp`; also if no input or no output requires a gradient.
    """
    if mode not in MODES:
        raise ValueError(f"mode is {mode!r}, wanted one of {', '.join(map(repr, MODES))}")
    checked = TensorFunction(function, inputs, kwargs or {})
    if not any(output.numel() for output in checked.outputs.values()):
        return _without_results(checked)
    if reference is not None or checked.eps > torch.finfo(torch.float32).eps:
        if mode != "reverse":
            raise ValueError(
                f"mode is {mode!r}, wanted 'reverse' for 16 bits or with a reference: check other "
                "modes in float32 or float64"
            )
        return _by_reference(checked, function, reference, inputs, kwargs or {}, options)
    if mode == "forward":
        return check_jvp(checked.values, checked.jvp, checked.params, **options)
    vjp = checked.vjp if mode == "reverse" else checked.batched_vjp
    return check_vjp(checked.values, vjp, checked.params, **options)


def _by_reference(
    checked: TensorFunction,
    function: Callable[..., Any],
    reference: Callable[..., Any] | None,
    inputs: Sequence[Any],
    kwargs: Mapping[str, Any],
    options: Mapping[str, Any],
) -> Report:
    """Check a function by its reference, or by itself in float64."""
    other = reference or function
    given = Nesting({"inputs": tuple(inputs), "kwargs": dict(kwargs)})
    wide = given.rebuild({path: in_float64(leaf) for path, leaf in given.leaves.items()})
    try:
        exact = TensorFunction(in_float64(other), wide["inputs"], wide["kwargs"])
    except Exception as error:
        if reference is not None:
            raise
        raise ValueError(
            f"the function fails in float64 ({type(error).__name__}: {error}), wanted one that "
            "shows what its derivatives are: give reference=, a function of the same meaning, such "
            "as its eager form"
        ) from error
    try:
        rounding = TensorFunction(other, inputs, kwargs) if reference is not None else checked
    except Exception:  # the reference may take float64 alone
        rounding = None
    whose = "the reference in float64" if reference is not None else "the function in float64"
    return check_by_reference(checked, exact, rounding, whose, **options)


def _without_results(checked: TensorFunction) -> Report:
    """Return the report of a function whose outputs are all empty: its gradients are zeros."""
    started = time.perf_counter()
    u = checked.nested_outputs(np.zeros(output.shape) for output in checked.outputs.values())
    claims, _ = flatten_claim(checked.params, checked.vjp(checked.params, u), "vjp")
    arrays = {}
    for path, claim in claims.items():
        zeros = np.zeros(claim.shape)
        arrays[path] = ArrayReport.judged(path, claim, zeros, zeros, Rule(0, 0))
    finding = "All outputs are empty, so that every derivative is zero."
    seconds = time.perf_counter() - started
    return record(Report(arrays, 0.0, 0.0, "central", 0.0, 1, seconds, 0, (finding,)))


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
