"""What a record of `benchmarks.operators` says: a page and a picture."""

import os
import platform
from collections import Counter, defaultdict
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.operator_samples import ENTRIES, MISTAKES
from benchmarks.speed import table
from checks.report.wording import listed

__all__ = ["NOT_RIGHT", "draw", "page_of"]

Row = dict[str, Any]
VERDICTS = ("MATCH", "UNRESOLVED", "MISMATCH")
LARGE = 150  # entries

# Operators whose gradient is not the derivative at the points of the database, each with its proof.
CAST = "rounds float64 to a narrower dtype: a staircase, differentiated like the identity"
UNPOOL = "puts several entries in one place: one of them counts, all get a gradient: see above"
DRAWN = "zero by convention; with a fixed seed the draw moves with mean and std: see above"
COMPARED = "compares a target that requires a gradient with 1 and −1: it jumps where that is moved"
NORM = (
    "has no derivative: the smallest singular value of 0 stays 0 along each axis, but not along 1"
)
NOT_RIGHT = {
    "nn.functional.hardsigmoid": "has 1/6 rounded to float32: see above",
    "native_group_norm": "drops the gradient by an output: see above",
    "as_strided_scatter": "has the gradient of the entries that are overwritten: see above",
    "nn.functional.max_unpool1d": UNPOOL,
    "nn.functional.max_unpool2d": UNPOOL,
    "nn.functional.max_unpool3d": UNPOOL,
    "nn.functional.cosine_embedding_loss": COMPARED,
    "nn.functional.hinge_embedding_loss": COMPARED,
    "linalg.norm.subgradients_at_zero": NORM,
    "normal": DRAWN,
    "normal.number_mean": DRAWN,
    "__rpow__": "takes roots of negative numbers: nan",
    "bfloat16": CAST,
    "half": CAST,
    "chalf": CAST,
    "float": CAST,
    "cfloat": CAST,
}


def share(part: int, whole: int) -> str:
    return f"{part} ({100 * part / whole:.1f} %)" if whole else "0"


def verdict_rows(rows: list[Row]) -> Iterable[list[str]]:
    """Yield the head, then for right and for other gradients how many got which verdict."""
    yield ["", "samples", *VERDICTS, "exception", "gradcheck passes", "fails", "exception"]
    groups = by_rightness(rows)
    # no mistake can be planted in a gradient that is zero throughout
    not_zero = [row for row in groups["right"] if "planted" in row]
    for name, some in (groups | {"right, and not zero throughout": not_zero}).items():
        verdicts = Counter(row["verdict"] for row in some)
        peer = Counter(row.get("gradcheck", "exception") for row in some)
        counts = [verdicts[verdict] for verdict in VERDICTS]
        counts.append(len(some) - sum(counts))
        counts += [peer["passes"], peer["fails"], len(some) - peer["passes"] - peer["fails"]]
        yield [name, str(len(some)), *(share(n, len(some)) for n in counts)]


def by_rightness(rows: list[Row]) -> dict[str, list[Row]]:
    right = [row for row in rows if row["name"] not in NOT_RIGHT]
    return {"right": right, "not right": [row for row in rows if row["name"] in NOT_RIGHT]}


def planted_rows(rows: list[Row]) -> Iterable[list[str]]:
    """Yield the head, then of each planted mistake what is said of it, where the sample is right.

    Only samples count whose gradient is a MATCH as it is.
    """
    yield ["mistake", "planted", "MISMATCH", "UNRESOLVED", "MATCH", "gradcheck fails", "passes"]
    for mistake in MISTAKES:
        found = [
            row["planted"]
            for row in by_rightness(rows)["right"]
            if row["verdict"] == "MATCH" and row.get("mistake") == mistake
        ]
        ours = Counter(one["verdict"] for one in found)
        peer = Counter(one["gradcheck"] for one in found)
        counts = [ours["MISMATCH"], ours["UNRESOLVED"], ours["MATCH"]]
        counts += [peer["fails"], peer["passes"]]
        yield [mistake, str(len(found)), *(share(n, len(found)) for n in counts)]


