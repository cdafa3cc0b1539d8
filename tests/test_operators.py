"""A benchmark of operators goes on after samples that never end or that end the process."""

import os
import time

from benchmarks import operators


def worker(pipe, names, count, done):
    for number, name in enumerate(names):
        if (name, number) in done:
            continue
        row = {"name": name, "number": number, "entries": count}
        pipe.send(row)
        if name == "stuck":
            time.sleep(600)
        if name == "crashing":
            os._exit(1)
        pipe.send({**row, "verdict": "MATCH"})
    pipe.send(None)


def test_what_is_done_is_left_out_and_what_ends_badly_is_noted(monkeypatch):
    monkeypatch.setattr(operators, "_work", worker)
    names = ["quick", "crashing", "quick", "stuck", "quick"]
    found = list(operators.rows(names, 7, 1.0, {("quick", 2)}))
    verdicts = [(row["name"], row["number"], row["verdict"]) for row in found]
    assert verdicts == [
        ("quick", 0, "MATCH"),
        ("crashing", 1, "crash"),
        ("stuck", 3, "time limit"),
        ("quick", 4, "MATCH"),
    ]
    assert {row["entries"] for row in found} == {7}
