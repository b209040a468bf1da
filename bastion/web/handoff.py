"""How does an application's host learn who is signed in on the main host?  Two steps that a browser is sent through.

`/.bastion/handoff` on the main host gives out a code, to hosts of applications only; `/.bastion/session` on that
application's host takes it.
"""

from __future__ import annotations

from urllib.parse import urlencode

from fastapi import FastAPI, HTTPException, Request, Response

from bastion.authn.session import SIGN_IN_SECONDS
from bastion.kube.hostname import host_name
from bastion.kube.status import StatusError
from bastion.message.cookies import APPLICATION, HANDOFF, RETURN, SESSION
from bastion.web.login import cross_site, refusal
from bastion.web.pages import problem, sign_out_form, signed_out_here
from bastion.web.visit import Desk, Visit, add_form, add_page, add_step, see_other, with_cookie


async def give_code(visit: Visit, desk: Desk, request: Request) -> Response:
    """On the main host."""
    if desk.hosts is None or visit.at_application:
        raise HTTPException(404)
    to = request.query_params.get("to", "")
    try:
        if host_name(to.encode()) != to or desk.hosts.application(to.encode()) is None:
            return problem("Not an application", "This bastion has no such host name to send you to.", 400)
        session = visit.session(SESSION)
        user = await visit.user(session)
    except StatusError as error:
        return refusal(error)
    now = desk.now()
    if session is None or user is None:
        path = desk.sessions.seal_path(visit.host, visit.target, now)
        return with_cookie(see_other("/login"), RETURN, path or b"", SIGN_IN_SECONDS if path else 0)
    code = desk.handoff.grant(to, request.query_params.get("request", "").encode(), session, now)
    if code is None:
        return problem("That took too long", "Open the application again.", 400, desk.application_url(to), "Open it")
    return see_other(f"{desk.application_url(to)}/.bastion/session?{urlencode({'code': code.decode()})}")


async def take_code(visit: Visit, desk: Desk, request: Request) -> Response:
    """On the application's host."""
    if not visit.at_application:
        raise HTTPException(404)
    now = desk.now()
    code = request.query_params.get("code", "").encode()
    redeemed = desk.handoff.redeem(visit.host, code, visit.cookie(HANDOFF), now)
    if redeemed is None:
        return problem("This link is used up", "It signs in once, and within a minute.", 400, "/", "Open the application")
    path = redeemed.path.decode()
    if not redeemed.bound:
        if visit.session(APPLICATION) is not None:  # signed in meanwhile, in another tab
            return see_other(path)
        return problem("This began in another browser", "Or this one keeps no cookies for this host.", 400, path, "Try again")
    value, seconds = desk.sessions.seal(APPLICATION, visit.host, redeemed.session, now)
    return with_cookie(with_cookie(see_other(path), APPLICATION, value, seconds), HANDOFF)


async def show_logout(visit: Visit, desk: Desk, request: Request) -> Response:
    if not visit.at_application:
        raise HTTPException(404)
    if visit.target.endswith(b"?done"):
        return signed_out_here(f"{desk.public_url}/login")
    return sign_out_form("/.bastion/logout")


async def log_out(visit: Visit, desk: Desk, request: Request) -> Response:
    if not visit.at_application:
        raise HTTPException(404)
    return with_cookie(see_other("/.bastion/logout?done"), APPLICATION) if visit.counts() else cross_site()


def add_handoff(app: FastAPI, desk: Desk | None) -> None:
    add_step(app, desk, "/.bastion/handoff", give_code)
    add_step(app, desk, "/.bastion/session", take_code)
    add_page(app, desk, "/.bastion/logout", show_logout, "showApplicationLogout", "On an application's host: the button to sign out with")
    add_form(app, desk, "/.bastion/logout", log_out, "applicationLogout", "On an application's host: sign out", {})
