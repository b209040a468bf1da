"""Who is signed in at an application's host, and who only looks as if?"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from bastion.message.cookies import APPLICATION, HANDOFF, PAIRS, SESSION
from bastion.signin.session import APPLICATION_SECONDS
from tests.web.visits import ANOTHER, APP, APP_HOST, MAIN, NOW, OURS, TOKEN, bastion, set_cookies, signed_in

__all__ = ["bastion"]  # a fixture


def begin(bastion: Any, path: str = "/x?y", host: Any = APP_HOST) -> Any:
    """(the nonce's cookie, the URL that the browser is sent to)"""
    nonce, request = bastion.handoff.begin(host, path.encode(), b"", bastion.now)
    return {
        HANDOFF.decode(): nonce.decode()
    }, f"{MAIN}/.bastion/handoff?{urlencode({'to': host, 'request': request.decode()})}"


def code_url(bastion: Any, **more: Any) -> Any:
    nonce, url = begin(bastion, **more)
    return nonce, bastion.ask("GET", url, signed_in(bastion)).headers["location"]


def entry_url(bastion: Any, **more: Any) -> Any:
    nonce, url = code_url(bastion, **more)
    proof = bastion.ask("GET", url, nonce).headers["location"]
    return nonce, bastion.ask("GET", proof, signed_in(bastion)).headers["location"]


URLS = {"code": code_url, "entry": entry_url}
either = pytest.mark.parametrize("url_of", URLS.values(), ids=URLS)


def test_who_is_signed_in_is_signed_in_at_an_application(bastion: Any) -> None:
    nonce, url = code_url(bastion)
    assert url.startswith(f"{APP}/.bastion/session?code=")
    answer = bastion.ask("GET", url, nonce)
    assert answer.headers["location"].startswith(f"{MAIN}/.bastion/handoff?to={APP_HOST}&proof=")
    assert not set_cookies(answer)
    answer = bastion.ask("GET", answer.headers["location"], signed_in(bastion))
    assert set_cookies(answer).keys() == {PAIRS.decode()}
    url = answer.headers["location"]
    assert url.startswith(f"{APP}/.bastion/session?entry=")
    answer = bastion.ask("GET", url, nonce)
    assert (answer.status_code, answer.headers["location"]) == (303, "/x?y")
    cookies = set_cookies(answer)
    assert cookies.keys() == {APPLICATION.decode(), HANDOFF.decode()}
    assert cookies[HANDOFF.decode()] == nonce[HANDOFF.decode()], "it is known by that from now on"
    assert f"Max-Age={APPLICATION_SECONDS}" in answer.headers.get_list("set-cookie")[0]
    value = cookies[APPLICATION.decode()].encode()
    assert bastion.sessions.open(APPLICATION, APP_HOST, value, NOW).token == TOKEN
    assert bastion.sessions.open(APPLICATION, "other--shop.svc.proxy.test", value, NOW) is None
    assert bastion.sessions.open(SESSION, "bastion.test", value, NOW) is None


def test_who_is_not_signed_in_signs_in_first_and_comes_back(bastion: Any) -> None:
    _, url = begin(bastion)
    answer = bastion.ask("GET", url)
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")
    back = bastion.log_in(cookies=set_cookies(answer)).headers["location"]
    assert MAIN + back == url


def test_the_longest_path_is_remembered_all_the_way(bastion: Any) -> None:
    path = "/" + "p" * 1535
    _, url = begin(bastion, path=path)
    back = bastion.log_in(cookies=set_cookies(bastion.ask("GET", url))).headers["location"]
    assert MAIN + back == url


ELSEWHERE = [
    "evil.test",
    "proxy.test",
    "bastion.test",
    "web--shop.svc.proxy.test.evil.test",
    "web--shop.svc.proxy.test@evil.test",
    "evil.test/web--shop.svc.proxy.test",
    "evil.test#.svc.proxy.test",
    "evil.test\\.svc.proxy.test",
    "WEB--shop.svc.proxy.test",
    "web--shop.svc.proxy.test:1",
    "web--shop.svc.proxy.test.",
    "web.svc.proxy.test",
    "",
]


@pytest.mark.parametrize("to", ELSEWHERE)
def test_a_code_is_given_to_no_other_host(bastion: Any, to: Any) -> None:
    _, request = bastion.handoff.begin(to, b"/", b"", NOW)
    query = urlencode({"to": to, "request": request.decode()})
    answer = bastion.ask("GET", f"{MAIN}/.bastion/handoff?{query}", signed_in(bastion))
    assert answer.status_code == 400
    assert "location" not in answer.headers


def test_a_code_is_given_only_where_it_was_asked_for(bastion: Any) -> None:
    for request in ("", "x", "A" * 200):
        query = urlencode({"to": APP_HOST, "request": request})
        answer = bastion.ask("GET", f"{MAIN}/.bastion/handoff?{query}", signed_in(bastion))
        assert answer.status_code == 400
        assert "location" not in answer.headers


def test_a_page_cannot_fetch_a_code_for_another(bastion: Any) -> None:
    """A frame, an image or a fetch of another site has no session, whatever cookies it comes with."""
    _, url = begin(bastion)
    for said in (
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"},
        {"sec-fetch-site": "same-site", "origin": APP},
    ):
        answer = bastion.ask("GET", url, signed_in(bastion), headers=said)
        assert answer.headers["location"] == "/login"


NOT_REDEEMED = {
    "a second time": lambda b, nonce, url: b.ask("GET", url, nonce),
    "after a minute": lambda b, nonce, url: setattr(b, "now", NOW + 61),
}


@either
@pytest.mark.parametrize("spoil", NOT_REDEEMED.values(), ids=NOT_REDEEMED)
def test_a_code_is_not_taken(bastion: Any, spoil: Any, url_of: Any) -> None:
    nonce, url = url_of(bastion)
    spoil(bastion, nonce, url)
    answer = bastion.ask("GET", url, nonce)
    assert answer.status_code == 400
    assert not answer.headers.get_list("set-cookie")


@either
def test_a_code_is_not_taken_at_another_application(bastion: Any, url_of: Any) -> None:
    nonce, url = url_of(bastion)
    elsewhere = url.replace("web--shop", "evil--shop")
    assert bastion.ask("GET", elsewhere, nonce).status_code == 400


@either
@pytest.mark.parametrize("nonce", [{}, {HANDOFF.decode(): "Z" * 22}, {HANDOFF.decode(): ""}])
def test_a_code_is_not_taken_from_another_browser(bastion: Any, nonce: Any, url_of: Any) -> None:
    mine, url = url_of(bastion)
    answer = bastion.ask("GET", url, nonce)
    assert answer.status_code == 400
    assert not answer.headers.get_list("set-cookie")
    assert 'href="/x?y"' in answer.text, "a way to try again"
    assert bastion.ask("GET", url, mine).status_code == 303, "and whose it is can still use it"


def test_in_a_second_tab_it_goes_on_with_the_session_of_the_first(bastion: Any) -> None:
    nonce, first = entry_url(bastion)
    _, second = code_url(bastion, path="/2")
    session = set_cookies(bastion.ask("GET", first, nonce))
    answer = bastion.ask("GET", second, {APPLICATION.decode(): session[APPLICATION.decode()]})
    assert (answer.status_code, answer.headers["location"]) == (303, "/2")


def test_each_step_is_on_its_own_host_only(bastion: Any) -> None:
    nonce, url = code_url(bastion)
    code = urlsplit(url).query
    assert bastion.ask("GET", f"{MAIN}/.bastion/session?{code}", nonce).status_code == 404
    assert bastion.ask("GET", f"{APP}/.bastion/handoff?to={APP_HOST}", signed_in(bastion)).status_code == 404
    assert bastion.ask("GET", f"{MAIN}/.bastion/logout").status_code == 404
    assert parse_qs(code)["code"]


def test_after_signing_out_no_code_is_given(bastion: Any) -> None:
    cookies = set_cookies(bastion.ask("POST", f"{MAIN}/logout", signed_in(bastion), headers=OURS))
    _, url = begin(bastion)
    assert bastion.ask("GET", url, cookies).headers["location"] == "/login"


def test_signing_out_of_an_application_takes_its_cookie_away(bastion: Any) -> None:
    assert (
        '<form method="post" action="/.bastion/logout"' in bastion.ask("GET", f"{APP}/.bastion/logout").text
    )
    answer = bastion.ask("POST", f"{APP}/.bastion/logout", headers={"origin": APP})
    assert set_cookies(answer) == {APPLICATION.decode(): ""}
    assert f'href="{MAIN}/login"' in bastion.ask("GET", APP + answer.headers["location"]).text
    assert bastion.ask("POST", f"{APP}/.bastion/logout", headers={"origin": MAIN}).status_code == 403


# --- whose browser it is


def test_who_began_elsewhere_gets_nothing_from_a_code_that_was_granted_to_a_visitor(bastion: Any) -> None:
    """An application's worker sees the code, and whoever began has the nonce: what is missing is the
    visitor's session.
    """
    attackers, url = code_url(bastion)
    answer = bastion.ask("GET", url, attackers)
    proof = answer.headers["location"]
    assert not set_cookies(answer)
    for cookies in ({}, attackers, signed_in(bastion, token=ANOTHER)):  # type: ignore[var-annotated]
        answer = bastion.ask("GET", proof, cookies)
        assert "entry=" not in answer.headers.get("location", "")
        assert PAIRS.decode() not in set_cookies(answer)


def known(bastion: Any, nonce: Any, url: Any, cookies: Any = None) -> Any:
    """The cookies on the main host of a browser that was signed in at the application by this code."""
    proof, cookies = bastion.ask("GET", url, nonce).headers["location"], cookies or signed_in(bastion)
    return cookies | set_cookies(bastion.ask("GET", proof, cookies))


def test_a_browser_that_is_known_at_an_application_brings_no_proof_of_anothers(bastion: Any) -> None:
    """A worker that was there before can have the browser bring whatever it is given: the nonce of the first
    time counts.
    """
    mine, url = code_url(bastion)
    cookies = known(bastion, mine, url)
    strange, request = begin(bastion)
    answer = bastion.ask("GET", request, cookies)
    assert answer.status_code == 400
    assert "began in another browser" in answer.text
    assert "location" not in answer.headers
    # nor a proof that it got before it was known
    code = bastion.ask("GET", request, signed_in(bastion)).headers["location"]
    proof = bastion.ask("GET", code, strange).headers["location"]
    answer = bastion.ask("GET", proof, cookies)
    assert (answer.status_code, answer.headers.get_list("set-cookie")) == (400, [])


def test_a_browser_that_is_known_is_signed_in_again(bastion: Any) -> None:
    mine, url = code_url(bastion)
    cookies = known(bastion, mine, url)
    _, request = bastion.handoff.begin(APP_HOST, b"/2", mine[HANDOFF.decode()].encode(), NOW)
    url = f"{MAIN}/.bastion/handoff?{urlencode({'to': APP_HOST, 'request': request.decode()})}"
    assert known(bastion, mine, bastion.ask("GET", url, cookies).headers["location"], cookies) == cookies


def test_at_each_application_a_browser_is_known_by_another(bastion: Any) -> None:
    mine, url = code_url(bastion)
    cookies = known(bastion, mine, url)
    _, request = begin(bastion, host="other--shop.svc.proxy.test")
    assert bastion.ask("GET", request, cookies).status_code == 303
