"""The cost evaluated by an executor: the same numbers as in one process, even if workers die."""

import multiprocessing
import os
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest

from backprop import Network, Parameters
from checks import Verdict, check_gradient, check_vjp, numerical_gradient
from checks.evaluation import executors
from checks.strategies import Problem

PROBLEM = Problem.generate((5, 4, 3), samples=3, seed=1)
NET = Network(PROBLEM.sizes)
COST = partial(NET.cost, x=PROBLEM.x, y=PROBLEM.y)
GRADIENT = partial(NET.gradient, x=PROBLEM.x, y=PROBLEM.y)


def theta():
    return Parameters(*([a.copy() for a in part] for part in (PROBLEM.weights, PROBLEM.biases)))


@pytest.fixture(scope="module")
def processes():
    # spawned processes have nothing of this process but what is sent to them, on every platform
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        yield pool


@pytest.fixture
def threads():
    with ThreadPoolExecutor(3) as pool:
        yield pool


@pytest.fixture(autouse=True)
def many_tasks(monkeypatch):
    monkeypatch.setattr(executors, "TASK_SECONDS", 1e-6)


def assert_same(one, other):
    """Assert that two reports have the same numbers, bit for bit."""
    assert one.arrays.keys() == other.arrays.keys()
    for path, array in one.arrays.items():
        for name in ("claimed", "numeric", "error", "verdicts"):
            assert getattr(array, name).tobytes() == getattr(other.arrays[path], name).tobytes()


class Counting:
    """An executor that counts its tasks."""

    def __init__(self, executor):
        self.executor, self.tasks = executor, 0

    def submit(self, *call):
        self.tasks += 1
        return self.executor.submit(*call)


@pytest.mark.parametrize("kind", ["processes", "threads"])
@pytest.mark.parametrize("method", ["auto", "central"])
def test_the_numbers_are_the_same(request, kind, method):
    pool = Counting(request.getfixturevalue(kind))
    here = check_gradient(COST, GRADIENT, theta(), method=method)
    there = check_gradient(COST, GRADIENT, theta(), method=method, executor=pool)
    assert_same(here, there)
    assert there.findings == here.findings
    assert pool.tasks > 39  # at least one for each entry, and the first check of a worker
    value = numerical_gradient(COST, theta(), method=method, executor=pool).value
    assert np.array_equal(
        value.ravel(), numerical_gradient(COST, theta(), method=method).value.ravel()
    )


class KillsWorkerOnce:
    """A cost that ends the process of a worker, the first time that it moves a certain entry."""

    def __init__(self, flag):
        self.main_process, self.flag = os.getpid(), flag

    def __call__(self, p):
        if os.getpid() != self.main_process and p.weights[1][2, 1] != PROBLEM.weights[1][2, 1]:
            single_move = (p.weights[0] == PROBLEM.weights[0]).all()
            if single_move and not self.flag.exists():
                self.flag.touch()
                os._exit(1)
        return COST(p)


def test_tasks_of_a_dead_worker_are_done_again(tmp_path):
    here = check_gradient(COST, GRADIENT, theta())
    cost = KillsWorkerOnce(tmp_path / "flag")
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        report = check_gradient(cost, GRADIENT, theta(), executor=pool)
    assert cost.flag.exists()
    assert_same(here, report)
    assert "Evaluated again in this process, as the executor failed: BrokenProcessPool" in str(
        report
    )


