"""Hypotheses: a square matrix is symmetric, and its gradient counts each entry once, or twice."""

from collections.abc import Iterator

import numpy as np

from checks.diagnosis.case import Case, Fit

__all__ = ["triangles"]

SYMMETRY_BITS = 3.0


def triangles(case: Case) -> Iterator[Fit]:
    """Explain a square matrix by its triangles, its diagonal, or its symmetric part."""
    n, e = case.numeric, case.error
    if n.ndim != 2 or n.shape[0] != n.shape[1] or n.shape[0] < 2 or not case.claimed.any():
        return
    diagonal, both = np.diag(np.diag(n)), n + n.T
    ways = (
        ("triangle", "the lower triangle of the numerical gradient, and 0 above it", np.tril(n)),
        ("triangle", "the upper triangle of the numerical gradient, and 0 below it", np.triu(n)),
        (
            "triangle",
            "the numerical gradient below its diagonal, and 0 elsewhere",
            np.tril(n, -1),
        ),
        (
            "triangle",
            "the numerical gradient above its diagonal, and 0 elsewhere",
            np.triu(n, 1),
        ),
        (
            "triangle",
            "the numerical gradient and its transpose added in the lower triangle, and 0 above it: "
            "as of a symmetric matrix that is given by that triangle",
            np.tril(both) - diagonal,
        ),
        (
            "triangle",
            "the numerical gradient and its transpose added in the upper triangle, and 0 below it: "
            "as of a symmetric matrix that is given by that triangle",
            np.triu(both) - diagonal,
        ),
        (
            "symmetric",
            "the numerical gradient plus its transpose less its diagonal: as of a symmetric matrix "
            "each of whose entries moves together with the one across the diagonal",
            both - diagonal,
        ),
        ("symmetric", "the symmetric part of the numerical gradient, (G + Gᵀ)/2", both / 2),
        ("symmetric", "the numerical gradient plus its transpose", both),
        ("antisymmetric", "the antisymmetric part of the gradient, (G − Gᵀ)/2", (n - n.T) / 2),
        ("antisymmetric", "the numerical gradient less its transpose, G − Gᵀ", n - n.T),
        ("diagonal", "the diagonal of the numerical gradient, and 0 elsewhere", diagonal),
        ("diagonal", "right but for its diagonal, which is 0", n - diagonal),
        ("diagonal", "right but for its diagonal, which is twice the numerical", n + diagonal),
        ("diagonal", "right but for its diagonal, which is half the numerical", n - diagonal / 2),
    )
    for number, (name, clause, prediction) in enumerate(ways):
        yield from case.fit(name, clause, prediction, SYMMETRY_BITS, error=e + e.T, number=number)
