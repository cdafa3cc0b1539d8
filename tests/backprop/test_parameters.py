import pickle

import numpy as np
import pytest

from backprop import Network, Parameters


@pytest.fixture
def theta():
    return Network((2, 3, 1)).random_parameters(np.random.default_rng(0))


def test_ravel_is_the_notes_one_big_vector(theta):
    w1, w2, b1, b2 = *theta.weights, *theta.biases
    big = [*w1.ravel(), *b1, *w2.ravel(), *b2]
    np.testing.assert_array_equal(theta.ravel(), big)
    again = Parameters.unravel(theta.ravel(), (2, 3, 1))
    for one, other in zip(theta.weights + theta.biases, again.weights + again.biases, strict=True):
        np.testing.assert_array_equal(one, other)


def test_unravel_gives_views_and_ravel_a_copy(theta):
    vector = theta.ravel()
    vector[0] = 7
    assert theta.weights[0][0, 0] != 7
    assert Parameters.unravel(vector, (2, 3, 1)).weights[0].base is vector


def test_arrays_are_kept_not_copied():
    w, b = np.ones((1, 2)), np.ones(1)
    theta = Parameters([w], [b])
    assert theta.weights[0] is w
    assert theta.biases[0] is b


def test_counted_as_in_the_notes(theta):
    assert theta.w[1] is theta.weights[0]
    assert theta.b[2] is theta.biases[1]
    assert theta.sizes == (2, 3, 1)
    assert theta.dtype == np.float64


def test_pickles(theta):
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(theta)).ravel(), theta.ravel())


def test_frozen(theta):
    with pytest.raises(AttributeError):
        theta.weights = ()


def test_nested_lists_are_taken():
    assert Parameters([[[1.0, 2.0]]], [[3.0]]).sizes == (2, 1)
