"""The demo's chat from a browser that shows its token in a WebSocket's subprotocol."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page

from tests.demo.fronts import Front

pytestmark = pytest.mark.timeout(600)  # the first time the browser may have to be installed

TALK = """([url, token]) => new Promise(resolve => {
  const encoded = btoa(token).replace(/[+]/g, "-").replace(/[/]/g, "_").replace(/=/g, "");
  const said = [], chat = new WebSocket(url, ["base64url.bearer.authorization.k8s.io." + encoded, "chat"]);
  const messages = ["grüße", "x".repeat(100000), new Uint8Array([0, 1, 254, 255])];
  chat.binaryType = "arraybuffer";
  chat.onopen = () => chat.send(messages.shift());
  chat.onmessage = event => {
    said.push(typeof event.data === "string" ? event.data : Array.from(new Uint8Array(event.data)));
    messages.length ? chat.send(messages.shift()) : chat.close(4001, "enough");
  };
  chat.onclose = event => resolve({protocol: chat.protocol, said, code: event.code, clean: event.wasClean});
})"""


def test_a_browser_talks_to_the_chat(page: Page, demo: Front) -> None:
    url = demo.by_path("chat").replace("https", "wss", 1)
    alice, nobody, carol = (
        page.evaluate(TALK, [url, token]) for token in (demo.token("alice"), "nobody's", demo.token("carol"))
    )
    assert (alice["protocol"], alice["code"], alice["clean"]) == ("chat", 4001, True)
    assert alice["said"] == ["chat-0: grüße", "chat-0: " + "x" * 100_000, [*b"chat-0: ", 0, 1, 254, 255]]
    assert nobody == carol == {"protocol": "", "said": [], "code": 1006, "clean": False}
    demo.program.until(
        lambda: {101, 401, 403} <= {line["code"] for line in demo.lines() if "/chat/" in line["path"]}
    )
    assert demo.token("alice") not in demo.log()


def test_where_it_has_an_http2_connection_it_talks_over_that(page: Page, demo: Front) -> None:
    """RFC 8441: Chromium opens a WebSocket on the connection that it has for the host."""
    page.goto(demo.by_path("chat").replace("wss", "https", 1))
    assert page.evaluate("performance.getEntriesByType('navigation')[0].nextHopProtocol") == "h2"
    url = demo.by_path("chat").replace("https", "wss", 1)
    said = page.evaluate(TALK, [url, demo.token("alice")])
    assert (said["protocol"], said["code"], said["clean"]) == ("chat", 4001, True)
    demo.program.until(
        lambda: any(
            line["code"] == 101 and line.get("protocol") == "HTTP/2"
            for line in demo.lines()
            if "/chat/" in line["path"]
        )
    )
