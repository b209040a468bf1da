"""· Errors at start, each with one line for the operator."""

from __future__ import annotations


class StartError(Exception):
    """Why the program could not start: one line for the operator, exit status 1."""


class ConfigError(Exception):
    """`mistakes`: a line each."""

    def __init__(self, mistakes: list[str]) -> None:
        super().__init__("; ".join(mistakes))
        self.mistakes = mistakes