def test_a_dask_cluster_gives_the_same(tmp_path):
    distributed = pytest.importorskip("distributed")
    here = check_gradient(COST, GRADIENT, theta())
    cost = KillsWorkerOnce(tmp_path / "flag")
    with (
        distributed.LocalCluster(2, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
        client.get_executor() as pool,
    ):
        assert_same(here, check_gradient(COST, GRADIENT, theta(), executor=pool))
        assert_same(here, check_gradient(cost, GRADIENT, theta(), executor=pool))
    assert cost.flag.exists()  # a worker died


class Losing(ThreadPoolExecutor):
    """Loses every third of its tasks, and refuses all after the twentieth."""

    tasks = 0

    def submit(self, *call):
        self.tasks += 1
        if self.tasks > 20:
            raise RuntimeError("shut down")
        if self.tasks % 3:
            return super().submit(*call)
        lost = Future()
        lost.set_exception(RuntimeError("lost"))
        return lost


def test_tasks_that_an_executor_loses_are_done_again():
    with Losing(2) as pool:
        report = check_gradient(COST, GRADIENT, theta(), executor=pool)
    assert pool.tasks > 20
    assert_same(check_gradient(COST, GRADIENT, theta()), report)


class Model:
    """Holds its parameters, as many models do; its cost ignores its argument."""

    def __init__(self):
        self.theta = theta()

    def cost(self, _):
        return COST(self.theta)


@pytest.mark.parametrize("kind", ["processes", "threads"])
def test_a_cost_that_ignores_its_argument_is_refused(request, kind):
    model = Model()
    assert check_gradient(model.cost, GRADIENT, model.theta)
    with pytest.raises(ValueError, match=r"cost Model\.cost is .* must be a function of its arg"):
        check_gradient(model.cost, GRADIENT, model.theta, executor=request.getfixturevalue(kind))
    assert np.array_equal(model.theta.ravel(), theta().ravel())


def test_a_cost_that_cannot_be_sent_is_refused_by_name(processes):
    calls = []

    def local(p):
        calls.append(p)
        return COST(p)

    with pytest.raises(TypeError, match=r"cost .*<locals>\.local cannot be evaluated by the exec"):
        check_gradient(local, GRADIENT, theta(), executor=processes)
    assert len(calls) <= 3  # refused before the first entry was moved


def test_threads_take_a_cost_that_cannot_be_sent(threads):
    assert check_gradient(lambda p: COST(p) + 0.0, GRADIENT, theta(), executor=threads)


def test_a_flat_or_noisy_cost_is_reported_as_without_an_executor(threads):
    report = check_gradient(lambda p: 1.0, GRADIENT, theta(), executor=threads)
    assert "does not change by a bit" in str(report)
    rng = np.random.default_rng(0)
    report = check_gradient(lambda p: COST(p) + rng.random(), GRADIENT, theta(), executor=threads)
    assert "two calls at one point differ" in " ".join(str(report).split())


def square_root(p):
    return np.sum(np.sqrt(p))


def undefined_off_one(p):
    if p[1] != 1:
        raise LookupError("not there")
    return np.sum(p**2)


def said(report):
    return " ".join(str(report).split())


def undefined_above_one(p):
    if p[0] > 1:
        raise LookupError("not there")
    return np.sum(p**2)


@pytest.mark.parametrize("kind", ["processes", "threads"])
def test_errors_of_the_cost_are_the_same(request, kind):
    pool, x = request.getfixturevalue(kind), np.array([0.0, 2.0])
    slope = np.array([1.0, 0.5 / np.sqrt(2)])
    assert_same(
        check_gradient(square_root, slope, x), check_gradient(square_root, slope, x, executor=pool)
    )
    x = np.array([1 - 2.0**-20, 1.0])
    here = check_gradient(undefined_above_one, 3 * x, x)
    there = check_gradient(undefined_above_one, 3 * x, x, executor=pool)
    assert_same(here, there)


@pytest.mark.parametrize("kind", ["processes", "threads"])
def test_what_a_cost_raises_in_a_worker_is_quoted(request, kind):
    pool = request.getfixturevalue(kind)
    report = check_gradient(undefined_off_one, 2 * np.ones(2), np.ones(2), executor=pool)
    assert report.verdict is Verdict.UNRESOLVED
    assert "LookupError: not there, with params[1] moved from 1.0 to " in said(report)


def test_products_take_an_executor(threads):
    assert check_vjp(np.sin, lambda x, u: u * np.cos(x), np.ones(3), executor=threads)


@pytest.mark.parametrize("executor", [4, "processes"])
def test_what_is_no_executor_is_refused(executor):
    with pytest.raises(TypeError, match=r"wanted a concurrent\.futures\.Executor"):
        check_gradient(COST, GRADIENT, theta(), executor=executor)


def test_a_class_of_executors_is_refused():
    with pytest.raises(TypeError, match=r"is the class ThreadPoolExecutor, .* call it, as in Thr"):
        check_gradient(COST, GRADIENT, theta(), executor=ThreadPoolExecutor)


def test_an_executor_that_was_shut_down_is_refused():
    with ThreadPoolExecutor(1) as pool:
        pass
    with pytest.raises(
        ValueError, match=r"executor, a ThreadPoolExecutor, takes no tasks \(.*shut"
    ):
        check_gradient(COST, GRADIENT, theta(), executor=pool)


def test_a_cost_named_cost_is_named_once(processes):
    def cost(p):
        return COST(p)

    cost.__qualname__ = "cost"
    with pytest.raises(TypeError, match=r"^cost cannot be evaluated by the executor"):
        check_gradient(cost, GRADIENT, theta(), executor=processes)


def test_projected_coverage_takes_no_executor(threads):
    with pytest.raises(ValueError, match="wanted neither executor nor stacked"):
        check_gradient(COST, GRADIENT, theta(), coverage="projected", executor=threads)
