"""Certificates, authorities and tokens are renewed while the bastion runs: new connections see the new ones,
none is dropped.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import ssl
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

from bastion.runtime.certificates import Authority, CertificatePair
from tests.authn.provider import CLIENT_ID, Provider, provider
from tests.e2e.harness import KUBELET_PORT, NODE, Bastion, Cluster, Program, serving, standalone
from tests.e2e.kubeapi import KubeApi
from tests.e2e.test_lifecycle import children, until
from tests.e2e.wire import Visit, ask, backend, client, request
from tests.loopback import free_port


def put(pair: CertificatePair, certificate: Path, key: Path) -> None:
    certificate.write_bytes(pair.certificate)
    key.write_bytes(pair.key)


def shown(bastion: Bastion) -> str:
    """The common name in the certificate that a new connection sees."""
    context = ssl.create_default_context(cafile=str(bastion.cluster.ca))
    with (
        socket.create_connection(("127.0.0.1", bastion.port)) as sock,
        context.wrap_socket(sock, server_hostname="localhost") as tls,
    ):
        certificate: Any = tls.getpeercert()
        subject = dict(pair for pairs in certificate["subject"] for pair in pairs)
        return str(subject["commonName"])


def complaints(program: Program) -> int:
    return program.stderr.count("what was read before stays")


def test_a_renewed_serving_certificate_is_shown_to_new_connections_and_drops_none(
    cluster: Cluster, tmp_path: Path
) -> None:
    certificate, key, pod = tmp_path / "tls.crt", tmp_path / "tls.key", cluster.pod()

    def issue(name: str) -> CertificatePair:
        return cluster.authority.issue(["127.0.0.1", "localhost"], common_name=name)

    put(issue("first"), certificate, key)
    flags = ("--tls-cert-file", certificate, "--tls-private-key-file", key)

    async def main(bastion: Bastion) -> None:
        program = bastion.program
        async with backend(pod.address), client(bastion) as kept:

            async def still_there() -> None:
                await kept.send(request(pod.path()))
                assert (await kept.answer()).status == 200

            await still_there()
            assert await asyncio.to_thread(shown, bastion) == "first"
            certificate.write_bytes(issue("second").certificate)  # its key is not there yet
            await until(program, lambda: complaints(program) == 1)
            assert await asyncio.to_thread(shown, bastion) == "first"
            put(issue("third"), certificate, key)
            while await asyncio.to_thread(shown, bastion) != "third":
                await asyncio.sleep(0.05)
            await still_there()
            for content in (b"", b"hunter2"):
                said = complaints(program)
                certificate.write_bytes(content)
                await until(program, lambda: complaints(program) == said + 1)  # noqa: B023
                assert await asyncio.to_thread(shown, bastion) == "third"
            certificate.unlink()
            await until(program, lambda: complaints(program) == 4)
            put(issue("fourth"), certificate, key)
            while await asyncio.to_thread(shown, bastion) != "fourth":
                await asyncio.sleep(0.05)
            await still_there()
            assert complaints(program) == 4, "once for each"
            assert "hunter2" not in program.stderr

    with serving(cluster, tmp_path, *flags, certificate=False) as bastion:
        asyncio.run(main(bastion))


def test_a_renewed_kubelet_certificate_is_shown_to_kubelets_and_ends_no_connection(
    cluster: Cluster, tmp_path: Path
) -> None:
    certificate, key, authority = (
        tmp_path / "kubelet.crt",
        tmp_path / "kubelet.key",
        tmp_path / "kubelets-ca.crt",
    )
    authority.write_bytes(cluster.ca.read_bytes())

    def issue(name: str) -> CertificatePair:
        return cluster.authority.issue([], common_name=name, client=True)

    async def who(visit: Visit) -> None:
        while True:
            message = await visit.message()
            subject = dict(pair for pairs in (visit.certificate or {}).get("subject", ()) for pair in pairs)
            last = "last" in message.target
            await visit.answer(
                f"{visit.number} {subject.get('commonName')}".encode(),
                *(["Connection: close"] if last else []),
            )
            if last:
                return

    async def main(bastion: Bastion) -> None:
        async def asked(rest: str) -> tuple[int, str]:
            answer = await ask(bastion, request(f"/api/v1/nodes/node-a/proxy/{rest}"))
            return answer.status, answer.body.decode() if answer.status == 200 else answer.json()["message"]

        tls = cluster.backend_tls(NODE, wants_certificate=True)
        async with backend(NODE, who, port=KUBELET_PORT, ssl=tls):
            assert await asked("metrics") == (200, "1 first")
            put(issue("second"), certificate, key)
            await until(bastion.program, lambda: "TLS to kubelets" in bastion.program.stderr)
            assert await asked("last") == (200, "1 first"), "the connection that there is goes on"
            assert await asked("last") == (200, "2 second")
            key.write_text("broken")
            await until(bastion.program, lambda: complaints(bastion.program) == 1)
            assert await asked("last") == (200, "3 second")
            put(issue("third"), certificate, key)
            authority.write_bytes(Authority("another").pem)
            await until(
                bastion.program,
                lambda: (
                    bastion.program.stderr.count("TLS to kubelets (--kubelet-…) changed and was read") >= 2
                ),
            )
            status, said = await asked("last")
            assert status == 503 and "certificate verification failed" in said, (
                "no longer signed by whom it should be"
            )

    put(issue("first"), certificate, key)
    flags = (
        "--kubelet-certificate-authority",
        authority,
        "--kubelet-client-certificate",
        certificate,
        "--kubelet-client-key",
        key,
    )
    with serving(cluster, tmp_path, "--enable-node-proxy", "-v", 2, *flags) as bastion:
        asyncio.run(main(bastion))


def test_tokens_and_issuers_that_change_count_and_end_no_connection(cluster: Cluster, tmp_path: Path) -> None:
    """Of a token file, and of a file of issuers; what is broken keeps what there was, and is said without a
    token.
    """
    tokens, description, pod = tmp_path / "own.csv", tmp_path / "authentication.yaml", cluster.pod()
    tokens.write_text("of-the-file,tess,1,devs\n")

    def describe(provider: Provider, group: str) -> str:
        claims = {"username": {"claim": "sub", "prefix": "oidc:"}, "groups": {"claim": group}}
        issuer = {"issuer": {"url": provider.url, "audiences": [CLIENT_ID]}, "claimMappings": claims}
        return json.dumps(
            {
                "apiVersion": "apiserver.config.k8s.io/v1",
                "kind": "AuthenticationConfiguration",
                "jwt": [issuer],
            }
        )

    async def main(bastion: Bastion, oidc: Provider) -> None:
        program = bastion.program
        async with backend(pod.address), client(bastion) as kept:

            async def becomes(token: str, status: int) -> None:
                """On a connection that was there before."""
                while True:
                    await kept.send(request(pod.path(), token=token))
                    if (await kept.answer()).status == status:
                        return
                    await asyncio.sleep(0.05)

            token = oidc.token(roles=["nobody"])
            await becomes("of-the-file", 200)
            await becomes(token, 200)
            tokens.write_text("another,tess,1,devs\n")
            await becomes("another", 200)
            await becomes("of-the-file", 401)
            description.write_text(describe(oidc, "roles"))
            await becomes(token, 403)
            tokens.write_text("hunter2\n")
            description.write_text("kind: Config")
            await until(program, lambda: complaints(program) == 2)
            await becomes("another", 200)
            await becomes(token, 403)
            assert "kind: must be AuthenticationConfiguration" in program.stderr
            assert "hunter2" not in program.stderr

    with provider(time.time()) as (_, oidc), standalone(cluster, tmp_path) as (_, kubeconfig):
        description.write_text(describe(oidc, "groups"))
        (tmp_path / "bastion").mkdir()
        flags = (
            "--token-auth-file",
            tokens,
            "--authentication-config",
            description,
            "--authentication-token-webhook-cache-ttl",
            "1s",
        )
        with serving(cluster, tmp_path / "bastion", *flags, source=("--kubeconfig", kubeconfig)) as bastion:
            asyncio.run(main(bastion, oidc))


def test_an_issuers_renewed_authority_is_trusted(cluster: Cluster, tmp_path: Path) -> None:
    authority, pod = tmp_path / "idp.crt", cluster.pod()
    authority.write_bytes(Authority("another").pem)
    context = cluster.backend_tls("127.0.0.1")

    async def main(bastion: Bastion, token: str) -> None:
        async with backend(pod.address):
            assert (await ask(bastion, request(pod.path(), token=token))).status == 503
            authority.write_text("broken")
            await until(
                bastion.program,
                lambda: "is not a PEM certificate; what was read before stays" in bastion.program.stderr,
            )
            authority.write_bytes(cluster.ca.read_bytes())
            while (await ask(bastion, request(pod.path(), token=token))).status != 200:
                bastion.program.until(lambda: True)
                await asyncio.sleep(0.05)

    with provider(time.time(), tls=context) as (_, oidc):
        flags = (
            "--oidc-issuer-url",
            oidc.url,
            "--oidc-client-id",
            CLIENT_ID,
            "--oidc-username-prefix",
            "oidc:",
            "--oidc-groups-claim",
            "groups",
        )
        with serving(cluster, tmp_path, *flags, "--oidc-ca-file", authority) as bastion:
            asyncio.run(main(bastion, oidc.token()))


def test_an_api_server_that_comes_back_with_another_authority_and_token_is_reached_by_the_new_kubeconfig(
    cluster: Cluster, tmp_path: Path
) -> None:
    """What a rotated cluster authority is to the bastion; the kubeconfig's own tokens are new as well."""
    port, kubeconfig, pod = free_port(), tmp_path / "kubeconfig", cluster.pod()
    arguments = (
        "--manifests",
        cluster.manifests,
        "--token-auth-file",
        cluster.tokens,
        "--port",
        port,
        "--kubeconfig",
        kubeconfig,
    )

    def started(name: str) -> Program:
        (tmp_path / name).mkdir()
        program = Program(tmp_path / name, "standalone", *arguments)
        program.until(lambda: "export KUBECONFIG" in program.stdout)
        return program

    api = started("first")
    (tmp_path / "bastion").mkdir()
    try:
        with serving(cluster, tmp_path / "bastion", source=("--kubeconfig", kubeconfig)) as bastion:

            async def main() -> None:
                async with backend(pod.address):
                    assert (await ask(bastion, request(pod.path()))).status == 200
                    api.end()
                    again = await asyncio.to_thread(started, "second")
                    try:
                        # nothing about POST is remembered
                        while (await ask(bastion, request(pod.path(), method="POST"))).status != 200:
                            again.until(lambda: True)
                            await asyncio.sleep(0.05)
                    finally:
                        again.end()

            asyncio.run(main())
    finally:
        api.end()


