"""Check derivatives of functions with array results: a layer, or a custom autograd function."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from checks._types import FloatArray
from checks.evaluation.box import Box
from checks.gradient import check_gradient
from checks.parameters.bounds import flatten_bounds
from checks.parameters.claims import flatten, flatten_claim
from checks.parameters.nesting import leaves, rebuild
from checks.report.array_report import ArrayReport
from checks.report.report import Report
from checks.report.session import record
from checks.report.verdict import Rule

__all__ = ["check_jvp", "check_vjp"]

TANGENTS = 4  # random directions along which a forward derivative is checked


def check_vjp(
    f: Callable[[Any], Any],
    vjp: Callable[[Any, Any], Any],
    x: Any,
    *,
    seed: int = 0,
    **options: Any,
) -> Report:
    """Check a vector–Jacobian product, the backward pass of a function with array results.

    For a random cotangent u, every entry of vjp(x, u) must match the gradient of ⟨u, f(x)⟩. Because
    the product must be linear in u, it is checked for 1000 u too, and must be zero for u = 0.

    Parameters
    ----------
    f
        Takes `x` and returns an array of floats or a nesting of them.
    vjp
        Takes `x` and a cotangent nested as f(x), and returns a result nested as `x`.
    x
        The point: the argument of f, nested as the params of `check_gradient`.
    seed : int
        Determines the cotangent, the random directions and step sizes.
    **options
        Further options of `check_gradient`.

    Returns
    -------
    Report
        The report of the cotangent with the worst verdict; a finding names the cotangent.

    Raises
    ------
    TypeError, ValueError, CheckInterrupted
        As `check_gradient`; also if f(x) is not an array of floats or a nesting of them.
    """
    rng = np.random.default_rng(seed)
    result = f(x)  # shows the nesting of results, which cotangents have too
    u = {p: rng.standard_normal(a.shape).astype(a.dtype) for p, a in flatten(result).items()}
    reports = {}
    for scale in (1, 1000):
        scaled = {path: scale * array for path, array in u.items()}
        reports[f"With a random cotangent times {scale}."] = check_gradient(
            partial(_inner_product, scaled, f),
            partial(_with_cotangent, vjp, rebuild(result, scaled)),
            x,
            seed=seed,
            **options,
        )
    finding, report = max(reports.items(), key=lambda item: item[1].verdict)
    zero_u = rebuild(result, {path: 0 * array for path, array in u.items()})
    claims, _ = flatten_claim(x, vjp(x, zero_u), "vjp(x, 0)")
    if report and any(claim.any() for claim in claims.values()):
        finding = "With a cotangent of zeros, vjp is not zero: it is not linear in the cotangent."
        arrays = {}
        for path, claim in claims.items():
            zero = np.zeros(claim.shape)
            arrays[path] = ArrayReport.judged(path, claim, zero, zero, Rule(0, 0))
        report = record(replace(report, arrays=arrays))
    return replace(report, findings=(*report.findings, finding))


def check_jvp(
    f: Callable[[Any], Any],
    jvp: Callable[[Any, Any], Any],
    x: Any,
    *,
    bounds: Any = None,
    seed: int = 0,
    **options: Any,
) -> Report:
    """Check a Jacobian–vector product, the forward derivative of a function with array results.

    For random tangents v_j and a random cotangent u, ⟨u, jvp(x, v_j)⟩ must match the derivative of
    ⟨u, f(x + Σ t_j v_j)⟩ by t_j at t = 0. For a tangent of zeros, jvp(x, 0) must be zero.

    Parameters
    ----------
    f
        Takes `x` and returns an array of floats or a nesting of them.
    jvp
        Takes `x` and a tangent nested as `x`, and returns a result nested as f(x).
    x
        The point: the argument of f, nested as the params of `check_gradient`.
    bounds
        As in `check_gradient`, for x. At a bound the tangents point inside.
    seed : int
        Determines the tangents and the cotangent, the random directions and step sizes.
    **options
        Further options of `check_gradient`.

    Returns
    -------
    Report
        Its one array, ``params``, holds the derivatives by t_j: of four random tangents of
        different scales, and of the tangent of zeros.

    Raises
    ------
    TypeError, ValueError, CheckInterrupted
        As `check_vjp`.
    """
    rng = np.random.default_rng(seed)
    result, point = f(x), flatten(x)
    u = {p: rng.standard_normal(a.shape).astype(a.dtype) for p, a in flatten(result).items()}
    coarsest = max((a.dtype for a in point.values()), key=lambda dtype: np.finfo(dtype).eps)
    box = Box(point, flatten_bounds(x, point, bounds))
    scales = np.append(10.0 ** rng.uniform(-1, 1, TANGENTS), 0.0)
    tangents = [
        {
            path: (scale * rng.uniform(0.5, 1, end.shape) * end).astype(point[path].dtype)
            for path, end in box.ends(rng).items()
        }
        for scale in scales
    ]
    # within them, Σ t_j v_j stays in the box, whatever the signs
    forward = 0.99 / (len(scales) * np.where(scales, scales, 1))
    backward = forward * min(map(_least_share, map(box.room, point)))

    def moved(t: Any) -> Any:
        """Return x + Σ t_j v_j."""
        arrays = {
            path: a + sum(s * v[path] for s, v in zip(t, tangents, strict=True))
            for path, a in point.items()
        }
        return rebuild(x, arrays)

    def moved_product(t: Any) -> Any:
        """Return ⟨u, f(x + Σ t_j v_j)⟩."""
        return _inner_product(u, f, moved(t))

    def claimed(t: Any) -> FloatArray:
        """Return ⟨u, jvp(x + Σ t_j v_j, v_i)⟩ for every i, in the dtype of t."""
        there = moved(t) if t.any() or t.dtype != coarsest else x
        return np.array(
            [_inner_product(u, partial(jvp, there), rebuild(x, v)) for v in tangents], t.dtype
        )

    t = np.zeros(len(tangents), coarsest)  # a wider dtype of t would make x + Σ t_j v_j wider
    return check_gradient(
        moved_product, claimed, t, bounds=(-backward, forward), seed=seed, **options
    )


def _least_share(room: tuple[FloatArray, FloatArray]) -> float:
    """Return the least room on the narrower side of an entry over that on the other."""
    narrow, wide = np.minimum(*room), np.maximum(*room)
    return float(np.divide(narrow, wide, where=wide > 0, out=np.ones(wide.shape)).min(initial=1))


def _inner_product(u: Mapping[str, FloatArray], f: Callable[[Any], Any], x: Any) -> Any:
    """Return ⟨u, f(x)⟩, complex if f(x) is."""
    return sum(np.sum(u[path] * array) for path, array in leaves(f(x)).items())


def _with_cotangent(vjp: Callable[[Any, Any], Any], u: Any, x: Any) -> Any:
    return vjp(x, u)
