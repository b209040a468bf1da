"""Requests to issuers.  A redirect is not followed: it would carry secrets elsewhere (CVE-2020-8561)."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any

import httpx

MAX_DOCUMENT = 262144  # bytes
MAX_TOKENS = 1 << 20  # bytes: a user of thousands of groups has a token of a hundred KB

FAILURES = (OSError, ValueError, httpx.HTTPError, httpx.InvalidURL)  # TimeoutError is an OSError


def client(tls: ssl.SSLContext, seconds: float) -> httpx.AsyncClient:
    """For a few requests: the next ones are minutes away."""
    return httpx.AsyncClient(
        verify=tls,
        timeout=httpx.Timeout(seconds),
        trust_env=False,
        follow_redirects=False,
        headers={"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "bastion"},
    )


async def get(http: httpx.AsyncClient, url: str) -> bytes:
    """Raises one of FAILURES."""
    status, body = await _exchange(http, "GET", url, MAX_DOCUMENT)
    if status != 200:
        raise ValueError(f"{url} answered {status}")
    return body


async def post(
    http: httpx.AsyncClient, url: str, form: Mapping[str, str], headers: Mapping[str, str]
) -> tuple[int, bytes]:
    """The status and the body.  Raises one of FAILURES."""
    return await _exchange(http, "POST", url, MAX_TOKENS, data=dict(form), headers=dict(headers))


async def _exchange(
    http: httpx.AsyncClient, method: str, url: str, most: int, **sent: Any
) -> tuple[int, bytes]:
    async with http.stream(method, url, **sent) as response:
        pieces, size = [], 0
        async for piece in response.aiter_raw():
            pieces.append(piece)
            size += len(piece)
            if size > most:
                raise ValueError(f"{url} sent more than {most} bytes")
        return response.status_code, b"".join(pieces)


def cause_of(error: Exception) -> str:
    """One line."""
    return " ".join(str(error).split()) or type(error).__name__
