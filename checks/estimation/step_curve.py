"""How the cost's slope at one entry depends on the step it is taken over, for a picture."""

from dataclasses import dataclass

import numpy as np

from checks._types import FloatArray
from checks.estimation.stencils import steps_taken
from checks.evaluation.pointwise import Evaluations
from checks.parameters.claims import entry_name

__all__ = ["StepCurve", "measure_step_curve"]

STEPS = 16  # two evaluations each: in float64 about one step per decade


@dataclass(frozen=True, eq=False)
class StepCurve:
    """Slopes of the cost at one entry.

    Attributes
    ----------
    name : str
        The entry's.
    steps : (m,) float
        From the scale of its array down to the last place.
    slopes : (m, 2) float
        On the left and on the right of the entry; not finite where the cost is not.
    noise : float
        Standard deviation of the cost's noise.
    """

    name: str
    steps: FloatArray
    slopes: FloatArray
    noise: float

    @property
    def central(self) -> FloatArray:
        """The central differences: the mean of both sides."""
        return self.slopes.mean(axis=1)  # type: ignore[no-any-return]


def measure_step_curve(
    evaluations: Evaluations, path: str, index: tuple[int, ...], noise: float
) -> StepCurve:
    """Take the cost's slopes at one entry over steps of every size.

    Taken while the check runs, for a report keeps neither the cost nor the parameters, which may
    have moved on when it is drawn.

    Parameters
    ----------
    evaluations
        The cost; 32 evaluations are spent.
    path, index
        The entry.
    noise
        Of the cost, its standard deviation.
    """
    values = evaluations.values[path]
    x = values[index]
    wide = np.result_type(x.dtype, np.float64)
    scale = max(abs(float(x)), evaluations.scales[path])
    finest = float(np.spacing(x.dtype.type(scale)))
    h = np.geomspace(scale, finest, STEPS).astype(wide)
    steps = steps_taken(x, np.stack([-h, h]))
    entry = np.arange(values.size).reshape(values.shape)[index].reshape(1)
    costs = evaluations.at_entries(path, entry, steps.reshape(1, -1)).reshape(2, -1)
    slopes = (costs - evaluations.at_point) / steps
    return StepCurve(entry_name(path, index), h, slopes.T, noise)
