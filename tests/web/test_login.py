"""Who is signed in by a form, who is not, and where does it lead?"""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import html
import re
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from bastion.kube.errors import overloaded
from bastion.message.cookies import APPLICATION, RETURN, SESSION
from bastion.signin.session import SESSION_SECONDS
from bastion.web.app import create_app
from tests.fakes import unavailable
from tests.web.visits import (
    ALICE,
    APP,
    APP_HOST,
    FORM,
    LONG,
    MAIN,
    NOW,
    OURS,
    PATH,
    TOKEN,
    bastion,
    set_cookies,
    signed_in,
)

__all__ = ["bastion"]  # a fixture


# --- the form


def test_who_is_not_signed_in_sees_a_form(bastion: Any) -> None:
    answer = bastion.ask("GET", f"{MAIN}/login")
    assert answer.status_code == 200
    assert '<form method="post" action="login"' in answer.text
    assert 'name="token"' in answer.text
    assert not answer.headers.get_list("set-cookie")


PAGES = ["/login", "/logout", "/.bastion/handoff", "/.bastion/handoff?to=evil.test"]


@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_complete_in_itself_and_framed_by_nobody(bastion: Any, path: Any) -> None:
    answer = bastion.ask("GET", MAIN + path)
    policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
    assert (
        bastion.ask("GET", MAIN + path).headers["content-security-policy"]
        != answer.headers["content-security-policy"]
    )
    (nonce,) = set(re.findall(r'nonce="([^"]+)"', answer.text))
    assert policy == {
        "default-src": "'none'",
        "script-src": f"'nonce-{nonce}'",
        "style-src": f"'nonce-{nonce}'",
        "img-src": "'self'",
        "connect-src": "'self'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
        "form-action": "'self' https:",
        "frame-ancestors": "'none'",
        "base-uri": "'none'",
    }
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "same-origin"
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert not re.search(r"<style|<img|<iframe|\son\w+=|\sstyle=|url\(|http:", answer.text)
    for loaded in re.findall(r'<(?:script|link)[^>]* (?:src|href)="([^"]*)"', answer.text):
        assert re.fullmatch(r"/\.bastion/ui/assets/\w+\.[0-9a-f]{12}\.(css|js|svg)", loaded)
        asset = bastion.ask("GET", MAIN + loaded.removeprefix("/.bastion"))
        assert asset.status_code == 200
        assert "immutable" in asset.headers["cache-control"]
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in answer.text


def test_head_is_get_without_a_body(bastion: Any) -> None:
    assert bastion.ask("HEAD", f"{MAIN}/login").status_code == 200


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
def test_other_methods_are_not_for_it(bastion: Any, method: Any) -> None:
    answer = bastion.ask(method, f"{MAIN}/login")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET, HEAD, POST"


def test_without_sign_in_there_is_no_such_page() -> None:
    transport = httpx.ASGITransport(create_app({}, {}, bytes))  # type: ignore[arg-type]

    async def get(path: Any) -> Any:
        async with httpx.AsyncClient(transport=transport) as client:
            return await client.get(MAIN + path)

    for path in ("/login", "/logout", "/.bastion/handoff", "/.bastion/session"):
        assert asyncio.run(get(path)).status_code == 404


# --- signing in


def test_a_token_that_is_known_signs_in(bastion: Any) -> None:
    answer = bastion.log_in()
    assert (answer.status_code, answer.headers["location"]) == (303, "./")
    cookies = set_cookies(answer)
    assert cookies.keys() == {SESSION.decode(), RETURN.decode()}
    assert f"Max-Age={SESSION_SECONDS}" in answer.headers.get_list("set-cookie")[0]
    assert TOKEN not in answer.text + str(answer.headers)
    assert (
        bastion.sessions.open(SESSION, "bastion.test", cookies[SESSION.decode()].encode(), NOW).token == TOKEN
    )


def test_who_is_signed_in_is_told_as_whom(bastion: Any) -> None:
    answer = bastion.ask("GET", f"{MAIN}/login", signed_in(bastion))
    assert "You are signed in as alice, a member of devs" in answer.text
    assert html.escape(ALICE.groups[1]) in answer.text
    assert ALICE.groups[1] not in answer.text
    assert 'name="token"' not in answer.text
    assert '<a class="btn go big" href="./">What you may open</a>' in answer.text


def test_a_token_around_which_there_is_space_is_taken_without_it(bastion: Any) -> None:
    assert bastion.log_in(f"  {TOKEN}\r\n").status_code == 303
    assert bastion.asked == [TOKEN]


WRONG = ["unknown", "two words", "tøken", "new\nline", "x" * 17000, "<script>alert(1)</script>"]


