"""TLS to backends, from the ConfigMap in the cluster to the access log: requests and probes alike."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bastion.runtime.certificates import Authority, CertificatePair
from bastion.runtime.trust import server_context
from tests.probe.world import Answer, World, address, pod, response, service, world

PORT = 8443
OURS, OTHERS = Authority("ours"), Authority("others")
NAME = "web.shop.svc"
PATH = f"/api/v1/namespaces/shop/services/https:web:{PORT}/proxy/"


def config_map(**data: str) -> dict[str, Any]:
    metadata = {"name": "web-ca", "namespace": "shop"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def policy(hostname: str) -> dict[str, Any]:
    reference = {"group": "", "kind": "ConfigMap", "name": "web-ca"}
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "BackendTLSPolicy",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {
            "targetRefs": [{"group": "", "kind": "Service", "name": "web"}],
            "validation": {"caCertificateRefs": [reference], "hostname": hostname},
        },
    }


@contextlib.asynccontextmanager
async def serving(pair: CertificatePair) -> AsyncIterator[None]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(response())
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, address(21), PORT, ssl=server_context(pair))
    async with server:
        yield


async def asked(bastion: World) -> tuple[Answer, bool]:
    """The response to a request, and whether a probe succeeds."""
    answer = await bastion.get(PATH)
    probe = await bastion.probe(f"services/shop/https:web:{PORT}/")
    return answer, probe.value(f'probe_success{{pod="web-0",endpoint="{address(21)}:{PORT}"}}') == 1.0


ANNOTATED = {"bastion.dev/ca-configmap": "web-ca"}
MAP = config_map(**{"ca.crt": OURS.pem.decode()})
ROWS: dict[str, tuple[CertificatePair, dict[str, str], list[dict[str, Any]], int, str]] = {
    "trusted": (OURS.issue([NAME]), ANNOTATED, [MAP], 200, "verified"),
    "of another authority": (OTHERS.issue([NAME]), ANNOTATED, [MAP], 503, "verified"),
    "for another name": (OURS.issue(["db.shop.svc"]), ANNOTATED, [MAP], 503, "verified"),
    "no ConfigMap": (OURS.issue([NAME]), ANNOTATED, [], 503, "verified"),
    "of a policy": (OURS.issue(["web.test"]), {}, [MAP, policy("web.test")], 200, "verified"),
    "of a policy for another name": (OURS.issue([NAME]), {}, [MAP, policy("web.test")], 503, "verified"),
    "nothing said": (OTHERS.issue(["x.test"]), {}, [], 200, "unverified"),
}


@pytest.mark.parametrize(("pair", "said", "more", "status", "tls"), ROWS.values(), ids=ROWS)
def test_a_backend_is_verified(
    pair: CertificatePair,
    said: dict[str, str],
    more: list[dict[str, Any]],
    status: int,
    tls: str,
    tmp_path: Path,
) -> None:
    objects = [pod("web-0", 21, PORT), service("web", port=PORT, annotations=said), *more]

    async def main() -> None:
        async with serving(pair), world(tmp_path, objects, "", "--connect-timeout=2s") as bastion:
            answer, probed = await asked(bastion)
            assert answer.status == status, answer.text
            if status == 503:
                assert answer.fields["x-bastion-error"] == "CertificateNotTrusted"
            if tls == "verified":
                assert probed is (status == 200)

    asyncio.run(main())
    lines = [json.loads(line) for line in (tmp_path / "access.log").read_text().splitlines()]
    (line,) = [one for one in lines if one.get("path") == PATH]
    assert (line["tls"], line["endpoint"]) == (tls, f"{address(21)}:{PORT}")
