"""Derivatives estimated from values of the cost, each with a bound on its error.

`estimates` estimates every entry, `directional` along directions of whole arrays: by complex steps
(`complex_step`, with errors of `step_error`) or differences (`finite_differences`). For the latter,
`noise` measures how noisy a cost is, `stencils` holds the formulas, `step_selection` chooses their
steps, and `stairs` finds jumps. `precision` calls functions in a wider dtype; the files named
rounding measure it by that. `witness` says when a second estimate confirms a wrong claim.
Imports evaluation and parameters. Read `estimates` first.
"""
