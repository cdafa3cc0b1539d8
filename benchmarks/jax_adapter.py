"""Times of checks of a JAX network: ``python -m benchmarks.jax_adapter [ROUNDS]``.

Every entry of a network 784-30-10 with its own loss, in float64, on one thread: as `from_loss` has
it, with a compiled loop over moved entries, and as a plain function that is called for each. The
time of the first check includes `from_loss` and compiling; of later ones of the same problem, and
of the plain function, it is the least of ROUNDS (1).
"""

import itertools
import os
import sys
import time

os.environ["XLA_FLAGS"] = " ".join(
    (
        os.environ.get("XLA_FLAGS", ""),
        "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
    )
)

import jax
import jax.numpy as jnp
import numpy as np

from checks import check_gradient
from checks.adapters.jax import from_loss
from checks.report.verdict import Verdict


def network(sizes=(784, 30, 10), batch=10):
    """Return a loss, and its parameters."""
    rng = np.random.default_rng(0)
    parameters = [
        {"w": rng.normal(size=pair) / np.sqrt(pair[0]), "b": rng.normal(size=pair[1])}
        for pair in itertools.pairwise(sizes)
    ]
    x, y = rng.random((batch, sizes[0])), rng.integers(sizes[-1], size=batch)

    def loss(parameters):
        hidden = jax.nn.sigmoid(x @ parameters[0]["w"] + parameters[0]["b"])
        logits = jax.nn.log_softmax(hidden @ parameters[1]["w"] + parameters[1]["b"])
        return -logits[jnp.arange(batch), y].mean()

    return loss, parameters


def seconds(cost, gradient, params):
    """Return the seconds of the processor that a check takes."""
    started = time.process_time()
    report = check_gradient(cost, gradient, params, progress=False)
    if report.verdict is not Verdict.MATCH:
        raise AssertionError(str(report))
    return time.process_time() - started


def main(rounds="1", **sizes):
    """Print how many times faster the first check and later ones are than without a loop."""
    with jax.enable_x64(True):
        loss, parameters = network(**sizes)
        started = time.process_time()
        problem = from_loss(loss, parameters)
        seconds(*problem)
        first = time.process_time() - started
        later = min(seconds(*problem) for _ in range(int(rounds)))
        gradient = jax.grad(loss)
        plain = min(seconds(loss, gradient, parameters) for _ in range(int(rounds)))
    count = sum(array.size for array in jax.tree.leaves(parameters))
    print(
        f"network 784-30-10 ({count:,} entries), plain {plain:.1f} s: "
        f"the first check is {plain / first:.1f} × faster, later ones {plain / later:.1f} ×"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
