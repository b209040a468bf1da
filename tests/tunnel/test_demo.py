"""The demo's WebSocket, as a newcomer pastes it and as a browser opens it."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import json
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness import Program, free_port
from tests.tunnel.processes import eventually

PATH = "/api/v1/namespaces/shop/services/chat/proxy/"


@dataclass(frozen=True, slots=True)
class Demo:
    """A running `bastion demo`; `folder` is where it wrote what clients need."""

    program: Program
    port: int
    folder: Path

    def token(self, user: str) -> str:
        with (self.folder / "tokens.csv").open() as file:
            return next(row[0] for row in csv.reader(file) if row[1] == user)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """Its workloads have addresses of their own: where another demo runs on this machine, its end is waited for."""
    for attempt in range(30):
        folder = tmp_path_factory.mktemp("demo")
        port = free_port()
        program = Program(folder, "demo", "--port", port, "--directory", folder / "files")
        try:
            while "Ctrl-C here ends the demo." not in program.stdout and program.process.poll() is None:
                time.sleep(0.02)
            if program.process.poll() is not None and "cannot listen" in program.stderr and attempt < 29:
                time.sleep(1)
                continue
            assert program.process.poll() is None, program.stderr
            yield Demo(program, port, folder / "files")
            return
        finally:
            program.end()


def test_the_line_to_paste_talks_to_the_chat(demo: Demo) -> None:
    lines = demo.program.stdout.splitlines()
    (at,) = (number for number, line in enumerate(lines) if line.startswith("A WebSocket"))
    done = subprocess.run(lines[at + 1], shell=True, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("chat-0: hello\n", "")


def test_the_same_line_with_another_users_token_is_refused(demo: Demo) -> None:
    line = next(line for line in demo.program.stdout.splitlines() if "websockets.sync" in line)
    done = subprocess.run(line.replace(demo.token("alice"), demo.token("carol")), shell=True, capture_output=True, text=True, timeout=60)
    assert done.stdout == ""
    assert "HTTP 403" in done.stderr


# --- a browser

PAGE = """<!doctype html><meta charset="utf-8"><title>chat</title><script>
const encode = token => "base64url.bearer.authorization.k8s.io." + btoa(token).replace(/[+]/g, "-").replace(/[/]/g, "_").replace(/=/g, "");

function talk(token) {
  return new Promise(resolve => {
    const said = [], chat = new WebSocket(URL_OF_CHAT, [encode(token), "chat"]);
    const messages = ["grüße", "x".repeat(100000), new Uint8Array([0, 1, 254, 255])];
    chat.binaryType = "arraybuffer";
    chat.onopen = () => chat.send(messages.shift());
    chat.onmessage = event => {
      said.push(typeof event.data === "string" ? event.data : Array.from(new Uint8Array(event.data)));
      messages.length ? chat.send(messages.shift()) : chat.close(4001, "enough");
    };
    chat.onclose = event => resolve({protocol: chat.protocol, said, code: event.code, clean: event.wasClean});
  });
}

(async () => {
  const result = [await talk(ALICE), await talk("nobody's"), await talk(CAROL)];
  await fetch("/result", {method: "POST", body: JSON.stringify(result)});
})();
</script>
"""


@contextlib.asynccontextmanager
async def page(html: str) -> AsyncIterator[tuple[str, asyncio.Future[Any]]]:
    """(where the page is, what it posts to /result)."""
    posted: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            body = b""
            if head.startswith("GET / "):
                body = html.encode()
            elif head.startswith("POST /result"):
                (length,) = (line.partition(":")[2] for line in head.split("\r\n") if line.lower().startswith("content-length:"))
                posted.set_result(json.loads(await reader.readexactly(int(length))))
            head = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            writer.write(head.encode() + body)
            await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", posted


@contextlib.asynccontextmanager
async def browser(program: str, folder: Path, url: str) -> AsyncIterator[asyncio.subprocess.Process]:
    words = (
        "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-sync "
        "--disable-component-update --disable-dev-shm-usage --no-proxy-server --ignore-certificate-errors"
    )
    quiet = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(
        program, *words.split(), f"--user-data-dir={folder}", url, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # it has many processes, and all are of its session
        await process.wait()


@pytest.mark.timeout(600)  # the first time it may have to be installed
def test_a_browser_talks_to_the_chat(demo: Demo, chromium: str, tmp_path: Path) -> None:
    html = PAGE.replace("URL_OF_CHAT", json.dumps(f"wss://localhost:{demo.port}{PATH}"))
    html = html.replace("ALICE", json.dumps(demo.token("alice"))).replace("CAROL", json.dumps(demo.token("carol")))

    async def main() -> Any:
        async with page(html) as (url, posted), browser(chromium, tmp_path, url):
            return await asyncio.wait_for(posted, 60)

    alice, nobody, carol = asyncio.run(main())
    assert (alice["protocol"], alice["code"], alice["clean"]) == ("chat", 4001, True)
    assert alice["said"] == ["chat-0: grüße", "chat-0: " + "x" * 100_000, [*b"chat-0: ", 0, 1, 254, 255]]
    assert nobody == carol == {"protocol": "", "said": [], "code": 1006, "clean": False}
    log = demo.folder / "access.log"
    asyncio.run(eventually(lambda: all(f'"code":{code}' in log.read_text() for code in (101, 401, 403))))
    assert demo.token("alice") not in log.read_text()
