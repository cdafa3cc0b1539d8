"""The notes' network in PyTorch, as a target: ``python -m checks path/to/torch_net.py``.

Autograd is the gradient. Arrays are copied, because torch takes no read-only or reversed ones.
"""

import numpy as np
import torch


def _tensors(arrays):
    return [torch.from_numpy(np.array(array, order="C")) for array in arrays]


def _cost(weights, biases, x, y):
    a, y = (part.to(weights[0].dtype) for part in _tensors([x, y]))
    for w, b in zip(weights, biases, strict=True):
        a = torch.sigmoid(a @ w.T + b)
    return ((a - y) ** 2).mean()


def cost(weights, biases, x, y):
    return _cost(_tensors(weights), _tensors(biases), x, y).numpy()


def gradient(weights, biases, x, y):
    leaves = [leaf.requires_grad_() for leaf in _tensors([*weights, *biases])]
    layers = len(weights)
    slopes = torch.autograd.grad(_cost(leaves[:layers], leaves[layers:], x, y), leaves)
    arrays = [slope.numpy() for slope in slopes]
    return arrays[:layers], arrays[layers:]
