"""The tests that judge a target, and what is told of a failure.

`test_gradient` and `test_manners` are the tests; `run` prints them for a person. `verify` draws
networks, `trial` checks one, `smallest_failure` shrinks, `failure` writes the text; `lost_digits`
recognises rounding, `digits` is real data. Imports all other rooms.
Read `test_gradient` first.
"""
