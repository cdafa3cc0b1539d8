"""The README's examples run, and print what it says they print."""

import doctest
import re
from pathlib import Path

import numpy as np

README = Path(__file__).parents[1] / "README.md"
# Times differ from run to run, rounding and so errors and digits from one BLAS to the next.
VARIES = re.compile(r"\d+\.\d s$|\d+(?= evaluations)|(?<=± )\de-\d+|^  \S+ .* MATCH$", re.MULTILINE)


# The counts of evaluations are those of a platform whose long double is wider than float64. There
# they are the same to a third, as rounding decides a few of them.
COUNT = re.compile(r"\d+(?= evaluations)")
HAS_LONG_DOUBLE = np.finfo(np.longdouble).eps < np.finfo(np.float64).eps


class _Checker(doctest.OutputChecker):
    def __init__(self, varies: re.Pattern[str]) -> None:
        self._varies = varies

    def check_output(self, want: str, got: str, optionflags: int) -> bool:
        if HAS_LONG_DOUBLE:
            for shown, counted in zip(*map(COUNT.findall, (want, got)), strict=False):
                if abs(int(shown) - int(counted)) > int(counted) / 3:
                    return False
        want, got = self._varies.sub("#", want), self._varies.sub("#", got)
        return super().check_output(want, got, optionflags)


def run_examples(page: Path, varies: re.Pattern[str] = VARIES) -> int:
    """Run the examples of a page, and return how many they are; `varies` may be otherwise."""
    parser = doctest.DocTestParser()
    examples = parser.get_doctest(page.read_text("utf-8"), {}, page.name, str(page), 0)
    runner = doctest.DocTestRunner(_Checker(varies), optionflags=doctest.ELLIPSIS)
    failed: list[str] = []
    runner.run(examples, out=failed.append)
    assert not failed, "".join(failed)
    return runner.summarize(verbose=False).attempted


def test_readme_examples():
    assert run_examples(README) > 20


def test_readme_shows_a_running_example_by_line_15():
    lines = README.read_text("utf-8").splitlines()[:15]
    assert any("check_gradient" in line for line in lines)
