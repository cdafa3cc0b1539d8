"""What `speed` times: the gradient of a network, and checks of it by this project and by peers."""

import warnings
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np

from backprop import Network, Parameters
from benchmarks.bench_matrix_form import bare_multiplications
from benchmarks.peer_networks import NETWORKS, plain_cost, torch_cost
from benchmarks.peers import ESTIMATORS, PEERS, Claim
from benchmarks.timing import alone, exponent, in_turns
from checks import check_gradient
from checks.conformance.reference_cost import RestartedCost

GRADIENTS = [
    ((2, 3, 1), 1),
    ((64, 30, 10), 100),
    ((784, 30, 10), 10),
    ((784, 512, 512, 10), 128),
    ((1024,) * 5, 256),
]
DTYPES = ("float64", "float32")
WARM = ((2, 3, 1), 10)  # run first, so that imports and compilers are not timed
LARGE = (784, 1024, 1024, 10)
CHECKS = [
    ((4, 5, 3), 10),
    ((20, 10, 5), 10),
    ((64, 30, 10), 10),
    ((784, 30, 10), 10),
    ((784, 100, 10), 10),
    ((784, 512, 10), 10),
    (LARGE, 10),
    (LARGE, 256),
]
MIDDLE = ((784, 30, 10), 10)
FITTED = 3  # how many of a checker's largest networks the exponent of P is fitted to
ROUNDS = {"gradients": 9, "checks": 3, "small": 15}  # small: checks of at most SMALL parameters
SMALL = 1000


@dataclass(frozen=True)
class Case:
    """A network at a point, a batch, and its gradient."""

    net: Network
    theta: Parameters
    x: np.ndarray
    y: np.ndarray
    gradient: Parameters

    @classmethod
    def draw(cls, sizes, samples, dtype="float64"):
        net, rng = Network(sizes), np.random.default_rng(0)
        theta = net.random_parameters(rng, dtype=dtype)
        x = rng.standard_normal((samples, sizes[0])).astype(dtype)
        y = rng.random((samples, sizes[-1])).astype(dtype)
        return cls(net, theta, x, y, net.gradient(theta, x, y))

    @property
    def claim(self):
        """The plain cost, and the gradient computed beforehand, so that only the check is timed."""
        slopes = [*self.gradient.weights, *self.gradient.biases]
        params = [*self.theta.weights, *self.theta.biases]
        return Claim(partial(plain_cost, x=self.x, y=self.y), lambda params: slopes, params)


# The checkers. Each takes a case and returns a call, which tells whether the gradient is accepted.


def ours(case, **options):
    claim = case.claim
    return lambda: bool(check_gradient(claim.cost, claim.gradient, claim.params, **options))


def ours_restarted(case, **options):
    def check():
        cost = RestartedCost(case.net, case.x, case.y)  # a new one, with an empty cache
        return bool(check_gradient(cost, case.gradient, case.theta, **options))

    return check


def torch_itself(case, **options):
    """Return torch's check of its own gradient: the cost is written in torch."""
    import torch

    cost = torch_cost(case.x, case.y)
    params = [torch.from_numpy(v).requires_grad_() for v in case.claim.params]
    return lambda: torch.autograd.gradcheck(cost, params, raise_exception=False, **options)


def peer(case, check):
    claim = case.claim
    return lambda: bool(check(claim))


RESTARTED, BLACK = "ours, reference's cost", "ours, black box"
TORCH, SCIPY = "torch gradcheck", "scipy check_grad"
FAST, FAST_ITSELF = "torch gradcheck, fast", "torch gradcheck, fast, on torch's own network"
EVERY = {
    RESTARTED: ours_restarted,
    BLACK: ours,
    TORCH: partial(peer, check=PEERS["torch"]),
    "torch gradcheck, on torch's own network": torch_itself,
    SCIPY: partial(peer, check=PEERS["scipy"]),
    "numdifftools": partial(peer, check=ESTIMATORS["numdifftools"]),
    "jacobi": partial(peer, check=ESTIMATORS["jacobi"]),
}
PROJECTED = {
    f"{RESTARTED}, projected": partial(ours_restarted, coverage="projected"),
    f"{BLACK}, projected": partial(ours, coverage="projected"),
    FAST: partial(peer, check=PEERS["torch, fast"]),
    FAST_ITSELF: partial(torch_itself, fast_mode=True),
    "jax check_grads": partial(peer, check=PEERS["jax"]),
    "autograd check_grads": partial(peer, check=PEERS["autograd"]),
}
CHECKERS = EVERY | PROJECTED


