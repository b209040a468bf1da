"""· What is there to know of a word of the table in `kube.errorwords`?"""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Hop(StrEnum):
    """Where on a request's way it failed, in the order of the way."""

    CLIENT = "client"
    BASTION = "bastion"
    API_SERVER = "apiserver"
    SERVICE = "service"
    ENDPOINT = "endpoint"
    BACKEND = "backend"


# Status' reason for a code: apimachinery `meta/v1/types.go`; of the others HTTP's own words.
REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    407: "Unauthorized",
    408: "Timeout",
    413: "RequestEntityTooLarge",
    414: "URITooLong",
    415: "UnsupportedMediaType",
    417: "ExpectationFailed",
    429: "TooManyRequests",
    431: "RequestHeaderFieldsTooLarge",
    500: "InternalError",
    501: "NotImplemented",
    502: "BadGateway",
    503: "ServiceUnavailable",
    504: "Timeout",
    505: "",
}


class Word(msgspec.Struct, frozen=True, eq=False):
    """`told`: to whom it is told; `meaning` and `remedy` are sentences without a capital and a full stop."""

    name: str
    codes: tuple[int, ...]
    hop: Hop
    told: str
    meaning: str
    remedy: str

    def __str__(self) -> str:
        return self.name
