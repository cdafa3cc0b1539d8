"""The pytest plugin: the target, waivers, the report of a session, and what a failure shows.

Every pytest run of an environment imports this file, so numpy and Hypothesis are imported only
inside functions.
"""

import os
import re
import time
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from checks.pytest_plugin.annotations import annotation
from checks.pytest_plugin.options import (
    add_options,
    option_deadline,
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

CONFORMANCE = Path(__file__).parents[1] / "conformance"
SUITE = CONFORMANCE / "suite"
GATE = pytest.StashKey["Gate"]()
RECORDS = "gradient_gate"  # this attribute of a test's report holds the records of its checks
FINDING = "gradient_finding"  # and this one, of a failure, its outcome, rank and short text


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Read the options, and register the hooks of this session."""
    config.stash[GATE] = gate = Gate(config)
    config.pluginmanager.register(gate, "gradient-gate-session")


@pytest.fixture(scope="session")
def gradient_target(pytestconfig: pytest.Config) -> "Target":
    """Return the target of --gradient-target; without one, the built-in reference."""
    from checks.conformance.targets.target import reference_target

    return pytestconfig.stash[GATE].target or reference_target()


class Gate:
    """The hooks and the state of one session.

    Under pytest-xdist the workers attach records to the test reports that they send, and the
    controller counts the records and writes the document.
    """

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.deadline = option_deadline(config)
        self.target = option_target(config)
        self.waivers = option_waivers(config)
        self.report_file = option_report(config)
        self.plot_directory = option_plots(config)
        # the current test: the records of its checks, and its last report that is not a MATCH
        self.records: list[dict[str, Any]] = []
        self.unmatched: Report | None = None
        # the whole session; only one process counts: the controller of pytest-xdist, or the only
        # process where there are no workers
        self.is_counting = not hasattr(config, "workerinput")
        self.tally = Tally()
        self.checks: list[dict[str, Any]] = []
        self.waived: list[dict[str, str]] = []
        self.annotations: list[str] = []
        self.complaint = ""
        # if a test of another session started this one, that session must not record its checks
        self.outer_listeners = listeners[:]
        listeners[:] = [self.listen]

    def pytest_unconfigure(self) -> None:
        """Stop listening, and let an outer session listen again."""
        listeners[:] = self.outer_listeners

    # Hooks of the process that runs the tests.

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Refuse waivers of tests that do not exist, if the whole suite was collected."""
        suite = [item for item in items if item.path.parent == SUITE]
        all_files = suite and {item.path for item in suite} == set(SUITE.glob("test_*.py"))
        selected = any("::" in arg for arg in self.config.args) or self.config.getoption(
            "lf", False
        )
        if all_files and not selected:
            tests = [_test_id(item) for item in suite]
            complaints = "\n".join(unknown_waivers(self.waivers.values(), tests))
            # the worker does not raise: pytest would show its usage error as an internal error
            if not self.is_counting:
                self.config.workeroutput[RECORDS] = complaints  # type: ignore[attr-defined]
            elif complaints:
                raise pytest.UsageError(complaints)

    def pytest_runtest_logstart(self) -> None:
        """Forget the checks of the previous test."""
        self.records, self.unmatched = [], None
        context.clear()

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Skip the rest of the suite when the time of --gradient-time is over."""
        if item.path.parent == SUITE and time.monotonic() > self.deadline:
            pytest.skip("not reached: the time was over")

    def listen(self, report: "Report") -> None:
        """Keep a record of a check that has finished."""
        self.records.append(check_record(report, context))
        if not report:
            self.unmatched = report  # the last, because Hypothesis ends with the smallest example

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Attach records and tables to the test's report, apply waivers, shorten suite failures."""
        report = yield
        in_suite = item.path.parent == SUITE
        error = call.excinfo.value if call.excinfo else None
        if in_suite and report.failed and isinstance(error, AssertionError):
            report.longrepr = str(error)  # the text says everything, a traceback would bury it
            # what kind of failure it is, for the printer of `python -m checks`
            names = ("outcome", "rank", "short")
            setattr(report, FINDING, {name: getattr(error, name, None) for name in names})
        attached: dict[str, Any] = {"checks": self.records}
        self.records = []
        if in_suite and call.when == "call" and _test_id(item) in self.waivers:
            attached["waived"] = _waive(report, self.waivers[_test_id(item)])
        if report.failed and (in_suite or self.unmatched is not None):
            attached["place"] = self._place(item)
        if report.failed and self.unmatched is not None:
            table = str(self.unmatched)
            # `assert report` shows only a shortened table, so the whole table is added. An error of
            # assert_gradient has it already.
            if not in_suite and call.when != "teardown" and table not in str(error):
                report.sections.append(("gradient-gate", table))
            if self.plot_directory:
                report.sections.append(("gradient-gate", self._draw(self.unmatched, report.nodeid)))
        if any(attached.values()):
            setattr(report, RECORDS, attached)  # pytest-xdist sends it to the controller
        return report

    def _draw(self, unmatched: "Report", nodeid: str) -> str:
        """Draw a check, and return a sentence that says where the picture is."""
        assert self.plot_directory is not None
        name = re.sub(r"[^\w.-]+", "-", nodeid.rpartition("/")[2])[:120].strip("-")
        path = self.plot_directory / f"{name}.png"
        try:
            unmatched.plot().savefig(path)
        except (OSError, ValueError) as error:
            return f"no picture: {error}"
        return f"a picture of the check is {path}"

    def _place(self, item: pytest.Item) -> tuple[str, int]:
        """Return file and line of the judged function, or of a test outside of the suite."""
        target = self.target if item.path.parent == SUITE else None
        code = target and getattr(target.gradient or target.step, "__code__", None)
        if code:
            return code.co_filename, code.co_firstlineno
        return str(item.path), (item.location[1] or 0) + 1

    # Hooks of the process that counts.

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take a worker's complaint about waivers."""
        self.complaint = getattr(node, "workeroutput", {}).get(RECORDS) or self.complaint

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count the checks of one phase of a test: setup, call or teardown."""
        attached = getattr(report, RECORDS, None)
        if attached is None or not self.is_counting:
            return
        delattr(report, RECORDS)  # to free memory: the terminal keeps every report
        for check in attached["checks"]:
            self.tally.add(check)
            if self.report_file:
                self.checks.append({"id": report.nodeid, **check})
        if attached.get("waived"):
            self.tally.waived += 1
            self.waived.append({"id": report.nodeid, "reason": attached["waived"]})
        if attached.get("place"):
            self.annotations.append(annotation(report, *attached["place"]))

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write the report; if that fails, the session still prints its results."""
        if self.report_file and self.is_counting:
            name = self.target.name if self.target else None
            try:
                write_document(self.report_file, name, self.checks, self.waived)
            except OSError as error:
                self.complaint = f"--gradient-report cannot be written: {error}"
        if self.complaint and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.USAGE_ERROR

    # Output.

    def pytest_report_header(self) -> str | None:
        """Print what is judged, if the suite is run or a target is given."""
        if self.target is None and not any(map(self._names_suite, self.config.args)):
            return None
        from hypothesis import settings

        from checks.conformance.targets.probe import probed
        from checks.conformance.targets.target import reference_target

        target = self.target or reference_target()
        functions = [name for name in ("cost", "gradient", "step") if getattr(target, name)]
        named = "".join(f", {name}={getattr(target, name)!r}" for name in sorted(target.names))
        return (
            f"gradient-gate: target {target.name} ({' and '.join(functions)}{named}), "
            f"Hypothesis profile {settings.get_current_profile_name()}, "
            f"BLAS {blas() or 'unknown'}\nIt {probed(target).takes}."
        )

    def _names_suite(self, argument: str) -> bool:
        """Whether an argument of pytest names the suite, or a part of it, by path or by module."""
        place = argument.partition("::")[0]
        if self.config.option.pyargs and place.startswith("checks.conformance"):
            return True
        path = (self.config.invocation_params.dir / place).resolve()
        return path == CONFORMANCE.resolve() or path.is_relative_to(SUITE.resolve())

    def summary(self) -> list[str]:
        """Return a line of totals if anything was checked, and the annotations on GitHub."""
        lines = [str(self.tally)] if self.tally else []
        if self.complaint:
            lines.append(self.complaint)
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
    """Excuse a failure and return the reason; turn any other outcome into a failure."""
    if report.failed:
        report.outcome = "skipped"
        report.wasxfail = f"waived in {waiver.place}: {waiver.reason}"
        return waiver.reason
    how = "passes" if report.passed else "is skipped"
    report.outcome = "failed"
    report.longrepr = f"{waiver.test} is waived in {waiver.place}, but it {how}: delete the line"
    if hasattr(report, "wasxfail"):  # with this attribute a report would not count as failed
        del report.wasxfail
    return None