def count(sizes):
    """Return the number of parameters."""
    return sum(n * (m + 1) for m, n in pairwise(sizes))


def named(network):
    sizes, samples = network
    return f"{'-'.join(map(str, sizes))}, batch {samples}"


def prepared(name, network):
    """Return a checker's call on a network, with warnings silenced."""
    call = CHECKERS[name](Case.draw(*network))

    def quiet():
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            try:
                return call()
            except AssertionError:  # jax and autograd reject a gradient by it
                return False

    return quiet


def time_gradients(rounds=ROUNDS["gradients"]):
    """Return {(network, dtype): {name: seconds}} of calls, after comparing their results."""
    times = {}
    for network in GRADIENTS:
        for dtype in DTYPES:
            case = Case.draw(*network, dtype)
            problem = case.net, case.theta, case.x, case.y
            out = case.net.gradient(*problem[1:])
            calls = {"ours": partial(case.net.gradient, *problem[1:], out=out)}
            calls |= {name: build(*problem) for name, build in NETWORKS.items()}
            expected = case.claim.gradient(None)
            for name, call in calls.items():
                result = call()
                arrays = [*out.weights, *out.biases] if result is out else result
                compare(name, arrays, expected)
            calls["multiplications"] = multiply = bare_multiplications(*problem)
            compare("multiplications", multiply(), case.gradient.weights)
            times[network, dtype] = in_turns(calls, rounds)
    return times


def compare(name, found, gradient):
    """Raise an AssertionError unless the arrays are the gradient, up to rounding."""
    for array, expected in zip(found, gradient, strict=True):
        assert str(expected.dtype) in str(array.dtype), f"{name} computes in {array.dtype}"
        # sums over rows and batch have at most a thousand terms, and may be in another order
        atol = 1000 * np.finfo(expected.dtype).eps * np.abs(expected).max()
        np.testing.assert_allclose(array, expected, rtol=0, atol=atol, err_msg=name)


def run_alone(seconds):
    """Return {checker: [(accepts, seconds, peak), …]} for `CHECKS`, as far as each checker gets."""
    steps = [WARM, *CHECKS]
    sizes = [count(sizes) for sizes, _ in steps]
    return {name: alone(partial(prepared, name), steps, sizes, seconds) for name in CHECKERS}


def time_checks(reached):
    """Return {network: {name: seconds}} of the checkers that reached it, and of one gradient."""
    for name in CHECKERS:
        prepared(name, WARM)()
    times = {}
    for place, network in enumerate(CHECKS):
        calls = {name: prepared(name, network) for name in CHECKERS if len(reached[name]) > place}
        case = Case.draw(*network)
        out = case.net.gradient(case.theta, case.x, case.y)
        calls["one gradient"] = partial(case.net.gradient, case.theta, case.x, case.y, out)
        kind = "small" if count(case.net.sizes) <= SMALL else "checks"
        times[network] = in_turns(calls, ROUNDS[kind])
    return times


def points_of(times, name):
    """Return (number of parameters, a checker's time) for the networks with batch 10."""
    return [
        (count(sizes), seconds[name])
        for (sizes, samples), seconds in times.items()
        if samples == 10 and name in seconds
    ]


def fit(times, name):
    """Return the exponent of P in a checker's time, fitted to its largest networks."""
    points = points_of(times, name)
    return exponent(*zip(*points[-FITTED:], strict=True)) if len(points) >= FITTED else np.nan
