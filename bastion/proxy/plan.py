"""What was decided about a request, remembered for as long as what it stood on holds.

The key is a keyed hash of all that decides: the client's address, how it came and what it showed in the TLS
handshake, the request line, and the lines that some rule reads.  Another request with the same key would be
decided alike, by the same caches, until the earliest of their entries expires.  Whatever may change from one
request to the next is no part of it: endpoints, turns, limits, the audit id, the record.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable, Hashable, Sequence

import msgspec

from bastion.authn.authenticator import Credentials
from bastion.authz.authorizer import Decision
from bastion.kube.attributes import Attributes
from bastion.kube.requestinfo import Proxied
from bastion.kube.user import User
from bastion.message.lines import LineTable
from bastion.observe.record import Record, begun_of
from bastion.proxy.admission import Admitted
from bastion.proxy.callplan import CallPlan
from bastion.proxy.envelope import BackendLines, Envelope, logs_in
from bastion.proxy.exchange import Exchange, ResponseHead
from bastion.proxy.retry import IDEMPOTENT
from bastion.proxy.router import Led, target_of
from bastion.runtime.remembered import FairTable
from bastion.runtime.turns import Key
from bastion.runtime.validity import CachedResult, Generation, Validity

MOST = 2048  # plans
LONGEST = 4096  # bytes of the request line and the deciding lines of one

# Sent again without harm, and a response to them has a body.
REMEMBERED = IDEMPOTENT - {"HEAD"}

_NO_SECRET = Credentials()


class Plan(msgspec.Struct):
    """`admitted` is without the credentials; `lines` of the backend's head are made when they are needed
    first.

    `shape`: what a response's head depends on beside itself; `heads`: of responses, as they came, and
    `undated` without their Date.
    `begun` is what is on record of each request.
    """

    admitted: Admitted
    led: Led
    asker: Key
    envelope: Envelope
    begun: Record
    method: str
    target: bytes
    authority: bytes
    keep_alive: bool
    validity: Validity
    generation: int
    shape: int
    lines: BackendLines | None = None
    heads: dict[bytes, ResponseHead] = msgspec.field(default_factory=dict)
    undated: dict[bytes, ResponseHead] = msgspec.field(default_factory=dict)


class KnownHead(msgspec.Struct, frozen=True):
    """A request's head that came before, byte for byte: its plan, and what passes of it, before and behind
    each line that was left out.
    """

    plan: Plan | CallPlan
    passed: tuple[bytes, ...]


class Once:
    """What came once: most never comes again, and a plan costs more than to look this up."""

    def __init__(self) -> None:
        self._marks: FairTable[int, bool] = FairTable(MOST)

    def __call__(self, mark: int, owner: Hashable) -> bool:
        """Whether it came before."""
        if self._marks.get(mark, False):
            return True
        self._marks.put(mark, True, owner)
        return False


class Plans:
    """`known_user` and `known_decision`: what the caches answer without asking, and until when."""

    def __init__(
        self,
        lines: LineTable,
        known_user: Callable[[Credentials], CachedResult[User | None] | None],
        known_decision: Callable[[User, Attributes], CachedResult[Decision] | None],
        generation: Generation,
        now: Callable[[], float],
        wall: Callable[[], float] = time.time,
        came_before: Callable[[int, Hashable], bool] | None = None,
    ) -> None:
        """`came_before`: whether a mark, in the share of an owner, came before; None: that is remembered
        here.
        """
        self.lines = lines
        self._known_user = known_user
        self._known_decision = known_decision
        self._generation = generation
        self._now = now
        self._wall = wall
        self._secret = secrets.token_bytes(32)
        self._keyed = hashlib.blake2b(key=self._secret, digest_size=32)
        self._plans: FairTable[bytes, Plan | CallPlan] = FairTable(MOST)
        self._came_before = came_before if came_before is not None else Once()
        self._heads: FairTable[bytes, KnownHead] = FairTable(MOST)

    def peer(self, address: str, scheme: bytes, certificate: Sequence[bytes]) -> bytes:
        """The part of the key that all requests of a connection have in common."""
        parts = (address.encode(), scheme, *certificate)
        told = b"".join(b"%d:%b" % (len(part), part) for part in parts)
        return hashlib.blake2b(told, key=self._secret, digest_size=32).digest()

    def key(self, peer: bytes, request_line: bytes, deciding: Sequence[bytes]) -> bytes:
        """None of the lines has a CRLF in it.  Empty where they are too long to be remembered."""
        told = b"\r\n".join((peer, request_line, *deciding))
        if len(told) > LONGEST:
            return b""
        hashed = self._keyed.copy()
        hashed.update(told)
        return hashed.digest()

    def came_before(self, peer: bytes, request_line: bytes, owner: Hashable) -> bool:
        """Whether a plan may be known of a request with this line, or is worth making."""
        return self._came_before(hash((peer, request_line)), owner)

    def known(self, key: bytes) -> Plan | CallPlan | None:
        plan = self._plans.get(key)
        if plan is None or self._holds(plan):
            return plan
        self._plans.forget(key)
        return None

    def whole(self, peer: bytes, head: bytes) -> tuple[bytes, KnownHead | None]:
        """(what it is kept by, what is known of it): `head` as it came."""
        if len(head) > LONGEST:
            return b"", None
        hashed = self._keyed.copy()
        hashed.update(peer + head)
        digest = hashed.digest()
        known = self._heads.get(digest)
        if known is None or self._holds(known.plan):
            return digest, known
        self._heads.forget(digest)
        return digest, None

    def keep_whole(self, digest: bytes, plan: Plan | CallPlan, passed: tuple[bytes, ...]) -> None:
        self._heads.put(digest, KnownHead(plan, passed), plan.asker)

    def _holds(self, plan: Plan | CallPlan) -> bool:
        validity = plan.validity
        return (
            plan.generation == self._generation.number
            and self._now() < validity.until
            and self._wall() < validity.expires
        )

    def generation(self) -> int:
        """To be read before anything is decided."""
        return self._generation.number

    def remember(
        self, exchange: Exchange, admitted: Admitted, envelope: Envelope, record: Record, generation: int
    ) -> None:
        """If what was decided holds for another request with the same key."""
        if (
            not exchange.key
            or generation != self._generation.number
            or exchange.method not in REMEMBERED
            or not _may_be_remembered(admitted)
            or logs_in(exchange.fields, envelope)
            or (record.trail is not None and record.trail.holds)
        ):
            return
        validity = self._validity(admitted)
        if validity is None:
            return
        validity = validity.earliest(Validity(expires=envelope.introduction.expires))
        info = admitted.info
        assert isinstance(info, Proxied)
        plan = Plan(
            admitted=msgspec.structs.replace(admitted, credentials=_NO_SECRET),
            led=Led(info, target_of(info), admitted.policy),
            asker=admitted.asker,
            envelope=envelope,
            begun=begun_of(record),
            method=exchange.method,
            target=exchange.target,
            authority=exchange.host,
            keep_alive=exchange.keep_alive,
            validity=validity,
            generation=generation,
            shape=2 * bool(envelope.forwarded.prefix) + envelope.ambient,
        )
        self._plans.put(exchange.key, plan, admitted.asker)

    def keep(self, key: bytes, plan: CallPlan) -> None:
        """Of a call that is passed on."""
        if plan.generation == self._generation.number:
            self._plans.put(key, plan, plan.asker)

    def _validity(self, admitted: Admitted) -> Validity | None:
        """Until when all of it holds; None where some of it is not remembered elsewhere."""
        user = self._known_user(admitted.credentials)
        if user is None or user.value != admitted.user:
            return None
        validity = user.validity
        for question in admitted.questions:
            decision = self._known_decision(*question)
            if decision is None or not decision.value.allowed:
                return None
            validity = validity.earliest(decision.validity)
        return validity

    def __len__(self) -> int:
        return len(self._plans)


def _may_be_remembered(admitted: Admitted) -> bool:
    """Not where another identity was assumed, which stands on more; nor where a sealed cookie told the user,
    whose end is known to nothing else.
    """
    return (
        admitted.upgrade is None
        and not admitted.pod
        and admitted.acting_as is admitted.user
        and not admitted.credentials.session
    )
