"""Why did a call to the API server fail?  An ApiError from a refusal, a cause from a broken connection."""

from __future__ import annotations

import re

import httpx
import msgspec

from bastion.cluster.errors import ApiError

MAX_REFUSAL = 1 << 16  # bytes of a refusal that are read
TIMED_OUT = 504
_TOO_LARGE = "Too large resource version"


class _Cause(msgspec.Struct):
    reason: str = ""
    message: str = ""


class _Details(msgspec.Struct):
    causes: list[_Cause] | None = None


class _Status(msgspec.Struct):
    message: str = ""
    details: _Details | None = None


async def drained(response: httpx.Response) -> bytes:
    """What it says.  A connection whose answer was read to its end is used again."""
    said = b""
    async for piece in response.aiter_raw():
        said += piece
        if len(said) > MAX_REFUSAL:
            break
    return said


def refused(response: httpx.Response, said: bytes) -> ApiError:
    text = response.headers.get("retry-after", "")
    return ApiError(
        f"the API server answered {response.status_code}",
        response.status_code,
        float(text) if text.isdigit() else 0.0,
        ahead=response.status_code == TIMED_OUT and _is_ahead(said),
    )


def _is_ahead(said: bytes) -> bool:
    """apiserver `storage/errors.go`.

    Before 1.18.6 the cause had no reason, so that client-go looks at its message, too.
    """
    try:
        status = msgspec.json.decode(said, type=_Status)
    except msgspec.DecodeError:
        return False
    causes = (status.details.causes if status.details is not None else None) or ()
    return _TOO_LARGE in status.message or any(
        cause.reason == "ResourceVersionTooLarge" or cause.message.startswith(_TOO_LARGE) for cause in causes
    )


def cause_of(error: httpx.HTTPError) -> str:
    """What the system said, where it did: of several addresses that were tried httpx only says that all
    failed.
    """
    below: BaseException | None = error
    while below is not None and not (isinstance(below, OSError) and below.strerror):
        below = (
            below.exceptions[-1]
            if isinstance(below, BaseExceptionGroup)
            else below.__cause__ or below.__context__
        )
    text = str(error if below is None else below.strerror)
    return " ".join(re.sub(r" \(_ssl\.c:\d+\)$", "", text).split()) or type(error).__name__
