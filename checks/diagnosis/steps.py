"""Names what is wrong with a training step, from the gradients that its updates imply."""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np

from checks._types import FloatArray
from checks.report.array_report import ArrayReport
from checks.report.report import Diagnosis
from checks.report.wording import listed

__all__ = ["Call", "diagnose_step", "small_rates"]

Call: TypeAlias = tuple[float, Mapping[str, FloatArray]]
"""A learning rate η, and the gradient (θ − θ')/η that a call of the step with it implies."""

# Differences below this many last places of θ are rounding.
LAST_PLACES = 64.0
# Numbers that agree to this share of their size do not agree by chance.
AGREEMENT = 1e-5


def small_rates(arrays: Mapping[str, ArrayReport], values: Mapping[str, FloatArray]) -> list[float]:
    """Return three learning rates, each half of the one before, that move θ by about eps^⅓ of it.

    From these, the implied gradient at η → 0 is extrapolated with the least error.
    """
    theta = max(float(np.abs(value).max(initial=0)) for value in values.values()) or 1.0
    slope = max(float(np.abs(a.numeric).max(initial=0)) for a in arrays.values()) or 1.0
    eps = max(np.finfo(value.dtype).eps for value in values.values())
    rate = 2.0 ** np.round(np.log2(eps ** (1 / 3) * theta / slope))
    return [float(rate), float(rate / 2), float(rate / 4)]


def diagnose_step(
    first: Sequence[Call],
    repeated: Sequence[Call],
    small: Callable[[], Sequence[Call]],
    arrays: Mapping[str, ArrayReport],
    values: Mapping[str, FloatArray],
) -> tuple[Diagnosis, ...]:
    """Name a mistake that only a step can have, as no gradient does.

    Parameters
    ----------
    first
        The first calls of the step, in their order: before them it had no velocity.
    repeated
        Four later calls, one after the other, all with the same rate.
    small
        Calls the step at `small_rates`. It is asked for if the step has no state.
    arrays
        A report's arrays: their estimates of the derivatives.
    values
        The parameters.

    Returns
    -------
    tuple of Diagnosis
        Momentum, decay, a learning rate that is not used, weights that are updated before they are
        used, or parameters that are updated sample by sample. Empty if it is none of these.
    """
    n = {path: np.asarray(array.numeric, float) for path, array in arrays.items()}
    rounding = _Rounding(values)
    same_rate = [*(call for call in first if call[0] == repeated[0][0]), *repeated]
    if any(rounding.differ(one, other) for one, other in pairwise(same_rate)):
        return _momentum(first[0], repeated, n, rounding)
    return (
        _rate_unused(first, n, rounding)
        or _decay(first, n, values, rounding)
        or _during_the_step(first, small(), n, rounding)
    )


class _Rounding:
    """How far two implied gradients may differ because θ' is rounded."""

    def __init__(self, values: Mapping[str, FloatArray]) -> None:
        self.values = values

    def of(self, call: Call, path: str) -> Any:
        eta, claims = call
        with np.errstate(all="ignore"):
            size = np.abs(self.values[path]) + np.abs(eta * claims[path])
            return LAST_PLACES * np.spacing(size.astype(self.values[path].dtype)) / eta

    def differ(self, one: Call, other: Call, path: str | None = None) -> bool:
        paths = [path] if path else list(self.values)
        return any(
            bool(np.any(~(np.abs(one[1][p] - other[1][p]) <= self.of(one, p) + self.of(other, p))))
            for p in paths
        )

    def agrees(self, call: Call, path: str, prediction: Any) -> bool:
        """Whether an implied gradient is what was predicted, to 10⁻⁵ of it and rounding."""
        allowed = AGREEMENT * np.abs(prediction).max(initial=0) + self.of(call, path)
        return bool(np.all(np.abs(call[1][path] - prediction) <= allowed))


