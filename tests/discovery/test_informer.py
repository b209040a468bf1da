"""Does the catalog come to equal the API server's lists, and stay so through whatever goes wrong?

Over real HTTP.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from bastion.cluster.client import ApiClient
from bastion.cluster.proxies import Proxies
from bastion.discovery.catalog import Catalog
from bastion.discovery.informer import Informer
from tests.fakes import LOOPBACK, backed_by, endpoints, node, pod, run, service, until


class Access:
    """Where the API server is, and a token to show it; `failures` of them cannot be read."""

    proxies, proxy_tls, impersonation = Proxies(), None, ()

    def __init__(self, port: Any, failures: Any = ()) -> None:
        self.server = f"http://{LOOPBACK}:{port}"
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._failures = list(failures)

    async def authorization(self) -> str:
        if self._failures:
            raise self._failures.pop(0)
        return "Bearer t"

    async def refused(self, authorization: Any) -> bool:
        return False


class Api:
    """An API server that takes one step of its script per request, whatever is asked; after the last it stays
    silent.

    Whether it has come as far as its client, after a watch that broke, it has always.
    """

    def __init__(self, *steps: Any) -> None:
        self._steps = list(steps)
        self.checks: list[Any] = []  # the versions it was asked about
        self.asked: list[Any] = []  # (path, query)
        self.heads: list[Any] = []
        self._silence = asyncio.Event()

    async def serve(self, reader: Any, writer: Any) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                target = urlsplit(head.split()[1])
                query = dict(parse_qsl(target.query))
                if "resourceVersionMatch" in query:
                    self.checks.append(query["resourceVersion"])
                    await page(version=query["resourceVersion"])(writer)
                    continue
                self.heads.append(head)
                self.asked.append((target.path, dict(parse_qsl(target.query))))
                if not self._steps:
                    await self._silence.wait()
                await self._steps.pop(0)(writer)


def answers(body: Any, status: int = 200, fields: str = "") -> Any:
    """A whole answer."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()

    async def step(writer: Any) -> None:
        writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: {len(data)}\r\n{fields}\r\n".encode() + data)
        await writer.drain()

    return step


