"""· Which of two resourceVersions is older?  KEP-5504: they are numbers."""

from __future__ import annotations


def age(version: str, than: str) -> int:
    """Below 0 where a resourceVersion is older, above where it is younger, as far as can be told (KEP-5504:
    they are numbers).
    """
    if not all(text.isascii() and text.isdigit() for text in (version, than)):
        return 0
    return int(version) - int(than)


def is_passed(version: str, by: str | None) -> bool:
    """Whether all that was up to `by` tells of `version`; no where that cannot be told."""
    return (
        by is not None
        and all(text.isascii() and text.isdigit() for text in (version, by))
        and int(version) <= int(by)
    )
