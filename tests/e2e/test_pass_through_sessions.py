"""A session of the sign-in page and calls of the API, in a browser.

Whatever a page of another site makes it send is nobody's; what a page of the bastion's own sends counts by
--pass-through-sessions alone.
"""

from __future__ import annotations

import http.server
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness import ALICE, Bastion, Cluster, objects, serving
from tests.e2e.kubeapi import KubeApi
from tests.e2e.test_pass_through import READ

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")

WHO = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
PODS = "/api/v1/namespaces/default/pods"
EXEC = f"{PODS}/pod-1/exec?command=id&stdout=true"
ASK = """async ([method, url, kind]) => {
  const made = {method, credentials: 'include', mode: kind === 'text/plain' ? 'no-cors' : 'cors'};
  if (method === 'POST') { made.body = '{}'; made.headers = {'Content-Type': kind}; }
  try { const r = await fetch(url, made); return [r.status, await r.text()] } catch (e) { return [-1, ''] }
}"""
SOCKET = """url => new Promise(done => {
  const s = new WebSocket(url, 'v5.channel.k8s.io');
  s.onopen = () => done('open'); s.onerror = () => done('error') })"""
FORM = """url => {
  const f = document.createElement('form'); f.method = 'POST'; f.action = url; f.enctype = 'text/plain';
  document.body.append(f); f.submit() }"""


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<body>a game</body>")

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[str]:
    """A page of another site."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://other.test:{server.server_port}/"
        server.shutdown()


@contextmanager
def signed_in(cluster: Cluster, folder: Path, *flags: str) -> Iterator[tuple[Any, Bastion]]:
    """A page of the bastion's own origin, whose reader has signed in as alice."""
    with KubeApi(folder) as api:
        api.show([*objects(), *READ])
        source = ("--kubeconfig", api.kubeconfig, "--pass-through", *flags)
        with serving(cluster, folder, source=source) as bastion, playwright.sync_playwright() as engine:
            maps = "MAP bastion.test 127.0.0.1, MAP other.test 127.0.0.1"
            browser = engine.chromium.launch(
                executable_path=CHROMIUM, args=["--no-sandbox", f"--host-resolver-rules={maps}"]
            )
            try:
                page = browser.new_context(ignore_https_errors=True).new_page()
                page.goto(f"https://bastion.test:{bastion.port}/.bastion/login")
                page.fill("#token", ALICE)
                page.click("button")
                page.wait_for_url(lambda url: "login" not in url or "done" in url, timeout=15000)
                yield page, bastion
            finally:
                browser.close()


def codes(bastion: Bastion, path: str) -> set[int]:
    """What was answered there, and by no session."""
    return {line["code"] for line in bastion.lines() if line.get("path") == path.partition("?")[0]}


@pytest.mark.parametrize("counts", [False, True])
def test_a_session_counts_for_pages_of_the_bastions_own_alone(
    cluster: Cluster, tmp_path: Path, elsewhere: str, counts: bool
) -> None:
    with signed_in(cluster, tmp_path, *(("--pass-through-sessions",) if counts else ())) as (page, bastion):
        own = f"https://bastion.test:{bastion.port}"
        page.goto(elsewhere)
        for kind in ("text/plain", "application/json"):
            assert page.evaluate(ASK, ["POST", own + WHO, kind])[0] in (0, -1)
        assert page.evaluate(ASK, ["GET", own + PODS, "application/json"])[0] == -1
        assert page.evaluate(SOCKET, own.replace("https", "wss") + EXEC) == "error"
        page.evaluate(FORM, own + WHO)
        page.wait_for_url(own + WHO)
        assert "alice" not in page.content()
        assert codes(bastion, WHO) <= {401, 403, 405}, "a write of another site was somebody's"
        assert codes(bastion, PODS) <= {401, 403}
        assert codes(bastion, EXEC) <= {401, 403}, "exec of another site was somebody's"

        page.goto(f"{own}/version")
        status, body = page.evaluate(ASK, ["POST", own + WHO, "application/json"])
        assert (status == 201 and '"alice"' in body) == counts, (status, body)
        listed, _ = page.evaluate(ASK, ["GET", own + PODS, "application/json"])
        assert (listed == 200) == counts
        simple, _ = page.evaluate(
            "url => fetch(url, {method: 'POST', body: '{}'}).then(r => [r.status, ''])", own + WHO
        )
        assert simple in (401, 403), "what a form could send never counts"
