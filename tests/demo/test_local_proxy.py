"""What can a web page do with a `bastion proxy` that runs on its visitor's machine?

Nothing: no request comes through, whatever the page makes the browser send.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.demo.test_cross_site import ATTACK, SUBMIT

pytestmark = pytest.mark.timeout(600)  # the first time the browser may have to be installed

ELSEWHERE = "127.77.0.77"  # another host to a browser


class _Server(ThreadingHTTPServer):
    """An API server, or a page of somebody else's; `paths` were asked for."""

    daemon_threads = True

    def __init__(self, host: str) -> None:
        super().__init__((host, 0), _Answers)
        self.paths: list[str] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()


class _Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, _Server)
        if self.path != "/favicon.ico":  # the browser's own wish, for the page that says no
            self.server.paths.append(self.path)
        body = b"<!doctype html><title>secret</title><body>secret</body>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_PUT = do_GET

    def log_message(self, *_: object) -> None:
        pass


@dataclass(frozen=True, slots=True)
class World:
    api: _Server
    proxy: str  # its authority but for the host: ":PORT"
    page: str


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    api, page = _Server("127.0.0.1"), _Server(ELSEWHERE)
    config = {
        "clusters": [{"name": "m", "cluster": {"server": f"http://127.0.0.1:{api.server_port}"}}],
        "contexts": [{"name": "m", "context": {"cluster": "m"}}],
        "current-context": "m",
    }
    folder: Path = tmp_path_factory.mktemp("local")
    (folder / "config").write_text(json.dumps(config))
    (folder / "mine.html").write_text("<title>secret</title>")
    flags = ("--port=0", f"--kubeconfig={folder}/config", f"--www={folder}")
    argv = [sys.executable, "-m", "bastion", "proxy", *flags]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = process.stdout.readline().strip().rpartition(":")[2]
        yield World(api, f":{port}", f"http://{ELSEWHERE}:{page.server_port}/")
        process.terminate()


@pytest.mark.parametrize("path", ["/api/v1/secrets/", "/static/"])
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_a_page_of_another_site_can_neither_read_nor_act(
    page: Page, world: World, host: str, path: str
) -> None:
    world.api.paths.clear()
    target = f"http://{host}{world.proxy}{path}"
    page.goto(world.page)
    page.evaluate(ATTACK, target)
    page.evaluate(SUBMIT, target + "top-level-form")
    page.wait_for_url(target + "top-level-form")
    assert world.api.paths == []
    assert "secret" not in page.content()


def test_a_name_that_is_rebound_to_this_machine_is_refused(page: Page, world: World) -> None:
    world.api.paths.clear()
    for path in ("/api/v1/secrets", "/static/mine.html"):
        # to the browser the page and the proxy are one origin now
        answer = page.goto(f"http://rebound.localhost{world.proxy}{path}")
        assert answer is not None
        assert answer.status == 403
        assert "secret" not in page.content()
    assert world.api.paths == []


def test_the_user_opens_it(page: Page, world: World) -> None:
    for path in ("/api/v1/secrets", "/static/mine.html"):
        page.goto(f"http://localhost{world.proxy}{path}")
        assert page.title() == "secret"
    status = page.evaluate(
        "fetch('/api/v1/pods', {method: 'POST', body: '{}'}).then(answer => answer.status)"
    )
    assert status == 200
