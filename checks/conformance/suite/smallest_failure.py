"""The search for a network on which a target is wrong, and for the smallest that shows the same."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import numpy as np
from hypothesis import HealthCheck, Phase, Verbosity, given, reject, seed, settings
from hypothesis import strategies as st

from checks._types import FloatArray
from checks.conformance.suite.trial import Trial
from checks.conformance.targets.known_costs import with_shares
from checks.report import session
from checks.strategies import Problem, layer_sizes

__all__ = ["Found", "Networks", "search", "short_problem", "unrecorded"]

# Checks spent on making a network smaller, a second or two; the smallest of them is shown.
PATIENCE = 150

# Nothing is left to a user's profile: a verdict is the same wherever it is asked for.
SETTINGS = settings(
    database=None,
    derandomize=True,
    deadline=None,
    phases=(Phase.generate, Phase.shrink),
    verbosity=Verbosity.quiet,
    print_blob=False,
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)


@dataclass(frozen=True)
class Networks:
    """Which networks are tried.

    Attributes
    ----------
    layers, widths, samples : (int, int)
        The least and the most.
    regimes : tuple of str
        Some of `checks.strategies.REGIMES`.
    one_width : bool
        Whether all layers of a network are of one width: then every matrix is square.
    shares : bool
        Whether the rows of y sum to 1.
    examples : int
        How many networks.
    """

    layers: tuple[int, int] = (1, 3)
    widths: tuple[int, int] = (2, 4)
    samples: tuple[int, int] = (2, 5)
    regimes: tuple[str, ...] = ("ordinary",)
    one_width: bool = False
    shares: bool = False
    examples: int = 10


class _Wrong(Exception):  # noqa: N818
    """What Hypothesis is to look for."""


@dataclass
class Found:
    """What a search came to.

    Attributes
    ----------
    trials : list of Trial
        Of the networks that were asked for, as far as the first that is wrong.
    original, smallest : Trial or None
        The first that is wrong, and the smallest that shows the same mistake.
    """

    trials: list[Trial]
    original: Trial | None = None
    smallest: Trial | None = None


def search(
    networks: Networks, try_out: Callable[[Problem], Trial], *, shrink: Callable[[Trial], bool]
) -> Found:
    """Try networks until one is wrong, and then ever smaller ones that are wrong in the same way.

    Hypothesis makes them smaller: first layers and widths, then samples, then the numbers. Smaller
    ones may be below the least of `networks`. The same networks are drawn on every run.

    Parameters
    ----------
    networks
        What to draw.
    try_out
        Checks one of them.
    shrink
        Whether the first wrong trial is worth a smaller one.
    """
    found = Found([])
    known: dict[str, bool] = {}  # by the problem: Hypothesis is to get one answer for each

    @seed(0)
    @settings(SETTINGS, max_examples=networks.examples)
    @given(_problems(networks))
    def draw(drawn: tuple[bool, Problem]) -> None:
        within, problem = drawn
        key = repr(problem)
        if found.original is None:
            if not within or key in known:
                reject()
            trial = try_out(problem)
            found.trials.append(trial)
            if trial.is_wrong:
                found.original = found.smallest = trial
                known.clear()
            known[key] = trial.is_wrong
        elif key not in known:
            known[key] = False
            if len(known) <= PATIENCE and shrink(found.original):
                with unrecorded():
                    trial = try_out(problem)
                if trial.shows_the_mistake_of(found.original):
                    known[key] = True
                    found.smallest = min(found.smallest or trial, trial, key=_size)
        if known[key]:
            raise _Wrong

    with suppress(_Wrong):
        draw()
    return found


@st.composite
def _problems(draw: st.DrawFn, networks: Networks) -> tuple[bool, Problem]:
    """Draw whether a problem is within the bounds of `networks`, or may be smaller; and it."""
    within = draw(st.booleans())
    (layers, most_layers), (width, most_width), (samples, most_samples) = (
        (least if within else 1, most)
        for least, most in (networks.layers, networks.widths, networks.samples)
    )
    sizes = draw(
        layer_sizes(
            min_layers=layers, max_layers=most_layers, min_width=width, max_width=most_width
        )
    )
    if networks.one_width and within:
        sizes = sizes[:1] * len(sizes)
    rows = draw(st.integers(samples, most_samples))
    regime = draw(st.sampled_from(networks.regimes))
    number = draw(st.integers(0, 999))
    if regime == "vanishing" and len(sizes) == 2:
        reject()
    problem = short_problem(sizes, rows, regime, number)
    return within, with_shares(problem) if networks.shares else problem


def short_problem(
    sizes: tuple[int, ...], samples: int, regime: str = "ordinary", number: int = 0
) -> Problem:
    """Return a generated problem with two digits of every number: as good, and short in print."""
    problem = Problem.generate(sizes, samples, regime, number)
    weights, biases = ([_short(a) for a in some] for some in (problem.weights, problem.biases))
    return Problem(sizes, weights, biases, _short(problem.x), _short(problem.y), regime, number)


def _short(array: FloatArray) -> FloatArray:
    return np.array([float(f"{value:.1e}") for value in array.flat]).reshape(array.shape)


def _size(trial: Trial) -> tuple[int, int, int]:
    problem = trial.problem
    return len(problem.sizes), sum(problem.sizes), len(problem.x)


@contextmanager
def unrecorded() -> Iterator[None]:
    """Keep checks that only inform others out of the session's record."""
    listeners, session.listeners[:] = session.listeners[:], []
    try:
        yield
    finally:
        session.listeners[:] = listeners
