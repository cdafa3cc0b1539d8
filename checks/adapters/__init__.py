"""Adapters: they turn functions and models of PyTorch and JAX into what the checks take.

`torch` and `jax` each import their library, so no other file of checks imports them; to `torch`
belong `torch_check`, the checks of functions, `torch_gradcheck`, the same with PyTorch's signature,
`torch_function`, a function of tensors as one of arrays, `torch_loss`, a loss as a cost, and
`torch_memory`, which keeps the strides and dtypes of tensors. `reference` judges low precision by a
function in float64, and `keyed_nesting` nests arrays by their names. This room imports gradient,
jacobian, report, evaluation and parameters. Read `torch` first.
"""
