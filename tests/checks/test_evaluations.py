"""What an estimate costs: evaluations are counted, and the counts are deterministic."""

from functools import partial

import numpy as np

from backprop import Network
from benchmarks.calibration import draw_network
from checks import check_gradient


def per_entry(problems, method):
    """Return evaluations per entry over all of these checks."""
    reports = [
        check_gradient(
            partial(net.cost, x=x, y=y), partial(net.gradient, x=x, y=y), theta, method=method
        )
        for net, theta, x, y in problems
    ]
    return sum(r.evaluations for r in reports) / sum(r.entries for r in reports)


def test_central_differences_take_at_most_eight_evaluations_an_entry():
    ordinary = [draw_network(np.random.default_rng(n), "ordinary", "float64") for n in range(60)]
    assert per_entry(ordinary, "central") <= 8


def test_the_complex_step_takes_hardly_more_than_one():
    # what it costs to prove, about 20 evaluations an array, counts less in larger networks
    rng = np.random.default_rng(0)
    problems = []
    for sizes in ((64, 30, 10), (20, 20, 20), (32, 24, 16, 8)):
        net = Network(sizes)
        theta = net.random_parameters(rng)
        problems.append((net, theta, rng.random((4, sizes[0])), rng.random((4, sizes[-1]))))
    assert per_entry(problems, "auto") <= 1.2
