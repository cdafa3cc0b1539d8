"""The search for a good step of every coordinate: the first few teach the others."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from checks._types import FloatArray, IntArray
from checks.estimation.noise import Noise
from checks.estimation.stencils import Stencil, Trial, steps_taken

__all__ = ["LONGEST", "Coordinates", "first_step", "search"]

# Of the scale of its array: an entry between these has its own scale; below, it is as good as 0.
NIL, SMALL = 1e-20, 1e-6
# Of the scale of x. A first step so long is for costs noisier than float64. No step grows beyond a
# tenth of the scale, where a saturated unit may end and its slope hide in the noise.
LONG, LONGEST = 1e-2, 0.1
# Coordinates whose best step all others begin with: these are tried until they are so much finer
# than is asked for.
FIRST, PILOT = 2, 10.0
ROUNDS = 18  # steps tried for one coordinate: by eighths of its scale, that is to round-off
KINKED_ROUNDS = 5  # a kink that is still there after as many, down to 3e-5 of its distance, is at x


@dataclass(frozen=True)
class Coordinates:
    """The coordinates x (m,) by which a cost is differentiated, one at a time.

    Attributes
    ----------
    costs : callable
        Of rows (r,) of x and steps (r, k): the costs (r, k).
    x : (m,) float
    scale : float
        Typical size of x.
    finest : (m,) float
        Steps below which rounding would join x + h and x + 2h.
    at_point : float
        The cost at x.
    noise : Noise
    """

    costs: Callable[[IntArray, Any], Any]
    x: FloatArray
    scale: float
    finest: FloatArray
    at_point: Any
    noise: Noise


def search(
    at: Coordinates, stencil: Stencil, rng: np.random.Generator, goal: float, nearer: float = 1.0
) -> tuple[FloatArray, FloatArray]:
    """Return slopes by all coordinates, and their errors.

    Parameters
    ----------
    at, stencil
        What is differentiated, and how from one step.
    rng
        Jitters the steps, so that a period of the cost cannot hide between them.
    goal
        An error of at most `goal` × the largest value found needs no further step.
    nearer
        Factor on the first step.
    """
    state = _Search(at, stencil, rng, goal, nearer)
    state.teach()
    state.refine()
    state.look_nearer()
    state.look_for_stairs()
    return state.value, state.error


def first_step(noise: Noise) -> float:
    """Return the step to begin with, relative to the scale.

    D6 is off by ~ h⁶, which meets noise/h where h⁷ ~ the relative noise; a step so long also shows
    truncation, which shorter ones leave hidden in the noise.
    """
    return float(min(max(noise.relative, 1e-16), 1e-3) ** (1 / 7))


class _Search:
    """The best trial of each coordinate so far, and what to try next."""

    def __init__(
        self,
        at: Coordinates,
        stencil: Stencil,
        rng: np.random.Generator,
        goal: float,
        nearer: float,
    ) -> None:
        self.at, self.stencil, self.rng, self.goal = at, stencil, rng, goal
        m = at.x.shape
        self.value, self.error = np.full(m, np.nan), np.full(m, np.inf)
        self.start = first_step(at.noise)
        size = np.abs(at.x).astype(self.value.dtype)
        self.own = np.where((size > NIL * at.scale) & (size < SMALL * at.scale), size, at.scale)
        self.h = self.own * self.start * nearer
        self.longest = self.own * max(self.start, LONGEST)
        # the step of the best trial, and what would have been better
        self.best, self.ideal = self.h.copy(), self.h.copy()
        # the error of the shortest step whose truncation shows, and that step
        self.shown, self.shown_at = np.zeros(m), np.full(m, np.inf)
        self.hopeful = np.ones(m, bool)
        self.kink = np.zeros(m)  # seen last
        self.kinked = np.zeros(m, int)  # how many steps have seen it
        self.uneven = np.zeros(m, bool)  # whether any step has met what differences do not follow
        self.stood = np.zeros(m, bool)  # whether the best one has then been tried nearer by
        self.first, self.others = np.split(rng.permutation(at.x.size), [FIRST])

    def teach(self) -> None:
        """Find a good step on the first few coordinates, and try it on all others."""
        for _ in range(ROUNDS):
            todo = self.first[self.blurred(self.goal / PILOT)[self.first]]
            if not todo.size:
                break
            self.attempt(todo)
        taught = (self.ideal / self.own)[self.first][np.isfinite(self.error[self.first])]
        if taught.size:
            self.h[self.others] = self.own[self.others] * np.exp(np.mean(np.log(taught)))
        self.attempt(self.others)

    def refine(self) -> None:
        """Give those that stay blurred steps of their own."""
        doubted = self.first[:1]  # always tried nearer by, and if it does not stand, all are
        for _ in range(ROUNDS):
            self.attempt(np.flatnonzero(self.blurred(self.goal)))
            # what settled only after other steps had not may have done so by luck
            rows = np.union1d(doubted, np.flatnonzero(self.uneven))
            rows = rows[~self.stood[rows] & ~self.hopeful[rows] & np.isfinite(self.error[rows])]
            if not rows.size and not self.blurred(self.goal).any():
                break
            before = self.best[rows].copy()
            self.h[rows] = before / 8
            self.attempt(rows)
            self.stood[rows] = self.best[rows] == before
            self.uneven |= not self.stood[rows].all()

    def look_nearer(self) -> None:
        """Doubt long steps where any kink showed: they span several, which hide one another."""
        known = np.flatnonzero(np.isfinite(self.error))
        if self.start > LONG and self.uneven.any() and known.size:
            again = self.ask(known, self.best[known] / 3)
            apart = np.abs(again.value - self.value[known])
            apart += np.where(self.uneven[known], again.round_off, 0)
            self.error[known] += np.where(np.isfinite(again.error), apart, np.inf)
        # a kink seen more than once, and then lost in noise larger than itself, is still there
        self.error[(self.kinked > 1) & (self.error > self.kink / 2)] = np.inf

    def look_for_stairs(self) -> None:
        """Doubt slopes of 0 where the cost is level, to the bit, and on another level further off.

        Rounding inside a cost, as in log(1 − σ(z)), makes stairs of it: each is level, none has the
        slope. Beside a kink there is one level only.
        """
        rows = np.flatnonzero((self.value == 0) & self.uneven & np.isfinite(self.error))
        if not rows.size:
            return
        far = np.maximum(self.start * self.own[rows], 8 * self.best[rows])
        near = np.maximum(self.best[rows] / 8, self.at.finest[rows])
        steps = np.stack([far, -far, far + near, -far - near], axis=1)
        moved = self.at.costs(rows, steps_taken(self.at.x[rows, None], steps))
        level = (moved[:, :2] == moved[:, 2:]) & (moved[:, :2] != self.at.at_point)
        self.error[rows[level.any(axis=1)]] = np.inf

    def blurred(self, enough: float) -> NDArray[np.bool_]:
        """Return which are worth another step: a better one is known, and the error too large."""
        largest = float(np.abs(self.value[np.isfinite(self.error)]).max(initial=0))
        return np.asarray(self.hopeful & ~(self.error <= enough * largest))

    def ask(self, rows: IntArray, steps: FloatArray) -> Trial:
        """Try steps on some rows."""
        at = self.at
        return self.stencil(
            lambda moves: at.costs(rows, moves),
            at.x[rows],
            steps,
            self.own[rows],
            at.at_point,
            at.noise,
        )

    def attempt(self, rows: IntArray) -> None:
        """Try the next step on some rows, keep what is better, and choose the one after it."""
        if not rows.size:
            return
        finest = self.at.finest[rows]
        steps = np.maximum(self.h[rows] * self.rng.uniform(1, 1.25, rows.size), finest)
        trial = self.ask(rows, steps)
        better = self.is_better(rows, steps, trial)
        wanted = np.minimum(steps * trial.ratio, self.longest[rows])
        for kept, new in (
            (self.value, trial.value),
            (self.error, trial.error),
            (self.best, steps),
            (self.ideal, wanted),
        ):
            kept[rows] = np.where(better, new, kept[rows])
        # a kink at x stays of one size, those of an oscillation do not
        shown = trial.kink > 0
        same = np.abs(trial.kink - self.kink[rows]) <= self.kink[rows] / 2
        self.kinked[rows[shown]] = np.where(same, self.kinked[rows], 0)[shown] + 1
        self.kink[rows[shown]] = trial.kink[shown]
        self.uneven[rows] |= ~np.isfinite(trial.error)
        self.h[rows] = np.minimum(self.h[rows] * trial.ratio, self.longest[rows])
        shrink = (trial.ratio < 0.7) & (self.h[rows] > finest / 4)
        grow = better & (self.h[rows] > 2 * steps)
        self.hopeful[rows] = (shrink | grow) & (self.kinked[rows] < KINKED_ROUNDS)

    def is_better(self, rows: IntArray, steps: FloatArray, trial: Trial) -> NDArray[np.bool_]:
        """Whether a trial replaces the best one."""
        value, error, shorter = self.value[rows], self.error[rows], steps < self.best[rows]
        apart = np.abs(trial.value - value)
        # where two steps disagree, the larger one has missed something of the cost
        conflict = apart > trial.error + error
        # among kinks it has, too, if it settles better than a shorter one whose truncation shows
        shows = (trial.ratio < 0.5) & np.isfinite(trial.error)
        luckier = (steps > self.shown_at[rows]) & (trial.error < self.shown[rows])
        lucky = np.where(shorter, shows & (trial.error > error), luckier)
        conflict |= self.uneven[rows] & lucky
        shows &= steps < self.shown_at[rows]
        self.shown[rows[shows]], self.shown_at[rows[shows]] = trial.error[shows], steps[shows]
        better = np.where(conflict, shorter, ~(trial.error >= error)) | ~np.isfinite(error)
        # nor is a larger one believed where a smaller one settles nowhere near
        better |= np.isinf(trial.error) & shorter & (apart > trial.round_off + error)
        return np.asarray(better)
