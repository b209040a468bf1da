"""The pages in Chromium: accessible, at every width, by keyboard, without script, live, kept from others."""

from __future__ import annotations

import json
import os
import signal
import ssl
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.demo.fronts import Front, another
from tests.pages.conftest import Signed
from tests.pages.looks import Watched, judged

FRONTEND = "/ui/namespaces/shop/services/frontend"
REFUSED = "/api/v1/namespaces/shop/services/frontend/proxy/"
# name -> user (empty: nobody) and path
PAGES = {
    "sign-in-index": ("", "/login"),
    "sign-in-signed-out": ("", "/logout?done"),
    "portal-index": ("alice", "/"),
    "portal-pods": ("alice", "/?kind=pods"),
    "portal-nothing": ("carol", "/"),
    "target-index": ("alice", FRONTEND),
    "status-index": ("alice", "/status"),
    "ops-index": ("carol", "/ui/ops"),
    "errors-403": ("carol", REFUSED),
    "errors-404": ("alice", "/ui/namespaces/shop/services/order"),
}
DARK = ("sign-in-index", "portal-index", "target-index", "status-index", "errors-403")  # have all colours
NARROW = ("portal-index", "target-index", "ops-index")  # are laid out in another way on a phone
SHOTS = os.environ.get("PAGES_SHOTS")  # a folder for pictures of all pages, where that is set


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_fit_for_everybody(name: str, signed: Signed, browser: Browser, demo: Front) -> None:
    user, path = PAGES[name]
    for scheme in ("light", "dark") if SHOTS or name in DARK else ("light",):
        settings: dict[str, Any] = {"color_scheme": scheme, "reduced_motion": "reduce"}
        context = signed(user, **settings) if user else browser.new_context(**settings)
        if SHOTS or scheme == "light":
            watched = Watched(context, demo.url)
            page = watched.open(path)
            assert scheme == "dark" or watched.wrong() == [], name
            if SHOTS:
                picture(page, Path(SHOTS), name, scheme)
        settings["bypass_csp"] = True
        bypassing = signed(user, **settings) if user else browser.new_context(**settings)
        looked = bypassing.new_page()
        looked.goto(f"{demo.url}{path}")
        for width in (1280, 375) if scheme == "light" and name in NARROW else (1280,):
            looked.set_viewport_size({"width": width, "height": 900})
            assert judged(looked, colours=scheme == "dark") == [], (name, scheme, width)


def picture(page: Page, folder: Path, name: str, scheme: str) -> None:
    for width in (1280, 375):
        page.set_viewport_size({"width": width, "height": 900})
        page.evaluate("document.activeElement?.blur(); scrollTo(0, 0)")
        page.screenshot(path=str(folder / f"{name}-{width}-{scheme}.png"), full_page=True)


# --- by keyboard, and without script


def test_the_keyboard_alone_finds_opens_copies_and_pins(signed: Signed, demo: Front) -> None:
    page = Watched(signed("alice"), demo.url).open("/")
    page.keyboard.press("/")
    page.keyboard.type("shop stor")
    expect(page.locator(".item:visible")).to_have_count(1)
    assert page.url == f"{demo.url}/?q=shop+stor"
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="Storefront", exact=True)).to_be_focused()
    page.keyboard.press("c")
    expect(page.get_by_role("dialog")).to_contain_text(f"{demo.url}{REFUSED}")
    page.keyboard.press("Escape")
    expect(page.get_by_role("link", name="Storefront", exact=True)).to_be_focused()
    page.keyboard.press("p")
    expect(page.locator(".tile")).to_have_text("StorefrontPinnedUp")
    page.reload()
    assert page.input_value("#q") == "shop stor"
    expect(page.locator(".item:visible")).to_have_count(1)
    expect(page.locator(".tile")).to_have_count(1)
    assert page.evaluate("window.__shift") < 0.01
    page.locator("#q").focus()
    page.keyboard.press("Escape")
    expect(page.locator(".item:visible")).to_have_count(6)
    assert "s3cr3t" not in page.content()
    assert demo.token("alice") not in page.content() + json.dumps(page.evaluate("({...localStorage})"))
    page.locator(".menu > summary").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="You are signed out")).to_be_visible()


