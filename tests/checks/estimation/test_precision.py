"""Rounding one precision up: what lifts is used, and a single stage that does not is recognised."""

import math
import threading

import numpy as np
import pytest

from checks.estimation.claim_rounding import claim_rounding
from checks.estimation.cost_rounding import cost_rounding
from checks.estimation.precision import Copies, Lift, wider_dtype
from checks.estimation.rounding_mode import call_toward_zero, toward_zero_is_available
from checks.estimation.step_rounding import complex_step_rounding
from checks.parameters.claims import flatten_claim
from checks.parameters.nesting import Nesting

LONG = wider_dtype(np.float64)
DTYPES = [
    np.float32,
    pytest.param(np.float64, marks=pytest.mark.skipif(not LONG, reason="as wide")),
]
needs_long_double = pytest.mark.skipif(not LONG, reason="a long double is a float64 here")
needs_rounding_mode = pytest.mark.skipif(
    not toward_zero_is_available(), reason="the rounding mode cannot be changed here"
)
RNG = np.random.default_rng(5)
MATRIX = RNG.standard_normal((3, 4)).astype(np.float32)
OFFSETS = RNG.standard_normal(3).astype(np.float32)


def point(dtype, seed=0):
    rng = np.random.default_rng(seed)
    return {"w": rng.standard_normal(4).astype(dtype), "b": rng.standard_normal(3).astype(dtype)}


def data(array, z):
    """Return data in the dtype of the parameters: held exactly by each of them."""
    return array.astype(z.real.dtype)


def logits(p):
    return (data(MATRIX, p["w"]) * p["w"]).sum(axis=1) + p["b"]


def squash(z):
    return (1 / (1 + np.exp(-z)) * data(OFFSETS, z)).sum()


NARROW = {np.float32: (np.float32, np.complex64), np.float64: (np.float64, np.complex128)}


def cast(z, dtype):
    real, imaginary = NARROW[dtype]
    return z.astype(imaginary if z.dtype.kind == "c" else real).astype(z.dtype)


def buffer(z, dtype):
    real, imaginary = NARROW[dtype]
    held = np.zeros(z.shape, imaginary if z.dtype.kind == "c" else real)  # wrong on purpose
    for i in range(z.size):
        held[i] = z[i]
    return held


def lifting(dtype):
    """Costs that compute in the dtype of what they are given."""

    def looped(p):
        total = 0 * p["b"][0]
        for row, b in zip(MATRIX, p["b"], strict=True):
            z = b
            for m, w in zip(row, p["w"], strict=True):
                z = z + m * w
            total = total + np.tanh(z)
        return total

    def in_its_own_buffer(p):
        z = np.zeros(3, np.result_type(p["w"], p["b"]))
        z[...] = logits(p)
        return squash(z)

    return {
        "plain": lambda p: squash(logits(p)),
        "loop over scalars": looped,
        "buffer of its own dtype": in_its_own_buffer,
        "offset": lambda p: squash(logits(p)) + 1000,
        "norm": lambda p: np.sqrt((logits(p) ** 2).sum()),
        "softmax": lambda p: np.log(np.exp(logits(p) - logits(p).real.max()).sum()),
        "linear": lambda p: (data(OFFSETS, p["w"]) * logits(p)).sum(),
    }


def casting(dtype):
    """Costs of which one stage is in the narrow dtype."""
    kept = point(dtype)
    return {
        "buffer": lambda p: squash(buffer(logits(p), dtype).astype(np.result_type(p["w"]))),
        "buffer at the end": lambda p: buffer(np.array([squash(logits(p))]), dtype)[0],
        "cast of all parameters": lambda p: squash(
            logits({k: cast(v, dtype) for k, v in p.items()})
        ),
        "cast of one array": lambda p: squash(logits({"w": p["w"], "b": cast(p["b"], dtype)})),
        "cast within": lambda p: squash(cast(logits(p), dtype)),
        "cast of the result": lambda p: cast(np.asarray(squash(logits(p))), dtype)[()],
        "cast of a linear stage": lambda p: cast(logits(p) * data(OFFSETS, p["w"]), dtype).sum(),
        "closure over the parameters": lambda p: squash(logits(kept)) + 0 * p["w"][0],
    }


