"""The targets of the suite: somebody's cost with its gradient, its step, or both.

`target` loads one from a module or an object; `target_interface` checks that it has the functions
it needs. `probe` finds out what it `takes`, by small calls; `problems` changes networks to that.
`objects` makes a target of an object that keeps its parameters in attributes.
`known_costs` recognises a cost that is one of the reference's, `log_constant` one with ε in a log.
Imports strategies and evaluation. Read `target` first.
"""

from checks.conformance.targets.target import Target, TargetError, load_target, reference_target

__all__ = ["Target", "TargetError", "load_target", "reference_target"]
