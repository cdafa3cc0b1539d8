"""Adapters: they turn functions and models of PyTorch and JAX into what the checks take.

`torch` and `jax` each import their library, so no other file of checks imports them; to `torch`
belong `torch_check`, checks of functions, `torch_gradcheck`, the same as PyTorch's, `torch_loss`, a
loss as a cost, `torch_function`, `torch_memory` and `torch_float64`: tensors as arrays, how they
lie in memory, and in float64. `reference` judges low precision by a function in float64, and
`keyed_nesting` nests arrays by their names. This room imports gradient, jacobian, report,
evaluation and parameters. Read `torch` first.
"""
