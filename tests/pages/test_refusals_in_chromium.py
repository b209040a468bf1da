"""Each page that says no, in Chromium: as the bastion makes it, without the failure that leads to it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Route

from bastion.kube.errorword import REASONS
from bastion.kube.errorwords import WORDS
from bastion.message.person import ErrorFacts, ErrorPage
from bastion.web.errorpage import error_pages
from bastion.web.frame import LINKS, Frame
from bastion.web.portal.page import Portal
from tests.demo.fronts import Front
from tests.pages.looks import Watched, judged
from tests.pages.test_in_chromium import DARK, SHOTS, picture

PATH = "/api/v1/namespaces/shop/services/orders:http/proxy/"
NOW = 1_800_000_000.0
PODS = (("CrashLoopBackOff", "2"), ("ImagePullBackOff", "1"))
# name -> code, word, and what else is known
ERRORS: dict[str, tuple[int, str, dict[str, Any]]] = {
    "errors-401": (401, "NoCredentials", {}),
    "errors-401-sandbox": (401, "NoCredentials", {"sandboxed": True, "method": "POST"}),
    "errors-404-near": (
        404,
        "ServiceNotFound",
        {"near": ("services/shop/orders", "services/shop/order-api")},
    ),
    "errors-429": (429, "Overloaded", {}),
    "errors-503-api-away": (503, "ApiServerAway", {}),
    "errors-503-no-endpoints": (503, "PodsNotReady", {"pods": PODS}),
    "errors-503-refused": (503, "ConnectionRefused", {}),
    "errors-504-timeout": (504, "AnswerTimeout", {}),
}
EMPTY = ("portal-away", "portal-syncing")


def refusal(name: str) -> ErrorPage:
    code, word, more = ERRORS[name]
    row = WORDS[word]
    user = "" if code == 401 else "alice"
    given: dict[str, Any] = {
        "code": code,
        "word": word,
        "hop": row.hop,
        "meaning": row.meaning,
        "message": f"said: {row.meaning}",
        "sentence": row.meaning,
        "remedy": row.remedy,
        "reason": REASONS[code],
        "request": "0f8e4d7a-1b2c-4d3e-8f90-a1b2c3d4e5f6",
        "path": PATH,
        "retry_after": 60,
        "user": user,
    }
    return error_pages("", signs_in=True, now=lambda: NOW)(ErrorFacts(**(given | more)))


def empty(name: str) -> ErrorPage:
    """Of the portal's own."""

    class Nothing:
        def now(self) -> float:
            return NOW

    progress = {"services": (True, 41), "pods": (False, 1207), "endpointslices": (True, 44)}
    portal = Portal(Nothing(), None, None, lambda: progress, "")  # type: ignore[arg-type]
    frame = Frame(NOW, "bastion.test", "alice", links=LINKS)
    make = portal._away if name == "portal-away" else portal._syncing
    response = make(None, frame)  # type: ignore[arg-type]
    fields = tuple((key, key, value) for key, value in response.raw_headers if key != b"content-length")
    return ErrorPage(fields, bytes(response.body))


def shown(context: BrowserContext, front: Front, found: ErrorPage) -> Watched:
    watched = Watched(context, front.url)
    fields = {name.decode(): value.decode() for _, name, value in found.fields}

    def answer(route: Route) -> None:
        route.fulfill(status=200, headers=fields, body=found.body)

    watched.page.route(f"{front.url}{PATH}", answer)
    # nothing is better yet
    watched.page.route(re.compile("/ui/catalog"), lambda route: route.abort())
    watched.open(PATH)
    return watched


@pytest.mark.parametrize("name", [*ERRORS, *EMPTY])
def test_a_refusal_is_fit_for_everybody(name: str, browser: Browser, demo: Front) -> None:
    found = empty(name) if name in EMPTY else refusal(name)
    for scheme in ("light", "dark") if SHOTS or name in DARK else ("light",):
        settings: dict[str, Any] = {"color_scheme": scheme, "reduced_motion": "reduce"}
        with browser.new_context(**settings) as context:
            watched = shown(context, demo, found)
            assert watched.wrong() == []
            if SHOTS:
                picture(watched.page, Path(SHOTS), name, scheme)
        with browser.new_context(**settings, bypass_csp=True) as context:
            assert judged(shown(context, demo, found).page) == [], (name, scheme)


def test_what_was_typed_wrong_is_said_and_fit_for_everybody(browser: Browser, demo: Front) -> None:
    with browser.new_context(bypass_csp=True) as context:
        watched = Watched(context, demo.url)
        page = watched.open("/login")
        page.get_by_label("Token").fill("nobody")
        page.get_by_role("button", name="Sign in with the token").click()
        page.get_by_role("alert").wait_for()
        assert judged(page) == []
        if SHOTS:
            picture(page, Path(SHOTS), "sign-in-bad-token", "light")
