"""Waivers: a file of tests that a target is known to fail, each with the reason."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Waiver", "WaiverError", "read_waivers", "unknown_waivers"]


class WaiverError(Exception):
    """A waiver cannot be used; the text names the line and says what to change."""


@dataclass(frozen=True)
class Waiver:
    """One line of the file.

    Attributes
    ----------
    test : str
        The test's id: the part of pytest's id that follows ``::``.
    reason : str
    place : str
        File and line, for messages.
    """

    test: str
    reason: str
    place: str


def read_waivers(path: Path) -> dict[str, Waiver]:
    """Read lines of an id and a reason; lines that begin with ``#`` are comments.

    Raises
    ------
    WaiverError
        The file cannot be read, a line has no reason, or an id stands there twice.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise WaiverError(f"the waivers in {path} cannot be read: {error}") from error
    waivers: dict[str, Waiver] = {}
    for number, line in enumerate(lines, start=1):
        words = line.split(maxsplit=1)
        if not words or words[0].startswith("#"):
            continue
        test, place = words[0], f"{path.name}:{number}"
        if len(words) == 1:
            raise WaiverError(
                f"{place}: {test} is waived without a reason: write the reason after the id"
            )
        if test in waivers:
            raise WaiverError(f"{place}: {test} is waived in {waivers[test].place} already")
        waivers[test] = Waiver(test, words[1].strip(), place)
    return waivers


def unknown_waivers(waivers: Iterable[Waiver], tests: Collection[str]) -> list[str]:
    """Return a complaint for each waiver of a test that does not exist."""
    from difflib import get_close_matches  # imported here to keep the plugin light

    complaints = []
    for waiver in waivers:
        if waiver.test not in tests:
            similar = [test for test in tests if test.startswith(f"{waiver.test}[")]
            similar = similar or get_close_matches(waiver.test, tests, n=1)
            hint = f"; did you mean {', '.join(similar)}?" if similar else ""
            complaints.append(f"{waiver.place}: there is no test {waiver.test} to waive{hint}")
    return complaints
