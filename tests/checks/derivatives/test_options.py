"""Options of functions with many results: by default those of a cost."""

from dataclasses import asdict
from inspect import signature

from checks import check_gradient
from checks.derivatives.options import Options


def test_defaults_are_those_of_a_gradients_check():
    defaults = {name: p.default for name, p in signature(check_gradient).parameters.items()}
    for name, value in asdict(Options()).items():
        assert value == defaults[name], name
