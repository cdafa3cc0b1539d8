"""The choice of a step for every coordinate: two pilots find one with which the others start."""

from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from checks._types import FloatArray, IntArray
from checks.estimation.coordinates import Coordinates, Grid
from checks.estimation.stairs import slope_of_jumps, slope_where_straight
from checks.estimation.stencils import Stencil, Trial, central
from checks.evaluation.step_sizes import SMALL, entry_sizes, random_signs, steps_taken

__all__ = ["FEW_JUMPS", "LONGEST", "best_slopes", "first_step"]

# In units of the scale of x. Only costs noisier than float64 start with a step above LONG. No step
# grows beyond LONGEST: a unit that is saturated at x may not be so further away.
LONG, LONGEST = 1e-2, 0.1
PILOTS = 2  # coordinates that find the step with which all others start
# The error of a pilot has to be PILOT_ACCURACY times smaller than the goal. If others start with
# its step, it is at most SHARP as well, which is what float64 asks: the goal of float32 parameters
# is far from what steps in float64 give.
PILOT_ACCURACY, SHARP = 10.0, 1.5e-11
ROUNDS = 18  # steps tried for one coordinate; 8^-17 of the first is below a last place
# The error covers FEW_JUMPS times the mean slope of the jumps found. That mean may be too small,
# because the jumps within a step are few and unevenly spaced.
FEW_JUMPS = 4.0
# Relative noise below so many eps of the parameters does not come from jumps away from the point.
PLACES = 64
FEW = 16  # of more slopes, one common move tests first whether the cost contradicts any
# If all trials of the pilots failed, so many long and as many short steps show noise if their
# corrections, as differences of costs, are the same up to this factor.
SOME_TRIALS, SAME_NOISE = 4, 8.0
# Factors on the step of a difference in a wider dtype. The first is tried on all coordinates, the
# others where it does not converge: the best step of a noisy cost may be long beside what it does.
SHORTER = 2.0 ** -np.array([0, 3, 6, 9])
# Wide differences round by 2^-11 or less of what narrow ones do, and by chance by more. So the
# rounding that they measure is made larger by this part.
MEASURED = 2.0**-4
KINK_ROUNDS = 5  # a kink seen by so many steps, down to 8^-4 = 2e-4 of the first, is at x


def best_slopes(
    coordinates: Coordinates,
    stencil: Stencil,
    rng: np.random.Generator,
    goal: float,
    start: float,
    sides: tuple[int, ...],
) -> tuple[FloatArray, FloatArray, NDArray[np.bool_], NDArray[np.bool_]]:
    """Return the slope by every coordinate from the best step found, and its error.

    Also on_stairs, where the cost has jumps within reach of steps, which the error covers; and
    where steps that are longer than the best have met a kink.

    Parameters
    ----------
    coordinates
        Where the cost is differentiated.
    stencil
        The formula for the slope from one step.
    rng
        Jitters the steps, so that a period of the cost cannot hide between them.
    goal
        An error of at most `goal` × the largest slope found needs no further step.
    start
        Factor on the first step.
    sides
        Where the stencil has its points: −1 below x, 1 above.
    """
    selection = _StepSelection(coordinates, stencil, rng, goal, start)
    if noise := selection.noise_of_pilots():
        coordinates = replace(coordinates, noise=coordinates.noise.at_least(noise))
        selection = _StepSelection(coordinates, stencil, rng, goal, start)
        selection.noise_of_pilots()
    selection.find_common_step()
    selection.refine()
    selection.measure_rounding()
    selection.compare_with_shorter_steps()
    selection.widen_beside_jumps(sides)
    selection.widen_between_jumps()
    beside_kink = (selection.slope_jump > 0) & (selection.failed_step > selection.best_step)
    return selection.value, selection.error, selection.on_stairs, beside_kink


def first_step(relative_noise: float) -> float:
    """Return the step to begin with, relative to the scale.

    D6 is off by ~ h⁶, which equals noise/h where h⁷ ~ the relative noise. So long a step also shows
    the truncation error, which shorter ones leave hidden in the noise.
    """
    return float(min(max(relative_noise, 1e-16), 1e-3) ** (1 / 7))


