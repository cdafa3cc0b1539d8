"""Operators of PyTorch's own database: right gradients are a MATCH, planted mistakes a MISMATCH."""

import pytest
from hypothesis import settings

torch = pytest.importorskip("torch", reason="needs the extra gradient-gate[torch]")

from benchmarks.operator_page import planted_rows, reason_rows, time_rows, verdict_rows  # noqa: E402
from benchmarks.operator_samples import MISTAKES, operators, planted, samples  # noqa: E402
from checks import Verdict  # noqa: E402
from checks.adapters.torch import check_function  # noqa: E402

# fmt: off
OPERATORS = [
    "acosh", "addcdiv", "add", "addr", "exp", "atan2", "cholesky", "cartesian_prod", "cdist",
    "clamp_min", "cos", "cumprod", "div.no_rounding_mode", "diagonal_copy", "gradient", "hypot",
    "logcumsumexp", "lerp", "nanmedian", "quantile", "as_strided", "nn.functional.avg_pool1d",
    "nn.functional.conv_transpose2d", "nn.functional.pad.constant",
    "nn.functional.interpolate.bilinear", "nn.functional.leaky_relu", "nn.functional.gelu",
    "nn.functional.huber_loss", "nn.functional.layer_norm", "nn.functional.mse_loss",
    "nn.functional.cross_entropy", "polar", "prod", "scatter_add", "sigmoid", "linalg.det",
    "linalg.solve", "svd", "special.i0e", "where",
]
# fmt: on
# A handful by default, all of them where Hypothesis draws more than by default, as in CI.
TAKEN = OPERATORS if settings().max_examples > 12 else OPERATORS[::10]


@pytest.fixture(autouse=True)
def one_thread():
    """Small operators take twice as long in two threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("name", TAKEN)
@pytest.mark.filterwarnings("ignore")  # of operators that PyTorch itself calls deprecated
def test_operator(name):
    sample = list(samples(name, operators()[name], 3))[-1]
    report = check_function(sample.function, *sample.inputs, kwargs=sample.kwargs)
    assert report.verdict is Verdict.MATCH, str(report)

    wrong = planted(sample, MISTAKES[OPERATORS.index(name) % len(MISTAKES)])
    report = check_function(wrong.function, *wrong.inputs, kwargs=wrong.kwargs)
    assert report.verdict is Verdict.MISMATCH, str(report)


def test_the_page_counts_right_gradients_apart():
    def row(name, verdict, seen="", gradcheck="passes", **more):
        timed = {"entries": 200, "seconds": 3.0, "gradcheck seconds": 1.5, "gradcheck": gradcheck}
        if seen:
            timed |= {"mistake": MISTAKES[0], "planted": {"verdict": seen, "gradcheck": "passes"}}
        return {"name": name, "verdict": verdict} | timed | more

    reasons = {"x": ["worst", "blurred: the estimate"], "y": ["worst", ""]}
    rows = [
        row("add", "MATCH", "MISMATCH"),
        row("add", "MATCH", "UNRESOLVED", "fails"),
        row("add", "UNRESOLVED", "MISMATCH", arrays=reasons),
        row("zero_", "ValueError", text="x is nan | wanted\nnumbers"),
        row("normal", "MISMATCH", "MATCH", "fails", arrays={}),
    ]
    _, right, other, not_zero = verdict_rows(rows)
    quarter, half = "1 (25.0 %)", "2 (50.0 %)"
    assert right == [
        "right",
        "4",
        half,
        quarter,
        "0 (0.0 %)",
        quarter,
        "3 (75.0 %)",
        quarter,
        "0 (0.0 %)",
    ]
    assert other[1:5] == ["1", "0 (0.0 %)", "0 (0.0 %)", "1 (100.0 %)"]
    assert not_zero[1:4] == ["3", "2 (66.7 %)", "1 (33.3 %)"]

    planted_row = list(planted_rows(rows))[1]
    assert planted_row[1:] == [
        "2",
        "1 (50.0 %)",
        "1 (50.0 %)",
        "0 (0.0 %)",
        "0 (0.0 %)",
        "2 (100.0 %)",
    ]

    _, *found = reason_rows(rows)
    assert found == [
        ["UNRESOLVED: blurred", "1", "`add`"],
        ["ValueError: … is nan \\| wanted numbers", "1", "`zero_`"],
    ]
    rows.append(row("large", "MATCH", entries=2000, seconds=1.5))
    times = {name: cells for name, *cells in time_rows(rows)}
    assert times["all"] == ["5", "13.5 s", "7.5 s", "1.80", "2.00"]
    assert times["up to 1,000 entries"] == ["4", "12.0 s", "6.0 s", "2.00", "2.00"]
