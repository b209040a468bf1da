"""Which certificates of backends are accepted?  Real handshakes: requests, WebSockets and probes alike."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from bastion.kube.endpoint import BACKENDS, SYSTEM, Endpoint, TLSProfile, config_maps
from bastion.kube.errorwords import CERTIFICATE_NOT_TRUSTED
from bastion.network.addresses import DialPolicy
from bastion.network.connections import ConnectionPool
from bastion.network.dial import Dialer
from bastion.network.errors import DialError
from bastion.network.tls.contexts import ClientTLS
from bastion.network.transport import Request, Transport
from bastion.probe.attempt import Environment
from bastion.probe.contexts import Contexts
from bastion.probe.tlssettings import TLSConfig
from bastion.probe.wire import open_wire
from bastion.runtime.certificates import CertificatePair
from bastion.runtime.deadlines import Deadlines
from bastion.runtime.trust import server_context
from bastion.settings.kinds import network
from bastion.settings.sections import Timeouts
from bastion.settings.targets import BackendTLS
from tests.authn.certificates import CLIENT, SERVER, Issued, authority, issue
from tests.fakes import LOOPBACK, NO_KUBELET, Backend, run

NAME = "web.shop.svc"
HEAD = b"GET / HTTP/1.1\r\nHost: web\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
OURS, OTHERS = authority("ours", now=time.time()), authority("another", now=time.time())
DAY = 86400.0


def pem(of: Issued) -> bytes:
    return of.certificate.public_bytes(serialization.Encoding.PEM)


def certificate(
    by: Issued = OURS,
    dns: str = NAME,
    address: str = "",
    ends: float = DAY,
    usage: x509.ObjectIdentifier = SERVER,
) -> CertificatePair:
    names: list[x509.GeneralName] = [x509.DNSName(dns)] if dns else []
    names += [x509.IPAddress(ip_address(address))] if address else []
    san = x509.SubjectAlternativeName(names)
    issued = issue(
        by, "web", usage=(usage,), begins=-2 * DAY, ends=ends, extensions=[(san, False)], now=time.time()
    )
    key = issued.key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return CertificatePair(pem(issued), key)


REFUSED = (DialError, ValueError)


class Maps:
    """ConfigMaps; None: not there."""

    def __init__(self) -> None:
        self.pem: bytes | None = pem(OURS)

    async def bundle(self, namespace: str, name: str) -> bytes:
        if self.pem is None:
            raise ValueError(f"ConfigMap {namespace}/{name}: it is not there")
        return self.pem


class House:
    def __init__(self, folder: Path, maps: Maps, deadlines: Deadlines, **files: bytes) -> None:
        named: dict[str, Any] = {}
        for name, content in files.items():
            named[name] = folder / name
            named[name].write_bytes(content)
        self.tls = ClientTLS(NO_KUBELET, None, BackendTLS(**named), maps)
        policy = DialPolicy([network("127.0.0.0/8")])
        self.environment = Environment(policy, Contexts(self.tls))
        self.pool = ConnectionPool(Dialer(policy, self.tls, deadlines, 5.0), deadlines)
        self.transport = Transport(self.pool, Timeouts())

    async def request(self, endpoint: Endpoint, *, upgrade: bool = False) -> None:
        trip = await self.transport.round_trip(endpoint, Request("GET", HEAD, upgrade=upgrade), fresh=True)
        trip.send()
        answer = await trip.answer()
        assert answer.status == 200
        trip.close(clean=False)

    async def websocket(self, endpoint: Endpoint) -> None:
        await self.request(endpoint, upgrade=True)

    async def probe(self, endpoint: Endpoint) -> None:
        (await open_wire(self.environment, endpoint, TLSConfig(), "asked.test")).close()


@contextlib.asynccontextmanager
async def house(folder: Path, maps: Maps | None = None, **files: bytes) -> AsyncIterator[House]:
    async with Deadlines() as deadlines:
        h = House(folder, maps or Maps(), deadlines, **files)
        try:
            yield h
        finally:
            h.pool.close()
            await asyncio.sleep(0)


def server(pair: CertificatePair, context: ssl.SSLContext | None = None) -> Backend:
    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await one.read_request(reader):
            writer.write(OK)

    one = Backend(play, tls=context or server_context(pair))
    return one


WAYS: dict[str, Callable[[House, Endpoint], Awaitable[None]]] = {
    "HTTP": House.request,
    "WebSocket": House.websocket,
    "probe": House.probe,
}
MAP = config_maps("shop", "ca")
ROWS: dict[str, tuple[CertificatePair, TLSProfile, bool]] = {
    "trusted": (certificate(), TLSProfile(BACKENDS, server_name=NAME), True),
    "trusted by a ConfigMap": (certificate(), TLSProfile(MAP, server_name=NAME), True),
    "unknown authority": (certificate(OTHERS), TLSProfile(BACKENDS, server_name=NAME), False),
    "unknown to the ConfigMap": (certificate(OTHERS), TLSProfile(MAP, server_name=NAME), False),
    "unknown to the system": (certificate(), TLSProfile(SYSTEM, server_name=NAME), False),
    "another name": (certificate(dns="db.shop.svc"), TLSProfile(BACKENDS, server_name=NAME), False),
    "expired": (certificate(ends=-DAY), TLSProfile(BACKENDS, server_name=NAME), False),
    "its address": (certificate(dns="", address=LOOPBACK), TLSProfile(BACKENDS), True),
    "another address": (certificate(dns="", address="127.0.0.9"), TLSProfile(BACKENDS), False),
    "its address, where a name is meant": (
        certificate(dns="", address=LOOPBACK),
        TLSProfile(BACKENDS, server_name=NAME),
        False,
    ),
    "what cannot be verified": (certificate(), TLSProfile(config_maps("shop"), server_name=NAME), False),
}


@pytest.mark.parametrize(("pair", "profile", "accepted"), ROWS.values(), ids=ROWS)
@pytest.mark.parametrize("way", WAYS)
def test_what_is_accepted(
    way: str, pair: CertificatePair, profile: TLSProfile, accepted: bool, tmp_path: Path
) -> None:
    async def main() -> None:
        async with house(tmp_path, certificate_authority=pem(OURS)) as h, server(pair) as backend:
            expected = contextlib.nullcontext() if accepted else pytest.raises(REFUSED)
            with expected as refused:
                await WAYS[way](h, backend.endpoint(tls=True, identity=profile))
            if refused is not None and way != "probe":
                assert refused.value.word is CERTIFICATE_NOT_TRUSTED  # type: ignore[attr-defined]
                assert not backend.heads

    run(main())


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("authority", [BACKENDS, MAP], ids=["file", "ConfigMap"])
def test_a_bundle_that_is_replaced_counts_for_the_next_connection(
    authority: str, way: str, tmp_path: Path
) -> None:
    profile, maps = TLSProfile(authority, server_name=NAME), Maps()

    async def main() -> None:
        async with (
            house(tmp_path, maps, certificate_authority=pem(OURS)) as h,
            server(certificate(OTHERS)) as backend,
        ):
            endpoint = backend.endpoint(tls=True, identity=profile)
            with pytest.raises(REFUSED):
                await WAYS[way](h, endpoint)
            both = pem(OURS) + pem(OTHERS)
            (tmp_path / "certificate_authority").write_bytes(both)
            maps.pem = both
            h.tls.backends.again()
            await WAYS[way](h, endpoint)
            (tmp_path / "certificate_authority").write_bytes(pem(OURS))
            maps.pem = None
            h.tls.backends.again()
            with pytest.raises(REFUSED):
                await WAYS[way](h, endpoint)

    run(main())


def test_a_client_certificate_is_shown_to_those_that_are_verified(tmp_path: Path) -> None:
    ours = certificate(dns="bastion", usage=CLIENT)

    async def main() -> None:
        asking = server_context(certificate())
        asking.verify_mode = ssl.CERT_REQUIRED
        asking.load_verify_locations(cadata=pem(OURS).decode())
        files: dict[str, Any] = {
            "certificate_authority": pem(OURS),
            "client_certificate": ours.certificate,
            "client_key": ours.key,
        }
        async with house(tmp_path, **files) as h, server(certificate(), asking) as backend:
            shown = TLSProfile(BACKENDS, "backends", NAME)
            await h.request(backend.endpoint(tls=True, identity=shown))
            for profile in (TLSProfile(BACKENDS, server_name=NAME), TLSProfile()):
                with pytest.raises(Exception, match=r"(?i)certificate|closed|handshake"):
                    await h.request(backend.endpoint(tls=True, identity=profile))

    run(main())


@pytest.mark.parametrize("name", ["certificate_authority", "client_certificate"])
def test_a_file_that_cannot_be_used_is_told_at_the_start(name: str, tmp_path: Path) -> None:
    settings: Any = {name: tmp_path / name}
    with pytest.raises(OSError, match=name):
        ClientTLS(NO_KUBELET, None, BackendTLS(**settings))
    (tmp_path / name).write_text("nothing")
    with pytest.raises(OSError, match=name):
        ClientTLS(NO_KUBELET, None, BackendTLS(**settings))
