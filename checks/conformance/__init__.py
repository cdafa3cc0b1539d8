"""A whole backpropagation judged: somebody's cost with its gradient or its training step.

`targets` is what can be judged, `suite` the tests that ship, `naming` recognises the mistake among
many that people make, `reference_cost` is the reference's cost made fast. The rooms import each
other in the order suite, naming, targets, reference_cost. Read `targets.target` first.
"""
