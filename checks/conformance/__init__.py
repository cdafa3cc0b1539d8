"""Where the harness meets the reference: real data, targets, and the suite that is run on them."""

DTYPES = ("float64", "float32")
"""What the suite passes to a target."""
