"""The mutation run: it changes what it says, and reports what the tests do not notice."""

import ast
import shutil
import time
from pathlib import Path

import pytest

from benchmarks import mutation
from benchmarks.mutants import changes

CHANGED = {
    "a < b": "a <= b; a >= b",
    "a == b": "a != b",
    "(a) <= (  # b < a\n b)": "(a) < (  # b < a\n b); (a) > (  # b < a\n b)",
    "a not  in b": "a in b",
    "a is not b": "a is b",
    "a and b or c": "a or b or c; a and b and c",
    "δ - a": "δ + a",
    "a @ b**c": "a * b**c; a @ b*c",
    "a /= b": "a *= b",
    "a |= b": "a &= b",
    "not a": " a",
    "-a": "a",
    "0": "1",
    "[0.5, True]": "[1.0, True]; [0.25, True]; [0.5, False]",
    "[3, 64]": "[4, 64]; [2, 64]; [3, 128]; [3, 32]",
    "1e-3j": "0.002j; 0.0005j",
    "abs(a)": "(a)",
    "np.abs(a)": "(a)",
    "np.abs(a, out=b)": "",
    "abs(*a)": "",
    "np.maximum(a, b).min()": "np.minimum(a, b).min(); np.maximum(a, b).max()",
    "a if b else c": "a if not (b) else c",
    "def f(a) -> bool: return a": "def f(a) -> bool: return not (a)",
    "def f(a) -> float: return a": "def f(a) -> float: return -(a)",
    "def f(a) -> str: return a": "",
    # what stays as it is
    '"""One: 1 < 2."""  # 3': "",
    "a: X | None": "",
    "def f(a: X | Y) -> Z | None: pass": "",
    "Shape = X | None": "",
    '"a" + b': "",
    "f'{a + 1}'": "",
    "@cache(1)\ndef f(): pass": "",
    "raise ValueError(a + 1)": "",
    "__all__ = ['min', 'max']": "",
    "if __name__ == '__main__': main(1)": "",
    "zip(a, b, strict=True)": "",
}


@pytest.mark.parametrize(("source", "after"), CHANGED.items())
def test_a_change_is_the_one_expected(source, after, tmp_path):
    path = tmp_path / "code.py"
    path.write_text(source, "utf-8", newline="")
    found = [change.applied().decode() for change in changes(path)]
    assert sorted(found) == sorted(after.split("; ") if after else [])


def test_every_change_of_a_file_leaves_another_program():
    path = Path(mutation.__file__).with_name("mutants.py")
    found = changes(path)
    before = ast.dump(ast.parse(path.read_bytes()))
    assert len(found) > 50
    for change in found[::3]:
        assert ast.dump(ast.parse(change.applied())) != before, change


FILES = {
    "shapes/sides.py": """
def area(w, h):
    return w * h

def margin(w, h):
    return w - h
""",
    "tests/shapes/test_sides.py": "def test_import(): import shapes.sides",
    "tests/shapes/test_more.py": """
from shapes.sides import area, margin

def test_area():
    assert area(2, 3) == 6
    margin(2, 3)
""",
}


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """Two functions: one is tested, and not by the file of its name."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, "utf-8")
    monkeypatch.chdir(tmp_path)
    # without the other plugins each of the runs begins a second earlier
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p hypothesispytest")
    return tmp_path


def test_what_the_tests_do_not_notice_is_reported(tree, capsys):
    mutation.main(["shapes", "--jobs", "2"])
    reported = capsys.readouterr()
    assert reported.out.splitlines() == [
        "1 caught, 0 timed out, 1 survived: 50% of 2 of 2 changes",
        "shapes/sides.py:6: return w - h -> return w + h",
    ]
    assert "caught: shapes/sides.py:3: return w * h -> return w / h" in reported.err.splitlines()
    assert (tree / "shapes" / "sides.py").read_text("utf-8") == FILES["shapes/sides.py"]


def test_tests_that_fail_with_nothing_changed_end_the_run(tree):
    (tree / "tests" / "shapes" / "test_sides.py").write_text("assert False, 'as planted'", "utf-8")
    with pytest.raises(SystemExit, match=r"as planted[^$]*fails with nothing changed"):
        mutation.main(["shapes/sides.py"])


def test_tests_that_hang_are_ended(tree):
    (tree / "tests" / "test_hang.py").write_text("import time\ntime.sleep(60)", "utf-8")
    begun = time.perf_counter()
    end, _ = mutation.ran(tree, ["tests/test_hang.py"], limit=0.3)
    assert end == "timed out"
    assert time.perf_counter() - begun < 30


def test_the_tests_of_its_name_and_of_its_room_come_before_the_others(tree):
    noise, costs, stairs, trial, step, other = files = (
        "tests/checks/estimation/test_noise.py",
        "tests/checks/estimation/test_noise_of_costs.py",
        "tests/checks/estimation/test_stairs.py",
        "tests/checks/conformance/suite/test_trial.py",
        "tests/checks/test_step.py",
        "tests/test_other.py",
    )
    shutil.rmtree("tests")
    for name in files:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()
    expected = {
        "checks/estimation/noise.py": [[noise, costs], [stairs], [trial, step]],
        "checks/estimation/witness.py": [[noise, costs, stairs], [trial, step]],
        "checks/conformance/suite/trial.py": [[trial], [noise, costs, stairs, step]],
        "checks/conformance/naming/faults.py": [[trial], [noise, costs, stairs, step]],
        "checks/step.py": [[step], [trial, noise, costs, stairs]],
        "checks/jacobian.py": [[trial, noise, costs, stairs, step]],
        "benchmarks/peers.py": [[trial, noise, costs, stairs, step, other]],
    }
    for path, groups in expected.items():
        assert mutation.rounds(Path(path)) == [tuple(sorted(group)) for group in groups], path
    further = ["tests/checks/estimation", other]
    assert mutation.rounds(Path("checks/estimation/noise.py"), further) == [
        (noise, costs),
        (stairs, other),
    ]


def test_the_seconds_of_a_file_are_those_of_its_tests():
    printed = """
0.02s call     tests/test_a.py::test_one
0.03s setup    tests/test_a.py::test_two[x::y]
12.00s call     tests/test_b.py::TestIt::test_three
"""
    expected = {"tests/test_a.py": pytest.approx(0.05), "tests/test_b.py": 12}
    assert mutation.seconds_by_file(printed) == expected
