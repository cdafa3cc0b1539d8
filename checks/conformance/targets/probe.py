"""The probe: small calls of a target that show which networks it takes, and in which form."""

import traceback
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np

from checks.conformance.targets.problems import labelled
from checks.conformance.targets.takes import LABELS, MANY, MOST_LAYERS, Form, Takes
from checks.conformance.targets.target import Target
from checks.evaluation.cost_value import as_number
from checks.strategies import Problem

__all__ = ["described", "probed"]

# Most networks have two layers. All widths of a probe differ from each other and from the number of
# samples, so that arrays of a wrong form do not fit by chance; x has more entries than there are
# samples, so that x[j] for the entry j raises where x holds rows.
DEPTHS = (2, 1, *range(3, MOST_LAYERS + 1))
INPUTS, OUTPUTS, SAMPLES = 5, 3, 2
HIDDEN = (4, 6, 7, 8, 9, 10)
SEEDS = 3  # a network of relus may have a node that is dead in one draw
DEEP_SEEDS = 20  # deep ones have more
SAME = 1e-9  # two costs are equal if they differ by less, relative to the larger
RIGHT = 1e-4  # a slope is right if it differs from a central difference by less, relatively


@lru_cache(maxsize=64)
def probed(target: Target) -> Target:
    """Return a target whose `takes` says what it takes.

    Its functions take the arrays of the suite, and hand them to the target in the target's own
    form. A target that takes nothing is returned with ``takes.known`` false.
    """
    if target.own is not None:
        return target
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        takes = _Probe(target).takes()
    form = takes.form
    if form == Form() and takes.biases:
        return replace(target, takes=takes, own=target)

    def cost(weights: Any, biases: Any, x: Any, y: Any) -> Any:
        return target.cost(*form.given(weights, biases, x, y))

    def gradient(weights: Any, biases: Any, x: Any, y: Any) -> Any:
        assert target.gradient is not None
        result = target.gradient(*form.given(weights, biases, x, y))
        return _brought_back(takes, result, biases)

    def step(weights: Any, biases: Any, x: Any, y: Any, learning_rate: float) -> Any:
        assert target.step is not None
        own = form.given(weights, biases, x, y)
        result = target.step(*own, learning_rate)
        # `own` holds views, so a step in place has moved the caller's arrays
        return None if result is None else _brought_back(takes, result, biases)

    return replace(
        target,
        cost=cost,
        gradient=gradient if target.gradient else None,
        step=step if target.step else None,
        takes=takes,
        own=target,
    )


def _brought_back(takes: Takes, result: Any, biases: Any) -> tuple[Any, Any]:
    """Return a gradient, or updated parameters, in the shapes of the suite where the shapes fit."""
    dw, db = result
    dw = takes.form.weights([np.asarray(g) for g in dw])
    if not takes.biases and _is_missing(db):
        return dw, [np.zeros_like(b) for b in biases]
    if takes.form.bias != "(n,)":
        shapes = [b.shape for b in takes.form.biases(biases)]
        db = [
            g.reshape(-1) if g.shape == shape else g
            for g, shape in zip(map(np.asarray, db), shapes, strict=True)
        ]
    return dw, db


def _is_missing(biases: Any) -> bool:
    """Whether a target returned no gradient of its biases."""
    return biases is None or len(biases) == 0 or all(b is None for b in biases)


@dataclass(frozen=True)
class _Candidate:
    """One way to call a target: how deep, how many outputs and samples, which form and labels."""

    layers: int
    outputs: int
    samples: int
    form: Form
    labels: str

    def is_like(self, of_rows: "_Candidate") -> bool:
        """Whether a cost that takes rows may be meant for this, too.

        With one sample, arrays of another form may fit by chance, so the form has to be the same;
        with several samples, biases may be (1, n).
        """
        form = of_rows.form if self.samples == 1 else replace(of_rows.form, bias=self.form.bias)
        return (self.form, self.labels) == (form, of_rows.labels)

    def sizes(self) -> tuple[int, ...]:
        return (INPUTS, *HIDDEN[: self.layers - 1], self.outputs)


