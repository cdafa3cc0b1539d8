"""Adapters: they turn functions and models of PyTorch and JAX into what the checks take.

`torch` and `jax` each import their library, so no other file of checks imports them. Their parts:
`torch_check`, `jax_check`, checks of functions; `torch_gradcheck`, the same as PyTorch's;
`torch_loss`, `jax_loss`, a loss as a cost; `torch_function`, `torch_memory`, `torch_float64`,
`jax_function`, `jax_call`, `jax_leaves`, `jax_loop`, `jax_products`: tensors as arrays.
`reference` judges low precision, `infinities` makes infinite entries constants, `keyed_nesting`
nests arrays. This room imports gradient, jacobian, report, evaluation and parameters. Read `torch`.
"""
