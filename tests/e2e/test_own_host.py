"""Where does an application's own host in `http:` lead, for a client that came over TLS: directly, or through
a proxy that ended it?
"""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Iterator

import pytest

from tests.e2e.harness import ALICE, PORT, Bastion, Cluster, Place, serving
from tests.e2e.wire import Message, Visit, backend, client

SUFFIX = "apps.test"
TLS, APPLICATION = "X-Forwarded-Proto: https", f"{{name}}--{PORT}--default.pod.{SUFFIX}"
WAYS = {
    # fields of the request, whether it comes without TLS; what `http://<its Host>` is to be, before the
    # prefix if there is one
    "prefix": (["Host: bastion.test:8443"], False, "https://bastion.test:8443"),
    "host name": ([f"Host: {APPLICATION}:8443"], False, f"https://{APPLICATION}:8443"),
    "behind a proxy that keeps Host": (["Host: bastion.test", TLS], True, "https://bastion.test"),
    "behind a proxy that does not": (["Host: internal", TLS, "X-Forwarded-Host: bastion.test"], True, ""),
    "host name behind a proxy": ([f"Host: {APPLICATION}", TLS], True, f"https://{APPLICATION}"),
    "prefix without TLS": (["Host: bastion.test"], True, "http://bastion.test"),
    "host name without TLS": ([f"Host: {APPLICATION}"], True, f"http://{APPLICATION}"),
}


@pytest.fixture(scope="module")
def fronted(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bastion]:
    flags = (
        "--proxy-host-suffix",
        SUFFIX,
        "--public-url",
        "https://bastion.test",
        "--trusted-proxy-cidr",
        "127.0.0.0/8",
    )
    with serving(cluster, tmp_path_factory.mktemp("own-host"), *flags) as bastion:
        yield bastion


async def redirect(visit: Visit) -> None:
    own = "http://" + (await visit.message()).one("Host")
    fields = (
        f"Content-Location: {own}/c",
        f"Link: <{own}/l>",
        f"Refresh: 0; url={own}/r",
        f"HX-Redirect: {own}/h",
    )
    await visit.answer(b"", f"Location: {own}/login?next={own}", *fields, status="302 Found")


async def page(visit: Visit) -> None:
    own = b"http://" + (await visit.message()).one("Host").encode()
    body = gzip.compress(b'<base href="%b/"><form action="%b/save"><a href="/next">' % (own, own))
    await visit.answer(body, "Content-Type: text/html", "Content-Encoding: gzip", 'ETag: "1"')


@pytest.mark.parametrize(("lines", "plain", "place"), WAYS.values(), ids=WAYS)
def test_it_is_the_place_the_client_is_at(
    fronted: Bastion, pod: Place, lines: list[str], plain: bool, place: str
) -> None:
    own = lines[0].partition(": ")[2].format(name=pod.name)
    prefix = "" if SUFFIX in own else pod.path("")
    place = place.format(name=pod.name) + prefix

    async def asked(method: str) -> Message:
        head = (
            f"{method} {prefix}/page HTTP/1.1",
            *lines,
            f"X-Bastion-Authorization: Bearer {ALICE}",
            "Accept-Encoding: gzip",
            "",
            "",
        )
        async with client(fronted, plain=plain) as wire:
            await wire.send("\r\n".join(head).format(name=pod.name).encode())
            return await wire.answer(method)

    async def main() -> None:
        async with backend(pod.address, redirect):
            answer = await asked("GET")
            assert answer.one("Location") == f"{place}/login?next=http://{own}"
            assert answer.one("Content-Location") == f"{place}/c"
            assert answer.one("Link") == f"<{place}/l>"
            assert answer.one("Refresh") == f"0; url={place}/r"
            assert answer.one("HX-Redirect") == f"{place}/h"
        async with backend(pod.address, page):
            answer, head = await asked("GET"), await asked("HEAD")
            expected = f'<base href="{place}/"><form action="{place}/save"><a href="{prefix}/next">'
            assert gzip.decompress(answer.body).decode() == expected
            same = {"ETag", "Content-Type", "Content-Encoding", "Vary", "Content-Length"}
            assert [answer.all(name) for name in same] == [head.all(name) for name in same]

    asyncio.run(main())
