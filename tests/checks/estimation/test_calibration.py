"""Every exact derivative lies in its interval, and no right gradient is called a mismatch."""

import numpy as np
import pytest
from hypothesis import settings

from benchmarks.calibration import calibrate, false_alarms, summarize
from benchmarks.intervals import measure
from checks import Verdict

# Over 50,000 entries by default. With --hypothesis-profile=soak over 1,000,000, and their medians.
SOAK = settings().max_examples > 1000


def test_no_exact_derivative_lies_outside_its_interval(tally):
    results, rejected = calibrate(networks=450 if SOAK else 20, seed=1)
    count = sum(result.shape[1] for result in results.values())
    tally.add("calibration", networks=len(results), entries=count)
    outside = {kind: summarize(result)[0] for kind, result in results.items()}
    assert not any(outside.values()), outside
    assert not rejected
    assert count >= (1_000_000 if SOAK else 50_000)

    if not SOAK:  # too few entries for stable medians
        return

    def medians(method, *dtypes, without=None):
        some = [
            result
            for (by, dtype, regime), result in results.items()
            if by == method and dtype in dtypes and regime != without
        ]
        _, sharpness, resolution, _ = summarize(np.concatenate(some, axis=1))
        return sharpness, resolution

    assert medians("central", "float64", "float32")[0] <= 40
    assert medians("complex-step", "float64", "float32")[0] <= 100
    # in a vanishing network the array's largest entry is itself near the rounding of the cost
    assert medians("central", "float64", without="vanishing")[1] <= 1e-11
    assert medians("complex-step", "float64")[1] <= 1e-14


def test_no_right_gradient_is_called_a_mismatch():
    rejected, done = false_alarms(104_000 if SOAK else 40)
    assert not rejected
    assert done >= (100_000 if SOAK else 30)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("method", ["auto", "central"])
def test_random_costs(method, dtype):
    with np.errstate(all="ignore"):
        outcomes, without = measure(range(40_000 if SOAK else 30), dtype, method)
    assert set(without) <= {"no derivative"}
    assert not [o.composition.seed for o in outcomes if o.worst > 1]
    assert not [o.composition.seed for o in outcomes if o.accused]
    assert not [o.composition.seed for o in outcomes if o.planted is Verdict.MATCH]
    shown = [o.verdict is Verdict.MATCH for o in outcomes if o.shows]
    assert np.mean(shown) >= (0.92 if dtype == "float64" else 0.75)
    sharpness = np.median(np.concatenate([o.sharpness for o in outcomes]))
    assert sharpness <= 100
