"""PyTorch's own operators, by `check_function` and by torch.autograd.gradcheck.

    python -m benchmarks.operators [--names NAME …] [--every N] [--samples 3] [--seconds 300]
                                   [--record operators.jsonl] [--page PAGE PICTURE]

Takes samples of each of 540 operators of the database that ships in torch, in float64, as they are
and with one of three planted mistakes, in turns on one thread. Every sample is a line of the
record. What is there already is not run again, so a run can be interrupted. A sample that takes
longer than --seconds is ended. Needs the extra `peers`, and ten minutes.
"""

import argparse
import json
import multiprocessing
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zlib import crc32

__all__ = ["checked", "main", "of_operator", "rows"]

STARTING = 300  # seconds within which a worker has imported torch and the database


def checked(sample: Any) -> dict[str, Any]:
    """Return what `check_function` and gradcheck say of a sample, and how long they take."""
    import torch
    from torch.autograd.gradcheck import GradcheckError

    from checks.adapters.torch import check_function

    found: dict[str, Any] = {}
    started = time.process_time()
    try:
        report = check_function(sample.function, *sample.inputs, kwargs=sample.kwargs)
        found["verdict"] = report.verdict.name
        if report.verdict:
            found["arrays"] = {
                path: [str(array.worst), array.reason]
                for path, array in report.arrays.items()
                if array.verdict
            }
            found["findings"] = list(report.findings)
        found["detectable"] = report.detectable
    except Exception as error:
        found["verdict"] = type(error).__name__
        found["text"] = str(error)
    found["seconds"] = time.process_time() - started
    started = time.process_time()
    try:
        torch.autograd.gradcheck(sample.of_moved, sample.moved)
        found["gradcheck"] = "passes"
    except GradcheckError as error:
        found["gradcheck"], found["gradcheck text"] = "fails", str(error)
    except Exception as error:
        found["gradcheck"], found["gradcheck text"] = type(error).__name__, str(error)
    found["gradcheck seconds"] = time.process_time() - started
    return found


def of_operator(name: str, op: Any, count: int, done: set[int]) -> Iterator[dict[str, Any]]:
    """Yield before each sample its number and size, then what is found, also of a planted mistake.

    The samples of all operators take the mistakes in turns.
    """
    from benchmarks.operator_samples import MISTAKES, planted, samples

    for n, sample in enumerate(samples(name, op, count), crc32(name.encode())):
        if sample.number in done:
            continue
        row = {"name": name, "number": sample.number, "entries": sample.entries}
        yield row
        sample.of_moved(*sample.moved)  # the first call of an operator is slow
        row = {**row, **checked(sample)}
        mistake = MISTAKES[n % len(MISTAKES)]
        if (wrong := planted(sample, mistake)) is not None:
            row |= {"mistake": mistake, "planted": checked(wrong)}
        yield row


def rows(names: list[str], count: int, seconds: float, done: Any) -> Iterator[dict[str, Any]]:
    """Yield what is found of samples of operators, which run in a process of their own.

    Parameters
    ----------
    names
        Of operators; all if it is empty.
    done : set of tuple of str and int
        Name and number of samples that are left out.
    """
    context = multiprocessing.get_context("spawn")
    done = set(done)
    while True:
        ours, theirs = context.Pipe()
        process = context.Process(target=_work, args=(theirs, names, count, done), daemon=True)
        process.start()
        theirs.close()
        begun, limit = None, STARTING
        try:
            while ours.poll(limit):
                message = ours.recv()
                if message is None:
                    return
                begun, limit = message, seconds
                if "verdict" in message:
                    yield message
                    done.add((message["name"], message["number"]))
                    begun = None
            verdict = "time limit"
        except EOFError:
            verdict = "crash"
        finally:
            process.kill()
            process.join()
        if begun is None:
            raise RuntimeError(f"the process of the operators ended ({verdict}); see above")
        yield {**begun, "verdict": verdict}
        done.add((begun["name"], begun["number"]))


def _work(pipe: Any, names: list[str], count: int, done: set[tuple[str, int]]) -> None:
    import torch

    from benchmarks.operator_samples import operators

    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    for name, op in operators().items():
        if not names or name in names:
            for row in of_operator(name, op, count, {n for other, n in done if other == name}):
                pipe.send(row)
    pipe.send(None)


def main() -> None:
    """Run what the record lacks, and tell what it says."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--names", nargs="*", default=[], help="of operators; all by default")
    parser.add_argument("--every", type=int, default=1, help="take each N-th operator")
    parser.add_argument("--samples", type=int, default=3, help="of each operator")
    parser.add_argument("--seconds", type=float, default=300.0, help="limit for a sample")
    parser.add_argument("--record", type=Path, default=Path("operators.jsonl"))
    parser.add_argument("--page", nargs=2, type=Path, help="write a page and a picture")
    options = parser.parse_args()
    names = options.names
    if options.every > 1:
        from benchmarks.operator_samples import operators

        names = [name for name in operators() if not names or name in names][:: options.every]
    found = []
    if options.record.exists():
        found = [json.loads(line) for line in options.record.read_text("utf-8").splitlines()]
    done = {(row["name"], row["number"]) for row in found}
    with options.record.open("a", encoding="utf-8") as record:
        for row in rows(names, options.samples, options.seconds, done):
            found.append(row)
            record.write(json.dumps(row) + "\n")
            record.flush()
            print(f"{row['name']:40} {row['number']:4} {row['entries']:5} {row['verdict']}")
    from benchmarks.operator_page import draw, page_of

    command = "python -m benchmarks.operators --page docs/operators.md docs/operators.png"
    text = page_of(found, command, options.samples)
    if not options.page:
        print(text)
        return
    page, picture = options.page
    page.write_text(text, encoding="utf-8")
    draw(found, picture)


if __name__ == "__main__":
    main()
