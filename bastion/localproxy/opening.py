"""How is a proxy asked for a way to somewhere?  HTTP CONNECT (RFC 9110, 9.3.6) and SOCKS 5 (RFC 1928)."""

from __future__ import annotations

import asyncio

MAX_HEAD = 65536  # bytes of a proxy's answer


class Opening(asyncio.Protocol):
    """The connection until the way is open.  What comes is awaited; nothing may come after the answer."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._came = b""
        self._ended = False
        self._waiter: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self._came += data
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended = True
        self._wake()

    def send(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    async def receive(self) -> bytes:
        """Raises OSError at the end."""
        while not self._came:
            if self._ended:
                raise OSError("the proxy closed the connection")
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        data, self._came = self._came, b""
        return data

    def hand_over(self, protocol: asyncio.BaseProtocol) -> None:
        assert self._transport is not None
        if self._ended:
            raise OSError("the proxy closed the connection")
        self._transport.set_protocol(protocol)
        protocol.connection_made(self._transport)

    def abandon(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)


async def ask_http(opening: Opening, authority: bytes, login: bytes) -> None:
    """`login` is base64 of `user:password`, or empty.  Raises OSError."""
    lines = [b"CONNECT %b HTTP/1.1" % authority, b"Host: %b" % authority]
    if login:
        lines.append(b"Proxy-Authorization: Basic %b" % login)
    opening.send(b"\r\n".join((*lines, b"", b"")))
    head = b""
    while b"\r\n\r\n" not in head:
        if len(head) > MAX_HEAD:
            raise OSError("the proxy gave no answer to CONNECT")
        head += await opening.receive()
    status = head.split(b" ", 2)[1:2]
    if not head.startswith(b"HTTP/1.") or not status or status[0][:1] != b"2":
        said = head.partition(b"\r\n")[0][:80].decode("latin-1")
        raise OSError(f"the proxy refused: {said}")


async def ask_socks(opening: Opening, host: str, port: int, user: str, password: str) -> None:
    """Names are resolved by the proxy.  Raises OSError."""
    from socksio import SOCKSError
    from socksio.socks5 import (
        SOCKS5AuthMethod,
        SOCKS5AuthMethodsRequest,
        SOCKS5AuthReply,
        SOCKS5Command,
        SOCKS5CommandRequest,
        SOCKS5Connection,
        SOCKS5Reply,
        SOCKS5ReplyCode,
        SOCKS5UsernamePasswordReply,
        SOCKS5UsernamePasswordRequest,
    )

    connection = SOCKS5Connection()
    methods = [SOCKS5AuthMethod.NO_AUTH_REQUIRED] + [SOCKS5AuthMethod.USERNAME_PASSWORD] * bool(user)
    try:
        connection.send(SOCKS5AuthMethodsRequest(methods))
        opening.send(connection.data_to_send())
        event = connection.receive_data(await opening.receive())
        if not isinstance(event, SOCKS5AuthReply) or event.method not in methods:
            raise OSError("the SOCKS proxy wants a login that it was not given")
        if event.method == SOCKS5AuthMethod.USERNAME_PASSWORD:
            connection.send(SOCKS5UsernamePasswordRequest(user.encode(), password.encode()))
            opening.send(connection.data_to_send())
            reply = connection.receive_data(await opening.receive())
            if not isinstance(reply, SOCKS5UsernamePasswordReply) or not reply.success:
                raise OSError("the SOCKS proxy refused the login")
        connection.send(SOCKS5CommandRequest.from_address(SOCKS5Command.CONNECT, (host, port)))
        opening.send(connection.data_to_send())
        answered = connection.receive_data(await opening.receive())
    except SOCKSError as error:
        raise OSError("the proxy does not speak SOCKS 5") from error
    if not isinstance(answered, SOCKS5Reply) or answered.reply_code != SOCKS5ReplyCode.SUCCEEDED:
        raise OSError("the SOCKS proxy refused the connection")
