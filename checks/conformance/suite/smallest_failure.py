"""The search for a network on which a target is wrong, and for the smallest with that mistake."""

import math
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from hypothesis import HealthCheck, Phase, Verbosity, given, reject, seed, settings
from hypothesis import strategies as st

from checks.conformance.suite.trial import Trial
from checks.conformance.targets.problems import rounded_problem
from checks.conformance.targets.takes import Takes
from checks.report.session import unrecorded
from checks.strategies import Problem, layer_sizes

__all__ = ["Networks", "SearchResult", "find_failure", "rounded_problem"]

# The most networks that are checked to make a failure smaller, the first wrong one counted. That
# takes a second or two; the smallest wrong network found by then is shown.
MAX_SHRINK_CHECKS = 150

# A user's Hypothesis profile must not change a verdict, so every setting is fixed here.
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
        The smallest and the largest number.
    regimes : tuple of str
        Some of `checks.strategies.REGIMES`.
    equal_widths : bool
        Whether all layers of a network have the same width, so that every matrix is square.
    examples : int
        How many networks.
    needs : tuple of str
        Which of layers, widths and samples make the kind what it is: a target that takes no such
        network is not judged by it. The others are moved to what it takes.
    takes : Takes
        What the target takes.
    """

    layers: tuple[int, int] = (1, 3)
    widths: tuple[int, int] = (2, 4)
    samples: tuple[int, int] = (2, 5)
    regimes: tuple[str, ...] = ("ordinary",)
    equal_widths: bool = False
    examples: int = 10
    needs: tuple[str, ...] = ()
    takes: Takes = field(default_factory=Takes)

    def within(self, takes: Takes) -> "Networks | str":
        """Return those of the networks that a target takes, or why it takes none of them."""
        bounds: Any = {}
        for name, noun in (("layers", "layer"), ("samples", "sample")):
            wanted, taken = getattr(self, name), getattr(takes, name)
            least, most = max(wanted[0], taken[0]), min(wanted[1], taken[1])
            if least > most:
                if name in self.needs:
                    return takes.why_not(noun, *wanted)
                least = most = taken[0] if taken[0] > wanted[1] else taken[1]
            bounds[name] = least, most
        if self.widths[1] < takes.outputs[0] and "widths" in self.needs:
            return takes.why_not("output", *self.widths)
        if takes.sizes is not None and (self.equal_widths or "widths" in self.needs):
            return f"it takes sizes {takes.sizes} alone"
        if self.regimes == ("vanishing",) and bounds["layers"][1] == 1:
            return takes.why_not("layer", 2, 2)
        return replace(self, **bounds, takes=takes)


class _WrongTrialError(Exception):
    """Raised for a wrong network, so that Hypothesis looks for a smaller one."""


@dataclass
class SearchResult:
    """The trials of a search.

    Attributes
    ----------
    trials : list of Trial
        The trials of the networks that were asked for, up to the first wrong network. Networks that
        the cost does not take are among them.
    first_wrong, smallest : Trial or None
        The first wrong trial, and the smallest that shows the same mistake.
    ended_early : bool
        Whether the deadline came before all networks were tried.
    """

    trials: list[Trial]
    first_wrong: Trial | None = None
    smallest: Trial | None = None
    ended_early: bool = False


def find_failure(
    networks: Networks,
    try_out: Callable[[Problem], Trial],
    *,
    shrink: Callable[[Trial], bool],
    deadline: float = math.inf,
) -> SearchResult:
    """Try networks until one is wrong, then ever smaller ones that are wrong in the same way.

    Hypothesis shrinks: first the layers and widths, then the samples, then the numbers. Shrunk
    networks may be smaller than `networks` allows. Every run draws the same networks.

    Parameters
    ----------
    networks
        What to draw.
    try_out
        Checks one network.
    shrink
        Whether to look for a network smaller than the first wrong one.
    deadline
        The value of `time.monotonic` from which on nothing is tried.
    """
    result = SearchResult([])
    verdicts: dict[str, bool] = {}  # Hypothesis must get the same answer for the same problem

    @seed(0)
    @settings(SETTINGS, max_examples=networks.examples)
    @given(_problems(networks))
    def draw(drawn: tuple[bool, Problem]) -> None:
        within_bounds, problem = drawn
        key = repr(problem)
        is_late = time.monotonic() > deadline
        if result.first_wrong is None:
            if not within_bounds or key in verdicts:
                reject()
            if is_late:
                result.ended_early = True
                return  # not rejected: if every draw is, Hypothesis raises
            trial = try_out(problem)
            result.trials.append(trial)
            if trial.is_wrong:
                result.first_wrong = result.smallest = trial
                verdicts.clear()
            verdicts[key] = trial.is_wrong
        elif key not in verdicts:
            verdicts[key] = False
            if not is_late and len(verdicts) <= MAX_SHRINK_CHECKS and shrink(result.first_wrong):
                with unrecorded():
                    trial = try_out(problem)
                if trial.shows_the_mistake_of(result.first_wrong):
                    verdicts[key] = True
                    result.smallest = min(result.smallest or trial, trial, key=_size)
        if verdicts[key]:
            raise _WrongTrialError

    with suppress(_WrongTrialError):
        draw()
    return result


@st.composite
def _problems(draw: st.DrawFn, networks: Networks) -> tuple[bool, Problem]:
    """Draw a problem, and whether it is within the bounds of `networks` or may be smaller."""
    within_bounds = draw(st.booleans())
    (min_layers, max_layers), (min_width, max_width), (min_samples, max_samples) = (
        (least if within_bounds else 1, most)
        for least, most in (networks.layers, networks.widths, networks.samples)
    )
    takes = networks.takes
    sizes = draw(
        layer_sizes(
            min_layers=max(min_layers, takes.layers[0]),
            max_layers=max_layers,
            min_width=min_width,
            max_width=max_width,
        )
    )
    if networks.equal_widths and within_bounds:
        sizes = sizes[:1] * len(sizes)
    sizes = takes.nearest(sizes)
    samples = draw(st.integers(max(min_samples, takes.samples[0]), max_samples))
    regime = draw(st.sampled_from(networks.regimes))
    number = draw(st.integers(0, 999))
    if regime == "vanishing" and len(sizes) == 2:
        reject()
    return within_bounds, takes.suited(rounded_problem(sizes, samples, regime, number))


def _size(trial: Trial) -> tuple[int, int, int]:
    problem = trial.problem
    return len(problem.sizes), sum(problem.sizes), len(problem.x)