@pytest.mark.parametrize("token", WRONG)
def test_a_token_that_is_not_known_gets_the_form_again_and_no_echo(bastion: Any, token: Any) -> None:
    answer = bastion.log_in(token)
    assert answer.status_code == (413 if len(token) > 16384 else 401)
    assert token not in answer.text
    assert not answer.headers.get_list("set-cookie")
    assert answer.headers["x-bastion-error"]
    if answer.status_code == 401:
        assert 'name="token"' in answer.text
        assert answer.headers["www-authenticate"] == 'Bearer realm="kubernetes"'


def test_a_token_that_is_over_by_its_own_account_does_not_sign_in(bastion: Any) -> None:
    claims = base64.urlsafe_b64encode(b'{"exp": %d}' % int(NOW)).decode().rstrip("=")
    answer = bastion.log_in(f"a.{claims}.c")
    assert answer.status_code == 401


def test_a_token_too_long_for_a_cookie_is_refused_with_the_reason(bastion: Any) -> None:
    answer = bastion.log_in(LONG)
    assert answer.status_code == 400
    assert "too long for a cookie" in answer.text
    assert LONG not in answer.text
    assert not answer.headers.get_list("set-cookie")


@pytest.mark.parametrize(
    ("failing", "code"), [(overloaded("too many", 7), 429), (unavailable("no answer", 7), 503)]
)
def test_what_keeps_it_from_being_found_out_is_said(bastion: Any, failing: Any, code: Any) -> None:
    bastion.failing = failing
    answer = bastion.log_in()
    assert (answer.status_code, answer.headers["retry-after"]) == (code, "7")
    assert not answer.headers.get_list("set-cookie")
    assert TOKEN not in answer.text


