"""From estimates and claims to a verdict.

`every_entry` judges each entry, and confirms an accusation by a second estimate; `projected` judges
random directions, and `localisation` finds the wrong entries; `interruption` is a check ended by
Ctrl-C. Imports diagnosis, report, estimation and evaluation.
Read `every_entry` first.
"""
