"""What a report shows: as a table, in a REPL, in a notebook, and as JSON."""

import json
import re
from html import unescape

import numpy as np
import pytest

from checks import Verdict, check_gradient
from checks.report.array_report import ArrayReport
from checks.report.report import Report
from checks.report.verdict import Rule
from checks.report.wording import shortened

POINT = {
    "weights": [np.array([[0.5, -1.0, 2.0], [1.5, 0.25, -0.75]]), np.array([[1.0, -2.0]])],
    "bias": np.array([0.125, -0.5]),
    "scale": 1.5,
}


def cost(p):
    first, second = p["weights"]
    return np.sum(first**3) * p["scale"] + np.sum(second**2) + np.sum(np.sin(p["bias"]))


def gradient(p):
    first, second = p["weights"]
    return {
        "weights": [3 * first**2 * p["scale"], 2 * second],
        "bias": np.cos(p["bias"]),
        "scale": np.asarray(np.sum(first**3)),
    }


def changed(change):
    claim = gradient(POINT)
    change(claim)
    return claim


def one_wrong(claim):
    claim["weights"][0][1, 0] = -1.0


def two_wrong(claim):
    one_wrong(claim)
    claim["bias"] *= 2


def check(change=lambda _: None, **options):
    return check_gradient(cost, changed(change), POINT, **options)


def rows(report):
    """Return the table's rows as lists of cells, without its head."""
    lines = str(report).split("\n\n")[1].splitlines()
    return [re.split(r"\s{2,}", line.strip()) for line in lines[1:]]


def test_a_match_shows_the_digits_verified():
    report = check()
    assert str(report).startswith("gradient check: MATCH      11 entries, complex step, ")
    table = {row[0]: row for row in rows(report)}
    assert list(table) == ["weights[0]", "weights[1]", "bias", "scale"]
    assert [row[1] for row in table.values()] == ["6", "2", "2", "1"]
    for path, row in table.items():
        assert row[-1] == "MATCH"
        assert 12 <= float(row[-2]) == round(report.arrays[path].digits, 1) <= 17
    assert f"An error of {report.detectable:.1e} of an entry's own size" in str(report)


def test_a_mismatch_names_its_worst_entry_and_both_values():
    report = check(one_wrong)
    table = {row[0]: row for row in rows(report)}
    name, entries, at, claimed, numeric, digits, verdict = table["weights[0]"]
    assert (name, entries, at, claimed) == ("weights[0]", "6", "[1, 0]", "-1.00000000e+00")
    assert numeric.startswith("1.01250000e+01 ± ")
    assert (digits, verdict) == ("–", "MISMATCH in 1")
    assert table["bias"][-1] == "MATCH"
    text = "  weights[0] is wrong in one entry alone, [1, 0]: -1 where 10.12 is right."
    assert text in str(report)


def test_the_worst_is_the_largest_relative_to_its_array():
    report = check(two_wrong)
    assert report.worst.path == "weights[0]"
    assert report.worst.index == (1, 0)
    assert report.worst.claimed == -1
    assert report.worst.numeric == pytest.approx(10.125)
    assert [row[-1] for row in rows(report)][2] == "MISMATCH in all"


def test_an_all_zero_array_is_never_a_silent_match():
    point = [np.ones(2), np.ones(3)]
    report = check_gradient(lambda p: np.sum(p[0] ** 2), [np.full(2, 2.0), np.zeros(3)], point)
    assert report.verdict is Verdict.MATCH
    assert rows(report)[1][-1] == "MATCH, all zero"
    assert "params[1]: zero in every entry" in " ".join(report.findings)
    assert "nothing was compared" in str(report)


def test_an_unresolved_array_has_its_reason():
    report = check_gradient(lambda p: np.sum(p**2), np.zeros(3), np.zeros(3))
    assert report.verdict is Verdict.UNRESOLVED
    assert report.arrays["params"].reason
    assert f"params: {report.arrays['params'].reason[:40]}" in str(report)


def test_an_empty_array_has_nothing_to_compare():
    report = check_gradient(
        lambda p: np.sum(p[0] ** 2),
        [np.full(2, 2.0), np.empty((0, 3))],
        [np.ones(2), np.empty((0, 3))],
    )
    assert report.verdict is Verdict.MATCH
    assert rows(report)[1] == ["params[1]", "0", "nothing to compare"]


