"""Timing of calls: several in turns, or one in a process of its own with its peak of memory."""

import multiprocessing
import sys
import time

import numpy as np

__all__ = ["alone", "exponent", "in_turns"]

PATIENCE = 16  # programs that share the cores slow each other down by about their number


def in_turns(calls, rounds, burst=0.05):
    """Return {name: seconds}: the mean of repeated calls in each round, the median of the rounds.

    Seconds are those of the processor, so that other programs hardly count. In each round every
    call is repeated for at least `burst` seconds, so that the cold cache of the first repetition
    matters little.
    """
    times = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            count, started = 0, time.process_time()
            while (passed := time.process_time() - started) < burst or not count:
                call()
                count += 1
            times[name].append(passed / count)
    return {name: float(np.median(means)) for name, means in times.items()}


def alone(run, steps, sizes, seconds):
    """Return [(result, seconds, peak in bytes), …] of the steps, up to the first that is too slow.

    Parameters
    ----------
    run
        ``run(step)`` prepares a step and returns the call that is measured. It is pickled by name.
    steps, sizes
        The first step is not returned: it does the imports and compilations, and its time is what
        any step takes at least. Sizes must not decrease. A step that takes more than `seconds` of
        the processor is left out, and no step follows it. It is not begun if it would take more
        even in time proportional to size. After `PATIENCE` times as long on the clock it is ended.
    """
    context = multiprocessing.get_context("spawn")  # a fork would start with this process's memory
    connection, child_connection = context.Pipe()
    process = context.Process(
        target=_steps, args=(child_connection, run, steps, sizes, seconds), daemon=True
    )
    process.start()
    child_connection.close()
    found = []
    try:
        while True:
            connection.recv()  # the step is prepared, and begins
            if not connection.poll(PATIENCE * seconds):
                break
            found.append(connection.recv())
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
        if took > seconds:
            return
        last = size
        pipe.send((result, took, _peak()))


def _timed(call):
    started = time.process_time()
    result = call()
    return result, time.process_time() - started


def _peak():
    """Return the peak of this process's memory in bytes, or None if it is not reported."""
    try:
        import resource
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def exponent(sizes, times):
    """Return p of time ∝ size^p, by least squares on the logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(times), 1)[0])
