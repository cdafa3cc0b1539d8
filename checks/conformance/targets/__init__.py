"""What the gate is pointed at.

`target` loads a module or an object; `target_interface` says what it has to have; `known_costs`
recognises the reference's costs, `layouts` other shapes of the arguments. Imports strategies and
evaluation.
Read `target` first.
"""

from checks.conformance.targets.target import Target, TargetError, load_target, reference_target

__all__ = ["Target", "TargetError", "load_target", "reference_target"]