BODIES = {
    "none": b"",
    "another field": b"tokens=x",
    "an empty token": b"token=",
    "blanks": b"token=%20%20",
    "two tokens": b"token=token-of-alice&token=token-of-alice",
    "many fields": b"&".join(b"f%d=1" % n for n in range(9)) + b"&token=token-of-alice",
    "no form": b'{"token": "token-of-alice"}',
    "not ASCII": b"token=\xff",
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_form_without_a_token_asks_nobody(bastion: Any, body: Any) -> None:
    answer = bastion.ask("POST", f"{MAIN}/login", content=body, headers=FORM | OURS)
    assert answer.status_code in (400, 401)
    assert not bastion.asked


@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data; boundary=x", "text/plain", ""])
def test_what_is_no_form_is_refused(bastion: Any, kind: Any) -> None:
    answer = bastion.ask(
        "POST", f"{MAIN}/login", content=b"token=token-of-alice", headers={"content-type": kind} | OURS
    )
    assert answer.status_code == 415


def test_a_body_of_any_length_is_read_no_further_than_a_form_goes(bastion: Any) -> None:
    taken = 0

    async def endless() -> AsyncIterator[Any]:
        nonlocal taken
        for _ in range(10_000):
            taken += 1024
            yield b"x" * 1024

    answer = bastion.ask("POST", f"{MAIN}/login", content=endless(), headers=FORM | OURS)
    assert answer.status_code == 413
    assert taken < 40_000


# --- whose form it is

FOREIGN = [
    {"origin": "https://evil.test", "sec-fetch-site": "cross-site"},
    {"origin": "https://evil.test"},
    {"origin": APP, "sec-fetch-site": "same-site"},
    {"origin": "null"},
    {"origin": "null", "sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
    {"sec-fetch-site": "none"},
    {"origin": "https://bastion.test"},
    {"origin": "http://bastion.test:8443"},
    {},
]


@pytest.mark.parametrize("headers", FOREIGN)
@pytest.mark.parametrize("path", ["/login", "/logout"])
def test_a_form_of_another_site_signs_nobody_in_or_out(bastion: Any, path: Any, headers: Any) -> None:
    cookies = signed_in(bastion)
    bastion.asked.clear()
    answer = bastion.ask(
        "POST", MAIN + path, cookies, content=urlencode({"token": TOKEN}), headers=FORM | headers
    )
    assert answer.status_code == 403
    assert not bastion.asked
    assert not answer.headers.get_list("set-cookie")


OWN = [
    {"origin": MAIN},
    {"origin": MAIN, "sec-fetch-site": "same-origin"},
    {"sec-fetch-site": "same-origin"},
    {"origin": "null", "sec-fetch-site": "same-origin"},
]


@pytest.mark.parametrize("headers", OWN)
def test_a_form_of_our_own_page_counts(bastion: Any, headers: Any) -> None:
    assert bastion.log_in(headers=headers).status_code == 303


# --- where it leads


def return_cookie(bastion: Any, path: Any, host: str = "bastion.test", now: Any = NOW) -> Any:
    return {RETURN.decode(): bastion.sessions.seal_path(host, path.encode(), now).decode()}


def test_it_leads_back_to_the_path_that_was_stored(bastion: Any) -> None:
    answer = bastion.log_in(cookies=return_cookie(bastion, PATH))
    assert answer.headers["location"] == PATH
    assert set_cookies(answer)[RETURN.decode()] == ""


def stored_elsewhere(bastion: Any, path: Any) -> Any:
    return {
        RETURN.decode(): bastion.sessions._sealer.seal(
            RETURN.decode(), "bastion.test", path, int(NOW) + 60
        ).decode()
    }


NOWHERE = {
    "sealed for another host": lambda b: return_cookie(b, PATH, host="evil.test"),
    "too old": lambda b: return_cookie(b, PATH, now=NOW - 901),
    "in the clear": lambda b: {RETURN.decode(): "/api"},
    "another host": lambda b: {RETURN.decode(): "https://evil.test/"},
    "a session": lambda b: {RETURN.decode(): signed_in(b)[SESSION.decode()]},
    "a host sealed by mistake": lambda b: stored_elsewhere(b, b"//evil.test/"),
    "a host behind a backslash": lambda b: stored_elsewhere(b, b"/\\evil.test/"),
}


@pytest.mark.parametrize("cookies", NOWHERE.values(), ids=NOWHERE)
def test_what_was_not_stored_leads_nowhere(bastion: Any, cookies: Any) -> None:
    assert bastion.log_in(cookies=cookies(bastion)).headers["location"] == "./"


QUERIES = [
    "rd=//evil.test",
    "next=https://evil.test",
    "return=/%09/evil.test",
    "to=/\\evil.test",
    "request=/evil",
]


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_leads_nowhere(bastion: Any, query: Any) -> None:
    answer = bastion.ask(
        "POST", f"{MAIN}/login?{query}", content=urlencode({"token": TOKEN}), headers=FORM | OURS
    )
    assert answer.headers["location"] == "./"


# --- a session


OVER = {
    "too old": lambda b, cookie: setattr(b, "now", NOW + SESSION_SECONDS),
    "of another host": lambda b, cookie: cookie.update(signed_in_at_another_host(b)),
    "changed": lambda b, cookie: cookie.update({SESSION.decode(): cookie[SESSION.decode()][:-4] + "AAAA"}),
    "of an application": lambda b, cookie: cookie.update(as_application(b)),
    "twice": lambda b, cookie: cookie.update({" " + SESSION.decode(): "x"}),
}


def signed_in_at_another_host(bastion: Any) -> Any:
    value, _ = bastion.sessions.seal(SESSION, "evil.test", bastion.sessions.begin(TOKEN, NOW), NOW)
    return {SESSION.decode(): value.decode()}


def as_application(bastion: Any) -> Any:
    value, _ = bastion.sessions.seal(APPLICATION, "bastion.test", bastion.sessions.begin(TOKEN, NOW), NOW)
    return {SESSION.decode(): value.decode()}


@pytest.mark.parametrize("change", OVER.values(), ids=OVER)
def test_a_session_that_is_none_asks_nobody(bastion: Any, change: Any) -> None:
    cookies = signed_in(bastion)
    change(bastion, cookies)
    bastion.asked.clear()
    assert 'name="token"' in bastion.ask("GET", f"{MAIN}/login", cookies).text
    assert not bastion.asked


def test_a_session_whose_token_is_nobodys_any_more_is_none(bastion: Any) -> None:
    made = bastion.sessions
    value, _ = made.seal(SESSION, "bastion.test", made.begin("revoked", NOW), NOW)
    assert 'name="token"' in bastion.ask("GET", f"{MAIN}/login", {SESSION.decode(): value.decode()}).text


def test_signing_out_takes_the_cookie_away(bastion: Any) -> None:
    button = bastion.ask("GET", f"{MAIN}/logout", signed_in(bastion))
    assert '<form method="post" action="logout"' in button.text
    assert not button.headers.get_list("set-cookie")
    answer = bastion.ask("POST", f"{MAIN}/logout", signed_in(bastion), headers=OURS)
    assert (answer.status_code, answer.headers["location"]) == (303, "logout?done")
    assert set_cookies(answer) == {SESSION.decode(): ""}
    assert "You are signed out" in bastion.ask("GET", f"{MAIN}/logout?done").text


# --- over TLS alone, from now on


@pytest.mark.parametrize(
    ("strict", "url", "said"),
    [
        (True, f"{MAIN}/login", "max-age=31536000"),
        (True, f"{MAIN}/logout", "max-age=31536000"),
        (False, f"{MAIN}/login", None),
        (True, f"{MAIN.replace('https', 'http')}/login", None),
        (True, f"https://{APP_HOST}/.bastion/logout", None),
    ],
    ids=["sign-in", "sign-out", "self-made", "plain", "an-application's-host"],
)
def test_own_pages_are_for_tls_alone_unless_the_certificate_is_self_made(
    bastion: Any, strict: Any, url: Any, said: Any
) -> None:
    desk = dataclasses.replace(bastion.desk, strict_transport=strict)

    async def main() -> Any:
        transport = httpx.ASGITransport(create_app({}, {}, bytes, desk))  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport) as http:
            return await http.get(url)

    answer = asyncio.run(main())
    assert answer.status_code == 200
    assert answer.headers.get("Strict-Transport-Security") == said
