"""· The three forms of a date in HTTP (RFC 9110, 5.6.7), as seconds since the epoch."""

from __future__ import annotations

from datetime import UTC, datetime

_FORMS = ("%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %d %H:%M:%S %Y")


def http_date(text: str) -> float | None:
    """None where it is none."""
    for form in _FORMS if text else ():
        try:
            return datetime.strptime(text, form).replace(tzinfo=UTC).timestamp()
        except ValueError:
            continue
    return None
