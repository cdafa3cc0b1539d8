"""From claims and estimates to verdicts and a report.

`every_entry` judges each entry; `confirmation` estimates flagged ones again. `claim` calls the
claim: `repetition` compares calls at one point, `blurred_claim` says what its rounding explains.
`projected` compares along random directions and lets `localisation` search a wrong array for its
wrong entries. `interruption` reports a check that Ctrl-C ended. Imports from diagnosis, report,
estimation, evaluation and parameters. Read `every_entry` first.
"""
