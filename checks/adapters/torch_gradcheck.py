"""PyTorch's `gradcheck` and `gradgradcheck`, answered by the checks of this project."""

import warnings
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np
import torch
from torch.autograd.gradcheck import GradcheckError

from checks.adapters.torch_check import check_derivative, random_cotangents
from checks.adapters.torch_function import NoGradient, TensorFunction
from checks.adapters.torch_memory import as_array
from checks.parameters.nesting import leaves
from checks.report.report import Report
from checks.report.verdict import Verdict

__all__ = ["gradcheck", "gradgradcheck"]

# PyTorch's defaults. An argument that is this very object was not given.
EPS, ATOL, RTOL = 1e-6, float("1e-5"), float("1e-3")

IGNORED = {
    "eps": "eps is ignored: the check chooses the steps of its differences itself",
    "atol": "atol decides only what the check leaves open: a small gradient that is surely wrong "
    "is never excused. For a gradient that is an approximation give rtol",
    "masked": "masked=True is assumed: of a sparse input only the stored values are compared. For "
    "the others, check a function of the dense tensor",
    "fast_mode": "fast_mode is ignored: every entry is compared. Where that takes too long, check "
    "fewer entries of the inputs, or the loss by check_gradient with coverage='projected'",
}
NOT_REENTRANT = (
    "two backward passes with the same cotangent differ by {:.1e}, wanted at most nondet_tol = {}: "
    "look for a random number, a race between threads, or memory that the first pass changes. If "
    "the difference is harmless, give nondet_tol"
)


def gradcheck(
    func: Callable[..., Any],
    inputs: Any,
    *,
    eps: float = EPS,
    atol: float = ATOL,
    rtol: float = RTOL,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_batched_forward_grad: bool = False,
    check_forward_ad: bool = False,
    check_backward_ad: bool = True,
    fast_mode: bool = False,
    masked: bool | None = None,
) -> bool:
    """Check derivatives of a function: ``torch.autograd.gradcheck``, answered by `check_function`.

    A verdict MATCH gives True, and MISMATCH raises. Where it is UNRESOLVED, PyTorch's tolerances
    decide: True if |a − n| + e ≤ atol + rtol · |n| in every open entry, for the claim a and the
    estimate n ± e. Otherwise it cannot be told whether the derivative is right, and the report that
    is raised gives the reason. A function whose outputs do not require a gradient passes if moved
    inputs do not change them by a bit.

    Parameters
    ----------
    func
        As `check_function` takes it: with any nesting of outputs.
    inputs
        A tensor, or a tuple or list of inputs. Those that require a gradient are checked. They may
        overlap, be complex, and have any floating dtype.
    eps
        Ignored, and a warning says so once if it is not the default: steps are chosen by the check.
    atol
        Decides what is UNRESOLVED. It never excuses what is surely wrong, as an absolute tolerance
        would excuse any small gradient: give `rtol` for one that is an approximation. A warning
        says so once.
    rtol
        If it is given, how accurate the gradient must be, relative to the largest entry of its
        array. The default asks for what can be seen: √eps of each entry, or of what is noise.
    raise_exception
        If false, False is returned where a GradcheckError would be raised.
    nondet_tol
        By how much two backward passes may differ.
    check_undefined_grad
        Whether outputs without a cotangent are tried, and inputs without a tangent.
    check_grad_dtypes
        Nothing is left to be checked: autograd itself casts gradients to the dtypes of the inputs.
    check_batched_grad, check_batched_forward_grad, check_forward_ad, check_backward_ad
        As the modes of `check_function`.
    fast_mode
        Ignored, and a warning says so once: every entry is compared.
    masked
        Of a sparse input, only the values that are stored are compared, as if it were true. A
        warning says so once where it is not.

    Returns
    -------
    bool
        True, or False as `raise_exception` says.

    Raises
    ------
    GradcheckError
        The text is the whole report.
    AssertionError
        Both modes are switched off, or a batch of one that is.
    TypeError, ValueError, CheckInterrupted
        As `check_function`.
    """
    __tracebackhide__ = True
    modes = {
        "reverse": check_backward_ad,
        "batched": check_batched_grad,
        "forward": check_forward_ad,
        "batched forward": check_batched_forward_grad,
    }
    options = (modes, eps, atol, rtol, nondet_tol, check_undefined_grad, fast_mode, masked)
    return _answer(lambda: TensorFunction(func, _as_tuple(inputs), {}), raise_exception, *options)


