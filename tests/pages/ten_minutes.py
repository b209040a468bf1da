"""A newcomer's ten minutes in Chromium: `python -m tests.pages.ten_minutes docs/images`.

Sign in with a token, open an application, break a pod of it, see it in the portal, read why.  It says what it
does and how long the portal took to show it; the folder gets the pictures of docs/guides/portal.md.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.demo.conftest import running_browser
from tests.demo.fronts import running_demo

ROW = '[data-ref="shop/services/frontend"]'
WITHIN = 25.0  # seconds: two rounds of the demo's probes, and what a look takes


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as files,
        running_demo(Path(files)) as demo,
        running_browser() as browser,
    ):
        page = browser.new_context(viewport={"width": 1040, "height": 760}).new_page()
        page.goto(demo.url)
        _picture(page, folder, "sign-in", "opened the bastion: it asks who you are")
        page.get_by_label("Token").fill(demo.token("alice"))
        page.get_by_role("button", name="Sign in").click()
        row = page.locator(ROW)
        expect(row.locator(".health")).to_have_text("Up", timeout=30_000)
        _picture(page, folder, "portal", "signed in: what alice may open, and how it is")
        row.get_by_role("link", name="Open Storefront").click()
        page.get_by_role("link", name="break this pod").click()
        said = page.inner_text("body").strip()
        begun = time.monotonic()
        page.goto(demo.url)
        expect(page.locator(ROW).locator(".health")).to_have_text("Degraded", timeout=WITHIN * 1000)
        seconds = time.monotonic() - begun
        _picture(page, folder, "portal-degraded", f"{said}: the portal shows it after {seconds:.0f} s")
        page.locator(ROW).locator(".name a").click()
        expect(page.get_by_text("One of two endpoints")).to_be_visible()
        _picture(page, folder, "target-degraded", page.locator("p.note").inner_text().strip())


def _picture(page: Page, folder: Path, name: str, said: str) -> None:
    page.screenshot(path=str(folder / f"{name}.png"))
    print(f"{name}: {said}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/images"))
