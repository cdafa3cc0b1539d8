"""The name of a mistake, from the claimed and the numerical gradient alone.

`hypotheses` are the mistakes that can be recognised in one array; `diagnosis` combines them over
all arrays. Imports report. A new name is a function in `hypotheses`.
Read `diagnosis` first.
"""
