"""Rounding toward zero: what it changes, that it ends, and where it is not available."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from checks.estimation import rounding_mode
from checks.estimation.rounding_mode import call_toward_zero, toward_zero_is_available

ONE = np.array([1.0, -1.0])
needs_mode = pytest.mark.skipif(not toward_zero_is_available(), reason="the mode is fixed here")


@needs_mode
def test_results_are_rounded_toward_zero_in_the_call_alone():
    nearest = ONE / 10
    truncated = call_toward_zero(lambda one: one / 10, ONE)
    assert truncated.tolist() == np.nextafter(nearest, 0).tolist()
    assert (ONE / 10).tolist() == nearest.tolist()
    with pytest.raises(ZeroDivisionError):
        call_toward_zero(lambda one: 1 // 0, ONE)
    assert (ONE / 10).tolist() == nearest.tolist()


def test_where_the_mode_is_fixed_nothing_is_called(monkeypatch):
    monkeypatch.setattr(rounding_mode, "_modes", lambda: None)
    assert not toward_zero_is_available()
    with pytest.raises(OSError, match="ask toward_zero_is_available"):
        call_toward_zero(pytest.fail, "called")


class Library:
    """A C library whose modes change what numpy computes as planted."""

    def __init__(self, before=0, refuses=False, stays=False):
        self.mode, self.modes, self.refuses, self.stays = before, [], refuses, stays
        self.name = None

    def fesetround(self, mode):
        self.modes.append(mode)
        self.mode = mode or (self.stays and self.mode)
        return int(self.refuses)

    def fegetround(self):
        return self.mode


def modes_of(monkeypatch, library, machine="x86_64", system="linux", truncated=lambda x: x):
    """Return what `_modes` finds, where x / 10 is `truncated` in any mode but the nearest."""

    class Array(np.ndarray):
        def __truediv__(self, other):
            found = np.divide(np.asarray(self), other)
            return truncated(found) if library.mode else found

    def load(name):
        if isinstance(library, Exception):
            raise library
        library.name = name
        return library

    ctypes = SimpleNamespace(PyDLL=load, util=SimpleNamespace(find_library=lambda name: name))
    array = SimpleNamespace(array=lambda x: np.array(x).view(Array), abs=np.abs)
    monkeypatch.setattr(rounding_mode, "ctypes", ctypes)
    monkeypatch.setattr(rounding_mode, "np", array)
    monkeypatch.setattr(rounding_mode.platform, "machine", lambda: machine)
    monkeypatch.setattr(sys, "platform", system)
    try:
        return rounding_mode._modes.__wrapped__()
    finally:
        monkeypatch.undo()


@pytest.mark.parametrize(
    ("machine", "system", "mode"),
    [
        ("x86_64", "linux", 0xC00),
        ("AMD64", "win32", 0x300),
        ("arm64", "darwin", 0xC00000),
        ("aarch64", "linux", 0xC00000),
        ("ARM64", "win32", 0x300),
    ],
)
def test_the_mode_has_another_number_on_each_platform(monkeypatch, machine, system, mode):
    library = Library()
    found = modes_of(monkeypatch, library, machine, system, lambda x: np.nextafter(x, 0))
    assert found == (library.fesetround, library.fegetround, mode)
    assert library.modes == [mode, 0]  # tried, and restored
    assert library.name == ("ucrtbase" if system == "win32" else "m")


def test_where_arithmetic_does_not_follow_the_mode_there_is_none(monkeypatch):
    toward_zero = lambda x: np.nextafter(x, 0)  # noqa: E731
    for truncated in (
        lambda x: x,  # nothing changes
        lambda x: np.nextafter(x, 1),  # down for negative numbers, up for others
        lambda x: np.nextafter(x, -1),
        lambda x: np.nextafter(x, np.sign(x)),  # away from zero
    ):
        assert modes_of(monkeypatch, Library(), truncated=truncated) is None
    assert modes_of(monkeypatch, Library(), "riscv64", truncated=toward_zero) is None
    assert modes_of(monkeypatch, Library(before=0x400), truncated=toward_zero) is None
    assert modes_of(monkeypatch, Library(stays=True), truncated=toward_zero) is None
    refusing = Library(refuses=True)
    assert modes_of(monkeypatch, refusing, truncated=toward_zero) is None
    assert modes_of(monkeypatch, OSError(), truncated=toward_zero) is None
    assert modes_of(monkeypatch, AttributeError(), truncated=toward_zero) is None
