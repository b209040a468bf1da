"""The replica that probes tells the others its results; over TLS, to who shows a token for just that.

Its address and the fingerprint of its certificate stand in the Lease, which only the bastion may write.  One
line of JSON each way: what is asked for with the token, and the results.
"""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson

from bastion.cluster.election import Holder
from bastion.runtime.certificates import Authority
from bastion.runtime.trust import client_context, server_context

AUDIENCE = "bastion-peers"
PATIENCE = 3.0  # seconds
LONGEST_QUESTION = 16384
LONGEST_ANSWER = 64 << 20
MOST = 16  # questions at once

Answer = Callable[[str, str], Mapping[str, Any]]  # by target and module, both empty for all


class PeerServer:
    """`answer` is called for a target and a module, both empty for all; `accepts` judges tokens."""

    def __init__(self, answer: Answer, accepts: Callable[[str], Awaitable[bool]]) -> None:
        self._answer = answer
        self._accepts = accepts
        self._places = asyncio.Semaphore(MOST)
        self._server: asyncio.Server | None = None
        self.address = ""
        self.fingerprint = ""

    async def open(self, host: str, port: int) -> None:
        """Raises OSError."""
        pair = Authority("bastion peers").issue([host])
        der = ssl.PEM_cert_to_DER_cert(
            pair.certificate.decode().split("-----END")[0] + "-----END CERTIFICATE-----"
        )
        self.fingerprint = hashlib.sha256(der).hexdigest()
        context = server_context(pair)
        context.set_alpn_protocols([AUDIENCE])
        self._server = await asyncio.start_server(
            self._serve, host, port, ssl=context, limit=LONGEST_QUESTION
        )
        name = self._server.sockets[0].getsockname()
        self.address = f"[{name[0]}]:{name[1]}" if ":" in name[0] else f"{name[0]}:{name[1]}"

    def close(self) -> None:
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with self._places, asyncio.timeout(PATIENCE):
                question = orjson.loads(await reader.readline())
                if await self._accepts(str(question["token"])):
                    found = self._answer(str(question["target"]), str(question["module"]))
                    writer.write(orjson.dumps(found) + b"\n")
                    await writer.drain()
        except (OSError, TimeoutError, ValueError, LookupError, TypeError):
            pass  # who asks wrongly is told nothing
        finally:
            writer.close()


async def ask(holder: Holder, token: str, target: str, module: str) -> dict[str, Any]:
    """Raises OSError, TimeoutError or ValueError."""
    host, _, port = holder.address.rpartition(":")
    context = client_context(verify=False)
    context.set_alpn_protocols([AUDIENCE])
    async with asyncio.timeout(PATIENCE):
        reader, writer = await asyncio.open_connection(
            host.strip("[]"), int(port), ssl=context, limit=LONGEST_ANSWER
        )
        try:
            tls: ssl.SSLObject = writer.get_extra_info("ssl_object")
            shown = tls.getpeercert(binary_form=True) or b""
            if not holder.fingerprint or hashlib.sha256(shown).hexdigest() != holder.fingerprint:
                raise ValueError("its certificate is not the one in the Lease")
            question = {"token": token, "target": target, "module": module}
            writer.write(orjson.dumps(question) + b"\n")
            await writer.drain()
            answer = await reader.readline()
        finally:
            writer.close()
    if not answer:
        raise ValueError("it does not answer: the token is not accepted")
    found: dict[str, Any] = orjson.loads(answer)
    return found
