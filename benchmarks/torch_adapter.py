"""Times of checks of PyTorch beside gradcheck: ``python -m benchmarks.torch_adapter 3 cpu``.

Operators of several classes, and every entry of a network 784-30-10 with its own loss, in float64.
Both checkers take turns in one thread of one process; the times are the least of 3 rounds. They
are times of the processor, or on another device, such as cuda, of the clock on the wall.
"""

import itertools
import sys
import time

import numpy as np
import torch
from torch.nn import functional

from checks import check_gradient
from checks.adapters.torch import check_function, from_loss
from checks.report.verdict import Verdict


def draw(*shape):
    values = np.random.default_rng(shape).normal(size=shape)
    return torch.tensor(values, requires_grad=True)


OPERATORS = {
    "elementwise": [
        (torch.exp, (5,)),
        (torch.tanh, (5, 5)),
        (torch.mul, (5, 5), (5, 5)),
        (functional.relu, (20, 25)),
    ],
    "matrix products": [
        (torch.matmul, (4, 5), (5, 4)),
        (functional.linear, (10, 12), (14, 12), (14,)),
    ],
    "reductions": [
        (torch.sum, (10, 10)),
        (lambda x: torch.logsumexp(x, -1), (5, 5)),
        (lambda x: functional.softmax(x, -1), (10, 10)),
    ],
    "convolutions": [
        (functional.conv1d, (2, 3, 15), (4, 3, 5)),
        (functional.conv2d, (1, 2, 8, 8), (3, 2, 3, 3)),
    ],
    "normalisation": [
        (lambda x, w, b: functional.layer_norm(x, (10,), w, b), (20, 10), (10,), (10,)),
        (lambda x: functional.group_norm(x, 2), (3, 4, 5)),
    ],
}


def network(sizes=(784, 30, 10), batch=10):
    """Return the arguments of `from_loss`, and a function with its tensors for gradcheck."""
    torch.manual_seed(0)
    first, last = (torch.nn.Linear(*pair) for pair in itertools.pairwise(sizes))
    module = torch.nn.Sequential(first, torch.nn.Sigmoid(), last).double()
    x, y = torch.rand(batch, sizes[0]).double(), torch.randint(sizes[-1], (batch,))

    def loss(w, b, v, c):
        hidden = torch.sigmoid(functional.linear(x, w, b))
        return functional.cross_entropy(functional.linear(hidden, v, c), y)

    return (lambda: functional.cross_entropy(module(x), y), module), (loss, [*module.parameters()])


def seconds(checkers, rounds):
    """Return the least seconds of each of some calls, in turns."""
    is_on_cpu = torch.get_default_device().type == "cpu"
    clock, times = time.process_time if is_on_cpu else time.perf_counter, []
    for _ in range(rounds):
        for call in checkers:
            started = clock()
            call()
            times.append(clock() - started)
    return np.reshape(times, (rounds, -1)).min(axis=0)


def of_operator(function, shapes, rounds):
    """Return the number of entries, and the seconds of both checkers."""
    inputs = [draw(*shape) for shape in shapes]
    report = check_function(function, *inputs, progress=False)
    if report.verdict is not Verdict.MATCH:
        raise AssertionError(str(report))
    both = (
        lambda: check_function(function, *inputs, progress=False),
        lambda: torch.autograd.gradcheck(function, inputs),
    )
    return sum(x.numel() for x in inputs), *seconds(both, rounds)


def of_network(rounds, **sizes):
    """Return the number of entries, and the seconds of both checkers."""
    problem, (loss, tensors) = network(**sizes)
    both = (
        lambda: check_gradient(*from_loss(*problem), progress=False),
        lambda: torch.autograd.gradcheck(loss, tensors),
    )
    return sum(tensor.numel() for tensor in tensors), *seconds(both, rounds)


def main(rounds="3", device="cpu"):
    """Print a line for every class of operators, for all of them, and for the network."""
    torch.set_num_threads(1)
    torch.set_default_device(device)
    rounds, ratios, total = int(rounds), [], np.zeros(2)
    print("time of a check / time of gradcheck")
    for name, operators in OPERATORS.items():
        rows = np.array([of_operator(f, shapes, rounds) for f, *shapes in operators])
        ours, theirs = rows[:, 1:].sum(axis=0)
        sizes = ", ".join(f"{n:.0f}" for n in rows[:, 0])
        print(f"{name} ({sizes} entries): {ours / theirs:.2f}")
        ratios += list(rows[:, 1] / rows[:, 2])
        total += ours, theirs
    print(f"all operators: {total[0] / total[1]:.2f} in sum, {np.median(ratios):.2f} in the median")
    entries, ours, theirs = of_network(rounds)
    print(f"network 784-30-10 ({entries:,} entries): {ours / theirs:.2f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
