"""The reference's cost, evaluated fast enough to check every entry of large networks.

When one entry is moved, `restarted_cost` repeats the forward pass only from the layer of that entry
on. `directional_derivatives` takes a complex step along a direction. Imports evaluation and
parameters. Read `restarted_cost` first.
"""

from checks.conformance.reference_cost.restarted_cost import RestartedCost, restarted

__all__ = ["RestartedCost", "restarted"]
