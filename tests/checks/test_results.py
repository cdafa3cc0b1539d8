"""Errors and reasons about results say f(x), with the path, and of the argument x; never params."""

import re

import numpy as np
import pytest

from checks import (
    check_hessian,
    check_hvp,
    check_jacobian,
    check_jvp,
    check_vjp,
    numerical_jacobian,
)

X = np.array([1.0, 2.0])

# id: (function, error, fragments of its text)
RESULTS = {
    "None": (lambda x: None, TypeError, "f(x) is None", "a return forgotten in f"),
    "a part None": (lambda x: {"a": x, "b": None}, TypeError, "f(x).b is None"),
    "integers": (lambda x: np.array([1, 2]), TypeError, "f(x) is an array of dtype int64"),
    "an integer in a list": (lambda x: [x, [1]], TypeError, "f(x)[1][0] is an int, 1"),
    "text": (lambda x: ["ab"], TypeError, "f(x)[0] is a str, 'ab'"),
    "truth values": (lambda x: x > 1, TypeError, "f(x) is an array of dtype bool"),
    "objects": (lambda x: x.astype(object), TypeError, "f(x) is an array of dtype object"),
    "records": (lambda x: np.zeros(2, [("a", "f8")]), TypeError, "f(x) is an array of dtype [('a'"),
    "masked": (lambda x: [np.ma.array(x, mask=[0, 1])], TypeError, "f(x)[0] is a masked array of"),
    "masked nowhere": (np.ma.array, TypeError, "f(x) is a masked array of shape (2,)"),
    "empty": (lambda x: x[:0], ValueError, "f(x) has no entries", "nothing to check"),
    "no parts": (lambda x: [], ValueError, "f(x) has no entries"),
    "nan": (lambda x: {"a": np.log(-x)}, ValueError, "f(x).a[0] is nan, wanted finite results"),
    "inf": (lambda x: [x, [x / 0]], ValueError, "f(x)[1][0][0] is inf, wanted finite results"),
    "another shape where moved": (
        lambda x: x if (x == X).all() else x[:1],
        ValueError,
        "f(x) has shape (2,) at the point, but has shape (1,) where x is moved",
    ),
    "a part less where moved": (
        lambda x: [x, x][: 1 + (x == X).all()],
        ValueError,
        "f(x)[1] has shape (2,) at the point, but does not exist where x is moved",
    ),
}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", RESULTS)
def test_an_error_about_results_names_them(name):
    f, error, *fragments = RESULTS[name]
    x = X.copy()
    claim = [np.eye(2)] * 2 if name == "a part less where moved" else np.eye(2)
    for check in (lambda: check_jacobian(f, claim, x), lambda: numerical_jacobian(f, x)):
        with pytest.raises(error) as raised:
            check()
        for fragment in fragments:
            assert fragment in str(raised.value)
        assert "params" not in str(raised.value)
        assert x.tobytes() == X.tobytes()


CLAIMS = {
    "a part short": ([np.eye(2)], ValueError, "jacobian has 1 part, wanted 2, nested as in f(x)"),
    "one array": (np.eye(4), TypeError, "wanted 2 parts, nested as in f(x)"),
    "a dict": ({"a": 1.0}, TypeError, "jacobian is a dict", "wanted 2 parts, nested as in f(x)"),
    "inside another nesting": (
        [[np.eye(2)], np.eye(2)],
        TypeError,
        "jacobian[1] is an array of dtype float64 and shape (2, 2), wanted 1 part, nested as in x",
    ),
    "masked": (
        [[np.ma.array(np.eye(2))], [np.eye(2)]],
        TypeError,
        "jacobian[0][0] is a masked array of shape (2, 2), wanted floats of shape (2, 2)",
    ),
    "nothing inside": ([[np.eye(2)], None], TypeError, "jacobian[1] is None", "give zeros"),
}


@pytest.mark.parametrize("name", CLAIMS)
def test_an_error_about_a_claim_says_what_it_should_be_nested_as(name):
    claim, error, *fragments = CLAIMS[name]
    with pytest.raises(error) as raised:
        check_jacobian(lambda x: [x[0], 2 * x[0]], claim, [X.copy()])
    for fragment in fragments:
        assert fragment in str(raised.value)
    assert "params" not in str(raised.value)


