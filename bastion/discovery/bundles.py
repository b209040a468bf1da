"""Which authorities does a ConfigMap hold?  Read when one is needed first, and again after a while."""

from __future__ import annotations

import asyncio
from collections import OrderedDict

import msgspec

from bastion.cluster.errors import ApiError
from bastion.discovery.apiclient import ObjectReader
from bastion.runtime.turns import BACKGROUND

FRESH = 30.0  # seconds
MOST = 1024  # ConfigMaps
KEYS = ("ca.crt", "service-ca.crt", "ca-bundle.crt")  # the first that is there
GONE = (403, 404)


class _ConfigMap(msgspec.Struct):
    data: dict[str, str] | None = None


class Bundle(msgspec.Struct, gc=False):
    """`why`: the reason why it cannot be used, empty where it can."""

    pem: bytes
    read: float
    why: str = ""


class Bundles:
    """While the API server is away what was read before stays in use."""

    def __init__(self, api: ObjectReader) -> None:
        self._api = api
        self._known: OrderedDict[tuple[str, str], Bundle] = OrderedDict()
        self._reading: dict[tuple[str, str], asyncio.Task[Bundle]] = {}
        self._now = asyncio.get_running_loop().time

    async def bundle(self, namespace: str, name: str) -> bytes:
        """PEM.  Raises ValueError that says why there is none."""
        key = (namespace, name)
        known = self._known.get(key)
        if known is None or self._now() - known.read >= FRESH:
            known = await self._read_once(key)
        if known.why:
            raise ValueError(f"ConfigMap {namespace}/{name}: {known.why}")
        return known.pem

    async def _read_once(self, key: tuple[str, str]) -> Bundle:
        reading = self._reading.get(key)
        if reading is None:
            reading = self._reading[key] = asyncio.create_task(self._read(key))
            reading.add_done_callback(lambda task: self._reading.pop(key, None))
        return await asyncio.shield(reading)

    async def _read(self, key: tuple[str, str]) -> Bundle:
        namespace, name = key
        now = self._now()
        try:
            body = await self._api.get(f"/api/v1/namespaces/{namespace}/configmaps/{name}", {}, BACKGROUND)
            found = _bundle(body, now)
        except (ApiError, TimeoutError, ValueError) as error:
            known = self._known.get(key)
            status = error.status if isinstance(error, ApiError) else 0
            if known is not None and status not in GONE:
                found = Bundle(known.pem, now, known.why)
            else:
                found = Bundle(b"", now, _WHY.get(status, f"it cannot be read: {error}"))
        if len(self._known) >= MOST:
            self._known.popitem(last=False)
        self._known[key] = found
        return found


def _bundle(body: bytes, now: float) -> Bundle:
    data = msgspec.json.decode(body, type=_ConfigMap).data or {}
    pem = next((data[key] for key in KEYS if key in data), None)
    if pem is None:
        return Bundle(b"", now, f"it has none of the keys {', '.join(KEYS)}")
    return Bundle(pem.encode(), now)


_WHY = {404: "it is not there", 403: "this bastion may not read it"}