def reason_rows(rows: list[Row]) -> Iterable[list[str]]:
    """Yield the head, then each reason of UNRESOLVED and each exception, with the operators."""
    yield ["", "samples", "operators"]
    names = defaultdict[str, list[str]](list)
    for row in by_rightness(rows)["right"]:
        if row["verdict"] != "MATCH":
            names[reason_of(row)].append(row["name"])
    for reason, of_reason in sorted(names.items(), key=lambda item: -len(item[1])):
        operators = ", ".join(f"`{name}`" for name in dict.fromkeys(of_reason))
        yield [reason, str(len(of_reason)), operators]


def reason_of(row: Row) -> str:
    """Return the beginning of the reason for an UNRESOLVED, or the exception with its text."""
    if "arrays" in row:
        reasons = [reason for _, reason in row["arrays"].values() if reason]
        first = reasons[0] if reasons else "flagged"
        return f"{row['verdict']}: {first.partition(':')[0].partition('.')[0]}"
    path, is_, what = row.get("text", "").replace("\n", " ").replace("|", "\\|").partition(" is ")
    text = f": … is {what}" if is_ else f": {path}" if path else ""
    return row["verdict"] + text


def time_rows(rows: list[Row]) -> Iterable[list[str]]:
    """Yield the head, then the times of all samples, and of some sizes."""
    yield ["samples", "number", "ours, in sum", "gradcheck", "ratio of sums", "median of ratios"]
    timed = [row for row in rows if row["verdict"] in VERDICTS and "gradcheck" in row]
    for name, some in (
        ("all", timed),
        (f"up to {ENTRIES:,} entries", [row for row in timed if row["entries"] <= ENTRIES]),
        (f"above {LARGE} entries", [row for row in timed if row["entries"] > LARGE]),
    ):
        if some:
            ours, peer = (sum(row[key] for row in some) for key in SECONDS)
            ratios = [row[SECONDS[0]] / row[SECONDS[1]] for row in some]
            cells = f"{ours:.1f} s", f"{peer:.1f} s", f"{ours / peer:.2f}", f"{median(ratios):.2f}"
            yield [name, str(len(some)), *cells]


SECONDS = ("seconds", "gradcheck seconds")

