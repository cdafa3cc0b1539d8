"""Checks of functions of tensors: the backward pass, also in batches, and forward mode."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from operator import methodcaller
from typing import Any, TypeAlias

import numpy as np
import torch

from checks.adapters.infinities import with_findings, without_infinities
from checks.adapters.reference import check_by_reference
from checks.adapters.torch_function import TensorFunction, cotangent
from checks.adapters.torch_memory import as_array
from checks.derivatives.linearity import compared_with_zeros, overwriting
from checks.evaluation.stacked import StackedFunction
from checks.gradient import require_match
from checks.jacobian import check_jvp, check_vjp
from checks.judgement.interruption import recorded_once
from checks.parameters.claims import flatten_claim
from checks.parameters.nesting import leaves
from checks.report.report import Diagnosis, Report
from checks.report.verdict import Verdict
from checks.report.wording import PRODUCTS, of_order

__all__ = ["assert_function", "check_function"]

Variant: TypeAlias = Callable[[TensorFunction], TensorFunction]

MODES = ("reverse", "batched", "forward", "batched forward")
MOST = 8  # at most so many outputs are tried as the only one used, or not used

UNUSED = (
    "Autograd hands over None as the cotangent of an output that a loss does not use, here of {}. "
    "The backward pass {}: let it treat None as zeros, or leave ctx.set_materialize_grads at True."
)
NO_TANGENT = (
    "In forward mode an input that is not differentiated has no tangent, here all but {}. The "
    "function's jvp {}: let it treat None as zeros."
)
PASSED_TWICE = (
    "A second backward pass through the same graph, as with retain_graph=True, gives other "
    "gradients than the first: that has changed what the forward pass kept. Let it work on copies."
)
CALLED_BETWEEN = (
    "A backward pass after another call of the function gives other gradients, as where a model "
    "has it in two places: it reads what the last forward pass has kept in a module or a global. "
    "Let it keep all that it needs in its own ctx, by save_for_backward."
)
READS_BETWEEN = (
    "results are nan that are finite for dense inputs, wanted the same for any strides: the "
    "function reads memory between the entries of an input, where a check puts nan. Let it read by "
    "the strides, or begin with x.contiguous()"
)
UNSTABLE = (
    ("second backward pass", "passed_twice", PASSED_TWICE),
    ("kept outside of ctx", "called_between", CALLED_BETWEEN),
)
EAGER = "a function of the same meaning that autograd differentiates, such as the eager form"
DETACHED = (
    "PyTorch does not differentiate the backward pass: it is marked once_differentiable, or "
    "detaches what it computes, so that a second derivative through it is zero. Let it compute by "
    "differentiable operations of its cotangent and of saved tensors."
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
        moved tensor has the strides, the offset, the device and the dtype of the one given. Of a
        sparse tensor the values that are stored are moved, and the gradient by them is checked.
    kwargs
        Keyword arguments of the function, as inputs.
    reference : callable, optional
        A function of the same meaning, such as the eager form of a fused kernel. It is evaluated
        with all floats in float64; values and gradients of the function are judged by it. For 16
        bits, bfloat16 and float16, the default is the function itself.
    mode : {"reverse", "batched", "forward", "batched forward"}
        The backward pass, also with None as the cotangent of some outputs; the backward pass under
        vmap; forward mode, jvp, also without tangents of some inputs; or that under vmap.
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
        checked = checked.gradient(random_cotangents(checked, options.get("seed", 0)))
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


def random_cotangents(checked: TensorFunction, seed: int = 0) -> list[Any]:
    """Return random tensors that require a gradient, one for each output of a function."""
    outputs = checked.outputs.values()
    arrays = _random_like(map(as_array, outputs), np.random.default_rng(seed))
    return [tensor.requires_grad_() for tensor in map(cotangent, arrays, outputs)]


@recorded_once
def check_derivative(
    checked: TensorFunction,
    mode: str = "reverse",
    reference: Callable[..., Any] | None = None,
    undefined: bool = True,
    **options: Any,
) -> Report:
    """Check a function of tensors as `check_function` does.

    Parameters
    ----------
    checked, mode, reference, **options
    undefined : bool
        Whether outputs without a cotangent, and inputs without a tangent, are tried too.
    """
    sizes = [output.numel() for output in checked.outputs.values()]
    if any(sizes) and any(memory.values.size for memory in checked.memories):
        report = _report(checked, mode, reference, undefined, options)
    else:
        report = _without_entries(checked, "outputs" if not any(sizes) else "inputs")
    if report.verdict is Verdict.MISMATCH and checked.is_detached():
        named = Diagnosis("detached backward pass", DETACHED)
        report = replace(report, diagnosis=(named, *report.diagnosis))
    return replace(report, kind=of_order(checked.order, PRODUCTS[mode]))


def _report(
    checked: TensorFunction,
    mode: str,
    reference: Callable[..., Any] | None,
    undefined: bool,
    options: Mapping[str, Any],
) -> Report:
    if "forward" in mode and any(memory.is_sparse for memory in checked.memories):
        raise TypeError(
            f"mode is {mode!r} and an input is sparse, wanted dense ones: PyTorch has no forward "
            "mode of sparse tensors"
        )
    if reference is None and checked.reads_between_entries():
        raise ValueError(READS_BETWEEN)
    check: Callable[[Variant], Report] = partial(_check_variant, checked, mode, options)
    if reference is not None or checked.eps > torch.finfo(torch.float32).eps:
        if mode != "reverse":
            raise ValueError(
                f"mode is {mode!r}, wanted 'reverse' for 16 bits or with a reference: check other "
                "modes in float32 or float64"
            )
        check = _by_reference(checked, reference, options)
    report = check(lambda function: function)
    rng, graph = np.random.default_rng(options.get("seed", 0)), None
    if mode == "reverse":
        graph = _Graph(checked, rng)
    cases = _cases(checked, mode, graph, rng) if undefined else iter(())
    while report.verdict is not Verdict.MISMATCH and (case := next(cases, None)):
        try:
            product = case.product()
        except Exception as error:
            error.add_note(case.text.format("raises this"))
            raise
        usual = case.usual()
        # where two usual calls differ as well, the case is not to blame
        if not _are_same(product, usual) and _are_same(usual, case.usual()):
            part = case.variant(checked)
            other = check(case.variant) if part.outputs else _of_zeros(part, product, NONE_USED)
            if other.verdict > report.verdict:
                named = Diagnosis(case.name, case.text.format("gives other values than for zeros"))
                report = replace(other, diagnosis=(named, *other.diagnosis))
    return _overwriting_input(report, *graph.writes) if graph and graph.writes[1] else report


def _overwriting_input(report: Report, who: str, change: str) -> Report:
    """Return the report of a function that writes to an input, though its values may be right."""
    outputs = {path: a for path, a in report.arrays.items() if path.startswith("output")}
    named = overwriting(report, who, "input", change)
    return replace(named, arrays={**named.arrays, **outputs})


@dataclass(frozen=True, eq=False)
class _Case:
    """Another way in which autograd calls a derivative, for which it must be the same.

    Attributes
    ----------
    variant : callable
        Takes a function, and returns that whose derivative is called in this way.
    usual, product : callable
        Return the derivative as it is called otherwise, and in this way.
    name, text : str
        Of the diagnosis; {} in the text says what the derivative does.
    """

    variant: Variant
    usual: Callable[[], Any]
    product: Callable[[], Any]
    name: str
    text: str


class _Graph:
    """What two backward passes through one graph show, for a random cotangent.

    Attributes
    ----------
    u : list of ndarray
        The cotangent, an array for each output.
    is_stable : bool
        The second pass, after another call, has the gradients of the first, or raises.
    writes : tuple of str
        Which pass writes to an input, and to which entry.
    """

    def __init__(self, checked: TensorFunction, rng: np.random.Generator) -> None:
        self.u = _random_like(map(as_array, checked.outputs.values()), rng)
        first, second, self.writes = checked.two_passes(checked.nested_outputs(self.u))
        self.is_stable = second is None or _are_same(first, second)


def _cases(
    checked: TensorFunction, mode: str, graph: _Graph | None, rng: np.random.Generator
) -> Iterator[_Case]:
    x = checked.params
    if graph is not None:
        u = graph.u
        for name, method, text in () if graph.is_stable else UNSTABLE:
            usual, again = (
                partial(function.vjp, x, checked.nested_outputs(u))
                for function in (checked, methodcaller(method)(checked))
            )
            yield _Case(methodcaller(method), usual, again, name, text)
        names = list(leaves({"output": checked.nested_outputs(u)}))
        for unused in _unused_outputs([array.size for array in u]):
            which = ", ".join(names[place] for place in sorted(unused))
            zeros = [np.zeros_like(a) if place in unused else a for place, a in enumerate(u)]
            used = [a for place, a in enumerate(u) if place not in unused]
            variant = methodcaller("without", unused)
            part = variant(checked)
            usual = partial(checked.vjp, x, checked.nested_outputs(zeros))
            if not used:  # the product must be zero, whatever it is for zeros
                usual = partial(checked.nested, [np.zeros_like(a) for a in leaves(x).values()])
            product = partial(part.vjp, x, part.nested_outputs(used))
            text = UNUSED.format(which, "{}")
            yield _Case(variant, usual, product, "undefined cotangent", text)
    elif mode == "forward" and len(checked.keys) > 1:
        v = _random_like((memory.values for memory in checked.memories), rng)
        names = list(leaves(checked.params))
        variant = methodcaller("without_zero_tangents")
        part = variant(checked)
        for place in range(min(len(v), MOST)):
            alone = checked.nested(a if n == place else np.zeros_like(a) for n, a in enumerate(v))
            yield _Case(
                variant,
                partial(checked.jvp, x, alone),
                partial(part.jvp, x, alone),
                "undefined tangent",
                NO_TANGENT.format(names[place], "{}"),
            )


def _are_same(one: Any, other: Any) -> bool:
    pairs = zip(leaves(one).values(), leaves(other).values(), strict=True)
    return all(np.array_equal(a, b, equal_nan=True) for a, b in pairs)


def _random_like(arrays: Iterable[Any], rng: np.random.Generator) -> list[Any]:
    return [np.asarray(rng.standard_normal(a.shape), a.dtype) for a in arrays]


def _unused_outputs(sizes: Sequence[int]) -> Iterator[set[int]]:
    """Yield places of outputs that are not used: all, all but one that is not empty, and one."""
    places = set(range(len(sizes)))
    yield places
    filled = [place for place, size in enumerate(sizes) if size]
    for place in filled[:MOST] if len(places) > 1 else []:
        yield places - {place}
        if len(filled) > 2:
            yield {place}


def _check_variant(
    checked: TensorFunction, mode: str, options: Mapping[str, Any], variant: Variant
) -> Report:
    part = without_infinities(variant(checked))
    values = StackedFunction(part.values, part.values_at_points, np.float64, keeps_nothing=True)
    if "forward" in mode:
        jvp = part.jvp if mode == "forward" else part.batched_jvp
        report = check_jvp(values, jvp, part.params, **options)
    else:
        vjp = part.vjp if mode == "reverse" else part.batched_vjp
        report = check_vjp(values, vjp, part.params, **options)
    return with_findings(report, part)


def _by_reference(
    checked: TensorFunction, reference: Callable[..., Any] | None, options: Mapping[str, Any]
) -> Callable[[Variant], Report]:
    """Return the check of a function by its reference, or by itself in float64."""
    try:
        exact = checked.twin(reference, wide=True)
    except Exception as error:
        remedy = f"give reference=, {EAGER}" if reference is None else f"let it be {EAGER}"
        raise ValueError(
            f"the {'function' if reference is None else 'reference'} fails in float64 "
            f"({type(error).__name__}: {error}), wanted one that shows what the derivatives are: "
            f"{remedy}"
        ) from error
    try:
        rounding = None if reference is None else checked.twin(reference)
    except Exception:  # the reference may take float64 alone
        rounding = None
    whose = "the reference in float64" if reference is not None else "the function in float64"

    def check(variant: Variant) -> Report:
        part = without_infinities(variant(checked))
        report = check_by_reference(
            part,
            without_infinities(variant(exact)),
            rounding and without_infinities(variant(rounding)),
            whose,
            **options,
        )
        return with_findings(report, part)

    return check


def _without_entries(checked: TensorFunction, what: str) -> Report:
    """Return the report of a function whose outputs or inputs are all empty."""
    u = checked.nested_outputs(np.zeros_like(as_array(out)) for out in checked.outputs.values())
    finding = f"All {what} are empty, so that every derivative is zero, or there is none."
    return _of_zeros(checked, checked.vjp(checked.params, u), finding)


def _of_zeros(checked: TensorFunction, products: Any, finding: str) -> Report:
    """Return the report of gradients that are zero, whatever the function is."""
    started = time.perf_counter()
    claims, _ = flatten_claim(checked.params, products, "vjp")
    arrays = compared_with_zeros(claims)
    seconds = time.perf_counter() - started
    return Report(arrays, 0.0, 0.0, "central", 0.0, 1, seconds, 0, (finding,))
