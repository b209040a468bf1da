"""What a module needs beside a plain request: a token of an issuer, an encoding, a family of addresses."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import brotli
import pytest

from tests.fakes import run
from tests.loopback import free_port
from tests.probe.world import Backend, address, backend, pod, response, service, world

WEB = [service("web"), pod("web-0", 40)]
TEXT = b"hello probe\n" * 50


def module(name: str, **http: Any) -> str:
    return json.dumps({"modules": {name: {"prober": "http", "http": http}}})


# --- oauth2


class Issuer:
    """`refuses`: a 400 instead of a token.  `lasts` in seconds."""

    def __init__(self, lasts: float = 3600.0) -> None:
        self.asked: list[tuple[bytes, bytes]] = []  # head and form
        self.refuses = False
        self.port = 0
        self._lasts = lasts

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        self.asked.append((head, await reader.readexactly(length)))
        token = {"access_token": f"token-{len(self.asked)}", "expires_in": self._lasts}
        body = b'{"error": "invalid_client"}' if self.refuses else json.dumps(token).encode()
        writer.write(response(body, 400 if self.refuses else 200, "Connection: close"))
        await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def issuing(lasts: float = 3600.0) -> AsyncIterator[Issuer]:
    issuer = Issuer(lasts)
    server = await asyncio.start_server(issuer.serve, "127.0.0.1", 0)
    issuer.port = server.sockets[0].getsockname()[1]
    async with server:
        yield issuer


def with_token_of(issuer: Issuer) -> str:
    oauth2 = {
        "client_id": "prober",
        "client_secret": "hush-hush",
        "token_url": f"http://127.0.0.1:{issuer.port}/token",
        "scopes": ["a", "b"],
        "endpoint_params": {"audience": "shop"},
    }
    return module("signed_in", oauth2=oauth2)


def test_a_token_is_fetched_once_and_shown_to_the_backend(tmp_path: Path) -> None:
    async def main() -> None:
        async with (
            issuing() as issuer,
            backend(40, says={b"/": response()}) as there,
            world(tmp_path, WEB, with_token_of(issuer)) as bastion,
        ):
            target = "services/shop/web:http"
            asks = [bastion.probe(target, "signed_in"), bastion.probe("pods/shop/web-0:8080", "signed_in")]
            await asyncio.gather(*asks)
            found = await bastion.probe(target, "signed_in", endpoints="one")
            assert found.value("probe_success") == 1
            ((head, form),) = issuer.asked
            assert head.startswith(b"POST /token ")
            assert b"Basic " in head
            assert set(form.split(b"&")) == {
                b"grant_type=client_credentials",
                b"scope=a+b",
                b"audience=shop",
            }
            assert len(there.seen) == 3
            assert all(b"uthorization: Bearer token-1\r\n" in one for one in there.seen)
            text = (await bastion.probe(target, "signed_in", debug="true")).text
            assert "hush-hush" not in text
            assert "token-1" not in text

    run(main())


def test_a_token_that_ends_soon_is_fetched_anew(tmp_path: Path) -> None:
    async def main() -> None:
        async with (
            issuing(lasts=0.001) as issuer,
            backend(40, says={b"/": response()}) as there,
            world(tmp_path, WEB, with_token_of(issuer)) as bastion,
        ):
            for _ in range(2):
                await bastion.probe("pods/shop/web-0:8080", "signed_in")
            assert [f"Bearer token-{n}".encode() in one for n, one in enumerate(there.seen, 1)] == [
                True,
                True,
            ]

    run(main())


def test_without_a_token_nothing_is_asked_of_the_backend(tmp_path: Path) -> None:
    async def main() -> None:
        async with (
            issuing() as issuer,
            backend(40, says={b"/": response()}) as there,
            world(tmp_path, WEB, with_token_of(issuer)) as bastion,
        ):
            issuer.refuses = True
            found = await bastion.probe("pods/shop/web-0:8080", "signed_in")
            assert (found.value("probe_success"), found.value("probe_http_status_code")) == (0, 0)
            assert there.seen == []
            text = (await bastion.probe("pods/shop/web-0:8080", "signed_in", debug="true")).text
            assert "no token from" in text
            assert "hush-hush" not in text
            issuer.refuses = False
            assert (await bastion.probe("pods/shop/web-0:8080", "signed_in")).value("probe_success") == 1

    run(main())


# --- brotli


@pytest.mark.parametrize(
    ("body", "success", "length", "regex"),
    [
        (brotli.compress(TEXT), 1, len(TEXT), 0),
        (brotli.compress(b"another text"), 0, 12, 1),
        (TEXT, 0, 0, 1),
        (brotli.compress(TEXT)[:-3], 0, None, 1),
    ],
    ids=["as wanted", "another", "not encoded", "cut"],
)
def test_a_body_in_brotli(
    tmp_path: Path, body: bytes, success: int, length: int | None, regex: int | None
) -> None:
    modules = module(
        "br",
        compression="br",
        headers={"Accept-Encoding": "br"},
        fail_if_body_not_matches_regexp=["^hello"],
    )

    async def main() -> None:
        says = {b"/": response(body, 200, "Content-Encoding: br")}
        async with backend(40, says=says) as there, world(tmp_path, WEB, modules) as bastion:
            found = await bastion.probe("pods/shop/web-0:8080", "br")
            assert found.value("probe_success") == success
            assert found.value("probe_http_content_length") == len(body)
            if length is not None:
                assert found.value("probe_http_uncompressed_body_length") == length
            assert found.value("probe_failed_due_to_regex") == regex
            assert b"Accept-Encoding: br\r\n" in there.seen[0]

    run(main())


# --- two families of addresses


def both_families(port: int) -> list[Any]:
    """`web` has both, `old` IPv4 alone."""
    there = pod("web-0", 40, port)
    there["status"]["podIPs"] = [{"ip": address(40)}, {"ip": "::1"}]
    web = service("web", port=port)
    web["spec"] |= {"ipFamilies": ["IPv4", "IPv6"], "ipFamilyPolicy": "PreferDualStack"}
    return [web, there, service("old", port=port), pod("old-0", 41, port)]


MODULES = json.dumps(
    {
        "modules": {
            "any": {"prober": "http"},
            "four": {"prober": "http", "http": {"preferred_ip_protocol": "ip4"}},
            "six": {"prober": "http", "http": {"preferred_ip_protocol": "ip6"}},
            "only_six": {
                "prober": "http",
                "http": {"preferred_ip_protocol": "ip6", "ip_protocol_fallback": False},
            },
            "tcp_six": {
                "prober": "tcp",
                "tcp": {"preferred_ip_protocol": "ip6", "ip_protocol_fallback": False},
            },
        }
    }
)
FAMILIES = [  # target, module, success, family
    ("pods/shop/web-0:http", "any", 1, 4),
    ("pods/shop/web-0:http", "four", 1, 4),
    ("pods/shop/web-0:http", "six", 1, 6),
    ("pods/shop/web-0:http", "only_six", 1, 6),
    ("pods/shop/web-0:http", "tcp_six", 1, 6),
    ("services/shop/web:http", "any", 1, 4),
    ("services/shop/web:http", "six", 1, 6),
    ("services/shop/web:http", "only_six", 1, 6),
    ("pods/shop/old-0:http", "six", 1, 4),
    ("pods/shop/old-0:http", "only_six", 0, 0),
]


def has_ipv6() -> bool:
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6) as sock:
        sock.bind(("::1", 0))
        return True
    return False


@pytest.mark.skipif(not has_ipv6(), reason="there is no IPv6 on the loopback interface")
def test_the_address_of_the_family_that_a_module_prefers(tmp_path: Path) -> None:
    """One address is dialled, and the samples say of which family it is."""
    port = free_port()

    async def main() -> None:
        six = Backend({b"/": response()})
        server = await asyncio.start_server(six.serve, "::1", port)
        async with (
            server,
            backend(40, port, says={b"/": response()}) as four,
            backend(41, port, says={b"/": response()}),
            world(tmp_path, both_families(port), MODULES, "--allow-target-cidr", "::1/128") as bastion,
        ):
            for target, name, success, family in FAMILIES:
                del four.seen[:], six.seen[:]
                found = await bastion.probe(target, name, endpoints="one")
                told = found.value("probe_success"), found.value("probe_ip_protocol")
                assert told == (success, family), (target, name)
                if target.startswith(("pods/shop/web", "services")) and name != "tcp_six":
                    assert (len(four.seen), len(six.seen)) == ((1, 0) if family == 4 else (0, 1))

    run(main())