LIFTING, CASTING = list(lifting(np.float32)), list(casting(np.float32))


def measured_steps(cost, params, seed=1):
    nesting = Nesting(params)
    values = nesting.leaves
    narrow_dtype = next(iter(values.values())).dtype
    narrow = Copies(cost, nesting, values, narrow_dtype)
    wide = Copies(cost, nesting, values, wider_dtype(narrow_dtype))
    steps, _ = narrow.slopes({path: np.arange(v.size) for path, v in values.items()})
    with np.errstate(all="ignore"):
        rounding = complex_step_rounding(steps, cost(params), wide, np.random.default_rng(seed))
    return steps, rounding, wide


def measured_cost(cost, params, seed=1, far=True):
    values = params
    wide = Copies(cost, Nesting(params), values, wider_dtype(values["w"].dtype))
    moved = []
    if far:
        there = {path: (v * 1.015625).astype(v.dtype) for path, v in values.items()}
        moved = [({path: there[path] - v for path, v in values.items()}, cost(there))]
    return cost_rounding(cost(params), wide, np.random.default_rng(seed), moved)


def test_the_next_wider_dtype():
    assert wider_dtype(np.float16) == wider_dtype(np.float32) == np.float64
    assert LONG in (None, np.dtype(np.longdouble))
    assert wider_dtype(np.longdouble) is None


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", LIFTING)
def test_what_lifts_is_recognised(name, dtype):
    doubted = 0
    for seed in range(40):
        _, rounding, _ = measured_steps(lifting(dtype)[name], point(dtype, seed), seed)
        doubted += set(rounding.lifts.values()) != {Lift.LIFTS}
    assert doubted <= 2  # where terms cancel, for one


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CASTING)
@pytest.mark.filterwarnings("ignore::numpy.exceptions.ComplexWarning")
def test_a_stage_that_does_not_lift_is_recognised(name, dtype):
    missed = 0
    for seed in range(20):
        params = point(dtype, 0 if "closure" in name else seed)
        cost = casting(dtype)[name]
        _, rounding, _ = measured_steps(cost, params, seed)
        found = rounding.lifts["b"] if "one array" in name else None
        missed += Lift.LIFTS in ({found} if found else set(rounding.lifts.values()))
        at = measured_cost(cost, params, seed)
        # beside other rounding a cast may not show in the cost: then it does not matter there
        assert at.lift is not Lift.LIFTS or at.wide_level > at.level / 64 or "one" in name
    # one array in 1,000 passes: in each of three random directions little of the stage shows
    assert missed <= 1


@needs_long_double
def test_python_floats_and_libraries_do_not_lift():
    params = point(np.float64)

    def by_math(p):
        return sum(math.exp(v) for v in logits(p))

    def as_float(p):
        return float(squash(logits(p)))

    def solved(p):
        return np.linalg.pinv(np.diag(2 + p["b"] ** 2)).sum() + (p["w"] ** 2).sum()

    for cost in (by_math, as_float, solved):
        assert measured_cost(cost, params).lift is Lift.NARROW
    _, rounding, wide = measured_steps(solved, params)
    assert rounding.lifts == {"w": Lift.LIFTS, "b": Lift.NARROW}
    assert wide.refused
    assert wide.narrowed


def test_float_lifts_what_was_float32():
    cost = lifting(np.float32)["plain"]
    assert measured_cost(lambda p: float(cost(p)), point(np.float32)).lift is not Lift.NARROW


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_error_of_a_step_holds_its_rounding(dtype):
    cost, wrong = lifting(dtype)["plain"], []
    for seed in range(40):
        params = point(dtype, seed)
        steps, rounding, _ = measured_steps(cost, params, seed)
        z = [
            math.fsum([*(MATRIX[i].astype(float) * params["w"]), params["b"][i]]) for i in range(3)
        ]
        slope = np.array([1 / (2 + 2 * math.cosh(v)) for v in z]) * OFFSETS
        made = np.abs(steps["b"] - slope) - 8 * np.finfo(float).eps * np.abs(slope)
        assert (made <= rounding.error["b"]).all()
        wrong.append(rounding.error["b"] / np.abs(slope))
    assert np.median(wrong) < 20 * np.finfo(dtype).eps


