"""Fits of several arrays make one explanation: what is named, left out, or comes first."""

from types import SimpleNamespace

import pytest

from checks import Verdict
from checks.diagnosis import diagnosis
from checks.diagnosis.case import Fit


def diagnose(monkeypatch, found, right=()):
    """Return the names and texts for arrays with these fits; other arrays are right."""
    verdicts = dict.fromkeys(found, Verdict.MISMATCH) | dict.fromkeys(right, Verdict.MATCH)
    arrays = {
        path: SimpleNamespace(verdict=verdict, worst=f"{path}: 1 where 2", path=path)
        for path, verdict in verdicts.items()
    }
    monkeypatch.setattr(diagnosis.Case, "of", lambda array, value, arrays: array.path)
    monkeypatch.setattr(diagnosis, "fits", found.__getitem__)
    return [(d.name, d.text) for d in diagnosis.diagnose(arrays, arrays)]


def fit(name, clause="is odd", rank=0, evidence=100.0, cost=0.0, **others):
    return Fit(name, clause, rank, evidence, cost, **others)


@pytest.mark.parametrize(("evidence", "named"), [(14, True), (13.9, False)])
def test_evidence_is_worth_twelve_bits_more_than_it_costs(monkeypatch, evidence, named):
    found = diagnose(monkeypatch, {"w": [fit("one", "odd", evidence=evidence, cost=2)]})
    assert found == [("one", "w is odd.")] * named


@pytest.mark.parametrize(("rank", "named"), [(0, True), (1, False)])
def test_a_formula_costs_once_for_all_arrays_and_a_part_for_each(monkeypatch, rank, named):
    fits = {path: [fit("one", "odd", rank, 10, cost)] for path, cost in (("w", 6), ("b", 7.5))}
    found = diagnose(monkeypatch, fits)  # 20 bits, less 7.5 or 13.5
    assert found == ([("one", "w and b are odd.")] if named else [])


def test_the_highest_rank_of_a_group_counts(monkeypatch):
    fits = {"w": [fit("one", "odd", 0), fit("two", "even", 1)], "b": [fit("one", "odd", 2)]}
    assert diagnose(monkeypatch, fits)[0] == ("two", "w is even.")


@pytest.mark.parametrize(("cost", "count"), [(6, 2), (6.1, 1)])
def test_another_hypothesis_is_named_unless_one_is_much_likelier(monkeypatch, cost, count):
    found = diagnose(monkeypatch, {"w": [fit("one", "odd"), fit("two", "even", cost=cost)]})
    remark = " Nothing here tells one and two apart." * (count == 2)
    assert found == [("one", f"w is odd.{remark}"), ("two", f"w is even.{remark}")][:count]


@pytest.mark.parametrize("count", [3, 4])
def test_of_more_than_three_names_the_first_is_told(monkeypatch, count):
    names = ["one", "two", "three", "four"][:count]
    found = diagnose(monkeypatch, {"w": [fit(name, name) for name in names]})
    assert [name for name, _ in found] == (names if count == 3 else ["one"])
    if count == 4:
        assert found[0][1] == (
            "w is one. Or: two, three and four; the entries are too few, or too much alike, to "
            "tell. Check at a point where they differ."
        )


def test_more_arrays_come_before_fewer_and_formulas_before_parts(monkeypatch):
    one, two = fit("one", "odd", cost=5), fit("two", "even")
    found = diagnose(monkeypatch, {"v": [two], "w": [one, two], "b": [one]})
    assert [text[:5] for _, text in found] in (["v and", "b is "], ["v is ", "w and"])
    part = fit("part", "half", rank=1)
    assert diagnose(monkeypatch, {"w": [part, one]})[0][0] == "one"
    found = diagnose(monkeypatch, {"w": [part], "b": [one]})
    assert [name for name, _ in found] == ["part", "one"]  # in the order of the arrays


def test_what_is_right_and_what_is_not_explained_is_said_at_the_end(monkeypatch):
    found = diagnose(monkeypatch, {"w": [fit("one", "odd")], "b": []}, right=["u", "v"])
    assert found == [
        ("one", "w is odd. Not explained by this: b; b: 1 where 2. u and v are right.")
    ]
    assert diagnose(monkeypatch, {"w": [fit("one", "odd")]}, right=["u"])[0][1] == (
        "w is odd. u is right."
    )
    assert diagnose(monkeypatch, {"w": []}, right=["u"]) == []


def test_numbers_tell_the_same_hypothesis_apart(monkeypatch):
    two, three = (fit("scale", f"{n} ×", number=n) for n in (2, 3))
    found = diagnose(monkeypatch, {"v": [two], "w": [three], "b": [two]})
    assert [text for _, text in found] == ["v and b are 2 ×.", "w is 3 ×."]


def test_a_single_entry_has_no_every_entry(monkeypatch):
    clause = "3 × in every entry"
    one, other = fit("one", clause, single=True), fit("one", clause)
    assert diagnose(monkeypatch, {"w": [one]})[0][1] == "w is 3 ×."
    assert (
        diagnose(monkeypatch, {"w": [one], "b": [other]})[0][1] == "w and b are 3 × in every entry."
    )
