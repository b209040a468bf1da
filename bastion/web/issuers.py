"""How does a person sign in at an OpenID Connect issuer?  `/login/{provider}` sends the browser there, the
callback makes a session of the code that it brings back.

The code is shown to nobody before state, provider and `iss` fit (RFC 9700, 4.4); each sign-in is good once,
whatever comes of it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from urllib.parse import parse_qsl

from fastapi import FastAPI, HTTPException, Request, Response

from bastion.authn.claims import InvalidToken
from bastion.authn.tokenendpoint import Away, Refused, one_line
from bastion.kube.status import StatusError
from bastion.message.cookies import RETURN, SESSION, SIGNING_IN
from bastion.observe.signins import Outcome
from bastion.proxy.identityprovider import IdentityProvider
from bastion.signin.pending import Pending
from bastion.signin.session import SIGN_IN_SECONDS, Session, SessionTooLarge
from bastion.web.backchannel import add_back_channel
from bastion.web.login import signed_in_to
from bastion.web.pages import groups_left_out, problem
from bastion.web.visit import Description, Desk, Issuers, Visit, add_get, see_other, with_cookie

MAX_CODE = 4096  # characters
DENIED = ("access_denied", "consent_required", "interaction_required", "login_required")
PROVIDER = {"name": "provider", "in": "path", "required": True, "schema": {"type": "string"}}

_log = logging.getLogger("bastion.signin")


class NoSignIn(Exception):
    """`outcome` for the record, a page of `title` and `text` with `code` for the person."""

    def __init__(self, outcome: Outcome, code: int, title: str, text: str) -> None:
        super().__init__(title)
        self.outcome, self.code, self.title, self.text = outcome, code, title, text


def _unknown() -> NoSignIn:
    return NoSignIn(
        Outcome.NOT_BEGUN_HERE,
        400,
        "This sign-in did not begin here",
        "It began in another browser, was used already, or took longer than a quarter of an hour.",
    )


async def begin(visit: Visit, desk: Desk, request: Request) -> Response:
    issuers, provider = _provider(visit, desk, request)
    if not visit.is_navigation():
        raise HTTPException(403)
    now, known = desk.now(), visit.may_use_cookie()
    path = desk.sessions.open_path(visit.host, visit.cookie(RETURN), now) if known else None
    pending = issuers.under_way.begin(provider.settings.name, path or b"", now)
    try:
        url = await provider.authorization_url(pending)
    except StatusError as error:
        _log.warning("nobody can sign in at %s: %s", provider.settings.name, error.message)
        return _page(visit, request, _away(provider))
    others = issuers.under_way.open(visit.host, visit.cookie(SIGNING_IN), now) if known else ()
    value = issuers.under_way.seal(visit.host, (*others, pending), now)
    return with_cookie(see_other(url), SIGNING_IN, value, SIGN_IN_SECONDS)


async def come_back(visit: Visit, desk: Desk, request: Request) -> Response:
    issuers, provider = _provider(visit, desk, request)
    if not visit.is_navigation():
        raise HTTPException(403)
    now = desk.now()
    under_way = issuers.under_way.open(visit.host, visit.cookie(SIGNING_IN), now)
    query = _query(request)
    pending = next((one for one in under_way if query and one.state == query.get("state")), None)
    try:
        if pending is None or pending.provider != provider.settings.name:
            raise _unknown()
        response = await _sign_in(visit, desk, (provider, pending), query)
    except NoSignIn as failed:
        response = _page(visit, request, failed)
    if pending is not None:  # good once, whatever came of it
        left = tuple(one for one in under_way if one is not pending)
        value = issuers.under_way.seal(visit.host, left, now)
        with_cookie(response, SIGNING_IN, value, SIGN_IN_SECONDS if value else 0)
    return response


async def _sign_in(
    visit: Visit, desk: Desk, at: tuple[IdentityProvider, Pending], query: Mapping[str, str]
) -> Response:
    """Raises NoSignIn."""
    provider, pending = at
    title = provider.settings.title
    session = await _redeemed(desk, provider, pending, query)
    signed_in = session.signed_in
    assert signed_in is not None
    now = desk.now()
    visit.record.user = signed_in.user
    try:
        value, seconds = desk.sessions.seal(SESSION, visit.host, session, now)
    except SessionTooLarge:
        raise NoSignIn(
            Outcome.UNUSABLE,
            403,
            "You are in too many groups",
            f"{title} told of {len(signed_in.groups)} groups, more than a session can hold. Ask those who run"
            " it to send only the groups of this application.",
        ) from None
    if seconds <= 0:
        raise _not_believed(provider)
    visit.record.outcome = Outcome.SIGNED_IN
    _log.info("%s signed in at %s from %s", signed_in.name, provider.settings.name, visit.client)
    path = pending.path.encode() or visit.portal
    if signed_in.left_out:
        page = groups_left_out(title, len(signed_in.groups), path.decode())
        return signed_in_to(visit, page, value, seconds)
    return signed_in_to(visit, see_other(path.decode()), value, seconds)


async def _redeemed(
    desk: Desk, provider: IdentityProvider, pending: Pending, query: Mapping[str, str]
) -> Session:
    """Raises NoSignIn."""
    title = provider.settings.title
    try:
        if not await provider.sent_by(query.get("iss")):
            raise _unknown()
        assert desk.issuers is not None
        if not desk.issuers.used.first(pending.state.encode()[:32], pending.until, desk.now()):
            raise _unknown()
        if error := query.get("error"):
            raise _said_no(title, error, one_line(query.get("error_description")))
        code = query.get("code", "")
        if not 0 < len(code) <= MAX_CODE:
            raise _unknown()
        return await provider.redeem(code, pending)
    except (Away, StatusError) as error:
        _log.warning("a sign-in at %s failed: %s", provider.settings.name, error)
        raise _away(provider) from error
    except Refused as error:
        _log.warning("a sign-in at %s failed: %s", provider.settings.name, error)
        raise _said_no(title, error.error, error.description) from error
    except InvalidToken as reason:
        _log.warning("an ID token of %s was refused: %s", provider.settings.name, reason)
        raise _not_believed(provider, str(reason)) from reason


def _query(request: Request) -> dict[str, str]:
    """Empty where a parameter is there twice, or anything cannot be read."""
    try:
        pairs = parse_qsl(
            request.scope["query_string"].decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=32,
        )
    except ValueError:
        return {}
    found = dict(pairs)
    return found if len(found) == len(pairs) else {}


def _provider(visit: Visit, desk: Desk, request: Request) -> tuple[Issuers, IdentityProvider]:
    provider = (
        desk.issuers.providers.get(request.path_params["provider"]) if desk.issuers is not None else None
    )
    if desk.issuers is None or provider is None or visit.at_application:
        raise HTTPException(404)
    return desk.issuers, provider


# --- what may go wrong


def _said_no(title: str, error: str, description: str) -> NoSignIn:
    if error in DENIED:
        text = f"{title} says that signing in was denied or cancelled"
        return NoSignIn(Outcome.PROVIDER_REFUSED, 403, "You are not signed in", _with(text, description))
    text = f"{title} refused with {one_line(error)}"
    return NoSignIn(Outcome.PROVIDER_REFUSED, 502, "Signing in failed", _with(text, description))


def _with(text: str, description: str) -> str:
    return f"{text}: {description}" if description else f"{text}."


def _away(provider: IdentityProvider) -> NoSignIn:
    text = f"{provider.settings.title} does not answer as it should. Try again shortly."
    return NoSignIn(Outcome.UNAVAILABLE, 503, "The provider is away", text)


def _not_believed(provider: IdentityProvider, reason: str = "it has expired") -> NoSignIn:
    text = f"What {provider.settings.title} says of you is not believed here: {reason}."
    return NoSignIn(Outcome.PROVIDER_REFUSED, 403, "You are not signed in", text)


def _page(visit: Visit, request: Request, failed: NoSignIn) -> Response:
    visit.record.outcome = failed.outcome
    response = problem(failed.title, failed.text, failed.code, f"{visit.root}/login", "Try again")
    if failed.code == 503:
        response.headers["Retry-After"] = "5"
    return response


# --- where it is reached


def add_issuers(app: FastAPI, desk: Desk | None) -> None:
    """Without a desk, or issuers, there are no such pages; the description has them all the same."""
    start = Description("beginSignIn", "Sends the browser to the issuer to sign in", parameters=(PROVIDER,))
    back = Description("endSignIn", "Where the issuer sends the browser back to", parameters=(PROVIDER,))
    add_get(app, desk, "/login/{provider}", begin, start)
    add_get(app, desk, "/login/{provider}/callback", come_back, back)
    add_back_channel(app, desk, (PROVIDER,))
