"""Honest errors: every exact derivative lies in its interval, and no right gradient is accused."""

import numpy as np
from hypothesis import settings

from benchmarks.calibration import calibrate, false_alarms, summarize

# By default over 50,000 entries; over 1,000,000 with --hypothesis-profile=soak, and their medians.
SOAK = settings().max_examples > 1000


def test_no_exact_derivative_lies_outside_its_interval(tally):
    rows, accused = calibrate(networks=450 if SOAK else 20, seed=1)
    tally.add("calibration", networks=len(rows), entries=sum(r.shape[1] for r in rows.values()))
    outside = {kind: summarize(some)[0] for kind, some in rows.items()}
    assert not any(outside.values()), outside
    assert not accused
    assert sum(some.shape[1] for some in rows.values()) >= (1_000_000 if SOAK else 50_000)

    if not SOAK:  # too few for medians that hold
        return

    def over(method, *dtypes, without=None):
        some = [r for (m, d, g), r in rows.items() if m == method and d in dtypes and g != without]
        _, sharpness, resolution, _ = summarize(np.concatenate(some, axis=1))
        return sharpness, resolution

    assert over("central", "float64", "float32")[0] <= 40
    assert over("complex-step", "float64", "float32")[0] <= 100
    # in a vanishing network the array's largest entry is itself near the rounding of the cost
    assert over("central", "float64", without="vanishing")[1] <= 1e-11
    assert over("complex-step", "float64")[1] <= 1e-14


def test_no_right_gradient_is_accused():
    accused, done = false_alarms(104_000 if SOAK else 40)
    assert not accused
    assert done >= (100_000 if SOAK else 30)