def test_without_script_everything_but_liveness_is_there(signed: Signed, demo: Front) -> None:
    page = signed("alice", java_script_enabled=False).new_page()
    page.goto(f"{demo.url}/")
    page.get_by_label("Filter by name").fill("orders")
    page.keyboard.press("Enter")
    page.wait_for_url(f"{demo.url}/?q=orders")
    expect(page.locator(".item:visible")).to_have_count(1)
    page.get_by_role("link", name="Orders API", exact=True).click()
    assert page.get_by_role("heading", name="Orders API").is_visible()
    assert page.get_by_text("As of").is_visible()
    page.get_by_role("link", name="Status").click()
    assert page.get_by_role("heading", name="Shop").is_visible()


def test_a_filter_that_finds_nothing_does_not_claim_that_there_is_nothing(
    signed: Signed, demo: Front
) -> None:
    page = Watched(signed("alice"), demo.url).open("/?q=no-such-thing")
    expect(page.get_by_text("It may be there all the same")).to_be_visible()
    page.get_by_role("link", name="Clear the filter").click()
    expect(page.locator(".item:visible")).to_have_count(6)


# --- live


def test_a_pod_that_breaks_is_seen_and_a_server_that_is_silent_loses_its_colour(
    signed: Signed, demo: Front
) -> None:
    portal = Watched(signed("alice"), demo.url).open("/")
    row = portal.locator('[data-ref="shop/services/frontend"]')
    expect(row.locator(".health")).to_have_text("Up", timeout=20_000)
    broken = portal.context.new_page()
    broken.goto(f"{demo.by_host('frontend')}break")
    broken.goto(f"{demo.url}{FRONTEND}")
    place = row.bounding_box()
    portal.bring_to_front()
    expect(row.locator(".health")).to_have_text("Degraded", timeout=25_000)
    assert row.bounding_box() == place
    expect(portal.locator(".lede")).to_contain_text("One needs a look.")
    expect(portal.locator('[data-show="trouble"] b')).to_have_text("1")
    expect(broken.locator("h1 + .st")).to_have_text("Degraded", timeout=15_000)
    broken.reload()
    expect(broken.get_by_text("One of two endpoints")).to_be_visible()
    expect(broken.get_by_text("500").first).to_be_visible()
    os.kill(demo.program.process.pid, signal.SIGSTOP)
    try:
        expect(portal.locator("body.stale")).to_be_attached(timeout=14_000)
        expect(portal.locator("#news")).to_contain_text("This is what was known at")
        assert "grayscale" in portal.evaluate("getComputedStyle(document.querySelector('#list')).filter")
    finally:
        os.kill(demo.program.process.pid, signal.SIGCONT)
    expect(portal.locator("body.stale")).not_to_be_attached(timeout=10_000)
    portal.locator("#live").click()
    expect(portal.locator("#live")).to_contain_text("Paused")


def test_a_session_that_has_ended_is_said_over_what_is_there(signed: Signed, demo: Front) -> None:
    page = Watched(signed("alice"), demo.url).open("/")
    expect(page.locator("#live")).to_contain_text("Live")
    page.context.clear_cookies()
    page.locator("#live").click()
    page.locator("#live").click()
    expect(page.locator("#news")).to_contain_text("Your session has ended")
    expect(page.locator("#news").get_by_role("link", name="Sign in")).to_be_visible()
    expect(page.locator(".item:visible")).to_have_count(6)


POLICY = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- level: Metadata\n"


def signed_in(browser: Browser, front: Front, user: str) -> Page:
    page = browser.new_page()
    page.goto(f"{front.url}/")
    page.get_by_label("Token").fill(front.token(user))
    page.get_by_role("button", name="Sign in").click()
    page.get_by_text(f"You are signed in as {user}").wait_for()
    return page


def test_an_operator_closes_a_stream_and_its_owner_and_the_audit_log_see_it(
    browser: Browser, demo: Front, tmp_path: Path
) -> None:
    policy, log = tmp_path / "policy.yaml", tmp_path / "audit.log"
    policy.write_text(POLICY)
    with another(
        demo,
        tmp_path,
        f"--audit-policy-file={policy}",
        f"--audit-log-path={log}",
        "--audit-log-mode=blocking",
    ) as front:
        closed(browser, front)
    events = [json.loads(line) for line in log.read_text().splitlines()]
    (ended,) = (
        one for one in events if one.get("annotations", {}).get("bastion.dev/outcome") == "closed by carol"
    )
    assert (ended["user"]["username"], ended["stage"]) == ("alice", "ResponseComplete")
    (pressed,) = (
        one
        for one in events
        if ended["auditID"] in one["requestURI"]
        and one["stage"] == "ResponseComplete"
        and one["responseStatus"]["code"] == 303
    )
    assert pressed["user"]["username"] == "carol"


