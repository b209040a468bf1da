"""What was decided about a call that is passed on, remembered for another that is the same, word for word.

Only with a token that passes as it is, or with no credentials: whom the bastion itself names is looked at
each time.
"""

from __future__ import annotations

import msgspec

from bastion.authn.authenticator import Credentials
from bastion.http.fields import values
from bastion.kube.requestinfo import ApiCall
from bastion.message.apicall import to_api_server
from bastion.message.trailers import takes_trailers
from bastion.observe.record import Record, begun_of
from bastion.proxy.admission import Admitted
from bastion.proxy.callhead import Withheld
from bastion.proxy.exchange import Exchange, ResponseHead
from bastion.proxy.onbehalf import NOBODY, PLAIN, Authority
from bastion.runtime.turns import Key
from bastion.runtime.validity import Validity

LIFETIME = 10.0  # seconds, after which it is looked at anew whose the token is
_NO_SECRET = Credentials()
_OTHER_SECRETS = (b"cookie", b"sec-websocket-protocol")


class CallPlan(msgspec.Struct, frozen=True):
    """What was decided about a call; `behalf` and `admitted` are without the credentials.

    `front` of the head: all lines that some rule reads, but for the credentials (`secret`: there are some);
    `named`: the client's own audit id is one of them.
    `begun` is what is on record of each; `heads`: of responses, but for their audit id.
    """

    behalf: Authority
    admitted: Admitted
    begun: Record
    method: str
    target: bytes
    authority: bytes
    keep_alive: bool
    front: bytes
    secret: bool
    named: bool
    validity: Validity
    generation: int
    heads: dict[bytes, ResponseHead] = msgspec.field(default_factory=dict)

    @property
    def asker(self) -> Key:
        return self.behalf.asker

    @property
    def client(self) -> str:
        return self.begun.client

    def record(self, audit_id: str) -> Record:
        return self.begun.again(audit_id, "upstream")

    def head(self, exchange: Exchange) -> bytes:
        passed = b"".join(exchange.passed)
        line = exchange.line(b"authorization") if self.secret else b""
        end = b"\r\n" if line else b""
        if self.named or (passed and b"\naudit-id:" in b"\n%b" % passed.lower()):
            return b"%b%b%b%b\r\n" % (self.front, line, end, passed)
        audit_id = exchange.audit_id.encode()
        return b"%b%b%b%bAudit-ID: %b\r\n\r\n" % (self.front, line, end, passed, audit_id)


def plan_of(
    exchange: Exchange,
    call: ApiCall,
    behalf: Authority,
    record: Record,
    withheld: Withheld,
    now: float,
    *,
    generation: int,
) -> CallPlan | None:
    """None where what was decided holds for this call alone.  `now` by the loop's clock."""
    if record.trail is not None or not _may_be_remembered(exchange, call, behalf):
        return None  # what is audited is told of each
    open_ = [field for field in exchange.fields if field[0] != b"authorization"]
    lines = to_api_server(open_, withheld[True], with_credentials=False)
    lines.append(b"X-Forwarded-For: %b\r\n" % record.client.encode())
    return CallPlan(
        behalf=msgspec.structs.replace(behalf, credentials=_NO_SECRET),
        admitted=Admitted(call, _NO_SECRET, NOBODY, NOBODY, (), behalf.asker),
        begun=begun_of(record),
        method=exchange.method,
        target=exchange.target,
        authority=exchange.host,
        keep_alive=exchange.keep_alive,
        front=b"GET %b HTTP/1.1\r\n%b" % (exchange.target, b"".join(lines)),
        secret=bool(behalf.digest),
        named=any(line[:9].lower() == b"audit-id:" for line in lines),
        validity=Validity(until=now + LIFETIME),
        generation=generation,
    )


def _may_be_remembered(exchange: Exchange, call: ApiCall, behalf: Authority) -> bool:
    """Without a body, as the key says already."""
    fields, credentials = exchange.fields, behalf.credentials
    return (
        exchange.method == "GET"
        and call.attributes.verb != "watch"
        and behalf.identity == PLAIN
        and behalf.with_credentials
        and not (exchange.certificate or credentials.session or credentials.explicit)
        and len(values(fields, b"authorization")) == bool(behalf.digest)
        and not any(lower in _OTHER_SECRETS for lower, _, _ in fields)
        and not takes_trailers(fields)
    )
