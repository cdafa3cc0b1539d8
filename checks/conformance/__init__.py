"""The suite that judges a whole backpropagation: a cost with its gradient or its training step.

`targets` loads what is judged, `suite` holds the tests that judge it, `naming` finds the mistake in
a catalogue of faults, and `reference_cost` evaluates the reference's cost fast. Each of suite,
naming, targets, reference_cost imports only from those after it. Read `targets.target` first.
"""

from checks.conformance.targets.objects import from_object

__all__ = ["from_object"]
