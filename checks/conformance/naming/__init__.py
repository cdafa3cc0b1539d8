"""The name of a target's mistake: the fault that gives the same gradient.

`faults` is the catalogue, each a step of `textbook` replaced (`wrong_steps` has the longer ones);
`observations` are networks shown to a target, `agreement` compares a fault with what it returned,
`evidence` collects which faults explain all. Imports targets, diagnosis and report.
Read `fault_name` first.
"""

from checks.conformance.naming.fault_name import name_fault

__all__ = ["name_fault"]