def closed(browser: Browser, demo: Front) -> None:
    tls = ssl.create_default_context()
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    bearer = {"Authorization": f"Bearer {demo.token('alice')}"}
    url = demo.by_path("chat").replace("https", "wss", 1)
    with connect(url, ssl=tls, additional_headers=bearer, proxy=None) as chat:
        chat.send("hello")
        chat.recv()
        own = signed_in(browser, demo, "alice")
        own.goto(f"{demo.url}/ui/namespaces/shop/services/chat")
        expect(own.locator("td", has_text="alice")).to_contain_text("you")
        page = signed_in(browser, demo, "carol")
        page.goto(f"{demo.url}/ui/ops")
        row = page.locator("tr", has_text="alice").filter(has_text="shop/chat")
        address = f"{demo.url}{row.locator('form').get_attribute('action')}"
        assert page.request.get(address, ignore_https_errors=True).status == 405
        assert page.request.post(address, ignore_https_errors=True).status == 401  # of no page of ours
        row.get_by_role("button", name="Close").click()
        expect(page.get_by_role("button", name="Leave it open")).to_be_focused()
        page.get_by_role("button", name="Close the stream").click()
        with pytest.raises(ConnectionClosed) as ended:
            chat.recv(timeout=5)
        assert ended.value.rcvd is not None
        assert ended.value.rcvd.code == 1008
    page.wait_for_url(f"{demo.url}/ui/ops")
    expect(page.locator("tr", has_text="shop/chat").filter(has_text="alice")).to_have_count(0)
    assert "carol closed a stream of alice" in demo.program.stderr


# --- kept from others

ATTACK = """async origin => { const tried = {};
  for (const [name, path, settings] of [['read', '/ui/catalog', {credentials: 'include'}],
      ['events', '/ui/events?for=portal', {credentials: 'include'}],
      ['close', '/ui/streams/x/close', {credentials: 'include', method: 'POST', mode: 'no-cors'}],
      ['sign out', '/logout', {credentials: 'include', method: 'POST', mode: 'no-cors'}]])
    tried[name] = await fetch(origin + path, settings).then(r => `${r.type} ${r.status}`, () => 'failed');
  return tried; }"""


@pytest.mark.parametrize(
    "attacker", ["another origin", "an application under a path", "an application's host"]
)
def test_no_other_page_reads_or_presses_anything(signed: Signed, demo: Front, attacker: str) -> None:
    page = signed("alice").new_page()
    urls = {
        "another origin": f"https://127.0.0.1:{demo.port}/login",
        "an application under a path": f"{demo.by_path('noticeboard')}?bastion-path=1",
        "an application's host": demo.by_host("noticeboard"),
    }
    page.goto(urls[attacker])
    before = len(demo.lines())
    tried = page.evaluate(ATTACK, demo.url) if attacker != "another origin" else _plain(page, demo)
    assert not any("basic" in said or "cors 2" in said for said in tried.values()), tried
    codes = {line["code"] for line in demo.lines()[before:] if "/ui/" in line["path"]}
    assert codes <= {401, 403}, codes
    page.goto(f"{demo.url}/")
    expect(page.get_by_role("heading", name="What you may open")).to_be_visible()


def _plain(page: Page, demo: Front) -> dict[str, str]:
    """A page of ours may connect nowhere; so one that has no policy."""
    page.goto("about:blank")
    found: dict[str, str] = page.evaluate(ATTACK, demo.url)
    return found


def test_where_pages_are_not_sandboxed_nothing_can_be_pressed(
    browser: Browser, demo: Front, tmp_path: Path
) -> None:
    with another(demo, tmp_path, "--sandbox-pages=false") as front, browser.new_context() as context:
        page = context.new_page()
        page.goto(f"{front.url}/")
        page.get_by_label("Token").fill(front.token("carol"))
        page.get_by_role("button", name="Sign in").click()
        for path in ("/ui/ops", "/ui/events?for=portal"):
            answer = page.goto(f"{front.url}{path}")
            assert answer is not None
            assert answer.status == 403
