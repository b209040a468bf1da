"""· Which trailers of a message may be passed on, and does a client take those of a response?

They come too late for what is read from a head: how a message is framed, where it goes, who sent it, what is
wanted of it.  Whatever reads them as header fields all the same finds nothing of that kind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from bastion.http.fields import HOP_BY_HOP, Field, values

# RFC 9110, 6.5.1: none for framing, routing, request modifiers, authentication, response control, or how the
# content is to be read.
NEVER = HOP_BY_HOP | frozenset(
    (
        b"host",
        b"content-length",
        b"content-encoding",
        b"content-type",
        b"content-range",
        b"cache-control",
        b"expect",
        b"max-forwards",
        b"pragma",
        b"range",
        b"authorization",
        b"cookie",
        b"set-cookie",
        b"www-authenticate",
        b"age",
        b"date",
        b"expires",
        b"location",
        b"retry-after",
        b"vary",
        b"audit-id",
    )
)
NEVER_PREFIXES = (b"if-", b"x-bastion-")


def passing(trailers: Sequence[Field], withheld: Callable[[bytes], bool] | None = None) -> list[Field]:
    """`withheld`: which names are not passed on beside those that no trailer may have."""
    if not trailers:
        return []
    return [
        field
        for field in trailers
        if field[0] not in NEVER
        and not field[0].startswith(NEVER_PREFIXES)
        and not (withheld is not None and withheld(field[0]))
    ]


def takes_trailers(fields: Iterable[Field]) -> bool:
    """RFC 9110, 10.1.4."""
    return any(
        part.strip(b" \t").lower() == b"trailers"
        for value in values(fields, b"te")
        for part in value.split(b",")
    )
