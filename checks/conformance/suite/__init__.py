"""The tests that judge a target, and the texts of their failures.

`test_gradient` and `test_interface` are the tests; `run` runs them for `python -m checks TARGET`.
`verify` judges a gradient on random networks: `trial` checks one network, `smallest_failure` finds
a wrong one and makes it small, `failure` writes the text. `calls` are single calls of a target,
`digits` the handwritten digits.
This room may import every room but adapters. Read `test_gradient` first.
"""
