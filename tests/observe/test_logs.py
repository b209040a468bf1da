"""Is a line of the log one line, and is there never a secret in it?"""

from __future__ import annotations

import json
import logging
import os
import pty
import re
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from bastion.observe.accessline import access_line
from bastion.observe.accesstext import text_line
from bastion.observe.logs import JSONFormatter, TextFormatter, access_lines, configure, written_as
from bastion.observe.texts import redact

JWT = "eyJhbGciOiJSUzI1NiIsImtpZCI6IjEifQ.eyJzdWIiOiJqYW5lIn0.c2lnbmF0dXJl_-"

SECRETS = [
    # the text, what must not be left of it
    pytest.param("Authorization: Bearer hunter2", "hunter2", id="bearer"),
    pytest.param("authorization: bearer hunter2", "hunter2", id="bearer-lower"),
    pytest.param("BEARER \t hunter2", "hunter2", id="bearer-blanks"),
    pytest.param("X-Bastion-Authorization: Bearer hunter2", "hunter2", id="the-bastions-own"),
    pytest.param("(b'Authorization', b'Bearer hunter2')", "hunter2", id="bearer-in-a-repr"),
    pytest.param('{"Authorization":"Bearer hunter2"}', "hunter2", id="bearer-in-JSON"),
    pytest.param("Bearer a,hunter2", "hunter2", id="bearer-with-a-comma"),
    pytest.param("Authorization: Basic amFuZTpodW50ZXIy", "amFuZTpodW50ZXIy", id="basic"),
    pytest.param("Proxy-Authorization: basic amFuZTpodW50ZXIy", "amFuZTpodW50ZXIy", id="basic-proxy"),
    pytest.param(f"cannot read {JWT} at all", "c2lnbmF0dXJl", id="a-bare-JWT"),
    pytest.param(
        "Sec-WebSocket-Protocol: base64url.bearer.authorization.k8s.io.aHVudGVyMg, v5",
        "aHVudGVyMg",
        id="subprotocol",
    ),
    pytest.param("GET /x?access_token=hunter2&y=1", "hunter2", id="access_token"),
    pytest.param("GET /x?token=hunter2", "hunter2", id="token"),
    pytest.param("GET /x?id_token=hunter2#f", "hunter2", id="id_token"),
    pytest.param("refresh_token=hunter2", "hunter2", id="refresh_token"),
    pytest.param("client_secret=hunter2", "hunter2", id="client_secret"),
    pytest.param("PASSWORD=hunter2", "hunter2", id="password"),
    pytest.param("api_key=hunter2", "hunter2", id="api_key"),
    pytest.param('{"spec":{"token":"hunter2"}}', "hunter2", id="a-token-review"),
    pytest.param("{'token': 'hunter2'}", "hunter2", id="a-token-in-a-repr"),
    pytest.param("token: hunter2", "hunter2", id="a-token-in-YAML"),
    pytest.param("https://jane:hunter2@api.example/", "hunter2", id="a-password-in-a-URL"),
    pytest.param("GET /x?code=hunter2", "hunter2", id="a-query"),
    pytest.param("'/x/?hunter2'", "hunter2", id="a-query-without-a-name"),
    pytest.param(
        "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----", "hunter2", id="a-private-key"
    ),
]


@pytest.mark.parametrize(("text", "secret"), SECRETS)
def test_a_credential_is_cut_out(text: Any, secret: Any) -> None:
    assert secret not in redact(text)
    assert "[redacted]" in redact(text)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("GET /x?access_token=hunter2&y=1 by jane", "GET /x?[redacted] by jane"),
        ("GET https://api/pods?hunter2 HTTP/1.1", "GET https://api/pods?[redacted] HTTP/1.1"),
        ("token=hunter2&y=1 by jane", "&y=1 by jane"),
        ("Bearer hunter2 of jane", " of jane"),
        ("before Basic eA== after", "before "),
        (f"before {JWT} after", " after"),
    ],
)
def test_what_stands_beside_it_is_left(text: Any, left: Any) -> None:
    assert left in redact(text)


@pytest.mark.parametrize(
    "text",
    [
        "user jane cannot get pods/proxy",
        "TLS to 10.0.0.1:443 is not verified",
        "tokens are read from tokens.csv",
        "cannot read pods from the API server: 401",
        "eyJ is how a token begins",
        "which headers name the user?",
        "who? nobody knows",
        "limitz: unknown section (did you mean limits?); nothing changes",
    ],
)
def test_what_is_no_secret_stays(text: Any) -> None:
    assert redact(text) == text


