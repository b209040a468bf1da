"""How does a person sign in and out?  `/login` takes a token, the authenticator decides, a cookie remembers.

The form is accepted from our own page only (login CSRF would sign a person in as another user, RFC 6749);
where to go afterwards is in a sealed cookie and never in a query (CVE-2021-21291).
"""

from __future__ import annotations

import logging
from urllib.parse import parse_qsl

from fastapi import FastAPI, HTTPException, Request, Response

from bastion.authn.bearer import bearer_token
from bastion.kube.status import StatusError
from bastion.message.cookies import RETURN, SESSION
from bastion.observe.signins import Outcome
from bastion.signin.session import SessionTooLarge
from bastion.web.pages import problem, sign_in_form, sign_out_form, signed_in, signed_out, signing_out
from bastion.web.visit import (
    Description,
    Desk,
    Visit,
    add_form,
    add_page,
    see_other,
    with_cookie,
    with_session,
)

MAX_FORM = 16384  # bytes
SHOWN = 120  # characters of a path
PORTAL = "./"  # beside the form, with and without the prefix
FORM = "application/x-www-form-urlencoded"
NOT_ACCEPTED = "The cluster does not accept this token. It may have expired."
TOO_LONG = (
    "This token is too long for a cookie. Use one with fewer claims, or send it as a bearer token with each"
    " request."
)

# with any other code the token could not be reviewed
OUTCOME_OF = {401: Outcome.NOT_ACCEPTED, 429: Outcome.TOO_MANY_FAILURES}

_log = logging.getLogger("bastion.web")


class FormError(Exception):
    """`answer` says what is wrong with the form."""

    def __init__(self, answer: Response) -> None:
        super().__init__()
        self.answer = answer


async def show_login(visit: Visit, desk: Desk, request: Request) -> Response:
    session = visit.session(SESSION)
    try:
        user = await visit.user(session)
    except StatusError as error:
        return refusal(desk, error)
    if user is not None:
        return signed_in(user.name, user.groups)
    path = desk.sessions.open_path(visit.host, visit.cookie(RETURN), desk.now())
    return sign_in_form(
        desk.ways,
        place=visit.authority.decode("ascii", "replace"),
        back=_shown(path.decode()) if path is not None else "",
    )


def _shown(path: str) -> str:
    """Where one is going, without its query and as much of it as fits; nothing for the portal itself."""
    bare, _, query = path.partition("?")
    if bare in ("/", "/.bastion/"):
        return ""
    if bare == "/.bastion/handoff":  # sealed there only where it is an application of ours
        return dict(parse_qsl(query)).get("to", "")
    return bare if len(bare) <= SHOWN else bare[: SHOWN - 1] + "…"


async def log_in(visit: Visit, desk: Desk, request: Request) -> Response:
    if not desk.token_form:
        raise HTTPException(405)
    if not visit.may_use_cookie():
        return cross_site(visit)
    try:
        token = await submitted_token(request, desk)
        user = await visit.owner(token)
    except FormError as error:
        visit.record.outcome = Outcome.UNUSABLE
        return error.answer
    except StatusError as error:
        visit.record.outcome = OUTCOME_OF.get(error.code, Outcome.UNAVAILABLE)
        return refusal(desk, error)
    now = desk.now()
    session = desk.sessions.begin(token, now)
    if user is None or session.until <= now:
        visit.record.outcome = Outcome.NOT_ACCEPTED
        return not_accepted(desk)
    visit.record.user = user
    try:
        value, seconds = desk.sessions.seal(SESSION, visit.host, session, now)
    except SessionTooLarge:
        visit.record.outcome = Outcome.UNUSABLE
        return sign_in_form(desk.ways, 400, TOO_LONG)
    visit.record.outcome = Outcome.SIGNED_IN
    _log.info("%s signed in from %s", user.name, visit.client)
    path = desk.sessions.open_path(visit.host, visit.cookie(RETURN), now)
    return signed_in_to(visit, see_other(PORTAL if path is None else path.decode()), value, seconds)


def signed_in_to(visit: Visit, response: Response, value: bytes, seconds: int) -> Response:
    """The response to a sign-in, with the session."""
    return with_cookie(with_session(response, visit, SESSION, value, seconds), RETURN)


