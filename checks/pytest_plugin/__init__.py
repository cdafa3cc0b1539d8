"""The pytest plugin: it takes options and waivers, and keeps a record of every check of a session.

Every pytest run of an environment imports `plugin`, so this room imports numpy, Hypothesis and the
rooms below only inside functions. `options` reads the options, `waivers` the list of known
failures; `records` writes the JSON document, `annotations` the lines that GitHub shows.
Read `plugin` first.
"""
