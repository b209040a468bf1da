"""One user, address or page that asks for very much, or fails on purpose: nobody else waits for it, pays for
it, or is told no.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.e2e.harness import ALICE, BOB, CAROL, LIVE, Bastion, Cluster, Place, serving
from tests.e2e.kubeapi import KubeApi
from tests.e2e.wire import Backend, Client, Message, Visit, ask, backend, client, request

BURST = 5  # failed authentications of an address at once
PROXY = "127.0.0.9"  # a trusted one
MOST = 4  # waiting for one target
PAIR = Place("pair", LIVE, "services")


@pytest.fixture(scope="module")
def shared(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bastion]:
    with serving(cluster, tmp_path_factory.mktemp("shared"), "--max-waiting-per-target", MOST) as running:
        yield running


@pytest.fixture(scope="module")
def asking(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bastion]:
    """It asks the API server who somebody is each time, at a modest rate."""
    folder = tmp_path_factory.mktemp("asking")
    (folder / "api").mkdir()
    flags = (
        *("--kube-api-qps", 60, "--kube-api-burst", 20, "--authentication-token-webhook-cache-ttl", "0s"),
        *(
            "--max-authentication-failure-qps",
            1,
            "--max-authentication-failure-burst",
            BURST,
            "--trusted-proxy-cidr",
            f"{PROXY}/32",
        ),
    )
    with (
        KubeApi(folder / "api") as api,
        serving(cluster, folder, *flags, source=("--kubeconfig", api.kubeconfig)) as running,
    ):
        yield running


async def asked(bastion: Bastion, data: bytes, address: str = "127.0.0.1") -> Message:
    async with client(bastion, plain=True, local_addr=(address, 0)) as wire:
        await wire.send(data)
        return await wire.answer()


async def status(
    bastion: Bastion, path: str, *lines: str, token: str = ALICE, address: str = "127.0.0.1"
) -> int:
    return (await asked(bastion, request(path, *lines, token=token), address)).status


# --- the API server


def test_nobody_waits_behind_another_users_questions(asking: Bastion) -> None:
    many = 120

    async def main() -> None:
        answered = 0

        async def flood(number: int) -> None:
            nonlocal answered
            path = f"/api/v1/namespaces/flood-{number}/services/x/proxy/"
            assert await status(asking, path, token=CAROL, address="127.0.0.5") in (403, 429)
            answered += 1

        async with backend(LIVE):
            tasks = [asyncio.create_task(flood(number)) for number in range(many)]
            while answered < 20:
                await asyncio.sleep(0.01)
            assert await status(asking, PAIR.path(port=80)) == 200
            assert answered < many - 20, "its turn came before the others had theirs"
            codes = await asyncio.gather(*tasks, return_exceptions=True)
            assert codes == [None] * many

    asyncio.run(main())


# --- a target


async def dropping(visit: Visit) -> None:
    """An application that has a path on which it breaks down."""
    while (await visit.message()).target != "/crash":
        await visit.answer(b"well")


def test_what_breaks_down_for_one_user_is_there_for_another(shared: Bastion) -> None:
    async def main() -> None:
        async with backend(LIVE, dropping):
            for _ in range(3):
                for _ in range(8):
                    assert (await ask(shared, request(PAIR.path("/crash", port=80), token=BOB))).status == 503
                assert (await ask(shared, request(PAIR.path(port=80)))).status == 200
            assert (await ask(shared, request(PAIR.path(port=80), token=BOB))).status == 200, (
                "it is the only one, and tried"
            )

    asyncio.run(main())


@contextlib.asynccontextmanager
async def sent(bastion: Bastion, behind: Backend, count: int, data: bytes) -> AsyncIterator[list[Client]]:
    """Requests that have come to the backend, which answers none yet."""
    async with contextlib.AsyncExitStack() as stack:
        wires = []
        for number in range(count):
            wires.append(await stack.enter_async_context(client(bastion, plain=True)))
            await wires[-1].send(data)
            while len(behind.visits) <= number:
                await asyncio.sleep(0.001)
        yield wires


def test_slow_uploads_take_no_place_at_a_target(shared: Bastion, cluster: Cluster) -> None:
    pod = cluster.pod()
    slow = request(pod.path(), "Content-Length: 1000", method="POST") + b"a little"

    async def main() -> None:
        async with backend(pod.address) as behind, sent(shared, behind, 3 * MOST, slow) as wires:
            assert (await ask(shared, request(pod.path()))).status == 200
            for wire in wires:
                await wire.send(b"x" * (1000 - len(b"a little")))
            assert {(await wire.answer()).status for wire in wires} == {200}

    asyncio.run(main())


def test_a_user_who_takes_all_places_leaves_others_their_share(shared: Bastion) -> None:
    async def holding(visit: Visit) -> None:
        while (await visit.message()).target == "/":
            await visit.answer(b"well")
        await visit.ended()

    async def main() -> None:
        async with (
            backend(LIVE, holding) as behind,
            sent(shared, behind, MOST, request(PAIR.path("/hold", port=80))),
        ):
            assert (await ask(shared, request(PAIR.path(port=80)))).status == 503
            assert (await ask(shared, request(PAIR.path(port=80), token=BOB))).status == 200

    asyncio.run(main())


# --- failed authentications


async def noise(bastion: Bastion, path: str, *lines: str, address: str, websocket: bool = False) -> set[int]:
    """Guesses, one after the other, until they are refused unseen."""
    codes = []
    for number in range(BURST + 10):
        token = f"guess-{address}-{number}"
        if websocket:
            coded = base64.urlsafe_b64encode(token.encode()).decode().rstrip("=")
            handshake = (
                "Upgrade: websocket",
                "Connection: Upgrade",
                "Sec-WebSocket-Version: 13",
                "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
            )
            protocols = f"Sec-WebSocket-Protocol: base64url.bearer.authorization.k8s.io.{coded}, chat"
            data = request(path, *handshake, protocols, *lines, token="")
        else:
            data = request(path, *lines, token=token)
        codes.append((await asked(bastion, data, address)).status)
    return set(codes)


def test_behind_a_trusted_proxy_failures_are_of_the_client_that_it_names(asking: Bastion) -> None:
    async def main() -> None:
        path = PAIR.path(port=80)
        async with backend(LIVE):
            assert await noise(
                asking, path, "X-Forwarded-For: 198.51.100.7, 203.0.113.66", address=PROXY
            ) == {401, 429}
            assert (
                await status(asking, path, "X-Forwarded-For: 203.0.113.66, 198.51.100.7", address=PROXY)
                == 200
            )
            data = request(path, "X-Forwarded-For: 203.0.113.66", token="g")
            for address, code, whose in ((PROXY, 429, "203.0.113.66"), ("127.0.0.8", 401, "127.0.0.8")):
                answer = await asked(asking, data, address)
                assert (answer.status, asking.line(answer.one("Audit-Id"))["client"]) == (code, whose)

    asyncio.run(main())


def test_a_page_of_another_site_does_not_lock_its_visitor_out(asking: Bastion) -> None:
    async def main() -> None:
        path = PAIR.path(port=80)
        async with backend(LIVE):
            assert await noise(
                asking, path, "Origin: https://evil.test", address="127.0.0.6", websocket=True
            ) == {401, 429}
            assert await status(asking, path, address="127.0.0.6") == 200

    asyncio.run(main())


def test_behind_a_noisy_address_a_good_token_has_its_chance_when_it_comes_again(asking: Bastion) -> None:
    async def main() -> None:
        path = PAIR.path(port=80)
        async with backend(LIVE):
            assert await noise(asking, path, address="127.0.0.7") == {401, 429}
            first = await asked(asking, request(path), "127.0.0.7")
            if first.status != 200:  # else it took long, and the guesses are forgiven
                assert (first.status, first.one("Retry-After")) == (429, "1")
                assert await status(asking, path, address="127.0.0.7") == 200

    asyncio.run(main())
