"""The lines that the demo prints, as a newcomer pastes them."""

from __future__ import annotations

import html
import os
import re
import shutil
import ssl
import subprocess
import sys
from pathlib import Path

import httpx

from tests.demo.fronts import Front


def test_the_line_to_paste_talks_to_the_chat(demo: Front) -> None:
    lines = demo.program.stdout.splitlines()
    (at,) = (number for number, line in enumerate(lines) if line.startswith("A WebSocket"))
    done = subprocess.run(lines[at + 1], shell=True, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("chat-0: hello\n", "")


def test_the_same_line_with_another_users_token_is_refused(demo: Front) -> None:
    line = next(line for line in demo.program.stdout.splitlines() if "websockets.sync" in line)
    done = subprocess.run(
        line.replace(demo.token("alice"), demo.token("carol")),
        shell=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == ""
    assert "HTTP 403" in done.stderr


def test_the_pages_to_open_are_the_sample_sites(demo: Front) -> None:
    lines = {line.strip() for line in demo.program.stdout.splitlines()}
    assert {demo.by_host("guestbook"), demo.by_host("noticeboard"), demo.by_path("guestbook")} <= lines


def test_the_commands_of_a_page_work_as_pasted(demo: Front, tmp_path: Path) -> None:
    """Trusted as a certificate would be; the token is the reader's own, and in no page."""
    person = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate"}
    headers = person | {"Authorization": f"Bearer {demo.token('alice')}"}
    url = f"{demo.url}/ui/namespaces/shop/services/guestbook"
    page = httpx.get(url, headers=headers, verify=False, trust_env=False).text
    assert demo.token("alice") not in page
    reach = page.partition('id="reach"')[2].partition("</section>")[0]
    lines = [html.unescape(line) for line in re.findall("<code>(.*?)</code>", reach, re.DOTALL)]
    assert [line.split()[0] for line in lines] == ["curl", "kubectl", "bastion", "bastion"]
    trusted = tmp_path / "ca.pem"
    trusted.write_text(ssl.get_server_certificate(("localhost", demo.port)))
    variables = {"TOKEN": demo.token("alice"), "CURL_CA_BUNDLE": str(trusted), "SSL_CERT_FILE": str(trusted)}
    variables["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    *once, tunnel = lines
    for line in once:
        if shutil.which(line.split()[0], path=variables["PATH"]):
            done = subprocess.run(
                line, shell=True, env=os.environ | variables, capture_output=True, text=True, timeout=60
            )
            assert (done.returncode, "guestbook" in done.stdout.lower()) == (0, True), (line, done.stderr)
    # one that stays is ended by hand
    with subprocess.Popen(
        f"exec {tunnel}", shell=True, env=os.environ | variables, stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        try:
            said = running.stdout.readline()
            (port,) = re.findall(r":(\d+) -> 80", said)
            assert "guestbook" in httpx.get(f"http://localhost:{port}/", trust_env=False).text.lower()
        finally:
            running.terminate()
