"""What a check found, for programs and for people.

`verdict` has the rule that compares a claim with an interval; `array_report` is the result of one
array, `report` of a check, `projected_report` and `blocks` of a projected one; `wording` has the
sentences they share, `plot` the picture, `session` who is told of a finished check. Imports
estimation and parameters. Read `verdict` first.
"""
