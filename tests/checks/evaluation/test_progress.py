"""The progress bar of long checks, and the report of a check that was interrupted."""

import contextlib
import io
import pickle
import sys

import numpy as np
import pytest

from checks import Verdict, check_gradient, check_step, numerical_gradient
from checks.evaluation import progress
from checks.judgement.interruption import CheckInterrupted


class Terminal(io.StringIO):
    def isatty(self):
        return True


def cost(p):
    return np.sum(np.sin(p["w"])) + np.sum(p["b"] ** 2)


def gradient(p):
    return {"w": np.cos(p["w"]), "b": 2 * p["b"]}


def point():
    return {"w": np.linspace(0.1, 3, 40), "b": np.array([0.5, -2.0])}


@pytest.fixture
def at_once(monkeypatch):
    monkeypatch.setattr(progress, "SHOWN_AFTER", 0.0)
    monkeypatch.setattr(progress, "REDRAWN_EVERY", 0.0)


class TestBar:
    def shown(self, monkeypatch, stream, **options):
        monkeypatch.setattr(sys, "stderr", stream)
        assert check_gradient(cost, gradient, point(), **options)
        return stream.getvalue() if stream else ""

    @pytest.mark.usefixtures("at_once")
    def test_it_shows_entries_rate_and_time_left_and_is_wiped_away(self, monkeypatch):
        text = self.shown(monkeypatch, Terminal())
        assert "w [##########..........] 20 of 40 entries, " in text
        assert "/s, 0:00 left of this pass" in text
        assert text.endswith("\r")
        assert not text.split("\r")[-2].strip()

    @pytest.mark.usefixtures("at_once")
    def test_a_pass_that_is_done_is_not_shown(self, monkeypatch):
        assert "40 of 40" not in self.shown(monkeypatch, Terminal())

    @pytest.mark.usefixtures("at_once")
    def test_no_bar_follows_an_interruption(self, monkeypatch):
        monkeypatch.setattr(sys, "stderr", Terminal())
        bars = progress.Progress()
        with contextlib.suppress(KeyboardInterrupt), bars.of("w", 40) as advance:
            advance(1)
            raise KeyboardInterrupt
        before = sys.stderr.getvalue()
        assert "1 of 40" in before
        with bars.of("w", 16) as advance:
            advance(1)
        assert sys.stderr.getvalue() == before

    def test_a_short_check_shows_nothing(self, monkeypatch):
        assert not self.shown(monkeypatch, Terminal())

    @pytest.mark.usefixtures("at_once")
    def test_a_check_without_a_terminal_shows_nothing(self, monkeypatch):
        assert not self.shown(monkeypatch, io.StringIO())
        self.shown(monkeypatch, None)  # as under pythonw

    @pytest.mark.usefixtures("at_once")
    def test_a_check_with_progress_false_shows_nothing(self, monkeypatch):
        assert not self.shown(monkeypatch, Terminal(), progress=False)

    @pytest.mark.parametrize(
        ("seconds", "text"), [(0.4, "0:00"), (59.6, "1:00"), (75, "1:15"), (3671, "1:01:11")]
    )
    def test_time_left(self, seconds, text):
        assert progress._duration(seconds) == text


class Interrupting:
    """A cost that is interrupted at some of its calls, or at some moves of an entry of ``w``.

    Parameters
    ----------
    *calls, single
        Numbers of the calls, and of the calls that move a single entry of ``w``.
    then
        How many calls after an interruption at a single move the next one comes; 0 for never.
    """

    def __init__(self, *calls, single=(), then=0):
        self.calls, self.single = set(calls), set(single)
        self.count = self.moves = 0
        self.then = then

    def __call__(self, p):
        self.count += 1
        self.moves += np.count_nonzero(p["w"] != point()["w"]) == 1
        if self.moves in self.single:
            self.single = set()
            self.calls = {self.count + self.then}
            raise KeyboardInterrupt
        if self.count in self.calls:
            raise KeyboardInterrupt
        return cost(p)


