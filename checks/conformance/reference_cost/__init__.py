"""The reference's cost, made fast for checks of every entry.

`restarted_cost` repeats the forward pass only from the layer of a moved entry on;
`directional_derivatives` takes a complex step along directions. Imports evaluation and parameters.
Read `restarted_cost` first.
"""

from checks.conformance.reference_cost.restarted_cost import RestartedCost, restarted

__all__ = ["RestartedCost", "restarted"]
