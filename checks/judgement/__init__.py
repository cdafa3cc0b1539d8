"""From claims and estimates to verdicts and a report.

`every_entry` judges each entry, `confirmation` estimates flagged ones again, `kinks` judges claims
at kinks together. `claim` calls the claim; `repetition` compares calls at one point,
`blurred_claim` says what the claim's rounding explains. `projected` compares along random
directions, `localisation` finds the wrong entries. `interruption` reports a check ended by Ctrl-C.
Imports from diagnosis, report, estimation, evaluation and parameters. Read `every_entry` first.
"""
