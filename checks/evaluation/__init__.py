"""The one place where the caller's function is called.

`pointwise` moves single entries, `directional` whole arrays along a direction; `executors` and
`stacked` evaluate many points elsewhere or at once; `progress` draws the bar. Imports parameters.
Read `pointwise` first.
"""
