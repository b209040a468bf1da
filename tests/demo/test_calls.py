"""What can a session of the sign-in page do at the API, where calls are passed on?

Nothing, unless it is asked for; then what a person and the bastion's own pages ask, and nobody else's page.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page

from tests.demo.fronts import Front, another, bare
from tests.demo.test_cross_site import ATTACK, SENT, SUBMIT, elsewhere

__all__ = ["elsewhere"]

pytestmark = pytest.mark.timeout(600)  # the first time the browser may have to be installed

PODS = "/api/v1/namespaces/shop/pods"
EXEC = f"{PODS}/frontend/exec?command=id&stdout=true"


@pytest.fixture(scope="module", params=["without", "with"])
def passing(
    request: pytest.FixtureRequest, demo: Front, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Front, bool]]:
    sessions = request.param == "with"
    flags = ("--pass-through", *(("--pass-through-sessions",) if sessions else ()))
    with another(demo, tmp_path_factory.mktemp("passing"), *flags) as front:
        yield front, sessions


def sign_in(page: Page, front: Front) -> None:
    page.goto(f"{front.url}/.bastion/login")
    page.get_by_label("Token").fill(front.token("alice"))
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("heading", name="What you may open").wait_for()


def codes(front: Front, mark: str) -> dict[str, set[int]]:
    found: dict[str, set[int]] = {}
    for line in front.lines():
        if mark in line["path"]:
            found.setdefault(line["path"].partition(mark)[2], set()).add(line["code"])
    return found


def test_a_person_at_the_address_bar(page: Page, passing: tuple[Front, bool]) -> None:
    front, sessions = passing
    sign_in(page, front)
    answer = page.goto(f"{front.url}{PODS}/person")
    assert answer is not None
    assert (answer.status != 401) is sessions


@pytest.mark.parametrize("attacker", ["127.0.0.1", "localhost", "application"])
def test_no_other_page_calls_with_it(
    page: Page, passing: tuple[Front, bool], elsewhere: int, attacker: str
) -> None:
    front, sessions = passing
    sign_in(page, front)
    page.goto(
        bare(front.by_path("noticeboard"))
        if attacker == "application"
        else f"https://{attacker}:{elsewhere}/"
    )
    mark = f"from-{attacker}-{sessions}-"
    page.evaluate(ATTACK, f"{front.url}{PODS}/{mark}")
    with page.expect_navigation():
        page.evaluate(SUBMIT, f"{front.url}{PODS}/{mark}top-level-form")
    front.program.until(lambda: codes(front, mark).keys() >= SENT)
    assert set().union(*codes(front, mark).values()) == {401}, codes(front, mark)


@pytest.mark.parametrize("attacker", ["127.0.0.1", "localhost", "application"])
def test_no_other_page_opens_a_shell_with_it(
    page: Page, passing: tuple[Front, bool], elsewhere: int, attacker: str
) -> None:
    front, _ = passing
    sign_in(page, front)
    page.goto(
        bare(front.by_path("noticeboard"))
        if attacker == "application"
        else f"https://{attacker}:{elsewhere}/"
    )
    before = len(front.lines())
    page.evaluate(
        "url => new Promise(done => { new WebSocket(url, ['v5.channel.k8s.io']).onclose = done; })",
        front.url.replace("https", "wss") + EXEC,
    )
    front.program.until(lambda: any("/exec" in line["path"] for line in front.lines()[before:]))
    assert {line["code"] for line in front.lines()[before:] if "/exec" in line["path"]} == {401}