def _momentum(
    first: Call, repeated: Sequence[Call], n: Mapping[str, Any], rounding: _Rounding
) -> tuple[Diagnosis, ...]:
    """Name the momentum μ of a velocity that the step keeps from call to call.

    With v ← μ v + g, calls imply v; with v ← μ v + η g, they imply v/η. Of two differences between
    calls at one rate, the later is μ times the earlier. Two such pairs have to agree on μ.
    """
    mus = []
    for calls in zip(repeated, repeated[1:], repeated[2:], strict=False):
        joined = [np.concatenate([call[1][path].astype(float).ravel() for path in n])
                  for call in calls]  # fmt: skip
        x, y = joined[1] - joined[0], joined[2] - joined[1]
        e = sum(np.concatenate([rounding.of(call, path).ravel() for path in n]) for call in calls)
        if not np.isfinite([x, y, e]).all() or not np.any(np.abs(x) > 100 * e):
            return ()
        mu = float(x @ y / (x @ x))
        if np.any(np.abs(y - mu * x) > e + AGREEMENT * np.abs(y).max()):
            return ()
        mus.append(mu)
    if max(mus) - min(mus) <= 1e-3 < abs(mus[0]) < 1:
        return (_momentum_diagnosis(mus[0], first, n, rounding),)
    return ()


def _momentum_diagnosis(
    mu: float, first: Call, n: Mapping[str, Any], rounding: _Rounding
) -> Diagnosis:
    text = (
        f"The step keeps a velocity from call to call: momentum, μ = {mu:.4g}. Check a step with "
        "μ = 0, or its gradient."
    )
    for factor, how in ((1.0, ""), (1 - mu, f", times 1 − μ = {1 - mu:.4g}")):
        if all(rounding.agrees(first, path, factor * slopes) for path, slopes in n.items()):
            text += f" Its first call moves by the gradient of the cost{how}, which is right."
            break
    return Diagnosis("momentum", text)


def _rate_unused(
    first: Sequence[Call], n: Mapping[str, Any], rounding: _Rounding
) -> tuple[Diagnosis, ...]:
    """Name a step that moves by the same whatever η is, or by more than in proportion."""
    if len({eta for eta, _ in first}) < 2:
        return ()
    joined = np.concatenate([slopes.ravel() for slopes in n.values()])
    if not joined.any():
        return ()
    for power, best, text in (
        (-1, min, "{0:.4g} × the gradient whatever the learning rate is: it does not use η, or has "
                  "one of its own."),
        (1, max, "{0:.4g} × η² times the gradient: the learning rate is in it twice."),
    ):  # fmt: skip
        eta, claims = best(first, key=lambda call: call[0])
        claimed = np.concatenate([claims[path].astype(float).ravel() for path in n])
        number = float(joined @ claimed / (joined @ joined)) / eta**power
        if number and all(
            rounding.agrees(call, path, number * call[0] ** power * n[path])
            for call in first
            for path in n
        ):
            return (Diagnosis("learning rate", f"The step moves by {text.format(number)}"),)
    return ()


def _decay(
    first: Sequence[Call],
    n: Mapping[str, Any],
    values: Mapping[str, FloatArray],
    rounding: _Rounding,
) -> tuple[Diagnosis, ...]:
    """Name a decay of the parameters: with η, as λ η θ, or without it, as λ θ."""
    ways = {
        "λ η": (lambda eta: 1.0, "θ' = θ − η (∇C + λ θ)"),
        "λ": (lambda eta: 1 / eta, "not multiplied by η, θ' = (1 − λ) θ − η ∇C"),
    }
    for amount, (factor, formula) in ways.items():
        decays = _decays(first, n, values, rounding, factor)
        if decays:
            number = next(iter(decays.values()))
            verb = "subtracts" if number > 0 else "adds"
            text = (
                f"The step also {verb} {amount} × the parameters, in {listed(list(decays))}, "
                f"λ = {abs(number):.4g}, at every learning rate: a decay that is not in the cost, "
                f"{formula}. Apart from that the step is right."
            )
            return (Diagnosis("decay", text),)
    return ()


