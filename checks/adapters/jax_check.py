"""Checks of functions in JAX: reverse mode, also in batches, and forward modes; of any order."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import numpy as np
from jax import tree_util

from checks.adapters.jax_function import DISAGREES, GRADIENTS, JaxFunction
from checks.adapters.jax_leaves import FLOAT32_EPS, as_array, eps_of, in_float64, name_of
from checks.adapters.keyed_nesting import leaf_at
from checks.adapters.reference import PLACES, as_float64, check_by_reference
from checks.derivatives.linearity import compared_with_zeros
from checks.evaluation.control_flow import is_control_flow
from checks.evaluation.stacked import StackedFunction
from checks.gradient import require_match
from checks.jacobian import check_jvp, check_vjp
from checks.judgement.interruption import recorded_once
from checks.parameters.claims import flatten_claim
from checks.report.array_report import ArrayReport
from checks.report.report import Diagnosis, Report
from checks.report.verdict import Rule, Verdict
from checks.report.wording import PRODUCTS, of_order

__all__ = ["assert_function", "check_derivative", "check_function"]

MODES = tuple(GRADIENTS)
# To what matrix products round float32 by default: to TF32, and to bfloat16.
PRODUCT_EPS = {"gpu": 2.0**-10, "tpu": 2.0**-7}
GIVE_REFERENCE = (
    "wanted one that shows what its derivatives are: give reference=, a function of the same "
    "meaning, such as its plain form"
)


def check_function(
    function: Callable[..., Any],
    *inputs: Any,
    kwargs: Mapping[str, Any] | None = None,
    reference: Callable[..., Any] | None = None,
    mode: str = "reverse",
    order: int = 1,
    **options: Any,
) -> Report:
    """Check a derivative of a function in JAX: by its own rule, or by JAX's.

    Parameters
    ----------
    function
        Returns any pytree. Outputs that are arrays of floats are checked, but for those that have
        no derivative in JAX; all other outputs are constants.
    *inputs
        Any pytrees. Numbers and arrays of floats are checked, or complex ones; all else is constant
        and handed over as it is: integers, booleans, keys of random numbers, strings.
    kwargs
        Keyword arguments of the function, as inputs.
    reference : callable, optional
        A function of the same meaning. It is evaluated with all inputs in float64; values and
        gradients of the function are judged by it. For 16 bits, bfloat16 and float16, the default
        is the function itself.
    mode : {"reverse", "batched", "forward", "linearized"}
        `jax.vjp`; the same under `jax.vmap`; `jax.jvp`; or `jax.linearize`.
    order : int
        Which derivative is judged. The second is that of the first as a function: of the inputs,
        and of a cotangent, or in forward mode of a tangent. It is taken by the same mode.
    **options
        As of `check_vjp`; of `check_jvp` for forward modes.

    Returns
    -------
    Report
        Its arrays have the names of the inputs, as ``inputs[0]`` or ``kwargs.scale.w``; of a second
        derivative there are ``cotangents`` as well. A complex number is two entries, the
        derivatives by its real and its imaginary part.

    Raises
    ------
    TypeError, ValueError, CheckInterrupted
        As `check_vjp`; also if no input is of floats, or no output has a derivative.

    Notes
    -----
    JAX has 64 bits while the function is evaluated with inputs in float64; what the caller has
    configured does not change.
    """
    if mode not in MODES:
        raise ValueError(f"mode is {mode!r}, wanted one of {', '.join(map(repr, MODES))}")
    if not isinstance(order, int) or order < 1:
        raise ValueError(f"order is {order!r}, wanted a positive integer: 1 is the gradient")
    of_first = [mode in ("forward", "linearized")] * (order - 1)
    given = {"inputs": inputs, "kwargs": dict(kwargs or {})}
    return check_derivative(function, given, reference, of_first, mode, options)


def assert_function(function: Callable[..., Any], *inputs: Any, **options: Any) -> Report:
    """Check a derivative of a function in JAX; raise an AssertionError unless it is a MATCH.

    Parameters
    ----------
    function, *inputs, **options
        As `check_function`.

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


