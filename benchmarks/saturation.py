"""Naive textbook gradients of random networks, from unsaturated to hopelessly saturated ones.

σ' is written as a (1 − a) or 1 − a², as everyone writes it, and loses all digits where a rounds to
1. The formulas are right, so a check that calls such a gradient wrong is wrong itself.

``python -m benchmarks.saturation [COUNT] [--dtype float32]`` counts verdicts, and prints the
networks that were accused.
"""

import argparse
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from checks import Verdict, check_gradient

__all__ = ["NaiveNetwork", "accused"]

STREAM = 7  # seeds the generator, together with the seed of a network
ACTIVATIONS = {
    "logistic": (lambda z: 1 / (1 + np.exp(-z)), lambda a: a * (1 - a)),
    "tanh": (np.tanh, lambda a: 1 - a**2),
}


@dataclass(frozen=True, eq=False)
class NaiveNetwork:
    """A network with the mean squared error, and its gradient as a textbook has it.

    Attributes
    ----------
    layers : list of str
        The activation of each.
    params : dict of str to list of ndarray
        The weights (n_l, n_{l-1}) and the biases (n_l,).
    x, y
        The batch.
    """

    layers: list
    params: dict
    x: np.ndarray
    y: np.ndarray

    @classmethod
    def draw(cls, seed, dtype="float64"):
        """Draw one to three layers of one to six nodes; |z| is from 0.1 to a hundred."""
        rng = np.random.default_rng([STREAM, seed])
        sizes = rng.integers(1, 7, rng.integers(2, 5))
        scale = 10 ** rng.uniform(-1, 1.6)
        samples = rng.integers(1, 6)

        def normal(*shape):
            return rng.standard_normal(shape).astype(dtype)

        weights = [normal(m, n) * dtype_of(dtype, scale / np.sqrt(n)) for n, m in pairwise(sizes)]
        biases = [normal(m) * dtype_of(dtype, scale) for m in sizes[1:]]
        layers = [str(rng.choice(list(ACTIVATIONS))) for _ in biases]
        y = rng.uniform(0, 1, (samples, sizes[-1])).astype(dtype)
        return cls(layers, {"weights": weights, "biases": biases}, normal(samples, sizes[0]), y)

    def forward(self, params):
        """Return a^0 … a^L."""
        a = [self.x]
        for name, w, b in zip(self.layers, params["weights"], params["biases"], strict=True):
            a.append(ACTIVATIONS[name][0](a[-1] @ w.T + b))
        return a

    def cost(self, params):
        """Return C."""
        return np.mean((self.forward(params)[-1] - self.y) ** 2)

    def gradient(self, params):
        """Return ∂C/∂w^l and ∂C/∂b^l."""
        a, dw, db = self.forward(params), [], []
        delta = 2 * (a[-1] - self.y) / self.y.size
        for k in reversed(range(len(self.layers))):
            delta = delta * ACTIVATIONS[self.layers[k]][1](a[k + 1])
            dw.insert(0, delta.T @ a[k])
            db.insert(0, delta.sum(axis=0))
            delta = delta @ params["weights"][k]
        return {"weights": dw, "biases": db}


def dtype_of(dtype, number):
    """Return a number in a dtype, so that products with arrays of it keep the dtype."""
    return np.dtype(dtype).type(number)


def accused(count, dtype="float64", method="auto", first=0):
    """Return the seeds of the networks that a check calls wrong, and counts of its verdicts."""
    wrong, verdicts = [], Counter()
    with np.errstate(all="ignore"):
        for seed in range(first, first + count):
            net = NaiveNetwork.draw(seed, dtype)
            report = check_gradient(net.cost, net.gradient, net.params, method=method)
            verdicts[str(report.verdict)] += 1
            verdicts["entries"] += report.entries
            if report.verdict is Verdict.MISMATCH:
                wrong.append(seed)
    return wrong, verdicts


def main():
    """Count, and print the reports of the networks that were accused."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("count", type=int, nargs="?", default=400)
    parser.add_argument("--dtype", default="float64")
    parser.add_argument("--method", default="auto")
    parser.add_argument("--first", type=int, default=0)
    options = parser.parse_args()
    wrong, verdicts = accused(options.count, options.dtype, options.method, options.first)
    for seed in wrong:
        net = NaiveNetwork.draw(seed, options.dtype)
        with np.errstate(all="ignore"):
            print(seed, check_gradient(net.cost, net.gradient, net.params, method=options.method))
    print(dict(verdicts), "accused:", wrong)


if __name__ == "__main__":
    main()
