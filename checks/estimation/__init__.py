"""Derivatives estimated from values of the cost, each with a bound on its error.

`estimates` is about every entry, `directional` about directions of whole arrays. They take complex
steps (`complex_step`, with errors of `step_error`) or differences (`finite_differences`: formulas
in `stencils`, steps from `step_selection`, jumps by `stairs`). `noise` measures that of a cost by a
`difference_table`. `precision` calls functions in a wider dtype, `narrowing` those that refuse it
(`wide_linalg` is np.linalg for it). `hidden_rounding` and `oscillation` find what all miss. Imports
evaluation and parameters. Read `estimates` first.
"""
