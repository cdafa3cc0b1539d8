"""Adapters: they turn functions and models of PyTorch and JAX into what the checks take.

`torch` and `jax` each import their library, so no other file of checks imports them. Both use
`keyed_nesting`, which nests a model's parameters by their names. This room imports jacobian and
report. Read `torch` first.
"""
