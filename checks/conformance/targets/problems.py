"""Problems whose numbers print short, and whose y are of the kind that a target takes."""

from dataclasses import replace

import numpy as np

from checks._types import FloatArray
from checks.strategies import Problem

__all__ = ["labelled", "rounded_problem", "with_shares"]


def rounded_problem(
    sizes: tuple[int, ...], samples: int, regime: str = "ordinary", number: int = 0
) -> Problem:
    """Return a generated problem with numbers of two digits, so that it prints short."""
    problem = Problem.generate(sizes, samples, regime, number)
    weights, biases = (list(map(_rounded, part)) for part in (problem.weights, problem.biases))
    return Problem(sizes, weights, biases, _rounded(problem.x), _rounded(problem.y), regime, number)


def _rounded(array: FloatArray) -> FloatArray:
    return np.array([float(f"{value:.1e}") for value in array.flat]).reshape(array.shape)


def labelled(problem: Problem, labels: str) -> Problem:
    """Return a problem with its y changed to a kind of `takes.LABELS`; integers stay one-hot."""
    y = problem.y
    if labels == "numbers":
        return problem
    if labels == "shares":
        return with_shares(problem)
    if labels == "from 0 to 1":
        y = np.clip(np.abs(y) % 1, 0.01, 0.99)
    else:
        if y.shape[1] > 1:
            one_hot = np.eye(y.shape[1])[y.argmax(axis=1)]
        else:
            one_hot = np.where(y > 0.5, 1.0, 0.0)
        y = 2 * one_hot - 1 if labels == "±1" else one_hot
    return replace(problem, y=y.astype(problem.y.dtype))


def with_shares(problem: Problem) -> Problem:
    """Return a problem with the y of each sample changed to positive hundredths that sum to 1.

    With several outputs no y is 1: where p rounds to 1, p − 1 would lose all of its digits.
    """
    size = np.abs(problem.y)
    y = np.maximum(1, np.floor(99 * size / size.sum(axis=1, keepdims=True)))
    y[np.arange(len(y)), y.argmax(axis=1)] += 100 - y.sum(axis=1)
    return replace(problem, y=(y / 100).astype(problem.y.dtype))
