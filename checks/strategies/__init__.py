"""Hypothesis strategies: random networks, the shapes of other layers, and points for any of them.

`networks` draws whole fully connected networks with a batch. `convolutions`, `attentions`,
`recurrences`, `normalisations` and `shapes` draw the shapes of a layer, and `points` the values.
Imports nothing of checks. Read `points` first.
"""

from checks.strategies.attentions import Attention, attentions
from checks.strategies.convolutions import Convolution, convolutions
from checks.strategies.networks import (
    REGIMES,
    Problem,
    batches,
    generate_arrays,
    layer_sizes,
    parameters,
    problems,
)
from checks.strategies.normalisations import Normalisation, normalisations
from checks.strategies.points import POINT_REGIMES, generate_points, points
from checks.strategies.recurrences import Recurrence, recurrences
from checks.strategies.shapes import broadcasting_pairs, nested_shapes, shapes

__all__ = [
    "POINT_REGIMES",
    "REGIMES",
    "Attention",
    "Convolution",
    "Normalisation",
    "Problem",
    "Recurrence",
    "attentions",
    "batches",
    "broadcasting_pairs",
    "convolutions",
    "generate_arrays",
    "generate_points",
    "layer_sizes",
    "nested_shapes",
    "normalisations",
    "parameters",
    "points",
    "problems",
    "recurrences",
    "shapes",
]
