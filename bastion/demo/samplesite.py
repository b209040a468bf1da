"""A web application written as most are: as if it were at the root of its own host.

Absolute links, assets and redirects, cookies for `/` and for the host, and URLs that its scripts and style
sheets make; its pages and what belongs to them are in `site/`.
"""

from __future__ import annotations

import html
import json
import secrets
from collections import deque
from collections.abc import Callable
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from string import Template
from urllib.parse import parse_qs

from bastion.demo.samplehttp import SampleRequest, SampleResponse
from bastion.demo.samplewebsocket import say_back

FOLDER = Path(__file__).with_name("site")
TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".png": "image/png"}
HTML, JSON = "text/html; charset=utf-8", "application/json"
KEPT = 50  # entries
SEEN = 500  # requests
LONGEST = 200  # characters of what a visitor writes
CSRF = "__Host-csrf"


class SampleSite:
    """One pod of it.  Entries and requests are kept in memory."""

    def __init__(self, pod: str) -> None:
        self._pod = pod
        self._files = {
            f"/{file.name}": (file.read_bytes(), TYPES[file.suffix])
            for file in FOLDER.iterdir()
            if file.suffix in TYPES
        }
        self._home, self._about = (
            Template((FOLDER / f"{name}.html").read_text()) for name in ("home", "about")
        )
        self._entries: deque[tuple[str, str]] = deque([("the house", "Welcome! Leave a line.")], maxlen=KEPT)
        self._seen: deque[dict[str, str]] = deque(maxlen=SEEN)
        self._visits = 0
        self._pages: dict[tuple[str, str], Callable[[SampleRequest], SampleResponse]] = {
            ("GET", "/"): self._show_home,
            ("GET", "/about"): self._show_about,
            ("POST", "/login"): self._log_in,
            ("POST", "/entries"): self._write,
            ("GET", "/api/greeting"): lambda _: _json({"greeting": f"hello from {self._pod}"}),
            ("GET", "/api/seen"): lambda _: _json(list(self._seen)),
            ("GET", "/ws"): lambda request: say_back(self._pod, request),
            ("GET", "/greedy"): _ask_for_too_much,
            ("GET", "/healthz"): lambda _: SampleResponse(b"ok\n"),
        }

    def answer(self, request: SampleRequest) -> SampleResponse:
        self._seen.append(
            {"method": request.method, "target": request.target, "cookie": request.header("cookie")}
        )
        method = "GET" if request.method == "HEAD" else request.method
        page = self._pages.get((method, request.path))
        if page is not None:
            return page(request)
        content, kind = self._files.get(request.path, (b"", ""))
        return (
            SampleResponse(content, kind)
            if kind and method == "GET"
            else SampleResponse(b"not found\n", code=404)
        )

    def _show_home(self, request: SampleRequest) -> SampleResponse:
        self._visits += 1
        cookies = _cookies(request)
        csrf = cookies.get(CSRF, "")
        if not csrf.isalnum() or not csrf.isascii():
            csrf = secrets.token_hex(12)
        entries = "".join(
            f"<li><q>{html.escape(said)}</q> <cite>{html.escape(who)}</cite></li>\n"
            for who, said in self._entries
        )
        sent = html.escape(", ".join(sorted(cookies)) or "none")
        page = self._render(self._home, request, entries=entries, csrf=html.escape(csrf), sent=sent)
        setting = (
            _set_cookie(f"{CSRF}={csrf}", "Path=/", "Secure"),
            _set_cookie(f"visits={self._visits}", "Path=/"),
        )
        return SampleResponse(page, HTML, headers=setting)

    def _show_about(self, request: SampleRequest) -> SampleResponse:
        return SampleResponse(self._render(self._about, request), HTML)

    def _render(self, template: Template, request: SampleRequest, **more: str) -> bytes:
        """`more` is HTML."""
        said = {
            "pod": self._pod,
            "title": self._pod.rpartition("-")[0],
            "user": _user(request),
            "url": _own_url(request),
        }
        return template.substitute({key: html.escape(value) for key, value in said.items()} | more).encode()

    def _log_in(self, request: SampleRequest) -> SampleResponse:
        """Accepts any name; the redirect names the host, as many frameworks do."""
        name = _field(request, "name")
        if not name.isalnum() or not name.isascii():
            return _unwilling(400)
        return _see_other(f"{_own_url(request)}/", _set_cookie(f"user={name}", "Path=/", "HttpOnly"))

    def _write(self, request: SampleRequest) -> SampleResponse:
        """Requires the token of its own page, so that no other page can write in a visitor's name."""
        known = _cookies(request).get(CSRF, "")
        if not known or not secrets.compare_digest(known.encode(), _field(request, "csrf").encode()):
            return _unwilling(403)
        self._entries.append((_user(request), _field(request, "text")))
        return _see_other("/?written#entries")


def _ask_for_too_much(request: SampleRequest) -> SampleResponse:
    """Cookies for the neighbours, and one with the name of the bastion's own."""
    parent = request.header("host").partition(":")[0].partition(".")[2] or "localhost"
    return SampleResponse(
        b"These cookies are not for me to set.\n",
        headers=(
            _set_cookie("tossed=1", "Path=/", f"Domain={parent}"),
            _set_cookie("reaching=1", "Path=/api/v1/"),
            _set_cookie("__Host-bastion_session=1", "Path=/", "Secure"),
            _set_cookie("__Host-bastion_app=1", "Path=/", "Secure"),
        ),
    )


def _own_url(request: SampleRequest) -> str:
    return f"{request.header('x-forwarded-proto') or 'http'}://{request.header('host')}"


def _user(request: SampleRequest) -> str:
    return _cookies(request).get("user") or "a stranger"


def _cookies(request: SampleRequest) -> dict[str, str]:
    try:
        return {name: morsel.value for name, morsel in SimpleCookie(request.header("cookie")).items()}
    except CookieError:
        return {}


def _field(request: SampleRequest, name: str) -> str:
    """Of a form; empty where it has none."""
    return parse_qs(request.body.decode("latin-1")).get(name, [""])[0][:LONGEST]


def _set_cookie(*parts: str) -> tuple[str, str]:
    return "Set-Cookie", "; ".join(parts)


def _see_other(location: str, *headers: tuple[str, str]) -> SampleResponse:
    return SampleResponse(code=303, headers=(("Location", location), *headers))


def _unwilling(code: int) -> SampleResponse:
    return SampleResponse(b"not like this\n", code=code)


def _json(value: object) -> SampleResponse:
    return SampleResponse(json.dumps(value).encode() + b"\n", JSON)
