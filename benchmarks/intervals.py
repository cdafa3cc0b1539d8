"""How often the exact derivative is outside its interval: ``python -m benchmarks.intervals``.

Draws random costs (`benchmarks.compositions`), estimates their gradients, and compares with the
exact ones. The exact gradient, rounded to the dtype, is the claim of a first check, so that a
MISMATCH is a false alarm. In a second check one entry is off by 5 % of the array's largest.

Many random costs hardly depend on one of their arrays: a unit is saturated, or an offset covers it.
So the verdicts are given once more for costs whose derivatives show: by each array the largest one,
times its entry, is at least `SHOWS` of the cost.
"""

import argparse
import warnings
from collections import Counter
from dataclasses import dataclass

import numpy as np

from benchmarks.compositions import Composition, draw, shrink
from checks import Verdict, check_gradient, numerical_gradient
from checks.evaluation.step_sizes import entry_sizes

__all__ = ["Outcome", "main", "measure", "try_out"]

SHOWS = 1e-9


@dataclass(frozen=True, eq=False)
class Outcome:
    """What became of one composition.

    Attributes
    ----------
    ratios : array
        For each entry, |value − truth| / error; above 1 where the truth is outside.
    sharpness : array
        error / |value − truth|, for entries whose error is finite and whose value is not exact.
    evaluations : int
        Calls of the cost that the estimate took.
    shows : bool
        The cost depends on every array by at least `SHOWS` of itself.
    verdict, planted : Verdict
        Of the right claim, and of the one that is wrong on purpose.
    """

    composition: Composition
    ratios: np.ndarray
    sharpness: np.ndarray
    evaluations: int
    shows: bool
    verdict: Verdict
    planted: Verdict | None

    @property
    def worst(self):
        return self.ratios.max()

    @property
    def accused(self):
        return self.verdict is Verdict.MISMATCH


def try_out(composition, method):
    """Return the Outcome of a composition; an ArithmeticError where it has no derivative."""
    claim = composition.claim()
    if not all(np.isfinite(array).all() for array in claim.values()):
        raise ArithmeticError("the claim overflows")
    options = {"method": method, "progress": False}
    found = numerical_gradient(composition.cost, composition.params, **options)
    report = check_gradient(composition.cost, claim, composition.params, **options)
    values = {name: (np.asarray(v), found.error[name]) for name, v in found.value.items()}
    ratios = _joined(composition.ratio(n, v, e) for n, (v, e) in values.items())
    made = _joined(composition.distance(n, v) for n, (v, _) in values.items())
    claimed = _joined(e for _, e in values.values())
    some = np.isfinite(claimed) & (made > 0)
    sharpness = claimed[some] / made[some]
    planted = check_planted(composition, claim, options)
    cost = abs(float(composition.cost(composition.params)))
    parts = [np.abs(claim[n] * entry_sizes(x)).max() for n, x in composition.params.items()]
    shows = min(parts) >= SHOWS * cost and min(parts) > 0
    return Outcome(
        composition, ratios, sharpness, found.evaluations, shows, report.verdict, planted
    )


def _joined(arrays):
    return np.concatenate([np.ravel(array) for array in arrays])


def check_planted(composition, claim, options):
    """Return the verdict of a claim with one entry wrong by 5 %.

    None where all entries are 0, or the altered one lies between the slopes of a kink.
    """
    rng = np.random.default_rng(composition.seed)
    arrays = {name: array.copy() for name, array in claim.items() if array.any()}
    if not arrays:
        return None
    name = str(rng.choice(list(arrays)))
    wrong = arrays[name]
    wrong.flat[rng.integers(wrong.size)] += 0.05 * np.abs(wrong).max()  # wrong on purpose
    is_between = (wrong != claim[name]) & (composition.distance(name, wrong) == 0)
    if not np.isfinite(wrong).all() or is_between.any():
        return None
    return check_gradient(composition.cost, claim | arrays, composition.params, **options).verdict


def measure(seeds, dtype, method):
    """Return outcomes, and counts of what had none: no derivative, or an exception of checks."""
    outcomes, without = [], Counter()
    for seed in seeds:
        try:
            outcomes.append(try_out(draw(seed, dtype), method))
        except ArithmeticError:
            without["no derivative"] += 1
        except Exception as error:  # a mistake of `checks`: counted and printed
            without[f"seed {seed} raised {type(error).__name__}: {error}"] += 1
    return outcomes, without


def table(outcomes):
    """Return the rows of the table: what is measured, and its value."""
    ratios = np.concatenate([o.ratios for o in outcomes])
    broken = [o for o in outcomes if o.worst > 1]
    outside, accused = np.sum(ratios > 1), sum(o.accused for o in outcomes)
    planted = Counter(o.planted.name for o in outcomes if o.planted)
    every = planted.total()
    per_entry = [o.evaluations / o.ratios.size for o in outcomes]
    return {
        "compositions, entries": f"{len(outcomes):,}, {ratios.size:,}",
        "intervals broken": f"{outside:,} ({outside / ratios.size:.2%}), "
        f"in {len(broken):,} compositions, the worst by {ratios.max():.3g}",
        "right gradients accused": f"{accused:,} ({accused / len(outcomes):.2%})",
        "verdict of the right ones": shares(outcomes),
        "where all derivatives show": shares([o for o in outcomes if o.shows]),
        "sharpness, median": f"{np.median(np.concatenate([o.sharpness for o in outcomes])):.3g}",
        "evaluations per entry, median": f"{np.median(per_entry):.1f}",
        "5 % off that passes": f"{planted['MATCH']:,} of {every:,} "
        f"(UNRESOLVED {planted['UNRESOLVED'] / max(every, 1):.1%})",
    }


def shares(outcomes):
    """Return how many right claims got each verdict, as text."""
    verdicts = Counter(o.verdict.name for o in outcomes)
    every = max(len(outcomes), 1)
    return ", ".join(f"{name} {verdicts[name] / every:.1%}" for name in Verdict.__members__)


def shrunk(outcome, method):
    """Return the simplest composition found that is accused, or broken, as this one is."""

    def fails(candidate):
        found = try_out(candidate, method)
        return found.accused if outcome.accused else found.worst > min(outcome.worst, 2) * 0.99

    return shrink(outcome.composition, fails)


def main(arguments=None):
    """Print the table and the failures, the worst first."""
    parser = argparse.ArgumentParser("python -m benchmarks.intervals", description=__doc__)
    parser.add_argument("count", nargs="?", type=int, default=500)
    parser.add_argument("--dtype", choices=("float64", "float32"), default="float64")
    parser.add_argument("--method", choices=("auto", "central"), default="auto")
    parser.add_argument("--first", metavar="SEED", type=int, default=0)
    parser.add_argument("--shrink", metavar="N", type=int, default=0, help="shrink the worst N")
    given = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    with np.errstate(all="ignore"):
        seeds = range(given.first, given.first + given.count)
        outcomes, without = measure(seeds, given.dtype, given.method)
        for what, count in without.most_common():
            print(f"left out: {what} ({count})")
        for what, value in table(outcomes).items():
            print(f"{what:32}{value}")
        failed = sorted(
            (o for o in outcomes if o.accused or o.worst > 1),
            key=lambda o: (o.accused, o.worst),
            reverse=True,
        )
        for o in failed:
            flags = "accused  " if o.accused else "         "
            kind = "lifts" if o.composition.lifts else "does not lift"
            print(f"seed {o.composition.seed:<8}{flags}outside by {o.worst:<10.3g}{kind}")
        for o in failed[: given.shrink]:
            print(f"\n{shrunk(o, given.method)}")


if __name__ == "__main__":
    main()
