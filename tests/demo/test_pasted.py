"""The lines that the demo prints, as a newcomer pastes them."""

from __future__ import annotations

import subprocess

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
