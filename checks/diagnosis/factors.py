"""Hypotheses: the claim is the gradient times a factor, or has wrong signs."""

import math
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from checks.diagnosis.case import LEFT_OVER, Case, Fit
from checks.diagnosis.short_numbers import CHOICE_BITS, choices, decimal, digits, ratio
from checks.report.array_report import ArrayReport
from checks.report.verdict import Verdict
from checks.report.wording import listed

__all__ = ["chain_factor", "row_factors", "scaled", "signs"]

# A ratio of whole numbers, such as 2/3, comes from the dimensions of a problem. So it is likelier
# than a decimal by so many bits.
RATIO_BITS = 6.0
# Factors that are left out, or are too many, where units are converted.
CONSTANTS = {
    "π": math.pi,
    "2π": 2 * math.pi,
    "180/π, degrees per radian": 180 / math.pi,
    "ln 10, of a logarithm to base 10": math.log(10),
    "ln 2, of a logarithm to base 2": math.log(2),
    "√2": math.sqrt(2),
}
CONSTANT_BITS = 6.0
CHAIN_BITS = 8.0
# A matrix whose second singular value is below this part of the first counts as of rank one.
RANK_ONE, ROW_BITS = 1e-6, 4.0


def scaled(case: Case) -> Iterator[Fit]:
    """Explain an array by one factor: a simple ratio, −1, that of a clipped norm, or any other."""
    n = case.numeric
    if not case.claimed.any():
        return
    found = case.number(n, case.claimed, case.tolerance)
    if found is None or not found[0]:
        return
    c, uncertainty = found
    if abs(c + 1) <= uncertainty:
        name, text = "sign", "the numerical gradient with the opposite sign"
        if any(case.arrays[path].verdict is Verdict.MATCH for path in _real_parts(case)):
            name, text = "conjugate", f"{text}: the claim is the conjugate of ∂C/∂x + i ∂C/∂y"
        yield from case.fit(name, text, -n, 1, plain=True)
        return
    size, remark, bits, is_ratio = _short_factor(abs(c), uncertainty, case)
    error = abs(c) * case.error
    short = math.copysign(size, c)
    plain = []
    if math.isfinite(bits):
        plain = list(
            case.fit(
                "scale",
                _factor_clause(short, remark) + _alike(case),
                short * n,
                1,
                error=error,
                number=short,
                tolerance=1e-12 * size,
                bits=bits,
                plain=is_ratio,
            )
        )
        yield from plain
    # People clip to a norm of few digits, as 0.5. The claim then has this norm, to rounding.
    narrowest = case.narrowest.dtype
    eps = float(np.finfo(narrowest).eps)
    for norm, where in _norms(case, c) if narrowest != np.float16 else ():
        short, bits = decimal(norm, 8 * eps * norm)
        if not math.isfinite(bits):
            continue
        text = f"{digits(c)} × the numerical gradient: as clipped to a norm of {short:.3g}{where}"
        yield from case.fit("clipped", text, c * n, 3, error=error, bits=bits,
                            number=norm, tolerance=16 * eps * norm)  # fmt: skip
    if not plain:
        text = f"{digits(c)} × the numerical gradient in every entry"
        yield from case.fit("scale", text, c * n, 2, error=error, bits=math.inf,
                            number=c, tolerance=2 * uncertainty)  # fmt: skip


def _real_parts(case: Case) -> list[str]:
    """Return the paths of the real parts whose imaginary part an array is."""
    parts = re.finditer(r"\bimag\b", case.path)
    paths = [f"{case.path[: p.start()]}real{case.path[p.end() :]}" for p in parts]
    return [path for path in paths if path in case.arrays]


def _alike(case: Case) -> str:
    """Return a remark where all entries are alike, so that they say no more than one."""
    g, n, tolerance = case.claimed, case.numeric, case.limit.max()
    if case.claimed.size < 2 or np.ptp(g) > tolerance or np.ptp(n) > tolerance:
        return ""
    return (
        " (or a term is added to it: its entries are all alike, so check at a point where they "
        "differ)"
    )


