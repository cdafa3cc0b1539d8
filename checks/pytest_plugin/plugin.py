"""The pytest plugin: what to check, what to waive, and a report of every check in a session.

Every pytest run of an environment imports this, so numpy and Hypothesis are imported where they
are needed.
"""

import os
import re
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from checks.pytest_plugin.annotations import annotation
from checks.pytest_plugin.options import (
    add_options,
    option_plots,
    option_report,
    option_target,
    option_waivers,
)
from checks.pytest_plugin.records import Tally, blas, check_record, write_document
from checks.pytest_plugin.waivers import Waiver, unknown_waivers
from checks.report.session import context, listeners

if TYPE_CHECKING:
    from checks.conformance.targets.target import Target
    from checks.report.report import Report

SUITE = Path(__file__).parents[1] / "conformance" / "suite"
GATE = pytest.StashKey["Gate"]()
RECORDS = "gradient_gate"  # the attribute of a test's report that holds those of its checks


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Load what was named."""
    config.stash[GATE] = gate = Gate(config)
    config.pluginmanager.register(gate, "gradient-gate-session")


@pytest.fixture(scope="session")
def gradient_target(pytestconfig: pytest.Config) -> "Target":
    """Return the target of --gradient-target, or else the built-in reference."""
    from checks.conformance.targets.target import reference_target

    return pytestconfig.stash[GATE].target or reference_target()


class Gate:
    """One session.

    Under pytest-xdist the workers attach records to the reports of tests that they send, and the
    controller counts and writes.
    """

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.target = option_target(config)
        self.waivers = option_waivers(config)
        self.report = option_report(config)
        self.plots = option_plots(config)
        # where the tests run, of the present one: its checks, and the last that was no MATCH
        self.finished: list[dict[str, Any]] = []
        self.unmatched: Report | None = None
        # where they are counted
        self.counts = not hasattr(config, "workerinput")
        self.tally = Tally()
        self.checks: list[dict[str, Any]] = []
        self.waived: list[dict[str, str]] = []
        self.annotations: list[str] = []
        self.trouble = ""
        # a session inside a test of this one has checks of its own
        self.listeners_outside = listeners[:]
        listeners[:] = [self.listen]

    def pytest_unconfigure(self) -> None:
        """Stop listening."""
        listeners[:] = self.listeners_outside

    # Where the tests run.

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Complain of waivers of tests that do not exist, where the whole suite was collected."""
        suite = [item for item in items if item.path.parent == SUITE]
        whole = suite and {item.path for item in suite} == set(SUITE.glob("test_*.py"))
        some = any("::" in arg for arg in self.config.args) or self.config.getoption("lf", False)
        if whole and not some:
            tests = [_test_id(item) for item in suite]
            complaints = "\n".join(unknown_waivers(self.waivers.values(), tests))
            if not self.counts:  # a worker's error is an internal one: the controller says it
                self.config.workeroutput[RECORDS] = complaints  # type: ignore[attr-defined]
            elif complaints:
                raise pytest.UsageError(complaints)

    def pytest_runtest_logstart(self) -> None:
        """Begin a test: nothing is checked yet."""
        self.finished, self.unmatched = [], None
        context.clear()

    def listen(self, report: "Report") -> None:
        """Keep a record of a check that has finished."""
        self.finished.append(check_record(report, context))
        if not report:
            self.unmatched = report  # Hypothesis ends with the smallest

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Attach the records of the test; let waivers count, and the suite's texts stand alone."""
        report = yield
        in_suite = item.path.parent == SUITE
        error = call.excinfo.value if call.excinfo else None
        if in_suite and report.failed and isinstance(error, AssertionError):
            report.longrepr = str(error)
        kept: dict[str, Any] = {"checks": self.finished}
        self.finished = []
        if in_suite and call.when == "call" and _test_id(item) in self.waivers:
            kept["waived"] = _waive(report, self.waivers[_test_id(item)])
        if report.failed and (in_suite or self.unmatched is not None):
            kept["place"] = self._place(item)
        if report.failed and self.unmatched is not None and self.plots:
            report.sections.append(("gradient-gate", self._draw(self.unmatched, report.nodeid)))
        if any(kept.values()):
            setattr(report, RECORDS, kept)  # pytest-xdist sends it along
        return report

    def _draw(self, unmatched: "Report", nodeid: str) -> str:
        """Draw a check, and return where the picture is."""
        assert self.plots is not None
        name = re.sub(r"[^\w.-]+", "-", nodeid.rpartition("/")[2])[:120].strip("-")
        path = self.plots / f"{name}.png"
        try:
            unmatched.plot().savefig(path)
        except (OSError, ValueError) as error:
            return f"no picture: {error}"
        return f"a picture of the check is {path}"

    def _place(self, item: pytest.Item) -> tuple[str, int]:
        """Return file and line of the gradient that is wrong if it is known, else of the test."""
        target = self.target if item.path.parent == SUITE else None
        code = target and getattr(target.gradient or target.step, "__code__", None)
        if code:
            return code.co_filename, code.co_firstlineno
        return str(item.path), (item.location[1] or 0) + 1

    # Where they are counted.

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take the complaint of a worker of pytest-xdist."""
        self.trouble = getattr(node, "workeroutput", {}).get(RECORDS) or self.trouble

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count the checks of a test, or of a part of it."""
        kept = getattr(report, RECORDS, None)
        if kept is None or not self.counts:
            return
        delattr(report, RECORDS)  # the terminal keeps every report
        for check in kept["checks"]:
            self.tally.add(check)
            if self.report:
                self.checks.append({"id": report.nodeid, **check})
        if kept.get("waived"):
            self.tally.waived += 1
            self.waived.append({"id": report.nodeid, "reason": kept["waived"]})
        if kept.get("place"):
            self.annotations.append(annotation(report, *kept["place"]))

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write the report; where that fails the session still says everything else."""
        if self.report and self.counts:
            name = self.target.name if self.target else None
            try:
                write_document(self.report, name, self.checks, self.waived)
            except OSError as error:
                self.trouble = f"--gradient-report cannot be written: {error}"
        if self.trouble and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.USAGE_ERROR

    # What is said.

    def pytest_report_header(self) -> str | None:
        """Say what is checked, if anything is asked for."""
        suite = any("checks.conformance" in arg.replace(os.sep, ".") for arg in self.config.args)
        if self.target is None and not suite:
            return None
        from hypothesis import settings

        from checks.conformance.targets.target import reference_target

        target = self.target or reference_target()
        functions = [name for name in ("cost", "gradient", "step") if getattr(target, name)]
        return (
            f"gradient-gate: target {target.name} ({' and '.join(functions)}; "
            f"{target.activation}, {target.cost_name}), "
            f"float64 and float32, Hypothesis profile {settings.get_current_profile_name()}, "
            f"BLAS {blas() or 'unknown'}"
        )

    def summary(self) -> list[str]:
        """Return the totals as one line, if anything was checked, and annotations for GitHub."""
        lines = [str(self.tally)] if self.tally else []
        if self.trouble:
            lines.append(self.trouble)
        if os.environ.get("GITHUB_ACTIONS") == "true":
            lines += self.annotations
        return lines

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the summary."""
        for line in self.summary():
            terminalreporter.write_line(line)


def _test_id(item: pytest.Item) -> str:
    return item.nodeid.partition("::")[2]


def _waive(report: pytest.TestReport, waiver: Waiver) -> str | None:
    """Turn a failure into an expected one, and return the reason; anything else is a failure."""
    if report.failed:
        report.outcome = "skipped"
        report.wasxfail = f"waived in {waiver.place}: {waiver.reason}"
        return waiver.reason
    how = "passes" if report.passed else "is skipped"
    report.outcome = "failed"
    report.longrepr = f"{waiver.test} is waived in {waiver.place}, but it {how}: delete the line"
    if hasattr(report, "wasxfail"):  # with it, pytest would count no failure
        del report.wasxfail
    return None
