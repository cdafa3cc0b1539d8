"""Wrong gradients of random costs, and how often `checks.diagnosis` names the mistake.

``python -m benchmarks.mistakes 100`` draws each row of the table 100 times. A row that has no name
is a near miss: it looks like a mistake that has one.
"""

import argparse
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from checks import Report, Verdict, check_gradient

__all__ = ["MISTAKES", "Mistake", "Outcome", "try_mistake"]


class NotHere(Exception):  # noqa: N818
    """The mistake cannot be made in this gradient, or makes no difference."""


@dataclass(frozen=True)
class Mistake:
    """A row of the table.

    Attributes
    ----------
    names : tuple of str
        The names that are right; the first is the one expected. Empty for a near miss.
    text : str
        What the text of the diagnosis has to contain.
    change : callable
        ``change(g, theta, rng)`` returns the wrong gradient of one array.
    shape : str
        "any", "vector", "matrix", "square", or "wide": a matrix that is not square.
    which : str
        "each" array is changed, or the "first" of several.
    regime : str
        "any"; "positive" parameters; "mask", where derivatives of 0 occur; "whole", where rounding
        to integers is no loss of everything; "fine", where the estimates have all digits.
    """

    names: tuple[str, ...]
    text: str
    change: Callable[[Any, Any, Any], Any]
    shape: str = "any"
    which: str = "each"
    regime: str = "any"

    def __str__(self) -> str:
        return f"{' or '.join(self.names) or 'near miss'}: {self.text}"


@dataclass(frozen=True, eq=False)
class Drawn:
    """A cost with its right gradient at a point."""

    cost: Any
    gradient: Any
    params: Any


@dataclass(frozen=True, eq=False)
class Outcome:
    """What became of a mistake: "right", "false", "unnamed" or, if it was not caught, "missed"."""

    kind: str
    report: Report


def _shapes(mistake: Mistake, rng: Any) -> list[Any]:
    m, n = (int(k) for k in rng.integers(2, 7, 2))
    first = {
        "vector": (int(rng.integers(3, 12)),),
        "matrix": (m, n + 1),
        "square": (m + 1, m + 1),
        "wide": (m, m + 1 + n % 3),
        "scalar": (),
    }.get(mistake.shape)
    if first is None:
        first = [(m + 2,), (m, n), (2, 3, n), (m + 1, m + 1)][rng.integers(4)]
    more = [[(n,), (m, n), ()], [(n + 2,)], [], []][rng.integers(4)]
    return [first, *more] if mistake.which == "first" or mistake.shape == "any" else [first]


def draw(mistake: Mistake, rng: Any, shapes: Any = None) -> Drawn:
    """Return a random cost of one to four arrays in which the mistake can be made."""
    shapes = shapes or _shapes(mistake, rng)
    dtype = np.float32 if rng.integers(3) == 0 and mistake.regime != "fine" else np.float64
    scale = 10.0 ** rng.uniform(-2, 2) if mistake.regime != "whole" else 20.0
    thetas, a, b, c = [], [], [], []
    for shape in shapes:
        theta = rng.standard_normal(shape)
        if mistake.regime == "positive":
            theta = np.abs(theta) + 0.1
        theta = np.asarray(theta, dtype)
        keep = rng.random(shape) < 0.5 if mistake.regime == "mask" else np.ones(shape)
        thetas.append(theta)
        a.append(scale * keep * rng.standard_normal(shape))
        b.append(rng.uniform(0.5, 2, shape))
        c.append(0.3 * keep * rng.standard_normal(shape))

    def cost(p: Any) -> Any:
        inner = sum((k * v).sum() for k, v in zip(c, p.values(), strict=True))
        waves = ((k * np.sin(w * v)).sum() for k, w, v in zip(a, b, p.values(), strict=True))
        return sum(waves) + scale * inner**2

    def gradient(p: Any) -> Any:
        p = {name: np.asarray(v, np.float64) for name, v in p.items()}
        inner = sum((k * v).sum() for k, v in zip(c, p.values(), strict=True))
        return {
            name: k * w * np.cos(w * v) + 2 * scale * inner * u
            for (name, v), k, w, u in zip(p.items(), a, b, c, strict=True)
        }

    return Drawn(cost, gradient, {f"p{i}": theta for i, theta in enumerate(thetas)})


