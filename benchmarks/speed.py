"""How fast, beside peers: ``python -m benchmarks.speed [SECONDS [PAGE PICTURE]]``.

- One gradient of the notes' network: this project's, that of torch, jax and autograd (extra
  `peers`), and its matrix multiplications alone. All results are compared first.
- One check of a right gradient, by this project and by the peers' checkers. Each checker first runs
  in a process of its own, which shows its peak of memory and whether it accepts, on larger and
  larger networks until one takes longer than SECONDS (10). All are then timed in turns on the
  networks that they reached.

All run in one thread, and the processor's time is taken, so that other programs hardly count. On
idle cores this takes five minutes.

Prints or writes a page of tables (markdown), and draws time against the number of parameters P.
"""

import os
import platform
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

from benchmarks.aims import aim_lines
from benchmarks.contest import (
    CHECKERS,
    CHECKS,
    EVERY,
    FITTED,
    PROJECTED,
    ROUNDS,
    SMALL,
    count,
    fit,
    named,
    points_of,
    run_alone,
    time_checks,
    time_gradients,
)

ONE_THREAD = {
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
}


def with_unit(seconds):
    """Return a time with three digits and its unit."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:#.3g} {unit}".replace(". ", " ")
    return f"{seconds / 1e-6:#.3g} µs".replace(". ", " ")


def table(rows):
    """Return rows of cells as a markdown table; the first row is its head."""
    head, *others = (f"| {' | '.join(row)} |" for row in rows)
    return "\n".join([head, "|---" * (head.count("|") - 1) + "|", *others])


def gradient_rows(times):
    names = list(next(iter(times.values())))
    yield ["network", "dtype", *names]
    for (network, dtype), seconds in times.items():
        ratios = [f"{seconds[name] / seconds['ours']:.2f} ×" for name in names[1:]]
        yield [named(network), dtype, with_unit(seconds["ours"]), *ratios]


def check_rows(times, reached, checkers):
    """Yield the head, then a row for each checker: times, also as multiples of the first row."""
    first, *_ = checkers
    yield ["", *(f"P = {count(sizes):,}, {named((sizes, n))}" for sizes, n in times), "exponent"]
    for name in checkers:
        cells = []
        for place, seconds in enumerate(times.values()):
            if name not in seconds:
                cells.append("–")
                continue
            cell = with_unit(seconds[name])
            if name != first and first in seconds:
                cell += f" ({seconds[name] / seconds[first]:.2g} ×)"
            cells.append(cell if reached[name][place][0] else f"{cell}, *not accepted*")
        yield [name, *cells, f"{fit(times, name):.2f}"]
    if first in PROJECTED:
        yield ["one gradient", *(with_unit(s["one gradient"]) for s in times.values()), ""]


def memory_rows(reached):
    yield ["", *(f"P = {count(sizes):,}, batch {samples}" for sizes, samples in CHECKS)]
    for name, found in reached.items():
        peaks = [peak and f"{peak / 2**20:,.0f}" for _, _, peak in found]
        yield [name, *(peaks[k] or "–" if k < len(peaks) else "–" for k in range(len(CHECKS)))]


PAGE = """# How fast, beside peers
`{command}`, with the extra `peers`: {machine};
{libraries}. In {minutes:.1f} minutes.

Times are the processor's, of one thread: medians, in one process, of {gradients} rounds of
gradients and of {checks} rounds of checks, or {small} rounds up to {limit:,} parameters. In every
round each call of a row of the first table, or of a column of the next two, has a turn. Each check
gets a new cost of the reference. Other programs shared the cores: the load average was {load:.1f}
at the end.

![time of a check against the number of parameters](speed.png)

## One gradient
Of the notes' network: our time, and the others as multiples of it. All gradients are the same up to
rounding. *Multiplications* are the matrix products alone.

{gradient_table}

## One check, of every entry
In float64, of a right gradient that is computed beforehand; in brackets, the multiple of the first
row. The black box is a plain numpy cost, and so is that of the peers unless another is named. A –
means that the check takes more than {budget:g} s, or would if time were proportional to P. The
exponent of P is fitted to the last {fitted} networks of batch 10.

{every_table}

## One check, along random directions
Torch, jax and autograd use one direction.

{projected_table}

## Peak of memory
In MiB, of a process that makes only these checks, with Python and the libraries.

{memory_table}

## Aims
{aims}
"""


def page_of(gradients, checks, reached, budget, seconds):
    """Return the page as markdown."""
    libraries = ("numpy", "torch", "jax", "autograd", "scipy", "numdifftools", "jacobi")
    return PAGE.format(
        command=f"python -m benchmarks.speed {budget:g} docs/speed.md docs/speed.png",
        machine=f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
        libraries=", ".join(f"{name} {version(name)}" for name in libraries),
        minutes=seconds / 60,
        **ROUNDS,
        limit=SMALL,
        load=os.getloadavg()[0],
        budget=budget,
        fitted=FITTED,
        gradient_table=table(gradient_rows(gradients)),
        every_table=table(check_rows(checks, reached, EVERY)),
        projected_table=table(check_rows(checks, reached, PROJECTED)),
        memory_table=table(memory_rows(reached)),
        aims="\n".join(aim_lines(gradients, checks)),
    )


def draw(checks, picture):
    """Save the time of a check against P, one line a checker."""
    from matplotlib import pyplot as plt

    figure, axis = plt.subplots(figsize=(11, 6), layout="tight")
    colors = {"one gradient": "black"}
    for name in [*CHECKERS, "one gradient"]:
        points = points_of(checks, name)
        kind = name.replace(", projected", "").replace(", fast", "")
        axis.loglog(
            *zip(*points, strict=True),
            label=name,
            color=colors.setdefault(kind, f"C{len(colors) - 1}"),
            linestyle="-" if name in EVERY else "--" if name in PROJECTED else ":",
            linewidth=3 if name.startswith("ours") else 1,
            marker="o" if name in CHECKERS else "",
            markersize=4,
        )
    axis.set(xlabel="parameters P", ylabel="seconds", title="One check of a right gradient")
    axis.grid(alpha=0.3)
    axis.legend(title="every entry –––  along directions - - -", bbox_to_anchor=(1, 1), fontsize=8)
    figure.savefig(picture, dpi=110)


def main(seconds="10", page=None, picture=None):
    """Print the page, or write it and draw the picture if they have names."""
    if not ONE_THREAD.items() <= os.environ.items():  # libraries read these when they are loaded
        given = [text for text in (seconds, page, picture) if text]
        command = [sys.executable, "-m", "benchmarks.speed", *given]
        subprocess.run(command, env=os.environ | ONE_THREAD, check=True)
        return
    started = time.perf_counter()
    reached = run_alone(float(seconds))  # first, while this process is small
    gradients, checks = time_gradients(), time_checks(reached)
    text = page_of(gradients, checks, reached, float(seconds), time.perf_counter() - started)
    if page:
        Path(page).write_text(text, encoding="utf-8")
    else:
        print(text)
    if picture:
        draw(checks, picture)


if __name__ == "__main__":
    main(*sys.argv[1:])
