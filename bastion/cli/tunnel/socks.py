"""SOCKS5 (RFC 1928) for local clients: names only, which the bastion finds; no credentials, on loopback."""

from __future__ import annotations

from bastion.cli.tunnel.connecting import Refused, told
from bastion.cli.tunnel.listening import Accepted, Joining
from bastion.runtime.errors import StartError

VERSION = 5
CONNECT, NAME = 1, 3
FAILED, NOT_ALLOWED, UNREACHABLE, REFUSED, NO_SUCH_COMMAND = 1, 2, 4, 5, 7
ADDRESS_SIZES = {1: 4, 4: 16}
_CODES = {403: NOT_ALLOWED, 407: NOT_ALLOWED, 400: NOT_ALLOWED, 404: UNREACHABLE, 503: REFUSED, 502: REFUSED}


def _reply(code: int) -> bytes:
    return bytes((VERSION, code, 0, 1)) + bytes(6)


class Socks:
    def __init__(self, joining: Joining) -> None:
        self._joining = joining

    async def serve(self, local: Accepted) -> None:
        """Raises EOFError, Refused, OSError, StartError."""
        version, methods = await local.read(2)
        offered = await local.read(methods)
        if version != VERSION or 0 not in offered:
            local.transport.write(bytes((VERSION, 0xFF)))
            local.transport.close()
            return
        local.transport.write(bytes((VERSION, 0)))
        _, command, _, kind = await local.read(4)
        if kind != NAME or command != CONNECT:
            await local.read(ADDRESS_SIZES.get(kind, 0) + 2)
            local.transport.write(_reply(NO_SUCH_COMMAND if command != CONNECT else NOT_ALLOWED))
            local.transport.close()
            return
        (size,) = await local.read(1)
        name = (await local.read(size)).decode("latin-1")
        port = int.from_bytes(await local.read(2))
        if any(char <= " " or char > "~" for char in name):
            local.transport.write(_reply(NOT_ALLOWED))
            local.transport.close()
            return
        try:
            await self._joining.join(local, f"{name}:{port}", _reply(0))
        except Refused as error:
            local.transport.write(_reply(_CODES.get(error.code, FAILED)))
            local.transport.close()
            raise
        except (OSError, StartError) as error:
            local.transport.write(_reply(FAILED))
            local.transport.close()
            raise ConnectionError(told(error)) from error