def _decays(
    first: Sequence[Call],
    n: Mapping[str, Any],
    values: Mapping[str, FloatArray],
    rounding: _Rounding,
    factor: Callable[[float], float],
) -> dict[str, float]:
    """Return the decay of each array that has one, if it explains all calls; empty if it does not.

    Calls imply the gradient plus λ · factor(η) · θ.
    """
    decays: dict[str, float] = {}
    for path, slopes in n.items():
        if all(rounding.agrees(call, path, slopes) for call in first):
            continue
        theta = values[path].astype(float)
        # the call in which the decay is largest beside the gradient shows its size best
        eta, claims = max(first, key=lambda call: factor(call[0]))
        square = float(np.sum(theta * theta)) * factor(eta)
        decay = float(np.sum((claims[path].astype(float) - slopes) * theta)) / (square or 1.0)
        if not decay or theta.size < 2:
            return {}
        for call in first:
            term = decay * factor(call[0]) * theta
            apart = np.abs(call[1][path] - slopes - term)
            if np.any(apart > 1e-3 * np.abs(term) + rounding.of(call, path)):
                return {}
        decays[path] = decay
    numbers = list(decays.values())
    is_one = decays and np.ptp(numbers) <= 1e-3 * abs(numbers[0])
    return decays if is_one else {}


def _during_the_step(
    first: Sequence[Call], small: Sequence[Call], n: Mapping[str, Any], rounding: _Rounding
) -> tuple[Diagnosis, ...]:
    """Name a step that uses parameters which it has already updated.

    The gradient that it implies is the right one, or a whole multiple, only as η → 0.
    """
    changing = [path for path in n if any(rounding.differ(a, b, path) for a, b in pairwise(first))]
    if not changing:
        return ()
    limits = {}
    for path in n:
        (_, coarse), (_, middle), (_, fine) = ((eta, g[path].astype(float)) for eta, g in small)
        # for rates η, η/2 and η/4: the terms in η and in η² cancel, and the limit η → 0 is left
        limits[path] = (coarse - 6 * middle + 8 * fine) / 3
    blur = {path: 12 * rounding.of(small[-1], path) / LAST_PLACES for path in n}
    joined, limit, last = (
        np.concatenate([a[path].ravel() for path in n]) for a in (n, limits, small[-1][1])
    )
    error = np.concatenate([np.broadcast_to(e, n[path].shape).ravel() for path, e in blur.items()])
    if not joined.any() or not np.isfinite(limit).all():
        return ()
    if np.abs(last - limit).max() > 0.1 * np.abs(limit).max():
        return ()  # as η → 0, it has no limit
    factor = round(float(joined @ limit / (joined @ joined)))
    allowed = 1e2 * error + 1e-4 * factor * np.abs(joined) + AGREEMENT * np.abs(joined).max()
    if factor < 1 or np.any(np.abs(limit - factor * joined) > allowed):
        return ()
    unchanged = [path for path in n if path not in changing]
    multiple = f"{factor} × the gradient" if factor > 1 else "right"
    known = f"As η → 0 the step is {multiple}, and off in proportion to η in {listed(changing)}"
    if unchanged and factor == 1:
        text = (
            f"{known}; {listed(unchanged)} {'is' if len(unchanged) == 1 else 'are'} right at every "
            "rate: weights are updated before the backward pass uses them again. First compute all "
            "of the gradient, then update."
        )
        return (Diagnosis("updated weights", text),)
    if unchanged:
        return ()
    text = (
        f"{known}: the parameters are updated several times in one call, as sample by sample, and "
        "each time the gradient is that of the updated ones. Sum over the samples first."
    )
    if factor > 1:
        text += f" And {factor} gradients are added up: is the cost the mean over {factor} samples?"
    return (Diagnosis("sample by sample", text),)