def _norms(case: Case, c: float) -> Iterator[tuple[float, str]]:
    """Yield the norms to which the gradient may have been clipped: of all arrays, and of one."""
    if c < 0:
        return
    if all(_is_multiple(a, c) for a in case.arrays.values()):
        squares = (np.sum(a.claimed.astype(float) ** 2) for a in case.arrays.values())
        yield float(np.sqrt(sum(squares))), " in all"
    if len(case.arrays) > 1:
        yield float(np.sqrt(np.sum(case.claimed**2))), ""


def _is_multiple(array: ArrayReport, c: float) -> bool:
    left_over = np.abs(array.claimed - c * array.numeric) - array.error
    return bool(np.max(left_over, initial=0) <= LEFT_OVER * np.abs(array.claimed).max(initial=0))


def _short_factor(size: float, uncertainty: float, case: Case) -> tuple[float, str, float, bool]:
    """Return the short number near a factor, a remark, its bits, and whether it is a ratio."""
    short, bits = decimal(size, uncertainty)
    found = [(short, "", bits, False)]
    near = ratio(size, uncertainty)
    if near is not None:
        value, bits = near
        remark = _ratio_remark(value, case)
        bits = 0.0 if "dimension" in remark else bits - RATIO_BITS
        found.append((value, remark, bits, True))
    for name, constant in CONSTANTS.items():
        for value, what in ((constant, "too many"), (1 / constant, "missing")):
            if abs(value - size) <= uncertainty < 0.01 * value:
                found.append((value, f"a factor {name}, {what}", CONSTANT_BITS, False))
    value, remark, bits, is_ratio = min(found, key=lambda of: of[2])
    return value, remark, max(bits, 0.0), is_ratio


def _ratio_remark(size: float, case: Case) -> str:
    """Return what may be too many or missing, where a factor is a ratio of small numbers."""
    whole, parts = round(size), round(1 / size)
    if size == whole:
        remark = f"a factor {whole} too many"
    elif size == 1 / parts:
        remark = f"a factor {parts} missing, or 1/{parts} too many"
    else:
        remark = f"a factor {size:.6g}"
    for number in (size, 1 / size, 2 / size, size / 2):
        paths = [
            path
            for path, array in case.arrays.items()
            if number > 1 and round(number, 9) in array.claimed.shape
        ]
        if paths:
            return f"{remark} ({number:.0f} is a dimension of {listed(paths)})"
    if whole > 2 and "too many" in remark:
        remark += f", as a sum over {whole} samples where the cost takes their mean"
    return remark


def _factor_clause(c: float, remark: str) -> str:
    text = digits(c)
    if "a factor" in remark and abs(c) >= 0.01:
        text = f"{c:.3f}"
    sign = "the wrong sign, and " if c < 0 else ""
    return f"{text} × the numerical gradient in every entry" + (
        f": {sign}{remark}" if remark else ""
    )


def signs(case: Case) -> Iterator[Fit]:
    """Explain an array by wrong signs in some of its entries."""
    n, claimed = case.numeric, case.claimed
    flipped = int(np.sum(claimed * n < 0))
    if not 1 < flipped < n.size:
        return
    clause = f"right but for the sign of {flipped:,} of {n.size:,} entries"
    for size, what in ((np.abs(n), "positive"), (-np.abs(n), "negative")):
        if choices(n.size, flipped) >= CHOICE_BITS:
            text = f"{clause}: all are {what}, as absolute values are"
            yield from case.fit("signs", text, size, 3)
    yield from case.fit("signs", clause, np.copysign(n, claimed), n.size, rank=2)


