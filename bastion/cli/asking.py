"""How a command asks a running bastion."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bastion.cli.place import Place
from bastion.runtime.errors import StartError

if TYPE_CHECKING:
    import httpx

SECONDS = 30.0


def fetched(
    place: Place,
    path: str,
    params: Mapping[str, str] | None = None,
    *,
    accept: str = "application/json, */*",
    headers: Mapping[str, str] | None = None,
    timeout: float = SECONDS,
) -> httpx.Response:
    """Raises StartError with the bastion's own words, the missing rule among them."""
    import httpx

    try:
        sent = [*asyncio.run(place.headers()), ("Accept", accept), *(headers or {}).items()]
        answer = httpx.get(
            place.url + path,
            params=params,
            headers=sent,
            verify=place.tls,
            timeout=timeout,
            trust_env=False,
        )
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        raise StartError(f"{place.url}: {error}") from error
    if answer.status_code >= 300:
        word = answer.headers.get("x-bastion-error", "")
        said = message_of(answer.text) or answer.reason_phrase
        raise StartError(f"Error from server ({word or answer.status_code}): {said}")
    return answer


def document_of(answer: httpx.Response) -> Any:
    """Raises StartError."""
    try:
        return answer.json()
    except ValueError as error:
        raise StartError(f"{answer.url} is no JSON") from error


def message_of(text: str) -> str:
    """That of a Status, or what there is instead."""
    try:
        return str(json.loads(text)["message"])
    except (ValueError, LookupError, TypeError):
        return " ".join(text.split())[:200]


def write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