def gradgradcheck(
    func: Callable[..., Any],
    inputs: Any,
    grad_outputs: Any = None,
    *,
    eps: float = EPS,
    atol: float = ATOL,
    rtol: float = RTOL,
    gen_non_contig_grad_outputs: bool = False,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_fwd_over_rev: bool = False,
    check_rev_over_rev: bool = True,
    fast_mode: bool = False,
    masked: bool = False,
) -> bool:
    """Check derivatives of the gradient of a function: ``torch.autograd.gradgradcheck``.

    It is `check_function` of order 2, as `gradcheck` is that of order 1. The gradient itself is not
    checked: that is `gradcheck`.

    Parameters
    ----------
    func, inputs
        As of `gradcheck`.
    grad_outputs
        Cotangents, one for each output that requires a gradient, or one tensor. Those that require
        a gradient are checked as well. Default: random ones that do.
    gen_non_contig_grad_outputs
        Whether such random ones are not contiguous.
    check_fwd_over_rev, check_rev_over_rev
        Whether the gradient is differentiated in forward mode, and by a second backward pass.
    eps, atol, rtol, raise_exception, nondet_tol, check_undefined_grad, check_grad_dtypes
        As of `gradcheck`.
    check_batched_grad, fast_mode, masked
        As of `gradcheck`.

    Returns
    -------
    bool
        True, or False as `raise_exception` says.

    Raises
    ------
    GradcheckError, AssertionError, TypeError, ValueError, CheckInterrupted
        As `gradcheck`.
    """
    __tracebackhide__ = True
    modes = {
        "reverse": check_rev_over_rev,
        "batched": check_batched_grad,
        "forward": check_fwd_over_rev,
        "batched forward": False,
    }
    options = (modes, eps, atol, rtol, nondet_tol, check_undefined_grad, fast_mode, masked)

    def gradient() -> TensorFunction:
        checked = TensorFunction(func, _as_tuple(inputs), {})
        cotangents = random_cotangents(checked) if grad_outputs is None else _as_tuple(grad_outputs)
        if grad_outputs is None and gen_non_contig_grad_outputs:
            pairs = [torch.stack([u.detach(), u.detach()], -1) for u in cotangents]
            cotangents = [pair[..., 0].requires_grad_() for pair in pairs]
        return checked.gradient(cotangents)

    return _answer(gradient, raise_exception, *options)


def _as_tuple(inputs: Any) -> tuple[Any, ...]:
    return tuple(inputs) if isinstance(inputs, (tuple, list)) else (inputs,)


def _answer(
    make: Callable[[], TensorFunction],
    raise_exception: bool,
    modes: Mapping[str, bool],
    eps: float,
    atol: float,
    rtol: float,
    nondet_tol: float,
    undefined: bool,
    fast_mode: bool,
    masked: bool | None,
) -> bool:
    """Return True; or raise a GradcheckError, or return False instead."""
    __tracebackhide__ = True
    if not (modes["reverse"] or modes["forward"]):
        raise AssertionError("both forward and reverse mode are off, wanted at least one of them")
    if modes["batched"] > modes["reverse"] or modes["batched forward"] > modes["forward"]:
        raise AssertionError("a batched mode is on without its own mode, wanted that as well")
    ignored = {"eps": eps != EPS, "atol": atol is not ATOL, "fast_mode": fast_mode}
    for name in (name for name, is_given in ignored.items() if is_given):
        _warn_once(IGNORED[name])
    error: GradcheckError | None
    try:
        checked = make()
        if not masked and any(memory.is_sparse for memory in checked.memories):
            _warn_once(IGNORED["masked"])
        error = _failure(checked, modes, atol, rtol, nondet_tol, undefined)
    except NoGradient as found:
        error = None if found.is_constant else GradcheckError(str(found))
    if error and raise_exception:
        raise error
    return error is None


@cache
def _warn_once(text: str) -> None:
    warnings.warn(text, stacklevel=4)


def _failure(
    checked: TensorFunction,
    modes: Mapping[str, bool],
    atol: float,
    rtol: float,
    nondet_tol: float,
    undefined: bool,
) -> GradcheckError | None:
    """Return what is wrong with a function, or None."""
    mode = "reverse"
    try:
        apart, size = _apart(checked) if modes["reverse"] else (0.0, 1.0)
        accuracy = 0.0 if rtol is RTOL else rtol
        if apart <= nondet_tol:
            accuracy = max(accuracy, 4 * apart / size)
        options: dict[str, Any] = {"rtol": accuracy, "scale": "array"} if accuracy else {}
        for mode in (mode for mode, is_on in modes.items() if is_on):
            report = check_derivative(checked, mode, undefined=undefined, **options)
            if not _is_right(report, atol, rtol):
                return GradcheckError(f"in {mode} mode:\n{report}")
    except NotImplementedError:
        raise
    except RuntimeError as error:
        notes = getattr(error, "__notes__", [])
        failure = GradcheckError("\n".join([f"in {mode} mode: {error}", *notes]))
        failure.__cause__ = error
        return failure
    return GradcheckError(NOT_REENTRANT.format(apart, nondet_tol)) if apart > nondet_tol else None


def _apart(checked: TensorFunction) -> tuple[float, float]:
    """Return by how much backward passes differ, and the size of the array of smallest gradients.

    The passes have the same cotangent. Two go through one graph, the third through another.
    """
    again, u = checked.passed_twice(), random_cotangents(checked)
    passes = [
        leaves(f.vjp(f.params, f.nested_outputs(as_array(part) for part in u))).values()
        for f in (checked, checked, again)
    ]
    sizes = [float(np.abs(gradient).max(initial=0)) for gradient in passes[0]]
    with np.errstate(invalid="ignore"):  # of infinite gradients
        differences = [
            float(np.abs(a - b).max(initial=0, where=a != b))
            for other in passes[1:]
            for a, b in zip(passes[0], other, strict=True)
        ]
    return max(differences), min(filter(None, sizes), default=1.0)


def _is_right(report: Report, atol: float, rtol: float) -> bool:
    """Whether a report is a MATCH, or what is open in it lies within PyTorch's tolerances."""
    return report.verdict is not Verdict.MISMATCH and all(
        bool((off <= atol + rtol * np.abs(array.numeric))[array.verdicts != Verdict.MATCH].all())
        for array in report.arrays.values()
        for off in [array.discrepancies + array.error]
    )
