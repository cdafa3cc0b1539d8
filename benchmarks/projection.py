"""Projected checks at scale: ``python -m benchmarks.projection [PART ...]``, all parts by default.

- missed: 1,000 networks each have one entry that is wrong by 1 % more than the stated resolution;
  counts how many of these entries are not named;
- scattered: 1,000 of 10^6 entries are wrong; counts how many are named;
- ratio: the time of a check of a right gradient of 1,863,690 parameters, divided by the time of the
  gradient, for the reference's cost and for the same cost as a black box;
- growth: the time of a check against the number of parameters P, and the exponent of P that fits;
- huge: one of 10^8 entries is wrong by 1e-9 of its array's largest, and must be named; prints the
  time and the peak of memory. Takes 3 GB.
"""

import sys
import time
from functools import partial

import numpy as np

from backprop import Network
from checks import check_gradient
from checks.conformance.reference_cost import RestartedCost
from checks.parameters.random_directions import Region

ROUNDS = 7


def draw(sizes, samples, seed=0):
    """Return a network, its parameters, a batch, and a copy of the right gradient."""
    rng = np.random.default_rng(seed)
    net = Network(sizes)
    theta = net.random_parameters(rng)
    x, y = rng.random((samples, sizes[0])), rng.random((samples, sizes[-1]))
    return net, theta, x, y, net.gradient(theta, x, y)


def projected(cost, gradient, theta, **options):
    return check_gradient(cost, gradient, theta, coverage="projected", **options)


def named(report, path, shape):
    """Return the indices of the wrong entries of an array."""
    blocks = report.arrays[path].blocks
    assert all(block.region.size == 1 for block in blocks)
    return {block.region.index(shape) for block in blocks}


def seconds(functions):
    """Return the median time of each function over rounds in which each is called once."""
    times = {name: [] for name in functions}
    for function in functions.values():
        function()
    for _ in range(ROUNDS):
        for name, function in functions.items():
            started = time.perf_counter()
            function()
            times[name].append(time.perf_counter() - started)
    return {name: float(np.median(of_rounds)) for name, of_rounds in times.items()}


def missed(seeds=1000):
    """Count single wrong entries just above the resolution that are not named."""
    count = 0
    for seed in range(seeds):
        rng = np.random.default_rng([seed, 1])
        sizes = tuple(int(n) for n in rng.integers(1, 30, rng.integers(2, 5)))
        net, theta, x, y, gradient = draw(sizes, int(rng.integers(1, 9)), seed)
        cost = RestartedCost(net, x, y) if seed % 2 else partial(net.cost, x=x, y=y)
        resolution = projected(cost, gradient, theta, seed=seed).detectable
        arrays = (*gradient.weights, *gradient.biases)
        number = int(rng.integers(len(arrays)))
        array, index = arrays[number], tuple(int(rng.integers(n)) for n in arrays[number].shape)
        # wrong on purpose; towards 0, so that the largest entry does not grow
        array[index] -= np.sign(array[index]) * 1.01 * resolution * np.abs(array).max()
        report = projected(cost, gradient, theta, seed=seed)
        path = list(report.arrays)[number]
        if named(report, path, array.shape) != {index}:
            count += 1
            print(f"  seed {seed}, {sizes}, {path}{list(index)}: {report.arrays[path]}")
    print(f"missed: {count} of {seeds:,}")


def scattered(mistakes=1000):
    """Name many wrong entries among 10^6."""
    net, theta, x, y, gradient = draw((1000, 1000, 10), 4)
    w, rng = gradient.weights[0], np.random.default_rng(1)
    places = rng.choice(w.size, mistakes, replace=False)
    relative = rng.choice([-1, 1], mistakes) * 10.0 ** rng.uniform(-6, 0, mistakes)
    w.reshape(-1)[places] += relative * np.abs(w).max()  # wrong on purpose
    report = projected(RestartedCost(net, x, y), gradient, theta)
    whole = Region.whole(w.shape)
    planted = {whole.entry(int(place)).index(w.shape) for place in places}
    found = named(report, "weights[0]", w.shape)
    print(
        f"scattered: {len(found & planted):,} of {mistakes:,} named, and {len(found - planted)} "
        f"others; {report.evaluations:,} evaluations, {report.seconds:.1f} s"
    )


def ratio():
    """Compare the time of a check with that of the gradient."""
    for samples in (10, 256):
        net, theta, x, y, gradient = draw((784, 1024, 1024, 10), samples)
        restarted, black = RestartedCost(net, x, y), partial(net.cost, x=x, y=y)
        assert projected(restarted, gradient, theta)
        assert projected(black, gradient, theta)
        times = seconds(
            {
                "gradient": lambda n=net, t=theta, x=x, y=y: n.gradient(t, x, y),
                "the reference's cost": partial(projected, restarted, gradient, theta),
                "a black box": partial(projected, black, gradient, theta),
            }
        )
        gradient_time = times.pop("gradient")
        for name, check_time in times.items():
            print(
                f"ratio: {gradient.ravel().size:,} parameters, batch {samples}, {name}: "
                f"{check_time / gradient_time:.1f} gradients of {1e3 * gradient_time:.1f} ms"
            )


def growth():
    """Fit the exponent of P in the time of a check, without the smallest network."""
    rows = []
    for width in (32, 100, 316, 1000, 3162):
        net, theta, x, y, gradient = draw((width, width, 10), 10)
        cost = RestartedCost(net, x, y)
        entries = gradient.ravel().size
        rows.append((entries, seconds({"": partial(projected, cost, gradient, theta)})[""]))
        print(f"growth: {entries:>12,} parameters {1e3 * rows[-1][1]:10.2f} ms")
    entries, times = np.log(rows[1:]).T
    print(f"growth: exponent {np.polyfit(entries, times, 1)[0]:.2f} from {rows[1][0]:,} parameters")


def huge(width=9990):
    """Name one entry among 10^8."""
    net, theta, x, y, gradient = draw((width, width, 10), 10)
    w, index = gradient.weights[0], (width - 7, 13)
    w[index] += 1e-9 * np.abs(w).max()  # wrong on purpose
    report = projected(RestartedCost(net, x, y), gradient, theta, rtol=1e-10)
    print(report)
    assert named(report, "weights[0]", w.shape) == {index}
    print(
        f"huge: {report.entries:,} parameters, named in {report.seconds:.1f} s, "
        f"{report.evaluations} evaluations; peak memory {peak()}"
    )


def peak():
    """Return the peak of the process's memory as text, if the system reports it."""
    try:
        import resource
    except ImportError:
        return "not known here"
    unit = 1 if sys.platform == "darwin" else 1024
    return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30:.2f} GiB"


PARTS = {"missed": missed, "scattered": scattered, "ratio": ratio, "growth": growth, "huge": huge}


if __name__ == "__main__":
    # huge first, because the peak of memory is that of the whole process so far
    for part in sorted(sys.argv[1:] or PARTS, key="huge".__ne__):
        PARTS[part]()
