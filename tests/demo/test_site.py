"""A web application that believes in a host of its own, in a browser: what works of it, and what does not,
and where?

Each journey begins as a visitor's does: at the application, who is sent to the form and back.
"""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page

from tests.demo.fronts import Front, arrive

pytestmark = pytest.mark.timeout(600)  # the first time the browser may have to be installed

# What works: on a host name, under a path without the sandbox, and under a path as it is by default.
HOST, PATH, SANDBOX = range(3)
WORKS = {
    "a link": (True, True, True),
    "a link that names the host": (True, True, True),
    "cookies reach the pod": (True, True, True),
    "a style sheet": (True, True, False),
    "a script": (True, True, False),
    "an image": (True, True, False),
    "srcset": (True, True, False),
    "a form, and the redirect after it": (True, True, False),
    "logging in, and the redirect by host": (True, True, False),
    # What a script or a style sheet says in relation to where it is stays under the path, too.
    "a relative url() of a style sheet": (True, True, False),
    "a relative fetch": (True, True, False),
    "a relative WebSocket": (True, True, False),
    "a cookie that a script reads": (True, True, False),
    # These nobody can rewrite.
    "url(/…) of a style sheet": (True, False, False),
    "@import url(/…)": (True, False, False),
    "fetch('/…')": (True, False, False),
    "a WebSocket at /…": (True, False, False),
    "a service worker at /…": (True, False, False),
    # Under a path it has another name.
    "a __Host- cookie that a script reads": (True, False, False),
}

SEEN = """async () => {
  if (typeof settled !== "undefined") await settled;
  const find = id => document.getElementById(id);
  const style = element => getComputedStyle(element);
  const attempt = look => { try { return look(); } catch (error) { return error.name; } };
  return {
    "a style sheet": style(document.querySelector("header")).display,
    "a script": typeof settled,
    "an image": find("logo").naturalWidth,
    "srcset": [new URL(find("photo").currentSrc).pathname.split("/").at(-1), find("photo").naturalWidth],
    "url(/…) of a style sheet": find("stamp").offsetWidth,
    "a relative url() of a style sheet": find("stamp-relative").offsetWidth,
    "@import url(/…)": style(document.documentElement).getPropertyValue("--accent"),
    "fetch('/…')": find("fetch").textContent,
    "a relative fetch": find("fetch-relative").textContent,
    "a WebSocket at /…": find("websocket").textContent,
    "a relative WebSocket": find("websocket-relative").textContent,
    "a service worker at /…": [
      find("worker").textContent, attempt(() => navigator.serviceWorker.controller?.state)
    ],
    "a cookie that a script reads": attempt(() => document.cookie.includes("visits=")),
    "a __Host- cookie that a script reads": attempt(
      () => document.cookie.split("; ").some(cookie => cookie.startsWith("__Host-csrf="))
    ),
  };
}"""
RIGHT = {
    "a style sheet": "flex",
    "a script": "object",
    "an image": 96,
    "srcset": ["photo.png", 640],
    "url(/…) of a style sheet": 20,
    "a relative url() of a style sheet": 20,
    "@import url(/…)": "#a8452a",
    "fetch('/…')": "hello from guestbook-0",
    "a relative fetch": "hello from guestbook-0",
    "a WebSocket at /…": "guestbook-0: hello",
    "a relative WebSocket": "guestbook-0: hello",
    "a service worker at /…": ["hello from the service worker", "activated"],
    "a cookie that a script reads": True,
    "a __Host- cookie that a script reads": True,
    "a link": "about guestbook",
    "a link that names the host": "about guestbook",
    "cookies reach the pod": "__Host-csrf, visits",
    "a form, and the redirect after it": "wrote a line",
    "logging in, and the redirect by host": "Wanda",
}


def test_on_a_host_name_everything_works(page: Page, demo: Front) -> None:
    assert _journey(page, demo, demo.by_host("guestbook")) == _expected(HOST)


def test_under_a_path_all_works_but_absolute_urls_of_scripts_and_style_sheets(
    page: Page, unsandboxed: Front
) -> None:
    assert _journey(page, unsandboxed, unsandboxed.by_path("guestbook")) == _expected(PATH)


def test_in_the_sandbox_only_pages_and_links_work(page: Page, demo: Front) -> None:
    assert _journey(page, demo, demo.by_path("guestbook")) == _expected(SANDBOX)


def test_signing_out_ends_it(page: Page, demo: Front) -> None:
    application = demo.by_host("guestbook")
    arrive(page, demo, application)
    main, own = f"{demo.url}/logout", f"{application}.bastion/logout"
    for place, then in ((main, f"{main}?done"), (own, f"{own}?done")):
        page.goto(application)
        assert page.url == application
        page.goto(place)
        page.get_by_role("button", name="Sign out").click()
        page.wait_for_url(lambda url, then=then: url == then)  # type: ignore[misc]
    page.goto(application)
    assert page.url == f"{demo.url}/login"


def _expected(where: int) -> dict[str, bool]:
    return {what: works[where] for what, works in WORKS.items()}


def _journey(page: Page, front: Front, url: str) -> dict[str, bool]:
    """What works, of all that is in the table."""
    arrive(page, front, url)
    found: dict[str, Any] = page.evaluate(SEEN)
    for name, link in (("a link", "#about"), ("a link that names the host", "#about-by-host")):
        found[name] = _after(page, link, "h1")
        page.goto(url)
    found["cookies reach the pod"] = page.locator("#sent").text_content()
    page.locator("#write").get_by_label("A line").fill("wrote a line")
    found["a form, and the redirect after it"] = _after(page, "#write button", "#entries li:last-child q")
    page.goto(url)
    page.locator("#login").get_by_label("Your name").fill("Wanda")
    found["logging in, and the redirect by host"] = _after(page, "#login button", "#user")
    print(found)  # pytest shows it where the test fails
    return {what: found[what] == right for what, right in RIGHT.items()}


def _after(page: Page, press: str, look_at: str) -> str:
    """What the page says there that pressing this leads to; empty where it has no such place."""
    with page.expect_navigation():
        page.locator(press).click()
    place = page.locator(look_at)
    return (place.text_content() or "") if place.count() else ""
