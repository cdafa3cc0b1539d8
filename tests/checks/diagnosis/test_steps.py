"""Mistakes that only a step can have, from gradients that its calls imply, made by hand."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from checks.diagnosis.steps import diagnose_step, small_rates

N = {"w": np.array([[1.5, -0.75], [0.0, 2.0]]), "b": np.array([0.25, -1.25, 0.5])}
THETA = {"w": np.array([[0.5, 1.25], [-2.0, 0.75]]), "b": np.array([1.0, -0.5, 3.0])}
RATES = (0.5, 0.125, 0.25)
ARRAYS = {path: SimpleNamespace(numeric=n) for path, n in N.items()}


def scaled(factor):
    return {path: factor * n for path, n in N.items()}


def plus(a, b, factor=1.0):
    return {path: a[path] + factor * b[path] for path in a}


def called(claim, rates=RATES):
    """Return calls of a step without a state: what each implies is a function of its rate."""
    return [(eta, claim(eta)) for eta in rates]


def diagnose(claim, *, rates=RATES, small=None, values=THETA, arrays=ARRAYS):
    calls = called(claim, rates)
    repeated = called(claim, [rates[-1]] * 4)
    rates_near_0 = small_rates(arrays, values)
    found = diagnose_step(
        calls, repeated, lambda: called(small or claim, rates_near_0), arrays, values
    )
    return [(d.name, d.text) for d in found]


@pytest.mark.parametrize("factor", [1.0, 2.0, -1.0, 0.0])
def test_a_gradient_at_every_rate_is_no_matter_of_the_step(factor):
    assert diagnose(lambda eta: scaled(factor)) == []


# rates at which the limit η → 0 is found


@pytest.mark.parametrize(("dtype", "eps"), [("float64", 2.0**-52), ("float32", 2.0**-23)])
def test_three_small_rates_move_theta_by_the_third_root_of_eps(dtype, eps):
    values = {path: theta.astype(dtype) for path, theta in THETA.items()}
    rates = small_rates(ARRAYS, values)
    first = 2.0 ** round(math.log2(eps ** (1 / 3) * 3.0 / 2.0))  # the largest of each
    assert rates == [first, first / 2, first / 4]
    mixed = {"w": THETA["w"], "b": THETA["b"].astype("float32")}
    assert small_rates(ARRAYS, mixed)[0] == 2.0 ** round(math.log2(2.0 ** (-23 / 3) * 1.5))


def test_zeros_count_as_1_and_empty_arrays_as_nothing():
    zeros = {"w": np.zeros(2), "b": np.zeros((0, 3))}
    arrays = {path: SimpleNamespace(numeric=value) for path, value in zeros.items()}
    first = 2.0 ** round(math.log2(2.0 ** (-52 / 3)))
    assert small_rates(arrays, zeros)[0] == first
    small = {"w": np.full(2, 2.0**-9), "b": np.zeros((0, 3))}
    arrays = {path: SimpleNamespace(numeric=value) for path, value in small.items()}
    assert small_rates(arrays, small)[0] == first
    assert small_rates(arrays, zeros)[0] == first * 2.0**9
    negative = {"w": np.array([-4.0, 1.0])}
    arrays = {"w": SimpleNamespace(numeric=np.array([1.0, -16.0]))}
    assert small_rates(arrays, negative)[0] == 2.0 ** round(math.log2(2.0 ** (-52 / 3) / 4))


# momentum


def velocities(mu, rates, *, inside=False, first=1.0, start=0.0, gradient=N):
    """Return calls of a step with v ← μ v + g, or v ← μ v + η g, that moves by v."""
    v, calls = {path: start + 0 * n for path, n in gradient.items()}, []
    for eta in rates:
        v = {p: mu * v[p] + first * n * (eta if inside else 1) for p, n in gradient.items()}
        calls.append((eta, {path: a / eta if inside else a for path, a in v.items()}))
    return calls


@pytest.mark.parametrize("mu", [0.5, 0.9, -0.5, 0.01])
@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("first", [1.0, "1 − μ", 3.0])
def test_momentum_is_named_with_its_size(mu, inside, first):
    share = 1 - mu if first == "1 − μ" else first
    calls = velocities(mu, [*RATES, 0.5, 0.5, 0.5, 0.5], inside=inside, first=share)
    (found,) = diagnose_step(calls[:3], calls[3:], None, ARRAYS, THETA)
    text = (
        f"The step keeps a velocity from call to call: momentum, μ = {mu:.4g}. Check a step with "
        "μ = 0, or its gradient."
    )
    how = {1.0: "", "1 − μ": f", times 1 − μ = {1 - mu:.4g}"}
    if first in how:
        text += f" Its first call moves by the gradient of the cost{how[first]}, which is right."
    assert (found.name, found.text) == ("momentum", text)


@pytest.mark.parametrize("mu", [1.0, 0.9e-3, -1.0])
def test_no_velocity_or_one_that_is_kept_for_ever_is_no_momentum(mu):
    calls = velocities(mu, [*RATES, 0.5, 0.5, 0.5, 0.5])
    assert diagnose_step(calls[:3], calls[3:], lambda: called(lambda eta: N), ARRAYS, THETA) == ()


def noise(seed=0):
    rng = np.random.default_rng(seed)
    return {path: rng.standard_normal(n.shape) for path, n in N.items()}


def test_momentum_shows_in_calls_at_one_rate():
    calls = velocities(0.5, [0.5] * 7)
    others = [(eta, plus(c, noise(), k**2)) for k, (eta, c) in enumerate(calls)]
    (found,) = diagnose_step(others[:3], calls[3:], None, ARRAYS, THETA)
    assert "μ = 0.5." in found.text
    for size in (1.0, 1e-3):
        others = [(eta, plus(c, noise(k), size)) for k, (eta, c) in enumerate(calls)]
        assert diagnose_step(calls[:3], others[3:], None, ARRAYS, THETA) == ()


def test_what_changes_from_call_to_call_in_another_way_has_no_name():
    nan = [(0.5, scaled(np.nan))] * 7
    assert diagnose_step(nan[:3], nan[3:], None, ARRAYS, THETA) == ()
    mus = [0.25, 0.5, 0.75, 0.9]  # a momentum that grows has no one size
    growing, v = [], scaled(0.0)
    for mu in [*mus[:3], *mus]:
        v = plus(N, v, mu)
        growing.append((0.5, v))
    assert diagnose_step(growing[:3], growing[3:], None, ARRAYS, THETA) == ()


@pytest.mark.parametrize(("apart", "named"), [(0.9e-3, True), (1.1e-3, False)])
def test_two_pairs_of_calls_agree_on_the_momentum_to_a_thousandth(apart, named):
    differences = [1.0, 0.5, 0.5 * (0.5 + apart)]
    calls = [(0.5, scaled(sum(differences[:k]))) for k in range(4)]
    found = diagnose_step([(0.25, N)], calls, None, ARRAYS, THETA)
    assert bool(found) is named


@pytest.mark.parametrize(
    ("size", "named"), [(6.5e5, True), (5.5e5, False), (-6.5e5, True), (-5.5e5, False)]
)
def test_changes_far_above_rounding_show_momentum(size, named):
    # 100 times what the rounding of three calls makes of a change, 64 last places over η of each
    change = np.array([0.0, 0, size * 2.0**-53])
    calls = [(0.5, {**N, "b": N["b"] + (2 - 2.0**-k) * change}) for k in range(4)]
    found = diagnose_step([(0.25, N)], calls, lambda: called(lambda eta: N), ARRAYS, THETA)
    assert bool(found) is named


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(("off", "named"), [(0.9e-5, True), (1.2e-5, False), (np.nan, False)])
def test_every_entry_has_the_same_momentum(sign, off, named):
    size = 8.0  # of the last difference, in its largest entry
    change = {"w": 4 * size * np.array([[0.5, -1], [0.25, -0.125]]), "b": size * N["b"]}
    calls = [(0.5, plus(N, change, 2 - 2.0**-k)) for k in range(4)]
    last = {p: a.copy() for p, a in calls[3][1].items()}
    last["w"][1, 1] += sign * off * 4 * size / 8
    found = diagnose_step([(0.25, N)], [*calls[:3], (0.5, last)], None, ARRAYS, THETA)
    assert bool(found) is named


def test_the_first_call_is_right_if_all_of_its_arrays_are():
    calls = velocities(0.5, [0.5] * 4)
    (found,) = diagnose_step([(0.5, {**N, "b": 3 * N["b"]})], calls, None, ARRAYS, THETA)
    assert "Its first call" not in found.text


def test_another_first_call_at_the_same_rate_shows_a_state():
    first = [(0.25, N), (0.5, scaled(2.0))]
    assert diagnose_step(first, [(0.5, N)] * 4, None, ARRAYS, THETA) == ()


def test_one_array_alone_may_have_a_velocity():
    calls = velocities(0.5, [0.5] * 7)
    one = [(eta, {"w": N["w"], "b": c["b"]}) for eta, c in calls]
    (found,) = diagnose_step(one[:3], one[3:], None, ARRAYS, THETA)
    assert found.text.startswith("The step keeps a velocity from call to call: momentum, μ = 0.5.")
    assert "which is right" in found.text


# learning rates


@pytest.mark.parametrize("number", [0.0625, -3.0])
def test_a_rate_that_is_not_used_is_named(number):
    text = f"The step moves by {number:.4g} × the gradient whatever the learning rate is: it does "
    text += "not use η, or has one of its own."
    assert diagnose(lambda eta: scaled(number / eta)) == [("learning rate", text)]


@pytest.mark.parametrize("number", [1.0, -0.5])
def test_a_rate_that_is_used_twice_is_named(number):
    text = f"The step moves by {number:.4g} × η² times the gradient: the learning rate is in it "
    text += "twice."
    assert diagnose(lambda eta: scaled(number * eta)) == [("learning rate", text)]


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(("off", "named"), [(0.9e-5, True), (1.1e-5, False)])
def test_implied_gradients_agree_to_five_digits_of_the_largest_entry(sign, off, named):
    n = {**N, "b": np.array([0.25, -1.25, 0.125])}
    wrong = sign * off * np.array([0, 0, 1.25])
    arrays = {path: SimpleNamespace(numeric=a) for path, a in n.items()}
    calls = [(eta, {p: a / eta for p, a in n.items()}) for eta in RATES]
    calls[0][1]["b"] += wrong / calls[0][0]
    found = diagnose_step(calls, [calls[2]] * 4, lambda: called(scaled), arrays, THETA)
    assert bool(found) is named


def test_two_rates_show_how_they_are_used():
    rates = (0.5, 0.125)
    assert diagnose(scaled, rates=rates)[0][0] == "learning rate"
    assert diagnose(lambda eta: scaled(1 / eta), rates=rates)[0][0] == "learning rate"
    assert "not multiplied by η" in diagnose(
        lambda eta: plus(N, THETA, 0.25 / eta), rates=rates
    )[0][1]  # fmt: skip


@pytest.mark.parametrize("rates", [(0.5,), (0.5, 0.5)])
def test_one_rate_does_not_show_how_it_is_used(rates):
    assert diagnose(scaled, rates=rates) == []


def test_other_powers_of_the_rate_have_no_name():
    for power in (-2, 0.5, 2):
        assert diagnose(lambda eta, power=power: scaled(eta**power)) == []
    assert diagnose(lambda eta: {"w": N["w"] / eta, "b": 2 * N["b"] / eta}) == []
    assert diagnose(lambda eta: {"w": N["w"] * eta, "b": N["b"]}) == []


def test_without_a_gradient_no_rate_is_named():
    arrays = {path: SimpleNamespace(numeric=0 * n) for path, n in N.items()}
    assert diagnose(lambda eta: scaled(1 / eta), arrays=arrays) == []
    assert diagnose(lambda eta: scaled(0.0)) == []


# decay


@pytest.mark.parametrize("number", [0.25, -0.03])
@pytest.mark.parametrize("paths", [["w", "b"], ["w"], ["b"]])
@pytest.mark.parametrize("by_rate", [True, False])
def test_a_decay_is_named_with_its_size(number, paths, by_rate):
    def claim(eta):
        factor = number if by_rate else number / eta
        return {p: n + (p in paths) * factor * THETA[p] for p, n in N.items()}

    verb = "subtracts" if number > 0 else "adds"
    amount, formula = (
        ("λ η", "θ' = θ − η (∇C + λ θ)")
        if by_rate
        else ("λ", "not multiplied by η, θ' = (1 − λ) θ − η ∇C")
    )
    text = (
        f"The step also {verb} {amount} × the parameters, in {' and '.join(paths)}, λ = "
        f"{abs(number):.4g}, at every learning rate: a decay that is not in the cost, {formula}. "
        "Apart from that the step is right."
    )
    assert diagnose(claim) == [("decay", text)]
    if by_rate:  # of one rate the other would look the same
        assert diagnose(claim, rates=(0.5,)) == [("decay", text)]


def test_a_decay_has_one_size_and_more_than_one_entry():
    two = {"w": 0.25, "b": 0.26}
    assert diagnose(lambda eta: {p: n + two[p] * THETA[p] for p, n in N.items()}) == []
    for size in (0.25, 8, -0.25):
        for apart, named in ((0.8e-3, True), (1.6e-3, False), (-1.6e-3, False)):
            near = {"w": size, "b": size * (1 + apart)}
            found = diagnose(lambda eta, d=near: {p: n + d[p] * THETA[p] for p, n in N.items()})
            assert [name for name, _ in found] == ["decay"] * named

    def once(eta):  # b is right at one rate alone
        return {"w": N["w"] + 0.25 * THETA["w"], "b": N["b"] * (1 if eta == 0.5 else 1.5)}

    assert diagnose(once) == []
    one = {"w": np.array([0.5]), "b": THETA["b"]}
    n = {"w": np.array([1.5]), "b": N["b"]}
    arrays = {path: SimpleNamespace(numeric=a) for path, a in n.items()}
    claim = {"w": n["w"] + 0.25 * one["w"], "b": n["b"]}
    assert diagnose(lambda eta: claim, values=one, arrays=arrays) == []
    two = {"w": np.array([0.5, 2]), "b": THETA["b"]}
    n = {"w": np.array([1.5, 1]), "b": N["b"]}
    arrays = {path: SimpleNamespace(numeric=a) for path, a in n.items()}
    claim = {"w": n["w"] + 0.25 * two["w"], "b": n["b"]}
    assert diagnose(lambda eta: claim, values=two, arrays=arrays)[0][0] == "decay"


@pytest.mark.parametrize(
    ("off", "named"), [(0.9e-3, True), (-0.9e-3, True), (1.2e-3, False), (-1.2e-3, False)]
)
def test_a_decay_is_one_to_a_thousandth(off, named):
    terms = 0.25 * THETA["w"] * (1 + off * np.array([[0, 0], [1e-3, 1]]))
    terms[0, 0] = 0.25 * THETA["w"][0, 0]
    found = diagnose(lambda eta: {"w": N["w"] + terms, "b": N["b"]})
    assert bool(found) is named


def test_parameters_of_zero_show_no_decay():
    values = {path: 0 * theta for path, theta in THETA.items()}
    assert diagnose(lambda eta: plus(N, THETA, 0.25), values=values) == []


# during the step


@pytest.mark.parametrize("right", [["b"], ["w"]])
def test_weights_that_are_updated_before_they_are_used(right):
    (off,) = N.keys() - set(right)
    claim = lambda eta: {p: n + (p == off) * eta * THETA[p] for p, n in N.items()}  # noqa: E731
    text = (
        f"As η → 0 the step is right, and off in proportion to η in {off}; {right[0]} is right at "
        "every rate: weights are updated before the backward pass uses them again. First compute "
        "all of the gradient, then update."
    )
    assert diagnose(claim) == [("updated weights", text)]


def test_several_arrays_may_be_right_at_every_rate():
    n, theta = {"v": N["b"], **N}, {"v": THETA["b"], **THETA}
    arrays = {path: SimpleNamespace(numeric=a) for path, a in n.items()}
    claim = lambda eta: {**n, "w": n["w"] + eta * theta["w"]}  # noqa: E731
    ((_, text),) = diagnose(claim, values=theta, arrays=arrays)
    assert "in w; v and b are right at every rate" in text


@pytest.mark.parametrize("factor", [1, 2, 5])
def test_parameters_that_are_updated_sample_by_sample(factor):
    text = "right" if factor == 1 else f"{factor} × the gradient"
    text = (
        f"As η → 0 the step is {text}, and off in proportion to η in w and b: the parameters are "
        "updated several times in one call, as sample by sample, and each time the gradient is "
        "that of the updated ones. Sum over the samples first."
    )
    if factor > 1:
        text += f" And {factor} gradients are added up: is the cost the mean over {factor} samples?"
    claim = lambda eta: plus(scaled(factor), THETA, eta + eta**2)  # noqa: E731
    assert diagnose(claim) == [("sample by sample", text)]


@pytest.mark.parametrize(
    "claim",
    [
        lambda eta: plus(scaled(0.5), THETA, eta),
        lambda eta: plus(scaled(-1), THETA, eta),
        lambda eta: plus(scaled(0), THETA, eta),
        lambda eta: plus(scaled(1.001), THETA, eta),
        lambda eta: {"w": 2 * N["w"] + eta * THETA["w"], "b": 2 * N["b"]},
        lambda eta: {"w": 2 * N["w"] + eta * THETA["w"], "b": N["b"] + eta * THETA["b"]},
        lambda eta: plus(N, THETA, np.sqrt(eta)),
        lambda eta: scaled(np.nan if eta < 0.1 else eta**3),
    ],
    ids=str.split("half opposite zero nearly one-array two-factors root nan"),
)
def test_what_is_not_the_gradient_at_small_rates_has_no_name(claim):
    assert diagnose(claim) == []


@pytest.mark.parametrize(
    ("off", "named"), [(0.9e-4, True), (-0.9e-4, True), (1.4e-4, False), (-1.4e-4, False)]
)
def test_the_limit_agrees_to_a_ten_thousandth(off, named):
    n = {path: a * (1 + off * (a == 2.0)) for path, a in N.items()}
    found = diagnose(lambda eta: plus(n, THETA, eta))
    assert bool(found) is named


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(("share", "named"), [(0.09, True), (0.11, False)])
def test_at_the_smallest_rate_a_step_is_near_its_limit(sign, share, named):
    last = small_rates(ARRAYS, THETA)[-1]
    size = sign * share * 2.0 / (3.0 * last)  # of each, the largest entry
    assert bool(diagnose(lambda eta: plus(N, THETA, size * eta), rates=(1e-6, 2e-6))) is named


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(("share", "named"), [(0.9, True), (1.1, False)])
def test_in_float32_the_limit_is_rounded(sign, share, named):
    values = {path: theta.astype("float32") for path, theta in THETA.items()}
    last = small_rates(ARRAYS, values)[-1]
    place = float(np.spacing(np.float32(3.0 + last * 0.5)))
    allowed = 1200 * place / last + 1e-4 * 0.5 + 1e-5 * 2.0

    def small(eta):
        claim = plus(N, THETA, eta)
        if eta == last:  # in the limit, 8/3 of it
            claim["b"] = claim["b"] + [0, 0, sign * share * allowed * 3 / 8]
        return claim

    found = diagnose(lambda eta: plus(N, THETA, eta), small=small, values=values)
    assert bool(found) is named


def test_one_change_between_two_rates_is_a_change():
    claim = lambda eta: plus(N, THETA, eta)  # noqa: E731
    assert diagnose(claim, rates=(0.5, 0.5, 0.25))[0][0] == "sample by sample"
    nan = lambda eta: plus({**N, "b": N["b"] * [1, 1, np.nan]}, THETA, eta)  # noqa: E731
    assert diagnose(claim, small=nan) == []


def test_without_a_gradient_nothing_is_updated_too_soon():
    arrays = {path: SimpleNamespace(numeric=0 * n) for path, n in N.items()}
    assert diagnose(lambda eta: {p: eta * t for p, t in THETA.items()}, arrays=arrays) == []


def test_small_rates_are_asked_for_only_where_the_step_has_no_state():
    def never():
        raise AssertionError

    calls = velocities(0.5, [*RATES, 0.5, 0.5, 0.5, 0.5])
    assert diagnose_step(calls[:3], calls[3:], never, ARRAYS, THETA)
    calls = called(lambda eta: scaled(1 / eta))
    assert diagnose_step(calls, called(lambda eta: scaled(1 / eta), [0.5] * 4), never, ARRAYS,
                         THETA)  # fmt: skip


# rounding


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("places", "differs"), [(100, False), (300, True)])
def test_differences_of_64_last_places_of_theta_are_rounding(dtype, places, differs):
    values = {path: theta.astype(dtype) for path, theta in THETA.items()}
    eta = 0.5
    off = places * float(np.finfo(dtype).eps) / 2 / eta  # θ has 0.5 + 0.5 · 0.5 here, below 1
    one = {**N, "w": N["w"] + np.array([[0.0, 0], [0, 0]])}
    one["b"] = N["b"] + np.array([0, off, 0])
    calls = [(eta, N), (eta, one), (eta, N), (eta, one)]
    with_state = []
    diagnose_step(
        [(0.25, N), (0.5, N)], calls, lambda: with_state.append(1) or called(lambda e: N),
        ARRAYS, values,
    )  # fmt: skip
    assert bool(with_state) is not differs