def row_factors(case: Case) -> Iterator[Fit]:
    """Explain a matrix by a factor of its own in every row, or in every column.

    So is the gradient of scores, a row for each sample, where the weights of samples are forgotten.
    Each factor costs as many bits as it has digits. Of a matrix of rank one the factors say
    nothing: it is a row times a column, and either may be wrong.
    """
    if case.claimed.ndim != 2 or min(case.claimed.shape) < 2 or not case.known.all():
        return
    sizes = np.linalg.svd(case.numeric.astype(np.float64), compute_uv=False)
    if not sizes[1] > RANK_ONE * sizes[0]:
        return
    for axis, (what, whose) in enumerate((("row", "samples"), ("column", "outputs or classes"))):
        parts = [
            case.part(k if axis == 0 else (slice(None), k)) for k in range(case.claimed.shape[axis])
        ]
        found = [part.number(part.numeric, part.claimed, part.tolerance) for part in parts]
        if not all(found):
            continue
        c, uncertainty = np.array(found).T
        wrong = np.abs(c - 1) > uncertainty
        # few different factors are named better by others: a wrong part, rows of zeros, signs
        differ = np.ptp(np.abs(c)) > 2 * uncertainty.max()
        if not (wrong.mean() > 0.5 and differ and (np.abs(c) > uncertainty).all()):
            continue
        bits = np.log2(np.abs(c) / np.maximum(uncertainty, np.finfo(float).tiny))
        factors = np.expand_dims(c, 1 - axis)
        yield from case.fit(
            f"{what} factors",
            f"the numerical gradient with a factor of its own in each {what}, from {c.min():.3g} "
            f"to {c.max():.3g}: are the weights of {whose} forgotten, or taken twice?",
            factors * case.numeric,
            ROW_BITS + float(bits.sum()),
            error=np.abs(factors) * case.error,
        )


def _logistic(z: Any) -> Any:
    return 1 / (1 + np.exp(-z))


# Functions u of a parameter θ that people use in its place, as scale = exp(θ), with ∂u/∂θ.
CHAIN_FACTORS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "exp θ": ("exp θ", np.exp),
    "θ²": ("2 θ", lambda x: 2 * x),
    "ln θ": ("1/θ", lambda x: 1 / x),
    "log10 θ": ("1/(θ ln 10)", lambda x: 1 / (x * math.log(10))),
    "log2 θ": ("1/(θ ln 2)", lambda x: 1 / (x * math.log(2))),
    "10^θ": ("10^θ ln 10", lambda x: 10.0**x * math.log(10)),
    "2^θ": ("2^θ ln 2", lambda x: 2.0**x * math.log(2)),
    "√θ": ("1/(2 √θ)", lambda x: 0.5 / np.sqrt(x)),
    "1/θ": ("−1/θ²", lambda x: -1 / x**2),
    "1/(1 + exp(−θ))": ("σ(θ) (1 − σ(θ))", lambda x: _logistic(x) * _logistic(-x)),
    "ln(1 + exp θ)": ("1/(1 + exp(−θ))", _logistic),
    "tanh θ": ("1 − tanh² θ", lambda x: 1 / np.cosh(x) ** 2),
    "sin θ": ("cos θ", np.cos),
    "cos θ": ("−sin θ", lambda x: -np.sin(x)),
}


def chain_factor(case: Case) -> Iterator[Fit]:
    """Explain an array by the derivative by another variable: a factor ∂u/∂θ missing or too many.

    With u = ln θ, the claim is the numerical gradient times θ.
    """
    n, theta = case.numeric, case.theta
    for number, (u, (factor, derivative)) in enumerate(CHAIN_FACTORS.items(), 1):
        with np.errstate(all="ignore"):
            slope = derivative(theta)
            missing, extra = n / slope, n * slope
            errors = case.error / np.abs(slope), case.error * np.abs(slope)
        shown = {"1/θ": "× θ", "1/(θ ln 10)": "× θ ln 10", "1/(θ ln 2)": "× θ ln 2"}.get(
            factor, f"without the chain factor {factor}"
        )
        text = f"the numerical gradient {shown}: the derivative by {u}, not by θ, the parameters"
        yield from case.fit("chain factor", text, missing, CHAIN_BITS, error=errors[0],
                            number=number)  # fmt: skip
        text = f"the numerical gradient × {factor}: the chain factor of {u}, θ the parameters, "
        text += "once too many"
        yield from case.fit("chain factor", text, extra, CHAIN_BITS, error=errors[1],
                            number=-number)  # fmt: skip
