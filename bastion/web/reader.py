"""Who reads a page?  The user of the request's credentials: a session's cookie, a token, a certificate."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from fastapi import Request

from bastion.http.fields import first_value
from bastion.kube.hostname import host_name
from bastion.kube.user import User
from bastion.message.cookies import SESSION, own_pieces
from bastion.observe.record import Record
from bastion.proxy.admission import Admitted
from bastion.proxy.exchange import Exchange
from bastion.proxy.identified import Identification
from bastion.proxy.origin import Origins
from bastion.runtime.turns import Key
from bastion.signin.session import Sessions


class Reader(msgspec.Struct, frozen=True):
    """`until`: the end of the session in seconds since the epoch, 0 where there is none; `origin`: where the
    reader's browser sees this bastion.
    """

    admitted: Admitted
    exchange: Exchange
    record: Record
    until: int = 0
    origin: str = ""

    @property
    def user(self) -> User:
        return self.admitted.acting_as

    @property
    def asker(self) -> Key:
        return self.admitted.asker


class Readers:
    """`sessions` None: people cannot sign in."""

    def __init__(
        self,
        identification: Identification,
        origins: Origins,
        sessions: Sessions | None,
        now: Callable[[], float],
    ) -> None:
        self._identification = identification
        self._origins = origins
        self._sessions = sessions
        self._now = now

    async def of(self, request: Request) -> Reader:
        """Raises StatusError, 401 where no user is known."""
        exchange, record = exchange_of(request), record_of(request)
        record.agent = first_value(exchange.fields, b"user-agent")
        record.client = client = self._origins.client(exchange.client, exchange.fields)
        admitted = await self._identification.admitted(exchange, client, record)
        until = self._until(exchange) if admitted.credentials.session else 0
        return Reader(admitted, exchange, record, until, self.origin(exchange))

    def origin(self, exchange: Exchange) -> str:
        scheme, host = self._origins.seen(exchange.client, exchange.scheme, exchange.host, exchange.fields)
        return f"{scheme.decode()}://{host.decode('ascii', 'replace')}"

    def _until(self, exchange: Exchange) -> int:
        value = own_pieces(exchange.fields, SESSION)
        session = (
            self._sessions.open(SESSION, host_name(exchange.host), value, self._now())
            if self._sessions is not None
            else None
        )
        return session.until if session is not None else 0


def exchange_of(request: Request) -> Exchange:
    found: Exchange = request.scope["bastion.exchange"]
    return found


def record_of(request: Request) -> Record:
    found: Record | None = request.scope["bastion.record"]
    return found if found is not None else Record(request.method, b"", "", "")
