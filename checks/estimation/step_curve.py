"""The slopes of the cost at one entry over steps of every size, for a plot."""

from dataclasses import dataclass

import numpy as np

from checks._types import FloatArray
from checks.evaluation.pointwise import Evaluations
from checks.evaluation.step_sizes import steps_taken
from checks.parameters.claims import entry_name

__all__ = ["StepCurve", "measure_step_curve"]

STEPS = 9  # of two evaluations each; in float64 each is 1/90 of the one before


@dataclass(frozen=True, eq=False)
class StepCurve:
    """One-sided slopes of the cost at one entry, as a function of the step.

    Attributes
    ----------
    name : str
        The name of the entry, as `layers[0].w[2, 1]`.
    steps : (m,) float
        Lengths of the steps, from the typical size of the entry down to its last place.
    slopes : (m, 2) float
        The slopes on the left and on the right; not finite where the cost is not.
    noise : float
        Standard deviation of the cost's noise.
    """

    name: str
    steps: FloatArray
    slopes: FloatArray
    noise: float

    @property
    def central(self) -> FloatArray:
        """The central differences: the means of both slopes."""
        return self.slopes.mean(axis=1)  # type: ignore[no-any-return]


def measure_step_curve(
    evaluations: Evaluations, path: str, index: tuple[int, ...], noise: float
) -> StepCurve:
    """Take the one-sided slopes of the cost at one entry over steps of every size.

    This happens during the check, not when a report is plotted: a report keeps neither the cost nor
    the parameters, which may have changed by then.

    Parameters
    ----------
    evaluations
        The cost; 18 evaluations are spent.
    path, index
        The entry.
    noise
        Standard deviation of the cost's noise.
    """
    values = evaluations.values[path]
    x = values[index]
    wide = np.result_type(x.dtype, np.float64)
    scale = float(evaluations.box.sizes[path][index])
    last_place = float(np.spacing(x.dtype.type(scale)))
    h = np.geomspace(scale, last_place, STEPS).astype(wide)
    steps = steps_taken(x, np.stack([-h, h]))
    entries = np.arange(values.size).reshape(values.shape)[index].reshape(1)
    costs = evaluations.at_entries(path, entries, steps.reshape(1, -1)).reshape(2, -1)
    slopes = (costs - evaluations.at_point) / steps
    return StepCurve(entry_name(path, index), h, slopes.T, noise)
