"""Checks of functions of tensors: the backward pass, also in batches, and forward mode."""

import time
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch

from checks.adapters.reference import check_by_reference
from checks.adapters.torch_function import TensorFunction, cotangent
from checks.evaluation.stacked import StackedFunction
from checks.gradient import require_match
from checks.jacobian import check_jvp, check_vjp
from checks.parameters.claims import flatten_claim
from checks.parameters.nesting import Nesting, leaves
from checks.report.array_report import ArrayReport
from checks.report.report import Diagnosis, Report
from checks.report.session import record
from checks.report.verdict import Rule, Verdict

__all__ = ["assert_function", "check_function"]

MODES = ("reverse", "batched", "forward")
MOST = 8  # of at most so many outputs, one is used alone, or all but one are

UNUSED = (
    "Autograd hands over None as the cotangent of an output that a loss does not use, here of {}. "
    "The backward pass {}: let it treat None as zeros, or leave ctx.set_materialize_grads at True."
)
NONE_USED = "Where a loss uses no output, every derivative is zero."


def check_function(
    function: Callable[..., Any],
    *inputs: Any,
    kwargs: Mapping[str, Any] | None = None,
    reference: Callable[..., Any] | None = None,
    mode: str = "reverse",
    order: int = 1,
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
        The backward pass, also with None as the cotangent of some outputs; the backward pass under
        vmap; or forward mode, jvp.
    order : {1, 2}
        2 is for the double backward pass: it checks the derivatives of the gradient by the inputs
        and by the cotangents, as ``gradgradcheck``. The gradient itself is what order 1 checks.
    **options
        As of `check_vjp`; of `check_jvp` for forward mode.

    Returns
    -------
    Report
        Its arrays have the names of the inputs, as ``inputs[0]`` or ``kwargs.scale.w``, and for
        order 2 of the cotangents, ``cotangents[0]`` and so on, which are random. A complex number
        is two entries, the derivatives by its real and its imaginary part.

    Raises
    ------
    TypeError, ValueError, CheckInterrupted
        As `check_vjp`; also if no input or no output requires a gradient.
    """
    if mode not in MODES:
        raise ValueError(f"mode is {mode!r}, wanted one of {', '.join(map(repr, MODES))}")
    if order not in (1, 2) or (order == 2 and reference is not None):
        raise ValueError(
            f"order is {order!r}, wanted 1, or 2 for the derivatives of the gradient, without a "
            "reference"
        )
    checked = TensorFunction(function, inputs, kwargs or {})
    if order == 2:
        u = checked.random_cotangent(options.get("seed", 0))
        tensors = map(cotangent, u, checked.outputs.values())
        checked = checked.gradient([tensor.requires_grad_() for tensor in tensors])
    return check_derivative(checked, mode, reference, **options)


def assert_function(function: Callable[..., Any], *inputs: Any, **options: Any) -> Report:
    """Check the derivative of a function of tensors; raise an AssertionError unless it is a MATCH.

    Parameters
    ----------
    function, *inputs, **options
        As of `check_function`.

    Returns
    -------
    Report

    Raises
    ------
    GradientMismatch, GradientUnresolved
        The text is the whole report.
    TypeError, ValueError, CheckInterrupted
        As `check_function`.
    """
    __tracebackhide__ = True
    return require_match(check_function(function, *inputs, **options))


def _with_unused_outputs(
    checked: TensorFunction, check: Callable[[Container[int]], Report], seed: int
) -> Report:
    """Return the report of a check, or that of one without some outputs if that is worse.

    The second check is made where None as the cotangent of these outputs gives other gradients
    than zeros do.

    Parameters
    ----------
    checked
    check
        Takes the places of outputs that are not used.
    """
    report = check(())
    names = list(Nesting({"output": checked.nested_outputs(range(len(checked.outputs)))}).leaves)
    for unused in _unused_outputs(len(names)):
        if report.verdict is Verdict.MISMATCH:
            break
        which = ", ".join(names[place] for place in sorted(unused))
        part, u = checked.without(unused), checked.random_cotangent(seed)
        zeros = [np.zeros_like(a) if place in unused else a for place, a in enumerate(u)]
        wanted = checked.vjp(checked.params, checked.nested_outputs(zeros))
        used = [a for place, a in enumerate(u) if place not in unused]
        try:
            products = part.vjp(part.params, part.nested_outputs(used))
        except Exception as error:
            error.add_note(UNUSED.format(which, "raises this"))
            raise
        pairs = zip(leaves(products).values(), leaves(wanted).values(), strict=True)
        if not all(np.array_equal(a, b, equal_nan=True) for a, b in pairs):
            has_results = any(a.size for a in used)
            other = check(unused) if has_results else _of_zeros(part, products, NONE_USED)
            if other.verdict > report.verdict:
                text = UNUSED.format(which, "returns other gradients than for zeros")
                named = Diagnosis("undefined cotangent", text)
                report = replace(other, diagnosis=(named, *other.diagnosis))
    return report


def _unused_outputs(count: int) -> Iterator[set[int]]:
    """Yield places of outputs that are not used: all, all but one, and one."""
    places = set(range(count))
    yield places
    for place in range(min(count, MOST) if count > 1 else 0):
        yield places - {place}
        if count > 2:
            yield {place}


def check_derivative(
    checked: TensorFunction,
    mode: str = "reverse",
    reference: Callable[..., Any] | None = None,
    unused: bool = True,
    **options: Any,
) -> Report:
    """Check a function of tensors as `check_function` does.

    Parameters
    ----------
    checked, mode, reference, **options
    unused : bool
        Whether outputs without a cotangent are tried too.
    """
    check: Callable[[Container[int]], Report] = partial(_checked_without, checked, mode, options)
    if not any(output.numel() for output in checked.outputs.values()):
        return _without_results(checked)
    if reference is not None or checked.eps > torch.finfo(torch.float32).eps:
        if mode != "reverse":
            raise ValueError(
                f"mode is {mode!r}, wanted 'reverse' for 16 bits or with a reference: check other "
                "modes in float32 or float64"
            )
        check = _by_reference(checked, reference, options)
    if mode == "reverse" and unused:
        return _with_unused_outputs(checked, check, options.get("seed", 0))
    return check(())


def _checked_without(
    checked: TensorFunction, mode: str, options: Mapping[str, Any], unused: Container[int]
) -> Report:
    """Check a function without some of its outputs, by their places."""
    part = checked.without(unused)
    values = StackedFunction(part.values, part.values_at_points)
    if mode == "forward":
        return check_jvp(values, part.jvp, part.params, **options)
    vjp = part.vjp if mode == "reverse" else part.batched_vjp
    return check_vjp(values, vjp, part.params, **options)


def _by_reference(
    checked: TensorFunction, reference: Callable[..., Any] | None, options: Mapping[str, Any]
) -> Callable[[Container[int]], Report]:
    """Return the check of a function by its reference, or by itself in float64."""
    try:
        exact = checked.at_point(reference, wide=True)
    except Exception as error:
        if reference is not None:
            raise
        raise ValueError(
            f"the function fails in float64 ({type(error).__name__}: {error}), wanted one that "
            "shows what its derivatives are: give reference=, a function of the same meaning, such "
            "as its eager form"
        ) from error
    try:
        rounding = None if reference is None else checked.at_point(reference)
    except Exception:  # the reference may take float64 alone
        rounding = None
    whose = "the reference in float64" if reference is not None else "the function in float64"

    def check(unused: Container[int]) -> Report:
        return check_by_reference(
            checked.without(unused),
            exact.without(unused),
            rounding and rounding.without(unused),
            whose,
            **options,
        )

    return check


def _without_results(checked: TensorFunction) -> Report:
    """Return the report of a function whose outputs are all empty: its gradients are zeros."""
    u = checked.nested_outputs(np.zeros(output.shape) for output in checked.outputs.values())
    finding = "All outputs are empty, so that every derivative is zero."
    return _of_zeros(checked, checked.vjp(checked.params, u), finding)


def _of_zeros(checked: TensorFunction, products: Any, finding: str) -> Report:
    """Return the report of gradients that are zero, whatever the function is."""
    started = time.perf_counter()
    claims, _ = flatten_claim(checked.params, products, "vjp")
    arrays = {}
    for path, claim in claims.items():
        zeros = np.zeros(claim.shape)
        arrays[path] = ArrayReport.judged(path, claim, zeros, zeros, Rule(0, 0))
    seconds = time.perf_counter() - started
    return record(Report(arrays, 0.0, 0.0, "central", 0.0, 1, seconds, 0, (finding,), kind="vjp"))