LONG = {
    "encoder": {"layers": [{"self_attention": {"output_projection_weights": np.ones((12, 250))}}]},
    "b": np.ones(2),
}


@pytest.mark.parametrize("wrong", [0.0, 1.0], ids=["right", "wrong"])
@pytest.mark.parametrize("method", ["auto", "central"])
def test_at_most_100_columns(wrong, method):
    def leaf(p):
        return p["encoder"]["layers"][0]["self_attention"]["output_projection_weights"]

    w = 2 * np.ones((12, 250)) + wrong * np.eye(12, 250)
    claim = {
        "encoder": {"layers": [{"self_attention": {"output_projection_weights": w}}]},
        "b": np.full(2, -1e-12),
    }
    report = check_gradient(
        lambda p: np.sum(leaf(p) ** 2) - 1e-12 * np.sum(p["b"]), claim, LONG, method=method
    )
    assert max(map(len, str(report).splitlines())) <= 100
    assert all(len(line.rstrip()) == len(line) for line in str(report).splitlines())


@pytest.mark.parametrize("wrong", [1, 100_351, 100_352])
def test_at_most_100_columns_for_a_large_layer(wrong):
    numeric = np.full((784, 128), -0.1)
    claimed, error = numeric.copy(), np.full_like(numeric, 1e-17)
    claimed.reshape(-1)[-wrong:] = np.linspace(-0.2, -0.3, wrong)
    array = ArrayReport.judged("w", claimed, numeric, error, Rule(1e-8))
    report = Report({"w": array}, 1e-8, 1e-3, "complex-step", 1e-16, 200_000, 1.0, 0)
    assert max(map(len, str(report).splitlines())) <= 100
    assert rows(report)[0][-1] == f"MISMATCH in {'all' if wrong == 100_352 else f'{wrong:,}'}"


def test_small_entries_are_judged_on_their_own_scale():
    point = np.array([1.0, 1e-9, 2.0])
    report = check_gradient(lambda x: np.sum(x**2), lambda x: 2 * x, point)
    assert report.rtol <= report.detectable <= 1e-5
    assert (report.coarse, report.undetectable) == (0, 0)
    for wrong in (0.0, -2e-9, 2.001e-9):
        claim = np.array([2.0, wrong, 4.0])
        report = check_gradient(lambda x: np.sum(x**2), lambda _, c=claim: 0 * point + c, point)
        assert report.verdict is not Verdict.MATCH
    with_zero = check_gradient(lambda x: np.sum(x**2), claim, point, scale="array")
    assert with_zero.verdict is Verdict.MATCH
    assert (with_zero.coarse, with_zero.undetectable) == (0, 1)
    text = f"An error of {with_zero.detectable:.1e} of an array's largest entry would have been "
    assert f"{text}seen; 1 entry is so small that a zero would have passed." in " ".join(
        str(with_zero).split()
    )


@pytest.mark.parametrize("scale", ["entry", "array"])
def test_entries_that_pass_by_the_scale_of_their_array_are_counted_in_the_headline(scale):
    point = np.array([1.0, 1e-9, 2.0])
    cost, gradient = lambda x: np.sum(np.abs(x) ** 2), lambda x: 2 * x + 0 * np.sum(x)
    report = check_gradient(cost, gradient, point, method="central", scale=scale)
    assert report.verdict is Verdict.MATCH
    assert (report.coarse, report.scale) == (int(scale == "entry"), scale)
    counted = "3 entries, 1 by their array's scale, central" in str(report)
    assert counted == (scale == "entry")
    assert json.loads(report.to_json())["coarse"] == report.coarse
    if scale == "entry":
        text = "would have been seen; of the array's largest in 1 entry whose own size is not known"
        assert text in " ".join(str(report).split())


def refused(constant):
    raise AssertionError(f"{constant} is no JSON")


