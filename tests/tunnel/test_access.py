"""Whoever holds a stream open must still be allowed to: asked again while it lives."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.harness import NETWORK as CLUSTER_NETWORK
from tests.e2e.harness import Cluster, Place, serving
from tests.e2e.wire import Visit, ask, backend, request
from tests.standalone.objects import binding, pod, role, rule
from tests.tunnel.ends import (
    BINARY,
    SPDY,
    TEXT,
    WEBSOCKET,
    Upgraded,
    accepting,
    closing,
    echo,
    frame,
    quiet,
    silent,
    switch,
    tunnel,
)
from tests.tunnel.processes import eventually, gauges
from tests.tunnel.world import Stage, running

INTERVAL, GRACE = 0.3, 3.0
REVOKED, UNCHECKED, POD_GONE = "access revoked", "access could not be checked again", "the pod is gone"
POLICY_VIOLATION, GOING_AWAY = closing(1008), closing(1001)
MANY = 200


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    flags = (
        "--stream-recheck-interval",
        f"{INTERVAL * 1000:.0f}ms",
        "--stream-recheck-grace",
        f"{GRACE:.0f}s",
    )
    with asyncio.Runner() as runner:
        context = running(tmp_path_factory.mktemp("world"), *flags)
        world, bastion = runner.run(context.__aenter__())
        yield Stage(world, bastion, runner)
        runner.run(context.__aexit__(None, None, None))


async def outcome(stage: Stage, stream: Upgraded) -> str:
    line = await asyncio.to_thread(stage.bastion.line, stream.audit_id)
    assert line["code"] == 101
    return str(line.get("outcome", ""))


# --- refused


def test_a_stream_ends_when_the_right_is_taken_away_and_its_client_is_told(stage: Stage) -> None:
    async def main() -> None:
        tenant, other = stage.world.tenant(), stage.world.tenant()
        gone = asyncio.Queue[bytes]()

        async def serve(visit: Visit) -> None:
            gone.put_nowait(await visit.ended())

        async with (
            backend(tenant.pod.address, accepting(serve)),
            backend(other.pod.address, accepting(echo)),
            tunnel(stage.bastion, tenant.pod.path(), token=tenant.token) as stream,
            tunnel(stage.bastion, tenant.pod.path(), token=tenant.token, plain=True) as plain,
            tunnel(stage.bastion, other.pod.path(), token=other.token) as bystander,
        ):
            await stream.send(b"of the client")
            stage.world.revoke(tenant)
            assert await quiet(stream) == POLICY_VIOLATION
            assert await quiet(plain) == POLICY_VIOLATION
            # and the backend is not told why
            assert sorted([await gone.get(), await gone.get()]) == [b"", b"of the client"]
            assert await outcome(stage, stream) == await outcome(stage, plain) == REVOKED
            await bystander.echoes()

    stage.run(main())


def test_a_stream_ends_when_its_holder_may_no_longer_act_as_another(stage: Stage) -> None:
    """What is asked again is what admitted: constrained impersonation, of which both halves are bound
    together here.
    """

    async def main() -> None:
        tenant, other = stage.world.tenant(), stage.world.tenant()
        acting = (*WEBSOCKET, f"Impersonate-User: {other.user}")
        async with (
            backend(other.pod.address, accepting(echo)),
            tunnel(stage.bastion, other.pod.path(), acting, token=tenant.token) as stream,
            tunnel(stage.bastion, other.pod.path(), token=other.token) as bystander,
        ):
            await stream.echoes()
            await asyncio.sleep(2 * INTERVAL)
            await stream.echoes()
            stage.world.forbid_acting_as_others(tenant)
            assert await quiet(stream) == POLICY_VIOLATION
            assert await outcome(stage, stream) == REVOKED
            await bystander.echoes()

    stage.run(main())


def test_a_stream_ends_when_the_token_is_taken_away(stage: Stage) -> None:
    async def main() -> None:
        tenant = stage.world.tenant()
        async with (
            backend(tenant.pod.address, accepting(silent)),
            tunnel(stage.bastion, tenant.pod.path(), token=tenant.token) as stream,
        ):
            stage.world.forget_token(tenant)
            assert await quiet(stream) == POLICY_VIOLATION
            assert await outcome(stage, stream) == REVOKED

    stage.run(main())


@pytest.mark.parametrize("plain", [True, False], ids=["plain", "tls"])
def test_a_close_frame_is_put_between_frames_only(stage: Stage, plain: bool) -> None:
    said = {
        "nothing yet": b"",
        "whole frames": frame(TEXT, b"hello") + frame(BINARY, b"x" * 70_000),
        "between the pieces of a message": frame(TEXT, b"hel", fin=False),
        "half a frame": frame(BINARY, b"x" * 1000)[:500],
        "half a head": frame(TEXT, b"hello") + frame(BINARY, b"x" * 1000)[:3],
        "all but the last byte": frame(BINARY, b"x" * 70_000)[:-1],
    }

    async def main() -> None:
        tenant = stage.world.tenant()

        async def serve(visit: Visit) -> None:
            head = await visit.head()
            await visit.send(switch(head.head) + said[head.one("X-Say")])
            await visit.ended()

        async def one(what: str) -> None:
            lines = (*WEBSOCKET, f"X-Say: {what}")
            async with tunnel(
                stage.bastion, tenant.pod.path(), lines, token=tenant.token, plain=plain
            ) as stream:
                assert await stream.reader.readexactly(len(said[what])) == said[what]
                ready.release()
                told = POLICY_VIOLATION if "half" not in what and "but" not in what else b""
                assert await quiet(stream) == told, what

        ready = asyncio.Semaphore(0)
        async with backend(tenant.pod.address, serve), asyncio.TaskGroup() as group:
            for what in said:
                group.create_task(one(what))
            for _ in said:
                await ready.acquire()
            stage.world.revoke(tenant)

    stage.run(main())


def test_what_is_no_websocket_is_closed_without_a_word(stage: Stage) -> None:
    async def main() -> None:
        tenant = stage.world.tenant()
        async with (
            backend(tenant.pod.address, accepting(silent)),
            tunnel(stage.bastion, tenant.pod.path(), SPDY, token=tenant.token) as stream,
        ):
            stage.world.revoke(tenant)
            assert await quiet(stream) == b""
            assert await outcome(stage, stream) == REVOKED

    stage.run(main())


def test_streams_whose_backend_has_ended_its_direction_end_too(stage: Stage) -> None:
    """To their clients nothing can be said any more; and beside them are some to whom it can."""

    async def main() -> None:
        tenant = stage.world.tenant()
        heard = asyncio.Queue[bytes]()
        ended = asyncio.Semaphore(0)

        async def serve(visit: Visit) -> None:
            head = await visit.head()
            await visit.send(switch(head.head))
            if head.all("X-End"):
                visit.writer.write_eof()
                ended.release()
            heard.put_nowait(await visit.ended())

        async with backend(tenant.pod.address, serve), contextlib.AsyncExitStack() as open_:
            streams = []
            for number in range(12):
                lines = (*WEBSOCKET, "X-End: yes") if number % 2 else WEBSOCKET
                opening = tunnel(stage.bastion, tenant.pod.path(), lines, token=tenant.token, plain=True)
                streams.append(await open_.enter_async_context(opening))
            for _ in range(6):
                await ended.acquire()
            stage.world.revoke(tenant)
            for number, stream in enumerate(streams):
                assert await quiet(stream) == (b"" if number % 2 else POLICY_VIOLATION)
            for _ in streams:
                await asyncio.wait_for(heard.get(), 20)  # the backend sees the end of each
            for stream in streams:
                assert await outcome(stage, stream) == REVOKED

    stage.run(main())


@pytest.mark.parametrize("reads", [True, False], ids=["to a backend that reads", "to one that does not"])
@pytest.mark.parametrize("plain", [True, False], ids=["plain", "tls"])
def test_a_client_that_never_stops_sending_is_told_all_the_same(
    stage: Stage, plain: bool, reads: bool
) -> None:
    async def main() -> None:
        tenant, gone = stage.world.tenant(), asyncio.Event()

        async def flood(stream: Upgraded) -> None:
            with contextlib.suppress(ConnectionError):
                while True:
                    await stream.send(b"x" * 65536)
                    # a TLS stream that was reset takes bytes without end, and lets nobody else have a turn
                    await asyncio.sleep(0)

        async def drop(visit: Visit) -> None:
            while reads and await visit.reader.read(1 << 18):
                pass
            await gone.wait()

        async with (
            backend(tenant.pod.address, accepting(drop)),
            tunnel(stage.bastion, tenant.pod.path(), token=tenant.token, plain=plain) as stream,
        ):
            flooding = asyncio.create_task(flood(stream))
            stage.world.revoke(tenant)
            assert await quiet(stream) == POLICY_VIOLATION
            assert await outcome(stage, stream) == REVOKED
            flooding.cancel()
            gone.set()

    stage.run(main())


def test_a_client_that_does_not_read_is_thrown_out_too(stage: Stage) -> None:
    async def main() -> None:
        tenant = stage.world.tenant()
        thrown_out = asyncio.Event()

        async def flood(visit: Visit) -> None:
            try:
                while True:
                    await visit.send(b"x" * 65536)
            finally:
                thrown_out.set()

        async with (
            backend(tenant.pod.address, accepting(flood)),
            tunnel(stage.bastion, tenant.pod.path(), token=tenant.token) as stream,
        ):
            stream.writer.transport.pause_reading()  # type: ignore[attr-defined]
            stage.world.revoke(tenant)
            await asyncio.wait_for(thrown_out.wait(), 20)
            assert await outcome(stage, stream) == REVOKED
            await eventually(lambda: gauges(stage.bastion)["client_connections"] == 1)

    stage.run(main())


# --- how much is asked


def test_two_hundred_streams_of_one_user_on_one_target_ask_no_more_than_one(stage: Stage) -> None:
    async def watched(seconds: float) -> tuple[int, float]:
        """(reviews, the time in which they were asked)."""
        began, before = time.monotonic(), stage.world.calls()
        await asyncio.sleep(seconds)
        return stage.world.calls() - before, time.monotonic() - began

    async def main() -> None:
        tenant = stage.world.tenant()
        async with backend(tenant.pod.address, accepting(echo)), contextlib.AsyncExitStack() as open_:
            streams = []
            for _ in range(MANY):
                streams.append(
                    await open_.enter_async_context(
                        tunnel(stage.bastion, tenant.pod.path(), token=tenant.token, plain=True)
                    )
                )
            held = await asyncio.to_thread(gauges, stage.bastion)
            # who it is, and what they may
            assert (held["streams"], held["stream_access_questions"]) == (MANY, 2)
            calls, seconds = await watched(2.0)
            assert 2 <= calls <= 2 * (seconds / (0.9 * INTERVAL) + 1)
            for stream in streams:
                await stream.echoes()
            stage.world.revoke(tenant)
            for stream in streams:
                assert await quiet(stream) == POLICY_VIOLATION
        await eventually(lambda: gauges(stage.bastion)["stream_access_questions"] == 0)
        calls, _ = await watched(3 * INTERVAL)
        assert calls == 0  # nobody is left to be asked about

    stage.run(main())


def test_different_rights_are_asked_about_each(stage: Stage) -> None:
    async def main() -> None:
        first, second = stage.world.tenant(), stage.world.tenant()
        async with (
            backend(first.pod.address, accepting(echo)),
            backend(second.pod.address, accepting(echo)),
            tunnel(stage.bastion, first.pod.path(), token=first.token) as one,
            tunnel(stage.bastion, second.pod.path(), token=second.token) as two,
            # another name is another question
            tunnel(stage.bastion, first.pod.path(port="http"), token=first.token) as three,
        ):
            assert (await asyncio.to_thread(gauges, stage.bastion))["stream_access_questions"] == 5
            for stream in (one, two, three):
                await stream.echoes()

    stage.run(main())


# --- the pod


def test_a_deleted_pod_takes_its_streams_along(stage: Stage) -> None:
    async def main() -> None:
        tenant, other = stage.world.tenant(), stage.world.tenant()
        gone = asyncio.Queue[bytes]()

        async def serve(visit: Visit) -> None:
            gone.put_nowait(await visit.ended())

        async with (
            backend(tenant.pod.address, accepting(serve)),
            backend(other.pod.address, accepting(echo)),
            tunnel(stage.bastion, tenant.pod.path(), token=tenant.token) as stream,
            tunnel(stage.bastion, tenant.pod.path(), SPDY, token=tenant.token) as raw,
            tunnel(stage.bastion, other.pod.path(), token=other.token) as bystander,
        ):
            stage.world.delete_pod(tenant)
            assert await quiet(stream) == GOING_AWAY
            assert await quiet(raw) == b""
            assert (await gone.get(), await gone.get()) == (b"", b"")
            assert await outcome(stage, stream) == await outcome(stage, raw) == POD_GONE
            assert (
                await ask(stage.bastion, request(tenant.pod.path(), *WEBSOCKET, token=tenant.token))
            ).status == 404
            await bystander.echoes()

    stage.run(main())


def test_a_deleted_pod_takes_along_streams_that_it_had_ended_on_its_side(stage: Stage) -> None:
    """And the next deletion is heard of as well."""

    async def main() -> None:
        for _ in range(2):
            tenant = stage.world.tenant()
            heard = asyncio.Queue[bytes]()

            async def serve(visit: Visit, heard: asyncio.Queue[bytes] = heard) -> None:
                visit.writer.write_eof()
                heard.put_nowait(await visit.ended())

            async with (
                backend(tenant.pod.address, accepting(serve)),
                tunnel(stage.bastion, tenant.pod.path(), token=tenant.token, plain=True) as first,
                tunnel(stage.bastion, tenant.pod.path(), token=tenant.token, plain=True) as second,
            ):
                for stream in (first, second):
                    assert await quiet(stream) == b""
                    await stream.send(b"still sending")
                stage.world.delete_pod(tenant)
                assert (
                    await asyncio.wait_for(heard.get(), 20)
                    == await asyncio.wait_for(heard.get(), 20)
                    == b"still sending"
                )
                for stream in (first, second):
                    assert await outcome(stage, stream) == POD_GONE

    stage.run(main())


# --- no answer is no refusal


def test_an_api_server_that_restarts_costs_no_stream_and_one_that_stays_away_does(stage: Stage) -> None:
    async def main() -> None:
        tenant = stage.world.tenant()
        async with (
            backend(tenant.pod.address, accepting(echo)),
            tunnel(stage.bastion, tenant.pod.path(), token=tenant.token) as stream,
            tunnel(stage.bastion, tenant.pod.path(), SPDY, token=tenant.token, plain=True) as other,
        ):
            await stage.world.stop()
            await asyncio.sleep(4 * INTERVAL)  # several checks fail
            await stream.echoes()
            await other.echoes()
            before = stage.world.calls()
            await stage.world.start()
            await eventually(lambda: stage.world.calls() >= before + 4)
            await stream.echoes()
            await other.echoes()

            stopped = time.monotonic()
            await stage.world.stop()
            try:
                assert await quiet(stream) == POLICY_VIOLATION
                assert await quiet(other) == b""
                assert time.monotonic() - stopped >= GRACE - INTERVAL
                assert await outcome(stage, stream) == await outcome(stage, other) == UNCHECKED
            finally:
                await stage.world.start()

    stage.run(main())


def test_nothing_is_held_in_the_end(stage: Stage) -> None:
    async def main() -> None:
        await eventually(lambda: gauges(stage.bastion)["streams"] == 0)
        await eventually(lambda: gauges(stage.bastion)["stream_access_questions"] == 0)
        await eventually(lambda: gauges(stage.bastion)["client_connections"] == 1)
        await eventually(lambda: gauges(stage.bastion)["backend_connections"] == 0)
        assert not [line for line in stage.bastion.log() if line["level"] in ("error", "critical")]

    stage.run(main())


# --- what an upgrade needs

NODE = f"{CLUSTER_NETWORK}.250"
READER, CREATOR = "reader-s3cr3t", "creator-s3cr3t"


@pytest.mark.parametrize(
    ("flags", "needing"),
    [
        ((), {"nodes"}),
        (("--upgrade-require-create", "pods"), {"pods"}),
        (("--upgrade-require-create", "nodes,pods,services"), {"nodes", "pods"}),
        (("--upgrade-require-create", ""), set()),
    ],
    ids=["by default", "pods", "all", "none"],
)
def test_where_asked_for_an_upgrade_needs_create(
    tmp_path: Path, flags: tuple[str, ...], needing: set[str]
) -> None:
    cluster = Cluster(tmp_path)
    resources = "pods/proxy nodes/proxy"
    items = [
        pod("web", ip=f"{CLUSTER_NETWORK}.249", ports=[("http", 8080)]),
        {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": "node"},
            "status": {"addresses": [{"type": "InternalIP", "address": NODE}]},
        },
        role("read", rule("get", "core", resources)),
        role("all", rule("get create", "core", resources)),
        binding("reader", "ClusterRole/read", "User/reader"),
        binding("creator", "ClusterRole/all", "User/creator"),
    ]
    cluster.manifests.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    cluster.tokens.write_text(f"{READER},reader,1\n{CREATOR},creator,2\n")
    places = {"pods": Place("web", f"{CLUSTER_NETWORK}.249"), "nodes": Place("node", NODE, "nodes")}

    async def main() -> None:
        for resource, where in places.items():
            path = (
                where.path(scheme="http")
                if resource == "pods"
                else f"/api/v1/nodes/http:{where.name}:8080/proxy/"
            )
            asked: list[str] = []

            async def serve(visit: Visit, asked: list[str] = asked) -> None:
                head = await visit.head()
                asked.append(head.start)
                if head.all("Upgrade"):
                    await visit.send(switch(head.head))
                    await echo(visit)
                else:
                    await visit.answer(b"plain")

            async with backend(where.address, serve):
                # a plain GET is one of get alone
                assert (await ask(bastion, request(path, token=READER))).body == b"plain"
                asked.clear()
                for protocol in (WEBSOCKET, SPDY):
                    if resource in needing:
                        refused = await ask(bastion, request(path, *protocol, token=READER))
                        assert (refused.status, refused.json()["reason"]) == (403, "Forbidden"), resource
                        assert "cannot create" in refused.json()["message"]
                    else:
                        async with tunnel(bastion, path, protocol, token=READER) as stream:
                            await stream.echoes()
                assert len(asked) == (0 if resource in needing else 2)
                async with tunnel(bastion, path, token=CREATOR) as stream:
                    await stream.echoes()

    with serving(cluster, tmp_path, "--enable-node-proxy", *flags) as bastion:
        asyncio.run(main())
