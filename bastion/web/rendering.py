"""Renders a page from its template.

With nonces, not 'self': under a path prefix every application is served from the bastion's own origin, so
'self' would let a backend's file be our script.
"""

from __future__ import annotations

import gzip
import re
import secrets
from http import HTTPStatus
from typing import Any

from fastapi import Request, Response
from jinja2 import Environment, PackageLoader, StrictUndefined

from bastion import __version__
from bastion.message.ownorigin import page_fields
from bastion.web import charts, figures
from bastion.web.assets import ICON, SCRIPT, STATIC, STYLE
from bastion.web.guarded import headers_of
from bastion.web.health import WORDS

_SYMBOLS = dict(
    re.findall(r'(?=<symbol id="([a-z-]+)")(<symbol .*?</symbol>)', (STATIC / "icons.svg").read_text())
)
_USED = re.compile(r'(?:href="#|data-icon=")([is]-[a-z]+)"')
_SPRITE = "<!--sprite-->"
_SMALL = 1024  # bytes: compressed they are hardly smaller

LOGO = "M4 3h4v3h2V3h4v3h2V3h4v7l-2 2v9h-4v-4a2 2 0 0 0-4 0v4H6v-9l-2-2z"

_templates = Environment(
    loader=PackageLoader("bastion.web", "templates"),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=StrictUndefined,
)
_templates.globals.update(
    words=WORDS,
    logo=LOGO,
    bars=charts.bars,
    line=charts.line,
    figures=figures,
    style=STYLE.path,
    script=SCRIPT.path,
    icon=ICON.path,
    version=__version__,
)


def html(template: str, nonce: str, **values: Any) -> str:
    text = _templates.get_template(template).render(values, nonce=nonce)
    used = dict.fromkeys(_USED.findall(text))
    sprite = "".join(_SYMBOLS[name] for name in used)
    return text.replace(_SPRITE, f'<svg class="sprite" aria-hidden="true">{sprite}</svg>', 1)


def page(
    request: Request | None, template: str, code: int = 200, *, elsewhere: bool = False, **values: Any
) -> Response:
    """`elsewhere`: its form may lead to another host, as signing in does."""
    nonce = secrets.token_urlsafe(16)
    body = html(template, nonce, **values).encode()
    headers = {
        "Cache-Control": "no-store",
        "Vary": "Accept, Accept-Encoding, Sec-Fetch-Mode",
        **headers_of(page_fields(nonce, elsewhere=elsewhere)),
    }
    if code >= 400:
        headers["X-Bastion-Error"] = HTTPStatus(code).phrase.replace(" ", "")
    accepted = request.headers.get("accept-encoding", "") if request is not None else ""
    if len(body) > _SMALL and "gzip" in accepted:
        body = gzip.compress(body, 5, mtime=0)
        headers["Content-Encoding"] = "gzip"
    return Response(body, code, headers, "text/html; charset=utf-8")
