"""What does a call to the API server do when it goes well, and what when it does not?

Over real connections.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from typing import Any

import pytest

from bastion.cluster.connections import REVIEWS
from bastion.cluster.errors import ApiError
from bastion.cluster.throttle import Throttle
from bastion.runtime.certificates import Authority
from bastion.runtime.trust import client_context
from tests.cluster.access import GOOD, Access, answer, client
from tests.fakes import SOMEBODY, Backend, backend, delivered, reset, run, server_tls, until


def talk(work: Callable[..., Any], *answers: Any, then: str = "wait", **options: Any) -> Any:
    """`work(client, server)` with a client of a server that gives these answers on each connection."""

    async def main() -> Any:
        async with backend(*answers, then=then) as server, client(Access(server.port), **options) as api:
            return await work(api, server)

    return run(main())


def test_a_review_and_a_look_go_over_one_connection() -> None:
    async def work(api: Any, server: Any) -> Any:
        assert await api.get("/api/v1/pods", {"limit": "5"}, SOMEBODY) == b"{}"
        assert await api.create("/apis/x", b'{"a":1}', SOMEBODY) == b"{}"
        return server

    server = talk(work, GOOD, answer(201))
    assert server.connections == 1
    look, review = (head.decode().lower() for head in server.heads)
    assert look.startswith("get /api/v1/pods?limit=5 http/1.1\r\n")
    assert review.startswith("post /apis/x http/1.1\r\n")
    for field in (
        "authorization: bearer first",
        "accept: application/json",
        "accept-encoding: identity",
        "user-agent: bastion",
    ):
        assert field in look and field in review
    assert "content-type: application/json" in review
    assert "cookie" not in review


CALLS = [
    (lambda api: api.get("/api/v1/namespaces/ns/pods/a", {}, SOMEBODY), GOOD, ("get", "pods", 200)),
    (lambda api: api.get("/api/v1/namespaces/ns/pods/a", {}, SOMEBODY), answer(404), ("get", "pods", 404)),
    (
        lambda api: api.get("/apis/x/v1/namespaces/ns/slices", {"labelSelector": "a=b"}, SOMEBODY),
        GOOD,
        ("list", "slices", 200),
    ),
    (lambda api: api.list("/api/v1/pods", {"limit": "500"}), GOOD, ("list", "pods", 200)),
    (
        lambda api: api.create("/apis/x/v1/tokenreviews", b"{}", SOMEBODY),
        answer(201),
        ("create", "tokenreviews", 201),
    ),
    (lambda api: api.list("/api/v1/pods", {"limit": "500"}), b"hunter2\r\n\r\n", ("list", "pods", 0)),
]


@pytest.mark.parametrize(("call", "said", "expected"), CALLS)
def test_each_call_is_told_by_verb_resource_and_code(
    call: Callable[..., Any], said: bytes, expected: tuple[str, str, int]
) -> None:
    told = []

    async def work(api: Any, server: Any) -> None:
        with contextlib.suppress(ApiError):
            await call(api)

    talk(work, said, observe=lambda *one: told.append(one))
    assert {one[:3] for one in told} == {expected}
    assert all(0 <= one[3] < 30 for one in told)


FAILURES = [
    pytest.param(answer(500), 500, 0.0, id="500"),
    pytest.param(answer(403), 403, 0.0, id="403"),
    pytest.param(answer(404), 404, 0.0, id="404"),
    pytest.param(answer(429, fields=b"Retry-After: 7\r\n"), 429, 7.0, id="429-that-says-when"),
    pytest.param(answer(429, fields=b"Retry-After: soon\r\n"), 429, 0.0, id="429-that-does-not"),
    pytest.param(answer(302, fields=b"Location: /elsewhere\r\n"), 302, 0.0, id="CVE-2020-8561-no-redirects"),
    pytest.param(answer(200, b"x" * ((1 << 20) + 1)), 0, 0.0, id="an-answer-without-end"),
    pytest.param(b"hunter2\r\n\r\n", 0, 0.0, id="no-http"),
    pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{}", 0, 0.0, id="half-an-answer"),
]


@pytest.mark.parametrize(("said", "status", "retry_after"), FAILURES)
def test_a_failure_tells_what_the_catcher_needs(said: bytes, status: int, retry_after: float) -> None:
    async def work(api: Any, server: Any) -> Any:
        with pytest.raises(ApiError) as caught:
            await api.create("/apis/x", b"{}", SOMEBODY)
        return server, caught.value

    # less than a 429 that does not say how long is waited for
    server, error = talk(work, said, then="close", timeout=0.9)
    assert (error.status, error.retry_after) == (status, retry_after)
    assert not any(b"elsewhere" in head.split(b"\r\n")[0] for head in server.heads)


BUSY = answer(429, fields=b"Retry-After: 1\r\n")


def test_a_server_that_is_busy_is_waited_for_as_long_as_it_says() -> None:
    """It has a queue of its own, and refuses for a moment: no reason to refuse a user."""

    async def work(api: Any, server: Any) -> Any:
        began = asyncio.get_running_loop().time()
        assert await api.create("/apis/x", b"{}", SOMEBODY) == b"{}"
        return server, asyncio.get_running_loop().time() - began

    server, seconds = talk(work, BUSY, GOOD)
    assert len(server.heads) == 2
    assert 1 <= seconds < 2


def test_what_is_read_in_the_background_is_told_at_once_that_a_server_is_busy() -> None:
    async def work(api: Any, server: Any) -> Any:
        with pytest.raises(ApiError) as caught:
            await api.list("/api/v1/pods", {})
        return server, caught.value

    server, error = talk(work, BUSY, GOOD)
    assert (error.status, error.retry_after, len(server.heads)) == (429, 1.0, 1)


def test_a_call_over_a_connection_that_was_closed_meanwhile_is_made_again() -> None:
    async def work(api: Any, server: Any) -> None:
        for _ in range(3):
            assert await api.create("/apis/x", b"{}", SOMEBODY) == b"{}"

    talk(work, GOOD, then="reset")


def test_a_call_that_breaks_is_made_again_once() -> None:
    async def script(reader: Any, writer: Any) -> None:
        await server.read_request(reader)
        if len(server.heads) > 1:
            writer.write(GOOD)
        else:
            reset(writer)

    server = Backend(script)

    async def main() -> Any:
        async with server, client(Access(server.port)) as api:
            return await api.create("/apis/x", b"{}", SOMEBODY)

    assert run(main()) == b"{}"
    assert len(server.heads) == 2


def test_a_server_that_always_breaks_is_asked_twice() -> None:
    async def work(api: Any, server: Any) -> Any:
        with pytest.raises(ApiError):
            await api.create("/apis/x", b"{}", SOMEBODY)
        return server

    async def script(reader: Any, writer: Any) -> None:
        await server.read_request(reader)
        reset(writer)

    server = Backend(script)

    async def main() -> None:
        async with server, client(Access(server.port)) as api:
            await work(api, server)

    run(main())
    assert len(server.heads) == 2


def test_a_silent_server_is_given_up_at_the_deadline_and_leaves_nothing_behind() -> None:
    async def main() -> None:
        async with backend() as server, client(Access(server.port), timeout=0.1) as api:
            asked = [asyncio.create_task(api.create("/apis/x", b"{}", SOMEBODY)) for _ in range(150)]
            errors = await asyncio.gather(*asked, return_exceptions=True)
            assert {type(error) for error in errors} == {ApiError}
        async with backend(GOOD) as server, client(Access(server.port), timeout=5.0) as api:
            assert await api.create("/apis/x", b"{}", SOMEBODY) == b"{}"

    run(main())


def test_who_waits_too_long_for_a_turn_is_told_so_and_the_server_is_not_blamed() -> None:
    async def main() -> None:
        async with (
            backend(GOOD) as server,
            client(Access(server.port), Throttle(0.01, 1), timeout=0.1) as api,
        ):
            assert await api.create("/apis/x", b"{}", SOMEBODY) == b"{}"
            with pytest.raises(
                ApiError, match=r"no turn within 0\.1 s: more calls are made than --kube-api-qps allows"
            ):
                await api.create("/apis/x", b"{}", SOMEBODY)
            assert api.statistics().waiting == 0
            assert len(server.heads) == 1

    run(main())


def test_reviews_use_a_hundred_connections_and_no_more() -> None:
    async def main() -> None:
        async with backend() as server, client(Access(server.port), timeout=20.0) as api:
            asked = [asyncio.create_task(api.create("/apis/x", b"{}", SOMEBODY)) for _ in range(150)]
            await until(lambda: server.connections >= REVIEWS)
            await delivered()
            assert server.connections == REVIEWS
            for task in asked:
                task.cancel()
            await asyncio.gather(*asked, return_exceptions=True)

    run(main())


@pytest.mark.parametrize("tls", [False, True])
def test_a_call_cancelled_at_any_moment_stands_in_nobodys_way(tls: bool) -> None:
    """After so many turns of the loop.

    A connection that is never given back would make the next call wait for its deadline.
    """
    authority = Authority("an authority")

    async def main() -> None:
        async def script(reader: Any, writer: Any) -> None:
            while True:
                await server.read_request(reader)
                writer.write(GOOD)

        server = Backend(script, server_tls(authority) if tls else None)
        trust = ssl.create_default_context(cadata=authority.pem.decode())
        async with server, client(Access(server.port, tls=trust if tls else None), timeout=5.0) as api:
            for turns in range(60):
                cancelled = asyncio.create_task(api.create("/apis/x", b"{}", SOMEBODY))
                for _ in range(turns):
                    await asyncio.sleep(0)
                cancelled.cancel()
                await asyncio.gather(cancelled, return_exceptions=True)
                assert await api.create("/apis/x", b"{}", SOMEBODY) == b"{}"

    run(main())


def test_lists_take_no_connection_from_reviews() -> None:
    """Two hundred watches are under way; a review is answered."""

    async def script(reader: Any, writer: Any) -> None:
        head = await server.read_request(reader)
        if b"watch" in head:
            await asyncio.Event().wait()
        writer.write(GOOD)

    server = Backend(script)

    async def main() -> None:
        async with server, client(Access(server.port)) as api:

            async def watch() -> None:
                async for _ in api.watch("/x", {"watch": "true"}):
                    pass

            watches = [asyncio.create_task(watch()) for _ in range(200)]
            await until(lambda: server.connections == 200)
            assert await api.create("/apis/x", b"{}", SOMEBODY) == b"{}"
            for task in watches:
                task.cancel()
            await asyncio.gather(*watches, return_exceptions=True)

    run(main())


def test_calls_wait_for_their_turn_and_the_deadline_counts_that() -> None:
    async def main() -> Any:
        async with (
            backend(GOOD) as server,
            client(Access(server.port), Throttle(0.01, 1), timeout=0.2) as api,
        ):
            assert await api.create("/apis/x", b"{}", SOMEBODY) == b"{}"
            with pytest.raises(ApiError):
                await api.create("/apis/x", b"{}", SOMEBODY)
            return server

    assert len(run(main()).heads) == 1


# --- credentials


def test_a_token_that_was_refused_is_replaced_and_the_call_made_again() -> None:
    async def main() -> Any:
        async with (
            backend(answer(401), GOOD) as server,
            client(Access(server.port, others=["Bearer second"])) as api,
        ):
            assert await api.create("/apis/x", b"{}", SOMEBODY) == b"{}"
            return server.heads

    assert [b"Bearer second" in head for head in run(main())] == [False, True]


def test_without_another_token_a_refusal_is_one() -> None:
    async def work(api: Any, server: Any) -> Any:
        with pytest.raises(ApiError) as caught:
            await api.create("/apis/x", b"{}", SOMEBODY)
        return server, caught.value

    server, error = talk(work, answer(401), answer(401))
    assert (error.status, len(server.heads)) == (401, 1)


def test_a_new_authority_counts_for_new_connections_and_ends_none() -> None:
    """The server's certificate is renewed by another authority while a watch is under way."""
    old, new = Authority("old"), Authority("new")
    event = asyncio.Event()

    async def script(reader: Any, writer: Any) -> None:
        head = await server_of[writer.get_extra_info("sockname")[1]].read_request(reader)
        if b"watch" not in head:
            writer.write(GOOD)
            return
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n{}\n")
        await event.wait()
        writer.write(b"{}\n")
        writer.close()

    def trusting(authority: Any) -> Any:
        return ssl.create_default_context(cadata=authority.pem.decode())

    server_of = {}

    async def main() -> None:
        async with Backend(script, server_tls(old)) as before, Backend(script, server_tls(new)) as after:
            server_of.update({before.port: before, after.port: after})
            access = Access(before.port, tls=trusting(old))
            async with client(access) as api:
                lines = api.watch("/x", {"watch": "true"})
                assert [await anext(lines), await anext(lines)] == [b"", b"{}"]
                assert await api.get("/y", {}, SOMEBODY) == b"{}"
                access.tls = trusting(new)
                with pytest.raises(ApiError, match="CERTIFICATE_VERIFY_FAILED"):
                    await api.get("/y", {}, SOMEBODY)  # a new connection, to the old server
                event.set()
                assert [line async for line in lines] == [b"{}"]
            moved = Access(after.port, tls=trusting(new))
            async with client(moved) as api:
                assert await api.get("/y", {}, SOMEBODY) == b"{}"

    run(main())


