"""Backends that answer with anything but HTTP, or with more than an answer.

Beside each refusal stands its twin: the same answer with the defect repaired reaches the client.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from tests.e2e.harness import Bastion, Place
from tests.e2e.wire import Message, Serve, Visit, ask, assert_status, backend, client, request

OK = b"HTTP/1.1 200 OK\r\n"
FIVE = OK + b"Content-Length: 5\r\n\r\nhello"
EMPTY = OK + b"Content-Length: 0\r\n\r\n"
CHUNKS = OK + b"Transfer-Encoding: chunked\r\n\r\n"
EVIL = OK + b"Content-Length: 4\r\n\r\nEVIL"


class Answering:
    """A backend that sends one of these answers on each connection, and then stays; `left` counts those that
    the bastion closed.
    """

    def __init__(self, *answers: bytes) -> None:
        self._answers = answers
        self.left = 0

    async def __call__(self, visit: Visit) -> None:
        await visit.message()
        await visit.send(self._answers[visit.number - 1])
        await visit.ended()
        self.left += 1

    async def is_left(self) -> None:
        while not self.left:
            await asyncio.sleep(0.01)


def leaving(data: bytes) -> Serve:
    """Sends it and closes."""

    async def serve(visit: Visit) -> None:
        await visit.message()
        await visit.send(data)

    return serve


# --- what is no answer

REFUSED = {
    # the defect, the repair
    "two lengths": (OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", FIVE),
    "a negative length": (OK + b"Content-Length: -1\r\n\r\nhello", FIVE),
    "a list of lengths": (OK + b"Content-Length: 5, 5\r\n\r\nhello", FIVE),
    "a space before the colon": (OK + b"Content-Length : 5\r\n\r\nhello", FIVE),
    "bare LFs": (FIVE.replace(b"\r\n", b"\n"), FIVE),
    "NUL in a field": (
        OK + b"X: a\x00b\r\nContent-Length: 0\r\n\r\n",
        OK + b"X: ab\r\nContent-Length: 0\r\n\r\n",
    ),
    "a folded field": (
        OK + b"X: a\r\n b\r\nContent-Length: 0\r\n\r\n",
        OK + b"X: a b\r\nContent-Length: 0\r\n\r\n",
    ),
    "a name that is none": (
        OK + b"X\x80: a\r\nContent-Length: 0\r\n\r\n",
        OK + b"X: a\x80\r\nContent-Length: 0\r\n\r\n",
    ),
    "status 000": (b"HTTP/1.1 000 X\r\n\r\n", EMPTY),
    "a status that is no number": (b"HTTP/1.1 2x0 X\r\n\r\n", EMPTY),
    "another protocol": (b"SSH-2.0-OpenSSH_9.2\r\n", EMPTY),
}


@pytest.mark.parametrize(("defect", "repair"), REFUSED.values(), ids=REFUSED)
def test_a_defect_is_refused_and_its_repair_is_passed_on(
    bastion: Bastion, pod: Place, defect: bytes, repair: bytes
) -> None:
    """And the connection with the defect is closed, not used again."""

    async def main() -> None:
        serve = Answering(defect, repair)
        async with backend(pod.address, serve) as behind:
            assert_status(await ask(bastion, request(pod.path())), 503, "ServiceUnavailable")
            await serve.is_left()
            answer = await ask(bastion, request(pod.path()))
            assert answer.status == int(repair.split(b" ")[1])
            assert not answer.all("X-Bastion-Error")
            assert len(behind.visits) == 2

    asyncio.run(main())


def test_rs_022_a_backend_that_closes_at_once_is_a_503_and_one_that_answers_is_not(
    bastion: Bastion, pod: Place
) -> None:
    async def main() -> None:
        async with backend(pod.address, leaving(b"")):
            assert_status(await ask(bastion, request(pod.path())), 503, "ServiceUnavailable")
        async with backend(pod.address, leaving(FIVE)):
            assert (await ask(bastion, request(pod.path()))).body == b"hello"

    asyncio.run(main())


# --- what begins as an answer and does not end as one

BROKEN = {
    # the defect, whether the backend stays, the repair
    "a bad chunk size": (CHUNKS + b"ZZ\r\n", True, CHUNKS + b"5\r\nhello\r\n0\r\n\r\n"),
    "a bad end of a chunk": (
        CHUNKS + b"5\r\nhelloXX0\r\n\r\n",
        True,
        CHUNKS + b"5\r\nhello\r\n0\r\n\r\n",
    ),
    "less than the length": (OK + b"Content-Length: 10\r\n\r\nhello", False, FIVE),
    "no last chunk": (CHUNKS + b"5\r\nhello\r\n", False, CHUNKS + b"5\r\nhello\r\n0\r\n\r\n"),
}


@pytest.mark.parametrize(("defect", "stays", "repair"), BROKEN.values(), ids=BROKEN)
def test_what_breaks_off_is_visibly_broken(
    bastion: Bastion, pod: Place, defect: bytes, stays: bool, repair: bytes
) -> None:
    """No last chunk, or less than the length, and the connection is gone."""

    async def main() -> None:
        async with (
            backend(pod.address, Answering(defect) if stays else leaving(defect)),
            client(bastion) as wire,
        ):
            await wire.send(request(pod.path()))
            head, _, body = (await wire.ended()).partition(b"\r\n\r\n")
            assert not body.endswith(b"0\r\n\r\n")
            assert b"Content-Length: 10" not in head or len(body) < 10
        async with backend(pod.address, Answering(repair)):
            assert (await ask(bastion, request(pod.path()))).body == b"hello"

    asyncio.run(main())


# --- what is one answer and no other

ONE = {
    "103 with fields": (
        b"HTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\nSet-Cookie: a=b\r\n\r\n" + EMPTY,
        b"",
        True,
    ),
    "a 100 nobody asked for": (b"HTTP/1.1 100 Continue\r\n\r\n" + EMPTY, b"", True),
    "another answer behind it": (FIVE + EVIL, b"hello", False),
    "HTTP/1.0, kept": (
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello",
        b"hello",
        None,
    ),
}


@pytest.mark.parametrize(("answer", "body", "reused"), ONE.values(), ids=ONE)
def test_one_answer_is_passed_on(
    bastion: Bastion, pod: Place, answer: bytes, body: bytes, reused: bool | None
) -> None:
    async def serve(visit: Visit) -> None:
        await visit.message()
        await visit.send(answer)
        while True:
            await visit.message()
            await visit.answer(b"next")

    async def main() -> None:
        async with backend(pod.address, serve) as behind, client(bastion) as wire:
            await wire.send(request(pod.path()))
            first = await wire.answer()
            assert (first.status, first.body) == (200, body)
            assert not first.names() & {"link", "set-cookie"}
            await wire.send(request(pod.path()))
            assert (await wire.answer()).body in ((b"next", body) if not reused else (b"next",))
            if reused is not None:
                assert len(behind.visits) == (1 if reused else 2)

    asyncio.run(main())


def test_rs_030_an_answer_that_the_end_delimits_is_whole_and_its_connection_is_none(
    bastion: Bastion, pod: Place
) -> None:
    async def main() -> None:
        async with backend(pod.address, leaving(OK + b"\r\nhello")) as behind:
            for number in (1, 2):
                assert (await ask(bastion, request(pod.path()))).body == b"hello"
                assert len(behind.visits) == number

    asyncio.run(main())


def test_rs_034_an_answer_before_the_question_is_nobodys(bastion: Bastion, pod: Place) -> None:
    async def speaks_unasked(visit: Visit) -> None:
        if visit.number == 1:
            await visit.message()
            await visit.answer(b"first")
            await visit.send(EVIL)
            await visit.ended()
        else:
            await visit.message()
            await visit.answer(b"second")

    async def main() -> None:
        async with backend(pod.address, speaks_unasked) as behind:
            for body in (b"first", b"second"):
                assert (await ask(bastion, request(pod.path()))).body == body
            assert len(behind.visits) == 2

    asyncio.run(main())


# --- which fields of an answer pass

Check = Callable[[Message, str], object]


def lacks(*names: str) -> Check:
    return lambda answer, _: not answer.names() & {name.lower() for name in names}


def says(name: str, value: str) -> Check:
    """`PREFIX` in the value stands for the path up to `…/proxy`."""
    return lambda answer, prefix: answer.all(name) == [value.replace("PREFIX", prefix)]


def _cookie_is_ours_alone(answer: Message, prefix: str) -> bool:
    (cookie,) = answer.all("Set-Cookie")
    return "Domain" not in cookie and f"Path={prefix};" in cookie


def _varies(answer: Message, _: str) -> bool:
    return answer.all("Vary") == ["Authorization, X-Bastion-Authorization"]


GZIP = b"Content-Type: text/html\r\nContent-Encoding: gzip"
PART = b"Content-Type: text/html\r\nContent-Range: bytes 0-4/99\r\nAccept-Ranges: bytes"
CORS = b"Access-Control-Expose-Headers: *\r\nAccess-Control-Max-Age: 86400\r\nAccess-Control-Allow-Origin: *"
REPORT = (
    b'Report-To: {"group":"x","max_age":9,"endpoints":[{"url":"https://evil"}]}\r\nNEL:'
    b' {"report_to":"x","max_age":9}'
)

FIELDS = {
    # the backend's fields, what the client's must be
    "the bastion's own session": (
        b"Set-Cookie: __Host-bastion_session=evil; Path=/; Secure; HttpOnly",
        lacks("Set-Cookie"),
    ),
    "a cookie for the parent domain": (b"Set-Cookie: x=1; Domain=test; Path=/", _cookie_is_ours_alone),
    "what other origins may": (CORS, lacks("Access-Control-Allow-Origin")),
    "Clear-Site-Data": (b'Clear-Site-Data: "*"', lacks("Clear-Site-Data")),
    "a service worker for all": (b"Service-Worker-Allowed: /", lacks("Service-Worker-Allowed")),
    "client hints, sign-in and dictionaries of an origin": (
        (
            b"Accept-CH: A\r\nCritical-CH: A\r\nSet-Login: logged-out\r\nUse-As-Dictionary:"
            b' match="/*"\r\nOrigin-Agent-Cluster: ?0'
        ),
        lacks("Accept-CH", "Critical-CH", "Set-Login", "Use-As-Dictionary", "Origin-Agent-Cluster"),
    ),
    "Alt-Svc": (b'Alt-Svc: h3="evil.example:443"', lacks("Alt-Svc")),
    "reports": (REPORT, lacks("NEL", "Report-To")),
    "Refresh elsewhere is the application's own": (
        b"Refresh: 0;url=https://evil.example",
        says("Refresh", "0;url=https://evil.example"),
    ),
    "Refresh by a script": (b"Refresh: 0;url=javascript:alert(1)", lacks("Refresh")),
    "Location": (b"Location: /admin", says("Location", "PREFIX/admin")),
    "Location is a script": (b"Location: javascript:alert(1)", lacks("Location")),
    "Location with a backslash": (b"Location: /\\evil.example", lacks("Location")),
    "two Locations": (b"Location: /a\r\nLocation: /b", says("Location", "PREFIX/a")),
    "Content-Location": (b"Content-Location: /x", says("Content-Location", "PREFIX/x")),
    "asking for a password is the application's own": (
        b'WWW-Authenticate: Basic realm="app"',
        says("WWW-Authenticate", 'Basic realm="app"'),
    ),
    "Proxy-Authenticate": (b"Proxy-Authenticate: Basic realm=x", lacks("Proxy-Authenticate")),
    "Connection names fields": (
        b"Connection: Set-Cookie, X-Frame-Options\r\nX-Frame-Options: DENY\r\nSet-Cookie: a=b",
        lacks("Connection", "Set-Cookie", "X-Frame-Options"),
    ),
    "Upgrade": (b"Upgrade: h2c", lacks("Upgrade")),
    "public": (b"Cache-Control: public, max-age=31536000", _varies),
    "for an hour": (b"Cache-Control: max-age=3600", _varies),
    "nothing said": (b"X: y", says("Cache-Control", "private")),
    "private as it is": (b"Cache-Control: private, max-age=60", lacks("Vary")),
    "8 kB": (b"Server: " + b"A" * 8000, says("Server", "A" * 8000)),
    "Date": (b"Date: x\r\nServer: y", says("Date", "x")),
    "said to be gzip": (GZIP, lambda answer, _: answer.body == b"hello"),
    "part of a page": (PART, lambda answer, _: answer.body == b"hello"),
    "a redirect to metadata": (
        b"Location: http://169.254.169.254/latest/meta-data/",
        says("Location", "http://169.254.169.254/latest/meta-data/"),
    ),
    "a redirect to the API server": (
        b"Location: https://kubernetes.default.svc/api/v1/secrets",
        says("Location", "https://kubernetes.default.svc/api/v1/secrets"),
    ),
}


@pytest.mark.parametrize(("lines", "check"), FIELDS.values(), ids=FIELDS)
def test_fields_that_speak_for_more_than_the_answer(
    bastion: Bastion, pod: Place, lines: bytes, check: Check
) -> None:
    """The answer itself always arrives, and nobody but this backend was asked."""

    async def main() -> None:
        status = b"307 Temporary Redirect" if lines.startswith(b"Location") else b"200 OK"
        whole = b"HTTP/1.1 " + status + b"\r\n" + lines + b"\r\nContent-Length: 5\r\n\r\nhello"
        async with backend(pod.address, Answering(whole)) as behind:
            answer = await ask(bastion, request(pod.path()))
            assert answer.body == b"hello"
            assert not answer.all("X-Bastion-Error")
            assert check(answer, pod.path("")), answer.head
            assert len(behind.visits) == 1

    asyncio.run(main())


@pytest.mark.parametrize("status", [299, 599, 600, 999])
def test_rs_012_a_status_that_means_nothing_is_passed_on_and_harms_nobody(
    bastion: Bastion, pod: Place, status: int
) -> None:
    """Three digits are enough for a client to tell the class, or that there is none (RFC 9110, 15)."""

    async def main() -> None:
        async with backend(pod.address, Answering(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % status)):
            assert (await ask(bastion, request(pod.path()))).status == status

    asyncio.run(main())


REASONS = {
    "an escape sequence": (b"\xff\x1b[31m", 503),
    "its repair": (b"Fine", 200),
}


@pytest.mark.parametrize(("reason", "status"), REASONS.values(), ids=REASONS)
def test_rs_032_no_control_character_of_a_reason_reaches_a_terminal(
    bastion: Bastion, pod: Place, reason: bytes, status: int
) -> None:
    async def main() -> None:
        async with backend(
            pod.address, Answering(b"HTTP/1.1 200 " + reason + b"\r\nContent-Length: 0\r\n\r\n")
        ):
            answer = await ask(bastion, request(pod.path()))
            assert answer.status == status
            assert b"\x1b" not in answer.head

    asyncio.run(main())
