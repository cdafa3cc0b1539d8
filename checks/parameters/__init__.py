"""The caller's parameters: nested arrays, moved and put back.

`nesting` finds the arrays in any nesting and rebuilds it; `claims` checks that a claimed gradient
is nested alike; `random_directions` draws directions; `arrays` and the three files beside it move
an array where it lives (numpy, PyTorch, JAX). Imports nothing of checks but `_types`.
Read `nesting` first.
"""
