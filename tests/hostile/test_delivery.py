"""One user's request is on a connection before another's: what the first leaves there is nobody else's."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tests.e2e.harness import ALICE, CAROL, Bastion, Cluster, Place, serving
from tests.e2e.wire import Message, Visit, ask, backend, request
from tests.standalone.objects import binding

SMUGGLED = b"GET /admin HTTP/1.1\r\nHost: h\r\nX-Remote-User: admin\r\n\r\n"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bastion]:
    """Alice and Carol may use the same pods."""
    cluster = Cluster(tmp_path_factory.mktemp("cluster"), binding("carol", "ClusterRole/proxy", "User/carol"))
    with serving(cluster, tmp_path_factory.mktemp("bastion")) as running:
        yield running


class Careless:
    """A backend that reads no body, and goes by what `Connection` says; `heads` are all that it took for
    requests.
    """

    def __init__(self) -> None:
        self.heads: list[bytes] = []

    async def serve(self, visit: Visit) -> None:
        while True:
            head = await visit.head()
            if len(head.start.split(" ")) != 3:  # of chunks it makes nothing
                return
            self.heads.append(head.head)
            await visit.answer(
                b"" if head.method == "HEAD" else f"{head.target} for {head.one('Cookie')}".encode()
            )
            if head.one("Connection") == "close":
                return


async def carols(bastion: Bastion, pod: Place, path: str) -> Message:
    return await ask(bastion, request(pod.path(path), "Cookie: carol=1", token=CAROL))


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunks"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "OPTIONS", "POST", "PUT", "PATCH"])
def test_no_answer_for_somebody_else_after_a_body_that_nobody_read(
    shared: Bastion, method: str, chunked: bool
) -> None:
    async def main() -> None:
        pod, careless = shared.cluster.pod(), Careless()
        async with backend(pod.address, careless.serve):
            framing = ("Transfer-Encoding: chunked",) if chunked else (f"Content-Length: {len(SMUGGLED)}",)
            body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED) if chunked else SMUGGLED
            await ask(shared, request(pod.path(), *framing, method=method) + body)
            for path in ("/mail", "/news"):
                assert (await carols(shared, pod, path)).body == f"{path} for carol=1".encode()
            if method not in ("POST", "PUT", "PATCH"):
                assert not any(b"/admin" in head.split(b"\r\n")[0] for head in careless.heads)

    asyncio.run(main())


@pytest.mark.parametrize("scheme", ["NTLM", "Negotiate", "Kerberos", "ntlm"])
@pytest.mark.parametrize("whose", ["the request's", "the answer's"])
def test_no_answer_for_somebody_else_on_a_connection_that_logged_in(
    shared: Bastion, scheme: str, whose: str
) -> None:
    async def main() -> None:
        pod = shared.cluster.pod()

        async def serve(visit: Visit) -> None:
            who = ""
            while True:
                head = await visit.head()
                who = who or head.one("X-Login") or head.one("Authorization").partition(" ")[2]
                more = (f"WWW-Authenticate: {scheme} b2s=",) if whose == "the answer's" else ()
                await visit.answer(who.encode(), *more)

        async with backend(pod.address, serve):
            login = f"Authorization: {scheme} alice" if whose == "the request's" else "X-Login: alice"
            lines = (f"X-Bastion-Authorization: Bearer {ALICE}", login)
            assert (await ask(shared, request(pod.path(), *lines, token=""))).body == b"alice"
            assert (await carols(shared, pod, "/")).body == b""

    asyncio.run(main())


def test_no_answer_for_somebody_else_after_an_answer_that_came_early(shared: Bastion) -> None:
    """The rest of the body is a request to a backend that answered before it came."""

    async def main() -> None:
        pod, careless = shared.cluster.pod(), Careless()
        async with backend(pod.address, careless.serve):
            reader, writer = await asyncio.open_connection("127.0.0.1", shared.plain_port)
            writer.write(request(pod.path(), f"Content-Length: {len(SMUGGLED)}", method="POST"))
            await reader.readuntil(b"\r\n\r\n")
            writer.write(SMUGGLED)
            for path in ("/mail", "/news"):
                assert (await carols(shared, pod, path)).body == f"{path} for carol=1".encode()
            assert not any(b"/admin" in head.split(b"\r\n")[0] for head in careless.heads)
            writer.close()

    asyncio.run(main())
