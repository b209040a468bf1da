"""What a page must not do, as a browser sees it."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from playwright.sync_api import BrowserContext, Page

SHIFT = (
    "window.__shift = 0; new PerformanceObserver(list => { for (const e of list.getEntries())"
    " if (!e.hadRecentInput) window.__shift += e.value }).observe({type: 'layout-shift', buffered: true})"
)
SIDEWAYS = "document.documentElement.scrollWidth > innerWidth"
SMALL = (
    "[...document.querySelectorAll('a.btn, button, summary, .top nav a')].filter(e => { const r ="
    " e.getBoundingClientRect(); return r.width && (r.height < 24 || r.width < 24) }).map(e => e.outerHTML)"
)
STOP = """() => { const e = document.activeElement; if (!e || e === document.body) return null;
  const r = e.getBoundingClientRect(), s = getComputedStyle(e);
  return {index: [...document.querySelectorAll('*')].indexOf(e), seen: r.width > 0 && r.height > 0,
    ring: s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 2, what: e.outerHTML.slice(0, 80)} }"""
RULES = ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa", "best-practice"]
AXE = (files("axe_playwright_python") / "axe.min.js").read_text()
WIDTHS = (360, 320)  # what fits there fits where there is more room


class Watched:
    """A page whose complaints and requests are kept."""

    def __init__(self, context: BrowserContext, origin: str) -> None:
        self.origin = origin
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page: Page = context.new_page()
        self.page.on(
            "console", lambda m: self.said.append(m.text) if m.type in ("error", "warning") else None
        )
        self.page.on("pageerror", lambda e: self.said.append(str(e)))
        self.page.on("request", lambda r: self.asked.append(r.url))
        self.page.add_init_script(SHIFT)

    def open(self, path: str) -> Page:
        self.page.goto(f"{self.origin}{path}")
        self.page.wait_for_timeout(150)
        return self.page

    def wrong(self) -> list[str]:
        """All that is wrong with the page as it is."""
        page = self.page
        found = [text for text in self.said if "the server responded with a status of 4" not in text]
        found += [f"asks {url}" for url in self.asked if not url.startswith(self.origin)]
        if page.evaluate("document.querySelectorAll('h1').length") != 1:
            found.append("has not exactly one h1")
        if page.evaluate("document.querySelectorAll('[style]').length"):
            found.append("has style attributes")
        if (shift := page.evaluate("window.__shift")) > 0.01:
            found.append(f"shifts by {shift}")
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            if page.evaluate(SIDEWAYS):
                found.append(f"scrolls sideways at {width} px")
            if width == 360 and (small := page.evaluate(SMALL)):
                found.append(f"too small to hit: {small[:3]}")
        page.set_viewport_size({"width": 1280, "height": 900})
        return found + _tabs(page)


def _tabs(page: Page) -> list[str]:
    """The tab key goes forward, onto what is seen, and each stop shows that it is one."""
    page.evaluate("document.activeElement?.blur(); scrollTo(0, 0)")
    found, last = [], -1
    for _ in range(40):
        page.keyboard.press("Tab")
        at: dict[str, Any] | None = page.evaluate(STOP)
        if at is None or at["index"] < last:
            break
        if not at["seen"] or not at["ring"]:
            found.append(f"focus is not seen: {at['what']}")
        last = at["index"]
    return found if last >= 0 else ["nothing can be focused"]


def judged(page: Page, *, colours: bool = False) -> list[str]:
    """By axe-core; `colours`: by their contrast alone.

    The context must bypass the policy, which the page's own script is held to.
    """
    page.evaluate(AXE)
    rules = {"type": "rule", "values": ["color-contrast"]} if colours else RULES
    found = page.evaluate("rules => axe.run(document, {runOnly: rules})", rules)
    return [
        f"{one['id']}: {one['help']}: {[str(node['target'][0]) for node in one['nodes'][:3]]}"
        for one in found["violations"]
    ]
