"""The pytest plugin, in sessions of its own."""

import ast
import inspect
import json
import re
import subprocess
import sys
from importlib.metadata import entry_points
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest

import checks
from checks.conformance.targets.target import EXAMPLE
from checks.pytest_plugin import annotations, options, plugin

ROOT = Path(checks.__file__).parents[1]

TESTS = """
import numpy as np
from checks import assert_gradient, check_gradient, check_step, check_vjp
from checks.report.session import describe

def cost(p):
    return (p ** 2).sum()

AT = np.array([0.5, 0.75, 1.0])

def test_right():
    describe(sizes=(3, np.int64(2)), samples=4, regime="ordinary", seed=5, dtype="float64",
             reproduction="never")
    assert_gradient(cost, lambda p: 2 * p, AT)

def test_wrong():
    describe(sizes=(3, 2), reproduction=lambda: "print('again')")
    assert_gradient(cost, lambda p: 3 * p, AT)  # wrong on purpose

def test_others():
    assert check_step(cost, lambda p, rate: p - rate * 2 * p, AT)
    assert check_vjp(lambda p: 2 * p, lambda p, u: 2 * u, AT)
    assert not check_gradient(cost, lambda p: p * np.nan, AT)  # wrong on purpose
    assert not check_gradient(lambda p: 1.0, lambda p: p, AT)  # wrong on purpose
"""

SUITE = """
import pytest

def test_holds(): pass

def test_does_not_hold():
    raise AssertionError("the text stands alone")

@pytest.mark.parametrize("dtype", ["float32"])
def test_of(dtype):
    raise ValueError("of the target")

def test_does_not_apply():
    pytest.skip("no step")

def test_is_excused():
    pytest.xfail("rounding")
"""


@pytest.fixture
def run(pytester, monkeypatch):
    """Run pytest in a directory with the tests and the suite above, and a target in example.py."""
    pytester.makepyfile(test_some=TESTS, example=EXAMPLE)
    suite = pytester.mkdir("suite")
    suite.joinpath("test_suite.py").write_text(SUITE, encoding="utf-8")
    # set for this process, and by a conftest.py for the workers of pytest-xdist
    monkeypatch.setattr(plugin, "SUITE", suite)
    pytester.makeconftest(
        "import pathlib, checks.pytest_plugin.plugin\n"
        "checks.pytest_plugin.plugin.SUITE = pathlib.Path(__file__).parent / 'suite'\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # for the workers
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    installed = entry_points(group="pytest11", name="gradient_gate")
    name = "gradient_gate" if installed else "checks.pytest_plugin.plugin"
    return lambda *options: pytester.runpytest_inprocess(
        "-p", name, "-p", "no:benchmark", "-p", "no:cacheprovider", *options
    )


def schema():
    return json.loads(files("checks.report").joinpath("schema.json").read_text(encoding="utf-8"))


def strict(path):
    """Read JSON, refusing NaN and Infinity, which Python would accept."""

    def refuse(word):
        raise AssertionError(f"{word} in {path}")

    return json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)


def summary(result):
    (line,) = (line for line in result.outlines if line.startswith("gradient-gate: "))
    return line


# Imports.


IMPORT = """
import pytest, sys, time
sys.pycache_prefix, sys.dont_write_bytecode = sys.argv[1], False  # compiled, as if installed
before = set(sys.modules)
times = []
for _ in range(5):
    for name in set(sys.modules) - before:
        del sys.modules[name]
    started = time.perf_counter()
    import checks.pytest_plugin.plugin
    times.append(time.perf_counter() - started)
print(min(times), *set(sys.modules) - before)
"""


