"""Draw the report of a wrong gradient: python -m benchmarks.picture docs/report.png."""

import sys
from dataclasses import replace

import numpy as np

from backprop import Network, Parameters
from checks import check_gradient


def main(path: str) -> None:
    """Check a network's gradient, with two mistakes planted in it, and write the picture."""
    net = Network(sizes=(8, 6, 4), activation="tanh", cost="half_squared")
    rng = np.random.default_rng(0)
    theta = net.random_parameters(rng)
    x, y = rng.standard_normal((5, 8)), rng.standard_normal((5, 4))

    def gradient(theta: Parameters) -> Parameters:
        grad = net.gradient(theta, x, y)
        grad.weights[0][2] = 0  # wrong on purpose: a row that was never filled in
        grad.biases[1][:] *= 5  # wrong on purpose: a sum over the five samples, not their mean
        return grad

    report = check_gradient(lambda theta: net.cost(theta, x, y), gradient, theta)
    print(report)
    # Without the check's time and matplotlib's version, the same picture is the same file.
    figure = replace(report, seconds=0.0).plot()
    figure.savefig(path, dpi=72, metadata={"Software": None}, pil_kwargs={"optimize": True})


if __name__ == "__main__":
    main(*sys.argv[1:])