async def show_logout(visit: Visit, desk: Desk, request: Request) -> Response:
    done = visit.target.partition(b"?done")
    return signed_out(still=done[2] == b"=here") if done[1] else sign_out_form("logout")


async def log_out(visit: Visit, desk: Desk, request: Request) -> Response:
    session = visit.session(SESSION)
    if not visit.may_use_cookie() or session is None or session.signed_in is None or desk.issuers is None:
        return sign_out(visit, "logout?done", SESSION)
    session = desk.issuers.standings.end(session)
    assert session.signed_in is not None
    visit.record.user = session.signed_in.user
    provider = desk.issuers.providers.get(session.signed_in.provider)
    back = f"{desk.public_url}{visit.root}/login"
    there = await provider.leave(session, back) if provider is not None else ""
    if provider is None or not there:
        return sign_out(visit, "logout?done=here", SESSION)
    visit.record.outcome = Outcome.SIGNED_OUT
    # no redirect: a policy for forms, such as the portal's, covers those after the form as well
    return with_session(signing_out(provider.settings.title, there), visit, SESSION)


async def submitted_token(request: Request, desk: Desk) -> str:
    """Raises FormError, or StatusError 401 where the text cannot be a token."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
        raise FormError(problem("That was no form", f"A form is sent as {FORM}.", 415, "login", "Sign in"))
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_FORM:
            raise FormError(problem("That was too much", "A token is much shorter.", 413, "login", "Sign in"))
    try:
        given = [
            value
            for key, value in parse_qsl(body.decode("ascii"), strict_parsing=True, max_num_fields=8)
            if key == "token"
        ]
    except ValueError:
        given = []
    token = bearer_token(b"Bearer " + _pasted(given[0])) if len(given) == 1 else None
    if token is None:
        raise FormError(sign_in_form(desk.ways, 400, "There was no token."))
    return token


def _pasted(text: str) -> bytes:
    """Of `Authorization: Bearer x`, and of any beginning of it that comes along, the token."""
    words = text.split()
    if len(words) in (2, 3) and words[-2].lower() == "bearer":
        text = words[-1]
    return text.strip().encode("utf-8", "replace")


# --- what may go wrong


def not_accepted(desk: Desk) -> Response:
    response = sign_in_form(desk.ways, 401, NOT_ACCEPTED)
    response.headers["WWW-Authenticate"] = 'Bearer realm="kubernetes"'  # RFC 9110, 15.5.2
    return response


def sign_out(visit: Visit, location: str, cookie: bytes) -> Response:
    """The response to a form that removes the cookie."""
    if not visit.may_use_cookie():
        return cross_site(visit)
    visit.record.outcome = Outcome.SIGNED_OUT
    return with_session(see_other(location), visit, cookie)


def cross_site(visit: Visit) -> Response:
    visit.record.outcome = Outcome.CROSS_SITE
    return problem(
        "That came from elsewhere",
        "This form is accepted only from this host's own page.",
        403,
        "login",
        "Go there",
    )


def refusal(desk: Desk, error: StatusError) -> Response:
    """The form again, with the reason; never with what was typed."""
    if error.code == 401:
        return not_accepted(desk)
    kind = "deg" if error.code == 429 else "down"
    response = sign_in_form(
        desk.ways, error.code, f"{error.message[:1].upper()}{error.message[1:]}.", kind=kind
    )
    for name, value in error.headers:
        response.raw_headers.append((name.lower(), value))
    return response


# --- where it is reached


def add_sign_in(app: FastAPI, desk: Desk | None) -> None:
    """Without a desk there are no such pages; the description has them all the same."""
    schema = {
        "type": "object",
        "properties": {"token": {"type": "string", "format": "password"}},
        "required": ["token"],
    }
    show = Description("showLogin", "The form to sign in with, or who is signed in")
    add_page(app, desk, "/login", show_login, show)
    add_form(app, desk, "/login", log_in, Description("login", "Sign in", {FORM: {"schema": schema}}))
    add_page(app, desk, "/logout", show_logout, Description("showLogout", "The button to sign out with"))
    add_form(app, desk, "/logout", log_out, Description("logout", "Sign out"))