def test_the_plugin_is_imported_fast(tmp_path):
    command = [sys.executable, "-c", IMPORT, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    seconds, *modules = done.stdout.split()
    assert float(seconds) < 0.02
    assert "checks.pytest_plugin.plugin" in modules
    assert not {"numpy", "hypothesis", "backprop", "checks.gradient"} & set(modules)


def test_a_run_without_the_gate_imports_nothing_heavy(run, pytester):
    pytester.makepyfile(
        test_light="""
        import sys
        def test_light():
            assert not {"numpy", "backprop", "checks.gradient"} & set(sys.modules)
        """
    )
    command = [sys.executable, "-m", "pytest", "-p", "checks.pytest_plugin.plugin", "test_light.py"]
    command += ["--disable-plugin-autoload", "--noconftest", "-p", "no:cacheprovider"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "gradient-gate: " not in done.stdout


def test_the_package_is_lazy_and_complete():
    tree = ast.parse(inspect.getsource(checks))
    (typed,) = (node for node in tree.body if isinstance(node, ast.If))
    homes = {
        node.module.removeprefix("checks."): tuple(alias.name for alias in node.names)
        for node in typed.body
    }
    assert homes == checks._MODULES
    assert sorted(name for names in homes.values() for name in names) == checks.__all__
    assert set(checks.__all__) <= set(dir(checks))
    for name in checks.__all__:
        assert getattr(checks, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'check_gradeint'"):
        _ = checks.check_gradeint


# The target.


@pytest.mark.parametrize("options", [(), ("--collect-only", "-q"), ("-k", "right")])
def test_a_bad_target_is_a_usage_error(run, options):
    result = run("--gradient-target=exampel", *options)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    message, advice, *others = result.stderr.lines
    assert message.startswith("ERROR: --gradient-target: there is no module 'exampel' in ")
    assert message.endswith("did you mean 'example'?")
    assert advice == "`python -m checks --help` shows a whole target."
    assert not any(others)


@pytest.mark.parametrize("spec", ["", "test_some"])
def test_an_empty_target_and_one_without_functions(run, spec):
    result = run(f"--gradient-target={spec}", "--collect-only", "-q")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "Traceback" not in result.stderr.str()


def test_the_fixture_and_the_header(run, pytester):
    pytester.makepyfile(test_it="def test(gradient_target): print('it is', gradient_target.name)")
    result = run("-s", "test_it.py")
    result.stdout.fnmatch_lines(["*it is the reference's matrix_form"])
    result.stdout.no_fnmatch_line("gradient-gate: *")
    result = run("-s", "test_it.py", "--gradient-target=example.py")
    result.stdout.fnmatch_lines(
        [
            "gradient-gate: target example.py (cost and gradient), Hypothesis profile *, BLAS *",
            "It takes 1 to 7 layers; one output or several; one sample or several; y of any num*",
            "*it is example.py",
        ]
    )


@pytest.mark.parametrize(
    ("arguments", "runs_suite"),
    [
        (["suite"], True),
        (["suite/test_suite.py::test_holds"], True),
        (["--pyargs", "checks.conformance"], True),
        (["--pyargs", "checks.conformance.suite.test_gradient"], True),
        ([str(plugin.CONFORMANCE)], True),
        ([], False),
        (["tests/checks/conformance"], False),
    ],
)
def test_the_header_is_of_runs_of_the_suite(run, pytester, arguments, runs_suite):
    tests = pytester.path / "tests" / "checks" / "conformance"
    tests.mkdir(parents=True)
    tests.joinpath("test_it.py").write_text("def test(): pass", encoding="utf-8")
    # the suite itself must be collected without this repository's own settings
    settings = f"--config-file={pytester.makeini('[pytest]')}"
    result = run("--collect-only", "--noconftest", settings, *arguments)
    assert result.ret == 0
    headers = [line for line in result.outlines if line.startswith("gradient-gate: target ")]
    assert len(headers) == runs_suite


def test_settings_are_relative_to_their_file(run, pytester):
    pytester.makeini(
        "[pytest]\ngradient_target = sub/net.py\ngradient_waivers = sub/waivers.txt\n"
        "gradient_report = sub/report.json\n"
    )
    sub = pytester.mkdir("sub")
    sub.joinpath("net.py").write_text(EXAMPLE, encoding="utf-8")
    sub.joinpath("waivers.txt").write_text("test_does_not_hold  not yet\n", encoding="utf-8")
    result = run("--rootdir=.", "suite", "-k", "hold")
    result.assert_outcomes(passed=1, xfailed=1)
    document = strict(sub / "report.json")
    jsonschema.validate(document, schema())
    assert document["target"] == "sub/net.py"
    assert document["waived"] == [
        {"id": "suite/test_suite.py::test_does_not_hold", "reason": "not yet"}
    ]


# The report.


def test_reports_every_check(run, pytester):
    result = run("test_some.py", "--gradient-report=report.json", "--junitxml=junit.xml")
    result.assert_outcomes(passed=2, failed=1)
    document = strict(pytester.path / "report.json")
    jsonschema.Draft202012Validator.check_schema(schema())
    jsonschema.validate(document, schema())
    found = document["checks"]
    assert [check["id"].partition("::")[2] for check in found] == [
        *["test_others"] * 4,
        "test_right",
        "test_wrong",
    ]
    right, wrong = found[-2:]
    context = ("sizes", "samples", "regime", "dtype", "problem_seed", "verdict", "reproduction")
    assert [right[name] for name in context] == [[3, 2], 4, "ordinary", "float64", 5, "MATCH", None]
    assert [wrong[name] for name in context] == [
        *([3, 2], None, None, None, None),
        *("MISMATCH", "print('again')"),
    ]
    assert wrong["worst"]["claimed"] == 3.0
    assert wrong["worst"]["numeric"] == pytest.approx(2.0)
    nan, unseen = found[2:4]
    assert (nan["sizes"], nan["worst"]["claimed"], nan["discrepancy"]) == (None, "nan", "inf")
    assert unseen["verdict"] != "MATCH"
    counts = re.fullmatch(
        r"gradient-gate: 6 checks, 18 entries compared, \d match \(discrepancy at most "
        r"\d[^ ]*, detectable from 1e-08\), \d mismatch(, \d unresolved)?",
        summary(result),
    )
    assert counts, summary(result)
    # the JUnit report must not grow by a line for each check
    assert (pytester.path / "junit.xml").stat().st_size < 3000


def test_workers_report_the_same(run, pytester):
    serial = run("--gradient-report=one.json", waive(pytester, "test_does_not_hold yet"))
    waivers = waive(pytester, "test_does_not_hold yet", "test_of[float64] gone")
    parallel = run("-n2", "--gradient-report=two.json", "--gradient-target=example", waivers)
    serial.assert_outcomes(passed=3, failed=2, skipped=1, xfailed=2)
    parallel.assert_outcomes(passed=3, failed=2, skipped=1, xfailed=2)
    assert summary(serial).endswith("1 waived")
    assert summary(serial) in parallel.outlines
    # only with workers is the unknown waiver reported after the tests
    parallel.stdout.fnmatch_lines(["waivers.txt:2: there is no test test_of[[]float64] to waive*"])
    one, two = strict(pytester.path / "one.json"), strict(pytester.path / "two.json")
    for check in one["checks"] + two["checks"]:
        assert check.pop("seconds") > 0
    assert one["checks"] == two["checks"]
    assert one["waived"] == two["waived"]
    assert len(one["waived"]) == 1


@pytest.mark.parametrize(
    ("options", "counted"),
    [
        (("-q", "-k", "right"), "gradient-gate: 1 check, "),
        (("--collect-only", "-q"), ""),
        (("test_some.py::test_others",), "gradient-gate: 4 checks, "),
    ],
)
def test_counts_what_ran(run, pytester, options, counted):
    result = run("--gradient-report=report.json", *options)
    assert result.ret == 0
    assert (pytester.path / "report.json").exists() == bool(counted)
    if counted:
        assert summary(result).startswith(counted)
    else:
        result.stdout.no_fnmatch_line("gradient-gate: *")


def test_a_report_that_cannot_be_written(run, pytester, monkeypatch):
    for place, said in (
        ("nowhere/report.json", "*cannot be written: no *"),
        ("suite", "*is a dir*"),
    ):
        result = run(f"--gradient-report={place}")
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines([f"ERROR: --gradient-report: {said}"])

    def full(*_):
        raise OSError("the disk is full")

    monkeypatch.setattr(plugin, "write_document", full)
    result = run("--gradient-report=report.json", "-k", "right")
    assert result.ret == pytest.ExitCode.USAGE_ERROR  # found after the tests, which still count
    result.assert_outcomes(passed=1, deselected=7)
    result.stdout.fnmatch_lines(["--gradient-report cannot be written: the disk is full"])


def test_the_session_outside_does_not_hear_the_one_inside(run):
    from checks.report import session

    before = session.listeners[:]
    run("-k", "right")
    assert session.listeners == before


def test_annotations_on_github(run, monkeypatch):
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(Path.cwd()))
    result = run("--gradient-target=example", "-k", "wrong or not_hold")
    suite, wrong = (line for line in result.outlines if line.startswith("::error "))
    assert wrong.startswith("::error file=test_some.py,line=15,title=gradient-gate%3A test_wrong::")
    assert "%0A" in wrong
    assert "MISMATCH" in wrong
    # a failure of the suite is shown at the target's gradient
    assert suite == (
        "::error file=example.py,line=9,title=gradient-gate%3A test_does_not_hold::"
        "the text stands alone"
    )
    assert annotations._escaped("100%, a: b\r\n") == "100%25, a: b%0D%0A"


# The suite.


def test_the_texts_of_the_suite_stand_alone(run):
    result = run("suite", "--junitxml=junit.xml")
    result.assert_outcomes(passed=1, failed=2, skipped=1, xfailed=1)
    result.stdout.fnmatch_lines(["*_ test_does_not_hold _*", "the text stands alone"])
    result.stdout.no_fnmatch_line("*raise AssertionError*")
    result.stdout.fnmatch_lines(["*raise ValueError*"])  # other errors keep their traceback


def waive(pytester, *lines):
    pytester.path.joinpath("waivers.txt").write_text("\n".join(lines), encoding="utf-8")
    return "--gradient-waivers=waivers.txt"


def test_waived_is_not_passed(run, pytester):
    option = waive(
        pytester,
        "# known",
        "",
        "test_does_not_hold  see issue #12",
        "test_of[float32]\tdouble only",
    )
    for selection in (("suite",), ("suite", "-k", "not_hold or of")):
        result = run(option, *selection, "-rx")
        result.stdout.fnmatch_lines(
            ["*2 waived*", "XFAIL *test_does_not_hold - waived in waivers.txt:3: see issue #12*"]
        )
        result.assert_outcomes(
            **(
                {"xfailed": 2, "deselected": 3}
                if "-k" in selection
                else {"xfailed": 3, "passed": 1, "skipped": 1}
            )
        )


def test_a_waiver_without_a_failure_fails(run, pytester):
    option = waive(
        pytester, "test_holds it did not", "test_does_not_apply no", "test_is_excused no"
    )
    result = run(option, "suite")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(failed=5)
    result.stdout.no_fnmatch_line("*waived*waived*")
    result.stdout.fnmatch_lines(
        [
            "test_holds is waived in waivers.txt:1, but it passes: delete the line",
            "test_does_not_apply is waived in waivers.txt:2, but it is skipped: delete the line",
            "test_is_excused is waived in waivers.txt:3, but it is skipped: delete the line",
        ]
    )


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (
            ["test_holds"],
            "--gradient-waivers: waivers.txt:1: test_holds is waived without a reason*",
        ),
        (
            ["test_of a", "#", "test_of b"],
            "*waivers.txt:3: test_of is waived in waivers.txt:1 already",
        ),
        (
            ["test_of a"],
            "waivers.txt:1: there is no test test_of to waive; did you mean test_of[[]fl*",
        ),
        (
            ["test_hold a"],
            "waivers.txt:1: there is no test test_hold to waive; did you mean test_h*",
        ),
        (
            ["test_right a"],
            "waivers.txt:1: there is no test test_right to waive*",
        ),  # not the suite's
    ],
)
def test_a_waiver_that_cannot_be_meant(run, pytester, lines, said):
    result = run(waive(pytester, *lines), "--collect-only", "-q")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {said}"])


