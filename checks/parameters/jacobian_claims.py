"""The claimed Jacobian of a function: a matrix for every array of results by every array of x."""

from functools import partial
from typing import Any

import numpy as np

from checks._types import FloatArray
from checks.parameters.claims import UNFIT, as_array, dense, describe, flatten_claim

__all__ = ["flatten_jacobian"]


def flatten_jacobian(results: Any, x: Any, claim: Any, source: str) -> list[dict[str, FloatArray]]:
    """Return the blocks of a claimed Jacobian: of each array of results, by the paths of `x`.

    A block of an array of m results by an array of n entries is (m, n), or has the shape of the
    results followed by that of the entries, or is a matrix of scipy.sparse or a LinearOperator; it
    is returned as (m, n).

    Parameters
    ----------
    results, x
        Nested arrays.
    claim
        Blocks nested as `results`, and inside as `x`.
    source : str
        How the texts of errors name the claim.

    Raises
    ------
    TypeError, ValueError
        As `checks.parameters.claims.flatten_claim`. The text says so if a block is transposed.
    """

    def of_results(node: Any, part: Any, where: str) -> dict[str, FloatArray]:
        blocks, _ = flatten_claim(x, part, where, leaf=partial(_block, np.shape(node)), root=".x")
        return blocks

    by_result, _ = flatten_claim(results, claim, source, leaf=of_results, root=".f(x)")
    return list(by_result.values())


def _block(of_result: tuple[int, ...], node: Any, part: Any, where: str) -> FloatArray:
    """Return a block as a matrix, a new array, checked for dtype and shape."""
    of_entry = np.shape(node)
    matrix = int(np.prod(of_result)), int(np.prod(of_entry))
    part = dense(part)
    array = as_array(part)
    if array.dtype.kind != "f" or isinstance(part, UNFIT):
        remedy = {
            "i": "integers have lost the fractions, use .astype(float)",
            "u": "integers have lost the fractions, use .astype(float)",
            "b": "use .astype(float)",
            "c": "take the real part where the imaginary part is zero",
        }.get(array.dtype.kind, "give numpy arrays, nested as f(x) and inside as x")
        if isinstance(part, np.matrix):
            remedy = "make it an array with np.asarray, or a sparse matrix with .toarray()"
        if isinstance(part, np.ma.MaskedArray):
            remedy = "give all of its numbers, .filled(0) or .data"
        remedy = "where it vanishes, give zeros" if part is None else remedy
        raise TypeError(f"{where} is {describe(part)}, wanted floats of shape {matrix}: {remedy}")
    if array.shape not in (matrix, (*of_result, *of_entry)):
        text = f"{where} has shape {array.shape}, wanted {matrix}"
        if matrix != (*of_result, *of_entry):
            text += f" or {(*of_result, *of_entry)}"
        text += ": a row for each result, a column for each entry"
        if array.shape in (matrix[::-1], (*of_entry, *of_result)):
            text += ". This is the transpose: use .T"
        raise ValueError(text)
    return array.reshape(matrix).copy()