@pytest.mark.parametrize("method", ["central", "auto"])
class TestInterruption:
    def interrupted(self, method, stopping, claim=gradient):
        params = point()
        with pytest.raises(CheckInterrupted) as stop:
            check_gradient(stopping, claim, params, method=method)
        for path, value in point().items():
            assert params[path].tobytes() == value.tobytes()
        return stop.value

    def half_way(self, method, then=0):
        """Return a cost that is interrupted while entries of ``w`` move."""
        return Interrupting(single=[{"central": 150, "auto": 20}[method]], then=then)

    def test_entries_that_were_compared_are_reported(self, method):
        stop = self.interrupted(method, self.half_way(method))
        report = stop.report
        known = np.isfinite(report.arrays["w"].error)
        assert 5 < known.sum() < 35
        assert (report.arrays["w"].verdicts[known] == Verdict.MATCH).all()
        assert (report.arrays["w"].verdicts[~known] == Verdict.UNRESOLVED).all()
        assert report.verdict is Verdict.UNRESOLVED
        assert f"w: interrupted: {known.sum()} of 40 entries were compared." in str(stop)
        assert "b: interrupted: not compared." in str(stop)
        assert report.method == {"central": "central", "auto": "complex-step"}[method]
        assert f"Interrupted: {known.sum()} of 42 entries were compared." in str(stop)

    def test_arrays_that_were_not_begun_share_one_line(self, method):
        def wide(p):
            return stopping(p) + np.sum(p["c"] ** 2)

        stopping = self.half_way(method)
        with pytest.raises(CheckInterrupted, match=r"b, c: interrupted: not compared\."):
            check_gradient(
                wide,
                lambda p: gradient(p) | {"c": 2 * p["c"]},
                point() | {"c": np.ones(2)},
                method=method,
            )

    def test_a_mistake_that_was_found_before_is_a_mismatch(self, method):
        def wrong(p):
            return {"w": 1.5 * np.cos(p["w"]), "b": 2 * p["b"]}  # wrong on purpose

        report = self.interrupted(method, self.half_way(method), wrong).report
        assert report.verdict is Verdict.MISMATCH
        known = np.isfinite(report.arrays["w"].error)
        assert (report.arrays["w"].verdicts[known] == Verdict.MISMATCH).all()
        assert (report.arrays["w"].verdicts[~known] == Verdict.UNRESOLVED).all()

    def test_an_interruption_between_moves_of_entries_loses_one_array_at_most(self, method):
        plain = Interrupting()
        check_gradient(plain, gradient, point(), method=method)
        # the last calls refine estimates that are good enough without them
        calls = range(46, plain.count - 8, 23 if method == "central" else 3)
        stops = [self.interrupted(method, Interrupting(at)).report for at in calls]
        # by then all complex steps of entries are done
        expected = {"central": Verdict.UNRESOLVED, "auto": Verdict.MATCH}[method]
        assert {r.verdict for r in stops} == {expected}

    def test_a_second_interruption_ends_the_check(self, method):
        params = point()
        with pytest.raises(KeyboardInterrupt) as stop:
            check_gradient(self.half_way(method, then=1), gradient, params, method=method)
        assert not isinstance(stop.value, CheckInterrupted)
        assert np.array_equal(params["w"], point()["w"])

    def test_before_the_first_entry_there_is_nothing_to_report(self, method):
        with pytest.raises(KeyboardInterrupt) as stop:
            check_gradient(Interrupting(2), gradient, point(), method=method)
        assert not isinstance(stop.value, CheckInterrupted)

    def test_an_interrupted_step_is_reported_too(self, method):
        def step(p, eta):
            return {name: p[name] - eta * slope for name, slope in gradient(p).items()}

        with pytest.raises(CheckInterrupted, match=r"Interrupted: \d+ of 42 entries"):
            check_step(self.half_way(method), step, point(), method=method)

    def test_an_interrupted_estimate_is_not_reported(self, method):
        params = point()
        with pytest.raises(KeyboardInterrupt) as stop:
            numerical_gradient(self.half_way(method), params, method=method)
        assert not isinstance(stop.value, CheckInterrupted)
        assert np.array_equal(params["w"], point()["w"])

    def test_it_survives_a_pickle(self, method):
        stop = self.interrupted(method, self.half_way(method))
        assert str(pickle.loads(pickle.dumps(stop))) == str(stop)