def test_waivers_that_cannot_be_read(run, pytester):
    result = run("--gradient-waivers=nowhere.txt")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["ERROR: --gradient-waivers: the waivers in *nowhere.txt cannot be *"]
    )


def test_only_where_the_suite_is_whole_is_a_waiver_unknown(run, pytester):
    option = waive(pytester, "test_of[float64] gone")
    assert run(option, "suite/test_suite.py::test_holds").ret == 0
    assert run(option, "test_some.py", "-k", "right").ret == 0
    assert run(option, "suite", "-k", "holds").ret == pytest.ExitCode.USAGE_ERROR
    assert run(option, "suite", "-p", "cacheprovider", "--lf", "-k", "holds").ret == 0


# Failures of a user's tests.


TABLES = """
import numpy as np
from checks import assert_gradient, check_gradient
from hypothesis import given, strategies as st

def cost(p):
    return (p ** 2).sum()

def check(n, factor):
    return check_gradient(cost, lambda p: factor * p, np.arange(1.0, n + 1))

def test_assert():
    report = check(4, 3)  # wrong on purpose
    assert check(2, 2)
    assert report

def test_assert_gradient():
    assert_gradient(cost, lambda p: 3 * p, np.arange(1.0, 6))  # wrong on purpose

def test_match():
    assert not check(6, 3)  # wrong on purpose
    assert not check(7, 2)

def test_passes():
    assert not check(8, 3)  # wrong on purpose

def test_another_failure():
    assert check(9, 2)
    assert False

@given(st.integers(3, 5))
def test_hypothesis(n):
    assert check(10 * n, 3)  # wrong on purpose
"""


