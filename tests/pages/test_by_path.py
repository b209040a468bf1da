"""An application opened by its path, where there are no host names: what a person is told, and once."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Browser, Page, expect

from tests.demo.fronts import Front, another
from tests.pages.looks import Watched, judged


def sign_in(page: Page, front: Front) -> None:
    page.goto(f"{front.url}/")
    page.get_by_label("Token").fill(front.token("alice"))
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("heading", name="What you may open").wait_for()


def test_it_is_said_once_what_will_not_work_and_a_form_is_told_why(
    browser: Browser, demo: Front, tmp_path: Path
) -> None:
    with another(demo, tmp_path) as front, browser.new_context() as context:
        watched = Watched(context, front.url)
        page = watched.page
        sign_in(page, front)
        url = front.by_path("guestbook")
        page.goto(url)
        expect(page.get_by_role("heading", name="guestbook will look broken here")).to_be_visible()
        assert [wrong for wrong in watched.wrong() if "shifts" not in wrong] == []
        page.get_by_role("link", name="Show the bare page").click()
        page.wait_for_url(url)
        page.reload()
        assert page.url == url
        assert "guestbook" in page.content()
        # the page has no origin, so that what it sends is nobody's
        page.evaluate(
            "url => { const form = document.createElement('form'); form.method = 'post'; form.action = url;"
            " document.body.append(form); form.submit(); }",
            f"{url}sign",
        )
        heading = page.get_by_role("heading", name="This form came from a page without a session")
        expect(heading).to_be_visible()
        assert "alice" not in page.inner_text("body")


def test_the_page_is_fit_for_everybody(browser: Browser, demo: Front, tmp_path: Path) -> None:
    with another(demo, tmp_path) as front, browser.new_context(bypass_csp=True) as context:
        page = context.new_page()
        sign_in(page, front)
        page.goto(front.by_path("guestbook"))
        assert judged(page) == []
