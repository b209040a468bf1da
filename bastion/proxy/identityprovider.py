"""Where people sign in: what a browser is sent with, and what its code, or a refresh token, makes a session.

By the rules for bearer tokens of the same issuer.  What a browser sees of it is in `web.provider`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import urlencode

from msgspec import structs

from bastion.authn.claims import Claims
from bastion.authn.idtoken import Expected, accept
from bastion.authn.metadata import Metadata
from bastion.authn.provider import Provider
from bastion.authn.rejection import undecided
from bastion.authn.tokenendpoint import CODE, REFRESH, Away, Client, Endpoints, Tokens
from bastion.identity.compact import number
from bastion.identity.signedin import SignedIn
from bastion.kube.user import AUTHENTICATED_GROUP, User
from bastion.settings.signin import SignInProvider
from bastion.signin.pending import Pending
from bastion.signin.session import SESSION_SECONDS, Session

MOST_BELIEVED = 3600  # seconds, before the issuer is asked again
SUSPICIOUS = 100  # groups: some issuers (Okta) cut the list there without a word


class AnotherSubject(Exception):
    """A refresh brought a token of somebody else (OpenID Connect Core 1.0, 12.2)."""


class IdentityProvider:
    """`known` by the issuers' URLs; `random_bytes` as for a Sealer; `clock` is seconds since the epoch, and
    the issuer's may differ by `skew`.
    """

    def __init__(
        self,
        settings: SignInProvider,
        redirect_uri: str,
        known: Callable[[], Mapping[str, Provider]],
        random_bytes: Callable[[int], bytes],
        clock: Callable[[], float],
        skew: float,
    ) -> None:
        self.settings = settings
        self.redirect_uri = redirect_uri
        self._known = known
        self._random_bytes = random_bytes
        self._clock = clock
        self._skew = skew

    async def authorization_url(self, pending: Pending) -> str:
        """Raises StatusError 503."""
        metadata = await self._provider().metadata()
        if not metadata.authorization_endpoint or not metadata.token_endpoint:
            raise undecided("where to sign in at its issuer")
        query = dict(self.settings.parameters) | {
            "response_type": "code",
            "client_id": self.settings.client_id,
            "redirect_uri": self.redirect_uri,
            "scope": " ".join(self.settings.scopes),
            "state": pending.state,
            "nonce": pending.nonce,
            "code_challenge": pending.challenge,
            "code_challenge_method": "S256",
        }
        return _with_query(metadata.authorization_endpoint, query)

    async def sent_by(self, issuer: str | None) -> bool:
        """Whether a response with this `iss` can be of this issuer (RFC 9207).  Raises StatusError 503."""
        metadata = await self._provider().metadata()
        return issuer == self.settings.issuer or (issuer is None and not metadata.names_itself)

    async def redeem(self, code: str, pending: Pending) -> Session:
        """Raises Refused, Away, InvalidToken, StatusError 503."""
        endpoints = await self._endpoints()
        verifier = pending.verifier
        tokens = await endpoints.tokens(
            CODE, code=code, redirect_uri=self.redirect_uri, code_verifier=verifier
        )
        now = self._clock()
        signed_in = await self._signed_in(tokens, pending.nonce, self._random_bytes(16), now)
        return self._session(signed_in, tokens, tokens.refresh_token)

    async def refresh(self, session: Session) -> Session:
        """Raises as `redeem`, and AnotherSubject."""
        old = session.signed_in
        assert old is not None
        endpoints = await self._endpoints()
        tokens = await endpoints.tokens(REFRESH, refresh_token=session.refresh)
        if (
            not tokens.id_token
        ):  # OpenID Connect Core 1.0, 12.2: so who it is, is known no longer than until now
            return structs.replace(session, refresh="", until=min(session.until, old.until))
        new = await self._signed_in(tokens, "", old.id, old.begun)
        if new.subject != old.subject:
            raise AnotherSubject
        return self._session(
            structs.replace(new, sid=new.sid or old.sid), tokens, tokens.refresh_token or session.refresh
        )

    async def leave(self, session: Session | None, back: str) -> str:
        """Where the browser signs out at the issuer; empty where it has no such page, or does not answer."""
        try:
            endpoints = await self._endpoints()
        except Exception:  # signing out here succeeds whatever the issuer does
            return ""
        if session is not None and session.refresh:
            await endpoints.revoke(session.refresh)
        if not endpoints.metadata.end_session_endpoint:
            return ""
        query = {"client_id": self.settings.client_id, "post_logout_redirect_uri": back}
        if session is not None and session.hint:
            query["id_token_hint"] = session.hint
        return _with_query(endpoints.metadata.end_session_endpoint, query)

    def provider(self) -> Provider:
        """Raises StatusError 503 where its issuer is not among those whose tokens are believed any more."""
        return self._provider()

    def _provider(self) -> Provider:
        provider = self._known().get(self.settings.issuer)
        if provider is None:
            raise undecided(f"the issuer {self.settings.issuer}, which is configured no longer,")
        return provider

    async def _endpoints(self) -> Endpoints:
        provider, settings = self._provider(), self.settings
        metadata: Metadata = await provider.metadata()
        return Endpoints(metadata, provider.tls, Client(settings.client_id, settings.secret_file))

    async def _signed_in(self, tokens: Tokens, nonce: str, id: bytes, begun: float) -> SignedIn:
        if not tokens.id_token:
            raise Away("the token endpoint sent no ID token")
        now, provider = self._clock(), self._provider()
        expected = Expected(self.settings.client_id, nonce, tokens.access_token)
        user, claims = await accept(tokens.id_token, provider, expected, now, self._skew)
        return SignedIn(
            id=id,
            provider=self.settings.name,
            subject=claims["sub"],
            sid=_text(claims.get("sid")),
            name=user.name,
            groups=tuple(group for group in user.groups if group != AUTHENTICATED_GROUP),
            begun=begun,
            issued=int(now),
            until=self._until(claims, now, refreshed=bool(tokens.refresh_token)),
            left_out=_left_out(claims, user, provider.issuer.groups_claim),
        )

    def _until(self, claims: Claims, now: float, *, refreshed: bool) -> int:
        end = max(number(claims["exp"]) or 0.0, now + self.settings.least_seconds)
        return int(min(end, now + (MOST_BELIEVED if refreshed else SESSION_SECONDS)))

    def _session(self, signed_in: SignedIn, tokens: Tokens, refresh: str) -> Session:
        """With a refresh token it lasts longer than what the issuer said."""
        end = int(signed_in.begun) + SESSION_SECONDS
        return Session(
            "",
            end if refresh else min(end, signed_in.until),
            signed_in,
            refresh,
            tokens.id_token if self.settings.id_token_hint else "",
        )


def _left_out(claims: Claims, user: User, groups_claim: str) -> bool:
    """Distributed claims (OpenID Connect Core 1.0, 5.6.2) say where groups could be had.  They are not
    fetched: the token would say from which server.
    """
    names = claims.get("_claim_names")
    told = isinstance(names, dict) and (groups_claim in names or "groups" in names)
    return bool(groups_claim) and (told or len(user.groups) - 1 == SUSPICIOUS)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _with_query(url: str, query: Mapping[str, str]) -> str:
    return f"{url}{'&' if '?' in url else '?'}{urlencode(query)}"