# --- workers


def test_while_workers_die_the_port_never_closes(cluster: Cluster, tmp_path: Path) -> None:
    """Under load: no connection is refused, only those that a dead worker had are cut."""
    pod, over = cluster.pod(), threading.Event()
    refused, answered = [], [0] * 4

    def connect(bastion: Bastion, number: int) -> None:
        while not over.is_set():
            try:
                sock = socket.create_connection(("127.0.0.1", bastion.port), timeout=30)
                with sock, bastion.trust.wrap_socket(sock, server_hostname="localhost") as tls:
                    tls.sendall(request(pod.path(), "Connection: close"))
                    answered[number] += tls.recv(16).startswith(b"HTTP/1.1 200")
            except ConnectionRefusedError as error:
                refused.append(error)
            except OSError:
                pass  # the worker that had it was killed

    async def main(bastion: Bastion) -> None:
        program = bastion.program
        async with backend(pod.address):
            threads = [threading.Thread(target=connect, args=(bastion, number)) for number in range(4)]
            for thread in threads:
                thread.start()
            try:
                for _ in range(3):
                    seen = list(answered)
                    await until(program, partial(_all_grew, answered, seen))
                    victim = children(program.process.pid)[0]
                    os.kill(victim, signal.SIGKILL)
                    await until(program, partial(_is_replaced, victim, program.process.pid))
            finally:
                over.set()
                await asyncio.to_thread(lambda: [thread.join() for thread in threads])  # type: ignore[func-returns-value]
        assert not refused

    with serving(cluster, tmp_path, "--workers", 2) as bastion:
        asyncio.run(main(bastion))


def test_workers_share_the_budget_of_calls_and_each_has_its_own_watches(
    cluster: Cluster, tmp_path: Path
) -> None:
    (tmp_path / "bastion").mkdir()
    budget = ("--workers", 2, "--kube-api-qps", 20, "--kube-api-burst", 8)
    with (
        KubeApi(tmp_path) as api,
        serving(cluster, tmp_path / "bastion", *budget, source=("--kubeconfig", api.kubeconfig)) as bastion,
    ):
        bastion.program.until(lambda: api.count("watch ") == 6)
        watched = api.count("list ") - api.count("list backendtlspolicies")
        assert watched == 6


def _all_grew(counts: list[int], before: list[int]) -> bool:
    return all(now > then + 5 for now, then in zip(counts, before, strict=True))


def _is_replaced(worker: int, supervisor: int) -> bool:
    workers = children(supervisor)
    return worker not in workers and len(workers) == 2
