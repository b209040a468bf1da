"""The fields that protect the bastion's origin (`message.ownorigin`), on responses of an ASGI framework."""

from __future__ import annotations

from collections.abc import Iterable

from starlette.types import Message, Send

from bastion.http.fields import Field
from bastion.message.ownorigin import DATA


def headers_of(fields: Iterable[Field]) -> dict[str, str]:
    return {name.decode(): value.decode() for _, name, value in fields}


def guarding(send: Send) -> Send:
    """Adds the fields of every response of the bastion's own; a page sets more of them itself."""

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            there = {bytes(name).lower() for name, _ in message["headers"]}
            added = [(lower, value) for lower, _, value in DATA if lower not in there]
            message = {**message, "headers": [*message["headers"], *added]}
        await send(message)

    return sent