def try_mistake(mistake: Mistake, seed: int) -> Outcome | None:
    """Make a mistake in a random gradient, and name it; None where it makes no difference."""
    rng = np.random.default_rng([seed, MISTAKES.index(mistake)])
    drawn = draw(mistake, rng)
    right = drawn.gradient(drawn.params)
    wrong = dict(right)
    try:
        for name in list(right)[: 1 if mistake.which == "first" else None]:
            theta = np.asarray(drawn.params[name], np.float64)
            with np.errstate(all="ignore"):
                claim = np.asarray(mistake.change(right[name], theta, rng), np.float64)
            # half of the gradients have the dtype of the parameters
            wrong[name] = claim.astype(drawn.params[name].dtype) if seed % 2 else claim
    except NotHere:
        return None
    report = check_gradient(drawn.cost, wrong, drawn.params, seed=seed)
    names = [found.name for found in report.diagnosis]
    if str(report.verdict) != "MISMATCH":
        return Outcome("missed", report)
    if not names:
        return Outcome("unnamed" if mistake.names else "right", report)
    texts = " ".join(found.text for found in report.diagnosis)
    planted = set(names) & set(mistake.names)
    return Outcome("right" if planted and mistake.text in texts else "false", report)


def try_two(seed: int) -> Outcome | None:
    """Make two mistakes, each in an array of its own; both have to be named, and no other."""
    rng = np.random.default_rng([seed, len(MISTAKES)])
    rows = [MISTAKES[i] for i in rng.choice(len(MISTAKES), 2, replace=False)]
    if rows[0].regime != rows[1].regime:
        return None
    drawn = draw(rows[0], rng, [_shapes(row, rng)[0] for row in rows])
    wrong = drawn.gradient(drawn.params)
    try:
        for (name, theta), row in zip(drawn.params.items(), rows, strict=True):
            with np.errstate(all="ignore"):
                claim = row.change(wrong[name], np.asarray(theta, np.float64), rng)
            wrong[name] = np.asarray(claim, np.float64)
    except NotHere:
        return None
    report = check_gradient(drawn.cost, wrong, drawn.params, seed=seed)
    names = {found.name for found in report.diagnosis}
    for name, row in zip(drawn.params, rows, strict=True):
        if report.arrays[name].verdict is not Verdict.MISMATCH:
            return Outcome("missed", report)
        if row.names and not names & set(row.names):
            return Outcome(
                "false" if names - set(rows[0].names + rows[1].names) else "unnamed", report
            )
    is_false = names - set(rows[0].names + rows[1].names)
    return Outcome("false" if is_false else "right", report)


# The mistakes. Each row of the first table has a name.


def _need(condition: Any) -> None:
    if not condition:
        raise NotHere


def _times(factor: float) -> Any:
    return lambda g, theta, rng: factor * g


