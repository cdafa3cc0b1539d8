"""Derivatives from values of the cost, each with an error.

`noise` measures how noisy a cost is; `stencils` are the difference formulas, `step_selection`
chooses their step, `finite_differences` applies both; `complex_step` is the other method.
`estimates` takes every entry, `directional` a whole direction. Imports evaluation and parameters.
Read `estimates` first.
"""
