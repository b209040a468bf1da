"""How does an application's host learn who is signed in on the main host?

Redirects of a browser, in steps (`signin.handoff`).

`/.bastion/handoff` on the main host, for hosts of applications only, and `/.bastion/session` on that
application's host, twice each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from fastapi import FastAPI, HTTPException, Request, Response

from bastion.kube.hostname import host_name
from bastion.kube.status import StatusError
from bastion.message.cookies import APPLICATION, HANDOFF, PAIRS, RETURN, SESSION
from bastion.observe.signins import Outcome
from bastion.signin.handoff import Redemption
from bastion.signin.pairs import PAIR_SECONDS, BrowserMatch, paired, with_pair
from bastion.signin.session import SIGN_IN_SECONDS, Session
from bastion.web.login import refusal, sign_out
from bastion.web.pages import application_host, problem, sign_out_form, signed_out_here
from bastion.web.visit import (
    Description,
    Desk,
    Visit,
    add_form,
    add_page,
    add_step,
    see_other,
    with_cookie,
    with_session,
)

_CLEAR = (
    "clear the cookies and site data of the application's host and of this one in this browser, and open the"
    " application again."
)


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a hand-off is refused, as a page has it; `label` is of the button that leads on, if any does."""

    title: str
    text: str
    link: str = ""
    label: str = ""


UNPAIRED = {
    BrowserMatch.OTHER: Reason(
        "This began in another browser",
        f"Or the application's cookies were cleared and this host's were not. If it was you, {_CLEAR}",
    ),
    BrowserMatch.NO_ROOM: Reason(
        "Too many applications",
        f"This browser cannot tell more of them apart. To begin anew, {_CLEAR}",
    ),
}
TOO_LATE = Reason("That took too long", "Open the application again.", label="Open it")
USED_UP = Reason(
    "This link is used up", "It signs in once, and within a minute.", "/", "Open the application"
)
OTHER_BROWSER = Reason(
    "This began in another browser", "Or this one keeps no cookies for this host.", label="Try again"
)


async def lead_on(visit: Visit, desk: Desk, request: Request) -> Response:
    """On the main host: from a request to a code, from a proof to an entry."""
    if desk.hosts is None or visit.at_application:
        raise HTTPException(404)
    to = request.query_params.get("to", "")
    try:
        if host_name(to.encode()) != to or desk.hosts.application(to.encode()) is None:
            return problem("Not an application", "This bastion has no such host name to send you to.", 400)
        session = visit.session(SESSION)
        user = await visit.user(session)
    except StatusError as error:
        return refusal(desk, error)
    if session is None or user is None:
        path = desk.sessions.seal_path(visit.host, visit.target, desk.now())
        return with_cookie(
            see_other(f"{desk.root}/login"), RETURN, path or b"", SIGN_IN_SECONDS if path else 0
        )
    return _next_step(visit, desk, to, session, request.query_params)


def _next_step(visit: Visit, desk: Desk, to: str, session: Session, query: Mapping[str, str]) -> Response:
    """For a person who is signed in on the main host."""
    now, pairs, proof = desk.now(), visit.cookie(PAIRS), query.get("proof")
    if proof is None:
        asked = desk.handoff.open_request(to, query.get("request", "").encode(), now)
    else:
        asked = desk.handoff.open_proof(to, proof.encode(), session, now)
    if asked is None:
        return _refused(visit, TOO_LATE, desk.application_url(to))
    pair = paired(pairs, to, asked.browser)
    if pair in UNPAIRED:
        return _refused(visit, UNPAIRED[pair])
    if proof is None:
        return see_other(_session_url(desk, to, code=desk.handoff.make_code(to, asked, session, now)))
    answer = see_other(_session_url(desk, to, entry=desk.handoff.make_entry(to, asked, session, now)))
    return with_cookie(answer, PAIRS, with_pair(pairs, to, asked.browser), PAIR_SECONDS)


async def take_code(visit: Visit, desk: Desk, request: Request) -> Response:
    """On the application's host: from a code to a proof, from an entry to a session."""
    if not visit.at_application:
        raise HTTPException(404)
    redeemed = _redeem(visit, desk, request.query_params)
    if redeemed is None:
        return _refused(visit, USED_UP)
    path = redeemed.path.decode()
    if not redeemed.bound:
        if visit.session(APPLICATION) is not None:  # signed in meanwhile, in another tab
            return see_other(path)
        return _refused(visit, OTHER_BROWSER, path)
    if redeemed.session is None:
        query = urlencode({"to": visit.host, "proof": redeemed.proof.decode()})
        return see_other(f"{desk.public_url}/.bastion/handoff?{query}")
    visit.record.outcome = Outcome.HANDED_OFF
    value, seconds = desk.sessions.seal(APPLICATION, visit.host, redeemed.session, desk.now())
    response = with_session(see_other(path), visit, APPLICATION, value, seconds)
    return with_cookie(response, HANDOFF, visit.cookie(HANDOFF), PAIR_SECONDS)


def _redeem(visit: Visit, desk: Desk, query: Mapping[str, str]) -> Redemption | None:
    now, nonce, entry = desk.now(), visit.cookie(HANDOFF), query.get("entry")
    if entry is not None:
        return desk.handoff.enter(visit.host, entry.encode(), nonce, now)
    return desk.handoff.redeem(visit.host, query.get("code", "").encode(), nonce, now)


def _refused(visit: Visit, reason: Reason, link: str = "") -> Response:
    """`link` is where to go on, where the reason itself has no such path."""
    visit.record.outcome = Outcome.HAND_OFF_REFUSED
    return problem(reason.title, reason.text, 400, reason.link or link, reason.label)


def _session_url(desk: Desk, host: str, **said: bytes) -> str:
    query = urlencode({name: value.decode() for name, value in said.items()})
    return f"{desk.application_url(host)}/.bastion/session?{query}"


async def show_logout(visit: Visit, desk: Desk, request: Request) -> Response:
    if not visit.at_application:
        raise HTTPException(404)
    if visit.target.endswith(b"?done"):
        return signed_out_here(f"{desk.public_url}/login")
    return sign_out_form("/.bastion/logout")


async def log_out(visit: Visit, desk: Desk, request: Request) -> Response:
    if not visit.at_application:
        raise HTTPException(404)
    return sign_out(visit, "/.bastion/logout?done", APPLICATION)


async def show_host(visit: Visit, desk: Desk, request: Request) -> Response:
    """On an application's host: who is signed in there, and the way back."""
    if not visit.at_application:
        raise HTTPException(404)
    try:
        user = await visit.user(visit.session(APPLICATION))
    except StatusError as error:
        return refusal(desk, error)
    return application_host(user.name if user is not None else "", f"{desk.public_url}/")


def add_handoff(app: FastAPI, desk: Desk | None) -> None:
    path, where = "/.bastion/logout", "On an application's host:"
    add_step(app, desk, "/.bastion/handoff", lead_on)
    add_step(app, desk, "/.bastion/session", take_code)
    add_step(app, desk, "/.bastion/", show_host)
    show = Description("showApplicationLogout", f"{where} the button to sign out with")
    add_page(app, desk, path, show_logout, show)
    add_form(app, desk, path, log_out, Description("applicationLogout", f"{where} sign out"))
