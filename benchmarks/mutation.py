"""Whether the tests notice small changes of the code: ``python -m benchmarks.mutation PATH...``.

Draws changes (`benchmarks.mutants`) of the files given, or of all files in a folder. Each is made
alone, in a copy of the working tree, and tests run: those named after the file, as test_noise*.py
for noise.py; if these pass, those of its folder and then of its package, or those of ``--tests``. A
change that makes them run several times as long counts as caught.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

from benchmarks.mutants import changes

__all__ = ["main", "ran", "rounds"]

NOT_COPIED = (".git", "__pycache__", ".venv*", "*_cache", ".hypothesis", "build", "dist")
OPTIONS = ("-x", "-q", "-p", "no:cacheprovider", "--hypothesis-profile=ci", "--hypothesis-seed=0")


def rounds(path, further):
    """Return the tests to run for a file: first the nearest, then others for what survives."""
    folder, package = Path("tests", path.parent), Path("tests", path.parts[0])
    own = sorted(folder.glob(f"test_{path.stem}*.py"))
    rooms = [room for room in (folder, *folder.parents) if len(room.parts) > 2 and room.exists()]
    others = (
        [further] if further else [rooms[:1], [package if package.is_dir() else package.parent]]
    )
    return list(dict.fromkeys(tuple(map(str, some)) for some in (own, *others) if some))


def ran(copy, tests, limit=None):
    """Return how the tests of a copy end, after how many seconds, and what they print."""
    # PYTHONPATH puts the copy before an installed package. No bytecode is written: for another
    # change within the same second, Python would run the old bytecode.
    env = os.environ | {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    command, begun = [sys.executable, "-m", "pytest", *OPTIONS, *tests], time.perf_counter()
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
        return end, time.perf_counter() - begun, out.read().decode(errors="replace")


def main(argv=None):
    parser = argparse.ArgumentParser("benchmarks.mutation", description=__doc__)
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH")
    parser.add_argument("--count", type=int, default=50, help="how many changes (50)")
    parser.add_argument("--seed", type=int, default=0, help="of the draw (0)")
    parser.add_argument("--tests", nargs="+", help="for what survives those of its name")
    parser.add_argument("--jobs", type=int, default=1, help="copies at the same time (1)")
    asked, root = parser.parse_args(argv), Path.cwd().resolve()
    files = set()
    for path in asked.paths:
        files.update(path.resolve().rglob("*.py") if path.is_dir() else [path.resolve()])
    known = [change for file in sorted(files) for change in changes(file.relative_to(root))]
    drawn = random.Random(asked.seed).sample(known, min(asked.count, len(known)))
    ends, limits, copies = dict.fromkeys(drawn, "survived"), {}, SimpleQueue()

    def end(change, tests):
        copy = copies.get()
        try:
            (copy / change.path).write_bytes(change.applied())
            ends[change] = ran(copy, tests, limits[tests])[0]
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
        for turn in range(3):
            left = {c: rounds(c.path, asked.tests)[turn:] for c in drawn if ends[c] == "survived"}
            todo = {change: tests[0] for change, tests in left.items() if tests}
            for tests in sorted(set(todo.values())):
                found, seconds, printed = ran(copy, tests)
                if found != "survived":
                    sys.exit(f"{printed}\n{' '.join(tests)}: fails with nothing changed")
                limits[tests] = 4 * seconds + 5  # some seconds for other work of the machine
            list(pool.map(end, todo, todo.values()))

    counts = [list(ends.values()).count(e) for e in ("caught", "timed out", "survived")]
    print("{} caught, {} timed out, {} survived".format(*counts), end="")
    print(f": {1 - counts[2] / max(1, len(drawn)):.0%} of {len(drawn)} of {len(known)} changes")
    print(*(change for change in drawn if ends[change] == "survived"), sep="\n")


if __name__ == "__main__":
    main()
