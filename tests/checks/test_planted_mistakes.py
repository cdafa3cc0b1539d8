"""Wrong backpropagations, each a small change of a textbook's: the checker is to catch them all."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

from checks import Verdict, check_gradient
from checks.strategies import layer_sizes, problems

METHODS = ("auto", "central")


def sigma(z):
    return 1 / (1 + np.exp(-z))


def cost(params, x, y):
    a = x
    for w, b in zip(*params, strict=True):
        a = sigma(a @ w.T + b)
    return np.mean((a - y) ** 2)


class Textbook:
    """The right gradient of `cost`, in steps that a mistake can replace.

    Lists count layers from 0, the input: w[l] leads from a[l] to a[l + 1], z[l] belongs to a[l].
    """

    def gradient(self, params, x, y):
        self.w, self.a, self.z = params[0], [x], [x]
        for w, b in zip(*params, strict=True):
            self.z.append(self.a[-1] @ w.T + b)
            self.a.append(sigma(self.z[-1]))
        top = len(self.w)
        delta = self.output_error(self.a[top], y) * self.output_slope(top)
        dw, db = [], []
        for l in range(top - 1, -1, -1):  # noqa: E741
            dw.insert(0, self.into_weights(delta, l))
            db.insert(0, self.into_biases(delta))
            if l > 0:
                delta = self.back(delta, l) * self.hidden_slope(l)
        return self.finish(dw, db)

    def output_error(self, a, y):
        return 2 * (a - y) / a.size  # 1/B and 1/n_L

    def slope(self, l):  # noqa: E741
        return sigma(self.z[l]) * sigma(-self.z[l])  # a(1 − a) loses digits as a → 1

    def output_slope(self, l):  # noqa: E741
        return self.slope(l)

    def hidden_slope(self, l):  # noqa: E741
        return self.slope(l)

    def back(self, delta, l):  # noqa: E741
        return delta @ self.w[l]

    def into_weights(self, delta, l):  # noqa: E741
        return delta.T @ self.a[l]

    def into_biases(self, delta):
        return delta.sum(axis=0)

    def finish(self, dw, db):
        return dw, db

    def changes_nothing(self, problem):
        """Whether the mistake is none on this network."""
        return False


def one_layer(problem):
    return len(problem.weights) == 1


def one_sample(problem):
    return len(problem.x) == 1


class TwoForgotten(Textbook):
    def output_error(self, a, y):
        return (a - y) / a.size  # wrong on purpose


class NotAveragedOverTheBatch(Textbook):
    def output_error(self, a, y):
        return 2 * (a - y) / a.shape[1]  # wrong on purpose

    def changes_nothing(self, problem):
        return one_sample(problem)


class NotAveragedOverTheOutputs(Textbook):
    def output_error(self, a, y):
        return 2 * (a - y) / a.shape[0]  # wrong on purpose

    def changes_nothing(self, problem):
        return problem.sizes[-1] == 1


class Sign(Textbook):
    def output_error(self, a, y):
        return 2 * (y - a) / a.size  # wrong on purpose


class SlopeAtTheActivation(Textbook):
    def slope(self, l):  # noqa: E741
        return sigma(self.a[l]) * sigma(-self.a[l])  # wrong on purpose


class OutputSlopeOmitted(Textbook):
    def output_slope(self, l):  # noqa: E741
        return 1  # wrong on purpose


class HiddenSlopeOmitted(Textbook):
    def hidden_slope(self, l):  # noqa: E741
        return 1  # wrong on purpose

    def changes_nothing(self, problem):
        return one_layer(problem)


class WeightsTransposedWhereSquare(Textbook):
    def back(self, delta, l):  # noqa: E741
        w = self.w[l]
        return delta @ (w.T if w.shape[0] == w.shape[1] else w)  # wrong on purpose

    def changes_nothing(self, problem):
        return not any(m == n > 1 for m, n in pairwise(problem.sizes[1:]))


class WeightsOfTheLayerBelow(Textbook):
    def back(self, delta, l):  # noqa: E741
        same = self.w[l].shape == self.w[l - 1].shape
        return delta @ self.w[l - 1 if same else l]  # wrong on purpose

    def changes_nothing(self, problem):
        shapes = [w.shape for w in problem.weights]
        return not any(below == above for below, above in pairwise(shapes))


class UpstreamDropped(Textbook):
    def back(self, delta, l):  # noqa: E741
        return np.ones((len(delta), self.w[l].shape[1])) / delta.size  # wrong on purpose

    def changes_nothing(self, problem):
        return one_layer(problem)


class WeightsAlreadyUpdated(Textbook):
    def back(self, delta, l):  # noqa: E741
        return delta @ (self.w[l] - 0.01 * self.into_weights(delta, l))  # wrong on purpose

    def changes_nothing(self, problem):
        return one_layer(problem)


class BiasesAveraged(Textbook):
    def into_biases(self, delta):
        return delta.mean(axis=0)  # wrong on purpose

    def changes_nothing(self, problem):
        return one_sample(problem)


class BiasesOfTheLastSample(Textbook):
    def into_biases(self, delta):
        return delta[-1]  # wrong on purpose

    def changes_nothing(self, problem):
        return one_sample(problem)


class BiasesForgotten(Textbook):
    def into_biases(self, delta):
        return 0 * delta[0]  # wrong on purpose


class WeightsOfTheLastSample(Textbook):
    def into_weights(self, delta, l):  # noqa: E741
        return np.outer(delta[-1], self.a[l][-1])  # wrong on purpose

    def changes_nothing(self, problem):
        return one_sample(problem)


class ActivationOfTheLayerAbove(Textbook):
    def into_weights(self, delta, l):  # noqa: E741
        same = self.a[l].shape == self.a[l + 1].shape
        return delta.T @ self.a[l + 1 if same else l]  # wrong on purpose

    def changes_nothing(self, problem):
        return not any(m == n for m, n in pairwise(problem.sizes))


class WeightedInputForActivation(Textbook):
    def into_weights(self, delta, l):  # noqa: E741
        return delta.T @ self.z[l]  # wrong on purpose

    def changes_nothing(self, problem):
        return one_layer(problem)


class OuterProductTransposed(Textbook):
    def into_weights(self, delta, l):  # noqa: E741
        dw = delta.T @ self.a[l]
        return dw.T if dw.shape[0] == dw.shape[1] else dw  # wrong on purpose

    def changes_nothing(self, problem):
        return not any(m == n > 1 for m, n in pairwise(problem.sizes))


class WeightDecayInTheGradientOnly(Textbook):
    def finish(self, dw, db):
        return [g + 1e-4 * w for g, w in zip(dw, self.w, strict=True)], db  # wrong on purpose


class FirstLayerZero(Textbook):
    def finish(self, dw, db):
        return [0 * dw[0], *dw[1:]], [0 * db[0], *db[1:]]  # wrong on purpose


class OneEntryOffByAMillionth(Textbook):
    def finish(self, dw, db):
        dw[-1][-1, 0] += 1e-6 * np.abs(dw[-1]).max()  # wrong on purpose
        return dw, db


class OneEntryZero(Textbook):
    def finish(self, dw, db):
        db[0][-1] = 0  # wrong on purpose
        return dw, db


MISTAKES = Textbook.__subclasses__()

# Half of the networks have one width throughout: there most mistakes in shapes can happen at all.
# Not the tiny ones, which are drawn in short numbers of up to 5 and mostly saturated.
NETWORKS = problems(
    layer_sizes(max_layers=3, max_width=5) | st.integers(2, 4).map(lambda n: (n,) * 4),
    max_samples=4,
    regime="ordinary",
).filter(lambda problem: problem.seed is not None)


def check(model, problem, **options):
    params = (problem.weights, problem.biases)
    return check_gradient(
        lambda params: cost(params, problem.x, problem.y),
        lambda params: model.gradient(params, problem.x, problem.y),
        params,
        **options,
    )


def is_visible(report, right):
    """Whether an entry is off by more than the report says it would have seen."""
    truth = dict(zip(report.arrays, (*right[0], *right[1]), strict=True))
    return any(
        np.abs(array.claimed - truth[path]).max() > array.detectable(report.rtol) * array.largest
        for path, array in report.arrays.items()
    )


def test_there_are_enough_mistakes():
    assert len(MISTAKES) == 22


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=30)
@given(problem=NETWORKS)
def test_the_right_gradient_is_never_accused(method, problem):
    assert check(Textbook(), problem, method=method).verdict is not Verdict.MISMATCH


@pytest.mark.parametrize(
    ("mistake", "method"),
    [pytest.param(m, METHODS[i % 2], id=m.__name__) for i, m in enumerate(MISTAKES)],
)
def test_caught_on_every_network_on_which_it_is_a_mistake(mistake, method):
    count = Counter()

    @settings(max_examples=4)
    @given(problem=NETWORKS)
    def caught(problem):
        model = mistake()
        report = check(model, problem, method=method)
        note(str(report))
        right = Textbook().gradient((problem.weights, problem.biases), problem.x, problem.y)
        if model.changes_nothing(problem):
            count["harmless"] += 1
            assert report.verdict is not Verdict.MISMATCH
        elif is_visible(report, right):
            count["caught"] += 1
            assert report.verdict is Verdict.MISMATCH
        else:
            count["too small to see"] += 1

    caught()
    assert count["caught"] >= 1
    assert count["too small to see"] <= 2
