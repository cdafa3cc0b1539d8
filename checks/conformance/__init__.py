"""Where the harness meets the reference: real data, and whatever is run against a target."""
