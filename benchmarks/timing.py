"""Times of calls in turns, and each alone: in a process of its own, with its peak of memory."""

import multiprocessing
import sys
import time

import numpy as np

__all__ = ["alone", "exponent", "in_turns"]


# Threads of a library go on spinning after its call, for OpenBLAS up to 2^26 cycles: not beside the
# next one's.
PAUSE = 0.03


def in_turns(calls, rounds, burst=0.05):
    """Return {name: seconds}, the median over rounds of the mean of calls in a row.

    In each round every call has its turn, of at least `burst` seconds: the cold cache that it finds
    is then little.
    """
    times = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            time.sleep(PAUSE)
            count, started = 0, time.perf_counter()
            while (passed := time.perf_counter() - started) < burst or not count:
                call()
                count += 1
            times[name].append(passed / count)
    return {name: float(np.median(some)) for name, some in times.items()}


def alone(run, steps, sizes, seconds):
    """Return [(result, seconds, peak in bytes), …] of a run's steps, up to the first too slow.

    Parameters
    ----------
    run
        ``run(step)`` prepares, and returns the call that is measured; pickled by name.
    steps, sizes
        The first step is for imports and compilers, shows what any step takes, and is not returned.
        Sizes must not decrease. A step is left out, and all after it, if it would take longer than
        `seconds` even if only proportional to size, and ended if it does.
    """
    context = multiprocessing.get_context("spawn")  # a fork would start at this process's memory
    ours, theirs = context.Pipe()
    process = context.Process(target=_steps, args=(theirs, run, steps, sizes, seconds), daemon=True)
    process.start()
    theirs.close()
    found = []
    try:
        while True:
            ours.recv()  # prepared
            if not ours.poll(seconds):
                break
            found.append(ours.recv())
    except EOFError:
        process.join()
        if process.exitcode:
            raise RuntimeError(f"{run} ended in a process of its own; see above") from None
    finally:
        process.kill()
        process.join()
    return found


def _steps(pipe, run, steps, sizes, seconds):
    first = run(steps[0])
    first()
    _, least = _timed(first)
    took, last = 0.0, 1
    for step, size in zip(steps[1:], sizes[1:], strict=True):
        if (took - least) * size / last > seconds:
            return
        call = run(step)
        pipe.send("prepared")
        result, took = _timed(call)
        last = size
        pipe.send((result, took, _peak()))


def _timed(call):
    started = time.perf_counter()
    result = call()
    return result, time.perf_counter() - started


def _peak():
    """Return the most memory that this process has held, None where the system does not tell."""
    try:
        import resource
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def exponent(sizes, times):
    """Return p of time ∝ size^p, by least squares of the logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(times), 1)[0])
