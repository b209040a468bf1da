"""A bastion that takes certificates, and clients that show some."""

from __future__ import annotations

import dataclasses
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from bastion.runtime.certificates import Authority, CertificatePair
from tests.authn.certificates import Issued
from tests.e2e.harness import Bastion, Cluster, Place, serving
from tests.e2e.wire import Message, ask, backend, request

USERS, PROXIES = Authority("users"), Authority("front proxies")


@pytest.fixture(scope="module")
def guarded(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bastion]:
    """One that takes certificates of both kinds, and also lets nobody in particular in."""
    folder = tmp_path_factory.mktemp("guarded")
    (folder / "users.crt").write_bytes(USERS.pem)
    (folder / "proxies.crt").write_bytes(PROXIES.pem)
    flags = (
        *("--client-ca-file", folder / "users.crt", "--requestheader-client-ca-file", folder / "proxies.crt"),
        *(
            "--requestheader-allowed-names",
            "aggregator,other",
            "--requestheader-username-headers",
            "X-Remote-User,Who",
        ),
        *("--requestheader-group-headers", "X-Remote-Group", "--requestheader-group-headers", "Team"),
        *("--requestheader-uid-headers", "Number", "--requestheader-extra-headers-prefix", "More-"),
        *("--anonymous-auth", "--max-authentication-failure-qps", 0, "-v", 9),
    )
    with serving(cluster, folder, *flags) as running:
        yield running


def showing(
    bastion: Bastion, folder: Path, pair: CertificatePair | None, *, version: ssl.TLSVersion | None = None
) -> Bastion:
    """The same bastion for a client that shows this certificate."""
    context = ssl.create_default_context(cafile=str(bastion.cluster.ca))
    if version is not None:
        context.maximum_version = version
    if pair is not None:
        certificate, key = folder / "client.crt", folder / "client.key"
        certificate.write_bytes(pair.certificate)
        key.write_bytes(pair.key)
        context.load_cert_chain(certificate, key)
    return dataclasses.replace(bastion, trust=context)


def users(name: str, *groups: str) -> CertificatePair:
    return USERS.issue([], common_name=name, organizations=groups, client=True)


def proxys(name: str = "aggregator") -> CertificatePair:
    return PROXIES.issue([], common_name=name, client=True)


def pair_of(issued: Issued, *chain: Issued) -> CertificatePair:
    return CertificatePair(b"".join(one.pem for one in (issued, *chain)), issued.key_pem)


async def seen_by(
    bastion: Bastion, pod: Place, *lines: str, token: str = "", method: str = "GET"
) -> tuple[Message, list[Message]]:
    async with backend(pod.address) as behind:
        return await ask(bastion, request(pod.path(), *lines, token=token, method=method)), behind.requests
