"""The main claim: every ∂C/∂w and ∂C/∂b of every form is a derivative of the cost."""

from collections import Counter

import pytest
from hypothesis import assume, given, note, settings
from hypothesis import strategies as st

from backprop import Network, Parameters, chain_form, index_form, matrix_form
from backprop.activations import ACTIVATIONS
from backprop.costs import COSTS
from benchmarks.calibration import lies_on_a_kink
from checks import Verdict, check_gradient
from checks.conformance.reference_cost import RestartedCost
from checks.estimation.estimates import estimate_derivatives
from checks.evaluation.pointwise import Evaluations
from checks.judgement.claim import Claim
from checks.judgement.every_entry import judge_gradient
from checks.parameters.claims import flatten
from checks.strategies import REGIMES, Problem, layer_sizes, problems

FORMS = {"index": index_form, "chain": chain_form, "matrix": matrix_form}
# Regimes in which nothing vanishes: every array is a MATCH unless its gradient is zero.
PLAIN = ("ordinary", "targets")


def check(form, problem, activation, cost, **options):
    net = Network(problem.sizes, activation, cost)
    theta = Parameters(problem.weights, problem.biases)
    return check_gradient(
        RestartedCost(net, problem.x, problem.y),  # faster; its own test says that it agrees
        lambda theta: FORMS[form].gradient(net, theta, problem.x, problem.y),
        theta,
        **options,
    )


def verdicts(report):
    """Return a Counter of the verdicts of single entries."""
    entries = Counter()
    for array in report.arrays.values():
        entries.update(Verdict(v) for v in array.verdicts.ravel())
    return entries


def test_every_entry_of_random_networks(tally):
    entries, networks = Counter(), Counter()

    @settings(max_examples=302)
    @given(
        problem=problems(layer_sizes(max_layers=5)),
        activation=st.sampled_from(list(ACTIVATIONS)),
        cost=st.sampled_from(list(COSTS)),
    )
    def compare(problem, activation, cost):
        net = Network(problem.sizes, activation, cost)
        theta = Parameters(problem.weights, problem.biases)
        on_a_kink = lies_on_a_kink(net, theta, problem.x)
        # With short decimals, the slopes on both sides of a kink may be equal by chance, but not 0.
        assume(not (on_a_kink and problem.seed is None))
        evaluations = Evaluations(RestartedCost(net, problem.x, problem.y), theta)
        with evaluations.restoring_parameters():
            estimates = estimate_derivatives(
                evaluations, "auto", seed=0
            )  # once, for all three forms
            for name, form in FORMS.items():

                def gradient(at, form=form):
                    return flatten(form.gradient(net, at, problem.x, problem.y))

                claim = Claim(evaluations, gradient(theta), gradient)
                report = judge_gradient(estimates, claim, 1e-3, "entry", started=0.0)
                tally.add(name, networks=1, entries=report.entries)
                assert_right(report, problem, on_a_kink)

    def assert_right(report, problem, on_a_kink):
        note(str(report))
        # With several relus at their kinks, σ'(0) = 0 can add up to a claim outside the slopes on
        # both sides; there is no derivative then. Everywhere else no entry is a MISMATCH.
        assert on_a_kink or report.verdict is not Verdict.MISMATCH
        for array in report.arrays.values():
            assert not ((array.verdicts == Verdict.MISMATCH) & (array.slope_jump == 0)).any()
            assert array.verdict is not Verdict.UNRESOLVED or array.reason
            if problem.regime in PLAIN and problem.seed is not None and array.claimed.any():
                assert array.verdict is Verdict.MATCH
        entries.update(verdicts(report))
        networks[report.verdict] += 1

    while entries.total() < 30_000:  # now and then most networks of a run are small
        compare()
    assert networks.total() >= 900
    # unresolved: dead, saturated and vanishing units; a constant cost (the softmax of one logit)
    assert networks[Verdict.UNRESOLVED] <= 0.3 * networks.total()
    assert entries[Verdict.UNRESOLVED] <= 0.15 * entries.total()


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize("form", FORMS)
def test_every_row_of_the_tables_matches(form, activation, cost, tally):
    for method in ("central", "complex-step"):
        report = check(
            form, Problem.generate((4, 5, 3), 3, seed=1), activation, cost, method=method
        )
        assert report.verdict is Verdict.MATCH, str(report)
        assert report.method == method
        tally.add(form, networks=1, entries=report.entries)


@pytest.mark.parametrize("regime", REGIMES)
@pytest.mark.parametrize("cost", COSTS)
def test_every_entry_of_larger_networks(cost, regime, tally):
    for activation in ACTIVATIONS:
        problem = Problem.generate((12, 10, 10, 8), 4, regime, seed=2)
        report = check("matrix", problem, activation, cost)
        assert report.verdict is not Verdict.MISMATCH, str(report)
        if regime in PLAIN:
            assert report.verdict is Verdict.MATCH, str(report)
        tally.add("matrix", networks=1, entries=report.entries)
