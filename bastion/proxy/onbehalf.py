"""With whose authority does a call reach an API server?  Its user's, never the bastion's.

A bearer token passes as it is.  A user whom only the bastion knows (by a certificate, a front proxy, its own
token file or issuers) is named to the API server, by the bastion's right to impersonate or a front proxy's
certificate.  Without credentials, or with bad ones, nobody is named.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable

import msgspec
from msgspec import structs

from bastion.authn.authenticator import Authenticator, Credentials, CredentialsRefused
from bastion.authn.requestheader import FrontProxyHeaders
from bastion.authn.subprotocol import request_credentials
from bastion.authz.authorizer import Question
from bastion.authz.impersonation import ImpersonationAuthorizer
from bastion.http.fields import values
from bastion.kube.attributes import Attributes
from bastion.kube.errors import error_of, refused, unauthorized, unreadable
from bastion.kube.errorwords import API_SERVER_AWAY, IDENTITY_NOT_PASSED_ON
from bastion.kube.hostname import host_name
from bastion.kube.user import User
from bastion.message.apicall import front_proxy_lines, impersonation_lines
from bastion.message.cookies import SESSION, own_pieces
from bastion.message.ownorigin import RULES
from bastion.network.addresses import client_of
from bastion.observe.record import Record
from bastion.proxy.credentials import session_credentials
from bastion.proxy.exchange import Request
from bastion.proxy.guard import Failures, asker_of, too_many_failures
from bastion.proxy.origin import Origins
from bastion.runtime.turns import ADDRESS, USER, Key
from bastion.settings.passthrough import NONE, REQUEST_HEADER, PassThrough
from bastion.signin.apicalls import session_may_call
from bastion.signin.crosssite import Provenance, credential_counts, provenance
from bastion.signin.session import Sessions

MOST_GOOD = 8192  # tokens
SYSTEM = "system:"
NOBODY = User("")
# The identities of connections to API servers; none shows a certificate of the bastion's.
PLAIN, OWN, FRONT_PROXY = "", "bastion", "front-proxy"

_BY = "see --pass-through-identity of the bastion"


class Authority(msgspec.Struct, frozen=True, gc=False):
    """`identity` of the connection that may carry it, `lines` that say for whom the call is.

    `with_credentials`: the client's own pass.  `impersonation`: so do its Impersonate-*, for the API server
    to judge.  `user` is NOBODY where only the API server knows whose credentials these are; `questions`
    admitted to `acting_as`; `digest` is that of a token that passes.
    """

    credentials: Credentials
    asker: Key
    identity: str = PLAIN
    lines: tuple[bytes, ...] = ()
    with_credentials: bool = True
    impersonation: bool = True
    user: User = NOBODY
    acting_as: User = NOBODY
    questions: tuple[Question, ...] = ()
    digest: str = ""


class Knowledge(msgspec.Struct, frozen=True):
    """Who is known here: by a connection (its certificate), by a token, by having signed in.

    The second is None where the token is not one that the bastion itself answers for, and raises
    CredentialsRefused where it is, and bad.  `remembered`: whose a token is, where an API server said so
    lately.
    """

    connections: Authenticator | None
    tokens: Authenticator | None
    remembered: Callable[[str], User | None]
    front_proxy: FrontProxyHeaders | None
    sessions: Authenticator | None = None


class OnBehalf:
    """`own` gives the bastion's own Authorization, None where its certificate says who it is."""

    def __init__(
        self,
        settings: PassThrough,
        knowledge: Knowledge,
        impersonator: ImpersonationAuthorizer,
        origins: Origins,
        sessions: Sessions | None,
        failures: Failures,
        own: Callable[[], Awaitable[str | None]],
        now: Callable[[], float],
    ) -> None:
        """`sessions` None: they do not count.  `now` in seconds of the epoch."""
        self._settings = settings
        self._known = knowledge
        self._impersonator = impersonator
        self._origins = origins
        self._sessions = sessions
        self._failures = failures
        self._own = own
        self._now = now
        self._key = secrets.token_bytes(32)
        self._good: OrderedDict[str, None] = OrderedDict()  # digests of accepted tokens, the latest last

    async def authority(
        self, request: Request, attributes: Attributes, client: str, record: Record, *, websocket: bool
    ) -> Authority:
        """Raises StatusError."""
        credentials = self._credentials(request, websocket=websocket)
        try:
            user = await self._identify(credentials, client)
        except CredentialsRefused as bad:
            self._failures.spend(client_of(client), self._now())
            record.cause = bad.cause
            raise unauthorized() from bad
        translated = user is not None and self._settings.identity != NONE
        if user is None or not translated:
            return self._passed(credentials, user, client, record)
        record.user = user
        asker = asker_of(user, client)
        if self._settings.identity == REQUEST_HEADER:
            record.acting_as = user
            lines = self._named(user, lambda: front_proxy_lines(user))
            return Authority(
                credentials, asker, FRONT_PROXY, lines, with_credentials=False, user=user, acting_as=user
            )
        assumed = await self._impersonator.impersonate(user, request.fields, (attributes,), asker)
        record.acting_as = acting_as = user if assumed is None else assumed.user
        self._named(user, list)
        lines = self._named(acting_as, lambda: impersonation_lines(acting_as, whole=assumed is not None))
        return Authority(
            credentials,
            asker,
            OWN,
            (*await self._own_lines(), *lines),
            with_credentials=False,
            impersonation=False,
            user=user,
            acting_as=acting_as,
            questions=assumed.questions if assumed is not None else (),
        )

    def answered(self, authority: Authority, client: str, status: int) -> None:
        """By an API server: whether it accepts a token is known only now."""
        digest = authority.digest
        if not digest:
            return
        if status == 401:
            self._good.pop(digest, None)
            self._failures.spend(client_of(client), self._now())
        else:
            self._is_good(digest)

    def is_good(self, authority: Authority) -> bool:
        """Whether an API server accepted its token lately, or it has none."""
        return not authority.digest or authority.digest in self._good

    def _is_good(self, digest: str) -> None:
        self._good[digest] = None
        self._good.move_to_end(digest)
        if len(self._good) > MOST_GOOD:
            self._good.popitem(last=False)

    # --- what was shown

    def _credentials(self, request: Request, *, websocket: bool) -> Credentials:
        """Raises StatusError 400 or 401."""
        found = request_credentials(
            request.fields,
            websocket=websocket,
            certificate=request.certificate,
            front_proxy=self._known.front_proxy,
        )
        if found.explicit and values(request.fields, b"authorization"):
            raise unreadable("Authorization beside X-Bastion-Authorization: an API server takes one of them")
        if found.certificate and not credential_counts(RULES[found.kind].cross_site, self._came(request)):
            found = structs.replace(found, certificate=(), asserted=None)
        if found.token is not None or found.certificate or values(request.fields, b"authorization"):
            return found
        value = own_pieces(request.fields, SESSION) if self._sessions is not None else b""
        if self._sessions is None or not value or not session_may_call(self._came(request), request.fields):
            return found
        session = self._sessions.open(SESSION, host_name(request.host), value, self._now())
        return found if session is None else session_credentials(session)

    def _came(self, request: Request) -> Provenance:
        """Raises StatusError 400."""
        seen = self._origins.seen(request.client, request.scheme, request.host, request.fields)
        return provenance(request.method, request.fields, *seen, upgrade=request.upgradable)

    async def _identify(self, credentials: Credentials, client: str) -> User | None:
        """None where only the API server can tell.  Raises CredentialsRefused, StatusError."""
        known, address = self._known, (ADDRESS, client_of(client))
        token = credentials.token
        if credentials.certificate and known.connections is not None:
            try:
                user = await known.connections.authenticate(structs.replace(credentials, token=None), address)
            except CredentialsRefused:
                if token is None:
                    raise
                user = None
            if user is not None and (token is None or self._settings.identity != NONE):
                return user
        if credentials.signed_in is not None:
            return await known.sessions.authenticate(credentials, address) if known.sessions else None
        if token is None:
            return None
        digest = self._digest(token)
        if digest not in self._good:
            self._check_failures(client)
        if known.tokens is None:
            return None
        user = await known.tokens.authenticate(Credentials(token), address)
        if user is not None:
            self._is_good(digest)
        return user

    # --- what is sent

    def _passed(self, credentials: Credentials, user: User | None, client: str, record: Record) -> Authority:
        """Raises StatusError 401 where a user is known who cannot be named."""
        token = credentials.token
        if token is None:
            if user is not None:
                record.user = user
                how = "sign in at an issuer" if credentials.session else "show a certificate"
                raise unauthorized(
                    IDENTITY_NOT_PASSED_ON,
                    f"the API servers are not told of users who {how}; use a token ({_BY})",
                )
            return Authority(credentials, (ADDRESS, client_of(client)))
        user, digest = user or self._known.remembered(token), self._digest(token)
        record.user = user
        asker = asker_of(user, client) if user is not None else (USER, digest)
        if credentials.explicit or credentials.session:
            lines = (b"Authorization: Bearer %b\r\n" % token.encode(),)
            return Authority(credentials, asker, lines=lines, with_credentials=False, digest=digest)
        return Authority(credentials, asker, digest=digest)

    def _check_failures(self, client: str) -> None:
        """Raises StatusError 429."""
        if self._failures.exhausted(client_of(client), self._now()):
            raise too_many_failures()

    def _digest(self, token: str) -> str:
        """No name of a user begins so: of a token whose user only the API server knows."""
        return "\0" + hashlib.blake2b(token.encode(), key=self._key, digest_size=16).hexdigest()

    def _named(self, user: User, lines: Callable[[], Iterable[bytes]]) -> tuple[bytes, ...]:
        """Raises StatusError 403."""
        if user.name.startswith(SYSTEM):
            raise refused(
                IDENTITY_NOT_PASSED_ON,
                f"the API servers are not told of users whose name begins with {SYSTEM} ({_BY})",
            )
        if denied := sorted({*user.groups} & {*self._settings.deny_groups}):
            raise refused(
                IDENTITY_NOT_PASSED_ON,
                f"the API servers are not told of users in the group {denied[0]} ({_BY})",
            )
        try:
            return tuple(lines())
        except ValueError as error:
            raise refused(
                IDENTITY_NOT_PASSED_ON, f"the API servers cannot be told of this user: {error}"
            ) from error

    async def _own_lines(self) -> tuple[bytes, ...]:
        try:
            authorization = await self._own()
        except OSError as error:
            raise error_of(
                API_SERVER_AWAY, "the bastion's own credentials cannot be read", retry_after=5
            ) from error
        return (f"Authorization: {authorization}\r\n".encode(),) if authorization is not None else ()
