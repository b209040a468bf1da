"""The demo and one Chromium for the tests of the pages; each user signs in once."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext

from tests.demo.conftest import running_browser
from tests.demo.fronts import Front, running_demo

Signed = Callable[..., BrowserContext]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    with running_demo(tmp_path_factory.mktemp("demo")) as front:
        yield front


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_browser() as running:
        yield running


@pytest.fixture
def signed(browser: Browser, demo: Front, sessions: dict[str, object]) -> Iterator[Signed]:
    """Of a user the context of a browser that is signed in; further arguments are the context's."""
    opened: list[BrowserContext] = []

    def context(user: str, **more: object) -> BrowserContext:
        if user not in sessions:
            with browser.new_context() as first:
                page = first.new_page()
                page.goto(f"{demo.url}/")
                page.get_by_label("Token").fill(demo.token(user))
                page.get_by_role("button", name="Sign in").click()
                page.get_by_role("heading", name="What you may open").wait_for()
                sessions[user] = first.storage_state()
        made = browser.new_context(storage_state=sessions[user], **more)  # type: ignore[arg-type]
        opened.append(made)
        return made

    yield context
    for one in opened:
        one.close()


@pytest.fixture(scope="module")
def sessions() -> dict[str, object]:
    return {}