# id: (check, claim, what the text says)
PRODUCTS = {
    "a vjp of one array": (check_vjp, lambda x, u: X, "vjp(x, u) is an array of dtype float64 and"),
    "a vjp of None": (check_vjp, lambda x, u: [None], "vjp(x, u)[0] is None, wanted an array of"),
    "a vjp too long": (
        check_vjp,
        lambda x, u: x + u,
        "vjp(x, u) has 3 parts, wanted 1, nested as in x",
    ),
    "a vjp too short": (check_vjp, lambda x, u: [X[:1]], "wanted (2,), the shape of x[0]"),
    "a jvp of one array": (check_jvp, lambda x, v: X, "wanted 2 parts, nested as in f(x)"),
    "a jvp too long": (
        check_jvp,
        lambda x, v: [X] * 3,
        "jvp(x, v) has 3 parts, wanted 2, nested as in f(x)",
    ),
    "a jvp too short": (check_jvp, lambda x, v: [X, X[:1]], "wanted (2,), the shape of f(x)[1]"),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_an_error_about_a_product_says_what_it_should_be_nested_as(name):
    check, product, text = PRODUCTS[name]
    with pytest.raises((TypeError, ValueError)) as raised:
        check(lambda x: [x[0], 2 * x[0]], product, [X.copy()])
    assert text in str(raised.value)
    assert "params" not in str(raised.value)


@pytest.mark.parametrize("nested", [False, True])
def test_an_argument_that_f_changes_is_named_x(nested):
    def f(x):
        array = x[0] if nested else x
        array[1] = 7.0
        return array

    text = re.escape(f"f changes its argument (x{'[0]' * nested}[1] from 2.0 to 7.0)")
    for check in (check_jacobian, check_vjp, check_jvp):
        with pytest.raises(ValueError, match=text):
            check(f, X, [X.copy()] if nested else X.copy())


def test_what_is_outside_is_quoted_as_a_result_of_moved_x():
    def f(x):
        return {"sum": np.where(x == X, x, np.nan)}

    report = check_jacobian(f, {"sum": np.eye(2)}, X.copy())
    text = " ".join(str(report).split())
    assert "(f(x).sum[0] is nan, with x[1] moved from 2.0 to " in text
    assert "params" not in text


@pytest.mark.parametrize("x", [0.5, np.float32(0.5), np.array(0.5)])
def test_one_result_of_one_number_has_a_jacobian_without_axes(x):
    estimate = numerical_jacobian(np.sin, x)
    assert np.shape(estimate.value) == np.shape(estimate.error) == ()
    assert abs(estimate.value - np.cos(0.5)) <= estimate.error


BOUNDS = {
    "crossed": ((3, 0), ValueError, "the bounds of x[0] are 3.0 and 0.0"),
    "outside": ((0, 1.5), ValueError, "x[1] is 2.0, above its upper bound 1.5"),
    "no pair": (3.0, TypeError, "bounds is a float"),
    "of another shape": ((np.zeros(3), None), ValueError, "of x"),
}


@pytest.mark.parametrize("name", BOUNDS)
def test_an_error_about_bounds_names_x(name):
    bounds, error, text = BOUNDS[name]
    for check in (
        check_jacobian,
        check_vjp,
        check_jvp,
        lambda f, _, x, **o: numerical_jacobian(f, x, **o),
    ):
        with pytest.raises(error, match=re.escape(text)) as raised:
            check(lambda x: x**2, lambda *_: X, X.copy(), bounds=bounds)
        assert "params" not in str(raised.value)


@pytest.mark.parametrize("check", [check_vjp, check_jvp, check_hessian, check_hvp])
def test_an_option_that_does_not_exist_is_named(check):
    text = f"{check.__name__} got an option 'tolerance', wanted some of rtol, scale, "
    with pytest.raises(TypeError, match=text):
        check(np.sum, lambda *_: X, X.copy(), tolerance=1e-3)


def test_reasons_speak_of_results_and_of_x():
    def f(x):
        return np.stack([x[0] ** 2, np.round(x[1], 3)])

    jacobian = np.array([[2 * X[0], 0], [0, 1]])
    text = " ".join(str(check_jacobian(f, jacobian, X.copy())).split())
    assert "f(x) is quantised here" in text
    text = " ".join(str(check_jacobian(lambda x: np.ones(2), 0 * jacobian, X.copy())).split())
    assert "f(x) does not change by a bit" in text
    text = " ".join(str(check_vjp(lambda x: np.ones(2), lambda x, u: 0 * u, X.copy())).split())
    assert "⟨u, f(x)⟩ does not change by a bit" in text
    text = " ".join(str(check_hessian(np.sum, np.zeros((2, 2)), X.copy())).split())
    assert "the gradient does not change by a bit" in text