class _Probe:
    """The calls of one target, and what they show."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.declared = dict(target.declared_takes)
        self.sizes = self.declared.get("sizes")

    def takes(self) -> Takes:
        """Return what the target takes."""
        best = self._first_accepted()
        if best is None:
            return replace(self._declared_only(), known=False)
        reasons: dict[str, str] = {}
        best = replace(best, labels=self._narrowed(best))
        layers = self._range("layers", best, DEPTHS, reasons)
        outputs = self._range("outputs", best, (1, OUTPUTS), reasons)
        samples = self._range("samples", best, (1, SAMPLES), reasons)
        return replace(
            self._declared_only(),
            layers=layers,
            outputs=(outputs[0] if outputs[0] == 1 else 2, 1 if outputs[1] == 1 else MANY),
            samples=(samples[0], 1 if samples[1] == 1 else MANY),
            labels=best.labels,
            form=best.form,
            biases=self.declared.get("biases", self._reads_biases(best)),
            reasons=reasons,
        ).with_declared(self.declared)

    def _declared_only(self) -> Takes:
        return Takes().with_declared(self.declared)

    # The search for one network that the target takes.

    def _first_accepted(self) -> _Candidate | None:
        """Return the first candidate whose cost and gradient fit, or else whose cost does."""
        cost_alone = of_rows = None
        for candidate in self._candidates():
            if of_rows and not candidate.is_like(of_rows):
                continue
            if self._refusal(candidate):
                continue
            if candidate.samples > 1 and candidate.form.samples == "rows":
                of_rows = of_rows or candidate
            several = replace(candidate, samples=SAMPLES)
            if self._gradient_fits(candidate) and (
                candidate.samples > 1
                or candidate.form.samples == "vector"
                or self._refusal(several)
                or self._gradient_refusal("samples", several, candidate)
            ):
                return candidate
            cost_alone = cost_alone or candidate
        return cost_alone

    def _candidates(self) -> Iterator[_Candidate]:
        """Yield candidates, the most usual and the most general first."""
        depths = _wanted(self.declared.get("layers"), DEPTHS)
        outputs = _wanted(self.declared.get("outputs"), (OUTPUTS, 1))
        samples = _wanted(self.declared.get("samples"), (SAMPLES, 1))
        if self.sizes:
            depths, outputs = [len(self.sizes) - 1], [self.sizes[-1]]
        kinds = [self.declared["labels"]] if "labels" in self.declared else list(LABELS)
        if self.target.cost_name == "softmax_cross_entropy" and "labels" not in self.declared:
            kinds = ["shares", "one-hot", "integers"]
        for depth, n_L in product(depths, outputs):  # noqa: N806
            for count, form in product(samples, self._forms()):
                if count > 1 and form.samples == "vector":
                    continue
                for labels in kinds:
                    for flat in (False, True) if n_L == 1 else (False,):
                        integers = labels == "integers"
                        if not (flat and integers):
                            own = replace(form, flat=flat, integers=integers)
                            yield _Candidate(depth, n_L, count, own, labels)

    def _forms(self) -> list[Form]:
        """Return forms, the most usual first."""
        transposed = {"(out, in)": (False,), "(in, out)": (True,)}.get(
            self.declared.get("weights", ""), (False, True)
        )
        # in columns, a bias of (n,) would be added along the wrong axis without an error
        shapes = {"rows": ("(n,)", "(1, n)"), "columns": ("(n, 1)",), "vector": ("(n,)",)}
        return [
            Form(transpose, kind, bias)
            for kind, transpose in product(shapes, transposed)
            if kind == self.declared.get("x", kind)
            for bias in shapes[kind]
        ]

    def _problem(self, candidate: _Candidate, seed: int) -> Problem:
        """Return a network for a candidate, with y that differ from sample to sample."""
        sizes = self.sizes or candidate.sizes()
        problem = Problem.generate(sizes, candidate.samples, seed=seed)
        # positive biases, so that few nodes of a relu are dead
        problem = replace(problem, biases=[0.5 + np.abs(b) for b in problem.biases])
        if candidate.labels == "numbers":  # from −1 to 2, so that some lie outside of [0, 1]
            problem = replace(problem, y=3 * problem.y - 1)
        if candidate.labels not in ("numbers", "from 0 to 1", "shares"):
            classes = np.arange(seed, seed + candidate.samples)
            n_L = sizes[-1]  # noqa: N806
            y = np.eye(n_L)[classes % n_L] if n_L > 1 else 1.0 * (classes % 2)[:, None]
            problem = replace(problem, y=y)
        return labelled(problem, candidate.labels)

    def _cost(self, form: Form, problem: Problem, **changes: Any) -> float:
        p = replace(problem, **changes)
        return float(as_number(self.target.cost(*_copies(form, p))).real)

    def _refusal(self, candidate: _Candidate, seeds: int = SEEDS) -> str:
        """Return why the cost takes a candidate on none of a few networks; empty if it does."""
        reason = ""
        if candidate.labels == "integers":
            form = replace(candidate.form, integers=False)
            if not self._refusal(replace(candidate, form=form, labels="one-hot")):
                return "the cost takes y one-hot, too"
        for seed in range(seeds):
            try:
                reason = self._unread(candidate, self._problem(candidate, seed))
            except Exception as error:  # a target may raise anything
                return described(error)
            if not reason:
                break
        return reason

    def _unread(self, candidate: _Candidate, problem: Problem) -> str:
        """Return which part of a network the cost does not read; empty if it reads all."""
        form, labels = candidate.form, candidate.labels
        cost = self._cost(form, problem)
        if not np.isfinite(cost):
            return f"the cost is {cost}"
        again = self._cost(form, problem)
        margin = SAME * abs(cost) + 10 * abs(cost - again)

        def changed(**changes: Any) -> bool:
            return abs(self._cost(form, problem, **changes) - cost) > margin

        # a penalty changes with the weights by the same, whatever x is
        other = replace(problem, x=-0.75 * problem.x)
        cost_of_other = self._cost(form, other)

        def read(weights: Any) -> bool:
            effect = self._cost(form, problem, weights=weights) - cost
            effect_on_other = self._cost(form, other, weights=weights) - cost_of_other
            return abs(effect - effect_on_other) > margin

        for l, w in enumerate(problem.weights[:-1]):  # noqa: E741
            moved_weights = [*problem.weights[:l], 1.25 * w, *problem.weights[l + 1 :]]
            if not read(moved_weights):
                return f"the cost does not read weights[{l}]"
        for k in range(len(problem.weights[-1])):
            last = problem.weights[-1].copy()
            last[k] *= 1.25
            if not read([*problem.weights[:-1], last]):
                return f"the cost does not read output {k}"
        for i, (x, y) in enumerate(zip(problem.x, problem.y, strict=True)):
            for name, rows, row in (
                ("x", problem.x, 1.25 * x),
                ("y", problem.y, _other(y, labels)),
            ):
                moved = rows.copy()
                moved[i] = row
                if not changed(**{name: moved}):
                    return f"the cost does not read {name} of sample {i}"
        if len(problem.x) > 1:
            if changed(x=problem.x[::-1], y=problem.y[::-1]):
                return "the cost depends on the order of the samples"
            if not changed(y=problem.y[::-1]):
                return "the cost does not compare each output with its own y"
        return ""

    def _reads_biases(self, candidate: _Candidate) -> bool:
        for seed in range(SEEDS):
            problem = self._problem(candidate, seed)
            cost = self._cost(candidate.form, problem)
            moved = self._cost(candidate.form, problem, biases=[1.25 * b for b in problem.biases])
            if abs(moved - cost) > SAME * abs(cost):
                return True
        return False

    # What the gradient says of the form.

    def _gradient(self, form: Form, problem: Problem) -> Any:
        """Return the gradient, or without one the parameters after a step."""
        given = _copies(form, problem)
        if self.target.gradient:
            return self.target.gradient(*given), given
        assert self.target.step is not None
        result = self.target.step(*given, 1.0)
        return (given[:2] if result is None else result), given

    def _gradient_fits(self, candidate: _Candidate) -> bool:
        """Whether the arrays of the gradient have the shapes of the parameters."""
        if self.target.gradient is None and self.target.step is None:
            return True
        try:
            (dw, db), given = self._gradient(candidate.form, self._problem(candidate, 0))
            fits = [np.shape(g) for g in dw] == [w.shape for w in given[0]]
            return fits and (
                (_is_missing(db) and not self._reads_biases(candidate))
                or [np.shape(g) for g in db] == [b.shape for b in given[1]]
            )
        except Exception:  # the suite reports the error
            return False

    def _weights_fit(self, candidate: _Candidate) -> bool:
        """Whether the gradient of the weights has their shapes; true also if it raises."""
        try:
            (dw, _), given = self._gradient(candidate.form, self._problem(candidate, 0))
            return [np.shape(g) for g in dw] == [w.shape for w in given[0]]
        except Exception:  # the suite reports the error
            return True

    def _weights_are_right(self, candidate: _Candidate, last_only: bool = False) -> bool:
        """Whether the gradient of the weights, or of the last weights, is right along a line."""
        if self.target.gradient is None:
            return True
        try:
            for seed in range(SEEDS):
                problem = self._problem(candidate, seed)
                (dw, _), _ = self._gradient(candidate.form, problem)
                rng, h = np.random.default_rng(seed), 1e-5
                v = [rng.standard_normal(w.shape) for w in problem.weights]
                if last_only:
                    v[:-1] = [np.zeros_like(w) for w in v[:-1]]
                up, down = (
                    self._cost(
                        candidate.form,
                        problem,
                        weights=[w + t * d for w, d in zip(problem.weights, v, strict=True)],
                    )
                    for t in (h, -h)
                )
                numeric = (up - down) / (2 * h)
                own = candidate.form.weights(v)
                terms = [np.asarray(g) * d for g, d in zip(dw, own, strict=True)]
                claimed = float(sum(term.sum() for term in terms))
                size = float(np.sqrt(sum(np.square(term).sum() for term in terms)))
                if not abs(claimed - numeric) <= RIGHT * (size + abs(numeric)):
                    return False
        except Exception:  # the suite reports the error
            return False
        return True

    # What else it takes.

    def _narrowed(self, candidate: _Candidate) -> str:
        """Return the most general kind of y that the cost is meant for.

        A cost may take other y than it is meant for: a softmax without rows that sum to 1, a
        margin without ±1. It is told by what the cost does not change by.
        """
        labels, form = candidate.labels, candidate.form
        if "labels" in self.declared:
            return labels
        if labels in ("numbers", "from 0 to 1"):
            problem = self._problem(candidate, 0)
            for hard in ("one-hot", "±1"):
                alike = [problem, labelled(problem, hard)]
                one, other = (self._cost(form, p) for p in alike)
                if one == other:
                    return hard
        softmax = labels in ("numbers", "from 0 to 1", "shares") and self._is_softmax(candidate)
        if softmax:
            labels = "shares"
        narrower = [
            *(["one-hot"] * (softmax and self._gradient_reads_classes(candidate))),
            *(["±1"] * self._is_a_margin(candidate)),
        ]
        if narrower and not self._weights_are_right(replace(candidate, labels=labels), True):
            for kind in narrower:
                if self._weights_are_right(replace(candidate, labels=kind), True):
                    return kind
        return labels

    def _gradient_reads_classes(self, candidate: _Candidate) -> bool:
        """Whether the gradient reads of each row of y only where its largest entry stands."""
        if self.target.gradient is None:
            return False
        problem = self._problem(replace(candidate, labels="shares"), 0)
        try:
            one, other = (
                np.concatenate([np.ravel(g) for g in self._gradient(candidate.form, p)[0][0]])
                for p in (problem, labelled(problem, "one-hot"))
            )
        except Exception:  # the suite reports the error
            return False
        return bool((one == other).all())

    def _is_softmax(self, candidate: _Candidate) -> bool:
        """Whether the same number added to all outputs changes the cost by nothing of x or y.

        A penalty may change by it.
        """
        if candidate.outputs == 1:
            return False
        effects, sizes = [], []
        shares = replace(candidate, labels="shares")
        first, second = (self._problem(shares, seed) for seed in (0, 1))
        moved_w, moved_b = [*first.weights], [*first.biases]
        if self._reads_biases(candidate):
            moved_b[-1] = moved_b[-1] + 0.5
        else:
            moved_w[-1] = moved_w[-1] + 0.5
        try:
            for p in (first, second):
                before = self._cost(candidate.form, first, x=p.x, y=p.y)
                after = self._cost(
                    candidate.form, first, weights=moved_w, biases=moved_b, x=p.x, y=p.y
                )
                effects.append(after - before)
                sizes.append(abs(before))
        except Exception:  # it does not take these y
            return False
        return abs(effects[0] - effects[1]) <= SAME * max(sizes)

    def _is_a_margin(self, candidate: _Candidate) -> bool:
        """Whether the cost depends on the product of y and the output: both signs may change."""
        p = self._problem(replace(candidate, labels="±1"), 0)
        try:
            one = self._cost(candidate.form, p)
            other = self._cost(
                candidate.form,
                p,
                weights=[*p.weights[:-1], -p.weights[-1]],
                biases=[*p.biases[:-1], -p.biases[-1]],
                y=-p.y,
            )
        except Exception:  # it does not take these y
            return False
        return abs(one - other) <= SAME * abs(one)

    def _range(
        self, what: str, best: _Candidate, values: Sequence[int], reasons: dict[str, str]
    ) -> tuple[int, int]:
        """Return the least and the most of the values that are taken, and note why others are not.

        Values are taken from that of the best candidate on, without a gap.
        """
        start = getattr(best, what)
        if (self.sizes and what != "samples") or (
            (what == "samples" and best.form.samples == "vector")
            or (what == "outputs" and best.form.flat)
        ):
            return start, start
        accepted = {start}
        for value in sorted(values, key=lambda v: abs(v - start)):
            changes: Any = {what: value}
            candidate = replace(best, **changes)
            if value == start:
                continue
            reason = self._refusal(candidate, DEEP_SEEDS) or self._gradient_refusal(
                what, candidate, best
            )
            if reason:
                noun = {"layers": "layer", "outputs": "output", "samples": "sample"}[what]
                text = f"{value} layers" if value > 1 else "1 layer"
                if what != "layers":
                    text = f"one {noun}" if value == 1 else f"several {noun}s"
                reasons[text] = reason
            else:
                accepted.add(value)
        least = most = start
        ordered = sorted({*values, start})
        for value in ordered[ordered.index(start) :]:
            if value not in accepted:
                break
            most = value
        for value in ordered[ordered.index(start) :: -1]:
            if value not in accepted:
                break
            least = value
        return least, most

    def _gradient_refusal(self, what: str, candidate: _Candidate, best: _Candidate) -> str:
        """Return why a gradient does not take what the cost takes; empty if it should.

        Only two things are no mistakes: a gradient of a fixed number of layers, and a gradient of
        one sample beside a cost that takes several.
        """
        if what == "outputs" or self.target.gradient is None or not self._gradient_fits(best):
            return ""
        if what == "layers":
            return self._fixed_layers(candidate)
        if self._gradient_fits(candidate):
            return ""
        # given rows, a gradient of one sample has weights of wrong shapes: else it is a mistake
        is_of_rows = candidate.form.samples == "rows"
        if self._weights_fit(candidate) if is_of_rows else self._is_mean(candidate):
            return ""
        return "the gradient has other shapes than the parameters there"

    def _fixed_layers(self, candidate: _Candidate) -> str:
        """Return how the gradient shows that it has another number of layers."""
        try:
            (dw, _), _ = self._gradient(candidate.form, self._problem(candidate, 0))
        except ValueError as error:
            return described(error) if "to unpack" in str(error) else ""
        except Exception:  # the suite reports the error
            return ""
        count = len(dw)
        return f"the gradient has {count} weights there" if count != candidate.layers else ""

    def _is_mean(self, candidate: _Candidate) -> bool:
        """Whether the weights' gradient is right for several samples whose cost is a mean.

        Then only the biases do not fit, which is a mistake: they are not summed over the samples.
        """
        problem = self._problem(candidate, 0)
        twice = {
            name: np.concatenate([rows, rows])
            for name, rows in (("x", problem.x), ("y", problem.y))
        }
        cost = self._cost(candidate.form, problem)
        is_mean = abs(self._cost(candidate.form, problem, **twice) - cost) <= SAME * abs(cost)
        return is_mean and self._weights_are_right(candidate)


def _copies(form: Form, problem: Problem) -> tuple[Any, Any, Any, Any]:
    """Return copies of weights, biases, x and y in a form."""
    p = problem
    weights, biases = ([array.copy() for array in part] for part in (p.weights, p.biases))
    return form.given(weights, biases, p.x.copy(), p.y.copy())


def _wanted(declared: tuple[int, int] | None, values: Sequence[int]) -> list[int]:
    """Return the values that are declared, or the declared bounds if none of the values is."""
    if declared is None:
        return list(values)
    least, most = declared
    return [v for v in values if least <= v <= most] or [least]


def _other(y: Any, labels: str) -> Any:
    """Return another y of the same kind: the outputs in turn, or of one output its opposite."""
    if len(y) > 1:
        return np.roll(y, 1)
    return -y if labels in ("numbers", "±1") else 1 - y


def described(error: Exception | None) -> str:
    """Return an error with the line that raised it."""
    frames = traceback.extract_tb(error.__traceback__) if error else []
    where = f" (line {frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{where}"
