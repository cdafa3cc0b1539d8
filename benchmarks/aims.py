"""The aims of `benchmarks.speed`, each beside the figure that was measured."""

from itertools import product

import numpy as np

from benchmarks.contest import (
    BLACK,
    CHECKS,
    DTYPES,
    EVERY,
    FAST,
    FAST_ITSELF,
    GRADIENTS,
    MIDDLE,
    RESTARTED,
    SCIPY,
    TORCH,
    Case,
    fit,
    named,
)
from benchmarks.peer_networks import NETWORKS
from benchmarks.peers import NORM
from checks import check_gradient
from checks.conformance.reference_cost import RestartedCost

__all__ = ["aim_lines"]

TORCH_TOLERANCE = 1e-5, 1e-3  # atol and rtol, its defaults


def aims(gradients, checks):
    """Yield the aims, each as (text, measured figure, "≥" or "≤", wanted figure)."""
    case = Case.draw(*MIDDLE)
    largest = max(np.abs(g).max() for g in case.claim.gradient(None))
    detectable = check_gradient(
        RestartedCost(case.net, case.x, case.y), case.gradient, case.theta, scale="array"
    ).detectable  # relative to the largest entry, as torch's atol and a norm are
    atol, rtol = TORCH_TOLERANCE

    def ratio(name, other, times):
        return times.get(name, np.nan) / times.get(other, np.nan)  # nan if one was not measured

    every, middle = f"every entry of {named(MIDDLE)}", checks.get(MIDDLE, {})
    yield f"{every}: {TORCH} / {RESTARTED}", ratio(TORCH, RESTARTED, middle), "≥", 75
    yield f"{every}: {SCIPY} / {RESTARTED}", ratio(SCIPY, RESTARTED, middle), "≥", 20
    finer = (atol / largest + rtol) / detectable, NORM / largest / detectable
    yield f"{every}: torch's tolerance / the error that we see", finer[0], "≥", 1000
    yield f"{every}: a norm of {NORM:.0e} for scipy / the error that we see", finer[1], "≥", 1000
    yield f"{every}: {TORCH} / {BLACK}", ratio(TORCH, BLACK, middle), "≥", 2
    peers = [name for name in EVERY if name not in (RESTARTED, BLACK)]
    least = np.min([ratio(peer, RESTARTED, times) for times in checks.values() for peer in peers
                    if peer in times])  # fmt: skip
    yield f"every entry of all networks: any peer / {RESTARTED}, the least", least, "≥", 1
    for network in CHECKS[-2:]:
        for cost, most in ((RESTARTED, 4), (BLACK, 12)):
            name = f"{cost}, projected"
            yield (
                f"{named(network)}: {name} / one gradient",
                ratio(name, "one gradient", checks[network]),
                "≤",
                most,
            )
    for cost, fast in product((RESTARTED, BLACK), (FAST, FAST_ITSELF)):
        name = f"{cost}, projected"
        least = np.min([ratio(fast, name, times) for times in checks.values()])
        yield f"all networks: {fast} / {name}, the least", least, "≥", 1
    yield "exponent of P, projected", fit(checks, f"{RESTARTED}, projected"), "≤", 1.1
    for name in NETWORKS:
        least = np.min([ratio(name, "ours", times) for times in gradients.values()])
        yield f"one gradient of all networks: {name} / ours, the least", least, "≥", 1
    for dtype in DTYPES:
        above_floor = ratio("ours", "multiplications", gradients[GRADIENTS[-1], dtype])
        yield (
            f"one gradient of {named(GRADIENTS[-1])}, {dtype}: ours / multiplications",
            above_floor,
            "≤",
            1.15,
        )


def aim_lines(gradients, checks):
    """Yield the aims as a markdown list, and mark those that are missed."""
    for text, measured, sign, wanted in aims(gradients, checks):
        holds = measured >= wanted if sign == "≥" else measured <= wanted
        end = "" if holds else ": **not so**"
        yield f"- {text}: {measured:,.3g}, wanted {sign} {wanted:g}{end}"