@pytest.mark.parametrize(
    "report",
    [
        check(),
        check(two_wrong),
        check(lambda claim: claim["bias"].fill(np.nan)),
        check(lambda claim: claim["bias"].fill(-np.inf)),
        check_gradient(lambda x: np.sum(x > 0), np.zeros(2), np.zeros(2)),
        check_gradient(lambda x: np.sum(np.sqrt(x)), np.ones(2), np.zeros(2)),
        check_gradient(lambda _: 0.0, np.ones(2), np.ones(2)),
        check_gradient(lambda p: p[0].sum(), [np.ones(1), np.empty(0)], [np.ones(1), np.empty(0)]),
    ],
    ids=["match", "mismatch", "nan", "inf", "jump", "edge", "unseen", "empty"],
)
def test_json_is_strict_and_says_what_the_report_says(report):
    document = json.loads(report.to_json(), parse_constant=refused)
    assert document["verdict"] == str(report.verdict)
    assert document["entries"] == report.entries
    assert document["evaluations"] == report.evaluations
    assert document["findings"] == list(report.findings)
    assert list(document["arrays"]) == list(report.arrays)
    for path, array in report.arrays.items():
        assert document["arrays"][path]["verdict"] == str(array.verdict)
        if array.claimed.size:
            assert document["arrays"][path]["index"] == list(array.worst.index)
            assert float(document["arrays"][path]["claimed"]) == pytest.approx(
                array.worst.claimed, nan_ok=True
            )


@pytest.mark.parametrize("coverage", ["every", "projected"])
def test_a_repl_and_a_notebook_show_the_table(coverage):
    report = check_gradient(
        lambda p: np.sum(p["<b>&"] ** 2), lambda p: p, {"<b>&": np.ones(2)}, coverage=coverage
    )
    assert "\n  params['<b>&']" in str(report)
    assert repr(report) == str(report)
    html = report._repr_html_()
    assert html.startswith("<pre>gradient check: MISMATCH")
    assert html.endswith("</pre>")
    assert unescape(html[5:-6]) == str(report)
    assert "<" not in html[5:-6]


def test_the_repr_of_an_array_is_a_line():
    report = check(one_wrong, method="central")
    assert repr(report.arrays["bias"]) == "<ArrayReport bias: MATCH, 2 entries, central>"


LAYERS = [
    f"encoder.layers.{i}.attention.{part}.{kind}"
    for i in (0, 1, 11)
    for part in ("query", "key", "value")
    for kind in ("weight", "bias")
]


@pytest.mark.parametrize(
    "paths",
    [
        LAYERS,
        [*LAYERS, "head.weight", "head.bias"],
        [*LAYERS, "encoder.layers.0.mlp.fc1.weight"],
        [path.replace(".0.", "[0].").replace(".", "_") for path in LAYERS],
        [f"params['{path}']" for path in LAYERS],
        ["a.0.b.1.wwwwwwwwwwwwwww", "a.1.b.0.wwwwwwwwwwwwwww"],  # parts in common, but not in place
        ["the_same_long_name.a", "the_same_long_name.b"],
        ["anexceedinglylongnameofonepart", "anexceedinglylongnameanotherpart", "b"],
    ],
    ids=range(8),
)
@pytest.mark.parametrize("width", [14, 16, 20, 24, 100])
def test_shortened_paths_fit_and_stay_different(paths, width):
    short = shortened(paths, width)
    assert max(map(len, short)) <= width
    assert len(set(short)) == len(paths)
    assert [s for p, s in zip(paths, short, strict=True) if len(p) <= width] == [
        p for p in paths if len(p) <= width
    ]


def test_what_long_paths_have_in_common_is_left_out():
    paths = ["encoder.layers.0.attention.query.weight", "encoder.layers.0.attention.key.weight"]
    assert shortened(paths, 28) == ["…0.attention.query.weight", "…0.attention.key.weight"]
    assert shortened(paths, 24) == ["…attention.query.weight", "…attention.key.weight"]
    assert shortened(["gradient by params"], 16) == ["… by params"]
    assert shortened(paths, 13) == ["…query.weight", "…key.weight"]
    assert shortened([*paths, "w"], 9) == ["…qu…eight", "…ke…eight", "w"]
    assert shortened(["layers[0].to_out", "layers[1].to_out"], 10) == ["…[0]…out", "…[1]…out"]
    assert shortened(["one_exceedingly_long_name"], 9) == ["…name"]
    assert shortened([], 9) == []


@pytest.mark.parametrize("coverage", ["every", "projected"])
def test_rows_of_long_paths_stay_different(coverage):
    params = {path: np.ones(1) for path in LAYERS}
    report = check_gradient(
        lambda p: sum(np.sum(x**2) for x in p.values()),
        lambda p: {path: 2 * x for path, x in p.items()},
        params,
        coverage=coverage,
    )
    assert len({row[0] for row in rows(report)}) == len(LAYERS)
    assert max(map(len, str(report).splitlines())) <= 100


