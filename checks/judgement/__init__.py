"""From claims and estimates to verdicts and a report.

`every_entry` judges each entry of a gradient; where a claim is flagged (outside its interval),
`confirmation` estimates the entry again. `projected` compares along random directions and lets
`localisation` search a wrong array for its wrong entries. `interruption` reports a check that
Ctrl-C ended. Imports from diagnosis, report, estimation, evaluation and parameters.
Read `every_entry` first.
"""
