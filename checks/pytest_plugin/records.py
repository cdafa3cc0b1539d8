"""The record of a session's checks: one dict for each, a line of totals, a JSON document."""

import json
import math
import platform
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from checks.report.report import Report

__all__ = ["Tally", "blas", "check_record", "write_document"]

VERSION = 1  # the version of the document; checks/report/schema.json describes it


def check_record(report: "Report", context: Mapping[str, Any]) -> dict[str, Any]:
    """Return the record of a check: plain numbers and strings, fit for JSON and pytest-xdist.

    Parameters
    ----------
    report : Report
    context : mapping
        The description given by `checks.report.session.describe`.
    """
    worst, reproduction = report.worst, None
    if not report:
        reproduction = context.get("reproduction")
        if callable(reproduction):
            reproduction = reproduction()
    sizes, dtype = context.get("sizes"), context.get("dtype")
    return {
        "sizes": None if sizes is None else [int(n) for n in sizes],
        "samples": _integer(context.get("samples")),
        "regime": context.get("regime"),
        "dtype": None if dtype is None else str(dtype),
        "problem_seed": _integer(context.get("seed")),
        "seed": int(report.seed),
        "method": report.method,
        "verdict": str(report.verdict),
        "worst": {
            "path": worst.path,
            "index": list(worst.index),
            "claimed": _number(worst.claimed),
            "numeric": _number(worst.numeric),
            "error": _number(worst.error),
        },
        "discrepancy": _number(report.discrepancy),
        "detectable": _number(report.detectable),
        "kinks": report.kinks,
        "entries": report.entries,
        "evaluations": report.evaluations,
        "seconds": report.seconds,
        "diagnosis": [{"name": found.name, "text": found.text} for found in report.diagnosis],
        "reproduction": reproduction,
    }


@dataclass
class Tally:
    """Totals of a session; `discrepancy` and `detectable` are the largest of checks that match."""

    verdicts: Counter[str] = field(default_factory=Counter)
    entries: int = 0
    discrepancy: float = 0.0
    detectable: float = 0.0
    waived: int = 0

    def add(self, check: Mapping[str, Any]) -> None:
        """Count a check by its record."""
        self.verdicts[check["verdict"]] += 1
        self.entries += check["entries"]
        if check["verdict"] == "MATCH":
            self.discrepancy = max(self.discrepancy, float(check["discrepancy"]))
            if isinstance(check["detectable"], float):  # for arrays of zeros it is "inf", a string
                self.detectable = max(self.detectable, check["detectable"])

    def __bool__(self) -> bool:
        return bool(self.verdicts or self.waived)

    def __str__(self) -> str:
        total = self.verdicts.total()
        parts = [
            f"{total:,} check{'' if total == 1 else 's'}",
            f"{self.entries:,} entries compared",
        ]
        # a mismatch is only counted and not called a failure: a test may expect it
        for count, text in (
            (self.verdicts["MATCH"], f"match ({self._accuracy()})"),
            (self.verdicts["MISMATCH"], "mismatch"),
            (self.verdicts["UNRESOLVED"], "unresolved"),
            (self.waived, "waived"),
        ):
            if count:
                parts.append(f"{count:,} {text}")
        return f"gradient-gate: {', '.join(parts)}"

    def _accuracy(self) -> str:
        text = f"discrepancy at most {self.discrepancy:.0e}"
        return text + (f", detectable from {self.detectable:.0e}" if self.detectable else "")


def write_document(
    path: Path, target: str | None, checks: list[dict[str, Any]], waived: list[dict[str, str]]
) -> None:
    """Write the records as strict JSON, sorted by test.

    Raises
    ------
    OSError
        The file cannot be written.
    """
    document = {
        "version": VERSION,
        "target": target,
        "environment": {
            "python": platform.python_version(),
            "platform": platform.platform(),
            "numpy": _version("numpy"),
            "hypothesis": _version("hypothesis"),
            "pytest": _version("pytest"),
            "gradient-gate": _version("gradient-gate"),
            "blas": blas(),
        },
        "waived": waived,
        "checks": sorted(checks, key=lambda check: check["id"]),  # workers finish in any order
    }
    text = json.dumps(document, allow_nan=False, ensure_ascii=False, indent=1)
    path.write_text(text + "\n", encoding="utf-8")


def blas() -> str | None:
    """Return the name and version of numpy's BLAS, or None where numpy does not say."""
    import numpy as np

    built: Any = np.show_config(mode="dicts")
    found = built.get("Build Dependencies", {}).get("blas", {})
    return f"{found['name']} {found.get('version', '')}".strip() if "name" in found else None


def _number(value: float) -> float | str:
    """Return a number as JSON can hold it: infinity and nan become strings."""
    return float(value) if math.isfinite(value) else str(float(value))


def _integer(value: Any) -> int | None:
    return None if value is None else int(value)


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