def _some_rows(factor: float) -> Any:
    def change(g: Any, theta: Any, rng: Any) -> Any:
        _need(g.ndim and g.shape[0] > 2)
        rows = rng.choice(g.shape[0], max(1, g.shape[0] // 3), replace=False)
        g = g.copy()
        g[rows] *= factor
        return g

    return change


def _one(entries: Any) -> Any:
    def change(g: Any, theta: Any, rng: Any) -> Any:
        g = g.copy()
        index = tuple(int(rng.integers(n)) for n in g.shape)
        g[index] = entries(g[index], rng)
        return g

    return change


def _along(theta: Any, g: Any, axis: Any = None) -> Any:
    square = (theta * theta).sum(axis=axis, keepdims=True)
    return (theta * g).sum(axis=axis, keepdims=True) / square * theta


def _clipped(g: Any, theta: Any, rng: Any) -> Any:
    limit = float(np.quantile(np.abs(g), 0.5))
    return np.clip(g, -limit, limit)


def _rounded_as(dtype: Any) -> Any:
    return lambda g, theta, rng: g.astype(dtype).astype(float)


def _flipped(g: Any, theta: Any, rng: Any) -> Any:
    signs = rng.choice([-1, 1], g.shape)
    _need(1 < (signs < 0).sum() < g.size - 1)
    return signs * g


def _shuffled(g: Any, theta: Any, rng: Any) -> Any:
    order = rng.permutation(g.size)
    _need((order != np.arange(g.size)).sum() > 2)
    return g.reshape(-1)[order].reshape(g.shape)


def _row_noise(axis: int) -> Any:
    def change(g: Any, theta: Any, rng: Any) -> Any:
        g = np.moveaxis(g.copy(), axis, 0)
        g[rng.integers(g.shape[0])] += np.abs(g).max() * rng.uniform(0.5, 1, g.shape[1:])
        return np.moveaxis(g, 0, axis)

    return change


def _unmasked(g: Any, theta: Any, rng: Any) -> Any:
    _need(2 < (g == 0).sum() < g.size - 2)
    return np.where(g == 0, rng.standard_normal(g.shape), g)


def _masked(g: Any, theta: Any, rng: Any) -> Any:
    kept = rng.random(g.shape) < 0.5
    _need(1 < kept.sum() < g.size - 1)
    return np.where(kept, g, 0)


def _centred(g: Any, theta: Any, rng: Any) -> Any:
    return g - g.mean()


def _bias_spared(g: Any, theta: Any, rng: Any) -> Any:
    decay = 0.1 * np.ones(g.shape)
    decay[0] = 0
    _need(g.size > 3)
    return g + decay * np.abs(g).max() * theta


def _noise(size: float) -> Any:
    return lambda g, theta, rng: g * (1 + size * rng.standard_normal(g.shape))


ANY = (
    Mistake(("scale",), "2.000 ×", _times(2)),
    Mistake(("scale",), "a factor 2 missing", _times(0.5)),
    Mistake(("scale",), "a factor 3 too many", _times(3), which="first"),
    Mistake(("scale",), "a factor 7 missing", _times(1 / 7)),
    Mistake(("scale",), "a factor 50 too many", _times(50)),
    Mistake(("scale",), "a factor 100 missing", _times(0.01)),
    Mistake(("scale",), "1.3 ×", _times(1.3)),
    Mistake(("scale",), "0.730512 ×", _times(0.730512), "matrix"),
    Mistake(("scale",), "1.0000003 ×", _times(1.0000003), "matrix", regime="fine"),
    Mistake(("scale",), "the wrong sign, and a factor 2", _times(-2)),
    Mistake(("scale",), "180/π, degrees per radian, missing", _times(np.pi / 180)),
    Mistake(("scale",), "ln 10", _times(np.log(10))),
    Mistake(("sign",), "opposite sign", _times(-1)),
    Mistake(("sign",), "opposite sign", _times(-1), which="first"),
    Mistake(("signs", "sign"), "sign", lambda g, t, r: np.abs(g), "matrix"),
    Mistake(("signs",), "sign", _flipped, "matrix"),
    Mistake(("signs",), "right but for row", _some_rows(-1), "matrix"),
    Mistake(("scale",), "right but for row", _some_rows(3), "matrix"),
    Mistake(("zero",), "zero in every entry", _times(0)),
    Mistake(("zero",), "zero in every entry", _times(0), which="first"),
    Mistake(("constant",), "+ 1 in every entry", lambda g, t, r: g + 1, "vector"),
    Mistake(("constant",), "in every entry", lambda g, t, r: g + r.uniform(1, 9), "matrix"),
    Mistake(("penalty",), "+ 0.01 ×", lambda g, t, r: g + 0.01 * t, "matrix", regime="fine"),
    Mistake(("penalty",), "− 0.1 ×", lambda g, t, r: g - 0.1 * t, "vector", regime="fine"),
    Mistake(("penalty",), "×", lambda g, t, r: g + r.uniform(1, 9) * t, "matrix"),
    Mistake(("penalty",), "× the parameters", _bias_spared, "vector"),
    Mistake(
        ("penalty, absolute values",), "signs", lambda g, t, r: g + 0.5 * np.sign(t), "matrix",
        regime="fine",
    ),
    Mistake(("reciprocal",), "+ 1 ÷", lambda g, t, r: g + 1 / t, "vector", "each", "positive"),
    Mistake(("chain factor",), "by ln θ", lambda g, t, r: g * t, "vector", "each", "positive"),
    Mistake(("chain factor",), "by ln θ", lambda g, t, r: g * t, "matrix"),
    Mistake(("chain factor",), "log10", lambda g, t, r: g * t * np.log(10), "vector"),
    Mistake(("chain factor",), "exp θ", lambda g, t, r: g / np.exp(t), "vector"),
    Mistake(("chain factor",), "exp θ", lambda g, t, r: g * np.exp(t), "matrix"),
    Mistake(("chain factor",), "2 θ", lambda g, t, r: g / (2 * t), "vector"),
    Mistake(("chain factor",), "σ(θ)", lambda g, t, r: g * (2 + 2 * np.cosh(t)), "vector"),
    Mistake(("chain factor",), "tanh", lambda g, t, r: g * (1 - np.tanh(t) ** 2), "matrix"),
    Mistake(("sphere",), "sphere", lambda g, t, r: g - _along(t, g), "vector"),
    Mistake(("sphere",), "of each row", lambda g, t, r: g - _along(t, g, 1), "wide"),
    Mistake(("only along the parameters",), "only", lambda g, t, r: _along(t, g), "vector"),
    Mistake(("transpose",), "the transpose", lambda g, t, r: g.T, "square"),
    Mistake(("transpose",), "row by row", lambda g, t, r: g.T.reshape(g.shape), "wide"),
    Mistake(("column-major",), "column-major",
            lambda g, t, r: g.reshape(-1).reshape(g.shape, order="F"), "wide"),
    Mistake(("reversed",), "reverse order", lambda g, t, r: g[::-1], "vector"),
    Mistake(("permuted",), "shifted by 1", lambda g, t, r: np.roll(g, 1, 0), "vector"),
    Mistake(("permuted", "reversed"), "order", _shuffled, "vector"),
    Mistake(("triangle",), "lower triangle", lambda g, t, r: np.tril(g), "square"),
    Mistake(("triangle",), "upper triangle", lambda g, t, r: np.triu(g), "square"),
    Mistake(
        ("triangle",), "added in the lower", lambda g, t, r: np.tril(g) + np.tril(g.T, -1), "square"
    ),
    Mistake(
        ("symmetric",), "less its diagonal", lambda g, t, r: g + g.T - np.diag(np.diag(g)), "square"
    ),
    Mistake(("symmetric",), "(G + Gᵀ)/2", lambda g, t, r: (g + g.T) / 2, "square"),
    Mistake(("antisymmetric",), "(G − Gᵀ)/2", lambda g, t, r: (g - g.T) / 2, "square"),
    Mistake(
        ("diagonal",), "which is 0", lambda g, t, r: g - np.diag(np.diag(g)), "square"
    ),
    Mistake(("mask",), "a mask that is not applied", _unmasked, "matrix", regime="mask"),
    Mistake(("zeros", "one row", "one column"), "zero", _masked, "matrix"),
    Mistake(("axis",), "summed", lambda g, t, r: g.sum(0) + 0 * g, "matrix"),
    Mistake(("axis",), "averaged", lambda g, t, r: g.mean(1, keepdims=True) + 0 * g, "matrix"),
    Mistake(("one number",), "the sum", lambda g, t, r: np.full_like(g, g.sum()), "vector"),
    Mistake(("one number",), "the mean", lambda g, t, r: np.full_like(g, g.mean()), "matrix"),
    Mistake(("one number",), "in every entry", lambda g, t, r: np.full_like(g, 3.7), "matrix"),
    Mistake(("centred",), "less its mean", _centred, "vector"),
    Mistake(("centred",), "along axis 1", lambda g, t, r: g - g.mean(1, keepdims=True), "matrix"),
    Mistake(("running sum",), "running sum", lambda g, t, r: np.cumsum(g), "vector"),
    Mistake(("clipped",), "cut to ±", _clipped, "matrix"),
    # a factor of few digits explains as much
    Mistake(("clipped", "scale"), "a norm of 1", lambda g, t, r: g / np.linalg.norm(g), "matrix"),
    Mistake(("clipped", "zeros", "one row", "one column"), "",
            lambda g, t, r: np.maximum(g, 0), "matrix"),
    Mistake(("squared",), "squares", lambda g, t, r: g**2, "matrix"),
    Mistake(("ones",), "±1", lambda g, t, r: np.sign(g), "matrix"),
    Mistake(("dtype",), "rounded to float16", _rounded_as(np.float16), "matrix", regime="fine"),
    Mistake(("dtype",), "rounded to float32", _rounded_as(np.float32), "matrix", regime="fine"),
    Mistake(("dtype",), "truncated", lambda g, t, r: np.trunc(g), "matrix", regime="whole"),
    Mistake(("dtype",), "rounded to integers", lambda g, t, r: np.round(g), "matrix",
            regime="whole"),
    Mistake(("scale",), "1.3 ×", lambda g, t, r: (1.3 * g).astype(np.float16), "matrix",
            regime="fine"),
    Mistake(("row factors",), "weights of samples",
            lambda g, t, r: g * r.uniform(2, 9, (len(g), 1)), "square"),
    Mistake(("column factors",), "in each column",
            lambda g, t, r: g / r.uniform(2, 9, g.shape[1]), "square"),
    Mistake(("one entry",), "is right", _one(lambda v, r: v + r.standard_normal()), "matrix"),
    Mistake(("one entry",), "the opposite sign", _one(lambda v, r: -v), "vector"),
    Mistake(("one entry",), "0 where", _one(lambda v, r: 0), "matrix"),
    Mistake(("one row",), "row", _row_noise(0), "matrix"),
    Mistake(("one column",), "column", _row_noise(1), "matrix"),
    Mistake(("not finite",), "nan or infinite", _one(lambda v, r: np.nan), "matrix"),
    Mistake(("small",), "small", lambda g, t, r: g * (1 + 1e-5 * r.random(g.shape)), "matrix",
            regime="fine"),
)  # fmt: skip
# What looks like one of these, and has no name.
NEAR_MISSES = (
    Mistake((), "noise", lambda g, t, r: np.abs(g).max() * r.standard_normal(g.shape), "matrix"),
    Mistake((), "noise, vector", lambda g, t, r: r.standard_normal(g.shape), "vector"),
    Mistake((), "a factor per entry", lambda g, t, r: g * r.uniform(0.3, 3, g.shape), "matrix"),
    Mistake((), "a factor per row of one row and one column",
            lambda g, t, r: g * r.uniform(2, 9, g.shape), "square"),
    Mistake((), "a term per row", lambda g, t, r: g + np.abs(g).max() * r.random((len(g), 1)),
            "square"),
    Mistake((), "a factor per row, and noise",
            lambda g, t, r: r.uniform(2, 9, (len(g), 1)) * g * r.uniform(0.99, 1, g.shape),
            "square"),
    Mistake((), "2 ×, but for 10 %", lambda g, t, r: 2 * _noise(0.1)(g, t, r), "vector"),
    Mistake((), "2 × and a penalty", lambda g, t, r: 2 * g + 3 * np.abs(g).max() * t, "matrix"),
    Mistake((), "cubed", lambda g, t, r: g**3 / np.abs(g).max() ** 2, "vector"),
    Mistake((), "λ θ³", lambda g, t, r: g + np.abs(g).max() * t**3, "matrix"),
    Mistake((), "a term per entry", lambda g, t, r: g + np.abs(g).max() * r.random(g.shape),
            "vector"),
    Mistake((), "× |θ|", lambda g, t, r: g * np.abs(t) ** 1.5, "vector", "each", "positive"),
    Mistake((), "exp θ/2", lambda g, t, r: g * np.exp(t / 2), "matrix"),
    Mistake((), "0.9 of one, 0.1 of its transpose", lambda g, t, r: 0.9 * g + 0.1 * g.T, "square"),
    Mistake((), "half of what is along θ", lambda g, t, r: g - _along(t, g) / 3 - 0.1 * g * t,
            "vector"),
    Mistake((), "an order and a factor per entry",
            lambda g, t, r: g[::-1] * r.uniform(2, 3, g.shape), "vector"),
    Mistake((), "a scalar", lambda g, t, r: g * r.uniform(1.1, 9, g.shape), "scalar"),
)  # fmt: skip
MISTAKES = (*ANY, *NEAR_MISSES)


def main() -> None:
    """Print the counts of every row, and those of all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("draws", type=int, nargs="?", default=20)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--row", default="", help="only rows with this text, with the reports")
    args = parser.parse_args()
    total: Counter[str] = Counter()
    for mistake in MISTAKES:
        if args.row not in str(mistake):
            continue
        counts: Counter[str] = Counter()
        for seed in range(args.first, args.first + args.draws):
            outcome = try_mistake(mistake, seed)
            if outcome is None:
                continue
            counts[outcome.kind] += 1
            if outcome.kind == "false" or (args.row and outcome.kind != "right"):
                print(f"{outcome.kind}, seed {seed}: {mistake}", *outcome.report.diagnosis,
                      sep="\n    ")  # fmt: skip
                if args.row:
                    print(outcome.report)
        total += counts
        if counts.total() != counts["right"]:
            print(f"{mistake}: {dict(counts)}")
    print(f"{len(MISTAKES)} rows: {dict(total)}")
    if not args.row:
        two: Counter[str] = Counter()
        for seed in range(args.first, args.first + 10 * args.draws):
            outcome = try_two(seed)
            if outcome:
                two[outcome.kind] += 1
                if outcome.kind in ("false", "unnamed"):
                    print(f"two mistakes, {outcome.kind}, seed {seed}:", *outcome.report.diagnosis,
                          sep="\n    ")  # fmt: skip
        print(f"two arrays, each with a mistake of its own: {dict(two)}")


if __name__ == "__main__":
    main()
