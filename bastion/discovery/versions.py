"""· Which of two resourceVersions is older?  They are numbers (KEP-5504)."""

from __future__ import annotations


def age(version: str, than: str) -> int:
    """Below 0 where `version` is older than `than`, above 0 where it is newer, 0 where that is unknown."""
    if not all(text.isascii() and text.isdigit() for text in (version, than)):
        return 0
    return int(version) - int(than)


def is_passed(version: str, by: str | None) -> bool:
    """Whether `version` is at most `by`; False where that is unknown."""
    return (
        by is not None
        and all(text.isascii() and text.isdigit() for text in (version, by))
        and int(version) <= int(by)
    )
