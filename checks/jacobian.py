"""Check functions with array results: a layer, or a custom autograd function."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from checks._types import FloatArray
from checks.gradient import check_gradient
from checks.parameters.claims import flatten, flatten_claim
from checks.parameters.nesting import leaves, rebuild
from checks.report.array_report import ArrayReport
from checks.report.report import Report
from checks.report.session import record
from checks.report.verdict import judge

__all__ = ["check_jvp", "check_vjp"]

TANGENTS = 4  # random directions in which a forward derivative is taken


def check_vjp(
    f: Callable[[Any], Any],
    vjp: Callable[[Any, Any], Any],
    x: Any,
    *,
    seed: int = 0,
    **options: Any,
) -> Report:
    """Check a vector–Jacobian product, the backward pass of a function with array results.

    For random cotangents u, vjp(x, u) must be the gradient of ⟨u, f(x)⟩, in every entry; for one of
    another scale too, so that it is linear in u; and zero for u = 0.

    Parameters
    ----------
    f
        Takes `x`, returns an array of floats or a nesting of them.
    vjp
        Takes `x` and a cotangent nested as f(x), returns a result nested as `x`.
    x
        Parameters of f, nested as in `check_gradient`.
    seed : int
        Draws the cotangents too.
    **options
        Of `check_gradient`.

    Returns
    -------
    Report
        Of the cotangent with the worst verdict.

    Raises
    ------
    TypeError, ValueError
        As `check_gradient`; f(x) is not arrays of floats.
    """
    rng = np.random.default_rng(seed)
    result = f(x)
    u = {p: rng.standard_normal(a.shape).astype(a.dtype) for p, a in flatten(result).items()}
    reports = {}
    for scale in (1, 1000):
        scaled = {path: scale * part for path, part in u.items()}
        reports[f"Of a random cotangent times {scale}."] = check_gradient(
            partial(_inner, scaled, f),
            partial(_applied, vjp, rebuild(result, scaled)),
            x,
            seed=seed,
            **options,
        )
    finding, report = max(reports.items(), key=lambda item: item[1].verdict)
    nothing = vjp(x, rebuild(result, {path: 0 * part for path, part in u.items()}))
    claims, _ = flatten_claim(x, nothing, "vjp(x, 0)")
    if report and any(claim.any() for claim in claims.values()):
        finding = "Of a cotangent of zeros: vjp is not linear in it."
        zeros = {}
        for path, claim in claims.items():
            zero = np.zeros(claim.shape)
            zeros[path] = ArrayReport(path, claim, zero, zero, judge(claim, zero, zero, 0, 0), zero)
        report = record(replace(report, arrays=zeros))
    return replace(report, findings=(*report.findings, finding))


def check_jvp(
    f: Callable[[Any], Any],
    jvp: Callable[[Any, Any], Any],
    x: Any,
    *,
    seed: int = 0,
    **options: Any,
) -> Report:
    """Check a Jacobian–vector product, the forward derivative of a function with array results.

    For random tangents v_j and a random cotangent u, ⟨u, jvp(x, v_j)⟩ must be the derivative of
    ⟨u, f(x + Σ t_j v_j)⟩ by t_j at t = 0, and jvp(x, 0) zero.

    Parameters
    ----------
    f
        Takes `x`, returns an array of floats or a nesting of them.
    jvp
        Takes `x` and a tangent nested as `x`, returns a result nested as f(x).
    x
        Nested as in `check_gradient`.
    seed, **options
        As in `check_vjp`.

    Returns
    -------
    Report
        Its one array, ``params``, holds the derivatives by t_j.

    Raises
    ------
    TypeError, ValueError
        As `check_vjp`.
    """
    rng = np.random.default_rng(seed)
    result, at = f(x), flatten(x)
    u = {p: rng.standard_normal(a.shape).astype(a.dtype) for p, a in flatten(result).items()}
    coarsest = max((a.dtype for a in at.values()), key=lambda dtype: np.finfo(dtype).eps)
    scales = np.append(10.0 ** rng.uniform(-1, 1, TANGENTS), 0.0)
    tangents = [
        {p: (scale * rng.standard_normal(a.shape)).astype(a.dtype) for p, a in at.items()}
        for scale in scales
    ]

    def along(t: Any) -> Any:
        moved = {
            path: a + sum(s * v[path] for s, v in zip(t, tangents, strict=True))
            for path, a in at.items()
        }
        return _inner(u, f, rebuild(x, moved))

    def derivatives(_: Any) -> FloatArray:
        return np.array([_inner(u, partial(jvp, x), rebuild(x, v)) for v in tangents], coarsest)

    at_zero = np.zeros(len(tangents), coarsest)  # so that x + Σ t_j v_j stays in the dtype of x
    return check_gradient(along, derivatives, at_zero, seed=seed, **options)


def _inner(u: Mapping[str, FloatArray], f: Callable[[Any], Any], x: Any) -> Any:
    """Return ⟨u, f(x)⟩, complex if f(x) is."""
    return sum(np.sum(u[path] * part) for path, part in leaves(f(x)).items())


def _applied(vjp: Callable[[Any, Any], Any], u: Any, x: Any) -> Any:
    return vjp(x, u)
