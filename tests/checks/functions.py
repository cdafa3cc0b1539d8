"""Costs with known derivatives, for the tests of differences and complex steps."""

import random

import numpy as np

__all__ = ["SMOOTH", "rough"]

X = np.array([0.7, -1.3, 0.2, 1.9])
POSITIVE = np.abs(X)


def rough(x):
    """Return standard normal noise that is a function of x: the same at the same point."""
    return random.Random(np.real(x).tobytes()).gauss()


def logistic(x):
    return 1 / (1 + np.exp(-x))


def rosenbrock(x):
    return np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def rosenbrock_slope(x):
    slope = np.zeros_like(x)
    slope[:-1] = -400 * x[:-1] * (x[1:] - x[:-1] ** 2) - 2 * (1 - x[:-1])
    slope[1:] += 200 * (x[1:] - x[:-1] ** 2)
    return slope


# id: (cost, its gradient, point)
SMOOTH = {
    "linear": (lambda x: np.sum(3 * x), lambda x: 3 + 0 * x, X),
    "square": (lambda x: np.sum(x**2), lambda x: 2 * x, X),
    "square at 0": (lambda x: np.sum(x**2) + 1, lambda x: 2 * x, 0 * X),
    "seventh power": (lambda x: np.sum(x**7), lambda x: 7 * x**6, X),
    "exponential": (lambda x: np.sum(np.exp(x)), np.exp, X),
    "steep exponential": (lambda x: np.sum(np.exp(20 * x)), lambda x: 20 * np.exp(20 * x), X),
    "logarithm": (lambda x: np.sum(np.log(x)), lambda x: 1 / x, POSITIVE),
    "reciprocal": (lambda x: np.sum(1 / x), lambda x: -1 / x**2, X),
    "root": (lambda x: np.sum(np.sqrt(x)), lambda x: 0.5 / np.sqrt(x), POSITIVE),
    "sine": (lambda x: np.sum(np.sin(x)), np.cos, X),
    "fast sine": (lambda x: np.sum(np.sin(30 * x)), lambda x: 30 * np.cos(30 * x), X),
    "logistic": (lambda x: np.sum(logistic(x)), lambda x: logistic(x) * logistic(-x), X),
    "saturated": (
        lambda x: np.sum(logistic(9 * x)),
        lambda x: 9 * logistic(9 * x) * logistic(-9 * x),
        X,
    ),
    "bump": (lambda x: np.exp(-np.sum(x**2)), lambda x: -2 * x * np.exp(-np.sum(x**2)), X),
    "Rosenbrock": (rosenbrock, rosenbrock_slope, X),
    "large offset": (lambda x: 1e6 + np.sum(x**3), lambda x: 3 * x**2, X),
    "small": (lambda x: 1e-200 * np.sum(x**3), lambda x: 3e-200 * x**2, X),
    "many scales": (lambda x: np.sum(x**3), lambda x: 3 * x**2, X * [1e-6, 1e-2, 1, 1e3]),
    "perfect fit": (lambda x: np.sum((x - X) ** 4), lambda x: 4 * (x - X) ** 3, X),
}
