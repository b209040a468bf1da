"""The sample site by itself: what it serves, and what it takes from whom."""

from __future__ import annotations

import json

import pytest

from bastion.demo.samplehttp import SampleRequest, SampleResponse
from bastion.demo.samplesite import KEPT, SEEN, SampleSite

TOKEN = "0123456789abcdef"


def ask(
    site: SampleSite, target: str, method: str = "GET", body: str = "", cookie: str = ""
) -> SampleResponse:
    headers = (
        ("Host", "site.test"),
        ("X-Forwarded-Proto", "https"),
        *((("Cookie", cookie),) if cookie else ()),
    )
    return site.answer(SampleRequest(method, target, headers, body.encode()))


def text(answer: SampleResponse) -> str:
    assert isinstance(answer.body, bytes)
    return answer.body.decode()


def fields(answer: SampleResponse, name: str) -> list[str]:
    return [value for key, value in answer.headers if key == name]


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/about", "text/html; charset=utf-8"),
        ("/style.css", "text/css; charset=utf-8"),
        ("/theme.css", "text/css; charset=utf-8"),
        ("/app.js", "text/javascript; charset=utf-8"),
        ("/worker.js", "text/javascript; charset=utf-8"),
        *((f"/{name}.png", "image/png") for name in ("logo", "photo", "photo-2x", "stamp")),
        ("/api/greeting", "application/json"),
        ("/healthz", "text/plain; charset=utf-8"),
    ],
)
def test_what_is_there(path: str, kind: str) -> None:
    for method in ("GET", "HEAD"):
        answer = ask(SampleSite("site-0"), f"{path}?query", method)
        assert (answer.code, answer.content_type) == (200, kind)
        assert answer.body


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/nowhere"),
        ("GET", "/home.html"),
        ("GET", "/../samplesite.py"),
        ("POST", "/"),
        ("GET", "/entries"),
    ],
)
def test_what_is_not(method: str, path: str) -> None:
    assert ask(SampleSite("site-0"), path, method).code == 404


def test_a_line_is_written_with_the_pages_own_token_only() -> None:
    site = SampleSite("site-0")
    for body, cookie in (
        ("text=x", ""),
        ("text=x&csrf=", f"__Host-csrf={TOKEN}"),
        (f"text=x&csrf={TOKEN}", ""),
        ("text=x&csrf=", "__Host-csrf="),
        (f"text=x&csrf={TOKEN}", "csrf=" + TOKEN),
    ):
        assert ask(site, "/entries", "POST", body, cookie).code == 403
    answer = ask(site, "/entries", "POST", f"text=%3Cb%3E&csrf={TOKEN}", f"__Host-csrf={TOKEN}; user=Wanda")
    assert (answer.code, fields(answer, "Location")) == (303, ["/?written#entries"])
    assert "<q>&lt;b&gt;</q> <cite>Wanda</cite>" in text(ask(site, "/"))


@pytest.mark.parametrize(
    ("name", "code"), [("Wanda", 303), ("", 400), ("a%20b", 400), ("%C3%A4", 400), ("a%0D%0Ab", 400)]
)
def test_who_may_be_anybody(name: str, code: int) -> None:
    answer = ask(SampleSite("site-0"), "/login", "POST", f"name={name}")
    assert answer.code == code
    if code == 303:
        assert fields(answer, "Location") == ["https://site.test/"]
        assert fields(answer, "Set-Cookie") == [f"user={name}; Path=/; HttpOnly"]


@pytest.mark.parametrize("value", ["", '"><script>', '"a\\012b"', "ä"])
def test_a_strange_token_is_made_anew(value: str) -> None:
    answer = ask(SampleSite("site-0"), "/", cookie=f"__Host-csrf={value}")
    (line,) = (line for line in fields(answer, "Set-Cookie") if line.startswith("__Host-csrf="))
    token = line.removeprefix("__Host-csrf=").partition(";")[0]
    assert len(token) == 24
    assert f'name="csrf" value="{token}"' in text(answer)


def test_a_token_stays_as_it_is() -> None:
    answer = ask(SampleSite("site-0"), "/", cookie=f"__Host-csrf={TOKEN}; visits=1")
    assert f"__Host-csrf={TOKEN}; Path=/; Secure" in fields(answer, "Set-Cookie")
    assert ">__Host-csrf, visits<" in text(answer)


def test_what_it_remembers_is_bounded() -> None:
    site = SampleSite("site-0")
    for number in range(SEEN + KEPT):
        ask(site, "/entries", "POST", f"text=line-{number}&csrf={TOKEN}", f"__Host-csrf={TOKEN}")
    assert text(ask(site, "/")).count("<q>") == KEPT
    said = json.loads(text(ask(site, "/api/seen", cookie="a=b")))
    assert (len(said), said[-1]) == (SEEN, {"method": "GET", "target": "/api/seen", "cookie": "a=b"})
