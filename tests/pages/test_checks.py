"""The pages in Chromium at their edges: seven tabs, errors that try again, large type, paper, streams."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Route, expect

from bastion.kube.errorword import Hop
from bastion.message.person import ErrorFacts
from bastion.web.errorpage import error_pages
from bastion.web.frame import LINKS, Frame
from bastion.web.rendering import html
from tests.demo.fronts import Front, another
from tests.pages.conftest import Signed
from tests.pages.looks import SIDEWAYS, Watched
from tests.pages.test_in_chromium import FRONTEND, REFUSED

NO_ENDPOINT = "/api/v1/namespaces/shop/services/frontend:nothing/proxy/"
HIDDEN = "Object.defineProperty(document, 'visibilityState', {get: () => window.__seen ?? 'visible'})"
SEEN = "seen => { window.__seen = seen; document.dispatchEvent(new Event('visibilitychange')); }"


# --- what is kept in the browser


def test_a_pin_of_what_may_no_longer_be_opened_names_nothing(signed: Signed, demo: Front) -> None:
    page = Watched(signed("bob"), demo.url).open("/")
    refs = ["shop/services/frontend", "monitoring/services/ticker", "shop/services/gone"]
    page.evaluate("refs => localStorage.setItem('bastion.pins', JSON.stringify(refs))", refs)
    page.evaluate("refs => localStorage.setItem('bastion.recent', JSON.stringify(refs))", refs)
    page.reload()
    expect(page.locator(".tile")).to_have_count(1)
    assert "frontend" not in page.content()
    assert page.evaluate("window.__shift") < 0.01


# --- live


def test_only_the_tab_that_is_seen_listens_so_that_a_seventh_loads(
    browser: Browser, demo: Front, tmp_path: Path
) -> None:
    """Over HTTP/1.1 a browser keeps six connections to a host."""
    with another(demo, tmp_path, "--http2=false") as front, browser.new_context() as context:
        context.add_init_script(HIDDEN)
        page = context.new_page()
        page.goto(f"{front.url}/")
        page.get_by_label("Token").fill(front.token("alice"))
        page.get_by_role("button", name="Sign in").click()
        for _ in range(7):
            expect(page.locator("#live")).to_contain_text("Live", timeout=15_000)
            page.evaluate(SEEN, "hidden")
            page = context.new_page()
            page.goto(f"{front.url}/", timeout=15_000)
        expect(page.locator(".item:visible")).to_have_count(6)
        expect(page.locator("#live")).to_contain_text("Live", timeout=15_000)


def test_what_is_paused_asks_for_nothing_and_changes_nothing(signed: Signed, demo: Front) -> None:
    watched = Watched(signed("alice"), demo.url)
    page = watched.open("/")
    expect(page.locator("#live")).to_contain_text("Live")
    page.locator("#live").click()
    expect(page.locator("#live")).to_contain_text("Paused")
    before, asked = page.inner_html("#list"), len(watched.asked)
    page.wait_for_timeout(6000)  # more than a beat
    assert page.inner_html("#list") == before
    assert watched.asked[asked:] == []
    expect(page.locator("body.stale")).not_to_be_attached()
    page.locator("#live").click()
    expect(page.locator("#live")).to_contain_text("Live")


def test_reading_the_cluster_becomes_the_portal_by_itself(signed: Signed, demo: Front) -> None:
    page = signed("alice").new_page()
    frame = Frame(0.0, "localhost", "alice", links=LINKS)
    values: dict[str, Any] = {"yaml": "", "lists": [("Pods", "under way, 7 so far")], "done": 0, "since": 0.0}
    text = html(
        "portal-empty.html",
        "n",
        title="Portal",
        here="portal",
        live="",
        root="",
        frame=frame,
        why="syncing",
        **values,
    )
    read = [text, ""]  # of the page, then of the catalog

    def portal(route: Route) -> None:
        if read[0]:
            route.fulfill(body=read[0], content_type="text/html; charset=utf-8")
            read[0] = ""
        else:
            route.continue_()

    def catalog(route: Route) -> None:
        if read[1]:
            route.continue_()
        else:
            read[1] = "now"
            route.fulfill(status=503, body="{}")

    page.route(f"{demo.url}/", portal)
    page.route(re.compile(r"/ui/catalog\?limit=0"), catalog)
    page.goto(f"{demo.url}/")
    expect(page.get_by_role("heading", name="Reading the cluster")).to_be_visible()
    expect(page.locator(".item:visible")).to_have_count(6, timeout=15_000)


# --- errors


def test_an_error_that_may_pass_tries_again_later_and_later_until_told_not_to(
    browser: Browser, demo: Front
) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        page.clock.install()
        body = error_page(503, "GET", "ConnectionRefused")
        page.route(
            f"{demo.url}/", lambda route: route.fulfill(status=503, body=body, content_type="text/html")
        )
        seen = []
        page.goto(f"{demo.url}/")
        for _ in range(5):
            again = page.locator("[data-retry]")
            expect(again).to_contain_text("s)")
            seconds = int(re.findall(r"\((\d+) s\)", again.inner_text())[0])
            seen.append(seconds)
            with page.expect_navigation():
                page.clock.run_for(seconds * 1000 + 50)
        planned = [10, 20, 40, 60, 60]  # of which a slow machine has seen some seconds go by
        assert all(0 <= wait - told <= 5 for wait, told in zip(planned, seen, strict=True)), seen
        page.get_by_role("button", name="Stop trying").click()
        expect(page.locator("[data-retry]")).to_have_text("Try again")
        expect(page.locator("[data-retry]")).to_be_focused()
        page.clock.run_for(120_000)
        expect(page.locator("[data-retry]")).to_have_text("Try again")


@pytest.mark.parametrize(
    ("code", "method", "word"), [(503, "POST", "ConnectionRefused"), (504, "GET", "AnswerTimeout")]
)
def test_what_was_sent_and_what_was_silent_is_never_repeated(code: int, method: str, word: str) -> None:
    assert "data-retry" not in error_page(code, method, word)


def error_page(code: int, method: str, word: str) -> str:
    facts = ErrorFacts(
        code, word, Hop.ENDPOINT, "It does not answer.", "m", "s", "r", "id", method=method, path="/x"
    )
    return error_pages("", signs_in=True)(facts).body.decode()


def test_the_id_on_the_page_is_that_of_one_line_of_the_log(signed: Signed, demo: Front) -> None:
    page = signed("carol").new_page()
    for path in (REFUSED, "/ui/namespaces/shop/services/frontend"):
        page.goto(f"{demo.url}{path}?bastion-path=1")
        (id,) = set(re.findall(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", page.inner_text("main")))
        page.wait_for_timeout(300)
        lines = [line for line in demo.lines() if id in json.dumps(line)]
        assert [(line["code"], line["auditID"]) for line in lines] == [(403, id)]


# --- who sees whom


def test_the_streams_of_others_are_named_to_who_may_list_them(signed: Signed, demo: Front) -> None:
    url = demo.by_path("ticker").replace("/shop/", "/monitoring/")
    bearer = {"Authorization": f"Bearer {demo.token('alice')}"}
    with httpx.stream("GET", url, headers=bearer, verify=False, trust_env=False) as stream:
        next(stream.iter_bytes())
        page = signed("bob").new_page()
        page.goto(f"{demo.url}/ui/namespaces/monitoring/services/ticker")
        expect(page.locator("#live")).to_contain_text("Live")
        text = page.evaluate(
            EVENTS, f"{demo.url}/ui/events?for=target&path=/ui/namespaces/monitoring/services/ticker"
        )
        assert "alice" not in page.content() + text
        assert "stream:" not in text
        assert "event: values" in text


EVENTS = """async url => { const stop = new AbortController();
  const answer = await fetch(url, {signal: stop.signal});
  const reader = answer.body.getReader(); let text = '';
  while (!text.includes('event: values')) text += new TextDecoder().decode((await reader.read()).value);
  stop.abort(); return text; }"""


# --- for everybody's eyes and ears


def test_what_changes_by_itself_is_not_read_out_and_what_one_did_is(signed: Signed, demo: Front) -> None:
    page = Watched(signed("alice"), demo.url).open("/")
    spoken = "[aria-live], [role=status], [role=alert], [role=log], output"
    assert page.evaluate(f"document.querySelector('#list').closest('{spoken}')") is None
    assert page.locator(f"#list :is({spoken})").count() == 0
    page.fill("#q", "orders")
    expect(page.locator("#say")).to_have_text("1 of 6")
    row = page.locator('[data-ref="shop/services/orders"]')
    expect(row).to_contain_text(re.compile("Up|Degraded|Down|Not probed"))
    assert row.locator(".st svg").get_attribute("aria-hidden") == "true"
    page.get_by_role("button", name="Pin Orders API").click()
    expect(page.locator("#say")).to_have_text("Pinned.")


LARGE = {"standard": 32, "fixed": 26}  # pixels, where 16 and 13 are usual
CUT = """() => { return [...document.querySelectorAll('h1, h2, .item .name a, .btn, td, dd, p')].filter(e => {
    const s = getComputedStyle(e);
    return e.offsetWidth && s.overflow === 'hidden' && s.textOverflow !== 'ellipsis'
      && e.scrollWidth > e.clientWidth + 1 }).map(e => e.outerHTML.slice(0, 90)) }"""
PATHS = {"portal": "/", "target": FRONTEND, "status": "/status", "nothing": NO_ENDPOINT}


@pytest.mark.parametrize("name", PATHS)
def test_type_twice_as_large_is_not_cut_and_scrolls_only_down(name: str, signed: Signed, demo: Front) -> None:
    page = Watched(signed("alice"), demo.url).open(f"{PATHS[name]}?bastion-path=1")
    page.context.new_cdp_session(page).send("Page.setFontSizes", {"fontSizes": LARGE})
    for width in (1280, 640):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("getComputedStyle(document.documentElement).fontSize") == "32px"
        assert page.evaluate(CUT) == []
        assert not page.evaluate(SIDEWAYS), width


def test_with_colours_of_the_reader_shapes_stay(signed: Signed, demo: Front) -> None:
    page = Watched(signed("alice", forced_colors="active"), demo.url).open("/status")
    assert page.evaluate("matchMedia('(forced-colors: active)').matches")
    glyph = page.locator(".comp .st svg").first
    assert glyph.bounding_box() is not None
    drawn = "e => [getComputedStyle(e).stroke, getComputedStyle(document.body).backgroundColor]"
    stroke, ground = page.locator(".bars path").first.evaluate(drawn)
    assert stroke not in (ground, "none")


def test_the_status_page_on_paper_has_no_navigation(signed: Signed, demo: Front) -> None:
    page = Watched(signed("alice"), demo.url).open("/status")
    page.emulate_media(media="print")
    assert not page.locator(".top nav").is_visible()
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    expect(page.locator(".comp").first).to_be_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") in (
        "rgb(255, 255, 255)",
        "rgba(0, 0, 0, 0)",
    )
    assert page.pdf(format="A4")[:4] == b"%PDF"
