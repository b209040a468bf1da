"""Does every request have exactly one last event, whatever its client, its backend and the workers do?

SOAK_ROUNDS says how many requests; each arrives whole, and then its client stays, leaves, or resets.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.e2e.harness import ALICE, BOB, Bastion, Cluster, Place, serving
from tests.e2e.test_lifecycle import children
from tests.e2e.wire import GONE, Client, Visit, ask, backend, client, request
from tests.fakes import until

ROUNDS = int(os.environ.get("SOAK_ROUNDS", "400"))
AT_ONCE = 24
POLICY = """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: None
  nonResourceURLs: ["/.bastion/*"]
- level: Metadata
"""


def audited(folder: Path, *flags: str) -> tuple[Path, list[str]]:
    policy, log = folder / "policy.yaml", folder / "log" / "audit.log"
    policy.write_text(POLICY)
    return log, [f"--audit-policy-file={policy}", f"--audit-log-path={log}", *flags]


def events(log: Path) -> Iterator[dict[str, Any]]:
    """Of all its files, in their order; every line is one."""
    for file in sorted(log.parent.iterdir()):
        yield from map(json.loads, file.read_bytes().splitlines())


async def worst(visit: Visit) -> None:
    """As the path asks for it."""
    while True:
        message = await visit.message()
        if "/slow" in message.target:
            await asyncio.sleep(0.02)
        if "/cut" in message.target:
            await visit.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")
            return
        if "/gone" in message.target:
            return
        size = 300_000 if "/big" in message.target else 2
        await visit.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size)


async def leave(wire: Client, chance: Random) -> None:
    """A reset throws away what has arrived and is not read yet, so it comes after a byte of the response."""
    way = chance.random()
    if way < 0.35:
        await asyncio.sleep(chance.random() * 0.03)
        with contextlib.suppress(OSError):  # the other end may be gone already
            wire.writer.write_eof()
        await wire.ended()
    elif way < 0.5:
        await wire.reader.read(chance.randrange(1, 400))
        wire.reset()
    else:
        await wire.answer()


@pytest.mark.timeout(120 + ROUNDS // 20)
@pytest.mark.parametrize("mode", ["batch", "blocking"])
def test_every_request_completes_once_whatever_happens(cluster: Cluster, tmp_path: Path, mode: str) -> None:
    async def one(bastion: Bastion, pod: Place, number: int) -> None:
        chance = Random(number)
        kind = chance.choice(("a", "a", "slow", "big", "cut", "gone", "nowhere", "forbidden"))
        path = pod.path(f"/{kind}")
        if chance.random() < 0.7:  # the others are remembered, and served without a task
            path += f"?n={number}"
        token = BOB if kind == "forbidden" else ALICE
        data = request(
            path if kind != "nowhere" else Place("no", "").path("/"), f"Audit-Id: n{number}", token=token
        )
        with contextlib.suppress(*GONE):
            async with client(bastion, plain=True) as wire:
                await wire.send(data)
                await leave(wire, chance)

    async def main(bastion: Bastion) -> None:
        async def some() -> None:
            for number in numbers:
                await one(bastion, pod, number)

        pod, numbers = cluster.pod(), iter(range(ROUNDS))
        async with backend(pod.address, worst):
            await asyncio.gather(*(some() for _ in range(AT_ONCE)))

    log, flags = audited(tmp_path, f"--audit-log-mode={mode}", "--audit-log-maxsize=100")
    with serving(cluster, tmp_path, *flags) as bastion:
        asyncio.run(main(bastion))
        bastion.program.signal(signal.SIGTERM)
        assert bastion.program.wait() == 0
    order: dict[str, list[str]] = {}
    for event in events(log):
        order.setdefault(event["auditID"], []).append(event["stage"])
    assert set(order) == {f"n{number}" for number in range(ROUNDS)}
    began = ["ResponseStarted", "ResponseComplete"]
    assert [stages for stages in order.values() if stages not in (began, began[1:])] == []


def test_a_killed_worker_tears_no_line_and_loses_no_one_elses(cluster: Cluster, tmp_path: Path) -> None:
    async def main(bastion: Bastion) -> list[str]:
        pod = cluster.pod()
        ids: list[str] = []
        async with backend(pod.address):
            for number in range(60):
                if number == 30:
                    await until(lambda: completed()[ids[-1]])  # written once the response is sent
                    os.kill(children(bastion.program.process.pid)[0], signal.SIGKILL)
                with contextlib.suppress(*GONE):
                    ids.append((await ask(bastion, request(pod.path("/")))).one("Audit-Id"))
        return ids

    def completed() -> Counter[str]:
        return Counter(event["auditID"] for event in events(log) if event["stage"] == "ResponseComplete")

    log, flags = audited(tmp_path, "--workers=2")
    with serving(cluster, tmp_path, *flags) as bastion:
        ids = asyncio.run(main(bastion))
        bastion.program.signal(signal.SIGTERM)
        bastion.program.wait()
    last = completed()
    assert len(ids) > 40
    assert [one for one in ids if last[one] != 1] == []


def test_a_policy_is_read_again_and_one_with_a_mistake_is_not_taken(cluster: Cluster, tmp_path: Path) -> None:
    async def main(bastion: Bastion) -> None:
        pod = cluster.pod()

        def levels() -> list[str]:
            return [event["level"] for event in events(log) if event["stage"] == "ResponseComplete"]

        async def asked(count: int) -> None:
            before = len(levels())
            for _ in range(count):
                await ask(bastion, request(pod.path("/")))
            await until(lambda: len(levels()) == before + count)

        async with backend(pod.address):
            await asked(4)  # by now it is remembered
            policy.write_text(POLICY.replace("level: Metadata", "level: Everything"))
            bastion.program.signal(signal.SIGHUP)
            await until(lambda: "rules[1].level: 'Everything' is not one" in bastion.program.stderr)
            await asked(1)
            assert levels() == ["Metadata"] * 5
            policy.write_text(POLICY.replace("level: Metadata", "level: Request"))
            bastion.program.signal(signal.SIGHUP)
            await until(lambda: f"the audit policy {policy} was read again" in bastion.program.stderr)
            await asked(3)
            assert levels()[5:] == ["Request"] * 3

    policy = tmp_path / "policy.yaml"
    log, flags = audited(tmp_path)
    with serving(cluster, tmp_path, *flags, "-v", "1") as bastion:
        asyncio.run(main(bastion))


def test_own_paths_that_answer_about_the_cluster_are_audited(cluster: Cluster, tmp_path: Path) -> None:
    asked_for = ("/why?target=services/default/web", "/probe?target=services/default/web", "/version")

    async def main(bastion: Bastion) -> None:
        for path in asked_for:
            await ask(bastion, request(path, f"Audit-Id: n{asked_for.index(path)}"))
        await until(lambda: len(list(events(log))) == len(asked_for))

    log, flags = audited(tmp_path)
    with serving(cluster, tmp_path, *flags) as bastion:
        asyncio.run(main(bastion))
    seen = {event["auditID"]: event["user"].get("username") for event in events(log)}
    assert seen == {"n0": "alice", "n1": "alice", "n2": "system:anonymous"}