@needs_long_double
@pytest.mark.parametrize("z", [4, 8, 12, 16, 20])
def test_what_every_nearby_point_rounds_alike_is_seen(z):
    mpmath = pytest.importorskip("mpmath")
    x, w = np.array([1.0, -0.5, 0.25]), z * np.array([0.7, -0.4, 0.4]) * 1.0123
    steps, rounding, _ = measured_steps(
        lambda p: (1 / (1 + np.exp(-(p["w"] * x).sum())) - 1) ** 2, {"w": w}
    )
    with mpmath.workdps(50):
        s = 1 / (
            1 + mpmath.exp(-sum(mpmath.mpf(a) * mpmath.mpf(b) for a, b in zip(w, x, strict=True)))
        )
        exact = np.array([np.longdouble(str(2 * (s - 1) * s * (1 - s) * mpmath.mpf(b))) for b in x])
    assert rounding.lifts["w"] is Lift.LIFTS
    made = np.abs(steps["w"] - exact)
    assert (made <= rounding.error["w"]).all()
    assert (made.max() == 0) or rounding.error["w"].max() < 1000 * made.max()


@needs_long_double
def test_below_the_floor_nothing_is_believed():
    k = np.array([1.0, -0.25])

    def cost(p):
        e = np.exp(p["w"] * k - (p["w"] * k).real.max())
        return (e / e.sum() * np.array([1.0, 2.0])).sum()

    steps, rounding, _ = measured_steps(cost, {"w": np.array([44.0])})
    exact = -1.25 * math.exp(-55)
    assert abs(steps["w"][0] - exact) <= rounding.error["w"][0]


@needs_long_double
def test_the_noise_of_a_cost():
    for seed in range(30):
        params = point(np.float64, seed)
        cost = lifting(np.float64)["plain"]
        rounding = measured_cost(cost, params, seed)
        assert 2**-54 * abs(cost(params)) <= rounding.level <= 2**-45
        assert rounding.wide_level <= rounding.level / 100
        assert abs(rounding.value - cost(params)) <= rounding.change


def test_a_closure_over_data_lifts_and_one_over_parameters_does_not():
    params = point(np.float32)
    assert measured_cost(lambda p: squash(logits(p)), params).lift is Lift.LIFTS
    inner = {path: value.copy() for path, value in params.items()}

    def stale(p):  # wrong on purpose: one of its arrays is not the argument's
        return squash(logits({"w": inner["w"], "b": p["b"]}))

    def narrow(p):  # moved in place, as the caller's own arrays are
        return squash(logits(p))

    wide = Copies(stale, Nesting(params), params, np.float64)
    there = {path: (v * np.float32(1.25)) for path, v in params.items()}
    moves = {path: there[path] - v for path, v in params.items()}
    found = cost_rounding(narrow(params), wide, np.random.default_rng(0), [(moves, narrow(there))])
    assert found.lift is Lift.NARROW


def quadratic_gradient(p):
    z = logits(p)
    s = 1 / (1 + np.exp(-z))
    d = s * (1 - s) * data(OFFSETS, z)
    return {"w": (data(MATRIX, z).T * d).sum(axis=1), "b": d}


def measured_claim(gradient, params, seed=0):
    def flatten(result):
        return flatten_claim(params, result, "gradient(params)")[0]

    wide = Copies(gradient, Nesting(params), params, wider_dtype(params["w"].dtype))
    rng = np.random.default_rng(seed)
    return claim_rounding(flatten(gradient(params)), wide, flatten, rng), wide.calls


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_rounding_of_a_claim(dtype):
    for seed in range(20):
        params = point(dtype, seed)
        params["b"] = params["b"] + dtype(8)  # saturated: 1 - s loses digits
        found, calls = measured_claim(quadratic_gradient, params, seed)
        assert calls <= 6
        assert set(found.lifts.values()) == {Lift.LIFTS}
        lost = np.finfo(dtype).eps * np.exp(8) * np.abs(quadratic_gradient(params)["b"])
        assert (found.rounding["b"] < 100 * lost).all()
        assert found.rounding["b"].max() > 0


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("stage", [0, 1, 2])
def test_a_narrow_stage_of_a_claim_is_recognised(stage, dtype):
    def gradient(p):
        z = logits(p)
        z = cast(z, dtype) if stage == 0 else z
        s = 1 / (1 + np.exp(-z))
        s = cast(s, dtype) if stage == 1 else s
        d = s * (1 - s) * data(OFFSETS, z)
        d = cast(d, dtype) if stage == 2 else d
        return {"w": (data(MATRIX, z).T * d).sum(axis=1), "b": d}

    for seed in range(20):
        found, _ = measured_claim(gradient, point(dtype, seed), seed)
        assert Lift.LIFTS not in found.lifts.values()
        assert np.isnan(found.rounding["b"]).all()