@pytest.mark.parametrize("relative_error", [1e-1, 1e-4, 1e-6, 1e-7])
def test_a_claim_is_printed_with_enough_digits_to_show_that_it_differs(relative_error):
    def change(claim):
        claim["weights"][0][1, 0] *= 1 + relative_error

    report = check(change)
    claimed, numeric = rows(report)[0][3:5]
    assert claimed != numeric.split()[0]
    text = report.diagnosis[0].text
    if relative_error < 2.0**-22:
        assert "as float32 rounds" in text
    else:
        wrong, right = re.search(r"(\S+) where (\S+) is right", text).groups()
        assert float(wrong) > float(right)


def test_a_mistake_without_a_name_says_what_is_right():
    report = check(lambda claim: claim["bias"].__setitem__(slice(None), [0.3, 0.7]))
    assert report.diagnosis == ()
    name, text = re.search(
        r"\n  (bias\[\d\]): claimed (.*? right)\.\n", str(report), re.DOTALL
    ).groups()
    claimed, numeric = (float(number) for number in re.findall(r"\S+e[+-]\d+", text)[:2])
    assert f"claimed is {claimed / numeric:.4g} × numeric." in " ".join(text.split())
    assert text.endswith("weights[0], weights[1] and scale are right")
    assert name == f"bias[{report.worst.index[0]}]"


# At kinks: what a MATCH says, and what it does not say.


def relus(point, claim):
    """Check two arrays; the cost has kinks only where entries of the first are 0."""
    return check_gradient(
        lambda p: np.sum(np.maximum(p[0], 0)) + np.sum(p[1] ** 2),
        [np.array(claim), np.array([2.0, 4.0])],
        [np.array(point), np.array([1.0, 2.0])],
    )


@pytest.mark.parametrize("claim", [0.0, 0.3, 1.0])
def test_entries_at_kinks_are_not_said_to_be_seen(claim):
    report = relus([0.0, 1.0, 0.0], [claim, 1.0, claim])
    assert report.verdict is Verdict.MATCH
    assert (report.kinks, report.undetectable) == (2, 0)
    assert report.discrepancy < 1e-9
    assert report.arrays["params[0]"].detectable < 1e-6
    assert report.arrays["params[0]"].digits > 6
    assert rows(report)[0][-1] == "MATCH, 2 on kinks"
    text = f"{report.detectable:.1e} of an entry's own size would have been seen, except at 2"
    assert f"An error of {text} entries on kinks." in " ".join(str(report).split())
    assert json.loads(report.to_json())["kinks"] == 2


def test_an_array_all_at_kinks_could_show_no_error():
    report = relus([0.0, 0.0], [0.5, 0.0])
    assert report.verdict is Verdict.MATCH
    assert report.arrays["params[0]"].detectable == np.inf
    assert report.arrays["params[0]"].digits == 0
    assert report.arrays["params[1]"].detectable == report.detectable < 1e-6
    assert rows(report)[0][-2:] == ["–", "MATCH, 2 on kinks"]
    assert "except at 2 entries on kinks." in " ".join(str(report).split())


def test_a_report_all_at_kinks_could_show_no_error():
    report = check_gradient(lambda x: np.sum(np.abs(x)), np.full(3, 0.3), np.zeros(3))
    assert report.verdict is Verdict.MATCH
    assert (report.detectable, report.kinks, report.undetectable) == (np.inf, 3, 0)
    assert report.discrepancy == 0
    assert "would have been seen" not in str(report)
    assert "Every entry lies on a kink" in str(report)


def test_beyond_the_slopes_of_a_kink_the_distance_counts():
    report = check_gradient(lambda x: np.sum(np.abs(x)), np.array([1.5, -3.0]), np.zeros(2))
    assert report.verdict is Verdict.UNRESOLVED
    assert report.worst.index == (1,)
    assert report.discrepancy * 3 == pytest.approx(2)


def test_an_open_claim_is_not_said_to_be_seen():
    x = np.array([0.5, -1.5])
    report = check_gradient(lambda p: np.sum(np.round(np.exp(p), 3)), np.exp(x), x)
    assert report.verdict is Verdict.UNRESOLVED
    assert "own size would not have passed." in str(report)
    assert "would have been seen" not in str(report)
