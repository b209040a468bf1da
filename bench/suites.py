"""Which parts of which suites were asked for?  Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Parts = tuple[str, ...]


class UnknownSuite(Exception):
    """Names that are neither a suite nor a part of one."""


def chosen(names: Sequence[str], suites: Mapping[str, Parts]) -> dict[str, Parts]:
    """Suite -> parts; all of them where no name is given.  A name is SUITE or SUITE:PART.  Raises
    UnknownSuite.
    """
    known = {*suites, *(f"{suite}:{part}" for suite, parts in suites.items() for part in parts)}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UnknownSuite(f"no such suite or part: {', '.join(unknown)} (see --list)")
    wanted = {
        suite: tuple(part for part in parts if not names or suite in names or f"{suite}:{part}" in names)
        for suite, parts in suites.items()
    }
    return {suite: parts for suite, parts in wanted.items() if parts}