def test_the_name_in_the_certificate_may_be_another_than_the_address() -> None:
    authority = Authority("names")

    async def main() -> None:
        async with backend(GOOD, tls=server_tls(authority, "api.example")) as server:
            access = Access(server.port, tls=ssl.create_default_context(cadata=authority.pem.decode()))
            async with client(access) as api:
                with pytest.raises(ApiError):
                    await api.get("/", {}, SOMEBODY)
            access.tls = client_context(authority.pem, server_name="api.example")
            async with client(access) as api:
                assert await api.get("/", {}, SOMEBODY) == b"{}"

    run(main())


def test_with_one_server_nothing_is_probed() -> None:
    async def work(api: Any, server: Any) -> Any:
        await asyncio.sleep(0.05)
        return server.heads

    assert talk(work) == []


def test_a_line_end_in_what_identifies_the_bastion_is_no_field_of_its_own() -> None:
    async def main() -> Any:
        async with backend(GOOD) as server:
            access = Access(server.port)
            access.impersonation = ((b"Impersonate-User", b"a\r\nImpersonate-Group: system:masters"),)  # type: ignore[assignment]
            async with client(access) as api:
                with pytest.raises(ApiError):
                    await api.create("/apis/x", b"{}", SOMEBODY)
            return server.heads

    assert run(main()) == []


def test_a_review_is_answered_in_chunks_or_behind_an_interim_response() -> None:
    chunks = b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n"

    async def work(api: Any, server: Any) -> Any:
        for _ in range(2):
            assert await api.create("/apis/x", b"{}", SOMEBODY) == b"{}"
        return server.connections

    assert talk(work, chunks, b"HTTP/1.1 100 Continue\r\n\r\n" + GOOD) == 1


def test_a_refusal_keeps_the_connection() -> None:
    async def work(api: Any, server: Any) -> Any:
        with pytest.raises(ApiError):
            await api.create("/apis/x", b"{}", SOMEBODY)
        assert await api.create("/apis/x", b"{}", SOMEBODY) == b"{}"
        return server.connections

    assert talk(work, answer(403), GOOD) == 1
