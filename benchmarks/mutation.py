"""Whether the tests notice small changes of the code: ``python -m benchmarks.mutation PATH...``.

Draws changes (`benchmarks.mutants`) of the files given, or of all files in a folder. Each is made
alone, in a copy of the working tree, and tests run: those named after the file, as test_noise*.py
for noise.py; if these pass, the others of its folder, and then of its package, or those of
``--tests``. The fastest files of tests come first, and the first failure ends a run. A change that
makes the tests run several times as long counts as caught.
"""

import argparse
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, count
from pathlib import Path
from queue import SimpleQueue

from benchmarks.mutants import changes

__all__ = ["main", "ran", "rounds", "seconds_by_file"]

NOT_COPIED = (".git", "__pycache__", ".venv*", "*_cache", ".hypothesis", "build", "dist")
OPTIONS = ("-x", "-q", "-p", "no:cacheprovider", "--hypothesis-profile=ci", "--hypothesis-seed=0")
DURATION = re.compile(r"^([\d.]+)s \w+ +(\S+?)::", re.MULTILINE)  # as pytest prints it


def rounds(path, further=None):
    """Return the files of tests to run for a file: first the nearest, then others if it survives.

    No file of tests is in two rounds.
    """
    folder, done, found = Path("tests", path.parent), set(), []
    folders = [f for f in (folder, *folder.parents) if f.is_dir() and f.parts]
    # not all tests, unless no folder of them has the name of the package
    groups = [map(Path, further)] if further else [[each] for each in folders[:-1] or folders]
    for group in ([*folder.glob(f"test_{path.stem}*.py")], *groups):
        files = {
            str(f) for each in group for f in (each.rglob("test_*.py") if each.is_dir() else [each])
        }
        found.append(tuple(sorted(files - done)))
        done |= files
    return [files for files in found if files]


def seconds_by_file(printed):
    """Return how many seconds pytest says that each file of tests took."""
    seconds = Counter()
    for taken, file in DURATION.findall(printed):
        seconds[file] += float(taken)
    return seconds


def ran(copy, tests, limit=None):
    """Return how the tests of a copy end, and what they print."""
    # PYTHONPATH puts the copy before an installed package. No bytecode is written: for another
    # change within the same second, Python would run the old bytecode.
    env = os.environ | {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", *OPTIONS, "--durations=0", *tests]
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen(command, cwd=copy, env=env, stdin=subprocess.DEVNULL,
                                   stdout=out, stderr=out, start_new_session=True)  # fmt: skip
        try:
            end = "caught" if process.wait(limit) else "survived"
        except subprocess.TimeoutExpired:
            end = "timed out"
        finally:
            if process.poll() is None:  # end it with all processes that it has started
                os.killpg(process.pid, signal.SIGKILL) if os.name == "posix" else process.kill()
                process.wait()
        out.seek(0)
        return end, out.read().decode(errors="replace")


def main(argv=None):
    parser = argparse.ArgumentParser("benchmarks.mutation", description=__doc__)
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH")
    parser.add_argument("--count", type=int, default=50, help="how many changes (50)")
    parser.add_argument("--seed", type=int, default=0, help="of the draw (0)")
    parser.add_argument("--tests", nargs="+", help="files or folders, for what survives its own")
    parser.add_argument("--jobs", type=int, default=1, help="copies at the same time (1)")
    asked, root = parser.parse_args(argv), Path.cwd().resolve()
    files = set()
    for path in asked.paths:
        files.update(path.resolve().rglob("*.py") if path.is_dir() else [path.resolve()])
    known = [change for file in sorted(files) for change in changes(file.relative_to(root))]
    drawn = random.Random(asked.seed).sample(known, min(asked.count, len(known)))
    ends, copies = dict.fromkeys(drawn, "survived"), SimpleQueue()
    turns = {change: rounds(change.path, asked.tests) for change in drawn}
    seconds = Counter()

    def end(change, tests):
        tests = sorted(tests, key=seconds.__getitem__)
        # some seconds are for the start of pytest and other work of the machine
        limit = 4 * sum(seconds[file] for file in tests) + 10
        copy = copies.get()
        try:
            (copy / change.path).write_bytes(change.applied())
            ends[change] = ran(copy, tests, limit)[0]
        finally:
            (copy / change.path).write_bytes(change.source)
            copies.put(copy)
        print(f"{ends[change]}: {change}", file=sys.stderr, flush=True)

    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        ThreadPoolExecutor(asked.jobs) as pool,
    ):
        for job in range(asked.jobs):
            copy = Path(folder, str(job))
            copies.put(shutil.copytree(root, copy, ignore=shutil.ignore_patterns(*NOT_COPIED)))
        for turn in count():
            todo = {
                change: of_file[turn]
                for change, of_file in turns.items()
                if ends[change] == "survived" and turn < len(of_file)
            }
            if not todo:
                break
            tests = sorted(set(chain(*todo.values())))
            found, printed = ran(copy, tests)
            if found != "survived":
                sys.exit(f"{printed}\n{' '.join(tests)}: fails with nothing changed")
            seconds |= seconds_by_file(printed)
            list(pool.map(end, todo, todo.values()))

    counts = [[*ends.values()].count(e) for e in ("caught", "timed out", "survived")]
    print("{} caught, {} timed out, {} survived".format(*counts), end="")
    print(f": {1 - counts[2] / max(1, len(drawn)):.0%} of {len(drawn)} of {len(known)} changes")
    print(*(change for change in drawn if ends[change] == "survived"), sep="\n")


if __name__ == "__main__":
    main()
