"""The pytest plugin: options, waivers, and a record of every check of a session.

Every pytest run of an environment imports `plugin`, so this room imports the others where it needs
them, inside functions. `options` are read and checked, `waivers` are failures that are known,
`records` the JSON document, `annotations` what GitHub shows.
Read `plugin` first.
"""
