"""How does an issuer end a session?  OpenID Connect Back-Channel Logout 1.0: it sends a logout token."""

from __future__ import annotations

import logging
from typing import Any
from urllib.parse import parse_qsl

from fastapi import FastAPI, HTTPException, Request, Response

from bastion.authn.claims import Claims, InvalidToken
from bastion.authn.jwt import key_choice
from bastion.authn.oidc import verified
from bastion.identity.compact import number, read_compact
from bastion.kube.status import StatusError
from bastion.observe.signins import Outcome
from bastion.proxy.identityprovider import IdentityProvider
from bastion.signin.revoked import SID, SUBJECT, digest
from bastion.web.visit import Description, Desk, Visit, add_form

MAX_FORM = 32768  # bytes
OLDEST = 600.0  # seconds
EVENT = "http://schemas.openid.net/event/backchannel-logout"
FORM = "application/x-www-form-urlencoded"

_HEADERS = {"Cache-Control": "no-store"}

_log = logging.getLogger("bastion.signin")


async def take(visit: Visit, desk: Desk, request: Request) -> Response:
    issuers = desk.issuers
    provider = issuers.providers.get(request.path_params["provider"]) if issuers is not None else None
    if issuers is None or provider is None or visit.at_application:
        raise HTTPException(404)
    now = desk.now()
    try:
        claims = await _claims(await _token(request), provider, now, issuers.skew)
        # good once: the same token could end a session that begins later
        if not issuers.used.first(
            digest("jti", provider.settings.name, claims["jti"]).encode(), int(now + 2 * OLDEST), now
        ):
            raise InvalidToken("the token came before")
    except InvalidToken as reason:
        _log.warning("a logout token of %s was refused: %s", provider.settings.name, reason)
        return Response(b'{"error":"invalid_request"}', 400, _HEADERS, "application/json")
    except StatusError:
        return Response(b'{"error":"temporarily_unavailable"}', 503, _HEADERS, "application/json")
    kind, value = (SID, claims["sid"]) if claims.get("sid") else (SUBJECT, claims["sub"])
    issuers.standings.revocations.end([digest(kind, provider.settings.name, value)])
    visit.record.outcome = Outcome.ENDED_BY_PROVIDER
    _log.info("%s ended a session (%s)", provider.settings.name, kind)
    return Response(b"", 200, _HEADERS)


async def _token(request: Request) -> str:
    """Raises InvalidToken."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_FORM:
            raise InvalidToken("too much was sent")
    try:
        given = [
            value
            for name, value in parse_qsl(body.decode("ascii"), max_num_fields=8)
            if name == "logout_token"
        ]
    except ValueError:
        given = []
    if len(given) != 1:
        raise InvalidToken("there was no logout_token")
    return given[0]


async def _claims(token: str, provider: IdentityProvider, now: float, skew: float) -> Claims:
    """Of a token that is good (2.6).  Raises InvalidToken; StatusError 503 where keys cannot be fetched."""
    compact = read_compact(token)
    if compact is None:
        raise InvalidToken("no JWT")
    claims, known = compact.claims, provider.provider()
    wanted = key_choice(compact, known.issuer.algorithms)
    _check(claims, provider, now, skew)
    await verified(compact, wanted, known)
    return claims


def _check(claims: Claims, provider: IdentityProvider, now: float, skew: float) -> None:
    audience = claims.get("aud")
    if claims.get("iss") != provider.settings.issuer:
        raise InvalidToken("another issuer")
    if provider.settings.client_id not in (audience if isinstance(audience, list) else [audience]):
        raise InvalidToken("for another client")
    issued, ends = number(claims.get("iat")), number(claims.get("exp", now))
    if issued is None or not now - OLDEST <= issued <= now + skew:
        raise InvalidToken("it is too old, or of the future")
    if ends is None or now >= ends + skew + (0 if "exp" in claims else 1):
        raise InvalidToken("it has expired")
    events = claims.get("events")
    if not isinstance(events, dict) or not isinstance(events.get(EVENT), dict):
        raise InvalidToken("it is no logout token")
    if "nonce" in claims:  # an ID token in disguise
        raise InvalidToken("it has a nonce")
    if not all(isinstance(claims.get(name, ""), str) for name in ("sid", "sub")) or not (
        claims.get("sid") or claims.get("sub")
    ):
        raise InvalidToken("it names neither a session nor a user")
    if not isinstance(claims.get("jti"), str) or not claims["jti"]:
        raise InvalidToken("it has no jti")


def add_back_channel(app: FastAPI, desk: Desk | None, parameters: tuple[dict[str, Any], ...]) -> None:
    schema = {
        "type": "object",
        "properties": {"logout_token": {"type": "string"}},
        "required": ["logout_token"],
    }
    described = Description(
        "backChannelLogout",
        "An issuer ends a session",
        {FORM: {"schema": schema}},
        parameters,
    )
    add_form(app, desk, "/login/{provider}/backchannel-logout", take, described)
