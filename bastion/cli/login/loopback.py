"""The loopback redirect (RFC 8252, 7.3): the browser brings the code to a port of this machine."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import os
import shlex
import shutil
import subprocess
from collections.abc import Callable
from urllib.parse import parse_qsl, urlencode

from bastion.authn.claims import InvalidToken
from bastion.authn.tokenendpoint import CODE, Away, Endpoints, Refused, Tokens, one_line
from bastion.settings.login import Login

HOST = "127.0.0.1"  # an address: `localhost` may be another machine's
MAX_HEAD = 16384  # bytes
HEAD_SECONDS = 10.0
PAGE = '<!doctype html><html lang="en"><meta charset="utf-8"><title>bastion</title><p>%s</p></html>'
DONE, NO, STRANGE = (
    "That is all: go back to the terminal.",
    "You are not signed in: see the terminal.",
    "Not expected.",
)


async def by_browser(
    endpoints: Endpoints, asked: Login, say: Callable[[str], None], random_bytes: Callable[[int], bytes]
) -> tuple[Tokens, str]:
    """(the tokens, the nonce that the ID token must have).

    Raises Refused, Away, InvalidToken, TimeoutError.
    """
    state, nonce, verifier = (_text(random_bytes(32)) for _ in range(3))
    wait = _Redirect(endpoints, asked.issuer_url, state, verifier)
    server = await asyncio.start_server(wait.serve, HOST, 0, limit=MAX_HEAD)
    async with server:
        wait.uri = f"http://{HOST}:{server.sockets[0].getsockname()[1]}/"
        query = {
            "response_type": "code",
            "client_id": asked.client_id,
            "redirect_uri": wait.uri,
            "scope": " ".join(asked.scopes),
            "state": state,
            "nonce": nonce,
            "code_challenge": _text(hashlib.sha256(verifier.encode()).digest()),
            "code_challenge_method": "S256",
        }
        there = endpoints.metadata.authorization_endpoint
        if not there:
            raise Away("the issuer has no page to sign in at")
        url = f"{there}{'&' if '?' in there else '?'}{urlencode(query)}"
        say(f"{'Your browser opens' if open_browser(url) else 'To sign in, open'} {url}")
        async with asyncio.timeout(asked.timeout):
            return await wait.tokens, nonce


class _Redirect:
    """`uri` is set before anything can come."""

    def __init__(self, endpoints: Endpoints, issuer: str, state: str, verifier: str) -> None:
        self.uri = ""
        self.tokens: asyncio.Future[Tokens] = asyncio.get_running_loop().create_future()
        self._endpoints = endpoints
        self._issuer = issuer
        self._state = state
        self._verifier = verifier
        self._taken = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(
            OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError
        ):
            async with asyncio.timeout(HEAD_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
            status, text, outcome = await self._answer(head.decode("latin-1"))
            body = (PAGE % text).encode()
            writer.write(
                b"HTTP/1.1 %d -\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: %d\r\n"
                b"Content-Security-Policy: default-src 'none'; frame-ancestors 'none'\r\n"
                b"Cache-Control: no-store\r\nReferrer-Policy: no-referrer\r\nConnection: close\r\n\r\n"
                % (status, len(body))
                + body
            )
            await writer.drain()
            if not self.tokens.done() and isinstance(outcome, Tokens):
                self.tokens.set_result(outcome)
            elif not self.tokens.done() and isinstance(outcome, Exception):
                self.tokens.set_exception(outcome)
        writer.close()

    async def _answer(self, head: str) -> tuple[int, str, Tokens | Exception | None]:
        """(status, text of the page, what came of it; None where it was not the browser's redirect)."""
        line, _, rest = head.partition("\r\n")
        method, _, target = line.rpartition(" ")[0].partition(" ")
        path, _, query = target.partition("?")
        hosts = [
            field.partition(":")[2].strip()
            for field in rest.split("\r\n")
            if field.partition(":")[0].lower() == "host"
        ]
        if method != "GET" or path != "/" or [f"http://{host}/" for host in hosts] != [self.uri]:
            return 404, STRANGE, None
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=32)
        said = dict(pairs)
        if said.get("state") != self._state or len(said) != len(pairs) or self._taken:
            return 400, STRANGE, None  # another page's: the person's may still come
        self._taken = True
        try:
            return 200, DONE, await self._redeemed(said)
        except (Refused, Away, InvalidToken) as error:
            return 400, NO, error

    async def _redeemed(self, said: dict[str, str]) -> Tokens:
        """Raises Refused, Away, InvalidToken."""
        iss = said.get("iss")
        if iss != self._issuer and (iss is not None or self._endpoints.metadata.names_itself):
            raise InvalidToken("the browser came back from another issuer (RFC 9207)")
        if error := said.get("error"):
            raise Refused(one_line(error), one_line(said.get("error_description")))
        return await self._endpoints.tokens(
            CODE, code=said.get("code", ""), redirect_uri=self.uri, code_verifier=self._verifier
        )


def open_browser(url: str) -> bool:
    """Apart from this program's standard output, which is kubectl's."""
    wanted = [shlex.split(one) for one in os.environ.get("BROWSER", "").split(os.pathsep) if one]
    shown = "DISPLAY" in os.environ or "WAYLAND_DISPLAY" in os.environ
    usual = [["xdg-open"]] if shown else []
    for words in (*wanted, *usual, ["open"] if os.uname().sysname == "Darwin" else ["wslview"]):
        if words and shutil.which(words[0]):
            command = [word.replace("%s", url) for word in words] if "%s" in words else [*words, url]
            with contextlib.suppress(OSError):
                subprocess.Popen(  # noqa: S603  the person's own browser
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                )
                return True
    return False


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
