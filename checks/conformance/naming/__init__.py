"""Naming the mistake of a wrong target: which fault of a catalogue returns the same gradient.

`textbook` is a right backpropagation made of replaceable steps; each fault of `faults` replaces one
or two of them, and `wrong_steps` holds the longer replacements. `observations` records what a
target returns on a dozen networks that it takes, `agreement` compares a fault with one observation,
`evidence` collects the faults that agree with all of them, and `combinations` finds several faults
together, the last layer first. Imports targets, diagnosis and report. Read `fault_name` first.
"""

from checks.conformance.naming.fault_name import name_fault

__all__ = ["name_fault"]
