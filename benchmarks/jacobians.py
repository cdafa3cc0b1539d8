"""How often Jacobians of random functions are right, and found wrong: ``benchmarks.jacobians``.

``python -m benchmarks.jacobians 100`` draws functions of 1 to 30 results
(`benchmarks.compositions.draw_several`), and compares estimates with the exact derivatives. Then
the claim is wrong in one entry, by 1e-6 of itself, in an entry whose error is below a quarter of
that: it should be a MISMATCH, with that row and column as the worst. Where the function is itself
right by complex steps, these are a right claim too. ``--hessians 50`` compares the Hessians of so
many random costs with estimates from values of the cost alone, and gives them as right claims.
"""

import argparse
import warnings
from collections import Counter

import numpy as np

from benchmarks.compositions import draw, draw_several
from benchmarks.exact_numpy import NAMESPACE, second_slopes
from checks import (
    Verdict,
    check_hessian,
    check_jacobian,
    numerical_hessian,
    numerical_jacobian,
)

__all__ = ["main", "try_hessian", "try_out"]

WRONG = 1e-6
H = 2.0**-300  # of a complex step
MOST = 12  # parameters of a cost whose Hessian is taken


class RandomFunction:
    """A random function, its exact Jacobian, and one that its own code gives by complex steps."""

    def __init__(self, seed, most):
        self.parts = [one for one in draw_several(seed, most=most) if _has_claim(one)]
        self.params = self.parts[0].params if self.parts else {}

    def __call__(self, p):
        return np.array([one.cost(p) for one in self.parts])

    def exact(self):
        rows = [one.claim() for one in self.parts]
        return {name: np.stack([row[name].ravel() for row in rows]) for name in self.params}

    def jacobian(self, p):
        """Return the Jacobian in the dtype of `p`, so that its rounding can be measured."""
        blocks = {}
        for name, x in p.items():
            columns = []
            for entry in range(x.size):
                moved = {n: a.astype(np.result_type(a, np.complex64)) for n, a in p.items()}
                moved[name].flat[entry] += 1j * H
                columns.append(np.imag(self(moved)) / H)
            blocks[name] = np.stack(columns, axis=1).astype(x.dtype)
        return blocks

    def computes_its_jacobian(self):
        """Whether complex steps give the exact Jacobian, to 1e-9 of each entry."""
        try:
            own, exact = self.jacobian(self.params), self.exact()
        except Exception:  # some lines take no complex numbers
            return False
        return all((np.abs(own[n] - g) <= 1e-9 * np.abs(g)).all() for n, g in exact.items())


def _has_claim(composition):
    try:
        return all(np.isfinite(array).all() for array in composition.claim().values())
    except ArithmeticError:
        return False


def try_out(seed, most, method):
    """Return counts of entries and of those outside, and how a claim fares that is wrong in one."""
    f, counts = RandomFunction(seed, most), Counter()
    if not f.parts:
        return counts
    found = numerical_jacobian(f, f.params, method=method, progress=False)
    for row, one in enumerate(f.parts):
        for name in f.params:
            holds = one.holds(name, found.value[name][row], found.error[name][row])
            counts["entries"] += holds.size
            counts["outside"] += int(np.sum(~holds))
    exact = f.exact()
    verdict = check_jacobian(f, exact, f.params, method=method, progress=False).verdict
    counts["right claims"] += 1
    counts["right claims accused"] += verdict is Verdict.MISMATCH
    error = {n: found.error[n].reshape(g.shape) for n, g in exact.items()}
    known = [(n, *e) for n, g in exact.items() for e in np.argwhere(4 * error[n] < WRONG * abs(g))]
    if not f.computes_its_jacobian():
        return counts
    verdict = check_jacobian(f, f.jacobian, f.params, method=method, progress=False).verdict
    counts["right functions"] += 1
    counts["right functions accused"] += verdict is Verdict.MISMATCH
    if known:
        name, row, column = known[np.random.default_rng(seed).integers(len(known))]

        def wrong(p):
            blocks = f.jacobian(p)
            blocks[name][row, column] *= 1 + WRONG  # wrong on purpose
            return blocks

        report = check_jacobian(f, wrong, f.params, method=method, progress=False)
        place = report.worst.path, report.worst.index
        named = place == (f"f(x) by {name}", (row, column))
        counts["wrong in one entry"] += 1
        counts[f"wrong in one entry: {report.verdict}"] += 1
        counts["wrong in one entry: named"] += report.verdict is Verdict.MISMATCH and named
    return counts


def try_hessian(seed):
    """Return counts of entries of a Hessian, from the cost alone, and how claims of it fare."""
    one, counts = draw(seed), Counter()
    if sum(x.size for x in one.params.values()) > MOST:
        return counts
    try:
        exact = second_slopes(one._compiled(dict(NAMESPACE)), one.params)
    except ArithmeticError:
        return counts
    if exact is None or not np.isfinite(exact).all():
        return counts
    found = numerical_hessian(one.cost, one.params, progress=False)
    names = list(one.params)
    sizes = [one.params[name].size for name in names]
    ends = np.cumsum([0, *sizes])
    claim = {row: {} for row in names}
    for i, row in enumerate(names):
        for j, column in enumerate(names):
            value, error = (part[row][column] for part in (found.value, found.error))
            block = exact[ends[i] : ends[i + 1], ends[j] : ends[j + 1]].reshape(value.shape)
            claim[row][column] = block.astype(float)
            # of an error of inf, the value may be nan
            outside = ~(np.abs(value - block) <= error + 2.0**-52 * np.abs(block)) & (
                error < np.inf
            )
            counts["Hessian entries"] += block.size
            counts["Hessian entries outside"] += int(outside.sum())
            known = error <= 1e-3 * np.abs(block).max(initial=0)
            counts["Hessian entries known to 1e-3"] += int(known.sum())
    verdict = check_hessian(one.cost, claim, one.params, progress=False).verdict
    counts["right Hessians"] += 1
    counts["right Hessians accused"] += verdict is Verdict.MISMATCH
    return counts


def main(arguments=None):
    """Print the counts."""
    parser = argparse.ArgumentParser("python -m benchmarks.jacobians", description=__doc__)
    parser.add_argument("count", nargs="?", type=int, default=100)
    parser.add_argument("--method", choices=("auto", "central"), default="auto")
    parser.add_argument("--first", metavar="SEED", type=int, default=0)
    parser.add_argument("--most", metavar="RESULTS", type=int, default=30)
    parser.add_argument("--hessians", metavar="COUNT", type=int, default=0)
    given, counts = parser.parse_args(arguments), Counter()
    warnings.simplefilter("ignore")
    with np.errstate(all="ignore"):
        for seed in range(given.first, given.first + given.count):
            counts += try_out(seed, given.most, given.method)
        for seed in range(given.first, given.first + given.hessians):
            counts += try_hessian(seed)
    for what, count in sorted(counts.items()):
        print(f"{what:32}{count:,}")


if __name__ == "__main__":
    main()
