"""One demo and one browser for all tests here; each has a context, and so cookies, of its own."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.demo.fronts import Front, another, running_demo
from tests.e2e.harness import ROOT

FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync --disable-dev-shm-usage --no-proxy-server"
    " --ignore-certificate-errors"
)
# Every name under localhost is this machine (RFC 6761, 6.3), and there are no others.
ONLY_HERE = (
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE *.localhost, EXCLUDE 127.0.0.1,"
    " EXCLUDE 127.77.*"
)


@pytest.fixture(scope="package")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    with running_demo(tmp_path_factory.mktemp("demo")) as front:
        yield front


@pytest.fixture(scope="package")
def unsandboxed(demo: Front, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    with another(demo, tmp_path_factory.mktemp("unsandboxed"), "--sandbox-pages=false") as front:
        yield front


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with running_browser() as running:
        yield running


@contextlib.contextmanager
def running_browser() -> Iterator[Browser]:
    """As Playwright drives it, nothing that uses asyncio can run in this thread meanwhile."""
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium(), args=[*FLAGS.split(), ONLY_HERE])
        yield running
        running.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with browser.new_context(viewport={"width": 1000, "height": 800}) as context:
        yield context.new_page()


def chromium() -> str:
    """The project's own tool installs Debian's where there is none."""
    if (found := shutil.which("chromium")) is None:
        done = subprocess.run([ROOT / "tools" / "need-debian", "chromium"], capture_output=True, text=True)
        if (found := shutil.which("chromium")) is None:
            pytest.skip(
                "there is no chromium, and it could not be installed:"
                f" {done.stderr.strip() or done.stdout.strip()}"
            )
    return found
