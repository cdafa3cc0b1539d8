"""Derivatives estimated from values of the cost, each with a bound on its error.

`noise` measures how noisy a cost is, `stencils` holds the difference formulas, `step_selection`
chooses their steps, `stairs` finds jumps beside them, and `finite_differences` joins them.
`complex_step` is the other method. `precision` calls a function in a wider dtype, and the files
named rounding use it. `estimates` puts all together for every entry, `directional` along
directions; `witness` is the rule by which a second estimate confirms. Imports evaluation and
parameters. Read `estimates` first.
"""
