"""Hostile bytes by the million: one module for each part that reads them, with `check(data)`, `SEEDS` and
`WORDS`.

`check` raises nothing but AssertionError, and that where a promise is broken.  `make fuzz` has atheris find
inputs by coverage; `test_fuzz.py` draws some by a seed, and keeps those that once broke something.
"""