def streams(*lines: Any, then: Any = "end", cut: int = 0) -> Any:
    """A watch: these events in pieces of `cut` bytes, and then the end, a broken connection, or silence."""

    async def step(writer: Any) -> None:
        data = b"".join(
            (line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n" for line in lines
        )
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for at in range(0, len(data), cut or len(data) or 1):
            piece = data[at : at + (cut or len(data))]
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            await writer.drain()
        if then == "end":
            writer.write(b"0\r\n\r\n")
        elif then == "break":
            writer.close()
        else:
            await then.wait()

    return step


def page(*objects: Any, version: str = "10", more: str = "") -> Any:
    return answers(
        {"kind": "List", "metadata": {"resourceVersion": version, "continue": more}, "items": list(objects)}
    )


def event(kind: Any, raw: Any, version: str = "11") -> Any:
    raw = {**raw, "metadata": {**raw["metadata"], "resourceVersion": version}}
    return {"type": kind, "object": raw}


def bookmark(version: Any) -> Any:
    return {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": version}}}


EXPIRED = {
    "type": "ERROR",
    "object": {"kind": "Status", "metadata": {}, "status": "Failure", "reason": "Expired", "code": 410},
}


def conversation(check: Any, *steps: Any, resource: str = "pods", failures: Any = ()) -> Any:
    """Run an informer against the script; `check(catalog, api)` says when all has come about."""

    async def main() -> Any:
        api, catalog = Api(*steps), Catalog()
        server = await asyncio.start_server(api.serve, LOOPBACK, 0)
        access = Access(server.sockets[0].getsockname()[1], failures)
        async with ApiClient(access, timeout=5.0) as client:
            informer = asyncio.create_task(Informer(resource, client, catalog).run())
            try:
                await until(lambda: informer.done() or check(catalog, api))
                assert not informer.done(), "the informer has ended"
            finally:
                informer.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await informer
                server.close()
        return catalog, api

    return run(main())


def pods(catalog: Any) -> Any:
    return {name for _, name in catalog.pods}


def test_a_list_then_events() -> None:
    catalog, api = conversation(
        lambda catalog, api: (
            pods(catalog) == {"b", "c"} and catalog.pods[("ns", "b")].addresses == ("10.0.0.9",)
        ),
        page(pod("a"), pod("b"), version="7"),
        streams(
            event("ADDED", pod("c"), "8"),
            event("MODIFIED", pod("b", "10.0.0.9"), "9"),
            event("DELETED", pod("a"), "10"),
            then=asyncio.Event(),
        ),
    )
    assert catalog.synced == {"pods": True}
    assert api.asked[0] == ("/api/v1/pods", {"limit": "500"})
    assert api.asked[1] == (
        "/api/v1/pods",
        {"watch": "true", "resourceVersion": "7", "allowWatchBookmarks": "true", "timeoutSeconds": "30"},
    )
    assert "authorization: bearer t" in api.heads[0].lower()
    assert "accept: application/json" in api.heads[0].lower()


RESOURCES = [
    ("pods", pod("x"), "/api/v1/pods"),
    ("services", service("x", {"port": 80}), "/api/v1/services"),
    (
        "endpointslices",
        endpoints("x", {"": 80}, backed_by("x", "10.0.0.1")),
        "/apis/discovery.k8s.io/v1/endpointslices",
    ),
    ("nodes", node("x", ("InternalIP", "10.0.0.1")), "/api/v1/nodes"),
]


@pytest.mark.parametrize(("resource", "raw", "path"), RESOURCES)
def test_each_resource_is_read_from_its_path(resource: Any, raw: Any, path: Any) -> None:
    catalog, api = conversation(lambda catalog, api: catalog.synced[resource], page(raw), resource=resource)
    assert len(catalog.keys(resource)) == 1
    assert api.asked[0][0] == path


def test_until_the_whole_list_was_seen_nothing_is_synced() -> None:
    catalog, api = conversation(lambda catalog, api: len(api.asked) == 2, page(pod("a"), more="token"))
    assert pods(catalog) == {"a"}
    assert catalog.synced == {"pods": False}
    assert api.asked[1][1] == {"limit": "500", "continue": "token"}


def test_pages_come_together() -> None:
    catalog, _ = conversation(
        lambda catalog, api: catalog.synced["pods"],
        page(pod("a"), more="t1"),
        page(pod("b"), more="t2"),
        page(pod("c")),
    )
    assert pods(catalog) == {"a", "b", "c"}


@pytest.mark.parametrize("cut", [1, 7, 100])
def test_an_event_may_come_in_any_pieces(cut: Any) -> None:
    events = [event("ADDED", pod(name), str(11 + i)) for i, name in enumerate("bcd")]
    catalog, _ = conversation(
        lambda catalog, api: len(pods(catalog)) == 4,
        page(pod("a")),
        streams(*events, then=asyncio.Event(), cut=cut),
    )
    assert pods(catalog) == set("abcd")


def test_a_watch_that_ends_is_gone_on_with_behind_the_last_event() -> None:
    _, api = conversation(
        lambda catalog, api: len(api.asked) == 4,
        page(pod("a")),
        streams(event("ADDED", pod("b"), "20")),
        streams(bookmark("30")),
    )
    assert [query.get("resourceVersion") for _, query in api.asked] == [None, "10", "20", "30"]


def test_a_watch_that_breaks_is_gone_on_with() -> None:
    _, api = conversation(
        lambda catalog, api: pods(catalog) == {"a", "b", "c"},
        page(pod("a")),
        streams(event("ADDED", pod("b"), "20"), then="break"),
        streams(event("ADDED", pod("c"), "21"), then=asyncio.Event()),
    )
    assert api.asked[2][1]["resourceVersion"] == "20"


EXPIRIES = [
    pytest.param(streams(EXPIRED), id="410-as-an-event"),
    pytest.param(streams(event("ADDED", pod("b"), "20"), EXPIRED), id="410-as-an-event-after-another"),
    pytest.param(answers({"code": 410}, 410), id="410-of-the-watch"),
]


@pytest.mark.parametrize("expiry", EXPIRIES)
def test_after_an_expiry_the_list_says_what_is_gone(expiry: Any) -> None:
    catalog, api = conversation(
        lambda catalog, api: pods(catalog) == {"c"}, page(pod("a")), expiry, page(pod("c"), version="50")
    )
    assert api.asked[2][1] == {"limit": "500"}
    assert catalog.synced["pods"]


def test_until_the_new_list_has_come_the_old_copy_serves() -> None:
    catalog, _ = conversation(
        lambda catalog, api: len(api.asked) == 4,
        page(pod("a")),
        streams(EXPIRED),
        page(pod("b"), more="token"),
    )
    assert pods(catalog) == {"a", "b"}
    assert catalog.synced["pods"]


def test_a_list_that_expires_between_its_pages_begins_anew() -> None:
    catalog, api = conversation(
        lambda catalog, api: catalog.synced["pods"],
        page(pod("a"), more="token"),
        answers({"code": 410}, 410),
        page(pod("b")),
    )
    assert pods(catalog) == {"b"}
    assert api.asked[2][1] == {"limit": "500"}


FAILURES = [
    pytest.param(answers({}, 500), id="500"),
    pytest.param(answers({}, 503, "Retry-After: 0\r\n"), id="503"),
    pytest.param(answers({}, 401), id="401"),
    pytest.param(answers({}, 403), id="403"),
    pytest.param(answers(b"", 302, "Location: http://127.0.0.1:1/\r\n"), id="CVE-2020-8561-no-redirects"),
    pytest.param(answers(b"<html>"), id="no-json"),
    pytest.param(answers({"items": []}), id="no-list"),
    pytest.param(
        answers(b'{"metadata":{"resourceVersion":"1"},"items":[{"metadata":7}]}'), id="a-broken-object"
    ),
    pytest.param(lambda writer: writer.close() or asyncio.sleep(0), id="closed-without-an-answer"),
]


@pytest.mark.parametrize("failure", FAILURES)
def test_a_list_that_fails_is_asked_for_again(failure: Any) -> None:
    catalog, api = conversation(lambda catalog, api: catalog.synced["pods"], failure, page(pod("a")))
    assert pods(catalog) == {"a"}
    assert [query for _, query in api.asked[:2]] == [{"limit": "500"}] * 2


@pytest.mark.parametrize(
    "failure",
    [
        *FAILURES[:6],
        pytest.param(streams(b"not json"), id="no-event"),
        pytest.param(streams(b'{"type":"ADDED"}'), id="half-an-event"),
    ],
)
def test_a_watch_that_fails_is_asked_for_again(failure: Any) -> None:
    catalog, api = conversation(
        lambda catalog, api: pods(catalog) == {"a", "b"},
        page(pod("a"), version="10"),
        failure,
        streams(event("ADDED", pod("b")), then=asyncio.Event()),
    )
    assert api.asked[2][1]["resourceVersion"] == "10"
    assert catalog.synced["pods"]


@pytest.mark.parametrize(
    "failure",
    [FileNotFoundError(2, "No such file or directory"), PermissionError(13, "Permission denied")],
    ids=repr,
)
def test_a_token_that_cannot_be_read_for_a_moment_does_not_end_the_informer(failure: Any) -> None:
    catalog, _ = conversation(lambda catalog, api: catalog.synced["pods"], page(pod("a")), failures=[failure])
    assert pods(catalog) == {"a"}


def test_a_server_that_cannot_be_reached_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> Any:
        catalog = Catalog()
        api = Api(page(pod("a")))
        server = await asyncio.start_server(api.serve, LOOPBACK, 0)
        port = server.sockets[0].getsockname()[1]
        server.close()
        async with ApiClient(Access(port), timeout=5.0) as client:
            informer = asyncio.create_task(Informer("pods", client, catalog).run())
            await until(lambda: caplog.records)
            server = await asyncio.start_server(api.serve, LOOPBACK, port)
            await until(lambda: catalog.synced["pods"] or informer.done())
            informer.cancel()
            server.close()
        return catalog

    assert pods(run(main())) == {"a"}


def test_the_first_of_a_row_of_failures_is_news_and_the_others_are_not(
    caplog: pytest.LogCaptureFixture,
) -> None:
    conversation(
        lambda catalog, api: catalog.synced["pods"],
        answers({}, 500),
        answers({}, 500),
        answers({}, 500),
        page(pod("a")),
    )
    assert ["500" in record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        True
    ]


def test_while_a_page_is_read_whoever_waits_for_the_loop_goes_first() -> None:
    """A page of five hundred is taken some at a time: others run in between."""
    turns = set()

    async def main() -> None:
        api, catalog = Api(page(*(pod(f"p-{i}") for i in range(500)))), Catalog()
        server = await asyncio.start_server(api.serve, LOOPBACK, 0)
        async with ApiClient(Access(server.sockets[0].getsockname()[1])) as client:
            informer = asyncio.create_task(Informer("pods", client, catalog).run())
            while not catalog.synced["pods"]:
                turns.add(len(catalog.pods))
                await asyncio.sleep(0)
            informer.cancel()
            server.close()

    run(main())
    assert len(turns) >= 10, turns


def test_one_namespace_is_read_from_its_own_path() -> None:
    async def main() -> Any:
        api, catalog = Api(page(pod("a"))), Catalog()
        server = await asyncio.start_server(api.serve, LOOPBACK, 0)
        async with ApiClient(Access(server.sockets[0].getsockname()[1])) as client:
            informer = asyncio.create_task(Informer("endpointslices", client, catalog, "team").run())
            await until(lambda: len(api.asked) == 2)
            informer.cancel()
            server.close()
        return [path for path, _ in api.asked]

    assert run(main()) == ["/apis/discovery.k8s.io/v1/namespaces/team/endpointslices"] * 2
