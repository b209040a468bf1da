"""What of a message passes to an API server and back: trailers, interim responses, nothing of the hop's."""

from __future__ import annotations

import asyncio

import pytest

from tests.fakes import Backend, backend, run
from tests.proxy.passing import TOKEN, passing

PATH = b"/api/v1/namespaces/shop/configmaps/a"
HEAD = b"%b " + PATH + b" HTTP/1.%d\r\nHost: h\r\nConnection: close\r\n" + TOKEN
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
LAST = b"1\r\nx\r\n0\r\nX-Sum: 1\r\nx-sum:  2\r\n\r\n"
HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nLink: </b>\r\nKeep-Alive: timeout=5\r\n\r\n"
EMPTY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


def conversation(answer: bytes, request: bytes) -> tuple[bytes, bytes]:
    """(what the client gets, the head that the API server gets)."""

    async def main() -> tuple[bytes, bytes]:
        async with backend(answer) as server, passing(server) as front:
            return await front.says(request), server.heads[0]

    return run(main())


def get(*lines: bytes, minor: int = 1) -> bytes:
    return HEAD % (b"GET", minor) + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


# --- trailers


@pytest.mark.parametrize("te", [(), (b"TE: trailers",), (b"TE: gzip, Trailers;q=0.5",)])
def test_the_trailers_of_a_response_reach_the_client(te: tuple[bytes, ...]) -> None:
    """A recipient of chunks reads past them, whether it has asked for them or not (RFC 9112, 7.1.2)."""
    announced = CHUNKED.replace(b"\r\n\r\n", b"\r\nTrailer: X-Sum\r\n\r\n")
    got, sent = conversation(announced + LAST, get(*te))
    assert got.endswith(b"0\r\nX-Sum: 1\r\nx-sum: 2\r\n\r\n")
    assert b"\r\nTrailer: X-Sum\r\n" in got
    assert (b"\r\nTE: trailers\r\nConnection: TE\r\n" in sent) == (te == (b"TE: trailers",))


def test_http_1_0_gets_no_chunks_and_no_trailers() -> None:
    got, _ = conversation(CHUNKED + LAST, get(minor=0))
    head, _, body = got.partition(b"\r\n\r\n")
    assert body == b"x"
    assert b"chunked" not in head


@pytest.mark.parametrize(
    "name",
    [
        "Transfer-Encoding",
        "Set-Cookie",
        "WWW-Authenticate",
        "Location",
        "Content-Type",
        "Audit-Id",
        "X-Bastion-Error",
        "Connection",
        "If-Match",
    ],
)
def test_a_trailer_that_is_read_from_heads_alone_goes_neither_way(name: str) -> None:
    trailers = f"0\r\n{name}: 1\r\nX-Sum: 2\r\n\r\n".encode()
    got, _ = conversation(CHUNKED + trailers, get())
    assert got.endswith(b"\r\n\r\n0\r\nX-Sum: 2\r\n\r\n")
    assert uploaded(trailers) == b"0\r\nX-Sum: 2\r\n\r\n"


@pytest.mark.parametrize(
    "name",
    [
        "Authorization",
        "Host",
        "Content-Length",
        "X-Remote-User",
        "Impersonate-User",
        "X_Remote_User",
        "X-Forwarded-For",
    ],
)
def test_a_trailer_never_says_who_asks_or_for_what(name: str) -> None:
    assert uploaded(f"0\r\n{name}: admin\r\nX-Sum: 2\r\n\r\n".encode()) == b"0\r\nX-Sum: 2\r\n\r\n"


def uploaded(body: bytes) -> bytes:
    """The chunked body of a POST as the API server gets it."""
    got: list[bytes] = []

    async def main() -> None:
        async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await server.read_request(reader)
            got.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(EMPTY)
            await reader.read()

        server = Backend(script)
        async with server, passing(server) as front:
            request = HEAD % (b"POST", 1) + b"Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n" + body
            assert (await front.says(request)).startswith(b"HTTP/1.1 200 ")
            assert b"\r\nTrailer: X-Sum\r\n" in server.heads[0]

    run(main())
    return got[0]


# --- interim responses


def test_an_interim_response_is_passed_on_before_the_final_one() -> None:
    got, _ = conversation(HINTS + b"HTTP/1.1 102 Processing\r\n\r\n" + EMPTY, get())
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nLink: </b>\r\n\r\n"
    assert got.startswith(hints + b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize(("interim", "minor"), [(b"HTTP/1.1 100 Continue\r\n\r\n", 1), (HINTS, 0)])
def test_one_that_was_not_asked_for_or_is_not_known_to_the_client_is_not(interim: bytes, minor: int) -> None:
    got, _ = conversation(interim + EMPTY, get(minor=minor))
    assert got.startswith(b"HTTP/1.1 200 OK\r\n")
