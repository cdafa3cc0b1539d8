"""Functions and modules of PyTorch and JAX, as what the checks take.

`torch` and `jax` each import their library, so nothing else of checks imports them; both use
`keyed_nesting` for the parameters of a module. Imports jacobian and report.
Read `torch` first.
"""
