"""What can a page of somebody else do with a visitor's session?

Nothing: the application does not even hear of it.
"""

from __future__ import annotations

import contextlib
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Page

from bastion.demo.run import HOST_SUFFIX
from bastion.runtime.certificates import Authority
from tests.demo.fronts import Front, arrive

pytestmark = pytest.mark.timeout(600)  # the first time the browser may have to be installed

# Everything that a page can make a browser send, each at a path of its own below `target`.
ATTACK = """async target => {
  const load = (kind, more = {}) => new Promise(resolve => {
    const element = Object.assign(document.createElement(kind), more);
    element.onload = element.onerror = resolve;
    element.src = target + kind;
    document.body.append(element);
  });
  const submit = () => new Promise(resolve => {
    const frame = Object.assign(document.createElement("iframe"), {name: "result"});
    const form = Object.assign(document.createElement("form"), {
      method: "post", action: target + "form", target: "result"
    });
    document.body.append(frame, form);
    frame.onload = resolve;  // not of the empty page that was there at once
    form.submit();
  });
  const socket = () => new Promise(resolve => {
    new WebSocket(target.replace("http", "ws") + "websocket").onclose = resolve;
  });
  const ask = (kind, options) => fetch(target + kind, {credentials: "include", ...options});
  await Promise.allSettled([
    load("img"), load("script"), load("iframe"), submit(), socket(),
    ask("fetch", {mode: "no-cors"}), ask("post", {mode: "no-cors", method: "POST", body: "text=mine"}),
    ask("cors", {}), ask("put", {method: "PUT"}),
  ]);
}"""
SUBMIT = """action => {
  const form = Object.assign(document.createElement("form"), {method: "post", action});
  document.body.append(form);
  form.submit();
}"""
SENT = {"img", "script", "iframe", "form", "websocket", "fetch", "post", "cors", "put", "top-level-form"}


class _EmptyPage(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>elsewhere</title><body>")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a web server that is not the bastion, under whichever name."""
    pair, folder = Authority("elsewhere").issue(["localhost"]), tmp_path_factory.mktemp("elsewhere")
    (folder / "crt").write_bytes(pair.certificate)
    (folder / "key").write_bytes(pair.key)
    with _serving(folder) as port:
        yield port


@contextlib.contextmanager
def _serving(folder: Path) -> Iterator[int]:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(folder / "crt", folder / "key")
    with ThreadingHTTPServer(("127.0.0.1", 0), _EmptyPage) as server:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


By = Callable[[Front, str], str]


@pytest.mark.parametrize(
    ("attacker", "by"),
    [
        # Another site.
        ("127.0.0.1", Front.by_path),
        ("127.0.0.1", Front.by_host),
        # To a browser the same site as the bastion, and as the applications: SameSite cookies are sent along,
        # whatever the port.
        ("localhost", Front.by_path),
        (f"evil.svc.{HOST_SUFFIX}", Front.by_host),
        # Another application.
        ("", Front.by_path),
        ("", Front.by_host),
    ],
)
def test_a_page_from_elsewhere_cannot_act_with_the_session(
    page: Page, demo: Front, elsewhere: int, attacker: str, by: By
) -> None:
    victim = by(demo, "guestbook")
    arrive(page, demo, victim)
    page.goto(f"https://{attacker}:{elsewhere}/" if attacker else by(demo, "noticeboard"))
    mark = f"from-{attacker or 'noticeboard'}-{by.__name__}-"
    page.evaluate(ATTACK, victim + mark)
    with page.expect_navigation():
        page.evaluate(SUBMIT, f"{victim}{mark}top-level-form")

    def arrived() -> dict[str, dict[int, str | None]]:
        """What came of it at the bastion: kind -> code -> endpoint."""
        found: dict[str, dict[int, str | None]] = {}
        for line in demo.lines():
            if mark in line["path"]:
                found.setdefault(line["path"].partition(mark)[2], {})[line["code"]] = line.get("endpoint")
        return found

    demo.program.until(lambda: arrived().keys() >= SENT)
    assert all(codes.keys() <= {401, 303} and not any(codes.values()) for codes in arrived().values()), (
        arrived()
    )
    page.goto(f"{victim}{mark}visit")  # the visitor still can
    assert [request["target"] for request in demo.seen("guestbook") if mark in request["target"]] == [
        f"/{mark}visit"
    ]


def test_without_the_sandbox_an_application_acts_on_another(page: Page, unsandboxed: Front) -> None:
    """Under a path they share an origin: this is what the sandbox is for."""
    arrive(page, unsandboxed, unsandboxed.by_path("noticeboard"))
    assert (
        page.evaluate(
            "url => fetch(url).then(answer => answer.status)",
            unsandboxed.by_path("guestbook") + "from-an-application",
        )
        == 404
    )
    assert [
        request["method"]
        for request in unsandboxed.seen("guestbook")
        if request["target"] == "/from-an-application"
    ] == ["GET"]