@pytest.mark.parametrize("workers", [(), ("-n1",)])
def test_a_failure_shows_the_whole_table_once(run, pytester, workers):
    pytester.makepyfile(test_tables=TABLES)
    result = run("test_tables.py", *workers)
    result.assert_outcomes(passed=1, failed=5)
    parts = re.split(r"(?m)^_+ (test_\w+) _+$", result.stdout.str().partition("= short test")[0])
    failures = dict(zip(parts[1::2], parts[2::2], strict=True))
    sections = {
        name: re.findall(r"^-+ gradient-gate -+\n(.*)", text, re.MULTILINE | re.DOTALL)
        for name, text in failures.items()
    }
    entries = {
        name: [re.findall(r"^gradient check: MISMATCH +(\d+) entries", table) for table in tables]
        for name, tables in sections.items()
    }
    assert entries == {
        "test_assert": [["4"]],
        "test_assert_gradient": [],
        "test_match": [["6"]],
        "test_another_failure": [],
        "test_hypothesis": [["30"]],
    }
    assert all("numeric ± error" in table for tables in sections.values() for table in tables)
    assert re.search("gradient check: MISMATCH +5 entries", failures["test_assert_gradient"])


# Pictures.


def test_draws_the_checks_of_tests_that_fail(run, pytester, monkeypatch):
    class Figure:
        def savefig(self, path):
            Path(path).write_text("drawn", encoding="utf-8")

    monkeypatch.setattr(checks.Report, "plot", lambda report: Figure(), raising=False)
    monkeypatch.setattr(options, "find_spec", lambda name: name)
    result = run("test_some.py", "--gradient-plots=plots/new")
    result.assert_outcomes(passed=2, failed=1)
    assert [path.name for path in pytester.path.joinpath("plots", "new").iterdir()] == [
        "test_some.py-test_wrong.png"
    ]
    result.stdout.fnmatch_lines(["a picture of the check is *test_some.py-test_wrong.png"])


def test_pictures_need_matplotlib(run, monkeypatch):
    monkeypatch.setattr(options, "find_spec", lambda name: None)
    result = run("--gradient-plots=plots")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["ERROR: --gradient-plots needs matplotlib: *gradient-gate[[]plot]*"]
    )