class _StepSelection:
    """The best trial of each coordinate so far, and the step to try next.

    The best trial is usually that with the smallest error; `_replaces_best` has the exceptions.

    Attributes
    ----------
    value, error : (m,) float
        The slope and its error from the best trial; nan and inf before there is one.
    scale : (m,) float
        The size relative to which a coordinate is stepped.
    step : (m,) float
        The step to try next.
    longest_step : (m,) float
        The upper limit of `step`.
    first_step : float
        The step to begin with, relative to `scale`.
    best_step, ideal_step : (m,) float
        The step of the best trial, and the step that this trial would have preferred.
    best_trial : (3, m) float
        Curvature, first correction and curvature change of the best trial, see `Trial`.
    last_change : (m,) float
        The first correction of the last trial times its step: a change of the cost.
    can_improve : (m,) bool
        The last trial asks for another step that is worth trying.
    truncated_step, truncated_error : (m,) float
        The shortest step so far whose truncation error shows above the noise, and its error.
    slope_jump : (m,) float
        The last slope jump that a trial has seen, 0 if none has.
    kink_count : (m,) int
        How many trials in a row have seen a slope jump of about that size.
    is_rough : (m,) bool
        The cost seems to have kinks or jumps nearby: a trial did not converge, or the check of any
        coordinate's best step failed.
    passed_check : (m,) bool
        The best step was checked by one an eighth as long: the best of both agrees with it.
    on_stairs : (m,) bool
        The cost has jumps within reach.
    failed_step : (m,) float
        The shortest step whose trial did not converge, inf if all did.
    pilots, others : (p,) and (m − p,) int
        The coordinates that find a common step, and those that start with it.
    """

    def __init__(
        self,
        coordinates: Coordinates,
        stencil: Stencil,
        rng: np.random.Generator,
        goal: float,
        start: float,
    ) -> None:
        self.coordinates, self.stencil, self.rng, self.goal = coordinates, stencil, rng, goal
        self.is_first = start == 1
        self.grid = Grid(rng, coordinates.grid) if coordinates.grid else None
        x, array_scale = coordinates.x, coordinates.scale
        m = x.shape
        self.value, self.error = np.full(m, np.nan), np.full(m, np.inf)
        sizes = coordinates.sizes
        sizes = entry_sizes(x, array_scale) if sizes is None else sizes
        sizes = np.asarray(sizes, self.value.dtype)
        self.scale = np.where(sizes < SMALL * array_scale, sizes, array_scale)
        self.first_step = first_step(coordinates.noise.relative)
        self.longest_step = self.scale * max(self.first_step, LONGEST)
        self.longest_step = np.minimum(self.longest_step, coordinates.longest)
        self.step = np.minimum(self.scale * self.first_step * start, self.longest_step)
        self.best_step, self.ideal_step = self.step.copy(), self.step.copy()
        self.best_trial, self.last_change = np.zeros((3, x.size)), np.zeros(x.size)
        self.can_improve = np.ones(m, bool)
        self.truncated_step, self.truncated_error = np.full(m, np.inf), np.zeros(m)
        self.slope_jump, self.kink_count = np.zeros(m), np.zeros(m, int)
        self.is_rough, self.passed_check = np.zeros(m, bool), np.zeros(m, bool)
        self.on_stairs, self.failed_step = np.zeros(m, bool), np.full(m, np.inf)
        order = rng.permutation(x.size)
        # those whose steps the box cuts short come last: as pilots they find no step for others
        cut_short = self.longest_step < self.scale * self.first_step
        order = order[np.argsort(cut_short[order], kind="stable")]
        self.pilots, self.others = np.split(order, [PILOTS])

    def noise_of_pilots(self) -> float:
        """Find good steps for the pilots; return the noise that they meet if none is good, else 0.

        A correction is then about noise/h. So where no step converges, and corrections times their
        steps are about as large for short steps as for long ones, they are noise of the cost.
        """
        goal = self.goal
        if self.grid is None:
            goal /= PILOT_ACCURACY
        # a second estimate needs no more than its goal: it only has to see a discrepancy
        if self.grid is None and self.is_first and self.others.size:
            goal = min(goal, SHARP)
        changes = list[FloatArray]()
        for _ in range(ROUNDS):
            inaccurate = self.pilots[self.needs_step(goal)[self.pilots]]
            if not inaccurate.size:
                break
            self.advance(inaccurate)
            changes.append(self.last_change[inaccurate])
        if np.isfinite(self.error[self.pilots]).any() or len(changes) < 2 * SOME_TRIALS:
            return 0.0
        met = [float(np.median(change)) for change in changes]
        of_long, of_short = np.median(met[: len(met) // 2]), np.median(met[len(met) // 2 :])
        is_same = of_long / SAME_NOISE <= of_short <= SAME_NOISE * of_long
        # a jump at x would change the cost by the same in every trial
        return max(met) if is_same and max(met) > 2 * min(met) else 0.0

    def find_common_step(self) -> None:
        """Try the good step of the pilots on all others."""
        # a grid would round the ideal step to another power: so the best tried step
        good_step = self.ideal_step if self.grid is None else self.best_step
        relative_steps = (good_step / self.scale)[self.pilots]
        relative_steps = relative_steps[np.isfinite(self.error[self.pilots])]
        if relative_steps.size:
            geometric_mean = np.exp(np.mean(np.log(relative_steps)))
            common = self.scale[self.others] * geometric_mean
            self.step[self.others] = np.minimum(common, self.longest_step[self.others])
        self.advance(self.others)

    def refine(self) -> None:
        """Try further steps where the error is too large, and check best steps that may be luck.

        A step that converged after others had failed may have done so by chance, so a step an
        eighth as long checks it. One pilot is checked in any case. If a check fails, every best
        step is checked. Other steps are compared with the cost an eighth of the step away, because
        a step longer than a period of the cost may converge by chance. A second estimate, which
        checks by shorter steps itself, only checks what converged after failures.
        """
        for _ in range(ROUNDS):
            self.advance(np.flatnonzero(self.needs_step(self.goal)))
            is_settled = ~self.needs_step(self.goal) & np.isfinite(self.error) & ~self.passed_check
            if self.stencil is central and self.is_first:
                is_other = is_settled & ~self.is_rough
                is_other[self.pilots[:1]] = False
                others = np.flatnonzero(is_other)
                contradicted = np.zeros(others.size, bool)
                if self._contradicts_near_costs(others):
                    contradicted = self._contradicts_near_cost(others)
                self.is_rough[others[contradicted]] = True
                self.passed_check[others[~contradicted]] = True
            is_checked = self.is_rough.copy()
            is_checked[self.pilots[: int(self.is_first)]] = True
            checked = np.flatnonzero(is_checked & is_settled)
            if not checked.size and not self.needs_step(self.goal).any():
                break
            value, error = self.value[checked], self.error[checked]
            self.step[checked] = self.best_step[checked] / 8
            self.advance(checked)
            apart = np.abs(self.value[checked] - value)
            self.passed_check[checked] = apart <= error + self.error[checked]
            self.passed_check[checked] &= np.isfinite(self.error[checked])
            self.is_rough |= not self.passed_check[checked].all()

    def _contradicts_near_costs(self, indices: IntArray) -> bool:
        """Whether the best slopes contradict the cost with all coordinates moved at once.

        Each moves by an eighth of its best step. Two evaluations test many coordinates, but do not
        show what is small beside the largest change. True for up to `FEW` coordinates, untested.
        """
        at = self.coordinates
        if at.cost_moved is None or indices.size <= FEW:
            return True
        steps = np.zeros(at.x.size, self.error.dtype)
        steps[indices] = self._near_steps(indices)
        ahead, behind = at.cost_moved(steps), at.cost_moved(-steps)
        sizes = np.abs(steps[indices])
        # An eighth of a step has 1/64 of the first correction, f⁽³⁾h²/6. With the mixed derivatives
        # of m coordinates, as of g(Σ x), it is up to m² times as much; with random signs, mostly
        # less than m^1.5 times.
        truncation = indices.size**1.5 * self.best_trial[1, indices] / 64
        allowed = sizes @ (self.error[indices] + truncation)
        allowed += np.spacing(np.abs(at.x[indices])) @ np.abs(self.value[indices])
        allowed += 5 * max(at.noise.level, float(np.finfo(steps.dtype).eps * np.abs(ahead)))
        change = (ahead - behind) / 2
        return not abs(change - steps[indices] @ self.value[indices]) <= allowed

    def _contradicts_near_cost(self, indices: IntArray) -> NDArray[np.bool_]:
        """Whether the best slope and curvature contradict the cost an eighth of the step away."""
        at, h = self.coordinates, self.best_step[indices]
        steps = self._near_steps(indices)
        costs = at.costs(indices, steps[:, None])[:, 0]
        curvature, correction, curvature_change = self.best_trial[:, indices]
        # (f(x+t) − f(x))/t − f'' t/2 = f' + f⁽³⁾ t²/6 + …, and the first correction is f⁽³⁾ h²/6
        slope = (costs - at.at_point) / steps - curvature * steps / 2
        truncation = 2 * correction * (steps / h) ** 2 + curvature_change * np.abs(steps) / 2
        rounding = np.finfo(costs.dtype).eps * np.abs(costs)
        # seven standard deviations √2 σ of the difference of two costs
        noise = 10 * np.maximum(at.noise_at(indices).level, rounding) / np.abs(steps)
        allowed = self.error[indices] + truncation + noise
        return np.asarray(np.abs(slope - self.value[indices]) > allowed)

    def _near_steps(self, indices: IntArray) -> FloatArray:
        """Return an eighth of each best step, or of x where that is shorter, to a random side.

        A step may be longer than x if other entries of the array are larger. An eighth of x stays
        away from 0, where the cost may be special, as sin(1/x) is.
        """
        at, h = self.coordinates, self.best_step[indices]
        size = np.abs(at.x[indices]).astype(self.error.dtype)
        shorter = np.maximum(np.where(size > 0, np.minimum(h, size), h) / 8, at.finest[indices])
        steps = steps_taken(at.x[indices], shorter * random_signs(indices.shape, self.rng))
        return np.asarray(steps)

    def measure_rounding(self) -> None:
        """Replace the bound on rounding by what it is: differences in a wider dtype show it.

        They have an error of their own, mostly of truncation. Where they are 0, the cost may not
        read the parameters that it is given, but those that it was called with before. Where
        neither dtype shows a slope, the step may span many periods of an oscillation of the cost
        that is below its last places, and the bound stays.

        Stairs that rounding makes hide truncation too: on one of them, all orders agree. So wide
        differences that do not converge take shorter steps, and an error grows to cover one that
        is off by more than its own error.
        """
        wide, known = self.coordinates.wide, np.flatnonzero(np.isfinite(self.error))
        if wide is None or not known.size:
            return
        steps, value = self.best_step[known], np.full(known.size, np.nan)
        own_error, rows = np.full(known.size, np.inf), np.arange(known.size)
        for shorter in SHORTER:
            some = known[rows]
            h = np.maximum(steps[rows] * shorter, wide.finest[some])
            costs, x, scale = partial(wide.costs, some), wide.x[some], self.scale[some]
            found = self.stencil(costs, x, h, scale, wide.at_point, wide.noise)
            value[rows], own_error[rows] = found.value, found.error
            rows = rows[np.isinf(found.error)]
            if not rows.size:
                break
        before = self.error[known]
        off = np.abs(value - self.value[known])
        last_place = float(np.finfo(np.float64).eps) * np.abs(value)  # the wide cost may round once
        error = (1 + MEASURED) * off + own_error + last_place
        is_resolved = (np.abs(self.value[known]) > before) | (np.abs(value) > own_error)
        measured = (error < before) & is_resolved & ~self.is_rough[known]
        measured &= self.stencil is central
        contradicted = (error > before) & (off > own_error)
        replaces = (measured | contradicted) & (value != 0)
        self.error[known] = np.where(replaces, error, before)

    def compare_with_shorter_steps(self) -> None:
        """Widen errors where long steps may span several kinks, which hide each other.

        If the first step was long and any coordinate is rough, the error of every step that stayed
        long grows by the difference from the slope of a step a third as long.
        """
        known = np.flatnonzero(np.isfinite(self.error) & (self.best_step > LONG * self.scale))
        if self.first_step > LONG and self.is_rough.any() and known.size:
            shorter = self.try_steps(known, self.best_step[known] / 3)
            difference = np.abs(shorter.value - self.value[known])
            # The noise of a slope from a step a third as long is three times as large. All of it
            # would widen the error more than kinks do, so half of it is added.
            difference += np.where(self.is_rough[known], shorter.round_off / 2, 0)
            self.error[known] += np.where(np.isfinite(shorter.error), difference, np.inf)
        # if several steps have seen a kink, it is there even if larger noise hides it now
        self.error[(self.kink_count > 1) & (self.error > self.slope_jump / 2)] = np.inf

    def widen_beside_jumps(self, sides: tuple[int, ...]) -> None:
        """Widen errors where short steps converge and longer ones meet jumps."""
        rough = np.flatnonzero(self.is_rough & np.isfinite(self.error))
        if not rough.size:
            return
        best_step, value, error = self.best_step[rough], self.value[rough], self.error[rough]
        near = np.maximum(best_step / 8, self.coordinates.finest[rough])
        # the farthest points of a stencil are three or four steps away
        failed = self.failed_step[rough]
        far = np.where(failed > best_step, 4 * failed, 8 * best_step)
        far = np.minimum(np.where(np.isfinite(far), far, 8 * best_step), self.scale[rough])
        within = 2 * self.coordinates.longest[rough]  # so that far + near stays within the box
        far = np.minimum(far, within)

        def search(rows: IntArray, far: FloatArray) -> FloatArray:
            """Return what jumps on each side add to slopes; nan if the cost ends before `far`."""
            known = value[rows], error[rows], near[rows]
            return np.array(
                [slope_of_jumps(self.coordinates, rough[rows], *known, s * far) for s in sides]
            )

        found = search(np.arange(rough.size), far)
        added = np.fmax.reduce(found)
        # A cost may end beside its widest stairs: log(1 − σ(z)) is −inf where 1 − σ rounds to 0.
        # Then jumps are searched for further away.
        ends = np.flatnonzero(np.isnan(found).any(axis=0))
        # So they are where a cost that is level is found level at `far` too, though a step between
        # has failed: jumps up and down may cancel.
        level = np.flatnonzero((value == 0) & (added == 0) & (failed < far))
        for rows, distance in ((ends, LONGEST * self.scale[rough]), (level, 8 * far)):
            if rows.size:
                further = search(rows, np.minimum(distance, within)[rows])
                added[rows] = np.fmax(added[rows], np.fmax.reduce(further))
        self.on_stairs[rough] = added > 0
        self.error[rough] += FEW_JUMPS * np.nan_to_num(added)

    def widen_between_jumps(self) -> None:
        """Widen errors where the noise of the cost is jumps that do not show close to the point.

        Where it shows close to both pilots, the other coordinates are not tried.
        """
        at = self.coordinates
        coarse = max(at.noise.may_jump_above, PLACES * float(np.finfo(at.x.dtype).eps))
        if at.noise.stochastic or at.noise.relative <= coarse:
            return
        for tried in (self.pilots, self.others):
            indices = tried[np.isfinite(self.error[tried])]
            if not indices.size:
                continue
            slope, error, is_straight = slope_where_straight(at, indices, self.scale[indices])
            if not is_straight.any():
                return
            # a coordinate that is not straight, while others are, has a jump within its steps
            apart = np.where(is_straight, np.abs(self.value[indices] - slope) + error, np.inf)
            self.error[indices] += apart
            self.on_stairs[indices] = True

    def needs_step(self, tolerance: float) -> NDArray[np.bool_]:
        """Whether the error exceeds `tolerance` × the largest slope, and a step may improve it."""
        largest = float(np.abs(self.value[np.isfinite(self.error)]).max(initial=0))
        return np.asarray(self.can_improve & ~(self.error <= tolerance * largest))

    def try_steps(self, indices: IntArray, steps: FloatArray) -> Trial:
        """Apply the stencil to some coordinates."""
        at = self.coordinates
        return self.stencil(
            lambda moves: at.costs(indices, moves),
            at.x[indices],
            steps,
            self.scale[indices],
            at.at_point,
            at.noise_at(indices),
        )

    def jittered(self, indices: IntArray) -> FloatArray:
        """Return the next steps of some coordinates, made uneven so that no period hides."""
        step, scale = self.step[indices], self.scale[indices]
        if self.grid is not None:
            longest = self.coordinates.longest[indices]
            return np.asarray(scale * self.grid(step / scale, longest / scale))
        return np.asarray(step * self.rng.uniform(1, 1.25, indices.size))

    def advance(self, indices: IntArray) -> None:
        """Try the next step of some coordinates, keep what is better, and choose the step after."""
        if not indices.size:
            return
        finest, longest = self.coordinates.finest[indices], self.longest_step[indices]
        steps = np.maximum(self.jittered(indices), finest)
        steps = np.minimum(steps, self.coordinates.longest[indices])
        trial = self.try_steps(indices, steps)
        self.last_change[indices] = trial.correction * steps
        better = self._replaces_best(indices, steps, trial)
        ideal = np.minimum(steps * trial.step_ratio, longest)
        for best, new in (
            (self.value, trial.value),
            (self.error, trial.error),
            (self.best_step, steps),
            (self.ideal_step, ideal),
            (self.best_trial[0], trial.curvature),
            (self.best_trial[1], trial.correction),
            (self.best_trial[2], trial.curvature_change),
        ):
            best[indices] = np.where(better, new, best[indices])
        self._count_kinks(indices, trial.slope_jump)
        failed = ~np.isfinite(trial.error)
        self.is_rough[indices] |= failed
        self.failed_step[indices[failed]] = np.minimum(self.failed_step[indices], steps)[failed]
        self.step[indices] = np.minimum(self.step[indices] * trial.step_ratio, longest)
        can_shrink = (trial.step_ratio < 0.7) & (self.step[indices] > finest / 4)
        can_grow = better & (self.step[indices] > 2 * steps)
        if self.grid is not None:
            can_grow &= self.jittered(indices) > steps
        is_hopeless = self.kink_count[indices] >= KINK_ROUNDS  # the kink is at x
        is_hopeless |= np.isinf(self.coordinates.noise.level)
        self.can_improve[indices] = (can_shrink | can_grow) & ~is_hopeless

    def _count_kinks(self, indices: IntArray, slope_jump: FloatArray) -> None:
        """Count slope jumps of one size: a kink at x keeps its size, an oscillation does not."""
        seen, last = slope_jump > 0, self.slope_jump[indices]
        same = np.abs(slope_jump - last) <= last / 2
        self.kink_count[indices[seen]] = np.where(same, self.kink_count[indices], 0)[seen] + 1
        self.slope_jump[indices[seen]] = slope_jump[seen]

    def _replaces_best(
        self, indices: IntArray, steps: FloatArray, trial: Trial
    ) -> NDArray[np.bool_]:
        """Whether trials replace the best: the smaller error wins, in conflict the shorter step."""
        value, error = self.value[indices], self.error[indices]
        is_shorter = steps < self.best_step[indices]
        difference = np.abs(trial.value - value)
        # if the intervals of two steps are disjoint, the longer step has overlooked something
        in_conflict = difference > trial.error + error
        # Truncation errors grow with the step. So beside kinks, the longer step has overlooked
        # something too if a shorter one shows a truncation error larger than its error.
        shows_truncation = (trial.step_ratio < 0.5) & np.isfinite(trial.error)
        best_too_small = shows_truncation & (trial.error > error)
        truncated_step, truncated_error = (
            self.truncated_step[indices],
            self.truncated_error[indices],
        )
        trial_too_small = (steps > truncated_step) & (trial.error < truncated_error)
        in_conflict |= self.is_rough[indices] & np.where(
            is_shorter, best_too_small, trial_too_small
        )
        shortest = shows_truncation & (steps < truncated_step)
        self.truncated_step[indices[shortest]] = steps[shortest]
        self.truncated_error[indices[shortest]] = trial.error[shortest]
        replaces = np.where(in_conflict, is_shorter, ~(trial.error >= error)) | ~np.isfinite(error)
        # a shorter step that does not converge refutes the best value if it is far from that
        replaces |= np.isinf(trial.error) & is_shorter & (difference > trial.round_off + error)
        return np.asarray(replaces)
