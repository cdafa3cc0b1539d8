"""Derivatives of functions with many results, from the arguments of a check to its report.

`rows` estimates and judges Jacobians, `tangents` Jacobian–vector products, `cotangents` products
from the left; `slopes` makes the gradient that is differentiated to a Hessian. `linearity` is what
products owe besides their values, `options` the arguments that all of these have in common.
Imports from judgement and below, and gradient. Read `rows` first.
"""
