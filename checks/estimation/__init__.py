"""Derivatives estimated from values of the cost, each with a bound on its error.

`noise` measures how noisy a cost is. `stencils` holds the difference formulas, `step_selection`
chooses their steps, `stairs` finds jumps beside them, and `finite_differences` joins central and
one-sided ones. `complex_step` is the other method. `estimates` chooses the method and estimates
every entry; `directional` does so along a direction of whole arrays; `witness` is the rule by which
a second estimate confirms an accusation; `step_curve` takes the slopes that a report plots. Imports
evaluation and parameters. Read `estimates` first, then `noise` and the files in that order.
"""