@recorded_once
def check_derivative(
    function: Callable[..., Any],
    given: Mapping[str, Any],
    reference: Callable[..., Any] | None,
    of_first: Sequence[bool],
    mode: str,
    options: Mapping[str, Any],
) -> Report:
    """Check a derivative; `of_first` says of those before it whether they are by forward mode."""
    is_forward = mode in ("forward", "linearized")

    def derived(function: Callable[..., Any], given: Mapping[str, Any]) -> JaxFunction:
        call = lambda tree: function(*tree["inputs"], **tree["kwargs"])  # noqa: E731
        found = JaxFunction.of(call, given, (*of_first, is_forward)[0])
        for number, forward in enumerate(of_first, 1):
            found = found.derivative(forward, number)
        return found

    checked = derived(function, given)
    if not any(output.size for output in checked.outputs.values()):
        report = _without_entries(checked, "outputs")
    elif not any(leaf.values.size for leaf in checked.leaves):
        report = _without_entries(checked, "inputs")
    elif reference is not None or checked.eps > FLOAT32_EPS:
        other, whose = reference or function, "the function in float64"
        try:
            with jax.enable_x64(True):
                exact = derived(other, tree_util.tree_map(in_float64, given))
        except Exception as error:
            if reference is not None:
                raise
            raise ValueError(
                f"the function fails in float64 ({error}), {GIVE_REFERENCE}"
            ) from error
        rounding: JaxFunction | None = None
        if reference is not None:
            whose = "the reference in float64"
            try:
                rounding = derived(reference, given)
            except Exception:  # the reference may take float64 alone
                rounding = None
        elif not checked.agrees():
            raise ValueError(f"{DISAGREES}, {GIVE_REFERENCE}")
        report = check_by_reference(
            checked.in_mode(mode).compiled(),
            exact.in_mode(mode).compiled(),
            rounding and rounding.in_mode(mode).compiled(),
            whose,
            **options,
        )
    else:
        judged = checked.in_mode("reverse" if is_forward else mode)
        judged = judged.compiled() if checked.is_large or checked.has_loops() else judged
        values = StackedFunction(judged.values, judged.values_at_points, np.float64, True)
        if is_forward:
            jvp = judged.jvp if mode == "forward" else judged.linearized_jvp
            report = check_jvp(values, jvp, judged.params, **options)
        else:
            report = check_vjp(values, judged.vjp, judged.params, **options)
    kind = of_order(len(of_first) + 1, PRODUCTS[mode])
    return replace(_with_values(report, checked), kind=kind)


def _with_values(report: Report, checked: JaxFunction) -> Report:
    """Return a report with findings, and with the outputs that a custom rule returns wrong."""
    arrays = {}
    for (keys, output), other in zip(checked.outputs.items(), checked.differentiated, strict=True):
        n, value, eps = as_array(output), as_array(other), eps_of(output.dtype)
        rtol = PLACES * eps if eps > FLOAT32_EPS else max(eps**0.5, PLACES * _product_eps())
        error = rtol * float(np.abs(n).max(initial=0))
        is_close = partial(np.allclose, value, n, rtol=0, equal_nan=True)
        if not is_close(atol=error):
            error += 4 * _lost(checked, keys)  # in TF32 inside, both may round by that
        if not is_close(atol=error):
            name = name_of(("output", *keys))
            arrays[name] = ArrayReport.judged(name, value, n, np.full(n.shape, error), Rule(rtol))
    if arrays and not checked.repeats():  # random values are not those of another rule
        arrays = {}
    if not arrays and not checked.findings:
        return report
    diagnosis = [
        Diagnosis(
            "values",
            f"The custom rule returns other values than the function. {array.worst}, by the "
            "function when it is not differentiated.",
        )
        for array in arrays.values()
        if array.verdict is Verdict.MISMATCH
    ]
    return replace(
        report,
        arrays={**arrays, **report.arrays},
        diagnosis=(*diagnosis[:1], *report.diagnosis),
        findings=(*report.findings, *checked.findings),
    )


def _product_eps() -> float:
    """Return the spacing at 1 of numbers to which products round float32 here, if that is coarser.

    On an accelerator one of two compiled forms of a function may do so, and the other not.
    """
    is_default = getattr(jax.config, "jax_default_matmul_precision", None) in (None, "default")
    return PRODUCT_EPS.get(jax.default_backend(), 0.0) if is_default else 0.0


def _lost(checked: JaxFunction, keys: tuple[Any, ...]) -> float:
    """Return by how much an output differs in float64, 0 where that is not known."""
    try:
        found = leaf_at(checked.values(as_float64(checked.params)), keys)
    except Exception as error:
        if is_control_flow(error):
            raise
        return 0.0
    return float(np.abs(found - as_array(checked.outputs[keys])).max(initial=0))


def _without_entries(checked: JaxFunction, what: str) -> Report:
    """Return the report of a function whose outputs or inputs are all empty."""
    started = time.perf_counter()
    u = checked.nested_outputs(np.zeros_like(as_array(a)) for a in checked.outputs.values())
    claims, _ = flatten_claim(checked.params, checked.vjp(checked.params, u), "vjp")
    arrays = compared_with_zeros(claims)
    finding = f"All {what} are empty, so that every derivative is zero, or there is none."
    seconds = time.perf_counter() - started
    return Report(arrays, 0.0, 0.0, "central", 0.0, 1, seconds, 0, (finding,))
