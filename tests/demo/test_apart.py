"""What do two applications know of each other's cookies, and of the bastion's own?"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page

from bastion.demo.run import HOST_SUFFIX
from tests.demo.fronts import SITES, Front, arrive, bare

pytestmark = pytest.mark.timeout(600)  # the first time the browser may have to be installed

By = Callable[[Front, str], str]
Fronts = dict[str, Front]
SET = (
    "cookie => { try { document.cookie = cookie; } catch (error) { if (error.name !== 'SecurityError') throw"
    " error; } }"
)
MODES = [("demo", Front.by_host), ("unsandboxed", Front.by_path), ("demo", Front.by_path)]


@pytest.fixture
def fronts(demo: Front, unsandboxed: Front) -> Fronts:
    return {"demo": demo, "unsandboxed": unsandboxed}


@pytest.mark.parametrize(("name", "by"), MODES)
def test_what_an_application_sets_stays_with_it(page: Page, fronts: Fronts, name: str, by: By) -> None:
    front = fronts[name]
    guestbook, noticeboard = by(front, "guestbook"), by(front, "noticeboard")
    arrive(page, front, guestbook)
    secret = _secret(page)
    page.goto(bare(noticeboard))
    assert page.url.partition("?")[0] == noticeboard  # signed in already
    assert _sent(page) == ["none"]
    assert secret not in _script_sees(page)
    own = _bastions_own(page)
    page.goto(f"{noticeboard}greedy")
    page.goto(noticeboard)
    assert _sent(page) == ["__Host-csrf", "tossed", "visits"]
    assert "bastion_" not in _script_sees(page)
    page.goto(guestbook)
    assert (_sent(page), _secret(page)) == (["__Host-csrf", "visits"], secret)
    assert _bastions_own(page) == own
    assert own
    told = {site: " ".join(request["cookie"] for request in front.seen(site)) for site in SITES}
    assert secret in told["guestbook"]
    assert secret not in told["noticeboard"]
    assert "bastion" not in told["guestbook"] + told["noticeboard"]


AT_GUESTBOOK = "Path=/api/v1/namespaces/shop/services/guestbook/proxy"


@pytest.mark.parametrize(
    ("name", "by", "cookies", "reaching"),
    [
        (
            "demo",
            Front.by_host,
            [
                f"at-host=1; Path=/; Domain=guestbook--shop.svc.{HOST_SUFFIX}",
                f"__Host-csrf=1; Path=/; Secure; Domain=svc.{HOST_SUFFIX}",
                f"at-parent=1; Path=/; Domain=svc.{HOST_SUFFIX}",
            ],
            # Browsers let scripts set cookies for a parent domain that is no public suffix; nobody in between
            # could tell.
            {"at-parent"},
        ),
        ("demo", Front.by_path, [f"at-path=1; {AT_GUESTBOOK}"], set()),
        # What the sandbox is for.
        ("unsandboxed", Front.by_path, [f"at-path=1; {AT_GUESTBOOK}"], {"at-path"}),
    ],
)
def test_what_a_script_sets(
    page: Page, fronts: Fronts, name: str, by: By, cookies: list[str], reaching: set[str]
) -> None:
    front = fronts[name]
    arrive(page, front, by(front, "guestbook"))
    secret = _secret(page)
    page.goto(by(front, "noticeboard"))
    for cookie in cookies:
        page.evaluate(SET, cookie)
    page.goto(by(front, "guestbook"))
    assert (set(_sent(page)), _secret(page)) == ({"__Host-csrf", "visits"} | reaching, secret)


def _sent(page: Page) -> list[str]:
    """The names of the cookies that came with the request for this page."""
    return (page.locator("#sent").text_content() or "").split(", ")


def _secret(page: Page) -> str:
    """The value of this application's `__Host-` cookie."""
    value = page.locator("[name=csrf]").get_attribute("value")
    assert value
    return value


def _script_sees(page: Page) -> str:
    seen: str = page.evaluate(
        "() => { try { return document.cookie; } catch (error) { return error.name; } }"
    )
    return seen


def _bastions_own(page: Page) -> set[tuple[str, ...]]:
    own = (cookie for cookie in page.context.cookies() if cookie["name"].startswith("__Host-bastion_"))
    return {(cookie["name"], cookie["domain"], cookie["value"]) for cookie in own}
