"""From claims and estimates to verdicts and a report.

`every_entry` judges each entry, `confirmation` estimates flagged ones again, `elsewhere` judges
suspected ones at other points, `kinks` judges claims at kinks together, `by_rows` joins the rows of
a Jacobian. `claim` and `shared_claims` call claims, `repetition` compares calls at one point,
`blurred_claim` says what rounding explains. `projected` takes random directions, `localisation`
finds wrong entries; `interruption` is a check that ended.
Imports from diagnosis, report, estimation, evaluation and parameters. Read `every_entry` first.
"""
