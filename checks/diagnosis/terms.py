"""Hypotheses: the claim has a term too many, or one is missing."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from checks.diagnosis.case import Case, Fit
from checks.diagnosis.short_numbers import decimal

__all__ = ["added", "along_parameters"]

# Terms that are added by mistake: name, cost in bits, the term of θ, and what it is, with a
# number λ. Whether the cost has a penalty too cannot be seen from a gradient.
TERMS: tuple[tuple[str, float, Callable[[Any], Any], str], ...] = (
    (
        "penalty",
        6.0,
        lambda theta: theta,
        "{λ} × the parameters θ: the term of a penalty ½ λ Σ θ², λ = {λ}, once {more} in the "
        "gradient than in the cost",
    ),
    (
        "penalty, absolute values",
        7.0,
        np.sign,
        "{λ} × the signs of the parameters θ: the term of a penalty λ Σ |θ|, λ = {λ}, once {more} "
        "in the gradient than in the cost",
    ),
    ("constant", 8.0, np.ones_like, "{λ} in every entry"),
    (
        "reciprocal",
        10.0,
        lambda theta: 1 / theta,
        "{λ} ÷ the parameters θ: the term of λ Σ ln |θ|, λ = {λ}, once {more} in the gradient "
        "than in the cost",
    ),
)


def added(case: Case) -> Iterator[Fit]:
    """Explain an array by a number times a term that is added to it, or subtracted."""
    difference = case.claimed - case.numeric
    for name, cost, function, clause in TERMS:
        with np.errstate(all="ignore"):
            term = function(case.theta)
        found = case.number(term, difference, case.tolerance)
        if found is None or not found[0]:
            continue
        value, uncertainty = found
        short, bits = decimal(value, uncertainty)
        for number, size in ((short, bits), (value, math.inf)):
            sign, more = ("+", "more") if number > 0 else ("−", "less")
            text = clause.format(λ=f"{abs(number):.4g}", more=more)
            with np.errstate(all="ignore"):
                prediction = case.numeric + number * term
            fits = list(
                case.fit(
                    name,
                    f"the numerical gradient {sign} {text}",
                    prediction,
                    cost,
                    number=number,
                    tolerance=2 * uncertainty,
                    bits=size,
                )
            )
            if fits:
                yield from fits
                break


def along_parameters(case: Case) -> Iterator[Fit]:
    """Explain an array by the gradient on a sphere: its part along the parameters is removed.

    The array may be one vector θ, or each of its rows or columns.
    """
    theta, n = case.theta, case.numeric
    ways: list[tuple[int | None, str]] = [(None, "")]
    if theta.ndim == 2:
        ways += [(1, " of each row"), (0, " of each column")]
    for axis, where in ways:
        length = theta.size if axis is None else theta.shape[axis]
        if length < 2:
            continue

        with np.errstate(all="ignore"):
            square = np.sum(theta * theta, axis=axis, keepdims=True)
            along = np.sum(theta * n, axis=axis, keepdims=True) / square * theta
            size = np.abs(theta)
            blur = np.sum(size * case.error, axis=axis, keepdims=True) / square * size
        error = case.error + blur
        radius = f", |θ| = {math.sqrt(float(square.flat[0])):.4g}" if square.size == 1 else ""
        text = (
            f"the numerical gradient less its part along the parameters θ{where}: claimed · θ = 0, "
            f"as for the gradient on a sphere{radius}"
        )
        yield from case.fit("sphere", text, n - along, 3, error=error)
        text = f"only the part of the numerical gradient along the parameters θ{where}"
        yield from case.fit("only along the parameters", text, along, 4, error=error)
        if np.abs(square - 1).max() > 1e-6:
            text = (
                f"the numerical gradient less θ (θ · gradient){where}, θ the parameters: the part "
                "along them, but for a division by |θ|²"
            )
            error = case.error + blur * square
            yield from case.fit("sphere", text, n - along * square, 4, error=error, number=1)
