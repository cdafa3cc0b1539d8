"""Names a mistake from what a wrong array looks like beside the numerical gradient.

A hypothesis is a function that tries to explain one array: it takes a `Case` and yields `Fit`s. The
hypotheses of each kind are in `factors`, `terms`, `order`, `axes`, `matrices`, `values`, `extent`;
`hypotheses` lists them, and `diagnosis` combines what they find over all arrays. `short_numbers`
says how likely a number is by chance; `steps` names what only training steps have. A new one is a
function in the file of its kind, and a row of the list. Imports report. Read `diagnosis` first,
then `case`.
"""
