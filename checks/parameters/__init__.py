"""The caller's parameters: nested arrays, and the moves and directions of these arrays.

`nesting` finds the arrays in any nesting and rebuilds it; `claims` checks that the parameters are
float arrays and that a claimed gradient is nested alike; `bounds` does so for bounds, and
`jacobian_claims` for Jacobians; `random_directions` draws directions, `layouts` lays arrays out;
`numpy_arrays`, `torch_arrays` and `jax_arrays` move an array along a direction on its own device,
`arrays` picks one of the three. Imports nothing of checks but `_types`. Read `nesting` first.
"""
