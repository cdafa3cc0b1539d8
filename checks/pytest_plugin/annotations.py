"""Annotations of GitHub Actions: printed lines that show a failure beside the code."""

import os
from contextlib import suppress
from pathlib import Path

import pytest

__all__ = ["annotation"]


def annotation(report: pytest.TestReport, file: str, line: int) -> str:
    """Return the line to print for a test that failed, with the file relative to the checkout."""
    root = os.environ.get("GITHUB_WORKSPACE", os.getcwd())
    with suppress(ValueError):  # on Windows, a file on another drive has no relative path
        file = os.path.relpath(file, root)
    crash = getattr(report.longrepr, "reprcrash", None)
    message = _escaped(crash.message if crash else str(report.longrepr))
    title = _escaped(f"gradient-gate: {report.nodeid.partition('::')[2]}", ":,")
    return (
        f"::error file={_escaped(Path(file).as_posix(), ':,')},line={line},title={title}::{message}"
    )


def _escaped(text: str, also: str = "") -> str:
    for character in f"%\r\n{also}":  # % first, because the escapes contain it
        text = text.replace(character, f"%{ord(character):02X}")
    return text
