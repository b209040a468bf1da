"""From the portal through an issuer to an application on a host name of its own, and back out."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from bastion.message.cookies import SESSION
from tests.demo.fronts import Front

ATTACK = """url => Promise.allSettled([["/logout", "POST"], ["/login/oidc", "GET"]].map(([path, method]) =>
    fetch(url + path, {method, credentials: "include", mode: "no-cors"})))"""


def sign_in(page: Page, user: str) -> None:
    page.get_by_role("link", name="Sign in with Demo").click()
    page.get_by_role("link", name=user, exact=True).click()


def test_in_and_back_out(page: Page, demo: Front) -> None:
    page.goto(f"{demo.url}/")
    expect(page).to_have_url(f"{demo.url}/login")
    sign_in(page, "alice")
    expect(page).to_have_url(f"{demo.url}/")
    expect(page.get_by_text("demo:alice").first).to_be_attached()

    page.goto(demo.by_host("guestbook"))  # signed in there by hand-off, without a question
    expect(page).to_have_url(demo.by_host("guestbook"))
    seen = demo.seen("guestbook")[-1]
    assert SESSION.decode() not in str(seen)

    page.goto(f"{demo.url}/logout")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="You are signed out")).to_be_visible()
    assert not [one for one in page.context.cookies(demo.url) if SESSION.decode() in str(one.get("name"))]
    page.goto(f"{demo.url}/")
    expect(page).to_have_url(f"{demo.url}/login")


def test_an_application_leads_to_the_issuer_and_back(page: Page, demo: Front) -> None:
    page.goto(f"{demo.by_host('guestbook')}about?x=1")
    expect(page).to_have_url(f"{demo.url}/login")
    sign_in(page, "alice")
    expect(page).to_have_url(f"{demo.by_host('guestbook')}about?x=1")


def test_back_after_signing_in_signs_nobody_out(page: Page, demo: Front) -> None:
    page.goto(f"{demo.url}/")
    sign_in(page, "carol")
    expect(page).to_have_url(f"{demo.url}/")
    page.go_back()
    page.goto(f"{demo.url}/")
    expect(page.get_by_text("demo:carol").first).to_be_attached()


def test_another_site_cannot_begin_or_end_a_session(page: Page, demo: Front) -> None:
    page.goto(f"{demo.url}/")
    sign_in(page, "alice")
    page.goto(demo.by_host("noticeboard"))
    page.evaluate(ATTACK, demo.url)
    page.goto(f"{demo.url}/")
    expect(page.get_by_text("demo:alice").first).to_be_attached()
    callback = page.goto(f"{demo.url}/login/oidc/callback?code=x&state=y")
    assert callback is not None
    assert callback.status == 400
    expect(page.get_by_role("heading", name="This sign-in did not begin here")).to_be_visible()
