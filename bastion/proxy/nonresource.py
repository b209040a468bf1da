"""May whoever asks read a path of the bastion's own, such as /metrics?

As kube-apiserver asks about its own: `get` on the path.
"""

from __future__ import annotations

import asyncio

from bastion.authn.authenticator import NotAccepted
from bastion.authz.authorizer import Authorizer
from bastion.authz.impersonation import Impersonator
from bastion.http.fields import first_value
from bastion.kube.attributes import Attributes
from bastion.kube.status import StatusError, forbidden, unauthorized
from bastion.observe.observer import Observer
from bastion.observe.record import Record
from bastion.proxy.credentials import CredentialReader
from bastion.proxy.exchange import Exchange
from bastion.proxy.guard import Guard, asker_of
from bastion.proxy.origin import Origins


class NonResource:
    """Who is refused is on record, as anywhere else: else tokens could be tried here and nobody would
    know.
    """

    def __init__(
        self,
        reader: CredentialReader,
        guard: Guard,
        impersonator: Impersonator,
        authorizer: Authorizer,
        origins: Origins,
        observer: Observer,
    ) -> None:
        self._reader = reader
        self._guard = guard
        self._impersonator = impersonator
        self._authorizer = authorizer
        self._origins = origins
        self._observer = observer

    async def admits(self, exchange: Exchange, path: bytes) -> bool:
        """Where it does not, the client was told why."""
        client = self._origins.client(exchange.client, exchange.fields)
        record = Record(exchange.method, path, client, exchange.audit_id)
        record.agent = first_value(exchange.fields, b"user-agent")
        try:
            await self._admit(exchange, path, record)
            return True
        except StatusError as error:
            record.error, record.cause = f"{error.reason}: {error.message}", error.cause
            if error.code == 429:
                await self._guard.hold_back(client)
            exchange.send_status(error)
        except asyncio.CancelledError:
            record.outcome = "client-left"
            self._observer.observe(record, exchange.status, 0, exchange.bytes_out)
            raise
        self._observer.observe(record, exchange.status, exchange.bytes_in, exchange.bytes_out)
        return False

    async def _admit(self, exchange: Exchange, path: bytes, record: Record) -> None:
        """Raises StatusError."""
        with record.stage("authentication"):
            credentials = self._reader.read(exchange, None, None)
            try:
                record.user = user = await self._guard.identify(credentials, record.client, exchange)
            except NotAccepted as refused:
                raise unauthorized(refused.cause) from refused
            if user is None:
                raise unauthorized(credentials.unknown)
        wanted = Attributes("get", version="", path=path.decode("utf-8", "replace"))
        asker = asker_of(user, record.client)
        with self._guard.place(asker, tunnel=False), record.stage("authorization"):
            assumed = await self._impersonator.assume(user, exchange.fields, (wanted,), asker)
            record.acting_as = acting_as = user if assumed is None else assumed.user
            decision = await self._authorizer.authorize(acting_as, wanted, asker)
            if not decision.allowed:
                raise forbidden(acting_as.name, wanted, decision.reason)
