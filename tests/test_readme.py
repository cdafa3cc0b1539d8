"""The README's examples run, and print what it says they print."""

import doctest
import re
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"
# Times differ from run to run, rounding and so errors and digits from one BLAS to the next.
VARIES = re.compile(r"\d+\.\d s$|\d+(?= evaluations)|(?<=± )\de-\d+|^  \S+ .* MATCH$", re.MULTILINE)


class _Checker(doctest.OutputChecker):
    def check_output(self, want: str, got: str, optionflags: int) -> bool:
        return super().check_output(VARIES.sub("#", want), VARIES.sub("#", got), optionflags)


def test_readme_examples():
    parser = doctest.DocTestParser()
    examples = parser.get_doctest(README.read_text("utf-8"), {}, "README.md", str(README), 0)
    runner = doctest.DocTestRunner(_Checker(), optionflags=doctest.ELLIPSIS)
    failed: list[str] = []
    runner.run(examples, out=failed.append)
    assert not failed, "".join(failed)
    assert runner.summarize(verbose=False).attempted > 20


def test_readme_shows_a_running_example_by_line_15():
    lines = README.read_text("utf-8").splitlines()[:15]
    assert any("check_gradient" in line for line in lines)
