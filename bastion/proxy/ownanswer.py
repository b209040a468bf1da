"""A request for one of the bastion's own paths is on record, and answered whatever happens."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from bastion.http.fields import first_value
from bastion.kube.errors import internal_error
from bastion.kube.requestinfo import RequestInfo
from bastion.kube.status import StatusError
from bastion.observe.observer import Observer
from bastion.observe.record import Record
from bastion.proxy.exchange import Exchange
from bastion.proxy.guard import Guard
from bastion.proxy.origin import Origins

Answer = Callable[[str, Record], Awaitable[None]]  # given the client's address; may raise StatusError

_log = logging.getLogger("bastion.proxy")


class OwnAnswers:
    def __init__(self, origins: Origins, guard: Guard, observer: Observer) -> None:
        self._origins = origins
        self._guard = guard
        self._observer = observer

    async def serve(
        self, exchange: Exchange, path: bytes, answer: Answer, info: RequestInfo | None = None
    ) -> None:
        """Raises nothing but CancelledError."""
        client = self._origins.client(exchange.client, exchange.fields)
        record = Record(exchange.method, path, client, exchange.audit_id)
        record.agent = first_value(exchange.fields, b"user-agent")
        record.info = info
        self._observer.begin(record, exchange, self._origins.sources(exchange.client, exchange.fields))
        try:
            await answer(client, record)
        except StatusError as error:
            record.fail(error)
            if error.code == 429:
                await self._guard.hold_back(client)
            exchange.send_status(error)
        except asyncio.CancelledError:
            record.outcome = "client-left"
            raise
        except Exception:
            _log.exception("a request failed inside the bastion (audit id %s)", exchange.audit_id)
            record.fail(failure := internal_error())
            exchange.send_status(failure)
        finally:
            self._observer.observe(record, exchange.status, exchange.bytes_in, exchange.bytes_out)
