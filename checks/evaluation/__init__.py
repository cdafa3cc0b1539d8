"""The calls of the caller's cost, at the parameters and around them.

`pointwise` moves single entries or whole arrays, `directional` moves along random directions. Both
restore the parameters afterwards (`restoring`) and keep within the `box`. `executors` evaluates in
workers, `stacked` many points in one call. `results` makes scalar costs (`result`) of a function
with many, which share its calls (`memo`), as do entries that move different results (`groups`).
`entries` joins all arrays; `control_flow`, `cost_value`, `step_sizes` help; `progress` is a bar.
Imports parameters. Read `pointwise` first.
"""
