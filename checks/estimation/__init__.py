"""Derivatives estimated from values of the cost, each with a bound on its error.

`estimates` is about every entry, `directional` about directions of whole arrays. They take complex
steps (`complex_step`, with errors of `step_error`) or differences (`finite_differences`: formulas
in `stencils`, steps from `step_selection`, jumps found by `stairs`). `noise` measures how noisy a
cost is by a `difference_table`, `step_noise` how noisy at long steps. `precision` calls functions
in a wider dtype, with which the files named rounding measure it. `witness` says when a second
estimate confirms a wrong claim. Imports evaluation and parameters. Read `estimates` first.
"""