def test_a_claim_in_the_narrow_dtype_or_none_at_all():
    params = point(np.float32)
    as_float32 = measured_claim(
        lambda p: {k: np.asarray(v, np.float32) for k, v in quadratic_gradient(p).items()}, params
    )[0]
    assert set(as_float32.lifts.values()) == {Lift.NARROW}

    def refusing(p):
        if p["w"].dtype != np.float32:
            raise TypeError("float32 only")
        return quadratic_gradient(p)

    refused = measured_claim(refusing, params)[0]
    assert set(refused.lifts.values()) == {Lift.NARROW}
    assert refused.said == "TypeError: float32 only"


def test_copies_are_what_is_moved():
    params, kept = point(np.float32), []
    before = {path: value.copy() for path, value in params.items()}

    def cost(p):
        kept.append(p["w"])
        p["w"][...] = 0  # wrong on purpose
        return p["b"].sum()

    copies = Copies(cost, Nesting(params), params, np.float64)
    copies.cost({"w": params["w"] / 2})
    copies.slopes({"w": np.arange(2)})
    assert copies.calls == 3
    assert np.isnan(copies.cost({"w": np.full(4, 100.0)}))  # out of the box: not called
    assert copies.calls == 3
    assert not any(array is params["w"] for array in kept)
    assert all((params[path] == value).all() for path, value in before.items())


@needs_rounding_mode
def test_toward_zero_and_back():
    one = np.array([1.0, -1.0])
    nearest = one / 10
    assert (np.abs(call_toward_zero(lambda x: x / 10, one)) < np.abs(nearest)).all()
    assert (one / 10 == nearest).all()


@needs_rounding_mode
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_what_is_raised_leaves_the_usual_mode(error):
    def raising(x):
        raise error(x)

    with pytest.raises(error):
        call_toward_zero(raising, 1.0)
    assert np.ones(1)[0] / 10 == 0.1


@needs_rounding_mode
def test_other_threads_keep_their_mode():
    inside, seen = threading.Event(), []
    begun = threading.Event()

    def other():
        begun.set()
        inside.wait(10)
        seen.append(np.ones(1)[0] / 10)

    thread = threading.Thread(target=other)
    thread.start()
    begun.wait(10)

    def function(x):
        inside.set()
        thread.join(10)
        return x / 10

    assert call_toward_zero(function, np.ones(1))[0] < 0.1
    assert seen == [0.1]


def test_an_unknown_platform_says_so(monkeypatch):
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    monkeypatch.setattr("checks.estimation.rounding_mode._modes", lambda: None)
    assert not toward_zero_is_available()
    with pytest.raises(OSError, match="riscv64"):
        call_toward_zero(abs, 1.0)


@needs_long_double
def test_a_cost_of_zero_hides_what_its_terms_absorb():
    def gelu(p):  # 1 + tanh is 0 in both dtypes, its derivative is not
        return (1 + np.tanh(p["w"])).sum()

    steps, rounding, _ = measured_steps(gelu, {"w": np.array([-25.0])})
    assert steps["w"][0] != 0
    assert rounding.lifts["w"] is Lift.HIDDEN


@needs_long_double
def test_an_infinity_on_the_way_hides_what_depends_on_it():
    def cost(p):
        return np.arctan(np.log(np.cosh(p["w"]))).sum()

    _, rounding, wide = measured_steps(cost, {"w": np.array([1.0, 2e11])})
    assert wide.overflowed
    assert Lift.LIFTS not in rounding.lifts.values()
    _, rounding, wide = measured_steps(cost, {"w": np.array([1.0, 20.0])})
    assert not wide.overflowed
    assert rounding.lifts["w"] is Lift.LIFTS
