"""What stock ASGI servers get wrong about HTTP/1.1, each as a client and a backend see it."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
from dataclasses import dataclass

import pytest

from tests.e2e.harness import ALICE, BOB, CAROL, Bastion, Place
from tests.e2e.wire import Visit, ask, assert_status, backend, client, request, sending

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
VERSION = request("/version")


def no_body(head: bytes) -> bytes:
    return b"HTTP/1.1 " + head.replace(b"|", b"\r\n") + b"\r\n\r\n"


# --- answers of backends


@dataclass(frozen=True)
class Passed:
    """What a backend sends, and what of it the client gets; `fields` None means: there is none of this
    name.
    """

    answer: bytes
    status: int
    body: bytes = b""
    method: str = "GET"
    version: str = "1.1"
    reason: str | None = None
    fields: tuple[tuple[str, str | None], ...] = ()
    kept: bool = True


UNFRAMED = (("Content-Length", None), ("Transfer-Encoding", None))
CHUNKS = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer:"
    b" X-Sum\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nX-Sum: 5\r\n\r\n"
)
UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\n\r\nabcde"

PASSED = {
    "304 with a length": Passed(
        no_body(b'304 Not Modified|Content-Length: 5|ETag: "e"'),
        304,
        fields=(("Content-Length", "5"), ("ETag", '"e"')),
    ),
    "304 without a length": Passed(no_body(b"304 Not Modified"), 304, fields=UNFRAMED),
    "204": Passed(no_body(b"204 No Content"), 204, fields=UNFRAMED),
    "204 with a length": Passed(no_body(b"204 No Content|Content-Length: 0"), 204, fields=UNFRAMED),
    "HEAD with a length": Passed(
        no_body(b"200 OK|Content-Length: 1234"), 200, method="HEAD", fields=(("Content-Length", "1234"),)
    ),
    "HEAD, chunked": Passed(
        no_body(b"200 OK|Transfer-Encoding: chunked"), 200, method="HEAD", fields=(("Content-Length", None),)
    ),
    "HEAD without framing": Passed(
        no_body(b"200 OK"), 200, method="HEAD", fields=(("Content-Length", None),)
    ),
    "an empty body": Passed(no_body(b"200 OK|Content-Length: 0"), 200, fields=(("Content-Length", "0"),)),
    "600": Passed(no_body(b"600 Odd|Content-Length: 0"), 600, reason="Odd"),
    "999": Passed(no_body(b"999 Request Denied|Content-Length: 0"), 999, reason="Request Denied"),
    "no reason": Passed(b"HTTP/1.1 299 \r\nContent-Length: 0\r\n\r\n", 299, reason=""),
    "chunks": Passed(
        CHUNKS, 200, b"abcde", fields=(("Transfer-Encoding", "chunked"), ("X-Sum", None), ("Trailer", None))
    ),
    "until the end": Passed(UNTIL_CLOSE, 200, b"abcde", fields=(("Transfer-Encoding", "chunked"),)),
    "interim answers": Passed(
        b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + OK, 200, b"ok", fields=(("Link", None),)
    ),
    "fields twice": Passed(
        b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 0\r\n\r\n", 200
    ),
    "1.0, chunks": Passed(CHUNKS, 200, b"abcde", version="1.0", fields=UNFRAMED, kept=False),
    "1.0, until the end": Passed(UNTIL_CLOSE, 200, b"abcde", version="1.0", fields=UNFRAMED, kept=False),
    "1.0, a length": Passed(
        OK,
        200,
        b"ok",
        version="1.0",
        fields=(("Content-Length", "2"), ("Transfer-Encoding", None)),
        kept=False,
    ),
}


@pytest.mark.parametrize("row", PASSED.values(), ids=PASSED)
def test_an_answer_passes_as_it_was_meant(bastion: Bastion, pod: Place, row: Passed) -> None:
    async def main() -> None:
        closing = row.answer == UNTIL_CLOSE or b"200 OK\r\n\r\n" in row.answer
        async with backend(pod.address, sending(row.answer, stay=not closing)), client(bastion) as wire:
            await wire.send(request(pod.path(), method=row.method, version=row.version))
            answer = await wire.answer(row.method)
            assert (answer.status, answer.body) == (row.status, row.body)
            assert answer.start.startswith("HTTP/1.1 ")
            if row.reason is not None:
                assert answer.start.split(" ", 2)[2] == row.reason
            for name, value in row.fields:
                assert answer.all(name) == ([] if value is None else [value]), answer.head
            if row.kept:
                await wire.send(VERSION)
                assert (await wire.answer()).status == 200
            else:
                assert answer.one("Connection") == "close"
                assert await wire.ended() == b""

    asyncio.run(main())


def test_a_refusal_of_head_has_no_body(bastion: Bastion, pod: Place) -> None:
    async def main() -> None:
        async with client(bastion) as wire:
            await wire.send(request(pod.path(), method="HEAD", token=CAROL), VERSION)
            refusal, version = await wire.answer("HEAD"), await wire.answer()
            assert (refusal.status, refusal.one("X-Bastion-Error"), version.status) == (
                403,
                "MissingRule",
                200,
            )
            assert int(refusal.one("Content-Length")) > 0

    asyncio.run(main())


def test_set_cookie_stays_two_fields(bastion: Bastion, pod: Place) -> None:
    async def main() -> None:
        async with backend(pod.address, sending(PASSED["fields twice"].answer)):
            cookies = (await ask(bastion, request(pod.path()))).all("Set-Cookie")
            assert [cookie.partition(";")[0] for cookie in cookies] == ["a=1", "b=2"]

    asyncio.run(main())


def test_an_http_1_0_client_may_keep_its_connection(bastion: Bastion, pod: Place) -> None:
    async def main() -> None:
        async with backend(pod.address), client(bastion) as wire:
            for _ in range(2):
                await wire.send(request(pod.path(), "Connection: keep-alive", version="1.0"))
                answer = await wire.answer()
                assert (answer.status, answer.one("Connection")) == (200, "keep-alive")

    asyncio.run(main())


def test_a_backend_is_always_told_a_host(bastion: Bastion, pod: Place) -> None:
    """RFC 9112, 3.2: whoever sends HTTP/1.1 sends Host, once; HTTP/1.0 clients may leave it out."""

    async def main() -> None:
        async with backend(pod.address) as behind:
            answer = await ask(bastion, request(pod.path(), version="1.0", host=""))
            assert answer.status == 200
            assert len(behind.requests[0].all("Host")) == 1, behind.requests[0].head

    asyncio.run(main())


# --- trailers


def test_request_trailers_never_become_headers(bastion: Bastion, pod: Place) -> None:
    smuggled = (
        "X-Remote-User: root",
        "Impersonate-User: bob",
        "X-Bastion-Authorization: Bearer x",
        "X-Forwarded-For: 9.9.9.9",
        "Host: evil",
    )
    trailers = "".join(f"{line}\r\n" for line in smuggled).encode()

    async def main() -> None:
        async with backend(pod.address) as behind, client(bastion) as wire:
            await wire.send(
                request(pod.path(), "Transfer-Encoding: chunked", method="POST"),
                b"1\r\nx\r\n0\r\n" + trailers + b"\r\n",
            )
            answer = await wire.answer()
            assert answer.status == 200
            (seen,) = behind.requests
            assert seen.body == b"x"
            assert not seen.names() & {
                "x-remote-user",
                "impersonate-user",
                "x-bastion-authorization",
                "authorization",
                "trailer",
            }
            assert seen.one("X-Forwarded-For") == "127.0.0.1"
            line = await asyncio.to_thread(bastion.line, answer.one("Audit-Id"))
            assert (line["user"], line.get("actingAs")) == ("alice", None)
            await wire.send(request(pod.path()))  # nor do they wait for the next request
            assert "x-remote-user" not in {name.lower() for name, _ in (await wire.answer()).json()["fields"]}

    asyncio.run(main())


# --- requests that are none

POD = "/api/v1/namespaces/default/pods/pod-1:8080/proxy/"
GET = f"GET {POD} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {ALICE}\r\n"

UNREADABLE = {
    "no request line": (b"\x16\x03\x01\r\n\r\n", 400),
    "no version": (f"GET {POD}\r\n\r\n".encode(), 400),
    "HTTP/2.0": (f"GET {POD} HTTP/2.0\r\nHost: h\r\n\r\n".encode(), 505),
    "no host": (f"GET {POD} HTTP/1.1\r\nAuthorization: Bearer {ALICE}\r\n\r\n".encode(), 400),
    "two hosts": (f"{GET}Host: h\r\n\r\n".encode(), 400),
    "a bare LF": (GET.replace("\r\n", "\n").encode() + b"\n", 400),
    "a folded line": (f"{GET}X-A: b\r\n c\r\n\r\n".encode(), 400),
    "a space before the colon": (f"{GET}X-A : b\r\n\r\n".encode(), 400),
    "a NUL": (f"{GET}X-A: b\0\r\n\r\n".encode(), 400),
    "two lengths": (f"{GET}Content-Length: 1\r\nContent-Length: 1\r\n\r\nx".encode(), 400),
    "a signed length": (f"{GET}Content-Length: +1\r\n\r\nx".encode(), 400),
    "length and chunks": (
        f"{GET}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".encode(),
        400,
    ),
    "an unknown coding": (f"{GET}Transfer-Encoding: gzip\r\n\r\n".encode(), 501),
    "an unknown expectation": (f"{GET}Expect: a-miracle\r\n\r\n".encode(), 417),
    "too many fields": ((GET + "X-A: b\r\n" * 101 + "\r\n").encode(), 431),
    "too long a target": (("GET /" + "a" * 66000 + " HTTP/1.1\r\nHost: h\r\n\r\n").encode(), 414),
    "too large a head": ((GET + "X-A: " + "b" * 66000).encode(), 431),
    "a bad chunk": (f"{GET}Transfer-Encoding: chunked\r\n\r\nxyz\r\n".encode(), 400),
}


@pytest.mark.parametrize(("data", "code"), UNREADABLE.values(), ids=UNREADABLE)
def test_what_cannot_be_read_is_answered_with_a_status(
    bastion: Bastion, pod: Place, data: bytes, code: int
) -> None:
    """And closed, for nobody knows where the next request begins: what follows is answered with nothing."""

    async def main() -> None:
        async with backend(pod.address) as behind, client(bastion) as wire:
            await wire.send(data.replace(POD.encode(), pod.path().encode()) + VERSION)
            answer = await wire.answer()
            assert_status(answer, code)
            assert answer.one("Connection") == "close"
            assert await wire.ended() == b""
            assert not behind.requests

    asyncio.run(main())


# --- Expect: 100-continue


def test_100_comes_after_authorization_only(bastion: Bastion, pod: Place) -> None:
    async def main() -> None:
        async with backend(pod.address) as behind:
            async with client(bastion) as wire:
                await wire.send(
                    request(
                        pod.path(), "Expect: 100-continue", "Content-Length: 4", method="PUT", token=CAROL
                    )
                )
                answer = await wire.answer()
                assert_status(answer, 403, "Forbidden")
                assert answer.one("Connection") == "close"  # whether the body follows nobody knows
            async with client(bastion) as wire:
                await wire.send(
                    request(pod.path(), "Expect: 100-continue", "Content-Length: 4", method="PUT")
                )
                assert (await wire.answer()).head == b"HTTP/1.1 100 Continue\r\n\r\n"
                await wire.send(b"body")
                assert (await wire.answer()).json()["body"] == "body"
            (seen,) = behind.requests
            assert not seen.all("Expect")

    asyncio.run(main())


def test_a_body_that_was_sent_without_waiting_needs_no_100(bastion: Bastion, pod: Place) -> None:
    async def main() -> None:
        async with backend(pod.address), client(bastion) as wire:
            await wire.send(request(pod.path(), "Expect: 100-continue", method="PUT", body=b"body"))
            answer = await wire.answer()
            assert (answer.status, answer.json()["body"]) == (200, "body")

    asyncio.run(main())


# --- several on one connection


def test_pipelined_requests_are_answered_in_order(bastion: Bastion, pod: Place) -> None:
    async def main() -> None:
        first_may_answer = asyncio.Event()

        async def serve(visit: Visit) -> None:
            while True:
                message = await visit.message()
                if message.target == "/0":
                    await first_may_answer.wait()
                await visit.answer(message.target.encode() + message.body)

        async with backend(pod.address, serve) as behind, client(bastion) as wire:
            asked = [
                request(pod.path(f"/{n}"), method="POST" if n % 2 else "GET", body=b"!" if n % 2 else None)
                for n in range(6)
            ]
            await wire.send(b"".join(asked))
            first_may_answer.set()
            assert [(await wire.answer()).body for _ in asked] == [
                b"/0",
                b"/1!",
                b"/2",
                b"/3!",
                b"/4",
                b"/5!",
            ]
            assert len(behind.visits) == 1

    asyncio.run(main())


def test_each_request_of_a_connection_is_its_own_users(bastion: Bastion, pod: Place) -> None:
    async def main() -> None:
        async with backend(pod.address) as behind, client(bastion) as wire:
            answers = []
            for token in (ALICE, CAROL, "", BOB, ALICE):
                await wire.send(request(pod.path(), token=token))
                answers.append(await wire.answer())
            assert [answer.status for answer in answers] == [200, 403, 401, 403, 200]
            lines = [await asyncio.to_thread(bastion.line, answer.one("Audit-Id")) for answer in answers]
            assert [line.get("user") for line in lines] == ["alice", "carol", None, "bob", "alice"]
            assert len(behind.requests) == 2

    asyncio.run(main())


# --- an answer before the end of the body


@pytest.mark.parametrize("size", [100_000, 200_000], ids=str)
def test_an_early_answer_leaves_the_connection_usable(bastion: Bastion, pod: Place, size: int) -> None:
    """The rest of a body that is not too long is taken and dropped, and what follows is the next request."""

    async def main() -> None:
        async def serve(visit: Visit) -> None:
            await visit.head()
            await visit.answer(b"no", status="413 Content Too Large")
            await visit.ended()

        async with backend(pod.address, serve), client(bastion) as wire:
            await wire.send(request(pod.path(), f"Content-Length: {size}", method="POST"), b"x" * 1000)
            answer = await wire.answer()
            assert (answer.status, answer.body) == (413, b"no")
            await wire.send(b"x" * (size - 1000), VERSION)
            assert (await wire.answer()).status == 200

    asyncio.run(main())


@pytest.mark.parametrize("size", [200_000, 10_000_000], ids=str)
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_an_early_refusal_reaches_a_client_that_sends_first_and_reads_then(
    bastion: Bastion, pod: Place, size: int, tls: bool
) -> None:
    """As Python's http.client, requests and many others do: a reset would destroy the answer (RFC 9112,
    9.6).
    """
    if tls:
        connection = http.client.HTTPSConnection("127.0.0.1", bastion.port, context=bastion.trust)
    else:
        connection = http.client.HTTPConnection("127.0.0.1", bastion.plain_port)  # type: ignore[assignment]
    with contextlib.closing(connection):
        connection.request("POST", pod.path(), body=b"x" * size, headers={"Authorization": f"Bearer {CAROL}"})
        answer = connection.getresponse()
        assert (answer.status, json.loads(answer.read())["reason"]) == (403, "Forbidden")


def test_a_scrapes_time_is_read_from_the_request(bastion: Bastion) -> None:
    with bastion.http() as http:
        for name in (b"X-Prometheus-Scrape-Timeout-Seconds", b"x-prometheus-scrape-timeout-seconds"):
            response = http.get("/probe?target=pods/default/pod-1", headers=[(name, b"soon")])
            assert (response.status_code, "Scrape-Timeout" in response.text) == (400, True)
