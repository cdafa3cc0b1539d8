from hypothesis import Phase, find, settings


def smallest(strategy, condition=lambda _: True):
    """Return what a strategy shrinks to, once one of a hundred draws meets the condition.

    It is the same on every run, whatever was found before.
    """
    phases = (Phase.generate, Phase.shrink)  # after Phase.explain, `find` may return another value
    quick = settings(max_examples=100, phases=phases, database=None, derandomize=True)
    return find(strategy, condition, settings=quick)
