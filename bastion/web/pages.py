"""The bastion's own pages: plain HTML, no script, nothing loaded from elsewhere; all values are escaped."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from html import escape
from http import HTTPStatus

from fastapi import Response

from bastion.message.ownorigin import page_fields
from bastion.web.guarded import headers_of

STYLE = """
:root { color-scheme: light dark;
  --ground: #f3f5f9; --card: #fff; --text: #172033; --quiet: #5a6478; --line: #d6dce7;
  --accent: #2456c9; --on-accent: #fff; --alert: #a3202b; --alert-ground: #fdecee; }
@media (prefers-color-scheme: dark) { :root {
  --ground: #0e131c; --card: #171e2a; --text: #e8ecf4; --quiet: #9aa6bb; --line: #2d3849;
  --accent: #83aaff; --on-accent: #0d1526; --alert: #ffb3ba; --alert-ground: #3b1b21; } }
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 1.25rem;
  color: var(--text); background: var(--ground);
  font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
main { width: 100%; max-width: 26rem; padding: 2rem 1.75rem; background: var(--card);
  border: 1px solid var(--line); border-radius: 14px;
  box-shadow: 0 1px 2px #0000000d, 0 12px 32px #0000000f; }
header { display: flex; align-items: center; gap: .6rem; margin-bottom: 1.4rem;
  color: var(--quiet); font-weight: 600; }
svg { width: 1.6rem; height: 1.6rem; fill: var(--accent); flex: none; }
h1 { margin: 0 0 .4rem; font-size: 1.45rem; line-height: 1.25; letter-spacing: -.01em; }
p { margin: 0 0 1.1rem; color: var(--quiet); overflow-wrap: anywhere; }
p:last-child { margin-bottom: 0; }
strong { color: var(--text); }
a { color: var(--accent); }
label { display: block; margin-bottom: .35rem; font-weight: 600; }
input { width: 100%; padding: .7rem .8rem; font: inherit;
  font-family: ui-monospace, "SF Mono", Menlo, monospace;
  color: inherit; background: var(--ground); border: 1px solid var(--line); border-radius: 9px; }
button, .button { display: inline-block; width: 100%; margin: .9rem 0 0; padding: .75rem 1rem;
  font: inherit; font-weight: 600; text-align: center; text-decoration: none;
  color: var(--on-accent); background: var(--accent); border: 0; border-radius: 9px; cursor: pointer; }
button:hover, .button:hover { filter: brightness(1.08); }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
h1 + [role=alert] { margin-top: .9rem; }
[role=alert] { padding: .65rem .8rem; color: var(--alert); background: var(--alert-ground);
  border-radius: 9px; }
code { font: .9em ui-monospace, "SF Mono", Menlo, monospace; color: var(--text); overflow-wrap: anywhere; }
pre { margin: 0 0 1.1rem; padding: .65rem .8rem; overflow-x: auto; background: var(--ground);
  border: 1px solid var(--line); border-radius: 9px; font: .8rem/1.45 ui-monospace, Menlo, monospace; }
code span { white-space: nowrap; }
ul { display: flex; flex-wrap: wrap; gap: .4rem; margin: 0 0 1.1rem; padding: 0; list-style: none; }
li { padding: .15rem .6rem; font-size: .875rem; color: var(--quiet); border: 1px solid var(--line);
  border-radius: 99px; overflow-wrap: anywhere; }
footer { margin-top: 1.4rem; padding-top: 1rem; border-top: 1px solid var(--line); font-size: .875rem;
  color: var(--quiet); }
"""
LOGO = (
    '<svg viewBox="0 0 24 24" aria-hidden="true">'
    '<path d="M4 3h4v3h2V3h4v3h2V3h4v7l-2 2v9h-4v-4a2 2 0 0 0-4 0v4H6v-9l-2-2z"/></svg>'
)

_DIGEST = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
FIELDS = page_fields(f"'sha256-{_DIGEST}'")
HEADERS = {"Cache-Control": "no-store", **headers_of(FIELDS)}


def page(title: str, content: str, code: int = 200) -> Response:
    """`content` is HTML, `title` is text."""
    mark = {"X-Bastion-Error": HTTPStatus(code).phrase.replace(" ", "")} if code >= 400 else {}
    return Response(document(title, content), code, HEADERS | mark, "text/html; charset=utf-8")


def document(title: str, content: str) -> str:
    """`content` is HTML, `title` is text."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="robots" content="noindex">\n'
        f"<title>{escape(title)} · bastion</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        f"<header>{LOGO}bastion</header>\n<h1>{escape(title)}</h1>\n{content}\n</main>\n</body>\n</html>\n"
    )


# Links are relative: the pages are at `/login` and at `/.bastion/login`.


def sign_in_form(code: int = 200, alert: str = "") -> Response:
    said = f'<p role="alert">{escape(alert)}</p>\n' if alert else ""
    return page(
        "Sign in",
        f'<p>with a token of the cluster. It decides what you may reach.</p>\n{said}<form method="post"'
        ' action="login" autocomplete="off">\n<label for="token">Token</label>\n<input id="token"'
        ' name="token" type="password" required autofocus autocomplete="off" autocapitalize="off"'
        ' autocorrect="off" spellcheck="false" maxlength="16384">\n<button>Sign'
        " in</button>\n</form>\n<footer>No token at hand? <code>kubectl create token"
        " &lt;service&#8209;account&gt;</code> makes one. Yours is kept in this browser, sealed, for eight"
        " hours at most.</footer>",
        code,
    )


def signed_in(user: str, groups: Sequence[str], addresses: Sequence[str]) -> Response:
    """`addresses`: the forms that an application's may have."""
    listed = "".join(f"<li>{escape(group)}</li>" for group in groups)
    shown = "<br>or ".join(f"<code>{_breakable(address)}</code>" for address in addresses)
    listed = f'<ul aria-label="Groups">{listed}</ul>\n' if listed else ""
    return page(
        "You are signed in",
        f"<p>as <strong>{escape(user)}</strong></p>\n{listed}<p>Applications are"
        f" at<br>{shown}</p>\n{_sign_out_button('logout')}",
    )


def sign_out_form(path: str) -> Response:
    return page("Sign out", f"<p>of this host, in this browser.</p>\n{_sign_out_button(path)}")


def signed_out_here(main: str) -> Response:
    """For an application's host; `main` is where to sign out of all hosts."""
    return page(
        "You are signed out",
        f'<p>of this application. You may still be signed in at <a href="{escape(main)}">the'
        " bastion</a>.</p>",
    )


def problem(title: str, text: str, code: int, link: str = "", label: str = "") -> Response:
    """`link`, if any, is a button with the text `label`."""
    button = f'\n<a class="button" href="{escape(link)}">{escape(label)}</a>' if link else ""
    return page(title, f'<p role="alert">{escape(text)}</p>{button}', code)


def _breakable(address: str) -> str:
    """HTML: a host name breaks before its suffix and not at the hyphens in front of it, a path behind each
    slash.
    """
    label, dot, suffix = escape(address).partition(".")
    return f"<span>{label}</span><wbr>.{suffix}" if dot else label.replace("/", "/<wbr>")


def _sign_out_button(path: str) -> str:
    return f'<form method="post" action="{escape(path)}"><button>Sign out</button></form>'
