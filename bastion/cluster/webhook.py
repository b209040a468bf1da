"""Posts to what a kubeconfig names as its server, as kube-apiserver reads the files of its webhooks."""

from __future__ import annotations

import asyncio

import httpx

from bastion.cluster.access import ApiAccess
from bastion.cluster.connections import Connections
from bastion.cluster.errors import ApiError
from bastion.cluster.refusals import cause_of, drained
from bastion.runtime.turns import BACKGROUND

TIMEOUT = 30.0  # seconds for a post
_HEADERS = {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "bastion"}
UNAUTHORIZED = 401


class Webhook:
    """Credentials go over TLS only: over plain HTTP the kubeconfig has none."""

    def __init__(self, access: ApiAccess, timeout: float = TIMEOUT) -> None:
        self._access = access
        self._timeout = timeout
        self._connections = Connections(access)

    async def close(self) -> None:
        await self._connections.close()

    async def post(self, body: bytes) -> None:
        """Returns once it was taken: any 2xx.  Raises ApiError."""
        try:
            async with asyncio.timeout(self._timeout):
                status, authorization = await self._posted(body)
                if status == UNAUTHORIZED and await self._access.refused(authorization):
                    status, _ = await self._posted(body)
        except TimeoutError as error:
            raise ApiError(f"no answer within {self._timeout:g} s") from error
        except httpx.HTTPError as error:
            raise ApiError(cause_of(error)) from error
        if not 200 <= status < 300:
            raise ApiError(f"it answered {status}", status)

    async def _posted(self, body: bytes) -> tuple[int, str | None]:
        """(the status, as whom)."""
        authorization = await self._access.authorization()
        headers = _HEADERS | ({"Authorization": authorization} if authorization is not None else {})
        server = self._access.server
        request = httpx.Request("POST", server, headers=headers, content=body)
        if self._access.impersonation:
            request.headers = httpx.Headers([*request.headers.raw, *self._access.impersonation])
        async with self._connections.transport(server, BACKGROUND) as http:
            response = await http.handle_async_request(request)
            try:
                await drained(response)
            finally:
                await response.aclose()
        return response.status_code, authorization