PAGE = """# PyTorch's own operators
`{command}`, with the extra `peers`: {machine}; torch {torch}, numpy {numpy}.

PyTorch ships a database of its operators with sample inputs. Here are {operators} operators that
have derivatives in float64, with up to {count} samples of each, from the first to the last that has
at most {entries:,} entries: {samples:,} gradients by `check_function`, and by
`torch.autograd.gradcheck` at its defaults, in turns on one thread.

![time of a check beside gradcheck, and verdicts](operators.png)

## Verdicts

{verdict_table}

## What it found in PyTorch {torch}
One sixth has the digits of float32 in the gradient of hardsigmoid, in float64:

```python
>>> import torch
>>> x = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
>>> torch.autograd.grad(torch.nn.functional.hardsigmoid(x), x)[0].item()
0.1666666716337204

```

The gradient of as_strided_scatter is that of the entries that are overwritten, not of the others:

```python
>>> x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
>>> y = torch.as_strided_scatter(x, torch.tensor([10.0]), (1,), (1,))
>>> y.tolist(), torch.autograd.grad(y.sum(), x)[0].tolist()  # [0, 1, 1] is right
([10.0, 2.0, 3.0], [1.0, 0.0, 0.0])

```

native_group_norm returns the mean too, and drops its gradient unless a loss uses the last output,
1/σ, as well:

```python
>>> x = torch.arange(6.0).reshape(1, 2, 3).requires_grad_()
>>> out, mean, rstd = torch.native_group_norm(x, None, None, 1, 2, 3, 1, 1e-5)
>>> options = {{"retain_graph": True, "materialize_grads": True}}
>>> for loss in mean.sum(), mean.sum() + 0 * rstd.sum():
...     round(torch.autograd.grad(loss, x, **options)[0].sum().item(), 6)
0.0
1.0

```

Where max_unpool puts two entries in one place, one of them counts, but both get a gradient:

```python
>>> x = torch.tensor([[1.0, 2.0]], requires_grad=True)
>>> y = torch.nn.functional.max_unpool1d(x, torch.tensor([[0, 0]]), 2)
>>> y.count_nonzero().item(), torch.autograd.grad(y.sum(), x)[0].tolist()
(1, [[1.0, 1.0]])

```

normal has no gradient by mean and std, though with a fixed seed its result moves with them:

```python
>>> def drawn(mean):
...     generator = torch.manual_seed(0)
...     return torch.normal(mean, 1.0)
>>> mean = torch.tensor([1.0], requires_grad=True)
>>> (drawn(mean + 1) - drawn(mean)).item(), torch.autograd.grad(drawn(mean), mean)[0].item()
(1.0, 0.0)

```

## Planted mistakes
Each sample is checked once more with a mistake in the gradient by one input, in turns: one entry of
it 0.1 % too large, one entry zero, or all entries 0.1 % too large. The entry has at least 1 %
of the largest. Where the gradient without it is a MATCH:

{planted_table}

gradcheck's rtol is 10⁻³ and its atol 10⁻⁵, so that 0.1 % passes. UNRESOLVED are {unresolved}: they
jump close to the point, as where an elimination takes another pivot.

## What is not a MATCH, though right

Where every entry of an input's gradient is zero, no relative error is known, so nothing is
compared: a check that passed there would pass a backward pass that was never written. Where a
function jumps close to the point, its estimate is not believed.

{reason_table}

## Time
Seconds of the processor, in one process.

{time_table}

## Not right
The operators whose gradient is not the derivative where the database samples them:

{not_right_table}
"""


def page_of(rows: list[Row], command: str, count: int) -> str:
    """Return the page as markdown."""
    unresolved = {
        row["name"]
        for row in by_rightness(rows)["right"]
        if row["verdict"] == "MATCH" and row.get("planted", {}).get("verdict") == "UNRESOLVED"
    }
    return PAGE.format(
        command=command,
        machine=f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
        torch=version("torch"),
        numpy=version("numpy"),
        operators=len({row["name"] for row in rows}),
        samples=len(rows),
        count=count,
        entries=ENTRIES,
        verdict_table=table(verdict_rows(rows)),
        planted_table=table(planted_rows(rows)),
        unresolved=listed([f"`{name}`" for name in sorted(unresolved)]),
        reason_table=table(reason_rows(rows)),
        time_table=table(time_rows(rows)),
        not_right_table=table(
            [["operator", "why"], *([f"`{name}`", why] for name, why in sorted(NOT_RIGHT.items()))]
        ),
    )


def draw(rows: list[Row], picture: Path) -> None:
    """Save the times of samples beside gradcheck's, by verdict."""
    from matplotlib import pyplot as plt

    timed = [row for row in rows if row["verdict"] in VERDICTS and "gradcheck" in row]
    figure, axis = plt.subplots(figsize=(9, 5), layout="tight")
    for verdict, color in zip(VERDICTS, ("C0", "C1", "C3"), strict=True):
        some = [row for row in timed if row["verdict"] == verdict]
        ratios = [row[SECONDS[0]] / row[SECONDS[1]] for row in some]
        axis.loglog(
            [row["entries"] for row in some],
            ratios,
            linestyle="",
            marker="o",
            markersize=4,
            alpha=0.5,
            color=color,
            label=f"{verdict}, {len(some)}",
        )
    axis.axhline(1, color="black", linewidth=1)
    axis.set(
        xlabel="entries",
        ylabel="time of check_function / time of gradcheck",
        title="PyTorch's operators: one check beside gradcheck",
    )
    axis.grid(alpha=0.3)
    axis.legend()
    figure.savefig(picture, dpi=72, metadata={"Software": None}, pil_kwargs={"optimize": True})
    plt.close(figure)