def formatted(message: Any, *arguments: Any, error: Any = None) -> Any:
    info = None
    if error is not None:
        try:
            raise error
        except Exception:
            info = sys.exc_info()
    return JSONFormatter().format(
        logging.LogRecord("bastion.test", logging.WARNING, "f", 1, message, arguments, info)
    )


def test_an_event_is_one_line_of_json() -> None:
    text = formatted("hello %s", 'a\nb"c')
    assert "\n" not in text
    line = json.loads(text)
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d\d\dZ", line.pop("time"))
    assert line == {"level": "warning", "logger": "bastion.test", "msg": 'hello a\nb"c'}


def test_an_exception_is_in_the_line_without_its_secrets() -> None:
    text = formatted("failed for %s", "Bearer hunter2", error=ValueError("Authorization: Bearer hunter2"))
    assert "\n" not in text
    assert "hunter2" not in text
    assert "ValueError" in json.loads(text)["exception"]


@pytest.mark.parametrize("text", ["caf\udce9", "\ud800"], ids=ascii)
def test_a_byte_that_is_no_utf8_does_not_lose_the_line(text: Any) -> None:
    assert json.loads(formatted("path %s", text))["msg"].startswith("path ")
    assert json.loads(formatted("failed", error=ValueError(text)))["msg"] == "failed"


# --- levels


@pytest.fixture
def stderr(capsys: pytest.CaptureFixture[str]) -> Iterator[Any]:
    """Lines that were logged so far; afterwards everything is as it was."""
    loggers = [logging.getLogger(name) for name in ("", "bastion", "bastion.server")]
    before = [(one.level, one.handlers[:]) for one in loggers]
    yield lambda: capsys.readouterr().err.splitlines()
    for one, (level, handlers) in zip(loggers, before, strict=True):
        one.setLevel(level)
        one.handlers[:] = handlers


LEVELS = [
    # -v, logger, the least level that is heard
    (0, "bastion.discovery", "WARNING"),
    (0, "bastion.server", "INFO"),
    (0, "httpx", "WARNING"),
    (1, "bastion.discovery", "INFO"),
    (3, "bastion.server", "INFO"),
    (3, "httpx", "WARNING"),
    (4, "bastion.discovery", "DEBUG"),
    (4, "bastion.server", "DEBUG"),
    (4, "httpx", "INFO"),
]


@pytest.mark.parametrize(("verbosity", "name", "least"), LEVELS)
def test_how_much_is_said(stderr: Any, verbosity: Any, name: Any, least: Any) -> None:
    configure(verbosity)
    for level in ("DEBUG", "INFO", "WARNING", "ERROR"):
        logging.getLogger(name).log(getattr(logging, level), level)
    heard = [json.loads(line)["msg"] for line in stderr()]
    levels = ["DEBUG", "INFO", "WARNING", "ERROR"]
    assert heard == levels[levels.index(least) :]


def test_configured_twice_it_says_everything_once(stderr: Any) -> None:
    configure(0)
    configure(0)
    logging.getLogger("bastion").warning("once")
    assert len(stderr()) == 1


# --- text, for people


@pytest.mark.parametrize("colour", [False, True])
def test_an_event_is_a_line_of_text(colour: Any) -> None:
    try:
        raise ValueError("token=hunter2")
    except ValueError:
        record = logging.LogRecord(
            "bastion.test", logging.WARNING, "", 0, "a\nb \x1b[2J %s", ("token=hunter2",), sys.exc_info()
        )
    text = TextFormatter(colour=colour).format(record)
    if colour:
        assert "\x1b[33mwarning\x1b[0m" in text
        text = re.sub(r"\x1b\[[\d;]*m", "", text)
    first, *trace = text.splitlines()
    assert re.fullmatch(
        r"20\d\d-\d\d-\d\dT[\d:]{8}\.\d{3}Z warning test: a\\nb \\x1b\[2J \[redacted\]", first
    )
    assert trace
    assert all(line.startswith("    ") for line in trace)
    assert "hunter2" not in text


def test_text_is_for_terminals_and_json_for_what_collects_logs() -> None:
    reader, writer = os.pipe()
    terminal, other = pty.openpty()
    try:
        assert [
            written_as("", writer),
            written_as("", other),
            written_as("text", writer),
            written_as("json", other),
        ] == [
            "json",
            "text",
            "text",
            "json",
        ]
        assert access_lines("", writer) is access_line
        assert access_lines("text", writer) is text_line
    finally:
        for end in (reader, writer, terminal, other):
            os.close(end)
