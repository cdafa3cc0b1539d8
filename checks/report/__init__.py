"""The rule of the verdict, and what is shown of a check, to programs and to people.

`verdict` compares a claim with an interval. `array_report` is the result of one array, `report` of
a check; `blocks` and `projected_report` are those of ``coverage="projected"``. `wording` has
sentences and tables that reports share, `plot` draws a report, `session` hands a finished one to
the pytest plugin. Imports estimation and parameters. Read `verdict` first, then `report`.
"""
