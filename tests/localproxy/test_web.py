"""In a real browser: what pages of other sites and of applications get from the proxy, and start by it."""

from __future__ import annotations

import contextlib
import http.server
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.demo.conftest import running_browser
from tests.localproxy.ground import kubeconfig
from tests.localproxy.test_program import started

APPLICATION = "/api/v1/namespaces/n/services/s/proxy/"
# Each gives "no", or what it got.
TRIES = {
    "fetch": "fetch(U, {credentials: 'include'}).then(got)",
    "fetch without cors": "fetch(U, {mode: 'no-cors'}).then(got)",
    "post": "fetch(U, {method: 'POST', mode: 'no-cors', body: new Blob(['{}'])}).then(got)",
    "delete": "fetch(U, {method: 'DELETE'}).then(got)",
    "beacon": "new Promise(d => { navigator.sendBeacon(U, '{}'); setTimeout(() => d('no'), 200) })",
    "image": "new Promise(d => { const i = new Image(); i.onload = () => d('got');"
    " i.onerror = () => d('no'); i.src = U })",
    "script": "new Promise(d => { const s = document.createElement('script'); s.onload = () => d('got');"
    " s.onerror = () => d('no'); s.src = U; document.head.append(s) })",
    "websocket": "new Promise(d => { const w = new WebSocket(U.replace('http', 'ws'));"
    " w.onopen = () => d('got'); w.onerror = () => d('no') })",
    "events": "new Promise(d => { const e = new EventSource(U);"
    " e.onopen = () => d('got'); e.onerror = () => { e.close(); d('no') } })",
    "form": "new Promise(d => { const f = document.createElement('form'); f.method = 'POST'; f.action = U;"
    " f.target = 'frame'; const i = document.createElement('iframe'); i.name = 'frame';"
    " i.onload = () => setTimeout(() => d('no'), 100); document.body.append(i, f); f.submit() })",
}


@dataclass
class Site:
    """A server that gives the same page to everybody, and remembers what it was asked for."""

    asked: list[str] = field(default_factory=list)
    port: int = 0

    @contextlib.contextmanager
    def serving(self, address: str = "127.0.0.1") -> Iterator[Site]:
        site = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def handle_any(self) -> None:
                site.asked.append(f"{self.command} {self.path}")
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                body = b"<!doctype html><title>page</title>"
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = do_DELETE = do_OPTIONS = handle_any

            def log_message(self, format: str, *args: Any) -> None:
                pass

        with http.server.ThreadingHTTPServer((address, 0), Handler) as server:
            self.port = server.server_address[1]
            threading.Thread(target=server.serve_forever, daemon=True).start()
            yield self
            server.shutdown()


@pytest.fixture(scope="module")
def api() -> Iterator[Site]:
    with Site().serving() as site:
        yield site


@pytest.fixture(scope="module")
def port(api: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    folder = tmp_path_factory.mktemp("web")
    config = folder / "own"
    config.write_text(json.dumps(kubeconfig(f"http://127.0.0.1:{api.port}")))
    flags = ["--port=0", "--rewrite", "--reject-paths=", f"--www={folder}", f"--kubeconfig={config}"]
    with started(folder, *flags) as (_, line):
        yield int(line.rpartition(":")[2])


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_browser() as running:
        yield running


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with browser.new_context() as context:
        yield context.new_page()


def attempts(page: Page, there: str) -> dict[str, str]:
    """What each try gives."""
    tries = ", ".join(f"[{json.dumps(name)}, async () => {how}]" for name, how in TRIES.items())
    script = (
        "async U => { const got = r => r.ok ? r.text() : 'no', all = {};"
        f" for (const [name, attempt] of [{tries}]) all[name] = await attempt().catch(() => 'no');"
        " return all }"
    )
    found = page.evaluate(script, there)
    assert isinstance(found, dict)
    return found


NOTHING = dict.fromkeys(TRIES, "no")


def test_a_page_of_another_site_gets_nothing_and_starts_nothing(api: Site, port: int, page: Page) -> None:
    with Site().serving("127.77.0.1") as evil:
        page.goto(f"http://127.77.0.1:{evil.port}/")
        for there in (
            f"http://localhost:{port}/api/v1/secrets",
            f"http://127.0.0.1:{port}/api/v1/secrets",
            f"http://localhost:{port}/static/own",
            f"http://s--n.svc.localhost:{port}/secret",
        ):
            api.asked.clear()
            assert (attempts(page, there), api.asked) == (NOTHING, []), there


def test_a_name_that_was_turned_to_this_machine_gets_nothing(api: Site, port: int, page: Page) -> None:
    api.asked.clear()
    response = page.goto(f"http://rebound.localhost:{port}/api/v1/secrets")
    assert response is not None
    assert (response.status, api.asked) == (403, [])
    assert (attempts(page, f"http://rebound.localhost:{port}/api/v1/secrets"), api.asked) == (NOTHING, [])


def test_an_application_reaches_itself_and_not_the_api(api: Site, port: int, page: Page) -> None:
    home = f"http://s--n.svc.localhost:{port}/"
    page.goto(home)
    api.asked.clear()
    for there in (f"http://localhost:{port}/api/v1/secrets", f"http://127.0.0.1:{port}/api/v1/secrets"):
        assert attempts(page, there) == NOTHING, there
    got = attempts(page, home + "own")
    assert "page" in got["fetch"]
    assert f"POST {APPLICATION}own" in api.asked
    assert all(line.split()[1].startswith(APPLICATION) for line in api.asked)
