"""Does a client that speaks plain HTTP at the TLS port hear that, and nobody else?"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from bastion.runtime.certificates import Authority
from bastion.runtime.deadlines import Deadlines
from bastion.runtime.listening import listen
from bastion.runtime.trust import server_context
from bastion.server.listener import Listener
from bastion.server.state import ServerState
from tests.fakes import LOOPBACK, run


class NoApplication:
    async def serve(self, exchange: Any) -> None:
        raise AssertionError("nothing of this is a request")

    refuse = serve


def answered(*pieces: Any) -> Any:
    """What comes back for these bytes, to the end."""

    async def main() -> bytes:
        context = server_context(Authority().issue(["localhost"]))
        async with Deadlines() as deadlines:
            sock = listen((LOOPBACK, 0))
            port = sock.getsockname()[1]
            listener = Listener(sock, lambda: context, ServerState(NoApplication(), deadlines))  # type: ignore[arg-type]
            listener.start()
            reader, writer = await asyncio.open_connection(LOOPBACK, port)
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0.01)
            try:
                return await asyncio.wait_for(reader.read(), 5)
            finally:
                writer.close()
                listener.stop()

    return run(main())


PLAIN = [
    pytest.param([b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"], id="GET"),
    pytest.param([b"DELETE /api/v1/x HTTP/1.1\r\nHost: a\r\n\r\n"], id="DELETE"),
    pytest.param([b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"], id="OPTIONS"),
    pytest.param([b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n"], id="CONNECT"),
    pytest.param([b"PROPFIND / HTTP/1.1\r\nHost: a\r\n\r\n"], id="a-method-that-OpenSSL-does-not-know"),
    pytest.param([b"GE", b"T / HTTP/1.1\r\nHost: a\r\n\r\n"], id="in-pieces"),
]


@pytest.mark.parametrize("pieces", PLAIN)
def test_plain_http_is_told_to_use_https(pieces: Any) -> None:
    head, _, body = answered(*pieces).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"X-Bastion-Error: UnreadableRequest" in head and b"Connection: close" in head
    assert b"Content-Length: %d" % len(body) in head
    assert "https://" in json.loads(body)["message"]


@pytest.mark.parametrize(
    "came", [b"\x16\x03\x01\x00\x05hello", b"\x00" * 32, b"SSH-2.0-OpenSSH\r\n"], ids=["TLS", "zeros", "SSH"]
)
def test_what_is_no_http_gets_an_alert_at_most(came: Any) -> None:
    assert not answered(came).startswith(b"HTTP")
