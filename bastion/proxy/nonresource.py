"""May a request have a path of the bastion's own, such as /metrics?

As kube-apiserver asks about its own: `get` on the path.
"""

from __future__ import annotations

import asyncio

from bastion.http.fields import first_value
from bastion.kube.attributes import Attributes
from bastion.kube.requestinfo import ApiCall
from bastion.kube.status import StatusError
from bastion.observe.observer import Observer
from bastion.observe.record import Record
from bastion.proxy.admission import Admission
from bastion.proxy.exchange import Exchange
from bastion.proxy.guard import Guard
from bastion.proxy.origin import Origins


class NonResource:
    """A refusal is on record, as anywhere else: else tokens could be tried here unseen."""

    def __init__(self, admission: Admission, guard: Guard, origins: Origins, observer: Observer) -> None:
        self._admission = admission
        self._guard = guard
        self._origins = origins
        self._observer = observer

    async def admits(self, exchange: Exchange, path: bytes) -> Record | None:
        """The record of a request that may go on; None where it may not, and the client was told why."""
        client = self._origins.client(exchange.client, exchange.fields)
        record = Record(exchange.method, path, client, exchange.audit_id)
        record.agent = first_value(exchange.fields, b"user-agent")
        self._observer.begin(record, exchange, self._origins.sources(exchange.client, exchange.fields))
        own = ApiCall(Attributes("get", version="", path=path.decode("utf-8", "replace")))
        try:
            await self._admission.admit(exchange, client, record, own)
            return record
        except StatusError as error:
            record.fail(error)
            if error.code == 429:
                await self._guard.hold_back(client)
            exchange.send_status(error)
        except asyncio.CancelledError:
            record.outcome = "client-left"
            self._observer.observe(record, exchange.status, 0, exchange.bytes_out)
            raise
        self._observer.observe(record, exchange.status, exchange.bytes_in, exchange.bytes_out)
        return None
